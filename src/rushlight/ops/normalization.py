"""Normalisation over batches (batch norm), rows (layer, RMS norm), groups of channels, and neighbouring channels.

Note [Statistics as arguments]: mean and 1/std are made empty, filled by the forward kernel, and passed as arguments so that
the node saves them without saving the output, which an in-place activation may overwrite.

Note [Norm derivatives]: the fused backward kernels serve first derivatives. While a graph of the gradient is recorded the
rules are tensor expressions instead, so that higher derivatives are right.
"""

from __future__ import annotations

import math
import operator

import numpy as np

from .. import _dtypes, _native, _recording
from .._kernels import K
from ..autograd.op import op
from ..autograd.tensor import Size, Tensor
from .conv import contig
from .pool import avg_pool2d, avg_pool3d

__all__ = ["batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "local_response_norm"]


def _statistics(n, a, count):
    """`count` empty vectors of n elements for a's statistics, in at least float32."""
    code = (_dtypes.float32 if a.dtype.itemsize < 4 else a.dtype).code
    return [_native.wrap(_native.empty((n,), code)) for _ in range(count)]


def _split(grads, needs, first):
    """(dx, dw, db) where needed; `first` is the number of the first of them among the inputs."""
    return tuple(g if need else None for g, need in zip(grads, needs[first : first + 3], strict=True))


def _check_affine(a, weight, bias):
    """Parameters are of the input's type, or float32 for a half input."""
    first, *others = [t._a.dtype for t in (weight, bias) if t is not None] or [a.dtype]
    if first is a.dtype:
        for t in others:
            if t is not first:
                raise RuntimeError(f"expected scalar type {first.scalar_name} but found {t.scalar_name}")
    elif any(t is not _dtypes.float32 for t in (first, *others)):
        raise RuntimeError("mixed dtype (CPU): expect parameter to have scalar type of Float")
    elif a.dtype.itemsize >= 4:
        raise RuntimeError("mixed dtype (CPU): all inputs must share same datatype.")


# -- batch norm --------------------------------------------------------------------------------------------------------


@op(grad_name="NativeBatchNormBackward0")
def _batch_norm(x, w, b, mean, rstd, variance, /, *, eps):
    y = _native.empty(x.shape, x.dtype.code)
    K.batch_norm_into((y, mean, rstd, variance), contig(x), contig(w), contig(b), eps)  # Note [Statistics as arguments]
    return y


@op(grad_name="NativeBatchNormBackward0")
def _batch_norm_eval(x, w, b, mean, rstd, /):
    return K.batch_norm_eval(contig(x), contig(w), contig(b), contig(mean), contig(rstd))


@op(grad_name="NativeBatchNormBackwardBackward0", differentiable=False)
def _batch_norm_backward(g, x, w, mean, rstd, /, *, training):
    dx, dw, db = K.batch_norm_backward(contig(g), contig(x), contig(w), contig(mean), contig(rstd), training)
    return dx, dw, db


def _channels(v, ndim):
    """A vector over channels, ready to broadcast."""
    return v.reshape((1, -1) + (1,) * (ndim - 2))


def _over_batch(ndim):
    return (0, *range(2, ndim))


@_batch_norm.vjp
def _(g, x, w, mean, rstd, *, eps, needs):
    if not _native.is_grad_enabled():
        return (*_split(_batch_norm_backward(g, x, w, mean, rstd, training=True), needs, 0), None, None, None)
    ndim, dims = x.ndim, _over_batch(x.ndim)
    centred = x - x.mean(dims, keepdim=True)
    r = ((centred * centred).mean(dims, keepdim=True) + eps).rsqrt()
    xhat = centred * r
    gw = g if w is None else g * _channels(w, ndim)
    dx = r * (gw - gw.mean(dims, keepdim=True) - xhat * (gw * xhat).mean(dims, keepdim=True))
    return (*_split((dx, (g * xhat).sum(dims), g.sum(dims)), needs, 0), None, None, None)


@_batch_norm_eval.vjp
def _(g, x, w, mean, rstd, *, needs):
    if not _native.is_grad_enabled():
        return (*_split(_batch_norm_backward(g, x, w, mean, rstd, training=False), needs, 0), None, None)
    ndim, dims = x.ndim, _over_batch(x.ndim)
    r = _channels(rstd, ndim)
    xhat = (x - _channels(mean, ndim)) * r
    dx = g * r if w is None else g * (r * _channels(w, ndim))
    return (*_split((dx, (g * xhat).sum(dims), g.sum(dims)), needs, 0), None, None)


def _check_batch_size(shape, shown=None):
    if math.prod((shape[0], *shape[2:])) == 1:
        shown = Size(shape) if shown is None else shown
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {shown}")


def _update_running(running, value, momentum, batches=None):
    _recording.note(running, batches)
    K.running_stats_into(running._a, value._a, None if batches is None else batches._a, float(momentum))


def batch_norm(input: Tensor, running_mean: Tensor | None, running_var: Tensor | None, weight: Tensor | None = None,
               bias: Tensor | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5, *,
               _batches: Tensor | None = None) -> Tensor:  # fmt: skip
    """(input - mean) / sqrt(var + eps) * weight + bias, per channel (dimension 1).

    In training mean and variance are the batch's, and the running ones move towards them by `momentum` in place (the
    variance unbiased). Otherwise the running ones are used. `_batches`: how many there were, for the mean over all of them.
    Raises: ValueError for one value per channel in training; RuntimeError for vectors of the wrong length.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.batch_norm.html
    """
    a = input._a
    if training:
        _check_batch_size(a.shape)
    if training and eps <= 0.0:
        raise ValueError(f"batch_norm eps must be positive during training, but got {eps}")
    if eps < 0.0:
        raise ValueError(f"batch_norm eps must be non-negative, but got {eps}")
    if a.ndim < 2:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-a.ndim}, {a.ndim - 1}], but got 1)")
    vectors = [("running_mean", running_mean), ("running_var", running_var), ("weight", weight), ("bias", bias)]
    for name, t in vectors:
        if t is not None and t._a.numel != a.shape[1]:
            raise RuntimeError(f"{name} should contain {a.shape[1]} elements not {t._a.numel}")
        if t is None and not training and name.startswith("running"):
            raise RuntimeError(f"{name} must be defined in evaluation mode")
    if (running_mean is None) != (running_var is None):
        raise ValueError("running_mean and running_var must either both be None or neither be None")
    if not a.dtype.is_floating_point:
        raise NotImplementedError(f"\"batch_norm\" not implemented for '{a.dtype.scalar_name}'")
    _check_affine(a, weight, bias)
    for t in (running_mean, running_var):
        if t is not None and t._a.dtype is not a.dtype and a.dtype.itemsize >= 4:
            raise RuntimeError("mixed dtype (CPU): all inputs must share same datatype.")
    if not training:
        rstd = _native.wrap(K.rsqrt(K.add(running_var._a, eps)))
        return _batch_norm_eval(input, weight, bias, running_mean.detach(), rstd)
    mean, rstd, variance = _statistics(a.shape[1], a, 3)
    y = _batch_norm(input, weight, bias, mean, rstd, variance, eps=float(eps))
    if running_mean is not None and a.numel:
        _update_running(running_mean, mean, momentum, _batches)
        _update_running(running_var, variance, momentum, _batches)
    return y


