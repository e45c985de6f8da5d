"""Reductions to one value: sums, means, products, logic, variances."""

from __future__ import annotations

import math
import warnings

from .. import _check as check
from .. import _dtypes, _native
from .._kernels import K
from ..autograd.autocast import full_precision
from ..autograd.op import op
from ..autograd.tensor import Tensor
from ._declare import contig, method, numpy_names
from .creation import _cast
from .pointwise import _where, isnan
from .scan import _cumprod
from .shape import cat

__all__ = [
    "sum", "mean", "nansum", "nanmean", "prod", "all", "any", "count_nonzero", "logsumexp", "var", "std", "var_mean",
    "std_mean",
]  # fmt: skip


def _restore(g, shape, dim, keepdim):
    """A reduced gradient with its dimensions back (size 1), ready to broadcast."""
    if keepdim or not shape:
        return g
    if dim is None or dim == () or dim == []:
        return g.reshape((1,) * len(shape))
    for d in sorted(check.dims(dim, len(shape))):
        g = g.unsqueeze(d)
    return g


def _count(shape, dim):
    """How many elements are reduced to one."""
    mask = check.mask_of(dim, len(shape))
    return math.prod(s for d, s in enumerate(shape) if mask >> d & 1)


def _float_or(input, dtype):
    return input if dtype is None else input.to(dtype)


# -- sums and means --------------------------------------------------------------------------------------------------


@op
def _sum(x, /, *, dim, keepdim, dtype):
    if dtype is not None and x.dtype is not dtype:
        if x.dtype is _dtypes.bool_ and dtype is _dtypes.int64:
            return K.count(x, check.mask_of(dim, x.ndim), keepdim)
        x = _cast(x, dtype)
    return K.sum(x, check.mask_of(dim, x.ndim), keepdim)


@_sum.vjp
def _(g, x_shape, x_dtype, *, dim, keepdim):
    g = _restore(g, x_shape, dim, keepdim).expand(x_shape)
    return g if g.dtype is x_dtype else g.to(x_dtype)


@method(out=True)
@numpy_names
def sum(input: Tensor, dim=None, keepdim: bool = False, *, dtype=None) -> Tensor:
    """The sum over all elements, or over the given dimension(s). Integers and bools are summed as int64."""
    if dtype is None and not input._a.dtype.is_floating_point:
        dtype = _dtypes.int64
    if dim == ():
        dim = None
    return _sum(input, dim=dim, keepdim=keepdim, dtype=dtype)


@op
def _mean(x, /, *, dim, keepdim):
    mask = check.mask_of(dim, x.ndim)
    n = math.prod(s for d, s in enumerate(x.shape) if mask >> d & 1)
    return K.sum(x, mask, keepdim, 1.0 / n if n else math.nan)


@_mean.vjp
def _(g, x_shape, *, dim, keepdim):
    return _restore(g / _count(x_shape, dim), x_shape, dim, keepdim).expand(x_shape)


@method(out=True)
@numpy_names
def mean(input: Tensor, dim=None, keepdim: bool = False, *, dtype=None) -> Tensor:
    """The mean over all elements, or over the given dimension(s).

    Raises: RuntimeError for integers without `dtype`.
    """
    input = _float_or(input, dtype)
    if not input._a.dtype.is_floating_point:
        raise RuntimeError(
            "mean(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. Got: "
            + input._a.dtype.scalar_name
        )
    return _mean(input, dim=None if dim == () else dim, keepdim=keepdim)


@method(out=True)
@numpy_names
def nansum(input: Tensor, dim=None, keepdim: bool = False, *, dtype=None) -> Tensor:
    """The sum, with NaN counted as zero."""
    if input._a.dtype.is_floating_point:
        input = _where(isnan(input), 0.0, input)
    return sum(input, dim, keepdim, dtype=dtype)


@method(out=True)
@numpy_names
def nanmean(input: Tensor, dim=None, keepdim: bool = False, *, dtype=None) -> Tensor:
    """The mean of the elements that are not NaN."""
    if not input._a.dtype.is_floating_point:
        raise RuntimeError(
            "nanmean(): expected input to have floating point or complex dtype but got " + input._a.dtype.scalar_name
        )
    return nansum(input, dim, keepdim, dtype=dtype) / sum(~isnan(input), dim, keepdim)


