"""PyTorch's sentences for bad input: the same exception type and the same first line, call by call."""

from __future__ import annotations

import pytest
import torch

import rushlight


def used_twice(T):
    y = (T.ones(3, requires_grad=True) ** 2).sum()
    y.backward()
    y.backward()


def overwritten(T):
    x = T.ones(3, requires_grad=True)
    y = x.exp()
    y.add_(1)
    y.sum().backward()


def wrong_state_dict(T):
    T.nn.Linear(3, 4).load_state_dict({"weight": T.ones(4, 2), "bas": T.ones(4)})


def assign_tensor(T):
    T.nn.Linear(3, 4).weight = T.ones(4, 3)


F = "nn.functional"
CASES = {
    "linear": lambda T: T.nn.Linear(3, 4)(T.ones(2, 5)),
    "matmul": lambda T: T.ones(2, 3) @ T.ones(4, 5),
    "add": lambda T: T.ones(2, 3) + T.ones(4),
    "conv-channels": lambda T: T.nn.functional.conv2d(T.ones(1, 3, 8, 8), T.ones(4, 2, 3, 3)),
    "conv-rank": lambda T: T.nn.functional.conv2d(T.ones(8, 8), T.ones(4, 1, 3, 3)),
    "conv-kernel": lambda T: T.nn.functional.conv2d(T.ones(1, 1, 2, 2), T.ones(1, 1, 3, 3)),
    "softmax-dim": lambda T: T.softmax(T.ones(2, 3), dim=2),
    "ce-target": lambda T: T.nn.functional.cross_entropy(T.ones(2, 3), T.tensor([0, 5])),
    "ce-batch": lambda T: T.nn.functional.cross_entropy(T.ones(2, 3), T.tensor([0, 1, 2])),
    "ce-float-target": lambda T: T.nn.functional.cross_entropy(T.ones(2, 3), T.ones(2)),
    "ce-2d-target": lambda T: T.nn.functional.cross_entropy(T.ones(2, 3), T.ones(2, 1).long()),
    "ce-swapped": lambda T: T.nn.functional.cross_entropy(T.tensor([0, 1]), T.ones(2, 3)),
    "view": lambda T: T.ones(6).view(4),
    "view-strides": lambda T: T.ones(2, 3).t().view(6),
    "reshape": lambda T: T.ones(6).reshape(-1, -1),
    "backward-shape": lambda T: T.ones(3, requires_grad=True).mul(2).backward(),
    "backward-no-graph": lambda T: T.ones(3).sum().backward(),
    "backward-twice": used_twice,
    "overwritten": overwritten,
    "leaf": lambda T: T.ones(3, requires_grad=True).add_(1),
    "numpy": lambda T: T.ones(3, requires_grad=True).numpy(),
    "load_state_dict": wrong_state_dict,
    "load_state_dict-list": lambda T: T.nn.Linear(3, 4).load_state_dict([1]),
    "item": lambda T: T.ones(3).item(),
    "bool": lambda T: bool(T.ones(3)),
    "index": lambda T: T.ones(3)[5],
    "embedding": lambda T: T.nn.functional.embedding(T.tensor([5]), T.ones(3, 2)),
    "cat": lambda T: T.cat([T.ones(2, 3), T.ones(2, 4)]),
    "stack": lambda T: T.stack([T.ones(2, 3), T.ones(2, 4)]),
    "expand": lambda T: T.ones(2, 3).expand(4, 3),
    "int-grad": lambda T: T.ones(3, dtype=T.int64, requires_grad=True),
    "dropout": lambda T: T.nn.Dropout(1.5),
    "optim-empty": lambda T: T.optim.SGD([], lr=0.1),
    "optim-tensor": lambda T: T.optim.SGD(T.ones(3), lr=0.1),
    "optim-lr": lambda T: T.optim.SGD([T.ones(3, requires_grad=True)], lr=-1.0),
    "optim-non-leaf": lambda T: T.optim.SGD([T.ones(3, requires_grad=True) * 2], lr=0.1),
    "optim-momentum": lambda T: T.optim.Adam([T.ones(3, requires_grad=True)], momentum=0.9),
    "optim-groups": lambda T: T.optim.SGD(filter(bool, []), [{"params": []}], lr=0.1),
    "optim-two-groups": lambda T: (lambda p: T.optim.SGD([{"params": [p]}, {"params": [p]}], lr=0.1))(T.ones(2, requires_grad=True)),
    "optim-nesterov": lambda T: T.optim.SGD([T.ones(3, requires_grad=True)], lr=0.1, nesterov=True),
    "optim-betas": lambda T: T.optim.Adam([T.ones(3, requires_grad=True)], betas=(1.0, 0.9)),
    "assign-tensor": assign_tensor,
    "module-keyword": lambda T: T.nn.Module(foo=1),
    "conv-groups": lambda T: T.nn.Conv2d(3, 4, 3, groups=2),
    "batchnorm-rank": lambda T: T.nn.BatchNorm2d(3)(T.ones(2, 3)),
    "batchnorm-one": lambda T: T.nn.BatchNorm1d(3)(T.ones(1, 3)),
    "layernorm": lambda T: T.nn.LayerNorm(4)(T.ones(2, 3)),
    "bce-range": lambda T: T.nn.functional.binary_cross_entropy(T.tensor([2.0]), T.tensor([1.0])),
    "bce-size": lambda T: T.nn.functional.binary_cross_entropy(T.ones(1, 1), T.ones(1)),
    "bce-logits-size": lambda T: T.nn.functional.binary_cross_entropy_with_logits(T.ones(2, 1), T.ones(2)),
    "cosine-target": lambda T: T.nn.CosineEmbeddingLoss()(T.ones(2, 3), T.ones(2, 3), T.tensor([[1, -1]])),
    "multilabel-range": lambda T: T.nn.MultiLabelMarginLoss()(T.ones(1, 4), T.tensor([[3, 0, 9, 1]])),
    "multimargin-p": lambda T: T.nn.MultiMarginLoss(p=3),
    "triplet-margin": lambda T: T.nn.TripletMarginLoss(margin=-1),
    "smooth-l1-beta": lambda T: T.nn.functional.smooth_l1_loss(T.ones(2), T.ones(2), beta=-1.0),
    "reduction": lambda T: T.nn.functional.mse_loss(T.ones(2), T.ones(2), reduction="foo"),
    "init-fan": lambda T: T.nn.init.kaiming_uniform_(T.ones(3)),
    "init-mode": lambda T: T.nn.init.kaiming_uniform_(T.ones(3, 3), mode="fan__in"),
    "init-nonlinearity": lambda T: T.nn.init.calculate_gain("leakyrelu"),
    "init-eye": lambda T: T.nn.init.eye_(T.ones(3)),
    "init-dirac": lambda T: T.nn.init.dirac_(T.ones(3, 3)),
    "init-orthogonal": lambda T: T.nn.init.orthogonal_(T.ones(3)),
    "loader-batch-size": lambda T: T.utils.data.DataLoader([1], batch_size=0),
    "loader-workers": lambda T: T.utils.data.DataLoader([1], num_workers=-1),
    "loader-sampler": lambda T: T.utils.data.DataLoader([1], sampler=[0], shuffle=True),
    "loader-empty": lambda T: T.utils.data.DataLoader([], shuffle=True),
    "collate-none": lambda T: next(iter(T.utils.data.DataLoader([None, None]))),
    "collate-sizes": lambda T: next(iter(T.utils.data.DataLoader([T.ones(1), T.ones(2)], batch_size=2))),
    "dataset": lambda T: T.utils.data.Dataset()[0],
    "load-missing": lambda T: T.load("/no/such/file.pth"),
    "save-directory": lambda T: T.save({}, "/nonexistent_dir/x.pth"),
    "cuda": lambda T: T.ones(2).cuda(),
    "transpose": lambda T: T.ones(2, 3, 4).numpy().transpose(1, 2, 0) is None or T.ones(2, 3, 4).transpose(1, 2, 0),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore")
def test_same_sentence(name):
    """What PyTorch raises, rushlight raises: type and first line."""
    with pytest.raises(Exception) as want:  # noqa: PT011, B017 - the oracle says which
        CASES[name](torch)
    with pytest.raises(Exception) as got:  # noqa: PT011, B017
        CASES[name](rushlight)
    assert type(got.value).__name__ == type(want.value).__name__, got.value
    first = str(got.value).splitlines()[0].rstrip()
    assert first == str(want.value).splitlines()[0].rstrip().replace("torch.nn.modules.", "rushlight.nn.modules.")
