"""Elements repeated, reversed, shifted, and moved to and from diagonals and triangles."""

from __future__ import annotations

import builtins
import itertools

from .. import _check as check
from .. import _dtypes, _native
from .._kernels import K
from ..autograd.autocast import full_precision
from ..autograd.op import op
from ..autograd.tensor import Tensor
from ._declare import contig, method, tensor_method
from .creation import tensor
from .shape import _expand, as_strided, cat, diagonal, stack
from .subscript import _index

__all__ = [
    "tile", "repeat_interleave", "flip", "fliplr", "flipud", "roll", "rot90", "tril", "triu", "diag", "diag_embed",
    "diagflat", "block_diag", "trace", "vander", "combinations",
]  # fmt: skip


# -- repeating -------------------------------------------------------------------------------------------------------


@op
def _repeat(x, /, *, sizes):
    """x copied sizes[d] times along each dimension; sizes has at least as many entries as x has dimensions."""
    extra = len(sizes) - x.ndim
    shape = (1,) * extra + x.shape
    out = _native.empty([n * s for n, s in zip(sizes, shape, strict=True)], x.dtype.code)
    if out.numel:
        # Seen as (n0, s0, n1, s1, …), the result is x expanded.
        pairs = [v for pair in zip(sizes, shape, strict=True) for v in pair]
        ones = [v for s in shape for v in (1, s)]
        K.copy_into(_flat_view(out, pairs), contig(x).view(ones).expand(pairs))
    return out


def _flat_view(out, shape):
    if len(shape) <= 16:
        return out.view(shape)
    raise RuntimeError("repeat: at most 8 dimensions")


@_repeat.vjp
def _(g, x_shape, *, sizes):
    extra = len(sizes) - len(x_shape)
    if 0 in sizes:
        return g.new_zeros(x_shape)
    shape = (1,) * extra + x_shape
    pairs = [v for pair in zip(sizes, shape, strict=True) for v in pair]
    total = g.reshape(pairs)
    axes = tuple(range(0, len(pairs), 2))
    return (total.sum(axes) if axes else total).reshape(x_shape)


@method
def repeat(input: Tensor, *repeats) -> Tensor:
    """The tensor copied `repeats[d]` times along each dimension; more repeats than dimensions add leading ones."""
    sizes = check.shape_args(repeats)
    if len(sizes) < input._a.ndim:
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    if any(n < 0 for n in sizes):
        shape = (1,) * (len(sizes) - input._a.ndim) + input._a.shape
        wrong = [n * s for n, s in zip(sizes, shape, strict=True)]
        raise RuntimeError(
            f"Trying to create tensor with negative dimension {next(n for n in wrong if n < 0)}: {wrong}"
        )
    return _repeat(input, sizes=sizes)


@method
def tile(input: Tensor, *dims) -> Tensor:
    """`repeat`, with missing leading repeats taken as 1."""
    sizes = check.shape_args(dims)
    return repeat(input, (1,) * (input._a.ndim - len(sizes)) + sizes)


@method
def repeat_interleave(input: Tensor, repeats=None, dim: int | None = None, *, output_size: int | None = None) -> Tensor:
    """Each part along `dim` repeated `repeats` times (a number, or one count per part); without `dim`, each element.

    With one argument, a vector of counts: i repeated counts[i] times.
    """
    if type(repeats) is int and repeats > 1 and output_size is None and dim is not None and input._a.ndim:
        d = check.dim(dim, input._a.ndim)
        shape = input._a.shape
        rows = _expand(input.unsqueeze(d + 1), shape=(*shape[: d + 1], repeats, *shape[d + 1 :]))
        return rows.contiguous().reshape((*shape[:d], shape[d] * repeats, *shape[d + 1 :]))
    if repeats is None:
        counts, input = input, None
    else:
        counts = repeats if isinstance(repeats, Tensor) else tensor(repeats if isinstance(repeats, list) else [repeats])
    if counts._a.dtype not in (_dtypes.int64, _dtypes.int32):
        raise RuntimeError("repeats has to be Long or Int tensor")
    counts = counts.long().reshape(-1)
    number = type(repeats) is int  # known without looking into memory
    known = output_size is not None and output_size >= 0 and not isinstance(repeats, (int, list))  # the kernel checks it
    if not known and counts._a.numel and (repeats if number else counts.min().item()) < 0:
        raise RuntimeError("repeats can not be negative" if isinstance(repeats, Tensor) or repeats is None else
                           "Repeats must be non-negative")  # fmt: skip
    d = 0
    if input is not None:
        input, d = (input.reshape(-1), 0) if dim is None else (input, check.dim(dim, input._a.ndim))
        size = input._a.shape[d] if input._a.ndim else 1
        if counts._a.numel == 1:
            counts = counts.expand((size,))
        elif counts._a.numel != size:
            raise RuntimeError(
                "repeats must have the same size as input along dim, but got "
                f"repeats.size(0) = {counts._a.numel} and input.size({d}) = {size}"
            )
    total = output_size if known else repeats * counts._a.numel if number else counts.sum().item()
    if output_size is not None and output_size != total:
        raise RuntimeError(f"repeat_interleave: Invalid output_size, expected {total} but got {output_size}")
    where = _native.empty((total,), _dtypes.int64.code)
    K.repeat_counts_into(where, contig(counts._a))
    where = _native.wrap(where)
    return where if input is None else _index(input, where, before=d, order=None)


