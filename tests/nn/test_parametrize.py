"""nn.utils.parametrize: tensors computed from others whenever they are read."""

from __future__ import annotations

import copy
import pickle

import pytest

from .scenario import same, state, table, train

SCENARIOS, scenario = table()


def parts(T):
    """Parametrizations to play with."""

    class Symmetric(T.nn.Module):
        def forward(self, X):
            return X.triu() + X.triu(1).mT

        def right_inverse(self, A):
            return A.triu()

    class Double(T.nn.Module):
        def forward(self, X):
            return 2 * X

        def right_inverse(self, A):
            return A / 2

    class NoInverse(T.nn.Module):
        def forward(self, X):
            return X.tanh()

    class Refuses(NoInverse):
        def right_inverse(self, A):
            raise NotImplementedError

    class RankOne(T.nn.Module):
        def forward(self, x, y):
            return x.unsqueeze(-1) @ y.unsqueeze(-2)

        def right_inverse(self, Z):
            return Z[..., 0] * 1.0, Z[..., 0, :] * 1.0

    class Returns(T.nn.Module):
        """forward and right_inverse as given."""

        def __init__(self, there, back=None):
            super().__init__()
            self.there = there
            if back is not None:
                self.right_inverse = back

        def forward(self, *xs):
            return self.there(*xs)

    return dict(Symmetric=Symmetric, Double=Double, NoInverse=NoInverse, Refuses=Refuses, RankOne=RankOne, Returns=Returns)


def P(T):
    return T.nn.utils.parametrize


@scenario
def one(T):
    """Registering, training, repr, state, removal."""
    m = T.nn.Linear(3, 3)
    optimizer = T.optim.SGD(m.parameters(), lr=0.1)
    out = P(T).register_parametrization(m, "weight", parts(T)["Symmetric"]())
    first = [out is m, m.weight, repr(m), type(m).__name__, P(T).type_before_parametrizations(m) is T.nn.Linear]
    first += [P(T).is_parametrized(m), P(T).is_parametrized(m, "weight"), P(T).is_parametrized(m, "bias"), list(m._parameters)]
    # The original is the parameter that the optimizer holds.
    m(T.ones(2, 3)).sum().backward()
    optimizer.step()
    middle = [state(m), m.weight, train(T, m, T.ones(2, 3)), m.parametrizations.weight.is_tensor, m.parametrizations.weight.unsafe]
    P(T).remove_parametrizations(m, "weight")
    return first + middle + [repr(m), state(m), type(m) is T.nn.Linear, list(m._parameters), hasattr(m, "parametrizations")]


@scenario
def several(T):
    """Two on one tensor, one on another; removed one by one."""
    p, m = parts(T), T.nn.Linear(3, 3)
    P(T).register_parametrization(m, "weight", p["Symmetric"]())
    P(T).register_parametrization(m, "weight", p["Double"]())
    P(T).register_parametrization(m, "bias", p["NoInverse"]())
    out = [repr(m), state(m), m.weight, m.bias, train(T, m, T.ones(2, 3))]
    P(T).remove_parametrizations(m, "weight", leave_parametrized=False)
    out += [state(m), type(m).__name__, m.weight]
    P(T).remove_parametrizations(m, "bias", leave_parametrized=True)
    return out + [state(m), type(m).__name__]


@scenario
def several_originals(T):
    p, m = parts(T), T.nn.Linear(4, 3)
    P(T).register_parametrization(m, "weight", p["RankOne"](), unsafe=True)
    out = [repr(m), state(m), m.weight, train(T, m, T.ones(2, 4)), m.parametrizations.weight.ntensors, [n for n, _ in m.named_parameters()]]
    m.weight = T.ones(3, 4)
    out += [m.weight, state(m)]
    P(T).remove_parametrizations(m, "weight")
    return out + [state(m), type(m.weight) is T.nn.Parameter]


@scenario
def buffers(T):
    m = T.nn.BatchNorm1d(3)
    P(T).register_parametrization(m, "running_mean", parts(T)["Double"]())
    out = [repr(m), state(m), m.running_mean, list(m.parametrizations.running_mean._buffers)]
    P(T).remove_parametrizations(m, "running_mean")
    return out + [state(m)]


