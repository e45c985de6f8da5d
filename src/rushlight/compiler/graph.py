"""Functions that return a tensor to call `backward()` on: the forward and the backward pass are each a program.

The backward pass is recorded right after the forward one, with gradients of ones, and repeated with the real ones when the
engine reaches the node that stands for the whole function. Which results get a gradient is known only then, so there is one
program for each choice of them. What the forward pass saves lies in memory that the next forward pass overwrites: while a
result still waits for its `backward()`, the function runs as it is.
"""

from __future__ import annotations

import itertools
import threading
import weakref

from .. import _native
from .._random import default_generator
from ..autograd.engine import run_backward
from ..autograd.grad_mode import no_grad
from ..autograd.node import FREED, FREED_MESSAGE, Node, edge_of, overwritten_message
from ..autograd.tensor import Tensor
from ..ops.creation import ones_like, zeros
from .reach import reach
from .record import (
    Recording,
    Refused,
    Watch,
    check_constant,
    check_externals,
    check_strays,
    fixed_memory,
    flat_call,
    guard_watched,
)
from .tree import flatten, unflatten
from .variables import SHARED, assigned, held_in, without_history

__all__ = ["GraphStep", "record_graph"]

_MOST_CHOICES = 3  # results of which every choice has its program; of more, all of them and each alone


class ArgumentNode(Node):
    """Passes on the gradient of an argument: where the graph of one call begins."""

    __slots__ = ()

    def apply(self, grads, needed):
        return list(grads)


class GraphNode(Node):
    """The backward pass of one call."""

    __slots__ = ("step", "arguments", "versions")

    def __init__(self, step, edges, arguments):
        super().__init__(edges, len(step.differentiable))
        self.step, self.arguments = step, arguments
        self.versions = [t._a.version for t in self.read()]
        self.saved = (step,)  # until the graph is freed

    def read(self):
        """What the backward pass reads and others may write."""
        return [*self.step.read, *(self.arguments[k] for k in self.step.read_arguments)]

    def name(self):
        return "CompiledFunctionBackward"

    def apply(self, grads, needed):
        step = self.step
        if self.saved is FREED:
            raise RuntimeError(FREED_MESSAGE)
        if _native.is_grad_enabled():
            raise RuntimeError("torch.compile with aot_autograd does not currently support double backward")
        for t, version in zip(self.read(), self.versions, strict=True):
            if t._a.version != version:
                raise RuntimeError(overwritten_message(t, t._a.version, version))
        given = tuple(k for k, g in enumerate(grads) if g is not None)
        program = step.backward.get(given) or step.backward[tuple(range(len(grads)))]
        reached = [any(step.reached[k][i] for k in given) for i in range(len(step.leaves))]
        taken = {t._a.storage_id for t in self.arguments}
        out = program.native.call(*(_usable(grads[k], step.shapes[k], taken, program.native) for k in program.given), *self.arguments)
        if out is _native.MISS:
            raise RuntimeError("the compiled function's settings changed between its call and backward(): " + step.changed())
        made = iter(out)
        out = [next(made) if reach else None for reach in program.reached]
        return [g if reach else None for g, reach in zip(out, reached, strict=True)]

    def release(self):
        self.saved, self.arguments = FREED, None


def _usable(grad, like, taken, program):
    """A gradient in memory of its own, laid out as in the recording."""
    shape, dtype, strides = like
    if grad is None:
        return zeros(shape, dtype=dtype)
    grad = grad.detach().contiguous()
    if grad._a.storage_id in taken or program.owns(grad._a):
        grad = grad.clone()
    taken.add(grad._a.storage_id)
    return grad if grad._a.strides == strides else grad.as_strided(shape, strides)


class Backward:
    """The backward pass for one choice of results that get a gradient."""

    def __init__(self, recorder, given, ones, grads):
        self.recorder, self.given, self.ones = recorder, given, ones
        self.reached = [g is not None for g in grads]
        self.made = [g for g in grads if g is not None]


class GraphStep(Recording):
    """A recorded pair of passes; the same interface as record.Step."""

    def __init__(self, fn):
        self.fn, self.check_at, self.waiting, self.lock = fn, 16, None, threading.Lock()

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
        held = held_in(self.variables)
        if held is None:
            return _native.MISS
        inner = [a.detach() if need else a for a, need in zip(leaves, self.needs, strict=True)]
        inner += held
        if not self.lock.acquire(blocking=False):  # another thread is between the two lines below
            return self.fn(*args, **kwargs)
        try:
            if self.waiting is not None:
                node = self.waiting()
                if node is not None and node.saved is not FREED:
                    return self.fn(*args, **kwargs) if native.matches(*inner) else _native.MISS
            out = native.call(*inner)
            return out if out is _native.MISS else self.attach(out, leaves, inner)
        finally:
            self.lock.release()

    def attach(self, out, leaves, inner):
        """This call's result, with its node."""
        edges = [edge_of(leaves[t] if isinstance(t, int) else t) for t in self.leaves]
        node = GraphNode(self, edges, [a for a in inner if isinstance(a, Tensor)])
        self.waiting = weakref.ref(node)
        for nr, k in enumerate(self.differentiable):
            out[k]._node, out[k]._output_nr, out[k]._requires_grad = node, nr, True
        for v in self.variables:
            v.write(out)
        return self.with_constants(out)


