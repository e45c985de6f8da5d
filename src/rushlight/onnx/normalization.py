"""Normalisation of values and of weights in ONNX."""

from __future__ import annotations

import math

import numpy as np

from .graph import Dynamic
from .table import lower

__all__: list[str] = []


def _vector(g, x, n, value, dtype):
    return x.name if x is not None else g.const(np.full(n, value), dtype)


@lower("batch_norm_eval")
def _batch_norm_eval(g, out, x, w, b, mean, rstd):
    n = x.shape[1]
    # The op takes the reciprocal deviation. The state has the variance, which keeps its name in the file.
    variance, epsilon = g.running_variance(mean.name, rstd.name) or (g.node("Reciprocal", g.node("Mul", rstd, rstd)), 0.0)
    return g.node("BatchNormalization", x, _vector(g, w, n, 1, out.dtype), _vector(g, b, n, 0, out.dtype), mean, variance,
                  epsilon=epsilon)  # fmt: skip


@lower("batch_norm")
def _batch_norm(g, out, x, w, b, *, eps):
    axes = [0, *range(2, x.ndim)]
    c = g.node("Sub", x, g.reduce("ReduceMean", x, axes, True))
    variance = g.reduce("ReduceMean", g.node("Mul", c, c), axes, True)
    y = g.node("Div", c, g.node("Sqrt", g.node("Add", variance, g.const(eps, out.dtype))))
    shape = g.const([1, -1] + [1] * (x.ndim - 2))
    y = y if w is None else g.node("Mul", y, g.node("Reshape", w, shape))
    return y if b is None else g.node("Add", y, g.node("Reshape", b, shape))


def _row_axes(g, x, w, n):
    rank = w.ndim if w is not None else next(k for k in range(1, x.ndim + 1) if math.prod(x.shape[-k:]) == n)
    if any(isinstance(d, Dynamic) for d in x.dims[-rank:]):
        raise g.error("a normalised size depends on the input")
    return list(range(x.ndim - rank, x.ndim))


@lower("layer_norm")
def _layer_norm(g, out, x, w, b, *, form):
    axes = _row_axes(g, x, w, form[1])
    scale = _vector(g, w, [x.shape[d] for d in axes], 1, out.dtype)
    return g.node("LayerNormalization", x, scale, "" if b is None else b, axis=axes[0], epsilon=form[4])


@lower("rms_norm")
def _rms_norm(g, out, x, w, b, *, form):
    axes = _row_axes(g, x, w, form[1])
    mean = g.reduce("ReduceMean", g.node("Mul", x, x), axes, True)
    y = g.node("Div", x, g.node("Sqrt", g.node("Add", mean, g.const(form[4], out.dtype))))
    return y if w is None else g.node("Mul", y, w)


@lower("group_norm")
def _group_norm(g, out, x, w, b, *, form):
    groups, epsilon = form[0], form[4]
    y = g.node("Reshape", x, g.const([0, groups, -1]))
    ones, zeros = g.const(np.ones(groups), out.dtype), g.const(np.zeros(groups), out.dtype)
    y = g.reshape(g.node("InstanceNormalization", y, ones, zeros, epsilon=epsilon), x.dims, x.dims[:2])
    shape = (x.dims[1],) + (1,) * (x.ndim - 2)
    y = y if w is None else g.node("Mul", y, g.reshape(w, shape))
    return y if b is None else g.node("Add", y, g.reshape(b, shape))


@lower("weight_norm")
def _weight_norm(g, out, v, w, *, dim):
    norms = g.reduce("ReduceL2", v, [d for d in range(v.ndim) if d != dim], True) if v.ndim > 1 else g.node("Abs", v)
    return g.node("Mul", v, g.node("Div", w, norms))
