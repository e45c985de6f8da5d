"""gather and scatter: one index per element, along one dimension; and parts of a copy replaced."""

from __future__ import annotations

import numbers

from .. import _check as check
from .. import _dtypes, _native
from .._kernels import K
from ..autograd.inplace import apply_inplace
from ..autograd.op import op
from ..autograd.tensor import Tensor
from ._declare import method, tensor_method, write_out
from ._values import NO_ZEROS, check_floats
from .pointwise import _where
from .shape import _expand, broadcast_shapes

__all__ = [
    "gather", "take_along_dim", "scatter", "scatter_add", "scatter_reduce", "select_scatter", "slice_scatter",
    "diagonal_scatter",
]  # fmt: skip


def _copied(a):
    out = _native.empty(a.shape, a.dtype.code)
    K.copy_into(out, a)
    return out


# -- gather and scatter ----------------------------------------------------------------------------------------------


@op
def _gather(x, index, /, *, dim):
    return K.gather(x, index, dim)


@op
def _gather_backward(g, index, /, *, shape, dim):
    out = _native.empty(shape, g.dtype.code)
    K.fill_into(out, 0)
    K.scatter_into(out, g, index, dim, 1)
    return out


_gather.vjp(x=lambda g, x_shape, index, dim: _gather_backward(g, index, shape=x_shape, dim=dim))
_gather_backward.vjp(g=lambda g, index, dim: _gather(g, index, dim=dim))


def _check_gather(who, input, dim, index):
    a, i = input._a, index._a
    d = check.dim(dim, a.ndim)
    if i.dtype is not _dtypes.int64:
        if i.dtype is not _dtypes.int32:
            raise RuntimeError(f"{who}(): Expected dtype int32/int64 for index")
        index = index.long()
    if i.numel == 0:
        return index, d
    if max(a.ndim, 1) != max(i.ndim, 1):
        raise RuntimeError(
            f"Index tensor must have the same number of dimensions as {'input' if who == 'gather' else 'self'} tensor"
        )
    for k in range(min(a.ndim, i.ndim)):
        if k != d and i.shape[k] > a.shape[k]:
            if who == "gather":
                raise RuntimeError(
                    f"Size does not match at dimension {k} expected index {list(i.shape)} to be no larger than self "
                    f"{list(a.shape)} apart from dimension {d}"
                )
            return index, -1 - d
    return index, d


@method
def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False, out=None) -> Tensor:
    """out[i][j] = input[index[i][j]][j] for dim 0, and likewise for other dimensions.

    Raises: RuntimeError for an index out of range or of another number of dimensions.
    """
    index, d = _check_gather("gather", input, dim, index)
    result = _gather_any(input, index, d)
    if out is None:
        return result
    return write_out(out, result)


def _gather_any(input, index, d):
    if input._a.ndim != index._a.ndim:  # 0-d and 1-d go together
        if index._a.ndim == 0:
            return _gather(input, index.reshape(1), dim=0).reshape(())
        input = input.reshape(1)
    return _gather(input, index, dim=d)


@method
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """gather with `input` and `indices` broadcast against each other; without `dim`, on the flattened input."""
    if indices._a.dtype is not _dtypes.int64:
        raise RuntimeError(
            "torch.take_along_dim(): dtype of indices should be Long but got " + indices._a.dtype.scalar_name
        )
    if dim is None:
        return gather(input.reshape(-1), 0, indices.reshape(-1))
    if input._a.ndim != indices._a.ndim:
        raise RuntimeError("torch.take_along_dim(): input and indices should have the same number of dimensions, but got "
                           f"{input._a.ndim} dimensions for input, and {indices._a.ndim} dimensions for indices")  # fmt: skip
    d = check.dim(dim, input._a.ndim)
    shape = broadcast_shapes([1 if i == d else s for i, s in enumerate(input._a.shape)],
                             [1 if i == d else s for i, s in enumerate(indices._a.shape)])  # fmt: skip
    at = lambda x: tuple(x._a.shape[d] if i == d else s for i, s in enumerate(shape))  # noqa: E731
    return gather(input.expand(at(input)), d, indices.expand(at(indices)))


_MODES = {"set": 0, "sum": 1, "prod": 2, "amax": 3, "amin": 4}


@op
def _scatter(x, src, index, /, *, dim):
    out = _copied(x)
    K.scatter_into(out, src, index, dim, 0)
    return out


@_scatter.vjp
def _(g, index, src_shape, *, dim, needs):
    gx = _scatter(g, _expand(g.new_zeros(()), shape=index._a.shape), index, dim=dim) if needs[0] else None
    return gx, _narrowed(_gather(g, index, dim=dim), src_shape) if needs[1] else None


