"""Recurrent layers: cells, and running one over padded or packed sequences, in both directions and in layers.

A sequence is a list of steps; with packed sequences later steps hold fewer rows (the longer sequences come first).
"""

from __future__ import annotations

import functools

from .. import _native
from .._dtypes import float32, int64
from .._kernels import K
from ..autograd.autocast import casting
from ..autograd.backward import grad
from ..autograd.op import op
from ..autograd.tensor import Tensor
from ._declare import contig
from .dropout import dropout as _dropout
from .matmul import _mm, linear
from .shape import cat, stack

__all__ = ["rnn_tanh_cell", "rnn_relu_cell", "lstm_cell", "gru_cell"]


# -- one step. `gates`: W_ih x + b_ih, computed for all steps at once -----------------------------------------------------


def _tanh_step(gates, h, w_hh, b_hh, _):
    h = (gates + linear(h, w_hh, b_hh)).tanh()
    return h, h


def _relu_step(gates, h, w_hh, b_hh, _):
    h = (gates + linear(h, w_hh, b_hh)).relu()
    return h, h


def _lstm_step(gates, state, w_hh, b_hh, w_hr):
    h, c = state
    i, f, g, o = (gates + linear(h, w_hh, b_hh)).chunk(4, 1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    h = o.sigmoid() * c.tanh()
    h = h if w_hr is None else linear(h, w_hr)
    return h, (h, c)


def _gru_step(gates, h, w_hh, b_hh, _):
    x_r, x_z, x_n = gates.chunk(3, 1)
    h_r, h_z, h_n = linear(h, w_hh, b_hh).chunk(3, 1)
    r, z = (x_r + h_r).sigmoid(), (x_z + h_z).sigmoid()
    n = (x_n + r * h_n).tanh()
    h = n + z * (h - n)
    return h, h


STEPS = {"RNN_TANH": _tanh_step, "RNN_RELU": _relu_step, "LSTM": _lstm_step, "GRU": _gru_step}


def rnn_tanh_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None) -> Tensor:
    """tanh(W_ih x + b_ih + W_hh h + b_hh)."""
    return _tanh_step(linear(input, w_ih, b_ih), hx, w_hh, b_hh, None)[0]


def rnn_relu_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None) -> Tensor:
    """relu(W_ih x + b_ih + W_hh h + b_hh)."""
    return _relu_step(linear(input, w_ih, b_ih), hx, w_hh, b_hh, None)[0]


def lstm_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    """One step of an LSTM; `hx` and the result are (h, c)."""
    return _lstm_step(linear(input, w_ih, b_ih), hx, w_hh, b_hh, None)[1]


def gru_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None) -> Tensor:
    """One step of a GRU."""
    return _gru_step(linear(input, w_ih, b_ih), hx, w_hh, b_hh, None)[0]


# -- a layer in one direction ------------------------------------------------------------------------------------------------


def _map(state, fn):
    return tuple(fn(s) for s in state) if isinstance(state, tuple) else fn(state)


def _join(states):
    """States of several groups of rows as one."""
    if len(states) == 1:
        return states[0]
    if isinstance(states[0], tuple):
        return tuple(cat(parts, 0) for parts in zip(*states, strict=True))
    return cat(states, 0)


def _rows(state):
    return (state[0] if isinstance(state, tuple) else state).size(0)


def _forward(step, gates, state, weights):
    outputs, finished = [], []
    for x in gates:
        n = x.size(0)
        if n < _rows(state):  # the shortest sequences have ended
            finished.append(_map(state, lambda s, n=n: s[n:]))
            state = _map(state, lambda s, n=n: s[:n])
        out, state = step(x, state, *weights)
        outputs.append(out)
    return outputs, _join([state, *reversed(finished)])


def _backward(step, gates, first, weights):
    state = _map(first, lambda s: s[: gates[-1].size(0)])
    outputs = []
    for x in reversed(gates):
        n, m = x.size(0), _rows(state)
        if n > m:  # shorter sequences begin here
            state = _join([state, _map(first, lambda s, n=n, m=m: s[m:n])])
        out, state = step(x, state, *weights)
        outputs.append(out)
    return outputs[::-1], state


def _layer_expression(mode, data, sizes, state, weights, *, reverse):
    """The layer as expressions, step by step: outputs and final state."""
    w_ih, w_hh, b_ih, b_hh, w_hr = weights
    gates = linear(data, w_ih, b_ih)
    steps = list(gates.unbind(0) if sizes is None else gates.split(sizes.tolist(), 0))
    outputs, last = (_backward if reverse else _forward)(STEPS[mode], steps, state, (w_hh, b_hh, w_hr))
    return (stack if sizes is None else cat)(outputs, 0), last


# -- the same in one kernel ----------------------------------------------------------------------------------------------------
#
# Note [Recurrent derivatives]: the fused backward kernel gives the gates' gradients of all steps, and products over all steps
# the weights'. While a graph of the gradient is recorded, the rule differentiates the expressions above instead.


def _differentiate(mode, g, inputs, sizes, reverse, needs):
    """The gradients of the expressions, as expressions. `inputs`: x, h, c, w_ih, w_hh, b_ih, b_hh."""
    x, h, c, *weights = (t if t is None or not need else t.view(t.shape) for t, need in zip(inputs, needs, strict=True))
    out, last = _layer_expression(mode, x, sizes, h if c is None else (h, c), (*weights, None), reverse=reverse)
    results = [(r, v) for r, v in zip((out, *(last if c is not None else (last,))), g, strict=True) if v is not None]
    wanted = [t for t, need in zip((x, h, c, *weights), needs, strict=True) if need]
    found = iter(grad([r for r, _ in results], wanted, [v for _, v in results], create_graph=True, allow_unused=True))
    return tuple(next(found) if need else None for need in needs)


