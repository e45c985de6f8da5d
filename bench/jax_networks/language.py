"""bench/networks/language.py in JAX."""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax, nn

from ..jax_steps import (
    Init,
    attend,
    attention_block,
    causal,
    cross_entropy,
    layer_norm,
    linear,
    lstm_layer,
    norm_params,
    recurrent,
    training_step,
)
from .layers import gelu, group_norm, linears, step_in_mode


def llama():
    i = Init()

    def block():
        return {"n1": jnp.ones(192), "n2": jnp.ones(192), "q": i.matrix(192, 192), "k": i.matrix(192, 64), "v": i.matrix(192, 64),
                "o": i.matrix(192, 192), "gate": i.matrix(192, 512), "up": i.matrix(192, 512),
                "down": i.matrix(512, 192)}  # fmt: skip

    p = {"tokens": i.normal(256, 192), "blocks": [block() for _ in range(3)], "n": jnp.ones(192), "f": i.matrix(192, 256)}
    angle = jnp.outer(jnp.arange(128), 1.0 / 10000 ** (jnp.arange(0, 32, 2) / 32))
    cos, sin = (jnp.tile(f(angle), 2)[:, None] for f in (jnp.cos, jnp.sin))

    def norm(scale, x):
        return scale * (x * lax.rsqrt((x**2).mean(-1, keepdims=True) + 1e-6))

    def rotated(x):
        a, b = jnp.split(x, 2, -1)
        return x * cos + jnp.concatenate([-b, a], -1) * sin

    def loss(p, x, y):
        x = p["tokens"][x]
        for b in p["blocks"]:
            h = norm(b["n1"], x)
            q, k, v = ((h @ b[name]).reshape(8, 128, -1, 32) for name in "qkv")
            x = x + nn.dot_product_attention(rotated(q), rotated(k), v, is_causal=True).reshape(x.shape) @ b["o"]
            h = norm(b["n2"], x)
            x = x + (nn.silu(h @ b["gate"]) * (h @ b["up"])) @ b["down"]
        return cross_entropy((norm(p["n"], x) @ p["f"]).reshape(-1, 256), y)

    return training_step(p, loss, i.classes(256, 8, 128), i.classes(256, 1024), "adamw")


def lora():
    i = Init()

    def block():
        p = {name: i.linear(128, 128) for name in "qkvo"}
        return {**p, "n1": norm_params(128), "n2": norm_params(128), "f1": i.linear(128, 512), "f2": i.linear(512, 128)}

    def low_rank():
        return 0.01 * i.normal(128, 4), jnp.zeros((4, 128))

    frozen = {"tokens": i.normal(1000, 128), "blocks": [block(), block()]}
    p = {"blocks": [{"q": low_rank(), "v": low_rank()} for _ in range(2)], "f": i.linear(128, 4)}

    def adapted(layer, ab, x):
        return linear(layer, x) + x @ ab[0] @ ab[1] * 2.0

    def loss(p, batch, y):
        frozen, x = batch
        x = frozen["tokens"][x]
        for b, own in zip(frozen["blocks"], p["blocks"], strict=True):
            h = layer_norm(b["n1"], x)
            h = attend(adapted(b["q"], own["q"], h), linear(b["k"], h), adapted(b["v"], own["v"], h), 4)
            x = x + linear(b["o"], h)
            x = x + linears([b["f1"], b["f2"]], layer_norm(b["n2"], x), gelu)
        return cross_entropy(linear(p["f"], x.mean(1)), y)

    return training_step(p, loss, (frozen, i.classes(1000, 16, 64)), i.classes(4, 16))


def relative_attention():
    i = Init()
    p = {"tokens": i.normal(500, 128), "biases": i.normal(127, 4), **attention_block(i, 128, 512), "f": i.linear(128, 500)}
    distance = jnp.arange(64)[:, None] - jnp.arange(64) + 63

    def loss(p, x, y, mode):
        x = p["tokens"][x]
        qkv = linear(p["qkv"], layer_norm(p["n1"], x))
        q, k, v = (u.reshape(16, 64, 4, 32).transpose(0, 2, 1, 3) for u in jnp.split(qkv, 3, -1))
        weights = nn.softmax(q @ k.swapaxes(2, 3) + p["biases"][distance].transpose(2, 0, 1))
        x = x + linear(p["o"], (weights @ v).transpose(0, 2, 1, 3).reshape(x.shape))
        h = mode.dropout(nn.relu(linear(p["f1"], layer_norm(p["n2"], x))), 0.1)
        return cross_entropy(linear(p["f"], x + linear(p["f2"], h)).reshape(-1, 500), y)

    return step_in_mode(p, loss, i.classes(500, 16, 64), i.classes(500, 1024))


def selective_scan():
    i = Init()
    p = {"tokens": i.normal(64, 64), "rates": 0.1 * i.normal(64, 8), "inner": i.linear(64, 128), "parts": i.linear(64, 16),
         "step": i.linear(64, 64), "out": i.linear(64, 64), "n": norm_params(64), "f": i.linear(64, 64)}  # fmt: skip

    def scanned(p, x):
        x, gate = jnp.split(linear(p["inner"], x), 2, -1)
        into, out_of = jnp.split(linear(p["parts"], x), 2, -1)
        step = nn.softplus(linear(p["step"], x))[..., None]
        keep, fresh = jnp.exp(step * -jnp.exp(p["rates"])), step * into[:, :, None] * x[..., None]

        def following(state, given):
            keep, fresh = given
            state = keep * state + fresh
            return state, state

        _, states = lax.scan(following, jnp.zeros((8, 64, 8)), (keep.swapaxes(0, 1), fresh.swapaxes(0, 1)))
        return linear(p["out"], jnp.einsum("tbds,bts->btd", states, out_of) * nn.silu(gate))

    def loss(p, x, y):
        x = p["tokens"][x]
        return cross_entropy(linear(p["f"], x + scanned(p, layer_norm(p["n"], x))).reshape(-1, 64), y)

    return training_step(p, loss, i.classes(64, 8, 64), i.classes(64, 512))


