"""Selecting and writing parts by position or mask: index_*, masked_*, take, put, nonzero."""

from __future__ import annotations

from .. import _check as check
from .. import _dtypes, _native
from .._kernels import K
from ..autograd.autocast import widest
from ..autograd.inplace import apply_inplace
from ..autograd.op import op
from ..autograd.tensor import Tensor
from ._declare import contig, method, tensor_method, write_out
from ._values import COPIED, POSITION, TAKEN, check_index
from .creation import tensor
from .pointwise import _where
from .scatter import _copied
from .shape import _expand, broadcast_shapes
from .subscript import _index, _index_put, nonzero_array, plan
from .subscript import put as put_indexed

__all__ = [
    "nonzero", "argwhere", "index_select", "index_add", "index_copy", "index_fill", "index_put", "index_put_", "take", "put",
    "masked_fill", "masked_select", "masked_scatter",
]  # fmt: skip


# -- where the elements are that are not zero ------------------------------------------------------------------------


@method
def nonzero(input: Tensor, *, out=None, as_tuple: bool = False):
    """Coordinates of the elements that are not zero, as (n, ndim) int64, or as one 1-d tensor per dimension."""
    a = input._a
    if as_tuple:
        where = nonzero_array(a if a.ndim else a.unsqueeze(0))
        return tuple(_native.wrap(where.select(0, d)) for d in range(max(a.ndim, 1)))
    result = _native.wrap(nonzero_array(a).transpose(0, 1))
    if out is None:
        return result
    return write_out(out, result)


@method
def argwhere(input: Tensor) -> Tensor:
    """Coordinates of the elements that are not zero, as (n, ndim) int64."""
    return nonzero(input)


# -- along one dimension, by a list of positions ---------------------------------------------------------------------


def _index_vector(index, who):
    if index._a.ndim > 1:
        raise IndexError(f"{who}: Index is supposed to be a vector")
    return index.reshape(-1) if index._a.ndim == 0 else index.contiguous()


