"""Tensors among other things of Python: NumPy, DLPack, pickling, copying, numbers."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch

import rushlight

LIBRARIES = (torch, rushlight)
DTYPES = ["float32", "float64", "float16", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "bool"]


@pytest.mark.parametrize("name", [d for d in DTYPES if d != "bfloat16"])
def test_numpy_shares_memory(name):
    """from_numpy and numpy() see each other's writes, for every dtype that NumPy has."""
    array = np.zeros((2, 3), dtype=name)
    t = rushlight.from_numpy(array)
    array[0, 1] = 1
    assert t[0, 1] == 1
    t[1, 2] = 1
    assert array[1, 2] == 1
    assert np.shares_memory(t.numpy(), array)
    assert str(t.dtype) == f"torch.{name}"


def test_numpy_of_views():
    """Strides, offsets and empty shapes come out as they are."""
    x = rushlight.arange(24).reshape(2, 3, 4)
    for view in (x[:, 1], x.permute(2, 0, 1), x[..., ::2], x[1:1], x[0, 0, 0]):
        np.testing.assert_array_equal(view.numpy(), np.array(view.tolist()).reshape(tuple(view.shape)))
    with pytest.raises(ValueError, match="negative"):
        rushlight.from_numpy(np.arange(4)[::-1])
    with pytest.raises(TypeError, match="can't convert np.ndarray of type numpy.object_"):
        rushlight.from_numpy(np.array([None]))
    with pytest.raises(TypeError, match="BFloat16"):
        rushlight.ones(2, dtype=rushlight.bfloat16).numpy()


def test_memory_outlives_its_owner():
    """A NumPy array keeps its tensor's memory alive, and the other way round."""
    array = rushlight.full((1000,), 7.0).numpy()
    t = rushlight.from_numpy(np.full(1000, 3.0))
    for _ in range(20):
        rushlight.zeros(1000)
    assert (array == 7).all() and (t == 3).all()


def test_array_protocol():
    """np.asarray, ufuncs and NumPy scalars mix with tensors."""
    t = rushlight.tensor([1.0, 4.0])
    assert np.asarray(t).dtype == np.float32
    np.testing.assert_array_equal(np.sqrt(t.numpy()), [1.0, 2.0])
    assert (t * np.float64(2)).tolist() == [2.0, 8.0]
    assert (t + np.int64(1)).dtype is rushlight.float32


def test_dlpack():
    """Both ways with NumPy and PyTorch, sharing memory."""
    t = rushlight.arange(6).reshape(2, 3)
    theirs = torch.from_dlpack(t)
    theirs[0, 0] = 9
    assert t[0, 0] == 9
    ours = rushlight.from_dlpack(torch.ones(3))
    assert ours.tolist() == [1.0, 1.0, 1.0]
    assert np.from_dlpack(t)[0, 0] == 9


@pytest.mark.parametrize("name", DTYPES)
def test_pickle_and_deepcopy(name):
    """Values, dtype, requires_grad and attributes survive; memory is not shared."""
    t = rushlight.tensor([[0, 1, 2], [3, 4, 5]]).to(getattr(rushlight, name)).t()
    if t.is_floating_point():
        t = t.detach().requires_grad_()
    t.note = "mine"
    for other in (pickle.loads(pickle.dumps(t)), copy.deepcopy(t)):
        assert other.tolist() == t.tolist()
        assert other.dtype is t.dtype
        assert other.requires_grad == t.requires_grad
        assert other.note == "mine"
        assert other.data_ptr() != t.data_ptr()


def test_deepcopy_keeps_sharing():
    """Tensors that share memory share it in the copy."""
    x = rushlight.zeros(4)
    a, b = copy.deepcopy([x, x[1:3]])
    a[1] = 5
    assert b[0] == 5


def test_numbers():
    """item, float, int, index, bool, len, iteration and formatting, as in PyTorch."""

    def run(T):
        x = T.tensor([[1.5, 2.5], [3.5, 4.5]])
        return [x[0, 1].item(), float(x[0, 0]), int(x[1, 1]), [10, 20, 30][T.tensor(2)], bool(T.tensor(0)), len(x),
                [row.tolist() for row in x], f"{x[0, 0]:.3f}", f"{x[1, 0]:6.2f}", x.tolist(), 2.5 in x]  # fmt: skip

    assert run(rushlight) == run(torch)


def test_shape_and_friends():
    """size, stride, dim, numel, element_size, type, device."""

    def run(T):
        x = T.zeros(2, 3, 4).permute(2, 0, 1)
        return [str(x.size()), x.size(-1), x.stride(), x.dim(), x.numel(), x.element_size(), x.type(), str(x.device), x.is_contiguous(),
                str(x.shape[1:]), x.shape.numel(), str(x.dtype), x.nbytes, repr(T.Size([1, 2]) + (3,)), x.is_leaf]  # fmt: skip

    assert run(rushlight) == run(torch)


def test_grad_assignment():
    """.grad takes a tensor of the same shape and dtype, or None."""
    for T in LIBRARIES:
        x = T.ones(2, requires_grad=True)
        x.grad = T.zeros(2)
        with pytest.raises(RuntimeError, match="attempting to assign a gradient of size '\\[3\\]' to a tensor of size '\\[2\\]'"):
            x.grad = T.zeros(3)
        with pytest.raises(TypeError, match="assigned grad expected to be a Tensor or None"):
            x.grad = 1.0
        x.grad = None


def test_data_assignment():
    """.data can be replaced, and shares memory without history."""
    for T in LIBRARIES:
        p = T.nn.Parameter(T.zeros(2))
        p.data = T.ones(3)
        assert p.tolist() == [1.0, 1.0, 1.0]
        p.data[0] = 5
        assert p[0].item() == 5
        assert p.requires_grad and p.is_leaf


def test_too_many_dimensions():
    """Sixteen dimensions are the limit, and the message says so."""
    with pytest.raises(RuntimeError, match="at most 16 dimensions, got 17"):
        rushlight.zeros((1,) * 17)


def test_allocation_that_cannot_be():
    """A size beyond memory is an error, not a crash."""
    with pytest.raises(RuntimeError, match="not enough memory"):
        rushlight.empty(2**45)


def test_old_constructors():
    """Tensor and its typed kin take sizes, sequences and tensors, and serve isinstance."""

    def run(T):
        x = T.Tensor([1, 2])
        long = T.LongTensor([3])
        return [x.tolist(), str(x.dtype), tuple(T.Tensor(2, 3).shape), T.Tensor().tolist(), long.tolist(), str(long.dtype),
                isinstance(x, T.FloatTensor), isinstance(x, T.LongTensor), tuple(T.ByteTensor(4).shape), T.IntTensor([[1], [2]]).tolist(),
                type(T.nn.Parameter(T.Tensor([1.0]))).__name__]  # fmt: skip

    assert run(rushlight) == run(torch)


def test_memory_formats():
    """clone and contiguous take a memory format; its repr is PyTorch's."""

    def run(T):
        x = T.arange(6).reshape(2, 3).t()
        return [repr(T.channels_last), x.clone().is_contiguous(), x.clone(memory_format=T.contiguous_format).is_contiguous(),
                T.zeros_like(x, memory_format=T.preserve_format).stride(), str(x.layout), T.pi, T.inf]  # fmt: skip

    assert run(rushlight) == run(torch)
