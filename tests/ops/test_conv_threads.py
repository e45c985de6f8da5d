"""Every path of the convolution kernels, for one, two, three, four and eight threads."""

from __future__ import annotations

import numpy as np
import pytest

import rushlight
from rushlight import _native
from rushlight._kernels import K

# (input, weight, stride, padding, groups): many images, few, small ones side by side, strided, depthwise, narrow groups;
# 3 x 3, 5 x 5 and strided tiles in several slabs, with weights shared and not, and with odd channels; small images to a tile, bands,
# patches, kernels as large as the image, and of one pixel
CASES = [
    ((128, 6, 14, 14), (16, 6, 5, 5), 1, 0, 1),
    ((64, 1, 32, 32), (6, 1, 5, 5), 1, 0, 1),
    ((50, 1, 28, 28), (16, 1, 3, 3), 2, 1, 1),
    ((16, 3, 60, 64), (7, 3, 4, 4), 2, 1, 1),
    ((20, 16, 14, 14), (32, 16, 3, 3), 2, 1, 1),
    ((16, 64, 14, 14), (64, 64, 3, 3), 1, 1, 1),
    ((1, 64, 14, 14), (200, 64, 3, 3), 1, 1, 1),
    ((5, 64, 7, 7), (128, 64, 3, 3), 2, 1, 1),
    ((2, 96, 28, 28), (96, 1, 3, 3), 2, 1, 96),
    ((20, 96, 28, 28), (96, 1, 3, 3), 1, 1, 96),
    ((3, 3, 65, 67), (64, 3, 7, 7), 2, 3, 1),
    ((40, 8, 28, 28), (12, 4, 3, 3), 1, 1, 2),
    ((16, 96, 33, 30), (40, 96, 3, 3), 1, 1, 1),
    ((4, 64, 27, 27), (72, 64, 5, 5), 1, 2, 1),
    ((9, 256, 7, 7), (264, 256, 3, 3), 1, 1, 1),
    ((3, 41, 19, 23), (70, 41, 3, 3), 1, 2, 1),
    ((32, 64, 32, 32), (128, 64, 3, 3), 2, 1, 1),
    ((7, 130, 15, 16), (96, 130, 3, 3), 2, 2, 1),
    ((33, 64, 8, 8), (128, 64, 4, 4), 2, 1, 1),
    ((3, 64, 70, 66), (40, 64, 2, 2), 2, 0, 1),
    ((2, 3, 64, 64), (48, 3, 8, 8), 8, 0, 1),
    ((64, 64, 8, 8), (1, 64, 8, 8), 1, 0, 1),
    ((64, 128, 4, 4), (64, 128, 4, 4), 1, 0, 1),
    ((4, 64, 56, 56), (256, 64, 1, 1), 1, 0, 1),
    ((2, 256, 28, 28), (64, 256, 1, 1), 1, 0, 1),
    ((40, 48, 16, 16), (72, 24, 1, 1), 1, 0, 2),
    ((33, 300, 14, 14), (260, 300, 1, 1), 1, 0, 1),
    ((20, 16, 64, 60), (20, 16, 7, 7), 1, 3, 1),
    ((3, 40, 17, 20), (33, 40, 8, 6), 1, 2, 1),
]


def kernels(arrays, x, w, stride, padding, groups, out):
    """The results of the three kernels."""
    image, weight, grad = arrays
    geometry = (stride, stride), (padding, padding), (1, 1), groups
    results = (K.conv(image, weight, None, *geometry, out), K.conv_input(grad, weight, None, *geometry, x[2:]),
               K.conv_weight(image, grad, *geometry, w[2:]))  # fmt: skip
    return [_native.wrap(a).numpy().copy() for a in results]


@pytest.mark.parametrize("case", CASES, ids=lambda c: "x".join(map(str, c[0])))
def test_same_bits_and_small_errors(case):
    """The same bits for any number of threads; float32 is within 2e-6 of float64's largest result."""
    x, w, stride, padding, groups = case
    out = tuple((n + 2 * padding - k) // stride + 1 for n, k in zip(x[2:], w[2:], strict=True))
    rng = np.random.default_rng(0)
    drawn = [rng.standard_normal(s) for s in (x, w, (x[0], w[0], *out))]

    def run(dtype):
        arrays = [rushlight.from_numpy(v.astype(dtype))._a for v in drawn]
        return kernels(arrays, x, w, stride, padding, groups, out)

    before, results = _native.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 4, 8):
            _native.set_num_threads(threads)
            results.append(run(np.float32))
    finally:
        _native.set_num_threads(before)
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))
    for got, want in zip(results[0], run(np.float64), strict=True):
        assert np.abs(got - want).max() <= 2e-6 * np.abs(want).max()