# -- rows: layer, RMS and group norm -----------------------------------------------------------------------------------


@op(name="row_norm_backward", grad_name="NativeLayerNormBackwardBackward0", differentiable=False)
def _row_norm_backward(g, x, w, mean, rstd, /, *, form):
    return K.row_norm_backward(contig(g), contig(x), contig(w), mean, rstd, form)


def _make_row_norm(name, grad_name):
    @op(name=name, grad_name=grad_name)
    def _row_norm(x, w, b, mean, rstd, /, *, form):
        y = _native.empty(x.shape, x.dtype.code)
        K.row_norm_into((y, mean, rstd), contig(x), contig(w), contig(b), form)  # Note [Statistics as arguments]
        return y

    @_row_norm.vjp
    def _(g, x, w, b_shape, mean, rstd, *, form, needs):
        w_shape = None if w is None else w.shape
        if _native.is_grad_enabled():
            grads = _row_expression(g, x, w, form)
        else:
            grads = _row_norm_backward(g, x, w, mean, rstd, form=form)
        dx, dw, db = _split(grads, needs, 0)
        return dx, None if dw is None else dw.reshape(w_shape), None if db is None else db.reshape(b_shape), None, None

    return _row_norm


def _row_expression(g, x, w, form):
    groups, segments, run, centred, eps = form
    shape = (-1, groups, segments, run)
    x4, g4 = x.reshape(shape), g.reshape(shape)
    gw = g4 if w is None else g4 * w.reshape((1, groups, segments, 1))
    c = x4 - x4.mean((2, 3), keepdim=True) if centred else x4
    r = ((c * c).mean((2, 3), keepdim=True) + eps).rsqrt()
    xhat = c * r
    dx = gw - xhat * (gw * xhat).mean((2, 3), keepdim=True)
    if centred:
        dx = dx - gw.mean((2, 3), keepdim=True)
    return (r * dx).reshape(x.shape), (g4 * xhat).sum((0, 3)), g4.sum((0, 3))


