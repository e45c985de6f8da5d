"""`autocast`: which function runs in which type is PyTorch's own table; values are those of PyTorch's bfloat16."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
import torch as oracle

import rushlight as torch

# name -> call(T, x), where x(*shape) makes a tensor of the type under test
TABLE = {
    "linear": lambda T, x: T.nn.functional.linear(x(4, 4), x(4, 4), x(4)),
    "matmul": lambda T, x: x(4, 4) @ x(4, 4),
    "matmul batched": lambda T, x: T.matmul(x(2, 4, 4), x(2, 4, 4)),
    "mm": lambda T, x: T.mm(x(4, 4), x(4, 4)),
    "bmm": lambda T, x: T.bmm(x(2, 4, 4), x(2, 4, 4)),
    "mv": lambda T, x: T.mv(x(4, 4), x(4)),
    "dot": lambda T, x: T.dot(x(4), x(4)),
    "addmm": lambda T, x: T.addmm(x(4, 4), x(4, 4), x(4, 4)),
    "addmv": lambda T, x: T.addmv(x(4), x(4, 4), x(4)),
    "baddbmm": lambda T, x: T.baddbmm(x(2, 4, 4), x(2, 4, 4), x(2, 4, 4)),
    "addbmm": lambda T, x: T.addbmm(x(4, 4), x(2, 4, 4), x(2, 4, 4)),
    "outer": lambda T, x: T.outer(x(4), x(4)),
    "inner": lambda T, x: T.inner(x(4, 4), x(4, 4)),
    "tensordot": lambda T, x: T.tensordot(x(4, 4), x(4, 4), 1),
    "einsum": lambda T, x: T.einsum("ij,jk->ik", x(4, 4), x(4, 4)),
    "vecdot": lambda T, x: T.linalg.vecdot(x(4, 4), x(4, 4)),
    "conv1d": lambda T, x: T.nn.functional.conv1d(x(1, 2, 8), x(3, 2, 3)),
    "conv2d": lambda T, x: T.nn.functional.conv2d(x(1, 2, 8, 8), x(3, 2, 3, 3), x(3)),
    "conv3d": lambda T, x: T.nn.functional.conv3d(x(1, 2, 4, 4, 4), x(3, 2, 3, 3, 3)),
    "conv_transpose2d": lambda T, x: T.nn.functional.conv_transpose2d(x(1, 2, 8, 8), x(2, 3, 3, 3)),
    "attention": lambda T, x: T.nn.functional.scaled_dot_product_attention(x(1, 2, 4, 4), x(1, 2, 4, 4), x(1, 2, 4, 4)),
    "prelu": lambda T, x: T.nn.functional.prelu(x(4), x(1)),
    "softmax": lambda T, x: T.nn.functional.softmax(x(4, 4), 1),
    "layer_norm": lambda T, x: T.nn.functional.layer_norm(x(4, 4), (4,), T.ones(4), T.ones(4)),
    "batch_norm": lambda T, x: T.nn.functional.batch_norm(x(4, 4), None, None, T.ones(4), T.ones(4), training=True),
    "group_norm": lambda T, x: T.nn.functional.group_norm(x(2, 4, 4), 2, T.ones(4), T.ones(4)),
    "gelu": lambda T, x: T.nn.functional.gelu(x(4)),
    "exp": lambda T, x: x(4).exp(),
    "sum": lambda T, x: x(4).sum(),
    "prod": lambda T, x: x(4, 4).prod(1),
    "cumsum": lambda T, x: x(4).cumsum(0),
    "norm": lambda T, x: x(4).norm(),
    "cdist": lambda T, x: T.cdist(x(4, 4), x(4, 4)),
    "trace": lambda T, x: x(4, 4).trace(),
    "quantile": lambda T, x: T.quantile(x(4), 0.5),
    "mse_loss": lambda T, x: T.nn.functional.mse_loss(x(4), x(4)),
    "mse_loss, mixed": lambda T, x: T.nn.functional.mse_loss(x(4), T.ones(4)),
    "l1_loss": lambda T, x: T.nn.functional.l1_loss(x(4), x(4)),
    "smooth_l1_loss": lambda T, x: T.nn.functional.smooth_l1_loss(x(4), x(4)),
    "huber_loss": lambda T, x: T.nn.functional.huber_loss(x(4), x(4)),
    "cross_entropy": lambda T, x: T.nn.functional.cross_entropy(x(3, 4), T.tensor([0, 1, 2])),
    "nll_loss": lambda T, x: T.nn.functional.nll_loss(x(3, 4), T.tensor([0, 1, 2])),
    "binary_cross_entropy": lambda T, x: T.nn.functional.binary_cross_entropy(x(4), x(4)),
    "binary_cross_entropy_with_logits": lambda T, x: T.nn.functional.binary_cross_entropy_with_logits(x(4), x(4)),
    "kl_div": lambda T, x: T.nn.functional.kl_div(x(4), x(4), reduction="sum"),
    "cosine_embedding_loss": lambda T, x: T.nn.functional.cosine_embedding_loss(x(4, 4), x(4, 4), T.ones(4)),
    "hinge_embedding_loss": lambda T, x: T.nn.functional.hinge_embedding_loss(x(4), T.ones(4)),
    "margin_ranking_loss": lambda T, x: T.nn.functional.margin_ranking_loss(x(4), x(4), T.ones(4)),
    "soft_margin_loss": lambda T, x: T.nn.functional.soft_margin_loss(x(4), T.ones(4)),
    "triplet_margin_loss": lambda T, x: T.nn.functional.triplet_margin_loss(x(4, 4), x(4, 4), x(4, 4)),
    "poisson_nll_loss": lambda T, x: T.nn.functional.poisson_nll_loss(x(4), x(4)),
    "multi_margin_loss": lambda T, x: T.nn.functional.multi_margin_loss(x(3, 4), T.tensor([0, 1, 2])),
    "avg_pool2d": lambda T, x: T.nn.functional.avg_pool2d(x(1, 1, 4, 4), 2),
    "avg_pool3d": lambda T, x: T.nn.functional.avg_pool3d(x(1, 1, 4, 4, 4), 2),
    "max_pool2d": lambda T, x: T.nn.functional.max_pool2d(x(1, 1, 4, 4), 2),
    "max_pool3d": lambda T, x: T.nn.functional.max_pool3d(x(1, 1, 4, 4, 4), 2),
    "adaptive_avg_pool3d": lambda T, x: T.nn.functional.adaptive_avg_pool3d(x(1, 1, 4, 4, 4), 2),
    "interpolate": lambda T, x: T.nn.functional.interpolate(x(1, 1, 4, 4), scale_factor=2, mode="bilinear"),
    "grid_sample": lambda T, x: T.nn.functional.grid_sample(x(1, 1, 4, 4), x(1, 4, 4, 2), align_corners=False),
    "inv": lambda T, x: T.linalg.inv(T.eye(3) + 0 * x(3, 3)),
    "embedding": lambda T, x: T.nn.functional.embedding(T.tensor([0]), x(3, 4)),
    "add, mixed": lambda T, x: x(4) + T.ones(4),
    "cat, mixed": lambda T, x: T.cat([x(4), T.ones(4)]),
    "index_copy, mixed": lambda T, x: x(4).index_copy(0, T.tensor([0]), T.ones(1)),
}  # fmt: skip


def _maker(T, seed, dtype):
    rng = np.random.default_rng(seed)
    return lambda *shape: T.tensor(rng.random(shape, dtype=np.float32)).to(dtype)


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_types_and_values(name, dtype):
    results = []
    for T in (oracle, torch):
        with T.autocast("cpu"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                out = TABLE[name](T, _maker(T, 0, getattr(T, dtype)))
            except RuntimeError as error:
                out = error
        results.append(out)
    theirs, ours = results
    if isinstance(theirs, RuntimeError):
        assert isinstance(ours, RuntimeError) and str(ours) == str(theirs)
        return
    assert str(ours.dtype) == str(theirs.dtype)
    np.testing.assert_allclose(ours.double().numpy(), theirs.double().numpy(), rtol=2e-2, atol=1e-2)


_SHAPES = [(1, 1, 1), (3, 5, 7), (14, 16, 32), (15, 33, 33), (70, 129, 65), (40, 320, 17), (0, 3, 4), (3, 0, 4), (64, 784, 256)]


@pytest.mark.parametrize("shape", _SHAPES)
@pytest.mark.parametrize("layout", ["nn", "nt", "tn", "tt", "strided"])
def test_products_of_bfloat16(shape, layout):
    """Every operand layout: one rounding of a float32 sum."""
    m, k, n = shape
    rng = np.random.default_rng(1)
    a, b = (torch.tensor(rng.standard_normal(s).astype(np.float32)).bfloat16() for s in ((m, k), (k, n)))
    want = (a.double() @ b.double()).numpy()
    if layout == "strided":
        a, b = (torch.stack([t, t], -1)[..., 0] for t in (a, b))
    else:
        a = a.t().contiguous().t() if layout[0] == "t" else a
        b = b.t().contiguous().t() if layout[1] == "t" else b
    out = a @ b
    assert out.dtype is torch.bfloat16
    scale = np.abs(a.double().numpy()) @ np.abs(b.double().numpy()) if k else 1.0
    assert (np.abs(out.double().numpy() - want) <= 2**-8 * np.abs(want) + 1e-5 * scale + 1e-30).all()
    batched = torch.stack([a, a]) @ torch.stack([b, b])
    assert torch.equal(batched[0], out) and torch.equal(batched[1], out)
    bias = torch.tensor(rng.standard_normal(n).astype(np.float32)).bfloat16()
    added = torch.nn.functional.linear(a, b.t(), bias).double().numpy()
    want = want + bias.double().numpy()
    assert (np.abs(added - want) <= 2**-8 * np.abs(want) + 1e-5 * scale + 1e-30).all()


def test_special_values_of_bfloat16_products():
    inf, nan = float("inf"), float("nan")
    a = torch.tensor([[inf, 1.0], [nan, 1.0], [1.0, 1.0]]).bfloat16()
    out = (a @ torch.ones(2, 20).bfloat16()).float()
    assert out[0, 0] == inf and out[1, 19].isnan() and out[2, 5] == 2


def _network(T):
    T.manual_seed(0)
    nn = T.nn
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 32),
                         nn.LayerNorm(32), nn.GELU(), nn.Linear(32, 4))  # fmt: skip


def _losses(T, wrap=lambda step: step, steps=8):
    model = _network(T)
    optimizer = T.optim.Adam(model.parameters(), 1e-2)
    rng = np.random.default_rng(0)
    x, y = T.tensor(rng.random((16, 1, 8, 8), dtype=np.float32)), T.tensor(rng.integers(0, 4, 16))

    def step(x, y):
        optimizer.zero_grad()
        with T.autocast("cpu", dtype=T.bfloat16):
            loss = T.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    step = wrap(step)
    losses = [step(x, y).item() for _ in range(steps)]
    assert all(p.dtype is T.float32 and p.grad.dtype is T.float32 for p in model.parameters())
    return losses


def test_training_follows_pytorch():
    np.testing.assert_allclose(_losses(torch), _losses(oracle), rtol=0.05, atol=0.02)


def test_compiled_step_has_the_same_bits():
    compiled = []

    def wrap(step):
        compiled.append(torch.compile(step, fullgraph=True))
        return compiled[0]

    assert _losses(torch, wrap, 24) == _losses(torch, steps=24)
    assert compiled[0]._steps[0].native.runs > 0


def test_compiled_step_knows_the_context_around_it():
    layer = torch.nn.Linear(4, 4)
    compiled = torch.compile(lambda x: layer(x).detach() * 1)
    x = torch.rand(2, 4)
    for _ in range(5):
        assert compiled(x).dtype is torch.float32
        with torch.autocast("cpu"):
            assert compiled(x).dtype is torch.bfloat16


def test_a_weight_is_cast_once():
    layer = torch.nn.Linear(4, 4, bias=False)
    x = torch.rand(2, 4)
    with torch.autocast("cpu"):
        first, second = layer(x), layer(x)
    assert first.grad_fn.next_functions[0][0] is second.grad_fn.next_functions[0][0]
    with torch.autocast("cpu", cache_enabled=False):
        first, second = layer(x), layer(x)
    assert first.grad_fn.next_functions[0][0] is not second.grad_fn.next_functions[0][0]


def test_a_weight_that_was_written_is_cast_anew():
    layer = torch.nn.Linear(2, 2, bias=False)
    with torch.autocast("cpu"):
        before = layer(torch.ones(1, 2))
        with torch.no_grad():
            layer.weight.zero_()
        assert layer(torch.ones(1, 2)).abs().sum() == 0 and before.abs().sum() > 0


def test_nesting_and_decorators():
    a = torch.rand(3, 3)
    with torch.autocast("cpu"):
        assert torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") is torch.bfloat16
        with torch.autocast("cpu", enabled=False):
            assert (a @ a).dtype is torch.float32 and not torch.is_autocast_enabled("cpu")
        with torch.autocast("cpu", dtype=torch.float16):
            assert (a @ a).dtype is torch.float16
        with pytest.raises(ValueError, match="inside"), torch.autocast("cpu", enabled=False):
            raise ValueError("inside")
        assert (a @ a).dtype is torch.bfloat16

    @torch.autocast("cpu")
    def product(x):
        return x @ x

    assert product(a).dtype is torch.bfloat16 and (a @ a).dtype is torch.float32


def test_recurrent_layers():
    for kind in ("LSTM", "RNN", "GRU"):
        kinds = []
        for T in (oracle, torch):
            with T.autocast("cpu"):
                kinds.append(str(getattr(T.nn, kind)(4, 4)(T.zeros(3, 2, 4))[0].dtype))
        assert kinds[0] == kinds[1]


def test_what_is_refused():
    with pytest.warns(UserWarning, match="target dtype is not supported"), torch.autocast("cpu", dtype=torch.float32):
        assert not torch.is_autocast_enabled("cpu")
    with pytest.raises(RuntimeError, match="unsupported autocast device_type 'tpu'"):
        torch.autocast("tpu")
    with pytest.raises(ValueError, match="Expected `device_type` of type `str`"):
        torch.autocast(torch.device("cpu"))
    with pytest.warns(UserWarning, match="CUDA is not available or torch_xla"), torch.autocast("cuda"):
        assert (torch.rand(2, 2) @ torch.rand(2, 2)).dtype is torch.float32
    with pytest.warns(FutureWarning, match="deprecated"), torch.cpu.amp.autocast():
        assert (torch.rand(2, 2) @ torch.rand(2, 2)).dtype is torch.bfloat16


def test_functions_stay_functions():
    F = torch.nn.functional
    assert pickle.loads(pickle.dumps(F.cross_entropy)) is F.cross_entropy
    assert F.linear.__name__ == "linear" and "bias" in F.linear.__doc__
    assert torch.rand(2, 3).matmul(torch.rand(3, 2)).shape == (2, 2)


def test_custom_functions():
    seen = []

    class Double(torch.autograd.Function):
        @staticmethod
        @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)
        def forward(ctx, x):
            seen.append((x.dtype, torch.is_autocast_enabled("cpu")))
            return x * 2

        @staticmethod
        @torch.amp.custom_bwd(device_type="cpu")
        def backward(ctx, g):
            seen.append(torch.is_autocast_enabled("cpu"))
            return g * 2

    x = torch.ones(2, dtype=torch.bfloat16, requires_grad=True)
    with torch.autocast("cpu"):
        Double.apply(x).sum().backward()
    assert seen == [(torch.float32, False), False] and x.grad.float().tolist() == [2.0, 2.0]
