"""Embedding tables, bags of rows, one-hot vectors."""

from __future__ import annotations

import numpy as np

from .harness import FLOATS, HALFS, ErrorRow, Row


def F(T):
    return T.nn.functional


def table(op, inputs, label="", **kw):
    second = not kw.get("scale_grad_by_freq", False)
    return Row(op, lambda T, i, w: F(T).embedding(i, w, **kw), inputs, label, dtypes=FLOATS + HALFS, second=second)


def bag(label, inputs, mode="mean", **kw):
    """Bags; a third input is the offsets, a fourth the weights of the samples."""

    def call(T, i, w, offsets=None, weights=None):
        return F(T).embedding_bag(i, w, offsets, mode=mode, per_sample_weights=weights, **kw)

    return Row("embedding", call, inputs, f"bag-{label}", second=False)


def nothing(r):
    return r.fixed(np.zeros((0, 3), dtype=np.int64))


INDEX = [[1, 0, 1], [4, 2, 1]]
FLAT = [1, 0, 4, 4, 2]
ROWS = [
    table("embedding", lambda r: (r.fixed(INDEX), r(5, 3))),
    table("embedding", lambda r: (r.fixed(2), r(5, 3)), "scalar"),
    table("embedding", lambda r: (nothing(r), r(5, 3)), "empty"),
    table("embedding", lambda r: (r.fixed(INDEX, "int32"), r(5, 3)), "int32"),
    table("embedding", lambda r: (r.fixed(INDEX), r(5, 3)), "padding", padding_idx=1),
    table("embedding", lambda r: (r.fixed(INDEX), r(5, 3)), "negative-padding", padding_idx=-4),
    table("embedding", lambda r: (r.fixed(INDEX), r(5, 3)), "frequency", scale_grad_by_freq=True),
    Row("embedding", lambda T, i, w: F(T).embedding(i, w.detach().clone(), max_norm=0.5, norm_type=1.0),
        lambda r: (r.fixed(INDEX), r(5, 3)), "renormalised", grad=False),
    *[bag(m, lambda r: (r.fixed(INDEX), r(5, 3)), m) for m in ("sum", "mean", "max")],
    *[bag(f"offsets-{m}", lambda r: (r.fixed(FLAT), r(5, 3), r.fixed([0, 2, 2])), m) for m in ("sum", "mean", "max")],
    *[bag(f"padding-{m}", lambda r: (r.fixed(INDEX), r(5, 3)), m, padding_idx=1) for m in ("sum", "mean", "max")],
    bag("weights", lambda r: (r.fixed(INDEX), r(5, 3), None, r(2, 3)), "sum"),
    bag("last", lambda r: (r.fixed(FLAT), r(5, 3), r.fixed([0, 2, 5])), "sum", include_last_offset=True),
    Row("one_hot", lambda T, i: F(T).one_hot(i), lambda r: r.fixed(INDEX), dtypes=("int64",)),
    Row("one_hot", lambda T, i: F(T).one_hot(i, 7), lambda r: r.fixed(INDEX), "7", dtypes=("int64",)),
    Row("one_hot", lambda T, i: F(T).one_hot(i, 3), lambda r: nothing(r),
        "empty", dtypes=("int64",)),
]  # fmt: skip


def error(name, label, *args, **kw):
    return ErrorRow("embedding", lambda T: getattr(F(T), name)(*[a(T) if callable(a) else a for a in args], **kw), f"{name}-{label}")


def ints(values):
    return lambda T: T.tensor(values)


def weight(T):
    return T.ones(5, 3)


ERRORS = [
    error("embedding", "float", lambda T: T.tensor([1.0, 2.0]), weight),
    error("embedding", "range", ints([7]), weight),
    error("embedding", "negative", ints([-1]), weight),
    error("embedding", "padding", ints([1]), weight, padding_idx=7),
    error("embedding", "vector", ints([1]), lambda T: T.ones(3)),
    error("embedding_bag", "mode", ints([[1, 2]]), weight, mode="foo"),
    error("embedding_bag", "offsets", ints([1, 2]), weight),
    ErrorRow("embedding", lambda T: F(T).embedding_bag(T.tensor([[1, 2]]), T.ones(5, 3), T.tensor([0])), "embedding_bag-both",
             match="if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed length"),
    error("embedding_bag", "first", ints([1, 2]), weight, ints([1])),
    error("one_hot", "negative", ints([0, -2])),
    error("one_hot", "few", ints([0, 2]), 2),
    error("one_hot", "float", lambda T: T.tensor([0.0])),
    error("one_hot", "empty", lambda T: T.tensor([]).long()),
]
