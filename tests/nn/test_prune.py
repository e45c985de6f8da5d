"""nn.utils.prune: the same masks, parameters, state and errors as with PyTorch."""

from __future__ import annotations

import copy

import pytest

from .scenario import same, state, table, train

SCENARIOS, scenario = table()


def prune(T):
    import torch

    if T is torch:
        import torch.nn.utils.prune  # not imported by torch itself
    return T.nn.utils.prune


def scores(T, m):
    return T.arange(float(m.weight.numel())).reshape(m.weight.shape).sin()


METHODS = {
    "identity": lambda P, T, m: P.identity(m, "weight"),
    "random_unstructured": lambda P, T, m: P.random_unstructured(m, "weight", 0.3),
    "random_unstructured-count": lambda P, T, m: P.random_unstructured(m, "weight", 4),
    "random_unstructured-none": lambda P, T, m: P.random_unstructured(m, "weight", 0),
    "random_unstructured-all": lambda P, T, m: P.random_unstructured(m, "weight", 1.0),
    "l1_unstructured": lambda P, T, m: P.l1_unstructured(m, "weight", 0.5),
    "l1_unstructured-count": lambda P, T, m: P.l1_unstructured(m, "weight", amount=3),
    "l1_unstructured-scores": lambda P, T, m: P.l1_unstructured(m, "weight", 0.5, scores(T, m)),
    "random_structured": lambda P, T, m: P.random_structured(m, "weight", 0.5, 0),
    "random_structured-last": lambda P, T, m: P.random_structured(m, "weight", 1, -1),
    "random_structured-none": lambda P, T, m: P.random_structured(m, "weight", 0.0, 1),
    "ln_structured": lambda P, T, m: P.ln_structured(m, "weight", 0.5, 2, 0),
    "ln_structured-1": lambda P, T, m: P.ln_structured(m, "weight", 1, 1, 1),
    "ln_structured-inf": lambda P, T, m: P.ln_structured(m, "weight", 1, float("inf"), -1),
    "ln_structured-min": lambda P, T, m: P.ln_structured(m, "weight", 1, -float("inf"), -1),
    "ln_structured-scores": lambda P, T, m: P.ln_structured(m, "weight", 0.5, 2, 0, scores(T, m)),
    "ln_structured-all": lambda P, T, m: P.ln_structured(m, "weight", 1.0, 2, 0),
    "custom_from_mask": lambda P, T, m: P.custom_from_mask(m, "weight", scores(T, m) > 0),
}
LAYERS = {"Linear(4, 6)": lambda T: T.ones(2, 4), "Conv2d(2, 4, 3)": lambda T: T.ones(1, 2, 5, 5)}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("source", LAYERS)
@pytest.mark.parametrize("method", METHODS)
def test_method(method, source, dtype):
    """Mask, parameter, state, training, evaluation, removal."""

    def run(T):
        m = eval(f"nn.{source}", {"nn": T.nn}).to(getattr(T, dtype))  # noqa: S307
        x = LAYERS[source](T).to(getattr(T, dtype))
        out = [METHODS[method](prune(T), T, m) is m, state(m), m.weight, [n for n, _ in m.named_parameters()], repr(m)]
        out += [m.weight.requires_grad, type(m.weight).__name__, prune(T).is_pruned(m), len(m._forward_pre_hooks)]
        out += [train(T, m, x), state(m), m.eval()(x)]
        prune(T).remove(m, "weight")
        return out + [state(m), type(m.weight).__name__, prune(T).is_pruned(m), m(x)]

    same(run)


# After the first method the smallest elements of all channels may be zero, and which channel goes is nobody's promise.
@pytest.mark.parametrize("second", [m for m in METHODS if "scores" not in m and m != "ln_structured-min"])
@pytest.mark.parametrize("first", ["random_unstructured", "ln_structured", "custom_from_mask", "identity"])
def test_two_methods(first, second):
    """The second method chooses among what the first one left; both stand in a container."""

    def run(T):
        m = T.nn.Linear(4, 6)
        for name in (first, second):
            METHODS[name](prune(T), T, m)
        hook = next(iter(m._forward_pre_hooks.values()))
        out = [state(m), type(hook).__name__, len(hook), [type(h).__name__ for h in hook], type(hook[-1]).__name__]
        prune(T).l1_unstructured(m, "bias", 2)
        out += [state(m), m(T.ones(1, 4)), len(m._forward_pre_hooks)]
        for name in ("weight", "bias"):
            prune(T).remove(m, name)
        return out + [state(m)]

    same(run)


@scenario
def global_l1(T):
    a, b = T.nn.Linear(3, 4), T.nn.Conv1d(2, 3, 2)
    pairs = [(a, "weight"), (b, "weight"), (a, "bias")]
    prune(T).global_unstructured(pairs, prune(T).L1Unstructured, amount=0.4)
    out = [state(a), state(b)]
    prune(T).global_unstructured(pairs[:2], prune(T).RandomUnstructured, amount=5)
    return out + [state(a), state(b), train(T, a, T.ones(2, 3))]


