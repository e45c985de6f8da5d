"""rushlight: a small torch that burns fast."""

from importlib import import_module
from math import e as e
from math import inf as inf
from math import nan as nan
from math import pi as pi
from typing import TYPE_CHECKING

from . import amp as amp
from . import autograd as autograd
from . import backends as backends
from . import compiler as compiler
from . import cpu as cpu
from . import cuda as cuda
from . import func as func
from . import linalg as linalg
from . import nn as nn
from . import onnx as onnx
from . import optim as optim
from . import random as random
from . import return_types as return_types
from . import serialization as serialization
from . import utils as utils
from ._config import *  # noqa: F403
from ._device import device as device
from ._dtypes import *  # noqa: F403
from ._random import *  # noqa: F403
from ._version import __version__ as __version__
from .autograd.autocast import autocast as autocast
from .autograd.autocast import clear_autocast_cache as clear_autocast_cache
from .autograd.autocast import get_autocast_dtype as get_autocast_dtype
from .autograd.autocast import is_autocast_cache_enabled as is_autocast_cache_enabled
from .autograd.autocast import is_autocast_enabled as is_autocast_enabled
from .autograd.autocast import set_autocast_cache_enabled as set_autocast_cache_enabled
from .autograd.autocast import set_autocast_dtype as set_autocast_dtype
from .autograd.autocast import set_autocast_enabled as set_autocast_enabled
from .autograd.grad_mode import *  # noqa: F403
from .autograd.interop import from_numpy as from_numpy
from .autograd.printing import get_printoptions as get_printoptions
from .autograd.printing import printoptions as printoptions
from .autograd.printing import set_printoptions as set_printoptions
from .autograd.tensor import Size as Size
from .autograd.tensor import Tensor as Tensor
from .autograd.tensor import channels_last as channels_last
from .autograd.tensor import channels_last_3d as channels_last_3d
from .autograd.tensor import contiguous_format as contiguous_format
from .autograd.tensor import layout as layout
from .autograd.tensor import memory_format as memory_format
from .autograd.tensor import preserve_format as preserve_format
from .autograd.tensor import sparse_coo as sparse_coo
from .autograd.tensor import strided as strided
from .compiler import compile as compile
from .linalg import cholesky_inverse as cholesky_inverse
from .linalg import cholesky_solve as cholesky_solve
from .linalg import det as det
from .linalg import inverse as inverse
from .linalg import logdet as logdet
from .linalg import matrix_power as matrix_power
from .linalg import pinverse as pinverse
from .linalg import slogdet as slogdet
from .ops import *  # noqa: F403
from .serialization import load as load
from .serialization import save as save

if TYPE_CHECKING:
    from . import distributions as distributions
    from . import special as special

newaxis = None


def __getattr__(name):
    """Modules that few programs need, imported when they are asked for."""
    if name in ("distributions", "special"):
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
