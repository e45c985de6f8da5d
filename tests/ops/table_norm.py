"""Normalisation: batch, layer, group, instance, RMS and local response, with values, gradients and running statistics."""

from __future__ import annotations

import torch

from rushlight.ops import norms

from .harness import ErrorRow, Row


def F(T):
    """The namespace of the functional forms, in either library."""
    return T.nn.functional


# float32 statistics over a few hundred numbers, squared and rescaled.
NEAR = dict(rtol=1e-4, atol=5e-5)


def affine(r, *shape):
    return r(*shape), r(*shape)


def batch(label, x, **kw):
    c = x[1]
    return [
        Row("batch_norm", lambda T, x, w, b: F(T).batch_norm(x, None, None, w, b, training=True, **kw),
            lambda r: (r(*x), *affine(r, c)), label, **NEAR),
        Row("batch_norm", lambda T, x: F(T).batch_norm(x, None, None, training=True, **kw), lambda r: r(*x), label + "-plain", **NEAR),
        Row("batch_norm_eval", lambda T, x, w, b, m, v: F(T).batch_norm(x, m.detach(), v.detach(), w, b, **kw),
            lambda r: (r(*x), *affine(r, c), r(c), r.positive(c)), label, **NEAR),
        Row("batch_norm_eval", lambda T, x, m, v: F(T).batch_norm(x, m.detach(), v.detach(), **kw),
            lambda r: (r(*x), r(c), r.positive(c)), label + "-plain", **NEAR),
    ]  # fmt: skip


def running(T, x, momentum):
    m, v = T.zeros(x.shape[1], dtype=x.dtype), T.ones(x.shape[1], dtype=x.dtype)
    y = F(T).batch_norm(x, m, v, training=True, momentum=momentum)
    F(T).batch_norm(x * 2 + 1, m, v, training=True, momentum=momentum)
    return y, m, v


def running_instance(T, x):
    m, v = T.zeros(x.shape[1], dtype=x.dtype), T.ones(x.shape[1], dtype=x.dtype)
    y = F(T).instance_norm(x, m, v)
    return y, m, v, F(T).instance_norm(x, m, v, use_input_stats=False)


def rows(kind, label, x, *args, shape=None, **kw):
    name = f"{kind}_norm"
    shape = (x[1],) if shape is None else shape
    op = "batch_norm" if kind == "instance" else name
    if kind == "rms":
        full = lambda T, x, w: F(T).rms_norm(x, *args, w, **kw)  # noqa: E731
        draw = lambda r: (r(*x), r(*shape))  # noqa: E731
    else:
        full = lambda T, x, w, b: getattr(F(T), name)(x, *args, weight=w, bias=b, **kw)  # noqa: E731
        draw = lambda r: (r(*x), *affine(r, *shape))  # noqa: E731
    return [Row(op, full, draw, f"{kind}-{label}", **NEAR),
            Row(op, lambda T, x: getattr(F(T), name)(x, *args, **kw), lambda r: r(*x), f"{kind}-{label}-plain", **NEAR)]  # fmt: skip


HALF = dict(dtypes=("bfloat16", "float16"), rtol=2e-2, atol=2e-2)


def weight_norm(T, v, g, dim):
    """g v / |v|, a private function in both."""
    return (torch if T is torch else norms)._weight_norm(v, g, dim)


def weight_rows():
    sizes = {(3, 4): {0: (3, 1), 1: (1, 4), -1: ()}, (2, 3, 4): {0: (2, 1, 1), 1: (1, 3, 1), 2: (1, 1, 4), -1: ()}, (3,): {0: (3,)}}
    return [Row("weight_norm" if dim in (0, len(shape) - 1) else "vector_norm", lambda T, v, g, d=dim: weight_norm(T, v, g, d),
                lambda r, s=shape, k=kept: (r(*s), r(*k)), f"weight_norm_{shape}_{dim}", second=False, **NEAR)
            for shape, dims in sizes.items() for dim, kept in dims.items()]  # fmt: skip


