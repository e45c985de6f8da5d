"""Making a layer without giving it initial values."""

from __future__ import annotations

import inspect

from ..._device import as_device
from .. import init
from ..modules.module import Module

__all__ = ["skip_init"]


def skip_init(module_cls, *args, **kwargs) -> Module:
    """module_cls(*args, **kwargs) with uninitialised parameters and buffers; draws no random numbers.

    Raises: RuntimeError unless it is a Module class that takes `device`.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.skip_init.html
    """
    if not issubclass(module_cls, Module):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    device = as_device(kwargs.pop("device", "cpu"))
    with init.skipped():
        return module_cls(*args, device=device, **kwargs).to_empty(device=device)
