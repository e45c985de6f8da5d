"""Image functions. An image is Pillow's, or a tensor [..., C, H, W]; the kind that comes in is the kind that goes out."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Number

import numpy as np

from ... import _dtypes, _native, ops
from ...autograd.interop import from_numpy
from ...autograd.tensor import Tensor
from .._pillow import is_image, pillow
from ._colour import adjust_brightness as adjust_brightness
from ._colour import adjust_contrast as adjust_contrast
from ._colour import adjust_hue as adjust_hue
from ._colour import adjust_saturation as adjust_saturation
from ._colour import max_value
from ._colour import rgb_to_grayscale as rgb_to_grayscale
from ._colour import to_grayscale as to_grayscale
from ._modes import PIL_MODE, InterpolationMode, as_mode
from ._warp import rotate_tensor
from ._what import fill_colour, get_dimensions, require_image
from ._what import get_image_num_channels as get_image_num_channels
from ._what import get_image_size as get_image_size

_NUMPY_OF_MODE = {"I": np.int32, "I;16": np.uint16, "F": np.float32}


def pil_to_tensor(pic) -> Tensor:
    """[channels, height, width] with the values of a Pillow image, not rescaled."""
    if not is_image(pic):
        raise TypeError(f"pic should be PIL Image. Got {type(pic)}")
    array = np.array(pic, dtype=np.uint8 if pic.mode == "1" else None, copy=True)
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
        if pic.mode == "I;16":
            array = array.astype(np.int32)
        if pic.mode == "1":
            array = 255 * array
        image = from_numpy(array).view(pic.size[1], pic.size[0], len(pic.getbands())).permute((2, 0, 1)).contiguous()
    return image.to(dtype=_native.default_dtype()).div(255) if image.dtype == _dtypes.uint8 else image


# What an array becomes: by channels and dtype the default mode and the modes that `mode=` may ask for.
_MODES = {
    (1, "uint8"): ("L", ["L"]), (1, "int16"): ("I;16", ["I;16"]), (1, "uint16"): ("I;16", ["I;16"]),
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
            raise ValueError(f"Incorrect mode ({mode}) supplied for input type {pic.dtype}. Should be {default}")
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


def normalize(tensor: Tensor, mean, std, inplace: bool = False) -> Tensor:
    """(tensor - mean) / std, per channel."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"img should be Tensor Image. Got {type(tensor)}")
    if not tensor.is_floating_point():
        raise TypeError(f"Input tensor should be a float tensor. Got {tensor.dtype}.")
    if tensor.ndim < 3:
        raise ValueError(
            f"Expected tensor to be a tensor image of size (..., C, H, W). Got tensor.size() = {tensor.size()}"
        )
    tensor = tensor if inplace else tensor.clone()
    mean, std = (ops.as_tensor(v, dtype=tensor.dtype) for v in (mean, std))
    if bool((std == 0).any()):
        raise ValueError(f"std evaluated to zero after conversion to {tensor.dtype}, leading to division by zero.")
    mean = mean.view(-1, 1, 1) if mean.ndim == 1 else mean
    std = std.view(-1, 1, 1) if std.ndim == 1 else std
    return tensor.sub_(mean).div_(std)


def _resized(height, width, size, max_size):
    """(height, width) if the smaller edge becomes size[0]; `size` if it has two entries."""
    if len(size) == 2:
        return [size[0], size[1]]
    short, long = (width, height) if width <= height else (height, width)
    new_short, new_long = size[0], int(size[0] * long / short)
    if max_size is not None:
        if max_size <= size[0]:
            raise ValueError(
                f"max_size = {max_size} must be strictly greater than the requested size for the smaller edge "
                f"size = {size}"
            )
        if new_long > max_size:
            new_short, new_long = int(max_size * new_short / new_long), max_size
    return [new_long, new_short] if width <= height else [new_short, new_long]


