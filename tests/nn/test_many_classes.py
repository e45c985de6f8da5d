"""Losses of many classes: AdaptiveLogSoftmaxWithLoss, LinearCrossEntropyLoss and its chunks."""

from __future__ import annotations

import copy

import pytest
import torch

import rushlight

from .scenario import same, state, table

SCENARIOS, scenario = table()
DTYPES = ["float32", "float64"]


def gradients(module):
    return {n: p.grad for n, p in module.named_parameters()}


# -- adaptive softmax --------------------------------------------------------------------------------------------------------

ADAPTIVE = ["8, 20, [4, 10, 15], div_value=2.0", "16, 30, [5, 12]", "16, 30, (5,), head_bias=True", "8, 20, [1, 19], div_value=1.5"]
TARGETS = {"mixed": [0, 17, 3, 11, 4, 0, 19], "head": [0, 0, 0], "tail": [19, 19], "one": [5], "every": list(range(20))}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("arguments", ADAPTIVE)
def test_adaptive(arguments, target, dtype):
    """Initial values, repr, state; output, loss and gradients; log_prob and predict; both modes."""

    def run(T):
        m = eval(f"nn.AdaptiveLogSoftmaxWithLoss({arguments})", {"nn": T.nn}).to(getattr(T, dtype))  # noqa: S307
        out = [repr(m), state(m), m.cutoffs, m.head_size, m.n_clusters]
        x = T.randn(len(TARGETS[target]), m.in_features, dtype=getattr(T, dtype), requires_grad=True)
        y = T.tensor(TARGETS[target])
        for mode in (True, False):
            result = m.train(mode)(x, y)
            result.loss.backward(retain_graph=True)
            result.output.sum().backward()
            out += [result.output, result.loss, type(result).__name__, gradients(m), x.grad]
        out += [m.log_prob(x), m.predict(x), m.log_prob(x).exp().sum(1)]
        m.reset_parameters()
        return [*out, state(m), result.loss.grad_fn.name()]

    same(run, tolerance=dict(rtol=1e-4, atol=1e-5))


@scenario
def adaptive_without_a_batch(T):
    m = T.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4, 10], div_value=2.0)
    x = T.randn(8)
    return [m(x, T.tensor(17)), m(x, T.tensor(0)).output]


@scenario
def adaptive_predicts_the_head_only(T):
    m = T.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4, 10], div_value=2.0, head_bias=True)
    out = []
    for best in (0, 4):  # a class of the head; a cluster
        m.head.bias.data.fill_(-9.0)
        m.head.bias.data[best] = 9.0
        out.append(m.predict(T.randn(5, 8)))
    return out


def adaptive(T, *shape, target, cutoffs=(4, 10)):
    return T.nn.AdaptiveLogSoftmaxWithLoss(8, 20, list(cutoffs), div_value=2.0)(T.ones(*shape), T.tensor(target))


# -- cross entropy of a linear layer ------------------------------------------------------------------------------------------


def options(T, kw):
    return None if kw is None else T.nn.LinearCrossEntropyOptions(**kw)


