"""`Optimizer`: parameter groups, state, saving and loading, hooks. The algorithms are in files of their own."""

from __future__ import annotations

import functools
import sys
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Iterable
from copy import deepcopy
from itertools import chain

from .. import _dtypes, _native, _recording
from ..autograd.hooks import RemovableHandle
from ..autograd.tensor import Tensor
from ..ops.creation import tensor
from .groups import table
from .loading import check_state, match

__all__ = ["Optimizer", "register_optimizer_step_pre_hook", "register_optimizer_step_post_hook", "required"]

_global_pre_hooks: dict = OrderedDict()
_global_post_hooks: dict = OrderedDict()
_HOOKS = (
    "_optimizer_step_pre_hooks",
    "_optimizer_step_post_hooks",
    "_optimizer_state_dict_pre_hooks",
    "_optimizer_state_dict_post_hooks",
    "_optimizer_load_state_dict_pre_hooks",
    "_optimizer_load_state_dict_post_hooks",
)


class _Required:
    def __repr__(self):
        return "<required parameter>"


required = _Required()


def register_optimizer_step_pre_hook(hook) -> RemovableHandle:
    """`hook(optimizer, args, kwargs)` before every step of every optimizer; it may return new (args, kwargs)."""
    return _add(_global_pre_hooks, hook)


def register_optimizer_step_post_hook(hook) -> RemovableHandle:
    """`hook(optimizer, args, kwargs)` after every step of every optimizer."""
    return _add(_global_post_hooks, hook)


def _add(hooks, hook, prepend=False):
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    return handle


def scalar_dtype():
    """The type of step counts: float32, or float64 where that is the default type."""
    return _dtypes.float64 if _native.default_dtype() is _dtypes.float64 else _dtypes.float32


def typename(x) -> str:
    """How PyTorch names a value's type in messages: `torch.FloatTensor`, `int`."""
    if isinstance(x, Tensor):
        return f"torch.{x._a.dtype.scalar_name}Tensor"
    cls = x if isinstance(x, type) else type(x)
    return cls.__qualname__ if cls.__module__ in ("builtins", "__builtin__") else f"{cls.__module__}.{cls.__qualname__}"


def _levels_to_user() -> int:
    """The `stacklevel` of a warning for the line outside of this package that led here."""
    package, frame, levels = __name__.split(".")[0], sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == package:
        frame, levels = frame.f_back, levels + 1
    return levels


