"""Recurrent layers and cells."""

from __future__ import annotations

import math
import numbers
import warnings

from ...ops.creation import empty, zeros
from ...ops.recurrent import gru_cell, lstm_cell, rnn_relu_cell, rnn_tanh_cell, run_layers
from ...ops.shape import stack
from .. import init
from ..parameter import Parameter
from ..utils.rnn import PackedSequence
from .module import Module

__all__ = ["RNNBase", "RNN", "LSTM", "GRU", "RNNCellBase", "RNNCell", "LSTMCell", "GRUCell"]

_GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


def _check_sizes(input_size, hidden_size, num_layers, bias, batch_first, dropout, proj_size):
    if not isinstance(dropout, numbers.Number) or not 0 <= dropout <= 1 or isinstance(dropout, bool):
        raise ValueError("dropout should be a number in range [0, 1] representing the probability of an element being zeroed")
    if dropout > 0 and num_layers == 1:
        warnings.warn(
            "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects num_layers greater "
            f"than 1, but got dropout={dropout} and num_layers={num_layers}",
            stacklevel=4,
        )
    for name, value in (("bias", bias), ("batch_first", batch_first)):
        if not isinstance(value, bool):
            raise TypeError(f"{name} should be of type bool, got: {type(value).__name__}")
    for name, value in (("input_size", input_size), ("hidden_size", hidden_size)):
        if not isinstance(value, int):
            raise TypeError(f"{name} should be of type int, got: {type(value).__name__}")
        if value <= 0:
            raise ValueError(f"{name} must be greater than zero")
    if num_layers <= 0:
        raise ValueError("num_layers must be greater than zero")
    if proj_size < 0:
        raise ValueError("proj_size should be a positive integer or zero to disable projections")
    if proj_size >= hidden_size:
        raise ValueError("proj_size has to be smaller than hidden_size")


