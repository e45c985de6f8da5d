"""Activation functions and softmax."""

from __future__ import annotations

import math

from .. import _check as check
from .. import _native
from .._kernels import K
from ..autograd.autocast import lower_precision
from ..autograd.inplace import apply_inplace
from ..autograd.op import op
from ..autograd.tensor import Tensor
from ._declare import contig, method
from .creation import empty, zeros_like
from .pointwise import where
from .random_fill import _state
from .shape import cat

__all__ = [
    "leaky_relu", "leaky_relu_", "elu", "elu_", "selu", "selu_", "celu", "celu_", "gelu", "silu", "mish", "softplus",
    "hardtanh", "hardtanh_", "relu6", "hardsigmoid", "hardswish", "hardshrink", "softshrink", "tanhshrink", "threshold",
    "threshold_", "logsigmoid", "glu", "prelu", "rrelu", "rrelu_", "softsign", "softmin", "softmax", "log_softmax",
    "gumbel_softmax",
]  # fmt: skip


# -- element by element ------------------------------------------------------------------------------------------------


def _activation(name, label, second=None, grad_name=None):
    """An op `name(x, *, p)` with a fused backward op; `p` are its numbers.

    `label` is PyTorch's kernel name, for integers' error. `second(x, *p)` is f''; None where it is 0.
    """
    kernel, backward_kernel = getattr(K, name), getattr(K, name + "_backward")

    def forward(x, /, *, p):
        if label is not None and not x.dtype.is_floating_point:
            raise NotImplementedError(f"\"{label}\" not implemented for '{x.dtype.scalar_name}'")
        return kernel(x, *p)

    def backward(g, x, /, *, p):
        return backward_kernel(g, x, *p)

    call = op(name=name, grad_name=grad_name)(forward)
    back = op(name=name + "_backward")(backward)
    call.vjp(x=lambda g, x, p: back(g, x, p=p))
    back.vjp(g=lambda v, x, p: back(v, x, p=p),
             x=(lambda v, g, x, p: v * g * second(x, *p)) if second else (lambda v: None))  # fmt: skip
    return call, back


def _run(call, input, inplace, *p):
    if not isinstance(input, Tensor):
        name = call.definition.name
        raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    return apply_inplace(call, input, p=p) if inplace else call(input, p=p)


def _number(value, function, argument, position):
    if not isinstance(value, (int, float)) and not (isinstance(value, Tensor) and value.ndim == 0):
        raise TypeError(
            f"{function}(): argument '{argument}' (position {position}) must be Number, not {type(value).__name__}"
        )
    return float(value)


_leaky_relu, _leaky_relu_backward = _activation("leaky_relu", "leaky_relu_cpu")
_hardtanh, _ = _activation("hardtanh", None)
_threshold, _ = _activation("threshold", None)
_hardshrink, _hardshrink_backward = _activation("hardshrink", "hardshrink_cpu")
_hardsigmoid, _ = _activation("hardsigmoid", "hardsigmoid_cpu")
_hardswish, _ = _activation("hardswish", "hardswish_cpu", lambda x: where((x > -3) & (x < 3), 1 / 3, zeros_like(x)))


def _elu_second(x, alpha, scale, inner):
    return where(x < 0, (x * inner).exp() * (alpha * scale * inner * inner), 0.0)


def _gelu_second(x):
    return (2 - x * x) * (x * x * -0.5).exp() * (1 / math.sqrt(2 * math.pi))


def _gelu_tanh_second(x):
    k, c = math.sqrt(2 / math.pi), 0.044715
    t = (k * (x + c * x * x * x)).tanh()
    du, ddu, s = k * (1 + 3 * c * x * x), 6 * k * c * x, 1 - t * t
    return s * du + 0.5 * x * (s * ddu - 2 * t * s * du * du)


def _silu_second(x):
    s = x.sigmoid()
    return s * (1 - s) * (2 + x * (1 - 2 * s))


def _mish_second(x):
    s, t = x.sigmoid(), _softplus(x, p=(1.0, 20.0)).tanh()
    dt = (1 - t * t) * s
    return 2 * dt + x * (dt * (1 - s) - 2 * t * dt * s)


