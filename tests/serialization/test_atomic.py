"""A checkpoint is written whole or not at all."""

import os
import stat
import subprocess
import sys

import pytest

import rushlight
from rushlight.serialization import atomic, load, save
from rushlight.serialization.atomic import atomic_write


class Full(Exception):
    pass


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "x.pth"
    save({"version": "old"}, path)
    return path


def only_old(path):
    assert load(path) == {"version": "old"}
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("after", [0, 1, 3, 10])
def test_write_error(old, monkeypatch, after):
    """A write that fails half-way leaves the old file and nothing else."""
    from rushlight.serialization import archive

    original, count = archive.ArchiveWriter._put, iter(range(1000))

    def put(self, data):
        if next(count) >= after:
            raise OSError(28, "No space left on device")
        original(self, data)

    monkeypatch.setattr(archive.ArchiveWriter, "_put", put)
    with pytest.raises(OSError, match="No space left"):
        save({"version": "new", "w": rushlight.ones(100)}, old)
    only_old(old)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_system_error(old, monkeypatch, call):
    """The same if flushing or renaming fails."""

    def fail(*args):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(atomic.os, call, fail)
    with pytest.raises(OSError, match="Input/output"):
        save({"version": "new"}, old)
    monkeypatch.undo()
    only_old(old)


@pytest.mark.parametrize("error", [KeyboardInterrupt, Full])
def test_interrupted(old, error):
    """The same for Ctrl-C in the middle."""
    with pytest.raises(error), atomic_write(old) as file:
        file.write(b"half")
        raise error
    only_old(old)


def test_object_that_cannot_be_pickled(old):
    """The same for an object that cannot be saved."""
    with pytest.raises(Exception, match="pickle|lambda"):
        save({"f": lambda: 1, "w": rushlight.ones(3)}, old)
    only_old(old)


def test_order_of_calls(tmp_path, monkeypatch):
    """The content is on the disk before the name changes, and the directory afterwards."""
    calls = []
    for name in ("fsync", "replace"):
        original = getattr(os, name)
        monkeypatch.setattr(atomic.os, name, lambda *a, n=name, o=original: (calls.append(n), o(*a))[1])
    save(1, tmp_path / "x.pth")
    assert calls == ["fsync", "replace", "fsync"]


def test_mode_and_links(tmp_path):
    """An existing file keeps its permissions; a symbolic link stays one."""
    target, link = tmp_path / "real.pth", tmp_path / "link.pth"
    save(1, target)
    os.chmod(target, 0o640)
    link.symlink_to(target)
    save(2, link)
    assert link.is_symlink() and load(target) == 2
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_new_file_mode(tmp_path):
    """A new file gets the permissions that `open` would give."""
    save(1, tmp_path / "a.pth")
    (tmp_path / "b").touch()
    assert (tmp_path / "a.pth").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_killed(tmp_path):
    """A process that is killed while writing leaves the old file readable."""
    path = tmp_path / "x.pth"
    save({"version": "old"}, path)
    code = f"""
import os, signal
from rushlight.serialization.atomic import atomic_write
with atomic_write({str(path)!r}) as f:
    f.write(b'half'); f.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert load(path) == {"version": "old"}


def test_device_file():
    """A device is written to directly."""
    save(rushlight.ones(3), "/dev/null")


def test_relative_path(tmp_path, monkeypatch):
    """A bare name is written into the current directory."""
    monkeypatch.chdir(tmp_path)
    save(1, "x.pth")
    assert load("x.pth") == 1
