"""What the networks share beyond bench/jax_steps.py: training mode, other norms, losses."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax, nn

from ..jax_steps import batch_norm, linear, running, training_step


class Mode:
    """Training mode of one forward pass: where random numbers come from, and where batch norms leave their statistics."""

    def __init__(self, key):
        self.key, self.stats = key, []

    def next_key(self):
        self.key, key = jax.random.split(self.key)
        return key

    def dropout(self, x, rate):
        return jnp.where(jax.random.bernoulli(self.next_key(), 1 - rate, x.shape), x / (1 - rate), 0.0)

    def norm(self, p, x):
        y, stats = batch_norm(p, x)
        self.stats.append(stats)
        return y


def no_statistics(forward, *args):
    """Running statistics to begin with, of the norms in `forward(*args, mode)`."""

    def stats(*args):
        mode = Mode(jax.random.PRNGKey(0))
        forward(*args, mode)
        return mode.stats

    return jax.tree.map(lambda s: jnp.zeros(s.shape), jax.eval_shape(stats, *args))


def step_in_mode(params, loss, x, y, rule="adam"):
    """training_step of a network with batch norms or dropout: `loss(params, x, y, mode)`."""

    def loss_and_state(p, state, x, y):
        key, old = state
        mode = Mode(key)
        value = loss(p, x, y, mode)
        return value, (mode.key, running(old, mode.stats))

    state = jax.random.PRNGKey(1), no_statistics(loss, params, x, y)
    return training_step(params, loss_and_state, x, y, rule, True, state)


def linears(layers, x, act=nn.relu):
    """Linear layers with `act` between them."""
    for p in layers[:-1]:
        x = act(linear(p, x))
    return linear(layers[-1], x)


def gelu(x):
    return nn.gelu(x, approximate=False)


def leaky_relu(x):
    return nn.leaky_relu(x, 0.2)


def group_norm(p, x, groups):
    """Of images; with as many groups as channels it is instance norm."""
    y = x.reshape(*x.shape[:3], groups, -1)
    mean, var = y.mean((1, 2, 4), keepdims=True), y.var((1, 2, 4), keepdims=True)
    return ((y - mean) * lax.rsqrt(var + 1e-5)).reshape(x.shape) * p["g"] + p["b"]


def mse(out, y):
    return ((out - y) ** 2).mean()


def bce_with_logits(out, y):
    """Of each element."""
    return jnp.maximum(out, 0) - out * y + jnp.log1p(jnp.exp(-jnp.abs(out)))
