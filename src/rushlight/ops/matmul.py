"""The matrix product and its family."""

from __future__ import annotations

from .._kernels import K
from ..autograd.autocast import lower_precision
from ..autograd.op import op
from ..autograd.tensor import Tensor
from ._declare import method, tensor_method

__all__ = ["matmul", "mm", "bmm", "mv", "dot", "inner", "outer", "ger", "addmm", "addmv", "addbmm", "baddbmm", "addr", "linear"]


def _mismatch(a, b):
    return RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({a[0]}x{a[1]} and {b[0]}x{b[1]})")


def _same_dtype(a, b):
    if a.dtype is not b.dtype:
        raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {_cpp(a.dtype)} != {_cpp(b.dtype)}")


_CPP = {"Float": "float", "Double": "double", "Half": "c10::Half", "BFloat16": "c10::BFloat16", "Long": "long int",
        "Int": "int", "Short": "short int", "Char": "signed char", "Byte": "unsigned char", "Bool": "bool"}  # fmt: skip


def _cpp(dtype):
    return _CPP[dtype.scalar_name]




@op(grad_name="MmBackward0")
def _mm(a, b, /):
    return K.matmul(a, b)


def _as_laid_out(product, a, b, layout):
    """a @ b, the gradient of an operand. That of a transposed one is made as its transpose, so that it need not be copied later."""
    strides = layout[0]
    if strides[-2] == 1 and strides[-1] > 1:
        return product(b.transpose(-2, -1), a.transpose(-2, -1)).transpose(-2, -1)
    return product(a, b)


_mm.vjp(a=lambda g, a_layout, b: _as_laid_out(_mm, g, b.t(), a_layout), b=lambda g, a, b_layout: _as_laid_out(_mm, a.t(), g, b_layout))


@op(grad_name="BmmBackward0")
def _bmm(a, b, /):
    return K.matmul(a, b)


def _unbroadcast(g, shape):
    return g.sum_to_size(shape) if g._a.shape != shape else g


_bmm.vjp(a=lambda g, a_shape, a_layout, b: _unbroadcast(_as_laid_out(_bmm, g, b.transpose(-2, -1), a_layout), a_shape),
         b=lambda g, a, b_shape, b_layout: _unbroadcast(_as_laid_out(_bmm, a.transpose(-2, -1), g, b_layout), b_shape))  # fmt: skip


@method(out=True)
@lower_precision
def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """The product of two matrices (n, m) and (m, p)."""
    a, b = input._a, mat2._a
    if a.ndim != 2:
        raise RuntimeError("self must be a matrix")
    if b.ndim != 2:
        raise RuntimeError("mat2 must be a matrix")
    if a.shape[1] != b.shape[0]:
        raise _mismatch(a.shape, b.shape)
    _same_dtype(a, b)
    return _mm(input, mat2)


@method(out=True)
@lower_precision
def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """The products of two batches of matrices (b, n, m) and (b, m, p)."""
    a, b = input._a, mat2._a
    if a.ndim != 3:
        raise RuntimeError("batch1 must be a 3D tensor")
    if b.ndim != 3:
        raise RuntimeError("batch2 must be a 3D tensor")
    if a.shape[0] != b.shape[0] or a.shape[2] != b.shape[1]:
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{a.shape[0]}, {a.shape[2]}] but got: "
            f"[{b.shape[0]}, {b.shape[1]}]."
        )
    _same_dtype(a, b)
    return _bmm(input, mat2)


@op(grad_name="DotBackward0")
def _dot(a, b, /):
    return K.matmul(a.unsqueeze(0), b.unsqueeze(1)).view(())


_dot.vjp(a=lambda g, b: g * b, b=lambda g, a: g * a)