class RNNBase(Module):
    """What RNN, LSTM and GRU share: weights per layer and direction, and running them.

    Shape: input (T, N, input_size), (N, T, input_size) with `batch_first`, or (T, input_size); states (layers * directions,
    N, hidden_size). Weights start uniform on [-1/sqrt(hidden_size), 1/sqrt(hidden_size)].
    """

    def __init__(self, mode, input_size, hidden_size, num_layers=1, bias=True, batch_first=False, dropout=0.0,
                 bidirectional=False, proj_size=0, device=None, dtype=None):  # fmt: skip
        super().__init__()
        _check_sizes(input_size, hidden_size, num_layers, bias, batch_first, dropout, proj_size)
        if mode not in _GATES:
            raise ValueError("Unrecognized RNN mode: " + mode)
        self.mode, self.input_size, self.hidden_size, self.num_layers = mode, input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size
        self._all_weights = []
        rows, width = _GATES[mode] * hidden_size, proj_size or hidden_size
        for layer in range(num_layers):
            fan_in = input_size if layer == 0 else width * self._directions
            for suffix in ("", "_reverse")[: self._directions]:
                shapes = {"weight_ih": (rows, fan_in), "weight_hh": (rows, width)}
                if bias:
                    shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
                if proj_size:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                names = []
                for kind, shape in shapes.items():
                    names.append(f"{kind}_l{layer}{suffix}")
                    setattr(self, names[-1], Parameter(empty(shape, device=device, dtype=dtype)))
                self._all_weights.append(names)
        self.reset_parameters()

    @property
    def _directions(self):
        return 2 if self.bidirectional else 1

    def reset_parameters(self):
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def flatten_parameters(self):
        """Nothing: the weights need not lie side by side here."""

    @property
    def all_weights(self):
        """The weights of each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    @property
    def _flat_weights(self):
        return [w for group in self.all_weights for w in group]

    def _weights(self):
        groups = []
        for names in self._all_weights:
            found = {name.split("_l")[0]: getattr(self, name) for name in names}
            groups.append([found.get(k) for k in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")])
        return groups

    def check_input(self, input, batch_sizes):
        weight = getattr(self, self._all_weights[0][0])
        if input.dtype is not weight.dtype:
            raise ValueError(
                f"RNN input dtype ({input.dtype}) does not match weight dtype ({weight.dtype}). Convert input: "
                f"input.to({weight.dtype}), or convert model: model.to({input.dtype})"
            )
        dims = 3 if batch_sizes is None else 2
        if input.dim() != dims:
            raise RuntimeError(f"input must have {dims} dimensions, got {input.dim()}")
        if input.size(-1) != self.input_size:
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {input.size(-1)}"
            )

    def check_hidden_size(self, hx, expected, msg="Expected hidden size {}, got {}"):
        if tuple(hx.size()) != expected:
            raise RuntimeError(msg.format(expected, list(hx.size())))

    def _sizes(self, batch):
        """The shapes of the states: (h,), or (h, c) for an LSTM."""
        n = self.num_layers * self._directions
        return ((n, batch, self.proj_size or self.hidden_size),)

    def _expected(self, k):
        return "Expected hidden size {}, got {}"

    def _unbatched(self, states):
        for s in states:
            if s.dim() != 2:
                raise RuntimeError(f"For unbatched 2-D input, hx should also be 2-D but got {s.dim()}-D tensor")

    def _batched(self, states):
        for s in states:
            if s.dim() != 3:
                raise RuntimeError(f"For batched 3-D input, hx should also be 3-D but got {s.dim()}-D tensor")

    def _prepare(self, input, states):
        """(data, batch sizes, sorted order, whether there was no batch dimension, states)."""
        if isinstance(input, PackedSequence):
            data, sizes, order, _ = input
            states = states if states is None or order is None else [s.index_select(1, order) for s in states]
            return data, sizes, False, states
        if input.dim() not in (2, 3):
            extra = " tensor" if self.mode.startswith("RNN") else ""
            name = type(self).__name__
            raise ValueError(f"{name}: Expected input to be 2D or 3D, got {input.dim()}D{extra} instead")
        single = input.dim() == 2
        if states is not None:
            (self._unbatched if single else self._batched)(states)
        if single:
            input = input.unsqueeze(0 if self.batch_first else 1)
            states = None if states is None else [s.unsqueeze(1) for s in states]
        return input, None, single, states

    def _run(self, input, states):
        data, sizes, single, states = self._prepare(input, states)
        batch = int(sizes[0]) if sizes is not None else data.size(0 if self.batch_first else 1)
        shapes = self._sizes(batch)
        if states is None:
            states = [zeros(shape, dtype=data.dtype) for shape in shapes]
        self.check_input(data, sizes)
        for k, (s, shape) in enumerate(zip(states, shapes, strict=True)):
            self.check_hidden_size(s, shape, self._expected(k))
        if sizes is None and self.batch_first:
            data = data.transpose(0, 1)
        starts = list(zip(*(s.unbind(0) for s in states), strict=True)) if len(states) > 1 else list(states[0].unbind(0))
        out, final = run_layers(self.mode, data, sizes, starts, self._weights(),
                                layers=self.num_layers, bidirectional=self.bidirectional, dropout=self.dropout,
                                training=self.training)  # fmt: skip
        final = [stack(parts, 0) for parts in zip(*final, strict=True)] if len(states) > 1 else [stack(final, 0)]
        if sizes is not None:
            if input.unsorted_indices is not None:
                final = [s.index_select(1, input.unsorted_indices) for s in final]
            return PackedSequence(out, sizes, input.sorted_indices, input.unsorted_indices), final
        if self.batch_first:
            out = out.transpose(0, 1)
        if single:
            out, final = out.squeeze(0 if self.batch_first else 1), [s.squeeze(1) for s in final]
        return out, final

    def extra_repr(self):
        parts = [f"{self.input_size}, {self.hidden_size}"]
        for name, default in (("proj_size", 0), ("num_layers", 1), ("bias", True), ("batch_first", False), ("dropout", 0),
                              ("bidirectional", False)):  # fmt: skip
            if getattr(self, name) != default:
                parts.append(f"{name}={getattr(self, name)}")
        return ", ".join(parts)


class _OneState(RNNBase):
    def forward(self, input, hx=None):
        out, final = self._run(input, None if hx is None else [hx])
        return out, final[0]


class RNN(_OneState):
    """h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh), or relu.

    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.RNN.html
    """

    def __init__(self, *args, **kwargs):
        if "proj_size" in kwargs:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        if len(args) > 3:
            nonlinearity, args = args[3], (*args[:3], *args[4:])
        else:
            nonlinearity = kwargs.pop("nonlinearity", "tanh")
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        super().__init__(f"RNN_{nonlinearity.upper()}", *args, **kwargs)
        self.nonlinearity = nonlinearity


class GRU(_OneState):
    """The gated recurrent unit.

    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.GRU.html
    """

    def __init__(self, *args, **kwargs):
        if "proj_size" in kwargs:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        super().__init__("GRU", *args, **kwargs)


class LSTM(RNNBase):
    """Long short-term memory; states are pairs (h, c); `proj_size` projects h.

    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html
    """

    def __init__(self, *args, **kwargs):
        super().__init__("LSTM", *args, **kwargs)

    def forward(self, input, hx=None):
        out, final = self._run(input, hx)
        return out, tuple(final)

    def _sizes(self, batch):
        n = self.num_layers * self._directions
        return (n, batch, self.proj_size or self.hidden_size), (n, batch, self.hidden_size)

    def _expected(self, k):
        return f"Expected hidden[{k}] size {{}}, got {{}}"

    def _unbatched(self, states):
        if any(s.dim() != 2 for s in states):
            raise RuntimeError("For unbatched 2-D input, hx and cx should also be 2-D but got "
                               f"({states[0].dim()}-D, {states[1].dim()}-D) tensors")  # fmt: skip

    def _batched(self, states):
        if any(s.dim() != 3 for s in states):
            raise RuntimeError("For batched 3-D input, hx and cx should also be 3-D but got "
                               f"({states[0].dim()}-D, {states[1].dim()}-D) tensors")  # fmt: skip


class RNNCellBase(Module):
    """What the cells share: one step of a recurrent layer, for (N, input_size) or (input_size)."""

    def __init__(self, input_size, hidden_size, bias, num_chunks, device=None, dtype=None):
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows = num_chunks * hidden_size
        self.weight_ih = Parameter(empty((rows, input_size), device=device, dtype=dtype))
        self.weight_hh = Parameter(empty((rows, hidden_size), device=device, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(empty(rows, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self):
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def extra_repr(self):
        text = f"{self.input_size}, {self.hidden_size}"
        text += "" if self.bias is True else f", bias={self.bias}"
        nonlinearity = getattr(self, "nonlinearity", "tanh")
        return text if nonlinearity == "tanh" else f"{text}, nonlinearity={nonlinearity}"

    def _step(self, cell, input, states, name="hidden"):
        kind = type(self).__name__
        if input.dim() not in (1, 2):
            raise ValueError(f"{kind}: Expected input to be 1D or 2D, got {input.dim()}D instead")
        for k, s in enumerate(states or ()):
            if s.dim() not in (1, 2):
                raise ValueError(f"{kind}: Expected {name.format(k)} to be 1D or 2D, got {s.dim()}D instead")
        single = input.dim() == 1
        if single:
            input, states = input.unsqueeze(0), None if states is None else [s.unsqueeze(0) for s in states]
        if states is None:
            states = [zeros((input.size(0), self.hidden_size), dtype=input.dtype)] * 2
        out = cell(input, states, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        return tuple(s.squeeze(0) for s in out) if single else out


class RNNCell(RNNCellBase):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu."""

    def __init__(self, input_size, hidden_size, bias=True, nonlinearity="tanh", device=None, dtype=None):
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input, hx=None):
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        cell = rnn_tanh_cell if self.nonlinearity == "tanh" else rnn_relu_cell
        return self._step(lambda x, s, *w: (cell(x, s[0], *w),), input, None if hx is None else [hx])[0]


class LSTMCell(RNNCellBase):
    """One step of an LSTM; states are pairs (h, c)."""

    def __init__(self, input_size, hidden_size, bias=True, device=None, dtype=None):
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input, hx=None):
        return self._step(lambda x, s, *w: lstm_cell(x, tuple(s), *w), input, hx, "hx[{}]")


class GRUCell(RNNCellBase):
    """One step of a GRU."""

    def __init__(self, input_size, hidden_size, bias=True, device=None, dtype=None):
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input, hx=None):
        return self._step(lambda x, s, *w: (gru_cell(x, s[0], *w),), input, None if hx is None else [hx])[0]
