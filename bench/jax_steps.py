"""The same training steps in JAX: one jitted function with donated buffers, in the layouts that XLA likes (channels last).

Weights are drawn by JAX, so losses are of the same kind but not the same numbers.
"""

from __future__ import annotations

import functools
import itertools

import jax
import jax.numpy as jnp
from jax import lax, nn


def _keys(seed=0):
    key = jax.random.PRNGKey(seed)
    while True:
        key, k = jax.random.split(key)
        yield k


class Init:
    """PyTorch's default initialisation: uniform within 1 / sqrt(fan in)."""

    def __init__(self):
        self.keys = _keys()

    def uniform(self, shape, fan_in):
        b = fan_in**-0.5
        return jax.random.uniform(next(self.keys), shape, minval=-b, maxval=b)

    def linear(self, n, m):
        return {"w": self.uniform((n, m), n), "b": self.uniform((m,), n)}

    def conv(self, c, o, k, bias=True, groups=1, dims=2):
        fan_in = c // groups * k**dims
        p = {"w": self.uniform((*[k] * dims, c // groups, o), fan_in)}
        return {**p, "b": self.uniform((o,), fan_in)} if bias else p

    def matrix(self, n, m):
        """A linear layer without bias: its weight."""
        return self.uniform((n, m), n)

    def rand(self, *shape):
        return jax.random.uniform(next(self.keys), shape)

    def normal(self, *shape):
        return jax.random.normal(next(self.keys), shape)

    def classes(self, n, *shape):
        return jax.random.randint(next(self.keys), shape, 0, n)


def linear(p, x):
    return x @ p["w"] + p["b"]


_LAYOUTS = {1: ("NWC", "WIO", "NWC"), 2: ("NHWC", "HWIO", "NHWC"), 3: ("NDHWC", "DHWIO", "NDHWC")}


def _depthwise(p, x, stride, edges, dilation):
    """As a sum of products, several times as fast on a CPU as XLA's convolution with groups."""
    n, k, reach = x.ndim - 2, p["w"].shape[0], dilation * (p["w"].shape[0] - 1)
    x, total = jnp.pad(x, [(0, 0), *[edges] * n, (0, 0)]), p.get("b", 0.0)
    for place in itertools.product(range(k), repeat=n):
        seen = (slice(dilation * i, size - reach + dilation * i, stride) for i, size in zip(place, x.shape[1:-1], strict=True))
        total = total + x[:, *seen] * p["w"][place]
    return total


def conv(p, x, stride=1, pad=0, dilation=1, groups=1):
    """`pad`: of both ends, or a pair."""
    n = x.ndim - 2
    edges = pad if isinstance(pad, tuple) else (pad, pad)
    if 1 < groups == x.shape[-1] == p["w"].shape[-1]:
        return _depthwise(p, x, stride, edges, dilation)
    y = lax.conv_general_dilated(x, p["w"], [stride] * n, [edges] * n, rhs_dilation=[dilation] * n,
                                 dimension_numbers=_LAYOUTS[n], feature_group_count=groups)  # fmt: skip
    return y + p["b"] if "b" in p else y


def conv_transpose(p, x, stride, pad, output_padding=0):
    n, edge = x.ndim - 2, p["w"].shape[0] - 1 - pad
    y = lax.conv_general_dilated(x, p["w"], [1] * n, [(edge, edge + output_padding)] * n, lhs_dilation=[stride] * n,
                                 dimension_numbers=_LAYOUTS[n])  # fmt: skip
    return y + p["b"] if "b" in p else y


def _pool(x, k, s, pad, start, op):
    n = x.ndim - 2
    k, s = (u if isinstance(u, tuple) else (u,) * n for u in (k, s))
    return lax.reduce_window(x, start, op, (1, *k, 1), (1, *s, 1), [(0, 0), *[(pad, pad)] * n, (0, 0)])


def max_pool(x, k, s, pad=0):
    return _pool(x, k, s, pad, -jnp.inf, lax.max)


def avg_pool(x, k, s, pad=0):
    return _pool(x, k, s, pad, 0.0, lax.add) / k ** (x.ndim - 2)


def batch_norm(p, x):
    axes = tuple(range(x.ndim - 1))
    mean, var = x.mean(axes), x.var(axes)
    return (x - mean) * lax.rsqrt(var + 1e-5) * p["g"] + p["b"], (mean, var)


def layer_norm(p, x, eps=1e-5):
    mean = x.mean(-1, keepdims=True)
    var = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) * lax.rsqrt(var + eps) * p["g"] + p["b"]


def norm_params(n):
    return {"g": jnp.ones(n), "b": jnp.zeros(n)}


def cross_entropy(logits, y, smoothing=0.0):
    log_p = nn.log_softmax(logits)
    value = -jnp.take_along_axis(log_p, y[..., None], -1).mean()
    return (1 - smoothing) * value - smoothing * log_p.mean() if smoothing else value


def clipped(grads):
    leaves = jax.tree.leaves(grads)
    norm = jnp.sqrt(sum(jnp.vdot(g, g) for g in leaves))
    scale = jnp.minimum(1.0, 1.0 / (norm + 1e-6))
    return jax.tree.map(lambda g: g * scale, grads), norm


def sgd(params, grads, state):
    state = jax.tree.map(lambda v, g: 0.9 * v + g, state, grads)
    return jax.tree.map(lambda p, v: p - 0.01 * v, params, state), state


def descent(params, grads, state, rate):
    return jax.tree.map(lambda p, g: p - rate * g, params, grads), state


def rmsprop(params, grads, state, decay=0.0, rate=1e-3):
    v, momentum = state
    grads = jax.tree.map(lambda p, g: g + decay * p, params, grads) if decay else grads
    v = jax.tree.map(lambda a, g: 0.99 * a + 0.01 * g * g, v, grads)
    momentum = jax.tree.map(lambda m, g, a: 0.9 * m + g / (jnp.sqrt(a) + 1e-8), momentum, grads, v)
    return jax.tree.map(lambda p, m: p - rate * m, params, momentum), (v, momentum)


def adam(params, grads, state, decay=0.0, rate=1e-3, beta=0.9, beta2=0.999):
    m, v, t = state
    t = t + 1
    m = jax.tree.map(lambda a, g: a + (1 - beta) * (g - a), m, grads)
    v = jax.tree.map(lambda a, g: beta2 * a + (1 - beta2) * g * g, v, grads)
    c1, c2 = 1 - beta**t, jnp.sqrt(1 - beta2**t)
    params = jax.tree.map(lambda p, a, b: p * (1 - rate * decay) - rate * (a / c1) / (jnp.sqrt(b) / c2 + 1e-8), params, m, v)
    return params, (m, v, t)


def zeros_like(params):
    return jax.tree.map(jnp.zeros_like, params)


def adam_state(params):
    return zeros_like(params), zeros_like(params), jnp.zeros(())


def repeated(step, held, *batch):
    """run() -> loss. `step(*held, *batch)` returns the loss and what it holds for the next time; what it held is donated."""
    step = jax.jit(step, donate_argnums=range(len(held)))

    def run():
        nonlocal held
        value, *held = step(*held, *batch)
        return value

    return run


_RULES = {
    "descent": (lambda params: (), descent),
    "sgd": (zeros_like, sgd),
    "rmsprop": (lambda params: (zeros_like(params), zeros_like(params)), rmsprop),
    "adam": (adam_state, adam),
    "adamw": (adam_state, functools.partial(adam, decay=0.01)),
}


def training_step(params, loss, x, y, rule="adam", has_state=False, state=(), **options):
    """step() -> loss, with parameters and optimizer state donated. `loss(params, state, x, y)` if `has_state`; `options` of the rule."""
    first, update = _RULES[rule]
    opt, update = first(params), functools.partial(update, **options)

    def step(params, opt, state, x, y):
        if has_state:
            (value, state), grads = jax.value_and_grad(loss, has_aux=True)(params, state, x, y)
        else:
            value, grads = jax.value_and_grad(loss)(params, x, y)
        grads, _ = clipped(grads)
        params, opt = update(params, grads, opt)
        return value, params, opt, state

    return repeated(step, [params, opt, state], x, y)


def mlp():
    i = Init()
    p = [i.linear(784, 256), i.linear(256, 10)]
    return training_step(p, lambda p, x, y: cross_entropy(linear(p[1], nn.relu(linear(p[0], x))), y), i.normal(64, 784), i.classes(10, 64))


def tiny():
    i = Init()
    p = [i.linear(8, 64), i.linear(64, 64), i.linear(64, 4)]

    def loss(p, x, y):
        return cross_entropy(linear(p[2], nn.relu(linear(p[1], nn.relu(linear(p[0], x))))), y)

    return training_step(p, loss, i.normal(32, 8), i.classes(4, 32))


def lenet():
    i = Init()
    p = {"c1": i.conv(1, 6, 5), "c2": i.conv(6, 16, 5), "f": [i.linear(400, 120), i.linear(120, 84), i.linear(84, 10)]}

    def loss(p, x, y):
        x = max_pool(nn.relu(conv(p["c1"], x)), 2, 2)
        x = max_pool(nn.relu(conv(p["c2"], x)), 2, 2).reshape(x.shape[0], -1)
        return cross_entropy(linear(p["f"][2], nn.relu(linear(p["f"][1], nn.relu(linear(p["f"][0], x))))), y)

    return training_step(p, loss, i.normal(128, 32, 32, 1), i.classes(10, 128), "sgd")


def alexnet():
    i = Init()
    p = {"c": [i.conv(1, 96, 11), i.conv(96, 256, 5), i.conv(256, 384, 3), i.conv(384, 384, 3), i.conv(384, 256, 3)],
         "f": [i.linear(6400, 4096), i.linear(4096, 4096), i.linear(4096, 10)], "drop": i.normal(2, 2)}  # fmt: skip

    def loss(p, state, x, y):
        key, a, b = jax.random.split(state, 3)
        x = max_pool(nn.relu(conv(p["c"][0], x, 4)), 3, 2)
        x = max_pool(nn.relu(conv(p["c"][1], x, 1, 2)), 3, 2)
        for c in p["c"][2:]:
            x = nn.relu(conv(c, x, 1, 1))
        x = max_pool(x, 3, 2).reshape(x.shape[0], -1)
        for f, k in zip(p["f"][:2], (a, b), strict=True):
            x = nn.relu(linear(f, x))
            x = x * jax.random.bernoulli(k, 0.5, x.shape) * 2.0
        return cross_entropy(linear(p["f"][2], x), y), key

    del p["drop"]
    return training_step(p, loss, i.normal(16, 224, 224, 1), i.classes(10, 16), "sgd", True, jax.random.PRNGKey(1))


def autoencoder():
    i = Init()
    p = [i.conv(1, 16, 3), i.conv(16, 32, 3), i.conv(32, 16, 3), i.conv(16, 1, 3)]

    def up(p, x):
        return conv_transpose(p, x, 2, 1, 1)

    def loss(p, x, y):
        h = nn.relu(conv(p[1], nn.relu(conv(p[0], x, 2, 1)), 2, 1))
        return ((nn.sigmoid(up(p[3], nn.relu(up(p[2], h)))) - y) ** 2).mean()

    x = jax.random.uniform(next(i.keys), (64, 28, 28, 1))
    return training_step(p, loss, x, x)


def running(old, new):
    return jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, old, new)


def vgg():
    i = Init()
    shapes = [(3, 32), (32, 32), (32, 64), (64, 64), (64, 128)]
    p = {"c": [i.conv(a, b, 3) for a, b in shapes], "n": [norm_params(b) for _, b in shapes],
         "f": [i.linear(2048, 128), i.linear(128, 10)]}  # fmt: skip
    state = [(jnp.zeros(b), jnp.ones(b)) for _, b in shapes]

    def loss(p, state, x, y):
        new = []
        for k, (c, n) in enumerate(zip(p["c"], p["n"], strict=True)):
            x, s = batch_norm(n, conv(c, x, 1, 1))
            new.append(s)
            x = nn.relu(x)
            if k in (1, 3, 4):
                x = max_pool(x, 2, 2)
        x = nn.relu(linear(p["f"][0], x.reshape(x.shape[0], -1)))
        return cross_entropy(linear(p["f"][1], x), y), running(state, new)

    return training_step(p, loss, i.normal(64, 32, 32, 3), i.classes(10, 64), "sgd", True, state)


def resnet18():
    i = Init()
    stem = [i.conv(3, 64, 3, False), norm_params(64)]
    blocks, strides, width = [], [], 64
    for b, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        for a, s in ((width, stride), (b, 1)):
            block = {"c1": i.conv(a, b, 3, False), "n1": norm_params(b), "c2": i.conv(b, b, 3, False), "n2": norm_params(b)}
            if s != 1 or a != b:
                block["down"], block["nd"] = i.conv(a, b, 1, False), norm_params(b)
            blocks.append(block)
            strides.append(s)
        width = b
    p = {"stem": stem, "blocks": blocks, "f": i.linear(512, 10)}

    def forward(p, x):
        stats = []

        def norm(n, x):
            y, s = batch_norm(n, x)
            stats.append(s)
            return y

        x = nn.relu(norm(p["stem"][1], conv(p["stem"][0], x, 1, 1)))
        for b, s in zip(p["blocks"], strides, strict=True):
            y = norm(b["n2"], conv(b["c2"], nn.relu(norm(b["n1"], conv(b["c1"], x, s, 1))), 1, 1))
            x = nn.relu(y + (norm(b["nd"], conv(b["down"], x, s)) if "down" in b else x))
        return linear(p["f"], x.mean((1, 2))), stats

    def loss(p, state, x, y):
        out, stats = forward(p, x)
        return cross_entropy(out, y), running(state, stats)

    x = i.normal(32, 32, 32, 3)
    state = jax.tree.map(lambda s: jnp.zeros(s.shape), jax.eval_shape(lambda: forward(p, x)[1]))
    return training_step(p, loss, x, i.classes(10, 32), "sgd", True, state)


def recurrent(i, gates, n, h):
    return {"wx": i.uniform((n, gates * h), h), "wh": i.uniform((h, gates * h), h), "bx": i.uniform((gates * h,), h),
            "bh": i.uniform((gates * h,), h)}  # fmt: skip


def lstm_cell(p, carry, g):
    h, c = carry
    a, f, u, o = jnp.split(g + h @ p["wh"], 4, 1)
    c = nn.sigmoid(f) * c + nn.sigmoid(a) * jnp.tanh(u)
    h = nn.sigmoid(o) * jnp.tanh(c)
    return (h, c), h


def lstm_layer(p, x, reverse=False):
    zero = jnp.zeros((x.shape[1], p["wh"].shape[0]))
    return lax.scan(functools.partial(lstm_cell, p), (zero, zero), x @ p["wx"] + p["bx"] + p["bh"], reverse=reverse)[1]


def gru_cell(p, h, g):
    xr, xz, xn = jnp.split(g, 3, 1)
    hr, hz, hn = jnp.split(h @ p["wh"] + p["bh"], 3, 1)
    r, z = nn.sigmoid(xr + hr), nn.sigmoid(xz + hz)
    n = jnp.tanh(xn + r * hn)
    h = n + z * (h - n)
    return h, h


def gru_layer(p, x, reverse=False):
    return lax.scan(functools.partial(gru_cell, p), jnp.zeros((x.shape[1], p["wh"].shape[0])), x @ p["wx"] + p["bx"], reverse=reverse)[1]


def lstm():
    i = Init()
    p = {"l": [recurrent(i, 4, 200, 200) for _ in range(2)], "f": i.linear(200, 50)}

    def loss(p, x, y):
        return cross_entropy(linear(p["f"], lstm_layer(p["l"][1], lstm_layer(p["l"][0], x))[-1]), y)

    return training_step(p, loss, i.normal(35, 20, 200), i.classes(50, 20))


def gru():
    i = Init()
    p = {"l": [recurrent(i, 3, 128, 256), recurrent(i, 3, 256, 256)], "f": i.linear(256, 10)}

    def loss(p, x, y):
        return cross_entropy(linear(p["f"], gru_layer(p["l"][1], gru_layer(p["l"][0], x))[-1]), y)

    return training_step(p, loss, i.normal(50, 32, 128), i.classes(10, 32))


def attend(q, k, v, heads, allowed=None, drop=None, bias=0):
    """Attention of (batch, tokens, width); `allowed` and `bias` are broadcast to (batch, heads, queries, keys), `drop` gets the weights."""
    b, t, d = q.shape
    q, k, v = (u.reshape(b, -1, heads, d // heads).transpose(0, 2, 1, 3) for u in (q, k, v))
    s = q @ k.transpose(0, 1, 3, 2) * (d // heads) ** -0.5 + bias
    if allowed is not None:
        s = jnp.where(allowed, s, -jnp.inf)
    w = nn.softmax(s)
    return ((w if drop is None else drop(w)) @ v).transpose(0, 2, 1, 3).reshape(b, t, d)


def attention(p, x, heads, allowed=None, drop=None, bias=0):
    return linear(p["o"], attend(*jnp.split(linear(p["qkv"], x), 3, -1), heads, allowed, drop, bias))


def causal(t):
    return jnp.tril(jnp.ones((t, t), bool))


def attention_block(i, d, ff):
    return {"qkv": i.linear(d, 3 * d), "o": i.linear(d, d), "n1": norm_params(d), "n2": norm_params(d), "f1": i.linear(d, ff),
            "f2": i.linear(ff, d)}  # fmt: skip


def gpt():
    i = Init()
    p = {"tok": i.normal(65, 128), "pos": i.normal(128, 128), "b": [attention_block(i, 128, 512) for _ in range(4)], "n": norm_params(128),
         "f": i.linear(128, 65)}  # fmt: skip

    def loss(p, x, y):
        h = p["tok"][x] + p["pos"]
        for b in p["b"]:
            h = h + attention(b, layer_norm(b["n1"], h), 4, causal(h.shape[1]))
            h = h + linear(b["f2"], nn.gelu(linear(b["f1"], layer_norm(b["n2"], h)), approximate=False))
        return cross_entropy(linear(p["f"], layer_norm(p["n"], h)).reshape(-1, 65), y)

    return training_step(p, loss, i.classes(65, 12, 128), i.classes(65, 1536), "adamw")


def transformer():
    i = Init()
    p = {"b": [attention_block(i, 128, 512) for _ in range(2)], "f": i.linear(128, 32)}

    def loss(p, x, y):
        for b in p["b"]:
            x = layer_norm(b["n1"], x + attention(b, x, 4))
            x = layer_norm(b["n2"], x + linear(b["f2"], nn.relu(linear(b["f1"], x))))
        return cross_entropy(linear(p["f"], x).reshape(-1, 32), y)

    return training_step(p, loss, i.normal(16, 64, 128), i.classes(32, 1024), "adamw")


def adam25m():
    params = [jnp.zeros((1000, 1000)) for _ in range(25)]
    grads = [jnp.full((1000, 1000), 1e-3) for _ in range(25)]

    def step(params, opt, grads):
        grads, norm = clipped(grads)
        params, opt = adam(params, grads, opt)
        return norm, params, opt, grads

    return repeated(step, [params, adam_state(params), grads])


STEPS = {
    "mlp-784-256-10": mlp, "mlp-8-64-64-4": tiny, "lenet": lenet, "alexnet": alexnet, "resnet18-cifar": resnet18, "small-vgg": vgg,
    "conv-autoencoder": autoencoder, "gpt": gpt, "transformer": transformer, "lstm": lstm, "gru": gru, "adam-25m": adam25m,
}  # fmt: skip