def resize(img, size, interpolation=InterpolationMode.BILINEAR, max_size: int | None = None, antialias=True):
    """Scales to `size`: (height, width), or one number for the smaller edge, with at most max_size for the larger."""
    mode = as_mode(interpolation)
    if isinstance(size, Sequence):
        if len(size) not in (1, 2):
            raise ValueError(f"Size must be an int or a 1 or 2 element tuple/list, not a {len(size)} element tuple/list")
        if max_size is not None and len(size) != 1:
            raise ValueError(
                "max_size should only be passed if size specifies the length of the smaller edge, i.e. size should be "
                "an int or a sequence of length 1 in torchscript mode."
            )
    _, height, width = get_dimensions(img)
    out = _resized(height, width, list(size) if isinstance(size, Sequence) else [size], max_size)
    if [height, width] == out:
        return img
    if not isinstance(img, Tensor):
        return img.resize((out[1], out[0]), PIL_MODE[mode.value])
    if mode.value not in ("nearest", "nearest-exact", "bilinear", "bicubic"):
        raise ValueError("This interpolation mode is unsupported with Tensor input")
    smooth = mode.value in ("bilinear", "bicubic")
    batch = img.reshape(-1, *img.shape[-3:])
    batch = batch if batch.is_floating_point() else batch.to(_dtypes.float32)
    result = ops.interpolate(batch, size=out, mode=mode.value, align_corners=False if smooth else None,
                             antialias=bool(antialias) and smooth)  # fmt: skip
    if not img.is_floating_point():  # bicubic overshoots
        result = result.clamp(0, 255) if mode.value == "bicubic" and img.dtype == _dtypes.uint8 else result
        result = result.round().to(img.dtype)
    return result.reshape(*img.shape[:-2], *out)


def _borders(padding):
    """(left, top, right, bottom)."""
    if not isinstance(padding, (Number, tuple, list)):
        raise TypeError("Got inappropriate padding arg")
    if isinstance(padding, Number):
        return (padding,) * 4
    if len(padding) not in (1, 2, 4):
        raise ValueError(f"Padding must be an int or a 1, 2, or 4 element tuple, not a {len(padding)} element tuple")
    return tuple(padding) * (4 // len(padding))


def pad(img, padding, fill=0, padding_mode: str = "constant"):
    """Adds a border. padding: one number, (left and right, top and bottom), or (left, top, right, bottom)."""
    require_image(img)
    left, top, right, bottom = _borders(padding)
    if not isinstance(fill, (Number, tuple, list)):
        raise TypeError("Got inappropriate fill arg")
    if not isinstance(padding_mode, str):
        raise TypeError("Got inappropriate padding_mode arg")
    if padding_mode not in ("constant", "edge", "reflect", "symmetric"):
        raise ValueError("Padding mode should be either constant, edge, reflect or symmetric")
    if padding_mode == "constant" and not isinstance(img, Tensor):
        return pillow("ImageOps").expand(img, border=(left, top, right, bottom), fill=fill_colour(fill, img))
    if padding_mode == "constant":
        if isinstance(fill, (tuple, list)):
            if len(fill) != 1:
                raise ValueError("a tensor is padded with one value: fill must be a number")
            fill = fill[0]
        _, height, width = get_dimensions(img)
        out = img.new_full((*img.shape[:-2], height + top + bottom, width + left + right), fill)
        if min(left, top, right, bottom) < 0:
            return ops.pad(img, (left, right, top, bottom), value=float(fill))
        out[..., top : top + height, left : left + width] = img
        return out
    array = img.numpy() if isinstance(img, Tensor) else np.asarray(img)
    edges = [(0, 0)] * array.ndim
    axis = array.ndim - 2 if isinstance(img, Tensor) else 0
    edges[axis : axis + 2] = (top, bottom), (left, right)
    array = np.pad(array, edges, mode=padding_mode)
    if isinstance(img, Tensor):
        return from_numpy(array)
    result = pillow().fromarray(array)
    if img.mode == "P":
        result.putpalette(img.getpalette())
    return result


def crop(img, top: int, left: int, height: int, width: int):
    """The part from (top, left) of that size; what lies outside the image is 0."""
    require_image(img)
    if not isinstance(img, Tensor):
        return img.crop((left, top, left + width, top + height))
    _, h, w = get_dimensions(img)
    inside = img[..., max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)]
    right, bottom = left + width, top + height
    if left < 0 or top < 0 or right > w or bottom > h:
        return pad(inside, (max(min(right, 0) - left, 0), max(min(bottom, 0) - top, 0), max(right - max(w, left), 0),
                            max(bottom - max(h, top), 0)))  # fmt: skip
    return inside


