"""Augmentation policies: AutoAugment, RandAugment, TrivialAugmentWide."""

from __future__ import annotations

import math
from enum import Enum
from numbers import Number

from ... import ops
from ...autograd.tensor import Tensor
from ...nn import Module
from . import functional as F
from ._modes import InterpolationMode, as_mode

__all__ = ["AutoAugmentPolicy", "AutoAugment", "RandAugment", "TrivialAugmentWide"]


class AutoAugmentPolicy(Enum):
    """The data set that a policy was found on."""

    IMAGENET = "imagenet"
    CIFAR10 = "cifar10"
    SVHN = "svhn"


# The published policies, of two steps each: operation, probability, and place in its range of strengths (of 10).
# Cubuk et al., https://arxiv.org/abs/1805.09501
_POLICIES = {
    AutoAugmentPolicy.IMAGENET: """
        Posterize 0.4 8, Rotate 0.6 9 / Solarize 0.6 5, AutoContrast 0.6 / Equalize 0.8, Equalize 0.6
        Posterize 0.6 7, Posterize 0.6 6 / Equalize 0.4, Solarize 0.2 4 / Equalize 0.4, Rotate 0.8 8
        Solarize 0.6 3, Equalize 0.6 / Posterize 0.8 5, Equalize 1.0 / Rotate 0.2 3, Solarize 0.6 8
        Equalize 0.6, Posterize 0.4 6 / Rotate 0.8 8, Color 0.4 0 / Rotate 0.4 9, Equalize 0.6
        Equalize 0.0, Equalize 0.8 / Invert 0.6, Equalize 1.0 / Color 0.6 4, Contrast 1.0 8
        Rotate 0.8 8, Color 1.0 2 / Color 0.8 8, Solarize 0.8 7 / Sharpness 0.4 7, Invert 0.6
        ShearX 0.6 5, Equalize 1.0 / Color 0.4 0, Equalize 0.6 / Equalize 0.4, Solarize 0.2 4
        Solarize 0.6 5, AutoContrast 0.6 / Invert 0.6, Equalize 1.0 / Color 0.6 4, Contrast 1.0 8
        Equalize 0.8, Equalize 0.6
    """,
    AutoAugmentPolicy.CIFAR10: """
        Invert 0.1, Contrast 0.2 6 / Rotate 0.7 2, TranslateX 0.3 9 / Sharpness 0.8 1, Sharpness 0.9 3
        ShearY 0.5 8, TranslateY 0.7 9 / AutoContrast 0.5, Equalize 0.9 / ShearY 0.2 7, Posterize 0.3 7
        Color 0.4 3, Brightness 0.6 7 / Sharpness 0.3 9, Brightness 0.7 9 / Equalize 0.6, Equalize 0.5
        Contrast 0.6 7, Sharpness 0.6 5 / Color 0.7 7, TranslateX 0.5 8 / Equalize 0.3, AutoContrast 0.4
        TranslateY 0.4 3, Sharpness 0.2 6 / Brightness 0.9 6, Color 0.2 8 / Solarize 0.5 2, Invert 0.0
        Equalize 0.2, AutoContrast 0.6 / Equalize 0.2, Equalize 0.6 / Color 0.9 9, Equalize 0.6
        AutoContrast 0.8, Solarize 0.2 8 / Brightness 0.1 3, Color 0.7 0 / Solarize 0.4 5, AutoContrast 0.9
        TranslateY 0.9 9, TranslateY 0.7 9 / AutoContrast 0.9, Solarize 0.8 3 / Equalize 0.8, Invert 0.1
        TranslateY 0.7 9, AutoContrast 0.9
    """,
    AutoAugmentPolicy.SVHN: """
        ShearX 0.9 4, Invert 0.2 / ShearY 0.9 8, Invert 0.7 / Equalize 0.6, Solarize 0.6 6
        Invert 0.9, Equalize 0.6 / Equalize 0.6, Rotate 0.9 3 / ShearX 0.9 4, AutoContrast 0.8
        ShearY 0.9 8, Invert 0.4 / ShearY 0.9 5, Solarize 0.2 6 / Invert 0.9, AutoContrast 0.8
        Equalize 0.6, Rotate 0.9 3 / ShearX 0.9 4, Solarize 0.3 3 / ShearY 0.8 8, Invert 0.7
        Equalize 0.9, TranslateY 0.6 6 / Invert 0.9, Equalize 0.6 / Contrast 0.3 3, Rotate 0.8 4
        Invert 0.8, TranslateY 0.0 2 / ShearY 0.7 6, Solarize 0.4 8 / Invert 0.6, Rotate 0.8 4
        ShearY 0.3 7, TranslateX 0.9 3 / ShearX 0.1 6, Invert 0.6 / Solarize 0.7 2, TranslateY 0.6 7
        ShearY 0.8 4, Invert 0.8 / ShearX 0.7 9, TranslateY 0.8 3 / ShearY 0.8 5, AutoContrast 0.7
        ShearX 0.7 2, Invert 0.1
    """,
}


