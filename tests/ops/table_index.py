"""gather, scatter, index_*, masked_*, take, put, nonzero."""

from __future__ import annotations

from .harness import FLOATS, HALFS, ErrorRow, Row

ALL = (*FLOATS, *HALFS, "int64", "int32", "uint8")


def inplace(name, *args, **kw):
    """A row function that copies its first input and calls the in-place method on the copy."""

    def fn(T, x, *rest):
        y = x.clone()
        out = getattr(y, name)(*args, *rest, **kw)
        assert out is y
        return y

    return fn


ROWS = [
    Row("nonzero", lambda T, x: T.nonzero(x), lambda r: r.bools(4, 5), dtypes=("bool",)),
    Row("nonzero", lambda T, x: T.nonzero(x, as_tuple=True), lambda r: r(4, 5), "tuple", dtypes=("int64", "float32", "bfloat16")),
    Row("nonzero", lambda T, x: T.nonzero(x, as_tuple=True), lambda r: r.positive(), "scalar"),
    Row("nonzero", lambda T, x: T.nonzero(x), lambda r: r.positive(), "scalar_matrix"),
    Row("nonzero", lambda T, x: T.argwhere(x), lambda r: r(0, 3), "empty"),
    Row("nonzero", lambda T, x: T.where(x), lambda r: r.bools(4, 5), "where", dtypes=("bool",)),
    Row("index", lambda T, x, i: T.index_select(x, 1, i), lambda r: (r(3, 4, 5), r.integers(0, 4, 6)), "index_select", dtypes=ALL),
    Row("index", lambda T, x: T.index_select(x, 0, T.tensor(0)), lambda r: r(), "index_select_scalar"),
    Row("index", lambda T, x, i: T.index_select(x, -1, i.int()), lambda r: (r(3, 4), r.integers(0, 4, 2)), "index_select_int32"),
    Row("index_put", lambda T, x, i, s: T.index_add(x, 1, i, s), lambda r: (r(3, 4), r.integers(0, 4, 6), r(3, 6)), "index_add", dtypes=ALL),
    *[Row("index_put", lambda T, x, i, s: T.index_add(x, 0, i, s), lambda r, w=w: (r(9, *w), r.integers(0, 9, 40), r(40, *w)), f"index_add_rows_{w}", dtypes=ALL)
      for w in ((1,), (7,), (16,), (3, 5))],
    Row("index_put", lambda T, x, i, s: T.index_add(x.transpose(0, 2), 1, i, s.transpose(0, 2)), lambda r: (r(3, 9, 5), r.integers(0, 9, 20), r(3, 20, 5)), "index_add_strided"),
    Row("index_put", lambda T, x, i, s: T.index_add(x, 0, i, s, alpha=2), lambda r: (r(3, 4), r.integers(0, 3, 6), r(6, 4)), "index_add_alpha"),
    Row("index_put", lambda T, x, i, s: inplace("index_add_", 0)(T, x, i, s), lambda r: (r(3, 4), r.integers(0, 3, 6), r(6, 4)), "index_add_inplace"),
    Row("index_put", lambda T, x, s: T.index_copy(x, 1, T.tensor([2, 0]), s), lambda r: (r(3, 4), r(3, 2)), "index_copy", dtypes=ALL),
    Row("index_put", lambda T, x, s: inplace("index_copy_", 0, T.tensor([2, 0]))(T, x, s), lambda r: (r(3, 4), r(2, 4)), "index_copy_inplace"),
    Row("index_put", lambda T, x: T.index_fill(x, 1, T.tensor([2, 0]), 3), lambda r: r(3, 4), "index_fill", dtypes=ALL),
    Row("index_put", lambda T, x, v: T.index_fill(x, 1, T.tensor([2, 0]), v), lambda r: (r(3, 4), r()), "index_fill_tensor"),
    Row("index_put", lambda T, x: inplace("index_fill_", 0, T.tensor([2, 0]), 3)(T, x), lambda r: r(3, 4), "index_fill_inplace"),
    Row("index_put", lambda T, x, v: T.index_put(x, (T.tensor([2, 0]),), v), lambda r: (r(3, 4), r(2, 4)), "function"),
    Row("gather", lambda T, x, i: T.gather(x, 1, i), lambda r: (r(3, 4), r.integers(0, 4, 3, 6)), dtypes=ALL),
    Row("gather", lambda T, x, i: T.gather(x, 0, i), lambda r: (r(3, 4, 5), r.integers(0, 3, 6, 2, 5)), "first"),
    Row("gather", lambda T, x, i: T.gather(x, 0, i), lambda r: (r(), r.integers(0, 1)), "scalar"),
    Row("gather", lambda T, x, i: T.gather(x, 0, i), lambda r: (r(5), r.integers(0, 5)), "scalar_index"),
    Row("gather", lambda T, x, i: T.gather(x, 1, i), lambda r: (r(3, 4), r.integers(0, 4, 3, 0)), "empty"),
    *[Row("gather", lambda T, x, i, d=d: T.gather(x, d, i), lambda r, n=n: (r(7, n, 19), r.integers(0, 7, 5, 7, 17)), f"along_{d}", dtypes=ALL) for d, n in ((0, 9), (1, 7), (2, 9))],
    *[Row("index", lambda T, x, i: T.index_select(x, 0, i), lambda r, n=n: (r(9, n), r.integers(0, 9, 20)), f"rows_of_{n}", dtypes=ALL) for n in (1, 3, 7, 15, 16, 17, 33, 1024)],
    *[Row("index", lambda T, x, i, j: (x[i], x[:, j], x[i, j]), lambda r, n=n: (r(n, n), r.integers(-n, n, 2 * n), r.integers(-n, n, 2 * n)), f"both_{n}") for n in (1, 8, 37)],
    Row("gather", lambda T, x, i: T.gather(x, 1, i), lambda r: (r(100, 50), r.integers(0, 50, 100, 400)), "large"),
    Row("gather", lambda T, x, i: T.take_along_dim(x, i, 1), lambda r: (r(3, 4), r.integers(0, 4, 1, 6)), "take_along_dim"),
    Row("gather", lambda T, x, i: T.take_along_dim(x, i), lambda r: (r(3, 4), r.integers(0, 12, 6)), "take_along_flat", layouts=False),
    Row("scatter", lambda T, x, s: T.scatter(x, 1, T.tensor([[3, 0], [1, 2], [0, 2]]), s), lambda r: (r(3, 4), r(3, 2)), dtypes=ALL),
    Row("scatter", lambda T, x, s: T.scatter(x, 1, T.tensor([[3, 0], [1, 2]]), s), lambda r: (r(3, 4), r(3, 3)), "larger_source", grad=False),
    Row("scatter", lambda T, x: T.scatter(x, 0, T.tensor([[2, 0, 1, 1]]), 7.0), lambda r: r(3, 4), "number"),
    Row("scatter", lambda T, x: T.zeros(3, 5).scatter_(1, T.tensor([[1], [4], [0]]), 1), lambda r: r(1), "ones"),
    Row("scatter", lambda T, x, s: inplace("scatter_", 1, T.tensor([[3, 0], [1, 2], [0, 2]]))(T, x, s), lambda r: (r(3, 4), r(3, 2)), "inplace"),
    Row("scatter_add", lambda T, x, i, s: T.scatter_add(x, 1, i, s), lambda r: (r(3, 4), r.integers(0, 4, 3, 6), r(3, 6)), dtypes=ALL),
    Row("scatter_add", lambda T, x, i, s: T.scatter(x, 1, i, s, reduce="add"), lambda r: (r(3, 4), r.integers(0, 4, 3, 6), r(3, 6)), "reduce", grad=False),
    Row("scatter_add", lambda T, x, i, s: inplace("scatter_add_", 0)(T, x, i, s), lambda r: (r(3, 4), r.integers(0, 3, 2, 3), r(2, 3)), "inplace"),
    *[Row("scatter_reduce", lambda T, x, i, s, m=m, k=k: T.scatter_reduce(x, 1, i, s, m, include_self=k),
          lambda r: (r.positive(3, 4), r.integers(0, 4, 3, 6), r.positive(3, 6)), f"{m}_{k}", second=False, dtypes=("float32", "float64", "int64"))
      for m in ("sum", "prod", "mean", "amax", "amin") for k in (True, False)],
    Row("scatter_reduce", lambda T, x, i, s: T.scatter(x, 1, i, s, reduce="multiply"),
        lambda r: (r(3, 4), r.integers(0, 4, 3, 6), r(3, 6)), "multiply", grad=False),
    Row("paste", lambda T, x, i, s: T.scatter_add(x, 1, i, s), lambda r: (r(3, 4), r.integers(0, 4, 2, 6), r(3, 7)), "larger_source", grad=False),
    Row("crop", lambda T, x, i, s: T.scatter_reduce(x, 1, i, s, "amax"), lambda r: (r(3, 4), r.integers(0, 4, 2, 6), r(3, 7)), grad=False),
    Row("index", lambda T, x, i: T.take(x, i), lambda r: (r(3, 4), r.integers(-12, 12, 2, 3)), "take", dtypes=ALL),
    Row("index_put", lambda T, x, s: T.put(x, T.tensor([3, -2, 7]), s), lambda r: (r(3, 4), r(3)), "put"),
    Row("index_put", lambda T, x, s: inplace("put_", T.tensor([3, 3, 7]))(T, x, s, True), lambda r: (r(3, 4), r(3)), "put_accumulate"),
    Row("masked_fill", lambda T, x, m: T.masked_fill(x, m, 2), lambda r: (r(3, 4), r.bools(4)), dtypes=(*ALL, "bool")),
    Row("masked_fill", lambda T, x, m, v: T.masked_fill(x, m, v), lambda r: (r(3, 4), r.bools(3, 4), r()), "tensor"),
    Row("masked_fill", lambda T, x, m: T.masked_fill(x, m, float("-inf")).exp(), lambda r: (r(4), r.bools(3, 4)), "broadcast"),
    Row("masked_fill", lambda T, x, m: inplace("masked_fill_")(T, x, m, 2), lambda r: (r(3, 4), r.bools(4)), "inplace", dtypes=ALL),
    Row("index", lambda T, x, m: T.masked_select(x, m), lambda r: (r(3, 4), r.bools(3, 1)), "masked_select", dtypes=ALL),
    Row("index", lambda T, x: T.masked_select(x, T.tensor(True)), lambda r: r(), "masked_select_scalar"),
    Row("masked_scatter", lambda T, x, m, s: T.masked_scatter(x, m, s), lambda r: (r(3, 4), r.bools(4), r(12))),
    Row("masked_scatter", lambda T, x, m, s: inplace("masked_scatter_")(T, x, m, s), lambda r: (r(3, 4), r.bools(3, 4), r(12)), "inplace", dtypes=ALL),
    Row("masked_scatter", lambda T, x, m, s: T.masked_scatter(x, m, s), lambda r: (r(), r.bools(), r(2, 3)), "scalar"),
    Row("select", lambda T, x, s: T.select_scatter(x, s, 1, 2), lambda r: (r(3, 4), r(3)), "scatter"),
    Row("slice", lambda T, x, s: T.slice_scatter(x, s, 1, 1, 4, 2), lambda r: (r(3, 4), r(3, 2)), "scatter"),
    Row("as_strided", lambda T, x, s: T.diagonal_scatter(x, s, 1), lambda r: (r(3, 4), r(3)), "diagonal_scatter"),
]  # fmt: skip


