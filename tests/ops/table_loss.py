"""Losses, in every reduction."""

from __future__ import annotations

from .harness import ErrorRow, Row


def F(T):
    return T.nn.functional


REDUCTIONS = ("mean", "sum", "none")


def loss(op, name, inputs, label="", reductions=REDUCTIONS, second=True, layouts=True, **kw):
    """A loss in each reduction; keyword arguments that are functions of the library make tensors."""

    def call(T, *args, reduction, **keywords):
        made = {k: v(T, args[0].dtype) if callable(v) else v for k, v in keywords.items()}
        return getattr(F(T), name)(*args, reduction=reduction, **made)

    return [Row(op, lambda T, *a, r=r: call(T, *a, reduction=r, **kw), inputs, "-".join(filter(None, (name, label, r))),
                second=second, layouts=layouts) for r in reductions]  # fmt: skip


def pair(r):
    return r(3, 4), r(3, 4)


def signs(r, *shape):
    return r.fixed(r.rng.integers(0, 2, shape) * 2.0 - 1, r.dtype)


def weights(T, dtype):
    return T.tensor([0.5, 2.0, 1.0, 0.25], dtype=dtype)


def image(r):
    return r(2, 4, 3, 5), r.integers(0, 4, 2, 3, 5)


def ignoring(r):
    return r(5, 4), r.fixed([0, -100, 3, -100, 1])


