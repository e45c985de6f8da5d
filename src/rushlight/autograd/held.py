"""Saved values that are computed again when a backward pass needs them, instead of being kept.

`HeldGraph.make` calls a function and puts a `Held` in the place of what each node of its graph has saved. The sweep
(native/bindings/engine.cpp) asks a `Held` for its node's values. The first one asked calls the function once more, up to the last
node; the graph which that makes has nodes in the same order, with the same values saved, and is taken apart for them.

What a node saves is a list (op.py): pairs (tensor, version) and (array, version), lists of them, and other values. A tensor that
was computed again gets the history of the one that it stands for, so that second derivatives are those of the first graph.
"""

from __future__ import annotations

from .. import _native, _recording
from .tensor import Tensor

__all__ = ["Held", "HeldGraph"]

Array = type(_native.empty((0,), 0))


class _Gone:
    """Stands for a tensor or array that was let go: what it was like, and its history."""

    __slots__ = ("shape", "dtype", "node", "output_nr", "requires_grad")

    def __init__(self, value):
        a = value if isinstance(value, Array) else value._a
        self.shape, self.dtype = a.shape, a.dtype
        self.node, self.output_nr, self.requires_grad = (
            (None, 0, False) if isinstance(value, Array) else (value._node, value._output_nr, value._requires_grad)
        )

    def described(self):
        return self.shape, self.dtype

    def again(self, value):
        """The value that was computed again, in the place of the one that is gone."""
        if isinstance(value, Array):
            return value
        t = _recording.note_alias(_native.wrap(value._a), value)
        t._node, t._output_nr, t._requires_grad = self.node, self.output_nr, self.requires_grad
        return t


def _position(item):
    """Where in an entry of `saved` its tensor or array is, or None: (value, version) of an op, (kind, value, …) of a Function."""
    if type(item) is tuple:
        if len(item) == 2 and isinstance(item[0], (Tensor, Array)):
            return 0
        if len(item) == 4 and item[0] in ("in", "out"):
            return 1
    return None


def _stripped(item, keep, gone):
    if type(item) is _Gone:  # by a graph inside of this one
        gone.append(item)
        return item
    at = _position(item)
    if at is not None:
        if keep(item[at]):
            return item
        gone.append(_Gone(item[at]))
        return gone[-1]
    if type(item) in (list, tuple):
        return type(item)([_stripped(part, keep, gone) for part in item])
    return item


def _filled(template, item):
    """The entry with the values of a second computation where the first ones are gone."""
    if type(template) is _Gone:
        at = _position(item)
        return (*item[:at], template.again(item[at]), *item[at + 1 :])
    if type(template) in (list, tuple) and template is not item and _position(template) is None:
        return type(template)([_filled(t, i) for t, i in zip(template, item, strict=True)])
    return template


def _tensors(item):
    at = _position(item)
    if at is not None:
        return [item[at]]
    return [t for part in item for t in _tensors(part)] if type(item) in (list, tuple) else []


class _Stop(BaseException):
    """Everything has been made again. No error, so that nobody catches it."""


class _Noting:
    """Notes the nodes with saved tensors that are made while it is entered, in a list. `wanted`: after so many of them the function
    is left, before the last op if its result is not saved."""

    def __init__(self, wanted=-1, last=None):
        self.nodes, self.wanted, self.last = [], wanted, last

    def __enter__(self):
        self.before = _native.note_nodes(self.nodes, self.wanted, self.last)
        return self

    def __exit__(self, kind, *rest):
        _native.note_nodes(*self.before)
        return kind is _Stop and self.wanted >= 0 and len(self.nodes) >= self.wanted


class Held:
    """What a node has in the place of its saved values: what of them is still there, and the graph that has the rest made again."""

    __slots__ = ("graph", "index", "template")

    def __init__(self, graph, index, template):
        self.graph, self.index, self.template = graph, index, template

    def take(self):
        """The values, computed again; the graph lets go of them."""
        saved = self.graph.value(self.index)
        return _filled(self.template, saved.take() if type(saved) is Held else saved)


class HeldGraph:
    """A graph that a function can make again. `again()` calls it.

    `stop`: whether the function is left when it has saved as much as the first time. `check`: whether shapes and dtypes are compared.
    `error(counts, different)` is the exception if it made another graph: how many tensors were saved then and now, or which ones
    differ and how, [(position, (shape, dtype) then, (shape, dtype) now), …].
    """

    def __init__(self, again, error, stop=True, check=True):
        self.again, self.error, self.stop, self.check = again, error, stop, check
        # Per node: what is left of its saved values, how many tensors they have, whether a graph inside of this one held them.
        # Not the node itself, which has this graph.
        self.held, self.values, self.last = [], {}, None

    def make(self, function, keep):
        """The results of the function, whose graph lets go of what it saved, but for tensors that `keep(tensor)` is true for."""
        with _Noting() as noting:
            results = function()
        for node in noting.nodes:
            gone, nested = [], type(node.saved) is Held
            template = [_stripped(item, keep, gone) for item in (node.saved.template if nested else node.saved)]
            self.held.append((template if gone else None, len(_tensors(node.saved)), nested))
            if gone:
                node.saved = Held(self, len(self.held) - 1, template)
        self.last = noting.nodes[-1].op if noting.nodes else None
        for node in noting.nodes if noting.before[0] is not None else ():  # a graph around this one
            _native.note_node(node)
        return results

    def value(self, index):
        if index not in self.values:
            self._compute()
        return self.values.pop(index)

    def _compute(self):
        with _Noting(len(self.held) if self.stop else -1, self.last) as noting:
            self.again()
        nodes = noting.nodes[: len(self.held)] if self.stop else noting.nodes
        counts = [len(_tensors(node.saved)) for node in nodes]
        if [n for _, n, _ in self.held] != counts:
            raise self.error((sum(n for _, n, _ in self.held), sum(counts)), [])
        if self.check:
            self._compare(nodes)
        self.values = {k: node.saved for k, node in enumerate(nodes) if self.held[k][0] is not None}
        for node in nodes:
            node.saved = ()

    def _compare(self, nodes):
        different, position = [], 0
        for node, (template, n, nested) in zip(nodes, self.held, strict=True):
            pairs = zip(_flat(template), _tensors(node.saved), strict=True) if template is not None and not nested else ()
            for k, (was, now) in enumerate(pairs, position):
                a = now if isinstance(now, Array) else now._a
                if type(was) is _Gone and was.described() != (a.shape, a.dtype):
                    different.append((k, was.described(), (a.shape, a.dtype)))
            position += n
        if different:
            raise self.error(None, different)


def _flat(template):
    """The places of tensors in a template: those that are gone, and those that are there."""
    if type(template) is _Gone or _position(template) is not None:
        return [template]
    return [t for part in template for t in _flat(part)] if type(template) in (list, tuple) else []


_native.set_held_type(Held)
_native.set_stop_type(_Stop)