def _begin(argument):
    """The argument as the function gets it: the same memory, and a node of its own between it and its history."""
    inner = argument.detach()
    inner._node, inner._requires_grad = ArgumentNode([edge_of(argument)]), True
    return inner


def record_graph(fn, args, kwargs, known_leaves):
    """Like record.record, for a function whose results have a graph."""
    arguments = []
    structure = flatten((args, kwargs), arguments)
    found = reach(fn, arguments)
    if found.refusal:
        return fn(*args, **kwargs), Refused(found.refusal), []
    needs = [isinstance(a, Tensor) and a.requires_grad for a in arguments]
    inner = [_begin(a) if need else a for a, need in zip(arguments, needs, strict=True)]
    inner_args, inner_kwargs = unflatten(structure, iter(inner))
    watch = Watch(_native.Recorder())
    with watch:
        result = fn(*inner_args, **inner_kwargs)
    step = GraphStep(fn)
    step.structure, step.simple, step.needs = structure, not kwargs and flat_call(args), needs
    try:
        return (*_finish(step, watch, found, arguments, inner, result), [])
    except Refused as why:  # the result is the caller's, with the graph that the call has made
        return result, why.with_traceback(None), []


def _finish(step, watch, found, arguments, inner, result):
    forward = watch.recorder
    if forward.refusal:
        raise Refused(forward.refusal)
    if watch.optimizers or forward.gradients:
        raise Refused("it calls backward() or makes an optimizer's step, and returns a tensor with a graph that was not used")
    outs = _outputs(step, forward, result)
    returned = sum(t._requires_grad for t in outs)
    step.variables = assigned(found.guards, forward)
    held = without_history(step.variables)
    if not fixed_memory(watch, found, [*inner, *held], step.variables).isdisjoint(t._a.storage_id for t in held):
        raise Refused(SHARED)
    for v in step.variables:
        v.find_among(outs)
    step.differentiable = [k for k, t in enumerate(outs) if t._requires_grad]
    roots = [outs[k] for k in step.differentiable]
    if len({t._a.storage_id for t in roots}) < len(roots):
        raise Refused("it returns several views of one tensor with a graph")
    leaves = _leaves(forward, inner)
    passes = _backwards(roots, returned, leaves)
    reached_by_kept = [_reached(t, leaves) for t in roots[returned:]]
    step.shapes = [(tuple(one._a.shape), one._a.dtype, one._a.strides) for one in passes[0].ones]

    tensor_args = [a.detach() if need else a for a, need in zip(inner, step.needs, strict=True)]
    inner, tensor_args = [*inner, *held], [*tensor_args, *held]
    spec = [a if isinstance(a, Tensor) else (a,) for a in tensor_args]
    saved = {a.storage_id: a for p in passes for a in p.recorder.borrowed(forward)}
    saved_tensors = [_native.wrap(a) for a in saved.values()]
    plain = [t.detach() for t in outs]  # the results without their graph
    outcome = step
    # What the graph has saved goes with it; what is still held then is held by somebody else. From here on, the programs
    # stand for the graph of this call, and a refusal concerns the next.
    for t in outs:
        for part in (t, t._base):  # a view has its base's history
            if part is not None:
                part._node = None
    try:
        check_strays(forward, [*outs, *plain], saved_tensors, [p.recorder for p in passes])
    except Refused as why:
        outcome = why.with_traceback(None)
    step.native = _native.CompiledStep(forward, spec, plain, list(saved.values()))
    step.guards = found.guards
    guard_watched(step.guards, watch, inner)
    known = [t for t in (*outs, *tensor_args, *inner, *saved_tensors) if isinstance(t, Tensor)]
    step.backward, used = {}, set()
    for p in passes:
        with no_grad():  # as the engine will call it
            p.native = _native.CompiledStep(p.recorder, [*p.ones, *(a for a in tensor_args if isinstance(a, Tensor))], p.made, [])
        used |= {a.storage_id for _, _, arrays, _ in p.recorder.describe() for a in arrays if a is not None}
        step.backward[p.given] = p
    try:
        check_externals(step.native, watch, found, leaves, known)
        for p in passes:
            check_externals(p.native, watch, found, leaves, [*known, *p.ones, *p.made])
    except Refused as why:
        outcome = why.with_traceback(None)
    alone = {p.given[0]: p.reached for p in passes if len(p.given) == 1}
    step.reached = [alone[k] if k in alone else reached_by_kept[k - returned] for k in range(len(roots))]
    step.native.set_guards(step.guards.rows)
    # What the backward pass reads must not have been written since.
    own = {a._a.storage_id for a in inner if isinstance(a, Tensor)}
    step.read = [t for t in forward.tensors if t._a.storage_id in used and t._a.storage_id not in own]
    step.read_arguments = [k for k, a in enumerate(t for t in inner if isinstance(t, Tensor)) if a._a.storage_id in used]
    positions = {id(a): k for k, a in enumerate(inner)}
    step.leaves = [positions.get(id(t), t) for t in leaves]
    for p in passes:
        p.recorder = p.ones = p.made = None
    out = step.attach([t.clone() if t._a.storage_id in saved else t for t in plain], arguments, tensor_args)
    for v in step.variables:
        v.forget()
    return out, outcome


