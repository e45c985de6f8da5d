"""Embedding tables, bags of rows, one-hot vectors."""

from __future__ import annotations

import numpy as np

from .harness import FLOATS, HALFS, ErrorRow, Row


def F(T):
    return T.nn.functional


def table(op, inputs, label="", **kw):
    second = not kw.get("scale_grad_by_freq", False)
    return Row(op, lambda T, i, w: F(T).embedding(i, w, **kw), inputs, label, dtypes=FLOATS + HALFS, second=second)


def bag(label, inputs, mode="mean", grad=True, atol=None, **kw):
    """Bags; a third input is the offsets, a fourth the weights of the samples."""

    def call(T, i, w, offsets=None, weights=None):
        w = w if grad else w.detach().clone()
        return F(T).embedding_bag(i, w, offsets, mode=mode, per_sample_weights=weights, **kw)

    return Row("embedding_bag", call, inputs, label, grad=grad, second=False, atol=atol)


def nothing(r):
    return r.fixed(np.zeros((0, 3), dtype=np.int64))


def many(r, width=70):
    """Enough entries for several jobs, with empty bags between others."""
    starts = np.sort(r.rng.integers(0, 6000, 299))
    return r.integers(0, 41, 6000), r(41, width), r.fixed([0, *starts.tolist()])


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
    *[Row("embedding", lambda T, i, w, p=p: F(T).embedding(i, w.detach().clone(), max_norm=0.5, norm_type=p),
          lambda r: (r.fixed(INDEX), r(5, 3)), f"renormalised-{p}", grad=False) for p in (2.0, 3.0, float("inf"))],
    *[bag(m, lambda r: (r.fixed(INDEX), r(5, 3)), m) for m in ("sum", "mean", "max")],
    *[bag(f"offsets-{m}", lambda r: (r.fixed(FLAT), r(5, 3), r.fixed([0, 2, 2])), m) for m in ("sum", "mean", "max")],
    *[bag(f"padding-{m}", lambda r: (r.fixed(INDEX), r(5, 3)), m, padding_idx=1) for m in ("sum", "mean", "max")],
    *[bag(f"{m}-{w}", lambda r, w=w: (r.fixed(FLAT), r(5, w), r.fixed([0, 2, 2])), m)
      for m in ("sum", "mean", "max") for w in (1, 16, 37, 64, 150)],
    *[bag(f"many-{m}", many, m, padding_idx=7, atol=5e-5) for m in ("sum", "mean", "max")],
    bag("many-weights", lambda r: (*many(r, 33), r(6000)), "sum", padding_idx=7, atol=5e-5),
    # PyTorch looks up the frequency of another entry unless all are the same.
    bag("frequency", lambda r: (r.fixed([[2, 0, 1], [1, 2, 0]]), r(5, 3)), "mean", scale_grad_by_freq=True),
    *[bag(f"last-{m}", lambda r: (r.fixed(FLAT), r(5, 3), r.fixed([0, 2, 5])), m, include_last_offset=True)
      for m in ("sum", "mean", "max")],
    *[bag(f"ties-{m}", lambda r: (r.fixed([[1, 1, 0], [2, 2, 2]]), r.values(np.ones((3, 4)))), m) for m in ("mean", "max")],
    bag("int32", lambda r: (r.fixed(FLAT, "int32"), r(5, 3), r.fixed([0, 3], "int32"))),
    bag("no-entries", lambda r: (r.fixed(np.zeros(0, dtype=np.int64)), r(5, 3), r.fixed([0, 0]))),
    bag("only-padding", lambda r: (r.fixed([1, 1, 2]), r(5, 3), r.fixed([0, 2])), "max", padding_idx=1),
    bag("renormalised", lambda r: (r.fixed(INDEX), r(5, 3)), "sum", max_norm=0.5, grad=False),
    bag("weights-offsets", lambda r: (r.fixed(FLAT), r(5, 3), r.fixed([0, 2]), r(5)), "sum", padding_idx=4),
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
    error("embedding_bag", "beyond", ints([1, 2]), weight, ints([0, 3])),
    error("embedding_bag", "no-last", ints([1, 2]), weight, lambda T: T.tensor([]).long(), include_last_offset=True),
    error("embedding_bag", "float-offsets", ints([1, 2]), weight, lambda T: T.tensor([0.0])),
    ErrorRow("embedding", lambda T: F(T).embedding_bag(T.tensor([1, 2, 3]), T.ones(5, 3), T.tensor([0, 2, 1])),
             "embedding_bag-descending", match="offsets have to be in ascending order, but got 1 after 2"),
    ErrorRow("embedding", lambda T: F(T).embedding_bag(T.tensor([1, 7]), T.ones(5, 3), T.tensor([0])), "embedding_bag-range",
             match="index out of range in self", error=IndexError),
    error("embedding_bag", "first", ints([1, 2]), weight, ints([1])),
    error("one_hot", "negative", ints([0, -2])),
    error("one_hot", "few", ints([0, 2]), 2),
    error("one_hot", "float", lambda T: T.tensor([0.0])),
    error("one_hot", "empty", lambda T: T.tensor([]).long()),
]
