"""`torch.cpu.amp`."""

from ..amp.by_device import for_device

__all__ = ["autocast", "GradScaler"]

autocast, GradScaler = for_device("cpu")
