"""`device`: where a tensor lives. rushlight computes on the CPU; other names can be written but not used."""

from __future__ import annotations

import re

__all__ = ["device", "as_device"]

_TYPES = ("cpu", "cuda", "mps", "xpu", "meta", "hip", "mtia", "hpu", "privateuseone", "ipu", "xla", "vulkan", "mkldnn",
          "opengl", "opencl", "ideep", "ve", "fpga", "maia", "lazy")  # fmt: skip


class device:
    """A device name, such as `device("cpu")` or `device("cuda", 1)`.

    Raises: RuntimeError for a string that names no device.
    """

    __slots__ = ("type", "index")

    def __init__(self, type, index=None):
        if isinstance(type, device):
            type, index = type.type, type.index
        elif isinstance(type, int):
            type, index = "cuda", type
        elif not isinstance(type, str):
            raise TypeError(f"device(): argument 'type' (position 1) must be str, not {_type_name(type)}")
        match = re.fullmatch(r"([a-z_]+)(?::(\d+))?", type)
        if not match:
            raise RuntimeError(f"Invalid device string: '{type}'")
        if match[1] not in _TYPES:
            raise RuntimeError(
                f"Expected one of {', '.join(_TYPES)} device type at start of device string: {match[1]}"
            )
        if match[2] is not None:
            if index is not None:
                raise RuntimeError(
                    f"type (string) must not include an index because index was passed explicitly: {type}"
                )
            index = int(match[2])
        self.type, self.index = match[1], index

    def __repr__(self):
        return f"device(type='{self.type}')" if self.index is None else f"device(type='{self.type}', index={self.index})"

    def __str__(self):
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other):
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self):
        return hash((self.type, self.index))

    def __reduce__(self):
        return device, ((self.type,) if self.index is None else (self.type, self.index))

    def __enter__(self):
        as_device(self)
        return self

    def __exit__(self, *exc):
        return None


def _type_name(x):
    return type(x).__name__


CPU = device("cpu")


def as_device(d) -> device:
    """The device to compute on; AssertionError or RuntimeError, as in PyTorch without that backend, for any but the CPU."""
    if d is None:
        return CPU
    if not isinstance(d, device):
        d = device(d)
    if d.type == "cpu":
        return CPU
    if d.type == "cuda":
        raise AssertionError("Torch not compiled with CUDA enabled")
    raise RuntimeError(f"rushlight computes on the CPU only; device '{d}' is not available")
