"""bench/networks/signals.py in JAX. Time comes first for recurrent layers, and before channels for convolutions."""

from __future__ import annotations

import jax.numpy as jnp
from jax import nn

from ..jax_steps import (
    Init,
    attention,
    attention_block,
    conv,
    conv_transpose,
    gru_layer,
    layer_norm,
    linear,
    lstm_layer,
    norm_params,
    recurrent,
    training_step,
)
from .layers import ctc_loss, gelu, group_norm, linears, mse, norm_of_conv, prelu, smooth_l1, step_in_mode


def ctc():
    i = Init()
    p = {"c": [{"c": i.conv(a, 128, 3, dims=1), "n": norm_params(128)} for a in (80, 128)],
         "l": [recurrent(i, 3, 128, 128), recurrent(i, 3, 128, 128)], "f": i.linear(256, 29)}  # fmt: skip

    def loss(p, x, y, mode):
        for layer, stride in zip(p["c"], (2, 1), strict=True):
            x = nn.relu(norm_of_conv(layer, mode, x, stride, 1))
        x = x.swapaxes(0, 1)
        x = jnp.concatenate([gru_layer(p["l"][0], x), gru_layer(p["l"][1], x, reverse=True)], -1)
        return (ctc_loss(nn.log_softmax(linear(p["f"], x)), *y) / y[1]).mean()

    letters = 1 + i.classes(28, 16, 20), 10 + i.classes(11, 16)
    return step_in_mode(p, loss, i.normal(16, 100, 80), letters)


def conv_tasnet():
    i = Init()

    def block(dilation):
        return {"into": i.linear(64, 128), "depthwise": i.conv(128, 128, 3, groups=128, dims=1), "out": i.linear(128, 64),
                "n": [norm_params(128), norm_params(128)], "slopes": jnp.full(2, 0.25)}  # fmt: skip

    dilations = [2**n for n in range(6)]
    p = {"encoder": i.conv(1, 64, 16, False, dims=1), "n": norm_params(64), "blocks": [block(d) for d in dilations],
         "masks": i.linear(64, 128), "decoder": i.conv(64, 1, 16, False, dims=1)}  # fmt: skip

    def voices(p, x):
        waves = nn.relu(conv(p["encoder"], x[..., None], 8))
        h = group_norm(p["n"], waves, 1)
        for b, dilation in zip(p["blocks"], dilations, strict=True):
            inner = group_norm(b["n"][0], prelu(b["slopes"][0], linear(b["into"], h)), 1)
            inner = conv(b["depthwise"], inner, 1, dilation, dilation, 128)
            h = h + linear(b["out"], group_norm(b["n"][1], prelu(b["slopes"][1], inner), 1))
        masks = nn.sigmoid(linear(p["masks"], h)).reshape(4, -1, 2, 64)
        parted = (masks * waves[:, :, None]).swapaxes(1, 2).reshape(8, -1, 64)
        return conv_transpose(p["decoder"], parted, 8, 0).reshape(4, 2, 4000)

    def loss(p, x, y):
        out = voices(p, x)
        out, y = (u - u.mean(-1, keepdims=True) for u in (out, y))
        voice = (out * y).sum(-1, keepdims=True) * y / ((y**2).sum(-1, keepdims=True) + 1e-8)
        return -10 * jnp.log10((voice**2).sum(-1) / (((out - voice) ** 2).sum(-1) + 1e-8) + 1e-8).mean()

    return training_step(p, loss, i.normal(4, 4000), i.normal(4, 2, 4000))


def deepar():
    i = Init()
    p = {"series": i.normal(30, 8), "l": [recurrent(i, 4, 13, 40), recurrent(i, 4, 40, 40)], "mean": i.linear(40, 1),
         "deviation": i.linear(40, 1)}  # fmt: skip

    def loss(p, batch, y):
        x, series = batch
        x = jnp.concatenate([x.swapaxes(0, 1), jnp.broadcast_to(p["series"][series], (48, 64, 8))], -1)
        h = lstm_layer(p["l"][1], lstm_layer(p["l"][0], x))
        mean, deviation = (linear(p[name], h)[..., 0].T for name in ("mean", "deviation"))
        variance = jnp.maximum((nn.softplus(deviation) + 1e-3) ** 2, 1e-6)
        return 0.5 * (jnp.log(variance) + (mean - y) ** 2 / variance).mean()

    return training_step(p, loss, (i.normal(64, 48, 5), i.classes(30, 64)), i.normal(64, 48))


def patchtst():
    i = Init()
    p = {"patches": i.linear(16, 64), "positions": 0.02 * i.normal(11, 64), "blocks": [attention_block(i, 64, 128) for _ in range(2)],
         "f": i.linear(704, 24)}  # fmt: skip
    places = 8 * jnp.arange(11)[:, None] + jnp.arange(16)

    def loss(p, x, y):
        mean, deviation = x.mean(1, keepdims=True), x.std(1, ddof=1, keepdims=True) + 1e-5
        x = ((x - mean) / deviation).swapaxes(1, 2).reshape(-1, 96)
        x = linear(p["patches"], x[:, places]) + p["positions"]
        for b in p["blocks"]:
            x = layer_norm(b["n1"], x + attention(b, x, 4))
            x = layer_norm(b["n2"], x + linears([b["f1"], b["f2"]], x, gelu))
        x = linear(p["f"], x.reshape(-1, 704)).reshape(32, 7, 24).swapaxes(1, 2)
        return mse(x * deviation + mean, y)

    return training_step(p, loss, i.normal(32, 96, 7), i.normal(32, 24, 7))


def nbeats():
    i = Init()

    def block():
        layers = [i.linear(60, 128), *(i.linear(128, 128) for _ in range(3))]
        return {"layers": layers, "backcast": i.linear(128, 60), "forecast": i.linear(128, 12)}

    p = [block() for _ in range(6)]

    def loss(p, x, y):
        total = 0
        for b in p:
            h = nn.relu(linears(b["layers"], x))
            x, total = x - linear(b["backcast"], h), total + linear(b["forecast"], h)
        return smooth_l1(total, y)

    return training_step(p, loss, i.normal(128, 60), i.normal(128, 12))


NETWORKS = [ctc, conv_tasnet, deepar, patchtst, nbeats]
