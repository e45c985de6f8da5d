"""Orthogonal, weight-normalised and spectrally normalised layers: parametrizations and the older hooks."""

from __future__ import annotations

import copy

import pytest

from .scenario import TOLERANCE, same, state, table, train

SCENARIOS, scenario = table()

LAYERS = {
    "Linear(3, 4)": lambda T: T.ones(2, 3),
    "Linear(4, 4, bias=False)": lambda T: T.ones(2, 4),
    "Linear(4, 3)": lambda T: T.ones(2, 4),
    "Conv1d(2, 3, 3)": lambda T: T.ones(2, 2, 6),
    "Conv2d(4, 6, 3, groups=2)": lambda T: T.ones(2, 4, 5, 5),
    "Conv3d(2, 2, 2)": lambda T: T.ones(1, 2, 3, 3, 3),
    "ConvTranspose2d(2, 3, 3)": lambda T: T.ones(2, 2, 4, 4),
    "Embedding(5, 3)": lambda T: T.tensor([0, 3, 3]),
}
LOOSE = dict(rtol=2e-4, atol=2e-4)


def make(T, source, dtype="float32"):
    return eval(f"nn.{source}", {"nn": T.nn}).to(getattr(T, dtype))  # noqa: S307 - the sources are above


def inputs(T, source, dtype):
    x = LAYERS[source](T)
    return x.to(getattr(T, dtype)) if x.is_floating_point() else x


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("source", LAYERS)
@pytest.mark.parametrize("which", ["parametrizations.weight_norm", "parametrizations.spectral_norm", "weight_norm", "spectral_norm"])
def test_normalised_layer(which, source, dtype):
    """Repr, state (keys, values, versions), training steps, evaluation, and the layer after removal."""

    def run(T):
        m = make(T, source, dtype)
        utils = T.nn.utils
        function = utils.parametrizations if "." in which else utils
        name = which.rpartition(".")[2]
        x = inputs(T, source, dtype)
        out = [getattr(function, name)(m) is m, repr(m), state(m), train(T, m, x), state(m)]
        m.eval()
        out += [m(x), m.weight.grad_fn.name(), m(x), state(m)]
        if "." in which:
            utils.parametrize.remove_parametrizations(m, "weight")
        else:
            getattr(utils, "remove_" + name)(m)
        return out + [repr(m), state(m), [n for n, _ in m.named_parameters()], m(x), len(m._forward_pre_hooks)]

    same(run, tolerance=LOOSE)


@pytest.mark.parametrize("dim", [0, 1, 2, -1, None, 3])
@pytest.mark.parametrize("old", [False, True])
def test_weight_norm_dim(dim, old):
    """Magnitudes for each index of any dimension, or one for all."""

    def run(T):
        m = T.nn.Conv1d(2, 3, 4)
        (T.nn.utils if old else T.nn.utils.parametrizations).weight_norm(m, "weight", dim)
        return [state(m), train(T, m, T.ones(1, 2, 5)), m.weight]

    same(run)


@pytest.mark.parametrize("arguments", [dict(n_power_iterations=3), dict(dim=1), dict(eps=1e-3), dict(dim=-1)])
@pytest.mark.parametrize("old", [False, True])
def test_spectral_norm_arguments(arguments, old):
    """More iterations, another dimension, another epsilon."""

    def run(T):
        m = T.nn.Conv1d(2, 3, 4)
        (T.nn.utils if old else T.nn.utils.parametrizations).spectral_norm(m, **arguments)
        return [state(m), train(T, m, T.ones(1, 2, 5)), m.weight]

    if not (old and arguments.get("dim") == -1):  # the older one takes the dimension as it is, and reshapes by another
        same(run, tolerance=LOOSE)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5), (2, 4, 3), (1, 1), (4, 1)])
@pytest.mark.parametrize("trivial", [True, False])
@pytest.mark.parametrize("kind", ["matrix_exp", "cayley", "householder", None])
def test_orthogonal(kind, trivial, shape, dtype):
    """Every map, tall, wide, square and batched: state, values, gradients, assignment; and the columns are orthonormal."""

    def run(T):
        m = T.nn.Module()
        m.register_parameter("weight", T.nn.Parameter(T.randn(shape, dtype=getattr(T, dtype))))
        m.forward = lambda x: x * m.weight.sin()
        T.nn.utils.parametrizations.orthogonal(m, "weight", kind, use_trivialization=trivial)
        out = [repr(m), state(m), m.weight, train(T, m, T.ones(shape, dtype=getattr(T, dtype)))]
        Q = m.weight if shape[-2] >= shape[-1] else m.weight.mT
        one = (Q.mT @ Q - T.eye(Q.shape[-1], dtype=Q.dtype)).abs().max().item() < 1e-5
        out += [one, state(m)]
        m.weight = T.linalg.qr(T.randn(shape, dtype=getattr(T, dtype)))[0] if shape[-2] >= shape[-1] else m.weight.detach()
        return out + [m.weight, state(m)]

    same(run, tolerance=LOOSE if dtype == "float32" else dict(rtol=1e-7, atol=1e-7))


@scenario
def orthogonal_keeps_an_orthogonal_matrix(T):
    m = T.nn.Linear(3, 3)
    q = T.eye(3)[[2, 0, 1]]
    m.weight.data.copy_(q)
    T.nn.utils.parametrizations.orthogonal(m)
    return [m.weight, bool((m.weight == q).all())]