def _steps(text):
    """[((operation, probability, place or None), (the second step)), ...]"""
    policies = [policy for line in text.strip().splitlines() for policy in line.split(" / ")]
    return [tuple(_step(*step.split()) for step in policy.split(",")) for policy in policies]


def _step(name, p, place=None):
    return name, float(p), None if place is None else int(place)


def _shear(axis):
    def function(img, magnitude, mode, fill):
        shear = [0.0, 0.0]
        shear[axis] = math.degrees(math.atan(magnitude))
        return F.affine(img, 0.0, [0, 0], 1.0, shear, interpolation=mode, fill=fill, center=[0, 0])

    return function


def _translate(axis):
    def function(img, magnitude, mode, fill):
        move = [0, 0]
        move[axis] = int(magnitude)
        return F.affine(img, 0.0, move, 1.0, [0.0, 0.0], interpolation=mode, fill=fill)

    return function


_OPERATIONS = {
    "Identity": lambda img, magnitude, mode, fill: img,
    "ShearX": _shear(0), "ShearY": _shear(1), "TranslateX": _translate(0), "TranslateY": _translate(1),
    "Rotate": lambda img, magnitude, mode, fill: F.rotate(img, magnitude, interpolation=mode, fill=fill),
    "Brightness": lambda img, magnitude, mode, fill: F.adjust_brightness(img, 1.0 + magnitude),
    "Color": lambda img, magnitude, mode, fill: F.adjust_saturation(img, 1.0 + magnitude),
    "Contrast": lambda img, magnitude, mode, fill: F.adjust_contrast(img, 1.0 + magnitude),
    "Sharpness": lambda img, magnitude, mode, fill: F.adjust_sharpness(img, 1.0 + magnitude),
    "Posterize": lambda img, magnitude, mode, fill: F.posterize(img, int(magnitude)),
    "Solarize": lambda img, magnitude, mode, fill: F.solarize(img, magnitude),
    "AutoContrast": lambda img, magnitude, mode, fill: F.autocontrast(img),
    "Equalize": lambda img, magnitude, mode, fill: F.equalize(img),
    "Invert": lambda img, magnitude, mode, fill: F.invert(img),
}  # fmt: skip
_COLOURS = ("Brightness", "Color", "Contrast", "Sharpness")


def _space(bins, shear, move_x, move_y, turn, colour, bits):
    """{operation: (strengths, whether the sign is drawn)}, in the order in which operations are numbered."""

    def up_to(most):
        return ops.linspace(0.0, most, bins), True

    none = (None, False)
    return {
        "Identity": none, "ShearX": up_to(shear), "ShearY": up_to(shear), "TranslateX": up_to(move_x),
        "TranslateY": up_to(move_y), "Rotate": up_to(turn), **{name: up_to(colour) for name in _COLOURS},
        "Posterize": (8 - (ops.arange(bins) / ((bins - 1) / bits)).round().int(), False),
        "Solarize": (ops.linspace(255.0, 0.0, bins), False), "AutoContrast": none, "Equalize": none,
    }  # fmt: skip


class _Augment(Module):
    def __init__(self, interpolation, fill):
        super().__init__()
        self.interpolation, self.fill = as_mode(interpolation), fill

    def _apply(self, img, name, magnitude):
        fill = self.fill
        if isinstance(img, Tensor) and fill is not None:
            fill = [float(fill)] * F.get_dimensions(img)[0] if isinstance(fill, Number) else [float(f) for f in fill]
        return _OPERATIONS[name](img, magnitude, self.interpolation, fill)


