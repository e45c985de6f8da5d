"""Brightness, contrast, saturation, hue, grey."""

from __future__ import annotations

import numpy as np

from ... import _dtypes, ops
from ...autograd.tensor import Tensor
from .._pillow import pillow
from ._what import get_dimensions, require_image

__all__ = ["adjust_brightness", "adjust_contrast", "adjust_saturation", "adjust_hue", "to_grayscale",
           "rgb_to_grayscale", "max_value", "blend"]  # fmt: skip


def max_value(dtype) -> int:
    """The value of white: 1 for floating point, else the largest integer."""
    return 1 if dtype.is_floating_point or dtype == _dtypes.bool else _dtypes.iinfo(dtype).max


def _enhance(img, what, factor):
    return getattr(pillow("ImageEnhance"), what)(img).enhance(factor)


def blend(a: Tensor, b: Tensor, ratio: float) -> Tensor:
    """ratio a + (1 - ratio) b, within the dtype's range."""
    ratio = float(ratio)  # an integer would keep the arithmetic in the image's dtype
    return (ratio * a + (1.0 - ratio) * b).clamp(0, max_value(a.dtype)).to(a.dtype)


def _not_negative(factor, name):
    if factor < 0:
        raise ValueError(f"{name} ({factor}) is not non-negative.")


def _grey(img: Tensor) -> Tensor:
    r, g, b = img.unbind(dim=-3)
    return (0.2989 * r + 0.587 * g + 0.114 * b).to(img.dtype).unsqueeze(-3)


def rgb_to_grayscale(img, num_output_channels: int = 1):
    """0.2989 R + 0.587 G + 0.114 B, in one channel or three equal ones; a grey tensor image stays as it is."""
    require_image(img)
    if num_output_channels not in (1, 3):
        raise ValueError("num_output_channels should be either 1 or 3")
    if not isinstance(img, Tensor):
        return to_grayscale(img, num_output_channels)
    grey = _grey(img) if get_dimensions(img)[0] == 3 else img.clone()
    return grey.expand(img.shape) if num_output_channels == 3 else grey


def to_grayscale(img, num_output_channels: int = 1):
    """A grey Pillow image, with one channel (mode L) or three equal ones (RGB)."""
    if isinstance(img, Tensor):
        raise TypeError("Input should be PIL Image")
    grey = img.convert("L")
    return grey if num_output_channels == 1 else pillow().merge("RGB", (grey,) * 3)


def adjust_brightness(img, brightness_factor: float):
    """0 is black, 1 the image itself."""
    require_image(img)
    if not isinstance(img, Tensor):
        return _enhance(img, "Brightness", brightness_factor)
    _not_negative(brightness_factor, "brightness_factor")
    return blend(img, ops.zeros_like(img), brightness_factor)


def adjust_contrast(img, contrast_factor: float):
    """0 is the mean grey, 1 the image itself."""
    require_image(img)
    if not isinstance(img, Tensor):
        return _enhance(img, "Contrast", contrast_factor)
    _not_negative(contrast_factor, "contrast_factor")
    dtype = img.dtype if img.is_floating_point() else _dtypes.float32
    grey = _grey(img) if get_dimensions(img)[0] == 3 else img
    return blend(img, grey.to(dtype).mean(dim=(-3, -2, -1), keepdim=True), contrast_factor)


def adjust_saturation(img, saturation_factor: float):
    """0 is the grey image, 1 the image itself."""
    require_image(img)
    if not isinstance(img, Tensor):
        return _enhance(img, "Color", saturation_factor)
    _not_negative(saturation_factor, "saturation_factor")
    return img if get_dimensions(img)[0] == 1 else blend(img, _grey(img), saturation_factor)


def _rgb_to_hsv(img):
    r, g, b = img.unbind(dim=-3)
    high, low = img.amax(dim=-3), img.amin(dim=-3)
    flat = high == low
    spread = high - low
    ones = ops.ones_like(high)
    saturation = spread / ops.where(flat, ones, high)
    divisor = ops.where(flat, ones, spread)
    rc, gc, bc = (high - r) / divisor, (high - g) / divisor, (high - b) / divisor
    h = (high == r) * (bc - gc) + ((high == g) & (high != r)) * (2.0 + rc - bc)
    h = h + ((high != g) & (high != r)) * (4.0 + gc - rc)
    return ops.fmod(h / 6.0 + 1.0, 1.0), saturation, high


def _hsv_to_rgb(h, s, v):
    i = ops.floor(h * 6.0)
    f = h * 6.0 - i
    sector = i.to(_dtypes.int32) % 6
    p = (v * (1.0 - s)).clamp(0.0, 1.0)
    q = (v * (1.0 - s * f)).clamp(0.0, 1.0)
    t = (v * (1.0 - s * (1.0 - f))).clamp(0.0, 1.0)
    channels = ((v, q, p, p, t, v), (t, v, v, q, p, p), (p, p, t, v, v, q))
    return ops.stack([sum((sector == k).to(v.dtype) * c for k, c in enumerate(row)) for row in channels], dim=-3)


def adjust_hue(img, hue_factor: float):
    """Turns the colour circle by hue_factor: 0.5 is half a turn, 0 the image itself. Grey images stay as they are."""
    if not -0.5 <= hue_factor <= 0.5:
        raise ValueError(f"hue_factor ({hue_factor}) is not in [-0.5, 0.5].")
    require_image(img)
    if isinstance(img, Tensor):
        if get_dimensions(img)[0] == 1:
            return img
        dtype = img.dtype
        scaled = img if dtype.is_floating_point else img.to(_dtypes.float32) / max_value(dtype)
        h, s, v = _rgb_to_hsv(scaled)
        result = _hsv_to_rgb((h + hue_factor) % 1.0, s, v)
        return result if dtype.is_floating_point else result.mul(max_value(dtype) + 1.0 - 1e-3).to(dtype)
    if img.mode in ("L", "1", "I", "F"):
        return img
    h, s, v = img.convert("HSV").split()
    shifted = np.array(h, dtype=np.uint8) + np.int32(hue_factor * 255).astype(np.uint8)
    h = pillow().fromarray(shifted)
    return pillow().merge("HSV", (h, s, v)).convert(img.mode)
