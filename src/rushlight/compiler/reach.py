"""What a function reaches through its globals, its closure and its arguments, by the names in its code.

An object is looked at for the attributes that the code names, and for those that its own methods name if the code calls
them; a list, tuple or dict for all of its elements. What is found is guarded (guards.py).
"""

from __future__ import annotations

import collections
import dis
import functools
import sys
import types
from pathlib import Path

import numpy as np

from ..autograd.tensor import Tensor
from ..nn.modules.module import Module
from ..optim.optimizer import Optimizer
from .guards import Guards, guard_module

__all__ = ["reach", "is_users_file", "PACKAGE"]

PACKAGE = str(Path(__file__).parent.parent)
_OURS = f"{__package__.partition('.')[0]}."
_MOST_ELEMENTS = 4096  # of a container; of a longer one, only the length
_MOST_BYTES = 1 << 16  # of a NumPy array, compared at every call
_MAKING = {"__init__", "__new__", "__repr__", "__str__", "__del__", "__init_subclass__", "__getstate__", "__setstate__", "__reduce__"}


class Reach:
    """What a function reaches: guards on names, modules, tensors; and why it cannot be guarded, if so."""

    def __init__(self):
        self.guards, self.modules, self.tensors, self.refusal = Guards(), {}, [], None
        self._functions, self._seen, self._alive = set(), set(), []

    def value(self, value, name, names):
        """An object that code with these attribute names gets hold of."""
        if value is None or isinstance(value, (bool, int, float, str)):
            return
        if isinstance(value, Tensor):
            self.tensors.append(value)
            return
        mark = (id(value), names)
        if mark in self._seen:
            return
        self._seen.add(mark)
        self._alive.append(value)
        if isinstance(value, Module):
            self.module(value, name, names)
        elif isinstance(value, types.ModuleType):
            if is_users_file(getattr(value, "__file__", None)):
                self.attributes(value, name, names)
        elif isinstance(value, type):
            if _is_users_type(value):
                self.members(value, value, name, names)
        elif isinstance(value, types.MethodType):
            self.function(value.__func__, name)
            self.value(value.__self__, f"{name}.__self__", _names(value.__func__))
        elif isinstance(value, functools.partial):
            for part in (value.func, *value.args, *value.keywords.values()):
                self.value(part, name, names)
        elif isinstance(value, types.FunctionType):
            self.function(value, name)
        elif isinstance(value, np.ndarray):
            self.array(value, name)
        elif isinstance(value, (list, tuple, dict, set, frozenset, collections.deque)):
            self.container(value, name, names)
        elif type(value).__module__.startswith(_OURS) or isinstance(value, Optimizer):
            self.value(getattr(value, "_fn", None), name, names)  # a compiled function
        else:
            self.attributes(value, name, names)

    def module(self, module, name, names):
        for path, m in module.named_modules():
            full = f"{name}.{path}" if path else name
            self.modules.setdefault(id(m), (full, m))
            # Our own modules are guarded through their state; users' may reach anything.
            if _is_users_type(type(m)) or "forward" in m.__dict__:
                self.attributes(m, full, names)

    def container(self, value, name, names):
        self.guards.length(value, f"{name} has another length")
        if len(value) > _MOST_ELEMENTS:
            return
        if isinstance(value, dict):
            for key, v in value.items():
                self.guards.item(value, key, f"{name}[{key!r}] has changed")
                self.value(v, f"{name}[{key!r}]", names)
            return
        fixed = isinstance(value, (tuple, set, frozenset))
        for k, v in enumerate(value):
            if not fixed:
                self.guards.element(value, k, f"{name}[{k}] has changed")
            self.value(v, f"{name}[{k}]", names)

    def array(self, value, name):
        if value.dtype.hasobject or value.nbytes > _MOST_BYTES or not (value.flags.c_contiguous or value.flags.f_contiguous):
            self.refusal = self.refusal or (
                f"{name} is a NumPy array, whose elements may change unseen (make it a tensor, outside of the function)"
            )
            return
        self.guards.array(value, f"elements of the NumPy array {name} have changed")

    def attributes(self, value, name, names):
        """The named attributes of an object, and those that its methods name."""
        cls = type(value)
        users = _is_users_type(cls)
        self.members(value, cls, name, names)
        if users:  # what Python calls without naming it
            special = [k for c in cls.__mro__ if _is_users_type(c) for k in vars(c) if k[:2] == "__" == k[-2:] and k not in _MAKING]
            self.members(value, cls, name, tuple(special))
        if isinstance(value, Module):
            self.members(value, cls, name, ("forward",))

    def members(self, value, cls, name, names):
        mark = (id(value), "members", names)
        if mark in self._seen:
            return
        self._seen.add(mark)
        self._alive.append(value)
        state = getattr(value, "__dict__", None) if value is not cls else None
        for key in names:
            if type(state) is dict and key in state:
                self.guards.item(state, key, f"{name}.{key} has changed")
                self.value(state[key], f"{name}.{key}", names)
                continue
            for c in cls.__mro__:
                if key in vars(c) and c is not object:
                    if self.member(value, name, key, vars(c)[key], names, _is_users_type(c)):
                        break

    def member(self, value, name, key, found, names, users):
        """An attribute found in a class. Whether the classes behind it do not matter."""
        found = getattr(found, "__func__", found)  # staticmethod, classmethod
        parts = [found]
        if isinstance(found, property):
            parts = [found.fget]
        elif isinstance(found, functools.cached_property):
            parts = [found.func]
        if isinstance(parts[0], types.FunctionType):
            if users and key not in _MAKING:
                self.function(parts[0], f"{name}.{key}")
                self.members(value, value if isinstance(value, type) else type(value), name, _names(parts[0]))
            return False  # super() may reach the next one
        if isinstance(found, types.MemberDescriptorType) or not hasattr(type(found), "__get__"):
            if users or isinstance(found, types.MemberDescriptorType):
                now = getattr(value, key, None)
                self.guards.attribute(value, key, now, f"{name}.{key} has changed")
                self.value(now, f"{name}.{key}", names)
        return True

    def function(self, fn, name):
        if not isinstance(fn, types.FunctionType) or fn in self._functions:
            return
        self._functions.add(fn)
        if hasattr(fn, "__wrapped__"):
            self.value(fn.__wrapped__, name, _names(fn))
        if not is_users_file(fn.__code__.co_filename):
            return
        names = _names(fn)
        for key in _globals_in(fn.__code__):  # an attribute may be called as a global is that the function does not use
            if key in fn.__globals__:
                value = fn.__globals__[key]
                self.guards.item(fn.__globals__, key, f"the global {key!r} has changed")
                self.value(value, key, names)
        for key, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:  # not assigned yet
                continue
            self.guards.cell(cell, f"the variable {key!r} has changed")
            self.value(value, key, names)
        for value in (*(fn.__defaults__ or ()), *(fn.__kwdefaults__ or {}).values()):
            self.value(value, name, names)


