"""Data loading, and checkpoints of activations."""

from . import checkpoint as checkpoint
from . import data as data