ROWS = [
    *weight_rows(),
    *[Row("vector_norm", lambda T, x, d=d: T.norm_except_dim(x, 2, d), lambda r: r(2, 3, 4), f"except_{d}", **NEAR)
      for d in (-1, 0, 1, 2)],
    Row("vector_norm", lambda T, x: T.norm_except_dim(x, pow=3), lambda r: r(2, 3), "except_power", **NEAR),
    *batch("2d", (5, 7)),
    *batch("2d-wide", (9, 131)),
    *batch("3d", (4, 5, 9)),
    *batch("4d", (3, 5, 6, 7), eps=1e-3),
    *batch("4d-large", (4, 3, 50, 49)),
    *batch("5d", (2, 3, 2, 3, 4)),
    *batch("empty", (0, 3, 4)),
    *batch("columns", (150, 70)), *batch("small-planes", (5, 21, 3, 3)), *batch("long-runs", (2, 2, 2500)),
    Row("batch_norm", lambda T, x: running(T, x, 0.1), lambda r: r(4, 3, 5), "running", **NEAR),
    Row("batch_norm", lambda T, x: running(T, x, 1.0), lambda r: r(4, 3), "running-1", **NEAR),
    Row("batch_norm", lambda T, x, w, b: F(T).batch_norm(x, None, None, w, b, training=True), lambda r: (r(4, 3, 5), r(3), r(3)),
        "half", **HALF),
    *rows("layer", "1", (4, 37), (37,), shape=(37,)),
    *rows("layer", "2", (2, 3, 4, 9), (4, 9), shape=(4, 9), eps=1e-3),
    *rows("layer", "large", (70, 3000), (3000,), shape=(3000,), ),
    *rows("layer", "empty", (0, 3), (3,), shape=(3,)),
    Row("layer_norm", lambda T, x, w: F(T).layer_norm(x, (9,), w), lambda r: (r(4, 9), r(9)), "no-bias", **NEAR),
    Row("layer_norm", lambda T, x, w, b: F(T).layer_norm(x, (9,), w, b), lambda r: (r(4, 9), r(9), r(9)), "half", **HALF),
    *rows("rms", "1", (4, 37), (37,), shape=(37,)),
    *rows("rms", "2", (2, 3, 4, 9), (4, 9), shape=(4, 9), eps=1e-3),
    *rows("group", "2", (3, 6, 5, 7), 2),
    *rows("group", "all", (3, 6, 5), 1),
    *rows("group", "each", (3, 6, 50), 6),
    *rows("group", "flat", (3, 6), 2),
    *rows("group", "large", (20, 32, 14, 14), 8, ),
    *rows("instance", "3d", (3, 4, 9)),
    *rows("instance", "4d", (3, 4, 5, 6)),
    Row("batch_norm", running_instance, lambda r: r(3, 4, 5, 6), "instance-running", **NEAR),
    *(Row("avg_pool3d" if len(s) > 3 else "avg_pool2d", lambda T, x, n=n: F(T).local_response_norm(x, n, alpha=0.5, beta=0.6, k=2.0),
          lambda r, s=s: r(*s), f"lrn-{len(s)}d-{n}", layouts=len(s) < 5) for s in ((2, 7, 5), (2, 7, 4, 5), (2, 4, 3, 2, 3)) for n in (1, 2, 5)),
]  # fmt: skip


def raises(op, label, call):
    return ErrorRow(op, lambda T: call(F(T), T), label)


