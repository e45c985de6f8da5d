"""Other networks that people train, at sizes of an ordinary computer: `make bench-others`."""

from __future__ import annotations

from ..workloads import Workload
from . import images, language, methods, sequences, signals, vectors, vision

NETWORKS = [
    Workload(build.__name__.replace("_", "-"), build, group="others", draws=build in module.DRAWS)
    for module in (images, sequences, vectors, vision, language, signals, methods)
    for build in module.NETWORKS
]
