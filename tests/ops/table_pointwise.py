"""Arithmetic, comparison and elementary functions."""

from __future__ import annotations

from .harness import FLOATS, HALFS, INTS, ErrorRow, Row

SHAPES = {"": (3, 4), "scalar": (), "empty": (0, 3), "large": (7, 1300)}


def unary(name, draw="__call__", dtypes=FLOATS + HALFS, **kw):
    rows = [Row(name, lambda T, x, n=name: getattr(T, n)(x), lambda r, s=s: getattr(r, draw)(*s), label, dtypes=dtypes, **kw)
            for label, s in SHAPES.items()]  # fmt: skip
    return [*rows, Row(name, lambda T, x, n=name: getattr(T, n)(x), lambda r: r.positive(5), "int", dtypes=("int64",))]


def binary(name, draw="__call__", dtypes=FLOATS, **kw):
    call = lambda T, a, b, n=name: getattr(T, n)(a, b)  # noqa: E731
    shapes = {"": [(3, 4), (3, 4)], "broadcast": [(3, 1, 4), (5, 1)], "scalar": [(3,), ()], "empty": [(0, 3), (3,)],
              "large": [(70, 700), (700,)]}  # fmt: skip
    rows = [Row(name, call, lambda r, a=a, b=b: (r(*a), getattr(r, draw)(*b)), label, dtypes=dtypes, **kw)
            for label, (a, b) in shapes.items()]  # fmt: skip
    return [*rows, Row(name, lambda T, a, n=name: getattr(T, n)(a, 2), lambda r: r(4), "number", dtypes=dtypes, **kw)]


ALL = FLOATS + HALFS + INTS
ROWS = [
    *binary("add", dtypes=(*ALL, "bool")),
    *binary("sub", dtypes=ALL),
    *binary("mul", dtypes=(*ALL, "bool")),
    *binary("div", "positive", dtypes=ALL),
    *unary("exp"),
    *unary("tanh"),
    *unary("sigmoid"),
    *unary("relu", dtypes=FLOATS + HALFS + INTS),
    *unary("log", "positive"),
    *unary("sqrt", "positive"),
    Row("add_scaled", lambda T, a, b: T.add(a, b, alpha=3), lambda r: (r(3, 4), r(4)), dtypes=ALL),
    Row("where", lambda T, c, a, b: T.where(c, a, b), lambda r: (r.bools(3, 4), r(3, 4), r(4))),
]
ERRORS = [
    ErrorRow("add", lambda T: T.ones(2, 3) + T.ones(4), "shapes"),
    ErrorRow("sub", lambda T: T.ones(3).bool() - T.ones(3).bool(), "bool"),
]
