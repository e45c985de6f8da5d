"""Where PyTorch computes in silence what is hardly meant: one sentence at the caller's line, and PyTorch's number all the same."""

from __future__ import annotations

import gc
import warnings

import numpy as np
import pytest
import torch

import rushlight

X = [[1.0, 2, 3, 0.5], [0.1, 5, 1, -1]]


def leaf(T):
    return T.tensor(X, requires_grad=True)


def F(T):
    return T.nn.functional


CE_SOFTMAX = r"cross_entropy computes the softmax itself, .* the loss cannot fall below 0.7437 \(4 classes\)"
NLL_SOFTMAX = "nll_loss expects log-probabilities, but its input is the output of softmax"
IGNORED = r"every target is ignored \(ignore_index=-100\), and the mean over none is nan"
SIZE = r"Using a target size \(torch.Size\(\[4\]\)\) that is different to the input size \(torch.Size\(\[4, 1\]\)\)"

CASES = {
    "softmax-ce": (lambda T: T.nn.CrossEntropyLoss()(T.softmax(leaf(T), 1), T.tensor([0, 1])), CE_SOFTMAX),
    "softmax-layer-ce": (lambda T: F(T).cross_entropy(T.nn.Softmax(dim=1)(leaf(T)), T.tensor([0, 1])), CE_SOFTMAX),
    "softmax-ce-probabilities": (lambda T: F(T).cross_entropy(leaf(T).softmax(-1), T.full((2, 4), 0.25)), CE_SOFTMAX),
    "softmax-nll": (lambda T: T.nn.NLLLoss()(T.softmax(leaf(T), 1), T.tensor([0, 1])), NLL_SOFTMAX),
    "all-ignored": (lambda T: T.nn.CrossEntropyLoss()(leaf(T), T.tensor([-100, -100])), IGNORED),
    "all-ignored-nll": (lambda T: F(T).nll_loss(leaf(T).log_softmax(1), T.tensor([2, 2]), ignore_index=2),
                        r"nll_loss: every target is ignored \(ignore_index=2\)"),
    "all-ignored-image": (lambda T: F(T).cross_entropy(T.ones(1, 3, 2, 2), T.full((1, 2, 2), -100)), IGNORED),
    "all-weightless": (lambda T: F(T).cross_entropy(leaf(T), T.tensor([1, 1]), weight=T.tensor([1.0, 0, 1, 1])),
                       "every target is ignored .* or has weight 0, and the mean over none is nan"),
    "all-ignored-by-chunks": (lambda T: F(T).linear_cross_entropy(leaf(T), T.ones(3, 4), T.tensor([-100, -100]),
                                                                  options=T.nn.LinearCrossEntropyOptions()),
                              "linear_cross_entropy: every target is ignored"),
    "vectors": (lambda T: F(T).cross_entropy(T.tensor([0.2, -1.0, 3.0]), T.tensor([1.0, 0.0, 1.0])),
                r"this target is no distribution \(its sum is 2\). For one score per sample use binary_cross_entropy_with_logits"),
    "vectors-negative": (lambda T: T.nn.CrossEntropyLoss()(T.tensor([0.2, -1.0]), T.tensor([1.5, -0.5])), "no distribution"),
    "hinge": (lambda T: T.nn.HingeEmbeddingLoss()(T.ones(4, 1), T.tensor([1.0, -1, 1, -1])), SIZE),
    "poisson": (lambda T: T.nn.PoissonNLLLoss()(T.ones(4, 1), T.ones(4)), SIZE),
    "poisson-negative": (lambda T: F(T).poisson_nll_loss(T.ones(3), T.tensor([1.0, -2, 3])),
                         "poisson_nll_loss: the target has negative values, which are no counts"),
    "poisson-negative-integers": (lambda T: F(T).poisson_nll_loss(T.ones(2), T.tensor([3, -1])), "negative values"),
    "poisson-negative-many": (lambda T: F(T).poisson_nll_loss(T.ones(9000), T.linspace(-1, 1, 9000)), "negative values"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_case(name):
    """One warning per line of code, and the number is PyTorch's."""
    call, text = CASES[name]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            got = call(rushlight)
    assert [w.category for w in caught] == [UserWarning], [str(w.message) for w in caught]
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match=text):
        call(rushlight)
    np.testing.assert_allclose(got.detach().numpy(), call(torch).detach().numpy(), rtol=1e-5, equal_nan=True)


INNOCENT = {
    "scores": lambda T: F(T).cross_entropy(leaf(T), T.tensor([0, 1])),
    "log-softmax": lambda T: F(T).nll_loss(F(T).log_softmax(leaf(T), 1), T.tensor([0, 1])),
    "log-of-softmax": lambda T: F(T).nll_loss(T.softmax(leaf(T), 1).log(), T.tensor([0, 1])),
    "mixture": lambda T: F(T).nll_loss((0.5 * T.softmax(leaf(T), 1) + 0.1).log(), T.tensor([0, 1])),
    "softmax-target": lambda T: F(T).cross_entropy(leaf(T), T.softmax(leaf(T), 1)),
    "softmax-evaluated": lambda T: F(T).cross_entropy(T.softmax(T.tensor(X), 1), T.tensor([0, 1])),
    "attention": lambda T: F(T).cross_entropy(T.softmax(leaf(T), 1) @ T.eye(4), T.tensor([0, 1])),
    "ignored-in-part": lambda T: F(T).cross_entropy(leaf(T), T.tensor([0, -100])),
    "ignored-summed": lambda T: F(T).cross_entropy(leaf(T), T.tensor([-100, -100]), reduction="sum"),
    "ignored-each": lambda T: F(T).cross_entropy(leaf(T), T.tensor([-100, -100]), reduction="none"),
    "empty-batch": lambda T: F(T).cross_entropy(T.ones(0, 3), T.ones(0).long()),
    "one-sample": lambda T: F(T).cross_entropy(T.tensor([0.2, -1.0, 3.0]), T.tensor([0.2, 0.3, 0.5])),
    "one-sample-number": lambda T: F(T).cross_entropy(T.tensor([0.2, -1.0, 3.0]), T.tensor(2)),
    "one-sample-one-hot": lambda T: F(T).cross_entropy(T.tensor([0.2, -1.0]), T.tensor([0.0, 1.0])),
    "hinge": lambda T: T.nn.HingeEmbeddingLoss()(T.ones(1, 3), T.tensor([[1, 1, -1]])),
    "hinge-scalar": lambda T: F(T).hinge_embedding_loss(T.ones(3), T.tensor(1.0)),
    "poisson": lambda T: T.nn.PoissonNLLLoss()(T.ones(3), T.tensor([0.0, 1, 7])),
    "poisson-integers": lambda T: F(T).poisson_nll_loss(T.ones(3), T.tensor([0, 1, 7])),
    "poisson-empty": lambda T: F(T).poisson_nll_loss(T.ones(0), T.ones(0)),
}


@pytest.mark.parametrize("name", INNOCENT)
def test_innocent(name):
    """What is right is not warned about."""
    got = INNOCENT[name](rushlight)
    np.testing.assert_allclose(got.detach().numpy(), INNOCENT[name](torch).detach().numpy(), rtol=1e-5, equal_nan=True)


# -- modules that nobody sees ------------------------------------------------------------------------------------------------


def model(fill):
    """A module of which `fill(self, nn)` makes the attributes."""

    class Net(rushlight.nn.Module):
        def __init__(self):
            super().__init__()
            fill(self, rushlight.nn)

    return Net()


def set_list(self, nn):
    self.layers = [nn.Linear(2, 2), nn.Linear(2, 2)]


def set_dict(self, nn):
    self.heads = {"a": nn.Linear(2, 2)}


def fill_later(self, nn):
    self.layers = []
    for _ in range(2):
        self.layers.append(nn.Linear(2, 2))


def nested(self, nn):
    self.layers = [[nn.Linear(2, 2)], [nn.ReLU()]]


@pytest.mark.parametrize(("fill", "text"), [
    (set_list, "Net.layers is a plain list of modules, which registers nothing: .* Use nn.ModuleList."),
    (set_dict, "Net.heads is a plain dict of modules, which registers nothing: .* Use nn.ModuleDict."),
    (fill_later, "Net.layers is a plain list"),
    (nested, "Net.layers is a plain list"),
])  # fmt: skip
def test_hidden_modules(fill, text):
    """Warned about once, when somebody asks for the parameters, at that line."""
    net = model(fill)
    with pytest.warns(UserWarning, match=text) as caught:
        assert list(net.parameters()) == []
    assert len(caught) == 1 and caught[0].filename == __file__
    assert list(net.parameters()) == []


def test_hidden_modules_below():
    """In a submodule too, and for named_parameters."""
    net = rushlight.nn.Sequential(rushlight.nn.Linear(2, 2), model(set_list))
    with pytest.warns(UserWarning, match="Net.layers is a plain list"):
        assert len(list(net.named_parameters())) == 2


def registered_too(self, nn):
    set_list(self, nn)
    for i, layer in enumerate(self.layers):
        self.add_module(f"layer{i}", layer)


def registered_later(self, nn):
    fill_later(self, nn)
    self.all = nn.ModuleList(self.layers)


def made_a_sequential(self, nn):
    set_list(self, nn)
    self.layers = nn.Sequential(*self.layers)


def without_parameters(self, nn):
    self.activations = [nn.ReLU(), nn.Dropout()]


def frozen(self, nn):
    self.teacher = [nn.Linear(2, 2).requires_grad_(False)]


def its_parameters_registered(self, nn):
    set_list(self, nn)
    self.weights = nn.ParameterList([p for layer in self.layers for p in layer.parameters()])


def other_lists(self, nn):
    self.sizes, self.names, self.table, self.steps = [1, 2], {"a": 1}, [[1], [2]], []


@pytest.mark.parametrize("fill", [
    registered_too, registered_later, made_a_sequential, without_parameters, frozen, its_parameters_registered, other_lists,
])  # fmt: skip
def test_modules_that_are_seen(fill):
    """Modules that are registered too, have nothing to train, or are frozen on purpose."""
    net = model(fill)
    for _ in range(4):
        list(net.parameters())


def test_modules_registered_by_another_module():
    """A reference to a module of somebody else."""
    nn = rushlight.nn
    parent = nn.Module()
    parent.encoder, parent.child = nn.Linear(2, 2), model(lambda self, nn: None)
    parent.child.friends = [parent.encoder]
    list(parent.child.parameters())
    list(parent.parameters())


def test_suspects_are_forgotten():
    """Modules with plain lists are not kept alive, and are looked at only until they have been."""
    from rushlight.nn.modules._hidden import SUSPECTS

    gc.collect()
    before = set(SUSPECTS)
    net = model(fill_later)
    assert set(SUSPECTS) - before == {id(net)}
    del net
    gc.collect()
    assert not set(SUSPECTS) - before
    net = model(other_lists)
    for _ in range(4):
        list(net.parameters())
    assert not set(SUSPECTS) - before
