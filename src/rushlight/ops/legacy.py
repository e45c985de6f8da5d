"""The constructors from before `torch.tensor`: `Tensor(2, 3)`, `FloatTensor([1, 2])` and their kin.

Reference: https://docs.pytorch.org/docs/stable/tensors.html#torch.Tensor
"""

from __future__ import annotations

import builtins

from .. import _dtypes, _native
from ..autograd.tensor import Tensor
from .creation import empty, tensor

__all__ = ["FloatTensor", "DoubleTensor", "HalfTensor", "BFloat16Tensor", "ByteTensor", "CharTensor", "ShortTensor", "IntTensor",
           "LongTensor", "BoolTensor"]  # fmt: skip


def _construct(dtype, args):
    """No argument: an empty tensor; sizes: uninitialised; a sequence or tensor: its values."""
    if not args:
        return empty(0, dtype=dtype)
    first = args[0]
    if len(args) == 1 and isinstance(first, Tensor):
        return first.detach() if first.dtype is dtype else first.detach().to(dtype)
    if builtins.all(isinstance(a, builtins.int) and not isinstance(a, builtins.bool) for a in args):
        return empty(*args, dtype=dtype)
    if len(args) == 1 and type(first).__name__ == "Size":
        return empty(first, dtype=dtype)
    if len(args) == 1 and hasattr(first, "__len__") and not isinstance(first, str):
        return tensor(first, dtype=dtype)
    given = ", ".join(type(a).__name__ for a in args)
    raise TypeError(f"new(): expected sizes, a sequence or a tensor, got ({given}); for one number use torch.tensor")


def _new(cls, *args, device=None):
    """Tensor(2, 3) is uninitialised; Tensor([1, 2]) holds these values; both have the default dtype."""
    t = _construct(_native.default_dtype(), args)
    return t if cls is Tensor else _native.wrap_as(cls, t._a)


Tensor.__new__ = _new


class _TypeMeta(type):
    def __instancecheck__(cls, x):
        return isinstance(x, Tensor) and x.dtype is cls.dtype and not x.is_sparse

    def __call__(cls, *args, device=None):
        return _construct(cls.dtype, args)


def _type(name, dtype):
    return _TypeMeta(name, (), {"dtype": dtype, "__module__": "torch", "__doc__": f"Makes tensors of dtype {dtype.name}."})


FloatTensor = _type("FloatTensor", _dtypes.float32)
DoubleTensor = _type("DoubleTensor", _dtypes.float64)
HalfTensor = _type("HalfTensor", _dtypes.float16)
BFloat16Tensor = _type("BFloat16Tensor", _dtypes.bfloat16)
ByteTensor = _type("ByteTensor", _dtypes.uint8)
CharTensor = _type("CharTensor", _dtypes.int8)
ShortTensor = _type("ShortTensor", _dtypes.int16)
IntTensor = _type("IntTensor", _dtypes.int32)
LongTensor = _type("LongTensor", _dtypes.int64)
BoolTensor = _type("BoolTensor", _dtypes.bool_)
