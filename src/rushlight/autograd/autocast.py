"""`autocast`: matrix products and convolutions in bfloat16 or float16, losses in float32, by the function that is called.

Functions say at their definition what they do inside of it, as in PyTorch's lists for the CPU: `lower_precision` casts its
tensors to the context's dtype, `full_precision` to float32, `widest` to the widest of its arguments; all others take
what comes. A weight is cast once per context (the same weight twice in a network has one cast, hence one gradient).

Reference: https://docs.pytorch.org/docs/stable/amp.html
"""

from __future__ import annotations

import functools
import threading
import warnings
import weakref

from .. import _dtypes, _native
from .grad_mode import _ContextDecorator
from .tensor import Tensor

__all__ = ["autocast", "is_autocast_enabled", "set_autocast_enabled", "get_autocast_dtype", "set_autocast_dtype",
           "is_autocast_cache_enabled", "set_autocast_cache_enabled", "clear_autocast_cache", "is_autocast_available",
           "lower_precision", "full_precision", "widest", "casting", "cast_all"]  # fmt: skip

_SUPPORTED = (_dtypes.bfloat16, _dtypes.float16)
_DEVICES = ("cpu", "cuda", "xpu", "mps", "mtia", "maia", "hpu", "xla", "ipu", "privateuseone")


class _State(threading.local):
    """What a function asks when it is called: `dtype` is None outside of autocast and inside of a function that has cast.

    One to a thread, as in PyTorch: a thread starts outside of autocast.
    """

    def __init__(self):
        self.dtype, self.depth, self.caching = None, 0, True
        self.defaults = {"cpu": _dtypes.bfloat16}
        self.cache = {}  # id(weight) -> (weak reference, version, needs_grad, its cast)

    def switch(self, dtype):
        """Sets the dtype, and tells the native side: declared functions (native/bindings/autocast.cpp) and compiled steps ask it."""
        self.dtype = dtype
        _native.set_autocast(-1 if dtype is None else dtype.code)


STATE = _State()


def _cast(value, dtype):
    if not isinstance(value, Tensor):
        return type(value)(_cast(v, dtype) for v in value) if type(value) in (list, tuple) else value
    own = value.dtype
    if own is dtype or not own.is_floating_point or own is _dtypes.float64:
        return value
    if not (STATE.caching and value._requires_grad and value._node is None and own is _dtypes.float32 and dtype in _SUPPORTED):
        return value.to(dtype)
    key, recording = id(value), _native.is_grad_enabled()
    found = STATE.cache.get(key)
    if found is not None and found[0]() is value and found[1] == value._a.version and found[2] == recording and found[3].dtype is dtype:
        return found[3]
    made = value.to(dtype)
    STATE.cache[key] = (weakref.ref(value), value._a.version, recording, made)
    return made


def cast_all(values, dtype):
    """The values, with floating tensors (but float64) in another dtype."""
    return [_cast(v, dtype) for v in values]


def casting(fn, choose):
    """`fn`, which inside of autocast gets its tensors in the dtype that `choose(args, kwargs, the context's dtype)` says."""

    def cast(*args, **kwargs):
        outer = STATE.dtype
        dtype = choose(args, kwargs, outer)
        args = [_cast(a, dtype) for a in args]
        kwargs = {k: _cast(v, dtype) for k, v in kwargs.items()}
        STATE.switch(None)
        try:
            return fn(*args, **kwargs)
        finally:
            STATE.switch(outer)

    return functools.update_wrapper(_native.Casting(fn, cast), fn)


def lower_precision(fn):
    """Runs in the context's dtype."""
    return casting(fn, lambda args, kwargs, dtype: dtype)


def full_precision(fn):
    """Runs in float32."""
    return casting(fn, lambda args, kwargs, dtype: _dtypes.float32)


def widest(fn):
    """Runs in float32 if one of its tensors is that, and else in the context's dtype."""

    def choose(args, kwargs, dtype):
        full = any(isinstance(a, Tensor) and a.dtype is _dtypes.float32 for a in (*args, *kwargs.values()))
        return _dtypes.float32 if full else dtype

    return casting(fn, choose)


