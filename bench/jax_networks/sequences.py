"""bench/networks/sequences.py in JAX. Recurrent layers are scans over time, which comes first."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import lax, nn

from ..jax_steps import (
    Init,
    attend,
    attention,
    attention_block,
    causal,
    conv,
    cross_entropy,
    gru_cell,
    gru_layer,
    layer_norm,
    linear,
    lstm_cell,
    lstm_layer,
    norm_params,
    recurrent,
    training_step,
)
from .layers import gelu, linears, mse, step_in_mode


def text_cnn():
    i = Init()
    p = {"e": i.normal(5000, 100), "c": [i.conv(100, 64, k, dims=1) for k in (3, 4, 5)], "f": i.linear(192, 2)}

    def loss(p, x, y, mode):
        x = p["e"][x]
        x = jnp.concatenate([nn.relu(conv(c, x)).max(1) for c in p["c"]], 1)
        return cross_entropy(linear(p["f"], mode.dropout(x, 0.5)), y)

    return step_in_mode(p, loss, i.classes(5000, 64, 100), i.classes(2, 64))


def dilated_conv1d():
    i = Init()
    dilations = (1, 1, 2, 4, 8)
    p = {"c": [i.conv(1 if n == 0 else 32, 32, 3, dims=1) for n in range(5)], "f": i.linear(32, 5)}

    def loss(p, x, y):
        for c, dilation in zip(p["c"], dilations, strict=True):
            x = nn.relu(conv(c, x, 1, dilation, dilation))
        return cross_entropy(linear(p["f"], x.mean(1)), y)

    return training_step(p, loss, i.normal(32, 256, 1), i.classes(5, 32))


def bilstm():
    i = Init()
    p = {"e": i.normal(5000, 100), "l": [recurrent(i, 4, 100, 128), recurrent(i, 4, 100, 128)], "f": i.linear(256, 2)}

    def loss(p, x, y):
        x = p["e"][x.T]
        states = [lstm_layer(p["l"][0], x), lstm_layer(p["l"][1], x, reverse=True)]
        return cross_entropy(linear(p["f"], jnp.concatenate([s[-1] for s in states], -1)), y)

    return training_step(p, loss, i.classes(5000, 32, 50), i.classes(2, 32))


def series_lstm():
    i = Init()
    p = {"l": [recurrent(i, 4, 5, 64), recurrent(i, 4, 64, 64)], "f": i.linear(64, 1)}

    def loss(p, x, y):
        x = lstm_layer(p["l"][1], lstm_layer(p["l"][0], x.swapaxes(0, 1)))
        return mse(linear(p["f"], x[-1]), y)

    return training_step(p, loss, i.normal(64, 30, 5), i.normal(64, 1))


def small_lstm():
    i = Init()
    p = {"l": recurrent(i, 4, 16, 32), "f": i.linear(32, 4)}

    def loss(p, x, y):
        return cross_entropy(linear(p["f"], lstm_layer(p["l"], x.swapaxes(0, 1))[-1]), y)

    return training_step(p, loss, i.normal(4, 20, 16), i.classes(4, 4))


def lstm_projection():
    i = Init()
    layer = {**recurrent(i, 4, 64, 128), "wh": i.uniform((64, 512), 128)}
    p = {"l": layer, "project": i.uniform((128, 64), 128), "f": i.linear(64, 10)}

    def loss(p, x, y):
        def step(carry, g):
            (h, c), _ = lstm_cell(p["l"], carry, g)
            h = h @ p["project"]
            return (h, c), h

        gates = x.swapaxes(0, 1) @ p["l"]["wx"] + p["l"]["bx"] + p["l"]["bh"]
        (h, _), _ = lax.scan(step, (jnp.zeros((32, 64)), jnp.zeros((32, 128))), gates)
        return cross_entropy(linear(p["f"], h), y)

    return training_step(p, loss, i.normal(32, 25, 64), i.classes(10, 32))


def _elman_layer(p, x):
    def step(h, g):
        h = jnp.tanh(g + h @ p["wh"])
        return h, h

    return lax.scan(step, jnp.zeros((x.shape[1], p["wh"].shape[0])), x @ p["wx"] + p["bx"] + p["bh"])[1]


def char_rnn():
    i = Init()
    p = {"l": recurrent(i, 1, 60, 128), "f": i.linear(128, 60)}

    def loss(p, x, y):
        x = linear(p["f"], _elman_layer(p["l"], x.swapaxes(0, 1))).swapaxes(0, 1)
        return cross_entropy(x.reshape(-1, 60), y)

    return training_step(p, loss, i.normal(32, 35, 60), i.classes(60, 1120))


def elman_cells():
    i = Init()
    p = {"l": recurrent(i, 1, 64, 128), "f": i.linear(128, 10)}

    def loss(p, x, y):
        return cross_entropy(linear(p["f"], _elman_layer(p["l"], x)[-1]), y)

    return training_step(p, loss, i.normal(20, 32, 64), i.classes(10, 32), "sgd")


def lstm_cells():
    i = Init()
    p = {"l": recurrent(i, 4, 64, 128), "f": i.linear(128, 10)}

    def loss(p, x, y):
        return cross_entropy(linear(p["f"], lstm_layer(p["l"], x)).reshape(-1, 10), y)

    return training_step(p, loss, i.normal(20, 32, 64), i.classes(10, 640))


def bigru_attention():
    i = Init()
    p = {"e": i.normal(1000, 64), "l": [recurrent(i, 3, 64, 64), recurrent(i, 3, 64, 64)], "key": i.linear(128, 64),
         "score": i.matrix(64, 1), "f": i.linear(128, 4)}  # fmt: skip

    def loss(p, x, y):
        x = p["e"][x.T]
        states = jnp.concatenate([gru_layer(p["l"][0], x), gru_layer(p["l"][1], x, reverse=True)], -1)
        weights = nn.softmax(jnp.tanh(linear(p["key"], states)) @ p["score"], 0)
        return cross_entropy(linear(p["f"], (weights * states).sum(0)), y)

    return training_step(p, loss, i.classes(1000, 32, 40), i.classes(4, 32))


def seq2seq_attention():
    i = Init()
    p = {"source": i.normal(200, 32), "target": i.normal(200, 32), "encoder": [recurrent(i, 3, 32, 64), recurrent(i, 3, 64, 64)],
         "decoder": [recurrent(i, 3, 96, 64), recurrent(i, 3, 64, 64)], "keys": i.matrix(64, 64), "queries": i.matrix(64, 64),
         "score": i.matrix(64, 1), "f": i.linear(64, 200)}  # fmt: skip

    def loss(p, batch, y, mode):
        source, allowed, target = batch
        labels, counted = y
        first = gru_layer(p["encoder"][0], p["source"][source.T])
        second = gru_layer(p["encoder"][1], mode.dropout(first, 0.1))
        states = second.swapaxes(0, 1)
        keys = (states @ p["keys"])[:, None]

        def step(hidden, given):
            x, key = given
            features = jnp.tanh((hidden[1] @ p["queries"])[:, None, None] + keys)
            scores = jnp.where(allowed[:, None], (features @ p["score"])[..., 0], -1e6)
            x = jnp.concatenate([(nn.softmax(scores) @ states)[:, 0], x], -1)
            lower, upper = p["decoder"]
            h1, out = gru_cell(lower, hidden[0], x @ lower["wx"] + lower["bx"])
            out = jnp.where(jax.random.bernoulli(key, 0.9, out.shape), out / 0.9, 0.0)
            h2, out = gru_cell(upper, hidden[1], out @ upper["wx"] + upper["bx"])
            return (h1, h2), out

        given = p["target"][target.T], jax.random.split(mode.next_key(), target.shape[1])
        logits = nn.log_softmax(linear(p["f"], lax.scan(step, (first[-1], second[-1]), given)[1]))
        each = -jnp.take_along_axis(logits, labels.T[..., None], -1)[..., 0]
        return (each * counted.T).sum() / counted.sum()

    allowed, counted = (jnp.arange(10) < 4 + i.classes(7, 64, 1) for _ in range(2))
    batch = i.classes(200, 64, 10), allowed, i.classes(200, 64, 10)
    return step_in_mode(p, loss, batch, (i.classes(200, 64, 10), counted.astype(jnp.float32)))


def _fed_forward(p, x, mode, act):
    return mode.dropout(linear(p["f2"], mode.dropout(act(linear(p["f1"], x)), 0.1)), 0.1)


def seq2seq_transformer():
    i = Init()

    def decoder_block():
        cross = {"q": i.linear(128, 128), "k": i.linear(128, 128), "v": i.linear(128, 128), "o": i.linear(128, 128)}
        return {**attention_block(i, 128, 256), "cross": cross, "n3": norm_params(128)}

    p = {"source": i.normal(1000, 128), "target": i.normal(1000, 128), "encoder": [attention_block(i, 128, 256) for _ in range(2)],
         "n1": norm_params(128), "decoder": [decoder_block() for _ in range(2)], "n2": norm_params(128),
         "f": i.linear(128, 1000)}  # fmt: skip

    def loss(p, tokens, y, mode):
        drop = functools.partial(mode.dropout, rate=0.1)
        x = p["source"][tokens]
        for b in p["encoder"]:
            x = layer_norm(b["n1"], x + drop(attention(b, x, 4, None, drop)))
            x = layer_norm(b["n2"], x + _fed_forward(b, x, mode, nn.relu))
        memory, x = layer_norm(p["n1"], x), p["target"][tokens]
        for b in p["decoder"]:
            x = layer_norm(b["n1"], x + drop(attention(b, x, 4, causal(20), drop)))
            c = b["cross"]
            seen = attend(linear(c["q"], x), linear(c["k"], memory), linear(c["v"], memory), 4, None, drop)
            x = layer_norm(b["n2"], x + drop(linear(c["o"], seen)))
            x = layer_norm(b["n3"], x + _fed_forward(b, x, mode, nn.relu))
        return cross_entropy(linear(p["f"], layer_norm(p["n2"], x)).reshape(-1, 1000), y)

    return step_in_mode(p, loss, i.classes(1000, 32, 20), i.classes(1000, 640))


def bert():
    i = Init()
    p = {"tokens": i.normal(1000, 128), "segments": i.normal(2, 128), "positions": i.normal(64, 128), "n": norm_params(128),
         "blocks": [attention_block(i, 128, 512) for _ in range(2)], "hidden": i.linear(128, 128), "head_norm": norm_params(128),
         "head": i.linear(128, 1000)}  # fmt: skip

    def loss(p, batch, labels, mode):
        tokens, segments, allowed = batch
        drop = functools.partial(mode.dropout, rate=0.1)
        x = drop(layer_norm(p["n"], p["tokens"][tokens] + p["segments"][segments] + p["positions"]))
        for b in p["blocks"]:
            x = layer_norm(b["n1"], x + drop(attention(b, x, 4, allowed[:, None, None], drop)))
            x = layer_norm(b["n2"], x + _fed_forward(b, x, mode, gelu))
        x = layer_norm(p["head_norm"], gelu(linear(p["hidden"], x)))
        logits = nn.log_softmax(linear(p["head"], x))
        each = -jnp.take_along_axis(logits, jnp.maximum(labels, 0)[..., None], -1)[..., 0]
        return jnp.where(labels >= 0, each, 0.0).sum() / (labels >= 0).sum()

    tokens, segments = i.classes(1000, 16, 64), jnp.broadcast_to((jnp.arange(64) >= 32).astype(jnp.int32), (16, 64))
    allowed = jnp.arange(64) < 40 + i.classes(25, 16, 1)
    predicted = jax.random.bernoulli(next(i.keys), 0.15, (16, 64)) & allowed
    batch = jnp.where(predicted, 3, tokens), segments, allowed
    return step_in_mode(p, loss, batch, jnp.where(predicted, tokens, -100), "adamw")


def small_gpt():
    i = Init()
    p = {"tokens": i.normal(65, 96), "positions": i.normal(64, 96), "blocks": [attention_block(i, 96, 384) for _ in range(3)],
         "n": norm_params(96), "f": i.matrix(96, 65)}  # fmt: skip

    def loss(p, x, y, mode):
        drop = functools.partial(mode.dropout, rate=0.1)
        x = drop(p["tokens"][x] + p["positions"])
        for b in p["blocks"]:
            x = x + drop(attention(b, layer_norm(b["n1"], x), 4, causal(64), drop))
            x = x + drop(linears([b["f1"], b["f2"]], layer_norm(b["n2"], x), gelu))
        return cross_entropy((layer_norm(p["n"], x) @ p["f"]).reshape(-1, 65), y)

    return step_in_mode(p, loss, i.classes(65, 16, 64), i.classes(65, 1024), "adamw")


def embedding_bag():
    i = Init()
    p = {"e": i.normal(5000, 64), "f": i.linear(64, 4)}
    lengths = 10 + i.classes(21, 64)
    bags, total = jnp.repeat(jnp.arange(64), lengths), int(lengths.sum())

    def loss(p, x, y):
        tokens, bags, lengths = x
        means = jax.ops.segment_sum(p["e"][tokens], bags, 64, indices_are_sorted=True) / lengths[:, None]
        return cross_entropy(linear(p["f"], means), y)

    return training_step(p, loss, (i.classes(5000, total), bags, lengths), i.classes(4, 64), "sgd")


NETWORKS = [
    text_cnn, dilated_conv1d, bilstm, series_lstm, small_lstm, lstm_projection, char_rnn, elman_cells, lstm_cells, bigru_attention,
    seq2seq_attention, seq2seq_transformer, bert, small_gpt, embedding_bag,
]  # fmt: skip
