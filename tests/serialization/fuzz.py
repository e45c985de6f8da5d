"""Damaged checkpoints by the thousand: `make fuzz`, or python -m tests.serialization.fuzz --cases 100000 --seed 0.

A case is a number: it says which file is damaged and how, so that every finding can be run again (`--first N --cases 1`).
Cases run in worker processes. A worker watches itself: an audit hook sees code that is run, an alarm a case that hangs,
the high-water mark of its memory an allocation that no file of this size can ask for. A worker that dies names the case it
was at, and the next worker goes on behind it.
"""

from __future__ import annotations

import argparse
import faulthandler
import io
import json
import os
import pickle
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import rushlight
from rushlight import nn, optim, serialization
from rushlight.serialization.archive import ArchiveWriter
from rushlight.serialization.safetensors_files import save_file

EXPECTED = (pickle.UnpicklingError, RuntimeError, EOFError, ValueError)
SECONDS, MEGABYTES = 20, 300  # for one case

# -- whole files --------------------------------------------------------------------------------------------------------


def archive(data_pkl, storages=(), name="x") -> bytes:
    """An archive around a pickle."""
    buffer = io.BytesIO()
    writer = ArchiveWriter(buffer, name)
    writer.add("data.pkl", data_pkl)
    for key, content in enumerate(storages):
        writer.add(f"data/{key}", content)
    writer.close()
    return buffer.getvalue()


def _saved(value, **options):
    buffer = io.BytesIO()
    serialization.save(value, buffer, **options)
    return buffer.getvalue()


def _again(content, zipped):
    """The same object, written by PyTorch."""
    import torch

    buffer = io.BytesIO()
    torch.save(torch.load(io.BytesIO(content)), buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def _value():
    return {
        "model": {"w": rushlight.arange(6.0).reshape(2, 3).t(), "b": rushlight.tensor([True, False])},
        "epoch": 3, "name": "x" * 20, "size": rushlight.Size((2, 3)), "p": nn.Parameter(rushlight.ones(2)),
        "raw": b"abc", "set": {1, 2}, "list": [1.5, None, 2**70], "half": rushlight.ones(2, dtype=rushlight.bfloat16),
        "sparse": rushlight.sparse_coo_tensor([[0, 2]], [1.0, 2.0], (3,)),
    }  # fmt: skip


def network():
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Sequential(nn.Linear(3, 1)))


def optimizer(name, model):
    made = getattr(optim, name)(model.named_parameters(), lr=0.1)
    model(rushlight.ones(2, 2)).sum().backward()
    made.step()
    return made


def _optimizer_state(name):
    model = network()
    return _saved({"model": model.state_dict(), "optimizer": optimizer(name, model).state_dict()})


def _tar():
    from .test_other_files import tar_file

    with tempfile.TemporaryDirectory() as folder:
        tar_file(Path(folder) / "t.pth")
        return (Path(folder) / "t.pth").read_bytes()


def _safetensors():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.safetensors"
        save_file({"w": rushlight.arange(6.0).reshape(2, 3), "b": rushlight.tensor([1, 2]),
                   "h": rushlight.ones(3, dtype=rushlight.bfloat16)}, path, {"format": "pt"})  # fmt: skip
        return path.read_bytes()


# By name: how the whole file is made, and whether its pickle is damaged inside an intact archive, whose checksums would
# otherwise catch nearly everything.
FILES = {
    "zip": (lambda: _saved(_value()), False),
    "zip of torch": (lambda: _again(_saved(_value()), True), False),
    "pickle": (lambda: _saved(_value()), True),
    "pickle of torch": (lambda: _again(_saved(_value()), True), True),
    "stream": (lambda: _saved(_value(), _use_new_zipfile_serialization=False), False),
    "stream of torch": (lambda: _again(_saved(_value()), False), False),
    "tar": (_tar, False),
    "model": (lambda: _saved(network()), False),
    "model's pickle": (lambda: _saved(network()), True),
    "safetensors": (_safetensors, False),
    "SGD": (lambda: _optimizer_state("SGD"), True),
    "Adam": (lambda: _optimizer_state("Adam"), True),
}  # fmt: skip
_TRUSTED = [nn.Sequential, nn.Linear, nn.BatchNorm1d, nn.ReLU]


