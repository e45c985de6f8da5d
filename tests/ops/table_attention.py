"""Scaled dot product attention: masks of every kind, sizes around the kernel's blocks, broadcasting, empty sizes."""

from __future__ import annotations

import torch

from .harness import ErrorRow, Row

NEAR = dict(rtol=1e-4, atol=2e-5)
OP = "scaled_dot_product_attention"


def attend(T, *args, **kw):
    if T is torch and args[0].dtype is torch.float64:  # the only backend of PyTorch's with second derivatives
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            return torch.nn.functional.scaled_dot_product_attention(*args, **kw)
    return T.nn.functional.scaled_dot_product_attention(*args, **kw)


def shapes(lead, length, source, width, value=None):
    return (*lead, length, width), (*lead, source, width), (*lead, source, value or width)


def row(label, sizes, mask=None, dtypes=("float32", "float64"), **kw):
    """`mask`: a function of the drawer."""
    if mask is None:
        return Row(OP, lambda T, q, k, v: attend(T, q, k, v, **kw), lambda r: tuple(r(*s) for s in sizes), label, dtypes=dtypes, **NEAR)
    return Row(OP, lambda T, q, k, v, m: attend(T, q, k, v, m, **kw), lambda r: (*(r(*s) for s in sizes), mask(r)), label,
               dtypes=dtypes, **NEAR)  # fmt: skip


def some(*shape):
    """A bool mask; every row may attend to something."""
    def draw(r):
        mask = r.bools(*shape)
        mask.array[..., 0] = 1
        return mask

    return draw


def empty_rows(*shape):
    def draw(r):
        mask = r.bools(*shape)
        mask.array[..., ::3, :] = 0
        return mask

    return draw


ROWS = [
    row("3d", shapes((2,), 5, 4, 8)),
    row("2d", shapes((), 5, 4, 8)),
    row("values", shapes((2, 3), 5, 4, 8, 3)),
    row("one", shapes((1, 1), 1, 1, 1)),
    row("scale", shapes((2,), 5, 4, 8), scale=0.3),
    row("no-scale", shapes((2,), 5, 4, 8), scale=0.0),
    row("causal", shapes((2, 2), 5, 5, 4), is_causal=True),
    row("causal-long", shapes((2,), 9, 4, 4), is_causal=True),
    row("causal-wide", shapes((2,), 4, 9, 4), is_causal=True),
    row("causal-large", shapes((1, 2), 150, 150, 5), is_causal=True),
    row("causal-many", shapes((9,), 130, 130, 36), is_causal=True),
    row("causal-tall", shapes((8,), 150, 40, 8, 3), is_causal=True),
    row("causal-broad", shapes((8,), 70, 300, 8), is_causal=True),
    row("large", shapes((1, 2), 70, 300, 33, 40)),
    row("tall", shapes((9,), 300, 20, 16)),
    row("bool", shapes((2, 3), 5, 4, 8), some(5, 4)),
    row("bool-heads", shapes((2, 3), 5, 4, 8), some(2, 1, 5, 4)),
    row("bool-keys", shapes((2, 3), 5, 4, 8), some(2, 1, 1, 4)),
    row("bool-large", shapes((2,), 40, 290, 8), some(40, 290)),
    row("nothing", shapes((2, 3), 7, 4, 8), empty_rows(7, 4)),
    row("float", shapes((2, 3), 5, 4, 8), lambda r: r(2, 3, 5, 4)),
    row("float-broadcast", shapes((2, 3), 5, 4, 8), lambda r: r(1, 1, 4)),
    row("float-constant", shapes((2, 3), 5, 4, 8), lambda r: r.fixed(r.rng.standard_normal((5, 4)), r.dtype)),
    row("infinite", shapes((2,), 5, 4, 8), lambda r: r.fixed([[0.0, float("-inf"), 1.0, 2.0]] * 5, r.dtype)),
    row("gqa", ((2, 6, 5, 4), (2, 2, 3, 4), (2, 2, 3, 4)), enable_gqa=True),
    row("broadcast", ((2, 3, 5, 4), (1, 3, 6, 4), (3, 6, 4))),
    row("no-queries", shapes((2,), 0, 4, 8)),
    row("no-keys", shapes((2,), 5, 0, 8)),
    row("no-batch", shapes((0, 2), 5, 4, 8)),
    Row(OP, lambda T, q, k, v: attend(T, q, k, v, is_causal=True), lambda r: tuple(r(8, 60, 12) for _ in range(3)), "half-causal",
        dtypes=("bfloat16", "float16"), rtol=2e-2, atol=2e-2),
    Row(OP, lambda T, q, k, v: attend(T, q, k, v), lambda r: tuple(r(2, 5, 8) for _ in range(3)), "half", dtypes=("bfloat16", "float16"),
        rtol=2e-2, atol=2e-2),
    Row(OP, lambda T, x: attend(T, *(t.view(2, 6, 3, 4).transpose(1, 2) for t in x.split(12, 2)), is_causal=True).transpose(1, 2).flatten(2),
        lambda r: r(2, 6, 36), "heads", layouts=False, **NEAR),
]  # fmt: skip


def raises(label, call):
    return ErrorRow(OP, lambda T: call(T), label)


ERRORS = [
    raises("two-masks", lambda T: attend(T, T.ones(2, 3, 4), T.ones(2, 3, 4), T.ones(2, 3, 4), T.ones(3, 3), is_causal=True)),
    raises("dtype", lambda T: attend(T, T.ones(2, 3, 4), T.ones(2, 3, 4).double(), T.ones(2, 3, 4))),
    raises("batch", lambda T: attend(T, T.ones(2, 3, 4), T.ones(3, 3, 4), T.ones(3, 3, 4))),
]
