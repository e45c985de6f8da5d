"""`autograd.Function`: an op whose forward and backward a user writes.

    class Exp(Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            (y,) = ctx.saved_tensors
            return g * y

Reference: https://docs.pytorch.org/docs/stable/autograd.html#function
"""

from __future__ import annotations

import functools

from .. import _native
from .grad_mode import no_grad
from .inplace import check_inplace, rebase
from .node import FREED, FREED_MESSAGE, Node, edge_of, overwritten_message
from .tensor import Tensor

__all__ = ["Function", "FunctionCtx", "once_differentiable"]


class FunctionCtx(Node):
    """What `forward` and `backward` share; it is also the node in the graph."""

    __slots__ = ()

    def __init__(self):
        super().__init__([], 1)
        self._to_save, self._outputs = (), ()
        self._non_differentiable, self._dirty = (), ()
        self._materialize = True
        self._out_meta = ()
        self.needs_input_grad = ()

    # -- for forward -------------------------------------------------------------------------------------------

    def save_for_backward(self, *tensors) -> None:
        """Keeps tensors for `saved_tensors`; inputs and outputs are kept without reference cycles and checked."""
        for t in tensors:
            if t is not None and not isinstance(t, Tensor):
                raise TypeError(f"save_for_backward can only save variables, but argument is of type {type(t).__name__}")
        self._to_save = tensors

    def save_for_forward(self, *tensors) -> None:
        """Accepted; forward-mode differentiation is not offered."""

    def mark_dirty(self, *args) -> None:
        """Says that these inputs were modified in place; they must be returned."""
        self._dirty = args

    def mark_non_differentiable(self, *args) -> None:
        """Says that these outputs have no gradient."""
        self._non_differentiable = args

    def set_materialize_grads(self, value: bool) -> None:
        """Whether missing output gradients arrive as zeros (default) or as None."""
        self._materialize = bool(value)

    # -- for backward ------------------------------------------------------------------------------------------

    @property
    def saved_tensors(self):
        """What `save_for_backward` was given. RuntimeError once freed, or if one has been overwritten."""
        if self.saved is FREED:
            raise RuntimeError(FREED_MESSAGE)
        saved = self.saved if isinstance(self.saved, (list, tuple)) else self.saved.take()  # held.py
        out = []
        for kind, item, version, nr in saved:
            if kind == "none":
                out.append(None)
                continue
            if kind == "out":  # rebuilt, so that the node does not keep its own output alive
                t = _native.wrap(item)
                if nr is not None:
                    t._node, t._output_nr, t._requires_grad = self, nr, True
            else:
                t = item
            now = t._a.version
            if now != version:
                raise RuntimeError(overwritten_message(t, now, version))
            out.append(t)
        return tuple(out)

    saved_variables = saved_tensors

    def name(self) -> str:
        return type(self)._function.__name__ + "Backward"

    def apply(self, grads, needed):
        if self._materialize:
            grads = [g if g is not None else _zeros(meta) for g, meta in zip(grads, self._out_meta, strict=True)]
        result = type(self)._function.backward(self, *grads)
        if not isinstance(result, tuple):
            result = (result,)
        expected = len(self.needs_input_grad)
        if len(result) > expected and all(g is None for g in result[expected:]):
            result = result[:expected]
        if len(result) != expected:
            raise RuntimeError(
                f"function {self.name()} returned an incorrect number of gradients (expected {expected}, got {len(result)})"
            )
        out = []
        for i, (g, meta) in enumerate(zip(result, self._in_meta, strict=True)):
            if meta is None:
                continue
            out.append(self._fit(g, meta, i))
        return out

    def _fit(self, g, meta, i):
        if g is None:
            return None
        if not isinstance(g, Tensor):
            raise TypeError(f"function {self.name()} returned a {type(g).__name__} as gradient {i}; expected a Tensor or None")
        shape, dtype = meta
        if g._a.shape != shape:
            try:
                g = g.sum_to_size(shape)
            except RuntimeError:
                raise RuntimeError(
                    f"Function {self.name()} returned an invalid gradient at index {i} - got {list(g.shape)} but expected "
                    f"shape compatible with {list(shape)}"
                ) from None
        return g if g._a.dtype is dtype else g.to(dtype)


def _zeros(meta):
    shape, dtype = meta
    t = _native.wrap(_native.empty(shape, dtype.code))
    return t.zero_()


class _FunctionMeta(type):
    def __init__(cls, name, bases, attributes):
        super().__init__(name, bases, attributes)
        cls._backward_cls = type(name + "Backward", (FunctionCtx,), {"_function": cls, "__slots__": ()})