class Source:
    """A whole file, and its parts if it is damaged inside."""

    def __init__(self, name):
        make, inside = FILES[name]
        self.content, self.inner = make(), None
        if inside:
            with zipfile.ZipFile(io.BytesIO(self.content)) as z:
                names = z.namelist()
                prefix = names[0].split("/")[0]
                self.inner = z.read(f"{prefix}/data.pkl")
                count = sum(n.startswith(f"{prefix}/data/") for n in names)
                self.data = [z.read(f"{prefix}/data/{i}") for i in range(count)]

    def damaged(self, rng) -> bytes:
        return mutated(rng, self.content) if self.inner is None else archive(mutated(rng, self.inner), self.data)


# -- damage ---------------------------------------------------------------------------------------------------------------

_EXTREMES = [0, 1, 2**7, 2**8 - 1, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1]


def mutated(rng, content) -> bytes:
    """The content cut off, shortened, lengthened, or with other bytes, numbers or parts of itself in it."""
    content = bytearray(content)
    kind = rng.randrange(7)
    at = rng.randrange(len(content))
    if kind == 0:
        return bytes(content[:at])
    if kind == 1:
        del content[at : at + rng.randrange(1, 30)]
    elif kind == 2:
        content[at:at] = content[at : at + rng.randrange(1, 30)]
    elif kind == 3:
        form = rng.choice("<B <H <I <Q >I >Q".split())
        number = struct.pack(form, rng.choice(_EXTREMES) % 2 ** (8 * struct.calcsize(form)))
        content[at : at + len(number)] = number
    elif kind == 4:
        other, n = rng.randrange(len(content)), rng.randrange(1, 60)
        content[at : at + n] = content[other : other + n]
    else:
        for _ in range(rng.randrange(1, 5)):
            content[rng.randrange(len(content))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return bytes(content)


# -- a case -----------------------------------------------------------------------------------------------------------------


def touch(value):
    """Reads whatever came out, so that a bad view would show."""
    stack = [value]
    while stack:
        v = stack.pop()
        if isinstance(v, nn.Module):
            stack.extend(v.__dict__.values())
        elif isinstance(v, rushlight.Tensor) and v.is_sparse:
            stack.extend([v._indices(), v._values()])
        elif isinstance(v, rushlight.Tensor) and max(v.shape, default=0) < 1000 and v.numel() < 1e6:
            v.tolist()  # (2**40, 0) is a valid shape, but not as nested lists
        elif isinstance(v, dict):
            stack.extend(v.values())
        elif isinstance(v, (list, tuple)):
            stack.extend(v)


def _resume(content, name):
    """What a training script does with a loaded optimizer state. Any Python exception is an answer."""
    state = serialization.load(io.BytesIO(content))
    model = network()
    made = optimizer(name, model)
    try:
        model.load_state_dict(state["model"])
        made.load_state_dict(state["optimizer"])
        made.step()
        repr(made)
    except Exception:
        pass
    touch(made.state_dict())


def readers(name, content, path):
    """Everything that may be done with a file."""
    if name == "safetensors":
        path.write_bytes(content)
        return [lambda: serialization.load(path), lambda: serialization.inspect(path)]
    found = [lambda: serialization.load(io.BytesIO(content)), lambda: serialization.inspect(io.BytesIO(content)),
             lambda: serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(content))]  # fmt: skip
    if FILES[name][1] or name.startswith("zip"):
        path.write_bytes(content)
        found.append(lambda: serialization.load(path, mmap=True))
    if name.startswith("model"):
        found.append(lambda: _trusting(content))
    if name in ("SGD", "Adam"):
        found.append(lambda: _resume(content, name))
    return found


def _trusting(content):
    with serialization.safe_globals(_TRUSTED):
        return serialization.load(io.BytesIO(content))


