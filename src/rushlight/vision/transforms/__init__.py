"""Image transforms, with torchvision's arguments, printed forms and order of random draws."""

from . import functional as functional
from ._modes import InterpolationMode as InterpolationMode
from .basic import *  # noqa: F403
from .randomized import *  # noqa: F403
