"""Handles of registered hooks, and the hooks a tensor carries."""

from __future__ import annotations

import itertools
import weakref

__all__ = ["RemovableHandle", "add_hook", "TensorHooks"]

_ids = itertools.count()


class RemovableHandle:
    """Returned by every `register_*_hook`; `remove()` takes the hook away. Works as a context manager."""

    next_id = 0

    def __init__(self, hooks, *, extra_dict=None):
        self.hooks_dict_ref = _ref(hooks)
        self.id = next(_ids)
        extra = extra_dict if isinstance(extra_dict, (list, tuple)) else [extra_dict] if extra_dict is not None else []
        self.extra_dict_ref = tuple(_ref(d) for d in extra)

    def remove(self) -> None:
        for ref in (self.hooks_dict_ref, *self.extra_dict_ref):
            hooks = ref()
            if hooks is not None:
                hooks.pop(self.id, None)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.remove()


def _ref(hooks):
    # Plain dicts take no weak references; OrderedDicts (modules' hooks) do.
    try:
        return weakref.ref(hooks)
    except TypeError:
        return lambda: hooks


def add_hook(hooks, fn) -> RemovableHandle:
    handle = RemovableHandle(hooks)
    hooks[handle.id] = fn
    return handle


class TensorHooks:
    """What `register_hook` and `register_post_accumulate_grad_hook` put on a leaf."""

    __slots__ = ("grad", "post_accumulate")

    def __init__(self):
        self.grad, self.post_accumulate = {}, {}
