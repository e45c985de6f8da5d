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


def nan_rows():
    data = torch.arange(64.0).reshape(1, 1, 8, 8).numpy().copy()
    data[0, 0, 2, 3] = data[0, 0, 2, 4] = data[0, 0, 7, 7] = math.nan
    return [Row("max_pool2d", lambda T, x, window=window: F(T).max_pool2d(x, *window, return_indices=True), lambda r: r.values(data),
                f"nan-{window[0]}", grad=False) for window in ((3, 2, 1), (2,))]  # fmt: skip


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
        row("max", rank, "plane", shape, shape[2:], return_indices=True),
        row("max", rank, "plane-ties", shape, shape[2:], draw="zeros", return_indices=True),
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
    *nan_rows(),
    row("max", 2, "tuples", (2, 3, 11, 37), (2, 3), (1, 2), (1, 0), (2, 1)),
    row("max", 2, "int", (2, 3, 6, 8), 2, dtypes=("int64",)),
    row("max", 2, "large", (3, 40, 28, 28), 2, 2, second=False),
    *[row(kind, 2, f"pairs-{h}x{w}", (3, 2, h, w), 2, **kw) for kind, kw in (("max", {"return_indices": True}), ("avg", {}))
      for h, w in ((2, 2), (4, 33), (7, 64), (5, 81))],
    row("max", 2, "pairs-ties", (2, 3, 7, 45), 2, draw="zeros", return_indices=True),
    row("max", 2, "pairs-ceil", (2, 3, 7, 45), 2, ceil_mode=True, return_indices=True),
    row("max", 1, "pairs-70", (2, 3, 70), 2, return_indices=True),
    row("avg", 1, "5s1p2", (2, 3, 40), 5, 1, 2),
    row("avg", 2, "5s2p2", (2, 3, 19, 70), 5, 2, 2, count_include_pad=False),
    row("avg", 2, "gaps", (2, 3, 9, 41), 1, 2),
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


def drawn(T, fn):
    """A function of random windows, for one seed."""
    T.manual_seed(5)
    return fn()


def fractional(rank, label, shape, kernel, draw="distinct", **kw):
    name = f"fractional_max_pool{rank}d"
    return Row(name, lambda T, x: drawn(T, lambda: getattr(F(T), name)(x, kernel, **kw)), lambda r: getattr(r, draw)(*shape),
               f"{rank}d-{label}")  # fmt: skip


for rank, shape in {2: (2, 3, 11, 37), 3: (2, 3, 7, 8, 13)}.items():
    ROWS += [
        fractional(rank, "size", shape, 2, output_size=4),
        fractional(rank, "sizes", shape, (2, 3, 4)[:rank], output_size=(3, 5, 7)[:rank], return_indices=True),
        fractional(rank, "ratio", shape, 2, output_ratio=(0.5, 0.6, 0.7)[:rank], return_indices=True),
        fractional(rank, "ties", shape, 2, draw="zeros", output_size=3, return_indices=True),
        fractional(rank, "one", shape, 2, output_size=1),
        fractional(rank, "unbatched", shape[1:], 2, output_size=4, return_indices=True),
        fractional(rank, "empty-batch", (0, *shape[1:]), 2, output_size=4),
        fractional(rank, "overlap", shape, 3, output_size=3),
        Row(f"fractional_max_pool{rank}d", lambda T, x, s, n=rank: getattr(F(T), f"fractional_max_pool{n}d_with_indices")(
            x, 2, output_size=3, _random_samples=s.detach()), lambda r, s=shape, n=rank: (r.distinct(*s), r.unit(3, s[1], n)), "given"),
        Row(f"fractional_max_pool{rank}d", lambda T, x, n=rank: drawn(T, lambda: (getattr(F(T), f"fractional_max_pool{n}d")(
            x, 2, output_size=3), T.rand(3))[1]), lambda r, s=shape: r(*s), "draws", grad=False),
    ]  # fmt: skip


def fractional_errors(rank):
    f = lambda T: getattr(F(T), f"fractional_max_pool{rank}d")  # noqa: E731
    x = lambda T, *lead: T.ones(*(lead or (2, 3)), *(8, 9, 7)[:rank])  # noqa: E731
    s = lambda T, n, c, d: dict(output_size=4, _random_samples=T.rand(n, c, d))  # noqa: E731
    calls = {
        "none": lambda T: f(T)(x(T), 3),
        "size-length": lambda T: f(T)(x(T), 3, output_size=(4,)),
        "kernel-length": lambda T: f(T)(x(T), (3,), output_size=4),
        "large": lambda T: f(T)(x(T), 9, output_size=4),
        "large-by-one": lambda T: f(T)(x(T), 3, output_size=(6, 7, 5)[:rank] if rank == 3 else (7, 7)),
        "large-together": lambda T: f(T)(x(T), 3, output_size=7),
        "rank": lambda T: f(T)(x(T, 1, 2, 3), 3, output_size=4),
        "int": lambda T: f(T)(x(T).long(), 3, output_size=4),
        "channels": lambda T: f(T)(x(T, 2, 0), 3, output_size=4),
        "samples-batch": lambda T: f(T)(x(T), 3, **s(T, 1, 3, rank)),
        "samples-channels": lambda T: f(T)(x(T), 3, **s(T, 2, 2, rank)),
        "samples-numbers": lambda T: f(T)(x(T), 3, **s(T, 2, 3, rank + 1)),
        "samples-dtype": lambda T: f(T)(x(T), 3, output_size=4, _random_samples=T.rand(2, 3, rank).double()),
        "samples-rank": lambda T: f(T)(x(T), 3, output_size=4, _random_samples=T.rand(3, rank)),
        "size-negative": lambda T: f(T)(x(T), 2, output_size=-1),
        "ratio-length": lambda T: f(T)(x(T), 3, output_ratio=(0.5,)),
    }
    layer = lambda T: getattr(T.nn, f"FractionalMaxPool{rank}d")  # noqa: E731
    calls |= {f"layer-{i}": (lambda T, k=k: layer(T)(2, **k)) for i, k in enumerate([
        dict(), dict(output_size=2, output_ratio=0.5), dict(output_ratio=1.5), dict(output_ratio=(0.5, 0, 0.5))])}  # fmt: skip
    return [ErrorRow(f"fractional_max_pool{rank}d", fn, label) for label, fn in calls.items()]


ERRORS = [
    *fractional_errors(2),
    *fractional_errors(3),
    ErrorRow("fractional_max_pool3d", lambda T: T.nn.FractionalMaxPool3d(0, 2), "layer-kernel"),
    # PyTorch gives -inf there, and indices outside of the plane.
    *[ErrorRow("fractional_max_pool2d", lambda T, k=k: F(T).fractional_max_pool2d(T.ones(1, 1, 4, 4), k, 2) if T is not torch else 1 / 0,
               f"kernel{k}", match=f"kernel_size must be greater than 0, but got [{k}, {k}]", error=RuntimeError) for k in (0, -1)],
    ErrorRow("fractional_max_pool2d", lambda T: F(T).fractional_max_pool2d(
        T.ones(1, 1, 4, 4), 2, 2, _random_samples=T.full((1, 1, 2), float("nan"))) if T is not torch else 1 / 0, "samples-nan",
        match="_random_samples must be between 0 and 1", error=RuntimeError),
]
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
