"""Blur, and enhancements by chance."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Number

from ... import ops
from ...nn import Module
from . import functional as F
from .basic import setup_size
from .randomized import uniform

__all__ = ["GaussianBlur", "RandomInvert", "RandomPosterize", "RandomSolarize", "RandomAdjustSharpness", "RandomAutocontrast",
           "RandomEqualize"]  # fmt: skip


class GaussianBlur(Module):
    """Blurred with a kernel of kernel_size (width, height), with a standard deviation drawn from `sigma`."""

    def __init__(self, kernel_size, sigma=(0.1, 2.0)):
        super().__init__()
        self.kernel_size = setup_size(kernel_size, "Kernel size should be a tuple/list of two integers")
        if any(n <= 0 or n % 2 == 0 for n in self.kernel_size):
            raise ValueError("Kernel size value should be an odd and positive number.")
        if isinstance(sigma, Number):
            if sigma <= 0:
                raise ValueError("If sigma is a single number, it must be positive.")
            sigma = (sigma, sigma)
        elif not isinstance(sigma, Sequence) or len(sigma) != 2:
            raise ValueError("sigma should be a single number or a list/tuple with length 2.")
        elif not 0.0 < sigma[0] <= sigma[1]:
            raise ValueError("sigma values should be positive and of the form (min, max).")
        self.sigma = sigma

    @staticmethod
    def get_params(sigma_min, sigma_max) -> float:
        """The standard deviation."""
        return uniform(sigma_min, sigma_max)

    def forward(self, img):
        sigma = self.get_params(*self.sigma)
        return F.gaussian_blur(img, self.kernel_size, [sigma, sigma])

    def __repr__(self):
        return f"{type(self).__name__}(kernel_size={self.kernel_size}, sigma={self.sigma})"


class _Sometimes(Module):
    """`function` with probability p."""

    function = None
    option = None

    def __init__(self, p=0.5):
        super().__init__()
        self.p = p

    def forward(self, img):
        if not ops.rand(1).item() < self.p:
            return img
        function = type(self).function
        return function(img) if self.option is None else function(img, getattr(self, self.option))

    def __repr__(self):
        option = "" if self.option is None else f"{self.option}={getattr(self, self.option)},"
        return f"{type(self).__name__}({option}p={self.p})"


class RandomInvert(_Sometimes):
    """White becomes black, with probability p."""

    function = F.invert


class RandomAutocontrast(_Sometimes):
    """Each channel stretched to the full range, with probability p."""

    function = F.autocontrast


class RandomEqualize(_Sometimes):
    """Values made about equally frequent, with probability p."""

    function = F.equalize


class RandomPosterize(_Sometimes):
    """Only the highest `bits` bits of each value, with probability p."""

    function, option = F.posterize, "bits"

    def __init__(self, bits, p=0.5):
        super().__init__(p)
        self.bits = bits


class RandomSolarize(_Sometimes):
    """Values from `threshold` on inverted, with probability p."""

    function, option = F.solarize, "threshold"

    def __init__(self, threshold, p=0.5):
        super().__init__(p)
        self.threshold = threshold


class RandomAdjustSharpness(_Sometimes):
    """Sharpened (or blurred, below 1) by sharpness_factor, with probability p."""

    function, option = F.adjust_sharpness, "sharpness_factor"

    def __init__(self, sharpness_factor, p=0.5):
        super().__init__(p)
        self.sharpness_factor = sharpness_factor
