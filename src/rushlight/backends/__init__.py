"""Switches of libraries that rushlight does not use, so that scripts which set them run."""

from . import cudnn as cudnn
from . import mps as mps
