"""In-place writes, views and version counters, against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import rushlight

X = np.random.default_rng(0).standard_normal((4, 6))
G = np.random.default_rng(1).standard_normal((4, 6))


def slice_of_select(T, y):
    y[1][2:4].mul_(3)


def views_of_views(T, y):
    v = y[1:3]
    w = v[:, ::2]
    w.mul_(y[0, :3] * 2)
    v.add_(1)
    w.exp_()


def base_then_old_view(T, y):
    v = y[0]
    y.mul_(2)
    y[1] = v * 3


def old_view_read_after_base_write(T, y):
    v = y[0]
    y.mul_(2)
    return v * y[1]


def as_strided(T, y):
    y.as_strided((3, 2), (6, 1), 1).mul_(y[0, 0] * 1)


def diagonal(T, y):
    y.diagonal().mul_(5)
    y.diagonal(1).copy_(y[0, :4].clone() ** 2)


def unbind_via_index(T, y):
    for i in range(4):
        y[i].mul_(i + 1)


def transposed(T, y):
    y.t()[1:3].sigmoid_()


def reshaped(T, y):
    y.view(2, 12)[0].tanh_()


def expanded_source(T, y):
    y[:, 1:3] = y[0, :1] * 2


def squeeze_and_unsqueeze(T, y):
    y.unsqueeze(0).squeeze().select(1, 2).mul_(2)


def permuted(T, y):
    y.view(2, 2, 6).permute(2, 0, 1)[0].fill_(7)


def part_of_itself(T, y):
    y[1:] += y[:-1].clone()


def masked(T, y):
    y[y > 0] = 0
    y[y < -1] *= 2


def indexed(T, y):
    y[T.tensor([0, 2])] = y[1] * 2
    y[:, T.tensor([1, 1])] += 1


def slice_written_twice(T, y):
    y[0] = y[1]
    y[0, :3] = y[2, 3:]


def zeroed(T, y):
    y[1].zero_()
    y[2].fill_(3.0)


def chain_after(T, y):
    v = y[2]
    v.mul_(2)
    z = y * v
    return z.sin()


def narrow_and_split(T, y):
    a, b = y.split(2)[0], y.chunk(3, 1)[1]
    return a.exp().sum() * y + b.sum()


CASES = [
    slice_of_select,
    views_of_views,
    base_then_old_view,
    old_view_read_after_base_write,
    as_strided,
    diagonal,
    unbind_via_index,
    transposed,
    reshaped,
    expanded_source,
    squeeze_and_unsqueeze,
    permuted,
    part_of_itself,
    masked,
    indexed,
    slice_written_twice,
    zeroed,
    chain_after,
    narrow_and_split,
]


def gradients(T, case):
    x = T.from_numpy(X.copy()).requires_grad_()
    y = x * 1
    out = case(T, y)
    out = y if out is None else out
    g = T.from_numpy(G.ravel()[: out.numel()].reshape(tuple(out.shape)).copy())
    (first,) = T.autograd.grad(out, [x], g, create_graph=True)
    second = T.autograd.grad(first, [x], T.from_numpy(G.copy()), allow_unused=True)[0] if first.requires_grad else None
    return [v.detach().numpy() for v in (out, y, first)] + [
        np.zeros_like(X) if second is None else second.detach().numpy()
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda f: f.__name__)
def test_writes_through_views(case):
    """Values, first and second gradients are PyTorch's after in-place writes through views."""
    for got, want in zip(gradients(rushlight, case), gradients(torch, case), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)


def leaf(T):
    return T.ones(3, requires_grad=True)


def saved_output(T):
    y = leaf(T).exp()
    y.add_(1)
    y.sum().backward()


def saved_input(T):
    x = leaf(T) * 1
    y = x * x
    x.add_(1)
    y.sum().backward()


def saved_view(T):
    x = leaf(T) * 1
    y = x[:2] * x[1:]
    x[0] = 5
    y.sum().backward()


def saved_through_alias(T):
    w = T.ones(3)
    y = leaf(T) * w
    w.detach().mul_(2)
    y.sum().backward()


def saved_itself(T):
    y = leaf(T) * 1
    y.mul_(y)
    y.sum().backward()


def leaf_inplace(T):
    leaf(T).mul_(2)


def leaf_view_inplace(T):
    leaf(T)[0].mul_(2)


