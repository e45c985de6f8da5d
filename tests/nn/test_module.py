"""Module: registration, walking, state dicts, hooks, conversion, repr; beside PyTorch wherever both can do it."""

from __future__ import annotations

import copy
import pickle
import re

import pytest
import torch

import rushlight
from rushlight import nn

LIBRARIES = pytest.mark.parametrize("T", [torch, rushlight], ids=["torch", "rushlight"])


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 2)
        self.register_buffer("count", rushlight.zeros(2))
        self.register_buffer("cache", rushlight.ones(1), persistent=False)
        self.body = nn.Sequential(nn.Linear(2, 2), nn.ReLU())

    def forward(self, x, scale=1.0):
        return self.body(self.fc(x)) * scale + self.count


def net_like(T):
    """The same model in either library."""

    class Net(T.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = T.nn.Linear(3, 2)
            self.register_buffer("count", T.zeros(2))
            self.register_buffer("cache", T.ones(1), persistent=False)
            self.shared = self.fc
            self.body = T.nn.Sequential(T.nn.Linear(2, 2), T.nn.ReLU(), self.fc)

        def forward(self, x):
            return self.body[1](self.body[0](self.fc(x)))

    return Net()


def both(fn):
    """fn of each library; asserts that they agree and returns the result."""
    want, got = fn(torch), fn(rushlight)
    assert got == want
    return got


def raised(T, fn):
    try:
        fn(T)
    except Exception as e:  # noqa: BLE001 - compared with the other library's
        return type(e).__name__, str(e).replace("rushlight", "torch")
    return None


WALKS = {
    "repr": lambda m: repr(m),
    "parameters": lambda m: [n for n, _ in m.named_parameters()],
    "duplicates": lambda m: [n for n, _ in m.named_parameters(remove_duplicate=False)],
    "flat": lambda m: [n for n, _ in m.named_parameters(recurse=False, prefix="p")],
    "buffers": lambda m: [n for n, _ in m.named_buffers()],
    "modules": lambda m: [(n, type(x).__name__) for n, x in m.named_modules(prefix="root")],
    "all modules": lambda m: [n for n, _ in m.named_modules(remove_duplicate=False)],
    "children": lambda m: [n for n, _ in m.named_children()],
    "state": lambda m: list(m.state_dict(prefix="a.")),
    "metadata": lambda m: dict(m.state_dict()._metadata),
    "training": lambda m: [x.training for x in m.eval().modules()],
    "apply": lambda m: (seen := [], m.apply(lambda x: seen.append(type(x).__name__)))[0],
    "dir": lambda m: [n for n in dir(m) if n in ("fc", "count", "body", "training", "forward", "0")],
    "submodule": lambda m: repr(m.get_submodule("body.0")),
    "double": lambda m: [str(p.dtype) for p in m.double().parameters()],
    "requires": lambda m: [p.requires_grad for p in m.requires_grad_(False).parameters()],
    "count": lambda m: (sum(p.numel() for p in m.parameters()), len(list(m.modules())), len(list(m.children()))),
}


@pytest.mark.parametrize("walk", WALKS)
def test_walk(walk):
    """What walking a model gives."""
    both(lambda T: WALKS[walk](net_like(T)))


def bad_super(T):
    class Bad(T.nn.Module):
        def __init__(self):
            self.p = T.nn.Parameter(T.ones(1))

    return Bad()


def bad_super_module(T):
    class Bad(T.nn.Module):
        def __init__(self):
            self.m = T.nn.ReLU()

    return Bad()


def load(state, **kw):
    def call(T):
        layer = T.nn.Linear(3, 2)
        made = {k: v(T) if callable(v) else v for k, v in state.items()} if isinstance(state, dict) else state
        return layer.load_state_dict(made, **kw)

    return call


def weight(*shape):
    return lambda T: T.zeros(*shape)


def assign(name, value):
    return lambda T: setattr(net_like(T), name, value(T) if callable(value) else value)


ERRORS = {
    "tensor as parameter": lambda T: setattr(T.nn.Linear(2, 2), "weight", T.ones(2, 2)),
    "number as parameter": lambda T: setattr(T.nn.Linear(2, 2), "weight", 3),
    "tensor as module": assign("fc", weight(2)),
    "string as buffer": assign("count", "x"),
    "missing": lambda T: net_like(T).foo,
    "parameters before init": bad_super,
    "module before init": bad_super_module,
    "keyword": lambda T: T.nn.Module(foo=1),
    "positional": lambda T: T.nn.Module(1),
    "keyword of layer": lambda T: type("Net", (T.nn.Module,), {})(foo=1),
    "no forward": lambda T: T.nn.Module()(1),
    "parameter name": lambda T: T.nn.Module().register_parameter("a.b", None),
    "empty name": lambda T: T.nn.Module().register_parameter("", None),
    "int name": lambda T: T.nn.Module().register_parameter(1, None),
    "taken": lambda T: net_like(T).register_parameter("fc", None),
    "not a parameter": lambda T: T.nn.Module().register_parameter("a", T.ones(1)),
    "non-leaf": lambda T: T.nn.Module().register_parameter("a", T.nn.Parameter(T.ones(1)) * 2),
    "buffer name": lambda T: T.nn.Module().register_buffer("a.b", None),
    "buffer taken": lambda T: net_like(T).register_buffer("fc", None),
    "buffer type": lambda T: T.nn.Module().register_buffer("a", 3),
    "module name": lambda T: T.nn.Module().add_module("a.b", T.nn.ReLU()),
    "module empty": lambda T: T.nn.Module().add_module("", T.nn.ReLU()),
    "module type": lambda T: T.nn.Module().add_module("a", 3),
    "module taken": lambda T: net_like(T).add_module("count", T.nn.ReLU()),
    "submodule": lambda T: net_like(T).get_submodule("body.7"),
    "not a module": lambda T: net_like(T).get_submodule("count"),
    "get parameter": lambda T: net_like(T).get_parameter("fc.foo"),
    "not parameter": lambda T: net_like(T).get_parameter("count"),
    "not buffer": lambda T: net_like(T).get_buffer("fc.weight"),
    "set nothing": lambda T: net_like(T).set_submodule("", T.nn.ReLU()),
    "train": lambda T: net_like(T).train(1),
    "int dtype": lambda T: net_like(T).to(T.int64),
    "cuda": lambda T: T.nn.Linear(1, 1).cuda(),
    "delete": lambda T: delattr(net_like(T), "foo"),
    "integer parameter": lambda T: T.nn.Parameter(T.tensor([1, 2])),
    "load list": lambda T: T.nn.Linear(3, 2).load_state_dict([1]),
    "load missing": load({"weight": weight(2, 3)}),
    "load unexpected": load({"weight": weight(2, 3), "bias": weight(2), "bas": weight(2), "x.y": weight(1)}),
    "load all": load({"weight": weight(2, 2), "bas": weight(2)}),
    "load loose": load({"weight": weight(3, 3)}, strict=False),
    "load number": load({"weight": 3, "bias": weight(2)}),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    """The exception and its whole text."""
    want = raised(torch, ERRORS[name])
    assert want is not None
    got = raised(rushlight, ERRORS[name])
    assert got is not None, f"nothing raised; PyTorch: {want}"
    assert (got[0], got[1].splitlines()[0]) == (want[0], want[1].splitlines()[0])
    assert got[1] == want[1]


def test_load_results():
    """What load_state_dict returns and prints."""
    model = Net()
    result = model.load_state_dict(model.state_dict())
    assert repr(result) == "<All keys matched successfully>"
    result = nn.Linear(3, 2).load_state_dict({"weight": rushlight.zeros(2, 3)}, strict=False)
    assert repr(result) == "_IncompatibleKeys(missing_keys=['bias'], unexpected_keys=[])"


def test_load_copies_and_assigns():
    """Loading writes into the parameters; assign=True takes the given tensors over."""
    layer, weight = nn.Linear(2, 2), rushlight.ones(2, 2)
    before = layer.weight
    layer.load_state_dict({"weight": weight, "bias": rushlight.zeros(2)})
    assert layer.weight is before and layer.weight.tolist() == weight.tolist()
    assert layer.weight.data_ptr() != weight.data_ptr()
    layer.load_state_dict({"weight": weight, "bias": rushlight.zeros(2)}, assign=True)
    assert layer.weight.data_ptr() == weight.data_ptr() and isinstance(layer.weight, nn.Parameter)


def test_state_dict_shares_memory():
    """state_dict holds the parameters' memory, without history."""
    layer = nn.Linear(2, 2)
    state = layer.state_dict()
    assert state["weight"].data_ptr() == layer.weight.data_ptr() and not state["weight"].requires_grad
    assert layer.state_dict(keep_vars=True)["weight"] is layer.weight


def test_extra_state():
    """get_extra_state and set_extra_state take part in the state dict."""

    class Counter(nn.Module):
        n = 1

        def get_extra_state(self):
            return {"n": self.n}

        def set_extra_state(self, state):
            self.n = state["n"]

    a, b = nn.Sequential(Counter()), nn.Sequential(Counter())
    a[0].n = 5
    assert list(a.state_dict()) == ["0._extra_state"]
    b.load_state_dict(a.state_dict())
    assert b[0].n == 5
    with pytest.raises(RuntimeError, match=re.escape('Missing key(s) in state_dict: "0._extra_state". ')):
        b.load_state_dict({})


@LIBRARIES
def test_state_hooks(T):
    """Hooks around saving and loading are called with PyTorch's arguments."""
    seen = []
    m = T.nn.Linear(2, 2)
    m.register_state_dict_pre_hook(lambda mod, prefix, keep: seen.append(("pre", prefix, keep)))
    m.register_state_dict_post_hook(lambda mod, sd, prefix, meta: seen.append(("post", list(sd), prefix)))
    m.register_load_state_dict_pre_hook(lambda mod, sd, *rest: seen.append(("load", mod is m, len(rest))))
    m.register_load_state_dict_post_hook(lambda mod, keys: keys.missing_keys.clear())
    state = m.state_dict()
    m.load_state_dict({"weight": state["weight"]})
    assert seen == [("pre", "", False), ("post", ["weight", "bias"], ""), ("load", True, 6)]


@LIBRARIES
def test_forward_hooks(T):
    """Forward hooks see and replace arguments and results, in order, with and without keywords."""
    seen = []

    class Twice(T.nn.Module):
        def forward(self, x, scale=2.0):
            return x * scale

    m, x = Twice(), T.ones(1)
    handles = [
        m.register_forward_pre_hook(lambda mod, args: seen.append("pre")),
        m.register_forward_pre_hook(lambda mod, args: (args[0] + 1,), prepend=True),
        m.register_forward_pre_hook(lambda mod, args, kw: (args, {"scale": kw.get("scale", 3.0)}), with_kwargs=True),
        m.register_forward_hook(lambda mod, args, out: seen.append(("post", args[0].item(), out.item()))),
        m.register_forward_hook(lambda mod, args, kw, out: out * kw["scale"], with_kwargs=True),
    ]
    assert m(x).item() == 18.0
    assert seen == ["pre", ("post", 2.0, 6.0)]
    for h in handles:
        h.remove()
    assert m(x).item() == 2.0
    with m.register_forward_hook(lambda mod, args, out: out + 1):
        assert m(x).item() == 3.0
    assert m(x).item() == 2.0


@LIBRARIES
def test_always_call(T):
    """A hook with always_call=True runs even if the forward raises."""
    seen = []

    class Fails(T.nn.Module):
        def forward(self, x):
            raise KeyError("no")

    m = Fails()
    m.register_forward_hook(lambda mod, args, out: seen.append(out), always_call=True)
    with pytest.raises(KeyError):
        m(1)
    assert seen == [None]


@LIBRARIES
def test_backward_hooks(T):
    """Full backward hooks see the gradients of inputs and outputs, and may replace them."""
    seen = []

    class Product(T.nn.Module):
        def forward(self, a, b):
            return a * b

    m = Product()
    m.register_full_backward_pre_hook(lambda mod, grad_out: (grad_out[0] * 2,))
    m.register_full_backward_hook(lambda mod, gi, go: seen.append(([None if g is None else g.item() for g in gi], go[0].item())))
    m.register_full_backward_hook(lambda mod, gi, go: (gi[0] * 10, None))
    a = T.tensor(3.0, requires_grad=True)
    m(a, T.tensor(5.0)).backward()
    assert seen == [([10.0, 0.0], 2.0)]
    assert a.grad.item() == 100.0


@LIBRARIES
def test_backward_hook_without_input_gradients(T):
    """A hook on a module none of whose inputs needs a gradient says so and still fires."""
    seen = []
    m = T.nn.Linear(2, 1)
    m.register_full_backward_hook(lambda mod, gi, go: seen.append((gi, tuple(go[0].shape))))
    with pytest.warns(UserWarning, match="Full backward hook is firing when gradients are computed with respect"):
        m(T.ones(1, 2)).sum().backward()
    assert seen == [((None,), (1, 1))]


@LIBRARIES
def test_global_hooks(T):
    """Global hooks run for every module, and can be removed."""
    module = T.nn.modules.module if T is torch else rushlight.nn.modules._module_hooks
    seen = []
    handles = [module.register_module_forward_hook(lambda m, a, o: seen.append(type(m).__name__)),
               module.register_module_forward_pre_hook(lambda m, a: seen.append("pre"))]  # fmt: skip
    net = T.nn.Sequential(T.nn.ReLU(), T.nn.Tanh())
    net(T.ones(1))
    for h in handles:
        h.remove()
    assert seen == ["pre", "pre", "ReLU", "pre", "Tanh", "Sequential"]
    net(T.ones(1))
    assert len(seen) == 6


def test_mixed_backward_hooks():
    """The two kinds of backward hooks exclude each other."""
    m = nn.ReLU()
    m.register_full_backward_hook(lambda *a: None)
    with pytest.raises(RuntimeError, match="Cannot use both regular backward hooks and full backward hooks on a single Module"):
        m.register_backward_hook(lambda *a: None)


def test_hooked_flag_resets():
    """After the last hook is gone a call takes the short way again."""
    m = nn.ReLU()
    handle = m.register_forward_hook(lambda *a: None)
    assert m._hooked
    handle.remove()
    m(rushlight.ones(1))
    assert not m._hooked


def test_copies():
    """deepcopy and pickle keep parameters, buffers, hooks and flags, and share nothing."""
    model = Net().eval()
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert list(other.state_dict()) == list(model.state_dict())
        assert isinstance(other.fc.weight, nn.Parameter) and other.fc.weight.requires_grad
        assert other.fc.weight.tolist() == model.fc.weight.tolist()
        assert other.fc.weight.data_ptr() != model.fc.weight.data_ptr()
        assert not other.training and other.cache.tolist() == [1.0]


def test_conversion_keeps_objects():
    """Casting keeps the parameters' identity, so optimizers keep working, and casts gradients with them."""
    m = nn.Linear(2, 2)
    w = m.weight
    m(rushlight.ones(1, 2)).sum().backward()
    m.double()
    assert m.weight is w and w.dtype is rushlight.float64 and w.grad.dtype is rushlight.float64
    assert m.to(rushlight.float32) is m and w.dtype is rushlight.float32


def test_zero_grad():
    """zero_grad removes gradients, or fills them with zeros."""
    m = nn.Linear(2, 1)
    m(rushlight.ones(1, 2)).sum().backward()
    m.zero_grad(set_to_none=False)
    assert m.weight.grad.tolist() == [[0.0, 0.0]]
    m.zero_grad()
    assert m.weight.grad is None


def test_assignment_rules():
    """Parameters, modules and buffers replace each other under one name; None keeps the name."""
    m = nn.Module()
    m.a = nn.Parameter(rushlight.ones(1))
    m.a = None
    assert "a" in m._parameters and m.a is None
    m.b = nn.ReLU()
    m.b = nn.Parameter(rushlight.ones(1))
    assert "b" not in m._modules and list(m._parameters) == ["a", "b"]
    m.c = nn.Buffer(rushlight.ones(1), persistent=False)
    assert list(m._buffers) == ["c"] and list(m.state_dict()) == ["b"]
    m.c = rushlight.zeros(2)
    assert m.c.shape == (2,) and "c" in m._non_persistent_buffers_set
    m.d = rushlight.ones(1)
    assert "d" in m.__dict__
    del m.b
    assert not hasattr(m, "b")


def test_parameter():
    """Parameter: repr, isinstance, shared memory, flag for subclasses of Tensor."""
    data = rushlight.tensor([1.0, 2.0])
    p = nn.Parameter(data)
    assert repr(p) == "Parameter containing:\ntensor([1., 2.], requires_grad=True)"
    assert isinstance(p, rushlight.Tensor) and p.requires_grad and p.is_leaf and p.data_ptr() == data.data_ptr()
    assert not isinstance(data, nn.Parameter)
    assert nn.Parameter().shape == (0,)
    assert not nn.Parameter(data, requires_grad=False).requires_grad

    class Special(rushlight.Tensor):
        pass

    special = nn.Parameter(data.as_subclass(Special)) if hasattr(data, "as_subclass") else None
    assert special is None or (isinstance(special, nn.Parameter) and type(special) is Special)


def test_errors_name_the_layer():
    """An error in a forward keeps PyTorch's text and gets a note with the layer's path, its repr and what it was given."""

    class LeNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Sequential(nn.ReLU(), nn.Linear(400, 120))

        def forward(self, x):
            return self.head(x)

    with pytest.raises(RuntimeError) as info:
        LeNet()(rushlight.ones(64, 256))
    assert str(info.value) == "mat1 and mat2 shapes cannot be multiplied (64x256 and 400x120)"
    note = "in LeNet.head.1: Linear(in_features=400, out_features=120, bias=True), called with [64, 256]"
    assert info.value.__notes__ == [note]


def test_call_super_init():
    """call_super_init passes arguments on to the next class."""

    class Other:
        def __init__(self, value):
            self.value = value

    class Both(nn.Module, Other):
        call_super_init = True

    assert Both(7).value == 7