CE, NLL = "cross_entropy", "nll_loss"
ROWS = [
    *loss("mse_loss", "mse_loss", pair),
    *loss("mse_loss", "mse_loss", lambda r: (r(200, 300), r(200, 300)), "large"),
    *loss("mse_loss", "mse_loss", lambda r: (r(3, 1), r(4)), "broadcast"),
    *loss("mse_loss", "mse_loss", lambda r: (r(0, 2), r(0, 2)), "empty"),
    *loss("mse_loss", "mse_loss", pair, "weight",
          weight=lambda T, d: T.ones(3, 4, dtype=d) * 2),
    *loss("abs", "l1_loss", pair),
    *loss("smooth_l1_loss", "smooth_l1_loss", pair),
    *loss("smooth_l1_loss", "smooth_l1_loss", pair, "beta", beta=0.4),
    *loss("abs", "smooth_l1_loss", pair, "zero", beta=0.0),
    *loss("huber_loss", "huber_loss", pair),
    *loss("huber_loss", "huber_loss", pair, "delta", delta=0.4),
    *loss("binary_cross_entropy", "binary_cross_entropy", lambda r: (r.unit(3, 4), r.unit(3, 4))),
    *loss("binary_cross_entropy", "binary_cross_entropy", lambda r: (r.fixed([0.0, 1.0, 0.0, 1.0], r.dtype), r.values([0, 1, 1, 0])),
          "ends"),
    *loss("binary_cross_entropy", "binary_cross_entropy", lambda r: (r.unit(3, 4), r.unit(3, 4)), "weight", weight=weights),
    *loss("binary_cross_entropy_with_logits", "binary_cross_entropy_with_logits", lambda r: (r(3, 4), r.unit(3, 4))),
    *loss("bce_with_logits_weighted", "binary_cross_entropy_with_logits", lambda r: (r(3, 4), r.unit(3, 4)), "weight",
          weight=weights),
    *loss("bce_with_logits_weighted", "binary_cross_entropy_with_logits", lambda r: (r(3, 4), r.unit(3, 4)), "both",
          weight=weights, pos_weight=weights),
    *loss("soft_margin_loss", "soft_margin_loss", lambda r: (r(3, 4), signs(r, 3, 4))),
    *loss("sub", "kl_div", lambda r: (r(3, 4), r.unit(3, 4)), reductions=(*REDUCTIONS, "batchmean")),
    *loss("sub", "kl_div", lambda r: (r(3, 4), r(3, 4)), "log", log_target=True),
    *loss("exp", "poisson_nll_loss", lambda r: (r(3, 4), r.positive(3, 4))),
    *loss("exp", "poisson_nll_loss", lambda r: (r(3, 4), r.positive(3, 4)), "full", full=True),
    *loss("log", "poisson_nll_loss", lambda r: (r.positive(3, 4), r.positive(3, 4)), "rate", log_input=False),
    *loss("log", "gaussian_nll_loss", lambda r: (r(3, 4), r(3, 4), r.positive(3, 4))),
    *loss("log", "gaussian_nll_loss", lambda r: (r(3, 4), r(3, 4), r.positive(3)), "full", full=True),
    *loss("clamp", "margin_ranking_loss", lambda r: (r(5), r(5), signs(r, 5)), margin=0.3),
    *loss("where", "hinge_embedding_loss", lambda r: (r(3, 4), signs(r, 3, 4))),
    *loss("where", "cosine_embedding_loss", lambda r: (r(3, 4), r(3, 4), r.fixed([1, -1, 1]))),
    *loss("where", "cosine_embedding_loss", lambda r: (r(4), r(4), r.fixed(-1)), "vector", margin=-0.9),
    *loss("norm", "triplet_margin_loss", lambda r: (r(3, 4), r(3, 4), r(3, 4))),
    *loss("norm", "triplet_margin_loss", lambda r: (r(3, 4), r(3, 4), r(3, 4)), "swap", swap=True, p=1, margin=2.0),
    *loss("norm", "triplet_margin_with_distance_loss", lambda r: (r(3, 4), r(3, 4), r(3, 4))),
    *loss("log_sigmoid", "multilabel_soft_margin_loss", lambda r: (r(3, 4), r.unit(3, 4)), weight=weights),
    *loss(CE, CE, lambda r: (r(5, 4), r.integers(0, 4, 5))),
    *loss(CE, CE, lambda r: (r(300, 90), r.integers(0, 90, 300)), "large"),
    *loss(CE, CE, lambda r: (r(4), r.fixed(2)), "vector"),
    *[row for c in (1, 2, 10, 65) for row in loss(CE, CE, lambda r, c=c: (r(37, c), r.integers(0, c, 37)), f"classes{c}")],
    *loss(CE, CE, lambda r: (r(37, 10), r.integers(0, 10, 37)), "many-smooth", label_smoothing=0.1),
    *loss(CE, CE, lambda r: (r(0, 4), r.fixed([])), "empty", ("sum", "none")),
    *loss(CE, CE, ignoring, "ignore", weight=weights),
    *loss(CE, CE, lambda r: (r(5, 4), r.integers(0, 4, 5)), "smooth", label_smoothing=0.1),
    *loss(CE, CE, ignoring, "smooth-weight", label_smoothing=0.3, weight=weights),
    *loss(CE, CE, lambda r: (r(5, 4), r.unit(5, 4)), "probabilities", weight=weights, label_smoothing=0.2),
    *loss("cross_entropy_2d", CE, image),
    *loss("cross_entropy_2d", CE, lambda r: (r(2, 4, 70), r.integers(0, 4, 2, 70)), "long", weight=weights),
    *loss("cross_entropy_2d", CE, image, "smooth", label_smoothing=0.1, weight=weights),
    *loss(CE, NLL, lambda r: (r(5, 4), r.integers(0, 4, 5))),
    *loss(CE, NLL, ignoring, "weight", weight=weights),
    *loss("cross_entropy_2d", NLL, image, layouts=False),  # PyTorch cannot differentiate a permuted one
    *loss("multi_margin_loss", "multi_margin_loss", lambda r: (r(5, 4), r.integers(0, 4, 5)), second=False),
    *loss("multi_margin_loss", "multi_margin_loss", lambda r: (r(5, 4), r.integers(0, 4, 5)), "square", second=False, p=2,
          margin=0.5, weight=weights),
    *loss("multi_margin_loss", "multi_margin_loss", lambda r: (r(4), r.fixed(1)), "vector", second=False),
    *loss("ctc_loss", "ctc_loss", lambda r: (r(6, 3, 5), r.fixed([[1, 2, 2], [3, 1, 4], [2, 0, 0]]), (6, 5, 6), (3, 3, 1)),
          second=False),
    *loss("ctc_loss", "ctc_loss", lambda r: (r(6, 2, 5), r.fixed([1, 2, 3]), (6, 1), (1, 2)), "joined", zero_infinity=True,
          second=False),
    *loss("ctc_loss", "ctc_loss", lambda r: (r(6, 3, 5), r.fixed([[1, 2, 2], [3, 1, 4], [2, 0, 0]]), r.fixed([6, 5, 4]),
                                             r.fixed([3, 2, 0], "int32")), "lengths", second=False),
    *loss("ctc_loss", "ctc_loss", lambda r: (r(6, 5), r.fixed([1, 2]), (6,), (2,)), "single", blank=4, second=False),
    *loss("multilabel_margin_loss", "multilabel_margin_loss", lambda r: (r(2, 4), r.fixed([[3, 0, -1, 1], [-1, 0, 1, 2]])),
          second=False, layouts=False),
]  # fmt: skip


def _scores(T):
    return T.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])


def error(name, *args, label="", **kw):
    """Arguments that are functions make tensors."""

    def call(T):
        make = lambda v: v(T) if callable(v) else v  # noqa: E731
        return getattr(F(T), name)(*map(make, args), **{k: make(v) for k, v in kw.items()})

    return ErrorRow(name, call, label)


