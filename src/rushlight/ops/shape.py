"""Views and other changes of shape. A view shares memory with its input; its gradient is put back where it came from."""

from __future__ import annotations

import builtins

from .. import _check as check
from .. import _native, _recording
from .._kernels import K
from ..autograd.op import op
from ..autograd.tensor import Size, Tensor
from ._declare import contig, method, tensor_method

__all__ = [
    "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "transpose", "swapaxes", "swapdims", "t",
    "permute", "movedim", "moveaxis", "broadcast_to", "broadcast_tensors", "broadcast_shapes", "narrow", "select", "unbind",
    "as_strided", "as_strided_scatter", "diagonal", "cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack",
    "split", "chunk", "tensor_split", "adjoint", "ravel", "numel", "atleast_1d", "atleast_2d", "atleast_3d", "clone",
]  # fmt: skip


# -- changing the shape ----------------------------------------------------------------------------------------------


def infer_shape(shape, numel: int) -> tuple[int, ...]:
    """A shape whose -1, if any, is filled in. RuntimeError if it does not fit `numel` elements."""
    known, hole = 1, None
    for i, s in enumerate(shape):
        if s == -1:
            if hole is not None:
                raise RuntimeError("only one dimension can be inferred")
            hole = i
        elif s < 0:
            raise RuntimeError(f"invalid shape dimension {s} at index {i} of shape {list(shape)}")
        else:
            known *= s
    if hole is None:
        if known != numel:
            raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {numel}")
        return shape
    if known == 0:
        if numel == 0:
            raise RuntimeError(
                f"cannot reshape tensor of 0 elements into shape {list(shape)} because the unspecified dimension size -1 "
                "can be any value and is ambiguous"
            )
        raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {numel}")
    if numel % known:
        raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {numel}")
    return (*shape[:hole], numel // known, *shape[hole + 1 :])


@op(view=True)
def _view(x, /, *, shape):
    out = x.view(shape)
    if out is None:
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one dimension spans across two "
            "contiguous subspaces). Use .reshape(...) instead."
        )
    return out


_view.vjp(x=lambda g, x_shape: g.reshape(x_shape))


def _view_method(self, *shape, dtype=None):
    """The same memory seen with another shape (one size may be -1), or with another dtype of the same width.

    Raises: RuntimeError if the shape does not fit, or would need a copy.
    """
    if len(shape) == 1 and not isinstance(shape[0], (int, tuple, list)) and hasattr(shape[0], "code"):
        dtype = shape[0]
    if dtype is not None:
        if dtype.itemsize != self._a.itemsize:
            return _view_other_width(self, dtype)
        return _recording.note_alias(_native.wrap(self._a.reinterpret(dtype.code)), self)
    return _view(self, shape=infer_shape(check.shape_args(shape), self._a.numel))


def _view_other_width(self, dtype):
    a = self._a
    if not a.contiguous or a.ndim == 0:
        raise RuntimeError("self.dim() cannot be 0 to view a tensor with another element size")
    nbytes = a.shape[-1] * a.itemsize
    if nbytes % dtype.itemsize or (a.offset * a.itemsize) % dtype.itemsize:
        raise RuntimeError(
            f"self.size(-1) must be divisible by {dtype.itemsize // a.itemsize} to view {a.dtype} as {dtype}"
        )
    import numpy as np

    from ..autograd.interop import array_from_numpy

    return _native.wrap(array_from_numpy(np.asarray(a).view(dtype.numpy)))


tensor_method("view", _view_method)
tensor_method("view_as", lambda self, other: _view_method(self, other._a.shape))


@method
def reshape(input: Tensor, *shape) -> Tensor:
    """The same elements with another shape (one size may be -1): a view if possible, else a copy."""
    shape = infer_shape(check.shape_args(shape), input._a.numel)
    if input._a.view(shape) is None:
        return _unsafe_view(_clone(input, contiguous=True), shape=shape)
    return _view(input, shape=shape)


@op
def _unsafe_view(x, /, *, shape):
    return x.view(shape)


_unsafe_view.vjp(x=lambda g, x_shape: g.reshape(x_shape))
tensor_method("reshape_as", lambda self, other: reshape(self, other._a.shape))


