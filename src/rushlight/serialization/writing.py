"""`save`: an object into a checkpoint that PyTorch reads."""

from __future__ import annotations

import os
import pickle
import struct
import sys

from .archive import ALIGNMENT, ArchiveWriter
from .atomic import atomic_write
from .layouts import MAGIC, PROTOCOL
from .pickler import dump, storage_bytes

__all__ = ["save"]


def save(obj, f, pickle_module=pickle, pickle_protocol=2, _use_new_zipfile_serialization=True,
         _disable_byteorder_record=False) -> None:  # fmt: skip
    """Writes `obj` to `f` in PyTorch's format: tensors, containers, numbers, and any object that can be pickled.

    Storages that several tensors share are written once. A path gets the new content only when all of it is on the
    disk; until then, and after an error, whatever was there stays.

    Args: `f`: a path or an object with `write`. `_use_new_zipfile_serialization=False` writes the layout of PyTorch
    before 1.6.
    Raises: RuntimeError if the directory does not exist.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.save.html
    """
    write = _write_archive if _use_new_zipfile_serialization else _write_stream
    if isinstance(f, (str, bytes, os.PathLike)):
        path = os.fsdecode(f)
        if path.endswith(".safetensors"):
            from .safetensors_files import save_file

            save_file(obj, path)
            return
        name = os.path.splitext(os.path.basename(path))[0] or "archive"
        with atomic_write(path) as file:
            write(obj, file, name if name.isascii() else "archive", pickle_protocol, not _disable_byteorder_record)
        return
    if not hasattr(f, "write"):
        raise AttributeError("expected 'f' to be string, path, or a file-like object with a 'write' attribute")
    write(obj, f, "archive", pickle_protocol, not _disable_byteorder_record)


def _write_archive(obj, file, name, protocol, byteorder):
    data, storages = dump(obj, protocol)
    archive = ArchiveWriter(file, name)
    archive.add("data.pkl", data)
    archive.add(".format_version", b"1")
    archive.add(".storage_alignment", str(ALIGNMENT).encode())
    if byteorder:
        archive.add("byteorder", sys.byteorder.encode())
    for key, array in storages.items():
        archive.add(f"data/{key}", storage_bytes(array))
    archive.close()


def _write_stream(obj, file, name, protocol, byteorder):
    info = {
        "protocol_version": PROTOCOL,
        "little_endian": sys.byteorder == "little",
        "type_sizes": {"short": 2, "int": 4, "long": 4},
    }
    for part in (MAGIC, PROTOCOL, info):
        pickle.dump(part, file, protocol=protocol)
    data, storages = dump(obj, protocol, key_of=lambda array, n: str(array.storage_id + n * (not array.numel)))
    file.write(data)
    keys = sorted(storages)
    pickle.dump(keys, file, protocol=protocol)
    for key in keys:
        content = storage_bytes(storages[key])
        file.write(struct.pack("<q" if sys.byteorder == "little" else ">q", len(content) // storages[key].itemsize))
        file.write(content)