@method(out=True)
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The parts at the positions `index` (a vector) along `dim`; a copy.

    Raises: IndexError for a position out of range.
    """
    a = input._a
    if index._a.ndim > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    if index._a.dtype is not _dtypes.int64:
        if index._a.dtype is not _dtypes.int32:
            raise RuntimeError("index_select(): Expected dtype int32 or int64 for index")
        index = index.long()
    d = check.dim(dim, a.ndim)
    if index._a.ndim == 0 or not index._a.contiguous:
        index = index.reshape(-1).contiguous()
    check_index(index, POSITION, a.size(d) if a.ndim else 1)
    if a.ndim == 0:
        return _index(input.reshape(1), index, before=0, order=None).reshape(())
    return _index(input, index, before=d, order=None)


def _like_source(self, dim, index, source, who):
    a, s = self._a, source._a
    d = check.dim(dim, a.ndim)
    if index._a.dtype not in (_dtypes.int64, _dtypes.int32):
        raise RuntimeError(f"{who}: Expected dtype int32/int64 for index but got: {index._a.dtype.scalar_name}")
    if s.dtype is not a.dtype:
        raise RuntimeError(
            f"{who}: self ({a.dtype.scalar_name}) and source ({s.dtype.scalar_name}) must have the same scalar type"
        )
    return d


def _index_add_args(self, dim, index, source, alpha):
    if index._a.ndim > 1:
        raise IndexError("index_add_(): Index is supposed to be a vector, but got dim: "
                         f"{index._a.ndim} with type: {index._a.dtype.scalar_name} and size: {list(index._a.shape)}")  # fmt: skip
    d = _like_source(self, dim, index, source, "index_add_()")
    n, have = index._a.numel, source._a.shape[d] if source._a.ndim else 1
    if n != have:
        raise RuntimeError(
            f"index_add_(): Number of indices ({n}) should be equal to source.size(dim): ({have}), for dim: {d}"
        )
    a, s = self._a, source._a
    if a.ndim != s.ndim or any(i != d and x != y for i, (x, y) in enumerate(zip(a.shape, s.shape, strict=True))):
        raise RuntimeError("source tensor shape must match self tensor shape, excluding the specified dimension. Got "
                           f"self.shape = {list(a.shape)} source.shape = {list(s.shape)}")  # fmt: skip
    index = index.long().reshape(-1).contiguous()
    check_index(index, POSITION, a.shape[d] if a.ndim else 1)
    return index, source if alpha == 1 else source * alpha, d


def _put_rows(self, index, values, d, accumulate, inplace):
    if self._a.ndim == 0:
        self_, values = self.reshape(1), values.reshape(-1)
        return _put_rows(self_, index, values, 0, accumulate, inplace).reshape(())
    if not inplace:
        return _index_put(self, values, index, before=d, order=None, accumulate=accumulate)
    return put_indexed(self, [*(None,) * d, index], values, accumulate)


@method
def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
    """A copy of `input` to whose parts at `index` along `dim` those of alpha * `source` are added."""
    index, values, d = _index_add_args(input, dim, index, source, alpha)
    return _put_rows(input, index, values, d, True, False)


def _index_add_(self, dim, index, source, *, alpha=1):
    """Adds the parts of alpha * `source` to those at `index` along `dim`. In place; returns self."""
    index, values, d = _index_add_args(self, dim, index, source, alpha)
    _put_rows(self, index, values, d, True, True)
    return self


def _plain(shape):
    return " ".join(map(str, shape))


def _index_copy_args(self, dim, index, source):
    d = check.dim(dim, self._a.ndim)
    if index._a.ndim >= 2:
        raise IndexError(f"index_copy_(): Index should have dimension 1 or 0 (got {index._a.ndim})")
    n, s = index._a.numel, source._a
    if s.ndim == 0 and n != 1:
        raise IndexError(f"index_copy_(): When source is scalar, index should have one element (got {n})")
    if s.ndim != self._a.ndim and s.ndim and self._a.ndim:
        raise IndexError("index_copy_(): When source and destination are not scalars, their dimensionality must match. "
                         f"Source dimensionality ({s.ndim}), destination dimensionality ({self._a.ndim})")  # fmt: skip
    if index._a.dtype is not _dtypes.int64:
        raise IndexError("index_copy_(): Expected a long tensor for index, but got " + index._a.dtype.scalar_name)
    if s.dtype is not self._a.dtype:
        raise RuntimeError(f"index_copy_(): self and source expected to have the same dtype, but got (self) "
                           f"{self._a.dtype.scalar_name} and (source) {s.dtype.scalar_name}")  # fmt: skip
    if s.ndim and self._a.ndim:
        rest = lambda shape: shape[:d] + shape[d + 1 :]  # noqa: E731
        if rest(s.shape) != rest(self._a.shape):
            raise RuntimeError(
                "index_copy_(): Source/destination tensor must have same slice shapes. Destination slice shape: "
                f"{_plain(rest(self._a.shape))} at dimension {d} and source slice shape: {_plain(rest(s.shape))} at dimension 0."
            )
        if n != s.shape[d]:
            raise IndexError(
                f"index_copy_(): Number of indices ({n}) should be equal to source.size(dim) ({s.shape[d]})"
            )
    index = index.reshape(-1).contiguous()
    check_index(index, COPIED, self._a.shape[d] if self._a.ndim else 1, d)
    if s.ndim != self._a.ndim and self._a.ndim:
        source = source.reshape((1,) * self._a.ndim)
    return index, source, d


@method
@widest
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """A copy of `input` whose parts at `index` along `dim` are those of `source`."""
    index, source, d = _index_copy_args(input, dim, index, source)
    return _put_rows(input, index, source, d, False, False)


def _index_copy_(self, dim, index, source):
    """Replaces the parts at `index` along `dim` by those of `source`. In place; returns self."""
    index, source, d = _index_copy_args(self, dim, index, source)
    _put_rows(self, index, source, d, False, True)
    return self


def _index_fill_args(self, dim, index, value):
    d = check.dim(dim, self._a.ndim)
    if isinstance(value, Tensor):
        if value._a.ndim:
            raise RuntimeError(
                f"index_fill_ only supports a 0-dimensional value tensor, but got tensor with {value._a.ndim} dimension(s)."
            )
    else:
        value = tensor(value, dtype=self._a.dtype)
    if index._a.dtype is not _dtypes.int64:
        raise IndexError("index_fill_(): Expected dtype int64 for index.")
    if index._a.ndim > 1:
        raise IndexError("Index has to be a vector/scalar")
    index = index.reshape(-1).contiguous()
    value = value.to(self._a.dtype)
    shape = list(self._a.shape) or [1]
    shape[d] = index._a.numel
    return index, _expand(value, shape=tuple(shape)), d


@method
def index_fill(input: Tensor, dim: int, index: Tensor, value) -> Tensor:
    """A copy of `input` whose parts at `index` along `dim` are all `value`."""
    index, values, d = _index_fill_args(input, dim, index, value)
    return _put_rows(input, index, values, d, False, False)


def _index_fill_(self, dim, index, value):
    """Fills the parts at `index` along `dim` with `value`. In place; returns self."""
    index, values, d = _index_fill_args(self, dim, index, value)
    _put_rows(self, index, values, d, False, True)
    return self


for _name, _function in {"index_add_": _index_add_, "index_copy_": _index_copy_, "index_fill_": _index_fill_}.items():
    _function.__name__ = _function.__qualname__ = _name
    tensor_method(_name, _function)


@method
def index_put_(input: Tensor, indices, values: Tensor, accumulate: bool = False) -> Tensor:
    """input[indices] = values, or += values. In place; returns input."""
    return put_at(input, indices, values, accumulate)


def put_at(x, indices, values, accumulate):
    if len(indices) > x._a.ndim:
        raise IndexError(f"too many indices for tensor of dimension {x._a.ndim} (got {len(indices)})")
    put_indexed(x, list(indices), values, accumulate)
    return x


@method
def index_put(input: Tensor, indices, values: Tensor, accumulate: bool = False) -> Tensor:
    """A copy of `input` with input[indices] = values, or += values."""
    return put_at(input.clone(), indices, values, accumulate)


# -- by position in the flattened tensor -----------------------------------------------------------------------------


def _flat_positions(index, n):
    a = index._a
    if a.dtype is not _dtypes.int64:
        raise RuntimeError("take(): Expected a long tensor for index, but got " + a.dtype.scalar_name)
    index = index.contiguous()
    check_index(index, TAKEN, n)
    return index


@method(out=True)
def take(input: Tensor, index: Tensor) -> Tensor:
    """The elements at these positions of the flattened input, in the shape of `index`."""
    n = input._a.numel
    if n == 0 and index._a.numel:
        raise IndexError("take(): tried to take from an empty tensor")
    return _index(input.reshape(-1), _flat_positions(index, n), before=0, order=None)


def _put_(self, index, source, accumulate=False):
    """Writes (or adds) `source` at these positions of the flattened tensor. In place; returns self."""
    if index._a.numel != source._a.numel:
        raise IndexError(
            "put_(): Expected source and index to have the same number of elements, but got source.numel() = "
            f"{source._a.numel}, index.numel() = {index._a.numel}"
        )
    if self._a.dtype is not source._a.dtype:
        raise RuntimeError(f"put_(): self and source expected to have the same dtype, but got self.dtype = "
                           f"{self._a.dtype.scalar_name} and source.dtype = {source._a.dtype.scalar_name}")  # fmt: skip
    index = _flat_positions(index, self._a.numel).reshape(-1)
    if self._a.contiguous:
        target = self.view(-1)
        put_at(target, [index], source.reshape(-1), accumulate)
        return self
    flat = put_at(self.reshape(-1), [index], source.reshape(-1), accumulate)
    return self.copy_(flat.reshape(self._a.shape))


tensor_method("put_", _put_)
tensor_method("put", lambda self, index, source, accumulate=False: _put_(self.clone(), index, source, accumulate))


def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """A copy of `input` in which the elements at these flat positions are replaced by (or summed with) `source`."""
    return _put_(input.clone(), index, source, accumulate)


# -- by mask ---------------------------------------------------------------------------------------------------------


@op(broadcasts=True)
def _masked_fill(x, value, mask, /):
    return K.where(mask, value, x)


_masked_fill.vjp(x=lambda g, mask: _where(mask, 0.0, g), value=lambda g, mask: _where(mask, g, 0.0))


_C_NAMES = {"float32": "float", "float64": "double", "float16": "c10::Half", "bfloat16": "c10::BFloat16", "int8": "signed char",
            "int16": "short", "int32": "int", "int64": "long", "uint8": "unsigned char"}  # fmt: skip


def _mask_args(self, mask, value):
    who = "masked_fill_"
    if mask._a.dtype is not _dtypes.bool_:
        raise RuntimeError(f"{who} only supports boolean masks, but got mask with dtype {_C_NAMES[mask._a.dtype.name]}")
    if isinstance(value, Tensor):
        if value._a.ndim:
            raise RuntimeError(
                f"{who} only supports a 0-dimensional value tensor, but got tensor with {value._a.ndim} dimension(s)."
            )
        value = value.to(self._a.dtype)
    elif self._a.dtype is _dtypes.bool_:
        value = bool(value)
    elif isinstance(value, float) and not self._a.dtype.is_floating_point:
        value = int(value)
    return value


@method
def masked_fill(input: Tensor, mask: Tensor, value) -> Tensor:
    """`value` where the mask is True, `input` elsewhere; mask and input broadcast."""
    return _masked_fill(input, _mask_args(input, mask, value), mask)


def _masked_fill_(self, mask, value):
    """`masked_fill`, in place; returns self."""
    value = _mask_args(self, mask, value)
    return apply_inplace(_masked_fill, self, value, mask, into=lambda out, x, v, m: K.where_into(out, m, v, x))


_masked_fill_.__name__ = "masked_fill_"
tensor_method("masked_fill_", _masked_fill_)


@method(out=True)
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements at which the mask is True, in one dimension; mask and input broadcast."""
    if mask._a.dtype is not _dtypes.bool_:
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    shape = tuple(broadcast_shapes(input._a.shape, mask._a.shape)) or (1,)
    x = input if input._a.shape == shape else input.expand(shape)
    indices, before, order = plan(x, [mask if mask._a.shape == shape else mask.expand(shape)])
    return _index(x, *indices, before=before, order=order)


