"""What is in a checkpoint: every tensor's name, shape, dtype and size, without executing anything.

Whole models are read too: classes become inert records, and a module's tensors get the names that `state_dict` gives.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections import Counter, OrderedDict
from collections.abc import Callable
from pickle import UnpicklingError

import numpy as np

from .. import _dtypes
from ..autograd.tensor import Tensor
from .archive import ArchiveError
from .layouts import Inert, storage_size
from .names import FOREIGN, STORAGES
from .reading import _archive_message, open_layout
from .safe import lookup
from .source import PathSource, open_source
from .storages import Storage, StorageType, check_geometry, rebuild_tensor, whole_numbers
from .unpickler import Builder, Unpickler

__all__ = ["inspect", "TensorInfo", "get_unsafe_globals_in_checkpoint"]


@dataclasses.dataclass
class TensorInfo:
    """One tensor of a checkpoint. `load()` reads its values, all else is known from the description alone."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    itemsize: int
    requires_grad: bool = False
    storage: str = ""  # tensors with the same one share memory
    read: Callable | None = dataclasses.field(default=None, repr=False, compare=False)

    @property
    def count(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.count * self.itemsize

    def load(self):
        """The tensor; None if rushlight has no such element type."""
        return self.read() if self.read is not None else None

    def statistics(self) -> tuple[float, float] | None:
        """(mean, standard deviation over all elements); None for an empty tensor or an unknown element type."""
        t = self.load()
        if t is None or not t.numel():
            return None
        values = t.detach().to(_dtypes.float64).numpy()
        with np.errstate(all="ignore"):
            return float(values.mean()), float(values.std())


class _Name:
    def __init__(self, path):
        self.path = path

    def __repr__(self):
        return self.path


class _Record:
    """An object of some class that is not created."""

    def __init__(self, path):
        self.path, self.state, self.items, self.pairs = path, None, [], []


class _Foreign:
    """Memory with an element type that rushlight has not."""

    def __init__(self, storage_type, key, numel):
        self.name, self.key, self.numel = storage_type.name, key, numel


class InspectBuilder(Builder):
    """Makes descriptions of tensors, and records of everything else."""

    def __init__(self, persistent):
        self._persistent = persistent

    def find(self, module, name):
        path = f"{module}.{name}"
        if module in ("torch", "torch.storage") and (name in STORAGES or name == "UntypedStorage"):
            return StorageType(name, STORAGES.get(name, _dtypes.uint8))
        if module == "torch" and name in FOREIGN:
            return StorageType(name, None)
        known = {d.name: d for d in _dtypes.ALL}
        if module == "torch" and name in known:
            return known[name]
        return _Name(path)

    def call(self, function, args):
        path = function.path if isinstance(function, _Name) else ""
        if path == "torch._utils._rebuild_tensor_v3":
            return _describe_v3(*args)
        if path in ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"):
            return _describe(*args)
        if path.startswith("torch._utils._rebuild_parameter") and args and isinstance(args[0], TensorInfo):
            return dataclasses.replace(args[0], requires_grad=len(args) < 2 or args[1] is True)
        if path == "torch._tensor._rebuild_from_type_v2" and len(args) > 2 and isinstance(args[2], tuple):
            return self.call(args[0], args[2])
        if path == "torch._utils._rebuild_sparse_tensor" and len(args) > 1 and isinstance(args[1], tuple):
            return dict(zip(("indices", "values"), args[1], strict=False))
        if path == "collections.OrderedDict":
            return OrderedDict()
        if path == "collections.Counter":
            return Counter()
        if path == "torch.nn.parameter.Parameter" and args and isinstance(args[0], TensorInfo):
            return args[0]
        record = _Record(path or "?")
        record.items = list(args)
        return record

    def new(self, cls, args, kwargs):
        return self.call(cls, args)

    def build(self, instance, state):
        if isinstance(instance, _Record):
            instance.state = state

    def persistent(self, pid):
        return self._persistent(pid)

    def append(self, target, items):
        if isinstance(target, _Record):
            target.items.extend(items)

    def set_items(self, target, pairs):
        if isinstance(target, _Record):
            target.pairs.extend(pairs)


def _describe(storage, offset, size, stride, requires_grad=False, hooks=None, metadata=None):
    if isinstance(storage, _Foreign):
        name = storage.name.removesuffix("Storage")
        size = whole_numbers(size, "shape")
        return TensorInfo("", size, name, FOREIGN[storage.name], requires_grad is True, str(storage.key))
    if not isinstance(storage, Storage):
        raise UnpicklingError(f"a tensor needs a storage, got {type(storage).__name__}")
    _, size, _ = check_geometry(storage.numel, offset, size, stride)
    return TensorInfo("", size, storage.dtype.name, storage.dtype.itemsize, requires_grad is True, str(storage.key),
                      lambda: rebuild_tensor(storage, offset, size, stride))  # fmt: skip


def _describe_v3(storage, offset, size, stride, requires_grad, hooks, dtype, metadata=None):
    name = getattr(dtype, "name", str(dtype))
    size = whole_numbers(size, "shape")
    return TensorInfo("", size, name, FOREIGN.get(name, 1), requires_grad is True, str(getattr(storage, "key", "")))


def inspect(f) -> list[TensorInfo]:
    """The tensors of a checkpoint in the order in which they are stored.

    State dicts, training checkpoints, whole models and `.safetensors`, in any layout. Nothing is executed, and no
    values are read until asked for.

    Raises: what `load` raises for files that are damaged or no checkpoints.
    """
    if isinstance(f, (str, os.PathLike)) and os.fspath(f).endswith(".safetensors"):
        from .safetensors_files import entries

        return [TensorInfo(e.name, e.shape, e.dtype, e.itemsize, False, e.name, e.read) for e in entries(f)]
    source, name = (PathSource(f), os.fspath(f)) if isinstance(f, (str, os.PathLike)) else open_source(f)
    try:
        layout = open_layout(source, name)

        def persistent(pid):
            if isinstance(pid, tuple) and len(pid) > 4 and isinstance(pid[1], StorageType) and pid[1].dtype is None:
                storage_type, key, _, numel = storage_size(pid)
                return _Foreign(storage_type, key, numel)
            return layout.persistent(pid)

        def run(data, _):
            return Unpickler(data, InspectBuilder(persistent)).load()

        found = list(_walk(layout.read(run)))
    except ArchiveError as error:
        raise RuntimeError(_archive_message(error, name)) from None
    except UnpicklingError as error:
        raise UnpicklingError(f"{name}: {error}") from None
    return found


def get_unsafe_globals_in_checkpoint(f) -> list[str]:
    """The names in a zip checkpoint that `load` would refuse as data; what `add_safe_globals` has allowed is left out.

    Raises: ValueError for other layouts.
    Reference: https://docs.pytorch.org/docs/stable/notes/serialization.html
    """
    source, file_name = open_source(f)
    names = set()

    class Names(Inert):
        def find(self, module, name):
            names.add((module, name))

    try:
        layout = open_layout(source, file_name)
        if layout.name != "zip":
            raise ValueError("Expected input to be a checkpoint returned by torch.save")
        layout.read(lambda data, persistent: Unpickler(data, Names()).load())
    except ArchiveError as error:
        raise RuntimeError(_archive_message(error, file_name)) from None
    finally:
        source.close()
    return sorted(path for path, known in map(lookup, names) if known is None)


def _children(node):
    if isinstance(node, dict):
        return list(node.items())
    if isinstance(node, (list, tuple)):
        return list(enumerate(node))
    if isinstance(node, _Record):
        state = node.state[0] if isinstance(node.state, tuple) and node.state else node.state
        found = []
        if isinstance(state, dict):
            for key, value in state.items():
                # As state_dict names them: a module's tensors and children, without the attribute in between.
                inner = key in ("_parameters", "_buffers", "_modules") and isinstance(value, dict)
                found.extend(value.items() if inner else [(key, value)])
        return found + list(enumerate(node.items)) + node.pairs
    return []


def _known(t):
    a = t._a
    return TensorInfo("", a.shape, a.dtype.name, a.itemsize, t.requires_grad, hex(a.storage_id), lambda: t)


def _walk(root):
    """Tensors with their dotted names, depth first; every container once."""
    stack, seen = [("", root)], set()
    while stack:
        path, node = stack.pop()
        if isinstance(node, Tensor):  # the oldest layout stores tensors outside the pickle
            node = _known(node)
        if isinstance(node, TensorInfo):
            yield dataclasses.replace(node, name=path or "(tensor)")
            continue
        if isinstance(node, (dict, list, tuple, _Record)):
            if id(node) in seen:
                continue
            seen.add(id(node))
            children = _children(node)
            for key, child in reversed(children):
                if isinstance(child, (dict, list, tuple, _Record, TensorInfo, Tensor)):
                    stack.append((f"{path}.{key}" if path else str(key), child))
