"""Sorting, order statistics, distinct values, and searching in what is sorted."""

from __future__ import annotations

import builtins

import numpy as np

from .. import _check as check
from .. import _dtypes, _native, return_types
from .._kernels import K
from ..autograd.autocast import full_precision
from ..autograd.op import op
from ..autograd.tensor import Tensor
from ._declare import contig, method, numpy_names
from ._values import NANQUANTILES, QUANTILES, check_floats
from .creation import result_type, tensor
from .extrema import _shared, check_not_empty, select_along
from .indexing import nonzero
from .pointwise import _where, isnan
from .scatter import _gather, _gather_backward
from .shape import cat

__all__ = [
    "sort", "argsort", "msort", "topk", "kthvalue", "median", "nanmedian", "mode", "quantile", "nanquantile", "unique",
    "unique_consecutive", "searchsorted", "bucketize", "isin", "bincount", "histc",
]  # fmt: skip


# -- order -----------------------------------------------------------------------------------------------------------


@op(grad_name="SortBackward0")
def _sort(x, /, *, dim, descending):
    return K.sort(contig(x), dim, descending)


@op
def _topk(x, /, *, k, dim, largest):
    return K.topk(contig(x), dim, k, largest)


def _unsorted(g, out_1, x_shape, dim):
    return _gather_backward(g[0], out_1, shape=x_shape, dim=dim)


_sort.vjp(x=_unsorted)
_topk.vjp(x=_unsorted)


@numpy_names
def _sort_method(input, *args, dim=-1, descending=False, stable=None):
    if args and isinstance(args[0], int) and not isinstance(args[0], bool):
        dim, args = args[0], args[1:]
    if args:
        descending = args[0]
    return return_types.sort(*_sort(input, dim=check.dim(dim, input._a.ndim), descending=bool(descending)))


@method(out=True)
def sort(input: Tensor, *args, **kwargs):
    """(values, indices) in ascending order along `dim` (the last), or descending. NaN is the largest; equal elements keep
    their order. Arguments: (dim=-1, descending=False, stable=False).
    """
    return _sort_method(input, *args, **kwargs)


@method
@numpy_names
def argsort(input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool = False) -> Tensor:
    """The indices that sort along `dim`."""
    return sort(input, dim=dim, descending=descending)[1]


@method
def msort(input: Tensor) -> Tensor:
    """The values sorted along the first dimension."""
    return sort(input, dim=0)[0]


@method(out=True)
@numpy_names
def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True):
    """(values, indices) of the k largest (or smallest) elements along `dim`, in order.

    Raises: RuntimeError if there are not k elements.
    """
    a = input._a
    d = check.dim(dim, a.ndim)
    if not 0 <= k <= (a.shape[d] if a.ndim else 1):
        raise RuntimeError("selected index k out of range")
    return return_types.topk(*_topk(input, k=int(k), dim=d, largest=bool(largest)))


# -- one element of the order ----------------------------------------------------------------------------------------

_KTH, _MEDIAN, _NANMEDIAN = range(3)


def _selection(name, kernel):
    @op(name=name)
    def call(x, /, *, dim, keepdim, numbers):
        if x.ndim == 0:
            values, where = kernel(x.view((1,)), 0, False, *numbers)
            return values, where
        return kernel(contig(x), dim, keepdim, *numbers)

    call.vjp(x=lambda g, out_1, x_shape, dim, keepdim: select_along(g[0], out_1, x_shape, dim, keepdim))
    return call


_kthvalue, _mode = _selection("kthvalue", K.kth), _selection("mode", K.mode)
_median_dim, _nanmedian_dim = _selection("median_dim", K.kth), _selection("nanmedian_dim", K.kth)


@method(out=True)
@numpy_names
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False):
    """(value, index) of the k-th smallest element along `dim`, counted from 1."""
    a = input._a
    d = check.dim(dim, a.ndim)
    check_not_empty("kthvalue", a, d)
    if not 1 <= k <= (a.shape[d] if a.ndim else 1):
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {d}")
    return return_types.kthvalue(*_kthvalue(input, dim=d, keepdim=keepdim, numbers=(_KTH, k)))


