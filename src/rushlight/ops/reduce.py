"""Reductions: sums, means, extrema, norms."""

from __future__ import annotations

import math

from .. import _check as check
from .. import _dtypes
from .._kernels import K
from ..autograd.op import op
from ..autograd.tensor import Tensor
from ._declare import method

__all__ = ["sum", "mean"]


def _restore(g, shape, dim, keepdim):
    """A reduced gradient with its dimensions back (size 1), ready to broadcast."""
    if keepdim or not shape:
        return g
    if dim is None:
        return g.reshape((1,) * len(shape))
    for d in sorted(check.dims(dim, len(shape))):
        g = g.unsqueeze(d)
    return g


@op
def _sum(x, /, *, dim, keepdim, dtype):
    if dtype is not None and x.dtype is not dtype:
        from .creation import _cast

        x = _cast(x, dtype)
    return K.sum(x, check.mask_of(dim, x.ndim), keepdim)


@_sum.vjp
def _(g, x_shape, x_dtype, *, dim, keepdim):
    g = _restore(g, x_shape, dim, keepdim).expand(x_shape)
    return g if g.dtype is x_dtype else g.to(x_dtype)


@method(out=True)
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
    mask = check.mask_of(dim, len(x_shape))
    n = math.prod(s for d, s in enumerate(x_shape) if mask >> d & 1)
    return _restore(g / n, x_shape, dim, keepdim).expand(x_shape)


@method(out=True)
def mean(input: Tensor, dim=None, keepdim: bool = False, *, dtype=None) -> Tensor:
    """The mean over all elements, or over the given dimension(s).

    Raises: RuntimeError for integers without `dtype`.
    """
    if dtype is not None:
        input = input.to(dtype)
    if not input._a.dtype.is_floating_point:
        raise RuntimeError(
            "mean(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. Got: "
            + input._a.dtype.scalar_name
        )
    return _mean(input, dim=None if dim == () else dim, keepdim=keepdim)


