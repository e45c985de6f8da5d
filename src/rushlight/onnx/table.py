"""The table of lowerings, and the decorator that fills it."""

from __future__ import annotations

__all__ = ["LOWERINGS", "lower"]

LOWERINGS = {}


def lower(*names):
    """Makes a function the lowering of these ops."""

    def add(f):
        for name in names:
            LOWERINGS[name] = f
        return f

    return add