@method
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Dimensions start_dim..end_dim merged into one."""
    a = input._a
    if a.ndim == 0:
        return reshape(input, 1)
    start, end = check.dim(start_dim, a.ndim), check.dim(end_dim, a.ndim)
    if start > end:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if start == end:
        return input
    merged = 1
    for s in a.shape[start : end + 1]:
        merged *= s
    return reshape(input, (*a.shape[:start], merged, *a.shape[end + 1 :]))


@method
def ravel(input: Tensor) -> Tensor:
    """The elements in one dimension."""
    return reshape(input, -1)


@method
def unflatten(input: Tensor, dim: int, sizes) -> Tensor:
    """One dimension split into several (one size may be -1)."""
    d = check.dim(dim, input._a.ndim)
    size = input._a.shape[d]
    try:
        inner = infer_shape(tuple(sizes), size)
    except RuntimeError:
        raise RuntimeError(
            f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim {d} ({size}) in the input tensor"
        ) from None
    return _view_method(input, (*input._a.shape[:d], *inner, *input._a.shape[d + 1 :]))


def _squeezed(shape, dims):
    return tuple(s for i, s in enumerate(shape) if not (i in dims and s == 1))


@op(view=True)
def _squeeze(x, /, *, dims):
    keep = [i for i in range(x.ndim) if not (i in dims and x.shape[i] == 1)]
    return x.as_strided([x.shape[i] for i in keep], [x.strides[i] for i in keep], x.offset)


_squeeze.vjp(x=lambda g, x_shape: g.reshape(x_shape))


@method
def squeeze(input: Tensor, dim=None) -> Tensor:
    """Without the dimensions of size 1, or without those named that have size 1."""
    n = input._a.ndim
    return _squeeze(input, dims=tuple(range(n)) if dim is None else check.dims(dim, n))


@op(view=True)
def _unsqueeze(x, /, *, dim):
    return x.unsqueeze(dim)


_unsqueeze.vjp(x=lambda g, dim: g.squeeze(dim))


@method
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """With a dimension of size 1 inserted at `dim`."""
    return _unsqueeze(input, dim=check.dim(dim, input._a.ndim + 1))


def _inplace_geometry(name, function):
    def method_(self, *args, **kwargs):
        """Changes this tensor's own shape and strides; returns self."""
        from ..autograd.inplace import check_inplace

        check_inplace(self)
        new = function(self, *args, **kwargs)
        self._a, self._node, self._output_nr = new._a, new._node, new._output_nr
        return self

    method_.__name__ = name
    tensor_method(name, method_)


# -- order of dimensions ---------------------------------------------------------------------------------------------


@op(view=True)
def _transpose(x, /, *, dim0, dim1):
    return x.transpose(dim0, dim1)


_transpose.vjp(x=lambda g, dim0, dim1: _transpose(g, dim0=dim0, dim1=dim1))


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two dimensions exchanged."""
    n = input._a.ndim
    return _transpose(input, dim0=check.dim(dim0, n), dim1=check.dim(dim1, n))


def _transpose_method(self, *dims, **names):
    """Two dimensions exchanged."""
    if len(dims) > 2:  # NumPy's transpose takes all of them
        raise TypeError(
            f"transpose() takes 2 positional arguments but {len(dims)} were given\n"
            f"To put all dimensions into another order, use permute{dims}."
        )
    return transpose(self, *dims, **names)


tensor_method("transpose", _transpose_method)


_t = op(lambda x, /: x.transpose(0, 1), name="t", grad_name="TBackward0", view=True)
_t.vjp(x=lambda g: _t(g))


@method
def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; vectors and numbers as they are."""
    n = input._a.ndim
    if n > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {n}D")
    return _t(input) if n == 2 else input


@op(view=True)
def _permute(x, /, *, dims):
    return x.permute(dims)


def _permute_rule(g, *, dims):
    back = [0] * len(dims)
    for i, d in enumerate(dims):
        back[d] = i
    return _permute(g, dims=tuple(back))


_permute.vjp(_permute_rule)


