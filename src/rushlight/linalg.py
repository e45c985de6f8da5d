"""Linear algebra on (batches of) matrices. Factorisations are LAPACK's, through numpy.linalg; derivatives are formulas.

Reference: https://docs.pytorch.org/docs/stable/linalg.html
"""

from __future__ import annotations

import math

import numpy as np

from . import _check as check
from . import _dtypes, _native, return_types
from .autograd.autocast import full_precision, lower_precision
from .autograd.interop import array_from_numpy, from_numpy
from .autograd.op import op
from .autograd.tensor import Tensor
from .ops._declare import with_out
from .ops.algebra import cross as _cross_with_warning
from .ops.arrange import diag_embed, tril, triu
from .ops.extrema import amax, amin
from .ops.matmul import matmul
from .ops.matrix_maps import matrix_exp
from .ops.matrix_maps import orgqr as householder_product
from .ops.norms import vector_norm_of
from .ops.pointwise import _where

__all__ = [
    "LinAlgError", "norm", "vector_norm", "matrix_norm", "inv", "det", "slogdet", "solve", "cholesky", "qr", "svd", "svdvals",
    "eigh", "eigvalsh", "lstsq", "pinv", "matrix_power", "matrix_rank", "multi_dot", "cross", "diagonal", "matmul", "cond",
    "solve_triangular", "vecdot", "inv_ex", "cholesky_ex", "householder_product", "matrix_exp",
]  # fmt: skip


class LinAlgError(RuntimeError):
    """A factorisation that could not be completed."""


LinAlgError.__name__ = LinAlgError.__qualname__ = "_LinAlgError"


def _numpy(a):
    """An array for LAPACK: float32 or float64."""
    return np.asarray(a)


def _native_array(x, dtype):
    return array_from_numpy(np.ascontiguousarray(x, dtype=dtype.numpy).reshape(np.shape(x)))


def _check_matrix(name, x, square=False, what="A"):
    a = x._a
    prefix = name if name.startswith("torch.") else f"linalg.{name}"
    if a.ndim < 2:
        raise RuntimeError(f"{prefix}: The input tensor {what} must have at least 2 dimensions.")
    if square and a.shape[-1] != a.shape[-2]:
        raise RuntimeError(
            f"{prefix}: {what} must be batches of square matrices, but they are {a.shape[-2]} by {a.shape[-1]} matrices"
        )
    if not a.dtype.is_floating_point:
        raise RuntimeError(f"{prefix}: Expected a floating point or complex tensor as input. Got {a.dtype.scalar_name}")
    if a.dtype not in (_dtypes.float32, _dtypes.float64):
        raise RuntimeError(f"{prefix}: Low precision dtypes not supported. Got {a.dtype.scalar_name}")


def _t(x):
    return x.transpose(-2, -1)


# -- norms -----------------------------------------------------------------------------------------------------------


def vector_norm(x: Tensor, ord: float = 2, dim=None, keepdim: bool = False, *, dtype=None, out=None) -> Tensor:
    """(sum |x|**ord) ** (1 / ord), over all elements or the given dimension(s)."""
    return vector_norm_of(x, ord, dim, keepdim, dtype)


def matrix_norm(A: Tensor, ord="fro", dim=(-2, -1), keepdim: bool = False, *, dtype=None, out=None) -> Tensor:
    """A norm of matrices: "fro", "nuc", 1, -1, 2, -2, inf or -inf."""
    if (
        isinstance(ord, str)
        and ord not in ("fro", "nuc")
        or not isinstance(ord, str)
        and abs(ord) not in (1, 2, math.inf)
    ):
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    if dtype is not None:
        A = A.to(dtype)
    if A._a.ndim < 2:
        raise RuntimeError("linalg.matrix_norm: The input tensor A must have at least 2 dimensions.")
    if isinstance(dim, int) or len(dim) != 2:
        raise RuntimeError(
            f"linalg.matrix_norm: dim must be a 2-tuple. Got {' '.join(map(str, [dim] if isinstance(dim, int) else dim))}"
        )
    d0, d1 = (check.dim(d, A._a.ndim) for d in dim)
    if d0 == d1:
        raise RuntimeError(f"linalg.matrix_norm: dims must be different. Got ({dim[0]}, {dim[1]})")
    if ord == "fro":
        return vector_norm_of(A, 2, (d0, d1), keepdim)
    if ord in ("nuc", 2, -2):
        s = svdvals(A.movedim((d0, d1), (-2, -1)))
        out = s.sum(-1) if ord == "nuc" else amax(s, -1) if ord == 2 else amin(s, -1)
    else:
        over, then = (d0, d1) if abs(ord) == 1 else (d1, d0)
        sums = vector_norm_of(A, 1, over, True)
        out = (amax if ord > 0 else amin)(sums, then, True).squeeze((d0, d1))
    if keepdim:
        for d in sorted((d0, d1)):
            out = out.unsqueeze(d)
    return out


