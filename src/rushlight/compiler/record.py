"""One call of a function, recorded, and what makes the recording fit to be repeated."""

from __future__ import annotations

import gc
import linecache
import random
import sys
import types
import weakref

import numpy as np

from .. import _dtypes, _native, _recording
from .._random import default_generator
from ..autograd.autocast import clear_autocast_cache
from ..autograd.node import FREED, FREED_MESSAGE, Node
from ..autograd.tensor import Size, Tensor
from ..nn.modules._module_hooks import GLOBAL
from ..nn.modules.module import Module
from .guards import guard_module, is_plain
from .reach import PACKAGE, is_users_file, reach
from .tree import flatten, unflatten
from .variables import SHARED, assigned, held_in, without_history

__all__ = ["Refused", "Unready", "NeedsGraph", "Recording", "Step", "record", "Watch", "flat_call", "guard_watched", "check_constant",
           "check_externals", "check_strays", "fixed_memory"]


# Results that may be the same object each time.
_LASTING = (type, types.FunctionType, Module, type(_dtypes.float32), Size)


class Refused(Exception):
    """This function cannot be repeated by repeating its kernel calls; the message says why."""


class NeedsGraph(Exception):
    """The function returns a tensor to call backward() on: both passes have to be recorded (graph.py)."""


class Unready(Exception):
    """This call was unlike the next one will be (state was made for the first time): record another."""


class SpentNode(Node):
    """The history of a value that a compiled step returns: its graph has been used, as it has after `backward()`."""

    __slots__ = ("label",)

    def __init__(self, label):
        super().__init__([], 1)
        self.label, self.saved = label, FREED

    def name(self):
        return self.label

    def apply(self, grads, needed):
        raise RuntimeError(FREED_MESSAGE)


def locate() -> str:
    """` at file:line: code` of the user's line that is running."""
    frame = sys._getframe(1)
    ours = frame
    while ours is not None and ours.f_code.co_filename.startswith((PACKAGE, "<frozen")):
        ours = ours.f_back
    frame = ours
    while frame is not None and not is_users_file(frame.f_code.co_filename):
        frame = frame.f_back
    frame = frame or ours
    if frame is None:
        return ""
    file, line = frame.f_code.co_filename, frame.f_lineno
    text = linecache.getline(file, line).strip()
    return f" at {file}:{line}" + (f": `{text}`" if text else "")


class _Stdout:
    """Passes on what is printed, and tells the recording."""

    def __init__(self, stream):
        self.stream = stream

    def write(self, text):
        _recording.refuse("something was printed")
        return self.stream.write(text)

    def __getattr__(self, name):
        return getattr(self.stream, name)


class Watch(_recording.Watch):
    """Records what happens while it is entered."""

    def __enter__(self):
        clear_autocast_cache()  # a step makes its casts itself, and nobody else keeps them
        self.random, self.stdout = self._randomness(), sys.stdout
        _recording.start(self)
        GLOBAL.any = True
        sys.stdout = _Stdout(self.stdout)
        self.recorder.start(locate)

    def __exit__(self, *exc):
        self.recorder.stop()
        self.recorder.settle()
        clear_autocast_cache()
        sys.stdout = self.stdout
        _recording.stop()
        if self._randomness() != self.random:
            self.recorder.refuse("it draws from Python's or NumPy's random numbers, whose state kernels do not see")

    @staticmethod
    def _randomness():
        """The states of generators that kernels do not see."""
        name, keys, position, *_ = np.random.get_state()
        return random.getstate(), position, int(keys[0]), name


class Recording:
    """What both kinds of recorded call have: `native`, `guards`, `variables`, `result_structure` and `results` (see _results)."""

    def with_constants(self, made):
        """The result, put together from the tensors that were made and what else is returned."""
        made = iter(made)
        return unflatten(self.result_structure, (next(made) if r is None else r[0] for r in self.results))

    def difference(self, other):
        """What `other`, recorded later, did otherwise, as a sentence; empty if nothing."""
        return self.native.difference(other.native) or different_results(self, other)

    def changed(self):
        """Which guard does not hold, in words."""
        k = self.native.failed_guard()
        return self.guards.texts[k] if k >= 0 else "the arguments' shapes, types or values have changed"