def center_crop(img, output_size):
    """The middle of that size, after padding with 0 where the image is smaller."""
    if isinstance(output_size, Number):
        output_size = (int(output_size), int(output_size))
    elif len(output_size) == 1:
        output_size = (output_size[0], output_size[0])
    _, height, width = get_dimensions(img)
    h, w = output_size
    if w > width or h > height:
        dx, dy = max(w - width, 0), max(h - height, 0)
        img = pad(img, [dx // 2, dy // 2, (dx + 1) // 2, (dy + 1) // 2], fill=0)
        _, height, width = get_dimensions(img)
        if w == width and h == height:
            return img
    return crop(img, int(round((height - h) / 2.0)), int(round((width - w) / 2.0)), h, w)


def resized_crop(img, top, left, height, width, size, interpolation=InterpolationMode.BILINEAR, antialias=True):
    """crop, then resize."""
    return resize(crop(img, top, left, height, width), size, interpolation, antialias=antialias)


def hflip(img):
    """Left becomes right."""
    require_image(img)
    return img.flip(-1) if isinstance(img, Tensor) else img.transpose(pillow().Transpose.FLIP_LEFT_RIGHT)


def vflip(img):
    """Top becomes bottom."""
    require_image(img)
    return img.flip(-2) if isinstance(img, Tensor) else img.transpose(pillow().Transpose.FLIP_TOP_BOTTOM)


def rotate(img, angle: float, interpolation=InterpolationMode.NEAREST, expand: bool = False, center=None, fill=None):
    """Turned counter-clockwise by `angle` degrees around `center` = (x, y), by default the middle."""
    mode = as_mode(interpolation)
    require_image(img)
    if not isinstance(angle, (int, float)):
        raise TypeError("Argument angle should be int or float")
    if center is not None and not isinstance(center, (list, tuple)):
        raise TypeError("Argument center should be a sequence")
    if isinstance(img, Tensor):
        return rotate_tensor(img, angle, mode.value, expand, center, fill)
    return img.rotate(angle, PIL_MODE[mode.value], expand, center, fillcolor=fill_colour(fill, img))


def erase(img: Tensor, i: int, j: int, h: int, w: int, v: Tensor, inplace: bool = False) -> Tensor:
    """A tensor image with the rectangle from (i, j) of size (h, w) set to v."""
    if not isinstance(img, Tensor):
        raise TypeError(f"img should be PIL Image or Tensor. Got {type(img)}")
    img = img if inplace else img.clone()
    img[..., i : i + h, j : j + w] = v
    return img


def five_crop(img, size):
    """(top left, top right, bottom left, bottom right, centre)."""
    h, w = (int(size), int(size)) if isinstance(size, Number) else (size[0], size[-1])
    _, height, width = get_dimensions(img)
    if w > width or h > height:
        raise ValueError(f"Requested crop size {(h, w)} is bigger than input size {(height, width)}")
    corners = ((0, 0), (0, width - w), (height - h, 0), (height - h, width - w))
    return (*(crop(img, top, left, h, w) for top, left in corners), center_crop(img, [h, w]))


