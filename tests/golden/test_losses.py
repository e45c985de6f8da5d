"""Loss values that users of PyTorch have written down, to the digits shown."""

from __future__ import annotations

import math

import pytest

import rushlight as rl
from rushlight import nn
from rushlight.nn import functional as F


def close(tensor, expected, tolerance=5.1e-5):
    assert rl.tensor(tensor.tolist() if tensor.ndim else tensor.item()).shape == rl.tensor(expected).shape
    got = tensor.detach().numpy()
    assert got == pytest.approx(rl.tensor(expected, dtype=rl.float64).numpy(), abs=tolerance, nan_ok=True)


def gradient(loss, x, y):
    x = x.clone().requires_grad_()
    loss(x, y).backward()
    return x.grad


X2, Y2 = rl.tensor([[0.3, 0.7], [0.5, 0.5]]), rl.tensor([[-1.0, 1.0], [1.0, -1.0]])


def test_n19_kl_div():
    """N19: KLDivLoss on probabilities, its warning, its reductions, and the correct use."""
    x, y = rl.tensor([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]), rl.tensor([[0.9, 0.05, 0.05], [0.1, 0.7, 0.2]])
    with pytest.warns(UserWarning, match="reduction: 'mean' divides the total loss by both the batch size"):
        close(nn.KLDivLoss()(x, y), -0.3335360288619995, 1e-7)
    close(nn.KLDivLoss(reduction="none")(x, y), [[-0.5448, -0.1648, -0.1598], [-0.2503, -0.4597, -0.4219]])
    close(nn.KLDivLoss(reduction="sum")(x, y), -2.0012)
    close(nn.KLDivLoss(reduction="batchmean")(x, y), -1.0006)
    close(nn.KLDivLoss(reduction="batchmean")(x.log(), y), 0.3553)
    close(nn.KLDivLoss(reduction="batchmean")(F.log_softmax(x, 1), y), 0.4392)


def test_n20_multilabel_margin():
    """N20: MultiLabelMarginLoss and its gradient."""
    x, y = rl.tensor([[0.9, 0.2, 0.4, 0.8]]), rl.tensor([[3, 0, -1, 1]])
    close(nn.MultiLabelMarginLoss()(x, y), 0.44999998807907104, 1e-7)
    close(gradient(nn.MultiLabelMarginLoss(), x, y), [[-0.5, 0.5, 0.5, -0.5]])


def test_n21_soft_margin():
    """N21: SoftMarginLoss, its reductions and gradient."""
    close(nn.SoftMarginLoss()(X2, Y2), 0.6764237880706787, 1e-7)
    close(nn.SoftMarginLoss(reduction="none")(X2, Y2), [[0.8544, 0.4032], [0.4741, 0.9741]])
    close(nn.SoftMarginLoss(reduction="sum")(X2, Y2), 2.7057)
    close(gradient(nn.SoftMarginLoss(), X2, Y2), [[0.1436, -0.0830], [-0.0944, 0.1556]])


def test_n22_multi_margin():
    """N22: MultiMarginLoss, its reductions, p = 2 and gradient."""
    y = rl.tensor([0, 1])
    close(nn.MultiMarginLoss()(X2, y), 0.6000)
    close(nn.MultiMarginLoss(reduction="none")(X2, y), [0.7, 0.5])
    close(nn.MultiMarginLoss(reduction="sum")(X2, y), 1.2)
    close(nn.MultiMarginLoss(p=2)(X2, y), 0.7400)
    close(gradient(nn.MultiMarginLoss(), X2, y), [[-0.25, 0.25], [0.25, -0.25]])


def test_n23_hinge_embedding():
    """N23: HingeEmbeddingLoss accepts an integer target."""
    x, y = rl.tensor([[1.0, 0.8, 0.5]]), rl.tensor([[1, 1, -1]])
    close(nn.HingeEmbeddingLoss()(x, y), 0.7666666507720947, 1e-7)
    close(nn.HingeEmbeddingLoss(reduction="none")(x, y), [[1.0, 0.8, 0.5]])
    close(nn.HingeEmbeddingLoss(reduction="sum")(x, y), 2.3)
    close(gradient(nn.HingeEmbeddingLoss(), x, y), [[1 / 3, 1 / 3, -1 / 3]])


