"""Running sums, products and extrema along a dimension."""

from __future__ import annotations

from .. import _check as check
from .. import _dtypes, _native, return_types
from .._kernels import K
from ..autograd.inplace import apply_inplace
from ..autograd.op import op
from ..autograd.tensor import Tensor
from ._declare import contig, method, numpy_names, tensor_method
from .pointwise import _where
from .scatter import _gather_backward
from .shape import cat

__all__ = ["cumsum", "cumprod", "logcumsumexp", "cummax", "cummin"]


@op
def _cumsum(x, /, *, dim, reverse):
    return K.cumsum(contig(x), dim, reverse)


_cumsum.vjp(x=lambda g, dim, reverse: _cumsum(g, dim=dim, reverse=not reverse))


@op
def _cumprod(x, /, *, dim, reverse):
    return K.cumprod(contig(x), dim, reverse)


@op(differentiable=False)
def _cumprod_backward(g, x, out, /, *, dim, reverse):
    return K.cumprod_backward(contig(g), contig(x), out, dim, reverse)


@_cumprod.vjp
def _(g, x, out, *, dim, reverse):
    if not _native.is_grad_enabled():
        return _cumprod_backward(g, x, out, dim=dim, reverse=reverse)
    if not K.nonzero_count((x == 0)._a).item():
        return _cumsum(g * out, dim=dim, reverse=not reverse) / x
    # With zeros no division: the derivative for an element is the running product with a 1 in its place.
    n = x._a.shape[dim] if x._a.ndim else 1
    x, g = (x.reshape(1), g.reshape(1)) if x._a.ndim == 0 else (x, g)
    parts = []
    for k in range(n):
        one = x.narrow(dim, k, 1)
        rest = cat([x.narrow(dim, 0, k), one.new_ones(one._a.shape), x.narrow(dim, k + 1, n - k - 1)], dim)
        reached = (0, k + 1) if reverse else (k, n - k)
        terms = (g * _cumprod(rest, dim=dim, reverse=reverse)).narrow(dim, *reached)
        parts.append(terms.sum(dim, keepdim=True))
    return cat(parts, dim).reshape(out._a.shape)


@op
def _logcumsumexp(x, /, *, dim, reverse):
    return K.logcumsumexp(contig(x), dim, reverse)


@_logcumsumexp.vjp
def _(g, x, out, *, dim, reverse):
    # Positive and negative gradients apart, in logarithms, so that nothing overflows (PyTorch's formula).
    low = _dtypes.finfo(g.dtype).min  # not -inf: differences of these must stay defined
    back = {"dim": dim, "reverse": not reverse}
    up = _where(g > 0, _where(g > 0, g, 1.0).log(), low)
    down = _where(g < 0, _where(g < 0, -g, 1.0).log(), low)
    return (_logcumsumexp(up - out, **back) + x).exp() - (_logcumsumexp(down - out, **back) + x).exp()


def _prepare(input, dim, dtype):
    dim = check.dim(dim, input._a.ndim)
    if dtype is None and not input._a.dtype.is_floating_point:
        dtype = _dtypes.int64
    return (input if dtype is None else input.to(dtype)), dim


@method(out=True)
@numpy_names
def cumsum(input: Tensor, dim: int, *, dtype=None) -> Tensor:
    """Running sums along `dim`. Integers and bools are summed as int64."""
    x, d = _prepare(input, dim, dtype)
    return _cumsum(x, dim=d, reverse=False)


@method(out=True)
@numpy_names
def cumprod(input: Tensor, dim: int, *, dtype=None) -> Tensor:
    """Running products along `dim`. Integers and bools are multiplied as int64."""
    x, d = _prepare(input, dim, dtype)
    return _cumprod(x, dim=d, reverse=False)


tensor_method("cumsum_", lambda self, dim, *, dtype=None:
              apply_inplace(_cumsum, self, dim=check.dim(dim, self._a.ndim), reverse=False))  # fmt: skip
tensor_method("cumprod_", lambda self, dim, *, dtype=None:
              apply_inplace(_cumprod, self, dim=check.dim(dim, self._a.ndim), reverse=False))  # fmt: skip


@method(out=True)
@numpy_names
def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """Running log(sum(exp(input))) along `dim`, without overflow."""
    if not input._a.dtype.is_floating_point:
        input = input.to(_native.default_dtype())
    return _logcumsumexp(input, dim=check.dim(dim, input._a.ndim), reverse=False)


def _extreme(name, maximum, doc):
    @op(name=name)
    def call(x, /, *, dim):
        return K.cumextreme(contig(x), dim, maximum)

    @call.vjp
    def _(g, out_1, x_shape, *, dim):
        return _gather_backward(g[0], out_1, shape=x_shape, dim=dim)

    result = getattr(return_types, name)

    def function(input, dim):
        return result(*call(input, dim=check.dim(dim, input._a.ndim)))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return method(out=True)(numpy_names(function))


cummax = _extreme("cummax", True, "Running maxima along `dim` and the position of each: (values, indices).")
cummin = _extreme("cummin", False, "Running minima along `dim` and the position of each: (values, indices).")
