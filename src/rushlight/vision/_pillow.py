"""Pillow, imported when an image is first touched."""

from __future__ import annotations

import importlib
import sys

__all__ = ["pillow", "is_image"]


def pillow(part: str = "Image"):
    """The module PIL.<part>.

    Raises: ImportError that names the `pip install` if Pillow is missing.
    """
    try:
        return importlib.import_module(f"PIL.{part}")
    except ImportError:
        raise ImportError("images need Pillow: pip install 'rushlight[vision]'") from None


def is_image(x) -> bool:
    """Whether x is a Pillow image. An image can't exist before PIL.Image is imported, so nothing is imported here."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(x, module.Image)
