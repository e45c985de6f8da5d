"""Pooling in one to three dimensions: windows, padding, dilation, ceil mode, adaptive sizes, indices and their inverse."""

from __future__ import annotations

import math

import torch

from .harness import ErrorRow, Row


def F(T):
    """The namespace of the functional forms, in either library."""
    return T.nn.functional


def row(kind, rank, label, shape, *args, draw="distinct", dtypes=("float32", "float64"), **kw):
    name = f"{kind}_pool{rank}d"
    op = name.replace("1d", "2d").replace("lp_", "avg_")
    extra = {k: kw.pop(k) for k in ("rtol", "atol", "second") if k in kw}
    return Row(op, lambda T, x: getattr(F(T), name)(x, *args, **kw), lambda r: getattr(r, draw)(*shape), f"{rank}d-{label}-{kind}",
               dtypes=dtypes, **extra)  # fmt: skip


def nan_row(rank):
    data = torch.arange(64.0).reshape(1, 1, 8, 8).numpy().copy()
    data[0, 0, 2, 3] = data[0, 0, 2, 4] = data[0, 0, 7, 7] = math.nan
    return Row("max_pool2d", lambda T, x: F(T).max_pool2d(x, 3, 2, 1, return_indices=True), lambda r: r.values(data), "nan",
               grad=False)  # fmt: skip


def unpooled(T, x, rank, kernel, **kw):
    f = F(T)
    y, where = getattr(f, f"max_pool{rank}d")(x, kernel, return_indices=True)
    return getattr(f, f"max_unpool{rank}d")(y, where, kernel, **kw)


SHAPES = {1: (2, 3, 37), 2: (2, 3, 11, 37), 3: (2, 2, 5, 6, 19)}
ROWS = []
for rank, shape in SHAPES.items():
    ROWS += [
        row("max", rank, "2", shape, 2),
        row("max", rank, "3s2", shape, 3, 2),
        row("max", rank, "3s1p1", shape, 3, 1, 1),
        row("max", rank, "indices", shape, 3, 2, 1, return_indices=True),
        row("max", rank, "ties", shape, 3, 2, 1, draw="zeros", return_indices=True),
        row("max", rank, "5s4", shape, 5, 4, 2),
        row("max", rank, "dilated", shape, 2, 3, 1, 2, return_indices=True),
        row("max", rank, "ceil", shape, 3, 2, 1, ceil_mode=True, return_indices=True),
        row("max", rank, "unbatched", shape[1:], 2),
        row("max", rank, "empty-batch", (0, *shape[1:]), 2),
        row("max", rank, "half", shape, 3, 2, dtypes=("bfloat16", "float16")),
        row("avg", rank, "2", shape, 2),
        row("avg", rank, "3s2p1", shape, 3, 2, 1),
        row("avg", rank, "3s2p1-inside", shape, 3, 2, 1, count_include_pad=False),
        row("avg", rank, "ceil", shape, 3, 2, 1, ceil_mode=True),
        row("avg", rank, "ceil-inside", shape, 4, 3, 1, ceil_mode=True, count_include_pad=False),
        row("avg", rank, "unbatched", shape[1:], 2, 3),
        row("avg", rank, "empty-batch", (0, *shape[1:]), 2),
        # PyTorch's avg_pool3d does not take half types.
        *([row("avg", rank, "half", shape, 3, 2, dtypes=("bfloat16", "float16"), rtol=2e-2, atol=1e-2)] if rank < 3 else []),
        row("adaptive_avg", rank, "3", shape, 3),
        row("adaptive_avg", rank, "1", shape, 1),
        row("adaptive_avg", rank, "7-larger", (2, 2, *(4,) * rank), 7),
        row("adaptive_avg", rank, "unbatched", shape[1:], 2),
        row("adaptive_max", rank, "3", shape, 3),
        row("adaptive_max", rank, "1", shape, 1),
        row("adaptive_max", rank, "indices", shape, 4, return_indices=True),
        row("adaptive_max", rank, "unbatched", shape[1:], 2),
        row("lp", rank, "2", shape, 2, 3, draw="positive"),
        row("lp", rank, "3s2", shape, 3.0, 2, 3, draw="positive"),
        row("lp", rank, "inf", shape, math.inf, 2, second=False),
        row("lp", rank, "minus-inf", shape, -math.inf, 2, second=False),
        Row(f"max_unpool{max(rank, 2)}d", lambda T, x, n=rank: unpooled(T, x, n, 2), lambda r, n=rank: r.distinct(2, 3, *(6,) * n), f"{rank}d"),
        Row(f"max_unpool{max(rank, 2)}d", lambda T, x, n=rank, s=shape: unpooled(T, x, n, 2, output_size=s[2:]),
            lambda r, s=shape: r.distinct(*s), f"{rank}d-size"),
    ]  # fmt: skip
