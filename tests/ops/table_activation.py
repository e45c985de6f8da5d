"""Activation functions and softmax."""

from __future__ import annotations

from .harness import FLOATS, HALFS, ErrorRow, Row

SHAPES = {"": (3, 4), "scalar": (), "empty": (0, 3), "large": (7, 1300)}


def F(T):
    return T.nn.functional


def activation(op, name, *args, label="", dtypes=FLOATS + HALFS, second=True, **kw):
    call = lambda T, x: getattr(F(T), name)(x, *args, **kw)  # noqa: E731
    return [Row(op, call, lambda r, s=s: r.uniform(-8, 8, *s), "-".join(filter(None, (label, which))), dtypes=dtypes,
                second=second)
            for which, s in SHAPES.items()]  # fmt: skip


def kinks(op, name, values, *args, second=True):
    return Row(op, lambda T, x: getattr(F(T), name)(x, *args), lambda r: r.values([*values, float("nan")]), "kinks",
               second=second)


def softmax(name, shape, dim, label, dtypes=FLOATS):
    return Row(name, lambda T, x: getattr(F(T), name)(x, dim), lambda r: r.uniform(-5, 5, *shape), label, dtypes=dtypes)


def inplace(op, name, *args):
    def call(T, x):
        y = x * 2
        getattr(F(T), name)(y, *args, inplace=True)
        return y

    return Row(op, call, lambda r: r(3, 4), "inplace")


