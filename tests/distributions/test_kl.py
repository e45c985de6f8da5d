"""`kl_divergence` of every pair that PyTorch has a formula for, and of pairs that it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import rushlight

from .table import CASES, build
from .test_distributions import LIBRARIES, same

pytestmark = pytest.mark.filterwarnings("ignore")

# One distribution of a class, with parameters for which formulas have finite values.
EXTRA = {
    "Uniform-inside": lambda D, t: D.Uniform(t([0.2, 0.4]), t([0.5, 0.9])),
    "Pareto-heavy": lambda D, t: D.Pareto(t([1.0, 0.1]), t([3.5, 1.5])),
    "MVN": lambda D, t: D.MultivariateNormal(t([1.0, 0.0, 2.0]), t([[2.0, 0.3, 0.0], [0.3, 1.0, 0.1], [0.0, 0.1, 1.5]])),
    "Wishart-one": lambda D, t: D.Wishart(4.5, t([[2.0, 0.3, 0.0], [0.3, 1.0, 0.1], [0.0, 0.1, 1.5]])),
    "MVN-2": lambda D, t: D.MultivariateNormal(t([1.0, 0.0]), scale_tril=t([[2.0, 0.0], [0.3, 1.0]])),
    "LowRank-2": lambda D, t: D.LowRankMultivariateNormal(t([1.0, 0.0]), t([[2.0], [0.3]]), t([1.0, 2.0])),
    "Binomial-20": lambda D, t: D.Binomial(20, t([0.4, 0.6, 0.1])),
    "Bernoulli-sure": lambda D, t: D.Bernoulli(t([0.0, 1.0, 0.5])),
    "Categorical-sure": lambda D, t: D.Categorical(t([[0.0, 1.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0]])),
}


def tensor(T, dtype):
    return lambda data: T.from_numpy(np.array(data)).to(getattr(T, dtype)).requires_grad_()


def all_of(T, dtype):
    D = torch.distributions if T is torch else rushlight.distributions
    found = {c.label: build(T, c, dtype) for c in CASES if dtype in c.dtypes}
    for name, make in EXTRA.items():
        leaves = []

        def t(data, leaves=leaves):
            leaves.append(tensor(T, dtype)(data))
            return leaves[-1]

        found[name] = make(D, t), leaves
    return found


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_pair(dtype):
    """The value and its gradients, or the same kind of error."""
    theirs, ours = (all_of(T, dtype) for T in LIBRARIES)
    rtol = 1e-4 if dtype == "float32" else 1e-6
    computed = 0
    for p in theirs:
        for q in theirs:
            results = []
            for T, found in zip(LIBRARIES, (theirs, ours), strict=True):
                D = torch.distributions if T is torch else rushlight.distributions
                try:
                    out = D.kl_divergence(found[p][0], found[q][0])
                except (NotImplementedError, ValueError, RuntimeError) as e:
                    results.append((type(e), " ".join(str(e).split())))
                    continue
                leaves = [x for k in dict.fromkeys((p, q)) for x in found[k][1] if isinstance(x, T.Tensor)]
                grads = [None] * len(leaves)
                if out.requires_grad and bool(T.isfinite(out).all()):
                    grads = T.autograd.grad(out.sum(), leaves, allow_unused=True, retain_graph=True)
                results.append((out, grads))
            what = f"{p} from {q}"
            if isinstance(results[0][0], type):
                assert isinstance(results[1][0], type), f"{what}: {results[1]} instead of {results[0]}"
                if results[0][0] is not RuntimeError:  # sizes that do not fit
                    assert results[1] == results[0], what
                continue
            assert not isinstance(results[1][0], type), f"{what}: {results[1]}"
            computed += 1
            same(results[1][0], results[0][0], rtol, what)
            for g, w in zip(results[1][1], results[0][1], strict=True):
                if w is None or not w.any():
                    assert g is None or float(g.abs().max()) < rtol, what
                else:
                    same(g, w, 10 * rtol, f"gradient of {what}")
    assert computed > 350


def test_registry_has_every_pair():
    """Each registered pair of classes of PyTorch is registered here."""
    from rushlight.distributions.kl import _KL_REGISTRY

    names = lambda r: {(p.__name__, q.__name__) for p, q in r}  # noqa: E731
    assert names(_KL_REGISTRY) == names(torch.distributions.kl._KL_REGISTRY)


def test_registering():
    """A pair of one's own, subclasses, and the warning where two formulas fit equally well."""
    texts = []
    for T in LIBRARIES:
        D = torch.distributions if T is torch else rushlight.distributions

        class Base(D.Normal):
            pass

        class Derived(Base):
            pass

        D.register_kl(Base, D.Normal)(lambda p, q: 1)
        D.register_kl(D.Normal, Derived)(lambda p, q: 2)
        assert D.kl_divergence(Derived(0.0, 1.0), D.Normal(0.0, 1.0)) == 1
        with pytest.warns(RuntimeWarning, match="Ambiguous") as seen:
            assert D.kl_divergence(Derived(0.0, 1.0), Derived(0.0, 1.0)) == 1
        texts.append(str(seen[0].message))
        registry = torch.distributions.kl if T is torch else rushlight.distributions.kl
        for pair in ((Base, D.Normal), (D.Normal, Derived)):
            del registry._KL_REGISTRY[pair]
        registry._KL_MEMOIZE.clear()
    assert texts[0] == texts[1]
    with pytest.raises(TypeError, match="Expected type_p to be a Distribution subclass but got"):
        rushlight.distributions.register_kl(int, rushlight.distributions.Normal)
