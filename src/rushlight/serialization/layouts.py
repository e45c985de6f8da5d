"""The three layouts of a checkpoint: zip archive, pickle stream (before PyTorch 1.6), tar (before 0.2).

A layout says where the pickle is and where each storage's bytes are; what the pickle may make is the reader's business:
`layout.read(run)` calls `run(pickle bytes, persistent)`, which interprets the pickle and gives the object.
"""

from __future__ import annotations

import struct
from pickle import UnpicklingError

from .archive import ArchiveError, ArchiveReader
from .storages import Storage, StorageType, array_of, foreign_order, rebuild_tensor
from .unpickler import Builder, Unpickler

__all__ = ["ZipLayout", "StreamLayout", "TarLayout", "Inert", "MAGIC", "PROTOCOL", "storage_size"]

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


class Inert(Builder):
    """Reads a pickle for its extent and plain values: names and objects become None, memory becomes its id."""

    def find(self, module, name):
        return None

    def call(self, function, args):
        return None

    def new(self, cls, args, kwargs):
        return None

    def build(self, instance, state):
        pass

    def persistent(self, pid):
        return None

    def append(self, target, items):
        pass

    def set_items(self, target, pairs):
        pass


def _text(value):
    return value.decode("ascii", "replace") if isinstance(value, bytes) else value


def storage_size(pid):
    """Checks a persistent id; returns (StorageType, key, location, numel)."""
    if type(pid) is not tuple:
        raise UnpicklingError(f"persistent_load id must be tuple or int, but got {type(pid)}")
    if len(pid) < 5 or _text(pid[0]) != "storage":
        kind = type(pid[0]) if pid else type(pid)
        raise UnpicklingError(f"Only persistent_load of storage is allowed, but got {kind}")
    storage_type, key, location, numel = pid[1], _text(pid[2]), _text(pid[3]), pid[4]
    if not isinstance(storage_type, StorageType):
        raise UnpicklingError(f"a storage has the type {storage_type!r}, which is not a storage type")
    if type(numel) is not int or numel < 0 or not isinstance(key, (str, int)) or not isinstance(location, str):
        raise UnpicklingError(f"damaged description of a storage: {pid!r:.200}")
    return storage_type, key, location, numel


def supported(storage_type):
    if storage_type.dtype is None:
        raise UnpicklingError(f"the file contains torch.{storage_type.name}, an element type that rushlight has not")
    return storage_type.dtype


class ZipLayout:
    """`torch.save` since PyTorch 1.6."""

    name = "zip"

    def __init__(self, source, *, share=False, location=None):
        self.archive = ArchiveReader(source)
        self.share, self.location = share, location
        self.consumed = len(source)
        self.storages: dict[str, Storage] = {}
        order = "little"
        if self.archive.has("byteorder"):
            order = bytes(self.archive.read("byteorder")).decode("ascii", "replace")
            if order not in ("little", "big"):
                raise ValueError(f"Unknown endianness type: {order}")
        self.swap = foreign_order(order)
        if self.archive.has("constants.pkl"):
            raise ArchiveError("it is a TorchScript archive; rushlight reads checkpoints written by torch.save")

    def read(self, run):
        return run(self.archive.read("data.pkl"), self.persistent)

    def persistent(self, pid):
        storage_type, key, location, numel = storage_size(pid)
        dtype = supported(storage_type)
        storage = self.storages.get(key)
        if storage is None:
            storage = self.storages[key] = Storage(dtype, key, numel, location, self._load)
            if self.location is not None:
                self.location.check(storage)
        elif storage.dtype is not dtype or storage.numel != numel:
            raise UnpicklingError(f"storage {key} is described in two ways")
        return storage

    def _load(self, storage):
        record, nbytes = f"data/{storage.key}", storage.numel * storage.dtype.itemsize
        if self.archive.size(record) < nbytes:
            raise ArchiveError(
                f"storage {storage.key} should have {nbytes} bytes, its record has {self.archive.size(record)}"
            )
        content = self.archive.read(record, check=not self.share)
        return array_of(content[:nbytes], storage.dtype, share=self.share, swap=self.swap)


