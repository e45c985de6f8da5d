"""The distributions that the tests run through: how each is made, from parameters that both libraries understand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch

import rushlight


@dataclasses.dataclass(frozen=True)
class Case:
    """`make(D, *parameters)` is one distribution; `values` are numbers to ask for the density of (its own draws if none)."""

    label: str
    make: Callable
    parameters: tuple
    values: object = None
    rtol: float = 2e-5
    dtypes: tuple = ("float32", "float64")
    second: bool = True
    expand: bool = True


def tensors(T, case, dtype, grad=True):
    """The case's parameters as tensors of one library."""
    made = []
    for p in case.parameters:
        if isinstance(p, (list, np.ndarray)):
            t = T.from_numpy(np.array(p, dtype=np.float64)).to(getattr(T, dtype))
            made.append(t.requires_grad_() if grad else t)
        else:
            made.append(p)
    return made


def build(T, case, dtype, grad=True):
    """(the distribution, its parameters)."""
    D = torch.distributions if T is torch else rushlight.distributions
    parameters = tensors(T, case, dtype, grad)
    return case.make(D, *parameters), parameters


def _rng():
    return np.random.default_rng(5)


def _positive_definite(*batch, n):
    a = _rng().standard_normal((*batch, n, n))
    return a @ a.swapaxes(-1, -2) + 0.5 * np.eye(n)


def _simplex(*shape):
    p = _rng().uniform(0.1, 1, shape)
    return p / p.sum(-1, keepdims=True)


def case(name, *parameters, label="", values=None, **options):
    return Case(f"{name}-{label}" if label else name, lambda D, *p: getattr(D, name)(*p), parameters, values, **options)


def made(label, make, *parameters, **options):
    return Case(label, make, parameters, **options)


L3 = np.linalg.cholesky(_positive_definite(n=3))