# -- products --------------------------------------------------------------------------------------------------------


@op
def _prod(x, /, *, dim, keepdim):
    return K.prod(x, check.mask_of(dim, x.ndim), keepdim)


@op(differentiable=False)
def _prod_backward(g, x, out, /, *, dim):
    x = contig(x)
    flat = x.view((x.numel,)) if dim is None else x
    return K.prod_backward(contig(g), flat, contig(out), dim or 0).view(x.shape)


@_prod.vjp
def _(g, x, out, *, dim, keepdim):
    if not _native.is_grad_enabled():
        return _prod_backward(g, x, out, dim=dim)
    # No division, for there may be zeros: the product of everything before an element and of everything after it.
    shape = x._a.shape
    flat = x.reshape(-1) if dim is None else x.transpose(dim, -1)
    n, dims = flat._a.shape[-1], flat._a.ndim - 1
    ones = flat.new_ones((*flat._a.shape[:-1], 1))
    before = _cumprod(cat([ones, flat.narrow(-1, 0, n - 1)], -1), dim=dims, reverse=False)
    after = _cumprod(cat([flat.narrow(-1, 1, n - 1), ones], -1), dim=dims, reverse=True)
    others = before * after
    others = others.reshape(shape) if dim is None else others.transpose(dim, -1)
    return _restore(g, shape, dim, keepdim) * others


@method(out=True)
@numpy_names
@full_precision
def prod(input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype=None) -> Tensor:
    """The product over all elements, or along one dimension. Integers and bools are multiplied as int64."""
    if dtype is None and not input._a.dtype.is_floating_point:
        dtype = _dtypes.int64
    if isinstance(dim, (tuple, list)):
        raise TypeError(
            "prod() received an invalid combination of arguments - got (tuple), but expected one dim as int"
        )
    if dim is not None:
        dim = check.dim(dim, input._a.ndim)
    return _prod(_float_or(input, dtype), dim=dim, keepdim=keepdim)


# -- logic and counting ----------------------------------------------------------------------------------------------


def _logic(name, doc):
    kernel = getattr(K, name)

    @op(name=name, differentiable=False)
    def call(x, /, *, dim, keepdim):
        out = kernel(x, check.mask_of(dim, x.ndim), keepdim)
        return out if x.dtype is not _dtypes.uint8 else _cast(out, _dtypes.uint8)

    def function(input, dim=None, keepdim=False):
        return call(input, dim=dim, keepdim=keepdim)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return method(out=True)(numpy_names(function))


all = _logic("all", "Whether all elements are non-zero; over the given dimension(s) or all. uint8 gives uint8.")
any = _logic("any", "Whether an element is non-zero; over the given dimension(s) or all. uint8 gives uint8.")


@method
@numpy_names
def count_nonzero(input: Tensor, dim=None) -> Tensor:
    """How many elements are not zero."""
    return sum(input if input._a.dtype is _dtypes.bool_ else input != 0, dim)


# -- logsumexp -------------------------------------------------------------------------------------------------------


@op
def _logsumexp(x, /, *, dim, keepdim):
    mask = check.mask_of(dim, x.ndim)
    if x.numel == 0:
        return K.log(K.sum(x, mask, keepdim))
    high = K.amax(x, mask, 1)
    high = K.where(K.isfinite(high), high, 0.0)
    total = K.log(K.sum(K.exp(K.sub(x, high)), mask, 1))
    out = K.add(total, high)
    return out if keepdim else out.view([s for d, s in enumerate(x.shape) if not mask >> d & 1])


_logsumexp.vjp(x=lambda g, x, out, dim, keepdim: _restore(g, x._a.shape, dim, keepdim)
               * (x - _restore(out, x._a.shape, dim, keepdim)).exp())  # fmt: skip


