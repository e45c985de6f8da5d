"""Sharpness, blur, gamma, and functions of single values: invert, posterize, solarize, autocontrast, equalize."""

from __future__ import annotations

from ... import _dtypes, ops
from ...autograd.tensor import Tensor
from .._pillow import is_image, pillow
from ._colour import blend, max_value
from ._convert import convert_image_dtype, pil_to_tensor, to_pil_image
from ._what import require_channels, require_image

__all__ = ["invert", "posterize", "solarize", "adjust_sharpness", "adjust_gamma", "autocontrast", "equalize", "gaussian_blur"]


def _floating(img):
    return img.dtype if img.is_floating_point() else _dtypes.float32


def _planes(img):
    if img.ndim < 3:
        raise TypeError(f"Input image tensor should have at least 3 dimensions, but found {img.ndim}")
    require_channels(img)


def _bytes(img):
    if img.dtype is not _dtypes.uint8:
        raise TypeError(f"Only torch.uint8 image tensors are supported, but found {img.dtype}")


def invert(img):
    """White becomes black."""
    require_image(img)
    if not isinstance(img, Tensor):
        return pillow("ImageOps").invert(img)
    _planes(img)
    return max_value(img.dtype) - img


def posterize(img, bits: int):
    """Only the highest `bits` bits of each value."""
    if not 0 <= bits <= 8:
        raise ValueError(f"The number if bits should be between 0 and 8. Got {bits}")
    require_image(img)
    if not isinstance(img, Tensor):
        return pillow("ImageOps").posterize(img, bits)
    if img.ndim < 3:
        raise TypeError(f"Input image tensor should have at least 3 dimensions, but found {img.ndim}")
    _bytes(img)
    require_channels(img)
    return img & (256 - 2 ** (8 - bits))


def solarize(img, threshold: float):
    """Values from `threshold` on are inverted."""
    require_image(img)
    if not isinstance(img, Tensor):
        return pillow("ImageOps").solarize(img, threshold)
    _planes(img)
    if threshold > max_value(img.dtype):
        raise TypeError("Threshold should be less than bound of img.")
    return ops.where(img >= threshold, invert(img), img)


def _filtered(img, kernel, padding=None):
    """Each channel of a tensor image with a kernel [h, w]; integers are rounded."""
    batch = (img if img.ndim >= 4 else img.unsqueeze(0)).to(kernel.dtype)
    if padding is not None:
        batch = ops.pad(batch, padding, mode="reflect")
    channels = batch.shape[-3]
    result = ops.conv2d(batch, kernel.expand(channels, 1, *kernel.shape), groups=channels)
    result = result if img.ndim >= 4 else result.squeeze(0)
    return result.to(img.dtype) if img.is_floating_point() else result.round().to(img.dtype)


def adjust_sharpness(img, sharpness_factor: float):
    """0 is blurred, 1 the image itself, 2 twice as sharp."""
    require_image(img)
    if not isinstance(img, Tensor):
        return pillow("ImageEnhance").Sharpness(img).enhance(sharpness_factor)
    if sharpness_factor < 0:
        raise ValueError(f"sharpness_factor ({sharpness_factor}) is not non-negative.")
    require_channels(img)
    if min(img.shape[-2:]) <= 2:
        return img
    kernel = ops.ones(3, 3, dtype=_floating(img))
    kernel[1, 1] = 5.0
    blurred = img.clone()
    blurred[..., 1:-1, 1:-1] = _filtered(img, kernel / kernel.sum())
    return blend(img, blurred, sharpness_factor)


def adjust_gamma(img, gamma: float, gain: float = 1):
    """gain * value ** gamma, for values from 0 to 1."""
    require_image(img)
    if isinstance(img, Tensor):
        require_channels(img)
    if gamma < 0:
        raise ValueError("Gamma should be a non-negative real number")
    if not isinstance(img, Tensor):
        levels = [int((255 + 1 - 1e-3) * gain * pow(v / 255.0, gamma)) for v in range(256)]
        return img.convert("RGB").point(levels * 3).convert(img.mode)
    scaled = img if img.is_floating_point() else convert_image_dtype(img, _dtypes.float32)
    return convert_image_dtype((gain * scaled.pow(gamma)).clamp(0, 1), img.dtype)


