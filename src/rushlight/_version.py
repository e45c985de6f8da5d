"""The version; a test holds it to pyproject.toml's."""

__version__ = "0.1.0"
