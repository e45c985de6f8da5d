"""Between Pillow images, arrays and tensors, and between dtypes."""

from __future__ import annotations

import numpy as np

from ... import _dtypes, _native, ops
from ...autograd.interop import from_numpy
from ...autograd.tensor import Tensor
from .._pillow import is_image, pillow
from ._colour import max_value

__all__ = ["pil_to_tensor", "to_tensor", "to_pil_image", "convert_image_dtype"]

_NUMPY_OF_MODE = {"I": np.int32, "I;16": np.int16, "F": np.float32}


def pil_to_tensor(pic) -> Tensor:
    """[channels, height, width] with the values of a Pillow image, not rescaled."""
    if not is_image(pic):
        raise TypeError(f"pic should be PIL Image. Got {type(pic)}")
    array = np.array(pic, copy=True)
    if pic.mode == "I;16":  # arithmetic on uint16 is rare
        array = array.astype(np.int32)
    tensor = from_numpy(array).view(pic.size[1], pic.size[0], len(pic.getbands()))
    return tensor.permute((2, 0, 1)).contiguous()


def to_tensor(pic) -> Tensor:
    """[channels, height, width] from a Pillow image or an array [height, width(, channels)]; uint8 is divided by 255."""
    if not (is_image(pic) or isinstance(pic, np.ndarray)):
        raise TypeError(f"pic should be PIL Image or ndarray. Got {type(pic)}")
    if isinstance(pic, np.ndarray):
        if pic.ndim not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
        array = pic[:, :, None] if pic.ndim == 2 else pic
        image = from_numpy(np.ascontiguousarray(array.transpose((2, 0, 1))))
    else:
        array = np.array(pic, _NUMPY_OF_MODE.get(pic.mode, np.uint8), copy=True)
        if pic.mode == "1":
            array = 255 * array
        image = from_numpy(array).view(pic.size[1], pic.size[0], len(pic.getbands())).permute((2, 0, 1)).contiguous()
    return image.to(dtype=_native.default_dtype()).div(255) if image.dtype == _dtypes.uint8 else image


# What an array becomes: by channels and dtype the default mode and the modes that `mode=` may ask for.
_MODES = {
    (1, "uint8"): ("L", ["L"]), (1, "int16"): ("I;16", ["I;16"]),
    (1, "int32"): ("I", ["I"]), (1, "float32"): ("F", ["F"]), (2, "uint8"): ("LA", ["LA"]),
    (3, "uint8"): ("RGB", ["RGB", "YCbCr", "HSV"]), (4, "uint8"): ("RGBA", ["RGBA", "CMYK", "RGBX"]),
}  # fmt: skip


def to_pil_image(pic, mode: str | None = None):
    """A Pillow image from [C, H, W] (tensor) or [H, W, C] (array). Floating-point values are multiplied by 255."""
    if not isinstance(pic, (Tensor, np.ndarray)):
        raise TypeError(f"pic should be Tensor or ndarray. Got {type(pic)}.")
    if isinstance(pic, Tensor):
        pic = (pic.permute((1, 2, 0)) if pic.ndim == 3 else pic).numpy(force=True)
    if pic.ndim not in (2, 3):
        raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
    pic = pic[:, :, None] if pic.ndim == 2 else pic
    channels = pic.shape[2]
    if channels > 4:
        raise ValueError(f"pic should not have > 4 channels. Got {channels} channels.")
    if np.issubdtype(pic.dtype, np.floating) and mode != "F":
        pic = (pic * 255).astype(np.uint8)
    if (channels, pic.dtype.name) not in _MODES:
        raise TypeError(f"Input type {pic.dtype} is not supported")
    default, permitted = _MODES[channels, pic.dtype.name]
    if mode is not None and mode not in permitted:
        if channels == 1:
            raise ValueError(f"Incorrect mode ({mode}) supplied for input type {np.dtype}. Should be {default}")
        raise ValueError(f"Only modes {permitted} are supported for {channels}D inputs")
    data = np.ascontiguousarray(pic)
    return pillow().frombytes(mode or default, (pic.shape[1], pic.shape[0]), data.tobytes())


def convert_image_dtype(image: Tensor, dtype=_dtypes.float32) -> Tensor:
    """Another dtype, with the values rescaled: floating-point images run from 0 to 1, integers to their largest value."""
    if not isinstance(image, Tensor):
        raise TypeError("Input img should be Tensor Image")
    if image.dtype == dtype:
        return image
    if image.is_floating_point():
        if dtype.is_floating_point:
            return image.to(dtype)
        if (image.dtype, dtype) in ((_dtypes.float32, _dtypes.int32), (_dtypes.float32, _dtypes.int64),
                                    (_dtypes.float64, _dtypes.int64)):  # fmt: skip
            raise RuntimeError(f"The cast from {image.dtype} to {dtype} cannot be performed safely.")
        # Not quite the next integer, so that 1.0 stays within the range.
        return image.mul(float(max_value(dtype)) + 1.0 - 1e-3).to(dtype)
    top = max_value(image.dtype)
    if dtype.is_floating_point:
        return image.to(dtype) / float(top)
    new_top = max_value(dtype)
    if top > new_top:
        return ops.div(image, (top + 1) // (new_top + 1), rounding_mode="floor").to(dtype)
    return image.to(dtype) * ((new_top + 1) // (top + 1))
