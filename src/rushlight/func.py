"""Modules as functions of their parameters.

Reference: https://docs.pytorch.org/docs/stable/func.html
"""

from __future__ import annotations

from collections.abc import Sequence

from .nn.modules.module import Module
from .nn.utils import stateless
from .ops.shape import stack

__all__ = ["functional_call", "stack_module_state"]


def functional_call(module: Module, parameter_and_buffer_dicts, args=None, kwargs: dict | None = None, *,
                    tie_weights: bool = True, strict: bool = False):  # fmt: skip
    """module(*args, **kwargs) with other parameters and buffers, without changing the module.

    Args: `parameter_and_buffer_dicts`, {name: tensor} or a sequence of such dicts, for all names or some; `tie_weights`:
    names of one tensor are replaced together; `strict`: every name must be given. A buffer that the call updates is updated
    in the dict.
    Raises: ValueError for a name in two dicts or different tensors for tied names, RuntimeError for names that do not match.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.func.functional_call.html
    """
    given = parameter_and_buffer_dicts
    if not isinstance(given, dict):
        if not isinstance(given, Sequence):
            raise ValueError(f"Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got {type(given)}")
        if not all(isinstance(d, dict) for d in given):
            raise ValueError("Expected all elements of parameter_and_buffer_dicts to be dictionaries")
        keys = [k for d in given for k in d]
        repeated = [k for k in dict.fromkeys(keys) if keys.count(k) > 1]
        if repeated:
            raise ValueError(f"{repeated} appeared in multiple dictionaries; behavior of functional call is ambiguous")
        given = {k: v for d in given for k, v in d.items()}
    return stateless._functional_call(module, given, args, kwargs, tie_weights=tie_weights, strict=strict)


def _stacked(name, tensors):
    wanted = {t.requires_grad for t in tensors}
    if len(wanted) > 1:
        raise RuntimeError(f"Expected {name} from each model to have the same .requires_grad")
    result = stack(tensors)
    return result.detach().requires_grad_() if wanted == {True} else result


def stack_module_state(models):
    """(parameters, buffers) of several models of one class, each name's tensors stacked along a new first dimension.

    Raises: RuntimeError for no model, and for models that differ in class, mode or `requires_grad`.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.func.stack_module_state.html
    """
    models = list(models)
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if len({m.training for m in models}) > 1:
        raise RuntimeError("stack_module_state: Expected all models to have the same training/eval mode.")
    if len({type(m) for m in models}) > 1:
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    out = []
    for members in ([dict(m.named_parameters()) for m in models], [dict(m.named_buffers()) for m in models]):
        out.append({name: _stacked(name, [d[name] for d in members]) for name in members[0]})
    return tuple(out)
