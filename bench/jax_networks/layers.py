"""What the networks share beyond bench/jax_steps.py: training mode, other norms, losses."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax, nn

from ..jax_steps import batch_norm, conv, linear, norm_params, running, training_step


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


def step_in_mode(params, loss, x, y, rule="adam", **options):
    """training_step of a network with batch norms or dropout: `loss(params, x, y, mode)`."""

    def loss_and_state(p, state, x, y):
        key, old = state
        mode = Mode(key)
        value = loss(p, x, y, mode)
        return value, (mode.key, running(old, mode.stats))

    state = jax.random.PRNGKey(1), no_statistics(loss, params, x, y)
    return training_step(params, loss_and_state, x, y, rule, True, state, **options)


def normed_conv(i, a, b, k, groups=1):
    """A convolution without bias and a norm."""
    return {"c": i.conv(a, b, k, False, groups), "n": norm_params(b)}


def norm_of_conv(p, mode, x, stride=1, pad=0, groups=1):
    return mode.norm(p["n"], conv(p["c"], x, stride, pad, groups=groups))


def linears(layers, x, act=nn.relu):
    """Linear layers with `act` between them."""
    for p in layers[:-1]:
        x = act(linear(p, x))
    return linear(layers[-1], x)


def gelu(x):
    return nn.gelu(x, approximate=False)


def flat(x):
    return x.reshape(x.shape[0], -1)


def leaky_relu(x):
    return nn.leaky_relu(x, 0.2)


def prelu(slope, x):
    return jnp.where(x > 0, x, slope * x)


def depth_to_space(x, n):
    """Channels become n x n pixels."""
    b, h, w, c = x.shape
    return x.reshape(b, h, w, n, n, c // n**2).transpose(0, 1, 3, 2, 4, 5).reshape(b, n * h, n * w, c // n**2)


def group_norm(p, x, groups):
    """With as many groups as channels it is instance norm, with one and nothing between batch and channels layer norm."""
    y = x.reshape(*x.shape[:-1], groups, -1)
    axes = *range(1, x.ndim - 1), x.ndim
    mean, var = y.mean(axes, keepdims=True), y.var(axes, keepdims=True)
    return ((y - mean) * lax.rsqrt(var + 1e-5)).reshape(x.shape) * p["g"] + p["b"]


def mse(out, y):
    return ((out - y) ** 2).mean()


def smooth_l1(out, y):
    error = jnp.abs(out - y)
    return jnp.where(error < 1, 0.5 * error**2, error - 0.5).mean()


def distance(a, b):
    return jnp.sqrt(((a - b + 1e-6) ** 2).sum(-1))


def bce_with_logits(out, y):
    """Of each element."""
    return jnp.maximum(out, 0) - out * y + jnp.log1p(jnp.exp(-jnp.abs(out)))


def ctc_loss(log_p, y, lengths):
    """Of each sequence: `log_p` is (steps, batch, classes), class 0 the blank, `y` padded beyond `lengths`."""
    n, letters = y.shape
    path = jnp.zeros((n, 2 * letters + 1), int).at[:, 1::2].set(y)
    skips = (path[:, 2:] != 0) & (path[:, 2:] != path[:, :-2])
    emitted = jnp.take_along_axis(log_p, jnp.broadcast_to(path, (len(log_p), *path.shape)), 2)
    never = -1e30  # not infinity, whose gradient would be NaN

    def step(total, emitted):
        by_one = jnp.pad(total[:, :-1], [(0, 0), (1, 0)], constant_values=never)
        by_two = jnp.pad(jnp.where(skips, total[:, :-2], never), [(0, 0), (2, 0)], constant_values=never)
        return jnp.logaddexp(jnp.logaddexp(total, by_one), by_two) + emitted, None

    first = jnp.where(jnp.arange(path.shape[1]) < 2, emitted[0], never)
    total, _ = lax.scan(step, first, emitted[1:])
    ends = jnp.take_along_axis(total, 2 * lengths[:, None] - jnp.arange(2), 1)
    return -jnp.logaddexp(ends[:, 0], ends[:, 1])