ROWS += [
    nan_row(2),
    row("max", 2, "tuples", (2, 3, 11, 37), (2, 3), (1, 2), (1, 0), (2, 1)),
    row("max", 2, "int", (2, 3, 6, 8), 2, dtypes=("int64",)),
    row("max", 2, "large", (3, 40, 28, 28), 2, 2, second=False),
    row("avg", 2, "divisor", (2, 3, 11, 37), 3, 2, 1, divisor_override=5),
    row("avg", 3, "divisor", (2, 2, 5, 6, 19), 3, 2, 1, divisor_override=5),
    row("avg", 2, "tuples", (2, 3, 11, 37), (2, 3), (1, 2), (1, 0)),
    row("avg", 2, "int", (2, 3, 6, 8), 2, dtypes=("int64",)),
    row("adaptive_avg", 2, "none", (2, 3, 11, 37), (None, 5)),
    row("adaptive_max", 2, "none", (2, 3, 11, 37), (5, None)),
    row("adaptive_avg", 2, "empty-batch", (0, 3, 11, 37), 2),
]


def raises(label, kind, rank, shape, *args, dtype="float32", **kw):
    name = f"{kind}_pool{rank}d"
    return ErrorRow(name, lambda T: getattr(F(T), name)(T.ones(*shape, dtype=getattr(T, dtype)), *args, **kw), label)


ERRORS = []
for rank in (1, 2, 3):
    shape = (2, 3, *(8,) * rank)
    for kind in ("max", "avg"):
        ERRORS += [
            raises("rank", kind, rank, (8,), 2),
            raises("rank-high", kind, rank, (1,) * (rank + 3), 2),
            raises("pad", kind, rank, shape, 2, padding=2),
            raises("negative-pad", kind, rank, shape, 2, padding=-1),
            raises("kernel", kind, rank, shape, 0),
            raises("stride", kind, rank, shape, 2, stride=0),
            raises("small", kind, rank, (2, 3, *(2,) * rank), 3),
            raises("kernels", kind, rank, shape, (2,) * (rank + 1)),
            raises("strides", kind, rank, shape, 2, (2,) * (rank + 1)),
            raises("pads", kind, rank, shape, 2, 2, (1,) * (rank + 1)),
            raises("no-channels", kind, rank, (2, 0, *shape[2:]), 2),
            raises("bool", kind, rank, shape, 2, dtype="bool"),
        ]
    ERRORS.append(raises("dilation", "max", rank, shape, 2, dilation=0))
    for kind in ("adaptive_max", "adaptive_avg"):
        ERRORS += [
            raises("rank", kind, rank, (8,), 2),
            raises("rank-high", kind, rank, (1,) * (rank + 3), 2),
            raises("negative", kind, rank, shape, -1),
            raises("sizes", kind, rank, shape, (2,) * (rank + 1)),
            raises("empty", kind, rank, (2, 3, *(0,) * rank), 2),
            raises("int", kind, rank, shape, 2, dtype="int64"),
        ]
ERRORS += [
    raises("divisor", "avg", 2, (2, 3, 8, 8), 2, divisor_override=0),
    raises("int", "max", 1, (2, 3, 8), 2, dtype="int64"),
    ErrorRow("max_unpool2d", lambda T: F(T).max_unpool2d(T.ones(1, 1, 2, 2), T.full((1, 1, 2, 2), 34), 2), "index"),
    ErrorRow("max_unpool3d", lambda T: F(T).max_unpool3d(T.ones(1, 1, 2, 2, 2), T.full((1, 1, 2, 2, 2), 100), 2), "index"),
    ErrorRow("max_unpool2d", lambda T: F(T).max_unpool2d(T.ones(1, 1, 2, 2), T.ones(1, 1, 2, 2), 2), "dtype"),
    ErrorRow("max_unpool2d", lambda T: F(T).max_unpool2d(T.ones(1, 1, 2, 2), T.ones(1, 1, 1, 2).long(), 2), "shape"),
    ErrorRow("max_unpool2d", lambda T: F(T).max_unpool2d(T.ones(2, 2), T.ones(2, 2).long(), 2), "rank"),
    ErrorRow("max_unpool2d", lambda T: F(T).max_unpool2d(T.ones(1, 1, 2, 2), T.ones(1, 1, 2, 2).long(), 2, output_size=(9, 9)),
             "size"),
    ErrorRow("max_unpool2d", lambda T: F(T).max_unpool2d(T.ones(1, 1, 2, 2), T.ones(1, 1, 2, 2).long(), 2, output_size=(5,)),
             "sizes"),
]  # fmt: skip
