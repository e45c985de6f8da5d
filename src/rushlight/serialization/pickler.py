"""Pickles with PyTorch's names.

The pickler is Python's; only two things are ours: tensors are reduced to PyTorch's rebuild functions with their bytes
kept outside the pickle, and classes of this package are written under PyTorch's names.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from types import FunctionType

import numpy as np

from .. import _dtypes, _native
from .._device import device
from ..autograd.tensor import Tensor, layout
from ..nn.parameter import Parameter
from .names import Global, storage_name, torch_global, torch_name

__all__ = ["dump", "storage_bytes"]


class _StorageOf:
    """Stands for a tensor's memory in the object graph."""

    __slots__ = ("array",)

    def __init__(self, array):
        self.array = array


def whole(array):
    """All elements of the storage behind an array, flat."""
    return array.as_strided((array.storage_nbytes // array.itemsize,), (1,), 0)


def storage_bytes(array) -> memoryview:
    """The bytes of the storage behind an array, not copied."""
    flat = whole(array)
    if not flat.numel:
        return memoryview(b"")
    if flat.dtype is _dtypes.bfloat16:
        flat = flat.reinterpret(_dtypes.int16.code)
    return memoryview(np.asarray(flat).view(np.uint8))


class Pickler(pickle._Pickler):  # the Python one: its handling of names can be replaced
    """Writes one object; `storages` then maps keys to arrays whose storages must be written too."""

    dispatch = dict(pickle._Pickler.dispatch)

    def __init__(self, file, protocol, key_of=None):
        super().__init__(file, protocol)
        self.storages: dict[str, object] = {}
        self._keys: dict[int, str] = {}
        self._dtypes: dict[int, object] = {}
        self._key_of = key_of or (lambda array, n: str(n))
        self.view_metadata = key_of is not None  # the old layout has a sixth field

    # -- memory ------------------------------------------------------------------------------------------------------

    def persistent_id(self, obj):
        if type(obj) is not _StorageOf:
            return None
        a = obj.array
        numel = a.storage_nbytes // a.itemsize
        # Empty storages may share an address; each is a storage of its own.
        identity = a.storage_id if numel else -1 - len(self.storages)
        if self._dtypes.setdefault(identity, a.dtype) is not a.dtype:
            raise RuntimeError(
                "Cannot save multiple tensors or storages that view the same data as different types"
            )
        key = self._keys.get(identity)
        if key is None:
            key = self._keys[identity] = self._key_of(a, len(self._keys))
            self.storages[key] = a
        head = ("storage", storage_name(a.dtype), key, "cpu", numel)
        return (*head, None) if self.view_metadata else head

    # -- objects -----------------------------------------------------------------------------------------------------

    def reducer_override(self, obj):
        if isinstance(obj, Tensor):
            return _reduce_tensor(obj)
        if isinstance(obj, _dtypes.dtype):
            return obj.name
        if isinstance(obj, layout):
            return torch_global("torch.serialization", "_get_layout"), (repr(obj),)
        if type(obj) is device:
            return torch_global("torch", "device"), obj.__reduce__()[1]
        return NotImplemented

    # -- names -------------------------------------------------------------------------------------------------------

    def save_global(self, obj, name=None):
        if isinstance(obj, _dtypes.dtype):
            obj = torch_global("torch", obj.name)
        elif type(obj) is not Global:
            translated = torch_name(obj)
            if translated is None:
                super().save_global(obj, name)
                return
            self.save_global(translated)
            return
        if id(obj) in self.memo:
            self.write(self.get(self.memo[id(obj)][0]))
            return
        if self.proto >= 4:
            self.save(obj.module)
            self.save(obj.__name__)
            self.write(pickle.STACK_GLOBAL)
        else:
            self.write(pickle.GLOBAL + f"{obj.module}\n{obj.__name__}\n".encode())
        self.memoize(obj)

    def save_bytes(self, obj):
        if obj or self.proto >= 3:
            super().save_bytes(obj)
        else:  # Python would write the class `bytes`, which PyTorch's data-only reader does not know
            self.save_reduce(torch_global("_codecs", "encode"), ("", "latin1"), obj=obj)

    dispatch[bytes] = save_bytes
    dispatch[Global] = save_global
    dispatch[FunctionType] = save_global

    def save_type(self, obj):
        if obj in (type(None), type(NotImplemented), type(...)):
            super().save_type(obj)
        else:
            self.save_global(obj)

    dispatch[type] = save_type


def _python_state(t):
    """Attributes that a user has set on a tensor."""
    return dict(t.__dict__) if t.__dict__ else None


def _reduce_tensor(t):
    if t.is_sparse:
        parts = (t._indices(), t._values().detach(), t.shape, t.is_coalesced())
        return torch_global("torch._utils", "_rebuild_sparse_tensor"), (t.layout, parts)
    state = _python_state(t)
    if type(t) is Parameter:
        args = (_native.wrap(t._a), t.requires_grad, OrderedDict())
        if state is None:
            return torch_global("torch._utils", "_rebuild_parameter"), args
        return torch_global("torch._utils", "_rebuild_parameter_with_state"), (*args, state)
    a = t._a
    rebuild = torch_global("torch._utils", "_rebuild_tensor_v2")
    args = (_StorageOf(a), a.offset, a.shape, a.strides, t.requires_grad, OrderedDict())
    if type(t) is Tensor and state is None:
        return rebuild, args
    return torch_global("torch._tensor", "_rebuild_from_type_v2"), (rebuild, type(t), args, state)


def dump(obj, protocol=2, key_of=None) -> tuple[bytes, dict]:
    """(the pickle of `obj`, {key: array} of the storages that it refers to)."""
    buffer = io.BytesIO()
    pickler = Pickler(buffer, protocol, key_of)
    pickler.dump(obj)
    return buffer.getvalue(), pickler.storages
