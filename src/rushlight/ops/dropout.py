"""Dropout. For a seed the masks are PyTorch's."""

from __future__ import annotations

import math
import warnings

from .. import _native
from ..autograd.tensor import Tensor
from .creation import zeros
from .random import bernoulli_mask

__all__ = ["dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"]


def _check(p):
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _need_float(input):
    if not input._a.dtype.is_floating_point:
        raise RuntimeError(f"result type Float can't be cast to the desired output type {input._a.dtype.scalar_name}")


def _layout(input, feature):
    """What the mask looks like: the input, in memory too (draws go in memory's order), or one draw per sample and channel."""
    if not feature:
        return input if not input._a.contiguous else input._a.shape
    shape = input._a.shape
    if len(shape) < 2:
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
    return shape[:2] + (1,) * (len(shape) - 2)


def _drop(input, p, training, inplace, feature=False):
    if p == 0 or not training or not input._a.numel:
        return input
    if p == 1:
        noise = zeros((), dtype=input._a.dtype)
    else:
        _need_float(input)
        noise = _native.wrap(bernoulli_mask(_layout(input, feature), input._a.dtype, 1 - p))
    return input.mul_(noise) if inplace else input * noise


_ALPHA = 1.7580993408473766  # selu's scale * alpha: what dropped units are set to, negated


def _drop_alpha(input, p, training, inplace, feature=False):
    if p == 0 or not training or not input._a.numel:
        return input
    if p == 1:
        noise = zeros((), dtype=input._a.dtype)
        return input.mul_(noise) if inplace else input * noise
    _need_float(input)
    noise = _native.wrap(bernoulli_mask(_layout(input, feature), input._a.dtype, 1 - p)) * (1 - p)
    a = 1.0 / math.sqrt((_ALPHA * _ALPHA * p + 1) * (1 - p))
    shift = (noise - 1).mul_(_ALPHA * a).add_(_ALPHA * a * p)
    noise.mul_(a)
    return input.mul_(noise).add_(shift) if inplace else input * noise + shift


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training, each element is 0 with probability p and divided by 1 - p else; the input itself otherwise.

    Raises: ValueError unless 0 <= p <= 1.
    """
    _check(p)
    return _drop(input, p, training, inplace)


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Dropout that keeps the mean and variance of selu's output."""
    _check(p)
    return _drop_alpha(input, p, training, inplace)


def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """alpha_dropout of whole channels."""
    _check(p)
    return _drop_alpha(input, p, training, inplace, feature=True)


def _batched(input, batched, p, training, inplace):
    if batched:
        return _drop(input, p, training, inplace, feature=True)
    out = _drop(input.unsqueeze(0), p, training, inplace, feature=True)
    return input if inplace else out.squeeze(0)


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Dropout of whole channels of (N, C, L) or (C, L)."""
    _check(p)
    n = input.ndim
    if n not in (2, 3):
        raise RuntimeError(
            f"dropout1d: Expected 2D or 3D input, but received a {n}D input. Note that dropout1d exists to provide channel-wise "
            "dropout on inputs with 1 spatial dimension, a channel dimension, and an optional batch dimension (i.e. 2D or 3D "
            "inputs)."
        )
    return _batched(input, n == 3, p, training, inplace)


def _deprecated_rank(name, n, spatial):
    return (
        f"{name}: Received a {n}-D input to {name}, which is deprecated and will result in an error in a future release. To "
        "retain the behavior and silence this warning, please use dropout instead. Note that "
        f"{name} exists to provide channel-wise dropout on inputs with {spatial} spatial dimensions, a channel dimension, and an "
        f"optional batch dimension (i.e. {spatial + 1}D or {spatial + 2}D inputs)."
    )


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Dropout of whole channels of (N, C, H, W); 3-D input is taken as (N, C, L), with a warning."""
    _check(p)
    n = input.ndim
    if n not in (3, 4):
        warnings.warn(_deprecated_rank("dropout2d", n, 2), stacklevel=2)
    if n == 3:
        warnings.warn(
            "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D dropout behavior is desired - input "
            "is interpreted as shape (N, C, L), where C is the channel dim. This behavior will change in a future release to "
            "interpret the input as one without a batch dimension, i.e. shape (C, H, W). To maintain the 1D channel-wise "
            "dropout behavior, please switch to using dropout1d instead.",
            stacklevel=2,
        )
    return _drop(input, p, training, inplace, feature=True)


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Dropout of whole channels of (N, C, D, H, W) or (C, D, H, W)."""
    _check(p)
    n = input.ndim
    if n not in (4, 5):
        warnings.warn(_deprecated_rank("dropout3d", n, 3), stacklevel=2)
    return _batched(input, n == 5, p, training, inplace)
