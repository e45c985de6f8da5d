"""Arithmetic, comparison and elementary functions, element by element, with broadcasting and type promotion."""

from __future__ import annotations

import math

from .._kernels import K
from ..autograd.inplace import apply_inplace
from ..autograd.op import op
from ..autograd.tensor import Tensor
from ._declare import inplace_method, method, unary, with_out

__all__ = [
    "add", "sub", "subtract", "mul", "multiply", "div", "divide", "true_divide", "floor_divide", "remainder", "fmod",
    "pow", "maximum", "minimum", "fmax", "fmin", "atan2", "hypot", "copysign", "neg", "negative", "positive", "abs",
    "absolute", "sign", "square", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "reciprocal",
    "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "arcsin", "arccos",
    "arctan", "erf", "erfc", "lgamma", "sigmoid", "relu", "floor", "ceil", "trunc", "fix", "round", "frac", "eq", "ne",
    "not_equal", "lt", "less", "le", "less_equal", "gt", "greater", "ge", "greater_equal", "logical_and", "logical_or",
    "logical_xor", "logical_not", "isnan", "isinf", "isfinite", "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not",
    "bitwise_left_shift", "bitwise_right_shift", "where", "clamp", "clip", "clamp_min", "clamp_max", "lerp", "addcmul",
    "addcdiv", "rsub", "isclose", "logaddexp", "nan_to_num", "relu_",
]  # fmt: skip


# -- arithmetic ------------------------------------------------------------------------------------------------------

_add = op(K.add, name="add", broadcasts=True)
_add.vjp(a=lambda g: g, b=lambda g: g)


@op(broadcasts=True, grad_name="AddBackward0")
def _add_scaled(a, b, /, *, alpha):
    return K.add_scaled(a, b, alpha)


_add_scaled.vjp(a=lambda g: g, b=lambda g, alpha: g * alpha)


@method(out=True)
def add(input: Tensor, other: Tensor | float, *, alpha: float = 1) -> Tensor:
    """input + alpha * other, broadcast."""
    return _add(input, other) if alpha == 1 else _add_scaled(input, other, alpha=alpha)


_SUB_BOOL = ("Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` "
             "operator instead.")  # fmt: skip


@op(broadcasts=True)
def _sub(a, b, /):
    try:
        return K.sub(a, b)
    except NotImplementedError:
        raise RuntimeError(_SUB_BOOL) from None


_sub.vjp(a=lambda g: g, b=lambda g: -g)


@method(out=True)
def sub(input: Tensor, other: Tensor | float, *, alpha: float = 1) -> Tensor:
    """input - alpha * other, broadcast."""
    return _sub(input, other) if alpha == 1 else _add_scaled(input, other, alpha=-alpha)


@method
def rsub(input: Tensor, other: Tensor | float, *, alpha: float = 1) -> Tensor:
    """other - alpha * input."""
    return _sub(other, input) if alpha == 1 else _sub(other, input * alpha)


_mul = op(K.mul, name="mul", broadcasts=True)
_mul.vjp(a=lambda g, b: g * b, b=lambda g, a: g * a)


@method(out=True)
def mul(input: Tensor, other: Tensor | float) -> Tensor:
    """input * other, broadcast."""
    return _mul(input, other)


_div = op(K.div, name="div", broadcasts=True)
_div.vjp(a=lambda g, b: g / b, b=lambda g, a, b: -g * ((a / b) / b))
_floor_divide = op(K.floor_divide, name="floor_divide", differentiable=False)
_trunc_divide = op(K.trunc_divide, name="trunc_divide", broadcasts=True, grad_name="DivBackward1")
_trunc_divide.vjp(a=lambda g: g * 0, b=lambda g: g * 0)
_rounded_floor = op(K.floor_divide, name="div_floor", broadcasts=True, grad_name="DivBackward1")
_rounded_floor.vjp(a=lambda g: g * 0, b=lambda g: g * 0)