@method
def permute(input: Tensor, *dims) -> Tensor:
    """Dimensions in the given order."""
    dims = check.shape_args(dims)
    n = input._a.ndim
    if len(dims) != n:
        raise RuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired "
            f"ordering of dimensions i.e. input.dim() = {n} is not equal to len(dims) = {len(dims)}"
        )
    wrapped = tuple(check.dim(d, n) for d in dims)
    if len(set(wrapped)) != n:
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return _permute(input, dims=wrapped)


@method
def movedim(input: Tensor, source, destination) -> Tensor:
    """Dimensions moved to new positions; the others keep their order."""
    n = input._a.ndim
    src, dst = check.dims(source, n), check.dims(destination, n)
    if len(src) != len(dst):
        raise RuntimeError(
            f"movedim: Invalid source or destination dims: source ({list(src)} dims) should contain the same number of dims as "
            f"destination ({list(dst)} dims)"
        )
    order = [d for d in range(n) if d not in src]
    for d, s in sorted(zip(dst, src, strict=True)):
        order.insert(d, s)
    return _permute(input, dims=tuple(order))


swapaxes = swapdims = transpose
moveaxis = movedim
for _alias in ("swapaxes", "swapdims"):
    tensor_method(_alias, _transpose_method)
tensor_method("moveaxis", movedim)
tensor_method("T", property(lambda self: permute(self, *range(self._a.ndim - 1, -1, -1))))
tensor_method("mT", property(lambda self: transpose(self, -2, -1)))
tensor_method("H", property(lambda self: transpose(self, 0, 1)))


@method
def adjoint(input: Tensor) -> Tensor:
    """The last two dimensions exchanged."""
    return transpose(input, -2, -1)


for _name, _function in {"squeeze_": squeeze, "unsqueeze_": unsqueeze, "transpose_": transpose, "t_": t}.items():
    _inplace_geometry(_name, _function)


# -- repeating without copying ---------------------------------------------------------------------------------------


@op(view=True)
def _expand(x, /, *, shape):
    return x.expand(shape)


_expand.vjp(x=lambda g, x_shape: g.sum_to_size(x_shape))


def _expand_method(self, *sizes, implicit=False):
    """The tensor repeated along dimensions of size 1, without copying; -1 keeps a size."""
    sizes = check.shape_args(sizes)
    a = self._a
    extra = len(sizes) - a.ndim
    if extra < 0:
        raise RuntimeError(
            f"expand({_legacy_type(a)}{{{list(a.shape)}}}, size={list(sizes)}): the number of sizes provided "
            f"({len(sizes)}) must be greater or equal to the number of dimensions in the tensor ({a.ndim})"
        )
    shape = []
    for i, s in enumerate(sizes):
        have = a.shape[i - extra] if i >= extra else 1
        if s == -1:
            if i < extra:
                raise RuntimeError(
                    f"The expanded size of the tensor ({s}) isn't allowed in a leading, non-existing dimension {i}"
                )
            s = have
        elif have not in (1, s):
            raise RuntimeError(
                f"The expanded size of the tensor ({s}) must match the existing size ({have}) at non-singleton dimension "
                f"{i}.  Target sizes: {list(sizes)}.  Tensor sizes: {list(a.shape)}"
            )
        shape.append(s)
    return _expand(self, shape=tuple(shape))


def _legacy_type(a):
    return f"torch.{a.dtype.scalar_name}Tensor"


tensor_method("expand", _expand_method)
tensor_method("expand_as", lambda self, other: _expand_method(self, other._a.shape))


@method
def broadcast_to(input: Tensor, size) -> Tensor:
    """`input.expand(size)`."""
    return _expand_method(input, size)


def broadcast_shapes(*shapes) -> Size:
    """The shape that the given shapes broadcast to."""
    shapes = [(s,) if isinstance(s, int) else s for s in shapes]
    n = max((len(s) for s in shapes), default=0)
    out = [1] * n
    for k, shape in enumerate(shapes):
        for i in range(-1, -1 - len(shape), -1):
            size = shape[i]
            if size < 0:
                raise ValueError("Attempting to broadcast a dimension with negative length!")
            if out[i] == 1:
                out[i] = size
            elif size not in (1, out[i]):
                raise RuntimeError(f"Attempting to broadcast a dimension of length {size} at {i}! Mismatching argument at index {k} had "
                                   f"{shape}; but expected shape should be broadcastable to {out}")  # fmt: skip
    return Size(out)