def autocontrast(img):
    """Each channel stretched to the full range."""
    require_image(img)
    if not isinstance(img, Tensor):
        return pillow("ImageOps").autocontrast(img)
    _planes(img)
    white, dtype = max_value(img.dtype), _floating(img)
    low, high = img.amin(dim=(-2, -1), keepdim=True).to(dtype), img.amax(dim=(-2, -1), keepdim=True).to(dtype)
    scale = white / (high - low)
    flat = ~ops.isfinite(scale)
    low, scale = low.masked_fill(flat, 0), scale.masked_fill(flat, 1)
    return ((img - low) * scale).clamp(0, white).to(img.dtype)


def _equalized(channel):
    counts = ops.bincount(channel.reshape(-1).long(), minlength=256)
    present = counts[counts != 0]
    step = int(present[:-1].sum()) // 255
    if step == 0:
        return channel
    levels = (counts.cumsum(0) + step // 2) // step
    levels = ops.cat([levels.new_zeros(1), levels[:-1]]).clamp(0, 255)
    return levels[channel.long()].to(_dtypes.uint8)


def equalize(img):
    """Each channel so that its values are about equally frequent."""
    require_image(img)
    if not isinstance(img, Tensor):
        return pillow("ImageOps").equalize(img)
    if img.ndim not in (3, 4):
        raise TypeError(f"Input image tensor should have 3 or 4 dimensions, but found {img.ndim}")
    _bytes(img)
    require_channels(img)
    return ops.stack([_equalized(c) for c in img.reshape(-1, *img.shape[-2:])]).reshape(img.shape)


def _gaussian(size, sigma, dtype):
    x = ops.linspace(-(size - 1) * 0.5, (size - 1) * 0.5, size, dtype=dtype)
    weights = ops.exp(-0.5 * (x / sigma).pow(2))
    return weights / weights.sum()


def gaussian_blur(img, kernel_size, sigma=None):
    """Blurred with a Gaussian kernel of (width, height) `kernel_size` and standard deviations `sigma`, with reflected borders."""
    if not isinstance(kernel_size, (int, list, tuple)):
        raise TypeError(f"kernel_size should be int or a sequence of integers. Got {type(kernel_size)}")
    sizes = [kernel_size, kernel_size] if isinstance(kernel_size, int) else kernel_size
    if len(sizes) != 2:
        raise ValueError(f"If kernel_size is a sequence its length should be 2. Got {len(sizes)}")
    if any(n % 2 == 0 or n < 0 for n in sizes):
        raise ValueError(f"kernel_size should have odd and positive integers. Got {sizes}")
    if sigma is None:
        sigma = [n * 0.15 + 0.35 for n in sizes]
    if not isinstance(sigma, (int, float, list, tuple)):
        raise TypeError(f"sigma should be either float or sequence of floats. Got {type(sigma)}")
    sigmas = [float(sigma)] * 2 if isinstance(sigma, (int, float)) else list(sigma) * (2 if len(sigma) == 1 else 1)
    if len(sigmas) != 2:
        raise ValueError(f"If sigma is a sequence, its length should be 2. Got {len(sigmas)}")
    if min(sigmas) <= 0.0:
        raise ValueError(f"sigma should have positive values. Got {sigmas}")
    if not isinstance(img, Tensor):
        if not is_image(img):
            raise TypeError(f"img should be PIL Image or Tensor. Got {type(img)}")
        return to_pil_image(gaussian_blur(pil_to_tensor(img), sizes, sigmas), mode=img.mode)
    x, y = (_gaussian(n, s, _floating(img)) for n, s in zip(sizes, sigmas, strict=True))
    kernel = ops.mm(y[:, None], x[None, :])
    return _filtered(img, kernel, (sizes[0] // 2, sizes[0] // 2, sizes[1] // 2, sizes[1] // 2))
