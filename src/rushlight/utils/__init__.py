"""Data loading."""

from . import data as data
