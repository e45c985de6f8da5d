"""Sorting, order statistics, distinct values and searching."""

from __future__ import annotations

import math

from .harness import FLOATS, HALFS, ErrorRow, Row

ALL = (*FLOATS, *HALFS, "int64", "int32", "uint8")
NAN = math.nan


def nans(T, x):
    return T.where(x > 0, x, NAN)


ROWS = [
    *[Row("sort", lambda T, x, d=d: T.sort(x, d), lambda r: r.distinct(3, 4, 5), f"dim{d}", dtypes=ALL if d == 0 else FLOATS) for d in (0, 1, -1)],
    Row("sort", lambda T, x: x.sort(descending=True), lambda r: r.distinct(3, 5), "descending", dtypes=ALL), Row("sort", lambda T, x: x.sort(), lambda r: r(), "scalar"),
    Row("sort", lambda T, x: T.sort(T.round(x), stable=True), lambda r: r(60), "stable"), Row("sort", lambda T, x: T.sort(T.round(x), dim=0, descending=True, stable=True), lambda r: r(60), "stable_down"),
    Row("sort", lambda T, x: x.sort(0), lambda r: r(0, 3), "empty"), Row("sort", lambda T, x: T.sort(nans(T, x), stable=True), lambda r: r(9), "nan", grad=False),
    Row("sort", lambda T, x: T.sort(x), lambda r: r.bools(9), "bool", dtypes=("bool",), grad=False, layouts=False), Row("sort", lambda T, x: T.argsort(x, 0), lambda r: r.distinct(5, 3), "argsort"),
    Row("sort", lambda T, x: T.msort(x), lambda r: r.distinct(5, 3), "msort"), Row("sort", lambda T, x: T.sort(x, stable=True, dim=0), lambda r: r(3000, 2), "large"),
    *[Row("topk", lambda T, x, d=d, b=b: T.topk(x, 2, d, largest=b), lambda r: r.distinct(3, 4, 5), f"dim{d}_{b}", dtypes=ALL if d == 0 else FLOATS) for d in (0, 1, -1) for b in (True, False)],
    Row("topk", lambda T, x: T.topk(x, 50), lambda r: r.distinct(4, 3000), "large", dtypes=FLOATS), Row("topk", lambda T, x: x.topk(1), lambda r: r(), "scalar"),
    Row("topk", lambda T, x: x.topk(0), lambda r: r.distinct(3, 4), "none", grad=False), Row("topk", lambda T, x: x.topk(4), lambda r: r.distinct(3, 4), "all"),
    *[Row("sort", lambda T, x, n=n, b=b: T.sort(T.round(x), stable=True, descending=b), lambda r, n=n: r(2, n), f"ties_{n}_{b}", grad=False) for n in (64, 65, 511, 700) for b in (True, False)],
    *[Row("sort", lambda T, x, b=b: T.sort(x, dim=0, descending=b, stable=True), lambda r: r.integers(-100, 100, 600, 2), f"int_{b}", dtypes=("int8", "int16", "int32", "int64"), grad=False) for b in (True, False)],
    Row("sort", lambda T, x: T.sort(nans(T, x), stable=True, descending=True), lambda r: r(600), "nan_down", grad=False),
    Row("sort", lambda T, x: T.sort(x, stable=True), lambda r: r.values([0.0, -0.0, -1.0, 0.0, float("inf"), -float("inf"), -0.0]), "zeros", grad=False),
    *[Row("topk", lambda T, x, k=k, n=n: T.topk(x, k), lambda r, n=n: r.distinct(2, n), f"{k}_of_{n}") for k, n in ((3, 64), (3, 100), (60, 100), (500, 600))],
    *[Row("kthvalue", lambda T, x, d=d: T.kthvalue(x, 2, d), lambda r: r.distinct(3, 4, 5), f"dim{d}", dtypes=(*FLOATS, "int64")) for d in (0, -1)],
    Row("kthvalue", lambda T, x: x.kthvalue(3, keepdim=True), lambda r: r.distinct(3, 7), "keep"), Row("kthvalue", lambda T, x: x.kthvalue(1), lambda r: r(), "scalar"),
    *[Row("median_dim", lambda T, x, d=d: T.median(x, d), lambda r: r.distinct(3, 4, 5), f"dim{d}", dtypes=(*FLOATS, "int64")) for d in (0, 1)],
    Row("median_all", lambda T, x: x.median(), lambda r: r(5, 4), dtypes=(*FLOATS, "int64", "bfloat16")), Row("median_all", lambda T, x: T.round(x).median(), lambda r: r(41), "ties"),
    Row("median_dim", lambda T, x: nans(T, x).median(0), lambda r: r(7, 3), "nan", grad=False), Row("median_dim", lambda T, x: x.median(0, keepdim=True), lambda r: r(), "scalar"),
    Row("nanmedian_dim", lambda T, x: nans(T, x).nanmedian(0), lambda r: r(7, 3), grad=False), Row("nanmedian_dim", lambda T, x: x.nanmedian(1), lambda r: r.distinct(7, 3), "grad"),
    Row("nanmedian_all", lambda T, x: nans(T, x).nanmedian(), lambda r: r(7, 3), grad=False), Row("nanmedian_all", lambda T, x: x.nanmedian(), lambda r: r.distinct(7, 3), "grad"),
    Row("mode", lambda T, x: T.mode(T.round(x), 0), lambda r: r(14, 4), dtypes=FLOATS), Row("mode", lambda T, x: x.mode(keepdim=True), lambda r: r.integers(0, 4, 3, 14), "int", dtypes=("int64",)),
    *[Row("sort", lambda T, x, q=q, d=d, k=k: T.quantile(x, q, dim=d, keepdim=k), lambda r: r(5, 4), f"quantile_{q}_{d}_{k}") for q in (0.0, 0.3, 1.0) for d in (None, 0, 1) for k in (False, True)],
    *[Row("sort", lambda T, x, d=d, k=k: T.quantile(x, T.tensor([0.1, 0.5, 0.77], dtype=x.dtype), dim=d, keepdim=k), lambda r: r(5, 4), f"quantiles_{d}_{k}") for d in (None, 0, 1) for k in (False, True)],
    *[Row("sort", lambda T, x, i=i: T.quantile(x, 0.3, 0, interpolation=i), lambda r: r(6, 4), f"quantile_{i}") for i in ("lower", "higher", "midpoint", "nearest")],
    Row("sort", lambda T, x: T.nanquantile(nans(T, x), 0.4, 0), lambda r: r(9, 4), "nanquantile", grad=False), Row("sort", lambda T, x: T.quantile(nans(T, x), 0.4, 0), lambda r: r(9, 4), "quantile_nan", grad=False),
    Row("sort", lambda T, x: T.unique(T.round(x).detach(), return_inverse=True, return_counts=True), lambda r: r(5, 7), "unique", dtypes=(*FLOATS, "bfloat16")),
    Row("sort", lambda T, x: T.unique(x), lambda r: r.integers(0, 5, 20), "unique_int", dtypes=("int64",)), Row("sort", lambda T, x: T.unique(x, return_counts=True), lambda r: r(0), "unique_empty", dtypes=("int64",)),
    Row("sort", lambda T, x: x.unique(dim=0, return_inverse=True, return_counts=True), lambda r: r.integers(0, 2, 9, 2), "unique_rows", dtypes=("int64",)),
    Row("sort", lambda T, x: T.unique_consecutive(x, return_inverse=True, return_counts=True), lambda r: r.integers(0, 2, 20), "unique_consecutive", dtypes=("int64",)),
    Row("sort", lambda T, x: T.unique_consecutive(x, return_counts=True, dim=0), lambda r: r.integers(0, 2, 9, 1), "unique_consecutive_rows", dtypes=("int64",)),
    *[Row("searchsorted", lambda T, x, v, b=b: T.searchsorted(x.sort()[0], v, right=b), lambda r: (r(3, 9), r(3, 5)), f"rows_{b}", dtypes=(*FLOATS, "int64"), grad=False) for b in (True, False)],
    Row("searchsorted", lambda T, x: T.searchsorted(T.tensor([1, 3, 5, 5, 9]), x), lambda r: r.integers(0, 9, 4, 5), "one_row", dtypes=("int64",)),
    Row("searchsorted", lambda T, x: T.searchsorted(T.tensor([1, 3, 5, 5, 9]), 5, side="right", out_int32=True), lambda r: r(1), "number", dtypes=("int64",)),
    Row("searchsorted", lambda T, x: T.bucketize(x, T.tensor([-1.0, 0.0, 1.0], dtype=x.dtype)), lambda r: r(4, 5), "bucketize", grad=False),
    Row("searchsorted", lambda T, x, v: T.searchsorted(x, v, sorter=x.argsort()), lambda r: (r.distinct(9), r(5)), "sorter", grad=False),
    Row("searchsorted", lambda T, x, y: T.isin(x, y), lambda r: (r.integers(0, 20, 4, 5), r.integers(0, 20, 7)), "isin", dtypes=("int64",)),
    Row("searchsorted", lambda T, x, y: T.isin(x, y, invert=True), lambda r: (r.integers(0, 20, 4, 5), r.integers(0, 20, 7)), "isin_invert", dtypes=("int64",)),
    Row("sort", lambda T, x: T.bincount(x), lambda r: r.integers(0, 20, 50), "bincount", dtypes=("int64",)), Row("sort", lambda T, x, w: T.bincount(x, w.detach(), 30), lambda r: (r.integers(0, 20, 50), r(50)), "bincount_weights", dtypes=(*FLOATS, "int64")),
    Row("sort", lambda T, x: T.histc(x.detach(), 7), lambda r: r(50), "histc"), Row("sort", lambda T, x: T.histc(x.detach(), 4, -1, 1), lambda r: r(50), "histc_range"),
]  # fmt: skip


