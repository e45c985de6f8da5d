"""Optional packages, imported when they are needed."""

from __future__ import annotations

import importlib
import importlib.util

__all__ = ["need", "available"]

_EXTRAS = {
    "sklearn": ("scikit-learn", "demo"), "PIL": ("Pillow", "vision"), "matplotlib": ("matplotlib", "plot"),
    "tensorboard": ("tensorboard", "tensorboard"), "rich": ("rich", "cli"), "typer": ("typer", "cli"),
}  # fmt: skip


def need(module: str, what: str):
    """The module, for `what`.

    Raises: ImportError that names the `pip install` if it is missing.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        package, extra = _EXTRAS[module.split(".")[0]]
        raise ImportError(f"{what} needs {package}: pip install 'rushlight[{extra}]'") from None


def available(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