# -- reversing and shifting ------------------------------------------------------------------------------------------


@op
def _flip(x, /, *, dims):
    out = _native.empty(x.shape, x.dtype.code)
    if x.numel:
        strides = [-s if d in dims else s for d, s in enumerate(out.strides)]
        start = builtins.sum(
            (n - 1) * s for d, (n, s) in enumerate(zip(out.shape, out.strides, strict=True)) if d in dims
        )
        K.copy_into(out.as_strided(out.shape, strides, start), x)
    return out


_flip.vjp(x=lambda g, dims: _flip(g, dims=dims))


@method
def flip(input: Tensor, *dims) -> Tensor:
    """The order of the elements reversed along the given dimensions; a copy."""
    return _flip(input, dims=check.dims(check.shape_args(dims), input._a.ndim))


@method
def fliplr(input: Tensor) -> Tensor:
    """Columns in reversed order."""
    if input._a.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return flip(input, 1)


@method
def flipud(input: Tensor) -> Tensor:
    """Rows in reversed order."""
    if input._a.ndim < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return flip(input, 0)


@op
def _roll(x, /, *, shifts, dims):
    for shift, d in zip(shifts, dims, strict=True):
        n = x.shape[d]
        k = shift % n if n else 0
        out = _native.empty(x.shape, x.dtype.code)
        K.copy_into(out.slice(d, k, n - k, 1), x.slice(d, 0, n - k, 1))
        K.copy_into(out.slice(d, 0, k, 1), x.slice(d, n - k, k, 1))
        x = out
    return x


_roll.vjp(x=lambda g, shifts, dims: _roll(g, shifts=tuple(-s for s in shifts), dims=dims))


@method
def roll(input: Tensor, shifts, dims=None) -> Tensor:
    """Elements shifted along the given dimensions, those pushed out coming back in; without dims, in the flattened input."""
    shifts = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    if dims is None or dims == ():
        if len(shifts) != 1:
            raise RuntimeError(f"shifts and dimensions must align. shifts: {len(shifts)}, dims:0")
        return _roll(input.reshape(-1), shifts=shifts, dims=(0,)).reshape(input._a.shape)
    dims = (dims,) if isinstance(dims, int) else tuple(dims)
    if len(dims) != len(shifts):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(shifts)}, dims:{len(dims)}")
    return _roll(input, shifts=shifts, dims=tuple(check.dim(d, input._a.ndim) for d in dims))


@method
def rot90(input: Tensor, k: int = 1, dims=(0, 1)) -> Tensor:
    """Turned by k quarters in the plane of two dimensions, from the first towards the second."""
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if input._a.ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {input._a.ndim}")
    a, b = (check.dim(d, input._a.ndim) for d in dims)
    if a == b:
        raise RuntimeError(f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}")
    k %= 4
    if k == 0:
        return input.clone()
    if k == 2:
        return flip(input, a, b)
    return flip(input, b).transpose(a, b) if k == 1 else flip(input, a).transpose(a, b)


# -- triangles and diagonals -----------------------------------------------------------------------------------------


def _triangle(name, upper, doc):
    @op(name=name)
    def call(x, /, *, diagonal):
        return K.triangle(contig(x), diagonal, upper)

    call.vjp(x=lambda g, diagonal: call(g, diagonal=diagonal))

    def function(input, diagonal=0):
        if input._a.ndim < 2:
            raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
        return call(input, diagonal=int(diagonal))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc

    def inplace(self, diagonal=0):
        from ..autograd.inplace import apply_inplace

        return apply_inplace(call, self, diagonal=int(diagonal))

    tensor_method(name + "_", inplace)
    return method(out=True)(function)


tril = _triangle("tril", False, "The part of each matrix on and below a diagonal, zero above.")
triu = _triangle("triu", True, "The part of each matrix on and above a diagonal, zero below.")


