"""All layers, one family a file."""

from .container import *  # noqa: F403
from .module import Module as Module
