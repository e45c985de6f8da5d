"""Variables that a function assigns tensors to: `self.hidden = h.detach()`, `self.attention = weights`, a mean that moves.

What such a variable held before is an argument of the recording that nobody passes, what it holds afterwards a result that
nobody returns. So the function may read what the call before has left there, and a repetition leaves new tensors, as a call does.
"""

from __future__ import annotations

from .. import _native
from ..autograd.tensor import Tensor
from .tree import flatten, unflatten

__all__ = ["Variable", "assigned", "held_in", "without_history", "SHARED"]

SHARED = "it assigns to a variable what it also gets in another way, or what has a graph and is read again (detach it)"

_PLACES = (_native.GUARD_ITEM, _native.GUARD_ELEMENT, _native.GUARD_CELL)


class Variable:
    """A place that the function assigns to. `before`: the tensors that were there; `after`: those that it has left."""

    def __init__(self, kind, holder, key, before, after):
        self.cell = kind == _native.GUARD_CELL
        self.holder, self.key = holder, key
        self.before, self.after = [], []
        self.expects = flatten(before, self.before)
        if not _all_tensors(self.before):  # a number or None, which its guard compares
            self.expects, self.before = None, []
        self.leaves = flatten(after, self.after)
        self.results = []  # which results of the program it is given

    def find_among(self, tensors):
        """Notes where among the results of the program its tensors are; what is not there is added."""
        self.results = []
        for t in self.after:
            k = next((k for k, other in enumerate(tensors) if other is t), len(tensors))
            if k == len(tensors):
                tensors.append(t)
            self.results.append(k)

    def forget(self):
        """The tensors of the recorded call."""
        self.before, self.after = [], []

    def read(self):
        return self.holder.cell_contents if self.cell else self.holder[self.key]

    def collect(self, held):
        """Appends the tensors it holds, without their history; False if it holds something of another kind."""
        if self.expects is None:
            return True
        found = []
        if flatten(self.read(), found) != self.expects or not _all_tensors(found):
            return False
        held += map(_plain, found)
        return True

    def write(self, made):
        value = unflatten(self.leaves, (made[k] for k in self.results))
        if self.cell:
            self.holder.cell_contents = value
        else:
            self.holder[self.key] = value

    def place(self):
        """What two recordings must agree on."""
        return id(self.holder), self.key, self.expects, self.leaves, self.results


def assigned(guards, recorder):
    """The variables among what is guarded to which a recorded call has assigned tensors that it made. They are guarded no more."""
    found = []
    for row in list(guards.rows):
        kind, holder, key, before = row
        if kind not in _PLACES:
            continue
        try:
            now = holder.cell_contents if kind == _native.GUARD_CELL else holder[key]
        except (LookupError, ValueError):  # deleted
            continue
        leaves = []
        flatten(now, leaves)
        if now is before or not _all_tensors(leaves) or not all(recorder.made(t._a) for t in leaves):
            continue
        variable = Variable(kind, holder, key, before, now)
        if variable.expects is not None:
            guards.drop(row)
        found.append(variable)
    return found


def held_in(variables):
    """The tensors that they hold, in order; None if one of them holds something of another kind."""
    held = []
    return held if all(v.collect(held) for v in variables) else None


def without_history(variables):
    """The tensors that they held before the recorded call, as arguments of the recording."""
    return [_plain(t) for v in variables for t in v.before]


def _plain(t):
    return t.detach() if t._requires_grad else t


def _all_tensors(leaves):
    return bool(leaves) and all(type(t) is Tensor for t in leaves)
