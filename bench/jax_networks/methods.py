"""bench/networks/methods.py in JAX, but for L-BFGS, which JAX does not have."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax, nn

from ..jax_steps import (
    Init,
    adam,
    adam_state,
    attend,
    clipped,
    conv,
    cross_entropy,
    layer_norm,
    linear,
    norm_params,
    repeated,
    training_step,
)
from .layers import flat, leaky_relu, linears, mse, smooth_l1, step_in_mode


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


def maml():
    i = Init()
    p = [i.linear(1, 40), i.linear(40, 40), i.linear(40, 1)]

    def loss(p, before, after):
        def of_task(before, after):
            gradients = jax.grad(lambda p, x, y: mse(linears(p, x), y))(p, *before)
            x, y = after
            return mse(linears(jax.tree.map(lambda p, g: p - 0.01 * g, p, gradients), x), y)

        return jax.vmap(of_task)(before, after).sum()

    before, after = ((i.normal(4, 10, 1), i.normal(4, 10, 1)) for _ in range(2))
    return training_step(p, loss, before, after)


@jax.custom_jvp
def _spike(u):
    return (u > 0).astype(jnp.float32)


@_spike.defjvp
def _slope_of_spike(primals, tangents):
    (u,), (given,) = primals, tangents
    return _spike(u), given / (1 + 10 * jnp.abs(u)) ** 2


def spiking():
    i = Init()
    p = [i.linear(784, 100), i.linear(100, 10)]

    def loss(p, x, y):
        x = linear(p[0], x)

        def step(carry, _):
            u, out, total = carry
            u = 0.9 * u + x
            spikes = _spike(u - 1)
            out = 0.9 * out + linear(p[1], spikes)
            return (u - lax.stop_gradient(spikes), out, total + out), None

        zero = jnp.zeros((64, 10))
        (_, _, total), _ = lax.scan(step, (jnp.zeros_like(x), zero, zero), length=20)
        return cross_entropy(total / 20, y)

    return training_step(p, loss, i.rand(64, 784), i.classes(10, 64))


def dueling():
    i = Init()
    policy = {"c": [i.conv(4, 32, 8), i.conv(32, 64, 4), i.conv(64, 64, 3)], "value": [i.linear(3136, 256), i.linear(256, 1)],
              "advantage": [i.linear(3136, 256), i.linear(256, 6)]}  # fmt: skip

    def values(p, x):
        for c, stride in zip(p["c"], (4, 2, 1), strict=True):
            x = nn.relu(conv(c, x, stride))
        x = flat(x)
        advantage = linears(p["advantage"], x)
        return linears(p["value"], x) + advantage - advantage.mean(1, keepdims=True)

    def loss(policy, given, batch):
        target, state, following = given
        action, reward, final = batch
        best = values(lax.stop_gradient(policy), following).argmax(1, keepdims=True)
        expected = reward + 0.99 * (1 - final) * jnp.take_along_axis(values(target, following), best, 1)[:, 0]
        return smooth_l1(jnp.take_along_axis(values(policy, state), action, 1)[:, 0], expected)

    given = jax.tree.map(jnp.copy, policy), i.rand(32, 84, 84, 4), i.rand(32, 84, 84, 4)
    return training_step(policy, loss, given, (i.classes(6, 32, 1), i.normal(32), (i.rand(32) > 0.9).astype(jnp.float32)))


def td3():
    i = Init()

    def network(inputs, outputs):
        return [i.linear(inputs, 256), i.linear(256, 256), i.linear(256, outputs)]

    critics, actor = [network(23, 1), network(23, 1)], network(17, 6)

    def loss(critics, target, state, action, reward, following, noise):
        slow, actor = target
        acted = jnp.clip(jnp.tanh(linears(actor, following)) + jnp.clip(noise, -0.5, 0.5), -1, 1)
        after, before = jnp.concatenate([following, acted], 1), jnp.concatenate([state, action], 1)
        expected = reward + 0.99 * jnp.minimum(*(linears(p, after) for p in slow))
        return sum(mse(linears(p, before), expected) for p in critics)

    def step(critics, opt, target, actor, *batch):
        value, grads = jax.value_and_grad(loss)(critics, target, *batch)
        critics, opt = adam(critics, clipped(grads)[0], opt, rate=3e-4)
        target = jax.tree.map(lambda slow, fast: 0.995 * slow + 0.005 * fast, target, (critics, actor))
        return value, critics, opt, target

    batch = i.normal(256, 17), i.normal(256, 6), i.normal(256, 1), i.normal(256, 17), 0.2 * i.normal(256, 6)
    target = jax.tree.map(jnp.copy, (critics, actor))
    return repeated(step, [critics, adam_state(critics), target], actor, *batch)


def two_tower():
    i = Init()

    def tower(n):
        return {"e": i.normal(n, 64), "layers": [i.linear(64, 128), i.linear(128, 64)]}

    p = {"user": tower(20000), "item": tower(5000)}

    def through(p, x):
        x = linears(p["layers"], p["e"][x])
        return x / jnp.maximum(jnp.sqrt((x**2).sum(-1, keepdims=True)), 1e-12)

    def loss(p, users, items):
        return cross_entropy(through(p["user"], users) @ through(p["item"], items).T / 0.1, jnp.arange(512))

    return training_step(p, loss, i.classes(20000, 512), i.classes(5000, 512))


def set_transformer():
    i = Init()

    def block():
        return {name: i.linear(64, 64) for name in "qkvof"} | {"n1": norm_params(64), "n2": norm_params(64)}

    p = {"points": i.linear(2, 64), "f": i.linear(64, 5), "induced": 0.1 * i.normal(1, 16, 64), "seeds": 0.1 * i.normal(1, 4, 64),
         "gather": block(), "spread": block(), "pool": block()}  # fmt: skip

    def through(b, q, x):
        seen = attend(linear(b["q"], q), linear(b["k"], x), linear(b["v"], x), 4)
        x = layer_norm(b["n1"], q + linear(b["o"], seen))
        return layer_norm(b["n2"], x + nn.relu(linear(b["f"], x)))

    def loss(p, x, y):
        x = linear(p["points"], x)
        induced, seeds = (jnp.broadcast_to(p[name], (32, *p[name].shape[1:])) for name in ("induced", "seeds"))
        x = through(p["spread"], x, through(p["gather"], induced, x))
        return mse(linear(p["f"], through(p["pool"], seeds, x)), y)

    return training_step(p, loss, i.normal(32, 100, 2), i.normal(32, 4, 5))


def mixture_density():
    i = Init()
    p = {"layers": [i.linear(4, 64), i.linear(64, 64)], "weights": i.linear(64, 8), "means": i.linear(64, 16),
         "log_deviations": i.linear(64, 16)}  # fmt: skip

    def loss(p, x, y):
        x = jnp.tanh(linears(p["layers"], x, jnp.tanh))
        means, log_deviations = (linear(p[name], x).reshape(-1, 8, 2) for name in ("means", "log_deviations"))
        each = -0.5 * ((y[:, None] - means) / jnp.exp(log_deviations)) ** 2 - log_deviations - 0.9189385
        return -nn.logsumexp(nn.log_softmax(linear(p["weights"], x)) + each.sum(-1), -1).mean()

    return training_step(p, loss, i.normal(512, 4), i.normal(512, 2))


def rbm():
    i = Init()
    p = {"w": 1e-2 * i.normal(784, 128), "visible": jnp.zeros(784), "hidden": jnp.zeros(128)}

    def energy(p, x):
        return -(x @ p["visible"] + nn.softplus(x @ p["w"] + p["hidden"]).sum(1)).mean()

    def loss(p, x, y, mode):
        hidden = jax.random.bernoulli(mode.next_key(), nn.sigmoid(x @ p["w"] + p["hidden"])).astype(jnp.float32)
        visible = jax.random.bernoulli(mode.next_key(), nn.sigmoid(hidden @ p["w"].T + p["visible"]))
        return energy(p, x) - energy(p, visible.astype(jnp.float32))

    return step_in_mode(p, loss, (i.rand(64, 784) > 0.7).astype(jnp.float32), (), "sgd")


NETWORKS = [
    physics_informed, wasserstein_gan, policy_gradient, neural_ode, radiance_field, point_cloud, wavenet, temporal_convolution,
    optimal_transport, maml, spiking, dueling, td3, two_tower, set_transformer, mixture_density, rbm,
]  # fmt: skip