_layer_norm = _make_row_norm("layer_norm", "NativeLayerNormBackward0")
_group_norm = _make_row_norm("group_norm", "NativeGroupNormBackward0")
_rms_norm = _make_row_norm("rms_norm", "FusedRmsNormBackward0")


def _shape_argument(name, shape):
    if isinstance(shape, int) or not hasattr(shape, "__iter__"):
        raise TypeError(f"{name}(): argument 'normalized_shape' (position 2) must be tuple of ints, not {type(shape).__name__}")
    return tuple(operator.index(s) for s in shape)


def _check_rows(a, shape, weight, bias, star):
    if not shape:
        raise RuntimeError("Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, but "
                           "got normalized_shape = []")  # fmt: skip
    for name, t in (("weight", weight), ("bias", bias)):
        if t is not None and t._a.shape != shape:
            raise RuntimeError(f"Expected {name} to be of same shape as normalized_shape, but got {name} of shape "
                               f"{list(t._a.shape)} and normalized_shape = {list(shape)}")  # fmt: skip
    if a.shape[-len(shape) :] != shape or a.ndim < len(shape):
        wanted = ", ".join(map(str, shape))
        raise RuntimeError(f"Given normalized_shape={list(shape)}, expected input with shape [*{star}{wanted}], but got "
                           f"input of size{list(a.shape)}")  # fmt: skip


