"""Argument checks that several ops share. Each raises what PyTorch raises, before anything is allocated."""

from __future__ import annotations

import operator

from . import _native

__all__ = ["dim", "dims", "shape_args", "mask_of", "typename"]


def dim(d, ndim: int) -> int:
    """A dimension as 0..ndim-1. Raises IndexError if it is out of range."""
    low, high = (-ndim, ndim - 1) if ndim else (-1, 0)
    if type(d) is not int:
        try:
            d = operator.index(d)
        except TypeError:
            raise TypeError(f"argument 'dim' must be int, not {type(d).__name__}") from None
    if not low <= d <= high:
        raise IndexError(f"Dimension out of range (expected to be in range of [{low}, {high}], but got {d})")
    return d + ndim if d < 0 else d


def dims(ds, ndim: int) -> tuple[int, ...]:
    """One dimension or several, wrapped; RuntimeError if one occurs twice."""
    if isinstance(ds, (tuple, list)):
        out = tuple(dim(d, ndim) for d in ds)
        if len(set(out)) != len(out):
            twice = next(d for d in out if out.count(d) > 1)
            raise RuntimeError(f"dim {twice} appears multiple times in the list of dims")
        return out
    return (dim(ds, ndim),)


def mask_of(ds, ndim: int) -> int:
    """Dimensions as a bit mask; None or an empty list means all of them."""
    if ds is None or (isinstance(ds, (tuple, list)) and not ds):
        return (1 << ndim) - 1
    mask = 0
    for d in dims(ds, ndim):
        mask |= 1 << d
    return mask & ((1 << ndim) - 1)


def shape_args(args) -> tuple[int, ...]:
    """The shape from `f(2, 3)`, `f((2, 3))` or `f(torch.Size([2, 3]))`."""
    if len(args) == 1 and not isinstance(args[0], int) and hasattr(args[0], "__iter__"):
        args = args[0]
    return tuple(s if type(s) is int else operator.index(s) for s in args)


def typename(x) -> str:
    """A type's name as PyTorch writes it in messages: "torch.FloatTensor", "int", "torch.nn.modules.linear.Linear"."""
    if isinstance(x, _native.TensorBase):
        return x.type()
    kind = x if isinstance(x, type) else type(x)
    name = kind.__qualname__
    if kind.__module__ in ("builtins", "__builtin__", None):
        return name
    return f"{kind.__module__.replace('rushlight', 'torch', 1)}.{name}"
