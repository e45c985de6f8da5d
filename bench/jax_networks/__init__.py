"""Networks of bench/networks in JAX, under the same names, and the steps of bench/jax_steps.py."""

from __future__ import annotations

from .. import jax_steps
from . import images, language, methods, sequences, signals, vectors, vision

STEPS = {
    **jax_steps.STEPS,
    **{
        build.__name__.replace("_", "-"): build
        for module in (images, sequences, vectors, vision, language, signals, methods)
        for build in module.NETWORKS
    },
}
