"""What `rushlight.compile` is recording at the moment, for code that has a say in whether it can be repeated.

A recording sees kernel calls. Code that does something else with every call (changes a schedule, runs a user's hook) tells
it so with `refuse`; code that hands memory to kernels past the ops (running statistics, a generator's state) with `note`.
"""

from __future__ import annotations

import threading
import weakref

__all__ = ["Watch", "LOCK", "watching", "start", "stop", "refuse", "note", "note_array", "note_alias", "note_grad"]

LOCK = threading.Lock()  # one recording at a time


class Watch:
    """What is noted beside the kernel calls: modules that were called, optimizers that made a step, arrays of their own."""

    def __init__(self, recorder):
        self.recorder = recorder
        self.modules = weakref.WeakValueDictionary()  # one that the function makes for itself is nobody's afterwards
        self.optimizers, self.arrays, self.asked = {}, [], {}
        self.thread = threading.get_ident()

    def module(self, module):
        self.modules[id(module)] = module

    def optimizer(self, optimizer):
        if optimizer.unrepeatable:
            self.recorder.refuse(f"{type(optimizer).__name__}.step() {optimizer.unrepeatable}")
        self.optimizers[id(optimizer)] = optimizer


_watch: Watch | None = None


def watching() -> Watch | None:
    """The recording that this thread is making, if any."""
    return _watch if _watch is None or _watch.thread == threading.get_ident() else None


def start(watch: Watch) -> None:
    global _watch
    _watch = watch


def stop() -> None:
    global _watch
    _watch = None


def refuse(why: str) -> None:
    """What is happening cannot be repeated by repeating kernel calls."""
    watch = watching()
    if watch is not None:
        watch.recorder.refuse(why)


def note(*tensors) -> None:
    """Tensors that a kernel is about to get without an op."""
    watch = watching()
    if watch is not None:
        for t in tensors:
            if t is not None:
                watch.recorder.note(t)


def note_alias(tensor, source):
    """A tensor that was made just now and has the memory of `source`. Returns it."""
    if _watch is not None and watching() is not None:
        _watch.recorder.alias(tensor, source)
    return tensor


def note_array(array):
    """An array that lives as long as the process, such as a generator's state. Returns it."""
    watch = watching()
    if watch is not None:
        watch.arrays.append(array)
    return array


def note_grad(tensor) -> None:
    """A tensor whose `.grad` the function asks for."""
    if _watch is not None and watching() is not None and not _watch.recorder.own(tensor):
        _watch.asked[id(tensor)] = tensor
