"""Arguments that are one number or one per dimension."""

from __future__ import annotations

__all__ = ["repeat"]


def repeat(value, n: int) -> tuple:
    """`value` n times, or the tuple that it already is."""
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * n
