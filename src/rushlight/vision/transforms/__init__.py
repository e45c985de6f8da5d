"""Image transforms, with torchvision's arguments, printed forms and order of random draws."""

from . import functional as functional
from ._modes import InterpolationMode as InterpolationMode
from .autoaugment import *  # noqa: F403
from .basic import *  # noqa: F403
from .composed import *  # noqa: F403
from .enhanced import *  # noqa: F403
from .randomized import *  # noqa: F403
from .warped import *  # noqa: F403
