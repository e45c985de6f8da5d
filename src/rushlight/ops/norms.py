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

__all__ = ["norm", "dist", "vector_norm_of", "renorm", "norm_except_dim"]


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


# -- weight normalisation ------------------------------------------------------------------------------------------------


def norm_except_dim(v: Tensor, pow: int = 2, dim: int = 0) -> Tensor:
    """The norm of the part at each index of `dim`, shaped to broadcast with v; dim=-1: the norm of all of v."""
    if not v._a.dtype.is_floating_point:
        raise RuntimeError("norm(): input dtype should be either floating point or complex. Got "
                           f"{v._a.dtype.scalar_name} instead.")  # fmt: skip
    if dim == -1:
        return vector_norm_of(v, pow)
    others = tuple(d for d in range(v._a.ndim) if d != check.dim(dim, v._a.ndim))
    if not others:
        return vector_norm_of(v.unsqueeze(1), pow, 1)
    return vector_norm_of(v, pow, others, True)


def _norms(v, dim):
    """The 2-norms of an array's parts along its first or last dimension, shaped to broadcast."""
    return K.norm(v, ((1 << v.ndim) - 1) & ~(1 << dim), True, 2.0)


@op(name="weight_norm", grad_name="WeightNormInterfaceBackward0")
def _weight_norm_fused(v, w, /, *, dim):
    return K.mul(v, K.div(w, _norms(v, dim)))


@_weight_norm_fused.vjp
def _(g, v, w, *, dim):
    # out = w v / n with n = |v|: the part of g along v changes w, the rest turns v.
    n = norm_except_dim(v, 2, dim)
    along = norm_sum(g * v, dim) / n
    return w / n * (g - v * (along / n)), along


def norm_sum(x, dim):
    """Sums over all dimensions but one, which stay as ones."""
    others = tuple(d for d in range(x._a.ndim) if d != dim)
    return x.sum(others, keepdim=True) if others else x


def _weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    """g v / |v|, a magnitude for each index of `dim`; dim=-1: one for all of v."""
    if dim != -1:
        d = check.dim(dim, v._a.ndim)
        if d in (0, v._a.ndim - 1):
            return _weight_norm_fused(v, g, dim=d)
    return v * (g / norm_except_dim(v, 2, dim))
