"""Functions that return a tensor to call `backward()` on: the forward and the backward pass are each a program.

The backward pass is recorded right after the forward one, with gradients of ones, and repeated with the real ones when the
engine reaches the node that stands for the whole function. What the forward pass saves for it lies in memory that the next
forward pass overwrites: while a result still waits for its `backward()`, the function runs as it is.
"""

from __future__ import annotations

import weakref

from .. import _native
from ..autograd.engine import run_backward
from ..autograd.grad_mode import no_grad
from ..autograd.node import FREED, FREED_MESSAGE, Node, edge_of, overwritten_message
from ..autograd.tensor import Tensor
from ..ops.creation import ones_like, zeros
from .guards import reach
from .record import Refused, Watch, check_externals, check_strays, flat_call, guard_watched
from .tree import flatten, unflatten

__all__ = ["GraphStep", "record_graph"]


class GraphNode(Node):
    """The backward pass of one call."""

    __slots__ = ("step", "arguments", "versions")

    def __init__(self, step, edges, arguments):
        super().__init__(edges, len(step.differentiable))
        self.step, self.arguments = step, arguments
        self.versions = [t._a.version for t in step.read]
        self.saved = (step,)  # until the graph is freed

    def name(self):
        return "CompiledFunctionBackward"

    def apply(self, grads, needed):
        if self.saved is FREED:
            raise RuntimeError(FREED_MESSAGE)
        if _native.is_grad_enabled():
            raise RuntimeError("torch.compile with aot_autograd does not currently support double backward")
        for t, version in zip(self.step.read, self.versions, strict=True):
            if t._a.version != version:
                raise RuntimeError(overwritten_message(t, t._a.version, version))
        grads = [zeros(shape, dtype=dtype) if g is None else g.detach().contiguous()
                 for g, (shape, dtype) in zip(grads, self.step.shapes, strict=True)]  # fmt: skip
        out = self.step.backward.call(*grads, *self.arguments)
        if out is _native.MISS:
            raise RuntimeError("the compiled function's settings changed between its call and backward(): " + self.step.changed())
        made = iter(out)
        return [next(made) if reached else None for reached in self.step.reached]

    def release(self):
        self.saved, self.arguments = FREED, None


class GraphStep:
    """A recorded pair of passes; the same interface as record.Step."""

    def __init__(self, fn):
        self.fn, self.check_at, self.waiting = fn, 16, None

    def call(self, args, kwargs):
        native = self.native
        if native.runs == self.check_at:
            return _native.MISS
        leaves = []
        if self.simple and not kwargs:
            leaves = args
        elif flatten((args, kwargs), leaves) != self.structure:
            return _native.MISS
        if [isinstance(a, Tensor) and a.requires_grad for a in leaves] != self.needs:
            return _native.MISS
        inner = [a.detach() if need else a for a, need in zip(leaves, self.needs, strict=True)]
        if self.waiting is not None:
            node = self.waiting()
            if node is not None and node.saved is not FREED:
                return self.fn(*args, **kwargs) if native.matches(*inner) else _native.MISS
        out = native.call(*inner)
        if out is _native.MISS:
            return out
        return self.attach(out, leaves, inner)

    def attach(self, out, leaves, inner):
        """This call's result, with its node."""
        edges = [edge_of(leaves[t] if isinstance(t, int) else t) for t in self.leaves]
        node = GraphNode(self, edges, [a for a in inner if isinstance(a, Tensor)])
        self.waiting = weakref.ref(node)
        for nr, k in enumerate(self.differentiable):
            out[k]._node, out[k]._output_nr, out[k]._requires_grad = node, nr, True
        made = iter(out)
        return unflatten(self.result_structure, (next(made) if r is None else r[0] for r in self.results))

    def changed(self):
        k = self.native.failed_guard()
        return self.guards.texts[k] if k >= 0 else "the arguments' shapes, types or values have changed"


def record_graph(fn, args, kwargs, known_leaves):
    """Like record.record, for a function whose results have a graph."""
    arguments = []
    structure = flatten((args, kwargs), arguments)
    found = reach(fn, arguments)
    needs = [isinstance(a, Tensor) and a.requires_grad for a in arguments]
    # Inside, an argument that needs a gradient is a leaf of its own.
    inner = [a.detach().requires_grad_() if need else a for a, need in zip(arguments, needs, strict=True)]
    inner_args, inner_kwargs = unflatten(structure, iter(inner))
    watch = Watch(_native.Recorder())
    with watch:
        result = fn(*inner_args, **inner_kwargs)
    step = GraphStep(fn)
    step.structure, step.simple, step.needs = structure, not kwargs and flat_call(args), needs
    try:
        return _finish(step, watch, found, arguments, inner, result), step, []
    except Refused as why:
        # The graph that was made leads to the inner leaves: the call is made again, as it is.
        return fn(*args, **kwargs), why, []


