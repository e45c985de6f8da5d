"""Products over named or listed dimensions, distances, differences and covariances."""

from __future__ import annotations

import functools
import math
import string
import warnings

from .. import _check as check
from .._kernels import K
from ..autograd.autocast import full_precision, lower_precision
from ..autograd.op import op
from ..autograd.tensor import Tensor
from ._declare import contig, method
from .matmul import _bmm, matmul
from .norms import vector_norm_of
from .pointwise import _where, isclose, sqrt
from .shape import broadcast_shapes, cat

__all__ = [
    "einsum", "tensordot", "kron", "cross", "cdist", "diff", "trapezoid", "trapz", "cumulative_trapezoid", "gradient", "cov",
    "corrcoef", "equal", "allclose", "chain_matmul",
]  # fmt: skip


# -- einsum ----------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=256)
def _parse(equation, ndims):
    """(labels of each operand, labels of the result) for operands of so many dimensions; an ellipsis becomes labels 0, 1, …
    counted from the right."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) < len(ndims):
        raise RuntimeError("einsum(): more operands were provided than specified in the equation")
    if len(terms) > len(ndims):
        raise RuntimeError("einsum(): fewer operands were provided than specified in the equation")
    widest, found = 0, []
    for i, (term, n) in enumerate(zip(terms, ndims, strict=True)):
        before, dots, after = term.partition("...")
        names = before + after
        for c in names:
            if c == ".":
                raise RuntimeError(f"einsum(): found '.' for operand {i} that is not part of any ellipsis")
            if c not in string.ascii_letters:
                raise RuntimeError(f"einsum(): invalid subscript given at index {term.index(c)} in the equation string, "
                                   "subscripts must be in [a-zA-Z]")  # fmt: skip
        if (len(names) > n) if dots else (len(names) != n):
            if dots:
                raise RuntimeError(f"einsum(): the number of subscripts in the equation ({len(names)}) is more than the number "
                                   f"of dimensions ({n}) for operand {i}")  # fmt: skip
            raise RuntimeError(
                f"einsum(): the number of subscripts in the equation ({len(names)}) does not match the number of dimensions "
                f"({n}) for operand {i} and no ellipsis was given"
            )
        extra = n - len(names)
        widest = max(widest, extra)
        found.append([*before, *range(extra)[::-1], *after] if dots else list(names))
    everything = [c for labels in found for c in labels]
    ellipsis = list(range(widest))[::-1]
    if arrow:
        before, dots, after = right.partition("...")
        out = [*before, *(ellipsis if dots else []), *after]
        for c in out:
            if isinstance(c, str) and c not in everything:
                raise RuntimeError(
                    f"einsum(): output subscript {c} does not appear in the equation for any input operand"
                )
            if out.count(c) > 1:
                raise RuntimeError(f"einsum(): output subscript {c} appears more than once in the output")
    else:
        once = sorted(c for c in set(everything) if isinstance(c, str) and everything.count(c) == 1)
        out = [*ellipsis, *once]
    return found, out


@functools.lru_cache(maxsize=256)
def _product_plan(equation, ndims):
    """How a product of two operands is one of matrices whose dimensions are there already: the order of each operand's
    dimensions, which of them are summed, and the order of the result's. None where it takes more than that."""
    found, out = _parse(equation, ndims)
    if len(found) != 2:
        return None
    (xl, yl), keep = found, set(out)
    both = set(xl) & set(yl)
    plain = len(set(xl)) == len(xl) and len(set(yl)) == len(yl)
    batch, total = [c for c in xl if c in both & keep], [c for c in xl if c in both - keep]
    rows, cols = [c for c in xl if c not in both], [c for c in yl if c not in both]
    if not plain or len(total) != 1 or len(rows) != 1 or len(cols) != 1 or not keep.issuperset(rows + cols):
        return None
    order = lambda labels, wanted: None if labels == wanted else tuple(labels.index(c) for c in wanted)  # noqa: E731
    shared = tuple((xl.index(c), yl.index(c)) for c in both)
    return (order(xl, batch + rows + total), order(yl, batch + total + cols), order(batch + rows + cols, out), shared)


