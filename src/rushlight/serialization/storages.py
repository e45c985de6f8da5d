"""Tensors from the bytes of a file.

A pickle claims dtype, size, shape, strides and offset; each claim is checked before memory is taken or a view is made.
"""

from __future__ import annotations

import sys
from pickle import UnpicklingError

import numpy as np

from .. import _dtypes, _native
from .._device import device

__all__ = ["StorageType", "Storage", "Location", "rebuild_tensor"]

_LIMIT = 1 << 46  # elements of a tensor; the native arrays' own bound
_MAX_DIMS = 16
_NO_CUDA = (
    "Attempting to deserialize object on a CUDA device but torch.cuda.is_available() is False. If you are running on a "
    "CPU-only machine, please use torch.load with map_location=torch.device('cpu') to map your storages to the CPU."
)


class StorageType:
    """What `torch.FloatStorage` stands for in a pickle."""

    def __init__(self, name, dtype):
        self.name, self.dtype = name, dtype

    def __repr__(self):
        return f"torch.{self.name}"


class Storage:
    """The memory of one or more tensors; an array is made of it when the first tensor asks."""

    __slots__ = ("dtype", "key", "numel", "location", "array", "_read")

    def __init__(self, dtype, key, numel, location, read):
        self.dtype, self.key, self.numel, self.location = dtype, key, numel, location
        self.array = None
        self._read = read

    def load(self):
        if self.array is None:
            self.array = self._read(self)
        return self.array

    def __repr__(self):
        return f"<storage {self.key}: {self.numel} × {self.dtype}>"


class Location:
    """`map_location`: where a storage that was saved on some device goes. Only the CPU can be the answer."""

    def __init__(self, map_location):
        if isinstance(map_location, bytes):
            map_location = map_location.decode("ascii")
        self.map = device(map_location) if isinstance(map_location, str) else map_location

    def check(self, storage: Storage) -> None:
        where = storage.location
        if isinstance(self.map, device):
            where = str(self.map)
        elif isinstance(self.map, dict):
            where = str(self.map.get(where, where))
        elif callable(self.map):
            if self.map(storage, where) is not None:
                return
        elif self.map is not None:
            raise TypeError(f"map_location must be a function, string, device or dict, got {type(self.map).__name__}")
        if where.startswith("cuda"):
            raise RuntimeError(_NO_CUDA)
        if where != "cpu":
            raise RuntimeError(
                f"don't know how to restore data location of torch.storage.UntypedStorage (tagged with {where})"
            )


def array_of(content, dtype, *, share=False, swap=False):
    """A flat array with the elements in `content` (a buffer of whole elements).

    Args: `share`: keep the memory of `content`, which must be writable. `swap`: the bytes are of the other endianness.
    """
    numel = len(content) // dtype.itemsize
    carrier = _dtypes.int16 if dtype is _dtypes.bfloat16 else dtype
    values = np.frombuffer(content, dtype=carrier.numpy if dtype is not _dtypes.bool_ else np.uint8)
    swap = swap and dtype.itemsize > 1
    if dtype is _dtypes.bool_:
        share = share and not (values > 1).any()  # any byte but 0 and 1 would be undefined as a C++ bool
        values = values.view(np.bool_) if share else values != 0
    if share and not swap and numel and values.ctypes.data % dtype.itemsize == 0:
        address = values.__array_interface__["data"][0]
        return _native.from_memory(address, (numel,), (1,), dtype.code, values, values.nbytes)
    array = _native.empty((numel,), dtype.code)
    if numel:
        flat = array.reinterpret(_dtypes.int16.code) if dtype is _dtypes.bfloat16 else array
        np.asarray(flat)[...] = values.byteswap() if swap else values
    return array


def foreign_order(byteorder: str) -> bool:
    return byteorder != sys.byteorder


def whole_numbers(values, what):
    """A tuple of sizes or strides from a file."""
    if not isinstance(values, (tuple, list)) or any(type(v) is not int or v < 0 for v in values):
        raise UnpicklingError(f"a tensor's {what} must be non-negative integers, got {values!r:.100}")
    return tuple(values)


def check_geometry(numel, offset, size, stride):
    """Checks that a view lies inside a storage of `numel` elements. Returns (offset, size, stride)."""
    size, stride = whole_numbers(size, "shape"), whole_numbers(stride, "strides")
    (offset,) = whole_numbers((offset,), "offset")
    if len(size) != len(stride):
        raise UnpicklingError(f"a tensor's shape {size} and strides {stride} differ in length")
    if len(size) > _MAX_DIMS:
        raise UnpicklingError(f"a tensor has {len(size)} dimensions; rushlight has at most {_MAX_DIMS}")
    count = 1
    for n in size:
        count *= n
    if count > _LIMIT:
        raise UnpicklingError(f"a tensor of shape {size} is too large")
    reach = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) + 1 if count else 0
    if reach > numel or offset > numel:
        raise UnpicklingError(
            f"a tensor of shape {size}, strides {stride} and offset {offset} reaches outside its storage of {numel} "
            "elements"
        )
    return offset, size, stride


def rebuild_tensor(storage, offset, size, stride, requires_grad=False, hooks=None, metadata=None):
    """A tensor on a loaded storage."""
    if not isinstance(storage, Storage):
        raise UnpicklingError(f"a tensor needs a storage, got {type(storage).__name__}")
    offset, size, stride = check_geometry(storage.numel, offset, size, stride)
    t = _native.wrap(storage.load().as_strided(size, stride, offset))
    if requires_grad is True and t.dtype.is_floating_point:
        t._requires_grad = True
    return t