def norm(A: Tensor, ord=None, dim=None, keepdim: bool = False, *, dtype=None, out=None) -> Tensor:
    """A vector norm, or a matrix norm if `ord` is given for a matrix, or `dim` names two dimensions."""
    if dim is not None and not isinstance(dim, int) and len(dim) not in (1, 2):
        raise RuntimeError(f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got {list(dim)}")
    if ord is not None and dim is None and A._a.ndim not in (1, 2):
        raise RuntimeError(
            f"linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got {A._a.ndim}D."
        )
    one = isinstance(dim, int) or (dim is not None and len(dim) == 1) or (dim is None and A._a.ndim == 1)
    if ord is None or (one and not isinstance(ord, str)):
        return vector_norm_of(A, 2 if ord is None else ord, dim, keepdim, dtype)
    return matrix_norm(A, ord, (0, 1) if dim is None else dim, keepdim, dtype=dtype)


# -- determinants, inverses, systems ---------------------------------------------------------------------------------


@op(grad_name="LinalgInvExBackward0")
def _inv(x, /):
    try:
        return _native_array(np.linalg.inv(_numpy(x)), x.dtype)
    except np.linalg.LinAlgError:
        raise LinAlgError(_singular(_numpy(x), "linalg.inv", "the inversion could not be completed")) from None


def _singular(a, name, what):
    batch = ""
    if a.ndim > 2:
        flat = a.reshape(-1, *a.shape[-2:])
        k = next((i for i, m in enumerate(flat) if np.linalg.matrix_rank(m) < m.shape[-1]), 0)
        batch, a = f"(Batch element {k})", flat[k]
    return (
        f"{name}: {batch}{': ' if batch else ''}The diagonal element {_zero_pivot(a)} is zero, {what} because the input "
        "matrix is singular."
    )


def _zero_pivot(a):
    """The first zero pivot of an elimination with row exchanges, counted from 1."""
    a = np.array(a, dtype=float)
    n = a.shape[0]
    for k in range(n):
        p = k + int(np.argmax(np.abs(a[k:, k])))
        if a[p, k] == 0:
            return k + 1
        a[[k, p]] = a[[p, k]]
        a[k + 1 :] -= np.outer(a[k + 1 :, k] / a[k, k], a[k])
    return n


_inv.vjp(x=lambda g, out: -matmul(matmul(_t(out), g), _t(out)))


@full_precision
def inv(A: Tensor, *, out=None) -> Tensor:
    """The inverse of each matrix. Raises: LinAlgError for a singular one."""
    _check_matrix("inv", A, square=True)
    return _inv(A)


@full_precision
def inv_ex(A: Tensor, *, check_errors: bool = False):
    """(inverse, info); info is 0 where the inversion succeeded."""
    return inv(A), A.new_zeros(A._a.shape[:-2], dtype=_dtypes.int32)


@op(grad_name="LinalgDetBackward0")
def _det(x, /):
    return _native_array(np.linalg.det(_numpy(x)), x.dtype)


@_det.vjp
def _(g, x, out):
    if not (out == 0).any().item():
        return (g * out).unsqueeze(-1).unsqueeze(-1) * _t(_inv(x))
    # A singular matrix has no inverse; its cofactors exist. det(x) = det(u) det(vh) prod(s)
    u, s, vh = svd(x, full_matrices=False)
    n = s._a.shape[-1]
    rest = [s.index_select(-1, _all_but(n, k)).prod(-1) for k in range(n)]
    sign = _det(u) * _det(vh)
    from .ops.shape import stack

    return matmul(u * ((g * sign).unsqueeze(-1) * stack(rest, -1)).unsqueeze(-2), vh)


def _all_but(n, k):
    from .ops.creation import tensor

    return tensor([i for i in range(n) if i != k], dtype=_dtypes.int64)


def det(A: Tensor, *, out=None) -> Tensor:
    """The determinant of each matrix."""
    _check_matrix("det", A, square=True)
    return _det(A)


@op(grad_name="LinalgSlogdetBackward0")
def _slogdet(x, /):
    sign, value = np.linalg.slogdet(_numpy(x))
    return _native_array(sign, x.dtype), _native_array(value, x.dtype)


_slogdet.vjp(x=lambda g, x: None if g[1] is None else g[1].unsqueeze(-1).unsqueeze(-1) * _t(_inv(x)))


@full_precision
def slogdet(A: Tensor, *, out=None):
    """(sign, log |determinant|) of each matrix."""
    _check_matrix("slogdet", A, square=True)
    return return_types.linalg_slogdet(*_slogdet(A))


@op(grad_name="LinalgSolveExBackward0")
def _solve(a, b, /):
    try:
        return _native_array(np.linalg.solve(_numpy(a), _numpy(b)), a.dtype)
    except np.linalg.LinAlgError:
        raise LinAlgError("torch.linalg.solve: The solver failed because the input matrix is singular.") from None


@_solve.vjp
def _(g, a, out, b_shape, *, needs):
    gb = _solve(_t(a), g)
    ga = -matmul(gb, _t(out)) if needs[0] else None
    if ga is not None and ga._a.shape != a._a.shape:
        ga = ga.sum_to_size(a._a.shape)
    return ga, gb if gb._a.shape == b_shape else gb.sum_to_size(b_shape)


@full_precision
def solve(A: Tensor, B: Tensor, *, left: bool = True, out=None) -> Tensor:
    """X with A @ X = B (or X @ A = B if not `left`). B: (…, n, k), or (…, n) for vectors."""
    _check_matrix("solve", A, square=True)
    a, b = A._a, B._a
    vector = b.ndim == 1 or (a.ndim - 1 == b.ndim and b.shape == a.shape[:-1])
    if vector:
        B = B.unsqueeze(-1)
    elif not left:
        return _t(solve(_t(A), _t(B)))
    if A._a.shape[-1] != B._a.shape[-2]:
        raise RuntimeError(
            f"linalg.solve: Incompatible shapes of A and B for the equation AX = B ({a.shape[-2]}x{a.shape[-1]} and "
            f"{B._a.shape[-2]}x{B._a.shape[-1]})"
        )
    x = _solve(A, B)
    return x.squeeze(-1) if vector else x


@full_precision
def solve_triangular(
    A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False, out=None
) -> Tensor:
    """X with A @ X = B for triangular A (the other triangle is not read)."""
    T = triu(A) if upper else tril(A)
    if unitriangular:
        T = T - diag_embed(T.diagonal(0, -2, -1)) + diag_embed(T.new_ones(T._a.shape[:-1]))
    return solve(T, B) if left else _t(solve(_t(T), _t(B)))


# -- factorisations --------------------------------------------------------------------------------------------------


@op(grad_name="LinalgCholeskyExBackward0")
def _cholesky(x, /):
    a = _numpy(x)
    try:
        return _native_array(np.linalg.cholesky(a), x.dtype)
    except np.linalg.LinAlgError:
        raise LinAlgError(_not_positive(a)) from None


def _not_positive(a):
    flat = a.reshape(-1, *a.shape[-2:])
    for i, m in enumerate(flat):
        for k in range(1, m.shape[0] + 1):
            try:
                np.linalg.cholesky(m[:k, :k])
            except np.linalg.LinAlgError:
                batch = f"(Batch element {i}): " if a.ndim > 2 else ""
                return (f"linalg.cholesky: {batch}The factorization could not be completed because the input is not "
                        f"positive-definite (the leading minor of order {k} is not positive-definite).")  # fmt: skip
    return "linalg.cholesky: The factorization could not be completed."


def _half_lower(x):
    return tril(x) - diag_embed(x.diagonal(0, -2, -1)) * 0.5


@_cholesky.vjp
def _(g, out):
    inner = _half_lower(matmul(_t(out), tril(g)))
    half = _solve(_t(out), inner)
    whole = _t(_solve(_t(out), _t(half)))
    return (whole + _t(whole)) * 0.5


@full_precision
def cholesky(A: Tensor, *, upper: bool = False, out=None) -> Tensor:
    """The lower triangular L with A = L @ L.T (or its transpose). Raises: LinAlgError unless A is positive-definite."""
    _check_matrix("cholesky", A, square=True)
    L = _cholesky(A)
    return _t(L) if upper else L


@full_precision
def cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False):
    """(L, info); info is 0 where the factorisation succeeded, else the order of the leading minor that is not positive-definite."""
    _check_matrix("cholesky", A, square=True)
    orders = A.new_zeros(A._a.shape[:-2], dtype=_dtypes.int32)
    try:
        return return_types.linalg_cholesky_ex(cholesky(A, upper=upper), orders)
    except LinAlgError:
        if check_errors:
            raise
    a = _numpy(A._a)
    factors = np.zeros_like(a)
    for at in np.ndindex(a.shape[:-2]):
        factors[at], order = _partial_cholesky(a[at])
        orders[at] = order
    L = from_numpy(factors)
    return return_types.linalg_cholesky_ex(_t(L) if upper else L, orders)