@scenario
def global_scores(T):
    a, b = T.nn.Linear(3, 4), T.nn.Linear(4, 2)
    prune(T).global_unstructured([(a, "weight"), (b, "weight")], prune(T).L1Unstructured,
                                 importance_scores={(a, "weight"): scores(T, a)}, amount=7)  # fmt: skip
    return [state(a), state(b)]


@scenario
def by_itself(T):
    """A method prunes a tensor without a module."""
    method, t = prune(T).L1Unstructured(2), T.tensor([[3.0, -1.0], [0.5, 2.0]])
    return [method.prune(t), method.prune(t, importance_scores=-t), method.prune(t, default_mask=T.tensor([[0.0, 1], [1, 1]]))]


@scenario
def own_method(T):
    class Threshold(prune(T).BasePruningMethod):
        PRUNING_TYPE = "unstructured"

        def __init__(self, threshold):
            self.threshold = threshold

        def compute_mask(self, t, default_mask):
            return default_mask * (t.abs() > self.threshold)

    m = T.nn.Linear(4, 6)
    Threshold.apply(m, "weight", threshold=0.3)
    out = [state(m)]
    prune(T).random_unstructured(m, "weight", 2)
    return out + [state(m)]


@scenario
def saved_and_loaded(T):
    a, b = T.nn.Linear(4, 6), T.nn.Linear(4, 6)
    prune(T).l1_unstructured(a, "weight", 0.5)
    prune(T).identity(b, "weight")
    return [str(b.load_state_dict(a.state_dict())), state(b), b(T.ones(1, 4)), b.weight]


@scenario
def copied(T):
    m = prune(T).l1_unstructured(T.nn.Linear(4, 6), "weight", 0.5)
    copy.deepcopy(m)


@scenario
def nested(T):
    m = T.nn.Sequential(T.nn.Linear(4, 6), T.nn.Linear(6, 1))
    out = [prune(T).is_pruned(m)]
    prune(T).l1_unstructured(m[1], "weight", 0.5)
    return out + [prune(T).is_pruned(m), prune(T).is_pruned(m[0])]


def own_type(kind, **members):
    def run(T):
        class Odd(prune(T).BasePruningMethod):
            PRUNING_TYPE = kind

            def compute_mask(self, t, default_mask):
                return default_mask

        for name, value in members.items():
            setattr(Odd, name, value)
        m = prune(T).identity(T.nn.Linear(4, 6), "weight")
        Odd.apply(m, "weight")

    return run


def linear(T):
    return T.nn.Linear(4, 6)


ERRORS = {
    "amount-type": lambda T: prune(T).l1_unstructured(linear(T), "weight", "foo"),
    "amount-range": lambda T: prune(T).l1_unstructured(linear(T), "weight", 1.1),
    "amount-negative": lambda T: prune(T).random_structured(linear(T), "weight", -1, 0),
    "amount-large": lambda T: prune(T).random_unstructured(linear(T), "weight", 25),
    "amount-large-channels": lambda T: prune(T).random_structured(linear(T), "weight", 7, 0),
    "structured-vector": lambda T: prune(T).ln_structured(linear(T), "bias", 1, 2, 0),
    "structured-dim": lambda T: prune(T).random_structured(linear(T), "weight", 1, 2),
    "no-parameter": lambda T: prune(T).l1_unstructured(linear(T), "foo", 1),
    "scores": lambda T: prune(T).l1_unstructured(linear(T), "weight", 1, T.ones(3)),
    "prune-scores": lambda T: prune(T).L1Unstructured(1).prune(T.ones(2), importance_scores=T.ones(3)),
    "mask": lambda T: prune(T).custom_from_mask(linear(T), "weight", T.ones(3)),
    "remove": lambda T: prune(T).remove(linear(T), "weight"),
    "global-parameters": lambda T: prune(T).global_unstructured(3, prune(T).L1Unstructured, amount=1),
    "global-scores": lambda T: prune(T).global_unstructured([], prune(T).L1Unstructured, [1], amount=1),
    "global-structured": lambda T: prune(T).global_unstructured([(linear(T), "weight")], prune(T).LnStructured, amount=1, n=2),
    "container-type": lambda T: prune(T).PruningContainer().add_pruning_method(3),
    "type": own_type("foo"),
    "structured-without-dim": own_type("structured"),
    "structured-negative": own_type("structured", dim=-3),
    "abstract": lambda T: prune(T).BasePruningMethod(),
}


@scenario
def restored_after_an_error(T):
    """A method that fails leaves the parameter where it was."""
    m, message = linear(T), None
    try:
        prune(T).random_structured(m, "weight", 7, 0)
    except ValueError as error:
        message = str(error)
    return [message, sorted(n for n, _ in m.named_parameters()), m(T.ones(1, 4))]


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(name):
    """The same masks, values and state as with PyTorch."""
    same(SCENARIOS[name])


@pytest.mark.parametrize("name", ERRORS)
def test_error(name):
    """PyTorch's exception and message."""
    same(ERRORS[name])
