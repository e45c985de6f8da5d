"""Every path of the matrix product: sizes around the tiles, orders of the operands, kinds of epilogue, numbers of threads."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import rushlight
from rushlight import _native
from rushlight._kernels import K

SIZES = [(1, 1, 1), (1, 50, 130), (3, 5, 400), (4, 17, 300), (7, 33, 600), (13, 31, 9), (15, 48, 64), (29, 65, 321), (28, 96, 700),
         (113, 1600, 5), (230, 40, 333), (2, 3, 0)]  # fmt: skip

SMALL = [(3, 3, 3), (4, 4, 2), (16, 1, 8), (8, 1, 16), (200, 1, 70), (16, 8, 1), (1, 10, 64), (14, 16, 5), (33, 32, 64), (57, 31, 64),
         (20, 17, 65), (5, 33, 40)]  # fmt: skip


def stored(array, transposed):
    """A view of these values whose memory is transposed."""
    return rushlight.from_numpy(array.T.copy()).t() if transposed else rushlight.from_numpy(array.copy())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", SIZES, ids=lambda s: "x".join(map(str, s)))
def test_orders(size, dtype):
    """All orders of the operands in memory, and strided ones, agree with NumPy in float64."""
    m, n, k = size
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    want = a.astype(np.float64) @ b.astype(np.float64)
    bound = (1e-6 if dtype is np.float32 else 1e-14) * max(1, np.abs(want).max(initial=0)) * 4
    for ta, tb in itertools.product((False, True), repeat=2):
        got = (stored(a, ta) @ stored(b, tb)).numpy()
        np.testing.assert_allclose(got, want, rtol=0, atol=bound)
    wide = rushlight.from_numpy(np.repeat(np.repeat(a, 2, 0), 2, 1))[::2, ::2]
    np.testing.assert_allclose((wide @ stored(b, True)).numpy(), want, rtol=0, atol=bound)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", SMALL, ids=lambda s: "x".join(map(str, s)))
def test_batches_of_small_ones(size, dtype):
    """Many small products, in all orders of the operands in memory, one of them perhaps the same for all."""
    m, n, k = size
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((7, m, k)).astype(dtype), rng.standard_normal((7, k, n)).astype(dtype)
    for ta, tb, shared in itertools.product((False, True), (False, True), (None, 0, 1)):
        x, y = (a[:1] if shared == 0 else a), (b[:1] if shared == 1 else b)
        left, right = (rushlight.from_numpy(v.swapaxes(1, 2).copy()).transpose(1, 2) if t else rushlight.from_numpy(v.copy())
                       for v, t in ((x, ta), (y, tb)))  # fmt: skip
        want = x.astype(np.float64) @ y.astype(np.float64)
        np.testing.assert_allclose((left @ right).numpy(), want, rtol=0, atol=(4e-6 if dtype is np.float32 else 1e-13) * np.abs(want).max())


@pytest.mark.parametrize("size", SIZES, ids=lambda s: "x".join(map(str, s)))
@pytest.mark.parametrize("bias", [False, True])
def test_linear(size, bias):
    """x W^T + b, as it is and from a transposed x."""
    m, n, k = size
    rng = np.random.default_rng(1)
    x, w, b = (rng.standard_normal(s).astype(np.float32) for s in ((m, k), (n, k), (n,)))
    want = x.astype(np.float64) @ w.T.astype(np.float64) + (b if bias else 0)
    for transposed in (False, True):
        got = rushlight.nn.functional.linear(stored(x, transposed), stored(w, False), rushlight.from_numpy(b) if bias else None)
        np.testing.assert_allclose(got.numpy(), want, rtol=0, atol=4e-6 * max(1, np.abs(want).max(initial=0)))


@pytest.mark.parametrize("size", [(5, 1500, 600), (300, 700, 330), (1024, 64, 100), (12, 2000, 512), (40, 33, 4000)])
def test_threads(size):
    """The same bits for one, two, three, four and eight threads."""
    m, n, k = size
    rng = np.random.default_rng(2)
    a, b = (rushlight.from_numpy(rng.standard_normal(s).astype(np.float32)) for s in ((m, k), (n, k)))
    results, before = [], _native.get_num_threads()
    try:
        for threads in (1, 2, 3, 4, 8):
            _native.set_num_threads(threads)
            results.append([_native.wrap(K.linear(a._a, b._a, None)).numpy().copy(),
                            _native.wrap(K.matmul(a._a, b.t().contiguous()._a)).numpy().copy()])  # fmt: skip
    finally:
        _native.set_num_threads(before)
    for other in results[1:]:
        assert all(np.array_equal(p, q) for p, q in zip(results[0], other, strict=True))