@method(out=True)
def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """The inner product of two vectors."""
    a, b = input._a, tensor._a
    if a.ndim != 1 or b.ndim != 1:
        raise RuntimeError(f"1D tensors expected, but got {a.ndim}D and {b.ndim}D tensors")
    if a.dtype is not b.dtype:
        raise RuntimeError(
            f"dot : expected both vectors to have same dtype, but found {a.dtype.scalar_name} and {b.dtype.scalar_name}"
        )
    if a.shape != b.shape:
        raise RuntimeError(
            f"inconsistent tensor size, expected tensor [{a.shape[0]}] and src [{b.shape[0]}] to have the same number of "
            f"elements, but got {a.shape[0]} and {b.shape[0]} elements respectively"
        )
    return _dot(input, tensor)


tensor_method("vdot", dot)


@op(grad_name="MvBackward0")
def _mv(a, b, /):
    return K.matmul(a, b.unsqueeze(1)).view((a.shape[0],))


_mv.vjp(a=lambda g, b: outer(g, b), b=lambda g, a: _mv(a.t(), g))


@method(out=True)
def mv(input: Tensor, vec: Tensor) -> Tensor:
    """A matrix (n, m) times a vector (m)."""
    a, b = input._a, vec._a
    if a.ndim != 2 or b.ndim != 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got 1, {a.ndim}, {b.ndim}")
    if a.shape[1] != b.shape[0]:
        raise RuntimeError(f"size mismatch, got input ({a.shape[0]}), mat ({a.shape[0]}x{a.shape[1]}), vec ({b.shape[0]})")
    _same_dtype(a, b)
    return _mv(input, vec)


@method(out=True)
@lower_precision
def matmul(input: Tensor, other: Tensor) -> Tensor:
    """The matrix product of the last two dimensions; vectors get a dimension for the time; batches broadcast.

    Raises: RuntimeError if the inner sizes differ or an argument is 0-d.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.matmul.html
    """
    a, b = input._a, other._a
    if a.ndim == 2 and b.ndim == 2:
        if a.shape[1] != b.shape[0]:
            raise _mismatch(a.shape, b.shape)
        _same_dtype(a, b)
        return _mm(input, other)
    if a.ndim == 0 or b.ndim == 0:
        raise RuntimeError(
            f"both arguments to matmul need to be at least 1D, but they are {a.ndim}D and {b.ndim}D"
        )
    if a.ndim == 1 and b.ndim == 1:
        return dot(input, other)
    if a.ndim == 2 and b.ndim == 1:
        return mv(input, other)
    if a.ndim == 1:
        return matmul(input.unsqueeze(0), other).squeeze(-2)
    if b.ndim == 1:
        return matmul(input, other.unsqueeze(1)).squeeze(-1)
    if a.shape[-1] != b.shape[-2]:
        if b.ndim == 2:
            rows = a.numel // max(1, a.shape[-1])
            raise _mismatch((rows, a.shape[-1]), b.shape)
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{b.shape[0]}, {a.shape[-1]}] but got: "
            f"[{b.shape[0]}, {b.shape[-2]}]."
        )
    _same_dtype(a, b)
    if b.ndim == 2:  # one large product instead of many small ones
        rows = input.reshape(-1, a.shape[-1])
        return _mm(rows, other).reshape(*a.shape[:-1], b.shape[1])
    for x, y in zip(a.shape[-3::-1], b.shape[-3::-1], strict=False):
        if x != y and x != 1 and y != 1:
            raise RuntimeError(f"The size of tensor a ({x}) must match the size of tensor b ({y}) at non-singleton dimension 0")
    return _bmm(input, other)


Tensor.__matmul__ = matmul.__wrapped__
Tensor.__rmatmul__ = lambda self, other: matmul(other, self)


@method(out=True)
def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """The outer product of two vectors."""
    for label, x in (("self", input), ("vec2", vec2)):
        if x._a.ndim != 1:
            raise RuntimeError(f"outer: Expected 1-D argument {label}, but got {x._a.ndim}-D")
    return input.unsqueeze(1) * vec2.unsqueeze(0)


ger = outer


