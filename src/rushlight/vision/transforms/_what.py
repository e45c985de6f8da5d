"""What an image is: its kind, its size, and a colour that suits it."""

from __future__ import annotations

from numbers import Number

from ...autograd.tensor import Tensor
from .._pillow import is_image

__all__ = ["require_image", "require_channels", "get_dimensions", "get_image_size", "get_image_num_channels", "fill_colour"]


def require_image(img, message="img should be PIL Image. Got {}") -> None:
    """Raises: TypeError unless img is a Pillow image or a tensor of at least two dimensions."""
    if isinstance(img, Tensor):
        if img.ndim < 2:
            raise TypeError("Tensor is not a torch image.")
    elif not is_image(img):
        raise TypeError(message.format(type(img)))


def require_channels(img: Tensor, permitted=(1, 3)) -> None:
    """Raises: TypeError unless a tensor image has one of these numbers of channels."""
    channels = get_dimensions(img)[0]
    if channels not in permitted:
        raise TypeError(f"Input image tensor permitted channel values are {list(permitted)}, but found {channels}")


def get_dimensions(img) -> list[int]:
    """[channels, height, width]."""
    require_image(img, "Unexpected type {}")
    if isinstance(img, Tensor):
        return [1 if img.ndim == 2 else img.shape[-3], img.shape[-2], img.shape[-1]]
    return [len(img.getbands()), img.size[1], img.size[0]]


def get_image_size(img) -> list[int]:
    """[width, height]."""
    return get_dimensions(img)[:0:-1]


def get_image_num_channels(img) -> int:
    return get_dimensions(img)[0]


def fill_colour(fill, img):
    """`fill` as Pillow wants it for this image: a number for one channel, else one number per channel."""
    channels = len(img.getbands())
    fill = 0 if fill is None else fill
    if isinstance(fill, Number) and channels > 1:
        fill = (fill,) * channels
    if isinstance(fill, (list, tuple)):
        if len(fill) == 1:
            fill = fill * channels
        elif len(fill) != channels:
            raise ValueError(
                f"The number of elements in 'fill' does not match the number of channels of the image "
                f"({len(fill)} != {channels})"
            )
        fill = tuple(fill)
        if channels == 1:
            fill = fill[0]
    if img.mode == "F":
        return fill
    return tuple(int(v) for v in fill) if isinstance(fill, tuple) else int(fill)