def _partial_cholesky(a):
    """The factor of the largest leading part that has one, and the order of the next (0 if there is none)."""
    L = np.zeros_like(a)
    for order in range(1, a.shape[0] + 1):
        try:
            L[:order, :order] = np.linalg.cholesky(a[:order, :order])
        except np.linalg.LinAlgError:
            return L, order
    return L, 0


def _solve_both(factor, b, upper):
    """X with A X = B for a factor of A, as NumPy arrays; the other triangle is not read."""
    a = np.triu(factor).swapaxes(-1, -2) if upper else np.tril(factor)
    return np.linalg.solve(a.swapaxes(-1, -2), np.linalg.solve(a, b))


def _by_factor(common, L, upper):
    """The gradient of a factor of A, from that of A's inverse: `common` is symmetric."""
    return -matmul(L, common) if upper else -matmul(common, L)


@op
def _cholesky_solve(b, factor, /, *, upper):
    return _native_array(_solve_both(_numpy(factor), _numpy(b), upper), b.dtype)


@_cholesky_solve.vjp
def _(g, factor, out, b_shape, *, upper, needs):
    gb = _cholesky_solve(g, factor, upper=upper)
    gf = None
    if needs[1]:
        common = matmul(gb, _t(out))
        gf = _by_factor(common + _t(common), factor, upper).sum_to_size(factor._a.shape)
    return gb.sum_to_size(b_shape), gf