def _explain_mismatch(shapes):
    """Raises PyTorch's sentence for the first two sizes that differ."""
    n = max(len(s) for s in shapes)
    for d in range(n - 1, -1, -1):
        seen = 1
        for s in shapes:
            size = s[d - n] if d - n >= -len(s) else 1
            if 1 not in (size, seen) and size != seen:
                raise RuntimeError(
                    f"The size of tensor a ({seen}) must match the size of tensor b ({size}) at non-singleton dimension {d}"
                )
            seen = size if seen == 1 else seen


def broadcast_tensors(*tensors):
    """All tensors expanded to their common shape."""
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tuple(tensors[0])
    try:
        shape = broadcast_shapes(*(x._a.shape for x in tensors))
    except RuntimeError:
        _explain_mismatch([x._a.shape for x in tensors])
        raise
    return tuple(_expand_method(x, shape) for x in tensors)


@op
def _sum_to_size(x, /, *, shape):
    extra = x.ndim - len(shape)
    mask = (1 << extra) - 1
    for i, s in enumerate(shape):
        if s == 1 and x.shape[i + extra] != 1:
            mask |= 1 << (i + extra)
    return K.sum(x, mask, True).view(shape)


_sum_to_size.vjp(x=lambda g, x_shape: g.expand(x_shape))


def _sum_to_size_method(self, *size):
    """Summed over the dimensions that broadcasting would have added: the transpose of `expand`."""
    size = check.shape_args(size)
    a = self._a
    if a.shape == size:
        return self
    extra = a.ndim - len(size)
    if extra < 0 or any(s not in (1, a.shape[i + extra]) for i, s in enumerate(size)):
        raise RuntimeError(f"size {{{list(size)}}} is not expandable to size {{{list(a.shape)}}}.")
    return _sum_to_size(self, shape=size)


tensor_method("sum_to_size", _sum_to_size_method)


# -- parts -----------------------------------------------------------------------------------------------------------


def _add_to(part, g):
    K.add_into(part, part, g)


@op(view=True)
def _slice(x, /, *, dim, start, length, step):
    return x.slice(dim, start, length, step)


@op
def _slice_backward(g, /, *, shape, dim, start, length, step):
    out = _native.empty(shape, g.dtype.code)
    K.fill_into(out, 0)
    K.copy_into(out.slice(dim, start, length, step), g)
    return out


_slice.vjp(x=lambda g, x_shape, dim, start, length, step:
           _slice_backward(g, shape=x_shape, dim=dim, start=start, length=length, step=step))  # fmt: skip
_slice.adds(lambda total, g, dim, start, length, step: _add_to(total._a.slice(dim, start, length, step), g._a))
_slice_backward.vjp(g=lambda g, dim, start, length, step: _slice(g, dim=dim, start=start, length=length, step=step))


@op(view=True)
def _select(x, /, *, dim, index):
    return x.select(dim, index)


@op
def _select_backward(g, /, *, shape, dim, index):
    out = _native.empty(shape, g.dtype.code)
    K.fill_into(out, 0)
    K.copy_into(out.select(dim, index), g)
    return out


_select.vjp(x=lambda g, x_shape, dim, index: _select_backward(g, shape=x_shape, dim=dim, index=index))
_select.adds(lambda total, g, dim, index: _add_to(total._a.select(dim, index), g._a))
_select_backward.vjp(g=lambda g, dim, index: _select(g, dim=dim, index=index))


@method
def narrow(input: Tensor, dim: int, start, length: int) -> Tensor:
    """Elements start..start+length along `dim`."""
    a = input._a
    if a.ndim == 0:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    d, start = check.dim(dim, a.ndim), int(start)
    size = a.shape[d]
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if not -size <= start <= size:
        raise IndexError(f"start out of range (expected to be in range of [{-size}, {size}], but got {start})")
    start = start + size if start < 0 else start
    if start + length > size:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({size}).")
    return _slice(input, dim=d, start=start, length=length, step=1)


