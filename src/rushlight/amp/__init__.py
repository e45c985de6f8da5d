"""Automatic mixed precision: `autocast`, and `GradScaler` for float16.

Reference: https://docs.pytorch.org/docs/stable/amp.html
"""

from ..autograd.autocast import autocast, is_autocast_available
from .custom import custom_bwd, custom_fwd
from .grad_scaler import GradScaler

__all__ = ["autocast", "custom_bwd", "custom_fwd", "is_autocast_available", "GradScaler"]
