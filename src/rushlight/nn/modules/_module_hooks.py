"""Hooks of modules: registries, and the call that runs them. A module without hooks never comes here."""

from __future__ import annotations

import warnings
import weakref
from collections import OrderedDict

from ... import _native, _recording
from ...autograd.hooks import RemovableHandle
from ...autograd.node import Node, edge_of
from ...autograd.tensor import Tensor

__all__ = [
    "register_module_forward_pre_hook", "register_module_forward_hook", "register_module_full_backward_pre_hook",
    "register_module_backward_hook", "register_module_full_backward_hook", "register_module_buffer_registration_hook",
    "register_module_module_registration_hook", "register_module_parameter_registration_hook",
]  # fmt: skip


class _Global:
    """Hooks of all modules. `any` says whether a call has to look at them."""

    def __init__(self):
        self.any = False
        self.backward_pre, self.backward, self.forward_pre, self.forward = (OrderedDict() for _ in range(4))
        self.always_called, self.with_kwargs = OrderedDict(), OrderedDict()
        self.buffers, self.modules, self.parameters = OrderedDict(), OrderedDict(), OrderedDict()
        self.full_backward = None

    def live(self):
        return bool(self.backward_pre or self.backward or self.forward_pre or self.forward)


GLOBAL = _Global()


def _add(registry, hook, extra=None):
    handle = RemovableHandle(registry, extra_dict=extra)
    registry[handle.id] = hook
    return handle


def _add_call_hook(registry, hook, extra=None):
    GLOBAL.any = True
    return _add(registry, hook, extra)


def register_module_buffer_registration_hook(hook):
    """`hook(module, name, buffer)` whenever a module registers a buffer; a returned value takes its place."""
    return _add(GLOBAL.buffers, hook)


def register_module_module_registration_hook(hook):
    """`hook(module, name, submodule)` whenever a module registers a submodule."""
    return _add(GLOBAL.modules, hook)


def register_module_parameter_registration_hook(hook):
    """`hook(module, name, parameter)` whenever a module registers a parameter."""
    return _add(GLOBAL.parameters, hook)


def register_module_forward_pre_hook(hook):
    """`hook(module, args)` before every module's forward."""
    return _add_call_hook(GLOBAL.forward_pre, hook)


def register_module_forward_hook(hook, *, with_kwargs=False, always_call=False):
    """`hook(module, args, output)` after every module's forward."""
    handle = _add_call_hook(GLOBAL.forward, hook, GLOBAL.always_called)
    if with_kwargs:
        GLOBAL.with_kwargs[handle.id] = True
    if always_call:
        GLOBAL.always_called[handle.id] = True
    return handle


_MIXED = "Cannot use both regular backward hooks and full backward hooks as a global Module hook. Please use only one of them."


def register_module_backward_hook(hook):
    """The deprecated backward hook, for every module."""
    if GLOBAL.full_backward is True:
        raise RuntimeError(_MIXED)
    GLOBAL.full_backward = False
    return _add_call_hook(GLOBAL.backward, hook)


def register_module_full_backward_pre_hook(hook):
    """`hook(module, grad_output)` before every module's backward."""
    return _add_call_hook(GLOBAL.backward_pre, hook)


def register_module_full_backward_hook(hook):
    """`hook(module, grad_input, grad_output)` after every module's backward."""
    if GLOBAL.full_backward is False:
        raise RuntimeError(_MIXED)
    GLOBAL.full_backward = True
    return _add_call_hook(GLOBAL.backward, hook)


class _WrappedHook:
    """A hook that is called with its module first; holds the module weakly."""

    def __init__(self, hook, module=None):
        self.hook = hook
        self.with_module = module is not None
        if self.with_module:
            self.module = weakref.ref(module)

    def __call__(self, *args, **kwargs):
        if self.with_module:
            module = self.module()
            if module is None:
                raise RuntimeError("You are trying to call the hook of a dead Module!")
            return self.hook(module, *args, **kwargs)
        return self.hook(*args, **kwargs)

    def __getstate__(self):
        return {"hook": self.hook, "with_module": self.with_module, "module": self.module() if self.with_module else None}

    def __setstate__(self, state):
        self.hook, self.with_module = state["hook"], state["with_module"]
        if self.with_module:
            if state["module"] is None:
                raise RuntimeError("You are trying to revive the hook of a dead Module!")
            self.module = weakref.ref(state["module"])


# -- backward hooks -------------------------------------------------------------------------------------------------------


