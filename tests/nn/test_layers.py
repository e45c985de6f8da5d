"""Every layer: the same repr, state, outputs and gradients as PyTorch's, with PyTorch's weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import rushlight
from tests.ops.harness import Draw, assert_same, build, cotangents, to_numpy

TOLERANCE = dict(rtol=1e-5, atol=1e-5)


def case(layer, *shapes, inputs=None, random=False):
    """A layer as Python source on `nn`, and the shapes of its inputs (or a function that draws them)."""
    draw = inputs or (lambda r, s=shapes: tuple(r(*x) for x in s))
    return pytest.param(layer, draw, random, id=layer)


S = (3, 4)
IMAGE = (2, 4, 6, 6)
ACTIVATIONS = ["ReLU()", "ReLU(inplace=True)", "RReLU()", "RReLU(0.2, 0.4, True)", "Hardtanh()",
"Hardtanh(-2.0, 0.5, True)", "ReLU6()",
               "ReLU6(True)", "Sigmoid()", "Hardsigmoid()", "Tanh()", "SiLU()", "SiLU(True)", "Mish()", "Hardswish()", "ELU()",
               "ELU(0.5, True)", "CELU()", "CELU(2.0)", "SELU()", "GLU()", "GLU(0)", "GELU()", "GELU('tanh')", "Hardshrink()",
               "Hardshrink(0.3)", "LeakyReLU()", "LeakyReLU(0.2, True)", "LogSigmoid()", "Softplus()", "Softplus(2, 10)",
               "Softshrink()", "PReLU()", "PReLU(4)", "Softsign()", "Tanhshrink()", "Softmin(1)", "Softmax(1)",
               "Softmax(dim=-1)",
               "LogSoftmax(0)", "Threshold(0.1, 20)", "Threshold(0.1, 20, True)"]  # fmt: skip
CASES = [
    *[case(a, (4, 4)) for a in ACTIVATIONS],
    case("Softmax2d()", (2, 3, 4, 4)),
    case("Identity(1, foo=2)", S),
    case("Linear(4, 3)", (5, 4)), case("Linear(4, 3, bias=False)", (2, 5, 4)), case("Linear(4, 3)", (4,)),
    case("Bilinear(3, 4, 5)", (2, 3), (2, 4)), case("Bilinear(3, 4, 5, False)", (2, 6, 3), (2, 6, 4)),
    case("Flatten()", (2, 3, 4)), case("Flatten(0, 1)", (2, 3, 4)), case("Unflatten(1, (2, 2))", S),
    case("Dropout()", (5, 7), random=True), case("Dropout(0.2, inplace=True)", (5, 7), random=True),
    case("Dropout1d(0.3)", (3, 8, 5), random=True), case("Dropout2d(0.3)", IMAGE, random=True),
    case("Dropout3d(0.3)", (2, 8, 2, 2, 2), random=True), case("AlphaDropout(0.3)", (5, 7), random=True),
    case("FeatureAlphaDropout(0.3)", IMAGE, random=True), case("Dropout(0.0)", S), case("Dropout(1.0)", S),
    case("Embedding(6, 3)", inputs=lambda r: (r.integers(0, 6, 2, 4),)),
    case("Embedding(6, 3, padding_idx=-2)", inputs=lambda r: (r.integers(0, 6, 2, 4),)),
    case("Embedding(6, 3, 1, norm_type=1.0, scale_grad_by_freq=True, max_norm=3.0)", inputs=lambda r: (r.integers(0, 6, 2, 4),)),
    *[case(f"EmbeddingBag(6, 3, mode='{m}')", inputs=lambda r: (r.integers(0, 6, 7), r.fixed([0, 3, 3])))
      for m in ("sum", "mean", "max")],
    case("EmbeddingBag(6, 3, padding_idx=1)", inputs=lambda r: (r.integers(0, 6, 2, 4),)),
    *[case(f"{k}Pad{n}d({p})", (2, 3, *[4, 5, 3][:n])) for k in ("Zero", "Reflection", "Replication", "Circular")
      for n, p in ((1, 2), (2, (1, 2, 2, 0)), (3, 1))],
    *[case(f"ConstantPad{n}d(2, 3.5)", (2, 3, *[4, 5, 3][:n])) for n in (1, 2, 3)],
    case("PixelShuffle(2)", IMAGE), case("PixelUnshuffle(3)", IMAGE), case("ChannelShuffle(2)", IMAGE),
    case("Unfold((2, 3), stride=2)", IMAGE), case("Fold((4, 5), 2)", (2, 8, 12)),
    case("Upsample(scale_factor=2)", IMAGE), case("Upsample(size=(3, 9), mode='bilinear')", IMAGE),
    case("Upsample(None, (2, 1.5), 'bicubic', True)", IMAGE), case("UpsamplingNearest2d(scale_factor=2)", IMAGE),
    case("UpsamplingBilinear2d(size=5)", IMAGE), case("CosineSimilarity()", S, S), case("PairwiseDistance(keepdim=True)", S, S),
    *[case(f"CrossMapLRN2d({a})", (2, 7, 3, 2)) for a in ("3", "5, alpha=0.5, beta=0.6, k=2.0", "2, 0.3", "4, 0.3")],
    case("FractionalMaxPool2d(2, output_size=3)", IMAGE, random=True),
    case("FractionalMaxPool2d((3, 2), output_ratio=(0.5, 0.7))", IMAGE, random=True),
    case("FractionalMaxPool3d(2, output_ratio=0.6)", (2, 3, 5, 5, 5), random=True),
    case("FractionalMaxPool2d(2, 3, _random_samples=torch.full((2, 4, 2), 0.4))", IMAGE),
    case("Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))", S),
    case("Sequential(nn.Linear(4, 5), nn.Sequential(nn.Tanh(), nn.Dropout(0.4)), nn.Softmax(1))", S, random=True),
]  # fmt: skip
LOSSES = [
    *[case(f"{n}()", S, S) for n in ("L1Loss", "MSELoss", "SmoothL1Loss", "HuberLoss", "BCEWithLogitsLoss", "PoissonNLLLoss",
                                     "KLDivLoss")],
    case("MSELoss(reduction='none')", S, S), case("SmoothL1Loss(beta=0.3)", S, S), case("HuberLoss(delta=0.3)", S, S),
    case("KLDivLoss(reduction='batchmean', log_target=True)", S, S),
    case("BCELoss()", inputs=lambda r: (r.unit(3, 4), r.unit(3, 4))),
    case("BCELoss(torch.tensor([1.0, 2.0, 0.5, 0.1]))", inputs=lambda r: (r.unit(3, 4), r.unit(3, 4))),
    case("BCEWithLogitsLoss(pos_weight=torch.tensor([1.0, 2.0, 0.5, 0.1]))", inputs=lambda r: (r(3, 4), r.unit(3, 4))),
    case("CrossEntropyLoss()", inputs=lambda r: (r(3, 4), r.integers(0, 4, 3))),
    case("CrossEntropyLoss(torch.tensor([1.0, 2.0, 0.5, 0.1]), label_smoothing=0.1)",
         inputs=lambda r: (r(3, 4), r.integers(0, 4, 3))),
    case("NLLLoss(ignore_index=1)", inputs=lambda r: (r(3, 4), r.integers(0, 4, 3))),
    case("GaussianNLLLoss(full=True)", inputs=lambda r: (r(3, 4), r(3, 4), r.positive(3, 4))),
    case("SoftMarginLoss()", inputs=lambda r: (r(3, 4), r.fixed(np.ones((3, 4)), r.dtype))),
    case("HingeEmbeddingLoss(0.5)", inputs=lambda r: (r(3), r.fixed([1, -1, 1]))),
    case("MultiLabelMarginLoss()", inputs=lambda r: (r(1, 4), r.fixed([[1, 3, -1, 0]]))),
    case("MultiLabelSoftMarginLoss()", inputs=lambda r: (r(3, 4), r.unit(3, 4))),
    case("MultiMarginLoss(p=2, margin=0.5)", inputs=lambda r: (r(3, 4), r.integers(0, 4, 3))),
    case("CosineEmbeddingLoss(0.1)", inputs=lambda r: (r(3, 4), r(3, 4), r.fixed([1, -1, 1]))),
    case("MarginRankingLoss(0.1)", inputs=lambda r: (r(3), r(3), r.fixed([1, -1, 1]))),
    case("TripletMarginLoss(swap=True)", S, S, S), case("TripletMarginWithDistanceLoss(margin=2.0)", S, S, S),
    case("CTCLoss(zero_infinity=True)", inputs=lambda r: (r(6, 2, 5), r.integers(1, 5, 2, 3), (6, 6), (3, 2))),
]  # fmt: skip


# Every loss with the other reductions too.
PLAIN = [c for c in LOSSES if "reduction" not in c.values[0]]
LOSSES += [
    pytest.param(source, draw, random, id=source)
    for loss, draw, random in (c.values for c in PLAIN) for reduction in ("sum", "none")
    for source in [loss[:-1] + ("" if loss.endswith("()") else ", ") + f"reduction='{reduction}')"]
]  # fmt: skip


def make(source, T):
    return eval(f"nn.{source}", {"nn": T.nn, "torch": T})  # noqa: S307 - the sources are above


def run(T, layer, inputs):
    """Outputs and gradients of a layer on inputs that are not leaves (so that in-place layers may write)."""
    tensors = [x for x in inputs if isinstance(x, T.Tensor)]
    leaves = [x for x in tensors if x.requires_grad]
    out = layer(*[x * 1 if isinstance(x, T.Tensor) and x.requires_grad else x for x in inputs])
    wanted = [*leaves, *layer.parameters()]
    if not wanted or not out.requires_grad:
        return out, []
    v = cotangents([out], 3)[0]
    v = torch.from_numpy(v) if T is torch else rushlight.from_numpy(v)
    return out, T.autograd.grad(out, wanted, v.to(out.dtype), allow_unused=True)


def ours(layer):
    return {k: rushlight.tensor(v.numpy()) for k, v in layer.state_dict().items()}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize(("source", "draw", "random"), CASES + LOSSES)
@pytest.mark.filterwarnings("ignore")
def test_layer(source, draw, random, mode, dtype):
    """Repr, state-dict names and shapes, outputs and gradients."""
    theirs, mine = make(source, torch), make(source, rushlight)
    assert repr(mine) == repr(theirs)
    want = {k: tuple(v.shape) for k, v in theirs.state_dict().items()}
    assert {k: tuple(v.shape) for k, v in mine.state_dict().items()} == want
    assert [n for n, _ in mine.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    mine.load_state_dict(ours(theirs))
    theirs, mine = (layer.to(getattr(T, dtype)).train(mode == "train") for T, layer in ((torch, theirs), (rushlight, mine)))
    drawn = draw(Draw(dtype, 0))
    results = []
    for T, layer in ((torch, theirs), (rushlight, mine)):
        T.manual_seed(7)
        results.append(run(T, layer, [build(T, x, grad=True) for x in drawn]))
    (want_out, want_grads), (out, grads) = results
    assert_same(out, want_out, TOLERANCE, "output")
    for i, (g, w) in enumerate(zip(grads, want_grads, strict=True)):
        if w is None:
            assert g is None or not to_numpy(g).any()
        else:
            assert_same(g, w, TOLERANCE, f"gradient {i}")


@pytest.mark.parametrize("source", ["Linear(30, 20)", "Linear(5, 3, bias=False)", "Bilinear(3, 4, 5)", "Embedding(10, 4)",
                                    "Embedding(10, 4, padding_idx=3)", "PReLU(3)", "EmbeddingBag(5, 3)"])  # fmt: skip
def test_initial_values(source):
    """For a seed a new layer's parameters are PyTorch's."""
    values = []
    for T in (torch, rushlight):
        T.manual_seed(11)
        values.append([to_numpy(p) for p in make(source, T).parameters()])
    for want, got in zip(*values, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-7)


@pytest.mark.filterwarnings("ignore")
def test_lazy_linear():
    """LazyLinear takes its input size from the first batch and becomes a Linear."""
    layer = rushlight.nn.LazyLinear(3)
    assert repr(layer) == repr(torch.nn.LazyLinear(3))
    assert repr(layer.weight) == "<UninitializedParameter>"
    assert layer(rushlight.ones(2, 5)).shape == (2, 3)
    assert type(layer) is rushlight.nn.Linear and layer.weight.shape == (3, 5)


@pytest.mark.parametrize(("source", "error", "text"), [
    ("Dropout(1.5)", ValueError, "dropout probability has to be between 0 and 1, but got 1.5"),
    ("Hardtanh(2.0, 1.0)", AssertionError, "max_val (1.0) must be greater than min_val (2.0)"),
    ("Embedding(3, 2, padding_idx=5)", AssertionError, "Padding_idx must be within num_embeddings"),
    ("TripletMarginLoss(margin=-1)", ValueError, "TripletMarginLoss: expected margin to be greater than 0, got -1 instead"),
    ("MultiMarginLoss(p=3)", ValueError, "only p == 1 and p == 2 supported"),
    ("Linear(2, 3, foo=1)", TypeError, "Linear.__init__() got an unexpected keyword argument 'foo'"),
    ("CrossMapLRN2d(3)(torch.ones(2, 3, 4))", ValueError, "CrossMapLRN2d: Expected input to be 4D, got 3D instead."),
    ("Bilinear(0, 1, 2)", ValueError, "in1_features must be > 0, but got (in1_features=0)"),
])  # fmt: skip
def test_bad_arguments(source, error, text):
    """PyTorch's exception and sentence."""
    for T in (torch, rushlight):
        with pytest.raises(error) as info:
            make(source, T)
        assert text in str(info.value)


