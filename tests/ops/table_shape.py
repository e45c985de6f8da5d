"""Views, joins and cuts, copies, conversions, fills."""

from __future__ import annotations

from .harness import FLOATS, HALFS, ErrorRow, Row

ALL = (*FLOATS, *HALFS, "int64", "uint8", "bool")


def each(op, name, cases, shape=(3, 4), label="", **kw):
    """The method `name` with each list of arguments; all dtypes for the first."""
    return [Row(op, lambda T, x, a=a: getattr(x, name)(*a), lambda r: r(*shape), f"{name}_{label}{i}", dtypes=ALL if i == 0 else FLOATS, **kw)
            for i, a in enumerate(cases)]  # fmt: skip


def inplace(op, name, cases, shape=(3, 4)):
    return [Row(op, lambda T, x, a=a: getattr(x.clone(), name)(*a), lambda r: r(*shape), f"{name}_{i}") for i, a in enumerate(cases)]


ROWS = [
    *each("view", "view", [(12,), (2, 6), (-1, 2), ((4, 3),), (3, 4, 1)], layouts=False), *each("view", "reshape", [(12,), (2, 6), (-1, 2), ((4, 3),), (3, 1, 4)]), Row("unsafe_view", lambda T, x: x.t().reshape(12), lambda r: r(3, 4), dtypes=ALL),
    *each("view", "flatten", [(), (1,), (0, 1), (1, 2)], shape=(2, 3, 4)), Row("view", lambda T, x: x.flatten(), lambda r: r(), "flatten_scalar"), *each("view", "unflatten", [(1, (2, 2)), (1, (-1, 2)), (0, (3, 1))], layouts=False), Row("view", lambda T, x: x.ravel(), lambda r: r(3, 4), "ravel"),
    Row("view", lambda T, x: (x.view_as(x), x.reshape_as(x.t())), lambda r: r(3, 4), "as", layouts=False), Row("view", lambda T, x: x.reshape(0, 5), lambda r: r(0, 3), "empty"), Row("view", lambda T, x: x.view(T.int32), lambda r: r(3, 4), "dtype", dtypes=("float32",), layouts=False, grad=False),
    *each("squeeze", "squeeze", [(), (0,), (1,), ((0, 2),), (-1,)], shape=(1, 3, 1)), *each("unsqueeze", "unsqueeze", [(0,), (1,), (-1,), (2,)]), Row("unsqueeze", lambda T, x: x.unsqueeze(0), lambda r: r(), "scalar"),
    *inplace("squeeze", "squeeze_", [(), (0,)], (1, 3)), *inplace("unsqueeze", "unsqueeze_", [(0,)]), *inplace("transpose", "transpose_", [(0, 1)]), *inplace("t", "t_", [()]),
    *each("transpose", "transpose", [(0, 1), (-1, 0), (1, 1)]), *each("transpose", "swapaxes", [(0, 1)]), *each("t", "t", [()]), Row("t", lambda T, x: x.t() * 1, lambda r: r(4), "vector"),
    *each("permute", "permute", [(1, 0, 2), ((2, 0, 1),), (-1, 0, 1)], shape=(2, 3, 4)), *each("permute", "movedim", [(0, 2), ((0, 1), (2, 0)), (-1, 0)], shape=(2, 3, 4)), Row("permute", lambda T, x: (x.mT, x.adjoint()), lambda r: r(2, 3, 4), "properties"), Row("permute", lambda T, x: x.T, lambda r: r(2, 3), "T"),
    *each("expand", "expand", [(2, 3, 4), (3, 4), (-1, 4)], shape=(3, 1)[:1] + (4,)), Row("expand", lambda T, x: x.expand(3, -1, 5), lambda r: r(4, 1), "sizes"), Row("expand", lambda T, x: x.expand(2, 3), lambda r: r(), "scalar"), Row("expand", lambda T, x, y: (x.expand_as(y), T.broadcast_to(x, (2, 3, 4))), lambda r: (r(3, 1), r(3, 4)), "as"),
    Row("expand", lambda T, x, y: T.broadcast_tensors(x, y), lambda r: (r(3, 1), r(4)), "broadcast_tensors"), *[Row("sum_to_size", lambda T, x, s=s: x.sum_to_size(s), lambda r: r(2, 3, 4), f"{s}") for s in ((3, 4), (1, 4), (2, 1, 4), (4,), (1, 1, 1))],
    *each("slice", "narrow", [(0, 1, 2), (1, -2, 1), (1, 0, 0)]), *each("select", "select", [(0, 1), (1, -1), (-1, 0)]), *each("unbind", "unbind", [(), (1,), (-1,)]), Row("unbind", lambda T, x: x.unbind(), lambda r: r(1, 3), "single"), Row("unbind", lambda T, x: x.unbind()[1], lambda r: r(3, 4), "one"), Row("unbind", lambda T, x: [a * 2 for a in x], lambda r: r(3, 4), "iteration"),
    *each("slice", "split", [(2,), (2, 1), ([1, 2],), (9,)]), *each("slice", "chunk", [(2,), (3, 1), (9, 0)]), *each("slice", "tensor_split", [(2,), (3, 1), ([1, 2],), ([1, -1], 1)]),
    Row("as_strided", lambda T, x: x.as_strided((2, 2), (1, 2), 1), lambda r: r(3, 4), dtypes=FLOATS, layouts=False), Row("as_strided", lambda T, x: x.as_strided((3, 3), (1, 1)), lambda r: r(6), "overlap", layouts=False), Row("restride", lambda T, x: x.as_strided((2, 3), (3, 1)).as_strided((3,), (2,)), lambda r: r(6), layouts=False),
    Row("as_strided", lambda T, x: x.expand(2, 3, 3).diagonal(0, 1, 2), lambda r: r(3, 3), "expanded"), Row("as_strided", lambda T, x: x.expand(2, 4, 3).as_strided((3, 2), (1, 1)) ** 3, lambda r: r(4, 3), "expanded_overlap", layouts=False),
    Row("as_strided_scatter", lambda T, x, s: x.as_strided_scatter(s, (2, 2), (1, 2), 1), lambda r: (r(3, 4), r(2, 2)), layouts=False, grad=False), *[Row("cat", lambda T, a, b, d=d: T.cat([a, b], d), lambda r: (r(3, 4), r(3, 4)), f"dim{d}", dtypes=ALL) for d in (0, 1, -1)],
    Row("cat", lambda T, a, b: T.cat((a, T.empty(0, dtype=a.dtype), b)), lambda r: (r(2, 3), r(1, 3)), "empty"), Row("cat", lambda T, a, b: T.cat([a, b]), lambda r: (r(3), r.integers(0, 3, 2)), "promotion"), Row("cat", lambda T, a: T.cat([a, a, a * 2]), lambda r: r(3), "same"),
    *[Row("cat", lambda T, a, b, c: T.cat([a, b, c], 1), lambda r, n=n: (r(9, n), r(9, 1), r(9, 0)), f"width{n}", dtypes=ALL) for n in (3, 17, 40, 1100)],
    Row("cat", lambda T, a, b: T.stack([a, b], 1), lambda r: (r(3, 4), r.integers(0, 3, 3, 4)), "stack_promotion"), Row("stack", lambda T, a, b: T.stack([a, b]), lambda r: (r(), r()), "scalars"), Row("stack", lambda T, a: T.stack([a]), lambda r: r(0, 3), "empty"),
    *[Row("stack", lambda T, a, b, d=d: T.stack([a, b], d), lambda r: (r(3, 4), r(3, 4)), f"{d}", dtypes=ALL) for d in (0, 1, 2, -1)], *[Row("cat", lambda T, a, b, n=n: getattr(T, n)([a, b]), lambda r, s=s: (r(*s), r(*s)), f"{n}_{len(s)}") for n in ("hstack", "vstack", "dstack") for s in ((3,), (3, 4))],
    *[Row("view", lambda T, x, n=n: getattr(T, n)(x) * 1, lambda r, s=s: r(*s), f"{n}_{len(s)}") for n in ("atleast_1d", "atleast_2d", "atleast_3d") for s in ((), (3,), (3, 4))],
    Row("clone", lambda T, x: x.clone(), lambda r: r(3, 4), dtypes=ALL), Row("clone", lambda T, x: x.t().contiguous(), lambda r: r(3, 4), "contiguous"), *[Row("to_copy", lambda T, x, d=d: x.to(getattr(T, d)), lambda r: r(3, 4), d, dtypes=ALL) for d in ("float32", "float64", "bfloat16", "float16", "int64", "uint8", "bool") if d != "uint8"],
    Row("to_copy", lambda T, x: (x.double(), x.float(), x.half(), x.bfloat16()), lambda r: r(3), "methods", dtypes=FLOATS), Row("to_copy", lambda T, x: x.to(T.float32, copy=True), lambda r: r(3), "copy"), Row("to_copy", lambda T, x, y: x.type_as(y), lambda r: (r(3), r.integers(0, 2, 1)), "type_as", grad=False),
    Row("copy", lambda T, x, y: (x * 1).copy_(y), lambda r: (r(3, 4), r(4)), dtypes=FLOATS), Row("copy", lambda T, x, y: x.clone().copy_(y), lambda r: (r(3, 4), r.integers(0, 9, 4)), "int", dtypes=ALL[:-1]), Row("copy", lambda T, x, y: (x * 1).copy_(y.double()), lambda r: (r(3), r(3)), "cast"),
    Row("fill", lambda T, x, v: (x * 1).fill_(v), lambda r: (r(3, 4), r())), Row("zero", lambda T, x: (x * 1).fill_(3), lambda r: r(3), "number"), Row("zero", lambda T, x: (x * 1).zero_(), lambda r: r(3, 4), dtypes=FLOATS),
]  # fmt: skip


