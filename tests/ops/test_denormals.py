"""Denormals: zeros inside kernels by default, as after PyTorch's `set_flush_denormal(True)`."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import rushlight

TINY = 1e-40

# What reads or makes denormals, on tensors large enough for several threads.
CASES = {
    "read": lambda T, x: x * 1e10,
    "made": lambda T, x: (x + 1e-30) * 1e-10,
    "product": lambda T, x: x.view(256, 512) @ T.full((512, 64), 1e30),
    "chain": lambda T, x: (x * 2 + 1e-39) * 1e10,
}


@pytest.fixture
def flush():
    """Sets the mode in both libraries; ours is left on."""

    def set_both(mode):
        assert torch.set_flush_denormal(mode) == rushlight.set_flush_denormal(mode)

    yield set_both
    torch.set_flush_denormal(False)
    rushlight.set_flush_denormal(True)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_both_modes_are_pytorchs(flush, case, mode, compiled):
    """On and off, on every thread, eager and in compiled steps."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # PyTorch sets the mode of the calling thread only
    try:
        flush(mode)
        want = CASES[case](torch, torch.full((1 << 17,), TINY)).numpy()
        fn = rushlight.compile(CASES[case], fullgraph=True) if compiled else CASES[case]
        x = rushlight.full((1 << 17,), TINY)
        for _ in range(5):
            got = fn(rushlight, x)
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-5)
    finally:
        torch.set_num_threads(threads)


def test_on_by_default():
    """The caller's own mode is as it was after a kernel."""
    assert (rushlight.full((4,), TINY) * 1e10).tolist() == [0.0] * 4
    assert np.float32(TINY) * np.float32(1e10) > 0