def _distinct(x, labels):
    """Repeated labels of one operand become its diagonal."""
    if len(set(labels)) == len(labels):
        return x, labels
    labels = list(labels)
    for c in dict.fromkeys(labels):
        while labels.count(c) > 1:
            i = labels.index(c)
            j = labels.index(c, i + 1)
            if x._a.shape[i] != x._a.shape[j]:
                raise RuntimeError(f"einsum(): subscript {c} is repeated for operand 0 but the sizes don't match, "
                                   f"{x._a.shape[j]} != {x._a.shape[i]}")  # fmt: skip
            x = x.diagonal(0, i, j)
            labels = [d for k, d in enumerate(labels) if k not in (i, j)] + [c]
    return x, labels


def _summed(x, labels, keep):
    gone = tuple(i for i, c in enumerate(labels) if c not in keep)
    return (x.sum(gone) if gone else x), [c for c in labels if c in keep]


def _arranged(x, labels, order):
    """x with its dimensions in `order`, size 1 where it lacks one."""
    here = [c for c in order if c in labels]
    if here != labels:
        x = x.permute([labels.index(c) for c in here])
    for i, c in enumerate(order):
        if c not in labels:
            x = x.unsqueeze(i)
    return x


def _contract(x, xl, y, yl, keep):
    """The product of two operands, summed over the labels that are not in `keep`."""
    x, xl = _summed(x, xl, set(yl) | keep)
    y, yl = _summed(y, yl, set(xl) | keep)
    size = {c: s for c, s in zip(yl, y._a.shape, strict=True)}
    size = {**size, **{c: s for c, s in zip(xl, x._a.shape, strict=True) if s != 1 or c not in size}}
    both = [c for c in xl if c in yl]
    total = [c for c in both if c not in keep]
    batch = [c for c in both if c in keep]
    rows, cols = [c for c in xl if c not in yl], [c for c in yl if c not in xl]
    if not total:  # nothing to sum: an elementwise product
        order = [*batch, *rows, *cols]
        return _arranged(x, xl, order) * _arranged(y, yl, order), order
    if not rows and not cols:  # the same, summed
        product = _arranged(x, xl, [*batch, *total]) * _arranged(y, yl, [*batch, *total])
        return product.sum(tuple(range(len(batch), product._a.ndim))), batch
    n = lambda names: math.prod(size[c] for c in names)  # noqa: E731
    x = _arranged(x, xl, [*batch, *rows, *total]).expand([size[c] for c in (*batch, *rows, *total)])
    y = _arranged(y, yl, [*batch, *total, *cols]).expand([size[c] for c in (*batch, *total, *cols)])
    x, y = x.reshape(n(batch), n(rows), n(total)), y.reshape(n(batch), n(total), n(cols))
    out = _bmm(x, y)
    order = [*batch, *rows, *cols]
    return out.reshape([size[c] for c in order]), order


@lower_precision
def einsum(equation, *operands) -> Tensor:
    """Sums of products written with a letter per dimension: einsum("ij,jk->ik", a, b) is a @ b. `...` broadcasts.

    Raises: RuntimeError if the equation and the shapes do not fit.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.einsum.html
    """
    if isinstance(equation, Tensor):
        return _einsum_lists(equation, operands)
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    if not operands:
        raise ValueError("einsum(): must specify the equation string and at least one operand, or at least one operand and "
                         "its subscripts list")  # fmt: skip
    ndims = tuple([x._a.ndim for x in operands])
    plan = _product_plan(equation, ndims)
    if plan is not None:
        x, y = operands
        xs, ys = x._a.shape, y._a.shape
        if all([xs[i] == ys[j] for i, j in plan[3]]):
            x = x if plan[0] is None else x.permute(plan[0])
            y = y if plan[1] is None else y.permute(plan[1])
            product = _bmm(x, y)
            return product if plan[2] is None else product.permute(plan[2])
    labels, out = _parse(equation, ndims)
    pairs = [_distinct(x, names) for x, names in zip(operands, labels, strict=True)]
    size = {}
    for i, (x, names) in enumerate(pairs):
        for c, s in zip(names, x._a.shape, strict=True):
            if size.get(c, 1) != 1 and s != 1 and s != size[c]:
                raise RuntimeError(
                    f"einsum(): subscript {c} has size {s} for operand {i} which does not broadcast with previously seen size "
                    f"{size[c]}"
                )
            size[c] = s if size.get(c, 1) == 1 else size[c]
    x, names = pairs[0]
    for k, (y, yl) in enumerate(pairs[1:], 1):
        later = {c for _, rest in pairs[k + 1 :] for c in rest} | set(out)
        x, names = _contract(x, names, y, yl, later)
    x, names = _summed(x, names, set(out))
    return x.permute([names.index(c) for c in out]) if names != out else x