@method(out=True)
def div(input: Tensor, other: Tensor | float, *, rounding_mode: str | None = None) -> Tensor:
    """input / other, broadcast; integers give floats. `rounding_mode`: None, "trunc" or "floor"."""
    if rounding_mode is None:
        return _div(input, other)
    if rounding_mode == "trunc":
        return _trunc_divide(input, other)
    if rounding_mode == "floor":
        return _rounded_floor(input, other)
    raise RuntimeError(
        f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{rounding_mode}'"
    )


@method(out=True, inplace=_floor_divide, into=K.floor_divide_into)
def floor_divide(input: Tensor, other: Tensor | float) -> Tensor:
    """floor(input / other), broadcast. Not differentiable."""
    return _floor_divide(input, other)


_remainder = op(K.remainder, name="remainder", broadcasts=True)
_remainder.vjp(a=lambda g: g, b=lambda g, a, b: -g * floor_divide(a, b))


@method(out=True, inplace=_remainder, into=K.remainder_into)
def remainder(input: Tensor, other: Tensor | float) -> Tensor:
    """Python's `%`: the result has the sign of the divisor."""
    return _remainder(input, other)


_fmod = op(K.fmod, name="fmod", broadcasts=True)
_fmod.vjp(a=lambda g: g, b=lambda g, a, b: -g * div(a, b, rounding_mode="trunc"))


@method(out=True, inplace=_fmod, into=K.fmod_into)
def fmod(input: Tensor, other: Tensor | float) -> Tensor:
    """C's `fmod`: the result has the sign of the dividend."""
    return _fmod(input, other)


# Exponents that have kernels of their own.
_ROOTS = {0.5: K.sqrt, -0.5: K.rsqrt, -1: K.reciprocal}


@op(broadcasts=True)
def _pow(a, b, /):
    if type(b) is int or type(b) is float:
        if b == 2 and (type(b) is int or a.dtype.is_floating_point):
            return K.square(a) if a.dtype.scalar_name != "Bool" else K.pow(a, b)
        if b == 3 and (a.dtype.is_floating_point or (type(b) is int and a.dtype.scalar_name != "Bool")):
            return K.cube(a)
        if b in _ROOTS and a.dtype.is_floating_point:
            return _ROOTS[b](a)
        if b < 0 and type(b) is int and not a.dtype.is_floating_point:
            raise RuntimeError("Integers to negative integer powers are not allowed.")
    return K.pow(a, b)


def _pow_base(g, a, b):
    if isinstance(b, Tensor):
        return where(b == 0, 0.0, g * (b * a ** (b - 1)))
    return g * 0 if b == 0 else g * (b * (a if b == 2 else a ** (b - 1)))


def _pow_exponent(g, a, b, out):
    base = a if isinstance(a, Tensor) else out.new_full((), a)
    return g * where((base == 0) & (b >= 0), 0.0, out * base.log())


_pow.vjp(a=_pow_base, b=_pow_exponent)


@method(out=True)
def pow(input: Tensor | float, exponent: Tensor | float) -> Tensor:
    """input ** exponent, broadcast."""
    return _pow(input, exponent)


def _share(g, lost, tied):
    # As in PyTorch: at a tie both operands get half, and at a NaN, which compares with nothing, both get all.
    return where(tied, g / 2, where(lost, 0.0, g))


def _two_way(name, doc, **rules):
    call = op(getattr(K, name), name=name, broadcasts=True)
    call.vjp(**rules)

    def function(input, other):
        return call(input, other)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    setattr(Tensor, name, function)
    return with_out(function)


maximum = _two_way("maximum", "The larger of each pair; NaN wins.", a=lambda g, a, b: _share(g, a < b, a == b),
                   b=lambda g, a, b: _share(g, a > b, a == b))  # fmt: skip
minimum = _two_way("minimum", "The smaller of each pair; NaN wins.", a=lambda g, a, b: _share(g, a > b, a == b),
                   b=lambda g, a, b: _share(g, a < b, a == b))  # fmt: skip
