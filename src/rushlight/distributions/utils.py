"""What distributions share: parameters of one shape, probabilities and logits, properties that are computed once."""

from __future__ import annotations

import functools
from numbers import Number

from .. import _dtypes, _native, _recording, ops
from ..autograd.grad_mode import enable_grad
from ..autograd.tensor import Size, Tensor
from ..nn import functional as F

__all__ = [
    "broadcast_all", "clamp_probs", "lazy_property", "logits_to_probs", "probs_to_logits", "tril_matrix_to_vec",
    "vec_to_tril_matrix", "euler_constant", "standard_normal", "sum_rightmost", "maker", "made_by",
]  # fmt: skip

euler_constant = 0.57721566490153286060


def broadcast_all(*values):
    """The values as tensors of one shape; numbers take the dtype of the first tensor, or the default one."""
    if not all(isinstance(v, (Tensor, Number)) for v in values):
        raise ValueError("Input arguments must all be instances of Number, torch.Tensor or objects implementing __torch_function__.")
    like = next((v for v in values if isinstance(v, Tensor)), None)
    dtype = _native.default_dtype() if like is None else like.dtype
    return ops.broadcast_tensors(*(v if isinstance(v, Tensor) else ops.full((), v, dtype=dtype) for v in values))


def standard_normal(shape, dtype):
    return ops.randn(tuple(shape), dtype=dtype)


def sum_rightmost(value, dims):
    """The sum over the last `dims` dimensions."""
    return value if dims == 0 else value.reshape(value.shape[: value.dim() - dims] + (-1,)).sum(-1)


def logits_to_probs(logits: Tensor, is_binary: bool = False) -> Tensor:
    """Probabilities of log-odds, or of unnormalised log-probabilities along the last dimension."""
    return ops.sigmoid(logits) if is_binary else F.softmax(logits, -1)


def clamp_probs(probs: Tensor) -> Tensor:
    """Probabilities that are neither 0 nor 1."""
    eps = _dtypes.finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def probs_to_logits(probs: Tensor, is_binary: bool = False) -> Tensor:
    """Log-odds, or log-probabilities."""
    clamped = clamp_probs(probs)
    return ops.log(clamped) - ops.log1p(-clamped) if is_binary else ops.log(clamped)


class lazy_property:
    """A property that is computed when it is first asked for.

    What a recorded step computes belongs to that step: it is kept by objects that the step has made, and by no others.
    """

    def __init__(self, wrapped):
        self.wrapped = wrapped
        functools.update_wrapper(self, wrapped)

    def __get__(self, instance, owner=None):
        if instance is None:
            return self
        with enable_grad():
            value = self.wrapped(instance)
        if made_by(instance.__dict__.get("_maker")):
            setattr(instance, self.wrapped.__name__, value)
        return value


def maker():
    """What is recording now, to be kept by an object that is being made; None outside of recordings."""
    watch = _recording.watching()
    return None if watch is None else id(watch)


def made_by(mark) -> bool:
    """Whether an object with this mark is the recording's own, or nothing is being recorded."""
    watch = _recording.watching()
    return watch is None or mark == id(watch)


def tril_matrix_to_vec(mat: Tensor, diag: int = 0) -> Tensor:
    """The lower triangles of matrices, row by row, as vectors."""
    n = mat.shape[-1]
    if diag < -n or diag >= n:
        raise ValueError(f"diag ({diag}) provided is outside [{-n}, {n - 1}].")
    rows, cols = ops.tril_indices(n, n, diag)
    return mat[..., rows, cols]


def vec_to_tril_matrix(vec: Tensor, diag: int = 0) -> Tensor:
    """The inverse of `tril_matrix_to_vec`."""
    length = vec.shape[-1]
    n = (-(1 + 2 * diag) + ((1 + 2 * diag) ** 2 + 8 * length + 4 * abs(diag) * (diag + 1)) ** 0.5) / 2
    if round(n) - n > _dtypes.finfo(vec.dtype).eps:
        raise ValueError(
            f"The size of last dimension is {length} which cannot be expressed as the lower triangular part of a square D x D matrix."
        )
    n = round(n)
    rows, cols = ops.tril_indices(n, n, diag)
    mat = vec.new_zeros(Size((*vec.shape[:-1], n, n)))
    mat[..., rows, cols] = vec
    return mat
