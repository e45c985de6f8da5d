"""Where bytes come from: a path, a memory-mapped file or an open file object."""

from __future__ import annotations

import io
import mmap
import os

__all__ = ["BufferSource", "FileSource", "PathSource", "open_source"]


class BufferSource:
    """Bytes in memory, or a private mapping of a file."""

    def __init__(self, data):
        self.data = memoryview(data)

    def __len__(self):
        return len(self.data)

    def read(self, at: int, n: int):
        return self.data[at : at + n]

    def finish(self, consumed: int) -> None:
        pass

    def close(self) -> None:
        pass


class FileSource:
    """A seekable file from its current position on. Nothing is read before it is asked for."""

    def __init__(self, file, owned: bool):
        self.file, self.owned = file, owned
        self.start = file.tell()
        self.length = file.seek(0, io.SEEK_END) - self.start
        file.seek(self.start)

    def __len__(self):
        return self.length

    def read(self, at: int, n: int):
        self.file.seek(self.start + at)
        return self.file.read(n)

    def finish(self, consumed: int) -> None:
        """Leaves the file behind what was used, so that a next object can be read from there."""
        self.file.seek(self.start + consumed)

    def close(self) -> None:
        if self.owned:
            self.file.close()


class PathSource:
    """A file that is opened for each read, for readers that may keep a source for long."""

    def __init__(self, path):
        self.path, self.length = path, os.path.getsize(path)

    def __len__(self):
        return self.length

    def read(self, at: int, n: int):
        with open(self.path, "rb") as file:
            file.seek(at)
            return file.read(n)


def open_source(f, use_mmap: bool = False):
    """(the source, a name for messages).

    Raises: FileNotFoundError; ValueError for `mmap` without a path; AttributeError for objects that cannot seek.
    """
    if isinstance(f, (str, bytes, os.PathLike)):
        path = os.fsdecode(f)
        file = open(path, "rb")
        if not use_mmap:
            return FileSource(file, owned=True), path
        with file:
            # Private and writable: tensors may be changed in place, the file is not.
            empty = os.fstat(file.fileno()).st_size == 0
            return BufferSource(b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)), path
    if use_mmap:
        raise ValueError("f must be a file path in order to use the mmap argument")
    for method in ("seek", "tell", "read"):
        if not hasattr(f, method):
            raise AttributeError(
                f"'{type(f).__name__}' object has no attribute '{method}'. You can only torch.load from a file that is "
                "seekable. Please pre-load the data into a buffer like io.BytesIO and try to load from it instead."
            )
    try:
        source = FileSource(f, owned=False)
    except io.UnsupportedOperation as error:
        raise type(error)(
            f"{error}. You can only torch.load from a file that is seekable. Please pre-load the data into a buffer "
            "like io.BytesIO and try to load from it instead."
        ) from None
    return source, str(getattr(f, "name", None) or type(f).__name__)