def z(T, *shape):
    return T.zeros(*shape)


ERRORS = [
    ErrorRow("index_select", lambda T: T.index_select(z(T, 3), 0, T.tensor([3])), "range"),
    ErrorRow("index_select", lambda T: T.index_select(z(T, 3), 0, T.tensor([[0]])), "matrix"),
    ErrorRow("index_select", lambda T: T.index_select(z(T, 3), 1, T.tensor([0])), "dim"),
    ErrorRow("index_select", lambda T: T.index_select(z(T, 3), 0, T.tensor([0.0])), "dtype"),
    ErrorRow("index_add", lambda T: T.index_add(z(T, 3), 0, T.tensor([0]), z(T, 2)), "count"),
    ErrorRow("index_add", lambda T: T.index_add(z(T, 3), 0, T.tensor([0]), T.tensor([1])), "dtype"),
    ErrorRow("index_add", lambda T: T.index_add(z(T, 3), 0, T.tensor([5]), z(T, 1)), "range"),
    ErrorRow("index_copy", lambda T: T.index_copy(z(T, 3, 2), 0, T.tensor([0]), z(T, 1, 3)), "shape"),
    ErrorRow("index_copy", lambda T: T.index_copy(z(T, 3, 2), 0, T.tensor([0, 1]), z(T, 1, 2)), "count"),
    ErrorRow("index_fill", lambda T: T.index_fill(z(T, 3, 2), 0, T.tensor([0]), z(T, 2)), "value"),
    ErrorRow("gather", lambda T: T.gather(z(T, 3), 0, T.tensor([3])), "range"),
    ErrorRow("gather", lambda T: T.gather(z(T, 3), 0, T.tensor([[0]])), "ndim"),
    ErrorRow("gather", lambda T: T.gather(z(T, 2, 3), 1, T.zeros(3, 3).long()), "size"),
    ErrorRow("gather", lambda T: T.gather(z(T, 3), 0, T.tensor([0.0])), "dtype"),
    ErrorRow("scatter", lambda T: T.scatter(z(T, 3), 0, T.tensor([3]), z(T, 1)), "range"),
    ErrorRow("scatter", lambda T: T.scatter(z(T, 3), 0, T.tensor([[0]]), z(T, 1)), "ndim"),
    ErrorRow("scatter", lambda T: T.scatter(z(T, 3), 0, T.tensor([0, 1]), z(T, 1)), "size"),
    ErrorRow("scatter", lambda T: T.scatter(z(T, 3), 0, T.tensor([0]), T.tensor([1])), "dtype"),
    ErrorRow("scatter", lambda T: T.scatter(z(T, 3), 0, T.tensor([0]), z(T, 1), reduce="mean"), "reduce"),
    ErrorRow("scatter_reduce", lambda T: T.scatter_reduce(z(T, 3), 0, T.tensor([0]), z(T, 1), "mix"), "reduce"),
    ErrorRow("take", lambda T: T.take(z(T, 3), T.tensor([3])), "range"),
    ErrorRow("take", lambda T: T.take(z(T, 3), T.tensor([-4])), "negative"),
    ErrorRow("take", lambda T: T.take(z(T, 3), T.tensor([0.5])), "dtype"),
    ErrorRow("put", lambda T: z(T, 3).put_(T.tensor([0, 1]), z(T, 3)), "count"),
    ErrorRow("masked_fill", lambda T: z(T, 3).masked_fill_(T.ones(3), 1), "inplace_mask"),
    ErrorRow("masked_fill", lambda T: T.masked_fill(z(T, 3), T.ones(3), 1), "mask"),
    ErrorRow("masked_fill", lambda T: T.masked_fill(z(T, 3), T.ones(3).bool(), z(T, 2)), "value"),
    ErrorRow("masked_select", lambda T: T.masked_select(z(T, 3), T.ones(3)), "mask"),
    ErrorRow("masked_scatter", lambda T: z(T, 3).masked_scatter_(T.ones(3).bool(), z(T, 2)), "count"),
    ErrorRow("select_scatter", lambda T: T.select_scatter(z(T, 3, 4), z(T, 3), 0, 0), "shape"),
    ErrorRow("index_put", lambda T: z(T, 3).index_put_((T.tensor([0]), T.tensor([0])), z(T, 1)), "many"),
]  # fmt: skip