def _einsum_lists(first, rest):
    """The form einsum(a, [0, 1], b, [1, 2], [0, 2])."""
    items = [first, *rest]
    letter = lambda names: "".join("..." if c is Ellipsis else string.ascii_letters[c] for c in names)  # noqa: E731
    terms = [letter(names) for names in items[1::2]]
    if len(items) % 2:
        return einsum(",".join(terms) + "->" + letter(items[-1]), *items[:-1:2])
    return einsum(",".join(terms), *items[::2])


@lower_precision
def tensordot(a: Tensor, b: Tensor, dims=2, out=None) -> Tensor:
    """Sums of products over the last `dims` dimensions of a and the first of b, or over the listed pairs of dimensions."""
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(a._a.ndim, b._a.ndim):
            raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
        da, db = range(a._a.ndim - dims, a._a.ndim), range(dims)
    else:
        da, db = ((d,) if isinstance(d, int) else d for d in dims)
    da, db = [check.dim(d, a._a.ndim) for d in da], [check.dim(d, b._a.ndim) for d in db]
    if len(da) != len(db):
        raise RuntimeError("both dimension lists should have same length")
    for i, j in zip(da, db, strict=True):
        if a._a.shape[i] != b._a.shape[j] and 1 not in (a._a.shape[i], b._a.shape[j]):
            raise RuntimeError(
                f"contracted dimensions need to match, but first has size {a._a.shape[i]} in dim {i} and second has size "
                f"{b._a.shape[j]} in dim {j}"
            )
    names = iter(range(1000))
    la, lb = [f"a{next(names)}" for _ in range(a._a.ndim)], [f"b{next(names)}" for _ in range(b._a.ndim)]
    for i, j in zip(da, db, strict=True):
        lb[j] = la[i]
        if a._a.shape[i] != b._a.shape[j]:  # size 1 against n: sum the other first
            a, b = (a, b.sum(j, keepdim=True)) if a._a.shape[i] == 1 else (a.sum(i, keepdim=True), b)
    keep = {c for i, c in enumerate(la) if i not in da} | {c for j, c in enumerate(lb) if j not in db}
    x, order = _contract(a, la, b, lb, keep)
    want = [c for c in (*la, *lb) if c in keep]
    return x.permute([order.index(c) for c in want]) if order != want else x


@method(out=True)
def kron(input: Tensor, other: Tensor) -> Tensor:
    """Kronecker's product."""
    n = max(input._a.ndim, other._a.ndim)
    a = input.reshape((1,) * (n - input._a.ndim) + input._a.shape)
    b = other.reshape((1,) * (n - other._a.ndim) + other._a.shape)
    shape = [i * j for i, j in zip(a._a.shape, b._a.shape, strict=True)]
    left = a.reshape([v for s in a._a.shape for v in (s, 1)])
    right = b.reshape([v for s in b._a.shape for v in (1, s)])
    return (left * right).reshape(shape)


@op(grad_name="LinalgCrossBackward0")
def _cross(a, b, /, *, dim):
    return K.cross(contig(a), contig(b), dim)


_cross.vjp(a=lambda g, b, dim: _cross(b, g, dim=dim), b=lambda g, a, dim: _cross(g, a, dim=dim))