class Step(Recording):
    """A recorded call that can be repeated: for arguments of one structure, and while its guards hold."""

    def __init__(self, native, structure, simple, result_structure, results, guards, variables, leaves):
        self.native = native
        self.structure, self.simple = structure, simple
        self.result_structure, self.results = result_structure, results
        self.guards, self.variables, self.leaves = guards, variables, leaves
        self.single = len(results) == 1 and results[0] is None and not isinstance(result_structure, tuple)
        self.check_at = 16

    def call(self, args, kwargs):
        """The results of one more run, or MISS."""
        native = self.native
        if native.runs == self.check_at:  # Note [Trust, but verify] in step.py
            return _native.MISS
        if self.simple:
            if kwargs:
                return _native.MISS
        else:
            leaves = []
            if flatten((args, kwargs), leaves) != self.structure:
                return _native.MISS
            args = leaves
        if self.variables:
            held = held_in(self.variables)
            if held is None:
                return _native.MISS
            args = (*args, *held)
        out = native.call(*args)
        if out is _native.MISS:
            return out
        for v in self.variables:
            v.write(out)
        return out[0] if self.single else self.with_constants(out)


def different_results(a, b):
    """How what is returned beside tensors differs in two recordings."""
    if [v.place() for v in a.variables] != [v.place() for v in b.variables]:
        return "it assigns to other variables than before"
    if a.result_structure != b.result_structure:
        return "its results are of another kind than before"
    for before, now in zip(a.results, b.results, strict=True):
        if (before is None) != (now is None):
            return "its results are of another kind than before"
        if now is not None and (now[0] is not before[0] and not (type(now[0]) is type(before[0]) and now[0] == before[0])):
            return f"it returns {now[0]!r}, and returned {before[0]!r} before"
    return ""


_KNOWN_OPTIMIZERS = weakref.WeakSet()  # that were ever recorded


def _options():
    """The options of all known optimizers, to see whether a function changes them."""
    return {
        id(o): [{k: v for k, v in g.items() if k not in ("params", "param_names")} for g in o.param_groups] for o in _KNOWN_OPTIMIZERS
    }


def _check_options(optimizers, before):
    new = [o for o in optimizers if id(o) not in before]
    if new:
        _KNOWN_OPTIMIZERS.update(new)
        raise Unready
    now = _options()
    for o in optimizers:
        for old, group in zip(before[id(o)], now[id(o)], strict=False):
            for key in group:
                if key in old and old[key] is not group[key] and not _same_option(old[key], group[key]):
                    raise Refused(f"it changes the option {key!r} of {type(o).__name__} (do that between its calls)")


def _same_option(a, b):
    return is_plain(a) and type(a) is type(b) and a == b


def record(fn, args, kwargs, known_leaves):
    """Calls `fn` and records it. Returns (its result, Step or Refused or Unready, the leaves it gave gradients to)."""
    arguments = []
    structure = flatten((args, kwargs), arguments)
    found = reach(fn, arguments)
    if found.refusal:
        return fn(*args, **kwargs), Refused(found.refusal), []
    leaves = {id(p): p for _, m in found.modules.values() for p in m._parameters.values() if p is not None}
    leaves.update({id(p): p for p in known_leaves})
    entry = {key: p._grad for key, p in leaves.items()}
    options = _options()
    recorder = _native.Recorder()
    watch = Watch(recorder)
    with watch:
        result = fn(*args, **kwargs)
    made = [leaf for leaf, _ in recorder.gradients] + gradients_asked(watch)
    try:
        outcome = _finish(recorder, watch, found, arguments, structure, not kwargs and flat_call(args), result, leaves, entry, options)
    except (Refused, Unready, NeedsGraph) as why:
        outcome = why.with_traceback(None)  # whose frames hold the graph, and with it the order of the next backward pass
    else:
        # The next repetition writes gradients where they are now: what the caller got is a copy.
        written = {p._grad._a.storage_id for p in outcome.leaves if p._grad is not None}
        tensors = []
        structure = flatten(result, tensors)
        if any(isinstance(t, Tensor) and t._a.storage_id in written for t in tensors):
            copies = (t.clone() if isinstance(t, Tensor) and t._a.storage_id in written else t for t in tensors)
            result = unflatten(structure, copies)
    return result, outcome, made


def gradients_asked(watch):
    """Tensors whose `.grad` the function or an optimizer in it has looked at."""
    return [*watch.asked.values(), *(p for o in watch.optimizers.values() for g in o.param_groups for p in g["params"])]


def flat_call(args):
    """Whether positional arguments are their own leaves."""
    return not any(isinstance(a, (list, tuple, dict)) for a in args)


