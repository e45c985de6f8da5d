"""The zip container of a checkpoint.

Records are stored, not compressed, each aligned to 64 bytes, so that a file can be memory-mapped. The writer produces
PyTorch's layout byte for byte: sizes in a descriptor behind the data, padding in an extra field named "FB". The reader
trusts nothing that a file says: every offset and size is checked against the bytes that are there.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import NamedTuple

__all__ = ["ArchiveWriter", "ArchiveReader", "ArchiveError", "is_archive"]

ALIGNMENT = 64
_MAX32 = 0xFFFFFFFF
_UTF8, _DESCRIPTOR = 1 << 11, 1 << 3
_STORED, _DEFLATED = 0, 8
_EXPANSION = 100  # a compressed archive may unfold to this many times its size


class ArchiveError(RuntimeError):
    """A zip file that is damaged, or that is not a checkpoint."""


def is_archive(head: bytes) -> bool:
    return bytes(head[:4]) == b"PK\x03\x04"


class _Written(NamedTuple):
    name: bytes
    flags: int
    crc: int
    size: int
    offset: int


class ArchiveWriter:
    """Writes records one after the other into `file`, which needs only `write`."""

    def __init__(self, file, name: str):
        self.file, self.prefix = file, name + "/"
        self.position = 0
        self.records: list[_Written] = []

    def _put(self, data) -> None:
        self.file.write(data)
        self.position += len(data)

    def add(self, name: str, data) -> None:
        """Adds a record; `data` is bytes or a flat memoryview of bytes."""
        path, size, start = (self.prefix + name).encode(), len(data), self.position
        flags = _UTF8 | (_DESCRIPTOR if size else 0)
        wide = b""
        if size >= _MAX32 or start >= _MAX32:
            sizes = struct.pack("<QQ", 0, 0) if size >= _MAX32 else b""
            place = struct.pack("<Q", start) if start >= _MAX32 else b""
            wide = struct.pack("<HH", 1, len(sizes + place)) + sizes + place
        padding = -(start + 30 + len(path) + len(wide) + 4) % ALIGNMENT
        extra = wide + b"FB" + struct.pack("<H", padding) + b"Z" * padding
        self._put(struct.pack("<4sHHHHHIIIHH", b"PK\x03\x04", 0, flags, 0, 0, 0, 0, 0, 0, len(path), len(extra)))
        self._put(path + extra)
        crc = zlib.crc32(data)
        if size:
            self._put(data)
            form = "<4sIQQ" if size >= _MAX32 or start >= _MAX32 else "<4sIII"
            self._put(struct.pack(form, b"PK\x07\x08", crc, size, size))
        self.records.append(_Written(path, flags, crc, size, start))

    def close(self) -> None:
        """Writes the version records and the directory."""
        self.add("version", b"3\n")
        digest = hashlib.sha256(b"".join(r.name + struct.pack("<I", r.crc) for r in self.records)).digest()
        # Two numbers of 20 digits, as PyTorch writes; nobody reads them back.
        self.add(".data/serialization_id", b"%020d%020d" % struct.unpack("<QQ", digest[:16]))
        start = self.position
        for r in self.records:
            size, offset, extra = r.size, r.offset, b""
            if size >= _MAX32:
                extra, size = struct.pack("<QQ", size, size), _MAX32
            if offset >= _MAX32:
                extra, offset = extra + struct.pack("<Q", offset), _MAX32
            if extra:
                extra = struct.pack("<HH", 1, len(extra)) + extra
            self._put(struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\x01\x02", 0, 0, r.flags, 0, 0, 0, r.crc, size, size,
                                  len(r.name), len(extra), 0, 0, 0, 0, offset))  # fmt: skip
            self._put(r.name + extra)
        end, length, count = self.position, self.position - start, len(self.records)
        self._put(struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 0x031E, 45, 0, 0, count, count, length, start))
        self._put(struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1))
        few = min(count, 0xFFFF)
        self._put(struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, few, few, min(length, _MAX32), min(start, _MAX32), 0))


class Record(NamedTuple):
    method: int
    crc: int
    packed: int  # bytes in the file
    size: int  # bytes of content
    header: int  # where its local header starts


class ArchiveReader:
    """Reads records of an archive from a Source.

    Raises: ArchiveError for anything that is not consistent.
    """

    def __init__(self, source):
        self.source, self.length = source, len(source)
        self.records = dict(self._directory())
        total = self.length
        if sum(r.packed for r in self.records.values()) > total:
            raise ArchiveError("its records claim more bytes than the file has: they overlap")
        if sum(r.size for r in self.records.values()) > total * _EXPANSION + (1 << 24):
            raise ArchiveError(f"it would expand to more than {_EXPANSION} times its size")
        pickles = [name for name in self.records if name.endswith("data.pkl") and name.count("/") <= 1]
        self.prefix = pickles[0][: -len("data.pkl")] if pickles else _common_prefix(self.records)

    def _unpack(self, form, at):
        size = struct.calcsize(form)
        return struct.unpack(form, self._bytes(at, size))

    def _bytes(self, at, size) -> bytes:
        if not 0 <= at <= self.length - size:
            raise ArchiveError("its directory points outside the file")
        return bytes(self.source.read(at, size))

    def _ends(self):
        """Where the directory is: (start, length, entries)."""
        low = max(0, self.length - 65557)
        tail = self._bytes(low, self.length - low)
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or len(tail) - at < 22:
            raise ArchiveError("failed finding central directory")
        at += low
        _, _, _, _, count, length, start, _ = self._unpack("<4sHHHHIIH", at)
        limit = at
        if at >= 20 and self._bytes(at - 20, 4) == b"PK\x06\x07":
            _, _, wide, _ = self._unpack("<4sIQI", at - 20)
            magic, _, _, _, _, _, _, count, length, start = self._unpack("<4sQHHIIQQQQ", wide)
            if magic != b"PK\x06\x06":
                raise ArchiveError("failed finding central directory")
            limit = wide
        if start + length > limit or count * 46 > length:
            raise ArchiveError("failed finding central directory")
        return start, length, count

    def _directory(self):
        start, length, count = self._ends()
        directory, at, names = self._bytes(start, length), 0, set()
        for _ in range(count):
            if at + 46 > length:
                raise ArchiveError("its central directory is damaged")
            head = struct.unpack_from("<4sHHHHHHIIIHHHHHII", directory, at)
            magic, _, _, flags, method, _, _, crc, packed, size, n_name, n_extra, n_comment, _, _, _, header = head
            if magic != b"PK\x01\x02" or at + 46 + n_name + n_extra + n_comment > length:
                raise ArchiveError("its central directory is damaged")
            raw = directory[at + 46 : at + 46 + n_name]
            extra = directory[at + 46 + n_name : at + 46 + n_name + n_extra]
            size, packed, header = _widen(extra, size, packed, header)
            try:
                name = raw.decode()
            except UnicodeDecodeError:
                raise ArchiveError(f"a record has the name {raw!r}, which is not UTF-8") from None
            if name in names:
                raise ArchiveError(f"two records have the name {name!r}")
            if flags & 1:
                raise ArchiveError(f"record {name!r} is encrypted")
            names.add(name)
            yield name, Record(method, crc, packed, size, header)
            at += 46 + n_name + n_extra + n_comment

    def has(self, name: str) -> bool:
        return self.prefix + name in self.records

    def size(self, name: str) -> int:
        return self._record(name).size

    def _record(self, name: str) -> Record:
        try:
            return self.records[self.prefix + name]
        except KeyError:
            raise ArchiveError(f"file not found: {self.prefix}{name}") from None

    def place(self, name: str) -> tuple[int, int]:
        """Where a stored record's content starts in the file, and its length."""
        r = self._record(name)
        magic, _, _, method, _, _, _, _, _, n_name, n_extra = self._unpack("<4sHHHHHIIIHH", r.header)
        start = r.header + 30 + n_name + n_extra
        if magic != b"PK\x03\x04" or start + r.packed > self.length:
            raise ArchiveError(f"record {name!r} is cut off or damaged")
        if method != r.method or (method == _STORED and r.packed != r.size):
            raise ArchiveError(f"record {name!r} contradicts the directory")
        return start, r.packed

    def read(self, name: str, *, check: bool = True):
        """A record's content, compared with its checksum unless `check` is off (which a lazy mapping needs)."""
        r = self._record(name)
        start, packed = self.place(name)
        content = self.source.read(start, packed)
        if r.method == _DEFLATED:
            content = _inflate(content, r.size, name)
        elif r.method != _STORED:
            raise ArchiveError(f"record {name!r} is compressed by method {r.method}, which is not supported")
        if check and zlib.crc32(content) != r.crc:
            raise ArchiveError(f"record {name!r} is damaged: its checksum does not match")
        return content


def _inflate(packed, size, name):
    inflater = zlib.decompressobj(-15)
    try:
        content = inflater.decompress(packed, size + 1)
    except zlib.error as error:
        raise ArchiveError(f"record {name!r} is damaged: {error}") from None
    if len(content) != size:
        raise ArchiveError(f"record {name!r} does not have the {size} bytes that it claims")
    return memoryview(content)


def _widen(extra, size, packed, header):
    """The 64-bit values of an entry whose 32-bit fields are full."""
    at = 0
    while at + 4 <= len(extra):
        tag, n = struct.unpack_from("<HH", extra, at)
        if tag == 1:
            wide = extra[at + 4 : at + 4 + n]
            values = list(struct.unpack(f"<{len(wide) // 8}Q", wide[: len(wide) // 8 * 8]))
            if size == _MAX32 and values:
                size = values.pop(0)
            if packed == _MAX32 and values:
                packed = values.pop(0)
            if header == _MAX32 and values:
                header = values.pop(0)
        at += 4 + n
    return size, packed, header


def _common_prefix(names) -> str:
    heads = {name.split("/", 1)[0] for name in names if "/" in name}
    return heads.pop() + "/" if len(heads) == 1 else ""
