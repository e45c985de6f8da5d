"""Recurrent layers: cells, and running one over padded or packed sequences, in both directions and in layers.

A sequence is a list of steps; with packed sequences later steps hold fewer rows (the longer sequences come first).
"""

from __future__ import annotations

from ..autograd.tensor import Tensor
from .dropout import dropout as _dropout
from .matmul import linear
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


def run_layers(mode, data, sizes, state, weights, *, layers, bidirectional, dropout, training):
    """All layers over `data`: (T, N, features), or packed (rows, features) with `sizes`, the rows of each step.

    `state`: one per layer and direction; `weights`: (w_ih, w_hh, b_ih, b_hh, w_hr) likewise, None where absent.
    Returns the last layer's outputs, like `data`, and the final states.
    """
    step, directions, final = STEPS[mode], 2 if bidirectional else 1, []
    for layer in range(layers):
        found = []
        for direction in range(directions):
            k = layer * directions + direction
            w_ih, w_hh, b_ih, b_hh, w_hr = weights[k]
            gates = linear(data, w_ih, b_ih)
            steps = list(gates.unbind(0) if sizes is None else gates.split(sizes, 0))
            run = _backward if direction else _forward
            outputs, last = run(step, steps, state[k], (w_hh, b_hh, w_hr))
            found.append(stack(outputs, 0) if sizes is None else cat(outputs, 0))
            final.append(last)
        data = found[0] if directions == 1 else cat(found, -1)
        if dropout and training and layer < layers - 1:
            data = _dropout(data, dropout, True)
    return data, final
