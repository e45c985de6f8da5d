"""The random number generator: MT19937 with PyTorch's seeding, state layout and default seed.

A generator is one uint8 array (`_state`) that random kernels take as an output: they read it and write it back. A
recorded step that draws numbers therefore goes on from the state of the moment, and `get_state` / `set_state` exchange
bytes with PyTorch.

Note [Which CPU's numbers]: PyTorch built with MKL draws `bernoulli_(p)` and `exponential_` from MKL's own stream on Intel
CPUs, and from its generator on all others. rushlight does the latter everywhere, so that a seed means the same numbers on
every machine.
"""

from __future__ import annotations

import os

import numpy as np

from . import _dtypes, _native
from ._device import as_device
from ._kernels import K

__all__ = ["Generator", "default_generator", "manual_seed", "seed", "initial_seed", "get_rng_state", "set_rng_state"]

_STATE_SIZE = 5056
_DEFAULT_SEED = 67280421310721


class Generator:
    """A stream of pseudo-random numbers, equal to PyTorch's CPU stream for the same seed.

    Every random function takes one as `generator=`; without it they share `default_generator`.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.Generator.html
    """

    __slots__ = ("_state", "__weakref__")

    def __init__(self, device="cpu"):
        as_device(device)
        self._state = _native.empty((_STATE_SIZE,), _dtypes.uint8.code)
        K.random_seed_into(self._state, _DEFAULT_SEED)

    @property
    def device(self):
        """Always the CPU."""
        return as_device(None)

    def manual_seed(self, seed: int) -> Generator:
        """Starts the stream of `seed` (any 64-bit integer). Returns self."""
        if isinstance(seed, (str, float)) or not hasattr(seed, "__index__"):
            raise RuntimeError(f"manual_seed expected a long, but got {type(seed).__name__}")
        K.random_seed_into(self._state, _as_int64(seed.__index__()))
        return self

    def seed(self) -> int:
        """Starts a stream that nobody chose, and returns its seed."""
        value = int.from_bytes(os.urandom(8), "little") & 0x1FFFFFFFFFFFFF
        K.random_seed_into(self._state, value)
        return value

    def initial_seed(self) -> int:
        """The seed the stream started from, as an unsigned number."""
        return int(np.asarray(self._state)[:8].view(np.uint64)[0])

    def get_state(self):
        """The state as a uint8 tensor: `torch.get_rng_state()`'s bytes."""
        return _native.wrap(K.copy(self._state))

    def set_state(self, new_state) -> Generator:
        """Goes on from a state that `get_state` returned, here or in PyTorch.

        Raises: TypeError unless it is a uint8 tensor, RuntimeError if its size or content is wrong.
        """
        if not isinstance(new_state, _native.TensorBase):
            raise TypeError(f"expected a torch.ByteTensor, but got {type(new_state).__name__}")
        a = new_state._a
        if a.dtype is not _dtypes.uint8:
            raise TypeError("RNG state must be a torch.ByteTensor")
        if a.numel != _STATE_SIZE:
            raise RuntimeError(
                f"Expected a CPUGeneratorImplState of size {_STATE_SIZE} but found the input RNG state size to be "
                f"{a.numel}"
            )
        raw = np.ascontiguousarray(np.asarray(a)).reshape(-1)
        left, seeded = raw[8:16].view(np.int32)
        following = int(raw[16:24].view(np.uint64)[0])
        if not (seeded and 1 <= left <= 624 and following <= 624):
            raise RuntimeError("Invalid mt19937 state")
        K.copy_into(self._state, a if a.ndim == 1 else K.copy(a).as_strided((_STATE_SIZE,), (1,), 0))
        return self

    graphsafe_set_state = set_state
    graphsafe_get_state = get_state

    def clone_state(self) -> Generator:
        """A new generator that goes on from the same state."""
        twin = Generator()
        K.copy_into(twin._state, self._state)
        return twin

    def get_offset(self):
        raise RuntimeError("CPU Generator does not use offset")

    def set_offset(self, offset):
        raise RuntimeError("CPU Generator does not use offset")

    def __deepcopy__(self, memo):
        return self.clone_state()

    def __reduce__(self):
        return _restore, (bytes(np.asarray(self._state)),)


def _restore(raw):
    g = Generator()
    np.asarray(g._state)[...] = np.frombuffer(raw, dtype=np.uint8)
    return g


def _as_int64(value: int) -> int:
    if not -(2**63) <= value < 2**64:
        raise ValueError("Overflow when unpacking long long")
    return value - 2**64 if value >= 2**63 else value


default_generator = Generator()


def manual_seed(seed) -> Generator:
    """Starts the default generator's stream of `seed`. Returns the generator.

    Raises: ValueError for what is no 64-bit integer.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.manual_seed.html
    """
    value = int(seed)
    if not -(2**63) <= value < 2**63:
        raise ValueError("Overflow when unpacking long long")
    return default_generator.manual_seed(value)


def seed() -> int:
    """Starts a stream of the default generator that nobody chose, and returns its seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed that the default generator's stream started from."""
    return default_generator.initial_seed()


def get_rng_state():
    """The default generator's state as a uint8 tensor of 5056 bytes, the same bytes as PyTorch's."""
    return default_generator.get_state()


def set_rng_state(new_state) -> None:
    """Sets the default generator's state to one from `get_rng_state`, of rushlight or of PyTorch."""
    default_generator.set_state(new_state)
