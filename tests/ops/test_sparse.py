"""Sparse tensors and the gradients of tables, against PyTorch: the same entries in the same order."""

from __future__ import annotations

import copy
import io
import pickle
import warnings

import numpy as np
import pytest
import torch as oracle

import rushlight as torch

oracle.sparse.check_sparse_tensor_invariants.enable()


def parts(T):
    """Names for the expressions below: g has a repeated position, c is g coalesced, h has rows as entries."""
    g = T.sparse_coo_tensor(T.tensor([[2, 0, 2], [1, 0, 1]]), T.tensor([1.0, -2.0, 3.0]), (3, 4))
    h = T.sparse_coo_tensor([[3, 1, 3]], T.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), (5, 2))
    d = T.arange(12.0).reshape(3, 4)
    return dict(T=T, torch=T, g=g, c=g.coalesce(), h=h, d=d, S=T.sparse_coo_tensor, i=T.tensor([[2, 0, 2], [1, 0, 1]]),
                v=T.tensor([1.0, -2.0, 3.0]), e=T.zeros(5, 2), copy=copy, pickle=pickle)  # fmt: skip


def run(T, expression):
    try:
        return eval(expression, parts(T))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        return error


def text(x):
    """What can be compared: sparse tensors print their entries."""
    if isinstance(x, Exception):
        return f"{type(x).__name__}: {str(x).splitlines()[0]}"
    if isinstance(x, (tuple, list)):
        return [text(item) for item in x]
    if isinstance(x, (torch.Tensor, oracle.Tensor)):
        return repr(x), x.is_sparse and x.is_coalesced()
    return repr(x)


SAME = """
g | c | h | h.coalesce() | S(i, v) | S(size=(2, 3)) | S((2, 3)) | S(T.zeros(1, 0).long(), T.zeros(0, 3), (2, 3))
S([[0, 1], [1, 0]], [1, 2]) | S([[0, 1], [1, 0]], [1.0, 2], (2, 3), dtype=T.float64) | S(i, v.half(), (3, 4)) | S([[1]], [2.0])
S(i, v, (3, 4), is_coalesced=True) | S(T.arange(2000).reshape(1, -1), T.ones(2000)) | S(T.zeros(0, 2).long(), [1.0, 2.0], ())
S(T.tensor([[-1], [0]]), T.tensor([1.0])) | S(i, v[:2]) | S(i, v, (3,)) | S(T.tensor([1, 2]), v) | S(i, v, (2, 2))
g.shape | g.size(1) | g.size(-1) | g.dim() | g.ndim | g.numel() | g.dtype | g.layout | g.device | g.is_sparse | d.is_sparse
g._nnz() | c._nnz() | g.sparse_dim() | h.dense_dim() | g.is_coalesced() | len(h) | g.type() | g.element_size() | g.stride()
g._indices() | g._values() | c.indices() | c.values() | g.indices() | g.values() | h.is_floating_point() | g.is_contiguous()
g.requires_grad | g.grad_fn | g.is_leaf | g.data | g.detach() | g.clone() | copy.deepcopy(g) | pickle.loads(pickle.dumps(g))
g.to_dense() | h.to_dense() | d.to_sparse() | d.to_sparse(1) | T.eye(3).to_sparse() | d.to_sparse(3) | d.to_sparse(0) | d.to_dense()
T.tensor(3.0).to_sparse() | T.zeros(2, 2).to_sparse() | g.to_sparse() | g.to_dense(dtype=T.float64) | T.zeros(0, 3).to_sparse(1)
d.sparse_mask(c) | d.sparse_mask(g) | T.ones(2).coalesce() | T.ones(2).indices() | T.ones(2).values() | T.ones(2).is_coalesced()
T.ones(2).sparse_dim() | T.ones(2).dense_dim()
g + g | h + h.coalesce() | h.coalesce() + h.coalesce() | h + S([[1, 4]], T.ones(2, 2), (5, 2)) | g - c | g.add(g, alpha=3)
g.sub(c, alpha=2) | h + S((5, 2)) | g + S(i, v.double(), (3, 4)) | g + S(i, v, (4, 4)) | h + S([[1], [1]], [1.0], (5, 2))
h + S([[3, 1, 0]], T.ones(3, 2), (5, 2)) | S(T.zeros(1, 0).long(), T.zeros(0, 2), (5, 2)) + h | g - g * 2
d + g | d - g | d.add(g, alpha=2) | e + h | e.clone().add_(h, alpha=-0.5) | e.clone().sub_(h) | e.long() + h | T.ones(3, 3) + g
T.ones(4) + g | g + d | g + 1 | g.add_(d) | 2 - g | e.long().add_(h) | d.double().add_(g) | d.t().contiguous().t().add_(g)
g * 2 | 2 * g | g * 2.5 | g / 2 | -g | g * T.tensor(2.0) | g / T.tensor(2.0) | g // 2 | g.neg() | g.mul(3) | g.long() * 2.5 | g * d | d * g
c * c | g.pow(2) | g ** 2 | c.abs() | g.sign() | g.square() | T.relu(g) | g.relu() | T.isnan(g) | T.neg(g) | T.mul(g, 2) | T.add(g, g)
g.sum() | g.norm() | g.norm(1) | c.norm(2) | h.sum() | g.float() | g.double() | g.half() | g.long() | g.to(T.float64) | g.int() | g.cpu()
g.zero_() | g.mul_(2) | g.div_(2) | g.neg_() | g.add_(g, alpha=2) | g.copy_(c) | g.zero_().is_coalesced() | g.numpy() | g.tolist()
[g.data.mul_(3), g] | [g.detach().div_(2), g] | [g.data.neg_(), g] | [c.data.sqrt_(), c] | [c.data.mul_(c), c]
g.item() | bool(g) | g.nbytes | g.backward()
"""


