"""bench/networks/images.py in JAX."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import nn

from ..jax_steps import (
    Init,
    adam,
    adam_state,
    attention,
    attention_block,
    avg_pool,
    clipped,
    conv,
    conv_transpose,
    cross_entropy,
    layer_norm,
    linear,
    max_pool,
    norm_params,
    repeated,
    running,
    training_step,
)
from .layers import (
    Mode,
    bce_with_logits,
    depth_to_space,
    flat,
    gelu,
    group_norm,
    leaky_relu,
    linears,
    mse,
    no_statistics,
    norm_of_conv,
    normed_conv,
    prelu,
    step_in_mode,
)


def mnist_example():
    i = Init()
    p = {"c": [i.conv(1, 32, 3), i.conv(32, 64, 3)], "f": [i.linear(9216, 128), i.linear(128, 10)]}

    def loss(p, x, y, mode):
        x = max_pool(nn.relu(conv(p["c"][1], nn.relu(conv(p["c"][0], x)))), 2, 2)
        x = nn.relu(linear(p["f"][0], flat(mode.dropout(x, 0.25))))
        return cross_entropy(linear(p["f"][1], mode.dropout(x, 0.5)), y)

    return step_in_mode(p, loss, i.normal(64, 28, 28, 1), i.classes(10, 64))


def lenet_sigmoid():
    i = Init()
    p = {"c": [i.conv(1, 6, 5), i.conv(6, 16, 5)], "f": [i.linear(400, 120), i.linear(120, 84), i.linear(84, 10)]}

    def loss(p, x, y):
        x = avg_pool(nn.sigmoid(conv(p["c"][0], x, 1, 2)), 2, 2)
        x = avg_pool(nn.sigmoid(conv(p["c"][1], x)), 2, 2)
        return cross_entropy(linears(p["f"], flat(x), nn.sigmoid), y)

    return training_step(p, loss, i.normal(256, 28, 28, 1), i.classes(10, 256), "sgd")


def cifar_cnn():
    i = Init()
    p = {"c": [i.conv(3, 32, 3), i.conv(32, 64, 3), i.conv(64, 64, 3)], "f": [i.linear(4096, 64), i.linear(64, 10)]}

    def loss(p, x, y):
        x = max_pool(nn.relu(conv(p["c"][0], x, 1, 1)), 2, 2)
        x = max_pool(nn.relu(conv(p["c"][1], x, 1, 1)), 2, 2)
        x = nn.relu(conv(p["c"][2], x, 1, 1))
        return cross_entropy(linears(p["f"], flat(x)), y)

    return training_step(p, loss, i.normal(32, 32, 32, 3), i.classes(10, 32))


def network_in_network():
    i = Init()
    shapes = ((1, 48, 5), (48, 96, 3), (96, 10, 3))
    p = [[i.conv(a, b, k), i.conv(b, b, 1), i.conv(b, b, 1)] for a, b, k in shapes]

    def loss(p, x, y):
        for n, (first, second, third) in enumerate(p):
            x = nn.relu(conv(first, x if n == 0 else max_pool(x, 3, 2), 1, shapes[n][2] // 2))
            x = nn.relu(conv(third, nn.relu(conv(second, x))))
        return cross_entropy(x.mean((1, 2)), y)

    return training_step(p, loss, i.normal(32, 28, 28, 1), i.classes(10, 32), "sgd")


def mobilenet_v2():
    i = Init()
    shapes = ((16, 16, 1), (16, 24, 2), (24, 24, 1), (24, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1))

    def block(a, b):
        return [normed_conv(i, a, 4 * a, 1), normed_conv(i, 4 * a, 4 * a, 3, 4 * a), normed_conv(i, 4 * a, b, 1)]

    p = {"stem": normed_conv(i, 3, 16, 3), "blocks": [block(a, b) for a, b, _ in shapes], "f": i.linear(64, 10)}

    def loss(p, x, y, mode):
        x = nn.relu6(norm_of_conv(p["stem"], mode, x, 2, 1))
        for (expand, depthwise, project), (a, b, stride) in zip(p["blocks"], shapes, strict=True):
            h = nn.relu6(norm_of_conv(expand, mode, x))
            h = norm_of_conv(project, mode, nn.relu6(norm_of_conv(depthwise, mode, h, stride, 1, 4 * a)))
            x = x + h if stride == 1 and a == b else h
        return cross_entropy(linear(p["f"], x.mean((1, 2))), y)

    return step_in_mode(p, loss, i.normal(16, 64, 64, 3), i.classes(10, 16), "sgd")


def resnet_bottleneck():
    i = Init()
    shapes = ((32, 32, 1), (128, 32, 1), (128, 64, 2), (256, 64, 1))

    def block(a, width, stride):
        b = 4 * width
        p = {"1": normed_conv(i, a, width, 1), "2": normed_conv(i, width, width, 3), "3": normed_conv(i, width, b, 1)}
        return {**p, "down": normed_conv(i, a, b, 1)} if stride > 1 or a != b else p

    p = {"stem": normed_conv(i, 3, 32, 7), "blocks": [block(*shape) for shape in shapes], "f": i.linear(256, 10)}

    def loss(p, x, y, mode):
        x = max_pool(nn.relu(norm_of_conv(p["stem"], mode, x, 2, 3)), 3, 2, 1)
        for b, (_, _, stride) in zip(p["blocks"], shapes, strict=True):
            h = nn.relu(norm_of_conv(b["2"], mode, nn.relu(norm_of_conv(b["1"], mode, x)), stride, 1))
            h = norm_of_conv(b["3"], mode, h)
            x = nn.relu(h + (norm_of_conv(b["down"], mode, x, stride) if "down" in b else x))
        return cross_entropy(linear(p["f"], x.mean((1, 2))), y)

    return step_in_mode(p, loss, i.normal(16, 96, 96, 3), i.classes(10, 16), "sgd")


def small_resnet():
    i = Init()
    shapes = ((16, 16, 1), (16, 32, 2), (32, 64, 2))

    def block(a, b, stride):
        p = {"c1": i.conv(a, b, 3), "n1": norm_params(b), "c2": i.conv(b, b, 3), "n2": norm_params(b)}
        return {**p, "down": i.conv(a, b, 1)} if stride > 1 or a != b else p

    p = {"c": i.conv(1, 16, 3), "n": norm_params(16), "blocks": [block(*shape) for shape in shapes], "f": i.linear(64, 10)}

    def loss(p, x, y, mode):
        x = nn.relu(mode.norm(p["n"], conv(p["c"], x, 1, 1)))
        for b, (_, _, stride) in zip(p["blocks"], shapes, strict=True):
            h = nn.relu(mode.norm(b["n1"], conv(b["c1"], x, stride, 1)))
            x = nn.relu(mode.norm(b["n2"], conv(b["c2"], h, 1, 1)) + (conv(b["down"], x, stride) if "down" in b else x))
        return cross_entropy(linear(p["f"], x.mean((1, 2))), y)

    return step_in_mode(p, loss, i.normal(32, 28, 28, 1), i.classes(10, 32), "sgd")


def inception():
    i = Init()

    def block(a, one, three, five, pooled):
        return {"one": i.conv(a, one, 1), "three": [i.conv(a, three[0], 1), i.conv(*three, 3)],
                "five": [i.conv(a, five[0], 1), i.conv(*five, 5)], "pooled": i.conv(a, pooled, 1)}  # fmt: skip

    blocks = [block(32, 16, (16, 32), (4, 8), 8), block(64, 32, (32, 64), (8, 16), 16)]
    p = {"stem": i.conv(3, 32, 3), "blocks": blocks, "f": i.linear(128, 10)}

    def loss(p, x, y):
        x = max_pool(nn.relu(conv(p["stem"], x, 1, 1)), 2, 2)
        for b in p["blocks"]:
            three = conv(b["three"][1], nn.relu(conv(b["three"][0], x)), 1, 1)
            five = conv(b["five"][1], nn.relu(conv(b["five"][0], x)), 1, 2)
            pooled = conv(b["pooled"], max_pool(x, 3, 1, 1))
            x = nn.relu(jnp.concatenate([conv(b["one"], x), three, five, pooled], -1))
        return cross_entropy(linear(p["f"], max_pool(x, 2, 2).mean((1, 2))), y)

    return training_step(p, loss, i.normal(32, 32, 32, 3), i.classes(10, 32), "sgd")


def densenet():
    i = Init()

    def dense(a):
        return [{"n": norm_params(b), "c": i.conv(b, 12, 3, False)} for b in range(a, a + 48, 12)]

    p = {"stem": i.conv(3, 24, 3, False), "first": dense(24), "between": {"n": norm_params(72), "c": i.conv(72, 36, 1, False)},
         "second": dense(36), "n": norm_params(84), "f": i.linear(84, 10)}  # fmt: skip

    def grown(layers, mode, x):
        for p in layers:
            x = jnp.concatenate([x, conv(p["c"], nn.relu(mode.norm(p["n"], x)), 1, 1)], -1)
        return x

    def loss(p, x, y, mode):
        x = grown(p["first"], mode, conv(p["stem"], x, 1, 1))
        x = avg_pool(conv(p["between"]["c"], nn.relu(mode.norm(p["between"]["n"], x))), 2, 2)
        x = nn.relu(mode.norm(p["n"], grown(p["second"], mode, x)))
        return cross_entropy(linear(p["f"], x.mean((1, 2))), y)

    return step_in_mode(p, loss, i.normal(16, 32, 32, 3), i.classes(10, 16), "sgd")


def shufflenet():
    i = Init()
    shapes = ((24, 48, 2), (48, 48, 1), (48, 96, 2), (96, 96, 1))

    def block(a, b, stride):
        b = b - a if stride > 1 else b
        return [normed_conv(i, a, a, 1, 3), normed_conv(i, a, a, 3, a), normed_conv(i, a, b, 1, 3)]

    p = {"stem": normed_conv(i, 3, 24, 3), "blocks": [block(*shape) for shape in shapes], "f": i.linear(96, 10)}

    def loss(p, x, y, mode):
        x = nn.relu(norm_of_conv(p["stem"], mode, x, 2, 1))
        for (expand, depthwise, project), (a, _, stride) in zip(p["blocks"], shapes, strict=True):
            h = nn.relu(norm_of_conv(expand, mode, x, groups=3))
            h = h.reshape(*h.shape[:3], 3, a // 3).swapaxes(3, 4).reshape(h.shape)
            h = norm_of_conv(project, mode, norm_of_conv(depthwise, mode, h, stride, 1, a), groups=3)
            x = nn.relu(jnp.concatenate([avg_pool(x, 3, 2, 1), h], -1) if stride > 1 else x + h)
        return cross_entropy(linear(p["f"], x.mean((1, 2))), y)

    return step_in_mode(p, loss, i.normal(16, 64, 64, 3), i.classes(10, 16), "sgd")


def convnext():
    i = Init()

    def block(d):
        return {"c": i.conv(d, d, 7, groups=d), "n": norm_params(d), "f": [i.linear(d, 4 * d), i.linear(4 * d, d)],
                "scale": jnp.full(d, 0.1)}  # fmt: skip

    p = {"stem": i.conv(3, 48, 4), "n1": norm_params(48), "first": [block(48), block(48)], "n2": norm_params(48),
         "down": i.conv(48, 96, 2), "second": [block(96), block(96)], "n3": norm_params(96), "f": i.linear(96, 10)}  # fmt: skip

    def through(blocks, x):
        for b in blocks:
            h = layer_norm(b["n"], conv(b["c"], x, 1, 3, groups=x.shape[-1]))
            x = x + b["scale"] * linears(b["f"], h, gelu)
        return x

    def loss(p, x, y):
        x = through(p["first"], layer_norm(p["n1"], conv(p["stem"], x, 4)))
        x = through(p["second"], conv(p["down"], layer_norm(p["n2"], x), 2))
        return cross_entropy(linear(p["f"], layer_norm(p["n3"], x.mean((1, 2)))), y)

    return training_step(p, loss, i.normal(16, 64, 64, 3), i.classes(10, 16), "adamw")


def group_norm_silu():
    i = Init()
    shapes = ((3, 32), (32, 64), (64, 128))
    p = {"c": [i.conv(a, b, 3) for a, b in shapes], "n": [norm_params(b) for _, b in shapes], "f": i.linear(128, 10)}

    def loss(p, x, y):
        for c, n in zip(p["c"], p["n"], strict=True):
            x = nn.silu(group_norm(n, conv(c, x, 2, 1), 8))
        return cross_entropy(linear(p["f"], x.mean((1, 2))), y)

    return training_step(p, loss, i.normal(32, 32, 32, 3), i.classes(10, 32))


def conv3d():
    i = Init()
    p = {"c": [i.conv(1, 8, 3, dims=3), i.conv(8, 16, 3, dims=3)], "f": [i.linear(4096, 64), i.linear(64, 10)]}

    def loss(p, x, y):
        for c in p["c"]:
            x = max_pool(nn.relu(conv(c, x, 1, 1)), 2, 2)
        return cross_entropy(linears(p["f"], flat(x)), y)

    return training_step(p, loss, i.normal(8, 16, 32, 32, 1), i.classes(10, 8), "sgd")


def unet():
    i = Init()

    def double(a, b):
        return [{"c": i.conv(a, b, 3), "n": norm_params(b)}, {"c": i.conv(b, b, 3), "n": norm_params(b)}]

    p = {"down1": double(1, 16), "down2": double(16, 32), "bottom": double(32, 64), "widen1": i.conv(64, 32, 2),
         "widen2": i.conv(32, 16, 2), "up1": double(64, 32), "up2": double(32, 16), "out": i.conv(16, 1, 1)}  # fmt: skip

    def loss(p, x, y, mode):
        def through(name, x):
            for layer in p[name]:
                x = nn.relu(mode.norm(layer["n"], conv(layer["c"], x, 1, 1)))
            return x

        def joined(name, x, skipped):
            return jnp.concatenate([conv_transpose(p[name], x, 2, 0), skipped], -1)

        a = through("down1", x)
        b = through("down2", max_pool(a, 2, 2))
        x = through("up1", joined("widen1", through("bottom", max_pool(b, 2, 2)), b))
        return bce_with_logits(conv(p["out"], through("up2", joined("widen2", x, a))), y).mean()

    return step_in_mode(p, loss, i.normal(4, 64, 64, 1), i.rand(4, 64, 64, 1))


def super_resolution():
    i = Init()
    p = [i.conv(1, 64, 9), i.conv(64, 32, 1), i.conv(32, 1, 5)]

    def loss(p, x, y):
        return mse(conv(p[2], nn.relu(conv(p[1], nn.relu(conv(p[0], x, 1, 4)))), 1, 2), y)

    return training_step(p, loss, i.rand(16, 33, 33, 1), i.rand(16, 33, 33, 1))


def sub_pixel():
    i = Init()
    p = [i.conv(1, 64, 5), i.conv(64, 64, 3), i.conv(64, 32, 3), i.conv(32, 9, 3)]

    def loss(p, x, y):
        x = nn.relu(conv(p[0], x, 1, 2))
        x = conv(p[3], nn.relu(conv(p[2], nn.relu(conv(p[1], x, 1, 1)), 1, 1)), 1, 1)
        return mse(depth_to_space(x, 3), y)

    return training_step(p, loss, i.rand(8, 32, 32, 1), i.rand(8, 96, 96, 1))


def style_transfer():
    i = Init()

    def layer(a, b, k, act=True):
        p = {"c": i.conv(a, b, k), "n": norm_params(b)}
        return {**p, "a": jnp.array(0.25)} if act else p

    p = {"first": layer(3, 16, 9), "down": layer(16, 32, 3), "residual": [layer(32, 32, 3), layer(32, 32, 3, False)],
         "up": layer(32, 16, 3), "out": i.conv(16, 3, 9)}  # fmt: skip

    def padded(c, x, stride=1):
        pad = c["w"].shape[0] // 2
        return conv(c, jnp.pad(x, [(0, 0), (pad, pad), (pad, pad), (0, 0)], mode="reflect"), stride)

    def through(p, x, stride=1):
        x = padded(p["c"], x, stride)
        x = group_norm(p["n"], x, x.shape[-1])
        return prelu(p["a"], x) if "a" in p else x

    def loss(p, x, y):
        x = through(p["down"], through(p["first"], x), 2)
        x = x + through(p["residual"][1], through(p["residual"][0], x))
        x = through(p["up"], x.repeat(2, 1).repeat(2, 2))
        return mse(padded(p["out"], x), y)

    return training_step(p, loss, i.rand(4, 64, 64, 3), i.rand(4, 64, 64, 3))


def _discriminator(i, channels):
    return {
        "first": i.conv(channels, 32, 4),
        "normed": [normed_conv(i, 32, 64, 4), normed_conv(i, 64, 128, 4)],
        "last": i.conv(128, 1, 4),
    }


def _discriminate(p, x, mode):
    x = leaky_relu(conv(p["first"], x, 2, 1))
    for layer in p["normed"]:
        x = leaky_relu(norm_of_conv(layer, mode, x, 2, 1))
    return flat(conv(p["last"], x))


def dcgan_discriminator():
    i = Init()

    def loss(p, x, y, mode):
        return bce_with_logits(_discriminate(p, x, mode), y).mean()

    return step_in_mode(_discriminator(i, 3), loss, i.normal(64, 32, 32, 3), i.rand(64, 1))


def gan():
    i = Init()
    widened = [normed_conv(i, a, b, 4) for a, b in ((64, 128), (128, 64), (64, 32))]
    g, d = {"normed": widened, "last": i.conv(32, 1, 4)}, _discriminator(i, 1)
    update = functools.partial(adam, rate=2e-4, beta=0.5)
    images = 2 * i.rand(64, 32, 32, 1) - 1

    def generate(g, x, mode):
        for n, layer in enumerate(g["normed"]):
            stride, pad = (1, 0) if n == 0 else (2, 1)
            x = nn.relu(mode.norm(layer["n"], conv_transpose(layer["c"], x, stride, pad)))
        return jnp.tanh(conv_transpose(g["last"], x, 2, 1))

    def step(g, d, opt_g, opt_d, state, images):
        key, stats_g, stats_d = state
        key, drawn = jax.random.split(key)
        noise = jax.random.normal(drawn, (64, 1, 1, 64))

        def generated(g):
            mode = Mode(key)
            return generate(g, noise, mode), mode.stats

        def loss_d(d):
            on_real, on_made = Mode(key), Mode(key)
            real, fake = _discriminate(d, images, on_real), _discriminate(d, made, on_made)
            return bce_with_logits(real, 1.0).mean() + bce_with_logits(fake, 0.0).mean(), (on_real.stats, on_made.stats)

        def loss_g(made):
            mode = Mode(key)
            return bce_with_logits(_discriminate(d, made, mode), 1.0).mean(), mode.stats

        # The generator runs once; its gradient comes through the discriminator's new weights.
        made, pull, of_generator = jax.vjp(generated, g, has_aux=True)
        (value_d, of_both), grads = jax.value_and_grad(loss_d, has_aux=True)(d)
        d, opt_d = update(d, clipped(grads)[0], opt_d)
        (value_g, of_made), grads = jax.value_and_grad(loss_g, has_aux=True)(made)
        g, opt_g = update(g, clipped(*pull(grads))[0], opt_g)
        for stats in (*of_both, of_made):
            stats_d = running(stats_d, stats)
        return value_d + value_g, g, d, opt_g, opt_d, (key, running(stats_g, of_generator), stats_d)

    noise = jnp.zeros((64, 1, 1, 64))
    state = jax.random.PRNGKey(1), no_statistics(generate, g, noise), no_statistics(_discriminate, d, images)
    return repeated(step, [g, d, adam_state(g), adam_state(d), state], images)


def vit():
    i = Init()
    p = {"patches": i.conv(3, 96, 4), "token": jnp.zeros((1, 1, 96)), "positions": i.normal(1, 65, 96) * 0.02,
         "blocks": [attention_block(i, 96, 384) for _ in range(3)], "f": i.linear(96, 10)}  # fmt: skip

    def loss(p, x, y):
        x = conv(p["patches"], x, 4).reshape(x.shape[0], 64, 96)
        x = jnp.concatenate([jnp.broadcast_to(p["token"], (x.shape[0], 1, 96)), x], 1) + p["positions"]
        for b in p["blocks"]:
            x = x + attention(b, layer_norm(b["n1"], x), 4)
            x = x + linear(b["f2"], gelu(linear(b["f1"], layer_norm(b["n2"], x))))
        return cross_entropy(linear(p["f"], x[:, 0]), y)

    return training_step(p, loss, i.normal(16, 32, 32, 3), i.classes(10, 16), "adamw")


def mlp_mixer():
    i = Init()

    def block():
        return {"n1": norm_params(128), "n2": norm_params(128), "tokens": [i.linear(64, 128), i.linear(128, 64)],
                "channels": [i.linear(128, 512), i.linear(512, 128)]}  # fmt: skip

    p = {"patches": i.conv(3, 128, 4), "blocks": [block(), block()], "f": i.linear(128, 10)}

    def loss(p, x, y):
        x = conv(p["patches"], x, 4).reshape(x.shape[0], 64, 128)
        for b in p["blocks"]:
            x = x + linears(b["tokens"], layer_norm(b["n1"], x).swapaxes(1, 2), gelu).swapaxes(1, 2)
            x = x + linears(b["channels"], layer_norm(b["n2"], x), gelu)
        return cross_entropy(linear(p["f"], x.mean(1)), y)

    return training_step(p, loss, i.normal(16, 32, 32, 3), i.classes(10, 16))


NETWORKS = [
    mnist_example, lenet_sigmoid, cifar_cnn, network_in_network, mobilenet_v2, resnet_bottleneck, small_resnet, inception, densenet,
    shufflenet, convnext, group_norm_silu, conv3d, unet, super_resolution, sub_pixel, style_transfer, dcgan_discriminator, gan, vit,
    mlp_mixer,
]  # fmt: skip
