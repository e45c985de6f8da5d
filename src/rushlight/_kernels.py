"""The native kernels: `kernels.add(a, b)` allocates its result, `kernels.add_into(out, a, b)` writes into `out`.

One kernel library is opened at import, the widest that this CPU can run. `RUSHLIGHT_ISA=base|v3|v4` caps the choice,
so that one machine can test all of them.
"""

from __future__ import annotations

import os
import types
from pathlib import Path

from . import _native

__all__ = ["K", "isa", "available_isas"]

_LEVELS = ("base", "v3", "v4")  # x86-64 baseline, AVX2 + FMA, AVX-512


def _library(level: str) -> Path:
    return Path(__file__).with_name(f"librl_kernels_{level}.so")


def available_isas() -> list[str]:
    """The instruction-set levels that are built here and that this CPU can run, narrowest first."""
    runnable = _LEVELS[: _LEVELS.index(_native.best_isa()) + 1]
    return [level for level in runnable if _library(level).exists()]


def _choose() -> str:
    levels = available_isas()
    cap = os.environ.get("RUSHLIGHT_ISA")
    if cap is None:
        return levels[-1]
    if cap not in _LEVELS:
        raise ValueError(f"RUSHLIGHT_ISA must be one of {', '.join(_LEVELS)}, got {cap!r}")
    allowed = [level for level in levels if _LEVELS.index(level) <= _LEVELS.index(cap)]
    return allowed[-1]


isa = _choose()
K = types.SimpleNamespace()
_native.load_kernels(str(_library(isa)), K)