@pytest.mark.parametrize("expression", [e.strip() for line in SAME.strip().splitlines() for e in line.split(" | ")])
def test_same(expression):
    """Entries, their order, whether coalesced, printed form and errors are PyTorch's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = run(oracle, expression)
    got = run(torch, expression)
    assert text(got) == text(expected)


@pytest.mark.parametrize(
    "expression",
    ["T.exp(g)", "g.fill_(1)", "g == g", "T.equal(g, g)", "g.clamp(0, 1)", "d.copy_(g)", "g.view(-1)", "T.nn.functional.gelu(g)",
     "g.max()", "g.mean()", "T.ones(2)._nnz()", "g.cumsum(0)", "g.clamp_(0, 1)", "2 / g"],
)  # fmt: skip
def test_everything_else(expression):
    """What has no rule for sparse tensors raises PyTorch's kind of error; it never computes with something else."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert isinstance(run(oracle, expression), RuntimeError)
    error = run(torch, expression)
    assert type(error) is NotImplementedError
    assert str(error).startswith("Could not run 'aten::")


def test_random_sums():
    """Sums and coalesced forms of random sparse tensors: 200 pairs, entry by entry."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        size = tuple(rng.integers(1, 5, rng.integers(1, 4)).tolist())
        sparse_dim = int(rng.integers(1, len(size) + 1))
        pairs = []
        for n in rng.integers(0, 7, 2).tolist():
            at = np.stack([rng.integers(0, s, n) for s in size[:sparse_dim]])
            values = rng.standard_normal((n, *size[sparse_dim:])).astype(np.float32)
            pairs.append([T.sparse_coo_tensor(T.from_numpy(at), T.from_numpy(values), size) for T in (torch, oracle)])
        (a, a_), (b, b_) = pairs
        for got, expected in ((a + b, a_ + b_), (a.coalesce() - b, a_.coalesce() - b_), ((a + b).coalesce(), (a_ + b_).coalesce())):
            assert got._indices().tolist() == expected._indices().tolist()
            np.testing.assert_allclose(got._values().numpy(), expected._values().numpy(), rtol=1e-6, atol=1e-6)


GRADIENTS = {
    "embedding": lambda T, w: T.nn.functional.embedding(T.tensor([[1, 3], [1, 0]]), w, sparse=True).square().sum(),
    "padding": lambda T, w: T.nn.functional.embedding(T.tensor([2, 3, 2, 1]), w, 2, sparse=True).square().sum(),
    "negative padding": lambda T, w: T.nn.functional.embedding(T.tensor([4, 3]), w, -1, sparse=True).square().sum(),
    "one": lambda T, w: T.nn.functional.embedding(T.tensor([4]), w, sparse=True).square().sum(),
    "none": lambda T, w: T.nn.functional.embedding(T.zeros(0).long(), w, sparse=True).square().sum(),
    "twice": lambda T, w: (T.nn.functional.embedding(T.tensor([1, 3]), w, sparse=True).square().sum()
                           + T.nn.functional.embedding(T.tensor([4, 3, 0]), w, sparse=True).exp().sum()),
    "scaled": lambda T, w: T.nn.functional.embedding(T.tensor([1, 3]), w * 2, sparse=True).square().sum(),
    "with a dense one": lambda T, w: T.nn.functional.embedding(T.tensor([1, 3]), w, sparse=True).sum() + (w * w).sum(),
    "a dense one first": lambda T, w: (w * w).sum() + T.nn.functional.embedding(T.tensor([1, 3]), w, sparse=True).sum(),
    "bag": lambda T, w: T.nn.functional.embedding_bag(T.tensor([1, 2, 2, 4]), w, T.tensor([0, 1, 3]), sparse=True).exp().sum(),
    "bag sum": lambda T, w: T.nn.functional.embedding_bag(
        T.tensor([1, 2, 2, 4]), w, T.tensor([0, 1, 3]), mode="sum", sparse=True, per_sample_weights=T.tensor([1.0, 2, 3, 4])
    ).square().sum(),
    "bag padding": lambda T, w: T.nn.functional.embedding_bag(
        T.tensor([[1, 2], [2, 4]]), w, mode="sum", sparse=True, padding_idx=2).square().sum(),
    "frequency": lambda T, w: T.nn.functional.embedding(T.tensor([1, 3]), w, scale_grad_by_freq=True, sparse=True).sum(),
    "max": lambda T, w: T.nn.functional.embedding_bag(T.tensor([[1, 2]]), w, mode="max", sparse=True).sum(),
    "max frequency": lambda T, w: T.nn.functional.embedding_bag(T.tensor([[1]]), w, mode="max", scale_grad_by_freq=True).sum(),
}  # fmt: skip


def backward(T, loss, times):
    w = T.arange(10.0).reshape(5, 2).div(10).requires_grad_()
    try:
        for _ in range(times):
            loss(T, w).backward()
    except (RuntimeError, ValueError) as error:
        return error
    return w.grad


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name, times):
    """The same entries as PyTorch's, also summed over several backwards."""
    expected, got = backward(oracle, GRADIENTS[name], times), backward(torch, GRADIENTS[name], times)
    assert text(got) == text(expected)


