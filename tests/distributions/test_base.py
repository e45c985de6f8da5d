"""What users do with distributions beside calling them: defaults, wrong arguments, subclasses, copies, import paths."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
import warnings

import numpy as np
import pytest
import torch

import rushlight

from .table import CASES, build
from .test_distributions import LIBRARIES, same


def distributions(T):
    return torch.distributions if T is torch else rushlight.distributions


def outcome(T, fn):
    """What a call gives or raises, and its warnings."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            result = fn(T, distributions(T))
            result = result.tolist() if isinstance(result, T.Tensor) else repr(result)
        except Exception as e:  # noqa: BLE001
            result = type(e).__name__, " ".join(str(e).split())
    clean = lambda x: x.replace("rushlight", "torch") if isinstance(x, str) else x  # noqa: E731
    result = tuple(map(clean, result)) if isinstance(result, tuple) else clean(result)
    return result, [(w.category.__name__, str(w.message).replace("rushlight", "torch")) for w in seen]


WRONG = {
    "scale": lambda T, D: D.Normal(T.tensor([0.0, 1.0]), T.tensor([-1.0, 1.0])),
    "number": lambda T, D: D.Normal(0.0, -1.0),
    "text": lambda T, D: D.Normal("a", 1.0),
    "sizes": lambda T, D: D.Normal(T.zeros(2), T.ones(3)).batch_shape,
    "unchecked": lambda T, D: D.Normal(0.0, -1.0, validate_args=False),
    "probs": lambda T, D: D.Bernoulli(2.0),
    "probs of rows": lambda T, D: D.Categorical(T.tensor([[0.5, 0.5], [-1.0, 2.0]])),
    "neither": lambda T, D: D.Bernoulli(),
    "both": lambda T, D: D.Categorical(T.ones(2), T.ones(2)),
    "scalar categories": lambda T, D: D.Categorical(T.tensor(1.0)),
    "scalar logits": lambda T, D: D.Categorical(logits=T.tensor(1.0)),
    "geometric": lambda T, D: D.Geometric(T.tensor([0.5, 0.0])),
    "continuous": lambda T, D: D.ContinuousBernoulli(T.tensor([0.5, 1.5])),
    "continuous on request": lambda T, D: D.ContinuousBernoulli(T.tensor([0.5, 1.5]), validate_args=True),
    "uniform": lambda T, D: D.Uniform(1.0, 0.0),
    "dirichlet": lambda T, D: D.Dirichlet(T.tensor(1.0)),
    "multinomial": lambda T, D: D.Multinomial(T.tensor(3), T.ones(2)),
    "lkj": lambda T, D: D.LKJCholesky(1),
    "matrix": lambda T, D: D.MultivariateNormal(T.zeros(2), T.tensor([[1.0, 0.0], [0.0, -1.0]])),
    "matrices": lambda T, D: D.MultivariateNormal(T.zeros(2), T.eye(2), T.eye(2)),
    "no matrix": lambda T, D: D.MultivariateNormal(T.zeros(2)),
    "scalar mean": lambda T, D: D.MultivariateNormal(T.tensor(0.0), T.eye(2)),
    "vector": lambda T, D: D.MultivariateNormal(T.zeros(2), T.ones(2)),
    "vector factor": lambda T, D: D.MultivariateNormal(T.zeros(2), scale_tril=T.ones(2)),
    "factor": lambda T, D: D.LowRankMultivariateNormal(T.zeros(2), T.ones(3, 1), T.ones(2)),
    "diagonal": lambda T, D: D.LowRankMultivariateNormal(T.zeros(2), T.ones(2, 1), T.ones(3)),
    "wishart": lambda T, D: D.Wishart(0.5, T.eye(3)),
    "wishart low": lambda T, D: D.Wishart(T.tensor(2.5), T.eye(3)).df,
    "independent": lambda T, D: D.Independent(D.Normal(0.0, 1.0), 1),
    "mixture": lambda T, D: D.MixtureSameFamily(D.Normal(0.0, 1.0), D.Normal(T.zeros(2), T.ones(2))),
    "mixture size": lambda T, D: D.MixtureSameFamily(D.Categorical(T.ones(3)), D.Normal(T.zeros(2), T.ones(2))),
    "mixture batch": lambda T, D: D.MixtureSameFamily(D.Categorical(T.ones(4, 2)), D.Normal(T.zeros(3, 2), T.ones(3, 2))),
    "transforms": lambda T, D: D.TransformedDistribution(D.Normal(0.0, 1.0), 3),
    "transform's size": lambda T, D: D.TransformedDistribution(D.Normal(0.0, 1.0), D.StickBreakingTransform()),
    "expand": lambda T, D: D.Normal(T.zeros(2), 1.0).expand([3]),
    "base": lambda T, D: D.Distribution(validate_args=True),
    "base mean": lambda T, D: D.Distribution().mean,
    "base mode": lambda T, D: D.Distribution(validate_args=False).mode,
    "base log_prob": lambda T, D: D.Distribution(validate_args=False).log_prob(T.zeros(1)),
    "base expand": lambda T, D: D.Distribution(validate_args=False).expand([2]),
    "no rsample": lambda T, D: D.Poisson(1.0).rsample(),
    "no entropy": lambda T, D: D.Poisson(1.0).entropy(),
    "no cdf": lambda T, D: D.Poisson(1.0).cdf(T.zeros(1)),
    "no mode": lambda T, D: D.MixtureSameFamily(D.Categorical(T.ones(2)), D.Normal(T.zeros(2), T.ones(2))).mode,
    "sample_n": lambda T, D: D.Normal(0.0, 1.0).sample_n(3).shape,
    "default": lambda T, D: D.Distribution.set_default_validate_args(3),
    "kl": lambda T, D: D.kl_divergence(D.Normal(0.0, 1.0), D.Cauchy(0.0, 1.0)),
    "kl of families": lambda T, D: D.kl_divergence(D.Normal(0.0, 1.0), D.Bernoulli(0.5)),
    "kl of transforms": lambda T, D: D.kl_divergence(D.LogNormal(0.0, 1.0), D.Gumbel(0.0, 1.0)),
    "binomial counts": lambda T, D: D.Binomial(T.tensor([2.0, 3.0]), T.tensor(0.5)).enumerate_support(),
    "support of an independent": lambda T, D: D.Independent(D.Bernoulli(T.ones(2) / 2), 1).enumerate_support(),
    "ints": lambda T, D: (D.Normal(0, 1), D.Normal(T.tensor(0), T.tensor(1.0)), D.Gamma(1, 2).mean, D.Poisson(3).mean),
    "families": lambda T, D: [sorted(c.__name__ for c in type(d).__mro__ if c.__name__ != "ProbsOrLogits") for d in
                              (D.Normal(0.0, 1.0), D.Chi2(1.0), D.Bernoulli(0.5), D.LogNormal(0.0, 1.0))],
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_outcomes(name):
    """Wrong arguments, what is not there, and warnings: PyTorch's types and texts."""
    theirs, ours = (outcome(T, WRONG[name]) for T in (torch, rushlight))
    assert ours[1] == theirs[1]
    if name == "sizes" or isinstance(theirs[0], tuple) and theirs[0][0] == "RuntimeError":  # the kernel's sentence
        assert ours[0][0] == theirs[0][0]
    else:
        assert ours[0] == theirs[0]


def test_default_validation():
    """The default holds for distributions made afterwards."""
    for T in LIBRARIES:
        D = distributions(T)
        try:
            D.Distribution.set_default_validate_args(False)
            d = D.Normal(0.0, -1.0)
            assert np.isnan(d.log_prob(T.tensor(float("nan"))).item())
        finally:
            D.Distribution.set_default_validate_args(True)
        with pytest.raises(ValueError, match="to satisfy the constraint GreaterThan"):
            D.Normal(0.0, -1.0)


def test_subclasses():
    """Subclasses inherit expand; those with an __init__ of their own have to write it, and may call ours with an instance."""
    for T in LIBRARIES:
        D = distributions(T)

        class Plain(D.Normal):
            pass

        class Own(D.Normal):
            def __init__(self, loc):
                self.note = 3
                super().__init__(loc, 2.0)

        class Whole(Own):
            def expand(self, batch_shape, _instance=None):
                new = self._get_checked_instance(Whole, _instance)
                new.note = 5
                return super().expand(batch_shape, _instance=new)

        assert type(Plain(0.0, 1.0).expand([2])) is Plain
        with pytest.raises(NotImplementedError, match="Subclass Own of Normal that defines a custom __init__ method must also define"):
            Own(0.0).expand([2])
        e = Whole(0.0).expand([2])
        assert type(e) is Whole and e.note == 5 and tuple(e.loc.shape) == (2,)

        class Mine(D.Distribution):
            arg_constraints = {"low": D.constraints.real}
            support = D.constraints.positive

            def __init__(self, low):
                self.low = low
                super().__init__(low.shape)

            def log_prob(self, value):
                self._validate_sample(value)
                return value * self.low

        d = Mine(T.ones(2))
        assert repr(d) == "Mine(low: torch.Size([2]))" and tuple(d.batch_shape) == (2,)
        with pytest.raises(ValueError, match="to be within the support"):
            d.log_prob(-T.ones(2))


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.label)
@pytest.mark.filterwarnings("ignore")
def test_copies(case):
    """A copy, and what pickle brings back, draw the same numbers and have the same densities."""
    d, _ = build(rushlight, case, "float32", grad=False)
    rushlight.manual_seed(1)
    x = d.sample((2,))
    for other in (copy.deepcopy(d), pickle.loads(pickle.dumps(d))):
        rushlight.manual_seed(1)
        np.testing.assert_array_equal(other.sample((2,)).numpy(), x.numpy())
        np.testing.assert_allclose(other.log_prob(x).numpy(), d.log_prob(x).numpy(), rtol=1e-5, atol=1e-6)