def e(label, fn):
    return ErrorRow("sort", fn, label)


ERRORS = [
    e("topk", lambda T: T.zeros(2, 3).topk(5)), e("topk_negative", lambda T: T.zeros(2, 3).topk(-1)), e("kthvalue", lambda T: T.zeros(2, 3).kthvalue(5)),
    e("median_empty", lambda T: T.zeros(0, 3).median(0)), e("mode_empty", lambda T: T.zeros(0).mode()), e("quantile_range", lambda T: T.zeros(3).quantile(2.0)),
    e("quantile_dtype", lambda T: T.zeros(3).quantile(T.tensor([0.5]).double())), e("quantile_empty", lambda T: T.zeros(0).quantile(0.5)), e("quantile_int", lambda T: T.arange(3).quantile(0.5)),
    e("search_sides", lambda T: T.searchsorted(T.tensor([1]), 2, right=True, side="left")), e("bincount_float", lambda T: T.zeros(3).bincount()),
    e("bincount_negative", lambda T: T.bincount(T.tensor([-1]))), e("bincount_matrix", lambda T: T.bincount(T.tensor([[1]]))), e("histc_int", lambda T: T.histc(T.arange(3), 3)),
    e("histc_bins", lambda T: T.histc(T.zeros(3), 0)), e("histc_range", lambda T: T.histc(T.zeros(3), 3, 4, 1)), e("sort_dim", lambda T: T.zeros(2, 3).sort(2)),
]  # fmt: skip