@method
def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices, in the plane of two new dimensions, with the last dimension of the input on a diagonal, else zero."""
    a = input._a
    d1, d2 = check.dim(dim1, a.ndim + 1), check.dim(dim2, a.ndim + 1)
    if d1 == d2:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    n = a.shape[-1] + builtins.abs(offset)
    shape = list(a.shape[:-1])
    for d in sorted((d1, d2)):
        shape.insert(d, n)
    return _diag_embed(input, shape=tuple(shape), offset=offset, dim1=d1, dim2=d2)


def _diagonal_of(a, offset, d1, d2):
    """The diagonal of an array, as a view: its dimension is the last."""
    rest = [d for d in range(a.ndim) if d not in (d1, d2)]
    rows, cols = a.shape[d1], a.shape[d2]
    n = builtins.max(0, builtins.min(rows, cols - offset) if offset >= 0 else builtins.min(rows + offset, cols))
    start = a.offset + (0 if n == 0 else offset * a.strides[d2] if offset >= 0 else -offset * a.strides[d1])
    return a.as_strided(
        [*(a.shape[d] for d in rest), n], [*(a.strides[d] for d in rest), a.strides[d1] + a.strides[d2]], start
    )


@op
def _diag_embed(x, /, *, shape, offset, dim1, dim2):
    out = _native.empty(shape, x.dtype.code)
    K.fill_into(out, 0)
    K.copy_into(_diagonal_of(out, offset, dim1, dim2), x)
    return out


_diag_embed.vjp(x=lambda g, offset, dim1, dim2: diagonal(g, offset, dim1, dim2))


@method(out=True)
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """A vector as the diagonal of a matrix, or the diagonal of a matrix as a vector; a copy."""
    if input._a.ndim == 1:
        return diag_embed(input, diagonal)
    if input._a.ndim != 2:
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input._a.ndim}D")
    return input.diagonal(diagonal).clone()


@method
def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """A matrix with the flattened input on a diagonal."""
    return diag_embed(input.reshape(-1), offset)


@op
def _trace(x, /):
    return K.sum(_diagonal_of(x, 0, 0, 1), 1, False)


_trace.vjp(x=lambda g, x_shape: _expand_diagonal(g, x_shape))


def _expand_diagonal(g, shape):
    n = builtins.min(shape)
    return _diag_embed(g.expand((n,)), shape=shape, offset=0, dim1=0, dim2=1)


@method
@full_precision
def trace(input: Tensor) -> Tensor:
    """The sum of the diagonal of a matrix."""
    if input._a.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input._a.ndim}")
    if not input._a.dtype.is_floating_point:
        return input.diagonal().sum()
    return _trace(input)


def block_diag(*tensors) -> Tensor:
    """A matrix with the given matrices (vectors as rows, numbers as 1 x 1) along its diagonal."""
    blocks = []
    for i, x in enumerate(tensors):
        if x._a.ndim > 2:
            raise RuntimeError(
                f"torch.block_diag: Input tensors must have 2 or fewer dimensions. Input {i} has {x._a.ndim} dimensions"
            )
        blocks.append(x.reshape((1,) * (2 - x._a.ndim) + x._a.shape))
    width = builtins.sum(x._a.shape[1] for x in blocks)
    rows, at = [], 0
    for x in blocks:
        h, w = x._a.shape
        rows.append(cat([x.new_zeros((h, at)), x, x.new_zeros((h, width - at - w))], 1))
        at += w
    return cat(rows, 0)


# -- windows, powers, combinations -----------------------------------------------------------------------------------


@method
def unfold(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """All windows of `size` elements, `step` apart, along a dimension; the windows are the last dimension of the view."""
    a = input._a
    d = check.dim(dimension, a.ndim)
    n = a.shape[d] if a.ndim else 1
    if size < 0:
        raise RuntimeError(f"size is {size} but must be >= 0")
    if size > n:
        raise RuntimeError(f"maximum size for tensor at dimension {d} is {n} but size is {size}")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    if a.ndim == 0:
        return as_strided(input, (size,), (1,))
    shape, strides = list(a.shape), list(a.strides)
    shape[d] = (n - size) // step + 1
    strides[d] = a.strides[d] * step
    return as_strided(input, (*shape, size), (*strides, a.strides[d]))


def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """The matrix of the powers of a vector's elements, one row each, highest power first unless `increasing`."""
    if x._a.ndim != 1:
        raise RuntimeError("torch.vander: x must be a one-dimensional tensor.")
    n = x._a.numel if N is None else N
    powers = [x**k if k else x.new_ones(x._a.shape) for k in range(n)]
    return stack(powers if increasing else powers[::-1], -1)


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All selections of r elements of a vector, one per row, in order."""
    if input._a.ndim != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(input._a.shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if r == 0:
        return input.new_empty((0,))
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = list(choose(range(input._a.numel), r))
    if not rows:
        return input.new_empty((0, r))
    return input[tensor(rows)]


def _resize_(self, *sizes, memory_format=None):
    """Another shape, in place: the same memory if it is large enough, else new memory that begins with the old values."""
    shape = check.shape_args(sizes)
    if self.requires_grad:
        raise RuntimeError("cannot resize variables that require grad")
    a = self._a
    n = 1
    for s in shape:
        n *= s
    strides, step = [], 1
    for s in reversed(shape):
        strides.insert(0, step)
        step *= builtins.max(s, 1)
    if (a.offset + n) * a.itemsize > a.storage_nbytes:
        new = _native.empty((n,), a.dtype.code)
        keep = builtins.min(a.storage_nbytes // a.itemsize - a.offset, n)
        K.copy_into(new.slice(0, 0, keep, 1), a.as_strided((keep,), (1,), a.offset))
        self._a = new.view(shape)
    else:
        self._a = a.as_strided(shape, strides, a.offset)
    return self


tensor_method("resize_", _resize_)
tensor_method("resize_as_", lambda self, other: _resize_(self, other._a.shape))