@op
def _cholesky_inverse(factor, /, *, upper):
    a = _numpy(factor)
    return _native_array(_solve_both(a, np.broadcast_to(np.eye(a.shape[-1], dtype=a.dtype), a.shape), upper), factor.dtype)


@_cholesky_inverse.vjp
def _(g, factor, out, *, upper):
    return _by_factor(matmul(out, matmul(g + _t(g), out)), factor, upper)


@with_out
def cholesky_solve(B: Tensor, L: Tensor, upper: bool = False) -> Tensor:
    """X with A @ X = B, where L is the Cholesky factor of A (lower triangular, or `upper`)."""
    for what, x in (("b", B), ("u", L)):
        if x._a.ndim < 2:
            raise RuntimeError(f"{what} should have at least 2 dimensions, but has {x._a.ndim} dimensions instead")
    n, rows = L._a.shape[-1], B._a.shape[-2]
    if L._a.shape[-2] != n:
        raise RuntimeError(f"cholesky_solve: A must be batches of square matrices, but they are {L._a.shape[-2]} by {n} matrices")
    if rows != n:
        raise RuntimeError(f"Incompatible matrix sizes for cholesky_solve: each A matrix is {n} by {n} but each b matrix is {rows} by "
                           f"{B._a.shape[-1]}")  # fmt: skip
    return _cholesky_solve(B, L, upper=upper)