def run_case(name, content, path):
    """Reads one damaged file in every way. Raises what a reader must not raise."""
    for read in readers(name, content, path):
        try:
            touch(read())
        except EXPECTED:
            pass


# -- workers ------------------------------------------------------------------------------------------------------------------

# What loading a checkpoint has no reason to do; `open` for writing is looked at more closely.
_FORBIDDEN = ("exec", "compile", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "subprocess.Popen", "socket.connect",
              "os.remove", "os.rename", "os.rmdir", "os.mkdir", "shutil.rmtree", "ctypes.dlopen", "os.putenv", "import")  # fmt: skip


class Watch:
    """Notes forbidden events while a case runs."""

    def __init__(self, path):
        self.on, self.events, self.path = False, [], str(path)
        sys.addaudithook(self.hook)

    def hook(self, event, args):
        if not self.on:
            return
        if event in _FORBIDDEN:
            self.events.append(f"{event} {args[:1]!r:.80}")
        elif event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+") and str(args[0]) != self.path:
            self.events.append(f"open {args[0]!r} for writing")


def _peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def work(first, last, step, seed):
    """Runs the cases first, first + step, ..., and writes a line per finding; the last line says that it came to its end."""
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name) / "case"
    names = list(FILES)
    sources = {name: Source(name) for name in names}
    for name in names:  # whatever is imported on first use is imported now
        run_case(name, sources[name].content, path.with_suffix(".safetensors") if name == "safetensors" else path)
    watch, peak = Watch(path), _peak()

    def hang(*_):
        raise TimeoutError(f"more than {SECONDS} seconds")

    signal.signal(signal.SIGALRM, hang)
    for case in range(first, last, step):
        print("at", case, flush=True)
        name = names[case % len(names)]
        content = sources[name].damaged(random.Random(f"{seed}-{case}"))
        watch.path = str(path.with_suffix(".safetensors") if name == "safetensors" else path)
        findings = []
        signal.alarm(SECONDS)
        watch.on = True
        try:
            run_case(name, content, Path(watch.path))
        except BaseException as error:  # also what ends programs: none of it may come out
            findings.append(f"{type(error).__name__}: {error!s:.200}")
        watch.on = False
        signal.alarm(0)
        findings += [f"ran code: {event}" for event in watch.events]
        watch.events.clear()
        if _peak() > peak + MEGABYTES:
            findings.append(f"took {_peak() - peak} MB")
        peak = max(peak, _peak())
        for finding in findings:
            print("finding", json.dumps([case, name, finding]), flush=True)
    print("end", flush=True)


def _start(first, options):
    command = [sys.executable, "-m", "tests.serialization.fuzz", "--work", "--first", str(first), "--last", str(options.last),
               "--step", str(options.jobs), "--seed", str(options.seed)]  # fmt: skip
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _follow(first, options, findings):
    """Runs one worker's cases to the end, with a new process after each one that died."""
    while first < options.last:
        at = first
        with _start(first, options) as process:
            for line in process.stdout:
                word, _, rest = line.partition(" ")
                if word == "at":
                    at = int(rest)
                elif word == "finding":
                    findings.append(json.loads(rest))
                elif word.strip() == "end":
                    return
        findings.append([at, list(FILES)[at % len(FILES)], f"the process ended with {process.returncode}"])
        first = at + options.jobs


def main():
    parser = argparse.ArgumentParser(description="Reads damaged checkpoints.")
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", default="0")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    for name in ("--last", "--step"):
        parser.add_argument(name, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        return work(options.first, options.last, options.step, options.seed)
    import threading

    options.last = options.first + options.cases
    start, findings = time.monotonic(), []
    threads = [threading.Thread(target=_follow, args=(options.first + i, options, findings)) for i in range(options.jobs)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for case, name, finding in sorted(findings):
        print(f"case {case} ({name}): {finding}")
    print(f"fuzz: {options.cases} damaged files of {len(FILES)} kinds, seed {options.seed}, {time.monotonic() - start:.0f} s: "
          f"{len(findings)} findings")  # fmt: skip
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
