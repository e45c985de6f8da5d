"""Attention and Transformer layers beside PyTorch's with the same weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import rushlight
from rushlight import _native
from rushlight.nn import functional as F
from tests.nn.test_layers import make
from tests.nn.test_rnn import both, compare, tensor
from tests.ops.harness import to_numpy

RNG = np.random.default_rng(0)
Q, K, V = (RNG.standard_normal(s) for s in ((5, 2, 8), (3, 2, 8), (3, 2, 8)))


def causal(T, n=5):
    return T.nn.Transformer.generate_square_subsequent_mask(n)


SDPA = {
    "plain": {}, "causal": dict(is_causal=True), "scale": dict(scale=0.3),
    "bool": dict(attn_mask=lambda T: T.tensor([[True, False, True]] * 5)),
    "nothing": dict(attn_mask=lambda T: T.tensor([[True, False, True]] * 4 + [[False] * 3])),
    "float": dict(attn_mask=lambda T: T.tensor([[0.5, -1.0, 2.0]] * 5)),
}  # fmt: skip


@pytest.mark.parametrize("name", SDPA)
def test_scaled_dot_product(name):
    """Values and gradients, for masks of every kind."""

    class Layer:
        def parameters(self):
            return []

    def run(T, _):
        leaves = [tensor(T, x.transpose(1, 0, 2).copy()) for x in (Q, K, V)]
        kw = {k: v(T) if callable(v) else v for k, v in SDPA[name].items()}
        return leaves, T.nn.functional.scaled_dot_product_attention(*leaves, **kw)

    compare(run, (Layer(), Layer()))


MHA = {
    "cross": ("MultiheadAttention(8, 2)", {}), "no bias": ("MultiheadAttention(8, 2, bias=False)", {}),
    "one head": ("MultiheadAttention(8, 1)", dict(average_attn_weights=False)),
    "no weights": ("MultiheadAttention(8, 4)", dict(need_weights=False)),
    "heads": ("MultiheadAttention(8, 2)", dict(average_attn_weights=False)),
    "kv": ("MultiheadAttention(8, 2, add_bias_kv=True, add_zero_attn=True)", {}),
    "dims": ("MultiheadAttention(8, 2, kdim=8, vdim=8, dropout=0.3)", {}),
    "padding": ("MultiheadAttention(8, 2)",
                dict(key_padding_mask=lambda T: T.tensor([[False, True, False], [False, False, True]]))),
    "mask": ("MultiheadAttention(8, 2)", dict(attn_mask=lambda T: T.tensor([[False, True, False]] * 5))),
    "both": ("MultiheadAttention(8, 2, add_bias_kv=True)", dict(attn_mask=lambda T: T.tensor([[0.0, 1.0, -1.0]] * 5),
             key_padding_mask=lambda T: T.tensor([[0.0, 0.0, -3.0], [0.0, 0.0, 0.0]]), need_weights=False)),
}  # fmt: skip


@pytest.mark.parametrize("name", MHA)
def test_multihead(name):
    """Outputs, weights and gradients; repr and state."""
    source, keywords = MHA[name]
    layers = both(source)
    assert repr(layers[1]) == repr(layers[0])

    def run(T, layer):
        leaves = [tensor(T, x) for x in (Q, K, V)]
        return leaves, layer(*leaves, **{k: v(T) if callable(v) else v for k, v in keywords.items()})

    compare(run, layers)


@pytest.mark.parametrize("source", ["MultiheadAttention(8, 2, batch_first=True)", "MultiheadAttention(8, 2)"])
@pytest.mark.parametrize("batched", [True, False])
def test_self_attention(source, batched):
    """One tensor as query, key and value, causal, with and without a batch."""

    def run(T, layer):
        x = Q.transpose(1, 0, 2) if layer.batch_first and batched else Q if batched else Q[:, 0]
        leaf = tensor(T, np.ascontiguousarray(x))
        return [leaf], layer(leaf, leaf, leaf, attn_mask=causal(T), is_causal=True, need_weights=False)

    compare(run, both(source))


def test_other_sizes():
    """Keys and values of sizes of their own."""
    k, v = RNG.standard_normal((3, 2, 6)), RNG.standard_normal((3, 2, 4))

    def run(T, layer):
        leaves = [tensor(T, x) for x in (Q, k, v)]
        return leaves, layer(*leaves)

    compare(run, both("MultiheadAttention(8, 2, kdim=6, vdim=4)"))


MODELS = ["TransformerEncoderLayer(8, 2, 16, 0.0)", "TransformerEncoderLayer(8, 2, 16, 0.2, 'gelu', norm_first=True)",
          "TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, 0.0), 2, nn.LayerNorm(8), enable_nested_tensor=False)",
          "TransformerEncoderLayer(8, 2, 16, batch_first=True, bias=False)"]  # fmt: skip


@pytest.mark.parametrize("source", MODELS)
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_encoder(source, mode):
    """Encoder layers and stacks of them, with a causal mask and with padding."""
    layers = both(source)
    assert repr(layers[1]) == repr(layers[0])

    def run(T, layer):
        layer.train(mode == "train")
        leaf = tensor(T, Q)
        if "batch_first" in source:
            return [leaf], layer(leaf, src_key_padding_mask=T.tensor([[False, True]] * 5))
        return [leaf], layer(leaf, causal(T))

    compare(run, layers)


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_transformer(norm_first):
    """The whole model: repr, state, output and gradients."""
    layers = both(f"Transformer(8, 2, 2, 2, 16, 0.0, norm_first={norm_first})")
    assert repr(layers[1]) == repr(layers[0])

    def run(T, layer):
        leaves = [tensor(T, K), tensor(T, Q)]
        return leaves, layer(*leaves, tgt_mask=causal(T), memory_key_padding_mask=T.tensor([[False, False, True]] * 2))

    compare(run, layers)


@pytest.mark.parametrize("source", ["MultiheadAttention(8, 2, add_bias_kv=True)", "TransformerDecoderLayer(8, 2, 16)"])
def test_initial_values(source):
    """For a seed the weights are PyTorch's."""
    values = []
    for T in (torch, rushlight):
        T.manual_seed(2)
        values.append([to_numpy(p) for p in make(source, T).parameters()])
    for want, got in zip(*values, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-7)


