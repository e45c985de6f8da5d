"""Padding."""

from __future__ import annotations

from .harness import FLOATS, HALFS, INTS, ErrorRow, Row


def pad(op, shape, pads, mode="constant", label="", dtypes=FLOATS, **kw):
    return Row(op, lambda T, x: T.nn.functional.pad(x, pads, mode, **kw), lambda r: r(*shape), label, dtypes=dtypes)


def positions(op, shape, mode, *pads):
    """One pad size per dimension, batched and unbatched."""
    return [pad(op, s, p, mode, f"{mode}-{len(s)}d-{i}") for s in (shape, shape[1:]) for i, p in enumerate(pads)]


EVERY = FLOATS + HALFS + INTS + ("bool",)
ROWS = [
    pad("constant_pad_nd", (2, 3, 4), (1, 2), dtypes=EVERY),
    pad("constant_pad_nd", (2, 3, 4), (1, 2, 0, 3), label="two", value=2.5),
    pad("constant_pad_nd", (2, 3, 4), (1, 2, 0, 3, 2, 2), label="all", value=-1),
    pad("constant_pad_nd", (2, 3, 4), (-1, 2, 1, -2), label="crop"),
    pad("constant_pad_nd", (5,), (-2, -3), label="nothing"),
    pad("constant_pad_nd", (0, 3), (1, 1, 1, 1), label="empty"),
    pad("constant_pad_nd", (2, 3), (), label="none"),
    *positions("reflection_pad1d", (2, 3, 4), "reflect", (1, 2), (3, 0), (-1, 2)),
    *positions("reflection_pad2d", (2, 3, 4, 5), "reflect", (1, 2, 3, 0), (-1, -1, 1, 1)),
    *positions("reflection_pad3d", (2, 3, 4, 5, 3), "reflect", (1, 2, 3, 0, 1, 1)),
    *positions("replication_pad1d", (2, 3, 4), "replicate", (1, 2), (9, 0), (-1, 2)),
    *positions("replication_pad2d", (2, 3, 4, 5), "replicate", (1, 2, 3, 0), (-1, -1, 1, 1)),
    *positions("replication_pad3d", (2, 3, 4, 5, 3), "replicate", (1, 2, 3, 0, 5, 1)),
    *positions("circular_pad", (2, 3, 4), "circular", (1, 2), (4, 4), (-1, 2)),
    *positions("circular_pad", (2, 3, 4, 5), "circular", (1, 2, 3, 0), (-1, -1, 1, 1)),
    *positions("circular_pad", (2, 3, 4, 5, 3), "circular", (1, 2, 3, 0, 2, 1)),
]


def error(label, shape, pads, mode="constant", **kw):
    return ErrorRow("constant_pad_nd", lambda T: T.nn.functional.pad(T.ones(*shape), pads, mode, **kw), label)


ERRORS = [
    error("odd", (2, 3), (1,)),
    error("many", (2, 3), (1,) * 6),
    error("crop", (2, 3), (-9, -1)),
    error("mode", (2, 3, 4), (1, 2), "foo"),
    error("reflect", (2, 3, 4, 5), (9, 9, 1, 1), "reflect"),
    error("reflect-rank", (2, 3, 4, 5), (1, 1), "reflect"),
    error("reflect-vector", (5,), (1, 1), "reflect"),
    error("reflect-value", (2, 3, 4), (1, 1), "reflect", value=1.0),
    error("circular", (2, 3, 4, 5), (9, 9, 1, 1), "circular"),
    error("circular-crop", (2, 3, 4), (-9, 1), "circular"),
]