class StreamLayout:
    """Pickles one after the other, then the storages' bytes."""

    name = "stream"

    def __init__(self, source, *, location=None, encoding="utf-8"):
        self.data = memoryview(source.read(0, len(source)))
        self.location = location
        magic, at = self._plain(0, encoding)
        if magic != MAGIC:
            raise RuntimeError("Invalid magic number; corrupt file?")
        version, at = self._plain(at, encoding)
        if version != PROTOCOL:
            raise RuntimeError(f"Invalid protocol version: {version!r:.50}")
        info, self.start = self._plain(at, encoding)
        little = info.get("little_endian", True) if isinstance(info, dict) else True
        self.swap = foreign_order("little" if little else "big")
        # The storages come behind the object: pass over it once to find them.
        _, self.end = self._plain(self.start, encoding)
        keys, at = self._plain(self.end, encoding)
        keys = [_text(k) for k in keys] if isinstance(keys, list) else [None]
        if not all(isinstance(k, str) for k in keys):
            raise UnpicklingError("the list of storages is missing")
        self.keys, self.data_start, self.places = keys, at, {}
        self.storages: dict[str, Storage] = {}
        self.consumed = len(self.data)

    def _plain(self, at, encoding):
        unpickler = Unpickler(self.data, Inert(), at, encoding)
        return unpickler.load(), unpickler.position

    def read(self, run):
        sizes = {}

        def note(pid):
            if type(pid) is tuple and len(pid) >= 5 and _text(pid[0]) == "storage" and isinstance(pid[2], (str, bytes)):
                sizes[_text(pid[2])] = pid[1] if isinstance(pid[1], str) else None

        probe = Inert()
        # Element sizes are named by types only, so the first pass needs those names.
        probe.find = lambda module, name: name
        probe.persistent = note
        Unpickler(self.data, probe, self.start).load()
        self._locate(sizes)
        return run(self.data[self.start : self.end], self.persistent)

    def _locate(self, types):
        from .names import FOREIGN, STORAGES

        at = self.data_start
        for key in self.keys:
            name = types.get(key)
            itemsize = STORAGES[name].itemsize if name in STORAGES else FOREIGN.get(name, 1)
            if at + 8 > len(self.data):
                raise UnpicklingError(f"the file ends before storage {key}")
            (numel,) = struct.unpack_from(">q" if self.swap else "<q", self.data, at)
            end = at + 8 + numel * itemsize
            if numel < 0 or end > len(self.data):
                raise UnpicklingError(f"storage {key} should have {numel} elements, but the file ends before")
            self.places[key] = (at + 8, end)
            at = end
        self.consumed = at

    def persistent(self, pid):
        if type(pid) is tuple and pid and _text(pid[0]) == "module" and len(pid) > 1:
            return pid[1]
        storage_type, key, location, numel = storage_size(pid)
        dtype = supported(storage_type)
        view = pid[5] if len(pid) > 5 else None
        start = 0
        if view is not None:
            if type(view) is not tuple or len(view) != 3 or any(type(v) is not int or v < 0 for v in view[1:]):
                raise UnpicklingError(f"damaged description of a storage: {pid!r:.200}")
            _, start, numel_of_view = view
        root = self.storages.get(key)
        if root is None:
            root = self.storages[key] = Storage(dtype, key, numel, location, self._load)
            if self.location is not None:
                self.location.check(root)
        elif root.dtype is not dtype or root.numel != numel:
            raise UnpicklingError(f"storage {key} is described in two ways")
        if view is None:
            return root
        if start + numel_of_view > numel:
            raise UnpicklingError(f"a view of storage {key} reaches outside it")
        return Storage(dtype, key, numel_of_view, location, lambda _: _part(root.load(), start, numel_of_view))

    def _load(self, storage):
        if storage.key not in self.places:
            raise UnpicklingError(f"storage {storage.key} is not in the file")
        start, end = self.places[storage.key]
        if end - start != storage.numel * storage.dtype.itemsize:
            raise UnpicklingError(f"storage {storage.key} should have {storage.numel} elements of {storage.dtype}")
        return array_of(self.data[start:end], storage.dtype, swap=self.swap)


def _part(array, start, numel):
    # A copy: the old layout's views of storages are rare, and offsets stay relative to the view.
    from .pickler import storage_bytes

    item = array.itemsize
    return array_of(storage_bytes(array)[start * item : (start + numel) * item], array.dtype)


