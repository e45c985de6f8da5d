"""bench/networks/vectors.py in JAX."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import nn

from ..jax_steps import (
    Init,
    adam,
    adam_state,
    clipped,
    cross_entropy,
    linear,
    norm_params,
    repeated,
    training_step,
)
from .layers import bce_with_logits, distance, linears, mse, smooth_l1, step_in_mode


def linear_regression():
    i = Init()
    return training_step(i.linear(5, 1), lambda p, x, y: mse(linear(p, x), y), i.normal(32, 5), i.normal(32, 1), "sgd")


def softmax_regression():
    i = Init()

    def loss(p, x, y):
        return cross_entropy(linear(p, x.reshape(x.shape[0], -1)), y)

    return training_step(i.linear(784, 10), loss, i.normal(256, 28, 28, 1), i.classes(10, 256), "sgd")


def mlp_13_32_1():
    i = Init()
    p = [i.linear(13, 32), i.linear(32, 1)]
    return training_step(p, lambda p, x, y: mse(linears(p, x), y), i.normal(32, 13), i.normal(32, 1))


def mlp_1024():
    i = Init()
    p = [i.linear(784, 1024), i.linear(1024, 1024), i.linear(1024, 10)]

    def loss(p, x, y, mode):
        x = mode.dropout(nn.relu(linear(p[0], x)), 0.2)
        return cross_entropy(linears(p[1:], x), y)

    return step_in_mode(p, loss, i.normal(128, 784), i.classes(10, 128))


def mlp_batch_norm():
    i = Init()
    p = {"l": [i.linear(64, 256), i.linear(256, 256)], "n": [norm_params(256), norm_params(256)], "f": i.linear(256, 10)}

    def loss(p, x, y, mode):
        for layer, n in zip(p["l"], p["n"], strict=True):
            x = mode.dropout(nn.relu(mode.norm(n, linear(layer, x))), 0.2)
        return cross_entropy(linear(p["f"], x), y)

    return step_in_mode(p, loss, i.normal(64, 64), i.classes(10, 64))


def mlp_autoencoder():
    i = Init()
    sizes = (784, 128, 32, 128, 784)
    p = [i.linear(n, m) for n, m in zip(sizes, sizes[1:], strict=False)]
    x = i.rand(128, 784)
    return training_step(p, lambda p, x, y: mse(nn.sigmoid(linears(p, x)), y), x, x)


def vae():
    i = Init()
    p = {"encoder": i.linear(784, 400), "mean": i.linear(400, 20), "log_variance": i.linear(400, 20),
         "decoder": [i.linear(20, 400), i.linear(400, 784)]}  # fmt: skip

    def loss(p, x, y, mode):
        h = nn.relu(linear(p["encoder"], x))
        mean, log_variance = linear(p["mean"], h), linear(p["log_variance"], h)
        z = mean + jax.random.normal(mode.next_key(), mean.shape) * jnp.exp(0.5 * log_variance)
        divergence = -0.5 * (1 + log_variance - mean**2 - jnp.exp(log_variance)).sum()
        return bce_with_logits(linears(p["decoder"], z), y).sum() + divergence

    x = i.rand(128, 784)
    return step_in_mode(p, loss, x, x)


def tabular():
    i = Init()
    p = {"e": i.normal(6, 100, 8), "l": [i.linear(58, 200), i.linear(200, 100)], "n": [norm_params(200), norm_params(100)],
         "f": i.linear(100, 2)}  # fmt: skip

    def loss(p, x, y, mode):
        categories, numbers = x
        columns = p["e"][jnp.arange(6), categories].reshape(128, 48)
        x = mode.norm(p["n"][0], nn.relu(linear(p["l"][0], jnp.concatenate([columns, numbers], 1))))
        x = mode.norm(p["n"][1], nn.relu(linear(p["l"][1], mode.dropout(x, 0.1))))
        return cross_entropy(linear(p["f"], x), y)

    return step_in_mode(p, loss, (i.classes(100, 128, 6), i.normal(128, 10)), i.classes(2, 128))


def word2vec():
    i = Init()
    p = [i.normal(6719, 100), i.normal(6719, 100)]

    def loss(p, x, y):
        centers, others = x
        labels, counted = y
        each = bce_with_logits((p[0][centers] @ p[1][others].swapaxes(1, 2))[:, 0], labels) * counted
        return (each.sum(1) / counted.sum(1)).mean()

    labels = (jnp.arange(60) < 1 + i.classes(10, 512, 1)).astype(jnp.float32)
    counted = (jnp.arange(60) < 12 + i.classes(49, 512, 1)).astype(jnp.float32)
    return training_step(p, loss, (i.classes(6719, 512, 1), i.classes(6719, 512, 60)), (labels, counted))


def matrix_factorization():
    i = Init()
    p = {"users": i.normal(943, 30), "items": i.normal(1682, 30), "user_bias": i.normal(943), "item_bias": i.normal(1682)}

    def loss(p, x, y):
        user, item = x
        out = (p["users"][user] * p["items"][item]).sum(1) + p["user_bias"][user] + p["item_bias"][item]
        return mse(out, y)

    batch = i.classes(943, 512), i.classes(1682, 512)
    return training_step(p, loss, batch, 1.0 + i.classes(5, 512))


def graph_convolution():
    i = Init()
    p = [i.linear(128, 16), i.linear(16, 7)]

    def loss(p, graph, y):
        x, source, target, weight = graph

        def spread(x):
            return jnp.zeros_like(x).at[target].add(x[source] * weight)

        return cross_entropy(spread(linear(p[1], nn.relu(spread(linear(p[0], x))))), y)

    x, source, target = i.normal(1000, 128), i.classes(1000, 5000), i.classes(1000, 5000)
    degree = jnp.ones(1000).at[target].add(1.0)
    weight = ((degree[source] * degree[target]) ** -0.5)[:, None]
    return training_step(p, loss, (x, source, target, weight), i.classes(7, 1000))


def dqn():
    i = Init()
    policy = [i.linear(4, 128), i.linear(128, 128), i.linear(128, 2)]
    update = functools.partial(adam, decay=0.01)

    def loss(policy, target, state, action, reward, following, final):
        value = jnp.take_along_axis(linears(policy, state), action, 1)[:, 0]
        expected = reward + 0.99 * jnp.where(final, 0.0, linears(target, following).max(1))
        return smooth_l1(value, expected)

    def step(policy, opt, target, *batch):
        value, grads = jax.value_and_grad(loss)(policy, target, *batch)
        policy, opt = update(policy, clipped(grads)[0], opt)
        target = jax.tree.map(lambda slow, fast: slow + 0.005 * (fast - slow), target, policy)
        return value, policy, opt, target

    uniform = [i.rand(128) for _ in range(2)]
    batch = i.normal(128, 4), i.classes(2, 128, 1), uniform[0], i.normal(128, 4), uniform[1] < 0.05
    return repeated(step, [policy, adam_state(policy), jax.tree.map(jnp.copy, policy)], *batch)


def triplet():
    i = Init()
    p = [i.linear(784, 256), i.linear(256, 64)]

    def loss(p, images, unused):
        anchor, positive, negative = (linears(p, x) for x in images)
        return jnp.maximum(distance(anchor, positive) - distance(anchor, negative) + 1, 0).mean()

    images = i.normal(8, 784)
    return training_step(p, loss, tuple(images[i.classes(8, 64)] for _ in range(3)), ())


NETWORKS = [
    linear_regression, softmax_regression, mlp_13_32_1, mlp_1024, mlp_batch_norm, mlp_autoencoder, vae, tabular, word2vec,
    matrix_factorization, graph_convolution, dqn, triplet,
]  # fmt: skip
