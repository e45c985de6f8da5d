"""float16 and bfloat16: every bit of conversions, and kernels that read and write them themselves."""

import numpy as np
import pytest
import torch

import rushlight as rl

HALFS = ("bfloat16", "float16")
OTHERS = ("float32", "float64", "int64", "int32", "int16", "int8", "uint8", "bool")


def bits(T, t):
    return t.contiguous().view(T.int16).numpy() if t.dtype in (T.bfloat16, T.float16) else t.numpy()


def same(ours, theirs):
    """The same bits; NaN of whatever digits."""
    assert str(ours.dtype).split(".")[-1] == str(theirs.dtype).split(".")[-1] and tuple(ours.shape) == tuple(theirs.shape)
    a, b = bits(rl, ours), bits(torch, theirs)
    nan = np.isnan(theirs.float().numpy())
    assert ((a == b) | nan).all() and (np.isnan(ours.float().numpy()) == nan).all()
    assert (np.signbit(a) == np.signbit(b))[~nan].all()


def floats():
    """Every bfloat16, numbers on both sides of each and halfway to the next, and all sizes from float16's denormals to its infinity."""
    every = np.arange(1 << 16, dtype=np.uint32) << 16
    near = [every + np.uint32(d) for d in (0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF)]
    half = np.arange(0x32000000, 0x48000000, 2048, dtype=np.uint32)
    return np.concatenate([*near, half, half + np.uint32(1), half | np.uint32(1 << 31)]).view(np.float32)


@pytest.mark.parametrize("dtype", HALFS)
def test_rounding_and_back(dtype):
    x = floats()
    same(rl.from_numpy(x).to(getattr(rl, dtype)), torch.from_numpy(x).to(getattr(torch, dtype)))
    every = np.arange(1 << 16, dtype=np.uint16).view(np.int16)
    same(rl.from_numpy(every).view(getattr(rl, dtype)).float(), torch.from_numpy(every).view(getattr(torch, dtype)).float())


@pytest.mark.parametrize("dtype", HALFS)
@pytest.mark.parametrize("other", OTHERS + HALFS)
def test_types(dtype, other):
    r = np.random.default_rng(0)
    for n in (0, 1, 7, 8, 15, 16, 17, 255, 256, 257, 511, 513, 1000):
        x = r.integers(0, 100, n).astype(np.float64) * 1.37
        for a, b in ((dtype, other), (other, dtype)):
            ours, theirs = (T.from_numpy(x).to(getattr(T, a)).to(getattr(T, b)) for T in (rl, torch))
            same(ours, theirs)


LAYOUTS = {
    "transposed": lambda t: t.transpose(0, -1),
    "slice": lambda t: t[..., 3:40],
    "steps": lambda t: t[..., ::2],
    "row": lambda t: t[:1, :1].expand(*t.shape),
    "column": lambda t: t[..., :1].expand(*t.shape),
    "inner": lambda t: t.permute(1, 0, 2),
    "last": lambda t: t.permute(0, 2, 1),
}


@pytest.mark.parametrize("dtype", HALFS)
@pytest.mark.parametrize("other", ("float32", "float64", "int32", "uint8", *HALFS))
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(dtype, other, layout):
    view = LAYOUTS[layout]
    r = np.random.default_rng(1)
    for shape in ((2, 5, 50), (65, 3, 70), (130, 2, 67), (3, 1, 600), (1, 1, 64)):
        x = r.integers(0, 100, shape).astype(np.float64) * 1.37
        for a, b in ((dtype, other), (other, dtype)):
            results = []
            for T in (rl, torch):
                source = view(T.from_numpy(x).to(getattr(T, a)))
                wide = T.zeros([2 * n for n in source.shape], dtype=getattr(T, b))
                into = wide[tuple(slice(None, None, 2) for _ in source.shape)]
                into.copy_(source)
                turned = T.empty(source.shape[::-1], dtype=getattr(T, b)).permute(2, 1, 0)
                results.append((T.empty(source.shape, dtype=getattr(T, b)).copy_(source), wide, turned.copy_(source)))
            for ours, theirs in zip(*results, strict=True):
                same(ours, theirs)