@scenario
def assignment(T):
    m = T.nn.Linear(3, 3)
    P(T).register_parametrization(m, "weight", parts(T)["Symmetric"]())
    original = m.parametrizations.weight.original
    A = T.arange(9.0).reshape(3, 3)
    m.weight = A + A.T
    return [m.weight, m.parametrizations.weight.original, m.parametrizations.weight.original is original]


@scenario
def cache(T):
    m, calls = T.nn.Linear(3, 3), []
    P(T).register_parametrization(m, "weight", parts(T)["Returns"](lambda x: calls.append(1) or x * 2))
    out = [m.weight is m.weight, len(calls)]
    with P(T).cached():
        with P(T).cached():
            w = m.weight
        out += [m.weight is w, len(calls)]
        m(T.ones(1, 3)).sum().backward()
    return out + [m.weight is w, len(calls), m.parametrizations.weight.original.grad]


@scenario
def deep_copy(T):
    m = T.nn.Sequential(T.nn.Linear(3, 3), T.nn.Linear(3, 3))
    P(T).register_parametrization(m[0], "weight", parts(T)["Symmetric"]())
    c = copy.deepcopy(m)
    before = [repr(c), state(c), type(c[0]) is type(m[0]), c[0].parametrizations.weight.original is m[0].parametrizations.weight.original]
    train(T, c, T.ones(2, 3))
    return before + [m[0].weight, c[0].weight]


@scenario
def pickling(T):
    m = T.nn.Linear(3, 3)
    P(T).register_parametrization(m, "weight", parts(T)["Symmetric"]())
    pickle.dumps(m)


@scenario
def loading(T):
    a, b = T.nn.Linear(3, 3), T.nn.Linear(3, 3)
    for m in (a, b):
        P(T).register_parametrization(m, "weight", parts(T)["Symmetric"]())
    before = b.weight
    return [before, str(b.load_state_dict(a.state_dict())), b.weight]


@scenario
def mode(T):
    p = parts(T)["Double"]()
    m = T.nn.Linear(3, 3).eval()
    P(T).register_parametrization(m, "weight", p)
    out = [p.training]
    m.train()
    return out + [p.training]


@scenario
def transfer(T):
    p, a, b, c = parts(T), T.nn.Linear(3, 3), T.nn.Linear(3, 3), T.nn.Module()
    P(T).register_parametrization(a, "weight", p["Symmetric"]())
    P(T).register_parametrization(a, "weight", p["Double"]())
    out = []
    for target in (b, c):
        done = P(T).transfer_parametrizations_and_params(a, target)
        out += [done is target, repr(target), state(target), target.weight,
                target.parametrizations.weight.original is a.parametrizations.weight.original]  # fmt: skip
    plain = T.nn.Linear(2, 2)
    return out + [P(T).transfer_parametrizations_and_params(plain, b) is b]


@scenario
def transfer_one_of_several_originals(T):
    a, b = T.nn.Linear(4, 3), T.nn.Linear(4, 3)
    P(T).register_parametrization(a, "weight", parts(T)["RankOne"](), unsafe=True)
    P(T).transfer_parametrizations_and_params(a, b, "weight")
    return [state(b), b.parametrizations.weight.original1 is a.parametrizations.weight.original1]


@scenario
def shape_change_when_unsafe(T):
    m = T.nn.Linear(3, 3)
    P(T).register_parametrization(m, "weight", parts(T)["Returns"](lambda x: x[:2]), unsafe=True)
    m.register_parameter("bias", None)
    return [m(T.ones(1, 3)), m.parametrizations.weight.unsafe]


@scenario
def frozen(T):
    m = T.nn.Linear(3, 3)
    m.weight.requires_grad_(False)
    P(T).register_parametrization(m, "weight", parts(T)["RankOne"](), unsafe=True)
    out = [m.weight, state(m)]
    P(T).remove_parametrizations(m, "weight")
    return out + [type(m.weight) is T.nn.Parameter, list(m._parameters), list(m._buffers)]


