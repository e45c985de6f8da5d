"""Transforms, constraints and the registry of both, against PyTorch."""

from __future__ import annotations

import gc
import pickle

import numpy as np
import pytest
import torch

import rushlight

from .test_distributions import LIBRARIES, same

pytestmark = pytest.mark.filterwarnings("ignore")


def spaces(T):
    D = torch.distributions if T is torch else rushlight.distributions
    return D, D.transforms, D.constraints


def draws(*shape, low=None, high=None):
    rng = np.random.default_rng(2)
    return rng.standard_normal(shape) if low is None else rng.uniform(low, high, shape)


# name: (the transform, its argument)
TRANSFORMS = {
    "abs": (lambda D, T: D.AbsTransform(), draws(3, 2)),
    "affine": (lambda D, T: D.AffineTransform(1.0, -2.5), draws(3, 2)),
    "affine-tensors": (lambda D, T: D.AffineTransform(T.tensor([1.0, 2.0]), T.tensor([-2.5, 0.5])), draws(3, 2)),
    "affine-event": (lambda D, T: D.AffineTransform(1.0, T.tensor([-2.5, 0.5]), event_dim=1), draws(3, 2)),
    "cat": (lambda D, T: D.CatTransform([D.ExpTransform(), D.AffineTransform(1.0, 2.0)], dim=-1, lengths=[2, 1]), draws(4, 3)),
    "cat-0": (lambda D, T: D.CatTransform([D.ExpTransform(), D.TanhTransform()]), draws(2, 3)),
    "compose": (lambda D, T: D.ComposeTransform([D.AffineTransform(1.0, 2.0), D.ExpTransform()]), draws(3, 2)),
    "compose-events": (lambda D, T: D.ComposeTransform([D.ExpTransform(), D.AffineTransform(0.0, 2.0, event_dim=1)]), draws(3, 2)),
    "compose-none": (lambda D, T: D.ComposeTransform([]), draws(3, 2)),
    "corr": (lambda D, T: D.CorrCholeskyTransform(), draws(4, 6)),
    "cdf": (lambda D, T: D.CumulativeDistributionTransform(spaces(T)[0].Normal(0.0, 2.0)), draws(3, 2)),
    "exp": (lambda D, T: D.ExpTransform(), draws(3, 2)),
    "independent": (lambda D, T: D.IndependentTransform(D.ExpTransform(), 1), draws(3, 2)),
    "lower": (lambda D, T: D.LowerCholeskyTransform(), draws(2, 3, 3)),
    "definite": (lambda D, T: D.PositiveDefiniteTransform(), draws(2, 3, 3)),
    "power": (lambda D, T: D.PowerTransform(2.0), draws(3, 2, low=0.1, high=3)),
    "power-tensor": (lambda D, T: D.PowerTransform(T.tensor([0.5, -1.0])), draws(3, 2, low=0.1, high=3)),
    "reshape": (lambda D, T: D.ReshapeTransform((6,), (2, 3)), draws(4, 6)),
    "sigmoid": (lambda D, T: D.SigmoidTransform(), draws(3, 2)),
    "softplus": (lambda D, T: D.SoftplusTransform(), draws(3, 2)),
    "softmax": (lambda D, T: D.SoftmaxTransform(), draws(3, 4)),
    "stack": (lambda D, T: D.StackTransform([D.ExpTransform(), D.TanhTransform()], dim=1), draws(3, 2)),
    "stick": (lambda D, T: D.StickBreakingTransform(), draws(3, 4)),
    "tanh": (lambda D, T: D.TanhTransform(), draws(3, 2)),
}
ONE_LINERS = {"bijective", "sign", "domain", "codomain", "event_dim"}


def outcome(fn):
    try:
        return fn()
    except (NotImplementedError, ValueError, RuntimeError, AssertionError) as e:
        return type(e), str(e).splitlines()[:1]


def same_outcome(got, want, what):
    if isinstance(want, torch.Tensor):
        same(got, want, 1e-5, what)
    elif isinstance(want, tuple) and want and isinstance(want[0], type):
        assert isinstance(got, tuple) and got == want, what
    else:
        assert repr(got).replace("rushlight", "torch") == repr(want), what


