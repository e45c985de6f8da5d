"""Reductions, norms and scans."""

from __future__ import annotations

import math

from .harness import FLOATS, HALFS, ErrorRow, Row

NUMERIC = (*FLOATS, *HALFS, "int64", "int32", "uint8")
ALL = (*NUMERIC, "bool")
X = {"": (3, 4), "scalar": (), "wide": (3, 4, 5), "large": (70, 900)}


def full(name, op=None, shapes=("", "scalar", "wide", "large"), draw="__call__", dtypes=FLOATS, **kw):
    return [Row(op or name, lambda T, x: getattr(T, name)(x), lambda r, s=s: getattr(r, draw)(*X[s]), f"{name}_full_{s}",
                dtypes=dtypes if s == "" else FLOATS, **kw) for s in shapes]  # fmt: skip


def along(name, op=None, dims=(0, -1, 1), draw="__call__", dtypes=FLOATS, shape=(3, 4, 5), **kw):
    rows = [Row(op or name, lambda T, x, d=d: getattr(T, name)(x, d), lambda r: getattr(r, draw)(*shape), f"{name}_dim{d}",
                dtypes=dtypes if d == 0 else FLOATS, **kw) for d in dims]  # fmt: skip
    keep = Row(op or name, lambda T, x: getattr(T, name)(x, dim=1, keepdim=True), lambda r: getattr(r, draw)(*shape), f"{name}_keep", **kw)
    return [*rows, keep]


def method(name, op, *args, draw="__call__", shape=(3, 4, 5), dtypes=FLOATS, label="", **kw):
    grad = kw.pop("grad", True)
    second = kw.pop("second", True)
    return Row(op, lambda T, x: getattr(x, name)(*args, **kw), lambda r: getattr(r, draw)(*shape),
               f"{name}_{label or '_'.join(map(str, args))}", dtypes=dtypes, grad=grad, second=second)  # fmt: skip


