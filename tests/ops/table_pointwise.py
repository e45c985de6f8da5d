"""Arithmetic, comparison and elementary functions: every form of every op, in every dtype."""

from __future__ import annotations

import math

from .harness import FLOATS, HALFS, ErrorRow, Row

INTS = ("int64", "int32", "int16", "int8", "uint8")
ALL = (*FLOATS, *HALFS, *INTS, "bool")
NUMERIC = (*FLOATS, *HALFS, *INTS)
INTBOOL = (*INTS, "bool")
SHAPES = {"": (3, 4), "scalar": (), "empty": (0, 3), "large": (7, 1300)}
PAIRS = {"": [(3, 4), (3, 4)], "broadcast": [(3, 1, 4), (5, 1)], "scalar": [(3,), ()], "empty": [(0, 3), (3,)],
         "large": [(70, 700), (700,)]}  # fmt: skip


def call(name, *numbers):
    return lambda T, *inputs: getattr(T, name)(*inputs, *numbers)


def unary(name, draw="__call__", dtypes=ALL, inplace=True, op=None, out=True, **kw):
    """Rows of a function of one tensor: all shapes in floats, one in every other dtype, in place, and `out=`."""
    make = lambda s: lambda r: getattr(r, draw)(*s)  # noqa: E731
    rows = [Row(op or name, call(name), make(s), f"{name}_{label}", **kw) for label, s in SHAPES.items()]
    rest = tuple(d for d in dtypes if d not in FLOATS)
    if rest:
        rows.append(Row(op or name, call(name), make((3, 4)), f"{name}_dtypes", dtypes=rest, **kw))
    flags = Row(op or name, call(name), make((3, 4)), f"{name}_forms", dtypes=dtypes, inplace=name + "_" if inplace else None,
                out=name if out else None, **kw)  # fmt: skip
    return [*rows, flags]


def binary(name, draw="__call__", dtypes=ALL, inplace=True, op=None, number=2, grad=True, out=True, first="__call__", **kw):
    """Rows of a function of two tensors, or a tensor and a number."""
    make = lambda a, b: lambda r: (getattr(r, first)(*a), getattr(r, draw)(*b))  # noqa: E731
    floats = tuple(d for d in dtypes if d in FLOATS)
    rows = [Row(op or name, call(name), make(a, b), f"{name}_{label}", dtypes=floats or dtypes, grad=grad, **kw) for label, (a, b) in PAIRS.items()]
    rest = tuple(d for d in dtypes if d not in FLOATS)
    if rest:
        rows.append(Row(op or name, call(name), make((3, 4), (4,)), f"{name}_dtypes", dtypes=rest, grad=grad, **kw))
    if number is not None:
        rows.append(Row(op or name, call(name, number), lambda r: getattr(r, first)(4), f"{name}_number", dtypes=dtypes, grad=grad, **kw))
    forms = Row(op or name, call(name), make((3, 4), (4,)), f"{name}_forms", dtypes=dtypes, grad=grad, inplace=name + "_" if inplace else None,
                out=name if out else None, **kw)  # fmt: skip
    return [*rows, forms]


def compare(name, draw="__call__", **kw):
    return binary(name, draw, grad=False, **kw)