def test_names():
    """Every public name is there, with PyTorch's parameters, and under PyTorch's module paths."""
    theirs, ours = torch.distributions, rushlight.distributions
    assert set(theirs.__all__) == set(ours.__all__)
    for name in theirs.__all__:
        a, b = getattr(theirs, name), getattr(ours, name)
        if inspect.isclass(a):
            assert list(inspect.signature(b).parameters) == list(inspect.signature(a).parameters), name
            home = a.__module__.replace("torch", "rushlight", 1)
            assert getattr(importlib.import_module(home), name) is b
    for name in theirs.constraints.__all__:
        assert hasattr(ours.constraints, name)


def test_exponential_families():
    """The entropy by Bregman's divergence is the formula's."""
    D = rushlight.distributions
    a, b = rushlight.tensor([0.7, 2.0], dtype=rushlight.float64), rushlight.tensor([1.5, 3.0], dtype=rushlight.float64)
    for d in (D.Normal(a, b), D.Bernoulli(a / 3), D.Gamma(a, b), D.Exponential(a)):
        bregman = D.ExponentialFamily.entropy(d)
        theirs = getattr(torch.distributions, type(d).__name__)
        want = torch.distributions.ExponentialFamily.entropy(
            theirs(*(torch.from_numpy(getattr(d, k).numpy()) for k in d.arg_constraints if k in d.__dict__))
        )
        same(bregman.detach(), want.detach(), 1e-7)


def test_gradients_through_samples():
    """A few steps on the parameters of a distribution find those of another one."""
    D = rushlight.distributions
    rushlight.manual_seed(0)
    loc, log_scale = rushlight.zeros(2).requires_grad_(), rushlight.zeros(2).requires_grad_()
    goal = D.Normal(rushlight.tensor([1.0, -2.0]), rushlight.tensor([0.5, 2.0]))
    optimizer = rushlight.optim.Adam([loc, log_scale], lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        d = D.Normal(loc, log_scale.exp())
        x = d.rsample((64,))
        (d.log_prob(x) - goal.log_prob(x)).mean().backward()
        optimizer.step()
    assert D.kl_divergence(D.Normal(loc, log_scale.exp()), goal).max().item() < 0.01
