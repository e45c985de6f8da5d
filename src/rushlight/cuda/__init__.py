"""`torch.cuda` of a build without CUDA: questions are answered, orders are refused as PyTorch refuses them."""

from __future__ import annotations

from . import amp as amp

__all__ = ["is_available", "is_initialized", "device_count", "manual_seed", "manual_seed_all", "seed", "seed_all",
           "empty_cache", "memory_allocated", "max_memory_allocated", "memory_reserved", "max_memory_reserved",
           "current_device", "set_device", "synchronize", "get_device_name", "get_device_properties", "init"]  # fmt: skip


def is_available() -> bool:
    """False."""
    return False


def is_initialized() -> bool:
    """False."""
    return False


def device_count() -> int:
    """0."""
    return 0


def manual_seed(seed: int) -> None:
    """Nothing: there is no generator to seed."""


def manual_seed_all(seed: int) -> None:
    """Nothing: there is no generator to seed."""


def seed() -> None:
    """Nothing: there is no generator to seed."""


def seed_all() -> None:
    """Nothing: there is no generator to seed."""


def empty_cache() -> None:
    """Nothing: there is no cache."""


def memory_allocated(device=None) -> int:
    """0."""
    return 0


max_memory_allocated = memory_reserved = max_memory_reserved = memory_allocated


def _refuse(*args, **kwargs):
    """Raises: AssertionError, as PyTorch does without CUDA."""
    raise AssertionError("Torch not compiled with CUDA enabled")


current_device = set_device = synchronize = get_device_name = get_device_properties = init = _refuse
