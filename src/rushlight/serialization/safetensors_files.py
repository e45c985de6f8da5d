"""`.safetensors` files, through the safetensors package."""

from __future__ import annotations

import os

from .. import _dtypes, _native
from ..autograd.tensor import Tensor, _dense
from .atomic import atomic_write
from .pickler import storage_bytes
from .storages import array_of

__all__ = ["load_file", "save_file"]

_CODES = {
    "F64": _dtypes.float64, "F32": _dtypes.float32, "F16": _dtypes.float16, "BF16": _dtypes.bfloat16,
    "I64": _dtypes.int64, "I32": _dtypes.int32, "I16": _dtypes.int16, "I8": _dtypes.int8, "U8": _dtypes.uint8,
    "BOOL": _dtypes.bool_,
}  # fmt: skip
_NAMES = {d: code for code, d in _CODES.items()}


def _package():
    try:
        import safetensors
    except ImportError:
        raise RuntimeError(
            "Attempting to load a safetensors file but safetensors is not installed. Please install it with: "
            "pip install 'rushlight[safetensors]'"
        ) from None
    return safetensors


def load_file(path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` file by name.

    Raises: RuntimeError if the file is damaged, has an element type that is not supported, or the package is missing.
    """
    package = _package()
    with open(path, "rb") as file:
        data = file.read()
    try:
        entries = package.deserialize(data)
    except package.SafetensorError as error:
        raise RuntimeError(f"{os.fspath(path)} is not a valid safetensors file: {error}") from None
    out = {}
    for name, entry in sorted(entries, key=lambda item: item[0]):
        dtype = _CODES.get(entry["dtype"])
        if dtype is None:
            raise RuntimeError(f"{os.fspath(path)}: tensor {name!r} has the element type {entry['dtype']}, "
                               "which rushlight has not")  # fmt: skip
        flat = array_of(memoryview(entry["data"]), dtype)
        out[name] = _native.wrap(flat.view(tuple(entry["shape"])))
    return out


def save_file(tensors, path, metadata: dict[str, str] | None = None) -> None:
    """Writes a dict of tensors.

    Raises: ValueError for anything but a flat dict of tensors.
    """
    package = _package()
    if not isinstance(tensors, dict) or not all(isinstance(t, Tensor) for t in tensors.values()):
        raise ValueError("a .safetensors file holds a flat dict of tensors, such as a state_dict")
    entries = {}
    for name, t in tensors.items():
        a = _dense(t._a)  # row-major and with a storage of its own
        entries[name] = {"dtype": _DTYPE_NAMES[t.dtype], "shape": list(a.shape), "data": bytes(storage_bytes(a))}
    content = package.serialize(entries, metadata=metadata)
    with atomic_write(path) as file:
        file.write(content)


# serialize() takes NumPy-like names, deserialize() gives the format's codes.
_DTYPE_NAMES = {d: d.name for d in _NAMES}