def tagger():
    i = Init()
    p = {"tokens": i.normal(1000, 64), "l": [recurrent(i, 4, 64, 32), recurrent(i, 4, 64, 32)], "f": i.linear(64, 9),
         "moves": 0.1 * i.normal(9, 9)}  # fmt: skip

    def loss(p, x, y):
        x, y = p["tokens"][x.T], y.T
        x = jnp.concatenate([lstm_layer(p["l"][0], x), lstm_layer(p["l"][1], x, reverse=True)], -1)
        scores = linear(p["f"], x)
        path = jnp.take_along_axis(scores, y[..., None], 2)[..., 0].sum(0) + p["moves"][y[:-1], y[1:]].sum(0)

        def step(total, score):
            return nn.logsumexp(total[:, :, None] + p["moves"], 1) + score, None

        total, _ = lax.scan(step, scores[0], scores[1:])
        return (nn.logsumexp(total, 1) - path).mean()

    return training_step(p, loss, i.classes(1000, 16, 30), i.classes(9, 16, 30))


def word_lm():
    i = Init()
    p = {"words": 0.2 * i.rand(2000, 200) - 0.1, "l": [recurrent(i, 4, 200, 200) for _ in range(2)], "bias": jnp.zeros(2000)}

    def loss(p, x, y):
        x = lstm_layer(p["l"][1], lstm_layer(p["l"][0], p["words"][x]))
        return cross_entropy((x @ p["words"].T + p["bias"]).reshape(-1, 2000), y)

    return training_step(p, loss, i.classes(2000, 35, 20), i.classes(2000, 700), "descent", rate=1.0)


def retention():
    i = Init()

    def block():
        return {**{name: i.matrix(128, 128) for name in ("q", "k", "v", "gate", "o")}, "n": norm_params(128), "n1": norm_params(128),
                "n2": norm_params(128), "mlp": [i.linear(128, 256), i.linear(256, 128)]}  # fmt: skip

    p = {"tokens": i.normal(300, 128), "blocks": [block(), block()], "n": norm_params(128), "f": i.linear(128, 300)}
    rates, age = 1 - jnp.exp(jnp.linspace(-3.4, -6.2, 4))[:, None, None], jnp.arange(64)[:, None] - jnp.arange(64)
    kept = jnp.where(age >= 0, rates ** jnp.maximum(age, 0), 0.0)

    def loss(p, x, y):
        x = p["tokens"][x]
        for b in p["blocks"]:
            h = layer_norm(b["n1"], x)
            q, k, v = ((h @ b[name]).reshape(8, 64, 4, 32).transpose(0, 2, 1, 3) for name in "qkv")
            seen = (q @ k.swapaxes(2, 3) / 32**0.5 * kept) @ v
            seen = group_norm(b["n"], seen.transpose(0, 2, 1, 3).reshape(512, 128), 4).reshape(x.shape)
            x = x + (nn.silu(h @ b["gate"]) * seen) @ b["o"]
            x = x + linears(b["mlp"], layer_norm(b["n2"], x), gelu)
        return cross_entropy(linear(p["f"], layer_norm(p["n"], x)).reshape(-1, 300), y)

    return training_step(p, loss, i.classes(300, 8, 64), i.classes(300, 512), "adamw", rate=3e-4)


def hmm():
    i = Init()
    p = {"moves": i.normal(20, 20), "symbols": i.normal(20, 50), "first": i.normal(20)}

    def loss(p, x, y):
        moves, symbols = nn.log_softmax(p["moves"]), nn.log_softmax(p["symbols"]).T[x.T]

        def step(total, symbol):
            return nn.logsumexp(total[:, :, None] + moves, 1) + symbol, None

        total, _ = lax.scan(step, nn.log_softmax(p["first"]) + symbols[0], symbols[1:])
        return -nn.logsumexp(total, 1).mean()

    return training_step(p, loss, i.classes(50, 32, 40), ())


def sasrec():
    i = Init()

    def block():
        return {"q": i.linear(64, 64), "k": i.linear(64, 64), "v": i.linear(64, 64), "o": i.linear(64, 64), "n1": norm_params(64),
                "n2": norm_params(64), "layers": [i.linear(64, 64), i.linear(64, 64)]}  # fmt: skip

    p = {"items": i.normal(3000, 64), "positions": i.normal(50, 64), "blocks": [block(), block()], "n": norm_params(64)}

    def loss(p, x, y):
        bought, others = y
        there = (x != 0)[..., None]
        x = (p["items"][x] * 8 + p["positions"]) * there
        for b in p["blocks"]:
            q = layer_norm(b["n1"], x, 1e-8)
            seen = attend(linear(b["q"], q), linear(b["k"], x), linear(b["v"], x), 2, causal(50))
            x = layer_norm(b["n2"], q + linear(b["o"], seen), 1e-8)
            x = (x + linears(b["layers"], x)) * there
        x = layer_norm(p["n"], x)
        of_bought, of_others = ((x * p["items"][items]).sum(-1) for items in (bought, others))
        counted = (bought != 0).astype(jnp.float32)
        return ((nn.softplus(-of_bought) + nn.softplus(of_others)) * counted).sum() / counted.sum()

    x, bought, others = (1 + i.classes(2999, 64, 50) for _ in range(3))
    return training_step(p, loss, x.at[::2, :10].set(0), (bought, others))


NETWORKS = [llama, lora, relative_attention, selective_scan, tagger, word_lm, retention, hmm, sasrec]
