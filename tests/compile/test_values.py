"""Steps in which values matter: checks go on in repetitions, masks may change, and what Python reads is refused or constant."""

from __future__ import annotations

import math

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F

WARM = 5  # calls after which a step is repeated


def same(a, b):
    return a.numpy().tobytes() == b.numpy().tobytes()


def compare(step, inputs, calls=8):
    """A step as it is and compiled, on the same inputs: the same bits. Returns the compiled one."""
    compiled = torch.compile(step, fullgraph=True)
    for k in range(calls):
        drawn = inputs(k)
        torch.manual_seed(k)
        want = step(*drawn)
        torch.manual_seed(k)
        got = compiled(*drawn)
        for g, w in zip(got, want, strict=True):
            assert same(g, w), f"call {k}"
    assert "repetitions" in compiled.explain()
    return compiled


# -- checks ------------------------------------------------------------------------------------------------------------------

X = torch.zeros(4, 4)
CHECKS = {  # step of one tensor of indices or values; a good one, a bad one
    "index_add": (lambda i: X.index_add(0, i, torch.ones(2, 4)), [0, 3], [0, 4]),
    "index_add_": (lambda i: X.clone().index_add_(0, i, torch.ones(2, 4)), [0, 3], [-1, 3]),
    "index_copy": (lambda i: X.index_copy(1, i, torch.ones(4, 2)), [0, 3], [0, 4]),
    "index_fill": (lambda i: X.index_fill(1, i, 2.0), [0, -1], [0, 4]),
    "index_select": (lambda i: X.index_select(1, i), [0, 3], [-1, 0]),
    "take": (lambda i: X.take(i), [0, -16], [3, 16]),
    "put": (lambda i: X.put(i, torch.ones(2)), [0, -16], [3, -17]),
    "gather": (lambda i: X.gather(0, i.unsqueeze(0)), [0, 3], [0, 4]),
    "scatter_add": (lambda i: X.scatter_add(0, i.unsqueeze(0), torch.ones(1, 2)), [0, 3], [0, 4]),
    "scatter_reduce": (lambda i: X.scatter_reduce(0, i.unsqueeze(0), torch.ones(1, 2), "amax"), [0, 3], [0, -1]),
    "index": (lambda i: X[i], [0, -4], [0, -5]),
    "embedding": (lambda i: F.embedding(i, X), [0, 3], [0, 4]),
    "embedding_bag": (lambda i: F.embedding_bag(i, X, torch.tensor([0, 1])), [0, 3], [0, 4]),
    "offsets": (lambda i: F.embedding_bag(torch.arange(4), X, i), [0, 4], [0, 5]),
    "one_hot": (lambda i: F.one_hot(i, 4), [0, 3], [0, 4]),
    "quantile": (lambda q: torch.quantile(X, q), [0.5, 1.0], [0.5, 1.5]),
    "normal": (lambda s: torch.normal(0.0, s), [1.0, 0.0], [1.0, -1.0]),
    "multinomial": (lambda p: torch.multinomial(p, 1), [1.0, 0.0], [1.0, math.inf]),
    "multinomial's sum": (lambda p: torch.multinomial(p, 1), [1.0, 0.0], [0.0, 0.0]),
    "gaussian_nll_loss": (lambda v: F.gaussian_nll_loss(X[0, :2], X[1, :2], v), [1.0, 2.0], [1.0, -1.0]),
    "repeat_interleave": (lambda n: X[:2].repeat_interleave(n, 0, output_size=3), [1, 2], [2, 2]),
    "repeat_interleave's sign": (lambda n: X[:2].repeat_interleave(n, 0, output_size=3), [1, 2], [4, -1]),
    "ctc_loss": (lambda n: F.ctc_loss(X.unsqueeze(1).log_softmax(2), torch.tensor([[1, 2]]), n[:1], n[1:]), [4, 2], [5, 2]),
    "ctc_loss's targets": (lambda n: F.ctc_loss(X.unsqueeze(1).log_softmax(2), torch.tensor([1, 2]), n[:1], n[1:]), [4, 2], [4, 1]),
    "masked_scatter": (lambda n: X.masked_scatter(torch.arange(4) < n[0], torch.ones(4)), [1, 0], [2, 0]),
    "get_total_norm": (lambda g: nn.utils.get_total_norm([g], 3.0, error_if_nonfinite=True), [1.0, 2.0], [1.0, math.nan]),
    "histc": (lambda x: torch.histc(x, 4), [1.0, 2.0], [1.0, math.nan]),
}


@pytest.mark.parametrize("name", CHECKS)
def test_checks_go_on(name):
    """A bad value is the same error in a repetition as in eager mode, and the step goes on with good ones."""
    step, good, bad = CHECKS[name]
    good, bad = torch.tensor(good), torch.tensor(bad)
    compiled = torch.compile(step, fullgraph=True)
    for _ in range(WARM):
        compiled(good)
    assert "repetitions" in compiled.explain()
    with pytest.raises(Exception) as eager:  # noqa: B017, PT011 - whatever it is
        step(bad)
    with pytest.raises(type(eager.value)) as repeated:
        compiled(bad)
    assert str(repeated.value).splitlines()[0] == str(eager.value).splitlines()[0]
    torch.manual_seed(1)
    want = step(good)
    torch.manual_seed(1)
    assert same(compiled(good), want)


# -- masks -------------------------------------------------------------------------------------------------------------------


def causal(n=5):
    return nn.Transformer.generate_square_subsequent_mask(n)


def other(n=5):
    return causal(n).t().contiguous()


