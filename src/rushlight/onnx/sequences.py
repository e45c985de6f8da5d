"""Recurrent layers in ONNX: one node per layer and direction, for any length."""

from __future__ import annotations

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
