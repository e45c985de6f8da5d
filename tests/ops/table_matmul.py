"""Matrix products."""

from __future__ import annotations

from .harness import FLOATS, HALFS, ErrorRow, Row

D = FLOATS + HALFS
INT = (*FLOATS, "int64", "int32", "uint8")


def pair(*shapes, dtype="__call__"):
    return lambda r: tuple(r(*s) for s in shapes)


MATMUL = [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((5, 2, 3), (5, 3, 4)), ((5, 1, 2, 3), (4, 3, 2)), ((5, 2, 3), (3,)), ((3,), (5, 3, 4)), ((0, 3), (3, 4)), ((2, 0), (0, 4)), ((1, 2, 3), (5, 3, 4))]
L = dict(rtol=2e-5, atol=2e-5)
ROWS = [
    *[Row("mm" if len(a) == len(b) == 2 else "bmm" if min(len(a), len(b)) > 2 else "dot" if len(a) == len(b) == 1 else "mv", lambda T, x, y: x @ y, pair(a, b), f"matmul_{a}_{b}", dtypes=D if i == 3 else FLOATS) for i, (a, b) in enumerate(MATMUL)],
    Row("mm", lambda T, a, b: T.mm(a, b), pair((2, 3), (3, 4)), "mm", dtypes=(*D, "int64", "int32", "uint8")), Row("mm", lambda T, a, b: T.mm(a, b), pair((70, 130), (130, 90)), "large", **L), Row("mm", lambda T, a, b: T.mm(a.t(), b.t()), pair((130, 70), (90, 130)), "transposed", **L), Row("mm", lambda T, a: a @ a.t(), pair((5, 7)), "gram"),
    Row("bmm", lambda T, a, b: T.bmm(a, b), pair((5, 2, 3), (5, 3, 4)), "bmm", dtypes=D), Row("bmm", lambda T, a, b: T.bmm(a, b), pair((3, 40, 50), (3, 50, 60)), "large", **L), Row("bmm", lambda T, a, b: T.bmm(a, b), pair((0, 2, 3), (0, 3, 4)), "empty"),
    Row("mv", lambda T, a, b: T.mv(a, b), pair((3, 4), (4,)), "mv", dtypes=D), Row("dot", lambda T, a, b: T.dot(a, b), pair((4,), (4,)), "dot", dtypes=D), Row("dot", lambda T, a, b: a.vdot(b), pair((400,), (400,)), "vdot", **L), Row("mul", lambda T, a, b: T.outer(a, b), pair((3,), (4,)), "outer", dtypes=D),
    Row("mm", lambda T, a, b: T.inner(a, b), pair((2, 3), (4, 3)), "inner"), Row("mul", lambda T, a, b: T.inner(a, b), pair((), (4,)), "inner_scalar"), Row("mm", lambda T, a, b: a.matmul(b), pair((2, 3), (3, 4)), "method"),
    *[Row("mm", lambda T, c, a, b, k=k: T.addmm(c, a, b, **k), pair((4,), (2, 3), (3, 4)), f"addmm_{i}") for i, k in enumerate([{}, {"beta": 0.5, "alpha": 2}, {"beta": 0}])], Row("mv", lambda T, c, a, b: T.addmv(c, a, b, beta=2), pair((2,), (2, 3), (3,)), "addmv"), Row("mul", lambda T, c, a, b: T.addr(c, a, b, alpha=2), pair((2, 3), (2,), (3,)), "addr"),
    Row("bmm", lambda T, c, a, b: T.baddbmm(c, a, b, beta=0.5), pair((5, 2, 4), (5, 2, 3), (5, 3, 4)), "baddbmm"), Row("bmm", lambda T, c, a, b: T.addbmm(c, a, b), pair((2, 4), (5, 2, 3), (5, 3, 4)), "addbmm"),
    *[Row("linear", lambda T, x, w, b: T.nn.functional.linear(x, w, b), pair(s, (4, 3), (4,)), f"{s}", dtypes=D if i == 0 else FLOATS) for i, s in enumerate([(2, 3), (3,), (5, 2, 3), (0, 3)])], Row("linear", lambda T, x, w: T.nn.functional.linear(x, w), pair((2, 3), (4, 3)), "no_bias"),
    # One row: sums of whole rows of B and dot products with its columns, around the width of vectors and of blocks.
    *[Row("bmm", lambda T, a, b, t=t: a @ (b.transpose(-2, -1) if t else b), pair((3, 1, k), (3, n, k) if t else (3, k, n)), f"row_{t}_{k}_{n}", **L)
      for t in (False, True) for k, n in [(1, 5), (3, 16), (16, 17), (33, 1), (40, 129), (401, 33), (520, 15)]],
    Row("bmm", lambda T, a, b: a.transpose(1, 2) @ b[:, :, ::2], pair((3, 20, 1), (3, 20, 70)), "row_strided", **L),
    Row("linear", lambda T, x, w, b: T.nn.functional.linear(x, w, b).relu(), pair((1, 100), (37, 100), (37,)), "row", **L),
    Row("linear", lambda T, x, w: T.nn.functional.linear(x.transpose(0, 1), w), pair((1, 5, 3), (4, 3)), "size-1"),
    Row("linear", lambda T, x, w, b: T.nn.functional.linear(x, w, b), pair((64, 200), (100, 200), (100,)), "large", **L),
]  # fmt: skip


def e(label, fn):
    return ErrorRow("matmul", fn, label)


ERRORS = [
    e("mm", lambda T: T.ones(2, 3) @ T.ones(4, 5)), e("mm_ndim", lambda T: T.mm(T.ones(2), T.ones(2, 2))), e("dtype", lambda T: T.ones(2, 3) @ T.ones(3, 2).double()), e("scalar", lambda T: T.tensor(1.0) @ T.ones(2)), e("bmm", lambda T: T.bmm(T.ones(2, 3, 4), T.ones(2, 3, 4))), e("bmm_ndim", lambda T: T.bmm(T.ones(3, 4), T.ones(2, 3, 4))),
    e("dot", lambda T: T.dot(T.ones(2), T.ones(3))), e("dot_ndim", lambda T: T.dot(T.ones(2, 2), T.ones(3))), e("mv", lambda T: T.mv(T.ones(2, 3), T.ones(2))), e("matmul_vector", lambda T: T.ones(2, 3) @ T.ones(4)), e("vector_matmul", lambda T: T.ones(2) @ T.ones(3, 4)), e("batch", lambda T: T.ones(2, 3, 4) @ T.ones(3, 4, 5)), e("batch_inner", lambda T: T.ones(5, 2, 3) @ T.ones(4, 5)),
    e("int_float", lambda T: T.ones(2, 3).long() @ T.ones(3, 2)), e("inner", lambda T: T.inner(T.ones(2, 3), T.ones(2, 4))), e("outer", lambda T: T.outer(T.ones(2, 3), T.ones(2))), e("addmm", lambda T: T.addmm(T.ones(3), T.ones(2, 3), T.ones(3, 4))),
]  # fmt: skip