@scenario
def old_checkpoint_of_weight_norm(T):
    """The parametrization reads what the hook has written."""
    old, new = T.nn.Linear(3, 4), T.nn.Linear(3, 4)
    T.nn.utils.weight_norm(old)
    T.nn.utils.parametrizations.weight_norm(new)
    return [str(new.load_state_dict(old.state_dict())), state(new), new.weight, old.weight]


@scenario
def old_checkpoint_of_spectral_norm(T):
    """A state of version 0 holds the weight and no v."""
    a, b = (T.nn.utils.spectral_norm(T.nn.Linear(3, 4)) for _ in range(2))
    a(T.ones(2, 3))
    old = a.state_dict()
    del old["weight_v"]
    old["weight"] = a.weight.detach()
    old._metadata[""] = {"version": 1}
    return [str(b.load_state_dict(old)), b.eval()(T.ones(2, 3)), a.eval()(T.ones(2, 3))]


@scenario
def incomplete_checkpoint_of_spectral_norm(T):
    m = T.nn.utils.spectral_norm(T.nn.Linear(3, 4))
    m.load_state_dict({"bias": T.zeros(4), "weight_u": T.zeros(4)})


@scenario
def checkpoint_without_metadata(T):
    m = T.nn.utils.spectral_norm(T.nn.Linear(3, 4))
    return [str(m.load_state_dict(dict(m.state_dict())))]


@scenario
def deep_copies(T):
    out = []
    for make in (T.nn.utils.parametrizations.weight_norm, T.nn.utils.parametrizations.spectral_norm):
        m = make(T.nn.Linear(3, 4))
        c = copy.deepcopy(m)
        out += [state(c), train(T, c, T.ones(2, 3)), state(m)]
    return out


@scenario
def deep_copy_of_the_hook(T):
    copy.deepcopy(T.nn.utils.weight_norm(T.nn.Linear(3, 4)))


@scenario
def two_forwards_one_backward(T):
    """The buffers that a second forward overwrites are no part of the first one's graph."""
    m = T.nn.utils.parametrizations.spectral_norm(T.nn.Linear(3, 4))
    (m(T.ones(1, 3)) - m(T.ones(1, 3) * 2)).sum().backward()
    return [m.parametrizations.weight.original.grad]


@scenario
def rnn(T):
    """A recurrent layer's weight, computed once per forward."""
    m = T.nn.utils.parametrizations.orthogonal(T.nn.RNNCell(3, 3), "weight_hh")
    h = T.zeros(1, 3)
    with T.nn.utils.parametrize.cached():
        for _ in range(3):
            h = m(T.ones(1, 3), h)
        h.sum().backward()
    return [h, {n: p.grad for n, p in m.named_parameters()}]


@scenario
def spectral_vector(T):
    m = T.nn.Linear(3, 4)
    T.nn.utils.parametrizations.spectral_norm(m, "bias")
    return [repr(m), state(m), m.bias, train(T, m, T.ones(2, 3))]


def errors():
    p = lambda T: T.nn.utils.parametrizations  # noqa: E731
    u = lambda T: T.nn.utils  # noqa: E731
    lazy = lambda T: T.nn.LazyLinear(3)  # noqa: E731
    linear = lambda T: T.nn.Linear(3, 4)  # noqa: E731
    none = lambda T: T.nn.Linear(3, 4, bias=False)  # noqa: E731
    return {
        "orthogonal-name": lambda T: p(T).orthogonal(linear(T), "foo"),
        "orthogonal-vector": lambda T: p(T).orthogonal(linear(T), "bias"),
        "orthogonal-map": lambda T: p(T).orthogonal(linear(T), "weight", "foo"),
        "orthogonal-assign": lambda T: setattr(p(T).orthogonal(linear(T)), "weight", T.ones(2, 2)),
        "spectral-name": lambda T: p(T).spectral_norm(linear(T), "foo"),
        "spectral-dim": lambda T: p(T).spectral_norm(linear(T), dim=2),
        "spectral-steps": lambda T: p(T).spectral_norm(linear(T), n_power_iterations=0),
        "weight-name": lambda T: p(T).weight_norm(linear(T), "foo"),
        "old-spectral-twice": lambda T: u(T).spectral_norm(u(T).spectral_norm(linear(T))),
        "old-spectral-none": lambda T: u(T).spectral_norm(none(T), "bias"),
        "old-spectral-steps": lambda T: u(T).spectral_norm(linear(T), n_power_iterations=0),
        "old-spectral-lazy": lambda T: u(T).spectral_norm(lazy(T)),
        "old-spectral-remove": lambda T: u(T).remove_spectral_norm(linear(T)),
        "old-weight-twice": lambda T: u(T).weight_norm(u(T).weight_norm(linear(T))),
        "old-weight-lazy": lambda T: u(T).weight_norm(lazy(T)),
        "old-weight-remove": lambda T: u(T).remove_weight_norm(linear(T)),
    }


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(name):
    """The same module, values, state and gradients as with PyTorch."""
    same(SCENARIOS[name], tolerance=TOLERANCE | dict(atol=1e-4))


@pytest.mark.parametrize("name", errors())
def test_error(name):
    """PyTorch's exception, message and warnings."""
    same(errors()[name])


def test_removed_spectral_norm_leaves_no_hook():
    """After removal the state loads again (PyTorch leaves a hook behind that asks for the old keys)."""
    import rushlight as rl

    m = rl.nn.utils.remove_spectral_norm(rl.nn.utils.spectral_norm(rl.nn.Linear(3, 4)))
    assert not m._load_state_dict_pre_hooks
    m.load_state_dict(m.state_dict())
