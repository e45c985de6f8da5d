"""Loss scaling, for gradients in float16 that would otherwise be too small for it."""

from __future__ import annotations

import math
import warnings
from collections import abc

from .. import _dtypes
from ..autograd.grad_mode import no_grad
from ..autograd.tensor import Tensor
from ..nn.utils.clip_grad import get_total_norm
from ..ops.creation import full

__all__ = ["GradScaler"]

_READY, _UNSCALED, _STEPPED = range(3)


class GradScaler:
    """Multiplies the loss by a scale, divides gradients by it, and leaves out steps whose gradients are not finite.

    The scale grows by `growth_factor` after `growth_interval` steps in a row that were made, and shrinks by `backoff_factor` after
    one that was left out. bfloat16 has float32's range and does not need it.

        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)           # before clipping gradients; else step() does it
        scaler.step(optimizer)
        scaler.update()

    Args: device: "cpu"; with "cuda", which is not there, it warns and does nothing. enabled: False does nothing.
    Raises: AssertionError for factors on the wrong side of 1.
    Reference: https://docs.pytorch.org/docs/stable/amp.html#torch.amp.GradScaler
    """

    def __init__(self, device="cuda", init_scale=2.0**16, growth_factor=2.0, backoff_factor=0.5, growth_interval=2000, enabled=True):
        self._device, self._enabled = device, enabled
        if device == "cuda" and enabled:
            warnings.warn("torch.cuda.amp.GradScaler is enabled, but CUDA is not available.  Disabling.", UserWarning, stacklevel=2)
            self._enabled = False
        if not self._enabled:
            return
        if growth_factor <= 1.0:
            raise AssertionError("The growth factor must be > 1.0.")
        if backoff_factor >= 1.0:
            raise AssertionError("The backoff factor must be < 1.0.")
        self._init_scale, self._scale = init_scale, None  # made by the first scale()
        self._growth_factor, self._backoff_factor, self._growth_interval = growth_factor, backoff_factor, growth_interval
        self._growth_tracker = 0  # steps made since the scale has changed
        self._stages = {}  # id(optimizer) -> [stage, whether a gradient was not finite]

    def _require_scale(self, name):
        if self._scale is None:
            raise AssertionError(
                f"Attempted {name} but _scale is None.  This may indicate your script did not use scaler.scale(loss or outputs) "
                "earlier in the iteration."
            )
        return self._scale

    def scale(self, outputs):
        """The tensor, or the tensors of an iterable, times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            if self._scale is None:
                self._scale = full((), self._init_scale, dtype=_dtypes.float32)
            return outputs * self._scale
        if isinstance(outputs, abc.Iterable):
            scaled = map(self.scale, outputs)
            return type(outputs)(scaled) if isinstance(outputs, (list, tuple)) else scaled
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    def unscale_(self, optimizer) -> None:
        """Divides the gradients of the optimizer's parameters by the scale, and notes whether all are finite."""
        if not self._enabled:
            return
        scale = self._require_scale("unscale_")
        state = self._stages.setdefault(id(optimizer), [_READY, None])
        if state[0] == _UNSCALED:
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        if state[0] == _STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        inverse = scale.double().reciprocal().float()
        with no_grad():
            grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
            if any(g.dtype is _dtypes.float16 for g in grads):
                raise ValueError("Attempting to unscale FP16 gradients.")
            grads = [g._values() if g.is_sparse else g for g in grads]
            for g in grads:
                g.mul_(inverse)
            if grads:
                state[1] = not get_total_norm(grads, math.inf).isfinite().item()
        state[0] = _UNSCALED

    def step(self, optimizer, *args, **kwargs):
        """`optimizer.step()`, unless a gradient is infinite or NaN. Unscales gradients that are not yet."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        self._require_scale("step")
        state = self._stages.setdefault(id(optimizer), [_READY, None])
        if state[0] == _STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if state[0] == _READY:
            self.unscale_(optimizer)
        if state[1] is None:
            raise AssertionError("No inf checks were recorded for this optimizer.")
        out = None if state[1] else optimizer.step(*args, **kwargs)
        state[0] = _STEPPED
        return out

    def update(self, new_scale=None) -> None:
        """Ends the step: changes the scale by what happened in it, or to `new_scale`."""
        if not self._enabled:
            return
        scale = self._require_scale("update")
        if new_scale is not None:
            if isinstance(new_scale, Tensor) and (new_scale.numel() != 1 or new_scale.requires_grad):
                raise AssertionError("new_scale should be a float or a 1-element torch.FloatTensor with requires_grad=False.")
            scale.fill_(float(new_scale))
        else:
            seen = [bad for _, bad in self._stages.values() if bad is not None]
            if not seen:
                raise AssertionError("No inf checks were recorded prior to update.")
            self._count(scale, any(seen))
        self._stages = {}

    def _count(self, scale, bad):
        if bad:
            scale.mul_(self._backoff_factor)
            self._growth_tracker = 0
            return
        self._growth_tracker += 1
        if self._growth_tracker == self._growth_interval:
            grown = float(scale) * self._growth_factor
            if grown <= _dtypes.finfo(_dtypes.float32).max:
                scale.fill_(grown)
            self._growth_tracker = 0

    def get_scale(self) -> float:
        """The scale; 1 if it is disabled."""
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else self._scale.item()

    def get_growth_factor(self) -> float:
        """What the scale is multiplied by when it grows."""
        return self._growth_factor

    def set_growth_factor(self, new_factor) -> None:
        """Sets it."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """What the scale is multiplied by after a step that was left out."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor) -> None:
        """Sets it."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """After how many steps in a row the scale grows."""
        return self._growth_interval

    def set_growth_interval(self, new_interval) -> None:
        """Sets it."""
        self._growth_interval = new_interval

    def is_enabled(self) -> bool:
        """Whether it does anything."""
        return self._enabled

    def state_dict(self) -> dict:
        """Everything that changes; empty if it is disabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._growth_tracker,
        }

    def load_state_dict(self, state_dict) -> None:
        """Goes on from a `state_dict()`. Raises: RuntimeError if that is of a disabled one."""
        if not self._enabled:
            return
        if len(state_dict) == 0:
            raise RuntimeError("The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler.")
        self._init_scale = state_dict["scale"]
        if self._scale is not None:
            self._scale.fill_(state_dict["scale"])
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._growth_tracker = state_dict["_growth_tracker"]