@with_out
def cholesky_inverse(L: Tensor, upper: bool = False) -> Tensor:
    """The inverse of A from its Cholesky factor (lower triangular, or `upper`)."""
    if L._a.ndim < 2:
        raise RuntimeError("cholesky_inverse: The input tensor A must have at least 2 dimensions.")
    if L._a.shape[-1] != L._a.shape[-2]:
        raise RuntimeError(
            f"cholesky_inverse: A must be batches of square matrices, but they are {L._a.shape[-2]} by {L._a.shape[-1]} matrices"
        )
    return _cholesky_inverse(L, upper=upper)


@op(grad_name="LinalgQrBackward0")
def _qr(x, /, *, mode):
    if mode == "r":
        r = np.linalg.qr(_numpy(x), mode="r")
        return _native.empty((0,), x.dtype.code), _native_array(r, x.dtype)
    q, r = np.linalg.qr(_numpy(x), mode=mode)
    return _native_array(q, x.dtype), _native_array(r, x.dtype)


@_qr.vjp
def _(g, out, x_shape, *, mode):
    (gq, gr), (q, r) = g, out
    if mode == "r":
        raise RuntimeError("linalg_qr_backward: The derivative of linalg.qr depends on Q, which is not computed when mode='r'. "
                           "Please use linalg.qr(A, mode='reduced') if you are going to require gradients through Q or "
                           "R.")  # fmt: skip
    m, n = x_shape[-2:]
    if m < n or (mode == "complete" and m > n):
        raise NotImplementedError(
            "the derivative of linalg.qr is defined for mode='reduced' and matrices with rows >= columns"
        )
    gq = q.new_zeros(q._a.shape) if gq is None else gq
    gr = r.new_zeros(r._a.shape) if gr is None else gr
    M = matmul(r, _t(gr)) - matmul(_t(gq), q)
    M = tril(M, -1) + _t(tril(M, -1)) + diag_embed(M.diagonal(0, -2, -1))
    return _t(_solve(r, _t(gq + matmul(q, M))))


@full_precision
def qr(A: Tensor, mode: str = "reduced", *, out=None):
    """(Q, R) with A = Q @ R, Q orthonormal and R upper triangular. mode: "reduced", "complete" or "r"."""
    _check_matrix("qr", A)
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or 'complete'"
        )
    return return_types.linalg_qr(*_qr(A, mode=mode))


@op(grad_name="LinalgSvdBackward0")
def _svd(x, /, *, full_matrices):
    u, s, vh = np.linalg.svd(_numpy(x), full_matrices=full_matrices)
    return tuple(_native_array(v, x.dtype) for v in (u, s, vh))


@_svd.vjp
def _(g, out, *, full_matrices):
    (gu, gs, gvh), (u, s, vh) = g, out
    k = s._a.shape[-1]
    if full_matrices:
        u, vh = u[..., :k], vh[..., :k, :]
        gu, gvh = None if gu is None else gu[..., :k], None if gvh is None else gvh[..., :k, :]
    middle = s.new_zeros((*s._a.shape, k)) if gs is None else diag_embed(gs)
    if gu is None and gvh is None:
        return matmul(matmul(u, middle), vh)
    square = s * s
    gap = square.unsqueeze(-2) - square.unsqueeze(-1)
    eye = diag_embed(s.new_ones(s._a.shape))
    inverse = _where(eye == 1, 0.0, 1 / _where(eye == 1, 1.0, gap))
    skew = lambda x: x - _t(x)  # noqa: E731
    if gu is not None:
        middle = middle + inverse * skew(matmul(_t(u), gu)) * s.unsqueeze(-2)
    if gvh is not None:
        middle = middle + s.unsqueeze(-1) * (inverse * skew(matmul(vh, _t(gvh))))
    grad = matmul(matmul(u, middle), vh)
    if gu is not None and u._a.shape[-2] > k:
        side = gu / s.unsqueeze(-2)
        grad = grad + matmul(side - matmul(u, matmul(_t(u), side)), vh)
    if gvh is not None and vh._a.shape[-1] > k:
        side = gvh / s.unsqueeze(-1)
        grad = grad + matmul(u, side - matmul(matmul(side, _t(vh)), vh))
    return grad