def _finish(recorder, watch, found, arguments, structure, simple, result, leaves, entry, options_before):
    if recorder.refusal:
        raise Refused(recorder.refusal)
    for optimizer in watch.optimizers.values():
        if optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks:
            raise Refused("an optimizer has step hooks")
    _check_options(watch.optimizers.values(), options_before)
    variables = assigned(found.guards, recorder)
    held = without_history(variables)
    spec = _parameters(watch, found, arguments, held, variables)
    if not all(isinstance(a, Tensor) for a in spec[len(arguments) :]):
        raise Refused(SHARED)
    result_leaves = []
    result_structure = flatten(result, result_leaves)
    results, tensors = _results(recorder, arguments, result_leaves)
    for v in variables:
        for t in v.after:
            _spend(recorder, t)
        v.find_among(tensors)
    gradients = _gradients(watch, leaves, entry)
    kept = [p._grad for p in leaves.values() if p._grad is not None]
    kept += [t for o in watch.optimizers.values() for s in o.state.values() for t in s.values() if isinstance(t, Tensor)]
    hypers = [_native.wrap(h[1]) for o in watch.optimizers.values() for h in o._hypers.values()]
    check_strays(recorder, tensors, [*kept, *hypers])

    native = _native.CompiledStep(recorder, spec, tensors, [t._a for t in kept])
    guards = found.guards
    guard_watched(guards, watch, held)
    for leaf, grad in gradients.guarded:
        guards.add(_native.GUARD_GRAD, leaf, None, grad, "a .grad is another tensor than it was: let the step call zero_grad() itself")
    options = _guard_optimizers(guards, watch.optimizers.values())
    others = [*tensors, *held, *entry.values(), *(a for a in arguments if isinstance(a, Tensor))]
    check_externals(native, watch, found, leaves.values(), others)
    native.set_guards(guards.rows)
    if options:
        native.set_options(options, _syncer(watch.optimizers.values()))
    native.set_gradients(gradients.after)
    for k, t in enumerate(tensors):
        if t._requires_grad and t._node is not None:
            native.set_node(k, SpentNode(t._node.name()))
    for v in variables:
        v.forget()
    return Step(native, structure, simple, result_structure, results, guards, variables, list(leaves.values()))


def _parameters(watch, found, arguments, held, variables):
    """Per argument, and per tensor that a variable held: a tensor whose memory may be another one next time, or (value,)."""
    both = [*arguments, *held]
    fixed = fixed_memory(watch, found, both, variables)
    return [a if isinstance(a, Tensor) and not a._requires_grad and a._a.storage_id not in fixed else (a,) for a in both]


def fixed_memory(watch, found, arguments, variables):
    """Memory that the function gets otherwise than through its arguments: an argument in it has to be the same one next time."""
    own = {id(t) for a in arguments if isinstance(a, Tensor) for t in (a, a._base)}
    others = [t for t in watch.recorder.tensors if t._requires_grad or id(t) not in own]
    others += [t for t in others if t._grad is not None]
    others += [t for t in found.tensors if not any(t is h for v in variables for h in v.before)]
    others += [t for _, m in found.modules.values() for t in (*m._parameters.values(), *m._buffers.values()) if t is not None]
    return {t._a.storage_id for t in others if not t.is_sparse}


def _results(recorder, arguments, leaves):
    """Per result None, or (value,) for what is no tensor made by the step; and the tensors that it made."""
    results, tensors = [], []
    for value in leaves:
        if not isinstance(value, Tensor):
            if not any(value is a for a in arguments):
                check_constant(value)
            results.append((value,))
            continue
        if not recorder.made(value._a):
            if any(value is a for a in arguments):
                raise Refused("it returns one of its arguments")
            if value._base is not None or value._node is not None:
                raise Refused("it returns a view of a tensor that it did not make")
            results.append((value,))
            continue
        if type(value) is not Tensor:
            raise Refused(f"it returns a {type(value).__name__}")
        if value._requires_grad and _has_unused_graph(value):
            if recorder.gradients:
                raise Refused("it calls backward() and returns a tensor with a graph that this has not used (return loss.detach())")
            raise NeedsGraph
        results.append(None)
        tensors.append(value)
    return results, tensors


def _spend(recorder, value):
    """A variable's tensor beside the loss that a step has differentiated (a distance to report, attention to look at): its
    graph ends with the call, as that of the loss does."""
    if value._requires_grad and _has_unused_graph(value):
        if not recorder.gradients:
            raise NeedsGraph
        for t in (value, value._base):
            if t is not None and t._node is not None:
                t._node, t._output_nr = SpentNode(t._node.name()), 0


def check_constant(value):
    """Refuses a result that would have to be made anew by Python."""
    if not is_plain(value) and not isinstance(value, _LASTING):
        kind = type(value).__name__
        raise Refused(f"it returns a {kind}, which cannot be made anew (tensors and numbers in lists, tuples and dicts can)")


def _has_unused_graph(tensor):
    stack, seen, freed = [tensor._node], set(), False
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        freed |= node.used or node.saved is FREED
        if node.saved and node.saved is not FREED and not node.used:
            return True
        stack.extend(edge[0] for edge in node.edges if edge is not None)
    return not freed