def layer_norm(input: Tensor, normalized_shape, weight: Tensor | None = None, bias: Tensor | None = None,
               eps: float = 1e-5) -> Tensor:  # fmt: skip
    """(input - mean) / sqrt(var + eps) * weight + bias over the last dimensions, whose shape is `normalized_shape`.

    Raises: RuntimeError if the input does not end in `normalized_shape`, or weight or bias differ from it.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.layer_norm.html
    """
    a, shape = input._a, _shape_argument("layer_norm", normalized_shape)
    _check_rows(a, shape, weight, bias, ", ")
    if not a.dtype.is_floating_point:
        raise NotImplementedError(f"\"LayerNormKernelImpl\" not implemented for '{a.dtype.scalar_name}'")
    _check_affine(a, weight, bias)
    n = math.prod(shape)
    mean, rstd = _statistics(a.numel // n if n else 0, a, 2)
    return _layer_norm(input, weight, bias, mean, rstd, form=(1, n, 1, True, float(eps)))


def rms_norm(input: Tensor, normalized_shape, weight: Tensor | None = None, eps: float | None = None) -> Tensor:
    """input / sqrt(mean(input ** 2) + eps) * weight over the last dimensions; `eps` defaults to the dtype's epsilon.

    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.rms_norm.html
    """
    a, shape = input._a, _shape_argument("rms_norm", normalized_shape)
    _check_rows(a, shape, weight, None, "")
    n = math.prod(shape)
    if eps is None:
        eps = np.finfo(np.float64 if a.dtype is _dtypes.float64 else np.float32).eps
    mean, rstd = _statistics(a.numel // n if n else 0, a, 2)
    return _rms_norm(input, weight, None, mean, rstd, form=(1, n, 1, False, float(eps)))


def group_norm(input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None,
               eps: float = 1e-5) -> Tensor:  # fmt: skip
    """(input - mean) / sqrt(var + eps) * weight + bias, over `num_groups` groups of channels of each sample.

    Raises: RuntimeError if the channels cannot be divided so, ValueError for a single value per group.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.group_norm.html
    """
    a = input._a
    if a.ndim < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {a.ndim}")
    size = [a.shape[0] * a.shape[1] // num_groups, num_groups, *a.shape[2:]]
    _check_batch_size(size, size)
    channels = a.shape[1]
    if channels % num_groups:
        raise RuntimeError("Expected number of channels in input to be divisible by num_groups, but got input of shape "
                           f"{list(a.shape)} and num_groups={num_groups}")  # fmt: skip
    for name, t in (("weight", weight), ("bias", bias)):
        if t is not None and t._a.shape != (channels,):
            raise RuntimeError(f"Expected {name} to be a vector of size equal to the number of channels in input, but got {name} "
                               f"of shape {list(t._a.shape)} and input of shape {list(a.shape)}")  # fmt: skip
    _check_affine(a, weight, bias)
    mean, rstd = _statistics(a.shape[0] * num_groups, a, 2)
    form = (num_groups, channels // num_groups, math.prod(a.shape[2:]), True, float(eps))
    return _group_norm(input, weight, bias, mean, rstd, form=form)


def instance_norm(input: Tensor, running_mean: Tensor | None = None, running_var: Tensor | None = None,
                  weight: Tensor | None = None, bias: Tensor | None = None, use_input_stats: bool = True,
                  momentum: float = 0.1, eps: float = 1e-5) -> Tensor:  # fmt: skip
    """(input - mean) / sqrt(var + eps) * weight + bias, per channel of each sample.

    With `use_input_stats` the running statistics, if given, move towards the samples' mean statistics in place; without,
    they are used.
    Raises: ValueError for a single spatial element.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.instance_norm.html
    """
    a = input._a
    if use_input_stats and math.prod(a.shape[2:]) == 1:
        raise ValueError(f"Expected more than 1 spatial element when training, got input size {Size(a.shape)}")
    if not use_input_stats and (running_mean is None or running_var is None):
        raise RuntimeError("Expected running_mean and running_var to be defined when use_input_stats is false")
    samples, channels = a.shape[:2]
    for name, t in (("weight", weight), ("bias", bias), ("running_mean", running_mean), ("running_var", running_var)):
        if t is not None and t._a.numel != channels:
            raise RuntimeError(f"{name} should contain {samples * channels} elements not {samples * t._a.numel}")
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    # PyTorch runs batch norm on (1, N * C, ...), which is why its node is a view's.
    flat = input.reshape(1, samples * channels, *a.shape[2:])
    mean, rstd, variance = _statistics(samples * channels, a, 3)
    w, b = (None if t is None else t.unsqueeze(0).expand(samples, channels).reshape(-1) for t in (weight, bias))
    y = _batch_norm(flat, w, b, mean, rstd, variance, eps=float(eps))
    if running_mean is not None and a.numel:
        for running, value in ((running_mean, mean), (running_var, variance)):
            _update_running(running, value.reshape(samples, channels).mean(0), momentum)
    return y.view(a.shape)


# -- across channels ---------------------------------------------------------------------------------------------------


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """input / (k + alpha * mean of squares over `size` neighbouring channels) ** beta.

    Raises: ValueError for fewer than three dimensions.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.local_response_norm.html
    """
    a = input._a
    if a.ndim < 3:
        raise ValueError(f"Expected 3D or higher dimensionality                          input (got {a.ndim} dimensions)")
    if a.numel == 0:
        return input
    from .shape import cat

    def padded(squares):
        before, after = list(squares.shape), list(squares.shape)
        before[2], after[2] = size // 2, (size - 1) // 2
        return cat([squares.new_zeros(before), squares, squares.new_zeros(after)], 2)

    squares = input * input
    if a.ndim == 3:
        mean = avg_pool2d(padded(squares.unsqueeze(1)), (size, 1), stride=1).squeeze(1)
    else:
        mean = avg_pool3d(padded(squares.reshape(a.shape[0], 1, a.shape[1], a.shape[2], -1)), (size, 1, 1), stride=1)
        mean = mean.squeeze(1).reshape(a.shape)
    return input / (mean * alpha + k) ** beta
