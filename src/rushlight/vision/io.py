"""Image files as uint8 tensors [channels, height, width], through Pillow."""

from __future__ import annotations

import enum
import io
from pathlib import Path

import numpy as np

from .. import _dtypes
from ..autograd.interop import from_numpy
from ..autograd.tensor import Tensor
from ._pillow import pillow
from .transforms.functional import pil_to_tensor, to_pil_image

__all__ = ["ImageReadMode", "read_file", "write_file", "read_image", "decode_image", "decode_png", "decode_jpeg",
           "write_png", "write_jpeg"]  # fmt: skip


class ImageReadMode(enum.Enum):
    """What the colours are converted to; UNCHANGED keeps the file's own."""

    UNCHANGED = 0
    GRAY = 1
    GRAY_ALPHA = 2
    RGB = 3
    RGB_ALPHA = 4


_PIL_MODES = {"GRAY": "L", "GRAY_ALPHA": "LA", "RGB": "RGB", "RGB_ALPHA": "RGBA"}


def read_file(path) -> Tensor:
    """The bytes of a file as a 1-D uint8 tensor."""
    return from_numpy(np.frombuffer(Path(path).read_bytes(), dtype=np.uint8).copy())


def write_file(filename, data: Tensor) -> None:
    """Writes a 1-D uint8 tensor to a file."""
    Path(filename).write_bytes(data.numpy().tobytes())


def _convert(image, mode):
    mode = ImageReadMode[mode.upper()] if isinstance(mode, str) else mode
    if mode is not ImageReadMode.UNCHANGED:
        return image.convert(_PIL_MODES[mode.name])
    if image.mode == "P":  # palette indices are no colours
        return image.convert("RGBA" if "transparency" in image.info else "RGB")
    return image.convert("L") if image.mode == "1" else image


def decode_image(input, mode=ImageReadMode.UNCHANGED, apply_exif_orientation: bool = False) -> Tensor:
    """The image in `input`: the bytes of a file as a 1-D uint8 tensor, or a path.

    Raises: RuntimeError if it is no image that Pillow can read.
    """
    image_module = pillow()
    source = io.BytesIO(input.numpy().tobytes()) if isinstance(input, Tensor) else input
    try:
        with image_module.open(source) as image:
            if apply_exif_orientation:
                image = pillow("ImageOps").exif_transpose(image)
            return pil_to_tensor(_convert(image, mode))
    except image_module.UnidentifiedImageError as error:
        raise RuntimeError(f"Unsupported image file: {error}") from None


decode_png = decode_jpeg = decode_image


def read_image(path, mode=ImageReadMode.UNCHANGED, apply_exif_orientation: bool = False) -> Tensor:
    """The image in a file. Raises: FileNotFoundError; RuntimeError if it is no image."""
    return decode_image(read_file(path), mode, apply_exif_orientation)


def _write(input, filename, **options):
    if input.dtype != _dtypes.uint8:
        raise RuntimeError(f"Input tensor dtype should be uint8, but got {input.dtype}")
    to_pil_image(input).save(filename, **options)


def write_png(input: Tensor, filename, compression_level: int = 6) -> None:
    """Writes uint8 [1 or 3, height, width] as PNG."""
    _write(input, filename, format="PNG", compress_level=compression_level)


def write_jpeg(input: Tensor, filename, quality: int = 75) -> None:
    """Writes uint8 [1 or 3, height, width] as JPEG."""
    _write(input, filename, format="JPEG", quality=quality)