def _outputs(step, forward, result):
    """The tensors in the result."""
    leaves, outs = [], []
    step.result_structure = flatten(result, leaves)
    step.results = []
    for value in leaves:
        if isinstance(value, Tensor):
            if not forward.made(value._a) or type(value) is not Tensor:
                raise Refused("it returns a tensor that it did not make")
            if any(value is o for o in outs):
                raise Refused("it returns a tensor twice")
            outs.append(value)
        else:
            check_constant(value)
        step.results.append(None if isinstance(value, Tensor) else (value,))
    return outs


def _leaves(forward, inner):
    leaves = [t for t in forward.tensors if t._requires_grad]
    leaves += [a for a in inner if isinstance(a, Tensor) and a._requires_grad and not any(a is t for t in leaves)]
    for t in leaves:
        if t._node is not None and not isinstance(t._node, ArgumentNode):
            raise Refused("it uses a tensor with a graph that is not one of its arguments")
    return leaves


def _backwards(roots, returned, leaves):
    """A recorded backward pass for each choice of results; that of all comes first. Of those that are not returned but kept by
    variables (the last ones), which may be many and are hardly ever differentiated, all or none."""
    _refuse_hooks(roots)
    own = range(returned)
    choices = [tuple(range(len(roots))), tuple(own), *((k,) for k in own)]
    if returned <= _MOST_CHOICES:
        choices += [c for n in range(2, returned) for c in itertools.combinations(own, n)]
    state = default_generator.get_state()
    try:
        return [_backward(roots, given, leaves) for given in dict.fromkeys(choices) if given]
    finally:
        default_generator.set_state(state)


def _reached(root, leaves):
    """Of each leaf, whether the graph of `root` leads to it."""
    seen, stack = set(), [edge_of(root)[0]]
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            stack.extend(edge[0] for edge in node.edges if edge is not None)
    return [edge_of(t)[0] in seen for t in leaves]


def _refuse_hooks(roots):
    stack, seen = [t._node for t in roots], set()
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.pre_hooks or node.post_hooks:
            raise Refused("a tensor in its graph has a hook")
        stack.extend(edge[0] for edge in node.edges if edge is not None)


def _backward(roots, given, leaves):
    ones = [ones_like(t).contiguous() for t in roots]
    ones = [t.as_strided(t.shape, _row_major(t.shape)) for t in ones]
    recorder = _native.Recorder()
    try:
        with Watch(recorder):
            edges, chosen = [edge_of(roots[k]) for k in given], [ones[k] for k in given]
            grads = run_backward(edges, list(chosen), retain_graph=True, create_graph=False, inputs=leaves)
            if any(g is not None and g.is_sparse for g in grads):
                raise Refused("it makes sparse gradients, whose sizes depend on the data")
            taken = set()
            for i, g in enumerate(grads):
                if g is not None:
                    if not recorder.made(g._a) or g._a.storage_id in taken:
                        grads[i] = g.clone()
                    taken.add(grads[i]._a.storage_id)
    except Refused:
        raise
    except Exception as error:  # what it says about gradients of ones may not hold for the real ones
        raise Refused(f"its backward pass raised {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}") from error
    if recorder.refusal:
        raise Refused(recorder.refusal)
    recorder.forget()  # saved tensors hold the graph
    return Backward(recorder, given, ones if len(given) == len(roots) else chosen, grads)


def _row_major(shape):
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))
