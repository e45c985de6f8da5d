"""ONNX forms of what works element by element: arithmetic, comparison, elementary functions, activations. See `lowerings`."""

from __future__ import annotations

import math

from .graph import Ref
from .table import LOWERINGS, lower

# -- element by element ----------------------------------------------------------------------------------------------------

_UNARY = {
    "neg": "Neg", "abs": "Abs", "sign": "Sign", "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "reciprocal": "Reciprocal",
    "sin": "Sin", "cos": "Cos", "tan": "Tan", "asin": "Asin", "acos": "Acos", "atan": "Atan", "sinh": "Sinh",
    "cosh": "Cosh", "tanh": "Tanh", "asinh": "Asinh", "acosh": "Acosh", "atanh": "Atanh", "erf": "Erf",
    "sigmoid": "Sigmoid", "relu": "Relu", "floor": "Floor", "ceil": "Ceil", "round": "Round",
}  # fmt: skip
_BINARY = {"add": "Add", "sub": "Sub", "mul": "Mul", "maximum": "Max", "minimum": "Min"}
_COMPARE = {"eq": "Equal", "lt": "Less", "le": "LessOrEqual", "gt": "Greater", "ge": "GreaterOrEqual"}
_LOGIC = {"logical_and": "And", "logical_or": "Or", "logical_xor": "Xor"}

for _name, _kind in _UNARY.items():
    LOWERINGS[_name] = lambda g, out, x, kind=_kind: g.node(kind, g.cast(x, out.dtype))
for _name, _kind in _BINARY.items():
    LOWERINGS[_name] = lambda g, out, a, b, kind=_kind: g.node(kind, g.cast(a, out.dtype), g.cast(b, out.dtype))


def _common(g, a, b):
    """Both operands in one dtype, for comparisons."""
    if not isinstance(a, Ref) or not isinstance(b, Ref):
        tensor, number = (a, b) if isinstance(a, Ref) else (b, a)
        if isinstance(number, float) and not tensor.dtype.is_floating_point:
            raise g.error("integers are compared with a fraction")
        dtype = tensor.dtype
    else:
        dtype = a.dtype if a.ndim >= b.ndim or a.dtype is b.dtype else b.dtype
        other = b.dtype if dtype is a.dtype else a.dtype
        if other is not dtype and (other.is_floating_point, other.itemsize) > (dtype.is_floating_point, dtype.itemsize):
            dtype = other
    return g.cast(a, dtype), g.cast(b, dtype)


for _name, _kind in _COMPARE.items():
    LOWERINGS[_name] = lambda g, out, a, b, kind=_kind: g.node(kind, *_common(g, a, b))
for _name, _kind in _LOGIC.items():
    LOWERINGS[_name] = lambda g, out, a, b, kind=_kind: g.node(kind, g.cast(a, out.dtype), g.cast(b, out.dtype))


@lower("ne")
def _ne(g, out, a, b):
    return g.node("Not", g.node("Equal", *_common(g, a, b)))


@lower("logical_not", "bitwise_not")
def _not(g, out, x):
    if out.dtype.name != "bool":
        raise g.error("integers have no ONNX form here")
    return g.node("Not", g.cast(x, out.dtype))


for _name, _kind in {"bitwise_and": "And", "bitwise_or": "Or", "bitwise_xor": "Xor"}.items():

    def _bitwise(g, out, a, b, kind=_kind):
        if out.dtype.name != "bool":
            raise g.error("integers have no ONNX form here")
        return g.node(kind, g.cast(a, out.dtype), g.cast(b, out.dtype))

    LOWERINGS[_name] = _bitwise


@lower("isnan")
def _isnan(g, out, x):
    return g.node("IsNaN", x)


@lower("isinf")
def _isinf(g, out, x):
    return g.node("IsInf", x)


@lower("add_scaled")
def _add_scaled(g, out, a, b, *, alpha):
    return g.node("Add", g.cast(a, out.dtype), g.node("Mul", g.cast(b, out.dtype), g.const(alpha, out.dtype)))


