"""Wrappers that spread a module over devices. There is one device here, so that they pass everything on."""

from .data_parallel import DataParallel as DataParallel
from .data_parallel import data_parallel as data_parallel
