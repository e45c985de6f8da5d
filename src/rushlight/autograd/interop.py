"""Tensors that share memory with NumPy arrays."""

from __future__ import annotations

import warnings

import numpy as np

from .. import _dtypes, _native

__all__ = ["from_numpy", "array_from_numpy"]

_READ_ONLY = (
    "The given NumPy array is not writable, and PyTorch does not support non-writable tensors. This means writing to "
    "this tensor will result in undefined behavior. You may want to copy the array to protect its data or make it "
    "writable before converting it to a tensor. This type of warning will be suppressed for the rest of this program."
)
_warned = False


def array_from_numpy(x):
    """A native Array over the same memory."""
    d = _dtypes.BY_NUMPY.get(x.dtype)
    if d is None:
        if x.dtype.byteorder not in "=|" and not x.dtype.isnative:
            raise ValueError("given numpy array has byte order different from the native byte order. Conversion between "
                             "byte orders is currently not supported.")  # fmt: skip
        raise TypeError(
            f"can't convert np.ndarray of type {x.dtype.type.__module__}.{x.dtype.type.__name__}. The only supported types "
            "are: float64, float32, float16, complex64, complex128, int64, int32, int16, int8, uint64, uint32, uint16, "
            "uint8, and bool."
        )
    size = x.dtype.itemsize
    if any(s < 0 for s in x.strides):
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative strides are not "
            "currently supported. (You can probably work around this by making a copy of your array  with array.copy().) "
        )
    if any(s % size for s in x.strides):
        raise ValueError("given numpy array strides not a multiple of the element byte size. Copy the numpy array to "
                         "reallocate the memory.")  # fmt: skip
    strides = [s // size for s in x.strides]
    reach = sum((n - 1) * s for n, s in zip(x.shape, strides, strict=True)) + 1 if x.size else 0
    return _native.from_memory(x.__array_interface__["data"][0], x.shape, strides, d.code, x, reach * size)


def from_numpy(ndarray):
    """A tensor that shares `ndarray`'s memory: a change in one shows in the other.

    Raises: TypeError for element types without a dtype here, ValueError for negative strides.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.from_numpy.html
    """
    global _warned
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    if not ndarray.flags.writeable and not _warned:
        _warned = True
        warnings.warn(_READ_ONLY, UserWarning, stacklevel=2)
    return _native.wrap(array_from_numpy(ndarray))