@lower("div")
def _div(g, out, a, b):
    return g.node("Div", g.cast(a, out.dtype), g.cast(b, out.dtype))


@lower("floor_divide", "div_floor")
def _floor_divide(g, out, a, b):
    if not out.dtype.is_floating_point:
        raise g.error("integers have no ONNX form here")
    return g.node("Floor", _div(g, out, a, b))


@lower("remainder")
def _remainder(g, out, a, b):
    a, b = g.cast(a, out.dtype), g.cast(b, out.dtype)
    if not out.dtype.is_floating_point:
        return g.node("Mod", a, b)
    return g.node("Sub", a, g.node("Mul", g.node("Floor", g.node("Div", a, b)), b))


@lower("fmod")
def _fmod(g, out, a, b):
    return g.node("Mod", g.cast(a, out.dtype), g.cast(b, out.dtype), fmod=1)


@lower("pow")
def _pow(g, out, a, b):
    return g.node("Pow", g.cast(a, out.dtype), g.cast(b, out.dtype))


@lower("square")
def _square(g, out, x):
    return g.node("Mul", x, x)


@lower("rsqrt")
def _rsqrt(g, out, x):
    return g.node("Reciprocal", g.node("Sqrt", g.cast(x, out.dtype)))


@lower("expm1")
def _expm1(g, out, x):
    return g.node("Sub", g.node("Exp", g.cast(x, out.dtype)), g.const(1, out.dtype))


@lower("exp2")
def _exp2(g, out, x):
    return g.node("Pow", g.const(2, out.dtype), g.cast(x, out.dtype))


@lower("log1p")
def _log1p(g, out, x):
    return g.node("Log", g.node("Add", g.cast(x, out.dtype), g.const(1, out.dtype)))


def _log_to(base):
    return lambda g, out, x: g.node("Div", g.node("Log", g.cast(x, out.dtype)), g.const(math.log(base), out.dtype))


LOWERINGS["log2"], LOWERINGS["log10"] = _log_to(2), _log_to(10)


@lower("erfc")
def _erfc(g, out, x):
    return g.node("Sub", g.const(1, out.dtype), g.node("Erf", g.cast(x, out.dtype)))


@lower("trunc")
def _trunc(g, out, x):
    return g.node("Mul", g.node("Sign", x), g.node("Floor", g.node("Abs", x)))


@lower("where")
def _where(g, out, c, a, b):
    if c.dtype.name != "bool":
        c = g.node("Cast", c, to=g.onnx.TensorProto.BOOL)
    return g.node("Where", c, g.cast(a, out.dtype), g.cast(b, out.dtype))


@lower("masked_fill")
def _masked_fill(g, out, x, value, mask):
    return _where(g, out, mask, value, x)


@lower("clamp")
def _clamp(g, out, x, *, min, max):
    low, high = ("" if v is None else g.const(v, out.dtype) for v in (min, max))
    return g.node("Clip", g.cast(x, out.dtype), low, high)


@lower("lerp")
def _lerp(g, out, a, b, w):
    a, b = g.cast(a, out.dtype), g.cast(b, out.dtype)
    return g.node("Add", a, g.node("Mul", g.cast(w, out.dtype), g.node("Sub", b, a)))


for _name, _kind in {"addcmul": "Mul", "addcdiv": "Div"}.items():

    def _addc(g, out, a, b, c, *, value, kind=_kind):
        product = g.node(kind, g.cast(b, out.dtype), g.cast(c, out.dtype))
        return g.node("Add", g.cast(a, out.dtype), g.node("Mul", product, g.const(value, out.dtype)))

    LOWERINGS[_name] = _addc


@lower("to_copy")
def _to_copy(g, out, x, *, dtype):
    return g.node("Cast", x, to=g.type_of(out.dtype))


@lower("copy", "fill")
def _copy(g, out, x, source):
    if not isinstance(source, Ref):
        return g.expand(g.const(source, out.dtype), (), out.dims)
    return g.expand(g.cast(source, out.dtype), source.dims, out.dims)


@lower("zero")
def _zero(g, out, x):
    return g.expand(g.const(0, out.dtype), (), out.dims)