@full_precision
def svd(A: Tensor, full_matrices: bool = True, *, driver=None, out=None):
    """(U, S, Vh) with A = U @ diag(S) @ Vh; S in descending order."""
    _check_matrix("svd", A)
    return return_types.linalg_svd(*_svd(A, full_matrices=full_matrices))


@full_precision
def svdvals(A: Tensor, *, driver=None, out=None) -> Tensor:
    """The singular values, in descending order."""
    _check_matrix("svdvals", A)
    return _svd(A, full_matrices=False)[1]


@op(grad_name="LinalgEighBackward0")
def _eigh(x, /, *, uplo):
    w, v = np.linalg.eigh(_numpy(x), UPLO=uplo)
    return _native_array(w, x.dtype), _native_array(v, x.dtype)


@_eigh.vjp
def _(g, out):
    (gw, gv), (w, v) = g, out
    middle = w.new_zeros(v._a.shape) if gw is None else diag_embed(gw)
    if gv is not None:
        gap = w.unsqueeze(-2) - w.unsqueeze(-1)
        eye = diag_embed(w.new_ones(w._a.shape))
        middle = middle + _where(eye == 1, 0.0, matmul(_t(v), gv) / _where(eye == 1, 1.0, gap))
    return matmul(matmul(v, middle), _t(v))


