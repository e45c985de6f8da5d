"""Whole layers, with their hooks and options, from PyTorch to rushlight and back."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
import torch
import torch.nn.utils.prune

import rushlight


def pruned(T):
    layer = T.nn.Linear(3, 4)
    T.nn.utils.prune.l1_unstructured(layer, "weight", 0.5)
    T.nn.utils.prune.random_structured(layer, "weight", 1, 0)
    return layer


ROWS = lambda T: (T.ones(2, 3),)  # noqa: E731
LAYERS = {
    "pruned": (pruned, ROWS),
    "weight_norm": (lambda T: T.nn.utils.weight_norm(T.nn.Linear(3, 4)), ROWS),
    "spectral_norm": (lambda T: T.nn.utils.spectral_norm(T.nn.Linear(3, 4)), ROWS),
    "adaptive": (lambda T: T.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4, 10], div_value=2.0),
                 lambda T: (T.ones(2, 8), T.tensor([3, 17]))),
    "fractional": (lambda T: T.nn.FractionalMaxPool2d(2, 3, _random_samples=T.full((1, 2, 2), 0.3)),
                   lambda T: (T.arange(98.0).reshape(1, 2, 7, 7),)),
    "lrn": (lambda T: T.nn.CrossMapLRN2d(3), lambda T: (T.arange(90.0).reshape(2, 5, 3, 3),)),
    "linear_cross_entropy": (lambda T: T.nn.LinearCrossEntropyLoss(3, 4, options=T.nn.LinearCrossEntropyOptions(batch_chunk_size=2)),
                             lambda T: (T.ones(2, 3), T.tensor([0, 1]))),
    "data_parallel": (lambda T: T.nn.DataParallel(T.nn.Linear(3, 4)), ROWS),
}  # fmt: skip


@pytest.mark.parametrize("source", [torch, rushlight], ids=["from-torch", "from-rushlight"])
@pytest.mark.parametrize("name", LAYERS)
def test_whole_layer(name, source):
    """The other library loads the layer, and it computes the same."""
    target = rushlight if source is torch else torch
    make, inputs = LAYERS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        layer = make(source).eval()
    file = io.BytesIO()
    source.save(layer, file)
    file.seek(0)
    loaded = target.load(file, weights_only=False)
    assert repr(loaded) == repr(layer)
    for m in (layer, loaded):  # what a hook computes is computed anew
        for parameter in m.parameters():
            parameter.data.mul_(1.5).add_(0.25)
    want, got = layer(*inputs(source)), loaded(*inputs(target))
    want, got = (v[0] if isinstance(v, tuple) else v for v in (want, got))
    np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), rtol=1e-6, atol=1e-6)
    if want.requires_grad:
        got.sum().backward()