def e(label, fn):
    return ErrorRow("shape", fn, label)


def x(T):
    return T.zeros(2, 3)


ERRORS = [
    e("view", lambda T: x(T).view(4)), e("view_stride", lambda T: x(T).t().view(6)), e("reshape_two", lambda T: x(T).reshape(-1, -1)), e("reshape_div", lambda T: x(T).reshape(-1, 4)), e("reshape_negative", lambda T: x(T).reshape(-2, 3)), e("reshape_empty", lambda T: T.zeros(0).reshape(-1, 0)),
    e("permute_length", lambda T: x(T).permute(0)), e("permute_twice", lambda T: x(T).permute(0, 0)), e("transpose", lambda T: x(T).transpose(0, 2)), e("t", lambda T: T.zeros(1, 2, 3).t()), e("squeeze", lambda T: x(T).squeeze(2)), e("unsqueeze", lambda T: x(T).unsqueeze(4)),
    e("expand", lambda T: x(T).expand(4, 3)), e("expand_few", lambda T: x(T).expand(3)), e("expand_new", lambda T: x(T).expand(-1, 2, 3)), e("narrow", lambda T: x(T).narrow(0, 1, 5)), e("narrow_start", lambda T: x(T).narrow(0, 5, 1)), e("narrow_length", lambda T: x(T).narrow(0, 0, -1)), e("select", lambda T: x(T).select(0, 5)), e("select_scalar", lambda T: T.tensor(1.0).select(0, 0)),
    e("cat_sizes", lambda T: T.cat([T.zeros(2, 3), T.zeros(2, 4)])), e("cat_empty", lambda T: T.cat([])), e("cat_ndim", lambda T: T.cat([T.zeros(2, 3), T.zeros(2)])), e("cat_scalar", lambda T: T.cat([T.tensor(1.0)])), e("stack", lambda T: T.stack([T.zeros(2, 3), T.zeros(2, 4)])), e("stack_empty", lambda T: T.stack([])),
    e("split", lambda T: x(T).split([1, 3])), e("split_negative", lambda T: x(T).split(-1)), e("chunk", lambda T: x(T).chunk(0)), e("flatten", lambda T: x(T).flatten(1, 0)), e("unflatten", lambda T: x(T).unflatten(1, (2, 2))), e("diagonal", lambda T: x(T).diagonal(0, 0, 0)), e("broadcast", lambda T: T.broadcast_tensors(T.zeros(2), T.zeros(3))), e("broadcast_shapes", lambda T: T.broadcast_shapes((4, 6), (2,))), e("broadcast_shapes_first", lambda T: T.broadcast_shapes((2, 3), (1, 3), (3, 3))), e("broadcast_shapes_negative", lambda T: T.broadcast_shapes((-1, 2), (2,))),
    e("item", lambda T: T.zeros(3).item()), e("bool", lambda T: bool(T.zeros(3))), e("bool_empty", lambda T: bool(T.zeros(0))), e("len", lambda T: len(T.tensor(1.0))), e("copy", lambda T: T.zeros(3).copy_(T.zeros(4))), e("fill", lambda T: T.zeros(3).fill_(T.zeros(2))), e("unbind", lambda T: T.tensor(1.0).unbind()), e("movedim", lambda T: x(T).movedim((0, 1), (0,))),
    e("as_strided", lambda T: x(T).sum_to_size(5)), e("numpy_grad", lambda T: T.zeros(3, requires_grad=True).numpy()), e("requires_grad", lambda T: T.zeros(3, dtype=T.int64, requires_grad=True)), e("requires_grad_", lambda T: T.zeros(3, dtype=T.int64).requires_grad_()), e("index_float", lambda T: [1, 2][T.tensor(0.5)]),
]  # fmt: skip