def _softplus_second(x, beta, threshold):
    s = (x * beta).sigmoid()
    return where(x * beta > threshold, 0.0, beta * s * (1 - s))


def _log_sigmoid_second(x):
    s = x.sigmoid()
    return -s * (1 - s)


_elu, _elu_backward = _activation("elu", "elu_cpu", _elu_second)
_gelu, _ = _activation("gelu", "GeluKernelImpl", _gelu_second)
_gelu_tanh, _ = _activation("gelu_tanh", "GeluKernelImpl", _gelu_tanh_second, grad_name="GeluBackward0")
_silu, _ = _activation("silu", "silu_cpu", _silu_second)
_mish, _ = _activation("mish", "mish_cpu", _mish_second)
_softplus, _ = _activation("softplus", "softplus_cpu", _softplus_second)
_log_sigmoid, _ = _activation("log_sigmoid", "log_sigmoid_cpu", _log_sigmoid_second)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x above 0, negative_slope * x below."""
    return _run(_leaky_relu, input, inplace, _number(negative_slope, "leaky_relu", "negative_slope", 2))


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x above 0, alpha * (e^x - 1) below."""
    return _run(_elu, input, inplace, float(alpha), 1.0, 1.0)


_SELU = (1.6732632423543772848170429916717, 1.0507009873554804934193349852946, 1.0)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """elu with the alpha and scale that keep activations normalised.

    Reference: Klambauer et al., Self-normalizing neural networks, 2017.
    """
    return _run(_elu, input, inplace, *_SELU)


@op(name="celu")
def _celu(x, /, *, p):
    return _elu.forward(x, p=p)


_celu.vjp(x=lambda g, x, p: _elu_backward(g, x, p=p))


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x above 0, alpha * (e^(x / alpha) - 1) below; its derivative is continuous for any alpha."""
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return _run(_celu, input, inplace, float(alpha), 1.0, 1.0 / alpha)


def gelu(input: Tensor, *, approximate: str = "none") -> Tensor:
    """x * P(X <= x), X standard normal; `approximate="tanh"` for the formula with tanh.

    Reference: Hendrycks and Gimpel, Gaussian error linear units, 2016.
    """
    if approximate == "none":
        return _run(_gelu, input, False)
    if approximate == "tanh":
        return _run(_gelu_tanh, input, False)
    raise RuntimeError("approximate argument must be either none or tanh.")


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x * sigmoid(x)."""
    return _run(_silu, input, inplace)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * tanh(softplus(x))."""
    return _run(_mish, input, inplace)


def softplus(input: Tensor, beta: float = 1, threshold: float = 20) -> Tensor:
    """log(1 + e^(beta x)) / beta; x itself where beta x > threshold."""
    return _run(_softplus, input, False, float(beta), float(threshold))


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """x brought into [min_val, max_val]."""
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    return _run(_hardtanh, input, inplace, float(min_val), float(max_val))


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """x brought into [0, 6]."""
    return _run(_hardtanh, input, inplace, 0.0, 6.0)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """(x + 3) / 6 brought into [0, 1]."""
    return _run(_hardsigmoid, input, inplace)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * hardsigmoid(x)."""
    return _run(_hardswish, input, inplace)


@method
def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x, but 0 in [-lambd, lambd]."""
    return _run(_hardshrink, input, False, float(lambd))


@op
def _softshrink(x, /, *, lambd):
    if not x.dtype.is_floating_point:
        raise NotImplementedError(f"\"softshrink_check\" not implemented for '{x.dtype.scalar_name}'")
    return K.softshrink(x, lambd)


_softshrink.vjp(x=lambda g, x, lambd: _hardshrink_backward(g, x, p=(lambd,)))


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x moved towards 0 by lambd, 0 in [-lambd, lambd]."""
    if lambd < 0:
        raise RuntimeError(f"lambda must be in range [0, {3.40282e38:g}] for input dtype "
                           f"{input._a.dtype.scalar_name}, but found {lambd:g}")  # fmt: skip
    return _softshrink(input, lambd=float(lambd))