@pytest.mark.parametrize("arguments", [dict(size_average=False), dict(reduce=False), dict(size_average=True, reduce=True)])
def test_legacy_reduction(arguments):
    """size_average and reduce still work, with a warning that names the replacement."""
    with pytest.warns(UserWarning, match="size_average and reduce"):
        want = torch.nn.MSELoss(**arguments).reduction
    text = f"size_average and reduce args will be deprecated, please use reduction='{want}' instead."
    with pytest.warns(UserWarning, match=text):
        assert rushlight.nn.MSELoss(**arguments).reduction == want
    x = rushlight.ones(2, 2)
    with pytest.warns(UserWarning, match=text):
        rushlight.nn.functional.mse_loss(x, x, **arguments)


def test_size_warning():
    """Targets of another size than the input are reported before they broadcast."""
    text = r"Using a target size \(torch.Size\(\[4\]\)\) that is different to the input size \(torch.Size\(\[4, 1\]\)\)"
    for name in ("MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss"):
        with pytest.warns(UserWarning, match=text):
            getattr(rushlight.nn, name)()(rushlight.ones(4, 1), rushlight.ones(4))


def test_implicit_dim():
    """softmax without a dimension says that it had to choose one."""
    with pytest.warns(UserWarning, match="Implicit dimension choice for softmax has been deprecated. Change the call"):
        rushlight.nn.Softmax()(rushlight.ones(2, 3))


@pytest.mark.parametrize("name", ["rrelu", "gumbel_softmax"])
def test_random_functions(name):
    """For a seed the draws are PyTorch's."""
    values = np.random.default_rng(0).standard_normal((5, 7)).tolist()
    results = []
    for T in (torch, rushlight):
        T.manual_seed(1)
        kw = {"training": True} if name == "rrelu" else {"hard": False, "dim": 1}
        results.append(getattr(T.nn.functional, name)(T.tensor(values), **kw).numpy())
    np.testing.assert_allclose(results[1], results[0], rtol=1e-5, atol=1e-6)
