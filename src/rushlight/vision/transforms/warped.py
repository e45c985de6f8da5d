"""Affine maps, perspective and elastic displacement by chance."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Number

from ... import ops
from ...autograd.tensor import Tensor
from ...nn import Module
from . import functional as F
from ._modes import InterpolationMode, as_mode
from .randomized import uniform

__all__ = ["RandomAffine", "RandomPerspective", "ElasticTransform"]


def _sequence(x, name, lengths):
    text = str(lengths[0]) if len(lengths) == 1 else " or ".join(map(str, lengths))
    if not isinstance(x, Sequence):
        raise TypeError(f"{name} should be a sequence of length {text}.")
    if len(x) not in lengths:
        raise ValueError(f"{name} should be a sequence of length {text}.")


def _angles(x, name, lengths=(2,)):
    if isinstance(x, Number):
        if x < 0:
            raise ValueError(f"If {name} is a single number, it must be positive.")
        return [-float(x), float(x)]
    _sequence(x, name, lengths)
    return [float(v) for v in x]


def _fill(fill):
    if fill is not None and not isinstance(fill, (Sequence, Number)):
        raise TypeError("Fill should be either a sequence or a number.")
    return 0 if fill is None else fill


def _colour(fill, img):
    if not isinstance(img, Tensor):
        return fill
    return [float(fill)] * F.get_dimensions(img)[0] if isinstance(fill, Number) else [float(f) for f in fill]


class RandomAffine(Module):
    """Turned by an angle in `degrees`, moved by at most `translate` of (width, height), scaled and sheared by chance."""

    def __init__(self, degrees, translate=None, scale=None, shear=None, interpolation=InterpolationMode.NEAREST, fill=0,
                 center=None):  # fmt: skip
        super().__init__()
        self.degrees = _angles(degrees, "degrees")
        if translate is not None:
            _sequence(translate, "translate", (2,))
            if not all(0.0 <= t <= 1.0 for t in translate):
                raise ValueError("translation values should be between 0 and 1")
        if scale is not None:
            _sequence(scale, "scale", (2,))
            if min(scale) <= 0:
                raise ValueError("scale values should be positive")
        self.translate, self.scale = translate, scale
        self.shear = shear if shear is None else _angles(shear, "shear", (2, 4))
        if center is not None:
            _sequence(center, "center", (2,))
        self.interpolation, self.fill, self.center = as_mode(interpolation), _fill(fill), center

    @staticmethod
    def get_params(degrees, translate, scale_ranges, shears, img_size):
        """(angle, (x, y), scale, (shear of x, shear of y)) for an image of img_size (width, height)."""
        angle = uniform(*degrees)
        moves = (0, 0)
        if translate is not None:
            reach = [float(t * n) for t, n in zip(translate, img_size, strict=True)]
            moves = tuple(int(round(uniform(-r, r))) for r in reach)
        scale = 1.0 if scale_ranges is None else uniform(*scale_ranges)
        shear = (0.0, 0.0)
        if shears is not None:
            shear = (uniform(*shears[:2]), uniform(*shears[2:]) if len(shears) == 4 else 0.0)
        return angle, moves, scale, shear

    def forward(self, img):
        _, height, width = F.get_dimensions(img)
        drawn = self.get_params(self.degrees, self.translate, self.scale, self.shear, [width, height])
        return F.affine(img, *drawn, interpolation=self.interpolation, fill=_colour(self.fill, img), center=self.center)

    def __repr__(self):
        parts = [f"degrees={self.degrees}"]
        parts += [f"{k}={getattr(self, k)}" for k in ("translate", "scale", "shear") if getattr(self, k) is not None]
        if self.interpolation is not InterpolationMode.NEAREST:
            parts.append(f"interpolation={self.interpolation.value}")
        if self.fill != 0:
            parts.append(f"fill={self.fill}")
        if self.center is not None:
            parts.append(f"center={self.center}")
        return f"{type(self).__name__}({', '.join(parts)})"


class RandomPerspective(Module):
    """With probability p, seen from elsewhere: each corner moves inwards by at most distortion_scale of half a side."""

    def __init__(self, distortion_scale=0.5, p=0.5, interpolation=InterpolationMode.BILINEAR, fill=0):
        super().__init__()
        self.p, self.distortion_scale = p, distortion_scale
        self.interpolation, self.fill = as_mode(interpolation), _fill(fill)

    @staticmethod
    def get_params(width, height, distortion_scale):
        """(the corners, where they go), from the top left clockwise."""
        reach_x, reach_y = int(distortion_scale * (width // 2)), int(distortion_scale * (height // 2))

        def draw(low, high):
            return int(ops.randint(low, high, size=(1,)).item())

        left, right = (0, reach_x + 1), (width - reach_x - 1, width)
        top, bottom = (0, reach_y + 1), (height - reach_y - 1, height)
        ends = [[draw(*x), draw(*y)] for x, y in ((left, top), (right, top), (right, bottom), (left, bottom))]
        return [[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], ends

    def forward(self, img):
        _, height, width = F.get_dimensions(img)
        if not ops.rand(1) < self.p:
            return img
        points = self.get_params(width, height, self.distortion_scale)
        return F.perspective(img, *points, self.interpolation, _colour(self.fill, img))

    def __repr__(self):
        return f"{type(self).__name__}(p={self.p})"


class ElasticTransform(Module):
    """Every place moved by a smooth random displacement: of strength `alpha` and smoothness `sigma`, for x and y."""

    def __init__(self, alpha=50.0, sigma=5.0, interpolation=InterpolationMode.BILINEAR, fill=0):
        super().__init__()
        self.alpha, self.sigma = self._pair(alpha, "alpha"), self._pair(sigma, "sigma")
        self.interpolation = as_mode(interpolation)
        if not isinstance(fill, (int, float, list, tuple)):
            raise TypeError(f"fill should be int or float or a list or tuple of them. Got {type(fill)}")
        self.fill = [float(f) for f in (fill if isinstance(fill, (list, tuple)) else [fill])]

    @staticmethod
    def _pair(value, name):
        if not isinstance(value, (float, Sequence)):
            raise TypeError(f"{name} should be float or a sequence of floats. Got {type(value)}")
        if isinstance(value, float):
            return [value, value]
        if len(value) != 2:
            raise ValueError(f"If {name} is a sequence its length should be 2. Got {len(value)}")
        for element in value:
            if not isinstance(element, float):
                raise TypeError(f"{name} should be a sequence of floats. Got {type(element)}")
        return value

    @staticmethod
    def get_params(alpha, sigma, size):
        """The displacement [1, height, width, 2] for an image of size [height, width]."""
        parts = []
        for axis, side in ((0, size[1]), (1, size[0])):
            noise = ops.rand([1, 1, *size]) * 2 - 1
            if sigma[axis] > 0.0:
                n = int(8 * sigma[axis] + 1)
                noise = F.gaussian_blur(noise, [n + (n % 2 == 0)] * 2, sigma)
            parts.append(noise * alpha[axis] / side)
        return ops.cat(parts, 1).permute([0, 2, 3, 1])

    def forward(self, tensor):
        _, height, width = F.get_dimensions(tensor)
        displacement = self.get_params(self.alpha, self.sigma, [height, width])
        return F.elastic_transform(tensor, displacement, self.interpolation, self.fill)

    def __repr__(self):
        return (
            f"{type(self).__name__}(alpha={self.alpha}, sigma={self.sigma}, interpolation={self.interpolation}, "
            f"fill={self.fill})"
        )
