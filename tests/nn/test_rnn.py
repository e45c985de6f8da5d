"""RNN, LSTM, GRU, their cells, and packed sequences, beside PyTorch's with the same weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import rushlight
from rushlight import _native
from tests.nn.test_layers import TOLERANCE, make, ours
from tests.ops.harness import assert_same, cotangents, to_numpy

LAYERS = ["RNN(3, 4)", "RNN(3, 4, 2, 'relu')", "RNN(3, 4, nonlinearity='relu', bias=False)", "RNN(3, 4, 2, bidirectional=True)",
          "LSTM(3, 4)", "LSTM(3, 4, 2, batch_first=True)", "LSTM(3, 4, 2, bidirectional=True, dropout=0.4)",
          "LSTM(3, 4, proj_size=2, num_layers=2, bidirectional=True)", "LSTM(3, 4, bias=False)", "GRU(3, 4)",
          "GRU(3, 4, 3, batch_first=True, bidirectional=True)", "GRU(3, 4, 2, True, False, 0.5)"]  # fmt: skip


def both(source):
    theirs, mine = make(source, torch), make(source, rushlight)
    mine.load_state_dict(ours(theirs))
    return theirs, mine


def tensor(T, array, grad=True):
    t = T.tensor(array.tolist(), dtype=T.float32)
    return t.requires_grad_() if grad else t


def flat(x):
    return [y for v in x for y in flat(v)] if isinstance(x, (tuple, list)) else [x]


def compare(run, layers):
    """Outputs and gradients of both libraries' `run(T, layer) -> (leaves, outputs)`."""
    sides = []
    for T, layer in zip((torch, rushlight), layers, strict=True):
        T.manual_seed(3)
        leaves, outs = run(T, layer)
        outs = [o for o in flat(outs) if isinstance(o, T.Tensor)]
        live = [o for o in outs if o.requires_grad]
        vs = [torch.from_numpy(v) if T is torch else rushlight.from_numpy(v) for v in cotangents(live, 1)]
        grads = T.autograd.grad(live, [*leaves, *layer.parameters()], [v.to(o.dtype) for v, o in zip(vs, live, strict=True)])
        sides.append([*outs, *grads])
    for i, (want, got) in enumerate(zip(*sides, strict=True)):
        assert_same(got, want, TOLERANCE, f"result {i}")


@pytest.mark.parametrize("given", [False, True], ids=["zeros", "state"])
@pytest.mark.parametrize("batched", [True, False], ids=["batch", "single"])
@pytest.mark.parametrize("source", LAYERS)
@pytest.mark.filterwarnings("ignore:LSTM with projections")  # PyTorch's own
def test_layer(source, batched, given):
    """Repr, weights, outputs, final states, gradients; with and without a batch and an initial state."""
    layers = both(source)
    assert repr(layers[1]) == repr(layers[0])
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 2, 3) if batched else (5, 3))
    n = layers[0].num_layers * (2 if layers[0].bidirectional else 1)
    rows = [5 if layers[0].batch_first else 2] if batched else []
    h, c = rng.standard_normal((n, *rows, layers[0].proj_size or 4)), rng.standard_normal((n, *rows, 4))

    def run(T, layer):
        leaves = [tensor(T, x)]
        if not given:
            return leaves, layer(leaves[0])
        leaves += [tensor(T, h)] + ([tensor(T, c)] if source.startswith("LSTM") else [])
        return leaves, layer(leaves[0], tuple(leaves[1:]) if len(leaves) > 2 else leaves[1])

    compare(run, layers)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("source", ["RNN(3, 4, 2)", "LSTM(3, 4, 2, bidirectional=True)",
"GRU(3, 4, bidirectional=True, batch_first=True)"])
def test_packed(source, ordered):
    """Packed sequences of different lengths, in any order."""
    x = np.random.default_rng(0).standard_normal((4, 5, 3))
    lengths = [5, 3, 3, 1] if ordered else [3, 1, 5, 3]

    def run(T, layer):
        leaf = tensor(T, x)
        rnn = T.nn.utils.rnn
        packed = rnn.pack_padded_sequence(leaf, T.tensor(lengths), batch_first=True, enforce_sorted=ordered)
        out, state = layer(packed)
        assert out.batch_sizes.tolist() == [4, 3, 3, 1, 1]
        padded, counts = rnn.pad_packed_sequence(out, batch_first=True, padding_value=-1.0, total_length=6)
        assert counts.tolist() == lengths
        return [leaf], (padded, state)

    compare(run, both(source))


