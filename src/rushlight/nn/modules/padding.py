"""Padding layers. `padding`: one size for every side, or (left, right, top, bottom, …), last dimension first."""

from __future__ import annotations

from .. import functional as F
from .module import Module

__all__ = [f"{kind}Pad{n}d" for kind in ("Zero", "Constant", "Reflection", "Replication", "Circular") for n in (1, 2, 3)]


class _Pad(Module):
    mode, dims = "constant", 1

    def __init__(self, padding):
        super().__init__()
        self.padding = (padding,) * (2 * self.dims) if isinstance(padding, int) else tuple(padding)

    def forward(self, input):
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self):
        return f"{self.padding}"


class _ConstantPad(_Pad):
    def __init__(self, padding, value: float):
        super().__init__(padding)
        self.value = value

    def forward(self, input):
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self):
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_ConstantPad):
    def __init__(self, padding):
        super().__init__(padding, 0.0)

    def extra_repr(self):
        return f"{self.padding}"


class _CircularPad(_Pad):
    mode = "circular"

    def forward(self, input):
        n = self.dims
        if input.dim() not in (n + 1, n + 2):
            raise ValueError(f"expected {n + 1}D or {n + 2}D input (got {input.dim()}D input)")
        return super().forward(input)


class ConstantPad1d(_ConstantPad):
    """A constant around the last dimension."""

    dims = 1


class ConstantPad2d(_ConstantPad):
    """A constant around the last two dimensions."""

    dims = 2


class ConstantPad3d(_ConstantPad):
    """A constant around the last three dimensions."""

    dims = 3


class ZeroPad1d(_ZeroPad):
    """Zeros around the last dimension."""

    dims = 1


class ZeroPad2d(_ZeroPad):
    """Zeros around the last two dimensions."""

    dims = 2


class ZeroPad3d(_ZeroPad):
    """Zeros around the last three dimensions."""

    dims = 3


class ReflectionPad1d(_Pad):
    """The last dimension continued by its mirror image, the edge not repeated."""

    mode, dims = "reflect", 1


class ReflectionPad2d(_Pad):
    """The last two dimensions continued by their mirror images."""

    mode, dims = "reflect", 2


class ReflectionPad3d(_Pad):
    """The last three dimensions continued by their mirror images."""

    mode, dims = "reflect", 3


class ReplicationPad1d(_Pad):
    """The last dimension continued by its edges."""

    mode, dims = "replicate", 1


class ReplicationPad2d(_Pad):
    """The last two dimensions continued by their edges."""

    mode, dims = "replicate", 2


class ReplicationPad3d(_Pad):
    """The last three dimensions continued by their edges."""

    mode, dims = "replicate", 3


class CircularPad1d(_CircularPad):
    """The last dimension continued by its other end."""

    dims = 1


class CircularPad2d(_CircularPad):
    """The last two dimensions continued by their other ends."""

    dims = 2


class CircularPad3d(_CircularPad):
    """The last three dimensions continued by their other ends."""

    dims = 3