@method
def select(input: Tensor, dim: int, index) -> Tensor:
    """The part at one position along `dim`, without that dimension."""
    a = input._a
    if a.ndim == 0:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    d, index = check.dim(dim, a.ndim), int(index)
    size = a.shape[d]
    if not -size <= index < size:
        raise IndexError(
            f"select(): index {index} out of range for tensor of size {list(a.shape)} at dimension {d}"
        )
    return _select(input, dim=d, index=index + size if index < 0 else index)


@op(view=True)
def _unbind(x, /, *, dim):
    return tuple(x.select(dim, i) for i in range(x.shape[dim]))


@_unbind.vjp
def _(g, *, dim, x_shape, x_dtype):
    parts = [g] if isinstance(g, Tensor) else list(g)  # one part: a gradient, not a tuple of them
    known = next(p for p in parts if p is not None)
    return stack([known.new_zeros(known.shape) if p is None else p for p in parts], dim)


@method
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """All parts along `dim`, each without that dimension."""
    if input._a.ndim == 0:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    d = check.dim(dim, input._a.ndim)
    out = _unbind(input, dim=d)
    return out if isinstance(out, tuple) else (out,)


@op(view=True)
def _as_strided(x, /, *, size, stride, storage_offset):
    return x.as_strided(size, stride, storage_offset)


def _geometry(shape, strides, offset, size, stride, storage_offset):
    """How many elements of storage an input and a view of it reach, and whether elements of the input share memory."""
    reach = 1 + builtins.max(
        offset + builtins.sum((n - 1) * s for n, s in zip(shape, strides, strict=True)),
        storage_offset + builtins.sum((n - 1) * s for n, s in zip(size, stride, strict=True)),
    )
    return reach, _share_memory(shape, strides)


def _share_memory(shape, strides):
    span = 0
    for step, n in sorted((s, n) for n, s in zip(shape, strides, strict=True) if n > 1):
        if step <= span:
            return True
        span += step * (n - 1)
    return False


def _zeros(reach, dtype):
    buffer = _native.empty((reach,), dtype.code)
    K.fill_into(buffer, 0)
    return buffer


def _shared_out(buffer, shape, strides, offset):
    """Divides among the elements at each place of a buffer that share it."""
    counts = _zeros(buffer.numel, buffer.dtype)
    ones = _native.empty(shape, buffer.dtype.code)
    K.fill_into(ones, 1)
    K.add_overlapping_into(counts.as_strided(shape, strides, offset), ones)
    K.div_into(buffer, buffer, K.maximum(counts, 1.0))


@op
def _as_strided_backward(g, /, *, shape, strides, offset, size, stride, storage_offset):
    # Sum into a buffer laid out like the input's storage, then read the input's geometry out of it.
    reach, shared = _geometry(shape, strides, offset, size, stride, storage_offset)
    buffer = _zeros(reach, g.dtype)
    K.add_overlapping_into(buffer.as_strided(size, stride, storage_offset), g)
    if shared:
        _shared_out(buffer, shape, strides, offset)
    out = _native.empty(shape, g.dtype.code)
    K.copy_into(out, buffer.as_strided(shape, strides, offset))
    return out


_as_strided_backward.vjp(g=lambda g, strides, offset, size, stride, storage_offset:
                         _restrided(g, strides, offset, size, stride, storage_offset))  # fmt: skip


@op
def _restride(g, /, *, strides, offset, size, stride, storage_offset):
    reach, shared = _geometry(g.shape, strides, offset, size, stride, storage_offset)
    buffer = _zeros(reach, g.dtype)
    place = buffer.as_strided(g.shape, strides, offset)
    if shared:
        K.add_overlapping_into(place, g)
        _shared_out(buffer, g.shape, strides, offset)
    else:
        K.copy_into(place, g)
    out = _native.empty(size, g.dtype.code)
    K.copy_into(out, buffer.as_strided(size, stride, storage_offset))
    return out


def _restrided(g, strides, offset, size, stride, storage_offset):
    return _restride(g, strides=strides, offset=offset, size=size, stride=stride, storage_offset=storage_offset)


_restride.vjp(g=lambda g, g_shape, strides, offset, size, stride, storage_offset: _as_strided_backward(
    g, shape=g_shape, strides=strides, offset=offset, size=size, stride=stride, storage_offset=storage_offset))  # fmt: skip


