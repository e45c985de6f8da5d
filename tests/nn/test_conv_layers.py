"""Convolution, pooling and normalisation layers against PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import rushlight
import rushlight.nn

# (layer, positional arguments, keyword arguments, input shape)
LAYERS = [
    ("Conv1d", (4, 6, 3), {}, (2, 4, 11)),
    ("Conv2d", (4, 6, 3), {}, (2, 4, 9, 8)),
    ("Conv2d", (4, 6, (3, 5)), dict(stride=(2, 1), padding=(1, 2), dilation=2, groups=2, bias=False), (2, 4, 11, 12)),
    ("Conv2d", (4, 6, 4), dict(padding="same"), (2, 4, 9, 8)),
    ("Conv2d", (4, 6, 3), dict(padding="valid"), (4, 9, 8)),
    ("Conv2d", (4, 6, 3), dict(padding=(1, 2), padding_mode="reflect"), (2, 4, 9, 8)),
    ("Conv2d", (4, 6, 3), dict(padding=2, padding_mode="replicate"), (2, 4, 9, 8)),
    ("Conv2d", (4, 6, 3), dict(padding=2, padding_mode="circular", stride=2), (2, 4, 9, 8)),
    ("Conv1d", (4, 6, 4), dict(padding="same", padding_mode="circular"), (2, 4, 9)),
    ("Conv3d", (2, 3, 3), dict(padding=1, stride=2), (2, 2, 5, 6, 7)),
    ("ConvTranspose1d", (4, 6, 3), dict(stride=2), (2, 4, 7)),
    ("ConvTranspose2d", (4, 6, 3), dict(stride=2, padding=1, output_padding=1, groups=2, dilation=1), (2, 4, 7, 6)),
    ("ConvTranspose3d", (2, 3, 3), dict(stride=2, bias=False), (2, 2, 3, 4, 3)),
    ("MaxPool1d", (2,), {}, (2, 4, 9)),
    ("MaxPool2d", (3,), dict(stride=2, padding=1), (2, 4, 9, 8)),
    ("MaxPool2d", ((3, 2),), dict(ceil_mode=True, return_indices=True), (2, 4, 9, 8)),
    ("MaxPool3d", (2,), {}, (2, 2, 5, 6, 7)),
    ("AvgPool1d", (2,), {}, (2, 4, 9)),
    ("AvgPool2d", (3,), dict(stride=2, padding=1, count_include_pad=False), (2, 4, 9, 8)),
    ("AvgPool3d", (2,), dict(divisor_override=3), (2, 2, 5, 6, 7)),
    ("LPPool1d", (2, 3), {}, (2, 4, 9)),
    ("LPPool2d", (2, 3), dict(stride=2), (2, 4, 9, 8)),
    ("LPPool3d", (2, 2), {}, (2, 2, 5, 6, 7)),
    ("AdaptiveMaxPool1d", (3,), {}, (2, 4, 9)),
    ("AdaptiveMaxPool2d", ((3, None),), {}, (2, 4, 9, 8)),
    ("AdaptiveMaxPool3d", (2,), {}, (2, 2, 5, 6, 7)),
    ("AdaptiveAvgPool1d", (3,), {}, (2, 4, 9)),
    ("AdaptiveAvgPool2d", ((3, None),), {}, (2, 4, 9, 8)),
    ("AdaptiveAvgPool3d", (2,), {}, (2, 2, 5, 6, 7)),
    ("BatchNorm1d", (5,), {}, (4, 5)),
    ("BatchNorm1d", (5,), dict(affine=False), (4, 5, 3)),
    ("BatchNorm2d", (5,), dict(eps=1e-3, momentum=0.3), (4, 5, 3, 6)),
    ("BatchNorm2d", (5,), dict(momentum=None), (4, 5, 3, 6)),
    ("BatchNorm2d", (5,), dict(track_running_stats=False), (4, 5, 3, 6)),
    ("BatchNorm2d", (5,), dict(bias=False), (4, 5, 3, 6)),
    ("BatchNorm3d", (3,), {}, (2, 3, 3, 2, 4)),
    ("InstanceNorm1d", (4,), {}, (2, 4, 7)),
    ("InstanceNorm1d", (4,), {}, (4, 7)),
    ("InstanceNorm2d", (4,), dict(affine=True), (2, 4, 7, 3)),
    ("InstanceNorm2d", (4,), dict(track_running_stats=True), (2, 4, 7, 3)),
    ("InstanceNorm3d", (4,), {}, (2, 4, 3, 3, 2)),
    ("LayerNorm", (7,), {}, (2, 4, 7)),
    ("LayerNorm", ((4, 7),), dict(elementwise_affine=False), (2, 4, 7)),
    ("LayerNorm", ([4, 7],), dict(bias=False), (2, 4, 7)),
    ("GroupNorm", (2, 4), {}, (2, 4, 7)),
    ("GroupNorm", (2, 4), dict(affine=False, eps=0.1), (2, 4, 7, 3)),
    ("RMSNorm", (7,), {}, (2, 4, 7)),
    ("RMSNorm", ((4, 7),), dict(eps=1e-3, elementwise_affine=False), (2, 4, 7)),
    ("LocalResponseNorm", (3,), {}, (2, 5, 7, 3)),
]
CASES = [pytest.param(*case, id=f"{case[0]}-{i}") for i, case in enumerate(LAYERS)]


def pair(name, args, kw):
    """The same layer in both libraries, made after the same seed."""
    torch.manual_seed(7)
    rushlight.manual_seed(7)
    return getattr(rushlight.nn, name)(*args, **kw), getattr(torch.nn, name)(*args, **kw)


def same(ours, theirs):
    if isinstance(theirs, tuple):
        for a, b in zip(ours, theirs, strict=True):
            same(a, b)
        return
    assert tuple(ours.shape) == tuple(theirs.shape)
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize(("name", "args", "kw", "shape"), CASES)
def test_same_text_and_state(name, args, kw, shape):
    """repr, the names and order of parameters and buffers, and their values after a seed are PyTorch's."""
    ours, theirs = pair(name, args, kw)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[key].numpy(), value.numpy(), rtol=1e-6, atol=1e-7)


