"""Anomaly detection: where the forward call was whose backward failed or made a NaN."""

from __future__ import annotations

import warnings

from .. import _native

__all__ = ["detect_anomaly", "set_detect_anomaly", "is_anomaly_enabled"]

_state = {"enabled": False, "check_nan": True}


def is_anomaly_enabled() -> bool:
    """Whether anomaly detection is on."""
    return _state["enabled"]


def _set(enabled: bool, check_nan: bool) -> tuple[bool, bool]:
    before = _state["enabled"], _state["check_nan"]
    _state.update(enabled=enabled, check_nan=check_nan)
    _native.set_anomaly(enabled)
    _native.set_anomaly_check(_checked_apply if enabled else None)
    return before


def _checked_apply(node, grads, needed):
    try:
        results = node.apply(grads, needed)
    except Exception:
        _warn(node)
        raise
    if _state["check_nan"]:
        for i, g in enumerate(results):
            g = g._values() if g is not None and g.is_sparse else g
            if g is not None and bool((g != g).any()):
                _warn(node)
                raise RuntimeError(f"Function '{node.name()}' returned nan values in its {i}th output.")
    return results


def _warn(node):
    where = (
        "Traceback of forward call that caused the error:\n" + "".join(node.trace)
        if node.trace
        else "No forward pass information available. Enable detect anomaly during forward pass for more information."
    )
    warnings.warn(f"Error detected in {node.name()}. {where}", UserWarning, stacklevel=4)


class detect_anomaly:
    """Within: every op remembers where it was called, and a backward that fails or makes a NaN says so.

    Reference: https://docs.pytorch.org/docs/stable/autograd.html#anomaly-detection
    """

    def __init__(self, check_nan: bool = True):
        self.check_nan = check_nan
        warnings.warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should only be enabled for debugging.",
            UserWarning,
            stacklevel=2,
        )

    def __enter__(self):
        self._before = _set(True, self.check_nan)

    def __exit__(self, *exc):
        _set(*self._before)


class set_detect_anomaly:
    """Turns anomaly detection on or off at once; as a context manager, restores it at the end."""

    def __init__(self, mode: bool, check_nan: bool = True):
        self._before = _set(bool(mode), check_nan)

    def __enter__(self):
        return None

    def __exit__(self, *exc):
        _set(*self._before)