# -- the context ---------------------------------------------------------------------------------------------------------


class autocast(_ContextDecorator):
    """Inside, matrix products, convolutions, attention and recurrent layers run in `dtype` (default bfloat16), most losses in float32.

    Context manager or decorator. Parameters keep their dtype, and so do their gradients. Wrap the forward pass and the loss;
    `backward()` belongs outside. bfloat16 products are twice as fast as float32 on chips that have them (AVX512-BF16), and
    no faster on others; float16 is not faster on a CPU.

    Args: device_type: "cpu"; "cuda" is disabled with a warning, since there is none. dtype: bfloat16 or float16, with others it is
        disabled, with a warning. enabled: False turns an outer autocast off. cache_enabled: whether casts of weights are kept.
    Raises: RuntimeError for an unknown device type; ValueError if it is not a string.
    Reference: https://docs.pytorch.org/docs/stable/amp.html#torch.autocast
    """

    def __init__(self, device_type, dtype=None, enabled=True, cache_enabled=None):
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        if not is_autocast_available(device_type):
            raise RuntimeError(f"User specified an unsupported autocast device_type '{device_type}'")
        self.device = device_type
        self.fast_dtype = dtype if dtype is not None else get_autocast_dtype(device_type)
        self._cache_enabled = STATE.caching if cache_enabled is None else cache_enabled
        if enabled and device_type != "cpu":
            reason = f"{device_type.upper()} is not available or torch_xla is imported"
            warnings.warn(f"{reason}. Disabling autocast.", UserWarning, stacklevel=2)
            enabled = False
        elif enabled and self.fast_dtype not in _SUPPORTED:
            warnings.warn(
                "In CPU autocast, but the target dtype is not supported. Disabling autocast.\n"
                "CPU Autocast only supports dtypes of torch.bfloat16, torch.float16 currently.",
                UserWarning,
                stacklevel=2,
            )
            enabled = False
        self._enabled = enabled
        self._before = []

    def __enter__(self):
        self._before.append((STATE.caching, STATE.dtype))
        if self.device == "cpu":
            STATE.depth += 1
            STATE.caching = self._cache_enabled
            STATE.switch(self.fast_dtype if self._enabled else None)
        return self

    def __exit__(self, *exc):
        caching, dtype = self._before.pop()
        if self.device == "cpu":
            STATE.depth -= 1
            if STATE.depth == 0:
                clear_autocast_cache()
            STATE.caching = caching
            STATE.switch(dtype)
        return False

    def _clone(self):
        return self


def is_autocast_available(device_type) -> bool:
    """Whether `autocast` knows this kind of device."""
    return device_type in _DEVICES


def is_autocast_enabled(device_type="cuda") -> bool:
    """Whether autocast is on for "cpu"; False for other devices, of which there are none."""
    return device_type == "cpu" and STATE.dtype is not None


def set_autocast_enabled(device_type, enabled=None) -> None:
    """Turns autocast on or off, in the device's dtype: what the context does by itself."""
    if device_type == "cpu":
        STATE.switch(STATE.defaults["cpu"] if enabled else None)


def get_autocast_dtype(device_type):
    """The dtype of autocast: that of the context around, bfloat16 on a CPU and float16 elsewhere by default."""
    if device_type == "cpu" and STATE.dtype is not None:
        return STATE.dtype
    return STATE.defaults.get(device_type, _dtypes.float16)


def set_autocast_dtype(device_type, dtype) -> None:
    """The default dtype of autocast for a kind of device."""
    STATE.defaults[device_type] = dtype


def is_autocast_cache_enabled() -> bool:
    """Whether casts of weights are kept until the context ends."""
    return STATE.caching


def set_autocast_cache_enabled(enabled) -> None:
    """Turns the keeping of casts on or off."""
    STATE.caching = enabled


def clear_autocast_cache() -> None:
    """Forgets the casts of weights."""
    STATE.cache.clear()