def test_sequences():
    """pad_sequence, pack_sequence and their inverses."""
    for T in (torch, rushlight):
        rnn = T.nn.utils.rnn
        seqs = [T.tensor([1, 2, 3]), T.tensor([4, 5]), T.tensor([6])]
        assert rnn.pad_sequence(seqs).tolist() == [[1, 4, 6], [2, 5, 0], [3, 0, 0]]
        assert rnn.pad_sequence(seqs, True, 9, "left").tolist() == [[1, 2, 3], [9, 4, 5], [9, 9, 6]]
        packed = rnn.pack_sequence(seqs)
        assert packed.data.tolist() == [1, 4, 6, 2, 5, 3] and packed.batch_sizes.tolist() == [3, 2, 1]
        assert [s.tolist() for s in rnn.unpack_sequence(packed)] == [[1, 2, 3], [4, 5], [6]]


@pytest.mark.parametrize("source", ["RNNCell(3, 4)", "RNNCell(3, 4, nonlinearity='relu')", "LSTMCell(3, 4)",
"GRUCell(3, 4, bias=False)"])
@pytest.mark.parametrize("shape", [(2, 3), (3,)])
def test_cell(source, shape):
    """One step, twice: from zeros and from the state it gave."""
    x = np.random.default_rng(0).standard_normal(shape)
    layers = both(source)
    assert repr(layers[1]) == repr(layers[0])

    def run(T, layer):
        leaf = tensor(T, x)
        return [leaf], layer(leaf, layer(leaf))

    compare(run, layers)


@pytest.mark.parametrize("source", ["LSTM(3, 4, 2, bidirectional=True)", "GRUCell(3, 4)"])
def test_initial_values(source):
    """For a seed the weights are PyTorch's."""
    values = []
    for T in (torch, rushlight):
        T.manual_seed(2)
        values.append([to_numpy(p) for p in make(source, T).parameters()])
    for want, got in zip(*values, strict=True):
        np.testing.assert_array_equal(got, want)


