"""bench/networks/language.py in JAX."""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax, nn

from ..jax_steps import (
    Init,
    attend,
    attention_block,
    cross_entropy,
    layer_norm,
    linear,
    lstm_layer,
    norm_params,
    recurrent,
    training_step,
)
from .layers import gelu, linears, step_in_mode


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
            keep, fresh, out_of = given
            state = keep * state + fresh
            return state, (state * out_of[:, None]).sum(-1)

        _, seen = lax.scan(following, jnp.zeros((8, 64, 8)), [u.swapaxes(0, 1) for u in (keep, fresh, out_of)])
        return linear(p["out"], seen.swapaxes(0, 1) * nn.silu(gate))

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


NETWORKS = [llama, lora, relative_attention, selective_scan, tagger]