@method(out=True)
@numpy_names
def logsumexp(input: Tensor, dim, keepdim: bool = False) -> Tensor:
    """log(sum(exp(input))) over the given dimension(s), without overflow."""
    if not input._a.dtype.is_floating_point:
        input = input.to(_native.default_dtype())
    return _logsumexp(input, dim=dim, keepdim=keepdim)


# -- variance --------------------------------------------------------------------------------------------------------


@op
def _var(x, /, *, dim, keepdim, correction):
    return K.var_mean(x, check.mask_of(dim, x.ndim), keepdim, float(correction))[0]


@op
def _var_mean(x, /, *, dim, keepdim, correction):
    return K.var_mean(x, check.mask_of(dim, x.ndim), keepdim, float(correction))


def _var_grad(g, x, dim, keepdim, correction):
    dof = _count(x._a.shape, dim) - correction
    scale = 2.0 / dof if dof > 0 else math.inf
    return (x - _mean(x, dim=dim, keepdim=True)) * _restore(g * scale, x._a.shape, dim, keepdim)


_var.vjp(x=_var_grad)


@_var_mean.vjp
def _(g, x, *, dim, keepdim, correction):
    total = None
    if g[0] is not None:
        total = _var_grad(g[0], x, dim, keepdim, correction)
    if g[1] is not None:
        shape = x._a.shape
        through_mean = _restore(g[1] / _count(shape, dim), shape, dim, keepdim).expand(shape)
        total = through_mean if total is None else total + through_mean
    return total


@op
def _std(x, /, *, dim, keepdim, correction):
    return K.sqrt(K.var_mean(x, check.mask_of(dim, x.ndim), keepdim, float(correction))[0])


@_std.vjp
def _(g, x, out, *, dim, keepdim, correction):
    return _var_grad(_where(out == 0, 0.0, g / (2 * out)), x, dim, keepdim, correction)


_MISSING = object()


def _var_args(name, input, args, dim, unbiased, correction, keepdim):
    """(dim, correction, keepdim) from both of PyTorch's signatures: (unbiased) and (dim, unbiased, keepdim)."""
    args = list(args)
    if args and isinstance(args[0], bool):
        unbiased = args.pop(0)
    elif args:
        dim = args.pop(0)
    if args:
        unbiased = args.pop(0)
    if args:
        keepdim = args.pop(0)
    if not input._a.dtype.is_floating_point:
        raise RuntimeError("std and var only support floating point and complex dtypes")
    if correction is _MISSING or correction is None:
        correction = 1 if unbiased else 0
    dim = None if dim == () or dim == [] else dim
    if _count(input._a.shape, dim) - correction <= 0:
        warnings.warn(
            f"{name}(): degrees of freedom is <= 0. Correction should be strictly less than the reduction "
            "factor (input numel divided by output numel).",
            UserWarning,
            stacklevel=5,
        )
    return {"dim": dim, "keepdim": keepdim, "correction": correction}


def _variance(name, call, doc, finish=None):
    def function(input, *args, dim=None, unbiased=True, correction=_MISSING, keepdim=False):
        attrs = _var_args(name, input, args, dim, unbiased, correction, keepdim)
        out = call(input, **attrs)
        return out if finish is None else finish(out)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return numpy_names(function)


_FORMULA = ("sum((x - mean)**2) / (n - correction)", "Arguments: (dim, unbiased=True, keepdim=False), or by name.")
var = method(out=True)(_variance("var", _var, f"The variance, {_FORMULA[0]}. {_FORMULA[1]}"))
std = method(out=True)(_variance("std", _std, f"The standard deviation, the root of {_FORMULA[0]}. {_FORMULA[1]}"))
var_mean = _variance("var_mean", _var_mean, f"(variance, mean). {_FORMULA[1]}")


def std_mean(input: Tensor, *args, **kwargs):
    """(standard deviation, mean). Arguments as for `std`."""
    return std(input, *args, **kwargs), _mean_like(input, *args, **kwargs)


def _mean_like(input, *args, **kwargs):
    kwargs.pop("unbiased", None), kwargs.pop("correction", None)
    args = [a for i, a in enumerate(args) if i != 1 and not (i == 0 and isinstance(a, bool))]
    return mean(input, *args, **kwargs)
