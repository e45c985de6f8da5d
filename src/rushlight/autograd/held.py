"""Saved values that are computed again when a backward pass needs them, instead of being kept.

`HeldGraph.hold` takes a graph that a function has just made and puts a `Held` in the place of what each of its nodes has saved. The
sweep (native/bindings/engine.cpp) asks a `Held` for its node's values. The first one asked calls the function once more; the
graph which that makes has nodes in the same order, with the same values saved, and is taken apart for them.

What a node saves is a list (op.py): pairs (tensor, version) and (array, version), lists of them, and other values. A tensor that
was computed again gets the history of the one that it stands for, so that second derivatives are those of the first graph.
"""

from __future__ import annotations

from .. import _native, _recording
from .function import FunctionCtx
from .node import Node
from .op import OpNode
from .tensor import Tensor

__all__ = ["Held", "HeldGraph", "next_seq"]

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


def _leaves(results):
    if isinstance(results, Tensor):
        return [results]
    if isinstance(results, dict):
        results = results.values()
    elif not isinstance(results, (list, tuple)):
        return []
    return [t for r in results for t in _leaves(r)]


def _made_since(seq, results):
    """Nodes in the graph of the results with this number or a higher one that have saved tensors, in the order they were made."""
    stack, seen, found = [t._node for t in _leaves(results) if t._requires_grad and t._node is not None], set(), []
    while stack:
        node = stack.pop()
        if node.seq < seq or node in seen:
            continue
        seen.add(node)
        if isinstance(node, (OpNode, FunctionCtx)) and (type(node.saved) is Held or _tensors(node.saved)):
            found.append(node)
        stack.extend(edge[0] for edge in node.edges if edge is not None)
    return sorted(found, key=lambda n: n.seq)


def next_seq() -> int:
    """A number below that of every node that is made from now on."""
    return Node([]).seq


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
    """A graph that a function can make again. `again()` calls it, and returns its results.

    `may_be_longer`: whether it may go on after it has made as many nodes as the first time. `check`: whether shapes and dtypes are
    compared. `error(counts, different)` is the exception if it made another graph: how many tensors were saved then and now, or
    which ones differ and how, [(position, (shape, dtype) then, (shape, dtype) now), …].
    """

    def __init__(self, again, error, may_be_longer=True, check=True):
        self.again, self.error, self.may_be_longer, self.check = again, error, may_be_longer, check
        # Per node: what is left of its saved values, how many tensors they have, whether a graph inside of this one held them.
        # Not the node itself, which has this graph.
        self.held, self.values = [], {}

    def hold(self, seq, results, keep):
        """Lets go of what nodes with this number or a higher one have saved, but for tensors that `keep(tensor)` is true for."""
        for node in _made_since(seq, results):
            gone, nested = [], type(node.saved) is Held
            template = [_stripped(item, keep, gone) for item in (node.saved.template if nested else node.saved)]
            self.held.append((template if gone else None, len(_tensors(node.saved)), nested))
            if gone:
                node.saved = Held(self, len(self.held) - 1, template)

    def value(self, index):
        if index not in self.values:
            self._compute()
        return self.values.pop(index)

    def _compute(self):
        nodes = _made_since(next_seq(), self.again())
        if self.may_be_longer:
            nodes = nodes[: len(self.held)]
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
