"""How public functions become methods, in-place methods and `out=` variants.

A family file writes each function once. `@method` also makes it a Tensor method; `inplace=` adds the `name_` form;
`out=True` lets the top-level function take `out=`.
"""

from __future__ import annotations

import functools
import warnings

from .. import _native
from .._kernels import K
from ..autograd.inplace import apply_inplace
from ..autograd.op import op
from ..autograd.tensor import Tensor

__all__ = ["method", "unary", "write_out", "inplace_method", "with_out", "tensor_method", "numpy_names", "contig",
           "underivable"]


def contig(a):
    """The array in row-major order: itself, or a copy."""
    if a.contiguous:
        return a
    out = _native.empty(a.shape, a.dtype.code)
    K.copy_into(out, a)
    return out


def write_out(out, result):
    """Puts a freshly computed tensor into `out=`, resizing it as PyTorch does. Returns `out`."""
    if isinstance(result, tuple):
        for o, r in zip(out, result, strict=True):
            write_out(o, r)
        return out
    if not isinstance(out, Tensor):
        raise TypeError(f"argument 'out' must be Tensor, not {type(out).__name__}")
    a, r = out._a, result._a
    if out.requires_grad and _native.is_grad_enabled():
        raise RuntimeError("functions with out=... arguments don't support automatic differentiation, but one of the "
                           "arguments requires grad.")  # fmt: skip
    if _category(r.dtype) > _category(a.dtype):
        raise RuntimeError(f"result type {r.dtype.scalar_name} can't be cast to the desired output type {a.dtype.scalar_name}")
    if a.shape != r.shape:
        if a.numel:
            warnings.warn(
                f"An output with one or more elements was resized since it had shape {list(a.shape)}, which does not "
                f"match the required output shape {list(r.shape)}. This behavior is deprecated, and in a future PyTorch "
                "release outputs will not be resized unless they have zero elements. You can explicitly reuse an out "
                "tensor t by resizing it, inplace, to zero elements with t.resize_(0).",
                UserWarning,
                stacklevel=4,
            )
        out._a = a = _native.empty(r.shape, a.dtype.code)
    K.copy_into(a, r)
    return out


def _category(dtype):
    return 2 if dtype.is_floating_point else 0 if dtype.scalar_name == "Bool" else 1


def with_out(fn):
    """`fn` with a keyword `out`: the tensor (or tuple of tensors) that receives the result."""

    @functools.wraps(fn)
    def wrapper(*args, out=None, **kwargs):
        if out is None:
            return fn(*args, **kwargs)
        result = fn(*args, **kwargs)
        first = result[0] if isinstance(result, tuple) else result
        if first.requires_grad:
            raise RuntimeError(
                f"{fn.__name__}(): functions with out=... arguments don't support automatic differentiation, but one of "
                "the arguments requires grad."
            )
        return write_out(out, result)

    return wrapper


def tensor_method(name, fn) -> None:
    """Attaches `fn` to Tensor under `name`."""
    setattr(Tensor, name, fn)


def inplace_method(name, opcall, into=None, doc=None):
    """Tensor.name(self, *args): writes op(self, *args) into self."""

    def method_(self, *args, **attrs):
        return apply_inplace(opcall, self, *args, into=into, **attrs)

    method_.__name__ = method_.__qualname__ = name
    method_.__doc__ = doc or f"In-place form of `{name.rstrip('_')}`; returns self."
    setattr(Tensor, name, method_)
    return method_


_NUMPY_NAMES = {"axis": "dim", "keepdims": "keepdim"}


def numpy_names(fn):
    """`fn`, which also takes NumPy's `axis` and `keepdims` for `dim` and `keepdim`, as PyTorch does."""

    @functools.wraps(fn)
    def wrapper(*args, **kwargs):
        if kwargs:
            kwargs = {_NUMPY_NAMES.get(k, k): v for k, v in kwargs.items()}
        return fn(*args, **kwargs)

    return wrapper


def method(fn=None, /, *, name=None, out=False, inplace=None, into=None):
    """Makes `fn` a Tensor method; returns the top-level function.

    `out=True`: the top-level function takes `out=`. `inplace`: the op behind the `name_` form, `into` its kernel.
    """

    def attach(f):
        label = name or f.__name__
        setattr(Tensor, label, f)
        if inplace is not None:
            inplace_method(label + "_", inplace, into)
        return with_out(f) if out else f

    return attach if fn is None else attach(fn)


def unary(name, rule, doc, *, kernel=None, grad_name=None, inplace=True, onnx=None, differentiable=True):
    """An op of one tensor: the function, the method, the in-place method and `out=`, from one kernel and one rule."""
    kernel = kernel or name
    call = op(getattr(K, kernel), name=name, grad_name=grad_name, onnx=onnx, differentiable=differentiable)
    if rule is not None:
        call.vjp(a=rule)

    def function(input):
        return call(input)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    setattr(Tensor, name, call)
    if inplace:
        inplace_method(name + "_", call, getattr(K, kernel + "_into"))
    return with_out(function)


def underivable(name):
    """A rule for an input that an op cannot be derived by."""

    def rule(g):
        raise NotImplementedError(f"the derivative for '{name}' is not implemented.")

    return rule
