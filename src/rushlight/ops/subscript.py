"""`x[...]` and `x[...] = v`: NumPy's indexing, resolved into views (ints, slices, None, …) and one index op (the rest)."""

from __future__ import annotations

import numbers
import warnings

import numpy as np

from .. import _dtypes, _native, _recording
from .._kernels import K
from ..autograd.inplace import apply_inplace, check_inplace
from ..autograd.op import op
from ..autograd.tensor import Tensor
from ._declare import contig
from .creation import tensor
from .shape import _expand, _select, _slice, _unsqueeze, broadcast_shapes

__all__ = []


# -- the index ops ---------------------------------------------------------------------------------------------------


def _ordered(a, order):
    return a if order is None else a.permute(order)


@op
def _index(x, /, *indices, before, order):
    """x, its dimensions in `order`, at the positions that index arrays name in the dimensions after the first `before`."""
    return K.index(_ordered(x, order), indices, before)


@op
def _index_backward(g, /, *indices, shape, before, order):
    out = _native.empty(shape, g.dtype.code)
    K.fill_into(out, 0)
    K.index_add_into(_ordered(out, order), g, indices, before)
    return out


_index.vjp(x=lambda g, x_shape, indices, before, order:
           _index_backward(g, *indices, shape=x_shape, before=before, order=order))  # fmt: skip
_index.adds(lambda total, g, indices, before, order:
            K.index_add_into(_ordered(total._a, order), g._a, [i._a for i in indices], before))  # fmt: skip
_index_backward.vjp(g=lambda g, indices, before, order: _index(g, *indices, before=before, order=order))


def _index_put_into(out, values, *indices, before, order, accumulate):
    (K.index_add_into if accumulate else K.index_put_into)(_ordered(out, order), values, indices, before)


@op
def _index_put(x, values, /, *indices, before, order, accumulate):
    out = _native.empty(x.shape, x.dtype.code)
    K.copy_into(out, x)
    _index_put_into(out, values, *indices, before=before, order=order, accumulate=accumulate)
    return out


@_index_put.vjp
def _(g, indices, *, before, order, accumulate, needs):
    gx = gv = None
    if needs[0]:
        gx = g
        if not accumulate:
            gone = _expand(g.new_zeros(()), shape=_result_shape(g._a, indices, before, order))
            gx = _index_put(g, gone, *indices, before=before, order=order, accumulate=False)
    if needs[1]:
        gv = _index(g, *indices, before=before, order=order)
    return gx, gv


def _result_shape(a, indices, before, order):
    shape = a.shape if order is None else tuple(a.shape[d] for d in order)
    return (*shape[:before], *indices[0]._a.shape, *shape[before + len(indices) :])


@op(view=True)
def _alias(x, /):
    return x.alias(x.untracked)


_alias.vjp(x=lambda g: g)


# -- what an index means ---------------------------------------------------------------------------------------------

_SEQUENCE = (
    "Using a non-tuple sequence for multidimensional indexing is deprecated and will be changed in pytorch 2.9; use "
    "x[tuple(seq)] instead of x[seq]. In pytorch 2.9 this will be interpreted as tensor index, x[torch.tensor(seq)], which "
    "will result either in an error or a different result"
)
_ZERO_DIM = (
    "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to convert a 0-dim tensor to "
    "a number"
)


def _as_tuple(index):
    """An index as a tuple. A list stands for a tuple if it holds anything but numbers, as it once did in NumPy."""
    if type(index) is tuple:
        return index
    if isinstance(index, tuple):
        return tuple(index)
    if isinstance(index, list) and len(index) < 32:
        if any(x is None or x is Ellipsis or isinstance(x, (slice, Tensor, list, tuple, np.ndarray)) for x in index):
            warnings.warn(_SEQUENCE, UserWarning, stacklevel=4)
            return tuple(index)
    elif isinstance(index, str):
        raise TypeError("new(): invalid data type 'str'")
    return (index,)