ERRORS = {
    "rank": lambda T: T.nn.RNN(3, 4)(T.ones(3)), "lstm rank": lambda T: T.nn.LSTM(3, 4)(T.ones(3)),
    "features": lambda T: T.nn.LSTM(3, 4)(T.ones(2, 2, 5)), "state": lambda T: T.nn.GRU(3, 4)(T.ones(2, 2, 3), T.ones(1, 3, 4)),
    "cell": lambda T: T.nn.LSTM(3, 4)(T.ones(2, 2, 3), (T.ones(1, 2, 4), T.ones(1, 3, 4))),
    "state rank": lambda T: T.nn.RNN(3, 4)(T.ones(2, 2, 3), T.ones(1, 4)),
    "dtype": lambda T: T.nn.RNN(3, 4)(T.ones(2, 2, 3).double()),
    "dropout": lambda T: T.nn.LSTM(3, 4, dropout=2), "nonlinearity": lambda T: T.nn.RNN(3, 4, nonlinearity="foo"),
    "proj": lambda T: T.nn.GRU(3, 4, proj_size=2), "hidden": lambda T: T.nn.GRU(3, 0), "layers": lambda T: T.nn.GRU(3, 4, 0),
    "bias": lambda T: T.nn.GRU(3, 4, 1, 1), "cell rank": lambda T: T.nn.GRUCell(3, 4)(T.ones(1, 1, 3)),
    "sorted": lambda T: T.nn.utils.rnn.pack_padded_sequence(T.ones(3, 2, 1), T.tensor([1, 2])),
    "zero length": lambda T: T.nn.utils.rnn.pack_padded_sequence(T.ones(3, 2, 1), T.tensor([1, 0])),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    """PyTorch's exception and first line."""
    with pytest.raises(Exception) as want:  # noqa: B017, PT011 - compared below
        ERRORS[name](torch)
    with pytest.raises(type(want.value)) as got:
        ERRORS[name](rushlight)
    assert str(got.value).splitlines()[0] == str(want.value).splitlines()[0]


def test_dropout_warning():
    """Dropout after the only layer does nothing, and is reported."""
    with pytest.warns(UserWarning, match="dropout option adds dropout after all but last recurrent layer"):
        rushlight.nn.LSTM(3, 4, dropout=0.5)


@pytest.mark.parametrize("source", ["LSTM(7, 19, 2, bidirectional=True)", "GRU(7, 19, 2)", "RNN(7, 19, nonlinearity='relu')"])
@pytest.mark.parametrize("batch", [5, 9, 30, 61, 130])
def test_threads(source, batch):
    """Outputs and gradients have the same bits for one, two, three, four and eight threads."""
    results = []
    for threads in (1, 2, 3, 4, 8):
        before = _native.get_num_threads()
        _native.set_num_threads(threads)
        try:
            rushlight.manual_seed(0)
            layer, x = make(source, rushlight), rushlight.randn(6, batch, 7, requires_grad=True)
            out, state = layer(x)
            (out.square().sum() + sum(s.sum() for s in flat([state]))).backward()
            results.append([to_numpy(t) for t in (out, x.grad, *(p.grad for p in layer.parameters()))])
        finally:
            _native.set_num_threads(before)
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("source", ["LSTM(2, 3)", "GRU(2, 3)", "RNN(2, 3)", "LSTM(2, 3, proj_size=1)"])
def test_second_derivatives(source):
    """gradgradcheck with respect to the input, the states and every weight; the input may also be the state."""
    rushlight.manual_seed(0)
    layer = make(source, rushlight).double()
    names = [name for name, _ in layer.named_parameters()]
    x = rushlight.randn(3, 2, 2, dtype=rushlight.float64, requires_grad=True)
    widths = [layer.proj_size or 3, 3] if "LSTM" in source else [3]
    states = [rushlight.randn(1, 2, w, dtype=rushlight.float64, requires_grad=True) for w in widths]

    def run(x, *rest):
        for name, w in zip(names, rest[len(states) :], strict=True):
            layer._parameters.pop(name, None)
            setattr(layer, name, w)
        given = rest[: len(states)]
        out, last = layer(x, given if len(given) > 1 else given[0])
        return [out, *flat([last])]

    weights = [p.detach().requires_grad_() for p in layer.parameters()]
    assert rushlight.autograd.gradcheck(run, (x, *states, *weights))
    assert rushlight.autograd.gradgradcheck(run, (x, *states, *weights))


def test_output_may_be_overwritten():
    """Nothing that the derivative needs lies in the outputs."""

    def run(T, layer):
        leaf = tensor(T, np.random.default_rng(0).standard_normal((4, 2, 3)))
        out, state = layer(leaf)
        return [leaf], (out.mul_(2) if T is rushlight else out * 2, state)

    compare(run, both("LSTM(3, 4)"))


@pytest.mark.parametrize("sizes", [[2, 3], [3, 2, 1], [3, -1, 3], [1, 4]])
def test_wrong_batch_sizes(sizes):
    """A packed sequence made by hand whose sizes do not fit is an error, whatever they are."""
    packed = rushlight.nn.utils.rnn.PackedSequence(rushlight.ones(5, 3), rushlight.tensor(sizes))
    with pytest.raises(RuntimeError, match="batch_sizes must"):
        rushlight.nn.GRU(3, 4)(packed)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half(dtype):
    """Half types are computed in float32 and agree with it."""
    rushlight.manual_seed(0)
    layer, x = rushlight.nn.LSTM(3, 4), rushlight.randn(5, 2, 3)
    want = layer(x)[0].sum()
    low = rushlight.nn.LSTM(3, 4)
    low.load_state_dict(layer.state_dict())
    low.to(getattr(rushlight, dtype))
    got = low(x.to(getattr(rushlight, dtype)))[0].sum()
    got.backward()
    np.testing.assert_allclose(got.item(), want.item(), rtol=0.1, atol=0.1)
    assert low.weight_hh_l0.grad.dtype is getattr(rushlight, dtype)
