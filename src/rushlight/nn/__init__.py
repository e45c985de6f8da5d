"""Layers, losses and what they are built from."""

from . import functional as functional
from . import init as init
from . import parameter as parameter
from . import utils as utils
from .modules import *  # noqa: F403
from .parameter import Buffer as Buffer
from .parameter import Parameter as Parameter
from .parameter import UninitializedBuffer as UninitializedBuffer
from .parameter import UninitializedParameter as UninitializedParameter