def guard_watched(guards, watch, arguments=()):
    """Guards on the modules and tensors that were seen in a recording, but for its own arguments."""
    own = {id(a) for a in arguments if isinstance(a, Tensor)}
    for module in watch.modules.values():
        guard_module(guards, module, type(module).__name__)
    for t in watch.recorder.tensors:
        if id(t) in own:
            continue
        shape = list(t._a.shape)
        guards.add(_native.GUARD_ARRAY, t, None, t._a, f"a tensor of shape {shape} has other memory")
        guards.add(_native.GUARD_NEEDS_GRAD, t, None, t._requires_grad, f"requires_grad of a tensor of shape {shape} has changed")


class _Gradients:
    def __init__(self):
        self.guarded, self.after = [], []


def _gradients(watch, leaves, entry):
    """What `.grad` has to be before, and is afterwards."""
    recorder = watch.recorder
    asked = {id(t) for t in gradients_asked(watch)}
    if not asked <= leaves.keys():
        raise Unready
    out, reached = _Gradients(), {}
    for leaf, before in recorder.gradients:
        if id(leaf) not in leaves:
            raise Unready
        reached[id(leaf)] = before
    for key, leaf in leaves.items():
        now, first = leaf._grad, entry[key]
        if key in reached:
            before = reached[key]
            if before is None and first is None:
                out.guarded.append((leaf, None))
            elif before is not None:
                if before is not first:
                    raise Refused("a .grad was set inside the step")
                out.guarded.append((leaf, first))
            out.after.append((leaf, now, before is None))
        elif first is not now:
            if now is not None:
                raise Refused("a .grad was set inside the step")
            out.after.append((leaf, None, True))
        elif leaf._requires_grad or key in asked:
            out.guarded.append((leaf, now))
    return out


def check_strays(recorder, tensors, kept, backward=()):
    """Refuses if somebody holds a tensor that the step made, other than as a result or a gradient."""
    known = [t._a for t in (*tensors, *kept)]
    known += [t._base._a for t in tensors if t._base is not None]
    strays = recorder.strays(known, list(backward))
    if strays:
        gc.collect()
        strays = recorder.strays(known, list(backward))
    if strays:
        raise Refused(f"a tensor that it makes is kept outside of it ({strays[0]}); return it instead")


def _guard_optimizers(guards, optimizers):
    options = []
    for optimizer in optimizers:
        name = type(optimizer).__name__
        state = optimizer.__dict__
        guards.item(state, "param_groups", f"{name}.param_groups is another list")
        guards.item(state, "state", f"{name}.state is another dict")
        guards.length(optimizer.param_groups, f"{name} has other groups")
        for group in optimizer.param_groups:
            guards.item(group, "params", f"a group of {name} has another list of parameters")
            guards.length(group["params"], f"a group of {name} has other parameters")
            guards.length(group, f"a group of {name} has other options")
            options += [(_native.GUARD_ITEM, group, key, value) for key, value in group.items() if key not in ("params", "param_names")]
        for p, own in optimizer.state.items():
            guards.item(optimizer.state, p, f"{name}'s state of a parameter is another dict")
            for key in own:
                guards.item(own, key, f"{name}'s {key} of a parameter is another tensor")
    return options


def _switches(optimizers):
    return [(o.flags(g), o.slots(g), g.get("momentum", 0) != 0) for o in optimizers for g in o.param_groups]


def _syncer(optimizers):
    optimizers = list(optimizers)
    switches = _switches(optimizers)

    def sync():
        """Passes changed options on to the program; False if they change which computation it is."""
        if _switches(optimizers) != switches:
            return False
        for o in optimizers:
            o.sync_hyper()
        return True

    return sync


def check_externals(native, watch, found, leaves, others):
    """Refuses if the step uses memory of which nobody knows whether it will be the same next time."""
    optimizers = watch.optimizers.values()
    tensors = [*watch.recorder.tensors, *leaves, *others]
    tensors += [t for _, m in found.modules.values() for t in (*m._parameters.values(), *m._buffers.values())]
    tensors += [t for o in optimizers for s in o.state.values() for t in s.values() if isinstance(t, Tensor)]
    tensors += [p for o in optimizers for g in o.param_groups for p in g["params"]]
    tensors += [p._grad for p in tensors if p is not None]
    known = [t._a for t in tensors if t is not None]
    known += [default_generator._state, *watch.arrays]
    known += [h[1] for o in optimizers for h in o._hypers.values()]
    unexplained = native.unexplained(known)
    if unexplained:
        raise Refused(f"it uses memory that it does not get through its arguments, modules or variables ({unexplained[0]})")
