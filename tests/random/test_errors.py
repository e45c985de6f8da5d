"""Bad arguments of random functions raise PyTorch's exception with PyTorch's first line."""

import copy
import pickle

import pytest
import torch

import rushlight as rl

CALLS = {
    "state-dtype": lambda T: T.set_rng_state(T.zeros(3)),
    "state-size": lambda T: T.set_rng_state(T.zeros(3, dtype=T.uint8)),
    "state-content": lambda T: T.set_rng_state(T.zeros(5056, dtype=T.uint8)),
    "state-list": lambda T: T.Generator().set_state([1]),
    "seed-overflow": lambda T: T.manual_seed(2**64),
    "seed-underflow": lambda T: T.manual_seed(-(2**63) - 1),
    "seed-text": lambda T: T.manual_seed("a"),
    "generator-seed-text": lambda T: T.Generator().manual_seed("a"),
    "generator-seed-float": lambda T: T.Generator().manual_seed(1.5),
    "generator-seed-overflow": lambda T: T.Generator().manual_seed(2**64),
    "uniform-range": lambda T: T.empty(3).uniform_(2, 1),
    "uniform-int": lambda T: T.empty(3, dtype=T.int64).uniform_(),
    "normal-std": lambda T: T.empty(3).normal_(0, -1),
    "normal-int": lambda T: T.empty(3, dtype=T.int64).normal_(),
    "bernoulli-p": lambda T: T.empty(3).bernoulli_(2),
    "bernoulli-tensor": lambda T: T.empty(3).bernoulli_(T.tensor([2.0, 1.0, 1.0])),
    "bernoulli-int-input": lambda T: T.bernoulli(T.tensor([1])),
    "exponential": lambda T: T.empty(3).exponential_(0),
    "exponential-int": lambda T: T.empty(3, dtype=T.int64).exponential_(),
    "cauchy": lambda T: T.empty(3).cauchy_(0, -1),
    "cauchy-int": lambda T: T.empty(3, dtype=T.int64).cauchy_(),
    "log-normal": lambda T: T.empty(3).log_normal_(1, -1),
    "log-normal-int": lambda T: T.empty(3, dtype=T.int64).log_normal_(),
    "geometric": lambda T: T.empty(3).geometric_(1),
    "geometric-bool": lambda T: T.empty(3, dtype=T.bool).geometric_(0.5),
    "random-empty-range": lambda T: T.empty(3).random_(5, 2),
    "random-zero": lambda T: T.empty(3).random_(0),
    "random-uint8": lambda T: T.empty(3, dtype=T.uint8).random_(-1, 5),
    "random-bool": lambda T: T.empty(3, dtype=T.bool).random_(0, 5),
    "random-half": lambda T: T.empty(3, dtype=T.half).random_(0, 70000),
    "rand-int": lambda T: T.rand(3, dtype=T.int64),
    "randn-int": lambda T: T.randn(3, dtype=T.int64),
    "rand-negative": lambda T: T.rand(-1),
    "randint-range": lambda T: T.randint(5, 3, (2,)),
    "randint-uint8": lambda T: T.randint(300, (2,), dtype=T.uint8),
    "randint-size": lambda T: T.randint(3, 2),
    "randint-overflow": lambda T: T.randint(2**63, (2,)),
    "randperm-float": lambda T: T.randperm(2.5),
    "randperm-half": lambda T: T.randperm(3000, dtype=T.half),
    "randperm-bool": lambda T: T.randperm(3, dtype=T.bool),
    "randperm-negative": lambda T: T.randperm(-1),
    "randperm-uint8": lambda T: T.randperm(300, dtype=T.uint8),
    "multinomial-many": lambda T: T.multinomial(T.tensor([1.0, 2.0]), 3),
    "multinomial-none": lambda T: T.multinomial(T.tensor([1.0, 2.0]), 0),
    "multinomial-int": lambda T: T.multinomial(T.tensor([1, 2]), 1),
    "multinomial-3d": lambda T: T.multinomial(T.ones(2, 2, 2), 1),
    "multinomial-negative": lambda T: T.multinomial(T.tensor([-1.0, 2.0]), 1),
    "multinomial-zero": lambda T: T.multinomial(T.tensor([0.0, 0.0]), 1),
    "multinomial-replace-negative": lambda T: T.multinomial(T.tensor([-1.0, 2.0]), 3, True),
    "multinomial-replace-zero": lambda T: T.multinomial(T.tensor([0.0, 0.0]), 3, True),
    "multinomial-replace-inf": lambda T: T.multinomial(T.tensor([float("inf"), 0.0]), 3, True),
    "poisson-negative": lambda T: T.poisson(T.tensor([-1.0])),
    "poisson-int": lambda T: T.poisson(T.tensor([1])),
    "normal-numbers": lambda T: T.normal(0.0, 1.0),
    "normal-mean-std": lambda T: T.normal(T.zeros(2), -1),
    "normal-tensor-std": lambda T: T.normal(0.0, T.tensor([-1.0])),
    "expanded-out": lambda T: T.zeros(1).expand(3).uniform_(),
    "leaf": lambda T: T.ones(3, requires_grad=True).normal_(),
    "offset": lambda T: T.Generator().get_offset(),
}
# Where PyTorch lists the signatures of an overloaded function, only the beginning is promised.
BEGINNING = {"normal-numbers": "normal() received an invalid combination of arguments - got (float, float)"}


@pytest.mark.parametrize("name", CALLS)
def test_error(name):
    """The same type and first line."""
    with pytest.raises(Exception) as want:
        CALLS[name](torch)
    with pytest.raises(Exception) as got:
        CALLS[name](rl)
    assert type(got.value) is type(want.value), f"{got.value!r} instead of {want.value!r}"
    assert str(got.value).startswith(BEGINNING.get(name) or str(want.value).splitlines()[0])


DRAWS = (
    ("normal_", ()),
    ("uniform_", ()),
    ("exponential_", ()),
    ("cauchy_", ()),
    ("log_normal_", ()),
    ("geometric_", (0.5,)),
    ("bernoulli_", ()),
    ("random_", ()),
    ("random_", (5,)),
    ("random_", (2, 5)),
)


@pytest.mark.parametrize(("method", "args"), DRAWS)
def test_gradients(method, args):
    """A draw over a tensor with a history cuts its gradient to zero and names PyTorch's node."""
    nodes = []
    for T in (torch, rl):
        p = T.ones(3, requires_grad=True)
        y = getattr(p * 2, method)(*args)
        nodes.append(y.grad_fn.name())
        T.autograd.backward(y.sum())
        assert p.grad.tolist() == [0.0, 0.0, 0.0]
    assert nodes[0] == nodes[1]


def test_generator_copies():
    """Pickling, deepcopy and clone_state give generators that go on alike."""
    g = rl.Generator().manual_seed(3)
    rl.randn(3, generator=g)
    twins = [pickle.loads(pickle.dumps(g)), copy.deepcopy(g), g.clone_state()]
    want = rl.randn(5, generator=g).tolist()
    assert all(rl.randn(5, generator=t).tolist() == want for t in twins)
    assert str(g.device) == "cpu"


def test_fork_rng_and_seed():
    """fork_rng puts the default generator back; seed() gives streams that differ."""
    rl.manual_seed(4)
    with rl.random.fork_rng():
        inside = rl.rand(3).tolist()
    assert rl.rand(3).tolist() == inside
    assert rl.seed() != rl.seed()
    rl.manual_seed(4)
    assert rl.random.initial_seed() == 4
