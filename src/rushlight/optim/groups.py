"""Parameter groups and frozen layers by name pattern, and a table that shows what the optimizer will do to whom.

Patterns are shell patterns on the names of `named_parameters()`: "*.bias", "encoder.*", "fc?.weight".
"""

from __future__ import annotations

import difflib
import fnmatch

__all__ = ["param_groups", "freeze", "unfreeze", "matching", "table"]


def matching(named, patterns) -> dict:
    """The entries of {name: parameter} whose name matches one of the patterns."""
    patterns = [patterns] if isinstance(patterns, str) else patterns
    return {n: p for n, p in named.items() if any(fnmatch.fnmatchcase(n, pattern) for pattern in patterns)}


def no_match(pattern, names) -> str:
    """The sentence for a pattern that matches nothing, with the nearest names."""
    names = list(names)
    near = difflib.get_close_matches(pattern, names, 3, 0.4) or names[:12]
    return f"no parameter matches {pattern!r}; the nearest names are {', '.join(near)}" if near else (
        f"no parameter matches {pattern!r}: the model has none")  # fmt: skip


def param_groups(model, rules: dict[str, dict]) -> list[dict]:
    """Groups for an optimizer: one per pattern of `rules` with its options, and one for all other parameters.

    Example: `SGD(param_groups(model, {"*.bias": dict(weight_decay=0), "fc.weight": dict(lr=1e-2)}), lr=1e-3)`.
    Raises: ValueError for a pattern that matches nothing, or two that match the same parameter.
    """
    named = dict(model.named_parameters())
    taken: dict[str, str] = {}  # parameter name: the pattern that has it
    groups = []
    for pattern, options in rules.items():
        found = matching(named, pattern)
        if not found:
            raise ValueError(no_match(pattern, named))
        for name in found:
            if name in taken:
                raise ValueError(f"parameter {name!r} matches both {taken[name]!r} and {pattern!r}; a parameter can be in one group")
            taken[name] = pattern
        groups.append({"params": list(found.items()), **options})
    rest = [(n, p) for n, p in named.items() if n not in taken]
    return [*groups, {"params": rest}] if rest else groups


def _set_requires_grad(model, patterns, value):
    named = dict(model.named_parameters())
    found = {}
    for pattern in patterns:
        chosen = matching(named, pattern)
        if not chosen:
            raise ValueError(no_match(pattern, named))
        found |= chosen
    for p in found.values():
        p.requires_grad_(value)
        if not value:
            p.grad = None  # a stale gradient would still move it
    return list(found)


def freeze(model, *patterns: str) -> list[str]:
    """Turns gradients off for the parameters that match, and drops the gradients they have. Returns their names.

    Raises: ValueError for a pattern that matches nothing.
    """
    return _set_requires_grad(model, patterns, False)


def unfreeze(model, *patterns: str) -> list[str]:
    """Turns gradients on again for the parameters that match. Returns their names.

    Raises: ValueError for a pattern that matches nothing.
    """
    return _set_requires_grad(model, patterns, True)


def table(optimizer, model=None) -> str:
    """One line per parameter: its name and shape, its group, learning rate and weight decay, and whether it is frozen.

    With `model`, parameters have its names, and those that are in no group, and so are never trained, are listed too.
    """
    names = {id(p): n for n, p in model.named_parameters()} if model is not None else {}
    rows, seen = [], set()
    for i, group in enumerate(optimizer.param_groups):
        own = group.get("param_names", ())
        for k, p in enumerate(group["params"]):
            seen.add(id(p))
            name = names.get(id(p)) or (own[k] if k < len(own) else f"{i}.{k}")
            rows.append((name, _shape(p), str(i), f"{float(group['lr']):g}", f"{float(group.get('weight_decay', 0)):g}",
                         "" if p.requires_grad else "frozen"))  # fmt: skip
    if model is not None:
        for name, p in model.named_parameters():
            if id(p) not in seen:
                state = "in no group: never trained" if p.requires_grad else "frozen, in no group"
                rows.append((name, _shape(p), "-", "-", "-", state))
    header = ("parameter", "shape", "group", "lr", "weight decay", "")
    widths = [max(len(row[c]) for row in [header, *rows]) for c in range(len(header))]
    left = (0, 1, 5)
    lines = ["  ".join(cell.ljust(w) if c in left else cell.rjust(w) for c, (cell, w) in enumerate(zip(row, widths, strict=True))).rstrip()
             for row in [header, *rows]]  # fmt: skip
    return "\n".join(lines)


def _shape(p):
    return "×".join(map(str, p.shape)) or "number"
