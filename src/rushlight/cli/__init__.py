"""The `rushlight` command."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Entry point of `rushlight` and `python -m rushlight`."""
    try:
        import rich  # noqa: F401
        import typer  # noqa: F401
    except ImportError as error:
        sys.exit(f"the rushlight command needs {error.name}: pip install 'rushlight[cli]'")
    from .app import run

    run()