ROWS = [
    *full("sum", dtypes=ALL), *along("sum", dtypes=ALL), method("sum", "sum", (0, 2)), method("sum", "sum", (0, 2), keepdim=True, label="keep2"),
    method("sum", "sum", (), label="no_dims"), method("sum", "sum", shape=(0, 3), label="empty"), method("sum", "sum", 0, shape=(0, 3), label="empty0"),
    Row("sum", lambda T, x: x.sum(0, dtype=T.float64), lambda r: r(3, 4), "dtype", dtypes=("float32", "int32")),
    Row("sum", lambda T, x: T.sum(x, axis=1, keepdims=True), lambda r: r(3, 4), "numpy_names"),
    *full("mean", dtypes=FLOATS + HALFS), *along("mean", dtypes=FLOATS + HALFS), method("mean", "mean", (0, 2)),
    method("mean", "mean", shape=(0, 3), label="empty"), Row("mean", lambda T, x: x.mean(dtype=T.float64), lambda r: r(3), "dtype", dtypes=("int64",)),
    *full("prod", draw="positive", dtypes=ALL, shapes=("", "scalar", "wide")), *along("prod", draw="positive", dtypes=ALL),
    Row("prod", lambda T, x: (x * T.tensor([1.0, 0, 2, 3])).prod(), lambda r: r(4), "one_zero"),
    Row("prod", lambda T, x: (x * T.tensor([1.0, 0, 2, 0])).prod(1), lambda r: r(3, 4), "two_zeros"),
    *full("all", dtypes=ALL), *along("all", dtypes=ALL), *full("any", dtypes=ALL), *along("any", dtypes=ALL),
    method("all", "all", (0, 2)), method("any", "any", shape=(0,), label="empty"),
    *[Row("sum", lambda T, x, d=d, k=k: (x.sum(d, keepdim=k), x.sum(d, keepdim=k, dtype=T.bool), x.float().mean(d)), lambda r: r.bools(3, 70, 33), f"bools-{d}-{k}", grad=False) for d in (0, 1, 2, (0, 2), None) for k in (False, True)],
    Row("sum", lambda T, x: x.sum(1), lambda r: r.bools(3, 0), "bools_empty", grad=False),
    *[Row("vector_norm", lambda T, x, p=p: x.norm(p, -1), lambda r, n=n: r(20, n), f"rows-{n}-{p}") for n in (1, 3, 15, 16, 17) for p in (1, 2, 3, 0)],
    Row("sum", lambda T, x: T.count_nonzero(x), lambda r: r(3, 4), "count_nonzero", dtypes=("int64", "bool", "float32")),
    Row("sum", lambda T, x: T.count_nonzero(x, dim=1), lambda r: r(3, 4), "count_nonzero_dim", dtypes=("int64", "bool", "float32")),
    Row("sum", lambda T, x: T.nansum(T.where(x > 0, x, math.nan)), lambda r: r(3, 4), "nansum"),
    Row("sum", lambda T, x: T.nanmean(T.where(x > 0, x, math.nan), 1), lambda r: r(3, 4), "nanmean"),
    *along("logsumexp", dtypes=FLOATS + HALFS), method("logsumexp", "logsumexp", (0, 2)),
    Row("logsumexp", lambda T, x: T.logsumexp(x * 1000, 1), lambda r: r(3, 4), "large", dtypes=("float64",), second=False),
    Row("logsumexp", lambda T, x: T.logsumexp(x, 0), lambda r: r(4), "int", dtypes=("int64",)),
    Row("logsumexp", lambda T, x: T.logsumexp(x - math.inf, 0), lambda r: r(4), "minus_inf", grad=False),
    *full("var", dtypes=FLOATS + HALFS, shapes=("", "wide", "large")), *along("var"), method("var", "var", (0, 2)),
    method("var", "var", False, label="biased"), method("var", "var", 1, False, True, label="positional"),
    method("var", "var", 1, correction=2, label="correction"), method("var", "var", shape=(1,), label="single", second=False, grad=False),
    *full("std", dtypes=FLOATS + HALFS, shapes=("", "wide", "large")), *along("std"), method("std", "std", 1, unbiased=False, label="biased"),
    Row("std", lambda T, x: (x * 0 + 1).std(0), lambda r: r(3, 4), "constant", second=False),
    Row("var_mean", lambda T, x: T.var_mean(x, 1), lambda r: r(3, 4)), Row("var_mean", lambda T, x: T.var_mean(x), lambda r: r(3, 4), "full"),
    Row("std", lambda T, x: T.std_mean(x, 1, keepdim=True), lambda r: r(3, 4), "std_mean"),
    *full("max", dtypes=ALL), *full("min", dtypes=ALL), *along("max", op="max_dim", dtypes=ALL), *along("min", op="min_dim", dtypes=ALL),
    Row("max", lambda T, x: T.max(T.round(x)), lambda r: r(40), "ties"), Row("min", lambda T, x: T.min(x * 0), lambda r: r(40), "ties"),
    Row("max_dim", lambda T, x: T.max(T.round(x), 0), lambda r: r(40, 3), "ties"), Row("max_dim", lambda T, x: x.max(0), lambda r: r(), "scalar"),
    Row("max_dim", lambda T, x: x.max(1), lambda r: r(0, 3), "empty"), Row("max_dim", lambda T, x: x.max(dim=0).values, lambda r: r(3), "field"),
    Row("maximum", lambda T, x, y: T.max(x, y), lambda r: (r(3, 4), r(4)), "max"), Row("minimum", lambda T, x, y: x.min(y), lambda r: (r(3, 4), r(4)), "min"),
    *full("amax", dtypes=ALL), *full("amin", dtypes=ALL), *along("amax", dtypes=ALL), *along("amin", dtypes=ALL),
    method("amax", "amax", (0, 2)), Row("amax", lambda T, x: T.amax(T.round(x), 0), lambda r: r(40, 3), "ties"),
    *full("argmax", dtypes=NUMERIC), *full("argmin", dtypes=NUMERIC), *along("argmax", dtypes=NUMERIC), *along("argmin", dtypes=NUMERIC),
    Row("argmax", lambda T, x: T.argmax(x, keepdim=True), lambda r: r(3, 4), "keep_full"),
    Row("argmax", lambda T, x: T.argmax(T.round(x), 1), lambda r: r(3, 40), "ties"),
    Row("amax", lambda T, x: T.aminmax(x), lambda r: r(3, 4), "aminmax"), Row("amin", lambda T, x: T.aminmax(x, dim=1), lambda r: r(3, 4), "aminmax_dim"),
    *[Row("max_dim", lambda T, x, n=n: getattr(T, n)(T.where(x > 0, x, math.nan), 0), lambda r: r(9, 3), f"nan_{n}", grad=False) for n in ("max", "min")],
    *[method(n, op, *([1] if n != "sum" else [d]), shape=(35, *s), label=f"{'x'.join(map(str, s))}_{d}", second=False)
      for n, op in (("sum", "sum"), ("amax", "amax"), ("amin", "amin"), ("max", "max_dim"), ("min", "min_dim")) for s in ((7,), (53,), (16, 3), (5, 70), (1100,))
      for d in ((0, 1) if n == "sum" else (1,))],
    *[method("sum", "sum", d, shape=(3, 5, 4, 6), label=f"steps_{d}") for d in ((0, 2), (1, 3), (0, 2, 3), (0, 1, 3))],
    method("mean", "mean", (0, 2), shape=(3, 5, 40), label="steps"), method("sum", "sum", (0, 2), shape=(0, 5, 4), label="steps_empty"),
    *[Row("max_dim", lambda T, x, n=n, d=d: getattr(T, n)(T.round(x), d), lambda r: r(37, 90), f"many_ties_{n}_{d}") for n in ("max", "min") for d in (0, 1)],
    *[Row("amax", lambda T, x, n=n: getattr(T, n)(T.where(x > 2, math.nan, x), 1), lambda r: r(37, 53), f"nan_rows_{n}", grad=False) for n in ("amax", "amin", "max", "min")],
    Row("max_dim", lambda T, x: T.max(x * 0 - math.inf, 1), lambda r: r(5, 21), "minus_inf_rows", grad=False),
    *[Row("vector_norm", lambda T, x, p=p: T.norm(x, p), lambda r: r(3, 4), f"p{p}", second=p != 0) for p in (0, 0.5, 1, 1.5, 2, 3, math.inf, -math.inf, "fro")],
    *[Row("vector_norm", lambda T, x, p=p: T.norm(x, p, dim=1, keepdim=True), lambda r: r(3, 4), f"dim_p{p}") for p in (1, 2, 3, math.inf, "fro")],
    Row("vector_norm", lambda T, x: x.norm(), lambda r: r(3, 4), "method", dtypes=FLOATS + HALFS), Row("vector_norm", lambda T, x: x.norm(dim=(0, 2)), lambda r: r(3, 4, 5), "dims"),
    Row("vector_norm", lambda T, x: (x * 0).norm(), lambda r: r(3), "zero", second=False), Row("vector_norm", lambda T, x: T.norm(x), lambda r: r(0), "empty"),
    Row("vector_norm", lambda T, x, y: T.dist(x, y, 3), lambda r: (r(3, 4), r(4)), "dist"),
    Row("vector_norm", lambda T, x: T.renorm(x, 2, 0, 1.0), lambda r: r(3, 4), "renorm"),
    *[Row(n, lambda T, x, n=n, d=d: getattr(T, n)(x, d), lambda r: r(3, 4, 5), f"dim{d}", dtypes=(*FLOATS, "int64", "bool") if n in ("cumsum", "cumprod") else FLOATS)
      for n in ("cumsum", "cumprod", "logcumsumexp", "cummax", "cummin") for d in (0, 1, -1)],
    *[Row(n, lambda T, x, n=n: getattr(T, n)(x, 0), lambda r: r(), "scalar") for n in ("cumsum", "cumprod", "logcumsumexp", "cummax", "cummin")],
    *[Row(n, lambda T, x, n=n: getattr(T, n)(x, 0), lambda r: r(0, 3), "empty") for n in ("cumsum", "cumprod", "logcumsumexp", "cummax")],
    Row("cumprod", lambda T, x: T.cumprod(x * T.tensor([1.0, 0, 2, 3]), 0), lambda r: r(4), "one_zero"),
    Row("cumprod", lambda T, x: T.cumprod(x * T.tensor([1.0, 0, 2, 0]), 1), lambda r: r(3, 4), "two_zeros"),
    Row("cummax", lambda T, x: T.cummax(T.round(x), 0), lambda r: r(40), "ties"), Row("cumsum", lambda T, x: T.cumsum(x, 0, dtype=T.float64), lambda r: r(4), "dtype", dtypes=("float32", "int32")),
    Row("cumsum", lambda T, x: x.clone().cumsum_(0), lambda r: r(4, 3), "inplace"), Row("cumsum", lambda T, x: T.cumsum(x, 0), lambda r: r(2000), "long", rtol=1e-4),
]  # fmt: skip