def _narrowed(g, shape):
    """The gradient of a source that is larger than the index: the rest gets zeros."""
    if g._a.shape == shape:
        return g
    out = g.new_zeros(shape)
    return _paste(out, g)


@op
def _paste(x, part, /):
    out = _copied(x)
    K.copy_into(_corner(out, part.shape), part)
    return out


def _corner(a, shape):
    return a.as_strided(shape, a.strides, a.offset)


@op
def _crop(x, /, *, shape):
    return _copied(_corner(x, shape))


_paste.vjp(
    x=lambda g, part_shape: _paste(g, g.new_zeros(part_shape)), part=lambda g, part_shape: _crop(g, shape=part_shape)
)
_crop.vjp(x=lambda g, x_shape: _paste(g.new_zeros(x_shape), g))


@op
def _scatter_add(x, src, index, /, *, dim):
    out = _copied(x)
    K.scatter_into(out, src, index, dim, 1)
    return out


@_scatter_add.vjp
def _(g, index, src_shape, *, dim, needs):
    return g if needs[0] else None, _narrowed(_gather(g, index, dim=dim), src_shape) if needs[1] else None


@op
def _scatter_reduce(x, src, index, /, *, dim, reduce, include_self):
    out = _copied(x)
    if not include_self:
        start = {"sum": 0, "mean": 0, "prod": 1, "amax": _lowest(x.dtype), "amin": _highest(x.dtype)}[reduce]
        first = _native.empty((), x.dtype.code)
        K.fill_into(first, start)
        K.scatter_into(out, first.expand(index.shape), index, dim, 0)
    K.scatter_into(out, src, index, dim, _MODES["sum" if reduce == "mean" else reduce])
    if reduce == "mean":
        count = _count(x, index, dim, include_self)
        K.copy_into(out, K.div(out, count) if x.dtype.is_floating_point else K.floor_divide(out, count))
    return out


def _count(x, index, dim, include_self):
    """How many values each element of a scatter mean averages; at least 1."""
    count = _native.empty(x.shape, x.dtype.code)
    K.fill_into(count, 1 if include_self else 0)
    one = _native.empty((), x.dtype.code)
    K.fill_into(one, 1)
    K.scatter_into(count, one.expand(index.shape), index, dim, 1)
    return count if include_self else K.maximum(count, one)


def _lowest(d):
    return float("-inf") if d.is_floating_point else 0 if d is _dtypes.bool_ else _dtypes.iinfo(d).min


def _highest(d):
    return float("inf") if d.is_floating_point else 1 if d is _dtypes.bool_ else _dtypes.iinfo(d).max


@_scatter_reduce.vjp
def _(g, x, src, index, out, *, dim, reduce, include_self):
    def spread(t):
        return _gather(t, index, dim=dim)

    n = index._a.shape
    part = _crop(src, shape=n) if src._a.shape != n else src
    if reduce == "sum":
        gx, gs = g, spread(g)
    elif reduce == "mean":
        count = _native.wrap(_count(x._a, index._a, dim, include_self))
        gx, gs = g / count, spread(g / count)
    elif reduce == "prod":
        masked = (x == 0).to(g.dtype)
        zeros = _scatter_add(masked if include_self else masked * 0, (part == 0).to(g.dtype), index, dim=dim)
        check_floats(zeros, NO_ZEROS)
        gx, gs = g * out / x, spread(g * out) / part
    else:
        self_is = (x == out).to(g.dtype)
        src_is = (part == spread(out)).to(g.dtype)
        ties = _scatter_add(self_is if include_self else self_is * 0, src_is, index, dim=dim)
        share = g / _where(ties == 0, 1.0, ties)
        gx, gs = share * self_is, spread(share) * src_is
    if not include_self:
        gx = _scatter(gx if reduce == "sum" else g, _expand(g.new_zeros(()), shape=index._a.shape), index, dim=dim)
    return gx, _narrowed(gs, src._a.shape)


def _scatter_args(who, self, dim, index, src):
    index, d = _check_gather("scatter", self, dim, index)
    a, i = self._a, index._a
    if isinstance(src, numbers.Number):
        number = _native.empty((), a.dtype.code)
        K.fill_into(number, src)
        src = _native.wrap(number.expand(i.shape))
    s = src._a
    if s.dtype is not a.dtype:
        raise RuntimeError(f"{who}: Expected self.dtype to be equal to src.dtype")
    if i.numel:
        if max(s.ndim, 1) != max(i.ndim, 1):
            raise RuntimeError("Index tensor must have the same number of dimensions as src tensor")
        small = any(n > m for n, m in zip(i.shape, s.shape, strict=False))
        if d < 0 or small:
            d = -1 - d if d < 0 else d
            raise RuntimeError(
                f"Expected index {list(i.shape)} to be no larger than self {list(a.shape)} apart from dimension {d} and to be "
                f"no larger size than src {list(s.shape)}"
            )
    if a.ndim == 0 and i.ndim == 1:
        return index.reshape(()), src.reshape(-1)[0] if i.numel else src, d
    if i.ndim == 0 and a.ndim == 1:
        index = index.reshape(1)
    if s.ndim == 0 and index._a.ndim == 1:
        src = src.reshape(1)
    return index, src, d