@full_precision
def eigh(A: Tensor, UPLO: str = "L", *, out=None):
    """(eigenvalues, eigenvectors) of symmetric matrices, in ascending order; one triangle is read."""
    _check_matrix("eigh", A, square=True)
    if UPLO not in ("L", "U", "l", "u"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    return return_types.linalg_eigh(*_eigh(A, uplo=UPLO.upper()))


@full_precision
def eigvalsh(A: Tensor, UPLO: str = "L", *, out=None) -> Tensor:
    """The eigenvalues of symmetric matrices, in ascending order."""
    return eigh(A, UPLO)[0]


# -- least squares, powers, ranks ------------------------------------------------------------------------------------


@full_precision
def pinv(A: Tensor, *, atol=None, rtol=None, hermitian: bool = False, out=None) -> Tensor:
    """The pseudo-inverse, from the singular values above max(atol, rtol * the largest)."""
    if A._a.ndim < 2:
        raise RuntimeError(
            f"linalg.pinv({A._a.dtype.scalar_name}{{{list(A._a.shape)}}}): expected a tensor with 2 or more dimensions of float, "
            "double, cfloat or cdouble types"
        )
    u, s, vh = svd(A, full_matrices=False)
    keep = s > _cut(A, s, atol, rtol)
    inverse = _where(keep, 1 / _where(keep, s, 1.0), 0.0)
    return matmul(_t(vh) * inverse.unsqueeze(-2), _t(u))


def _cut(A, s, atol, rtol):
    atol = 0.0 if atol is None else atol
    if rtol is None:
        rtol = _dtypes.finfo(A._a.dtype).eps * max(A._a.shape[-2:]) if not atol else 0.0
    largest = amax(s.detach(), -1, True) if s._a.numel else s.detach()
    return (largest * rtol).clamp(min=atol)


@full_precision
def matrix_rank(A: Tensor, *, atol=None, rtol=None, hermitian: bool = False, out=None) -> Tensor:
    """How many singular values are above max(atol, rtol * the largest)."""
    _check_matrix("torch.linalg.matrix_rank", A, what="input")
    s = svdvals(A)
    return (s > _cut(A, s, atol, rtol)).sum(-1)


@full_precision
def cond(A: Tensor, p=None, *, out=None) -> Tensor:
    """The condition number in a norm (2 by default)."""
    if p is None or p in (2, -2):
        s = svdvals(A)
        high, low = amax(s, -1), amin(s, -1)
        return low / high if p == -2 else high / low
    return matrix_norm(A, p) * matrix_norm(inv(A), p)


@full_precision
def lstsq(A: Tensor, B: Tensor, rcond=None, *, driver=None):
    """X that minimises the norm of A @ X - B: (solution, residuals, rank, singular_values)."""
    _check_matrix("torch.linalg.lstsq", A, what="input")
    solution = matmul(pinv(A), B if B._a.ndim == A._a.ndim else B.unsqueeze(-1))
    rank = matrix_rank(A)
    m, n = A._a.shape[-2:]
    residuals = A.new_empty((0,))
    if m > n and (rank == n).all().item():
        rest = matmul(A, solution) - (B if B._a.ndim == A._a.ndim else B.unsqueeze(-1))
        residuals = (rest * rest).sum(-2)
    if B._a.ndim != A._a.ndim:
        solution = solution.squeeze(-1)
    return return_types.linalg_lstsq(solution, residuals, rank, A.new_empty((0,)))


def matrix_power(A: Tensor, n: int, *, out=None) -> Tensor:
    """The n-th power of each matrix; negative n are powers of the inverse."""
    _check_matrix("matrix_power", A, square=True)
    if n < 0:
        return matrix_power(inv(A), -n)
    if n == 0:
        return diag_embed(A.new_ones(A._a.shape[:-1]))
    result = None
    while n:
        if n & 1:
            result = A if result is None else matmul(result, A)
        n >>= 1
        A = matmul(A, A) if n else A
    return result


def multi_dot(tensors, *, out=None) -> Tensor:
    """The product of two or more matrices, in the order that needs the fewest multiplications; the ends may be vectors."""
    n = len(tensors)
    if n < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {n}")
    first, last = tensors[0], tensors[-1]
    for i, x in enumerate(tensors):
        if 0 < i < n - 1 and x._a.ndim != 2:
            raise RuntimeError(f"multi_dot(): tensor {i} must be 2D but got {x._a.ndim}D")
    xs = list(tensors)
    if first._a.ndim == 1:
        xs[0] = first.unsqueeze(0)
    if last._a.ndim == 1:
        xs[-1] = last.unsqueeze(1)
    sizes = [xs[0]._a.shape[0], *(x._a.shape[1] for x in xs)]
    cost, split = {(i, i): 0 for i in range(n)}, {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            cost[i, j], split[i, j] = min(
                (cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)
            )

    def product(i, j):
        return xs[i] if i == j else matmul(product(i, split[i, j]), product(split[i, j] + 1, j))

    result = product(0, n - 1)
    if last._a.ndim == 1:
        result = result.squeeze(-1)
    return result.squeeze(0) if first._a.ndim == 1 else result


def cross(input: Tensor, other: Tensor, *, dim: int = -1, out=None) -> Tensor:
    """The vector product along a dimension of size 3."""
    return _cross_with_warning(input, other, dim)


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The diagonals of matrices, as a view."""
    return A.diagonal(offset, dim1, dim2)


@lower_precision
def vecdot(x: Tensor, y: Tensor, *, dim: int = -1, out=None) -> Tensor:
    """Inner products along a dimension."""
    return (x * y).sum(dim)


def logdet(input: Tensor) -> Tensor:
    """log of the determinant; NaN where that is negative."""
    sign, value = slogdet(input)
    return _where(sign < 0, math.nan, value)


inverse, pinverse = inv, pinv
for _name, _function in {"inverse": inv, "det": det, "slogdet": slogdet, "logdet": logdet, "matrix_power": matrix_power,
                         "pinverse": pinv, "cholesky": cholesky, "cholesky_solve": cholesky_solve,
                         "cholesky_inverse": cholesky_inverse}.items():  # fmt: skip
    setattr(Tensor, _name, _function)
