"""Checkpoints: PyTorch's file formats, written atomically and read without trusting them."""

from .inspecting import TensorInfo as TensorInfo
from .inspecting import get_unsafe_globals_in_checkpoint as get_unsafe_globals_in_checkpoint
from .inspecting import inspect as inspect
from .reading import load as load
from .safe import add_safe_globals as add_safe_globals
from .safe import clear_safe_globals as clear_safe_globals
from .safe import get_safe_globals as get_safe_globals
from .safe import safe_globals as safe_globals
from .writing import save as save
