"""Interpolation modes, by name and by Pillow's numbers."""

from __future__ import annotations

from enum import Enum

__all__ = ["InterpolationMode", "PIL_MODE", "as_mode"]


class InterpolationMode(Enum):
    """How pixels between pixels are made. Tensors have nearest, nearest-exact, bilinear and bicubic."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


_FROM_PIL = {0: "nearest", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming", 1: "lanczos"}
PIL_MODE = {name: number for number, name in _FROM_PIL.items()} | {"nearest-exact": 0}


def as_mode(interpolation) -> InterpolationMode:
    """A mode from itself or from Pillow's number for it."""
    if isinstance(interpolation, int):
        return InterpolationMode(_FROM_PIL[interpolation])
    if not isinstance(interpolation, InterpolationMode):
        raise TypeError("Argument interpolation should be a InterpolationMode or a corresponding Pillow integer constant")
    return interpolation
