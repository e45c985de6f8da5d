"""Element types: `dtype` objects with PyTorch's names and reprs, and the default floating-point type."""

from __future__ import annotations

import numpy as np

from . import _native

__all__ = [
    "dtype", "float32", "float64", "float16", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "bool",
    "float", "double", "half", "short", "int", "long", "get_default_dtype", "set_default_dtype",
    "finfo", "iinfo",
]  # fmt: skip


class dtype:
    """The type of a tensor's elements, such as `rushlight.float32`.

    Attributes: `itemsize` (bytes), `is_floating_point`, `is_complex`, `is_signed`.
    """

    __slots__ = ("name", "code", "itemsize", "is_floating_point", "is_signed", "scalar_name", "numpy")

    def __init__(self, name, code, itemsize, is_floating_point, is_signed, scalar_name, numpy):
        self.name, self.code, self.itemsize = name, code, itemsize
        self.is_floating_point, self.is_signed = is_floating_point, is_signed
        self.scalar_name = scalar_name  # PyTorch's C++ name, as in "torch.FloatTensor"
        self.numpy = numpy  # None for bfloat16, which NumPy has not

    is_complex = False

    def __repr__(self):
        return f"torch.{self.name}"

    def __reduce__(self):
        return self.name

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def to_complex(self):
        raise NotImplementedError("rushlight has no complex dtypes")


# Codes follow the enum in native/core/array.h.
float32 = dtype("float32", 0, 4, True, True, "Float", np.dtype(np.float32))
float64 = dtype("float64", 1, 8, True, True, "Double", np.dtype(np.float64))
float16 = dtype("float16", 2, 2, True, True, "Half", np.dtype(np.float16))
bfloat16 = dtype("bfloat16", 3, 2, True, True, "BFloat16", None)
int8 = dtype("int8", 4, 1, False, True, "Char", np.dtype(np.int8))
int16 = dtype("int16", 5, 2, False, True, "Short", np.dtype(np.int16))
int32 = dtype("int32", 6, 4, False, True, "Int", np.dtype(np.int32))
int64 = dtype("int64", 7, 8, False, True, "Long", np.dtype(np.int64))
uint8 = dtype("uint8", 8, 1, False, False, "Byte", np.dtype(np.uint8))
bool_ = dtype("bool", 9, 1, False, False, "Bool", np.dtype(np.bool_))

ALL = (float32, float64, float16, bfloat16, int8, int16, int32, int64, uint8, bool_)
BY_NUMPY = {d.numpy: d for d in ALL if d.numpy is not None}
_native.set_dtypes(list(ALL))

get_default_dtype = _native.default_dtype


def set_default_dtype(d: dtype) -> None:
    """Sets the type of new floating-point tensors and of integer-to-float results.

    Raises: TypeError unless `d` is a floating-point dtype.
    """
    if not isinstance(d, dtype) or not d.is_floating_point:
        raise TypeError(f"only floating-point types are supported as the default type, got {d}")
    _native.set_default_dtype(d.code)


class finfo:
    """Numerical limits of a floating-point dtype: `bits`, `eps`, `max`, `min`, `tiny`, `smallest_normal`, `resolution`."""

    def __init__(self, type: dtype | None = None):
        d = get_default_dtype() if type is None else type
        if not d.is_floating_point:
            raise TypeError(f"torch.finfo() requires a floating point input type. Use torch.iinfo to handle '{d!r}'")
        self.dtype = d.name
        self.bits = d.itemsize * 8
        if d is bfloat16:
            self.eps, self.max = 0.0078125, 3.3895313892515355e38
            self.tiny, self.resolution = 1.1754943508222875e-38, 0.01
        else:
            info = np.finfo(d.numpy)
            self.eps, self.max = info.eps.item(), info.max.item()
            self.tiny, self.resolution = info.tiny.item(), info.resolution.item()
        self.min = -self.max
        self.smallest_normal = self.tiny

    def __repr__(self):
        return (f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
                f"smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, dtype={self.dtype})")  # fmt: skip


class iinfo:
    """Numerical limits of an integer dtype: `bits`, `max`, `min`."""

    def __init__(self, type: dtype):
        if type.is_floating_point or type is bool_:
            raise TypeError(f"torch.iinfo() requires an integer input type. Use torch.finfo to handle '{type!r}'")
        info = np.iinfo(type.numpy)
        self.dtype, self.bits, self.max, self.min = type.name, info.bits, info.max, info.min

    def __repr__(self):
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"


# PyTorch's short names; they shadow builtins here, so they come last.
half, double = float16, float64
short, long = int16, int64
float, int, bool = float32, int32, bool_
