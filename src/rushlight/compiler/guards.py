"""What a recorded step depends on, so that it is recorded anew when that changes.

Everything that could be replaced is guarded: a name by the object it is bound to, a number by its value, a module by its
parameters, buffers, submodules and settings (`training` among them), a list or dict by its elements, a NumPy array by its
bytes. reach.py finds what a function reaches.
"""

from __future__ import annotations

import numpy as np

from .. import _native

__all__ = ["Guards", "guard_module", "is_plain"]

_PLAIN = (bool, int, float, str, type(None))
_MEMBERS = ("_parameters", "_buffers", "_modules")
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_OWN = {*_MEMBERS, *_HOOKS, "_hooked", "_compiled"}  # of a module's __dict__: guarded otherwise, or without meaning for forward


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

    def drop(self, row):
        """What is guarded no more; adding it again does nothing."""
        k = next(k for k, r in enumerate(self.rows) if r is row)
        del self.rows[k], self.texts[k]

    def item(self, mapping, key, text):
        self.add(_native.GUARD_ITEM, mapping, key, mapping[key], text)

    def attribute(self, obj, key, value, text):
        self.add(_native.GUARD_ATTRIBUTE, obj, key, value, text)

    def element(self, sequence, k, text):
        self.add(_native.GUARD_ELEMENT, sequence, k, sequence[k], text)

    def cell(self, cell, text):
        self.add(_native.GUARD_CELL, cell, None, cell.cell_contents, text)

    def length(self, sized, text):
        self.add(_native.GUARD_LENGTH, sized, None, len(sized), text)

    def array(self, array, text):
        """A NumPy array's elements, which it may change unseen."""
        self.add(_native.GUARD_BYTES, array, None, np.asarray(array).tobytes(order="A"), text)


def is_plain(value):
    """Numbers, strings, None and tuples of them: compared by value."""
    return isinstance(value, _PLAIN) or (type(value) is tuple and all(map(is_plain, value)))


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
        if key not in _OWN:
            guards.item(state, key, f"{name}.{key} is no longer {value!r}" if is_plain(value) else f"{name}.{key} is another object")
    # A forward of the instance, or another one of its class.
    guards.attribute(type(module), "forward", type(module).forward, f"{name} has another forward")
    guards.length(state, f"{name} has other attributes")
