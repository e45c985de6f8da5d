"""Gradient clipping and parameter vectors."""

from . import rnn as rnn
from .clip_grad import *  # noqa: F403
from .convert_parameters import *  # noqa: F403