@_as_strided.vjp
def _(g, x_shape, x_layout, *, size, stride, storage_offset):
    strides, offset = x_layout
    return _as_strided_backward(g, shape=x_shape, strides=strides, offset=offset, size=size, stride=stride,
                                storage_offset=storage_offset)  # fmt: skip


@method
def as_strided(input: Tensor, size, stride, storage_offset: int | None = None) -> Tensor:
    """The storage seen with any shape, strides and offset (in elements).

    Raises: RuntimeError if the view would reach outside the storage.
    """
    offset = input._a.offset if storage_offset is None else storage_offset
    return _as_strided(input, size=tuple(size), stride=tuple(stride), storage_offset=offset)


@op
def _as_strided_scatter(x, src, /, *, size, stride, storage_offset):
    out = _native.empty(x.shape, x.dtype.code)
    K.copy_into(out, x)
    K.copy_into(out.as_strided(size, stride, storage_offset), src)
    return out


_as_strided_scatter.vjp(
    x=lambda g, size, stride, storage_offset: _as_strided_scatter(
        g, g.new_zeros(size), size=size, stride=stride, storage_offset=storage_offset),
    src=lambda g, size, stride, storage_offset: as_strided(g.contiguous(), size, stride, storage_offset),
)  # fmt: skip


@method
def as_strided_scatter(input: Tensor, src: Tensor, size, stride, storage_offset: int | None = None) -> Tensor:
    """A contiguous copy of `input` in which the strided part is replaced by `src`."""
    return _as_strided_scatter(input, src, size=tuple(size), stride=tuple(stride), storage_offset=storage_offset or 0)


