"""Decorators for the passes of an `autograd.Function` that is used inside of autocast."""

from __future__ import annotations

import functools

from .. import _dtypes
from ..autograd.autocast import STATE, autocast, cast_all

__all__ = ["custom_fwd", "custom_bwd"]


def custom_fwd(fwd=None, *, device_type, cast_inputs=None):
    """For `forward`: with `cast_inputs`, its tensors come in that dtype and autocast is off inside; else it stays as it is.

    Reference: https://docs.pytorch.org/docs/stable/amp.html#torch.amp.custom_fwd
    """
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def wrapper(*args, **kwargs):
        ctx = args[0]
        ctx._dtype = STATE.dtype or _dtypes.bfloat16
        ctx._fwd_used_autocast = STATE.dtype is not None and cast_inputs is None
        if cast_inputs is None or STATE.dtype is None:
            return fwd(*args, **kwargs)
        kwargs = dict(zip(kwargs, cast_all(kwargs.values(), cast_inputs), strict=True))
        with autocast(device_type, enabled=False):
            return fwd(*cast_all(args, cast_inputs), **kwargs)

    return wrapper


def custom_bwd(bwd=None, *, device_type):
    """For `backward`: runs in the autocast state that `forward` ran in.

    Reference: https://docs.pytorch.org/docs/stable/amp.html#torch.amp.custom_bwd
    """
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def wrapper(*args, **kwargs):
        with autocast(device_type, enabled=args[0]._fwd_used_autocast, dtype=args[0]._dtype):
            return bwd(*args, **kwargs)

    return wrapper
