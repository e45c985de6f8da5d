"""rushlight: a small torch that burns fast."""

from . import autograd as autograd
from . import nn as nn
from . import optim as optim
from . import serialization as serialization
from ._config import *  # noqa: F403
from ._device import device as device
from ._dtypes import *  # noqa: F403
from ._random import *  # noqa: F403
from ._version import __version__ as __version__
from .autograd.grad_mode import *  # noqa: F403
from .autograd.interop import from_numpy as from_numpy
from .autograd.printing import get_printoptions as get_printoptions
from .autograd.printing import printoptions as printoptions
from .autograd.printing import set_printoptions as set_printoptions
from .autograd.tensor import Size as Size
from .autograd.tensor import Tensor as Tensor
from .ops import *  # noqa: F403
from .serialization import load as load
from .serialization import save as save

# Last, because `ops` has a submodule of that name which the star import brings along.
from . import random as random  # noqa: E402, I001