def windowed(n=5):
    mask = causal(n)
    mask[4, 0] = -math.inf
    return mask


MASKS = {
    "causal": lambda k: causal(),
    "not causal": lambda k: windowed(),
    "now and then": lambda k: (causal, windowed, other)[k % 3](),
    "floats": lambda k: torch.full((5, 5), 0.1 * k),
}


def _train(model, parameters):
    """A step with gradients of everything, and what they are."""

    def step(x, mask):
        for p in parameters:
            p.grad = None
        out = model(x, mask)
        out.cos().sum().backward()
        return [out.detach().clone(), *[p.grad.detach().clone() for p in parameters]]

    return step


@pytest.mark.parametrize("masks", MASKS)
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("kind", ["encoder", "decoder", "padding", "half"])
def test_masks_are_looked_at_in_each_repetition(kind, dropout, masks):
    """A mask that is an argument: whether it is the causal one is found out anew, with the bits of eager mode."""
    torch.manual_seed(0)
    if kind == "decoder":
        net = nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16, dropout), 1)
        step = _train(lambda x, m: net(x, x, tgt_mask=m), list(net.parameters()))
    else:
        net = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, dropout), 2, enable_nested_tensor=False)
        padding = torch.tensor([[False] * 5, [False] * 3 + [True] * 2]) if kind == "padding" else None
        padding = None if padding is None else torch.zeros(2, 5).masked_fill(padding, -math.inf)


        def call(x, m):
            with torch.autocast("cpu", enabled=kind == "half"):
                return net(x, mask=m, src_key_padding_mask=padding)

        step = _train(call, list(net.parameters()))
    compare(step, lambda k: (torch.randn(5, 2, 8), MASKS[masks](k)))


@pytest.mark.parametrize("where", ["made in the step", "a buffer", "a variable"])
def test_constant_masks(where):
    """The usual ways to come by a causal mask."""
    net = nn.Transformer(8, 2, 1, 1, 16, dropout=0.1, batch_first=True)
    net.register_buffer("mask", causal())
    outside = causal()

    def step(x, y):
        mask = causal() if where == "made in the step" else net.mask if where == "a buffer" else outside
        net.zero_grad()
        out = net(x, y, tgt_mask=mask)
        out.cos().sum().backward()
        return [out.detach().clone(), net.encoder.layers[0].linear1.weight.grad.clone()]

    compare(step, lambda k: (torch.randn(2, 4, 8), torch.randn(2, 5, 8)))


def test_second_derivatives_of_masked_attention():
    """create_graph inside of a step whose mask turns out to be the causal one, or not."""
    layer = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, 0.0, activation="gelu"), 1, enable_nested_tensor=False)

    def step(x, mask):
        x = x.clone().requires_grad_()
        (g,) = torch.autograd.grad(layer(x, mask=mask).cos().sum(), x, create_graph=True)
        return torch.autograd.grad(g.square().sum(), [x])

    compare(step, lambda k: (torch.randn(5, 2, 8), (causal, windowed)[k % 2]()))


# -- what Python reads -------------------------------------------------------------------------------------------------------


def test_numbers_made_of_constants_may_be_read():
    """They are the same in every run; what depends on an argument is not."""

    def step(x):
        n = torch.arange(5).sum().item()
        return [x * n, x[torch.tensor([True, False, True])]]

    compare(step, lambda k: (torch.randn(3, 2),))
    with pytest.raises(RuntimeError, match="a value was read from a tensor"):
        compare(lambda x: [x * x.sum().item()], lambda k: (torch.randn(3),))


def test_memory_of_constants_may_not_be_handed_out():
    """NumPy could write to it, which nobody would see."""

    def step(x):
        t = torch.zeros(3) + 1
        t.numpy()[0] = 5
        return [x * t]

    with pytest.raises(RuntimeError, match="memory was handed to NumPy"):
        compare(step, lambda k: (torch.randn(3),))


# -- tensors of one call -----------------------------------------------------------------------------------------------------


def _fast_gradient_sign(alias):
    def step(x):
        y = alias(x).requires_grad_()
        y.sin().sum().backward()
        return [x + 0.1 * y.grad.sign()]

    return step


OWN = {
    "a copy as leaf": _fast_gradient_sign(lambda x: x.clone()),
    "an argument as leaf": _fast_gradient_sign(lambda x: x.detach()),
    "detach": lambda x: [x.detach().cos()],
    "data": lambda x: [x.data[1:].cos()],
    "dtype": lambda x: [x.view(torch.int32) + 1],
    "a module": lambda x: [nn.Linear(4, 2)(x).detach()],
    "one true": lambda x: [torch.isreal(x) & (x > 0)],
    "a mask's rows": lambda x: [_fill(x, x[:, 0] > 0)],
    "a mask in the middle": lambda x: [_fill(x.view(3, 2, 2), (slice(None), x[0, :2] > 0))],
}


def _fill(x, index):
    y = x.clone()
    y[index] = 7
    return y


@pytest.mark.parametrize("name", OWN)
def test_own_tensors(name):
    """What the function makes of an argument ties the recording to no memory, and is not kept."""
    compiled = compare(OWN[name], lambda k: (torch.randn(3, 4),))
    assert compiled._recordings == 2 and not compiled._leaves


def test_own_leaf_that_is_kept():
    """Its gradient would not be made anew, so the function runs as it is."""
    kept = []

    def step(x):
        y = x.clone().requires_grad_()
        y.sum().backward()
        kept.append(y)
        return [x + 1]

    with pytest.raises(RuntimeError, match="kept outside"):
        compare(step, lambda k: (torch.randn(3),))
