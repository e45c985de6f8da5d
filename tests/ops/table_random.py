"""Random ops, from one seed: values, dtypes and the zero gradients. More of them in tests/random."""

import importlib

from .harness import ErrorRow, Row


def seeded(fn):
    def run(T, *inputs):
        T.manual_seed(123)
        return fn(T, *inputs)

    return run


def row(op, fn, inputs=lambda r: r(3, 7), **options):
    return Row(op, seeded(fn), inputs, **{"second": False, **options})


def drawn(theirs, ours):
    """The functions of the two libraries that draw the same numbers under other names."""
    return lambda T, *a: getattr(T, theirs)(*a) if hasattr(T, theirs) else getattr(importlib.import_module("rushlight.ops.random"), ours)(*a)


gamma = drawn("_standard_gamma", "standard_gamma")
dirichlet = drawn("_sample_dirichlet", "sample_dirichlet")

ROWS = [
    row("uniform_", lambda T, x: (x * 1).uniform_(-1, 2), layouts=False),
    row("normal_", lambda T, x: (x * 1).normal_(0.5, 2), layouts=False),
    row("random_", lambda T, x: (x * 1).random_(2, 9), layouts=False),
    row("random_to_", lambda T, x: (x * 1).random_(9), layouts=False),
    row("random_all_", lambda T, x: (x * 1).random_(), layouts=False),
    # Their streams differ by CPU in PyTorch (see tests/random): results that do not depend on the draws.
    row("bernoulli_", lambda T, x: (x * 1).bernoulli_(1.0), layouts=False),
    row("bernoulli_tensor_", lambda T, x, p: (x * 1).bernoulli_(p), lambda r: (r(3, 7), r.unit(7)), layouts=False),
    row("exponential_", lambda T, x: (x * 1).exponential_(2).sign(), layouts=False),
    row("cauchy_", lambda T, x: (x * 1).cauchy_(), layouts=False),
    row("log_normal_", lambda T, x: (x * 1).log_normal_(), layouts=False),
    row("geometric_", lambda T, x: (x * 1).geometric_(0.3), layouts=False),
    row("bernoulli", lambda T, p: T.bernoulli(p), lambda r: r.unit(4, 5)),
    row("poisson", lambda T, x: T.poisson(x), lambda r: r.positive(4, 5)),
    row("poisson", lambda T, x: T.poisson(x * 20), lambda r: r.positive(4, 5), label="large"),
    row("binomial", lambda T, p: T.binomial(p * 0 + 7, p), lambda r: r.unit(4, 5), grad=False),
    row("binomial", lambda T, n, p: T.binomial((n * 100).floor(), p), lambda r: (r.positive(4, 5), r.uniform(-0.1, 1.1, 4, 5)), label="large", grad=False),
    row("standard_gamma", lambda T, a: gamma(T, a), lambda r: r.positive(4, 5)),
    row("standard_gamma", lambda T, a: gamma(T, a * 30), lambda r: r.positive(4, 5), label="large"),
    row("standard_gamma", lambda T, a: gamma(T, a * 0.1), lambda r: r.positive(4, 5), label="small"),
    row("sample_dirichlet", lambda T, a: dirichlet(T, a), lambda r: r.positive(4, 5), grad=False),
    row("normal_mean", lambda T, x: T.normal(x, 0.5), lambda r: r(4, 5)),
    row("normal_std", lambda T, x: T.normal(0.5, x), lambda r: r.positive(4, 5)),
    row("normal_both", lambda T, m, s: T.normal(m, s), lambda r: (r(4, 1), r.positive(5))),
]

ERRORS = [
    ErrorRow("uniform_", lambda T: T.zeros(3).uniform_(2, 1)),
    ErrorRow("normal_", lambda T: T.zeros(3).normal_(0, -1)),
    ErrorRow("bernoulli", lambda T: T.bernoulli(T.tensor([2.0]))),
    ErrorRow("binomial", lambda T: T.binomial(T.tensor([3]), T.tensor([0.5]))),
    ErrorRow("binomial", lambda T: T.binomial(T.tensor([3.0]), T.tensor([0.5], dtype=T.float64)), label="dtypes"),
    ErrorRow("binomial", lambda T: T.binomial(T.ones(2, dtype=T.float16), T.ones(2, dtype=T.float16)), label="half"),
    ErrorRow("standard_gamma", lambda T: gamma(T, T.tensor([3]))),
    ErrorRow("poisson", lambda T: T.poisson(T.tensor([-1.0]))),
]
