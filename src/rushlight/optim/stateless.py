"""A step on other tensors: an optimizer that for a while has other parameters and another state."""

from __future__ import annotations

import contextlib
from collections import defaultdict

from ..autograd.tensor import Tensor

__all__ = ["swap_in_optimizer_params_and_state"]

_NAME = "swap_in_optimizer_params_and_state"


def _check(optimizer, swapped):
    """(the state, the groups) of a state dict for this optimizer."""
    if not optimizer.state:
        raise RuntimeError(f"{_NAME} requires initialized optimizer state.")
    if not isinstance(swapped, dict):
        raise RuntimeError(f"{_NAME} requires a DCP-style optimizer state_dict.")
    state, groups = swapped.get("state"), swapped.get("param_groups")
    if not isinstance(state, dict):
        raise RuntimeError(f"{_NAME} requires swapin_optim_state['state'] to be a dict mapping packed parameter ids to per-param "
                           f"state dicts, got {type(state).__name__}.")  # fmt: skip
    if any(isinstance(k, Tensor) for k in state):
        raise RuntimeError(f"{_NAME} requires optimizer.state_dict()-style state keyed by packed parameter ids.")
    if any(isinstance(k, int) and not isinstance(v, dict) for k, v in state.items()):
        raise RuntimeError(f"{_NAME} requires per-parameter optimizer state entries to be dictionaries.")
    if not isinstance(groups, list):
        raise RuntimeError(f"{_NAME} requires swapin_optim_state['param_groups'] to be a list of param-group dicts, got "
                           f"{type(groups).__name__}.")  # fmt: skip
    if len(groups) != len(optimizer.param_groups):
        raise RuntimeError("swapin_optim_state has a different number of parameter groups than the live optimizer.")
    for i, (live, group) in enumerate(zip(optimizer.param_groups, groups, strict=True)):
        _check_group(i, live, group)
    known = {index for group in groups for index in group["params"]}
    extra = [k for k in state if k not in known]
    if extra:
        raise RuntimeError(f"{_NAME} requires swapin_optim_state['state'] to be keyed only by packed parameter ids from "
                           f"param_groups[*]['params']; got extra keys {extra!r}.")  # fmt: skip
    return state, groups


def _check_group(i, live, group):
    if not isinstance(group, dict):
        raise RuntimeError(f"{_NAME} requires each optimizer param group to be a dictionary.")
    indices = group.get("params")
    if not isinstance(indices, list) or not all(isinstance(index, int) for index in indices):
        raise RuntimeError(f"{_NAME} requires optimizer.state_dict()-style param_groups[*]['params'] entries keyed by packed "
                           "parameter ids.")  # fmt: skip
    if len(indices) != len(live["params"]):
        raise RuntimeError(f"swapin_optim_state param group {i} has a different number of params than the live optimizer param group.")
    only, missing = [k for k in group if k not in live], [k for k in live if k not in group]
    if only or missing:
        raise RuntimeError(
            f"{_NAME} requires optimizer.state_dict()-style param group keys to exactly match the live optimizer group keys for "
            f"group {i}. Keys only in swap-in: {only}. Keys only in live: {missing}."
        )


@contextlib.contextmanager
def swap_in_optimizer_params_and_state(optimizer, swapin_parameters: dict, swapin_optim_state: dict):
    """Within: the optimizer has these parameters, in its own order, and this state and these options (of `state_dict()`'s form).

    Tensors of the state are changed in place by steps; its dicts, and the optimizer afterwards, are as they were.
    Raises: RuntimeError for an optimizer without a state yet, and for what is not a state dict of it.
    Reference: https://docs.pytorch.org/docs/stable/optim.html
    """
    state, groups = _check(optimizer, swapin_optim_state)
    given = list(swapin_parameters.values())
    before, snapshots = optimizer.state, [dict(group) for group in optimizer.param_groups]
    swapped, start = defaultdict(dict), 0
    for group in groups:
        params = given[start : start + len(group["params"])]
        if len(params) < len(group["params"]):
            raise RuntimeError(f"{_NAME} requires the explicit parameter state to match optimizer.param_groups ordering.")
        start += len(params)
        swapped.update({p: dict(state.get(index, {})) for p, index in zip(params, group["params"], strict=True)})
    start = 0
    try:
        for live, group in zip(optimizer.param_groups, groups, strict=True):
            n = len(group["params"])
            live.update(group, params=given[start : start + n])
            start += n
        optimizer.state = swapped
        yield
    finally:
        for live, snapshot in zip(optimizer.param_groups, snapshots, strict=True):
            live.clear()
            live.update(snapshot)
        optimizer.state = before