def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh(x)."""
    return input - input.tanh()


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x above the threshold, else `value`."""
    return _run(_threshold, input, inplace, float(threshold), float(value))


def logsigmoid(input: Tensor) -> Tensor:
    """log(1 / (1 + e^-x))."""
    return _run(_log_sigmoid, input, False)


def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    return input / (input.abs() + 1)


def leaky_relu_(input, negative_slope=0.01):
    """leaky_relu, in place."""
    return leaky_relu(input, negative_slope, True)


def elu_(input, alpha=1.0):
    """elu, in place."""
    return elu(input, alpha, True)


def selu_(input):
    """selu, in place."""
    return selu(input, True)


def celu_(input, alpha=1.0):
    """celu, in place."""
    return celu(input, alpha, True)


def hardtanh_(input, min_val=-1.0, max_val=1.0):
    """hardtanh, in place."""
    return hardtanh(input, min_val, max_val, True)


def threshold_(input, threshold_value, value):
    """threshold, in place."""
    return threshold(input, threshold_value, value, True)


# -- gated and learned -------------------------------------------------------------------------------------------------


@op
def _glu(x, /, *, dim):
    if not x.dtype.is_floating_point:
        raise NotImplementedError(f"\"glu_cpu\" not implemented for '{x.dtype.scalar_name}'")
    return K.glu(contig(x), dim)


@op(differentiable=False)
def _glu_backward(g, x, /, *, dim):
    return K.glu_backward(contig(x), contig(g), dim)


