"""Norms of vectors and of tensors seen as vectors. Norms of matrices are in rushlight.linalg."""

from __future__ import annotations

import math

from .. import _check as check
from .._kernels import K
from ..autograd.op import op
from ..autograd.tensor import Tensor
from ._declare import method, numpy_names
from .pointwise import _where
from .reduce import _restore

__all__ = ["norm", "dist", "vector_norm_of", "renorm"]


@op(grad_name="LinalgVectorNormBackward0")
def _vector_norm(x, /, *, p, dim, keepdim):
    return K.norm(x, check.mask_of(dim, x.ndim), keepdim, float(p))


@_vector_norm.vjp
def _(g, x, out, *, p, dim, keepdim):
    shape = x._a.shape
    g, n = _restore(g, shape, dim, keepdim), _restore(out, shape, dim, keepdim)
    if p == 0:
        return g.new_zeros(shape)
    if p == 1:
        return g * x.sign()
    if p == 2:
        return g * _where(n == 0, 0.0, x / n)
    if math.isinf(p):
        size = x.abs()
        chosen = (size == n) | (size != size)
        return x.sign() * (chosen / chosen.sum(dim or None, keepdim=True) * g)
    if p < 1:
        return x.sign() * _where(x == 0, 0.0, x.abs() ** (p - 1)) * g * n ** (1 - p)
    scale = _where(n == 0, 0.0, g / n ** (p - 1))
    return (x.sign() * x.abs() ** (p - 1) if p < 2 else x * x.abs() ** (p - 2)) * scale


def vector_norm_of(x: Tensor, ord=2, dim=None, keepdim: bool = False, dtype=None) -> Tensor:
    """(sum |x|**ord) ** (1 / ord), over the given dimension(s) or all; ord may be 0, inf or -inf.

    Raises: RuntimeError for integers, and for an empty maximum or minimum.
    """
    if isinstance(ord, str):
        raise TypeError(f"linalg_vector_norm(): argument 'ord' (position 2) must be Number, not {type(ord).__name__}")
    if dtype is not None:
        x = x.to(dtype)
    a = x._a
    if not a.dtype.is_floating_point:
        raise RuntimeError(
            f"linalg.vector_norm: Expected a floating point or complex tensor as input. Got {a.dtype.scalar_name}"
        )
    if dim == () or dim == []:
        dim = None
    if a.numel == 0 and (ord < 0 or math.isinf(ord)):
        if dim is None:
            raise RuntimeError(
                f"linalg.vector_norm cannot compute the {ord} norm on an empty tensor because the operation does not have "
                "an identity"
            )
        for d in check.dims(dim, a.ndim):
            if a.ndim and a.shape[d] == 0:
                raise RuntimeError(
                    f"linalg.vector_norm cannot compute the {ord} norm on the dimension {d} because this dimension is empty "
                    "and the operation does not have an identity"
                )
    return _vector_norm(x, p=float(ord), dim=dim, keepdim=keepdim)


@method(out=True)
@numpy_names
def norm(input: Tensor, p="fro", dim=None, keepdim: bool = False, dtype=None) -> Tensor:
    """The p-norm of the input as a vector, or over the given dimension(s). p: a number, inf, "fro" (2) or "nuc"."""
    if p is None or p == "fro":
        p = 2.0
    if isinstance(p, str):
        if p in ("inf", "-inf"):
            p = float(p)
        else:
            from ..linalg import matrix_norm

            return matrix_norm(input, p, (-2, -1) if dim is None else dim, keepdim, dtype=dtype)
    return vector_norm_of(input, p, dim, keepdim, dtype)


@method(out=True)
def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of input - other."""
    return norm(input - other, p)


@method(out=True)
def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """Each part along `dim` scaled down to a p-norm of at most `maxnorm`."""
    d = check.dim(dim, input._a.ndim)
    if input._a.ndim <= 1:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {input._a.ndim} dimensions")
    n = vector_norm_of(input, p, tuple(i for i in range(input._a.ndim) if i != d), True)
    return input * _where(n > maxnorm, maxnorm / (n + 1e-7), 1.0)