@method(out=True)
def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """The vector product along a dimension of size 3 (without `dim`, the first such, with a warning)."""
    if input._a.ndim != other._a.ndim:
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    if dim is None:
        warnings.warn(
            "Using torch.cross without specifying the dim arg is deprecated.\nPlease either pass the dim explicitly or simply "
            "use torch.linalg.cross.\nThe default value of dim will change to agree with that of linalg.cross in a future "
            "release.",
            UserWarning,
            stacklevel=3,
        )
        dim = next((d for d, s in enumerate(input._a.shape) if s == 3), None)
        if dim is None:
            raise RuntimeError("no dimension of size 3 in input")
    d = check.dim(dim, input._a.ndim)
    if input._a.shape[d] != 3 or other._a.shape[d] != 3:
        raise RuntimeError(
            f"linalg.cross: inputs dimension {dim} must have length 3. Got {input._a.shape[d]} and {other._a.shape[d]}"
        )
    shape = input._a.shape
    if shape != other._a.shape:
        shape = tuple(broadcast_shapes(shape, other._a.shape))
    if input._a.dtype is not other._a.dtype:
        raise RuntimeError(f"expected scalar type {input._a.dtype.scalar_name} but found {other._a.dtype.scalar_name}")
    a, b = (x if x._a.shape == shape else x.expand(shape) for x in (input, other))
    return _cross(a, b, dim=d)


def chain_matmul(*matrices) -> Tensor:
    """The product of matrices, multiplied in the cheapest order."""
    from ..linalg import multi_dot

    return multi_dot(list(matrices[0] if len(matrices) == 1 and isinstance(matrices[0], (list, tuple)) else matrices))


# -- distances and comparisons ---------------------------------------------------------------------------------------


@full_precision
def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary") -> Tensor:
    """The p-norm distances between the rows of (…, n, d) and (…, m, d) as (…, n, m)."""
    a, b = x1._a, x2._a
    for label, x in (("X1", a), ("X2", b)):
        if x.ndim < 2:
            raise RuntimeError(f"cdist only supports at least 2D tensors, {label} got: {x.ndim}D")
    if a.shape[-1] != b.shape[-1]:
        raise RuntimeError(f"X1 and X2 must have the same number of columns. X1: {a.shape[-1]} X2: {b.shape[-1]}")
    if p < 0:
        raise RuntimeError("cdist only supports non-negative p values")
    many = max(a.size(a.ndim - 2), b.size(b.ndim - 2)) > 25 and compute_mode == "use_mm_for_euclid_dist_if_necessary"
    if p == 2 and a.numel and b.numel and (many or compute_mode == "use_mm_for_euclid_dist"):
        squares = _bmm(x1 * -2, x2.transpose(-2, -1)) + (x1 * x1).sum(-1, True) + (x2 * x2).sum(-1).unsqueeze(-2)
        return _distance(squares.clamp_min(0))
    return vector_norm_of(x1.unsqueeze(-2) - x2.unsqueeze(-3), p, -1)


@op
def _distance(x, /):
    return K.sqrt(x)


# At distance 0 the gradient is 0, as in PyTorch.
_distance.vjp(x=lambda g, out: _where(out == 0, 0.0, g / (2 * out)))


@method
def equal(input: Tensor, other: Tensor) -> bool:
    """Whether both have the same shape and elements."""
    return input._a.shape == other._a.shape and bool((input == other).all().item())