CHUNKS = [None, {}, dict(batch_chunk_size=2), dict(chunking_method="aspect_ratio:2"), dict(chunking_method=None)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("bias", [False, True])
def test_linear_cross_entropy(bias, reduction, chunks, dtype):
    """The layer: repr, state, loss and gradients, at once and by chunks."""

    def run(T):
        kind = getattr(T, dtype)
        m = T.nn.LinearCrossEntropyLoss(5, 7, bias=bias, reduction=reduction, weight=T.linspace(0.5, 2, 7, dtype=kind),
                                        options=options(T, chunks), ignore_index=3, dtype=kind)  # fmt: skip
        x = T.randn(6, 5, dtype=kind, requires_grad=True)
        loss = m(x, T.tensor([0, 3, 6, 2, 3, 1]))
        (loss * T.arange(1.0, 1 + max(1, loss.numel()), dtype=kind).reshape(loss.shape)).sum().backward()
        with T.no_grad():
            again = m(x, T.tensor([0, 3, 6, 2, 3, 1]))
        return [repr(m), state(m), loss, x.grad, gradients(m), again]

    same(run)


@pytest.mark.parametrize("kw", [dict(), dict(reduction="sum"), dict(reduction="none"), dict(label_smoothing=0.1)])
def test_linear_cross_entropy_of_more_dimensions(kw):
    """A weight of shape (C, d1, d2, n); targets that are probabilities."""

    def run(T):
        m = T.nn.LinearCrossEntropyLoss(5, 7, out_features=(2, 3), bias=True, **kw)
        x = T.randn(4, 5, requires_grad=True)
        out = [repr(m), state(m)]
        for target in (T.randint(0, 7, (4, 2, 3)), T.randn(4, 7, 2, 3).softmax(1)):
            loss = m(x, target)
            loss.sum().backward()
            out += [loss, x.grad, gradients(m)]
        return out

    same(run)


def parts(T, n=6, dtype=None):
    x, w = T.randn(n, 5, dtype=dtype, requires_grad=True), T.randn(7, 5, dtype=dtype, requires_grad=True)
    return x, w, T.tensor([0, 3, 6, 2, 3, 1])[:n]


def lce(T, *args, **kw):
    return T.nn.functional.linear_cross_entropy(*args, **kw)


def half(reduction):
    def run(T):
        out = []
        for dtype in (T.bfloat16, T.float16):
            x, w, t = parts(T)
            x, w = (v.detach().to(dtype).requires_grad_() for v in (x, w))
            loss = lce(T, x, w, t, reduction=reduction, options=options(T, {}))
            loss.sum().backward()
            out += [str(loss.dtype), loss.float(), x.grad.float(), w.grad.float()]
        return out

    return run


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_half_precision_by_chunks(reduction):
    """float16 and bfloat16 are accumulated in float32."""
    same(half(reduction), tolerance=dict(rtol=2e-2, atol=2e-2))


@scenario
def one_sample(T):
    x, w, t = parts(T, 1)
    return [lce(T, x[0], w, t[0], reduction=r, options=options(T, o)) for r in ("mean", "none") for o in (None, {})]


@scenario
def empty_batch(T):
    x, w, t = parts(T, 0)
    return [lce(T, x, w, t, reduction=r, options=options(T, {})) for r in ("sum", "none")]


@scenario
def backward_twice_when_asked(T):
    x, w, t = parts(T)
    loss = lce(T, x, w, t, options=options(T, dict(allow_retain_graph=True)))
    loss.backward(retain_graph=True)
    loss.backward()
    return [x.grad, w.grad]


@scenario
def backward_twice(T):
    x, w, t = parts(T)
    loss = lce(T, x, w, t, options=options(T, {}))
    loss.backward(retain_graph=True)
    loss.backward()


@scenario
def options_repr(T):
    o = T.nn.LinearCrossEntropyOptions
    return [repr(o()), repr(o(True, 3, None, "compact", T.float32)), o() == o(), o() == o(True)]


@scenario
def frozen_options(T):
    T.nn.LinearCrossEntropyOptions().batch_chunk_size = 3


@scenario
def unsupported_options_warn(T):
    x, w, t = parts(T)
    return [lce(T, x, w, t, label_smoothing=0.1, options=options(T, {}))]


@scenario
def some_frozen(T):
    x, w, t = parts(T)
    out = []
    for a, b in ((x.detach(), w), (x, w.detach())):
        loss = lce(T, a, b, t, options=options(T, dict(batch_chunk_size=4)))
        loss.backward()
        out += [loss, x.grad, w.grad]
    return out


ERRORS = {
    "cutoffs-none": lambda T: T.nn.AdaptiveLogSoftmaxWithLoss(8, 20, []),
    "cutoffs-order": lambda T: T.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [5, 4]),
    "cutoffs-twice": lambda T: T.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [5, 5]),
    "cutoffs-large": lambda T: T.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [5, 20]),
    "cutoffs-zero": lambda T: T.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [0, 5]),
    "cutoffs-float": lambda T: T.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [2, 5.5]),
    "adaptive-range": lambda T: adaptive(T, 2, 8, target=[3, 20]),
    "adaptive-negative": lambda T: adaptive(T, 2, 8, target=[3, -1]),
    "adaptive-batch": lambda T: adaptive(T, 2, 8, target=[3, 4, 5]),
    "adaptive-2d-target": lambda T: adaptive(T, 2, 8, target=[[3], [4]]),
    "adaptive-3d": lambda T: adaptive(T, 2, 8, 8, target=[3, 4]),
    "adaptive-1d": lambda T: adaptive(T, 2, 8, target=3),
    "lce-3d": lambda T: lce(T, T.ones(1, 2, 3), T.ones(4, 3), T.tensor([0])),
    "lce-weight": lambda T: lce(T, T.ones(2, 3), T.ones(3), T.tensor([0, 1])),
    "lce-features": lambda T: lce(T, T.ones(2, 3), T.ones(4, 2), T.tensor([0, 1])),
    "lce-bias": lambda T: lce(T, T.ones(2, 3), T.ones(4, 3), T.tensor([0, 1]), linear_bias=T.ones(3)),
    "lce-unbatched": lambda T: lce(T, T.ones(3), T.ones(4, 2, 3), T.tensor([0, 1])),
    "lce-ignore": lambda T: lce(T, T.ones(2, 3), T.ones(4, 3), T.ones(2, 4), ignore_index=1),
    "lce-class-weight": lambda T: T.nn.LinearCrossEntropyLoss(3, 4, weight=T.ones(3)),
    "lce-smoothing": lambda T: T.nn.LinearCrossEntropyLoss(3, 4, label_smoothing=1.5),
    "lce-chunks-disagree": lambda T: lce(T, *parts(T), options=options(T, dict(batch_chunk_size=1, chunking_method="aspect_ratio"))),
    "lce-dtype": lambda T: lce(T, *parts(T), options=options(T, dict(acc_dtype=T.float64))),
    "options-policy": lambda T: options(T, dict(acc_policy="foo")),
    "options-method": lambda T: options(T, dict(chunking_method="aspect_ratio:0")),
    "options-size": lambda T: options(T, dict(batch_chunk_size=0)),
    "options-dtype": lambda T: options(T, dict(acc_dtype=T.int64)),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(name):
    """The same values, state and warnings as with PyTorch."""
    same(SCENARIOS[name])


@pytest.mark.parametrize("name", ERRORS)
def test_error(name):
    """PyTorch's exception and message."""
    same(ERRORS[name])


def test_chunks_check_the_target():
    """Out of range and of another length: the sentences of cross_entropy."""
    x, w, t = parts(rushlight)
    with pytest.raises(IndexError, match="Target 8 is out of bounds."):
        lce(rushlight, x, w, t + 2, options=options(rushlight, {}))
    with pytest.raises(ValueError, match=r"Expected input batch_size \(6\) to match target batch_size \(3\)."):
        lce(rushlight, x, w, t[:3], options=options(rushlight, {}))


def test_copied():
    """Layers with options can be copied."""
    for T in (torch, rushlight):
        m = T.nn.LinearCrossEntropyLoss(3, 4, options=T.nn.LinearCrossEntropyOptions(batch_chunk_size=2))
        assert copy.deepcopy(m).options == m.options