def _finish(step, watch, found, arguments, inner, result):
    forward = watch.recorder
    if forward.refusal:
        raise Refused(forward.refusal)
    if watch.optimizers or forward.gradients:
        raise Refused("it calls backward() or makes an optimizer's step, and returns a tensor with a graph that was not used")
    leaves_out = []
    step.result_structure = flatten(result, leaves_out)
    step.results, outs = [], []
    for value in leaves_out:
        if isinstance(value, Tensor):
            if not forward.made(value._a) or type(value) is not Tensor:
                raise Refused("it returns a tensor that it did not make")
            if any(value is o for o in outs):
                raise Refused("it returns a tensor twice")
            outs.append(value)
        step.results.append(None if isinstance(value, Tensor) else (value,))
    step.differentiable = [k for k, t in enumerate(outs) if t._requires_grad]
    step.shapes = [(tuple(outs[k]._a.shape), outs[k]._a.dtype) for k in step.differentiable]
    leaves = _leaves(forward, inner)
    backward, ones, grads = _backward(outs, step.differentiable, leaves)
    step.reached = [g is not None for g in grads]
    made = [g for g in grads if g is not None]

    tensor_args = [a.detach() if need else a for a, need in zip(inner, step.needs, strict=True)]
    spec = [a if isinstance(a, Tensor) else (a,) for a in tensor_args]
    saved = backward.borrowed(forward)
    plain = [t.detach() for t in outs]  # the results without their graph
    for t in outs:
        t._node = None
    check_strays(forward, [*outs, *plain], [_native.wrap(a) for a in saved], backward)
    step.native = _native.CompiledStep(forward, spec, plain, saved)
    with no_grad():  # as the engine will call it
        step.backward = _native.CompiledStep(backward, [*ones, *(a for a in tensor_args if isinstance(a, Tensor))], made, [])
    step.guards = found.guards
    guard_watched(step.guards, watch)
    others = [*outs, *ones, *tensor_args, *inner, *(_native.wrap(a) for a in saved)]
    others = [t for t in others if isinstance(t, Tensor)]
    check_externals(step.native, watch, found, leaves, others)
    check_externals(step.backward, watch, found, leaves, [*others, *made])
    step.native.set_guards([row for row in step.guards.rows if not any(row[1] is a for a in inner)])
    # What the backward pass reads must not have been written since.
    used = {a.storage_id for _, _, arrays, _ in backward.describe() for a in arrays if a is not None}
    step.read = [t for t in forward.tensors if t._a.storage_id in used and not any(t is a for a in inner)]
    positions = {id(a): k for k, a in enumerate(inner)}
    step.leaves = [positions.get(id(t), t) for t in leaves]
    return step.attach([t.clone() if t._a.storage_id in {a.storage_id for a in saved} else t for t in plain], arguments, tensor_args)


def _leaves(forward, inner):
    leaves = [t for t in forward.tensors if t._requires_grad]
    leaves += [a for a in inner if isinstance(a, Tensor) and a._requires_grad and not any(a is t for t in leaves)]
    for t in leaves:
        if t._node is not None:
            raise Refused("it uses a tensor with a graph that is not one of its arguments")
    return leaves


def _backward(outs, differentiable, leaves):
    """The backward pass, recorded: (recorder, the gradients it was given, the leaves' gradients, each of memory of its own)."""
    ones = [ones_like(outs[k]).contiguous() for k in differentiable]
    recorder = _native.Recorder()
    with Watch(recorder):
        grads = run_backward([edge_of(outs[k]) for k in differentiable], list(ones), retain_graph=True, create_graph=False, inputs=leaves)
        taken = set()
        for i, g in enumerate(grads):
            if g is not None:
                if not recorder.made(g._a) or g._a.storage_id in taken:
                    grads[i] = g.clone()
                taken.add(grads[i]._a.storage_id)
    if recorder.refusal:
        raise Refused(recorder.refusal)
    recorder.forget()  # saved tensors hold the graph
    return recorder, ones, grads