@method(out=True)
@lower_precision
def inner(input: Tensor, other: Tensor) -> Tensor:
    """Sums of products over the last dimension of both."""
    a, b = input._a, other._a
    if a.ndim == 0 or b.ndim == 0:
        return input * other
    if a.shape[-1] != b.shape[-1]:
        raise RuntimeError(
            "inner() the last dimension must match on both input tensors but got shapes "
            f"{list(a.shape)} and {list(b.shape)}"
        )
    flat = matmul(input.reshape(-1, a.shape[-1]), other.reshape(-1, b.shape[-1]).t())
    return flat.reshape(*a.shape[:-1], *b.shape[:-1])


def _combine(input, product, beta, alpha):
    if input._a.shape != product._a.shape:
        input = input.expand(product._a.shape)
    product = product if alpha == 1 else product * alpha
    if beta == 0:
        return product
    return (input if beta == 1 else input * beta) + product


@method(out=True)
@lower_precision
def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta=1, alpha=1) -> Tensor:
    """beta * input + alpha * (mat1 @ mat2)."""
    return _combine(input, mm(mat1, mat2), beta, alpha)


@method(out=True)
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta=1, alpha=1) -> Tensor:
    """beta * input + alpha * (mat @ vec)."""
    return _combine(input, mv(mat, vec), beta, alpha)


@method(out=True)
def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta=1, alpha=1) -> Tensor:
    """beta * input + alpha * outer(vec1, vec2)."""
    return _combine(input, outer(vec1, vec2), beta, alpha)


@method(out=True)
@lower_precision
def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta=1, alpha=1) -> Tensor:
    """beta * input + alpha * (sum over the batch of batch1 @ batch2)."""
    return _combine(input, bmm(batch1, batch2).sum(0), beta, alpha)


@method(out=True)
@lower_precision
def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta=1, alpha=1) -> Tensor:
    """beta * input + alpha * (batch1 @ batch2)."""
    return _combine(input, bmm(batch1, batch2), beta, alpha)


# -- linear: x W^T + b in one kernel ------------------------------------------------------------------------------------


@op(grad_name="AddmmBackward0")
def _linear(x, w, b, /):
    return K.linear(x, w, b)


def _rows(x):
    return x if x._a.ndim == 2 else x.reshape(-1, x._a.shape[-1])


_linear.vjp(
    x=lambda g, x_shape, w: _mm(_rows(g), w).reshape(x_shape) if len(x_shape) != 2 else _mm(g, w),
    w=lambda g, x: _mm(_rows(g).t(), _rows(x)),
    b=lambda g: _rows(g).sum(0),
)


@lower_precision
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input @ weight.T + bias.

    Shape: input (*, in), weight (out, in) or (in), bias (out) or (); result (*, out) or (*).
    Raises: RuntimeError if the inner sizes differ.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.linear.html
    """
    a, w = input._a, weight._a
    if w.ndim != 2 or a.ndim == 0:
        if w.ndim == 1:
            out = matmul(input, weight)
            return out if bias is None else out + bias
        raise RuntimeError(f"both arguments to linear need to be at least 1D, but they are {a.ndim}D and {w.ndim}D")
    if a.shape[-1] != w.shape[1]:
        if a.ndim == 1:
            raise RuntimeError(f"size mismatch, got input ({w.shape[0]}), mat ({w.shape[0]}x{w.shape[1]}), vec ({a.shape[0]})")
        rows = a.numel // a.shape[-1] if a.shape[-1] else 0
        raise _mismatch((rows, a.shape[-1]), (w.shape[1], w.shape[0]))
    if a.dtype is not w.dtype or (bias is not None and bias._a.dtype is not a.dtype):
        other = w if a.dtype is not w.dtype else bias._a
        raise RuntimeError(f"mat1 and mat2 must have the same dtype, but got {a.dtype.scalar_name} and {other.dtype.scalar_name}")
    if not a.contiguous and a.ndim != 2:
        input = input.contiguous()
    if bias is not None and not bias._a.contiguous:  # the kernel reads the bias with step 1
        bias = bias.contiguous()
    if bias is not None and bias._a.shape != (w.shape[0],):
        return _linear(input, weight, None) + bias
    return _linear(input, weight, bias)