CASES = [
    case("Normal", [0.3, -1.0, 2.0], [0.5, 1.0, 3.0]),
    case("Normal", 0.5, 2.0, label="numbers"),
    case("Normal", [[0.5], [1.0]], [1.0, 2.0, 0.1], label="broadcast"),
    case("Bernoulli", [0.2, 0.5, 0.9], values=[0.0, 1.0, 1.0]),
    case("Bernoulli", 0.3, label="number", values=[1.0]),
    made("Bernoulli-logits", lambda D, x: D.Bernoulli(logits=x), [0.2, -3.0, 4.0], values=[0.0, 1.0, 1.0]),
    case("Beta", [0.5, 2.0, 7.5], [1.5, 1.0, 9.0]),
    case("Beta", 2.0, 3.0, label="numbers"),
    case("Binomial", 10, [0.2, 0.5, 0.9], values=[[0.0, 5.0, 10.0]]),
    made("Binomial-logits", lambda D, x: D.Binomial(30, logits=x), [0.2, -1.0, 3.0]),
    made("Binomial-counts", lambda D, n, p: D.Binomial(n.detach(), p), [3.0, 40.0], [0.2, 0.7]),
    case("Categorical", _simplex(2, 4), values=[3.0, 0.0]),
    case("Categorical", [0.5, 0.25, 0.25], label="one"),
    made("Categorical-logits", lambda D, x: D.Categorical(logits=x), [[0.5, -1.0, 2.0], [0.0, 0.0, 1.0]]),
    case("Cauchy", [0.0, 1.0], [1.0, 2.5]),
    case("Chi2", [0.5, 3.0, 8.0]),
    case("Chi2", 3.0, label="number"),
    case("ContinuousBernoulli", [0.2, 0.5, 0.9, 0.4995]),
    made("ContinuousBernoulli-logits", lambda D, x: D.ContinuousBernoulli(logits=x), [0.2, -2.0]),
    case("Dirichlet", [[0.5, 2.0, 3.0], [1.0, 0.2, 9.0]]),
    case("Exponential", [0.5, 1.0, 4.0]),
    case("FisherSnedecor", [3.0, 5.0, 1.0], [5.0, 8.0, 2.0]),
    case("Gamma", [0.1, 1.0, 5.0, 20.0], [1.0, 2.0, 0.5, 3.0]),
    case("Gamma", 2.0, 0.5, label="numbers"),
    case("GeneralizedPareto", [0.0, 1.0, -1.0], [1.0, 2.0, 0.5], [0.0, 0.3, -0.4],
         dtypes=("float32",)),  # PyTorch mixes dtypes in float64
    case("Geometric", [0.2, 0.5, 1.0], values=[3.0, 0.0, 0.0]),
    made("Geometric-logits", lambda D, x: D.Geometric(logits=x), [0.2, -2.0]),
    case("Gumbel", [0.0, 1.0], [1.0, 2.5]),
    case("HalfCauchy", [0.5, 2.0]),
    case("HalfNormal", [0.5, 2.0]),
    made("Independent", lambda D, m, s: D.Independent(D.Normal(m, s), 1), [[0.3, -1.0], [2.0, 0.0]], [0.5, 1.0]),
    made("Independent-2", lambda D, m, s: D.Independent(D.Laplace(m, s), 2), [[0.3, -1.0], [2.0, 0.0]], [0.5, 1.0]),
    case("InverseGamma", [1.5, 3.0, 0.5], [1.0, 2.0, 0.5]),
    case("Kumaraswamy", [0.5, 2.0, 3.0], [1.5, 1.0, 4.0]),
    case("Laplace", [0.3, -1.0], [0.5, 2.0]),
    made("LKJCholesky", lambda D, c: D.LKJCholesky(3, c), [0.5, 1.0, 2.5], rtol=1e-4),
    made("LKJCholesky-number", lambda D: D.LKJCholesky(4), rtol=1e-4, dtypes=("float32",)),
    case("LogNormal", [0.3, -1.0], [0.5, 1.0]),
    case("LogisticNormal", [[0.3, -1.0], [0.1, 0.5]], [0.5, 1.0]),
    case("LowRankMultivariateNormal", [0.5, 1.0, -1.0], [[0.3, 1.0], [0.2, -1.0], [0.0, 0.5]], [0.5, 1.0, 2.0], rtol=1e-4),
    case("LowRankMultivariateNormal", [[0.5, 1.0, -1.0], [0.0, 1.0, 2.0]], [[0.3], [0.2], [0.0]], [0.5, 1.0, 2.0], label="batch",
         rtol=1e-4),
    made("MixtureSameFamily", lambda D, p, m, s: D.MixtureSameFamily(D.Categorical(p), D.Normal(m, s)), [0.2, 0.3, 0.5],
         [0.0, 2.0, -3.0], [1.0, 0.5, 2.0]),
    made("MixtureSameFamily-events", lambda D, p, m, s: D.MixtureSameFamily(D.Categorical(p), D.Independent(D.Normal(m, s), 1)),
         _simplex(2, 3), _rng().standard_normal((2, 3, 2)), _rng().uniform(0.5, 2, (2, 3, 2))),
    case("Multinomial", 5, _simplex(2, 4), expand=True),
    made("Multinomial-logits", lambda D, x: D.Multinomial(7, logits=x), [0.5, -1.0, 2.0], rtol=0.1),
    case("MultivariateNormal", [0.5, 1.0, -1.0], _positive_definite(n=3), rtol=1e-4),
    case("MultivariateNormal", _rng().standard_normal((2, 3)), _positive_definite(2, n=3), label="batch", rtol=1e-4),
    made("MultivariateNormal-tril", lambda D, m, L: D.MultivariateNormal(m, scale_tril=L), _rng().standard_normal((4, 3)), L3, rtol=1e-4),
    made("MultivariateNormal-precision", lambda D, m, P: D.MultivariateNormal(m, precision_matrix=P), [0.5, 1.0, -1.0],
         _positive_definite(n=3), rtol=2e-4),
    case("NegativeBinomial", [3.0, 10.0], [0.2, 0.7], values=[2.0, 15.0]),
    made("NegativeBinomial-logits", lambda D, n, x: D.NegativeBinomial(n, logits=x), 4, [0.2, -1.0]),
    case("OneHotCategorical", _simplex(2, 4)),
    made("OneHotCategorical-logits", lambda D, x: D.OneHotCategorical(logits=x), [0.5, -1.0, 2.0]),
    case("OneHotCategoricalStraightThrough", _simplex(2, 4)),
    case("Pareto", [1.0, 2.0], [1.5, 4.0]),
    case("Poisson", [0.5, 3.0, 20.0], values=[0.0, 2.0, 25.0]),
    case("RelaxedBernoulli", [0.5], [0.2, 0.5, 0.9]),
    made("RelaxedBernoulli-logits", lambda D, t, x: D.RelaxedBernoulli(t, logits=x), [0.7], [0.2, -1.0], rtol=1e-4),
    case("RelaxedOneHotCategorical", [0.5], _simplex(2, 4), rtol=2e-4),
    made("RelaxedOneHotCategorical-logits", lambda D, t, x: D.RelaxedOneHotCategorical(t, logits=x), [1.5], [0.5, -1.0, 2.0], rtol=1e-4),
    case("StudentT", [1.0, 2.5, 8.0], [0.0, 1.0, -1.0], [1.0, 2.0, 0.5]),
    case("StudentT", 4.0, label="number"),
    made("TransformedDistribution-tanh", lambda D, m, s: D.TransformedDistribution(D.Normal(m, s), [D.TanhTransform(cache_size=1)]),
         [0.3, -1.0], [0.5, 0.2]),
    made("TransformedDistribution-two", lambda D, m, s: D.TransformedDistribution(
        D.Normal(m, s), [D.AffineTransform(loc=1.0, scale=-2.0), D.SigmoidTransform()]), [0.3, -1.0], [0.5, 0.2]),
    case("Uniform", [0.0, -1.0], [1.0, 3.0]),
    case("VonMises", [0.0, 1.0, -2.0], [0.5, 2.0, 9.0], rtol=1e-4),
    case("Weibull", [1.0, 2.0], [0.5, 3.0]),
    case("Wishart", [4.0, 6.0], _positive_definite(n=3), rtol=1e-3),
    made("Wishart-tril", lambda D, L: D.Wishart(5.0, scale_tril=L), L3, rtol=1e-3),
]  # fmt: skip