def leaf_fill(T):
    leaf(T).zero_()


def detach_view(T):
    (leaf(T) * 1)[0].detach_()


def no_grad_view(T):
    y = leaf(T) * 1
    with T.no_grad():
        v = y[0]
    v.mul_(leaf(T)[0])


def unbind_view(T):
    (leaf(T) * 1).unbind()[0].mul_(2)


def split_view(T):
    (leaf(T) * 1).split(1)[0].mul_(2)


ERRORS = [
    saved_output,
    saved_input,
    saved_view,
    saved_through_alias,
    saved_itself,
    leaf_inplace,
    leaf_view_inplace,
    leaf_fill,
    detach_view,
    no_grad_view,
    unbind_view,
    split_view,
]


@pytest.mark.parametrize("case", ERRORS, ids=lambda f: f.__name__)
def test_refused_writes(case):
    """Writes that would make a gradient wrong are refused with PyTorch's sentence."""
    with pytest.raises(RuntimeError) as want:
        case(torch)
    with pytest.raises(RuntimeError) as got:
        case(rushlight)
    assert str(got.value).splitlines()[0].split(". Hint")[0] == str(want.value).splitlines()[0].split(". Hint")[0]


def counts(T):
    """Version counters after a series of writes."""
    x = T.zeros(4)
    out = [x._version]
    v = x[1:]
    v.add_(1)
    out += [x._version, v._version]
    x.data.add_(1)
    x.detach().add_(1)
    out += [x._version, v._version]
    x[0] = 1
    x[T.tensor([0])] = 2
    x.copy_(x * 2)
    x.zero_()
    return [*out, x._version, v._version]


def test_version_counters():
    """Every in-place write counts once for all views; writes through .data do not count."""
    assert counts(rushlight) == counts(torch)


def test_grad_fn_names():
    """After an in-place write a tensor's history has PyTorch's names."""

    def names(T):
        x = T.ones(3, 3, requires_grad=True)
        y, z = x * 1, x * 1
        y.mul_(2)
        v = z[0]
        v.exp_()
        return [type(n).__name__ if T is torch else n.name() for n in (y.grad_fn, z.grad_fn, v.grad_fn)]

    assert names(rushlight) == names(torch)


def test_views_share_memory():
    """Which methods return views of the same memory is PyTorch's choice."""

    def shares(T):
        x = T.zeros(2, 3, 4)
        made = [
            x[0],
            x[..., 1],
            x.t() if x.ndim == 2 else x.transpose(0, 1),
            x.view(6, 4),
            x.reshape(24),
            x.unsqueeze(0),
            x.squeeze(),
            x.expand(5, 2, 3, 4),
            x.diagonal(),
            x.narrow(0, 0, 1),
            x.unbind()[0],
            x.split(1)[0],
            x.chunk(2)[1],
            x.detach(),
            x.flatten(),
            x.contiguous(),
            x[:],
            x[...],
            x[None],
            x.permute(2, 0, 1),
            x.unfold(2, 2, 1),
            x.view_as(x),
            x.data,
            x.movedim(0, 1),
            x.clone(),
            x[[0]],
            x.flip(0),
            x.transpose(0, 1).reshape(24),
            x.repeat(1, 1, 1),
            x.to(T.float32),
            x.float(),
        ]
        start, end = x.data_ptr(), x.data_ptr() + x.nbytes
        return [start <= m.data_ptr() < end for m in made]

    assert shares(rushlight) == shares(torch)


def test_as_strided_scatter_gradient():
    """The replaced part gets no gradient, the source gets its own. (PyTorch 2.13 gives the source's to the input.)"""
    x = rushlight.zeros(3, 4, dtype=rushlight.float64, requires_grad=True)
    s = rushlight.ones(2, 2, dtype=rushlight.float64, requires_grad=True)
    g = rushlight.arange(12, dtype=rushlight.float64).reshape(3, 4)
    x.as_strided_scatter(s, (2, 2), (1, 2), 1).backward(g)
    expected = np.arange(12.0).reshape(3, 4)
    expected[0, 1:] = expected[1, 0] = 0
    np.testing.assert_array_equal(x.grad.numpy(), expected)
    np.testing.assert_array_equal(s.grad.numpy(), [[1, 3], [2, 4]])