fmax = _two_way("fmax", "The larger of each pair; NaN loses.", a=lambda g, a, b: where((a >= b) | isnan(b), g, 0.0),
                b=lambda g, a, b: where((a >= b) | isnan(b), 0.0, g))  # fmt: skip
fmin = _two_way("fmin", "The smaller of each pair; NaN loses.", a=lambda g, a, b: where((a <= b) | isnan(b), g, 0.0),
                b=lambda g, a, b: where((a <= b) | isnan(b), 0.0, g))  # fmt: skip


def _binary(name, doc, inplace=True, **rules):
    call = op(getattr(K, name), name=name, broadcasts=True, differentiable=bool(rules))
    if rules:
        call.vjp(**rules)

    def function(input, other):
        return call(input, other)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    setattr(Tensor, name, function)
    if inplace:
        inplace_method(name + "_", call, getattr(K, name + "_into"))
    return with_out(function)


atan2 = _binary("atan2", "The angle of the point (other, input), in radians.",
                a=lambda g, a, b: g * b / (a * a + b * b), b=lambda g, a, b: -g * a / (a * a + b * b))  # fmt: skip
hypot = _binary("hypot", "sqrt(input**2 + other**2) without overflow.",
                a=lambda g, a, out: g * a / out, b=lambda g, b, out: g * b / out)  # fmt: skip
copysign = _binary("copysign", "The magnitude of input with the sign of other.",
                   a=lambda g, a, out: g * where(a == 0, 0.0, out / a), b=lambda g: g * 0)  # fmt: skip

# -- comparison and logic: no gradient -------------------------------------------------------------------------------

eq = _binary("eq", "input == other, element by element.")
ne = _binary("ne", "input != other, element by element.")
lt = _binary("lt", "input < other, element by element.")
le = _binary("le", "input <= other, element by element.")
gt = _binary("gt", "input > other, element by element.")
ge = _binary("ge", "input >= other, element by element.")
logical_and = _binary("logical_and", "Both are non-zero.")
logical_or = _binary("logical_or", "One or both are non-zero.")
logical_xor = _binary("logical_xor", "Exactly one is non-zero.")
bitwise_and = _binary("bitwise_and", "Bitwise and of integers; logical and of bools.")
bitwise_or = _binary("bitwise_or", "Bitwise or of integers; logical or of bools.")
bitwise_xor = _binary("bitwise_xor", "Bitwise exclusive or of integers; logical of bools.")
bitwise_left_shift = _binary("bitwise_left_shift", "input << other.")
bitwise_right_shift = _binary("bitwise_right_shift", "input >> other, keeping the sign.")
bitwise_not = unary("bitwise_not", None, "Bitwise not of integers; logical not of bools.", differentiable=False)
logical_not = unary("logical_not", None, "True where the input is zero.", differentiable=False)
isnan = unary("isnan", None, "True where the input is NaN.", inplace=False, differentiable=False)
isinf = unary("isinf", None, "True where the input is infinite.", inplace=False, differentiable=False)
isfinite = unary("isfinite", None, "True where the input is neither infinite nor NaN.", inplace=False,
                 differentiable=False)  # fmt: skip

# -- functions of one variable ---------------------------------------------------------------------------------------

