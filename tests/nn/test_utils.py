"""nn.utils: fusion of batch norms, layers without initial values, memory formats; calls with other parameters; DataParallel."""

from __future__ import annotations

import copy

import pytest
import torch

import rushlight

from .scenario import same, state, table, train

SCENARIOS, scenario = table()


def settled(T, bn):
    """A batch norm with statistics and weights that are not the initial ones."""
    for i, t in enumerate(bn.state_dict().values()):
        if t.is_floating_point():
            t.copy_(T.linspace(0.5 + i, 1.5 + i, t.numel()))
    return bn.eval()


# -- fusion -----------------------------------------------------------------------------------------------------------------

CONVS = ["Conv1d(2, 4, 3)", "Conv2d(2, 4, 3, bias=False)", "Conv2d(4, 4, 3, groups=2)", "Conv3d(2, 4, 2)",
         "ConvTranspose2d(2, 4, 3)"]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("source", CONVS)
def test_fuse_conv(source, affine, dtype):
    """The fused convolution computes what both layers computed."""

    def run(T):
        conv = eval(f"nn.{source}", {"nn": T.nn}).eval()  # noqa: S307
        rank = conv.weight.dim() - 2
        bn = settled(T, getattr(T.nn, f"BatchNorm{rank}d")(4, affine=affine))
        conv, bn = conv.to(getattr(T, dtype)), bn.to(getattr(T, dtype))
        fused = T.nn.utils.fuse_conv_bn_eval(conv, bn, transpose="Transpose" in source)
        x = T.randn(2, conv.in_channels, *[5] * rank, dtype=getattr(T, dtype))
        assert (fused(x) - bn(conv(x))).abs().max() < 1e-4
        return [repr(fused), state(fused), fused(x), fused.weight.requires_grad, fused.bias.requires_grad, state(conv)]

    same(run)


@pytest.mark.parametrize("features", [4, 1])
@pytest.mark.parametrize("bias", [True, False])
def test_fuse_linear(bias, features):
    """The fused linear layer computes what both layers computed."""

    def run(T):
        linear, bn = T.nn.Linear(3, 4, bias=bias).eval(), settled(T, T.nn.BatchNorm1d(features))
        fused = T.nn.utils.fuse_linear_bn_eval(linear, bn)
        return [repr(fused), state(fused), fused(T.ones(2, 3)), fused.bias.requires_grad]

    same(run)


@scenario
def frozen_layers_stay_frozen(T):
    conv, bn = T.nn.Conv2d(2, 3, 3).eval().requires_grad_(False), settled(T, T.nn.BatchNorm2d(3))
    fused = T.nn.utils.fuse_conv_bn_eval(conv, bn)
    return [fused.weight.requires_grad, fused.bias.requires_grad, fused.weight.is_leaf]


@scenario
def half_weights(T):
    out = T.nn.utils.fuse_conv_bn_weights(T.ones(3, 2, 1, 1).bfloat16(), None, T.ones(3), T.ones(3), 1e-5, None, None)
    return [[t.dtype == T.bfloat16 for t in out], *[t.float() for t in out]]


# -- without initial values --------------------------------------------------------------------------------------------------


@scenario
def skip_init(T):
    """Shapes and dtypes are there, and no random number was drawn."""
    make, before = T.nn.utils.skip_init, T.get_rng_state()
    out = []
    for layer in (make(T.nn.Linear, 3, 4), make(T.nn.Conv2d, 2, 3, kernel_size=3, dtype=T.float64), make(T.nn.LSTM, 3, 4),
                  make(T.nn.MultiheadAttention, 4, 2), make(T.nn.Linear, 3, 4, bias=False, device="cpu")):  # fmt: skip
        out.append([repr(layer), {k: [list(v.shape), str(v.dtype)] for k, v in layer.state_dict().items()}])
        out.append([p.requires_grad for p in layer.parameters()])
    return [*out, bool((T.get_rng_state() == before).all()), T.nn.Linear(3, 4).weight]


# -- memory formats ----------------------------------------------------------------------------------------------------------