@op
def _masked_scatter(x, source, mask, /):
    out = _copied(x)
    K.masked_scatter_into(out, mask, contig(source))
    return out


@op(name="masked_scatter_backward")
def _masked_gather(g, mask, /, *, shape):
    out = _native.empty(shape, g.dtype.code)
    K.masked_gather_into(out, mask, g)
    return out


_masked_scatter.vjp(
    x=lambda g, mask: _where(mask, 0.0, g),
    source=lambda g, mask, source_shape: _masked_gather(g, mask, shape=source_shape),
)
_masked_gather.vjp(g=lambda v, mask, g_shape: _masked_scatter(v.new_zeros(g_shape), v, mask))


def _masked_scatter_(self, mask, source):
    """Writes the elements of `source`, in order, to the places where the mask is True. In place; returns self."""
    if mask._a.dtype is not _dtypes.bool_:
        raise RuntimeError("masked_scatter_ only supports boolean masks, but got mask with dtype " + str(mask._a.dtype))
    if self._a.dtype is not source._a.dtype:
        raise RuntimeError(f"masked_scatter_: expected self and source to have same dtypes but got {self._a.dtype.scalar_name} "
                           f"and {source._a.dtype.scalar_name}")  # fmt: skip
    if mask._a.shape != self._a.shape:
        mask = mask.expand(self._a.shape)
    return apply_inplace(
        _masked_scatter, self, source, mask, into=lambda out, x, v, m: K.masked_scatter_into(out, m, contig(v))
    )


tensor_method("masked_scatter_", _masked_scatter_)


@method
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """A copy of `input` in which the places where the mask is True hold the elements of `source`, in order."""
    shape = tuple(broadcast_shapes(input._a.shape, mask._a.shape))
    return _masked_scatter_(input.expand(shape).clone(), mask.expand(shape), source)
