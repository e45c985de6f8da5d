"""Image functions. An image is Pillow's, or a tensor [..., C, H, W]; the kind that comes in is the kind that goes out."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Number

import numpy as np

from ... import _dtypes, ops
from ...autograd.tensor import Tensor
from .._pillow import is_image, pillow
from ._colour import adjust_brightness as adjust_brightness
from ._colour import adjust_contrast as adjust_contrast
from ._colour import adjust_hue as adjust_hue
from ._colour import adjust_saturation as adjust_saturation
from ._colour import rgb_to_grayscale as rgb_to_grayscale
from ._colour import to_grayscale as to_grayscale
from ._convert import convert_image_dtype as convert_image_dtype
from ._convert import pil_to_tensor as pil_to_tensor
from ._convert import to_pil_image as to_pil_image
from ._convert import to_tensor as to_tensor
from ._enhance import adjust_gamma as adjust_gamma
from ._enhance import adjust_sharpness as adjust_sharpness
from ._enhance import autocontrast as autocontrast
from ._enhance import equalize as equalize
from ._enhance import gaussian_blur as gaussian_blur
from ._enhance import invert as invert
from ._enhance import posterize as posterize
from ._enhance import solarize as solarize
from ._modes import PIL_MODE, InterpolationMode, as_mode
from ._warp import affine_tensor, elastic_tensor, inverse_matrix, perspective_coefficients, perspective_tensor, rotate_tensor
from ._what import fill_colour, get_dimensions, require_image
from ._what import get_image_num_channels as get_image_num_channels
from ._what import get_image_size as get_image_size


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
    borders = (left, top, right, bottom)
    if isinstance(img, Tensor):
        return _pad_tensor(img, borders, fill, padding_mode)
    if min(borders) < 0:
        img = img.crop((max(-left, 0), max(-top, 0), img.width - max(-right, 0), img.height - max(-bottom, 0)))
        left, top, right, bottom = (max(n, 0) for n in borders)
    array = np.asarray(img)
    array = np.pad(array, [(top, bottom), (left, right), (0, 0)][: array.ndim], mode=padding_mode)
    result = pillow().fromarray(array)
    if img.mode == "P":
        result.putpalette(img.getpalette())
    return result


def _pad_tensor(img, borders, fill, padding_mode):
    left, top, right, bottom = borders
    if padding_mode == "constant":
        if not isinstance(fill, Number):
            raise TypeError("Got inappropriate fill arg")
        return ops.pad(img, (left, right, top, bottom), value=float(fill))
    _, height, width = get_dimensions(img)
    img = img[..., max(-top, 0) : height - max(-bottom, 0), max(-left, 0) : width - max(-right, 0)]
    left, top, right, bottom = (max(n, 0) for n in borders)
    if padding_mode == "symmetric":
        _, height, width = get_dimensions(img)
        rows, columns = (
            ops.tensor([*range(before - 1, -1, -1), *range(size), *range(-1, -1 - after, -1)])
            for before, size, after in ((top, height, bottom), (left, width, right))
        )
        return img[..., rows[:, None], columns[None, :]]
    batch = img.unsqueeze(0) if img.ndim < 4 else img
    batch = batch if img.is_floating_point() else batch.to(_dtypes.float32)
    result = ops.pad(batch, (left, right, top, bottom), mode="replicate" if padding_mode == "edge" else "reflect")
    return (result.squeeze(0) if img.ndim < 4 else result).to(img.dtype)


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
        raise TypeError(f"img should be Tensor Image. Got {type(img)}")
    img = img if inplace else img.clone()
    img[..., i : i + h, j : j + w] = v
    return img


def affine(img, angle: float, translate, scale: float, shear, interpolation=InterpolationMode.NEAREST, fill=None, center=None):
    """Turned clockwise by `angle` degrees, scaled, sheared by x and y degrees around `center`, and moved by (x, y) pixels."""
    mode = as_mode(interpolation)
    if not isinstance(angle, (int, float)):
        raise TypeError("Argument angle should be int or float")
    if not isinstance(translate, (list, tuple)):
        raise TypeError("Argument translate should be a sequence")
    if len(translate) != 2:
        raise ValueError("Argument translate should be a sequence of length 2")
    if scale <= 0.0:
        raise ValueError("Argument scale should be positive")
    if not isinstance(shear, (Number, list, tuple)):
        raise TypeError("Shear should be either a single value or a sequence of two values")
    shear = [shear, 0.0] if isinstance(shear, Number) else list(shear) * (2 if len(shear) == 1 else 1)
    if len(shear) != 2:
        raise ValueError(f"Shear should be a sequence containing two values. Got {shear}")
    if center is not None and not isinstance(center, (list, tuple)):
        raise TypeError("Argument center should be a sequence")
    _, height, width = get_dimensions(img)
    if isinstance(img, Tensor):
        middle = (0.0, 0.0) if center is None else (center[0] - width * 0.5, center[1] - height * 0.5)
        return affine_tensor(img, inverse_matrix(angle, middle, translate, scale, shear), mode.value, fill)
    middle = (width * 0.5, height * 0.5) if center is None else center
    matrix = inverse_matrix(angle, middle, translate, scale, shear)
    return img.transform(img.size, pillow().Transform.AFFINE, matrix, PIL_MODE[mode.value], fillcolor=fill_colour(fill, img))


def perspective(img, startpoints, endpoints, interpolation=InterpolationMode.BILINEAR, fill=None):
    """What takes the four corners `startpoints` to `endpoints`, as (x, y)."""
    coefficients = perspective_coefficients(startpoints, endpoints)
    mode = as_mode(interpolation)
    require_image(img)
    if isinstance(img, Tensor):
        return perspective_tensor(img, coefficients, mode.value, fill)
    return img.transform(img.size, pillow().Transform.PERSPECTIVE, coefficients, PIL_MODE[mode.value], fillcolor=fill_colour(fill, img))


def elastic_transform(img, displacement: Tensor, interpolation=InterpolationMode.BILINEAR, fill=None):
    """Every place moved by `displacement` [1, height, width, 2], in halves of the image's width and height."""
    mode = as_mode(interpolation)
    if not isinstance(displacement, Tensor):
        raise TypeError("Argument displacement should be a Tensor")
    if not isinstance(img, Tensor):
        if not is_image(img):
            raise TypeError(f"img should be PIL Image or Tensor. Got {type(img)}")
        return to_pil_image(elastic_transform(pil_to_tensor(img), displacement, mode, fill), mode=img.mode)
    shape = (1, *img.shape[-2:], 2)
    if displacement.shape != shape:
        raise ValueError(f"Argument displacement shape should be {shape}, but given {displacement.shape}")
    return elastic_tensor(img, displacement, mode.value, fill)


def _crop_size(size):
    if isinstance(size, Number):
        return int(size), int(size)
    if isinstance(size, (tuple, list)) and len(size) == 1:
        return size[0], size[0]
    if len(size) != 2:
        raise ValueError("Please provide only two dimensions (h, w) for size.")
    return size


def five_crop(img, size):
    """(top left, top right, bottom left, bottom right, centre)."""
    size = _crop_size(size)
    h, w = size
    _, height, width = get_dimensions(img)
    if w > width or h > height:
        raise ValueError(f"Requested crop size {size} is bigger than input size {(height, width)}")
    corners = ((0, 0), (0, width - w), (height - h, 0), (height - h, width - w))
    return (*(crop(img, top, left, h, w) for top, left in corners), center_crop(img, [h, w]))


def ten_crop(img, size, vertical_flip: bool = False):
    """five_crop of the image and of its mirror image, or of the image upside down."""
    size = _crop_size(size)
    return five_crop(img, size) + five_crop(vflip(img) if vertical_flip else hflip(img), size)