@pytest.mark.parametrize("inverse", [False, True], ids=["forward", "inverse"])
@pytest.mark.parametrize("cache", [0, 1])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_transform(name, cache, inverse):
    """Values, the inverse, the log of the derivative, gradients, shapes, text and properties."""
    make, x = TRANSFORMS[name]
    results = []
    for T in LIBRARIES:
        D = spaces(T)[1]
        t = make(D, T).with_cache(cache)
        argument = T.from_numpy(x.copy())
        if inverse:
            argument, t = make(D, T)(argument).detach(), t.inv
        argument = argument.requires_grad_()
        y = t(argument)
        back = outcome(lambda t=t, y=y: t.inv(y))
        slope = outcome(lambda t=t, x=argument, y=y: t.log_abs_det_jacobian(x, y))
        total = sum((v * v).sum() for v in (y, slope) if isinstance(v, T.Tensor) and v.requires_grad)
        grad = T.autograd.grad(total, argument)[0] if isinstance(total, T.Tensor) else None
        more = {n: outcome(lambda t=t, n=n: getattr(t, n)) for n in ONE_LINERS if "tensor" not in name}
        shapes = [outcome(lambda t=t, s=s, f=f, size=T.Size: tuple(getattr(t, f)(size(s)))) for f in ("forward_shape", "inverse_shape")
                  for s in ((), (1,), (4, 6), (2, 3), (2, 3, 3))]  # fmt: skip
        results.append({"y": y, "back": back, "slope": slope, "grad": grad, "shapes": shapes, "text": repr(t), **more,
                        "same": (t.inv.inv is t, t.inv(y) is argument if cache and t.bijective else None)})  # fmt: skip
    for key, want in results[0].items():
        same_outcome(results[1][key], want, f"{name}: {key}")


def test_equality():
    """Transforms without parameters are equal, others if their parameters are."""
    for T in LIBRARIES:
        D = spaces(T)[1]
        assert D.ExpTransform() == D.ExpTransform() and D.ExpTransform() != D.TanhTransform()
        assert D.ExpTransform().inv == D.ExpTransform().inv and D.ExpTransform().inv != D.ExpTransform()
        assert D.AffineTransform(1.0, 2.0) == D.AffineTransform(1.0, 2.0) and D.AffineTransform(1.0, 2.0) != D.AffineTransform(1.0, 3.0)
        assert D.AffineTransform(T.tensor([1.0]), 2.0) == D.AffineTransform(1.0, 2.0)
        assert D.PowerTransform(T.tensor(2.0)) == D.PowerTransform(2.0) and D.PowerTransform(2.0) != D.PowerTransform(1.0)
        assert D.ComposeTransform([D.ExpTransform()]) == D.ComposeTransform([D.ExpTransform()])


def test_cache_and_pickle():
    """The inverse of a cached result is the argument itself; transforms can be pickled, whatever has their inverse."""
    for T in LIBRARIES:
        D = spaces(T)[1]
        t = D.TanhTransform(cache_size=1)
        x = T.tensor([20.0])
        assert t.inv(t(x)) is x
        inverse = t.inv
        assert pickle.loads(pickle.dumps(t)) == t and inverse.inv is t
        with pytest.raises(ValueError, match="cache_size must be 0 or 1"):
            D.ExpTransform(cache_size=2)
        weak = D.ExpTransform()
        del inverse
        gc.collect()
        assert weak.inv.inv is weak


