"""What the passes make of a recording: fewer kernels, the same bits."""

from __future__ import annotations

import random

import numpy as np
import pytest

import rushlight as torch
from rushlight import _native, nn


def _compiled(fn, *args):
    compiled = torch.compile(fn, fullgraph=True)
    for _ in range(5):
        out = compiled(*args)
    want = fn(*args)
    for a, b in zip(out if isinstance(out, tuple) else (out,), want if isinstance(want, tuple) else (want,), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    return compiled._steps[0].native


CHAINS = {
    "numbers": lambda x, y: (x * 2 + 1) * (x - 0.5),
    "two results": lambda x, y: (torch.exp(x) * y, torch.exp(x) + y),
    "a row": lambda x, y: (x + y[0]).sigmoid() * x,
    "a column": lambda x, y: (x * y[:, :1]).tanh() + y,
    "a comparison": lambda x, y: torch.where((x > 0) & (y > 0), x * y, x - y),
    "in place": lambda x, y: (x * 1).add_(y).mul_(x).relu_(),
    "a transposed operand": lambda x, y: (x * y.t().contiguous().t()).sqrt().nan_to_num() + x,
    "a single element": lambda x, y: (x[:1, :1] * y + x.sum()) * 3,
    "a reduction between": lambda x, y: (x - x.mean()) * ((x - x.mean()) ** 2).sum() + y,
}


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("shape", [(7, 5), (300, 257), (900, 40)])
def test_pointwise_chains(chain, shape):
    """Chains of pointwise ops become one call, with the same bits."""
    torch.manual_seed(0)
    native = _compiled(CHAINS[chain], torch.rand(*shape), torch.rand(*shape))
    assert "fused" in native.kernels
    assert len(native.kernels) < native.recorded


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("layer", [lambda: nn.Linear(6, 6), lambda: nn.BatchNorm1d(6), lambda: nn.BatchNorm2d(6)],
                         ids=["linear", "columns", "planes"])  # fmt: skip
def test_relu_is_part_of_what_it_follows(layer, inplace):
    """linear and batch norm write relu of their results; gradients are the same bits."""
    torch.manual_seed(0)
    net = nn.Sequential(layer(), nn.ReLU(inplace), nn.Flatten())
    x = torch.randn(8, 6, 3, 5) if isinstance(net[0], nn.BatchNorm2d) else torch.randn(8, 6)
    with torch.no_grad():
        for p in net.parameters():
            p.normal_()

    def fn(x):
        net.zero_grad()
        x = x * 1.5  # not a leaf: nothing is written into the argument
        y = net(x)
        (y * y.sin()).sum().backward()
        return y.detach(), *(p.grad.clone() for p in net.parameters())

    kernels = _compiled(fn, x).kernels
    assert "relu" not in kernels
    if not isinstance(net[0], nn.Linear):
        assert "relu_backward" not in kernels


# A convolution for every way of computing one, and a shape of its input.
CONVOLUTIONS = {
    "tiles": (lambda: nn.Conv2d(32, 32, 3, padding=1), (2, 32, 9, 9)),
    "channels in lanes": (lambda: nn.Conv2d(20, 30, 3, stride=2), (3, 20, 9, 9)),
    "images in lanes": (lambda: nn.Conv2d(1, 6, 5), (17, 1, 12, 12)),
    "unpacked": (lambda: nn.Conv2d(3, 4, 3, padding=1), (16, 3, 32, 32)),
    "packed": (lambda: nn.Conv2d(3, 5, 3), (2, 3, 7, 7)),
    "depthwise": (lambda: nn.Conv2d(32, 32, 3, groups=32), (2, 32, 8, 8)),
    "whole image": (lambda: nn.Conv2d(8, 5, 6), (3, 8, 6, 6)),
    "transposed": (lambda: nn.ConvTranspose2d(24, 20, 4, stride=2, padding=1), (2, 24, 5, 5)),
    "transposed images": (lambda: nn.ConvTranspose2d(8, 3, 3, stride=2), (16, 8, 6, 6)),
    "transposed depthwise": (lambda: nn.ConvTranspose2d(24, 24, 3, stride=2, groups=24), (2, 24, 5, 5)),
    "gaps": (lambda: nn.ConvTranspose2d(3, 2, 2, stride=3), (2, 3, 4, 4)),
    "one dimension": (lambda: nn.Conv1d(4, 9, 3), (2, 4, 20)),
    "three dimensions": (lambda: nn.Conv3d(2, 3, 2), (2, 2, 4, 5, 6)),
    "double": (lambda: nn.Conv2d(4, 17, 3).double(), (2, 4, 8, 8)),
}


@pytest.mark.parametrize("layer", CONVOLUTIONS)
def test_relu_is_part_of_a_convolution(layer):
    torch.manual_seed(0)
    build, shape = CONVOLUTIONS[layer]
    net = nn.Sequential(build(), nn.ReLU())
    x = torch.randn(shape, dtype=net[0].weight.dtype)

    def fn(x):
        net.zero_grad()
        y = net(x)
        (y * y).sum().backward()
        return y.detach(), *(p.grad.clone() for p in net.parameters())

    assert "relu" not in _compiled(fn, x).kernels
    assert not (net(x) < 0).any()


POOLINGS = {
    "windows of 2": nn.MaxPool2d(2),
    "overlapping": nn.MaxPool2d(3, 2, padding=1),
    "dilated": nn.MaxPool2d(2, 1, dilation=2),
    "rounded up": nn.MaxPool2d(3, 3, ceil_mode=True),
    "adaptive": nn.AdaptiveMaxPool2d((3, 2)),
}


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_relu_moves_behind_max_pooling(pooling, inplace):
    """The largest stays the largest: relu of the fewer pooled numbers, the same values and gradients, NaN among them."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(inplace), POOLINGS[pooling], nn.Flatten())
    x = torch.randn(3, 1, 11, 10)
    x[0, 0, 5, 5] = float("nan")

    def fn(x):
        net.zero_grad()
        y = net(x)
        (y * y).nan_to_num(0.5).sum().backward()
        return y.detach(), *(p.grad.clone() for p in net.parameters())

    kernels = _compiled(fn, x).kernels
    assert kernels.index("adaptive_max_pool" if pooling == "adaptive" else "max_pool") < kernels.index("relu")
    assert kernels.index("relu_backward") < kernels.index("plane_scatter")


def test_relu_moves_behind_max_pooling_without_gradients():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2))

    def fn(x):
        with torch.no_grad():
            return net(x)

    assert _compiled(fn, torch.randn(3, 1, 10, 10)).kernels == ["conv", "max_pool", "relu"]


def test_relu_stays_before_pooling_where_it_is_needed():
    """Its result is used elsewhere, or the places are, which differ where nothing is positive."""
    F = torch.nn.functional

    def also(x):
        y = (x @ x).relu()
        return F.max_pool2d(y, 2), y * 2

    def places(x):
        return F.max_pool2d((x @ x).relu(), 2, return_indices=True)

    for fn in (also, places):
        kernels = _compiled(fn, torch.randn(2, 3, 8, 8)).kernels
        assert kernels.index("relu") < kernels.index("max_pool")


def test_relu_stays_where_its_input_is_needed():
    """A result that is used without relu too is written as it is."""
    layer = nn.Linear(6, 6)

    def fn(x):
        with torch.no_grad():
            y = layer(x)
            return y, y.relu()

    assert _compiled(fn, torch.randn(4, 6)).kernels == ["linear", "relu"]


def test_unused_values_are_not_computed():
    """What no result depends on is left out."""

    def fn(x):
        (x @ x).sum()
        return x.exp()

    assert _compiled(fn, torch.rand(4, 4)).kernels == ["exp"]


def test_repeated_calls_are_made_once():
    """Equal calls of equal values have one result; of values that were written in between, two."""

    def fn(x, y):
        return x.t().contiguous() @ y, (x.t().contiguous() @ y).softmax(1), x.t().contiguous() @ x

    kernels = _compiled(fn, torch.rand(4, 6), torch.rand(4, 5)).kernels
    assert kernels.count("copy") <= 1 and kernels.count("matmul") == 2

    def written(x):
        x = x * 1
        first = x.cumsum(0)
        x.add_(1)
        return first, x.cumsum(0), x.cumsum(1), x.cumsum(0).sum()

    assert _compiled(written, torch.rand(4, 6)).kernels.count("cumsum") == 3


def test_random_draws_are_not_shared():
    compiled = torch.compile(lambda x: torch.rand_like(x) - torch.rand_like(x), fullgraph=True)
    for _ in range(5):
        assert compiled(torch.ones(100)).count_nonzero() > 90


def test_constants_are_computed_once():
    """Masks and the like, made from numbers only, are not made again."""

    def fn(x):
        return x.masked_fill(torch.ones(4, 4).tril() == 0, 0.0)

    kernels = _compiled(fn, torch.rand(4, 4)).kernels
    assert "triangle" not in kernels and "fill" not in kernels and "tril" not in kernels


def test_checks_of_constants_are_made_once():
    """Indices that the step makes itself were right while it was recorded; those of an argument are checked each time."""
    source = torch.ones(2, 5)
    native = _compiled(lambda x: x.index_add(0, torch.tensor([1, 2]), source), torch.rand(7, 5))
    assert "check_index" not in native.kernels
    native = _compiled(lambda x, i: x.index_add(0, i, source), torch.rand(7, 5), torch.tensor([1, 2]))
    assert "check_index" in native.kernels


def test_a_check_stays_if_nobody_reads_the_result():
    """The error is the function's, too."""
    native = _compiled(lambda x, i: (x.index_select(0, i), x * 2)[1], torch.rand(7, 5), torch.tensor([1, 2]))
    assert "check_index" in native.kernels and "index" not in native.kernels


def test_temporaries_share_memory():
    """Sixteen layers need the memory of a few, not of sixteen."""
    layers = nn.Sequential(*(m for _ in range(16) for m in (nn.Linear(256, 256), nn.Softmax(1))))

    @torch.compile(fullgraph=True)
    def fn(x):
        with torch.no_grad():
            return layers(x)

    x = torch.rand(64, 256)
    for _ in range(4):
        fn(x)
    assert fn._steps[0].native.arena_bytes <= 3 * 64 * 256 * 4


def test_recording_needs_no_more_memory_than_running():
    """What a call has read for the last time is free again, in the call that is recorded as in any other."""
    torch.manual_seed(0)
    model = nn.Sequential(*(m for _ in range(8) for m in (nn.Linear(64, 64), nn.Tanh(), nn.LayerNorm(64))))
    x, optimizer = torch.rand(512, 64), torch.optim.Adam(model.parameters())

    def step(x):
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()

    def peak(fn):
        before = _native.memory_stats()["in_use"]
        _native.reset_peak_memory_stats()
        fn(x)
        return _native.memory_stats()["peak"] - before

    step(x)
    eager, compiled = peak(step), torch.compile(step, fullgraph=True)
    activations = 8 * 3 * 512 * 64 * 4
    for _ in range(5):
        assert peak(compiled) <= eager + activations / 4
    assert compiled._steps[0].native.runs > 0


def test_memory_written_again_is_no_constant():
    """A constant's memory that the function overwrites once nobody reads it: the value from before is meant."""

    def fn(x):
        start = torch.zeros(4)
        y = x + start
        start.add_(1)
        return y

    assert _compiled(fn, torch.rand(3, 4)).recorded == 3


def test_random_programs():
    """Chains of ops, views, reductions and writes in place, drawn at random."""
    unary = [torch.exp, torch.tanh, torch.relu, lambda t: t * 2 + 1, lambda t: torch.full_like(t, 0.3) + t, torch.zeros_like]
    binary = [torch.add, torch.mul, torch.maximum, lambda a, b: torch.where(a > b, a, b * 2), lambda a, b: a / (b.abs() + 1)]
    views = [lambda t: t[..., ::2].repeat_interleave(2, -1), lambda t: t.flip(0), lambda t: t[:1], lambda t: t.mean(0), lambda t: t]
    writes = [lambda t: t.add_(1), lambda t: t.mul_(0.5), lambda t: t.relu_(), lambda t: t.zero_(), lambda t: t[0].sigmoid_()]

    def program(seed, kept):
        def fn(x, y):
            draw, values = random.Random(seed), [x, y, kept]
            for _ in range(draw.randrange(4, 24)):
                a, b = draw.choice(values[-5:]), draw.choice(values)
                kind = draw.randrange(4)
                if kind == 3:
                    draw.choice(writes)(draw.choice([a, kept]))
                    continue
                made = draw.choice(unary)(a) if kind == 0 else draw.choice(binary)(a, b) if kind == 1 else draw.choice(views)(a)
                values.append(made if made.ndim == 2 or made is x else made.expand(6, 8).clone())
            return [v + 0 for v in draw.sample(values, 3)]

        return fn

    for seed in range(60):
        seen = []
        for wrap in (lambda fn: fn, torch.compile):
            torch.manual_seed(seed)
            kept = torch.randn(6, 8)
            fn = wrap(program(seed, kept))
            seen.append([[t.numpy() for t in (*fn(torch.randn(6, 8), torch.randn(6, 8)), kept.clone())] for _ in range(6)])
        for a, b in zip(*seen, strict=True):
            for u, v in zip(a, b, strict=True):
                np.testing.assert_array_equal(u, v, err_msg=str(seed))