neg = unary("neg", lambda g: -g, "-input.")
abs = unary("abs", lambda g, a: g * a.sign(), "The absolute value; its derivative at 0 is 0.")
sign = unary("sign", lambda g: g * 0, "-1, 0 or 1.")
square = unary("square", lambda g, a: g * (2 * a), "input * input.", grad_name="PowBackward0")
exp = unary("exp", lambda g, out: g * out, "e ** input.")
exp2 = unary("exp2", lambda g, out: g * out * math.log(2), "2 ** input.")
expm1 = unary("expm1", lambda g, out: g * (out + 1), "e ** input - 1, precise near 0.")
log = unary("log", lambda g, a: g / a, "The natural logarithm.")
log2 = unary("log2", lambda g, a: g / (a * math.log(2)), "The logarithm to base 2.")
log10 = unary("log10", lambda g, a: g / (a * math.log(10)), "The logarithm to base 10.")
log1p = unary("log1p", lambda g, a: g / (a + 1), "log(1 + input), precise near 0.")
sqrt = unary("sqrt", lambda g, out: g / (2 * out), "The square root.")
rsqrt = unary("rsqrt", lambda g, out: g * (out * out * out) * -0.5, "1 / sqrt(input).")
reciprocal = unary("reciprocal", lambda g, out: -g * (out * out), "1 / input.")
sin = unary("sin", lambda g, a: g * a.cos(), "The sine; radians.")
cos = unary("cos", lambda g, a: -g * a.sin(), "The cosine; radians.")
tan = unary("tan", lambda g, out: g * (1 + out * out), "The tangent; radians.")
asin = unary("asin", lambda g, a: g * (1 - a * a).rsqrt(), "The inverse sine, in radians.")
acos = unary("acos", lambda g, a: -g * (1 - a * a).rsqrt(), "The inverse cosine, in radians.")
atan = unary("atan", lambda g, a: g / (1 + a * a), "The inverse tangent, in radians.")
sinh = unary("sinh", lambda g, a: g * a.cosh(), "The hyperbolic sine.")
cosh = unary("cosh", lambda g, a: g * a.sinh(), "The hyperbolic cosine.")
tanh = unary("tanh", lambda g, out: _tanh_backward(g, out), "The hyperbolic tangent.")
asinh = unary("asinh", lambda g, a: g * (a * a + 1).rsqrt(), "The inverse hyperbolic sine.")
acosh = unary("acosh", lambda g, a: g * (a * a - 1).rsqrt(), "The inverse hyperbolic cosine.")
atanh = unary("atanh", lambda g, a: g / (1 - a * a), "The inverse hyperbolic tangent.")
erf = unary("erf", lambda g, a: g * (2 / math.sqrt(math.pi)) * (-a * a).exp(), "The error function.")
erfc = unary("erfc", lambda g, a: g * (-2 / math.sqrt(math.pi)) * (-a * a).exp(), "1 - erf(input), precise for large input.")
lgamma = unary("lgamma", None, "log |gamma(input)|.")
sigmoid = unary("sigmoid", lambda g, out: _sigmoid_backward(g, out), "1 / (1 + e ** -input).")
relu = unary("relu", lambda g, out: _relu_backward(g, out), "max(input, 0); its derivative at 0 is 0.")
floor = unary("floor", lambda g: g * 0, "The largest integer not above the input.")
ceil = unary("ceil", lambda g: g * 0, "The smallest integer not below the input.")
trunc = unary("trunc", lambda g: g * 0, "The integer part.")
_round = unary("round", lambda g: g * 0, "The nearest integer, halves to even.")

# The fused backward kernels are ops of their own, so that second derivatives exist.
_relu_backward = op(K.relu_backward, name="relu_backward", grad_name="ThresholdBackward0")
_relu_backward.vjp(a=lambda g, b: _relu_backward(g, b), b=lambda g: None)
_sigmoid_backward = op(K.sigmoid_backward, name="sigmoid_backward")
_sigmoid_backward.vjp(a=lambda g, b: _sigmoid_backward(g, b), b=lambda g, a, b: g * a * (1 - 2 * b))
_tanh_backward = op(K.tanh_backward, name="tanh_backward")
_tanh_backward.vjp(a=lambda g, b: _tanh_backward(g, b), b=lambda g, a, b: g * a * (-2 * b))


@method(out=True)
def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """The nearest integer, or multiple of 10**-decimals; halves to even."""
    if decimals == 0:
        return _round(input)
    scale = 10.0**decimals
    return _round(input * scale) / scale