class Optimizer:
    """Base class: keeps the parameters in groups that share options, and a state per parameter.

    Args: `params`, an iterable of tensors, of (name, tensor) pairs, or of dicts with a key `params` and options that
    override the defaults; `defaults`, the options.
    Raises: TypeError for a tensor instead of a list, ValueError for no parameters, and what `add_param_group` raises.
    Reference: https://docs.pytorch.org/docs/stable/optim.html
    """

    unrepeatable = "computes numbers in Python"  # why `compile` cannot repeat a step's kernel calls; "" if it can
    _zeroed = False  # whether `zero_grad` was called
    _started = False  # whether a step has found a gradient, or said that it found none

    def __init__(self, params, defaults: dict):
        self.defaults = defaults
        for name in _HOOKS:
            setattr(self, name, OrderedDict())
        self._patch_step_function()
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, but got " + typename(params)
            )
        self.state = defaultdict(dict)
        self.param_groups = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def __getstate__(self):
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state):
        self.__dict__.update(state)
        for name in _HOOKS:
            if name not in self.__dict__:
                setattr(self, name, OrderedDict())
        self._patch_step_function()
        self.defaults.setdefault("differentiable", False)

    def __repr__(self):
        text = type(self).__name__ + " ("
        for i, group in enumerate(self.param_groups):
            text += f"\nParameter Group {i}\n"
            text += "".join(f"    {key}: {group[key]}\n" for key in sorted(group) if key != "params")
        return text + ")"

    # -- hooks --------------------------------------------------------------------------------------------------

    @staticmethod
    def profile_hook_step(func):
        """`func`, a step method, with the step hooks run before and after it."""

        @functools.wraps(func)
        def wrapper(*args, **kwargs):
            self = args[0]
            watch = _recording.watching()
            if watch is not None:
                watch.optimizer(self)
            before, after = self._optimizer_step_pre_hooks, self._optimizer_step_post_hooks
            if not (before or after or _global_pre_hooks or _global_post_hooks):
                return func(*args, **kwargs)
            for hook in chain(_global_pre_hooks.values(), before.values()):
                result = hook(self, args, kwargs)
                if result is not None:
                    if not (isinstance(result, tuple) and len(result) == 2):
                        raise RuntimeError(f"{func} must return None or a tuple of (new_args, new_kwargs), but got {result}.")
                    args, kwargs = result
            out = func(*args, **kwargs)
            for hook in chain(after.values(), _global_post_hooks.values()):
                hook(self, args, kwargs)
            return out

        return wrapper

    def _patch_step_function(self):
        cls = type(self)
        if not getattr(cls.step, "hooked", None):
            cls.step = self.profile_hook_step(cls.step)
            cls.step.hooked = True

    def register_step_pre_hook(self, hook) -> RemovableHandle:
        """`hook(optimizer, args, kwargs)` before each step; it may return new (args, kwargs)."""
        return _add(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook) -> RemovableHandle:
        """`hook(optimizer, args, kwargs)` after each step."""
        return _add(self._optimizer_step_post_hooks, hook)

    def register_state_dict_pre_hook(self, hook, prepend=False) -> RemovableHandle:
        """`hook(optimizer)` before `state_dict()`."""
        return _add(self._optimizer_state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(self, hook, prepend=False) -> RemovableHandle:
        """`hook(optimizer, state_dict)` after `state_dict()`; it may return another dict."""
        return _add(self._optimizer_state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(self, hook, prepend=False) -> RemovableHandle:
        """`hook(optimizer, state_dict)` before `load_state_dict()`; it may return another dict."""
        return _add(self._optimizer_load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(self, hook, prepend=False) -> RemovableHandle:
        """`hook(optimizer)` after `load_state_dict()`."""
        return _add(self._optimizer_load_state_dict_post_hooks, hook, prepend)

    # -- saving and loading ---------------------------------------------------------------------------------------

    def state_dict(self) -> dict:
        """`{"state": {index: state}, "param_groups": [...]}`, with indices in place of the parameters."""
        for hook in self._optimizer_state_dict_pre_hooks.values():
            hook(self)
        index, start, groups = {}, 0, []
        for group in self.param_groups:
            packed = {k: v for k, v in group.items() if k != "params"}
            for i, p in enumerate(group["params"], start):
                index.setdefault(id(p), i)
            packed["params"] = [index[id(p)] for p in group["params"]]
            start += len(packed["params"])
            groups.append(packed)
        state = {(index[id(k)] if isinstance(k, Tensor) else k): v for k, v in self.state.items()}
        result = {"state": state, "param_groups": groups}
        for hook in self._optimizer_state_dict_post_hooks.values():
            changed = hook(self, result)
            result = result if changed is None else changed
        return result

    def load_state_dict(self, state_dict: dict) -> None:
        """Takes over what `state_dict()` returned. State is cast to the parameters' dtype.

        Where both sides have `param_names`, state goes to the parameter of the same name, otherwise to the one at the same
        position.
        Raises: ValueError if the groups or their sizes or names differ, or if the state is another algorithm's.
        """
        state_dict = state_dict.copy()
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            changed = hook(self, state_dict)
            state_dict = state_dict if changed is None else changed
        groups, saved = self.param_groups, deepcopy(state_dict["param_groups"])
        params = match(groups, saved)
        check_state(self, saved, state_dict["state"], params)
        state = defaultdict(dict)
        for key, value in state_dict["state"].items():
            if key in params:
                state[params[key]] = _cast(params[key], value)
            else:
                state[key] = value
        for group, new in zip(groups, saved, strict=True):
            new["params"] = group["params"]
            if "param_names" in group:
                new["param_names"] = group["param_names"]
        self.__setstate__({"state": state, "param_groups": saved})
        for hook in self._optimizer_load_state_dict_post_hooks.values():
            hook(self)

    def required_state(self, group) -> tuple[str, ...]:
        """What `step` expects in the state of a parameter of `group` that has one."""
        return ()

    # -- training ---------------------------------------------------------------------------------------------------

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients; with `set_to_none=False` fills them with zeros instead."""
        self._zeroed = True
        for group in self.param_groups:
            for p in group["params"]:
                g = p._grad
                if g is None:
                    continue
                if set_to_none:
                    p._grad = None
                    continue
                if g.grad_fn is not None:
                    g.detach_()
                else:
                    g.requires_grad_(False)
                g.zero_()

    def step(self, closure=None):
        """One update of all parameters; subclasses define it."""
        raise NotImplementedError

    def _nothing_to_do(self):
        """Says once that no parameter has had a gradient yet, unless that may be meant.

        It may be where a schedule is only tried out (a scheduler, and no `zero_grad` as in training), and where all
        parameters are frozen.
        """
        scheduled = hasattr(self.step, "_wrapped_by_lr_sched") and not self._zeroed
        if self._started or scheduled or not any(p.requires_grad for group in self.param_groups for p in group["params"]):
            return
        self._started = True
        warnings.warn(
            f"{type(self).__name__}.step() changed nothing: none of its parameters has a gradient. Was backward() called "
            "after zero_grad(), on a loss that depends on these parameters?",
            stacklevel=_levels_to_user(),
        )

    def table(self, model=None) -> str:
        """A line per parameter: group, learning rate, weight decay, frozen or not; with `model`, also who is in no group."""
        return table(self, model)

    def add_param_group(self, param_group: dict) -> None:
        """Adds a group of parameters; options it does not name take their defaults.

        Raises: TypeError for what is no dict of tensors, ValueError for a non-leaf, a missing required option, or a
        parameter of another group. UserWarning for a parameter that occurs twice.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, Tensor):
            params = [params]
        elif isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the ordering of tensors in sets "
                "will change between runs. Please use a list instead."
            )
        params = list(params)
        names = [p[0] for p in params if isinstance(p, tuple)]
        param_group["params"] = params = [p[1] if isinstance(p, tuple) else p for p in params]
        if names:
            if len(names) != len(params):
                raise ValueError("all optimizer params should be with/without names. Some param names are missing")
            param_group["param_names"] = names
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError("optimizer can only optimize Tensors, but one of the params is " + typename(p))
            if not self.defaults.get("differentiable", None) and not (p.is_leaf or p.retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor")
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(f"parameter group didn't specify a value of required optimization parameter {name}")
            param_group.setdefault(name, default)
        ids = {id(p) for p in params}
        if len(ids) != len(params):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this will cause an error; "
                "see github.com/pytorch/pytorch/issues/40967 for more information",
                stacklevel=3,
            )
        for group in self.param_groups:
            if ("param_names" in param_group) != ("param_names" in group):
                text = "with names" if "param_names" in param_group else "without names"
                raise ValueError(
                    f"all optimizer param groups should be with/without names. cannot add param group {text} to the optimizer"
                )
        if any(id(p) in ids for group in self.param_groups for p in group["params"]):
            raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(param_group)


def _cast(p, value, key=None):
    """A loaded state value for parameter p: tensors, but for step counts, get p's dtype."""
    if not isinstance(value, Tensor) and hasattr(value, "__dlpack__"):
        value = tensor(value.detach().numpy() if hasattr(value, "detach") else value)  # another library's: a copy
    if isinstance(value, Tensor):
        return value if key == "step" or not p._a.dtype.is_floating_point else value.to(p._a.dtype)
    if isinstance(value, dict):
        return {k: _cast(p, v, k) for k, v in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        return type(value)(_cast(p, v) for v in value)
    return value


def tensor_step(value):
    """A step count from an old checkpoint, as the 0-d tensor it is now."""
    return value if isinstance(value, Tensor) else tensor(float(value), dtype=scalar_dtype())