class AutoAugment(_Augment):
    """One of 25 policies that were found to help on a data set; each is two operations with probabilities.

    Reference: Cubuk et al., https://arxiv.org/abs/1805.09501
    """

    def __init__(self, policy=AutoAugmentPolicy.IMAGENET, interpolation=InterpolationMode.NEAREST, fill=None):
        super().__init__(interpolation, fill)
        if policy not in _POLICIES:
            raise ValueError(f"The provided policy {policy} is not recognized.")
        self.policy, self.policies = policy, _steps(_POLICIES[policy])

    @staticmethod
    def get_params(transform_num):
        """(number of the policy, two numbers to compare with the probabilities, two signs)."""
        return int(ops.randint(transform_num, (1,)).item()), ops.rand((2,)), ops.randint(2, (2,))

    def forward(self, img):
        chosen, probabilities, signs = self.get_params(len(self.policies))
        _, height, width = F.get_dimensions(img)
        space = _space(10, 0.3, 150.0 / 331.0 * width, 150.0 / 331.0 * height, 30.0, 0.9, 4)
        for i, (name, p, place) in enumerate(self.policies[chosen]):
            if not probabilities[i] <= p:
                continue
            strengths, signed = space.get(name, (None, False))
            magnitude = 0.0 if place is None else float(strengths[place].item())
            img = self._apply(img, name, -magnitude if signed and signs[i] == 0 else magnitude)
        return img

    def __repr__(self):
        return f"{type(self).__name__}(policy={self.policy}, fill={self.fill})"


class RandAugment(_Augment):
    """num_ops operations by chance, each with the strength number `magnitude` of num_magnitude_bins.

    Reference: Cubuk et al., https://arxiv.org/abs/1909.13719
    """

    def __init__(self, num_ops=2, magnitude=9, num_magnitude_bins=31, interpolation=InterpolationMode.NEAREST, fill=None):
        super().__init__(interpolation, fill)
        self.num_ops, self.magnitude, self.num_magnitude_bins = num_ops, magnitude, num_magnitude_bins

    def forward(self, img):
        _, height, width = F.get_dimensions(img)
        space = _space(self.num_magnitude_bins, 0.3, 150.0 / 331.0 * width, 150.0 / 331.0 * height, 30.0, 0.9, 4)
        for _ in range(self.num_ops):
            name = list(space)[int(ops.randint(len(space), (1,)).item())]
            strengths, signed = space[name]
            magnitude = 0.0 if strengths is None else float(strengths[self.magnitude].item())
            if signed and ops.randint(2, (1,)):
                magnitude *= -1.0
            img = self._apply(img, name, magnitude)
        return img

    def __repr__(self):
        return (
            f"{type(self).__name__}(num_ops={self.num_ops}, magnitude={self.magnitude}, "
            f"num_magnitude_bins={self.num_magnitude_bins}, interpolation={self.interpolation}, fill={self.fill})"
        )


class TrivialAugmentWide(_Augment):
    """One operation by chance, with a strength by chance.

    Reference: Müller and Hutter, https://arxiv.org/abs/2103.10158
    """

    def __init__(self, num_magnitude_bins=31, interpolation=InterpolationMode.NEAREST, fill=None):
        super().__init__(interpolation, fill)
        self.num_magnitude_bins = num_magnitude_bins

    def forward(self, img):
        space = _space(self.num_magnitude_bins, 0.99, 32.0, 32.0, 135.0, 0.99, 6)
        name = list(space)[int(ops.randint(len(space), (1,)).item())]
        strengths, signed = space[name]
        magnitude = 0.0
        if strengths is not None:
            magnitude = float(strengths[int(ops.randint(len(strengths), (1,)).item())].item())
        if signed and ops.randint(2, (1,)):
            magnitude *= -1.0
        return self._apply(img, name, magnitude)

    def __repr__(self):
        return (
            f"{type(self).__name__}(num_magnitude_bins={self.num_magnitude_bins}, interpolation={self.interpolation}, "
            f"fill={self.fill})"
        )
