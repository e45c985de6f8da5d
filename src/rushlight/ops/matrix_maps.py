"""Maps from free parameters to structured matrices: products of Householder reflections, exponentials."""

from __future__ import annotations

import numpy as np

from .. import _dtypes, return_types
from ..autograd.interop import array_from_numpy
from ..autograd.op import op
from ..autograd.tensor import Tensor
from ._declare import method
from .arrange import diag_embed, tril, triu
from .matmul import matmul
from .pad import pad
from .shape import cat

__all__ = ["geqrf", "orgqr", "matrix_exp"]


def _native_array(x, dtype):
    return array_from_numpy(np.ascontiguousarray(x, dtype=dtype.numpy).reshape(np.shape(x)))


# -- reflections -----------------------------------------------------------------------------------------------------------


@op(differentiable=False)
def _geqrf(x, /):
    # NumPy returns LAPACK's own arrays, which are stored by columns.
    h, tau = np.linalg.qr(np.asarray(x), mode="raw")
    return _native_array(np.swapaxes(h, -1, -2), x.dtype), _native_array(tau, x.dtype)


@method(out=True)
def geqrf(input: Tensor):
    """(a, tau): LAPACK's form of a QR factorisation, which `linalg.householder_product` turns into Q.

    R is a's upper triangle, the vectors of the reflections are below it, their factors are tau.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.geqrf.html
    """
    if input._a.ndim < 2:
        raise RuntimeError("torch.geqrf: input must have at least 2 dimensions.")
    _need_real("geqrf_cpu", input)
    return return_types.geqrf(*_geqrf(input))


def _need_real(kernel, x):
    if x._a.dtype not in (_dtypes.float32, _dtypes.float64):
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{x._a.dtype.scalar_name}'")


# The product of H_i = 1 - tau_i v_i v_i^T is 1 - V M V^T with M = (1 + D U)^-1 D, where V has the vectors as columns, D is
# diag(tau) and U the part of V^T V above the diagonal (the compact WY form; Schreiber and Van Loan, 1989).


@op(grad_name="LinalgHouseholderProductBackward0")
def _householder_product(x, tau, /):
    a, t = np.asarray(x).astype(np.float64), np.asarray(tau).astype(np.float64)
    n, k = a.shape[-1], t.shape[-1]
    v = np.tril(a[..., :k], -1) + np.eye(a.shape[-2], k)
    u = np.triu(np.swapaxes(v, -1, -2) @ v, 1)
    m = np.linalg.solve(np.eye(k) + t[..., None] * u, t[..., None] * np.eye(k)) if k else u
    q = np.eye(a.shape[-2], n) - v @ (m @ np.swapaxes(v[..., :n, :], -1, -2))
    return _native_array(q, x.dtype)


@_householder_product.vjp
def _(g, x, tau, *, needs):
    from ..linalg import solve

    rows, n = x._a.shape[-2:]
    k = tau._a.shape[-1]
    if k == 0:
        return x.new_zeros(x._a.shape), tau.new_zeros(tau._a.shape)
    one = diag_embed(tau.new_ones(tau._a.shape))
    V = tril(x[..., :k], -1) + pad(one, (0, 0, 0, rows - k))
    D = tau.unsqueeze(-1)
    U = triu(matmul(V.mT, V), 1)
    W = solve(one + D * U, one)
    M = W * tau.unsqueeze(-2)
    top = V[..., :n, :]
    gM = -matmul(matmul(V.mT, g), top)
    WgM = matmul(W.mT, gM)
    gtau = (WgM * (one - matmul(U, M))).sum(-1)
    if not needs[0]:
        return None, gtau
    gU = triu(-D * matmul(WgM, M.mT), 1)
    gV = matmul(V, gU + gU.mT) - matmul(matmul(g, top), M.mT)
    gV = gV - pad(matmul(matmul(g.mT, V), M), (0, 0, 0, rows - n))
    return pad(tril(gV, -1), (0, n - k)), gtau


