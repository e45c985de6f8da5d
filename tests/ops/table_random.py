"""Random ops, from one seed: values, dtypes and the zero gradients. More of them in tests/random."""

from .harness import ErrorRow, Row


def seeded(fn):
    def run(T, *inputs):
        T.manual_seed(123)
        return fn(T, *inputs)

    return run


def row(op, fn, inputs=lambda r: r(3, 7), **options):
    return Row(op, seeded(fn), inputs, **{"second": False, **options})


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
    row("normal_mean", lambda T, x: T.normal(x, 0.5), lambda r: r(4, 5)),
    row("normal_std", lambda T, x: T.normal(0.5, x), lambda r: r.positive(4, 5)),
    row("normal_both", lambda T, m, s: T.normal(m, s), lambda r: (r(4, 1), r.positive(5))),
]

ERRORS = [
    ErrorRow("uniform_", lambda T: T.zeros(3).uniform_(2, 1)),
    ErrorRow("normal_", lambda T: T.zeros(3).normal_(0, -1)),
    ErrorRow("bernoulli", lambda T: T.bernoulli(T.tensor([2.0]))),
    ErrorRow("poisson", lambda T: T.poisson(T.tensor([-1.0]))),
]