@scenario
def memory_format(T):
    m = T.nn.Sequential(T.nn.Conv2d(2, 3, 3), T.nn.Sequential(T.nn.ConvTranspose2d(3, 2, 3), T.nn.Conv3d(2, 2, 2)))
    weight = m[0].weight
    out = [T.nn.utils.convert_conv2d_weight_memory_format(m, T.channels_last) is m, state(m), m[0].weight is weight]
    out += [T.nn.utils.convert_conv3d_weight_memory_format(m, T.channels_last_3d) is m, state(m)]
    return [*out, m[0](T.ones(1, 2, 4, 4)), train(T, m[0], T.ones(1, 2, 4, 4)), str(T.channels_last_3d)]


# -- calls with other parameters ---------------------------------------------------------------------------------------------


class_of = lambda T: type("Tied", (T.nn.Module,), {"forward": lambda self, x: self.b(self.a(x))})  # noqa: E731


def tied(T):
    m = class_of(T)()
    m.a, m.b = T.nn.Linear(3, 3), T.nn.Linear(3, 3)
    m.b.weight = m.a.weight
    return m


def ones_for(T, m):
    return {n: T.ones_like(p) for n, p in m.named_parameters()}


@scenario
def functional_call(T):
    m, x = T.nn.Sequential(T.nn.Linear(3, 4), T.nn.Tanh(), T.nn.Linear(4, 1)), T.ones(2, 3)
    before, given = copy.deepcopy(m.state_dict()), ones_for(T, m)
    w = T.full((4, 3), 0.1, requires_grad=True)
    y = T.func.functional_call(m, {**given, "0.weight": w}, (x,))
    y.sum().backward()
    return [y, w.grad, [p.grad is None for p in m.parameters()], dict(before), state(m), T.func.functional_call(m, {}, x),
            T.func.functional_call(m, {"2.bias": T.zeros(1)}, x), T.func.functional_call(m, [given, {}], (x,)),
            T.func.functional_call(m, given, None, {"input": x}), type(m[0].weight) is T.nn.Parameter]  # fmt: skip


@scenario
def functional_call_updates_buffers_of_the_dict(T):
    m = T.nn.BatchNorm1d(3)
    given = {n: b.clone() for n, b in m.named_buffers()}
    y = T.func.functional_call(m, given, (T.arange(6.0).reshape(2, 3),))
    return [y, given, state(m)]