CONSTRAINTS = {
    "boolean": (lambda C: C.boolean, [0.0, 1.0, 0.5]),
    "cat": (lambda C: C.cat([C.positive, C.real], dim=-1, lengths=[1, 2]), [[1.0, -1.0, 0.0], [-1.0, 0.0, np.nan]]),
    "corr_cholesky": (lambda C: C.corr_cholesky, [[[1.0, 0.0], [0.6, 0.8]], [[1.0, 0.0], [0.6, 0.9]]]),
    "greater_than": (lambda C: C.greater_than(1.0), [0.0, 1.0, 2.0, np.nan]),
    "greater_than_eq": (lambda C: C.greater_than_eq(1.0), [0.0, 1.0, 2.0]),
    "independent": (lambda C: C.independent(C.positive, 1), [[1.0, 2.0], [0.0, 1.0]]),
    "integer_interval": (lambda C: C.integer_interval(1, 3), [0.0, 1.0, 2.5, 3.0, 4.0]),
    "interval": (lambda C: C.interval(-1.0, 1.0), [-1.0, 0.0, 1.0, 1.5]),
    "half_open_interval": (lambda C: C.half_open_interval(-1.0, 1.0), [-1.0, 0.0, 1.0]),
    "less_than": (lambda C: C.less_than(1.0), [0.0, 1.0]),
    "lower_cholesky": (lambda C: C.lower_cholesky, [[[1.0, 0.0], [0.6, 0.8]], [[1.0, 0.1], [0.6, 0.9]], [[1.0, 0.0], [0.6, -0.8]]]),
    "lower_triangular": (lambda C: C.lower_triangular, [[[1.0, 0.0], [0.6, 0.8]], [[1.0, 0.1], [0.6, 0.9]]]),
    "multinomial": (lambda C: C.multinomial(3), [[1.0, 2.0], [3.0, 1.0], [-1.0, 1.0]]),
    "nonnegative": (lambda C: C.nonnegative, [0.0, -0.1, 2.0]),
    "nonnegative_integer": (lambda C: C.nonnegative_integer, [0.0, -1.0, 2.5, 3.0]),
    "one_hot": (lambda C: C.one_hot, [[1.0, 0.0], [1.0, 1.0], [0.5, 0.5]]),
    "positive": (lambda C: C.positive, [0.0, 1.0]),
    "positive_semidefinite": (lambda C: C.positive_semidefinite, [[[1.0, 0.0], [0.0, 2.0]], [[1.0, 2.0], [2.0, 1.0]]]),
    "positive_definite": (lambda C: C.positive_definite, [[[1.0, 0.0], [0.0, 2.0]], [[1.0, 2.0], [2.0, 1.0]]]),
    "asymmetric": (lambda C: C.positive_definite, [[[1.0, 0.5], [0.0, 2.0]], [[1.0, 0.0], [0.0, 1.0]]]),
    "positive_integer": (lambda C: C.positive_integer, [0.0, 1.0, 1.5]),
    "real": (lambda C: C.real, [0.0, np.nan, np.inf]),
    "real_vector": (lambda C: C.real_vector, [[0.0, np.nan], [1.0, 2.0]]),
    "simplex": (lambda C: C.simplex, [[0.5, 0.5], [0.5, 0.6], [1.5, -0.5]]),
    "square": (lambda C: C.square, [[1.0, 2.0]]),
    "stack": (lambda C: C.stack([C.positive, C.real], dim=-1), [[1.0, -1.0], [-1.0, 0.0]]),
    "symmetric": (lambda C: C.symmetric, [[[1.0, 0.5], [0.5, 2.0]], [[1.0, 0.0], [0.1, 1.0]]]),
    "unit_interval": (lambda C: C.unit_interval, [0.0, 0.5, 1.1]),
    "mixture": (lambda C: C.MixtureSameFamilyConstraint(C.interval(0.0, 1.0)), [0.0, 0.5, 1.1]),
}


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_constraint(name):
    """Which values are in the set, its text and properties, and the transforms that lead to it."""
    make, values = CONSTRAINTS[name]
    results = []
    for T in LIBRARIES:
        D, _, C = spaces(T)
        c = make(C)
        found = {"check": outcome(lambda c=c, T=T: c.check(T.from_numpy(np.array(values)))),
                 "event_dim": outcome(lambda c=c: c.event_dim), "discrete": outcome(lambda c=c: c.is_discrete)}  # fmt: skip
        if name not in ("cat", "stack"):
            found["text"] = repr(c)
        for registry in (D.biject_to, D.transform_to):
            t = outcome(lambda registry=registry, c=c: registry(c))
            found[f"transform {registry is D.biject_to}"] = repr(t) if name not in ("cat", "stack") else type(t).__name__
            if not isinstance(t, tuple):
                n = max(t.domain.event_dim, 0)
                x = draws(4, *(3 if n == 1 else 2,) * max(n, 1))[..., : 2 if name in ("stack",) else 3]
                y = outcome(lambda t=t, x=x, T=T: t(T.from_numpy(x.copy())))
                found[f"value {registry is D.biject_to}"] = y
        results.append(found)
    for key, want in results[0].items():
        same_outcome(results[1][key], want, f"{name}: {key}")


def test_dependent_and_registry():
    """Sets that depend on parameters say so; sets without a transform, and wrong arguments, raise."""
    for T in LIBRARIES:
        D, _, C = spaces(T)
        assert C.is_dependent(C.dependent) and not C.is_dependent(C.real)
        assert C.dependent(is_discrete=True, event_dim=1).event_dim == 1
        with pytest.raises(ValueError, match="Cannot determine validity of dependent constraint"):
            C.dependent.check(T.zeros(1))
        with pytest.raises(NotImplementedError, match="event_dim cannot be determined statically"):
            _ = C.dependent.event_dim
        with pytest.raises(NotImplementedError, match="Cannot transform _Boolean constraints"):
            D.transform_to(C.boolean)
        with pytest.raises(TypeError, match="Expected constraint to be either a Constraint subclass or instance"):
            D.transform_to.register(3, lambda c: None)