@pytest.mark.filterwarnings("ignore:Using padding='same'")  # PyTorch's, about a copy that it makes
@pytest.mark.parametrize(("name", "args", "kw", "shape"), CASES)
def test_same_results(name, args, kw, shape):
    """Outputs, gradients and running statistics agree in training, and outputs in evaluation after it."""
    ours, theirs = pair(name, args, kw)
    data = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    if name.startswith("LP"):
        data = np.abs(data) + 0.1
    x, t = rushlight.from_numpy(data).requires_grad_(), torch.from_numpy(data).requires_grad_()
    for _ in range(2):
        y, u = ours(x), theirs(t)
        same(y, u)
    first, want = (y[0], u[0]) if isinstance(u, tuple) else (y, u)
    (first * first).sum().backward()
    (want * want).sum().backward()
    same(x.grad, t.grad)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-3, atol=1e-3)
    for key, value in theirs.state_dict().items():
        same(ours.state_dict()[key], value)
    same(ours.eval()(x), theirs.eval()(t))


def test_unpooling_layers():
    """MaxUnpool puts maxima back where MaxPool found them."""
    data = np.random.default_rng(1).standard_normal((2, 3, 8, 6)).astype(np.float32)
    results = []
    for T in (rushlight, torch):
        y, where = T.nn.MaxPool2d(2, return_indices=True)(T.from_numpy(data))
        layer = T.nn.MaxUnpool2d(2)
        results.append((repr(layer), layer(y, where)))
    assert results[0][0] == results[1][0]
    same(results[0][1], results[1][1])


def test_output_size_of_transposed_convolution():
    """`output_size` chooses among the sizes that a stride leaves open; others are refused with PyTorch's text."""
    ours, theirs = pair("ConvTranspose2d", (3, 4, 3), dict(stride=2))
    data = np.ones((1, 3, 5, 5), np.float32)
    same(ours(rushlight.from_numpy(data), output_size=(12, 11)), theirs(torch.from_numpy(data), output_size=(12, 11)))
    for size in ((20, 20), (5,)):
        with pytest.raises(ValueError) as want:
            theirs(torch.from_numpy(data), output_size=size)
        with pytest.raises(ValueError) as got:
            ours(rushlight.from_numpy(data), output_size=size)
        assert str(got.value) == str(want.value)


