"""bench/networks/methods.py in JAX, but for L-BFGS, which JAX does not have."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax, nn

from ..jax_steps import Init, conv, cross_entropy, linear, norm_params, training_step
from .layers import flat, leaky_relu, linears, mse, step_in_mode


def physics_informed():
    i = Init()
    p = [i.linear(2, 50), i.linear(50, 50), i.linear(50, 50), i.linear(50, 1)]

    def loss(p, batch, known):
        x, t, edge = batch
        ones = jnp.ones_like(x)

        def u(x, t):
            return linears(p, jnp.concatenate([x, t], 1), jnp.tanh)

        def with_slope(x):
            return jax.jvp(lambda x: u(x, t), (x,), (ones,))

        (value, by_x), (_, by_xx) = jax.jvp(with_slope, (x,), (ones,))
        _, by_t = jax.jvp(lambda t: u(x, t), (t,), (ones,))
        return ((by_t + value * by_x - 0.00318 * by_xx) ** 2).mean() + mse(linears(p, edge, jnp.tanh), known)

    edge = jnp.concatenate([2 * i.rand(200, 1) - 1, jnp.zeros((200, 1))], 1)
    return training_step(p, loss, (2 * i.rand(1000, 1) - 1, i.rand(1000, 1), edge), i.normal(200, 1))


def wasserstein_gan():
    i = Init()
    p = {"c": [i.conv(1, 32, 4), i.conv(32, 64, 4)], "f": i.linear(3136, 1)}
    generator = [i.linear(64, 256), i.linear(256, 784)]

    def critic(p, x):
        for c in p["c"]:
            x = leaky_relu(conv(c, x, 2, 1))
        return linear(p["f"], flat(x))

    def loss(p, given, real):
        generator, noise, part = given
        fake = jnp.tanh(linears(generator, noise)).reshape(real.shape)
        slope = jax.grad(lambda x: critic(p, x).sum())(part * real + (1 - part) * fake)
        penalty = ((jnp.sqrt((flat(slope) ** 2).sum(1)) - 1) ** 2).mean()
        return critic(p, fake).mean() - critic(p, real).mean() + 10 * penalty

    given = generator, i.normal(64, 64), i.rand(64, 1, 1, 1)
    return training_step(p, loss, given, i.normal(64, 28, 28, 1), rate=1e-4, beta=0.5, beta2=0.9)


def policy_gradient():
    i = Init()
    p = {"actor": [i.linear(8, 64), i.linear(64, 64), i.linear(64, 4)], "critic": [i.linear(8, 64), i.linear(64, 64), i.linear(64, 1)]}

    def loss(p, state, given):
        action, before, advantage, reward = given
        log_p = nn.log_softmax(linears(p["actor"], state, jnp.tanh))
        ratio = jnp.exp(jnp.take_along_axis(log_p, action[:, None], 1)[:, 0] - before)
        advantage = (advantage - advantage.mean()) / (advantage.std(ddof=1) + 1e-8)
        gain = jnp.minimum(ratio * advantage, jnp.clip(ratio, 0.8, 1.2) * advantage).mean()
        value = mse(linears(p["critic"], state, jnp.tanh)[:, 0], reward)
        return -gain + 0.5 * value + 0.01 * (jnp.exp(log_p) * log_p).sum(-1).mean()

    given = i.classes(4, 256), 0.1 * i.normal(256) - 1.4, i.normal(256), i.normal(256)
    return training_step(p, loss, i.normal(256, 8), given)


def neural_ode():
    i = Init()
    p = [i.linear(2, 50), i.linear(50, 2)]

    def loss(p, y, targets, h=0.05):
        def f(y):
            return linears(p, y**3, jnp.tanh)

        def step(y, target):
            k1 = f(y)
            k2 = f(y + h / 2 * k1)
            k3 = f(y + h / 2 * k2)
            y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + f(y + h * k3))
            return y, jnp.abs(y - target).mean()

        return lax.scan(step, y, targets)[1].mean()

    return training_step(p, loss, i.normal(64, 2), i.normal(20, 64, 2))


def radiance_field():
    i = Init()
    p = {"first": [i.linear(63, 128), i.linear(128, 128), i.linear(128, 128)],
         "second": [i.linear(191, 128), i.linear(128, 128), i.linear(128, 4)]}  # fmt: skip
    frequencies = 2.0 ** jnp.arange(10)

    def field(p, points):
        angles = points[..., None] * frequencies
        x = jnp.concatenate([points, *(f(angles).reshape(*points.shape[:-1], 30) for f in (jnp.sin, jnp.cos))], -1)
        return linears(p["second"], jnp.concatenate([nn.relu(linears(p["first"], x)), x], -1))

    def loss(p, rays, color):
        points, distance = rays
        out = field(p, points)
        opacity = 1 - jnp.exp(-nn.relu(out[..., 3]) * distance)
        left = jnp.cumprod(jnp.concatenate([jnp.ones((64, 1)), 1 - opacity[:, :-1] + 1e-10], -1), -1)
        return mse(((opacity * left)[..., None] * nn.sigmoid(out[..., :3])).sum(1), color)

    return training_step(p, loss, (i.normal(64, 32, 3), i.rand(64, 32)), i.rand(64, 3))


def point_cloud():
    i = Init()
    sizes = (3, 64), (64, 128), (128, 512)
    p = {"points": [i.linear(*size) for size in sizes], "n": [norm_params(b) for _, b in sizes], "hidden": i.linear(512, 128),
         "hidden_norm": norm_params(128), "f": i.linear(128, 10)}  # fmt: skip

    def loss(p, x, y, mode):
        for layer, n in zip(p["points"], p["n"], strict=True):
            x = nn.relu(mode.norm(n, linear(layer, x)))
        x = nn.relu(mode.norm(p["hidden_norm"], linear(p["hidden"], x.max(1))))
        return cross_entropy(linear(p["f"], x), y)

    return step_in_mode(p, loss, i.normal(16, 512, 3), i.classes(10, 16))


def wavenet():
    i = Init()

    def block():
        return {"value": i.conv(32, 32, 2, dims=1), "gate": i.conv(32, 32, 2, dims=1), "on": i.linear(32, 32), "out": i.linear(32, 32)}

    p = {"first": i.linear(64, 32), "blocks": [block() for _ in range(7)], "head": [i.linear(32, 32), i.linear(32, 64)]}

    def loss(p, x, y):
        x, total = linear(p["first"], x), 0
        for n, b in enumerate(p["blocks"]):
            value, gate = (conv(b[name], x, 1, (2**n, 0), 2**n) for name in ("value", "gate"))
            z = jnp.tanh(value) * nn.sigmoid(gate)
            x, total = x + linear(b["on"], z), total + linear(b["out"], z)
        return cross_entropy(linears(p["head"], nn.relu(total)), y)

    return training_step(p, loss, i.normal(8, 256, 64), i.classes(64, 8, 256))


def temporal_convolution():
    i = Init()

    def normed(a, b):
        p = i.conv(a, b, 5, dims=1)
        return {"v": p["w"], "g": jnp.sqrt((p["w"] ** 2).sum((0, 1))), "b": p["b"]}

    def block(a, b):
        p = {"c": [normed(a, b), normed(b, b)]}
        return {**p, "skip": i.linear(a, b)} if a != b else p

    p = {"blocks": [block(1, 32), block(32, 32), block(32, 32)], "f": i.linear(32, 10)}

    def loss(p, x, y):
        for n, b in enumerate(p["blocks"]):
            h = x
            for c in b["c"]:
                w = c["v"] * (c["g"] * lax.rsqrt((c["v"] ** 2).sum((0, 1))))
                h = nn.relu(conv({"w": w, "b": c["b"]}, h, 1, (4 * 2**n, 0), 2**n))
            x = nn.relu(h + (linear(b["skip"], x) if "skip" in b else x))
        return cross_entropy(linear(p["f"], x[:, -1]), y)

    return training_step(p, loss, i.normal(32, 200, 1), i.classes(10, 32))


def optimal_transport():
    i = Init()
    p = [i.linear(10, 64), i.linear(64, 10)]

    def loss(p, x, y, softness=0.1):
        x = linears(p, x)
        cost = (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * x @ y.T

        def step(fg, _):
            f = -softness * nn.logsumexp((fg[1] - cost) / softness, 1)
            return (f, -softness * nn.logsumexp((f[:, None] - cost) / softness, 0)), None

        (f, g), _ = lax.scan(step, (jnp.zeros(128), jnp.zeros(128)), length=10)
        return (jnp.exp((f[:, None] + g - cost) / softness) * cost).sum() / 128

    return training_step(p, loss, i.normal(128, 10), i.normal(128, 10))


NETWORKS = [
    physics_informed, wasserstein_gan, policy_gradient, neural_ode, radiance_field, point_cloud, wavenet, temporal_convolution,
    optimal_transport,
]  # fmt: skip