def _bounds(s, size):
    """(start, length, step) of a slice."""
    start, stop, step = s.indices(size)
    if step <= 0:
        raise ValueError("step must be greater than zero")
    return start, max(0, -((start - stop) // step)), step


def _select_checked(x, dim, i, place):
    size = x._a.shape[dim]
    if i < -size or i >= size:  # PyTorch counts the items of the index here
        raise IndexError(f"index {i} is out of bounds for dimension {place} with size {size}")
    return _select(x, dim=dim, index=i + size if i < 0 else i)


def _consumed(index):
    """How many dimensions the items of an index take."""
    n = 0
    for x in index:
        if x is None or x is Ellipsis or x is True or x is False:
            continue
        mask = isinstance(x, Tensor) and x._a.dtype in (_dtypes.bool_, _dtypes.uint8)
        mask = mask or isinstance(x, np.ndarray) and x.dtype in (np.bool_, np.uint8)
        n += x.ndim if mask else 1
    return n


def _basic(x, index):
    """Applies what makes a view. Returns the view and a list with an index tensor, or None, for each of its dimensions."""
    ndim = x._a.ndim
    taken = _consumed(index)
    if taken > ndim:
        if ndim == 0 and isinstance(index[0], numbers.Integral):
            raise IndexError(_ZERO_DIM)
        if ndim == 0 and isinstance(index[0], slice):
            raise IndexError("slice() cannot be applied to a 0-dim tensor.")
        raise IndexError(f"too many indices for tensor of dimension {ndim}")
    original, dim, found = x, 0, []
    for place, item in enumerate(index):
        kind = type(item)
        if kind is int:
            x = _select_checked(x, dim, item, place)
        elif kind is slice:
            size = x._a.shape[dim]
            start, length, step = _bounds(item, size)
            if length != size or step != 1:
                x = _slice(x, dim=dim, start=start, length=length, step=step)
            dim += 1
        elif item is None:
            x = _unsqueeze(x, dim=dim)
            dim += 1
        elif item is Ellipsis:
            dim += ndim - taken
        else:
            item = _as_index(item)
            if isinstance(item, Tensor) and item._a.ndim == 0:
                if item._a.dtype in (_dtypes.bool_, _dtypes.uint8):
                    item = bool(item._a.item())
                elif item._a.dtype in (_dtypes.int64, _dtypes.int32, _dtypes.int16, _dtypes.int8):
                    item = item._a.item()
            if item is True or item is False:
                x = _unsqueeze(x, dim=dim)
                found += [None] * (dim - len(found)) + [tensor([0] if item else [], dtype=_dtypes.int64)]
                dim += 1
            elif isinstance(item, Tensor):
                found += [None] * (dim - len(found)) + [item]
                dim += max(item._a.ndim, 1) if item._a.dtype in (_dtypes.bool_, _dtypes.uint8) else 1
            else:
                x = _select_checked(x, dim, item, place)
    if x is original and not found:
        x = _alias(x)
    return x, found


def _as_index(item):
    """An int, a bool or a tensor."""
    if isinstance(item, (Tensor, bool)):
        return item
    if isinstance(item, np.ndarray):
        return tensor(item)
    if isinstance(item, (list, tuple, range)):
        return tensor(list(item)) if len(item) else tensor([], dtype=_dtypes.int64)
    if isinstance(item, np.bool_):
        return bool(item)
    if hasattr(item, "__index__"):
        return item.__index__()
    raise IndexError(
        "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got "
        f"{type(item).__name__})"
    )


def nonzero_array(a):
    """(ndim, n) int64: the coordinates of the elements that are not zero."""
    n = K.nonzero_count(a).item()
    out = _native.empty((a.ndim, n), _dtypes.int64.code)
    if n:
        K.nonzero_into(out, a)
    return out


def plan(x, found):
    """Turns index tensors (None for a whole dimension) into the index op's arguments: indices, before, order."""
    shape, expanded = x._a.shape, []
    for item in found:
        if item is None:
            expanded.append(None)
            continue
        a = item._a
        if a.dtype is _dtypes.bool_ or a.dtype is _dtypes.uint8:
            if a.dtype is _dtypes.uint8:
                warnings.warn(
                    "indexing with dtype torch.uint8 is now deprecated, please use a dtype torch.bool instead.",
                    UserWarning,
                    stacklevel=4,
                )
            at = len(expanded)
            for j, s in enumerate(a.shape):
                if s != shape[at + j]:
                    raise IndexError(
                        f"The shape of the mask {list(a.shape)} at index {j} does not match the shape of the indexed "
                        f"tensor {list(shape)} at index {at + j}"
                    )
            where = nonzero_array(a)
            expanded.extend(_native.wrap(where.select(0, j)) for j in range(a.ndim))
        elif a.dtype is _dtypes.int64:
            expanded.append(item)
        elif a.dtype is _dtypes.int32:
            expanded.append(item.long())
        else:
            raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
    if len(expanded) > len(shape):
        raise IndexError(f"too many indices for tensor of dimension {len(shape)}")
    dims = [d for d, item in enumerate(expanded) if item is not None]
    indices = [expanded[d] for d in dims]
    if len(indices) > 1:
        try:
            common = tuple(broadcast_shapes(*(i._a.shape for i in indices)))
        except RuntimeError:
            raise IndexError(
                "shape mismatch: indexing tensors could not be broadcast together with shapes "
                + ", ".join(str(list(i._a.shape)) for i in indices)
            ) from None
        indices = [
            i if i._a.shape == common else _recording.note_alias(_native.wrap(i._a.expand(common)), i) for i in indices
        ]
    indices = [i if i._a.contiguous else _native.wrap(contig(i._a)) for i in indices]
    if dims[-1] - dims[0] == len(dims) - 1:
        return indices, dims[0], None
    # Not next to each other: the index dimensions come first in the result.
    return indices, 0, (*dims, *(d for d in range(len(shape)) if d not in dims))


# -- the subscript operators -----------------------------------------------------------------------------------------


def _getitem(self, index):
    """The part that `index` names: a view for ints, slices, None and `...`; a copy if a list, mask or tensor takes part.

    Raises: IndexError for a position outside, too many indices, or a mask of another shape.
    """
    kind = type(index)
    a = self._a
    if kind is int and a.ndim:
        size = a.shape[0]
        if -size <= index < size:
            return _select(self, dim=0, index=index + size if index < 0 else index)
        raise IndexError(f"index {index} is out of bounds for dimension 0 with size {size}")
    if kind is slice and a.ndim:
        start, length, step = _bounds(index, a.shape[0])
        return _slice(self, dim=0, start=start, length=length, step=step)
    x, found = _basic(self, _as_tuple(index))
    if not found:
        return x
    indices, before, order = plan(x, found)
    return _index(x, *indices, before=before, order=order)


def _value(self, value):
    """A tensor, or a number that this tensor's dtype can hold."""
    if isinstance(value, Tensor) or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (np.bool_, np.number)):
        return value.item()
    if isinstance(value, complex):
        raise RuntimeError(f"value cannot be converted to type {self._a.dtype.scalar_name.lower()} without overflow")
    raise TypeError(f"can't assign a {_type_name(value)} to a torch.{self._a.dtype.scalar_name}Tensor")


def _type_name(value):
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _without_leading_ones(value, ndim):
    # As PyTorch: leading dimensions of size 1 that the target has not are dropped.
    while value._a.ndim > ndim and value._a.shape[0] == 1:
        value = _select(value, dim=0, index=0)
    return value


def _records(x, value) -> bool:
    """Whether a write of `value` into x concerns autograd."""
    if x._is_inference and not _native.is_inference_enabled():
        return True
    return _native.is_grad_enabled() and (x.requires_grad or (isinstance(value, Tensor) and value.requires_grad))


def _setitem(self, index, value):
    """Writes a number or a tensor (broadcast) to the part that `index` names.

    Raises: IndexError as for reading, TypeError for a value that is neither, RuntimeError if shapes do not fit.
    """
    value = _value(self, value)
    if not _records(self, value):
        target = _basic_array(self._a, index)
        if target is not None:
            if not isinstance(value, Tensor):
                K.fill_into(target, value)
                return
            if value._a.shape == target.shape:
                K.copy_into(target, value._a)
                return
    index = _as_tuple(index)
    x, found = _basic(self, index)
    if not found:
        if isinstance(value, Tensor):
            value = _without_leading_ones(value, x._a.ndim)
            x.copy_(value if value._a.shape == x._a.shape else value.expand(x._a.shape))
        else:
            x.fill_(value)
        return
    if x._base is not self and x is not self:
        check_inplace(x)
    if not isinstance(value, Tensor):
        mask = _only_mask(x, found)
        if mask is not None:
            x.masked_fill_(mask, value)
            return
        value = tensor(value, dtype=x._a.dtype)
    put(x, found, value, accumulate=False)


def _only_mask(x, found):
    """The mask that alone takes part in an index, ready to be broadcast against `x`; else None."""
    at = 0
    while found[at] is None:
        at += 1
    mask, shape = found[at], x._a.shape
    end = at + mask._a.ndim
    if at != len(found) - 1 or mask._a.dtype is not _dtypes.bool_ or mask._a.shape != shape[at:end]:
        return None
    return mask if end == len(shape) else mask.reshape((*mask._a.shape, *(1,) * (len(shape) - end)))


def put(x, found, value, accumulate):
    """x[found] = value, or += value; in place."""
    indices, before, order = plan(x, found)
    if value._a.dtype is not x._a.dtype:
        raise RuntimeError(
            f"Index put requires the source and destination dtypes match, got {x._a.dtype.scalar_name} for the destination "
            f"and {value._a.dtype.scalar_name} for the source."
        )
    shape = _result_shape(x._a, indices, before, order)
    value = _fit_value(value, shape)
    if not _records(x, value):
        arrays = [i._a for i in indices]
        _index_put_into(x._a, value._a, *arrays, before=before, order=order, accumulate=accumulate)
        return x
    return apply_inplace(
        _index_put, x, value, *indices, before=before, order=order, accumulate=accumulate,
        into=lambda out, _, v, *where: _index_put_into(out, v, *where, before=before, order=order, accumulate=accumulate),
    )  # fmt: skip


def _fit_value(value, shape):
    given = value._a.shape
    value = _without_leading_ones(value, len(shape))
    have = value._a.shape
    if len(have) > len(shape) or any(s not in (1, t) for s, t in zip(have[::-1], shape[::-1], strict=False)):
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(given)} cannot be broadcast to indexing result of shape {list(shape)}"
        )
    return value if have == shape else _expand(value, shape=shape)


def _basic_array(a, index):
    """The array behind an index of ints and slices; None if it is more than that, or wrong."""
    dim = 0
    index = index if type(index) is tuple else (index,)
    if len(index) > a.ndim:
        return None
    for item in index:
        kind = type(item)
        if kind is int:
            size = a.shape[dim]
            if not -size <= item < size:
                return None
            a = a.select(dim, item + size if item < 0 else item)
        elif kind is slice:
            start, length, step = _bounds(item, a.shape[dim])
            a = a.slice(dim, start, length, step)
            dim += 1
        else:
            return None
    return a


Tensor.__getitem__ = _getitem
Tensor.__setitem__ = _setitem
