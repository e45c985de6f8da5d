"""Gradient clipping, by norm and by value. One kernel call for all gradients."""

from __future__ import annotations

import types
import warnings

from ... import _native
from ..._kernels import K
from ...autograd.grad_mode import no_grad
from ...autograd.op import no_array
from ...autograd.tensor import Tensor
from ...ops._values import FINITE, check_floats
from ...ops.creation import tensor

__all__ = ["clip_grad_norm", "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm"]


def _arrays(tensors):
    """Arrays of tensors whose elements lie in one piece; copies of the others."""
    return [t._a if t._a.contiguous else K.copy(t.contiguous()._a) for t in tensors]


@no_grad()
def get_total_norm(tensors, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach=None) -> Tensor:
    """The norm of the tensors' norms: that of all their elements as one vector.

    Raises: RuntimeError for a norm that is not finite, with `error_if_nonfinite`.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.get_total_norm.html
    """
    tensors = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    norm_type = float(norm_type)
    if not tensors:
        return tensor(0.0)
    try:
        arrays = _arrays(tensors)
    except NotImplementedError:
        raise no_array("linalg_vector_norm") from None
    total = _native.wrap(K.grad_norm(arrays, norm_type))
    if error_if_nonfinite:
        check_floats(total, FINITE, norm_type)
    return total


def _gradients(parameters):
    parameters = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p._grad for p in parameters if p._grad is not None]


def _in_place(kernel, grads, *args):
    """kernel([arrays], *args) over gradients with any strides."""
    try:
        arrays = [g._a for g in grads]
    except NotImplementedError:
        raise no_array("clamp_min_") from None
    odd = [i for i, a in enumerate(arrays) if not a.contiguous]
    copies = {i: K.copy(grads[i].contiguous()._a) for i in odd}
    kernel([copies.get(i, a) for i, a in enumerate(arrays)], *args)
    for i, a in copies.items():
        K.copy_into(arrays[i], a)


@no_grad()
def clip_grads_with_norm_(parameters, max_norm: float, total_norm: Tensor, foreach=None) -> None:
    """Multiplies the gradients by min(1, max_norm / (total_norm + 1e-6))."""
    grads = _gradients(parameters)
    if grads:
        _in_place(K.clip_scale_into, grads, total_norm._a, float(max_norm))


@no_grad()
def clip_grad_norm_(parameters, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False,
                    foreach=None) -> Tensor:  # fmt: skip
    """Scales the gradients down, in place, so that their common norm is at most `max_norm`. Returns the norm before.

    Args: `parameters`, a tensor or an iterable; `norm_type`, the order, "inf" for the largest magnitude.
    Raises: RuntimeError for a norm that is not finite, with `error_if_nonfinite`.
    Reference: Pascanu et al., https://arxiv.org/abs/1211.5063;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.clip_grad_norm_.html
    """
    if isinstance(parameters, Tensor):
        parameters = [parameters]
    else:
        generator = isinstance(parameters, types.GeneratorType)
        parameters = list(parameters)
        if generator and not parameters:
            warnings.warn("`parameters` is an empty generator, no gradient clipping will occur.", UserWarning, stacklevel=3)
    grads = _gradients(parameters)
    total = get_total_norm(grads, norm_type, error_if_nonfinite, foreach)
    if grads:
        _in_place(K.clip_scale_into, grads, total._a, float(max_norm))
    return total


def clip_grad_norm(parameters, max_norm, norm_type=2.0, error_if_nonfinite=False, foreach=None) -> Tensor:
    """The old name of `clip_grad_norm_`."""
    warnings.warn(
        "`torch.nn.utils.clip_grad_norm` is now deprecated in favor of `torch.nn.utils.clip_grad_norm_`.",
        FutureWarning,
        stacklevel=2,
    )
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)


@no_grad()
def clip_grad_value_(parameters, clip_value: float, foreach=None) -> None:
    """Clips every element of the gradients, in place, to [-clip_value, clip_value].

    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.clip_grad_value_.html
    """
    clip_value = float(clip_value)
    grads = _gradients(parameters)
    if grads:
        _in_place(K.clip_value_into, grads, clip_value)