@method
def allclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether |input - other| <= atol + rtol * |other| for all elements."""
    if input._a.dtype is not other._a.dtype:
        raise RuntimeError(f"{input._a.dtype.scalar_name} did not match {other._a.dtype.scalar_name}")
    return bool(isclose(input, other, rtol, atol, equal_nan).all().item())


# -- differences and integrals ---------------------------------------------------------------------------------------


@method
def diff(
    input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None
) -> Tensor:
    """The differences of neighbours along `dim`, taken n times."""
    if input._a.ndim == 0:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    d = check.dim(dim, input._a.ndim)
    parts = [x for x in (prepend, input, append) if x is not None]
    x = cat(parts, d) if len(parts) > 1 else input
    for _ in range(min(n, x._a.shape[d])):
        m = x._a.shape[d] - 1
        high, low = x.narrow(d, 1, m), x.narrow(d, 0, m)
        x = high ^ low if x._a.dtype.scalar_name == "Bool" else high - low
    return x


def _spacing(x, dx, dim, ndim):
    """The steps between neighbours: a number, or a tensor that broadcasts."""
    if x is None:
        return dx
    steps = diff(x, dim=0 if x._a.ndim == 1 else dim)
    return steps.reshape([-1 if d == dim else 1 for d in range(ndim)]) if x._a.ndim == 1 else steps


def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float = 1, dim: int = -1) -> Tensor:
    """The integral along `dim` by the trapezoidal rule, for points x or steps dx."""
    d, n = check.dim(dim, y._a.ndim), y._a.shape[dim]
    return ((y.narrow(d, 1, n - 1) + y.narrow(d, 0, n - 1)) * _spacing(x, dx, d, y._a.ndim) / 2).sum(d)


trapz = trapezoid


def cumulative_trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float = 1, dim: int = -1) -> Tensor:
    """The running integral along `dim` by the trapezoidal rule."""
    d, n = check.dim(dim, y._a.ndim), y._a.shape[dim]
    return ((y.narrow(d, 1, n - 1) + y.narrow(d, 0, n - 1)) * _spacing(x, dx, d, y._a.ndim) / 2).cumsum(d)


def gradient(input: Tensor, *, spacing=1.0, dim=None, edge_order: int = 1) -> tuple[Tensor, ...]:
    """Derivatives along the given dimensions (all by default): central differences, one-sided at the ends."""
    if edge_order != 1:
        raise NotImplementedError("gradient: rushlight has edge_order=1 only")
    dims = range(input._a.ndim) if dim is None else check.dims(dim, input._a.ndim)
    steps = spacing if isinstance(spacing, (list, tuple)) else [spacing] * len(dims)
    out = []
    for d, h in zip(dims, steps, strict=True):
        if isinstance(h, Tensor):
            raise NotImplementedError("gradient: rushlight takes a number as spacing")
        n = input._a.shape[d]
        at = functools.partial(input.narrow, d)
        middle = (at(2, n - 2) - at(0, n - 2)) / (2 * h)
        out.append(cat([(at(1, 1) - at(0, 1)) / h, middle, (at(n - 1, 1) - at(n - 2, 1)) / h], d))
    return tuple(out)


# -- covariance ------------------------------------------------------------------------------------------------------


@method
def cov(
    input: Tensor, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None
) -> Tensor:
    """The covariance matrix of the rows (variables) over the columns (observations)."""
    if input._a.ndim > 2:
        raise RuntimeError(
            f"cov(): expected input to have two or fewer dimensions but got an input with {input._a.ndim} dimensions"
        )
    x = input.reshape(1, -1) if input._a.ndim < 2 else input
    w = fweights if fweights is not None else None
    if aweights is not None:
        w = aweights if w is None else w * aweights
    if w is None:
        total = x._a.shape[1]
        x = x - x.mean(1, keepdim=True)
        weighted, norm = x, total - correction
    else:
        total = w.sum()
        x = x - (x * w).sum(1, keepdim=True) / total
        weighted = x * w
        spread = total if aweights is None else (w * aweights).sum() / total * (1 if fweights is None else 1)
        norm = total - correction * (1 if aweights is None else spread)
    if not isinstance(norm, Tensor) and norm <= 0:
        warnings.warn("cov(): degrees of freedom is <= 0. Correction should be strictly less than the number of observations.",
                      UserWarning, stacklevel=3)  # fmt: skip
        norm = 0.0
    out = matmul(weighted, x.t()) / norm
    return out.squeeze() if input._a.ndim < 2 else out


@method
def corrcoef(input: Tensor) -> Tensor:
    """The matrix of correlations of the rows."""
    c = cov(input)
    if c._a.ndim == 0:
        return c / c
    s = sqrt(c.diagonal())
    return (c / s.unsqueeze(1) / s.unsqueeze(0)).clamp(-1, 1)