@method(out=True)
def frac(input: Tensor) -> Tensor:
    """input - trunc(input)."""
    return input - trunc(input)


def positive(input: Tensor) -> Tensor:
    """The input itself."""
    if input.dtype.scalar_name == "Bool":
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


def relu_(input: Tensor) -> Tensor:
    """relu, in place."""
    return input.relu_()


# -- selection -------------------------------------------------------------------------------------------------------

_where = op(K.where, name="where", broadcasts=True)
_where.vjp(b=lambda g, a: _where(a, g, 0.0), c=lambda g, a: _where(a, 0.0, g))


def where(condition: Tensor, input=None, other=None):
    """input where the condition holds, other elsewhere; broadcast. With one argument, `nonzero(as_tuple=True)`."""
    if input is None and other is None:
        return condition.nonzero(as_tuple=True)
    if condition.dtype.scalar_name not in ("Bool", "Byte"):
        raise RuntimeError(
            "where expected condition to be a boolean tensor, but got a tensor with dtype "
            f"{condition.dtype.scalar_name}"
        )
    return _where(condition, input, other)


Tensor.where = lambda self, condition, other: where(condition, self, other)


@op
def _clamp(a, /, *, min, max):
    if a.dtype.is_floating_point:
        return K.clamp(a, -math.inf if min is None else float(min), math.inf if max is None else float(max))
    if type(min) is float or type(max) is float:
        a = K.mul(a, 1.0)
        return K.clamp(a, -math.inf if min is None else float(min), math.inf if max is None else float(max))
    low, high = _INT_RANGE[a.dtype.scalar_name]
    return K.clamp(a, low if min is None else min, high if max is None else max)


_INT_RANGE = {"Char": (-128, 127), "Short": (-(2**15), 2**15 - 1), "Int": (-(2**31), 2**31 - 1),
              "Long": (-(2**63), 2**63 - 1), "Byte": (0, 255)}  # fmt: skip


def _clamp_rule(g, a, *, min, max):
    inside = None
    if min is not None:
        inside = a >= min
    if max is not None:
        below = a <= max
        inside = below if inside is None else inside & below
    return where(inside, g, 0.0)


_clamp.vjp(a=_clamp_rule)


@method(out=True)
def clamp(input: Tensor, min=None, max=None) -> Tensor:
    """Each element brought into [min, max]; either may be None, a number or a tensor. NaN stays.

    Raises: RuntimeError if both are None.
    """
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        out = input
        if min is not None:
            out = maximum(out, min if isinstance(min, Tensor) else out.new_full((), min))
        if max is not None:
            out = minimum(out, max if isinstance(max, Tensor) else out.new_full((), max))
        return out
    return _clamp(input, min=min, max=max)


def _clamp_inplace(self, min=None, max=None):
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    return apply_inplace(_clamp, self, min=min, max=max)


Tensor.clamp_ = Tensor.clip_ = _clamp_inplace
Tensor.clamp_min_ = lambda self, min: _clamp_inplace(self, min=min)
Tensor.clamp_max_ = lambda self, max: _clamp_inplace(self, max=max)


@method(out=True)
def clamp_min(input: Tensor, min) -> Tensor:
    """max(input, min)."""
    return clamp(input, min=min)


@method(out=True)
def clamp_max(input: Tensor, max) -> Tensor:
    """min(input, max)."""
    return clamp(input, max=max)


_lerp = op(K.lerp, name="lerp", broadcasts=True)
_lerp.vjp(a=lambda g, c: g * (1 - c), b=lambda g, c: g * c, c=lambda g, a, b: g * (b - a))


@method(out=True, inplace=_lerp, into=K.lerp_into)
def lerp(input: Tensor, end: Tensor, weight: Tensor | float) -> Tensor:
    """input + weight * (end - input)."""
    for label, x in (("end", end), ("weight", weight)):
        if isinstance(x, Tensor) and x._a.dtype is not input._a.dtype:
            name = {"float16": "c10::Half", "bfloat16": "c10::BFloat16", "float32": "float", "float64": "double"}
            want, have = (name.get(t._a.dtype.name, t._a.dtype.name) for t in (input, x))
            raise RuntimeError(f"expected dtype {want} for `{label}` but got dtype {have}")
    return _lerp(input, end, weight)