def is_users_file(file):
    """Neither ours nor part of Python or of an installed package."""
    elsewhere = (PACKAGE, f"{sys.base_prefix}/lib/python", "<frozen")
    return bool(file) and not file.startswith(elsewhere) and "site-packages" not in file


def _is_users_type(cls):
    origin = sys.modules.get(cls.__module__)
    if cls.__module__ == "__main__":
        return True
    return is_users_file(getattr(origin, "__file__", None))


def _names(fn):
    """All names in a function's code, nested functions included."""
    code = getattr(getattr(fn, "__func__", fn), "__code__", None)
    return _names_in(code) if code is not None else ()


@functools.lru_cache(maxsize=4096)
def _names_in(code):
    return tuple(dict.fromkeys(name for c in _codes(code) for name in c.co_names))


@functools.lru_cache(maxsize=4096)
def _globals_in(code):
    """The names that it looks up or assigns as globals, nested functions included (in a class's body they are plain names)."""
    found = {}
    for c in _codes(code):
        found.update((i.argval, None) for i in dis.get_instructions(c) if i.opname.endswith(("_GLOBAL", "_NAME")))
    return tuple(found)


def _codes(code):
    """A function's code and that of the functions in it."""
    stack = [code]
    while stack:
        code = stack.pop()
        yield code
        stack.extend(c for c in code.co_consts if isinstance(c, types.CodeType))


def reach(fn, args) -> Reach:
    """What `fn` called with these arguments may depend on."""
    found = Reach()
    names = _names(fn) or _names(type(fn).__call__)
    found.value(fn, getattr(fn, "__qualname__", type(fn).__name__), names)
    for k, a in enumerate(args):
        if not isinstance(a, Tensor):
            found.value(a, f"argument {k}", names)
    for name, module in found.modules.values():
        guard_module(found.guards, module, name)
    return found