ERRORS = {
    "heads": lambda T: T.nn.MultiheadAttention(8, 3), "zero": lambda T: T.nn.MultiheadAttention(0, 1),
    "rank": lambda T: T.nn.MultiheadAttention(8, 2)(T.ones(8), T.ones(8), T.ones(8)),
    "key rank": lambda T: T.nn.MultiheadAttention(8, 2)(T.ones(2, 8), T.ones(2, 1, 8), T.ones(2, 8)),
    "mask": lambda T: T.nn.MultiheadAttention(8, 2)(*[T.ones(2, 8)] * 3, attn_mask=T.zeros(3, 3)),
    "mask type": lambda T: T.nn.MultiheadAttention(8, 2)(*[T.ones(2, 8)] * 3, attn_mask=T.zeros(2, 2, dtype=T.int64)),
    "causal": lambda T: T.nn.MultiheadAttention(8, 2)(*[T.ones(2, 8)] * 3, is_causal=True),
    "width": lambda T: T.nn.MultiheadAttention(8, 2)(*[T.ones(2, 4)] * 3),
    "two masks": lambda T: T.nn.functional.scaled_dot_product_attention(*[T.ones(2, 4)] * 3, T.ones(2, 2), is_causal=True),
    "activation": lambda T: T.nn.TransformerEncoderLayer(8, 2, activation="foo"),
    "features": lambda T: T.nn.Transformer(8, 2, 1, 1, 8)(T.ones(2, 1, 4), T.ones(2, 1, 8)),
    "batch": lambda T: T.nn.Transformer(8, 2, 1, 1, 8)(T.ones(2, 1, 8), T.ones(2, 2, 8)),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_errors(name):
    """PyTorch's exception and first line."""
    with pytest.raises(Exception) as want:  # noqa: B017, PT011 - compared below
        ERRORS[name](torch)
    with pytest.raises(type(want.value)) as got:
        ERRORS[name](rushlight)
    assert str(got.value).splitlines()[0] == str(want.value).splitlines()[0]


@pytest.mark.parametrize("shape", [(1, 1, 300, 16), (2, 5, 70, 8), (3, 4, 520, 4)])
@pytest.mark.parametrize("is_causal", [False, True])
def test_threads(shape, is_causal):
    """Output and gradients have the same bits for one, two, three, four and eight threads."""
    results, before = [], _native.get_num_threads()
    for threads in (1, 2, 3, 4, 8):
        _native.set_num_threads(threads)
        try:
            rushlight.manual_seed(0)
            leaves = [rushlight.randn(*shape, requires_grad=True) for _ in range(3)]
            out = F.scaled_dot_product_attention(*leaves, is_causal=is_causal)
            out.square().sum().backward()
            results.append([to_numpy(t) for t in (out, *(x.grad for x in leaves))])
        finally:
            _native.set_num_threads(before)
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_not_a_number():
    """NaN in a query or a key shows; it is not taken for a row that may attend to nothing."""
    for which in (0, 1):
        leaves = [rushlight.randn(4, 3) for _ in range(3)]
        leaves[which][2, 1] = float("nan")
        out = F.scaled_dot_product_attention(*leaves)
        assert out[2].isnan().all()
        assert out.isnan().all() == (which == 1)


def test_heads_are_read_where_they_are():
    """Views of one projection go in, and the result is laid out so that joining the heads again copies nothing."""
    x = rushlight.randn(2, 6, 36)
    heads = (t.view(2, 6, 3, 4).transpose(1, 2) for t in x.split(12, 2))
    out = F.scaled_dot_product_attention(*heads).transpose(1, 2)
    assert out.is_contiguous()
