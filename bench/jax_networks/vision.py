"""bench/networks/vision.py in JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax, nn
from jax.scipy.ndimage import map_coordinates

from ..jax_steps import (
    Init,
    attend,
    avg_pool,
    conv,
    conv_transpose,
    cross_entropy,
    linear,
    lstm_layer,
    max_pool,
    norm_params,
    recurrent,
    training_step,
)
from .layers import ctc, flat, group_norm, linears, mse, norm_of_conv, normed_conv, step_in_mode


def efficientnet():
    i = Init()
    shapes = (32, 16, 1, 3, 1), (16, 24, 6, 3, 2), (24, 24, 6, 3, 1), (24, 40, 6, 5, 2), (40, 40, 6, 5, 1), (40, 80, 6, 3, 2)

    def block(a, b, expand, kernel, stride):
        m = a * expand
        p = {"depthwise": normed_conv(i, m, m, kernel, m), "weights": [i.linear(m, a // 4), i.linear(a // 4, m)],
             "project": normed_conv(i, m, b, 1)}  # fmt: skip
        return p if expand == 1 else {**p, "expand": normed_conv(i, a, m, 1)}

    p = {"stem": normed_conv(i, 3, 32, 3), "blocks": [block(*shape) for shape in shapes], "last": normed_conv(i, 80, 320, 1),
         "f": i.linear(320, 10)}  # fmt: skip

    def loss(p, x, y, mode):
        x = nn.silu(norm_of_conv(p["stem"], mode, x, 2, 1))
        for b, (width, out, expand, kernel, stride) in zip(p["blocks"], shapes, strict=True):
            h = nn.silu(norm_of_conv(b["expand"], mode, x)) if "expand" in b else x
            h = nn.silu(norm_of_conv(b["depthwise"], mode, h, stride, kernel // 2, width * expand))
            h = h * nn.sigmoid(linears(b["weights"], h.mean((1, 2)), nn.silu))[:, None, None]
            h = norm_of_conv(b["project"], mode, h)
            x = x + h if stride == 1 and width == out else h
        x = nn.silu(norm_of_conv(p["last"], mode, x))
        return cross_entropy(linear(p["f"], x.mean((1, 2))), y, 0.1)

    return step_in_mode(p, loss, i.normal(16, 64, 64, 3), i.classes(10, 16), "rmsprop")


def resnext():
    i = Init()

    def block():
        convs = [normed_conv(i, 128, 64, 1), normed_conv(i, 64, 64, 3, 16), normed_conv(i, 64, 128, 1)]
        return {"convs": convs, "weights": [i.linear(128, 16), i.linear(16, 128)]}

    p = {"stem": i.conv(3, 128, 3), "blocks": [block() for _ in range(3)], "f": i.linear(128, 10)}

    def loss(p, x, y, mode):
        x = conv(p["stem"], x, 1, 1)
        for n, b in enumerate(p["blocks"]):
            x = avg_pool(x, 2, 2) if n == 2 else x
            first, second, third = b["convs"]
            h = nn.relu(norm_of_conv(second, mode, nn.relu(norm_of_conv(first, mode, x)), 1, 1, 16))
            h = norm_of_conv(third, mode, h)
            x = nn.relu(x + h * nn.sigmoid(linears(b["weights"], h.mean((1, 2))))[:, None, None])
        return cross_entropy(linear(p["f"], x.mean((1, 2))), y)

    return step_in_mode(p, loss, i.normal(16, 32, 32, 3), i.classes(10, 16), "sgd")


def diffusion():
    i = Init()

    def residual(a, b):
        p = {"n1": norm_params(a), "c1": i.conv(a, b, 3), "times": i.linear(128, b), "n2": norm_params(b), "c2": i.conv(b, b, 3)}
        return {**p, "skip": i.conv(a, b, 1)} if a != b else p

    p = {"times": [i.linear(32, 128), i.linear(128, 128)], "first": i.conv(1, 32, 3), "left1": residual(32, 32),
         "down1": i.conv(32, 32, 3), "left2": residual(32, 64), "down2": i.conv(64, 64, 3), "middle1": residual(64, 64),
         "attention": {"n": norm_params(64), "qkv": i.conv(64, 192, 1), "o": i.conv(64, 64, 1)}, "middle2": residual(64, 64),
         "right2": residual(128, 32), "right1": residual(64, 32), "n": norm_params(32), "out": i.conv(32, 1, 3)}  # fmt: skip

    def through(p, x, t):
        h = conv(p["c1"], nn.silu(group_norm(p["n1"], x, 8)), 1, 1) + linear(p["times"], nn.silu(t))[:, None, None]
        return (conv(p["skip"], x) if "skip" in p else x) + conv(p["c2"], nn.silu(group_norm(p["n2"], h, 8)), 1, 1)

    def attention(p, x):
        qkv = conv(p["qkv"], group_norm(p["n"], x, 8)).reshape(x.shape[0], -1, 192)
        return x + conv(p["o"], attend(*jnp.split(qkv, 3, -1), 1).reshape(x.shape))

    def widened(x, skipped):
        return jnp.concatenate([x.repeat(2, 1).repeat(2, 2), skipped], -1)

    def forward(p, x, t):
        angles = t[:, None] * jnp.exp(-jnp.arange(16) * (9.21 / 16))
        t = linears(p["times"], jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], -1), nn.silu)
        wide = through(p["left1"], conv(p["first"], x, 1, 1), t)
        half = through(p["left2"], conv(p["down1"], wide, 2, 1), t)
        x = attention(p["attention"], through(p["middle1"], conv(p["down2"], half, 2, 1), t))
        x = through(p["right2"], widened(through(p["middle2"], x, t), half), t)
        x = through(p["right1"], widened(x, wide), t)
        return conv(p["out"], nn.silu(group_norm(p["n"], x, 8)), 1, 1)

    kept = jnp.cumprod(1 - jnp.linspace(1e-4, 0.02, 200))

    def loss(p, batch, noise):
        x, t = batch
        a = kept[t][:, None, None, None]
        return mse(forward(p, jnp.sqrt(a) * x + jnp.sqrt(1 - a) * noise, t), noise)

    return training_step(p, loss, (i.normal(16, 32, 32, 1), i.classes(200, 16)), i.normal(16, 32, 32, 1))


def vq_vae():
    i = Init()
    p = {"codes": i.normal(128, 32), "encoder": [i.conv(3, 32, 4), i.conv(32, 64, 4), i.conv(64, 32, 1)],
         "decoder": [i.conv(32, 64, 3), i.conv(64, 32, 4), i.conv(32, 3, 4)]}  # fmt: skip

    def loss(p, x, y):
        first, second, third = p["encoder"]
        z = conv(third, nn.relu(conv(second, nn.relu(conv(first, x, 2, 1)), 2, 1)))
        flat, codes = z.reshape(-1, 32), p["codes"]
        distance = (flat**2).sum(1, keepdims=True) - 2 * flat @ codes.T + (codes**2).sum(1)
        q = codes[distance.argmin(1)].reshape(z.shape)
        fixed = lax.stop_gradient
        first, second, third = p["decoder"]
        out = nn.relu(conv_transpose(second, nn.relu(conv(first, z + fixed(q - z), 1, 1)), 2, 1))
        return mse(conv_transpose(third, out, 2, 1), y) + mse(q, fixed(z)) + 0.25 * mse(z, fixed(q))

    x = i.normal(16, 32, 32, 3)
    return training_step(p, loss, x, x)


def spatial_transformer():
    i = Init()
    p = {"c": [i.conv(1, 10, 5), i.conv(10, 20, 5)], "f": [i.linear(320, 50), i.linear(50, 10)],
         "find": [i.conv(1, 8, 7), i.conv(8, 10, 5)],
         "place": [i.linear(90, 32), {"w": jnp.zeros((32, 6)), "b": jnp.array([1.0, 0, 0, 0, 1, 0])}]}  # fmt: skip
    middles = (2 * jnp.arange(28) + 1) / 28 - 1
    places = jnp.stack([*jnp.meshgrid(middles, middles, indexing="xy"), jnp.ones((28, 28))], -1)

    def sampled(image, theta):
        x, y = ((places @ theta.T + 1) * 28 - 1).transpose(2, 0, 1) / 2
        return map_coordinates(image[..., 0], [y, x], 1)[..., None]

    def loss(p, x, y):
        h = x
        for c in p["find"]:
            h = nn.relu(max_pool(conv(c, h), 2, 2))
        x = jax.vmap(sampled)(x, linears(p["place"], flat(h)).reshape(-1, 2, 3))
        for c in p["c"]:
            x = nn.relu(max_pool(conv(c, x), 2, 2))
        return cross_entropy(linears(p["f"], flat(x)), y)

    return training_step(p, loss, i.normal(64, 28, 28, 1), i.classes(10, 64), "sgd")


def text_reader():
    i = Init()
    p = {"c": [i.conv(1, 32, 3), i.conv(32, 64, 3), i.conv(64, 64, 3)], "n": norm_params(64),
         "l": [recurrent(i, 4, 256, 64), recurrent(i, 4, 256, 64)], "f": i.linear(128, 27)}  # fmt: skip

    def loss(p, x, y, mode):
        x = max_pool(nn.relu(conv(p["c"][0], x, 1, 1)), 2, 2)
        x = max_pool(nn.relu(conv(p["c"][1], x, 1, 1)), 2, 2)
        x = max_pool(nn.relu(mode.norm(p["n"], conv(p["c"][2], x, 1, 1))), (2, 1), (2, 1))
        x = x.transpose(2, 0, 1, 3).reshape(25, 16, 256)
        x = jnp.concatenate([lstm_layer(p["l"][0], x), lstm_layer(p["l"][1], x, reverse=True)], -1)
        return (ctc(nn.log_softmax(linear(p["f"], x)), *y) / y[1]).mean()

    letters = 1 + i.classes(26, 16, 8), jnp.full(16, 8)
    return step_in_mode(p, loss, i.normal(16, 32, 100, 1), letters)


def pixel_cnn():
    i = Init()
    p = {"c": [i.conv(a, 32, 7) for a in (1, 32, 32)], "n": [norm_params(32) for _ in range(3)], "out": i.conv(32, 16, 1)}
    before = (jnp.arange(49) < 24).reshape(7, 7, 1, 1).astype(jnp.float32)
    masks = [before] + 2 * [before.at[3, 3].set(1.0)]

    def loss(p, x, y, mode):
        for c, n, mask in zip(p["c"], p["n"], masks, strict=True):
            x = nn.relu(mode.norm(n, conv({**c, "w": c["w"] * mask}, x, 1, 3)))
        return cross_entropy(conv(p["out"], x), y)

    return step_in_mode(p, loss, i.rand(16, 28, 28, 1), i.classes(16, 16, 28, 28))


def capsules():
    i = Init()
    p = {"c": [i.conv(1, 64, 9), i.conv(64, 64, 9)], "w": 0.01 * i.normal(288, 8, 160)}

    def squash(s):
        n = (s**2).sum(-1, keepdims=True)
        return n / (1 + n) * s / jnp.sqrt(n + 1e-8)

    def loss(p, x, y):
        u = squash(conv(p["c"][1], nn.relu(conv(p["c"][0], x)), 2).reshape(-1, 288, 8))
        votes = jnp.einsum("nkd,kde->nke", u, p["w"]).reshape(-1, 288, 10, 16)
        logits = jnp.zeros(votes.shape[:3])
        for n in range(3):
            v = squash(jnp.einsum("nko,nkod->nod", nn.softmax(logits), votes))
            logits = logits + jnp.einsum("nkod,nod->nko", votes, v) if n < 2 else logits
        v = jnp.sqrt((v**2).sum(-1))
        return (y * nn.relu(0.9 - v) ** 2 + 0.5 * (1 - y) * nn.relu(v - 0.1) ** 2).sum(1).mean()

    return training_step(p, loss, i.rand(16, 28, 28, 1), nn.one_hot(i.classes(10, 16), 10))


NETWORKS = [efficientnet, resnext, diffusion, vq_vae, spatial_transformer, text_reader, pixel_cnn, capsules]
