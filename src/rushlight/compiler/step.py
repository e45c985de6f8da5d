"""`rushlight.compile`: a function is recorded, checked, and then repeated by one native call.

Note [Trust, but verify]: the first call of a kind runs as it is, the second and third are recorded. If both recordings are
the same (kernels, numbers, the memory they share), the next calls repeat the second one. At the 16th, 256th, … repetition
the function runs and is recorded once more; a difference ends the repeating, with a warning. Guards (guards.py) notice sooner
what they can see.
"""

from __future__ import annotations

import functools
import warnings

from .. import _native, _recording
from ..autograd.anomaly import is_anomaly_enabled
from ..autograd.autocast import STATE
from ..nn.modules.module import Module
from .graph import record_graph
from .record import NeedsGraph, Refused, Step, Unready, record
from .tree import flatten

__all__ = ["CompiledFunction", "disabled"]

_MOST_STEPS = 16
_PATIENCE = 24  # recordings that are not worth their while before it gives up

disabled = 0  # depth of compiler.disable


class CompiledFunction:
    """`fn`, repeated natively once it has been recorded. `explain()` says what became of it."""

    def __init__(self, fn, *, fullgraph=False):
        self._fn, self._fullgraph = fn, fullgraph
        functools.update_wrapper(self, fn)
        self.reset()

    def reset(self) -> None:
        """Forgets all recordings."""
        self._steps: list[Step] = []
        self._last = None
        self._pending = {}  # kind of call -> a Step that waits for its confirmation, or None after the first call
        self._graphs = set()  # kinds whose results have a graph
        self._leaves, self._recordings, self._gave_up, self._why = [], 0, False, None

    def __call__(self, *args, **kwargs):
        step = self._last
        if step is not None:
            out = step.call(args, kwargs)
            if out is not _native.MISS:
                return out
        return self._slow(args, kwargs)

    def __get__(self, instance, owner=None):
        """As a method: one recording per instance."""
        if instance is None:
            return self
        bound = CompiledFunction(self._fn.__get__(instance, owner), fullgraph=self._fullgraph)
        name = getattr(self._fn, "__name__", None)
        if name is not None and hasattr(instance, "__dict__") and not isinstance(instance, Module):
            instance.__dict__[name] = bound
        return bound

    # -- when the last recording does not fit --------------------------------------------------------------------------------

    def _slow(self, args, kwargs):
        if self._gave_up or disabled or _recording.watching() is not None or _native.is_inference_enabled() or self._busy():
            return self._fn(*args, **kwargs)
        due = None
        for step in self._steps:
            if step.native.runs == step.check_at:
                due = step
                continue
            out = step.call(args, kwargs)
            if out is not _native.MISS:
                self._last = step
                return out
        kind = self._kind(args, kwargs)
        if kind not in self._pending:
            self._pending[kind] = None
            if len(self._pending) > 256:
                self._give_up("it is called with arguments of ever new shapes or values")
            return self._fn(*args, **kwargs)
        return self._record(kind, args, kwargs, due)

    def _kind(self, args, kwargs):
        leaves = []
        structure = flatten((args, kwargs), leaves)
        marks = []
        for leaf in leaves:
            a = getattr(leaf, "_a", None)
            if a is not None:
                marks.append((a.dtype, a.shape, a.strides, leaf._requires_grad))
            else:
                marks.append((type(leaf), repr(leaf)) if isinstance(leaf, (bool, int, float, str, type(None))) else id(leaf))
        return repr(structure), tuple(marks), _native.is_grad_enabled(), STATE.dtype

    def _busy(self):
        """Another thread is in the middle of it, or errors are being traced to their ops."""
        return is_anomaly_enabled() or any(s.native.running for s in self._steps)

    def _record(self, kind, args, kwargs, due):
        if not _recording.LOCK.acquire(blocking=False):  # another thread is recording
            return self._fn(*args, **kwargs)
        try:
            self._recordings += 1
            recorder = record_graph if kind in self._graphs else record
            result, outcome, leaves = recorder(self._fn, args, kwargs, self._leaves)
        finally:
            _recording.LOCK.release()
        known = {id(p) for p in self._leaves}
        self._leaves += [p for p in leaves if id(p) not in known]
        if isinstance(outcome, Refused):
            self._give_up(str(outcome))
        elif isinstance(outcome, NeedsGraph):
            self._graphs.add(kind)
        elif not isinstance(outcome, Unready):
            self._keep(kind, outcome, due)
        return result

    def _keep(self, kind, step, due):
        if due is not None:
            step.check_at = min(due.check_at * 16, due.check_at + 65536)
            difference = due.difference(step)
            self._steps.remove(due)
            if difference and due.native.failed_guard() < 0:
                return self._give_up(f"it does not do the same at every call: {difference}")
        else:
            before = self._pending[kind]
            difference = before.difference(step) if before is not None else "first"
            if before is not None and difference and self._recordings > _PATIENCE:
                return self._give_up(f"it does not do the same at every call: {difference}")
            self._pending[kind] = step if difference else None
            if difference:
                waiting = [k for k, s in self._pending.items() if s is not None]
                if len(waiting) > _MOST_STEPS:  # recordings hold memory
                    self._pending[waiting[0]] = None
                return None
        runs = sum(s.native.runs for s in self._steps)
        if self._recordings > _PATIENCE and self._recordings > runs // 4:
            return self._give_up(f"what it depends on keeps changing: {self._steps[0].changed() if self._steps else 'its gradients'}")
        self._steps.insert(0, step)
        _native.empty_cache()  # what the recordings held
        del self._steps[_MOST_STEPS:]
        self._last = step
        return None

    def _give_up(self, why):
        self._gave_up, self._why, self._last = True, why, None
        self._steps, self._pending = [], {}
        name = getattr(self._fn, "__qualname__", type(self._fn).__name__)
        if self._fullgraph:
            raise RuntimeError(f"compile(fullgraph=True): {name} cannot be compiled: {why}")
        warnings.warn(f"{name} is not compiled and runs as it is: {why}", UserWarning, stacklevel=5)

    def explain(self) -> str:
        """What was recorded, and whether it is being repeated."""
        if self._gave_up:
            return f"runs as it is: {self._why}"
        if not self._steps:
            return f"not recorded yet ({self._recordings} recordings)"
        lines = []
        for s in self._steps:
            n = s.native
            lines.append(
                f"{n.runs} repetitions of {len(n.kernels)} kernels ({n.recorded} recorded), "
                f"{n.arena_bytes / 1e6:.1f} MB of temporaries"
            )
        return "\n".join(lines)