def _scatter_call(self, dim, index, src, reduce, inplace):
    index, src, d = _scatter_args("scatter()", self, dim, index, src)
    if index._a.numel == 0:
        return self if inplace else self.clone()
    if reduce is None:
        call, attrs, mode = _scatter, {}, 0
    elif reduce in ("add", "multiply"):
        call, attrs, mode = (_scatter_add, {}, 1) if reduce == "add" else (
            _scatter_reduce, {"reduce": "prod", "include_self": True}, 2)  # fmt: skip
    else:
        raise RuntimeError("reduce argument must be either add or multiply.")
    if inplace:
        into = _scatter_into(d, mode) if _apart(self._a, index._a, src._a) else None
        return apply_inplace(call, self, src, index, into=into, dim=d, **attrs)
    return call(self, src, index, dim=d, **attrs)


def _apart(a, index, src):
    """Whether what is written shares no memory with what is read."""
    return a.storage_id != src.storage_id and a.storage_id != index.storage_id


def _scatter_into(dim, mode):
    return lambda out, x, src, index: K.scatter_into(out, src, index, dim, mode)


@method(out=True)
def scatter(input: Tensor, dim: int, index: Tensor, src=None, *, value=None, reduce: str | None = None) -> Tensor:
    """A copy of `input` with out[index[i][j]][j] = src[i][j] for dim 0, and likewise for other dimensions.

    `src` may be a number. `reduce`: "add" or "multiply" combine with what is there.
    """
    return _scatter_call(input, dim, index, value if src is None else src, reduce, False)


def _scatter_(self, dim, index, src=None, *, value=None, reduce=None):
    """`scatter`, in place; returns self."""
    return _scatter_call(self, dim, index, value if src is None else src, reduce, True)


@method(out=True)
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """A copy of `input` with out[index[i][j]][j] += src[i][j] for dim 0, and likewise for other dimensions."""
    return _scatter_call(input, dim, index, src, "add", False)


def _scatter_add_(self, dim, index, src):
    """`scatter_add`, in place; returns self."""
    return _scatter_call(self, dim, index, src, "add", True)


def _reduce_call(self, dim, index, src, reduce, include_self, inplace):
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}.")
    index, src, d = _scatter_args("scatter_reduce()", self, dim, index, src)
    if index._a.numel == 0:
        return self if inplace else self.clone()
    attrs = {"dim": d, "reduce": reduce, "include_self": include_self}
    return (
        apply_inplace(_scatter_reduce, self, src, index, **attrs)
        if inplace
        else _scatter_reduce(self, src, index, **attrs)
    )


@method(out=True)
def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """scatter in which values for the same place are combined by "sum", "prod", "mean", "amax" or "amin"."""
    return _reduce_call(input, dim, index, src, reduce, include_self, False)


def _scatter_reduce_(self, dim, index, src, reduce, *, include_self=True):
    """`scatter_reduce`, in place; returns self."""
    return _reduce_call(self, dim, index, src, reduce, include_self, True)


for _name, _function in {
    "scatter_": _scatter_,
    "scatter_add_": _scatter_add_,
    "scatter_reduce_": _scatter_reduce_,
}.items():
    _function.__name__ = _function.__qualname__ = _name
    tensor_method(_name, _function)


# -- parts replaced in a copy ----------------------------------------------------------------------------------------


@method
def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """A copy of `input` in which select(dim, index) is `src`."""
    return _with_part(input, src, lambda x: x.select(dim, index))


@method
def slice_scatter(input: Tensor, src: Tensor, dim: int = 0, start=None, end=None, step: int = 1) -> Tensor:
    """A copy of `input` in which the slice start:end:step along `dim` is `src`."""
    d = check.dim(dim, input._a.ndim)
    return _with_part(input, src, lambda x: x[(slice(None),) * d + (slice(start, end, step),)])


@method
def diagonal_scatter(input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A copy of `input` in which the diagonal is `src`."""
    return _with_part(input, src, lambda x: x.diagonal(offset, dim1, dim2))


def _with_part(input, src, part):
    out = input.clone()
    view = part(out)
    if view._a.shape != src._a.shape:
        raise RuntimeError("expected src to have a size equal to the slice of self. src size = "
                           f"{list(src._a.shape)}, slice size = {list(view._a.shape)}")  # fmt: skip
    view.copy_(src)
    return out
