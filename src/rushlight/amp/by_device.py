"""`torch.cpu.amp` and `torch.cuda.amp`: names that `torch.amp` has taken over, with the device for the first argument."""

from __future__ import annotations

import warnings

from ..autograd.autocast import autocast
from .grad_scaler import GradScaler

__all__ = ["for_device"]


def for_device(device):
    """`autocast` and `GradScaler` of `torch.<device>.amp`."""

    def advise(name):
        old, new = f"`torch.{device}.amp.{name}(args...)`", f"`torch.amp.{name}('{device}', args...)`"
        warnings.warn(f"{old} is deprecated. Please use {new} instead.", FutureWarning, stacklevel=3)

    class Autocast(autocast):
        def __init__(self, enabled=True, dtype=None, cache_enabled=True):
            advise("autocast")
            super().__init__(device, enabled=enabled, dtype=dtype, cache_enabled=cache_enabled)

    class Scaler(GradScaler):
        def __init__(self, init_scale=2.0**16, growth_factor=2.0, backoff_factor=0.5, growth_interval=2000, enabled=True):
            advise("GradScaler")
            super().__init__(device, init_scale, growth_factor, backoff_factor, growth_interval, enabled)

    for cls, name in ((Autocast, "autocast"), (Scaler, "GradScaler")):
        cls.__name__ = cls.__qualname__ = name
        cls.__doc__ = f'`torch.amp.{name}("{device}", ...)`.'
    return Autocast, Scaler