@method(out=True)
@numpy_names
def mode(input: Tensor, dim: int = -1, keepdim: bool = False):
    """(value, index) of the most frequent element along `dim`; the smallest of several."""
    d = check.dim(dim, input._a.ndim)
    check_not_empty("mode", input._a, d)
    return return_types.mode(*_mode(input, dim=d, keepdim=keepdim, numbers=()))


def _median_of(name, which, along, doc):
    @op(name=name + "_all", grad_name=name.title() + "Backward0")
    def whole(x, /):
        return K.kth(contig(x).view((x.numel,)), 0, False, which, 0)[0]

    whole.vjp(x=lambda g, x, out: _shared(g, x, out, None, False))
    result = getattr(return_types, name)

    def function(input, dim=None, keepdim=False):
        if dim is None:
            return whole(input) if input._a.numel else tensor(float("nan"), dtype=input._a.dtype)
        d = check.dim(dim, input._a.ndim)
        check_not_empty(name, input._a, d)
        return result(*along(input, dim=d, keepdim=keepdim, numbers=(which, 0)))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return method(out=True)(numpy_names(function))


median = _median_of(
    "median", _MEDIAN, _median_dim, "The lower median of all, or (value, index) along `dim`; NaN if there is one."
)
nanmedian = _median_of("nanmedian", _NANMEDIAN, _nanmedian_dim, "The lower median of what is not NaN; as `median`.")


_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def _quantile_args(name, input, q, dim, interpolation):
    if input._a.numel == 0:
        raise RuntimeError(f"{name}() input tensor must be non-empty")
    if input._a.dtype not in (_dtypes.float32, _dtypes.float64):
        raise RuntimeError(f"{name}() input tensor must be either float or double dtype")
    if interpolation not in _INTERPOLATIONS:
        raise RuntimeError(
            f"{name}() interpolation must be one of linear, lower, higher, midpoint or nearest, but got {interpolation}"
        )
    if isinstance(q, Tensor):
        if q._a.ndim > 1:
            raise RuntimeError(f"{name}() q must be a scalar or 1D tensor")
        if q._a.dtype is not input._a.dtype:
            raise RuntimeError(f"{name}() q tensor must be same dtype as the input tensor")
        check_floats(q, QUANTILES if name == "quantile" else NANQUANTILES)
    else:
        if not 0 <= q <= 1:
            raise RuntimeError(f"{name}() q must be in the range [0, 1] but got {q:g}")
        q = tensor(q, dtype=input._a.dtype)
    return q, None if dim is None else check.dim(dim, input._a.ndim)


def _quantile(name, input, q, dim, keepdim, interpolation, ignore_nan):
    q, d = _quantile_args(name, input, q, dim, interpolation)
    x = input.reshape(-1) if d is None else input.movedim(d, -1) if input._a.ndim else input.reshape(1)
    rows = sort(x)[0]
    n = rows._a.shape[-1]
    if ignore_nan:
        last = (~isnan(x)).sum(-1, keepdim=True) - 1
        rank = q.reshape(-1) * _where(last < 0, 0, last).to(rows.dtype)
    else:
        rank = (q.reshape(-1) * (n - 1)).expand((*rows._a.shape[:-1], q._a.numel))
        rank = _where(isnan(x).sum(-1, keepdim=True) > 0, float(n - 1), rank)
    if interpolation in ("lower", "higher", "nearest"):
        rank = {"lower": rank.floor, "higher": rank.ceil, "nearest": rank.round}[interpolation]()
    below = rank.floor()
    out = _gather(rows, below.long(), dim=rows._a.ndim - 1)
    if interpolation in ("linear", "midpoint"):
        weight = rank - below if interpolation == "linear" else rank.new_full(rank._a.shape, 0.5)
        upper = _gather(rows, rank.ceil().long(), dim=rows._a.ndim - 1)
        out = out.lerp(upper, weight)
    if keepdim:
        out = out.unsqueeze(-2) if d is None else out.unsqueeze(-2).movedim(-2, -1).movedim(-1, d)
        if d is None:
            out = out.reshape((*(1,) * input._a.ndim, q._a.numel))
        out = out.movedim(-1, 0) if d is None else _keep(out, d)
    else:
        out = out.movedim(-1, 0)
    return out.squeeze(0) if q._a.ndim == 0 else out