@scenario
def functional_call_replaces_a_reassigned_buffer(T):
    class Counts(T.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("count", T.zeros(1))

        def forward(self, x):
            self.count = self.count + 1
            return x + self.count

    m, given = Counts(), {"count": T.full((1,), 4.0)}
    return [T.func.functional_call(m, given, (T.zeros(1),)), given, state(m)]


@scenario
def functional_call_ties(T):
    m, x, one = tied(T), T.ones(1, 3), {"a.weight": T.ones(3, 3)}
    return [T.func.functional_call(m, one, x), T.func.functional_call(m, one, x, tie_weights=False),
            T.func.functional_call(m, {"b.weight": T.ones(3, 3)}, x),
            T.func.functional_call(m, {**one, "b.weight": T.zeros(3, 3)}, x, tie_weights=False),
            m.a.weight is m.b.weight]  # fmt: skip


@scenario
def functional_call_after_an_error(T):
    """The module has its own tensors again."""
    m, w = T.nn.Linear(3, 4), None
    w, message = m.weight, None
    try:
        T.func.functional_call(m, {"weight": T.ones(2, 2)}, T.ones(1, 3))
    except RuntimeError:
        message = "raised"
    return [message, m.weight is w]


@scenario
def functional_call_of_a_parametrized_module(T):
    m = T.nn.utils.parametrizations.weight_norm(T.nn.Linear(3, 4))
    g = T.full((4, 1), 2.0)
    return [T.func.functional_call(m, {"parametrizations.weight.original0": g}, T.ones(1, 3))]


@scenario
def stateless(T):
    m = T.nn.Linear(3, 4)
    return [T.nn.utils.stateless.functional_call(m, {"bias": T.zeros(4)}, T.ones(1, 3))]


@scenario
def stack_module_state(T):
    models = [T.nn.Sequential(T.nn.Linear(3, 4), T.nn.BatchNorm1d(4)) for _ in range(3)]
    params, buffers = T.func.stack_module_state(models)
    return [params, buffers, [p.is_leaf for p in params.values()]]


def func_errors():
    f = lambda T: T.func  # noqa: E731
    x = lambda T: T.ones(1, 3)  # noqa: E731
    linear = lambda T: T.nn.Linear(3, 4)  # noqa: E731
    return {
        "ties": lambda T: f(T).functional_call(tied(T), {"a.weight": T.ones(3, 3), "b.weight": T.zeros(3, 3)}, x(T)),
        "strict": lambda T: f(T).functional_call(linear(T), {"weight": T.ones(4, 3), "foo": T.ones(1)}, x(T), strict=True),
        "missing": lambda T: f(T).functional_call(linear(T), {"foo.bar": T.ones(1)}, x(T)),
        "number": lambda T: f(T).functional_call(linear(T), {"weight": 3}, x(T)),
        "twice": lambda T: f(T).functional_call(linear(T), [{"bias": T.ones(4)}, {"bias": T.ones(4)}], x(T)),
        "no-dicts": lambda T: f(T).functional_call(linear(T), [3], x(T)),
        "no-dict": lambda T: f(T).functional_call(linear(T), 3, x(T)),
        "data-parallel": lambda T: f(T).functional_call(T.nn.DataParallel(linear(T)), {}, x(T)),
        "stack-none": lambda T: f(T).stack_module_state([]),
        "stack-modes": lambda T: f(T).stack_module_state([linear(T), linear(T).eval()]),
        "stack-types": lambda T: f(T).stack_module_state([linear(T), T.nn.ReLU()]),
        "stack-frozen": lambda T: f(T).stack_module_state([linear(T), linear(T).requires_grad_(False)]),
        "fuse-training": lambda T: T.nn.utils.fuse_conv_bn_eval(T.nn.Conv1d(1, 1, 1), T.nn.BatchNorm1d(1)),
        "fuse-statistics": lambda T: T.nn.utils.fuse_conv_bn_eval(T.nn.Conv1d(1, 1, 1).eval(), T.nn.BatchNorm1d(
            1, track_running_stats=False).eval()),
        "fuse-features": lambda T: T.nn.utils.fuse_linear_bn_eval(linear(T).eval(), T.nn.BatchNorm1d(3).eval()),
        "skip-no-module": lambda T: T.nn.utils.skip_init(dict),
        "skip-no-device": lambda T: T.nn.utils.skip_init(T.nn.ReLU),
        "factory-key": lambda T: T.nn.factory_kwargs({"foo": 1}),
        "factory-twice": lambda T: T.nn.factory_kwargs({"dtype": T.float64, "factory_kwargs": {"dtype": T.float32}}),
    }  # fmt: skip


# -- containers that pass everything on ---------------------------------------------------------------------------------------


@scenario
def data_parallel(T):
    m = T.nn.DataParallel(T.nn.Linear(3, 4), device_ids=[0, 1], output_device=0)
    return [repr(m), state(m), m(T.ones(2, 3)), m(input=T.ones(2, 3)), m.device_ids, train(T, m, T.ones(2, 3))]


@scenario
def data_parallel_function(T):
    T.nn.parallel.data_parallel(T.nn.Linear(3, 4), T.ones(2, 3))


@scenario
def container(T):
    m = T.nn.Container(a=T.nn.Linear(2, 2), b=T.nn.ReLU())
    return [repr(m), state(m)]


@scenario
def factory_kwargs(T):
    f = T.nn.factory_kwargs
    return [f(None), f({}), sorted(f({"dtype": T.float64, "device": None}).items(), key=str)[0][0],
            sorted(f({"device": "cpu", "factory_kwargs": {"dtype": 1}}).items())]  # fmt: skip


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(name):
    """The same values, state and warnings as with PyTorch."""
    same(SCENARIOS[name])


@pytest.mark.parametrize("name", func_errors())
def test_error(name):
    """PyTorch's exception and message; of the layer's own note below it only the first line counts."""
    same(func_errors()[name])


def test_memory_format_of_a_tensor():
    """`is_contiguous` says which format the strides follow."""
    for T in (torch, rushlight):
        x = T.zeros(2, 3, 4, 5, 6)
        assert x.is_contiguous() and not x.is_contiguous(memory_format=T.channels_last_3d)
        assert x.permute(0, 4, 1, 2, 3).is_contiguous(memory_format=T.channels_last_3d)
        assert x[:, :, 0].permute(0, 3, 1, 2).is_contiguous(memory_format=T.channels_last) is False