def _from_gates(dx, dw, x, prev, w_ih, needs):
    """The gradients of x, W_ih, W_hh and the biases from those of W_ih x + b_ih and W_hh h + b_hh, over all steps."""
    need_x, _, _, need_ih, need_hh, need_b_ih, need_b_hh = needs
    db = dx.sum(0) if need_b_ih or (need_b_hh and dw is dx) else None
    return (_mm(dx, w_ih).view(x.shape) if need_x else None,
            _mm(dx.t(), x.reshape(-1, x.size(-1))) if need_ih else None, _mm(dw.t(), prev) if need_hh else None,
            db if need_b_ih else None, (db if dw is dx else dw.sum(0)) if need_b_hh else None)  # fmt: skip


def _make_layer(mode, grad_name):
    name, states = mode.lower(), 2 if mode == "LSTM" else 1
    run_into, run_backward = getattr(K, f"{name}_into"), getattr(K, f"{name}_backward")

    # Note [Statistics as arguments] in normalization.py: gates, extra and prev are filled for the backward pass.
    @op(name=name, grad_name=grad_name)
    def layer(x, h, c, w_ih, w_hh, b_ih, b_hh, sizes, gates, extra, prev, /, *, reverse):
        K.linear_into(gates, x, w_ih, b_ih)
        out, *last = (_native.empty(s, x.dtype.code) for s in ((*x.shape[:-1], h.shape[1]), h.shape, (0,) if c is None else c.shape))
        run_into((out, *last, gates, extra, prev), gates, contig(h), None if c is None else contig(c), w_hh, b_hh, sizes, reverse)
        return out, *last[:states]

    @op(name=f"{name}_backward", differentiable=False)
    def backward(g, gh, gc, h, c, w_hh, gates, extra, prev, sizes, /, *, reverse):
        dense = (None if a is None else contig(a) for a in (g, gh, gc, h, c))
        dx, dw, dh, dc = run_backward(*dense, w_hh, gates, extra, prev, sizes, reverse)
        return dx, dw if dw.numel else dx, dh, dc

    @layer.vjp
    def _(g, x, h, c, w_ih, w_hh, b_ih, b_hh, sizes, gates, extra, prev, *, reverse, needs):
        if _native.is_grad_enabled():
            found = _differentiate(mode, g, (x, h, c, w_ih, w_hh, b_ih, b_hh), sizes, reverse, needs[:7])
            return (*found, None, None, None, None)
        dx, dw, dh, dc = backward(*g, *(None,) * (3 - len(g)), h, c, w_hh, gates, extra, prev, sizes, reverse=reverse)
        dx, d_ih, d_hh, db_ih, db_hh = _from_gates(dx, dx if mode != "GRU" else dw, x, prev, w_ih, needs[:7])
        return dx, dh, dc if states == 2 else None, d_ih, d_hh, db_ih, db_hh, None, None, None, None

    return layer


_LAYERS = {"LSTM": _make_layer("LSTM", "MkldnnRnnLayerBackward0"), "GRU": _make_layer("GRU", "StackBackward0"),
           "RNN_TANH": _make_layer("RNN_TANH", "StackBackward0"), "RNN_RELU": _make_layer("RNN_RELU", "StackBackward0")}  # fmt: skip


def _layer(mode, data, sizes, state, weights, *, reverse):
    """The layer in one kernel: outputs and final state."""
    w_ih, w_hh, b_ih, b_hh, _ = weights
    h, c = state if mode == "LSTM" else (state, None)
    rows, code = data._a.numel // data.size(-1), data._a.dtype.code
    gates, extra, prev = (
        _native.wrap(_native.empty((rows, n), code))
        for n in (w_hh.size(0), h.size(1) if mode in ("LSTM", "GRU") else 0, h.size(1))
    )
    # The kernels read rows one after the other, and sizes as int64.
    data, w_ih, b_ih, b_hh, sizes = (
        t if t is None or t._a.contiguous else t.contiguous()
        for t in (data, w_ih, b_ih, b_hh, None if sizes is None else sizes.to(int64))
    )
    out, *last = _LAYERS[mode](data, h, c, w_ih, w_hh, b_ih, b_hh, sizes, gates, extra, prev, reverse=reverse)
    return out, tuple(last) if mode == "LSTM" else last[0]


# PyTorch's GRU on a CPU returns float32 inside of autocast, and its other layers what the context says.
@functools.partial(casting, choose=lambda args, kwargs, dtype: float32 if args[0] == "GRU" else dtype)
def run_layers(mode, data, sizes, state, weights, *, layers, bidirectional, dropout, training):
    """All layers over `data`: (T, N, features), or packed (rows, features) with `sizes`, the rows of each step.

    `state`: one per layer and direction; `weights`: (w_ih, w_hh, b_ih, b_hh, w_hr) likewise, None where absent.
    Returns the last layer's outputs, like `data`, and the final states.
    """
    directions, final = 2 if bidirectional else 1, []
    for layer in range(layers):
        found = []
        for direction in range(directions):
            k = layer * directions + direction
            run = _layer if weights[k][4] is None else _layer_expression  # projected states are expressions
            out, last = run(mode, data, sizes, state[k], weights[k], reverse=direction == 1)
            found.append(out)
            final.append(last)
        data = found[0] if directions == 1 else cat(found, -1)
        if dropout and training and layer < layers - 1:
            data = _dropout(data, dropout, True)
    return data, final