BAD = [
    ("Conv2d", (3, 4, 3), dict(groups=2)),
    ("Conv2d", (4, 3, 3), dict(groups=2)),
    ("Conv2d", (3, 4, 3), dict(groups=0)),
    ("Conv2d", (3, 4, 3), dict(padding="same", stride=2)),
    ("ConvTranspose2d", (3, 4, 3), dict(padding_mode="reflect")),
    ("GroupNorm", (2, 3), {}),
]


@pytest.mark.parametrize(("name", "args", "kw"), BAD)
def test_bad_arguments(name, args, kw):
    """Constructors refuse what PyTorch's refuse, with the same words."""
    with pytest.raises(ValueError) as want:
        getattr(torch.nn, name)(*args, **kw)
    with pytest.raises(ValueError) as got:
        getattr(rushlight.nn, name)(*args, **kw)
    assert str(got.value) == str(want.value)


@pytest.mark.parametrize(
    ("name", "args", "shape"),
    [("BatchNorm1d", (3,), (2, 3, 4, 5)), ("BatchNorm2d", (3,), (2, 3)), ("BatchNorm3d", (3,), (2, 3)),
     ("BatchNorm1d", (3,), (1, 3)),
     ("InstanceNorm2d", (3,), (2, 3)), ("Conv2d", (3, 4, 3), (2, 2, 8, 8)), ("LayerNorm", (4,), (2, 3))],
)  # fmt: skip
def test_bad_inputs(name, args, shape):
    """Layers refuse an input of the wrong rank or size with PyTorch's words."""
    with pytest.raises((ValueError, RuntimeError)) as want:
        getattr(torch.nn, name)(*args)(torch.ones(shape))
    with pytest.raises(type(want.value)) as got:
        getattr(rushlight.nn, name)(*args)(rushlight.ones(*shape))
    assert str(want.value).splitlines()[0] in str(got.value)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "args", "shape"),
    [("LazyConv2d", (4, 3), (2, 3, 8, 8)), ("LazyConvTranspose1d", (4, 3), (2, 3, 8)), ("LazyBatchNorm2d", (), (2, 3, 4, 4)),
     ("LazyInstanceNorm1d", (), (2, 3, 4))],
)  # fmt: skip
def test_lazy_layers(name, args, shape):
    """A lazy layer becomes the ordinary one at its first input."""
    ours, theirs = pair(name, args, {})
    same(ours(rushlight.ones(*shape)), theirs(torch.ones(shape)))
    assert repr(ours) == repr(theirs)


def test_convert_sync_batchnorm():
    """Every batch norm of a model is replaced, and shares its parameters."""
    model = rushlight.nn.Sequential(rushlight.nn.Conv2d(3, 4, 3), rushlight.nn.BatchNorm2d(4))
    weight = model[1].weight
    model = rushlight.nn.SyncBatchNorm.convert_sync_batchnorm(model)
    assert type(model[1]) is rushlight.nn.SyncBatchNorm
    assert model[1].weight is weight
    assert model(rushlight.ones(2, 3, 5, 5)).shape == (2, 4, 3, 3)


def lenet():
    nn = rushlight.nn
    return nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5),
                         nn.GroupNorm(4, 16), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(16, 32, 3, stride=2, groups=2),
                         nn.Conv2d(32, 32, 1, groups=32), nn.ConvTranspose2d(32, 40, 3, stride=2), nn.Flatten(),
                         nn.LayerNorm(1000), nn.Linear(1000, 10))  # fmt: skip


def test_same_bits_for_any_number_of_threads():
    """Forward and backward give the same bits with 1, 2 and 3 threads."""
    from rushlight import _native

    before, results = _native.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 4, 8):
            _native.set_num_threads(threads)
            rushlight.manual_seed(3)
            model = lenet()
            x = rushlight.randn(37, 1, 28, 28, requires_grad=True)
            y = model(x)
            (y * y).sum().backward()
            results.append([y.detach().numpy(), x.grad.numpy(), *(p.grad.numpy() for p in model.parameters())])
    finally:
        _native.set_num_threads(before)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert np.array_equal(a, b)