def test_n24_cosine_embedding():
    """N24: CosineEmbeddingLoss refuses a 2-D target and works with a 1-D one."""
    with pytest.raises(RuntimeError, match="0D or 1D target tensor expected, multi-target not supported"):
        nn.CosineEmbeddingLoss()(X2, rl.tensor([[0.5, 0.5], [0.5, 0.5]]), rl.tensor([[1, -1]]))
    a, b, y = rl.tensor([[0.3, 0.5, 0.7], [0.3, 0.5, 0.7]]), rl.tensor([[0.1, 0.3, 0.5], [0.1, 0.3, 0.5]]), rl.tensor([1, -1])
    close(nn.CosineEmbeddingLoss()(a, b, y), 0.5000)
    close(nn.CosineEmbeddingLoss(reduction="none")(a, b, y), [0.0167, 0.9833])
    close(nn.CosineEmbeddingLoss(margin=0.5, reduction="none")(a, b, y), [0.0167, 0.4833])


def test_n25_smooth_l1_curve():
    """N25: SmoothL1 and L1 along a line, and at four points."""
    x = rl.linspace(-10, 10, 5000)
    smooth, plain = F.smooth_l1_loss(x, x * 0, reduction="none"), F.l1_loss(x, x * 0, reduction="none")
    close(smooth[0], 9.5), close(plain[0], 10.0)
    close(smooth[2500], 2.0006e-06, 1e-9), close(plain[2500], 2.0003e-03, 1e-6)
    close(F.smooth_l1_loss(rl.tensor([0, 0.5, 1, 2]), rl.zeros(4), reduction="none"), [0, 0.125, 0.5, 1.5])


def test_ctc():
    """CTC of two frames: one label, an impossible repetition, two labels."""
    logs = rl.tensor([[[0.6, 0.3, 0.1]], [[0.5, 0.4, 0.1]]]).log()
    two = rl.tensor([2])
    close(F.ctc_loss(logs, rl.tensor([[1]]), two, rl.tensor([1])), 0.6733)
    assert math.isinf(F.ctc_loss(logs, rl.tensor([[1, 1]]), two, two).item())
    assert F.ctc_loss(logs, rl.tensor([[1, 1]]), two, two, zero_infinity=True).item() == 0
    close(F.ctc_loss(logs, rl.tensor([[1, 2]]), two, two), 1.7533)


def test_cross_entropy():
    """Cross entropy: plain, of probabilities, weighted, smoothed, one and all targets ignored."""
    x, y = rl.tensor([[1.0, 2, 3], [1, 5, 1]]), rl.tensor([2, 1])
    close(F.cross_entropy(x, y), 0.2218)
    close(F.cross_entropy(F.softmax(x, 1), y), 0.6857)
    close(F.cross_entropy(x, y, weight=rl.tensor([1.0, 2, 3])), 0.2590)
    close(F.cross_entropy(x, y, label_smoothing=0.1), 0.4051)
    close(F.cross_entropy(x, rl.tensor([2, -100])), 0.4076)
    with pytest.warns(UserWarning, match="every target is ignored"):
        assert math.isnan(F.cross_entropy(x, rl.tensor([-100, -100])).item())


def test_poisson_and_bce():
    """Poisson likelihoods, and binary cross entropy with its floor at -100."""
    x, y = rl.tensor([0.0, 1, 2]), rl.tensor([1.0, 2, 3])
    close(F.poisson_nll_loss(x, y), 1.0358)
    close(F.poisson_nll_loss(x, y, full=True), 1.8411)
    close(F.poisson_nll_loss(rl.tensor([1.0, 1, 2]), y, log_input=False), 0.6402)
    close(F.binary_cross_entropy(rl.tensor([0.8, 0.4]), rl.tensor([1.0, 0])), 0.3670)
    close(F.binary_cross_entropy(rl.tensor([0.0, 1]), rl.tensor([1.0, 0])), 100.0)


