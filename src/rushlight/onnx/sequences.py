"""Recurrent layers in ONNX: one node per layer and direction, for any length. Attention: products and a softmax."""

from __future__ import annotations

import math

from .graph import Ref
from .table import lower

# ONNX's order of the gates, by their number here.
_ORDER = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}


def _gates(g, x, kind, size):
    """A weight or bias with its gates in ONNX's order."""
    if len(_ORDER[kind]) == 1:
        return x
    parts = [g.node("Slice", x, g.const([k * size]), g.const([(k + 1) * size]), g.const([0])) for k in _ORDER[kind]]
    return g.node("Concat", *parts, axis=0)


def _recurrent(kind, **attrs):
    def run(g, out, x, h, c, w_ih, w_hh, b_ih, b_hh, sizes, *, reverse):
        if sizes is not None:
            raise g.error("packed sequences cannot be exported")
        size = w_hh.shape[1]

        def first(v):  # ONNX's leading dimension counts directions
            return g.node("Unsqueeze", v, g.const([0]))

        w_ih, w_hh = (first(_gates(g, w, kind, size)) for w in (w_ih, w_hh))
        bias = ""
        if b_ih is not None:
            bias = first(g.node("Concat", *(_gates(g, b, kind, size) for b in (b_ih, b_hh)), axis=0))
        states = [first(s) for s in (h, c) if s is not None]
        names = g.node(kind, x, w_ih, w_hh, bias, "", *states, outputs=1 + len(states), hidden_size=size,
                       direction="reverse" if reverse else "forward", **attrs)  # fmt: skip
        return [g.node("Squeeze", name, g.const([axis])) for name, axis in zip(names, (1, 0, 0), strict=False)]

    return run


lower("lstm")(_recurrent("LSTM"))
lower("gru")(_recurrent("GRU", linear_before_reset=1))
lower("rnn_tanh")(_recurrent("RNN", activations=["Tanh"]))
lower("rnn_relu")(_recurrent("RNN", activations=["Relu"]))


@lower("scaled_dot_product_attention")
def _attention(g, out, q, k, v, mask, is_causal, *, causal, scale):
    y, order = out[0], [*range(k.ndim - 2), k.ndim - 1, k.ndim - 2]
    scores = g.node("MatMul", q, g.node("Transpose", k, perm=order))
    scores = g.node("Mul", scores, g.const(scale, y.dtype))
    allowed = g.node("Cast", mask, to=g.onnx.TensorProto.BOOL) if mask is not None and mask.dtype.name == "bool" else None
    if causal:
        ones = g.expand(Ref(g.const([[1.0]], y.dtype), (1, 1), y.dtype), (1, 1), (q.dims[-2], k.dims[-2]))
        allowed = g.node("Cast", g.node("Trilu", ones, upper=0), to=g.onnx.TensorProto.BOOL)
    if allowed is not None:
        scores = g.node("Where", allowed, scores, g.const(-math.inf, y.dtype))
    elif mask is not None:
        scores = g.node("Add", scores, mask)
    p = g.node("Softmax", scores, axis=-1)
    if mask is not None:  # rows that may attend to nothing
        p = g.node("Where", g.node("IsNaN", p), g.const(0.0, y.dtype), p)
    return g.node("MatMul", p, v), None
