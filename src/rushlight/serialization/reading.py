"""`load`: objects from a checkpoint, as data or (only on request) as pickled objects."""

from __future__ import annotations

import io
import os
import pickle
from pickle import UnpicklingError

from .archive import ArchiveError, is_archive
from .layouts import StreamLayout, TarLayout, ZipLayout
from .names import rushlight_object
from .safe import SafeBuilder, safe_find
from .source import open_source
from .storages import Location
from .unpickler import Unpickler

__all__ = ["load", "open_layout"]

_UNSAFE = (
    "In PyTorch 2.6, we changed the default value of the `weights_only` argument in `torch.load` from `False` to "
    "`True`. Re-running `torch.load` with `weights_only` set to `False` will likely succeed, but it can result in "
    "arbitrary code execution. Do it only if you got the file from a trusted source."
)
_DOCS = (
    "\n\nCheck the documentation of torch.load to learn more about types accepted by default with weights_only "
    "https://pytorch.org/docs/stable/generated/torch.load.html."
)


def load(f, map_location=None, pickle_module=None, *, weights_only=None, mmap=None, **pickle_load_args):
    """An object saved by `save` here or in PyTorch.

    Args:
        f: a path, or a file object that can seek.
        map_location: None, "cpu", a device, a dict of locations, or a function (storage, location) -> storage or None.
            Files saved from a GPU need one, as in PyTorch without CUDA.
        weights_only: True (the default) reads tensors, numbers, strings and containers and executes nothing. False
            unpickles any object, which runs whatever code the file names: only for files that you trust.
        mmap: True maps a zip checkpoint instead of reading it; pages are read when tensors are used, and in-place
            changes stay in memory.
    Raises: FileNotFoundError; pickle.UnpicklingError for names that are not allowed and for damaged pickles;
        RuntimeError for damaged archives; EOFError for an empty file. The message names the file.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.load.html
    """
    weights_only = _weights_only(weights_only, pickle_module)
    if weights_only and pickle_module is not None:
        raise RuntimeError("Can not safely load weights when explicit pickle_module is specified")
    if isinstance(f, (str, os.PathLike)) and os.fspath(f).endswith(".safetensors"):
        from .safetensors_files import load_file

        return load_file(f)
    source, name = open_source(f, bool(mmap))
    try:
        location = Location(map_location)
        layout = open_layout(source, name, location=location, use_mmap=bool(mmap))
        run = _run_safely if weights_only else _runner(pickle_module or pickle, pickle_load_args)
        result = layout.read(run)
        source.finish(layout.consumed)
        return result
    except ArchiveError as error:
        raise RuntimeError(_archive_message(error, name)) from None
    except UnpicklingError as error:
        if not weights_only:
            raise
        raise UnpicklingError(_safe_message(str(error), name)) from None
    finally:
        source.close()


def _weights_only(weights_only, pickle_module):
    true = ("1", "y", "yes", "true")
    if os.environ.get("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "0").lower() in true:
        return True
    if weights_only is None:
        forced = os.environ.get("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "0").lower() in true
        return not forced and pickle_module is None
    return bool(weights_only)


def open_layout(source, name, *, location=None, use_mmap=False):
    """The layout of a checkpoint, told by its first bytes.

    Raises: EOFError, RuntimeError or UnpicklingError that say what the file is instead.
    """
    head = bytes(source.read(0, 512))
    if not head:
        raise EOFError(f"Ran out of input: {name} is empty. A checkpoint that was being written may have been cut off.")
    if is_archive(head):
        return ZipLayout(source, share=use_mmap, location=location)
    if use_mmap:
        raise RuntimeError(
            f"mmap can only be used with files saved with `torch.save({name}, _use_new_zipfile_serialization=True), "
            "please torch.save your checkpoint with this option in order to use mmap."
        )
    if head[257:262] == b"ustar" or (len(head) == 512 and head[:8] == b"sys_info"):
        return TarLayout(source, location=location)
    if head[0] != 0x80:
        raise UnpicklingError(_not_a_checkpoint(head))
    return StreamLayout(source, location=location)


_SIGNATURES = {
    b"\x89HDF": "an HDF5 file (Keras?)",
    b"\x93NUM": "a NumPy .npy file; use numpy.load",
    b"\x1f\x8b": "a gzip file; unpack it first",
    b"<!DO": "an HTML page, perhaps an error page instead of the download",
    b"<htm": "an HTML page, perhaps an error page instead of the download",
    b"version https://git-lfs": "a Git LFS pointer; run `git lfs pull`",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"%PDF": "a PDF",
    b"PK\x05\x06": "an empty zip file",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
}


def _not_a_checkpoint(head):
    for signature, what in _SIGNATURES.items():
        if head.startswith(signature):
            return f"this is not a checkpoint: it looks like {what}"
    if len(head) > 10 and head[8:10] == b'{"':
        return "this is not a checkpoint: it looks like a .safetensors file; give it that extension"
    try:
        start = head.decode("utf-8")
        if all(c.isprintable() or c in "\r\n\t" for c in start):
            return f"this is not a checkpoint but a text file that starts with {start[:40]!r}"
    except UnicodeDecodeError:
        pass
    return f"this is not a checkpoint: it starts with the bytes {head[:8].hex(' ')}, neither a zip archive nor a pickle"


def _archive_message(error, name):
    return (
        f"PytorchStreamReader failed reading zip archive: {error}\n"
        f"{name} is damaged or incomplete. Compare its size with the original and copy or download it again."
    )


def _safe_message(message, name):
    if "was not an allowed global by default" in message:
        return (
            "Weights only load failed. This file can still be loaded, to do so you have two options, "
            "\033[1mdo those steps only if you trust the source of the checkpoint\033[0m. "
            f"\n\t(1) {_UNSAFE}\n\t(2) Alternatively, to load with `weights_only=True` please check the recommended "
            f"steps in the following error message.\n\tWeightsUnpickler error: {message}\n\nThe file is {name}. "
            f"`rushlight inspect` lists its tensors without executing anything.{_DOCS}"
        )
    if "whose module" in message:
        return f"Weights only load failed. {_UNSAFE}\n\n{message}\n\nThe file is {name}.{_DOCS}"
    return f"Weights only load failed. {name}: {message}"


def _run_safely(data, persistent):
    return Unpickler(data, SafeBuilder(persistent, len(data))).load()


def _runner(module, arguments):
    """Interprets a pickle with Python's own unpickler: everything that the file names is imported."""
    arguments = {"encoding": "utf-8", **arguments}

    class TrustingUnpickler(module.Unpickler):
        def find_class(self, module_name, name):
            if module_name.split(".")[0] == "torch":
                return safe_find(module_name, name) or rushlight_object(module_name, name)
            return super().find_class(module_name, name)

    def run(data, persistent):
        unpickler = TrustingUnpickler(io.BytesIO(bytes(data)), **arguments)
        unpickler.persistent_load = persistent
        return unpickler.load()

    return run