@op(broadcasts=True)
def _addcmul(a, b, c, /, *, value):
    return K.addcmul(a, b, c, value)


_addcmul.vjp(a=lambda g: g, b=lambda g, c, value: g * (c * value), c=lambda g, b, value: g * (b * value))


@method(out=True)
def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    """input + value * tensor1 * tensor2."""
    return _addcmul(input, tensor1, tensor2, value=value)


@op(broadcasts=True)
def _addcdiv(a, b, c, /, *, value):
    return K.addcdiv(a, b, c, value)


_addcdiv.vjp(a=lambda g: g, b=lambda g, c, value: g * (value / c), c=lambda g, b, c, value: -g * (value * b / (c * c)))


@method(out=True)
def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    """input + value * tensor1 / tensor2."""
    return _addcdiv(input, tensor1, tensor2, value=value)


@method
def isclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Tensor:
    """|input - other| <= atol + rtol * |other|, element by element."""
    close = eq(input, other)
    if equal_nan and input.is_floating_point():
        close = close | (isnan(input) & isnan(other))
    if not input.is_floating_point():
        input, other = input * 1.0, other * 1.0
    near = abs(input - other) <= atol + rtol * abs(other)
    return close | (near & isfinite(other))


@method(out=True)
def logaddexp(input: Tensor, other: Tensor) -> Tensor:
    """log(e ** input + e ** other), without overflow."""
    high = maximum(input, other).detach()
    high = where(isfinite(high), high, 0.0)
    return high + log(exp(input - high) + exp(other - high))