POSITIVE = ["log", "log2", "log10", "log1p", "sqrt", "rsqrt", "lgamma", "digamma"]
REAL = ["exp", "exp2", "expm1", "sin", "cos", "tan", "atan", "sinh", "cosh", "tanh", "asinh", "erf", "erfc", "sigmoid", "sinc", "i0"]
ROWS = [
    *[row for n in POSITIVE for row in unary(n, "positive", rtol=1e-6 if n == "lgamma" else None)],
    *[row for n in REAL for row in unary(n, inplace=n != "asinh")],
    *[row for n in ("asin", "acos", "atanh") for row in unary(n, "unit", dtypes=FLOATS + HALFS, inplace=n != "atanh")],
    # A row that is repeated, and a column, over several chunks of elements; operands of two dtypes.
    *[Row("mul", lambda T, x, y: (x * y, y - x), lambda r, s=s, p=p: (r(700, p), r(*s)), f"mul_{s}_of_{p}", dtypes=("float32", "bfloat16", "int64"), second=False)
      for p in (5, 48, 100, 129) for s in ((p,), (700, 1))],
    Row("add", lambda T, x, y, z: x + y + z, lambda r: (r(700, 60), r.integers(-9, 9, 60), r.integers(0, 9, 700, 1)), "add_row_and_column", second=False),
    Row("acosh", lambda T, x: T.acosh(x + 1), lambda r: r.positive(3, 4), dtypes=FLOATS + HALFS),
    *unary("reciprocal", "positive"), *unary("neg", dtypes=NUMERIC), *unary("abs", dtypes=NUMERIC), *unary("sign"), *unary("square", dtypes=NUMERIC),
    *unary("relu", dtypes=NUMERIC, out=False), *[row for n in ("floor", "ceil", "trunc", "round") for row in unary(n, dtypes=NUMERIC)],
    Row("round", lambda T, x: T.round(x, decimals=2), lambda r: r(3, 4), "decimals", dtypes=FLOATS), *unary("frac", dtypes=FLOATS, op="trunc", inplace=False),
    *unary("bitwise_not", dtypes=INTBOOL)[-2:], *unary("logical_not"),
    *[row for n in ("isnan", "isinf", "isfinite") for row in unary(n, inplace=False, out=False)],
    *[Row(n, lambda T, x, n=n: getattr(T, n)(x / (x - 1)), lambda r: r.values([0, 1, 2, math.nan, -math.inf]), "special", grad=False) for n in ("isnan", "isinf", "isfinite")],
    *binary("add"), *binary("sub", dtypes=NUMERIC), *binary("mul"), *binary("div", "positive"),
    Row("add_scaled", lambda T, a, b: T.add(a, b, alpha=3), lambda r: (r(3, 4), r(4)), dtypes=NUMERIC),
    Row("add_scaled", lambda T, a, b: T.sub(a, b, alpha=2), lambda r: (r(3, 4), r(4)), "sub", dtypes=NUMERIC),
    Row("add_scaled", lambda T, a, b: a.clone().add_(b, alpha=2), lambda r: (r(3, 4), r(4)), "inplace", dtypes=NUMERIC),
    Row("sub", lambda T, a, b: T.rsub(a, b), lambda r: (r(3, 4), r(4)), "rsub", dtypes=NUMERIC), Row("sub", lambda T, a: 3 - a, lambda r: r(3, 4), "reflected", dtypes=NUMERIC),
    Row("div", lambda T, a: 3 / a, lambda r: r.positive(3, 4), "reflected", dtypes=ALL),
    *binary("floor_divide", "positive", grad=False, dtypes=NUMERIC), *binary("remainder", "positive", dtypes=NUMERIC), *binary("fmod", "positive", dtypes=NUMERIC),
    *[Row(o, lambda T, a, b, m=m: T.div(a, b, rounding_mode=m), lambda r: (r(30, 4), r.positive(4)), m, dtypes=NUMERIC) for o, m in (("div_floor", "floor"), ("trunc_divide", "trunc"))],
    *[Row(o, lambda T, a, b, m=m: a.clone().div_(b, rounding_mode=m), lambda r: (r(30, 4), r.positive(4)), f"{m}_inplace", dtypes=NUMERIC) for o, m in (("div_floor", "floor"), ("trunc_divide", "trunc"))],
    Row("floor_divide", lambda T, a: 7 // a, lambda r: r.positive(5), "reflected", dtypes=NUMERIC, grad=False), Row("remainder", lambda T, a: 7 % a, lambda r: r.positive(5), "reflected", dtypes=NUMERIC, grad=False),
    *[Row("remainder", lambda T, a, b, n=n: getattr(T, n)(a, b), lambda r: (r.values([7, -7, 7, -7, 0]), r.values([3, 3, -3, -3, 2])), f"signs_{n}", dtypes=(*FLOATS, "int64")) for n in ("remainder", "fmod")],
    *binary("pow", first="positive", dtypes=FLOATS + HALFS), *[Row("pow", lambda T, a, p=p: a**p, lambda r: r(3, 4), f"power{p}", dtypes=NUMERIC) for p in (0, 1, 2, 3)],
    *[Row("pow", lambda T, a, p=p: a**p, lambda r: r.positive(3, 4), f"power{p}", dtypes=FLOATS) for p in (-1, 0.5, -0.5, 2.5, -2)],
    Row("pow", lambda T, a: (a**3.0, a**2.5, a**-3.0, a**5), lambda r: r(20, 9), "signs", dtypes=("float32", "float64"), grad=False),
    Row("pow", lambda T, a, b: a**b, lambda r: (r.values([[0.0], [-0.0], [1], [-1], [2], [-2], [math.inf], [-math.inf], [math.nan], [3e38]]),
        r.values([0.0, 1, -1, 2, -2, 3, 0.5, -0.5, math.inf, -math.inf, math.nan, 1e10])), "ends", dtypes=("float32", "float64"), grad=False),
    Row("pow", lambda T, a: 2**a, lambda r: r(3, 4), "reflected", dtypes=FLOATS), Row("pow", lambda T, a: a**2.0, lambda r: r(3, 4), "float_of_int", dtypes=("int64", "uint8")),
    Row("pow", lambda T, a, b: a**b, lambda r: (r.values([0, 0, 1, -2]), r.values([0, 2, 0, 3])), "zeros", second=False),
    Row("pow", lambda T, a, b: T.float_power(a, b), lambda r: (r.positive(3), r(3)), "float_power", dtypes=("float32", "int64")),
    *[row for n in ("maximum", "minimum") for row in binary(n, number=None, inplace=False)], *[row for n in ("fmax", "fmin") for row in binary(n, dtypes=FLOATS + HALFS, number=None, inplace=False)],
    *[Row(n, lambda T, a, b, n=n: getattr(T, n)(a, b), lambda r: (r.values([1, math.nan, 2, 3]), r.values([1, 1, math.nan, 0])), "nan_and_ties", second=False) for n in ("maximum", "minimum", "fmax", "fmin")],
    *binary("atan2", dtypes=FLOATS + HALFS, number=None), *binary("hypot", dtypes=FLOATS + HALFS, number=None), *binary("copysign", "positive", dtypes=FLOATS + HALFS),
    *[row for n in ("eq", "ne", "lt", "le", "gt", "ge") for row in compare(n)], *[row for n in ("logical_and", "logical_or", "logical_xor") for row in compare(n, number=None)],
    *[row for n in ("bitwise_and", "bitwise_or", "bitwise_xor") for row in compare(n, dtypes=INTBOOL, number=None)], *[row for n in ("bitwise_left_shift", "bitwise_right_shift") for row in compare(n, "positive", dtypes=INTS)],
    Row("bitwise_and", lambda T, a, b: (a & b, a | b, a ^ b, ~a, a & 3, 3 | a), lambda r: (r(9), r(9)), "operators", dtypes=INTS),
    Row("where", lambda T, c, a, b: T.where(c, a, b), lambda r: (r.bools(3, 4), r(3, 4), r(4)), dtypes=ALL), Row("where", lambda T, c, a: T.where(c, a, 0), lambda r: (r.bools(3, 4), r(3, 4)), "number", dtypes=NUMERIC),
    Row("where", lambda T, c, a: T.where(c, 1.5, a), lambda r: (r.bools(3, 4), r(3, 4)), "float", dtypes=NUMERIC), Row("where", lambda T, c, a, b: a.where(c, b), lambda r: (r.bools(2, 1), r(3), r()), "method"),
    *[Row("clamp", lambda T, x, a=a: T.clamp(x, *a), lambda r: r(40), f"{a}", dtypes=NUMERIC) for a in ((-1, 1), (None, 1), (0,), (2, 1))], Row("clamp", lambda T, x: T.clamp(x, -0.5, 0.5), lambda r: r(40), "floats", dtypes=NUMERIC),
    Row("clamp", lambda T, x: x.clone().clamp_(-1, 1), lambda r: r(40), "inplace", dtypes=NUMERIC), Row("clamp", lambda T, x: (T.clamp_min(x, 0), x.clamp_max(1), x.clip(0, 1)), lambda r: r(40), "one_side", dtypes=NUMERIC),
    Row("maximum", lambda T, x, a, b: T.clamp(x, a, b), lambda r: (r(40), r(40), r(40)), "clamp", dtypes=FLOATS), Row("clamp", lambda T, x: T.clamp(x, 0, 1), lambda r: r.values([math.nan, 0, 1, 0.5, -math.inf]), "edges", grad=True),
    Row("lerp", lambda T, a, b, w: T.lerp(a, b, w), lambda r: (r(3, 4), r(4), r.unit(3, 1)), dtypes=FLOATS + HALFS), Row("lerp", lambda T, a, b: T.lerp(a, b, 0.3), lambda r: (r(3, 4), r(4)), "number", dtypes=FLOATS + HALFS, inplace=None),
    Row("addcmul", lambda T, a, b, c: T.addcmul(a, b, c), lambda r: (r(3, 4), r(4), r(3, 1)), dtypes=NUMERIC, inplace="addcmul_", out="addcmul"), Row("addcmul", lambda T, a, b, c: T.addcmul(a, b, c, value=2), lambda r: (r(3, 4), r(4), r(3, 1)), "value", dtypes=NUMERIC),
    Row("addcdiv", lambda T, a, b, c: T.addcdiv(a, b, c), lambda r: (r(3, 4), r(4), r.positive(3, 1)), dtypes=FLOATS + HALFS, inplace="addcdiv_", out="addcdiv"), Row("addcdiv", lambda T, a, b, c: T.addcdiv(a, b, c, value=2), lambda r: (r(3, 4), r(4), r.positive(3, 1)), "value"),
    Row("eq", lambda T, a, b: T.isclose(a, b), lambda r: (r.values([1, 1, math.nan, math.inf, 0]), r.values([1, 1 + 1e-9, math.nan, math.inf, 1e-9])), "isclose", grad=False),
    Row("exp", lambda T, a, b: T.logaddexp(a, b), lambda r: (r(3, 4), r(4)), "logaddexp"), Row("where", lambda T, a: T.nan_to_num(a), lambda r: r.values([math.nan, math.inf, -math.inf, 1]), "nan_to_num"),
    *[Row(op, lambda T, x, op=op: getattr(T, op)(T.tensor([0.5, 1.0, 2.0, 5.0, 25.0], dtype=x.dtype), x), lambda r: r.positive(4, 5), second=False) for op in ("igamma", "igammac")],
    *[Row(op, lambda T, a, x, op=op: getattr(T, op)(a, x), lambda r: (r.positive(4, 5), r.positive(5)), "forms", grad=False, inplace=op + "_", out=op) for op in ("igamma", "igammac")],
    *[Row(op, lambda T, a, x, op=op: getattr(T, op)(a, x), lambda r: (r.values([0, 1, math.inf, 0, 2, -1, 1e-5, 30, 200, 200, 0.5]), r.values([1, 0, 1, 0, math.inf, 1, 1, 20, 210, 150, 1e-9])), "edges", grad=False) for op in ("igamma", "igammac")],
    *unary("signbit", dtypes=NUMERIC, inplace=False), *binary("xlogy", "positive", dtypes=FLOATS + HALFS), Row("xlogy", lambda T, a, b: T.xlogy(a, b), lambda r: (r.values([0, 0, 0, 1]), r.values([0, math.nan, 2, 0])), "zeros", grad=False),
    *compare("heaviside", number=None), *compare("nextafter", number=None, dtypes=FLOATS), *compare("gcd", dtypes=INTS, number=None), *compare("lcm", "positive", dtypes=("int64", "int32"), number=None, first="positive"),
    Row("frexp_mantissa", lambda T, x: T.frexp(x), lambda r: r(3, 4), dtypes=FLOATS), Row("frexp_exponent", lambda T, x: T.frexp(x).exponent, lambda r: r.values([0, 1, -3, 0.1, 1e-30]), dtypes=FLOATS, grad=False),
    *[Row("polygamma", lambda T, x, n=n: T.polygamma(n, x), lambda r: r.positive(3, 4), f"order{n}", rtol=1e-5, atol=1e-6) for n in (0, 1, 2, 3)], Row("digamma", lambda T, x: T.digamma(x), lambda r: r.values([-0.5, -1.5, -2.25, 0.3, 20]), "negative"),
    Row("lgamma", lambda T, x: T.lgamma(x), lambda r: r.values([0.5, 2.5, 0, 1, 2, 3, 8, 1e30, 1e38, float("inf"), float("nan"), -0.5, -2.5, 0.01, 7.5, 100, 1.5, 2.25]), "edges", grad=False),
    Row("polygamma", lambda T, x: T.polygamma(1, x), lambda r: r.values([0.5, 2.5, 0, 1, 8, 1e30, float("inf"), float("nan"), -0.5, -2.5]), "edges", grad=False), Row("erfc", lambda T, x: T.erfc(x), lambda r: r.values([0.0, -0.0, 5, 9, 12, 30, -30, float("inf"), -float("inf"), float("nan")]), "edges", grad=False),
    Row("log", lambda T, x: T.logit(x), lambda r: r.unit(3, 4), "logit", dtypes=FLOATS + HALFS), Row("log", lambda T, x: T.logit(x, 0.1), lambda r: r.unit(3, 4), "logit_eps"), Row("mul", lambda T, x: (T.deg2rad(x), T.rad2deg(x)), lambda r: r(4), "degrees", dtypes=(*FLOATS, "int64")),
    Row("sign", lambda T, x: T.sgn(x), lambda r: r(4), "sgn"), Row("where", lambda T, x: T.angle(x), lambda r: r(9), "angle", dtypes=(*FLOATS, "int64"), grad=False), Row("lgamma", lambda T, x: T.mvlgamma(x + 3, 3), lambda r: r.positive(4), "mvlgamma"),
    Row("mul", lambda T, a, b: T.ldexp(a, b), lambda r: (r(4), r.integers(0, 3, 4)), "ldexp"), Row("eq", lambda T, a: (T.isposinf(a), T.isneginf(a), T.isreal(a)), lambda r: r.values([math.inf, -math.inf, math.nan, 0]), "infinities", grad=False),
    Row("exp", lambda T, x: T.exp(x), lambda r: r.values([-200, -103.5, -90, -0.0, 0, 88, 89, math.inf, -math.inf, math.nan]), "edges", second=False),
    Row("neg", lambda T, x: (-x, +x, abs(x)), lambda r: r(4), "operators", dtypes=NUMERIC),
]  # fmt: skip


def e(label, fn):
    return ErrorRow("pointwise", fn, label)


ERRORS = [
    e("add", lambda T: T.ones(2, 3) + T.ones(4)), e("sub_bool", lambda T: T.ones(3).bool() - T.ones(3).bool()), e("neg_bool", lambda T: -T.ones(3).bool()), e("positive_bool", lambda T: +T.ones(3).bool()),
    e("inplace_cast", lambda T: T.ones(3).long().add_(0.5)), e("inplace_cast_mul", lambda T: T.ones(3).long().mul_(T.ones(3))), e("inplace_shape", lambda T: T.ones(3).add_(T.ones(2, 3))), e("div_mode", lambda T: T.div(T.ones(3), 2, rounding_mode="up")),
    e("div_int", lambda T: T.ones(3).long().div_(2)), e("clamp_none", lambda T: T.clamp(T.ones(3))), e("pow_negative", lambda T: T.ones(3).long() ** -1), e("where_dtype", lambda T: T.where(T.ones(3), T.ones(3), T.ones(3))),
    e("bitwise_float", lambda T: T.ones(3) & T.ones(3)), e("out_cast", lambda T: T.add(T.ones(3), T.ones(3), out=T.ones(3).long())), e("out_grad", lambda T: T.add(T.ones(3, requires_grad=True), T.ones(3), out=T.ones(3))),
    e("polygamma", lambda T: T.polygamma(-1, T.ones(3))), e("heaviside", lambda T: T.heaviside(T.ones(3), T.ones(3).double())), e("gcd_float", lambda T: T.gcd(T.ones(3), T.ones(3))), e("floor_divide_zero", lambda T: T.ones(3).long() // 0),
    e("lerp_dtype", lambda T: T.lerp(T.ones(3), T.ones(3).double(), 0.5)), e("remainder_zero", lambda T: T.ones(3).long() % 0), e("abs_bool", lambda T: T.ones(3).bool().abs()), e("inplace_leaf", lambda T: T.ones(3, requires_grad=True).add_(1)),
    e("shift_float", lambda T: T.ones(3) << 1), e("expanded", lambda T: T.ones(1).expand(3).add_(1)),
]  # fmt: skip