ROWS = [
    *activation("leaky_relu", "leaky_relu"),
    *activation("leaky_relu", "leaky_relu", 0.3, label="slope"),
    *activation("elu", "elu"),
    *activation("elu", "elu", 0.7, label="alpha"),
    *activation("elu", "selu", label="selu"),
    *activation("celu", "celu", 1.7),
    *activation("gelu", "gelu"),
    *activation("gelu_tanh", "gelu", approximate="tanh"),
    *activation("silu", "silu"),
    *activation("mish", "mish"),
    *activation("softplus", "softplus"),
    *activation("softplus", "softplus", 2.0, 5.0, label="beta"),
    *activation("log_sigmoid", "logsigmoid"),
    *activation("hardtanh", "hardtanh"),
    *activation("hardtanh", "hardtanh", -2.0, 0.5, label="bounds"),
    *activation("hardtanh", "relu6", label="relu6"),
    *activation("hardsigmoid", "hardsigmoid", second=False),
    *activation("hardswish", "hardswish"),
    *activation("hardshrink", "hardshrink"),
    *activation("softshrink", "softshrink"),
    *activation("threshold", "threshold", 0.3, -2.0),
    *activation("sub", "tanhshrink", label="tanhshrink", dtypes=FLOATS),
    *activation("div", "softsign", label="softsign", dtypes=FLOATS),
    Row("hardtanh", lambda T, x: F(T).relu6(x), lambda r: r(5), "int", dtypes=("int64",)),
    Row("threshold", lambda T, x: F(T).threshold(x, 1, 2), lambda r: r(5), "int", dtypes=("int64",)),
    kinks("leaky_relu", "leaky_relu", [0.0, -0.0]),
    kinks("elu", "elu", [0.0]),
    kinks("hardtanh", "hardtanh", [-1.0, 1.0]),
    kinks("hardsigmoid", "hardsigmoid", [-3.0, 3.0], second=False),
    kinks("hardswish", "hardswish", [-3.0, 3.0]),
    kinks("hardshrink", "hardshrink", [-0.5, 0.5]),
    kinks("softshrink", "softshrink", [-0.5, 0.5]),
    kinks("threshold", "threshold", [0.5], 0.5, 1.0),
    kinks("softplus", "softplus", [20.0, 20.1, -30.0, 100.0, -100.0]),
    kinks("log_sigmoid", "logsigmoid", [0.0, -200.0, 200.0, 15.0]),
    kinks("mish", "mish", [0.0, 19.9, 20.1, 100.0, -20.0]),
    kinks("gelu", "gelu", [0.0, 10.0, -10.0, 100.0]),
    kinks("silu", "silu", [0.0, 100.0, -80.0]),
    inplace("leaky_relu", "leaky_relu"), inplace("elu", "elu"), inplace("silu", "silu"), inplace("hardtanh", "hardtanh"),
    inplace("threshold", "threshold", 0.1, 3.0), inplace("celu", "celu"), inplace("relu", "relu"),
    Row("glu", lambda T, x: F(T).glu(x), lambda r: r(3, 4)),
    Row("glu", lambda T, x: F(T).glu(x, 0), lambda r: r(4, 5, 2), "dim0"),
    Row("prelu", lambda T, x, w: F(T).prelu(x, w), lambda r: (r(3, 4), r(1)), "one"),
    Row("prelu", lambda T, x, w: F(T).prelu(x, w), lambda r: (r(3, 4, 5), r(4)), "channels"),
    Row("prelu", lambda T, x, w: F(T).prelu(x, w), lambda r: (r(4), r(1)), "vector"),
    *[Row("prelu", lambda T, x, w: F(T).prelu(x, w), lambda r, s=s, n=n: (r(*s), r(n)), label, second=False)
      for s, n, label in (((3, 5, 37), 5, "runs"), ((300, 70), 70, "rows"), ((2, 3, 90, 100), 3, "pieces"), ((2, 90, 100), 1, "long"))],
    *[Row("prelu", lambda T, x, w: F(T).prelu(x, w), lambda r, s=s: (r(*s), r(4)), f"empty{len(s)}") for s in ((0, 4), (0, 4, 5), (2, 4, 0))],
    Row("glu", lambda T, x: F(T).glu(x, 1), lambda r: r(2, 6, 70, 80), "pieces", second=False),
    Row("glu", lambda T, x: F(T).glu(x, 1), lambda r: r(0, 4), "empty"),
    Row("glu", lambda T, x: F(T).glu(x), lambda r: r(3, 10), "half", dtypes=("bfloat16", "float16"), rtol=2e-2, atol=1e-2),
    Row("rrelu_eval", lambda T, x: F(T).rrelu(x), lambda r: r(3, 4)),
    Row("rrelu", lambda T, x: (T.manual_seed(3), F(T).rrelu(x, training=True))[1], lambda r: r(3, 4), dtypes=FLOATS, second=False, layouts=False),
    *[softmax(n, *case) for n in ("softmax", "log_softmax", "softmin") if n != "softmin"
      for case in (((3, 4), 1, "rows"), ((3, 4), 0, "columns"), ((2, 5, 3), 1, "middle"), ((3, 700), -1, "long"),
                   ((2, 40, 90), 1, "strips"), ((), 0, "scalar"), ((0, 3), 1, "empty"), ((2, 0), 1, "nothing"),
                   ((300, 100), 1, "parallel"))],
    softmax("softmax", (3, 5), 1, "half", HALFS), softmax("log_softmax", (3, 5), 1, "half", HALFS),
    Row("softmax", lambda T, x: F(T).softmin(x, 1), lambda r: r(3, 4), "softmin"),
    Row("softmax", lambda T, x: x.softmax(0, dtype=T.float64), lambda r: r(3, 4), "dtype"),
    Row("softmax", lambda T, x: F(T).softmax(x), lambda r: r(3, 4), "implicit"),
    Row("softmax", lambda T, x: T.softmax(x, 1), lambda r: r.values([[float("-inf")] * 2, [float("-inf"), 0.0], [1e30, 0]]),
        "infinite", dtypes=("float64",)),
]  # fmt: skip
INT = lambda T: T.ones(2, 4, dtype=T.int64)  # noqa: E731
ERRORS = [
    *[ErrorRow(n, lambda T, n=n: getattr(F(T), n)(INT(T)), "integers")
      for n in ("leaky_relu", "elu", "gelu", "silu", "mish", "softplus", "hardswish", "hardsigmoid", "hardshrink",
                "softshrink", "selu", "glu", "logsigmoid")],
    ErrorRow("softmax", lambda T: F(T).softmax(INT(T), 1), "integers"),
    ErrorRow("softmax", lambda T: F(T).softmax(INT(T), 0), "integers-0"),
    ErrorRow("log_softmax", lambda T: F(T).log_softmax(INT(T), 1), "integers"),
    ErrorRow("softmax", lambda T: F(T).softmax(T.ones(2, 3), 2), "dim"),
    ErrorRow("glu", lambda T: F(T).glu(T.ones(3)), "odd"),
    ErrorRow("glu", lambda T: F(T).glu(T.tensor(1.0)), "scalar"),
    ErrorRow("prelu", lambda T: F(T).prelu(T.ones(2, 3), T.ones(2)), "channels"),
    ErrorRow("prelu", lambda T: F(T).prelu(T.ones(2, 3), T.ones(3, 1)), "matrix"),
    ErrorRow("prelu", lambda T: F(T).prelu(T.tensor(1.0), T.ones(2)), "scalar"),
    ErrorRow("prelu", lambda T: F(T).prelu(INT(T), T.ones(1)), "types"),
    ErrorRow("softshrink", lambda T: F(T).softshrink(T.ones(2), -1.0), "negative"),
    ErrorRow("gelu", lambda T: F(T).gelu(T.ones(2), approximate="foo"), "name"),
    ErrorRow("celu", lambda T: F(T).celu(T.ones(2), 0.0), "zero"),
    ErrorRow("rrelu", lambda T: F(T).rrelu(T.ones(2), 2, 1), "bounds"),
    ErrorRow("hardtanh", lambda T: F(T).hardtanh(T.ones(2), 2.0, 1.0), "bounds"),
    ErrorRow("leaky_relu", lambda T: F(T).leaky_relu(T.ones(2), "a"), "slope"),
    ErrorRow("leaky_relu", lambda T: F(T).leaky_relu_(T.ones(2, requires_grad=True)), "leaf"),
]  # fmt: skip
