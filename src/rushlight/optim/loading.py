"""Which parameter gets which part of a loaded state dict, and whether it is this algorithm's at all."""

from __future__ import annotations

import difflib
from itertools import chain

__all__ = ["match", "check_state"]

_SIZES = "loaded state dict contains a parameter group that doesn't match the size of optimizer's group"

# Options that state dicts saved before they were added may lack.
_ADDED_LATER = {"amsgrad", "capturable", "centered", "decoupled_weight_decay", "differentiable", "foreach", "fused",
                "maximize", "momentum_decay", "nesterov"}  # fmt: skip

# Options by which PyTorch's algorithms can be told from each other; schedulers add other keys to groups.
_TELLING = {"alpha", "beta2_decay", "betas", "dampening", "etas", "history_size", "initial_accumulator_value", "lambd",
            "lr_decay", "max_iter", "momentum", "ns_steps", "rho", "step_sizes"}  # fmt: skip


def match(groups, saved) -> dict:
    """{saved index: parameter}: by name where every group on both sides has names that occur once, else by position.

    Raises: ValueError if the numbers of groups or parameters differ, or the names.
    """
    if len(groups) != len(saved):
        raise ValueError("loaded state dict has a different number of parameter groups")
    sizes = all(len(g["params"]) == len(s["params"]) for g, s in zip(groups, saved, strict=True))
    here, there = _by_name(groups), _by_name(saved)
    if here is None or there is None:
        if not sizes:
            raise ValueError(_SIZES)
        return dict(zip(_all(saved), _all(groups), strict=True))
    if here.keys() != there.keys():
        raise ValueError(_names_differ(here, there, sizes))
    return {index: here[name] for name, index in there.items()}


def _all(groups):
    return chain.from_iterable(group["params"] for group in groups)


def _by_name(groups):
    names = []
    for group in groups:
        own = group.get("param_names")
        if own is None or len(own) != len(group["params"]):
            return None
        names += own
    return dict(zip(names, _all(groups), strict=True)) if len(set(names)) == len(names) else None


def _names_differ(here, there, sizes):
    lines = ["loaded state dict names other parameters than the optimizer" if sizes else _SIZES]
    for side, own, others in (("the state dict", there, here), ("the optimizer", here, there)):
        alone = [name for name in own if name not in others]
        for name in alone[:10]:
            near = difflib.get_close_matches(name, [n for n in others if n not in own] or others, 3, 0)
            lines.append(f"only {side} has {name!r}; the nearest names on the other side are {', '.join(map(repr, near))}")
        if len(alone) > 10:
            lines.append(f"and {len(alone) - 10} more that only {side} has")
    return "\n".join(lines)


def check_state(optimizer, saved, state, params) -> None:
    """Raises ValueError if `state` and the options in `saved` are not what `optimizer` works with."""
    kind = type(optimizer).__name__
    # A class of the user's that has a step of its own may keep other states.
    own_step = type(optimizer).step.__module__.split(".")[0] == __name__.split(".")[0]
    for group in saved:
        absent = [k for k in optimizer.defaults if k not in group and k not in _ADDED_LATER]
        foreign = [k for k in group if k in _TELLING and k not in optimizer.defaults]
        if absent and foreign:
            raise ValueError(
                f"loaded state dict was saved from another algorithm than {kind}: it has the option {foreign[0]!r} and "
                f"lacks {absent[0]!r}"
            )
        required = optimizer.required_state({**optimizer.defaults, **group}) if own_step else ()
        for index in group["params"]:
            own = state.get(index)
            if own:
                _check_one(kind, required, own, params[index], _label(group, index))


def _check_one(kind, required, own, p, label):
    lacking = [name for name in required if name not in own]
    if lacking:
        raise ValueError(
            f"loaded state dict was saved from another algorithm than {kind}: the state of parameter {label} has "
            f"{', '.join(map(str, own))}, and lacks {lacking[0]!r}"
        )
    for name in required:
        shape = getattr(own[name], "shape", ())
        if len(shape) and tuple(shape) != tuple(p.shape):
            raise ValueError(
                f"loaded state dict does not fit: {name!r} of parameter {label} has shape {list(shape)}, but the "
                f"optimizer's parameter has shape {list(p.shape)}"
            )


def _label(group, index):
    names = group.get("param_names")
    return repr(names[group["params"].index(index)]) if names else str(index)
