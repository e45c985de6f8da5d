"""Bilinear forms, distances and similarities."""

from __future__ import annotations

import math

from .. import _check as check
from .._kernels import K
from ..autograd.op import op
from ..autograd.tensor import Tensor
from .creation import result_type
from .matmul import matmul
from .norms import vector_norm_of

__all__ = ["bilinear", "cosine_similarity", "pairwise_distance", "normalize"]


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x1^T W_k x2 + b_k for each k.

    Shape: input1 (*, n1), input2 (*, n2), weight (k, n1, n2), bias (k); result (*, k).
    """
    a, b, w = input1._a.shape, input2._a.shape, weight._a.shape
    if len(a) != len(b):
        raise RuntimeError(f"bilinear(): input dimensions do not match: got {len(a)} and {len(b)}")
    for i, (x, y) in enumerate(zip(a[:-1], b[:-1], strict=True)):
        if x != y:
            raise RuntimeError(f"bilinear(): input batch dimensions do not match at dim {i}: got {x} and {y}")
    if a[-1] != w[1]:
        raise RuntimeError(f"bilinear(): input1 size does not match weight size: got {a[-1]} but expected {w[1]}")
    if b[-1] != w[2]:
        raise RuntimeError(f"bilinear(): input2 size does not match weight size: got {b[-1]} but expected {w[2]}")
    x1, x2 = input1.reshape(-1, a[-1]), input2.reshape(-1, b[-1])
    left = matmul(x1, weight.permute(1, 0, 2).reshape(w[1], w[0] * w[2])).reshape(-1, w[0], w[2])
    out = (left * x2.unsqueeze(1)).sum(-1).reshape(*a[:-1], w[0])
    return out if bias is None else out + bias


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x1 . x2 / (max(|x1|, eps) max(|x2|, eps)) along `dim`; the inputs broadcast."""
    dtype = result_type(x1, x2)
    if not dtype.is_floating_point:
        raise RuntimeError(f"expected common dtype to be floating point, yet common dtype is {dtype.scalar_name}")
    x1 = x1 if x1._a.dtype is dtype else x1.to(dtype)
    x2 = x2 if x2._a.dtype is dtype else x2.to(dtype)
    check.dim(dim, max(x1.ndim, x2.ndim))
    n1 = _floored(vector_norm_of(x1, 2, dim, True), eps=eps)
    n2 = _floored(vector_norm_of(x2, 2, dim, True), eps=eps)
    return ((x1 / n1) * (x2 / n2)).sum(dim)


@op
def _floored(x, /, *, eps):
    return K.clamp(x, eps, math.inf)


_floored.vjp(x=lambda g: g)  # the floor takes no part in the gradient, as in PyTorch


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The p-norm of x1 - x2 + eps along the last dimension; the inputs broadcast."""
    return (x1 - x2 + eps).norm(p, -1, keepdim)


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out=None) -> Tensor:
    """input / max(|input|_p, eps) along `dim`."""
    norm = input.norm(p, dim, keepdim=True).clamp_min(eps)
    result = input / norm
    if out is None:
        return result
    from ._declare import write_out

    return write_out(out, result)
