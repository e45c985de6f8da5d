"""`.safetensors` files: eight bytes of header length, a JSON header, and the tensors' bytes.

The format is small and has no other parts, so it is read and written here; the safetensors package checks it in tests.
Reference: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import math
import os
import struct
from pickle import UnpicklingError
from typing import NamedTuple

from .. import _dtypes, _native
from ..autograd.tensor import Tensor, _dense
from .atomic import atomic_write
from .names import FOREIGN
from .pickler import storage_bytes
from .storages import array_of, whole_numbers

__all__ = ["load_file", "save_file", "entries"]

_HEADER_LIMIT = 100_000_000  # the reference implementation's
_CODES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool", "U16": "uint16", "U32": "uint32", "U64": "uint64",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "C64": "complex64",
}  # fmt: skip
_NAMES = {name: code for code, name in _CODES.items()}
_DTYPES = {d.name: d for d in _dtypes.ALL}


class Entry(NamedTuple):
    """One tensor of a file."""

    path: str
    name: str
    shape: tuple[int, ...]
    dtype: str
    itemsize: int
    start: int

    def read(self) -> Tensor | None:
        """The tensor; None if rushlight has no such element type."""
        dtype = _DTYPES.get(self.dtype)
        if dtype is None:
            return None
        with open(self.path, "rb") as file:
            file.seek(self.start)
            content = file.read(math.prod(self.shape) * self.itemsize)
        return _native.wrap(array_of(content, dtype).view(self.shape))


def _invalid(path, why):
    return RuntimeError(f"{path} is not a valid safetensors file: {why}")


def entries(path) -> list[Entry]:
    """The tensors that a file holds, in its own order.

    Raises: RuntimeError if the header is damaged or claims bytes that are not there.
    """
    path = os.fspath(path)
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(size - 8, _HEADER_LIMIT):
            raise _invalid(path, f"its header claims {length} bytes, the file has {size}")
        try:
            header = json.loads(file.read(length).decode())  # bytes would be read as any encoding that they resemble
        except (ValueError, RecursionError) as error:
            raise _invalid(path, error) from None
    if not isinstance(header, dict):
        raise _invalid(path, "its header is not a JSON object")
    header.pop("__metadata__", None)
    return [_entry(path, name, described, 8 + length, size) for name, described in header.items()]


def _entry(path, name, described, base, size):
    try:
        begin, end = whole_numbers(described["data_offsets"], "offsets")
        shape, code = whole_numbers(described["shape"], "shape"), described["dtype"]
        dtype = _CODES.get(code, str(code))
        itemsize = _DTYPES[dtype].itemsize if dtype in _DTYPES else FOREIGN.get(dtype, 1)
        if not begin <= end <= size - base:
            raise ValueError("its data lies outside the file")
        if dtype in _DTYPES and math.prod(shape) * itemsize != end - begin:
            raise ValueError(f"{end - begin} bytes are not a tensor of shape {shape} and type {code}")
    except (KeyError, TypeError, ValueError, UnpicklingError) as error:
        raise _invalid(path, f"tensor {name!r}: {error}") from None
    return Entry(path, name, shape, dtype, itemsize, base + begin)


def load_file(path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` file by name.

    Raises: RuntimeError if the file is damaged or has an element type that is not supported.
    """
    out = {}
    for entry in sorted(entries(path)):
        t = entry.read()
        if t is None:
            raise RuntimeError(f"{entry.path}: tensor {entry.name!r} has the element type {entry.dtype}, "
                               "which rushlight has not")  # fmt: skip
        out[entry.name] = t
    return out


def save_file(tensors, path, metadata: dict[str, str] | None = None) -> None:
    """Writes a dict of tensors, each with bytes of its own in row-major order.

    Raises: ValueError for anything but a flat dict of tensors.
    """
    if not isinstance(tensors, dict) or not all(isinstance(t, Tensor) for t in tensors.values()):
        raise ValueError("a .safetensors file holds a flat dict of tensors, such as a state_dict")
    # Larger elements first, as the reference implementation does: each tensor is then aligned to its elements.
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].itemsize, item[0]))
    header, at = {"__metadata__": metadata} if metadata else {}, 0
    for name, t in ordered:
        header[name] = {"dtype": _NAMES[t.dtype.name], "shape": list(t.shape), "data_offsets": [at, at + t.nbytes]}
        at += t.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with atomic_write(path) as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, t in ordered:
            file.write(storage_bytes(_dense(t._a)))
