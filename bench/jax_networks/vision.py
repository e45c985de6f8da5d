"""bench/networks/vision.py in JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax, nn
from jax.scipy.ndimage import map_coordinates

from ..jax_steps import (
    Init,
    attend,
    attention,
    attention_block,
    avg_pool,
    conv,
    conv_transpose,
    cross_entropy,
    layer_norm,
    linear,
    lstm_layer,
    max_pool,
    norm_params,
    recurrent,
    training_step,
)
from .layers import (
    bce_with_logits,
    ctc_loss,
    depth_to_space,
    distance,
    flat,
    gelu,
    group_norm,
    leaky_relu,
    linears,
    mse,
    norm_of_conv,
    normed_conv,
    prelu,
    step_in_mode,
)


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
        return (ctc_loss(nn.log_softmax(linear(p["f"], x)), *y) / y[1]).mean()

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


def swin():
    i = Init()
    stages = (48, 3, 16, 4), (96, 6, 8, 2)

    def block(d, heads):
        return {**attention_block(i, d, 4 * d), "biases": 0.02 * i.normal(49, heads)}

    p = {"patches": i.conv(3, 48, 2), "blocks": [[block(d, heads), block(d, heads)] for d, heads, *_ in stages],
         "merge": {"n": norm_params(192), "w": i.matrix(192, 96)}, "n": norm_params(96), "f": i.linear(96, 10)}  # fmt: skip
    places = jnp.stack(jnp.meshgrid(jnp.arange(4), jnp.arange(4), indexing="ij"), -1).reshape(16, 2)
    offsets = (places[:, None] - places + 3) @ jnp.array([7, 1])

    def windows(x):
        b, h, w, c = x.shape
        return x.reshape(b, h // 4, 4, w // 4, 4, c).swapaxes(2, 3).reshape(-1, 16, c)

    def whole(x, n):
        return x.reshape(-1, n, n, 4, 4, x.shape[-1]).swapaxes(2, 3).reshape(-1, 4 * n, 4 * n, x.shape[-1])

    def between_regions(size):
        region = jnp.digitize(jnp.arange(size), jnp.array([size - 4, size - 2]))
        regions = windows((3 * region[:, None] + region)[None, ..., None])[..., 0]
        return jnp.where(regions[:, None] != regions[:, :, None], -100.0, 0.0)[:, None]

    masks = [between_regions(size) for _, _, size, _ in stages]

    def through(b, x, heads, mask=None):
        bias, h = b["biases"][offsets].transpose(2, 0, 1), layer_norm(b["n1"], x)
        if mask is None:
            h = whole(attention(b, windows(h), heads, bias=bias), h.shape[1] // 4)
        else:
            bias = jnp.tile(bias + mask, (len(x), 1, 1, 1))
            h = whole(attention(b, windows(jnp.roll(h, (-2, -2), (1, 2))), heads, bias=bias), h.shape[1] // 4)
            h = jnp.roll(h, (2, 2), (1, 2))
        x = x + h
        return x + linears([b["f1"], b["f2"]], layer_norm(b["n2"], x), gelu)

    def loss(p, x, y):
        x = conv(p["patches"], x, 2)
        for n, ((plain, shifted), (_, heads, *_)) in enumerate(zip(p["blocks"], stages, strict=True)):
            if n == 1:
                x = jnp.concatenate([x[:, k::2, m::2] for m in (0, 1) for k in (0, 1)], -1)
                x = layer_norm(p["merge"]["n"], x) @ p["merge"]["w"]
            x = through(shifted, through(plain, x, heads), heads, masks[n])
        return cross_entropy(linear(p["f"], layer_norm(p["n"], x).mean((1, 2))), y, 0.1)

    return training_step(p, loss, i.normal(8, 32, 32, 3), i.classes(10, 8), "adamw")


def mobilenet_v3():
    i = Init()
    shapes = (
        (16, 16, 16, 3, 2, True, nn.relu), (16, 72, 24, 3, 2, False, nn.relu), (24, 88, 24, 3, 1, False, nn.relu),
        (24, 96, 40, 5, 2, True, nn.hard_swish), (40, 240, 40, 5, 1, True, nn.hard_swish), (40, 120, 48, 5, 1, True, nn.hard_swish),
    )  # fmt: skip

    def block(a, m, b, kernel, stride, excited, act):
        p = {"expand": normed_conv(i, a, m, 1), "depthwise": normed_conv(i, m, m, kernel, m), "project": normed_conv(i, m, b, 1)}
        return {**p, "weights": [i.linear(m, m // 4), i.linear(m // 4, m)]} if excited else p

    p = {"stem": normed_conv(i, 3, 16, 3), "blocks": [block(*shape) for shape in shapes], "last": i.conv(48, 288, 1),
         "f": i.linear(288, 10)}  # fmt: skip

    def loss(p, x, y, mode):
        x = nn.hard_swish(norm_of_conv(p["stem"], mode, x, 2, 1))
        for b, (width, m, out, kernel, stride, _, act) in zip(p["blocks"], shapes, strict=True):
            h = act(norm_of_conv(b["expand"], mode, x))
            h = norm_of_conv(b["depthwise"], mode, h, stride, kernel // 2, m)
            h = h * nn.hard_sigmoid(linears(b["weights"], h.mean((1, 2))))[:, None, None] if "weights" in b else h
            h = norm_of_conv(b["project"], mode, act(h))
            x = x + h if stride == 1 and width == out else h
        return cross_entropy(linear(p["f"], nn.hard_swish(conv(p["last"], x)).mean((1, 2))), y)

    return step_in_mode(p, loss, i.normal(16, 64, 64, 3), i.classes(10, 16), "sgd")


def srgan():
    i = Init()

    def normed():
        return {"c": i.conv(32, 32, 3), "n": norm_params(32)}

    def slope():
        return jnp.array(0.25)

    p = {"first": i.conv(3, 32, 9), "slope": slope(), "blocks": [[normed(), slope(), normed()] for _ in range(6)], "after": normed(),
         "widen": [(i.conv(32, 128, 3), slope()) for _ in range(2)], "last": i.conv(32, 3, 9)}  # fmt: skip

    def loss(p, x, y, mode):
        x = first = prelu(p["slope"], conv(p["first"], x, 1, 4))
        for before, a, after in p["blocks"]:
            x = x + norm_of_conv(after, mode, prelu(a, norm_of_conv(before, mode, x, 1, 1)), 1, 1)
        x = first + norm_of_conv(p["after"], mode, x, 1, 1)
        for c, a in p["widen"]:
            x = prelu(a, depth_to_space(conv(c, x, 1, 1), 2))
        return jnp.abs(jnp.tanh(conv(p["last"], x, 1, 4)) - y).mean()

    return step_in_mode(p, loss, i.rand(4, 24, 24, 3), i.rand(4, 96, 96, 3))


def pix2pix():
    i = Init()
    up = (256, 128), (256, 64), (128, 32)
    p = {"first": i.conv(3, 32, 4, False), "down": [normed_conv(i, 32, 64, 4), normed_conv(i, 64, 128, 4)],
         "bottom": i.conv(128, 256, 4, False), "up": [{"c": i.conv(a, b, 4), "n": norm_params(b)} for a, b in up],
         "last": i.conv(64, 3, 4)}  # fmt: skip

    def loss(p, x, y, mode):
        skipped = [conv(p["first"], x, 2, 1)]
        for layer in p["down"]:
            skipped.append(norm_of_conv(layer, mode, leaky_relu(skipped[-1]), 2, 1))
        x = conv(p["bottom"], leaky_relu(skipped[-1]), 2, 1)
        for layer in p["up"]:
            x = mode.norm(layer["n"], conv_transpose(layer["c"], nn.relu(x), 2, 1))
            x = jnp.concatenate([x, skipped.pop()], -1)
        return jnp.abs(jnp.tanh(conv_transpose(p["last"], nn.relu(x), 2, 1)) - y).mean()

    return step_in_mode(p, loss, i.normal(4, 64, 64, 3), i.normal(4, 64, 64, 3), rate=2e-4, beta=0.5)


def dice_unet():
    i = Init()

    def double(a, b):
        return [normed_conv(i, a, b, 3), normed_conv(i, b, b, 3)]

    p = {"down": [double(a, b) for a, b in ((1, 16), (16, 32), (32, 64), (64, 64))],
         "up": [double(a, b) for a, b in ((128, 32), (64, 16), (32, 16))], "out": i.conv(16, 1, 1)}  # fmt: skip

    def widened(x):
        """Bilinear, corners on corners; jax.image.resize has the edges of corner pixels on each other."""
        b, n, _, c = x.shape
        scale = (2 * n - 1) / (n - 1)
        scales, shifts = jnp.full(2, scale), jnp.full(2, 0.5 - 0.5 * scale)
        return jax.image.scale_and_translate(x, (b, 2 * n, 2 * n, c), (1, 2), scales, shifts, "linear", antialias=False)

    def loss(p, x, y, mode):
        def through(layers, x):
            for layer in layers:
                x = nn.relu(norm_of_conv(layer, mode, x, 1, 1))
            return x

        skipped = [through(p["down"][0], x)]
        for layers in p["down"][1:]:
            skipped.append(through(layers, max_pool(skipped[-1], 2, 2)))
        x = skipped.pop()
        for layers in p["up"]:
            x = through(layers, jnp.concatenate([skipped.pop(), widened(x)], -1))
        out = conv(p["out"], x)
        q = nn.sigmoid(out)
        dice = (2 * (q * y).sum((1, 2, 3)) + 1) / (q.sum((1, 2, 3)) + y.sum((1, 2, 3)) + 1)
        return bce_with_logits(out, y).mean() + 1 - dice.mean()

    y = (i.rand(4, 64, 64, 1) > 0.7).astype(jnp.float32)
    return step_in_mode(p, loss, i.normal(4, 64, 64, 1), y, "rmsprop", rate=1e-4, decay=1e-8)


def detector():
    i = Init()
    p = {"c": [normed_conv(i, a, b, 3) for a, b in ((3, 16), (16, 32), (32, 64), (64, 128))], "out": i.conv(128, 16, 1)}
    anchors = jnp.array([[1.0, 1.5], [2.0, 1.0]])
    grid = jnp.stack(jnp.meshgrid(jnp.arange(8.0), jnp.arange(8.0), indexing="xy"), -1)[:, :, None]

    def area(size):
        return nn.relu(size).prod(-1)

    def loss(p, x, target, mode):
        for n, layer in enumerate(p["c"]):
            x = nn.leaky_relu(norm_of_conv(layer, mode, max_pool(x, 2, 2) if n else x, 1, 1), 0.1)
        out = conv(p["out"], x).reshape(8, 8, 8, 2, 8)
        middle, size = (nn.sigmoid(out[..., :2]) + grid) / 8, jnp.exp(out[..., 2:4]) * anchors / 8
        low, high = middle - size / 2, middle + size / 2
        there = target[..., 4] > 0.9
        count = jnp.maximum(there.sum(), 1)
        shared = area(jnp.minimum(high, target[..., 2:4]) - jnp.maximum(low, target[..., :2]))
        overlap = shared / (area(high - low) + area(target[..., 2:4] - target[..., :2]) - shared + 1e-7)
        boxes = jnp.where(there, 1 - overlap, 0.0).sum() / count
        objects = bce_with_logits(out[..., 4], there.astype(jnp.float32))
        kinds = jnp.minimum((target[..., 5] * 3).astype(int), 2)
        classes = -jnp.take_along_axis(nn.log_softmax(out[..., 5:]), kinds[..., None], -1)[..., 0] * there
        return 5 * boxes + jnp.where(there, objects, 0.5 * objects).mean() + classes.sum() / count

    return step_in_mode(p, loss, i.normal(8, 64, 64, 3), i.rand(8, 8, 8, 2, 6), "sgd")


def convlstm():
    i = Init()
    p = {"gates": i.conv(17, 64, 3), "out": i.conv(16, 1, 1)}

    def loss(p, x, y):
        of_frame, of_state = jnp.split(p["gates"]["w"], [1], 2)
        gates = conv({"w": of_frame, "b": p["gates"]["b"]}, x.reshape(64, 32, 32, 1), 1, 1).reshape(8, 8, 32, 32, 64)

        def step(carry, g):
            hidden, cell = carry
            a, f, o, u = jnp.split(g + conv({"w": of_state}, hidden, 1, 1), 4, -1)
            cell = nn.sigmoid(f) * cell + nn.sigmoid(a) * jnp.tanh(u)
            hidden = nn.sigmoid(o) * jnp.tanh(cell)
            return (hidden, cell), hidden

        zero = jnp.zeros((8, 32, 32, 16))
        _, states = lax.scan(step, (zero, zero), gates, unroll=True)  # in a loop XLA's convolutions take ten times as long
        return mse(conv(p["out"], states.reshape(64, 32, 32, 16)).reshape(y.shape), y)

    x = i.rand(8, 8, 32, 32, 1)  # time comes first
    return training_step(p, loss, x, jnp.roll(x, -1, 0))


def protonet():
    i = Init()
    p = [{"c": i.conv(a, 32, 3), "n": norm_params(32)} for a in (1, 32, 32, 32)]

    def loss(p, x, y, mode):
        for layer in p:
            x = max_pool(nn.relu(norm_of_conv(layer, mode, x, 1, 1)), 2, 2)
        z = flat(x)
        prototypes = z[:25].reshape(5, 5, -1).mean(1)
        return cross_entropy(-((z[25:, None] - prototypes) ** 2).sum(-1), y)

    return step_in_mode(p, loss, i.normal(50, 28, 28, 1), jnp.arange(5).repeat(5))


def siamese():
    i = Init()
    p = {"c": [i.conv(1, 32, 5), i.conv(32, 64, 5)], "f": [i.linear(1024, 256), i.linear(256, 256), i.linear(256, 2)],
         "slopes": jnp.full(4, 0.25)}  # fmt: skip

    def code(p, x):
        for c, a in zip(p["c"], p["slopes"][:2], strict=True):
            x = max_pool(prelu(a, conv(c, x)), 2, 2)
        x = flat(x)
        for f, a in zip(p["f"][:2], p["slopes"][2:], strict=True):
            x = prelu(a, linear(f, x))
        return linear(p["f"][2], x)

    def loss(p, pair, same):
        d = distance(*(code(p, x) for x in pair))
        return (same * d**2 + (1 - same) * nn.relu(1 - d) ** 2).mean() / 2

    pair = i.normal(32, 28, 28, 1), i.normal(32, 28, 28, 1)
    return training_step(p, loss, pair, i.classes(2, 32).astype(jnp.float32))


NETWORKS = [
    efficientnet, resnext, diffusion, vq_vae, spatial_transformer, text_reader, pixel_cnn, capsules, swin, mobilenet_v3, srgan,
    pix2pix, dice_unet, detector, convlstm, protonet, siamese,
]  # fmt: skip
