"""Every layer and every loss in a compiled training step: forward, backward and SGD, bit for bit what it is in eager mode."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn
from tests.nn import test_conv_layers, test_layers, test_rnn
from tests.ops.harness import Draw, Typed, build, flat

CALLS = 6  # one as it is, two recorded, three repetitions


def case(source, *shapes, inputs=None):
    """A layer as Python source on `nn` and `torch`, and what draws its inputs."""
    return source, inputs or (lambda r: tuple(r(*s) for s in shapes))


def _conv(name, args, kw, shape):
    return case(f"{name}({', '.join([*map(repr, args), *(f'{k}={v!r}' for k, v in kw.items())])})", shape)


def _rnn(source):
    return case(source, (2, 4, 3))


def _places(n):
    """Where the maxima came from, for an input of 2 in each of n dimensions."""
    return np.arange(2**n).reshape(1, 1, *(2,) * n).repeat(2, 1)


SEQUENCE = (5, 2, 8)
LAYER = "nn.TransformerEncoderLayer(8, 2, 16, {})"
DECODER = "nn.TransformerDecoderLayer(8, 2, 16, {})"

ORTHOGONAL = "parametrizations.orthogonal(nn.Linear(4, 4))"
BY_HOOK = ("weight_norm(nn.Linear(4, 3))", "spectral_norm(nn.Linear(4, 3))", "prune.l1_unstructured(nn.Linear(4, 3), 'weight', 2)")

CASES = [
    *[c.values[:2] for c in test_layers.CASES + test_layers.LOSSES],
    *[_conv(*layer) for layer in test_conv_layers.LAYERS],
    *map(_rnn, test_rnn.LAYERS),
    case("RNNCell(3, 4)", (2, 3)), case("LSTMCell(3, 4)", (2, 3)), case("GRUCell(3, 4)", (2, 3)),
    *[case(f"MaxUnpool{n}d(2)", inputs=lambda r, n=n: (r(1, 2, *(2,) * n), r.fixed(_places(n)))) for n in (1, 2, 3)],
    case("CTCLoss(zero_infinity=True)",
         inputs=lambda r: (r(6, 2, 5), r.integers(1, 5, 2, 3), r.integers(3, 7, 2), r.integers(1, 4, 2))),
    case("LinearCrossEntropyLoss(4, 3)", inputs=lambda r: (r(5, 4), r.integers(0, 3, 5))),
    case("AdaptiveLogSoftmaxWithLoss(4, 12, [3, 6])", inputs=lambda r: (r(5, 4), r.integers(0, 12, 5))),
    case("SyncBatchNorm(3)", (4, 3)), case("DataParallel(nn.Linear(3, 2))", (4, 3)),
    case("MultiheadAttention(8, 2)", SEQUENCE, SEQUENCE, SEQUENCE),
    case("MultiheadAttention(8, 2, 0.3, bias=False, add_bias_kv=True, add_zero_attn=True)", SEQUENCE, SEQUENCE, SEQUENCE),
    *[case(LAYER.format(a)[3:], SEQUENCE) for a in ("0.0", "0.2, 'gelu', norm_first=True")],
    *[case(DECODER.format(a)[3:], SEQUENCE, SEQUENCE) for a in ("0.0", "0.2")],
    *[case(f"TransformerEncoder({LAYER.format(p)}, 2)", SEQUENCE) for p in ("0.0", "0.2")],
    *[case(f"TransformerDecoder({DECODER.format(p)}, 2)", SEQUENCE, SEQUENCE) for p in ("0.0", "0.2")],
    case("Transformer(8, 2, 1, 1, 16)", SEQUENCE, SEQUENCE),
    # Embeddings whose table is changed before it is read, and bags of every kind.
    *[case(f"EmbeddingBag(6, 3, mode='{m}', padding_idx=1)", inputs=lambda r: (r.integers(0, 6, 7), r.fixed([0, 3, 3])))
      for m in ("sum", "mean", "max")],
    case("EmbeddingBag(6, 3, mode='sum', include_last_offset=True)",
         inputs=lambda r: (r.integers(0, 6, 7), r.fixed([0, 3, 7]), r(7))),
    case("EmbeddingBag(6, 3, max_norm=0.5, scale_grad_by_freq=True)", inputs=lambda r: (r.integers(0, 6, 4, 2),)),
    # Weights that are computed anew in each forward.
    *[case(f"utils.{u}", (2, 4)) for u in (
        "parametrizations.weight_norm(nn.Linear(4, 3))", "parametrizations.spectral_norm(nn.Linear(4, 3))", ORTHOGONAL, *BY_HOOK)],
    *[case(f"Lazy{name}", shape) for name, shape in (
        ("Linear(3)", (4, 3)), ("BatchNorm1d()", (4, 3)), ("BatchNorm2d()", (2, 3, 2, 2)), ("BatchNorm3d()", (2, 3, 2, 2, 2)),
        ("Conv1d(2, 2)", (2, 3, 4)), ("Conv2d(2, 2)", (2, 3, 4, 4)), ("Conv3d(2, 2)", (2, 3, 3, 3, 3)),
        ("ConvTranspose1d(2, 2)", (2, 3, 4)), ("ConvTranspose2d(2, 2)", (2, 3, 4, 4)), ("ConvTranspose3d(2, 2)", (2, 3, 3, 3, 3)),
        ("InstanceNorm1d()", (2, 3, 4)), ("InstanceNorm2d()", (2, 3, 2, 2)), ("InstanceNorm3d()", (2, 3, 2, 2, 2)))],
]  # fmt: skip

# Not layers: containers, bases, aliases.
ELSEWHERE = {
    "Module", "Container", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "RNNBase", "RNNCellBase", "NLLLoss2d",
}  # fmt: skip

# -> how the recording is refused, and why it has to be
REFUSED = {
    "AdaptiveLogSoftmaxWithLoss(4, 12, [3, 6])": ("a value was read", "values decide which rows go to which cluster"),
    f"utils.{ORTHOGONAL}": ("handed to NumPy", "NumPy computes the QR decomposition"),
}


class Net(nn.Module):
    """The layer after a product with a parameter, so that every layer has something to learn."""

    def __init__(self, source):
        super().__init__()
        self.layer = eval(f"nn.{source}", {"nn": nn, "torch": torch})  # noqa: S307 - the sources are above
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, *inputs):
        floats = [x * self.factor if isinstance(x, torch.Tensor) and x.is_floating_point() else x for x in inputs]
        return self.layer(*floats)


def train_step(net, optimizer):
    def step(*inputs):
        optimizer.zero_grad()
        outs = flat(net(*inputs))
        losses = [o.cos().sum() for o in outs if isinstance(o, torch.Tensor) and o.requires_grad]
        if losses:
            sum(losses).backward()
            optimizer.step()
        return [o.detach().clone() if isinstance(o, torch.Tensor) else o for o in outs]

    return step


def trained(source, draw, mode, wrap):
    """Results of some steps, and all that they leave behind."""
    torch.manual_seed(0)
    net = Net(source).train(mode == "train")
    if "Lazy" in source:
        net(*[build(torch, v) for v in draw(Draw("float32", 0))])
    step = wrap(train_step(net, torch.optim.SGD(net.parameters(), lr=1e-5, momentum=0.9)))
    seen = []
    for k in range(CALLS):
        drawn = draw(Draw("float32", k))
        seen += step(*[build(torch, v) if isinstance(v, (Typed, list)) else v for v in drawn])
    seen += [p.grad for p in net.parameters()] + list(net.state_dict().values()) + [torch.get_rng_state()]
    return [x.detach().numpy().tobytes() if isinstance(x, torch.Tensor) else x for x in seen], step


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize(("source", "draw"), CASES, ids=[c[0] for c in CASES])
@pytest.mark.filterwarnings("ignore")
def test_layer(source, draw, mode):
    """The same results, weights, buffers, gradients and generator; or refused, for a reason that is listed."""
    want, _ = trained(source, draw, mode, lambda step: step)
    if source in REFUSED:
        with pytest.raises(RuntimeError, match=f"cannot be compiled: .*{REFUSED[source][0]}"):
            trained(source, draw, mode, lambda step: torch.compile(step, fullgraph=True))
        return
    got, step = trained(source, draw, mode, lambda step: torch.compile(step, fullgraph=True))
    assert got == want
    assert "repetitions" in step.explain()


def test_every_layer_is_here():
    """A new layer needs a case."""
    layers = {n for n, c in vars(nn).items() if inspect.isclass(c) and issubclass(c, nn.Module)}
    assert layers - ELSEWHERE <= {source.split("(")[0] for source, _ in CASES}
