"""Networks of bench/networks in JAX, under the same names, and the steps of bench/jax_steps.py."""

from __future__ import annotations

from .. import jax_steps

STEPS = jax_steps.STEPS
