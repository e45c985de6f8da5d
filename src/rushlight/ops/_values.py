"""Checks of values, made by kernels (native/kernels/check.cpp): recorded like any call, and so made again in every repetition.

Note [Values in Python]: code that reads a value into Python, to check it or to choose what to do, cannot be recorded by
`compile`. An op whose result has a shape that values do not decide should not do it: checks go to a kernel, and a choice
between two ways of computing one thing is made for the longer way while a step is being recorded (`may_read`).
"""

from __future__ import annotations

import numpy as np

from .. import _recording
from .._kernels import K
from ..autograd.interop import array_from_numpy
from ._declare import contig

__all__ = [
    "check_index", "check_floats", "check_true", "may_read", "POSITION", "COPIED", "TAKEN",
    "QUANTILES", "NANQUANTILES", "DEVIATIONS", "VARIANCES", "WEIGHTS", "SUMS", "NO_ZEROS", "FINITE",
]  # fmt: skip

POSITION, COPIED, TAKEN = range(3)
QUANTILES, NANQUANTILES, DEVIATIONS, VARIANCES, WEIGHTS, SUMS, NO_ZEROS, FINITE = range(8)


def check_index(index, rule, size, dim=0) -> None:
    """Raises what the rule says if an element of an int64 tensor lies outside of a dimension of this size."""
    K.check_index(contig(index._a), rule, size, dim)


def check_floats(x, rule, number=0.0) -> None:
    """Raises what the rule says if an element of `x` breaks it. `number` is for the message."""
    K.check_floats(contig((x if x.is_floating_point() else x.double())._a), rule, number)


def may_read() -> bool:
    """Whether values may be looked at to find a shorter way: not while a step is being recorded."""
    return _recording.watching() is None


def check_true(ok, message) -> None:
    """ValueError with this message unless a bool tensor is all true."""
    text = array_from_numpy(np.frombuffer(message.encode(), dtype=np.uint8).copy())
    K.check_true(contig(ok._a), text)