ERRORS = [
    ErrorRow("weight_norm", lambda T: T.norm_except_dim(T.zeros(3, 4), 2, 2), "dim"),
    ErrorRow("weight_norm", lambda T: T.norm_except_dim(T.zeros(3, 4).long()), "int"),
    raises("batch_norm", "one-value", lambda f, T: f.batch_norm(T.ones(1, 3), None, None, training=True)),
    raises("batch_norm", "one-value-4d", lambda f, T: f.batch_norm(T.ones(1, 3, 1, 1), None, None, training=True)),
    raises("batch_norm", "rank", lambda f, T: f.batch_norm(T.ones(3), None, None, training=True)),
    raises("batch_norm", "eval", lambda f, T: f.batch_norm(T.ones(2, 3), None, None)),
    raises("batch_norm", "mean", lambda f, T: f.batch_norm(T.ones(2, 3), T.zeros(4), T.ones(4))),
    raises("batch_norm", "var", lambda f, T: f.batch_norm(T.ones(2, 3), T.zeros(3), T.ones(4))),
    raises("batch_norm", "weight", lambda f, T: f.batch_norm(T.ones(2, 3), T.zeros(3), T.ones(3), T.ones(4))),
    raises("batch_norm", "bias", lambda f, T: f.batch_norm(T.ones(2, 3), T.zeros(3), T.ones(3), T.ones(3), T.ones(4))),
    raises("batch_norm", "dtype", lambda f, T: f.batch_norm(T.ones(2, 3).double(), T.zeros(3), T.ones(3))),
    raises("batch_norm", "weight-dtype", lambda f, T: f.batch_norm(T.ones(2, 3), T.zeros(3), T.ones(3), T.ones(3).double())),
    raises("batch_norm", "int", lambda f, T: f.batch_norm(T.ones(2, 3).long(), T.zeros(3), T.ones(3))),
    raises("batch_norm", "half-running", lambda f, T: f.batch_norm(T.ones(2, 3), T.zeros(3), None, training=True)),
    raises("batch_norm", "eps", lambda f, T: f.batch_norm(T.ones(2, 3), None, None, training=True, eps=0.0)),
    raises("layer_norm", "shape", lambda f, T: f.layer_norm(T.ones(2, 3), [4])),
    raises("layer_norm", "weight", lambda f, T: f.layer_norm(T.ones(2, 3), [3], T.ones(4))),
    raises("layer_norm", "bias", lambda f, T: f.layer_norm(T.ones(2, 3), [3], T.ones(3), T.ones(4))),
    raises("layer_norm", "empty", lambda f, T: f.layer_norm(T.ones(2, 3), [])),
    raises("layer_norm", "number", lambda f, T: f.layer_norm(T.ones(2, 3), 3)),
    raises("layer_norm", "int", lambda f, T: f.layer_norm(T.ones(2, 3).long(), [3])),
    raises("layer_norm", "dtype", lambda f, T: f.layer_norm(T.ones(2, 3), [3], T.ones(3).double())),
    raises("rms_norm", "shape", lambda f, T: f.rms_norm(T.ones(2, 3), [4])),
    raises("rms_norm", "weight", lambda f, T: f.rms_norm(T.ones(2, 3), [3], T.ones(4))),
    raises("group_norm", "divisible", lambda f, T: f.group_norm(T.ones(2, 3), 2)),
    raises("group_norm", "weight", lambda f, T: f.group_norm(T.ones(2, 4), 2, T.ones(3))),
    # PyTorch shows the weight's shape as the bias's.
    ErrorRow("group_norm", lambda T: F(T).group_norm(T.ones(2, 4), 2, T.ones(4), T.ones(3)), "bias",
             match="Expected bias to be a vector of size equal to the number of channels in input, but got bias of shape [3]"),
    raises("group_norm", "one-value", lambda f, T: f.group_norm(T.ones(1, 4), 4)),
    raises("group_norm", "rank", lambda f, T: f.group_norm(T.ones(4), 2)),
    raises("batch_norm", "instance-one", lambda f, T: f.instance_norm(T.ones(2, 3, 1))),
    raises("batch_norm", "instance-stats", lambda f, T: f.instance_norm(T.ones(2, 3, 4), use_input_stats=False)),
    raises("batch_norm", "instance-weight", lambda f, T: f.instance_norm(T.ones(2, 3, 4), weight=T.ones(4))),
    raises("avg_pool3d", "lrn-rank", lambda f, T: f.local_response_norm(T.ones(2, 3), 2)),
]