def const(*values, dtype=None):
    return lambda T: T.tensor(*values, dtype=getattr(T, dtype) if dtype else None)


def zeros(*shape, dtype="float32"):
    return lambda T: T.zeros(*shape, dtype=getattr(T, dtype))


LONG = "int64"
ERRORS = [
    error(CE, _scores, const([0, 5]), label="class"),
    error(CE, _scores, const([0, -1]), label="negative"),
    error(CE, _scores, const([0, 1, 2]), label="batch"),
    error(CE, _scores, zeros(2), label="float"),
    error(CE, _scores, zeros(2, dtype="int32"), label="int32"),
    error(CE, _scores, zeros(2, 3, dtype=LONG), label="int-probabilities"),
    error(CE, zeros(2, 3, 4), zeros(2, 5, dtype=LONG), label="3d"),
    error(CE, zeros(2, 3, 4, 5), zeros(2, 4, 4, dtype=LONG), label="4d"),
    error(CE, zeros(2, 3, 4, 5), zeros(2, 4, dtype=LONG), label="4d-target"),
    error(CE, _scores, const([0, 1]), label="smoothing", label_smoothing=1.5),
    error(CE, _scores, const([0, 1]), label="weight", weight=zeros(2)),
    error(CE, _scores, const([0, 1]), label="reduction", reduction="foo"),
    error(CE, zeros(3), const([1, 2]), label="vector"),
    error(CE, zeros(2, 3, dtype=LONG), const([0, 1]), label="integers"),
    error(CE, _scores, lambda T: _scores(T), label="ignore-probabilities", ignore_index=0),
    error(NLL, _scores, zeros(2, 3, dtype=LONG), label="matrix"),
    error(NLL, zeros(2, 3, dtype=LONG), const([0, 1]), label="integers"),
    error("mse_loss", zeros(2, dtype=LONG), zeros(2, dtype=LONG), label="integers"),
    error("smooth_l1_loss", _scores, _scores, label="beta", beta=-1.0),
    error("huber_loss", _scores, _scores, label="delta", delta=0.0),
    error("binary_cross_entropy", const([2.0]), const([0.0]), label="range"),
    error("binary_cross_entropy", zeros(2, 1), zeros(2), label="size"),
    error("binary_cross_entropy", zeros(2), zeros(2, dtype="float64"), label="dtype"),
    error("binary_cross_entropy_with_logits", zeros(2, 1), zeros(2), label="size"),
    error("binary_cross_entropy_with_logits", zeros(2), zeros(2, dtype=LONG), label="dtype"),
    error("multi_margin_loss", _scores, const([0, 5]), label="class"),
    error("multi_margin_loss", _scores, const([0.0, 1.0]), label="float"),
    error("multi_margin_loss", _scores, const([0, 1, 1]), label="size"),
    error("multi_margin_loss", _scores, const([0, 1]), label="power", p=3),
    error("multi_margin_loss", _scores, const([0, 1]), label="weight", weight=zeros(2)),
    error("multilabel_margin_loss", zeros(1, 4), const([[3, 0, 9, 1]]), label="class"),
    error("multilabel_margin_loss", zeros(1, 4), const([[3, 0, -1]]), label="size"),
    error("multilabel_margin_loss", zeros(1, 4), zeros(1, 4), label="float"),
    error("margin_ranking_loss", zeros(2, 3), zeros(3), zeros(2, 3), label="size"),
    error("cosine_embedding_loss", _scores, _scores, const([[1, -1]]), label="matrix"),
    error("cosine_embedding_loss", zeros(3), zeros(3), const([1]), label="vector"),
    error("triplet_margin_loss", _scores, _scores, zeros(3), label="size"),
    error("triplet_margin_loss", _scores, _scores, _scores, label="margin", margin=-1),
    error("gaussian_nll_loss", _scores, _scores, lambda T: -T.ones(2, 3), label="negative"),
    error("gaussian_nll_loss", _scores, _scores, zeros(5), label="size"),
    error("poisson_nll_loss", _scores, _scores, label="reduction", reduction="foo"),
    *[error("ctc_loss", zeros(5, 2, 4), const([[1, 2], [2, 3]]), frames, labels, label=str(i), **kw)
      for i, (frames, labels, kw) in enumerate([((6, 5), (2, 2), {}), ((5,), (2, 2), {}), ((5, 5), (2, 3), {}),
                                                ((5, 5), (2, 2), {"blank": 7}), ((5, -1), (2, 2), {})])],
    error("ctc_loss", zeros(5, 2, 4), const([1, 2, 3]), (5, 5), (2, 2), label="joined"),
    error("hinge_embedding_loss", _scores, _scores, label="reduction", reduction="batchmean"),
]
