"""What a recorded step depends on, so that it is recorded anew when that changes.

A function reaches modules, tensors, numbers and other functions through its globals, its closure and its arguments. All of
them are looked at once, by the names in its code; what could be replaced is guarded: a name by the object it is bound to, a
number by its value, a module by its parameters, buffers, submodules and settings (`training` among them).
"""

from __future__ import annotations

import functools
import sys
import types
from pathlib import Path

from .. import _native
from ..autograd.tensor import Tensor
from ..nn.modules.module import Module

__all__ = ["Guards", "reach", "guard_module", "PACKAGE"]

PACKAGE = str(Path(__file__).parent.parent)
_PLAIN = (bool, int, float, str, type(None))
_MEMBERS = ("_parameters", "_buffers", "_modules")
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Guards:
    """A list of native guards, and a description of each for messages."""

    def __init__(self):
        self.rows, self.texts, self._seen = [], [], set()

    def add(self, kind, obj, key, expected, text):
        mark = (kind, id(obj), key if isinstance(key, (str, int)) else id(key))
        if mark not in self._seen:
            self._seen.add(mark)
            self.rows.append((kind, obj, key, expected))
            self.texts.append(text)

    def item(self, mapping, key, text):
        self.add(_native.GUARD_ITEM, mapping, key, mapping[key], text)

    def length(self, sized, text):
        self.add(_native.GUARD_LENGTH, sized, None, len(sized), text)


def _plain(value):
    return isinstance(value, _PLAIN) or (type(value) is tuple and all(map(_plain, value)))


def guard_module(guards, module, name="a module"):
    """Everything about one module (not its submodules) that its forward may depend on."""
    state = module.__dict__
    for kind in _MEMBERS:
        members = state[kind]
        guards.length(members, f"{name} has other members")
        for key in members:
            guards.item(members, key, f"{name}.{key} is another object")
    for kind in _HOOKS:
        guards.length(state[kind], f"{name} has other hooks")
    for key, value in state.items():
        if _plain(value):
            guards.item(state, key, f"{name}.{key} is no longer {value!r}")


class Reach:
    """What a function reaches: modules, guards on names, and whether a name refers to something that is not guarded."""

    def __init__(self):
        self.guards, self.modules = Guards(), {}
        self._functions, self._objects = set(), set()

    def module(self, module, name):
        for path, m in module.named_modules():
            self.modules.setdefault(id(m), (f"{name}.{path}" if path else name, m))

    def value(self, value, name, names):
        """An object that the code with these attribute names gets hold of."""
        if isinstance(value, Module):
            self.module(value, name)
            # A module's own methods are guarded through its state; what they reach outside is not followed into our code.
            for m in value.modules():
                self.function(type(m).forward, f"{name}.forward")
        elif isinstance(value, types.ModuleType):
            if _foreign(getattr(value, "__file__", None) or ""):
                self.attributes(value, name, names)
        elif isinstance(value, type):
            if _foreign(getattr(sys.modules.get(value.__module__), "__file__", None) or ""):
                for key in names:
                    found = vars(value).get(key)
                    if _plain(found) and key in vars(value):
                        self.guards.add(_native.GUARD_ATTRIBUTE, value, key, found, f"{name}.{key} has changed")
        elif isinstance(value, types.MethodType):
            self.value(value.__self__, f"{name}.__self__", _names(value.__func__))
            self.function(value.__func__, name)
        elif isinstance(value, functools.partial):
            for part in (value.func, *value.args, *value.keywords.values()):
                self.value(part, name, names)
        elif isinstance(value, types.FunctionType):
            self.function(value, name)
        elif isinstance(value, (list, tuple, set, dict)):
            self.guards.length(value, f"{name} has another length")
            items = value.values() if isinstance(value, dict) else value
            for v in list(items)[:64]:
                if isinstance(v, Module):
                    self.module(v, name)
        elif self._is_users(value):
            self.attributes(value, name, names)

    def _is_users(self, value):
        if isinstance(value, Tensor) or not hasattr(value, "__dict__"):
            return False
        origin = sys.modules.get(type(value).__module__)
        return _foreign(getattr(origin, "__file__", None) or "")

    def attributes(self, value, name, names):
        if id(value) in self._objects:
            return
        self._objects.add(id(value))
        state = value.__dict__
        for key in names:
            if key in state:
                self.guards.item(state, key, f"{name}.{key} has changed")
                self.value(state[key], f"{name}.{key}", names)
        for key in names:  # methods that the code calls on it
            method = getattr(type(value), key, None)
            if isinstance(method, types.FunctionType):
                self.function(method, f"{name}.{key}")
                self.attributes_again(value, name, _names(method))

    def attributes_again(self, value, name, names):
        state = value.__dict__
        for key in names:
            if key in state:
                self.guards.item(state, key, f"{name}.{key} has changed")
                self.value(state[key], f"{name}.{key}", names)

    def function(self, fn, name):
        fn = getattr(fn, "__wrapped__", fn)
        if not isinstance(fn, types.FunctionType) or fn in self._functions or not _foreign(fn.__code__.co_filename):
            return
        self._functions.add(fn)
        names = _names(fn)
        for key in names:
            if key in fn.__globals__:
                value = fn.__globals__[key]
                self.guards.item(fn.__globals__, key, f"the global {key!r} has changed")
                self.value(value, key, names)
        for key, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:  # not assigned yet
                continue
            self.guards.add(_native.GUARD_CELL, cell, None, value, f"the variable {key!r} has changed")
            self.value(value, key, names)
        for value in (*(fn.__defaults__ or ()), *(fn.__kwdefaults__ or {}).values()):
            self.value(value, name, names)


def _foreign(file):
    """A user's file: neither ours nor part of Python or of an installed package."""
    elsewhere = (PACKAGE, f"{sys.base_prefix}/lib/python", "<frozen")
    return bool(file) and not file.startswith(elsewhere) and "site-packages" not in file


def _names(fn):
    """All names in a function's code, nested functions included."""
    code = getattr(fn, "__code__", None)
    found, stack = {}, [code] if code is not None else []
    while stack:
        code = stack.pop()
        found.update(dict.fromkeys(code.co_names))
        stack.extend(c for c in code.co_consts if isinstance(c, types.CodeType))
    return tuple(found)


def reach(fn, args) -> Reach:
    """What `fn` called with these arguments may depend on."""
    found = Reach()
    names = _names(getattr(fn, "__func__", fn))
    found.value(fn, getattr(fn, "__qualname__", type(fn).__name__), names)
    for k, a in enumerate(args):
        if not isinstance(a, Tensor):
            found.value(a, f"argument {k}", names)
    for name, module in found.modules.values():
        guard_module(found.guards, module, name)
    return found
