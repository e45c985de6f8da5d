"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat

__all__ = ["atomic_write"]


@contextlib.contextmanager
def atomic_write(path):
    """A binary file to write; `path` gets its content when the block ends without an error, and only then.

    The content goes to a temporary file beside `path`, is flushed to the disk and renamed. On an error the temporary
    file is removed and whatever was at `path` stays.

    Raises: RuntimeError if the directory does not exist.
    """
    path = os.fsdecode(path)
    parent = os.path.dirname(path) or "."
    if not os.path.isdir(parent):
        raise RuntimeError(f"Parent directory {os.path.dirname(path)} does not exist.")
    target = os.path.realpath(path)  # a link stays a link to the new content
    try:
        mode = os.stat(target).st_mode
    except OSError:
        mode = None
    if mode is not None and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # a pipe or device cannot be renamed to
        with open(target, "wb") as file:
            yield file
        return
    temporary = f"{target}.{secrets.token_hex(6)}.tmp"
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(temporary, stat.S_IMODE(mode))
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_directory(os.path.dirname(target))


def _sync_directory(path):
    """Makes the rename itself durable, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(path or ".", os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