@_glu.vjp
def _(g, x, *, dim):
    if not _native.is_grad_enabled():
        return _glu_backward(g, x, dim=dim)
    a, b = x.chunk(2, dim)
    s = b.sigmoid()
    return cat((g * s, g * a * (s * (1 - s))), dim)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a * sigmoid(b), a and b the halves of the input along `dim`."""
    if input._a.ndim == 0:
        raise RuntimeError("glu does not support scalars because halving size must be even")
    d = check.dim(dim, input._a.ndim)
    size = input._a.shape[d]
    if size % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {d} is size {size}")
    return _glu(input, dim=d)


@op(grad_name="PreluKernelBackward0")
def _prelu(x, w, /):
    return K.prelu(contig(x), contig(w))


@op(differentiable=False)
def _prelu_backward(g, x, w, /):
    return K.prelu_backward(contig(x), contig(w), contig(g))


@_prelu.vjp
def _(g, x, w, *, needs):
    if _native.is_grad_enabled():
        dx, dw = where(x > 0, g, g * w), where(x > 0, 0.0, g * x)
        dims = tuple(d for d in range(x.ndim) if w.ndim == 0 or w.shape[d] == 1)
        dw = dw.sum(dims, keepdim=w.ndim > 0) if dims else dw
    else:
        dx, dw = _prelu_backward(g, x, w)
    return dx if needs[0] else None, dw if needs[1] else None


@method
@lower_precision
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x above 0, weight * x below; one weight, or one per channel (dimension 1)."""
    a, w = input._a, weight._a
    if a.dtype is not w.dtype:
        raise RuntimeError(f"prelu: Type promoting not supported. Got {a.dtype.scalar_name} and {w.dtype.scalar_name}")
    if w.numel != 1:
        if a.ndim == 0:
            raise RuntimeError("Not allow zero-dim input tensor.")
        channels = a.shape[1] if a.ndim > 1 else 1
        if channels != w.numel:
            raise RuntimeError(
                "Mismatch of parameter numbers and input channel size. Found parameter numbers = "
                f"{w.numel} and channel size = {channels}."
            )
    if w.ndim > 1:
        raise RuntimeError(f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {w.ndim}")
    if w.numel == 1:
        weight = weight.reshape(())
    else:
        weight = weight.reshape((1, w.numel) + (1,) * (a.ndim - 2)) if a.ndim > 1 else weight
    return _prelu(input, weight)


@op(name="rrelu", grad_name="RreluWithNoiseBackward0")
def _rrelu(x, noise, /):
    return K.mul(x, noise)


_rrelu.vjp(x=lambda g, noise: g * noise, noise=lambda g: None)


@op(grad_name="RreluWithNoiseBackward0")
def _rrelu_eval(x, /, *, p):
    return _leaky_relu.forward(x, p=p)


_rrelu_eval.vjp(x=lambda g, x, p: _leaky_relu_backward(g, x, p=p))


def rrelu(input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False,
          inplace: bool = False) -> Tensor:  # fmt: skip
    """x above 0, a * x below; in training a is drawn from [lower, upper) per element, else it is their mean."""
    if lower > upper:
        raise RuntimeError("Lower bound should be less than or equal to the upper bound")
    if not input._a.dtype.is_floating_point:
        label = "rrelu_with_noise_out_cpu" if training else "leaky_relu_cpu"
        raise NotImplementedError(f"\"{label}\" not implemented for '{input._a.dtype.scalar_name}'")
    if not training:
        return _run(_rrelu_eval, input, inplace, (lower + upper) / 2)
    values = input.detach()
    noise = empty(input._a.shape, dtype=input._a.dtype)
    K.random_rrelu_into(noise._a, _state(None), contig(values._a), float(lower), float(upper))
    return apply_inplace(_rrelu, input, noise) if inplace else _rrelu(input, noise)


def rrelu_(input, lower=1.0 / 8, upper=1.0 / 3, training=False):
    """rrelu, in place."""
    return rrelu(input, lower, upper, training, True)


# -- softmax -----------------------------------------------------------------------------------------------------------


@op
def _softmax(x, /, *, dim):
    return K.softmax(contig(x), dim)


@op
def _softmax_backward(g, y, /, *, dim):
    return K.softmax_backward(contig(g), contig(y), dim)


def _softmax_backward_y(v, g, y, dim):
    return v * (g - (g * y).sum(dim, keepdim=True)) - g * (v * y).sum(dim, keepdim=True)


_softmax.vjp(x=lambda g, out, dim: _softmax_backward(g, out, dim=dim))
_softmax_backward.vjp(g=lambda v, y, dim: _softmax_backward(v, y, dim=dim), y=_softmax_backward_y)


@op
def _log_softmax(x, /, *, dim):
    return K.log_softmax(contig(x), dim)


@op
def _log_softmax_backward(g, y, /, *, dim):
    return K.log_softmax_backward(contig(g), contig(y), dim)


_log_softmax.vjp(x=lambda g, out, dim: _log_softmax_backward(g, out, dim=dim))
_log_softmax_backward.vjp(
    g=lambda v, y, dim: v - (v * y.exp()).sum(dim, keepdim=True),
    y=lambda v, g, y, dim: -v * y.exp() * g.sum(dim, keepdim=True),
)


@method
def softmax(input: Tensor, dim: int, dtype=None) -> Tensor:
    """e^x_i / sum_j e^x_j along `dim`; with `dtype`, the input is cast first.

    Raises: IndexError if `dim` is out of range; NotImplementedError for integers.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.softmax.html
    """
    if dtype is not None:
        input = input.to(dtype)
    return _softmax(input, dim=check.dim(dim, input._a.ndim))


@method
def log_softmax(input: Tensor, dim: int, dtype=None) -> Tensor:
    """log(softmax(x)) along `dim`, without overflow."""
    if dtype is not None:
        input = input.to(dtype)
    return _log_softmax(input, dim=check.dim(dim, input._a.ndim))


def softmin(input: Tensor, dim: int, dtype=None) -> Tensor:
    """softmax(-x) along `dim`."""
    return softmax(-input, dim, dtype)


def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """A sample from the Gumbel-Softmax distribution; `hard=True`: one-hot forward, the soft gradient backward.

    Reference: Jang et al., Categorical reparameterization with Gumbel-softmax, 2017.
    """
    if eps != 1e-10:
        import warnings

        warnings.warn("`eps` parameter is deprecated and has no effect.", stacklevel=2)
    gumbels = -empty(logits.shape, dtype=logits.dtype).exponential_().log()
    soft = softmax((logits + gumbels) / tau, dim)
    if not hard:
        return soft
    index = soft.detach().max(dim, keepdim=True)[1]
    return zeros_like(logits).detach().scatter_(dim, index, 1.0) - soft.detach() + soft
