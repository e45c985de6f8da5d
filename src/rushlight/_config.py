"""What rushlight found on this machine, and its few settings."""

from __future__ import annotations

import platform

from . import _native
from ._kernels import available_isas, isa
from ._version import __version__

__all__ = ["show_config", "get_num_threads", "set_num_threads", "get_num_interop_threads", "set_num_interop_threads",
           "set_flush_denormal", "use_deterministic_algorithms", "are_deterministic_algorithms_enabled"]  # fmt: skip

_INSTRUCTIONS = {"base": "x86-64 baseline (SSE2)", "v3": "x86-64-v3 (AVX2, FMA)", "v4": "x86-64-v4 (AVX-512)"}


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo") as f:
            for line in f:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def show_config() -> str:
    """A few lines that say which kernels were picked, for which CPU, and how many threads they use."""
    names = _INSTRUCTIONS if platform.machine() in ("x86_64", "AMD64") else {"base": platform.machine()}
    return (
        f"rushlight {__version__}, Python {platform.python_version()}\n"
        f"CPU: {_cpu_name()}\n"
        f"kernels: {names[isa]}; built: {', '.join(available_isas())} (RUSHLIGHT_ISA caps the choice)\n"
        f"threads: {get_num_threads()} (RUSHLIGHT_NUM_THREADS, OMP_NUM_THREADS or set_num_threads)\n"
    )


def set_flush_denormal(mode: bool) -> bool:
    """Whether kernels take numbers too small to be normal (below 1.2e-38 in float32) as zeros. Here they do by default,
    in PyTorch they do not. Returns False where the CPU cannot.

    Reference: https://docs.pytorch.org/docs/stable/generated/torch.set_flush_denormal.html
    """
    return _native.set_flush_denormal(bool(mode))


def get_num_threads() -> int:
    """How many threads kernels may use: the CPUs this process may run on, within its cgroup's quota."""
    return _native.get_num_threads()


def set_num_threads(n: int) -> None:
    """Sets how many threads kernels may use. Results do not depend on it.

    Raises: RuntimeError unless n is a positive integer.
    """
    if not isinstance(n, int):
        raise TypeError(f"set_num_threads expects an int, but got {type(n).__name__}")
    if n <= 0:
        raise RuntimeError("set_num_threads expects a positive integer")
    _native.set_num_threads(n)


def get_num_interop_threads() -> int:
    """1: ops run one after another."""
    return 1


def set_num_interop_threads(n: int) -> None:
    """Accepted for compatibility; ops run one after another."""
    if n <= 0:
        raise RuntimeError("set_num_interop_threads expects a positive integer")


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Accepted for compatibility: rushlight's results are deterministic, for any number of threads."""


def are_deterministic_algorithms_enabled() -> bool:
    """True: there are no others."""
    return True