def test_modules_and_zero_grad():
    """A sparse gradient's object stays over backwards; zero_grad drops or empties it."""
    for module in (torch.nn.Embedding(5, 3, sparse=True), torch.nn.EmbeddingBag(5, 3, sparse=True)):
        x = torch.tensor([[1, 3], [3, 0]])
        module(x).sum().backward()
        grad = module.weight.grad
        module(x).sum().backward()
        assert module.weight.grad is grad and grad.is_sparse and isinstance(grad, torch.Tensor)
        module.zero_grad(set_to_none=False)
        assert module.weight.grad is grad and grad._nnz() == 0 and grad.is_coalesced()
        module.zero_grad()
        assert module.weight.grad is None


def test_gradient_is_its_own():
    """What backward was given can be changed afterwards without changing the gradient."""
    w = torch.zeros(3, 2, requires_grad=True)
    given = torch.ones(1, 2)
    torch.nn.functional.embedding(torch.tensor([1]), w, sparse=True).backward(given)
    given.zero_()
    assert w.grad._values().tolist() == [[1.0, 1.0]]


def test_hooks_and_grad():
    """Hooks see and replace sparse gradients; autograd.grad returns them; the setter checks shape and dtype."""
    w = torch.ones(3, 2, requires_grad=True)
    w.register_hook(lambda g: g * 3)
    y = torch.nn.functional.embedding(torch.tensor([1, 1]), w, sparse=True)
    (g,) = torch.autograd.grad(y.sum(), w, retain_graph=True)
    assert g.is_sparse and g._values().tolist() == [[3.0, 3.0]] * 2
    y.sum().backward()
    assert w.grad.coalesce()._values().tolist() == [[6.0, 6.0]]
    w.grad = w.grad / 2
    with pytest.raises(RuntimeError, match=r"attempting to assign a gradient of size '\[3, 3\]' to a tensor of size '\[3, 2\]'"):
        w.grad = torch.sparse_coo_tensor((3, 3))
    with pytest.raises(RuntimeError, match="attempting to assign a gradient with dtype 'double'"):
        w.grad = w.grad.double()