def e(label, fn):
    return ErrorRow("reduce", fn, label)


ERRORS = [
    e("max_empty", lambda T: T.zeros(0).max()), e("max_dim_empty", lambda T: T.zeros(0, 3).max(0)), e("argmax_empty", lambda T: T.zeros(0).argmax()),
    e("argmax_dim_empty", lambda T: T.zeros(0, 3).argmax(0)), e("amax_empty", lambda T: T.zeros(0).amax()), e("amax_dim_empty", lambda T: T.zeros(0, 3).amax(0)),
    e("aminmax_empty", lambda T: T.zeros(0).aminmax()), e("aminmax_dim_empty", lambda T: T.zeros(0, 2).aminmax(dim=0)), e("argmax_bool", lambda T: T.zeros(3).bool().argmax()),
    e("norm_empty", lambda T: T.zeros(0).norm(math.inf)), e("norm_int", lambda T: T.arange(3).norm()), e("var_int", lambda T: T.arange(3).var()),
    e("dim", lambda T: T.zeros(2, 3).max(5)), e("twice", lambda T: T.zeros(2, 3).sum((0, 0))), e("amax_twice", lambda T: T.zeros(2, 3).amax((0, 0))),
    e("cumsum_dim", lambda T: T.zeros(2, 3).cumsum(2)), e("mean_int", lambda T: T.arange(3).mean()), e("norm_name", lambda T: T.zeros(2, 3).norm("foo")),
    e("mean_dim", lambda T: T.zeros(2, 3).mean(2)), e("sum_dim", lambda T: T.zeros(2, 3).sum(-3)), e("softmax_dim", lambda T: T.zeros(2, 3).logsumexp(2)),
    ErrorRow("reduce", lambda T: T.zeros(2, 3).prod((0, 1)), "prod_dims", match="prod() received an invalid combination of arguments - got (tuple)"),
]  # fmt: skip