def _keep(out, d):
    return out.movedim(-1, 0)


@method(out=True)
@numpy_names
@full_precision
def quantile(
    input: Tensor, q, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Tensor:
    """The q-quantiles (q: a number or 1-d tensor, each in [0, 1]) of all elements or along `dim`; those of q come first."""
    return _quantile("quantile", input, q, dim, keepdim, interpolation, False)


@method(out=True)
@numpy_names
@full_precision
def nanquantile(
    input: Tensor, q, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Tensor:
    """`quantile` of the elements that are not NaN."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, True)


# -- distinct values -------------------------------------------------------------------------------------------------


def _runs(sorted_values, inverse, counts):
    """Values, group numbers and counts of the runs of equal elements in a 1-d tensor."""
    x = sorted_values
    n = x._a.numel
    first = x[1:] != x[:-1] if n else x.bool()
    first = cat([first.new_ones(1), first]) if n else first
    starts = nonzero(first).reshape(-1)
    groups = first.cumsum(0) - 1 if inverse else None
    sizes = cat([starts[1:], starts.new_full((1,), n)]) - starts if counts and n else starts
    return x[starts], groups, sizes


def _results(values, inverse, counts):
    out = [values, *(x for x in (inverse, counts) if x is not None)]
    return out[0] if len(out) == 1 else tuple(out)


def _unique_rows(input, return_inverse, return_counts, d):
    a = np.asarray(input.detach()._a if input._a.dtype is not _dtypes.bfloat16 else input.detach().float()._a)
    values, inverse, counts = np.unique(a, axis=d, return_inverse=True, return_counts=True)
    wrap = lambda v: tensor(np.ascontiguousarray(v))  # noqa: E731
    return _results(wrap(values).to(input.dtype), wrap(inverse.reshape(-1)) if return_inverse else None,
                    wrap(counts) if return_counts else None)  # fmt: skip


@method
def unique(input: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim=None):
    """The distinct elements, or the distinct parts along `dim`, sorted. Optionally where each element went, and how many."""
    x = input.detach()
    if dim is not None:
        return _unique_rows(x, return_inverse, return_counts, check.dim(dim, x._a.ndim))
    ordered, where = sort(x.reshape(-1))
    values, groups, counts = _runs(ordered, return_inverse, return_counts)
    inverse = None
    if return_inverse:
        inverse = groups.new_zeros(groups._a.shape).scatter(0, where, groups).reshape(x._a.shape)
    return _results(values, inverse, counts if return_counts else None)


@method
def unique_consecutive(input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim=None):
    """Runs of equal elements (or parts along `dim`) reduced to one each."""
    x = input.detach()
    if dim is None:
        values, groups, counts = _runs(x.reshape(-1), return_inverse, return_counts)
        return _results(
            values, groups.reshape(x._a.shape) if return_inverse else None, counts if return_counts else None
        )
    d = check.dim(dim, x._a.ndim)
    rows = x.movedim(d, 0)
    n = rows._a.shape[0]
    first = cat([x.new_ones(1).bool(), (rows[1:] != rows[:-1]).reshape(n - 1, -1).any(1)])
    starts = nonzero(first).reshape(-1)
    counts = cat([starts[1:], starts.new_full((1,), n)]) - starts if return_counts else None
    return _results(x.index_select(d, starts), first.cumsum(0) - 1 if return_inverse else None, counts)


# -- searching and counting ------------------------------------------------------------------------------------------


@op(differentiable=False)
def _searchsorted(edges, values, sorter, /, *, right):
    return K.searchsorted(edges, values, sorter, right)


def searchsorted(sorted_sequence: Tensor, input, *, out_int32: bool = False, right: bool = False, side: str | None = None,
                 sorter: Tensor | None = None, out=None) -> Tensor:  # fmt: skip
    """Where to insert the values so that each (last-dimension) row stays sorted: the first place, or the last if `right`."""
    if side not in (None, "left", "right"):
        raise RuntimeError(f"torch.searchsorted(): side can only be 'left' or 'right' but got {side}")
    if side == "left" and right:
        raise RuntimeError(
            "torch.searchsorted(): side and right can't be set to opposites, got side of left while right was True"
        )
    values = input if isinstance(input, Tensor) else tensor(input, dtype=None)
    edges = sorted_sequence
    if edges._a.ndim != 1 and edges._a.shape[:-1] != values._a.shape[:-1]:
        raise RuntimeError(
            "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries tensor and "
            f"input value tensor must match, but we got boundaries tensor {list(edges._a.shape)} and input value tensor "
            f"{list(values._a.shape)}"
        )
    common = result_type(edges, values)
    edges, values = edges.detach().to(common).contiguous(), values.detach().to(common).contiguous()
    where = _searchsorted(
        edges, values, None if sorter is None else sorter.contiguous(), right=bool(right or side == "right")
    )
    return where.int() if out_int32 else where


def bucketize(input, boundaries: Tensor, *, out_int32: bool = False, right: bool = False, out=None) -> Tensor:
    """Which of the intervals between the sorted `boundaries` each value lies in."""
    if boundaries._a.ndim != 1:
        raise RuntimeError(f"bucketize(): boundaries tensor must be 1 dimension, but got dim({boundaries._a.ndim})")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


def isin(elements, test_elements, *, assume_unique: bool = False, invert: bool = False) -> Tensor:
    """Whether each element is among `test_elements`."""
    x = elements if isinstance(elements, Tensor) else tensor(elements)
    y = test_elements if isinstance(test_elements, Tensor) else tensor(test_elements)
    common = result_type(x.reshape(-1), y.reshape(-1))
    x, y = x.detach().to(common), sort(y.detach().to(common).reshape(-1))[0]
    n = y._a.numel
    if n == 0:
        found = x != x
        return ~found if invert else found
    at = searchsorted(y, x.contiguous())
    found = (y[_where(at == n, n - 1, at)] == x) & (at < n)
    return ~found if invert else found


@method
def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each of 0, 1, … occurs in a vector of integers, or the sums of their weights."""
    a = input._a
    if a.dtype.is_floating_point or a.dtype is _dtypes.bool_:
        raise NotImplementedError(f"\"bincount_cpu\" not implemented for '{a.dtype.scalar_name}'")
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    x = input.long().contiguous()
    if a.ndim != 1 or (a.numel and x.min().item() < 0):
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if weights is not None:
        if weights._a.shape != a.shape:
            raise RuntimeError("weights should be 1-d and have the same length as input")
        weights = weights.detach() if weights._a.dtype is _dtypes.float32 else weights.detach().to(_dtypes.float64)
    n = builtins.max(minlength, x.max().item() + 1 if a.numel else 0)
    out = _native.empty((n,), (_dtypes.int64 if weights is None else weights._a.dtype).code)
    K.fill_into(out, 0)
    K.bincount_into(out, x._a, None if weights is None else weights.contiguous()._a)
    return _native.wrap(out)


@method(out=True)
def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """Counts in `bins` equal intervals over [min, max], by default the range of the input. What lies outside is left out."""
    a = input._a
    if not a.dtype.is_floating_point:
        raise NotImplementedError(f"\"histogram_cpu\" not implemented for '{a.dtype.scalar_name}'")
    if bins <= 0:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins} for dimension 0")
    if min > max:
        raise RuntimeError("torch.histc: max must be larger than min")
    x = input.detach().contiguous()
    out = _native.empty((bins,), a.dtype.code)
    K.fill_into(out, 0)
    K.histc_into(out, x._a, float(min), float(max))
    return _native.wrap(out)