class BackwardHookFunction(Node):
    """The identity on a tuple of tensors: a place in the graph for a module's backward hooks."""

    __slots__ = ("shapes",)

    def __init__(self, tensors):
        super().__init__([edge_of(t) for t in tensors], len(tensors))
        self.shapes = [(t._a.shape, t._a.dtype) for t in tensors]

    def name(self):
        return "BackwardHookFunctionBackward"

    def apply(self, grads, needed):
        from ...ops.creation import zeros

        return [zeros(shape, dtype=dtype) if g is None else g
                for g, (shape, dtype) in zip(grads, self.shapes, strict=True)]  # fmt: skip


def _through(tensors):
    node = BackwardHookFunction(tensors)
    outs = []
    for nr, (t, edge) in enumerate(zip(tensors, node.edges, strict=True)):
        out = _native.wrap(t._a.alias(False))
        if edge is not None:
            out._node, out._output_nr, out._requires_grad = node, nr, True
        outs.append(out)
    return node, outs


def _tensors_of(values):
    """Positions and tensors among `values`; None if no gradient will come through them."""
    at = [i for i, v in enumerate(values) if isinstance(v, Tensor)]
    if not (_native.is_grad_enabled() and any(values[i].requires_grad for i in at)):
        return None
    return at


def _put(values, at, tensors):
    items = list(values)
    for i, t in zip(at, tensors, strict=True):
        items[i] = t
    return tuple(items) if type(values) is tuple else type(values)(*items)


def _spread(at, values, n):
    out = [None] * n
    for i, v in zip(at, values, strict=True):
        out[i] = v
    return tuple(out)


class BackwardHook:
    """One call's backward hooks: an identity before the forward, one after it, and what the user's hooks see there."""

    def __init__(self, module, hooks, pre_hooks):
        self.module, self.hooks, self.pre_hooks = module, hooks, pre_hooks
        self.grad_outputs = None
        self.inputs_at, self.n_inputs = None, 0

    def setup_inputs(self, args):
        self.n_inputs = len(args)
        self.inputs_at = at = _tensors_of(args)
        if at is None:
            return args
        node, tensors = _through([args[i] for i in at])
        node.register_hook(self._on_grad_inputs)
        return _put(args, at, tensors)

    def _on_grad_inputs(self, grad_inputs, _):
        if self.grad_outputs is None:
            return None
        grads = _spread(self.inputs_at, grad_inputs, self.n_inputs)
        for hook in self.hooks:
            new = hook(self.module, grads, self.grad_outputs)
            if new is None:
                continue
            if len(new) != len(grads):
                raise RuntimeError(
                    f"Backward hook returned an invalid number of grad_input, got {len(new)}, but expected {len(grads)}"
                )
            grads = new
        self.grad_outputs = None
        return tuple(grads[i] for i in self.inputs_at)

    def setup_outputs(self, result):
        values = result if isinstance(result, tuple) else (result,)
        at = _tensors_of(values)
        if at is None:
            return result
        node, tensors = _through([values[i] for i in at])
        node.register_hook(lambda _, grads: self._on_grad_outputs(at, len(values), grads))
        values = _put(values, at, tensors)
        return values if isinstance(result, tuple) else values[0]

    def _on_grad_outputs(self, at, n, grads):
        self.grad_outputs = _spread(at, grads, n)
        for hook in self.pre_hooks:
            new = hook(self.module, self.grad_outputs)
            if new is None:
                continue
            new = new if isinstance(new, (tuple, list)) else (new,)
            if len(new) != n:
                raise RuntimeError(
                    f"Backward pre hook returned an invalid number of grad_output, got {len(new)}, but expected {n}"
                )
            self.grad_outputs = tuple(new)
        sent = self.grad_outputs
        if self.inputs_at is None:
            self._without_inputs()
        return tuple(sent[i] for i in at)

    def _without_inputs(self):
        if self.hooks:
            warnings.warn(
                "Full backward hook is firing when gradients are computed with respect to module outputs since no inputs "
                "require gradients. See https://docs.pytorch.org/docs/main/generated/torch.nn.Module.html#torch.nn.Module."
                "register_full_backward_hook for more details.",
                stacklevel=5,
            )
        for hook in self.hooks:
            out = hook(self.module, (None,) * self.n_inputs, self.grad_outputs)
            if out is not None and not (isinstance(out, tuple) and all(x is None for x in out)):
                raise RuntimeError("Backward hook for Modules where no input requires gradient should always return None or "
                                   "None for all gradients.")  # fmt: skip
        self.grad_outputs = None


