"""float16 and bfloat16: every bit of conversions, and kernels that read and write them themselves."""

import numpy as np
import pytest
import torch

import rushlight as rl
from rushlight import _native
from rushlight._kernels import K

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


def arrays(values):
    return [v._a if isinstance(v, rl.Tensor) else v for v in values]


def from_array(a):
    """A native array's numbers as float32, exactly."""
    full = _native.empty(a.shape, rl.float32.code)
    K.copy_into(full, a)
    return np.asarray(full).copy()


def call(name, values, outs):
    """The kernel's results; `outs`: tensors like those that it writes, if it makes none itself."""
    if not outs:
        got = getattr(K, name)(*arrays(values))
        return list(got) if isinstance(got, (list, tuple)) else [got]
    made = tuple(_native.empty(t.shape, t.dtype.code) for t in outs)
    getattr(K, name + "_into")(made, *arrays(values))
    return list(made)


def cases(r, half, shape):
    """(kernel, its arguments, outputs that are given): x is half, parameters and statistics float32 or half."""

    def draw(*s):
        return rl.from_numpy(r.standard_normal(s).astype(np.float32)).to(half)

    x, g, y = draw(*shape), draw(*shape), draw(*shape)
    for dim in range(len(shape)):
        yield "softmax", (x, dim), ()
        yield "log_softmax", (x, dim), ()
        yield "softmax_backward", (g, y, dim), ()
        yield "log_softmax_backward", (g, y, dim), ()
    for mask in range(1, 1 << len(shape)):
        yield "sum", (x, mask, False), ()
        yield "sum", (x.transpose(0, 1), mask, True, 0.37), ()
    yield "channel_sum", (x,), ()
    rows, n, channels = x.numel() // shape[-1], shape[-1], shape[1]
    for parameters in (rl.float32, half):
        w, b, m = draw(n).to(parameters), draw(n).to(parameters), rl.empty(rows)
        for weights in ((w, b), (w, None), (None, b), (None, None)):
            yield "row_norm", (x, *weights, 1, n, 1, True, 1e-5), (x, m, m)
        yield "row_norm_backward", (g, x, w, draw(rows).float(), draw(rows).float().abs(), 1, n, 1, True, 1e-5), ()
        w, b, m = draw(channels).to(parameters), draw(channels).to(parameters), rl.empty(channels)
        mean, rstd = draw(channels).float(), draw(channels).float().abs()
        for v in (x, x.reshape(-1, channels)):
            yield "batch_norm", (v, w, b, 1e-5), (v, m, m, m)
            yield "batch_norm_eval", (v, w, b, mean, rstd), ()
            yield "batch_norm_backward", (v.flip(0), v, w, mean, rstd, True), ()
        if parameters is half:                # a gradient of another type
            yield "row_norm_backward", (g.float(), x, None, draw(rows).float(), draw(rows).float().abs(), 1, n, 1, True, 1e-5), ()


@pytest.mark.parametrize("dtype", HALFS)
@pytest.mark.parametrize("shape", [(4, 3, 1), (2, 5, 16), (3, 17, 40), (5, 2, 129), (2, 3, 2500), (70, 33, 7), (1, 1, 15)])
def test_one_rounding(dtype, shape):
    """What a kernel makes of halves is what it makes of the same numbers in float32, rounded once.

    The compiler may add a product with or without rounding it, in one of the two only; a few results then lie one step apart.
    """
    half = getattr(rl, dtype)
    for name, values, outs in cases(np.random.default_rng(2), half, shape):
        ours = call(name, values, outs)
        full = [v.float() if isinstance(v, rl.Tensor) and v.dtype is half else v for v in values]
        theirs = call(name, full, [t.float() for t in outs])
        for a, b in zip(ours, theirs, strict=True):
            x, full = from_array(a), from_array(b)
            rounded = _native.empty(a.shape, a.dtype.code)
            K.copy_into(rounded, b)
            other = (x != from_array(rounded)) & ~(np.isnan(x) & np.isnan(full))
            step = {rl.float32: 1e-5, rl.float16: 2.0**-10, rl.bfloat16: 2.0**-7}[a.dtype]
            assert other.mean() < 0.01 or a.dtype is rl.float32, name
            assert (abs(x - full)[other] <= step * np.maximum(abs(full), 1e-3)[other]).all(), name


F = rl.nn.functional
SLICED = {
    "max_pool": lambda x: F.max_pool2d(x, 2),
    "max_pool_wide": lambda x: F.max_pool2d(x, 3, 2, 1),
    "adaptive_max_pool": lambda x: F.adaptive_max_pool2d(x, (2, 3)),
    "whole_max": lambda x: F.adaptive_max_pool2d(x, 1),
    "avg_pool": lambda x: F.avg_pool2d(x, 3, 2, 1),
    "adaptive_avg_pool": lambda x: F.adaptive_avg_pool2d(x, (3, 2)),
    "whole_mean": lambda x: F.adaptive_avg_pool2d(x, 1),
    "unpool": lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2),
    "glu": lambda x: F.glu(x, 1),
    "glu_rows": lambda x: F.glu(x, 0),
    "upsample": lambda x: F.interpolate(x[:, 0], scale_factor=1.7, mode="linear"),
    "cumsum": lambda x: x.cumsum(2),
    "cumsum_rows": lambda x: x.cumsum(0),
    "logcumsumexp": lambda x: x.logcumsumexp(-1),
}


