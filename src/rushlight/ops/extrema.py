"""Maxima and minima. At ties amax, amin and the full max and min share the gradient; max(dim) gives it to the index."""

from __future__ import annotations

from .. import _check as check
from .. import _dtypes, return_types
from .._kernels import K
from ..autograd.op import op
from ..autograd.tensor import Tensor
from ._declare import contig, method, numpy_names
from ._values import may_read
from .pointwise import maximum, minimum
from .reduce import _restore, _where
from .scatter import gather

__all__ = ["amax", "amin", "max", "min", "argmax", "argmin", "aminmax"]


def check_not_empty(name, a, dim, hint=" Specify the reduction dim with the 'dim' argument.", error=RuntimeError):
    """Raises what PyTorch raises where there is nothing to choose from."""
    if a.numel:
        return
    if dim is None or dim == () or dim == []:
        raise error(f"{name}(): Expected reduction dim to be specified for input.numel() == 0.{hint}")
    for d in check.dims(dim, a.ndim):
        if a.ndim and a.shape[d] == 0:
            raise IndexError(f"{name}(): Expected reduction dim {d} to have non-zero size.")


def _shared(g, x, out, dim, keepdim):
    shape = x._a.shape
    chosen = x == _restore(out, shape, dim, keepdim)
    if not may_read():  # the same without a look at the values
        chosen = chosen | (~chosen.any() & (x != x))
    elif not K.nonzero_count(chosen._a).item():  # a NaN equals nothing, not even itself
        chosen = x != x
    return _where(chosen, _restore(g, shape, dim, keepdim) / chosen.sum(_all_or(dim), keepdim=True), 0.0)


def _all_or(dim):
    return None if dim == () else dim


def _all_extreme(name, kernel, grad_name):
    @op(name=name, grad_name=grad_name)
    def call(x, /, *, dim, keepdim):
        return kernel(x, check.mask_of(dim, x.ndim), keepdim)

    call.vjp(x=lambda g, x, out, dim, keepdim: _shared(g, x, out, dim, keepdim))
    return call


_amax, _amin = _all_extreme("amax", K.amax, "AmaxBackward0"), _all_extreme("amin", K.amin, "AminBackward0")
_max_all, _min_all = _all_extreme("max", K.amax, "MaxBackward1"), _all_extreme("min", K.amin, "MinBackward1")


@method(out=True)
@numpy_names
def amax(input: Tensor, dim=(), keepdim: bool = False) -> Tensor:
    """The largest element, over the given dimension(s) or all; NaN wins."""
    check_not_empty("amax", input._a, dim)
    return _amax(input, dim=dim, keepdim=keepdim)


@method(out=True)
@numpy_names
def amin(input: Tensor, dim=(), keepdim: bool = False) -> Tensor:
    """The smallest element, over the given dimension(s) or all; NaN wins."""
    check_not_empty("amin", input._a, dim)
    return _amin(input, dim=dim, keepdim=keepdim)


@op(name="select_along_backward")
def _select_backward(g, index, /, *, shape, dim, keepdim):
    return K.place_along(contig(g), contig(index), dim, shape)


def _select(v, index, dim, keepdim):
    if keepdim:
        return gather(v, dim, index)
    return gather(v, dim, index.unsqueeze(dim)).squeeze(dim)


_select_backward.vjp(g=lambda v, index, dim, keepdim: _select(v, index, dim, keepdim))


def select_along(g, index, shape, dim, keepdim):
    """The gradient of a reduction that picked the elements at `index` along `dim`."""
    return _select_backward(g, index, shape=shape, dim=dim, keepdim=keepdim) if shape else g.reshape(())


def _extreme(name, whole, kernel, pairwise, doc):
    @op(name=name + "_dim", grad_name=name.title() + "Backward0")
    def along(x, /, *, dim, keepdim):
        return kernel(x, 1 << dim if x.ndim else 0, keepdim)

    @along.vjp
    def _(g, out_1, x_shape, *, dim, keepdim):
        return select_along(g[0], out_1, x_shape, dim, keepdim)

    result = getattr(return_types, name)

    def function(input, dim=None, keepdim=False, *, other=None):
        if isinstance(dim, Tensor):
            other = dim
        if other is not None:
            return pairwise(input, other)
        if dim is None:
            check_not_empty(name, input._a, None)
            return whole(input, dim=None, keepdim=False)
        d = check.dim(dim, input._a.ndim)
        check_not_empty(name, input._a, d)
        return result(*along(input, dim=d, keepdim=keepdim))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return method(out=True)(numpy_names(function))


_FORMS = "one tensor; with `dim`, (values, indices); with another tensor, element by element. NaN wins."
max = _extreme("max", _max_all, K.max_dim, maximum, "The largest element of " + _FORMS)
min = _extreme("min", _min_all, K.min_dim, minimum, "The smallest element of " + _FORMS)


def _position(name, kernel, doc):
    @op(name=name, differentiable=False)
    def call(x, /, *, dim, keepdim):
        return kernel(x, check.mask_of(dim, x.ndim), keepdim)[1]

    def function(input, dim=None, keepdim=False):
        if input._a.dtype is _dtypes.bool_:
            raise RuntimeError(f"{name}(): does not support bool input")
        d = None if dim is None else check.dim(dim, input._a.ndim)
        check_not_empty(name, input._a, d, error=IndexError, hint="")
        return call(input, dim=d, keepdim=keepdim)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return method(out=True)(numpy_names(function))


argmax = _position(
    "argmax", K.max_dim, "The first position of the largest element, in the flattened input or along `dim`."
)
argmin = _position(
    "argmin", K.min_dim, "The first position of the smallest element, in the flattened input or along `dim`."
)


@method(out=True)
@numpy_names
def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False):
    """(min, max), over all elements or along `dim`."""
    a = input._a
    if a.numel == 0 and dim is None:
        raise RuntimeError(
            "aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity."
        )
    d = () if dim is None else check.dim(dim, a.ndim)
    if a.numel == 0 and a.shape[d] == 0:
        raise IndexError(f"aminmax: Expected reduction dim {d} to have non-zero size.")
    return return_types.aminmax(amin(input, d, keepdim), amax(input, d, keepdim))