@method
def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of the matrices spanned by two dimensions, as the last dimension of a view."""
    a = input._a
    d1, d2 = check.dim(dim1, a.ndim), check.dim(dim2, a.ndim)
    if d1 == d2:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    rows, cols = a.shape[d1], a.shape[d2]
    n = builtins.max(0, builtins.min(rows, cols - offset) if offset >= 0 else builtins.min(rows + offset, cols))
    start = a.offset
    if n:
        start += offset * a.strides[d2] if offset >= 0 else -offset * a.strides[d1]
    rest = [d for d in range(a.ndim) if d not in (d1, d2)]
    size = (*(a.shape[d] for d in rest), n)
    stride = (*(a.strides[d] for d in rest), a.strides[d1] + a.strides[d2])
    return _as_strided(input, size=size, stride=stride, storage_offset=start)


# -- joining and cutting ---------------------------------------------------------------------------------------------


@op
def _cat(*xs, dim, sizes, dtype):
    for x in xs:
        if not x.contiguous:
            break
    else:
        return K.cat(*xs, dim, False)
    shape = list(xs[0].shape)
    shape[dim] = builtins.sum(sizes)
    out = _native.empty(shape, dtype.code)
    at = 0
    for x, n in zip(xs, sizes, strict=True):
        if n:
            K.copy_into(out.slice(dim, at, n, 1), x)
        at += n
    return out


@_cat.vjp
def _(g, *, dim, sizes, needs):
    out, at = [], 0
    for n, need in zip(sizes, needs, strict=True):
        out.append(_slice(g, dim=dim, start=at, length=n, step=1) if need else None)
        at += n
    return tuple(out) if len(out) > 1 else out[0]


@op
def _stack(*xs, dim):
    return K.cat(*map(contig, xs), dim, True)


@_stack.vjp
def _(g, *, dim, needs):
    out = tuple(_select(g, dim=dim, index=i) if need else None for i, need in enumerate(needs))
    return out if len(out) > 1 else out[0]


def _alike(tensors):
    """The shape and dtype that all of them have; None unless they do."""
    shape = dtype = None
    for x in tensors:
        if not isinstance(x, Tensor):
            return None, None
        a = x._a
        if shape is None:
            shape, dtype = a.shape, a.dtype
        elif a.shape != shape or a.dtype is not dtype:
            return None, None
    return shape, dtype


def _refuse_cat(first, shape, dim, i):
    if len(shape) != len(first):
        raise RuntimeError(f"Tensors must have same number of dimensions: got {len(first)} and {len(shape)}")
    for k in range(len(first)):
        if k != dim and shape[k] != first[k]:
            raise RuntimeError(
                f"Sizes of tensors must match except in dimension {dim}. Expected size {first[k]} but got size "
                f"{shape[k]} for tensor number {i} in the list."
            )


def cat(tensors, dim: int = 0, *, out=None) -> Tensor:
    """Tensors joined along an existing dimension; all other sizes must be equal.

    Raises: RuntimeError if there are none, or sizes differ.
    """
    tensors = list(tensors)
    shape, dtype = _alike(tensors)
    if shape and shape != (0,) and out is None:  # the common case, quickly
        d = check.dim(dim, len(shape))
        return _cat(*tensors, dim=d, sizes=(shape[d],) * len(tensors), dtype=dtype)
    if not tensors:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    shapes = []
    for i, x in enumerate(tensors):
        if not isinstance(x, Tensor):
            raise TypeError(f"expected Tensor as element {i} in argument 0, but got {type(x).__name__}")
        shape = x._a.shape
        if not shape:
            raise RuntimeError(f"zero-dimensional tensor (at position {i}) cannot be concatenated")
        shapes.append(shape)
    # A 1-d tensor without elements joins anything (kept by PyTorch from its beginnings).
    if (0,) in shapes:
        tensors = [x for x, shape in zip(tensors, shapes, strict=True) if shape != (0,)] or tensors[:1]
        shapes = [x._a.shape for x in tensors]
    first = shapes[0]
    d = check.dim(dim, len(first))
    for i, shape in enumerate(shapes):
        if shape[:d] != first[:d] or shape[d + 1 :] != first[d + 1 :] or len(shape) != len(first):
            _refuse_cat(first, shape, d, i)
    dtype = tensors[0]._a.dtype
    if builtins.any(x._a.dtype is not dtype for x in tensors):
        from .creation import result_type

        dtype = result_type(*(x.new_empty((0,)) for x in tensors))
        tensors = [x if x._a.dtype is dtype else x.to(dtype) for x in tensors]
    result = _cat(*tensors, dim=d, sizes=tuple(shape[d] for shape in shapes), dtype=dtype)
    if out is None:
        return result
    from ._declare import write_out

    return write_out(out, result)


def stack(tensors, dim: int = 0, *, out=None) -> Tensor:
    """Tensors of one shape joined along a new dimension."""
    tensors = list(tensors)
    if not tensors:
        raise RuntimeError("stack expects a non-empty TensorList")
    shape, _ = _alike(tensors)
    if shape is not None and out is None:
        return _stack(*tensors, dim=check.dim(dim, len(shape) + 1))
    shape = tensors[0]._a.shape
    for i, x in enumerate(tensors):
        if x._a.shape != shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(shape)} at entry 0 and {list(x._a.shape)} at "
                f"entry {i}"
            )
    d = check.dim(dim, len(shape) + 1)
    return cat([unsqueeze(x, d) for x in tensors], d, out=out)


tensor_method("_stack_with", lambda self, others: stack([self, *others]))
concat = concatenate = cat


def atleast_1d(*tensors):
    """Tensors with at least one dimension."""
    return _each(tensors, lambda x: x if x.ndim >= 1 else reshape(x, 1))


def atleast_2d(*tensors):
    """Tensors with at least two dimensions."""
    return _each(tensors, lambda x: x if x.ndim >= 2 else unsqueeze(reshape(x, -1), 0))


def atleast_3d(*tensors):
    """Tensors with at least three dimensions."""
    return _each(tensors, lambda x: x if x.ndim >= 3 else unsqueeze(atleast_2d(x), -1))


def _each(tensors, fn):
    if len(tensors) == 1 and isinstance(tensors[0], Tensor):
        return fn(tensors[0])
    if len(tensors) == 1:
        tensors = tensors[0]
    return tuple(fn(x) for x in tensors)


def hstack(tensors) -> Tensor:
    """Tensors joined column by column."""
    tensors = [atleast_1d(x) for x in tensors]
    return cat(tensors, 0 if tensors[0].ndim == 1 else 1)


def vstack(tensors) -> Tensor:
    """Tensors joined row by row."""
    return cat([atleast_2d(x) for x in tensors], 0)


def dstack(tensors) -> Tensor:
    """Tensors joined along the third dimension."""
    return cat([atleast_3d(x) for x in tensors], 2)


@method
def split(tensor: Tensor, split_size_or_sections, dim: int = 0) -> tuple[Tensor, ...]:
    """Parts of one size (the last may be smaller), or of the given sizes."""
    d = check.dim(dim, tensor._a.ndim)
    size = tensor._a.shape[d]
    if isinstance(split_size_or_sections, int):
        step = split_size_or_sections
        if step < 0:
            raise RuntimeError(f"split expects split_size be non-negative, but got split_size={step}")
        if step == 0:
            if size:
                raise RuntimeError("split_size can only be 0 if dimension size is 0, but got dimension size of " + str(size))
            return (tensor,)
        sections = [builtins.min(step, size - at) for at in range(0, size, step)] or [0]
    else:
        sections = list(split_size_or_sections)
        if builtins.sum(sections) != size:
            raise RuntimeError(
                f"split_with_sizes expects split_sizes to sum exactly to {size} (input tensor's size at dimension {d}), "
                f"but got split_sizes={sections}"
            )
        return _several(_split_with_sizes(tensor, dim=d, sections=tuple(sections)))
    return _several(_split(tensor, dim=d, sections=tuple(sections)))


def _several(out):
    return out if isinstance(out, tuple) else (out,)


def _cut(x, /, *, dim, sections):
    out, at = [], 0
    for n in sections:
        out.append(x.slice(dim, at, n, 1))
        at += n
    return tuple(out)


def _uncut(g, *, dim, sections, x_shape):
    g = _several(g)
    known = next(p for p in g if p is not None)
    shape = lambda n: (*x_shape[:dim], n, *x_shape[dim + 1 :])  # noqa: E731
    return cat([known.new_zeros(shape(n)) if p is None else p for p, n in zip(g, sections, strict=True)], dim)


_split = op(_cut, name="split", view=True)
_split_with_sizes = op(_cut, name="split_with_sizes", view=True)
_split.vjp(_uncut)
_split_with_sizes.vjp(_uncut)


@method
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` parts of equal size (the last may be smaller)."""
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    size = input._a.shape[check.dim(dim, input._a.ndim)]
    return split(input, builtins.max(1, -(-size // chunks)), dim)


@method
def tensor_split(input: Tensor, indices_or_sections, dim: int = 0) -> tuple[Tensor, ...]:
    """Parts of nearly equal size, or cut at the given positions."""
    d = check.dim(dim, input._a.ndim)
    size = input._a.shape[d]
    if isinstance(indices_or_sections, int):
        n = indices_or_sections
        if n <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {n}")
        cuts, at = [], 0
        for i in range(n - 1):
            at += size // n + (1 if i < size % n else 0)
            cuts.append(at)
    else:
        cuts = [int(i) for i in indices_or_sections]
    bounds = [0, *(builtins.min(builtins.max(c + size if c < 0 else c, 0), size) for c in cuts), size]
    return tuple(_slice(input, dim=d, start=a, length=builtins.max(0, b - a), step=1)
                 for a, b in zip(bounds[:-1], bounds[1:], strict=True))  # fmt: skip


# -- copies ----------------------------------------------------------------------------------------------------------


@op
def _clone(x, /, *, contiguous):
    if not contiguous:
        return K.copy(x)
    out = _native.empty(x.shape, x.dtype.code)
    K.copy_into(out, x)
    return out


_clone.vjp(x=lambda g: g)


@method
def clone(input: Tensor, *, memory_format=None) -> Tensor:
    """A copy that gradients flow through."""
    return _clone(input, contiguous=getattr(memory_format, "name", None) == "contiguous_format")


def _contiguous(self, memory_format=None):
    """The tensor itself if its elements are in row-major order, else such a copy."""
    return self if self._a.contiguous else _clone(self, contiguous=True)


tensor_method("contiguous", _contiguous)


def numel(input: Tensor) -> int:
    """How many elements."""
    return input._a.numel