def test_second_derivative():
    """The values of a sparse gradient have a history under create_graph; to_dense and sums go on from it."""

    def penalty(T):
        w = T.arange(10.0).reshape(5, 2).requires_grad_()
        loss = T.nn.functional.embedding(T.tensor([1, 3, 1]), w, sparse=True).pow(3).sum()
        (g,) = T.autograd.grad(loss, w, create_graph=True)
        (g.to_dense() ** 2).sum().backward()
        return w.grad

    def dense(T):
        w = T.arange(10.0).reshape(5, 2).requires_grad_()
        (g,) = T.autograd.grad(T.nn.functional.embedding(T.tensor([1, 3, 1]), w).pow(3).sum(), w, create_graph=True)
        (g**2).sum().backward()
        return w.grad

    got = penalty(torch)
    assert got.to_dense().tolist() == dense(torch).tolist() == dense(oracle).tolist()


def test_anomaly_mode():
    """A NaN among the values is found."""
    w = torch.zeros(3, 2, requires_grad=True)
    with pytest.warns(UserWarning), torch.autograd.detect_anomaly():
        torch.nn.functional.embedding(torch.tensor([1]), w, sparse=True).sum().backward()
        with pytest.raises(RuntimeError, match="'EmbeddingBackward0' returned nan values"):
            y = torch.nn.functional.embedding(torch.tensor([1]), w, sparse=True)
            y.backward(torch.full((1, 2), float("nan")))


@pytest.mark.parametrize("name", ["clip_grad_norm_", "clip_grad_value_"])
def test_clipping(name):
    """Neither kind of clipping takes sparse gradients."""
    for T in (oracle, torch):
        p = T.nn.Parameter(T.zeros(3, 4))
        p.grad = parts(T)["g"]
        with pytest.raises(NotImplementedError, match=r"Could not run 'aten::(linalg_vector_norm|clamp_min_)'"):
            getattr(T.nn.utils, name)([p], 1.0)


def test_files():
    """Sparse tensors are saved and loaded in both directions; damaged ones are refused."""
    buffer = io.BytesIO()
    g = parts(torch)
    torch.save({"g": g["g"], "c": g["c"]}, buffer)
    buffer.seek(0)
    theirs = oracle.load(buffer, weights_only=True)
    buffer.seek(0)
    ours = torch.load(buffer)
    buffer.seek(0)
    listed = [(t.name, t.shape, t.dtype) for t in torch.serialization.inspect(buffer)]
    assert listed[:2] == [("g.indices", (2, 3), "int64"), ("g.values", (3,), "float32")]
    assert text([ours["g"], ours["c"]]) == text([theirs["g"], theirs["c"]]) == text([g["g"], g["c"]])
    buffer = io.BytesIO()
    oracle.save(parts(oracle)["h"], buffer)
    for weights_only in (True, False):
        buffer.seek(0)
        assert text(torch.load(buffer, weights_only=weights_only)) == text(parts(oracle)["h"])


def test_positions_are_checked():
    """Positions outside of the size never get as far as a kernel."""
    with pytest.raises(RuntimeError, match="size is inconsistent with indices: for dim 0, size is 2 but found index 2"):
        torch.sparse_coo_tensor([[2]], [1.0], (2,))
    with pytest.raises(RuntimeError, match="numel: integer multiplication overflow"):
        torch.sparse_coo_tensor([[2], [2]], [1.0], (2**40, 2**40))
    with pytest.raises(NotImplementedError, match="a sparse tensor cannot be a leaf"):
        torch.sparse_coo_tensor([[0]], [1.0], (2,)).requires_grad_()
