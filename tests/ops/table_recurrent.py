"""Recurrent layers as functions of input, states and weights: outputs, final states, first and second gradients."""

from __future__ import annotations

from .harness import Row

KINDS = {"lstm": ("LSTM", {}, 4), "gru": ("GRU", {}, 3), "rnn_tanh": ("RNN", {}, 1), "rnn_relu": ("RNN", {"nonlinearity": "relu"}, 1)}
NEAR = dict(rtol=1e-4, atol=5e-5)


def run(T, kind, x, state, weights, sizes=None, **options):
    """The layer with these tensors for weights; `sizes`: rows of each step of a packed batch."""
    name, more, gates = KINDS[kind]
    layer = getattr(T.nn, name)(x.shape[-1], weights[1].shape[0] // gates, bias=len(weights) > 2, dtype=x.dtype, **more, **options)
    for key, w in zip([k for k, _ in layer.named_parameters()], weights, strict=True):
        delattr(layer, key)
        setattr(layer, key, w)
    if sizes is not None:
        x = T.nn.utils.rnn.PackedSequence(x, sizes.contiguous())
    out, last = layer(x, tuple(state) if len(state) > 1 else state[0])
    return out if sizes is None else out.data, last


def row(kind, label, x, width, *, rows=None, sizes=None, bias=True, dtypes=("float32", "float64"), **options):
    """`x`: the input's shape; `rows`: the batch's size, if the shape does not say it."""
    gates, directions = KINDS[kind][2] * width, 2 if options.get("bidirectional") else 1
    batch = [] if len(x) == 2 and rows is None else [rows or x[0 if options.get("batch_first") else 1]]
    weights = [(gates, x[-1]), (gates, width), *([(gates,), (gates,)] if bias else [])] * directions

    def inputs(r):
        state = [r(directions, *batch, width) for _ in range(2 if kind == "lstm" else 1)]
        packed = None if sizes is None else r.fixed(sizes)
        return r(*x), state, [r(*w) for w in weights], packed

    def fn(T, x, state, weights, sizes):
        # Small weights keep the activations away from their flat ends.
        return run(T, kind, x, state, [w * 0.3 for w in weights], sizes, **options)

    return Row(kind, fn, inputs, label, dtypes=dtypes, **NEAR)


ROWS = [r for kind in KINDS for r in (
    row(kind, "padded", (4, 3, 5), 6),
    row(kind, "no-bias", (3, 2, 5), 4, bias=False),
    row(kind, "one-sequence", (4, 5), 3),
    row(kind, "one-step", (1, 3, 5), 3),
    row(kind, "both-directions", (3, 2, 4), 5, bidirectional=True, batch_first=True),
    row(kind, "packed", (11, 4), 5, rows=4, sizes=[4, 3, 3, 1]),
    row(kind, "packed-both-directions", (9, 4), 3, rows=3, sizes=[3, 2, 2, 1, 1], bidirectional=True),
    row(kind, "many-rows", (3, 61, 7), 19),
    row(kind, "wide", (2, 9, 16), 45),
)]  # fmt: skip