class Function(metaclass=_FunctionMeta):
    """Base of user-defined differentiable functions; call them with `apply`."""

    generate_vmap_rule = False

    def __init__(self, *args, **kwargs):
        raise RuntimeError(
            f"{type(self)} should not be instantiated. Methods on autograd functions are all static, so you should invoke "
            "them on the class itself. Instantiating an autograd function will raise an error in a future version of PyTorch."
        )

    @staticmethod
    def forward(*args, **kwargs):
        """The computation: forward(ctx, *args), or forward(*args) if `setup_context` is defined."""
        raise NotImplementedError(
            "You must implement the forward function for custom autograd.Function."
        )

    @staticmethod
    def setup_context(ctx, inputs, output):
        """Saves for backward, when forward does not take a ctx."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx, *grad_outputs):
        """The vector-Jacobian product: one gradient (or None) per argument of forward."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use it with backward mode AD."
        )

    vjp = backward

    @classmethod
    def apply(cls, *args, **kwargs):
        """Runs the function and records it if an argument requires a gradient."""
        edges = [edge_of(a) for a in args if isinstance(a, Tensor) and a.requires_grad]
        ctx = cls._backward_cls()  # numbered after its inputs' nodes
        ctx.needs_input_grad = needs = tuple(isinstance(a, Tensor) and a.requires_grad for a in args)
        record = _native.is_grad_enabled() and any(needs)
        if record:
            ctx.edges = edges
            ctx._in_meta = [(a._a.shape, a._a.dtype) if need else None for a, need in zip(args, needs, strict=True)]
        with no_grad():
            if cls.setup_context is not Function.setup_context:
                out = cls.forward(*args, **kwargs)
                cls.setup_context(ctx, args, out)
            else:
                out = cls.forward(ctx, *args, **kwargs)
        outs = list(out) if isinstance(out, (tuple, list)) else [out]
        dirty = {id(t) for t in ctx._dirty}
        inputs = {id(a) for a in args if isinstance(a, Tensor)}
        for nr, t in enumerate(outs):
            if isinstance(t, Tensor) and id(t) in inputs and id(t) not in dirty:
                with no_grad():
                    outs[nr] = t.view_as(t) if record else t  # an input handed on is not the input itself
                outs[nr]._base = None if record else outs[nr]._base
        if record:
            cls._record(ctx, outs, dirty, {id(t) for t in ctx._non_differentiable})
        elif ctx._to_save:
            ctx.saved = [_entry(t, None) for t in ctx._to_save]
        return tuple(outs) if isinstance(out, (tuple, list)) else outs[0]

    @staticmethod
    def _record(ctx, outs, dirty, non_differentiable):
        ctx.num_outputs = len(outs)
        ctx._out_meta = [(t._a.shape, t._a.dtype) if isinstance(t, Tensor) else ((), _native.default_dtype()) for t in outs]
        numbers = {}
        for nr, t in enumerate(outs):
            if not isinstance(t, Tensor) or not t._a.dtype.is_floating_point or id(t) in non_differentiable:
                continue
            numbers[id(t)] = nr
            if id(t) in dirty:
                check_inplace(t)
                rebase(t, ctx, self_has_edge=True)
                t._output_nr = nr if t._base is None else t._output_nr
            else:
                t._node, t._output_nr, t._requires_grad = ctx, nr, True
        ctx.saved = [_entry(t, numbers.get(id(t))) for t in ctx._to_save]
        ctx._to_save = ctx._dirty = ctx._non_differentiable = ()
        if any(entry[0] != "none" for entry in ctx.saved):
            _native.note_node(ctx)


def _entry(t, nr):
    if t is None:
        return "none", None, 0, None
    if nr is not None:
        return "out", t._a, t._a.version, nr
    return "in", t, t._a.version, None


def once_differentiable(fn):
    """Decorator for a backward that cannot itself be differentiated; trying to raises RuntimeError."""

    @functools.wraps(fn)
    def wrapper(ctx, *args):
        recording = _native.is_grad_enabled()
        with no_grad():
            outputs = fn(ctx, *args)
        if not recording or not any(isinstance(a, Tensor) and a.requires_grad for a in args):
            return outputs
        was_tuple = isinstance(outputs, tuple)
        guarded = tuple(_Once.apply(o, *args) if isinstance(o, Tensor) else o for o in (outputs if was_tuple else (outputs,)))
        return guarded if was_tuple else guarded[0]

    return wrapper


class _Once(Function):
    @staticmethod
    def forward(ctx, value, *sources):
        return value.detach()

    @staticmethod
    def backward(ctx, *grads):
        raise RuntimeError("trying to differentiate twice a function that was marked with @once_differentiable")