@method(out=True)
def nan_to_num(input: Tensor, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Tensor:
    """NaN and infinities replaced by numbers (infinities by the dtype's limits)."""
    if not input.is_floating_point():
        return input.clone()
    from .._dtypes import finfo

    info = finfo(input.dtype)
    out = where(isnan(input), float(nan), input)
    out = where(out == math.inf, info.max if posinf is None else float(posinf), out)
    return where(out == -math.inf, info.min if neginf is None else float(neginf), out)


# -- aliases, operators, in-place arithmetic -------------------------------------------------------------------------

subtract, multiply, divide, true_divide = sub, mul, div, div
negative, absolute, fix, clip = neg, abs, trunc, clamp
arcsin, arccos, arctan = asin, acos, atan
not_equal, less, less_equal, greater, greater_equal = ne, lt, le, gt, ge

for _alias, _name in {
    "subtract": "sub", "multiply": "mul", "divide": "div", "true_divide": "div", "negative": "neg", "absolute": "abs",
    "fix": "trunc", "clip": "clamp", "arcsin": "asin", "arccos": "acos", "arctan": "atan", "not_equal": "ne", "less": "lt",
    "less_equal": "le", "greater": "gt", "greater_equal": "ge",
}.items():  # fmt: skip
    setattr(Tensor, _alias, getattr(Tensor, _name))


def _alpha_inplace(plain, scaled, into, sign):
    def method_(self, other, extra=None, *, alpha=1):
        """In place; returns self. The old form `add_(alpha, other)` is accepted with a warning, as in PyTorch."""
        if extra is not None:
            _deprecated_overload(method_.__name__, "(Number alpha, Tensor other)", "(Tensor other, *, Number alpha = 1)")
            other, alpha = extra, other
        if alpha == 1:
            return apply_inplace(plain, self, other, into=into)
        return apply_inplace(scaled, self, other, alpha=sign * alpha)

    return method_


def _deprecated_overload(name, old, new):
    import warnings

    warnings.warn(
        f"This overload of {name} is deprecated:\n\t{name}{old}\nConsider using one of the following signatures instead:\n"
        f"\t{name}{new}",
        UserWarning,
        stacklevel=3,
    )


Tensor.add_ = _alpha_inplace(_add, _add_scaled, K.add_into, 1)
Tensor.add_.__name__ = "add_"
Tensor.sub_ = _alpha_inplace(_sub, _add_scaled, K.sub_into, -1)
Tensor.sub_.__name__ = "sub_"


def _three_inplace(name, call):
    def method_(self, tensor1, tensor2, extra=None, *, value=1):
        """In place; returns self. The old form with the number first is accepted with a warning."""
        if extra is not None:
            _deprecated_overload(name, "(Number value, Tensor tensor1, Tensor tensor2)",
                                 "(Tensor tensor1, Tensor tensor2, *, Number value = 1)")  # fmt: skip
            value, tensor1, tensor2 = tensor1, tensor2, extra
        return apply_inplace(call, self, tensor1, tensor2, value=value)

    method_.__name__ = name
    return method_


Tensor.addcmul_ = _three_inplace("addcmul_", _addcmul)
Tensor.addcdiv_ = _three_inplace("addcdiv_", _addcdiv)
inplace_method("mul_", _mul, K.mul_into)
inplace_method("pow_", _pow)


def _div_(self, other, *, rounding_mode=None):
    """In place; returns self. Integers can't hold the result of a true division."""
    if rounding_mode is None:
        return apply_inplace(_div, self, other, into=K.div_into)
    return apply_inplace(_trunc_divide if rounding_mode == "trunc" else _rounded_floor, self, other)


Tensor.div_ = Tensor.divide_ = Tensor.true_divide_ = _div_
Tensor.subtract_, Tensor.multiply_ = Tensor.sub_, Tensor.mul_

Tensor.__add__ = Tensor.__radd__ = _add
Tensor.__sub__ = _sub
Tensor.__rsub__ = lambda self, other: _sub(other, self)
Tensor.__mul__ = Tensor.__rmul__ = _mul
Tensor.__truediv__ = _div
Tensor.__rtruediv__ = lambda self, other: _div(other, self)
Tensor.__floordiv__ = _floor_divide
Tensor.__rfloordiv__ = lambda self, other: _floor_divide(other, self)
Tensor.__mod__ = _remainder
Tensor.__rmod__ = lambda self, other: _remainder(other, self)
Tensor.__pow__ = _pow
Tensor.__rpow__ = lambda self, other: _pow(other, self)
Tensor.__neg__ = Tensor.neg
Tensor.__pos__ = positive
Tensor.__abs__ = Tensor.abs
Tensor.__invert__ = Tensor.bitwise_not
Tensor.__iadd__ = lambda self, other: apply_inplace(_add, self, other, into=K.add_into)
Tensor.__isub__ = lambda self, other: apply_inplace(_sub, self, other, into=K.sub_into)
Tensor.__imul__ = lambda self, other: apply_inplace(_mul, self, other, into=K.mul_into)
Tensor.__itruediv__ = _div_
Tensor.__ifloordiv__ = Tensor.floor_divide_
Tensor.__imod__ = Tensor.remainder_
Tensor.__ipow__ = Tensor.pow_


def _comparison(name):
    call = getattr(Tensor, name)

    def compare(self, other):
        if other is None or isinstance(other, (str, list, tuple, dict)):
            return NotImplemented
        return call(self, other)

    return compare


for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(Tensor, f"__{_name}__", _comparison(_name))
for _name, _target in {"and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor"}.items():
    setattr(Tensor, f"__{_name}__", getattr(Tensor, _target))
    setattr(Tensor, f"__r{_name}__", getattr(Tensor, _target))
    setattr(Tensor, f"__i{_name}__", getattr(Tensor, _target + "_"))
Tensor.__lshift__ = Tensor.bitwise_left_shift
Tensor.__rshift__ = Tensor.bitwise_right_shift