def test_triplet_and_ranking():
    """Triplet margins with and without swap; margin ranking."""
    row = lambda *v: rl.tensor([v], dtype=rl.float32)  # noqa: E731
    close(F.triplet_margin_loss(row(0, 0), row(3, 4), row(1, 0)), 5.0)
    close(F.triplet_margin_loss(row(0, 0), row(1, 0), row(1.5, 0), swap=True), 1.5)
    a, b, y = rl.tensor([1.0, 2, 3]), rl.tensor([2.0, 1, 3]), rl.tensor([1.0, 1, -1])
    close(F.margin_ranking_loss(a, b, y), 0.3333)
    close(F.margin_ranking_loss(a, b, y, margin=0.5, reduction="none"), [1.5, 0, 0.5])


def test_gains():
    """calculate_gain of every nonlinearity."""
    gain = nn.init.calculate_gain
    assert [gain(n) for n in ("linear", "conv1d", "conv2d", "conv3d", "sigmoid")] == [1] * 5
    assert gain("tanh") == 5 / 3
    assert gain("relu") == math.sqrt(2)
    assert gain("leaky_relu", 0.01) == 1.4141428569978354
    assert gain("leaky_relu", 0.2) == 1.3867504905630728
    assert gain("selu") == 0.75


NODES = {
    "BinaryCrossEntropyBackward0": lambda x: nn.BCELoss()(x.sigmoid(), x.detach().sigmoid()),
    "NllLossBackward0": lambda x: nn.CrossEntropyLoss()(x, rl.tensor([0, 1])),
    "MseLossBackward0": lambda x: nn.MSELoss()(x, x.detach()),
    "SmoothL1LossBackward0": lambda x: nn.SmoothL1Loss()(x, x.detach()),
    "HuberLossBackward0": lambda x: nn.HuberLoss()(x, x.detach()),
    "SoftMarginLossBackward0": lambda x: nn.SoftMarginLoss()(x, x.detach().sign()),
    "MultilabelMarginLossBackward0": lambda x: nn.MultiLabelMarginLoss()(x, rl.tensor([[0, -1], [1, 0]])),
    "MultiMarginLossBackward0": lambda x: nn.MultiMarginLoss()(x, rl.tensor([0, 1])),
    "BinaryCrossEntropyWithLogitsBackward0": lambda x: nn.BCEWithLogitsLoss()(x, x.detach().sigmoid()),
    "MeanBackward0": lambda x: nn.L1Loss()(x, x.detach()),
    "SigmoidBackward0": lambda x: nn.Sigmoid()(x),
    "AddmmBackward0": lambda x: nn.Linear(2, 3)(x),
}


@pytest.mark.parametrize("name", NODES)
def test_node_names(name):
    """What `print(loss)` shows as grad_fn."""
    out = NODES[name](rl.tensor([[0.3, -0.7], [1.5, 0.5]], requires_grad=True))
    assert out.grad_fn.name() == name
    assert f"grad_fn=<{name}>" in repr(out)


@pytest.mark.parametrize("layer", [nn.KLDivLoss, nn.TripletMarginLoss, nn.PoissonNLLLoss, nn.MarginRankingLoss,
                                   nn.HingeEmbeddingLoss, nn.CosineEmbeddingLoss])  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_mean_nodes(layer):
    """The losses that end in a mean say so."""
    x = rl.tensor([[0.3, -0.7], [1.5, 0.5]], requires_grad=True)
    y = rl.tensor([1.0, -1.0]) if layer is nn.CosineEmbeddingLoss else x.detach().sign()
    args = (x, y) if layer in (nn.KLDivLoss, nn.PoissonNLLLoss, nn.HingeEmbeddingLoss) else (x, x.detach() * 2, y)
    assert layer()(*args).grad_fn.name() == "MeanBackward0"