@method(out=True)
def orgqr(input: Tensor, tau: Tensor) -> Tensor:
    """The first n columns of H_1 ... H_k, H_i = 1 - tau_i v_i v_i^T; v_i is 1 at i and `input[..., i+1:, i]` below.

    Shape: input (..., m, n) with m >= n, tau (..., k) with k <= n; result (..., m, n).
    Raises: RuntimeError for other shapes, and for different dtypes.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.linalg.householder_product.html
    """
    name, a, t = "torch.linalg.householder_product", input._a, tau._a
    if a.ndim < 2:
        raise RuntimeError(f"{name}: input must have at least 2 dimensions.")
    if a.shape[-2] < a.shape[-1]:
        raise RuntimeError(f"{name}: input.shape[-2] must be greater than or equal to input.shape[-1]")
    if t.ndim and a.shape[-1] < t.shape[-1]:
        raise RuntimeError(f"{name}: input.shape[-1] must be greater than or equal to tau.shape[-1]")
    if a.ndim - t.ndim != 1:
        raise RuntimeError(f"{name}: Expected tau to have one dimension less than input, but got tau.ndim equal to {t.ndim} and "
                           f"input.ndim is equal to {a.ndim}")  # fmt: skip
    if t.shape[:-1] != a.shape[:-2]:
        raise RuntimeError(f"{name}: Expected batch dimensions of tau to be equal to input.shape[:-2], but got "
                           f"{list(t.shape[:-1])}")  # fmt: skip
    if t.dtype is not a.dtype:
        raise RuntimeError(f"{name}: tau dtype {t.dtype.scalar_name} does not match input dtype {a.dtype.scalar_name}")
    _need_real("orgqr_cpu", input)
    return _householder_product(input, tau)


# -- exponentials ----------------------------------------------------------------------------------------------------------

# Padé's approximant of order 13, good to double precision below this norm (Higham, 2005).
_PADE = (64764752532480000, 32382376266240000, 7771770303897600, 1187353796428800, 129060195264000, 10559470521600, 670442572800,
         33522128640, 1323241920, 40840800, 960960, 16380, 182, 1)  # fmt: skip
_PADE_NORM = 5.371920351148152


def _exp(a):
    """exp of float64 matrices: scaled by a power of two into Padé's range, then squared back."""
    if not a.size:
        return np.zeros(a.shape)
    norms = np.abs(a).sum(-2).max(-1)
    finite = np.isfinite(norms)
    a = np.where(finite[..., None, None], a, 0.0)
    squarings = np.ceil(np.log2(np.where(finite, np.maximum(norms, _PADE_NORM), _PADE_NORM) / _PADE_NORM)).astype(int)
    a = a / np.exp2(squarings)[..., None, None]
    one, b = np.eye(a.shape[-1]), _PADE
    a2 = a @ a
    a4 = a2 @ a2
    a6 = a4 @ a2
    odd = a @ (a6 @ (b[13] * a6 + b[11] * a4 + b[9] * a2) + b[7] * a6 + b[5] * a4 + b[3] * a2 + b[1] * one)
    even = a6 @ (b[12] * a6 + b[10] * a4 + b[8] * a2) + b[6] * a6 + b[4] * a4 + b[2] * a2 + b[0] * one
    x = np.linalg.solve(even - odd, even + odd)
    with np.errstate(over="ignore", invalid="ignore"):
        for step in range(int(squarings.max(initial=0))):
            x = np.where((step < squarings)[..., None, None], x @ x, x)
    return np.where(finite[..., None, None], x, np.nan)


@op(grad_name="LinalgMatrixExpBackward0")
def _matrix_exp(x, /):
    return _native_array(_exp(np.asarray(x).astype(np.float64)), x.dtype)


@_matrix_exp.vjp
def _(g, x):
    # The derivative at A in direction G is the upper right block of exp([[A, G], [0, A]]); its adjoint is that at A^T.
    a = x.mT
    zero = a.new_zeros(a._a.shape)
    n = a._a.shape[-1]
    block = cat([cat([a, g], -1), cat([zero, a], -1)], -2)
    return _matrix_exp(block)[..., :n, n:]


@method
def matrix_exp(A: Tensor) -> Tensor:
    """exp(A) = 1 + A + A^2 / 2! + ... of each square matrix.

    Raises: RuntimeError unless A has at least two dimensions, the last two of equal size, and a floating-point dtype.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.linalg.matrix_exp.html
    """
    a = A._a
    if a.ndim < 2:
        raise RuntimeError("linalg.matrix_exp: The input tensor A must have at least 2 dimensions.")
    if a.shape[-1] != a.shape[-2]:
        raise RuntimeError(f"linalg.matrix_exp: A must be batches of square matrices, but they are {a.shape[-2]} by {a.shape[-1]} "
                           "matrices")  # fmt: skip
    if not a.dtype.is_floating_point:
        raise RuntimeError(f"linalg.matrix_exp: Expected a floating point or complex tensor as input. Got {a.dtype.scalar_name}")
    if a.dtype not in (_dtypes.float32, _dtypes.float64):
        return _matrix_exp(A.to(_dtypes.float32)).to(a.dtype)
    return _matrix_exp(A)
