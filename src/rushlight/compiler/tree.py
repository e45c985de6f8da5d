"""Nested lists, tuples and dicts of values, flattened and put together again."""

from __future__ import annotations

__all__ = ["flatten", "unflatten"]

LEAF = object()


def flatten(value, leaves):
    """Appends the leaves of `value` to `leaves`; returns its structure, which compares equal to that of a like value."""
    if type(value) is tuple or type(value) is list:
        return (type(value), *(flatten(v, leaves) for v in value))
    if type(value) is dict:
        return (dict, *((k, flatten(v, leaves)) for k, v in value.items()))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return (type(value), *(flatten(v, leaves) for v in value))
    leaves.append(value)
    return LEAF


def unflatten(structure, leaves):
    """The value of this structure with leaves taken from an iterator."""
    if structure is LEAF:
        return next(leaves)
    kind, *parts = structure
    if kind is dict:
        return {k: unflatten(s, leaves) for k, s in parts}
    values = [unflatten(s, leaves) for s in parts]
    return kind(values) if kind in (tuple, list) else kind(*values)