def registers(there, back=None, unsafe=False, name="weight", first=None):
    """A scenario that registers something wrong, alone or (`first`) after something right."""

    def run(T):
        p, m = parts(T), T.nn.Linear(3, 3)
        if first:
            P(T).register_parametrization(m, "weight", p[first]())
        own = back and (lambda x: back(T, x))
        P(T).register_parametrization(m, name, p["Returns"](lambda *xs: there(T, *xs), own), unsafe=unsafe)

    return run


def identity(T, *xs):
    return xs[0]


def is_removed(leave, name="weight", which="Symmetric", unsafe=False):
    def run(T):
        m = T.nn.Linear(3, 3)
        P(T).register_parametrization(m, "weight", parts(T)[which](), unsafe=unsafe)
        P(T).remove_parametrizations(m, name, leave_parametrized=leave)

    return run


def assigns(value, which):
    def run(T):
        m = T.nn.Linear(3, 3)
        P(T).register_parametrization(m, "weight", parts(T)[which](), unsafe=True)
        m.weight = value(T)

    return run


def assigns_to(there, back, value=lambda T: T.ones(3, 3)):
    """Assignment through a right_inverse that is right at first and wrong afterwards."""

    def run(T):
        m, calls = T.nn.Linear(3, 3), []
        once = lambda x: (back[0] if not calls else back[1])(T, x, calls.append(1))  # noqa: E731
        P(T).register_parametrization(m, "weight", parts(T)["Returns"](there, once), unsafe=True)
        m.weight = value(T)

    return run


ERRORS = {
    "no such tensor": registers(identity, name="foo"),
    "shape": registers(lambda T, x: x[:2]),
    "dtype": registers(lambda T, x: x.double()),
    "no tensor": registers(lambda T, x: None),
    "inverse of another dtype": registers(identity, lambda T, x: x.double()),
    "inverse that is no tensor": registers(identity, lambda T, x: 3),
    "inverse with a number": registers(identity, lambda T, x: [x, 3]),
    "second shape": registers(lambda T, x: x[:2], first="Symmetric"),
    "second dtype": registers(lambda T, x: x.double(), first="Symmetric"),
    "second no tensor": registers(lambda T, x: None, first="Symmetric"),
    "second inverse dtype": registers(identity, lambda T, x: x.double(), first="Symmetric"),
    "second inverse shape": registers(identity, lambda T, x: x[:2], first="Symmetric"),
    "second inverse no tensor": registers(identity, lambda T, x: [x], first="Symmetric"),
    "nothing to remove": is_removed(True, name="bias"),
    "several originals remain": is_removed(False, which="RankOne", unsafe=True),
    "assignment without inverse": assigns(lambda T: T.ones(3, 3), "NoInverse"),
    "assignment refused": assigns(lambda T: T.ones(3, 3), "Refuses"),
    "assignment of another dtype": assigns(lambda T: T.ones(3, 3).double(), "Double"),
    "assignment gives no tensor": assigns_to(lambda x: x, (lambda T, x, _: x, lambda T, x, _: 3)),
    "assignment gives no sequence": assigns_to(lambda x, y: x, (lambda T, x, _: (x * 1, x * 1), lambda T, x, _: 3)),
    "assignment gives too few": assigns_to(lambda x, y: x, (lambda T, x, _: (x * 1, x * 1), lambda T, x, _: (x,))),
    "assignment gives a number": assigns_to(lambda x, y: x, (lambda T, x, _: (x * 1, x * 1), lambda T, x, _: (x, 3))),
    "assignment of another dtype in part": assigns_to(lambda x, y: x, (lambda T, x, _: (x * 1, x * 1),
                                                                     lambda T, x, _: (x, x.double()))),
    "no modules": lambda T: P(T).ParametrizationList([], T.ones(3)),
    "a parameter assigned": assigns(lambda T: T.nn.Parameter(T.ones(3, 3)), "Symmetric"),
}  # fmt: skip


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(name):
    """The same module, values, state and gradients as with PyTorch."""
    same(SCENARIOS[name])


@pytest.mark.parametrize("name", ERRORS)
def test_error(name):
    """PyTorch's exception and message."""
    same(ERRORS[name])
