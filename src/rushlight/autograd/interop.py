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
    return _native.from_numpy(x, x.strides, d.code)


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
