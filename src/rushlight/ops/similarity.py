"""Bilinear forms, distances and similarities."""

from __future__ import annotations

from ..autograd.tensor import Tensor
from .matmul import matmul

__all__ = ["bilinear"]


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