class TarLayout:
    """Four files in a tar: sys_info, storages, tensors and pickle."""

    name = "tar"

    def __init__(self, source, *, location=None, encoding="utf-8"):
        self.location, self.encoding = location, encoding
        self.consumed = len(source)
        self.files = _tar_members(memoryview(source.read(0, len(source))))
        for name in ("storages", "tensors", "pickle"):
            if name not in self.files:
                raise UnpicklingError(f"damaged tar file: it has no {name!r}")
        self.objects: dict = {}

    def read(self, run):
        self._storages(run)
        self._tensors(run)
        return run(self.files["pickle"], self.persistent)

    def _next(self, data, at, run):
        probe = Unpickler(data, Inert(), at, self.encoding)
        probe.load()
        return run(data[at : probe.position], self.persistent), probe.position

    def _take(self, data, at, form):
        size = struct.calcsize(form)
        if at + size > len(data):
            raise UnpicklingError("the tar file's contents are cut off")
        return struct.unpack_from(form, data, at), at + size

    def _storages(self, run):
        data = self.files["storages"]
        count, at = self._next(data, 0, run)
        for _ in range(_count(count, data)):
            described, at = self._next(data, at, run)
            key, location, storage_type = _triple(described)
            if not isinstance(storage_type, StorageType):
                raise UnpicklingError(f"a storage has the type {storage_type!r}")
            dtype = supported(storage_type)
            (numel,), at = self._take(data, at, "<q")
            end = at + numel * dtype.itemsize
            if numel < 0 or end > len(data):
                raise UnpicklingError(f"storage {key} should have {numel} elements, but the file ends before")
            content = data[at:end]
            storage = Storage(dtype, key, numel, str(_text(location)), lambda s, c=content: array_of(c, s.dtype))
            if self.location is not None:
                self.location.check(storage)
            self.objects[key] = storage
            at = end
        views, _ = self._next(data, at, run)
        for view in views if isinstance(views, list) else [views]:
            if type(view) is not tuple or len(view) != 4 or any(type(v) is not int for v in view):
                raise UnpicklingError("damaged tar file: a view is not four numbers")
            target, root, offset, numel = view
            base = self.objects.get(root)
            if base is None or min(offset, numel) < 0 or offset + numel > base.numel:
                raise UnpicklingError("a view of a storage reaches outside it")
            self.objects[target] = Storage(
                base.dtype, target, numel, base.location, lambda s, b=base, o=offset: _part(b.load(), o, s.numel)
            )

    def _tensors(self, run):
        data = self.files["tensors"]
        count, at = self._next(data, 0, run)
        for _ in range(_count(count, data)):
            described, at = self._next(data, at, run)
            key, storage, _ = _triple(described)
            (ndim, _), at = self._take(data, at, "<ii")
            if not 0 <= ndim <= 64:
                raise UnpicklingError(f"a tensor with {ndim} dimensions")
            numbers, at = self._take(data, at, f"<{2 * ndim + 1}q")
            memory = self.objects.get(storage) if isinstance(storage, (int, str)) else None
            self.objects[key] = rebuild_tensor(memory, numbers[-1], numbers[:ndim], numbers[ndim:-1])

    def persistent(self, pid):
        if type(pid) is tuple and pid:
            return pid[0]
        try:
            return self.objects[int(pid)]
        except (TypeError, ValueError, KeyError):
            raise UnpicklingError(f"the pickle refers to tensor {pid!r:.50}, which is not in the file") from None


def _tar_members(data) -> dict[str, memoryview]:
    """The plain files of a tar, by their old headers only: no sparse maps, extended sizes or links for a file to misuse."""
    files, at = {}, 0
    while at + 512 <= len(data) and any(data[at : at + 100]):
        header = bytes(data[at : at + 512])
        try:
            size = int(header[124:136].strip(b"\0 ") or b"0", 8)
        except ValueError:
            raise UnpicklingError("damaged tar file: a size is not a number") from None
        start = at + 512
        if not 0 <= size <= len(data) - start:
            raise UnpicklingError("damaged tar file: it is cut off")
        if header[156:157] in (b"0", b"\0"):
            files[header[:100].rstrip(b"\0").decode("utf-8", "replace").removeprefix("./")] = data[start : start + size]
        at = start + -(-size // 512) * 512
    return files


def _count(count, data):
    if type(count) is not int or not 0 <= count <= len(data):
        raise UnpicklingError(f"damaged tar file: {count!r:.50} entries")
    return count


def _triple(described):
    if type(described) is not tuple or len(described) != 3 or not isinstance(described[0], (int, str)):
        raise UnpicklingError("damaged tar file: an entry is not a triple")
    return described