# -- activations -----------------------------------------------------------------------------------------------------------


@lower("leaky_relu", "rrelu_eval")
def _leaky_relu(g, out, x, *, p):
    return g.node("LeakyRelu", x, alpha=p[0])


@lower("hardtanh")
def _hardtanh(g, out, x, *, p):
    return g.node("Clip", x, g.const(p[0], out.dtype), g.const(p[1], out.dtype))


@lower("threshold")
def _threshold(g, out, x, *, p):
    return g.node("Where", g.node("Greater", x, g.const(p[0], out.dtype)), x, g.const(p[1], out.dtype))


@lower("hardshrink")
def _hardshrink(g, out, x, *, p):
    return g.node("Shrink", x, lambd=p[0], bias=0.0)


@lower("softshrink")
def _softshrink(g, out, x, *, lambd):
    return g.node("Shrink", x, lambd=lambd, bias=lambd)


@lower("hardsigmoid")
def _hardsigmoid(g, out, x, *, p):
    return g.node("HardSigmoid", x, alpha=1 / 6, beta=0.5)


@lower("hardswish")
def _hardswish(g, out, x, *, p):
    return g.node("HardSwish", x)


@lower("elu", "celu")
def _elu(g, out, x, *, p):
    alpha, scale, inner = p
    low = g.node("Sub", g.node("Exp", g.node("Mul", x, g.const(inner, out.dtype))), g.const(1, out.dtype))
    low = g.node("Mul", low, g.const(alpha * scale, out.dtype))
    high = x if scale == 1 else g.node("Mul", x, g.const(scale, out.dtype))
    return g.node("Where", g.node("Greater", x, g.const(0, out.dtype)), high, low)


@lower("gelu")
def _gelu(g, out, x, *, p):
    inner = g.node("Erf", g.node("Mul", x, g.const(math.sqrt(0.5), out.dtype)))
    half = g.node("Mul", x, g.const(0.5, out.dtype))
    return g.node("Mul", half, g.node("Add", inner, g.const(1, out.dtype)))


@lower("gelu_tanh")
def _gelu_tanh(g, out, x, *, p):
    cube = g.node("Mul", g.node("Mul", g.node("Mul", x, x), x), g.const(0.044715, out.dtype))
    inner = g.node("Tanh", g.node("Mul", g.node("Add", x, cube), g.const(math.sqrt(2 / math.pi), out.dtype)))
    half = g.node("Mul", x, g.const(0.5, out.dtype))
    return g.node("Mul", half, g.node("Add", inner, g.const(1, out.dtype)))


@lower("silu")
def _silu(g, out, x, *, p):
    return g.node("Mul", x, g.node("Sigmoid", x))


@lower("mish")
def _mish(g, out, x, *, p):
    return g.node("Mul", x, g.node("Tanh", g.node("Softplus", x)))


@lower("softplus")
def _softplus(g, out, x, *, p):
    beta, threshold = p
    scaled = g.node("Mul", x, g.const(beta, out.dtype))
    y = g.node("Div", g.node("Softplus", scaled), g.const(beta, out.dtype))
    return g.node("Where", g.node("Greater", scaled, g.const(threshold, out.dtype)), x, y)


@lower("log_sigmoid")
def _log_sigmoid(g, out, x, *, p):
    return g.node("Neg", g.node("Softplus", g.node("Neg", x)))


@lower("glu")
def _glu(g, out, x, *, dim):
    half = out.shape[dim]
    a, b = (g.node("Slice", x, g.const([k]), g.const([k + half]), g.const([dim])) for k in (0, half))
    return g.node("Mul", a, g.node("Sigmoid", b))


@lower("prelu")
def _prelu(g, out, x, w):
    return g.node("PRelu", x, w)


@lower("rrelu")
def _rrelu(g, out, x, noise):
    return g.node("Mul", x, noise)


for _name, _kind in {"softmax": "Softmax", "log_softmax": "LogSoftmax"}.items():
    LOWERINGS[_name] = lambda g, out, x, *, dim, kind=_kind: g.node(kind, x, axis=dim)
