"""Special functions, and small functions of one or two variables."""

from __future__ import annotations

import math

from .. import _dtypes, return_types
from .._kernels import K
from ..autograd.op import op
from ..autograd.tensor import Tensor
from ._declare import method, tensor_method, unary, underivable
from .creation import tensor
from .pointwise import _binary, _where, isnan, lgamma, log, pow, sign

__all__ = [
    "digamma", "polygamma", "i0", "sinc", "logit", "sgn", "xlogy", "heaviside", "nextafter", "ldexp", "frexp", "float_power",
    "gcd", "lcm", "deg2rad", "rad2deg", "signbit", "angle", "mvlgamma", "isposinf", "isneginf",
    "isreal", "igamma", "igammac",
]  # fmt: skip


# -- the gamma function and its kin ----------------------------------------------------------------------------------


@op
def _polygamma(x, /, *, n):
    return K.trigamma(x) if n == 1 else K.polygamma(x, float(n))


_polygamma.vjp(x=lambda g, x, n: g * _polygamma(x, n=n + 1))


digamma = unary("digamma", lambda g, a: g * _polygamma(a, n=1), "The derivative of log |gamma(input)|.")
Tensor.lgamma.definition.vjp(a=lambda g, a: g * digamma(a))


def polygamma(n: int, input: Tensor) -> Tensor:
    """The n-th derivative of digamma."""
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    return digamma(input) if n == 0 else _polygamma(input, n=n)


tensor_method("polygamma", lambda self, n: polygamma(n, self))


@method
def mvlgamma(input: Tensor, p: int) -> Tensor:
    """The logarithm of the multivariate gamma function of dimension p."""
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    steps = tensor([-0.5 * i for i in range(p)], dtype=input._a.dtype if input.is_floating_point() else None)
    return lgamma(input.unsqueeze(-1) + steps).sum(-1) + p * (p - 1) / 4 * math.log(math.pi)


def unnamed(name, rule=None, kernel=None):
    """A function of one tensor that is no method: `rushlight.special` has it."""
    call = op(getattr(K, kernel or name), name=f"special_{name}", grad_name=f"Special{name.title().replace('_', '')}Backward0",
              differentiable=rule is not None)  # fmt: skip
    if rule is not None:
        call.vjp(a=rule)
    return call


i0 = unary("i0", lambda g, a: g * i1(a), "The modified Bessel function of order zero.")
# The slope of i1(x) / x is 0 at 0, where i1(x) / x is 1/2.
i1 = unnamed("i1", lambda g, a, out: g * _where(a == 0, 0.5, i0(a) - out / _where(a == 0, 1.0, a)))


# -- functions of one variable ---------------------------------------------------------------------------------------


def _sinc_rule(g, a):
    y = a * math.pi
    return g * _where(a == 0, 0.0, (y * y.cos() - y.sin()) / _where(a == 0, 1.0, y * a))


sinc = unary("sinc", _sinc_rule, "sin(pi x) / (pi x), and 1 at 0.")
signbit = unary("signbit", None, "Whether the sign is negative, -0.0 included.", inplace=False, differentiable=False)
sgn = sign
tensor_method("sgn", Tensor.sign)
tensor_method("sgn_", Tensor.sign_)


@method(out=True)
def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """log(input / (1 - input)); with `eps`, of the input brought into [eps, 1 - eps]."""
    x = input if input.is_floating_point() else input * 1.0
    if eps is not None:
        x = x.clamp(eps, 1 - eps)
    return log(x / (1 - x))


@method(out=True)
def deg2rad(input: Tensor) -> Tensor:
    """Degrees as radians."""
    return input * (math.pi / 180)


@method(out=True)
def rad2deg(input: Tensor) -> Tensor:
    """Radians as degrees."""
    return input * (180 / math.pi)


@method(out=True)
def angle(input: Tensor) -> Tensor:
    """pi for negative numbers, 0 for the others; NaN stays."""
    x = input if input.is_floating_point() else input * 1.0
    return _where(x < 0, math.pi, _where(isnan(x), x, x * 0))


@method(out=True)
def isposinf(input: Tensor) -> Tensor:
    """True where the input is +inf."""
    return input == math.inf


@method(out=True)
def isneginf(input: Tensor) -> Tensor:
    """True where the input is -inf."""
    return input == -math.inf


@method
def isreal(input: Tensor) -> Tensor:
    """True everywhere: there are no complex dtypes."""
    return (input == input) | True


@method
def frexp(input: Tensor):
    """(mantissa, exponent) with input = mantissa * 2**exponent and 0.5 <= |mantissa| < 1."""
    if not input.is_floating_point():
        raise RuntimeError("torch.frexp() only supports floating-point dtypes")
    return return_types.frexp(_frexp_mantissa(input), _frexp_exponent(input).to(_dtypes.int32))


_frexp_mantissa = op(K.frexp_mantissa, name="frexp_mantissa", grad_name="FrexpBackward0")
_frexp_exponent = op(K.frexp_exponent, name="frexp_exponent", differentiable=False)
_frexp_mantissa.vjp(a=lambda g, a: g / 2.0 ** _frexp_exponent(a))


# -- functions of two variables --------------------------------------------------------------------------------------

_xlogy = _binary("xlogy", "input * log(other), 0 where the input is 0.",
                 a=lambda g, a, b: g * _where((a == 0) & (b <= 0), 0.0, log(_positive(b, a))),
                 b=lambda g, a, b: g * a / b)  # fmt: skip


def _positive(b, like):
    return b if isinstance(b, Tensor) else like.new_full((), b)


def xlogy(input, other, *, out=None) -> Tensor:
    """input * log(other), 0 where the input is 0 (unless other is NaN). Either may be a number."""
    return _xlogy(input, other, out=out)


# Neither can be derived by the first argument, as in PyTorch.
_density = lambda a, x: ((a - 1) * log(x) - x - lgamma(a)).exp()  # noqa: E731
igamma = _binary("igamma", "The regularised lower incomplete gamma function: of gamma numbers of shape `input`, the part below "
                 "`other`.", a=underivable("igamma: input"), b=lambda g, a, b: g * _density(a, b))  # fmt: skip
igammac = _binary("igammac", "1 - igamma(input, other), the part above.",
                  a=underivable("igammac: input"), b=lambda g, a, b: -g * _density(a, b))  # fmt: skip
_heaviside = _binary("heaviside", "0 for negative input, 1 for positive, `values` at 0.")
nextafter = _binary("nextafter", "The next floating-point number after input in the direction of other.")
gcd = _binary("gcd", "The greatest common divisor of integers.")
lcm = _binary("lcm", "The least common multiple of integers.")


@method
def heaviside(input: Tensor, values: Tensor, *, out=None) -> Tensor:
    """0 for negative input, 1 for positive, `values` at 0."""
    if input._a.dtype is not values._a.dtype:
        raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes.")
    return _heaviside(input, values, out=out)


@method(out=True)
def ldexp(input: Tensor, other: Tensor) -> Tensor:
    """input * 2**other."""
    return input * pow(2.0, other)


@method(out=True)
def float_power(input, exponent) -> Tensor:
    """input ** exponent in float64."""
    as_double = lambda x: x.to(_dtypes.float64) if isinstance(x, Tensor) else float(x)  # noqa: E731
    return pow(as_double(input), as_double(exponent))