# -- the call ---------------------------------------------------------------------------------------------------------------


def _run_pre_hooks(module, args, kwargs):
    for key, hook in (*GLOBAL.forward_pre.items(), *module._forward_pre_hooks.items()):
        if key in module._forward_pre_hooks_with_kwargs:
            new = hook(module, args, kwargs)
            if new is not None:
                if not (isinstance(new, tuple) and len(new) == 2):
                    raise RuntimeError(f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {new}.")
                args, kwargs = new
        else:
            new = hook(module, args)
            if new is not None:
                args = new if isinstance(new, tuple) else (new,)
    return args, kwargs


def _run_forward_hook(module, key, hook, args, kwargs, result):
    if key in module._forward_hooks_with_kwargs or key in GLOBAL.with_kwargs:
        new = hook(module, args, kwargs, result)
    else:
        new = hook(module, args, result)
    return result if new is None else new


def _backward_hooks(module):
    """Full backward hooks and the deprecated kind, global ones first."""
    kinds = {True: [], False: []}
    if GLOBAL.backward:
        kinds[GLOBAL.full_backward] += GLOBAL.backward.values()
    if module._backward_hooks:
        kinds[module._is_full_backward_hook] += module._backward_hooks.values()
    return kinds[True], kinds[False]


def call_with_hooks(module, args, kwargs):
    """module.forward with every hook around it."""
    if _recording.watching() is not None and _has_foreign_hooks(module):
        _recording.refuse(f"a hook of {type(module).__name__} ran")
    called, state = set(), [args, kwargs, None]
    try:
        return _call(module, state, called)
    except Exception:
        _always_called(module, state, called)
        raise


def _call(module, state, called):
    args, kwargs, _ = state
    pre = [*GLOBAL.backward_pre.values(), *module._backward_pre_hooks.values()]
    full, legacy = _backward_hooks(module)
    state[0], state[1] = args, kwargs = _run_pre_hooks(module, args, kwargs)
    around = None
    if full or pre:
        around = BackwardHook(module, full, pre)
        args = around.setup_inputs(args)
    result = state[2] = module.forward(*args, **kwargs)
    for key, hook in (*GLOBAL.forward.items(), *module._forward_hooks.items()):
        if key in module._forward_hooks_always_called or key in GLOBAL.always_called:
            called.add(key)
        result = state[2] = _run_forward_hook(module, key, hook, args, kwargs, result)
    if around is not None:
        if not isinstance(result, (Tensor, tuple)):
            warnings.warn(
                "For backward hooks to be called, module output should be a Tensor or a tuple of Tensors but received "
                f"{type(result)}",
                stacklevel=4,
            )
        else:
            result = around.setup_outputs(result)
    if legacy:
        _register_legacy(module, legacy, result)
    return result


def _has_foreign_hooks(module):
    """Hooks that are not our own (those of weight_norm, for example, are nothing but tensor operations)."""
    registries = (GLOBAL.backward_pre, GLOBAL.backward, GLOBAL.forward_pre, GLOBAL.forward, module._backward_pre_hooks,
                  module._backward_hooks, module._forward_pre_hooks, module._forward_hooks)  # fmt: skip
    for hook in (h for registry in registries for h in registry.values()):
        origin = getattr(hook, "__module__", None) or type(hook).__module__
        if not origin.startswith(f"{__name__.partition('.')[0]}."):
            return True
    return False


def _register_legacy(module, hooks, result):
    value = result
    while not isinstance(value, Tensor):
        value = next(v for v in value.values() if isinstance(v, Tensor)) if isinstance(value, dict) else value[0]
    if value.grad_fn is not None:
        for hook in hooks:
            value.grad_fn.register_hook(_WrappedHook(hook, module))


def _always_called(module, state, called):
    """After an error: the hooks registered with `always_call=True` that have not run."""
    for source, prefix in ((GLOBAL.forward, "global module"), (module._forward_hooks, "module")):
        always = GLOBAL.always_called if source is GLOBAL.forward else module._forward_hooks_always_called
        for key, hook in source.items():
            if key not in always or key in called:
                continue
            try:
                state[2] = _run_forward_hook(module, key, hook, *state)
            except Exception as e:  # noqa: BLE001 - the error of the forward is the one to report
                warnings.warn(
                    f"{prefix} forward hook with ``always_call=True`` raised an exception that was silenced as another "
                    f"error was raised in forward: {e!s}",
                    stacklevel=4,
                )