@pytest.mark.parametrize("dtype", HALFS)
@pytest.mark.parametrize("shape", [(2, 4, 6, 8), (1, 2, 9, 70), (70, 2, 12, 14), (18, 40, 32, 32), (0, 2, 4, 4)])
@pytest.mark.parametrize("name", SLICED)
def test_slices(dtype, shape, name):
    """A kernel that takes halves slice by slice makes the bits that it makes of float32, rounded once; so do its gradients."""
    half, r, f = getattr(rl, dtype), np.random.default_rng(3), SLICED[name]
    if shape[0] % 2 and name == "glu_rows":
        shape = (2, *shape[1:])
    x = rl.from_numpy(r.standard_normal(shape).astype(np.float32)).to(half)
    if shape[0]:
        x[0, 0, :2, :5] = rl.tensor([0.0, -0.0, float("inf"), float("nan"), 7.5]).to(half)
    if name in ("upsample", "cumsum", "cumsum_rows", "logcumsumexp") and shape[0]:
        x[0, 0, :2, 2:4] = 1.0
    narrow, full = x.clone().requires_grad_(), x.float().requires_grad_()
    ours, theirs = f(narrow), f(full)
    same_ours = (ours.detach(), theirs.detach().to(half))
    g = rl.from_numpy(r.standard_normal(ours.shape).astype(np.float32)).to(half)
    grads = (rl.autograd.grad(ours, narrow, g)[0], rl.autograd.grad(theirs, full, g.float())[0].to(half))
    pairs = [same_ours] if name == "logcumsumexp" else [same_ours, grads]      # whose gradient is several calls, each rounded
    for a, b in pairs:
        assert a.dtype is half
        assert ((bits(rl, a) == bits(rl, b)) | (np.isnan(a.float().numpy()) & np.isnan(b.float().numpy()))).all()


# Images, heads, queries, keys, and the widths of keys and of values.
ATTENTION = [(2, 2, 5, 7, 8, 8), (1, 1, 300, 290, 16, 24), (9, 1, 33, 1, 3, 5), (2, 3, 64, 64, 32, 32), (1, 2, 0, 4, 8, 8)]


@pytest.mark.parametrize("dtype", HALFS)
@pytest.mark.parametrize("sizes", ATTENTION)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("turned", [False, True])
def test_attention(dtype, sizes, causal, turned):
    half, r = getattr(rl, dtype), np.random.default_rng(4)
    n, heads, queries, keys, width, width_v = sizes

    def draw(length, width):
        shape = (n, length, heads, width) if turned else (n, heads, length, width)
        x = rl.from_numpy(r.standard_normal(shape).astype(np.float32)).to(half)
        return x.transpose(1, 2) if turned else x

    q, k, v, g = draw(queries, width), draw(keys, width), draw(keys, width_v), draw(queries, width_v)
    for k_ in (k, k.transpose(2, 3).contiguous().transpose(2, 3)):
        ours = call("attention", (q, k_, v, None, None, int(causal), 0.3), ())
        theirs = call("attention", (q.float(), k_.float(), v.float(), None, None, int(causal), 0.3), ())
        backward = (g, q, k_, v, None, None)
        got = call("attention_backward", tuple(arrays(backward)) + (*ours, int(causal), 0.3), ())
        out = rl.from_numpy(from_array(ours[0]))
        full = [t.float() for t in (g, q, k_, v)]
        want = call("attention_backward", tuple(arrays((*full, None, None, out))) + (ours[1], int(causal), 0.3), ())
        for a, b in zip([*ours, *got], [*theirs, *want], strict=True):
            rounded = _native.empty(a.shape, a.dtype.code)
            K.copy_into(rounded, b)
            np.testing.assert_array_equal(from_array(a), from_array(rounded))


# Images, channels, channels of the result, height, width, taps, stride, padding: those that go through Winograd's domain and others.
CONVOLUTIONS = [
    (8, 16, 32, 17, 19, 3, 1, 1), (8, 33, 17, 32, 32, 3, 1, 1), (2, 64, 48, 70, 66, 3, 1, 0), (9, 40, 80, 4, 4, 3, 1, 1),
    (4, 96, 130, 8, 8, 3, 1, 1), (8, 32, 32, 20, 18, 5, 1, 2), (8, 32, 64, 16, 22, 3, 2, 1), (8, 32, 64, 17, 15, 3, 2, 0),
    (3, 3, 8, 9, 11, 3, 1, 1), (8, 32, 48, 14, 18, 4, 2, 1), (8, 32, 48, 13, 15, 4, 1, 1),
    (2, 24, 40, 6, 7, 1, 1, 0), (5, 7, 6, 4, 4, 4, 1, 0), (0, 4, 4, 8, 8, 3, 1, 1),
]


@pytest.mark.parametrize("dtype", HALFS)
@pytest.mark.parametrize("sizes", CONVOLUTIONS)
def test_convolutions(dtype, sizes):
    """A convolution of halves and its gradients have the bits of those in float32, rounded once."""
    half, r = getattr(rl, dtype), np.random.default_rng(5)
    n, c, o, height, width, taps, stride, pad = sizes

    def draw(*shape):
        return rl.from_numpy((r.standard_normal(shape) / 4).astype(np.float32)).to(half)

    narrow = [draw(n, c, height, width), draw(o, c, taps, taps), draw(o)]
    full = [t.float() for t in narrow]
    results = []
    for values in (narrow, full):
        x, w, b = (v.requires_grad_() for v in values)
        y = F.conv2d(x, w, b, stride=stride, padding=pad)
        g = rl.from_numpy(np.random.default_rng(6).standard_normal(y.shape).astype(np.float32)).to(half).to(y.dtype)
        results.append([y.detach(), *rl.autograd.grad(y, [x, w, b], g)])
    for a, b in zip(*results, strict=True):
        assert a.dtype is half and (bits(rl, a) == bits(rl, b.to(half))).all()
