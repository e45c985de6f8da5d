"""Exported models, checked by onnx.checker and run by ONNX Runtime, give what the model gives."""

from __future__ import annotations

import io
import sys

import numpy as np
import onnx
import onnxruntime
import pytest

import rushlight as rl
from rushlight import nn
from rushlight.nn import functional as F
from rushlight.vision import models


def run(proto, *inputs):
    onnx.checker.check_model(proto, full_check=True)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    return session.run(None, dict(zip(names, [x.numpy() for x in inputs], strict=True)))


def expect(model, proto, *inputs):
    model.eval()
    with rl.no_grad():
        wanted = model(*inputs)
    wanted = list(flat(wanted))
    found = run(proto, *inputs)
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == b.numpy().dtype
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-4, atol=1e-4)


def flat(x):
    if isinstance(x, rl.Tensor):
        yield x
    else:
        for part in x:
            yield from flat(part)


def check(model, *inputs, dynamic=True, opset=18, batch_dim=0, **kwargs):
    """With the traced batch size, and with others if `dynamic`."""
    proto = rl.onnx.export(model, inputs, opset_version=opset, **kwargs)
    expect(model, proto, *inputs)
    if dynamic:
        names = [i.name for i in proto.graph.input][: len(inputs)]
        proto = rl.onnx.export(
            model, inputs, opset_version=opset, dynamic_axes={n: {batch_dim: "batch"} for n in names}, **kwargs
        )
        for n in (1, 2, 5):
            parts = [rl.cat([x] * n, batch_dim).narrow(batch_dim, 0, n).contiguous() for x in inputs]
            expect(model, proto, *parts)
    return proto


class Lambda(nn.Module):
    def __init__(self, fn):
        super().__init__()
        self.fn = fn

    def forward(self, *args):
        return self.fn(*args)


class Block(nn.Module):
    def __init__(self, c_in, c, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(c_in, c, 3, stride, 1, bias=False), nn.BatchNorm2d(c)
        self.conv2, self.bn2 = nn.Conv2d(c, c, 3, 1, 1, bias=False), nn.BatchNorm2d(c)
        self.relu = nn.ReLU(inplace=True)
        self.down = nn.Sequential(nn.Conv2d(c_in, c, 1, stride, bias=False), nn.BatchNorm2d(c)) if stride > 1 else None

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += x if self.down is None else self.down(x)
        return self.relu(y)


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1))
        self.layers = nn.Sequential(Block(8, 8, 1), Block(8, 16, 2))
        self.pool, self.fc = nn.AdaptiveAvgPool2d((1, 1)), nn.Linear(16, 10)

    def forward(self, x):
        return self.fc(rl.flatten(self.pool(self.layers(self.stem(x))), 1))


LENET = nn.Sequential(
    nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Sigmoid(), nn.MaxPool2d(2),
    nn.Flatten(), nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 10),
)  # fmt: skip
ALEXNET = nn.Sequential(
    nn.Conv2d(3, 8, 11, 4, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2), nn.Conv2d(8, 12, 5, padding=2, groups=2),
    nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d((3, 3)), nn.Flatten(), nn.Dropout(), nn.Linear(108, 10),
)  # fmt: skip


@pytest.mark.parametrize("opset", [17, 18])
@pytest.mark.parametrize("model, shape", [(LENET, (1, 1, 28, 28)), (ALEXNET, (2, 3, 63, 63)), (ResNet(), (2, 3, 32, 32))])
def test_image_classifiers(model, shape, opset):
    """LeNet, AlexNet and a residual net export with a dynamic batch."""
    for m in model.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.normal_()
            m.running_var.uniform_(0.5, 2)
    check(model, rl.randn(*shape), opset=opset)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "densenet121", "squeezenet1_1"])
def test_vision_models(name):
    """The models of `vision` export, whatever the batch."""
    check(getattr(models, name)(num_classes=7), rl.randn(1, 3, 64, 64))


def test_parameters_keep_their_names():
    """Initializers are named as in the state dict; without export_params they are inputs."""
    model = ResNet()
    proto = rl.onnx.export(model, rl.randn(2, 3, 32, 32), input_names=["image"], output_names=["logits"])
    names = {t.name for t in proto.graph.initializer}
    assert {n for n, _ in model.named_parameters()} <= names
    assert {"stem.1.running_mean", "stem.1.running_var", "layers.1.down.1.running_var"} <= names
    assert {n for n in model.state_dict() if not n.endswith("num_batches_tracked")} <= names
    assert [i.name for i in proto.graph.input] == ["image"] and [o.name for o in proto.graph.output] == ["logits"]
    proto = rl.onnx.export(model, rl.randn(2, 3, 32, 32), export_params=False)
    assert "fc.weight" in {i.name for i in proto.graph.input} - {t.name for t in proto.graph.initializer}
    assert model.training


ACTIVATIONS = [
    nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6(), nn.LeakyReLU(0.1), nn.ELU(1.5), nn.SELU(), nn.CELU(0.7), nn.GELU(),
    nn.GELU("tanh"), nn.SiLU(), nn.Mish(), nn.Softplus(2, 1), nn.Softsign(), nn.Tanh(), nn.Sigmoid(), nn.Hardtanh(-0.5, 0.7),
    nn.Hardsigmoid(), nn.Hardswish(), nn.Hardshrink(), nn.Softshrink(0.3), nn.Tanhshrink(), nn.Threshold(0.1, -2), nn.LogSigmoid(),
    nn.PReLU(), nn.PReLU(6), nn.GLU(), nn.Softmax(1), nn.LogSoftmax(-1), nn.Softmin(1),
]  # fmt: skip


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
def test_activations(activation):
    """A layer with each activation."""
    check(nn.Sequential(nn.Linear(4, 6), activation), rl.randn(3, 4) * 3)


FUNCTIONS = {
    "arithmetic": lambda x: (x + 1) * 2 - x / 3 + (1 - x) ** 2 + rl.add(x, x, alpha=0.5),
    "elementary": lambda x: x.exp() + x.abs().sqrt() + (x * x + 1).log() + x.sin().cos() + (x.abs() + 1).rsqrt() + x.erf(),
    "compare": lambda x: rl.where((x > 0) & (x <= 1), x, -x),
    "integers": lambda x: (x > 0).sum(1) + x.argmax(1),
    "clamp": lambda x: x.clamp(-0.5, 0.5) + x.clamp(min=0) + rl.maximum(x, -x),
    "masked": lambda x: x.masked_fill(x > 0, -1.0),
    "cat": lambda x: rl.cat([x, x * 2], 1),
    "stack": lambda x: rl.stack([x, x * 2], 1).sum(1),
    "transpose": lambda x: x.transpose(1, 2).permute(0, 2, 1).unsqueeze(1).squeeze(1).mT,
    "slice": lambda x: x[:, 1:, ::2] + x[:, :-1, 1:2],
    "batch slice": lambda x: x[1:] if x.size(0) > 1 else x[1:],
    "select": lambda x: x[:, -1] + x[:, 0],
    "index_select": lambda x: x.index_select(1, rl.tensor([2, 0])),
    "reshape": lambda x: x.reshape(x.size(0), -1).view(-1, 2, 6).flatten(1),
    "merge": lambda x: (x.reshape(-1, 4) * 2).reshape(x.shape),
    "expand": lambda x: x.mean(1, keepdim=True).expand(-1, 5, -1),
    "expand batch": lambda x: rl.arange(3.0).reshape(1, 3, 1).expand(x.size(0), 3, 4) * x,
    "zeros": lambda x: x + rl.zeros(x.size(0), 3, 4),
    "repeat": lambda x: x.repeat(1, 2, 3),
    "matmul": lambda x: x @ x.mT @ rl.ones(3, 2),
    "bmm": lambda x: rl.bmm(x, x.transpose(1, 2)),
    "reductions": lambda x: x.sum(1) + x.mean(1) + x.amax(1) + x.prod(1) + x.var(1) + x.std(1) + x.max(1)[0] + x.norm(dim=1),
    "to one": lambda x: x.sum(),
    "logsumexp": lambda x: x.logsumexp(2),
    "chunk": lambda x: x.chunk(2, 2)[1] + x.split([2, 2], 2)[0],
    "unbind": lambda x: x.unbind(1)[2],
    "cast": lambda x: x.to(rl.int32).float() + x.double().float(),
    "norms": lambda x: F.layer_norm(x, (4,)) + F.layer_norm(x, (3, 4)) + F.group_norm(x, 3) + F.rms_norm(x, (4,)),
    "pad": lambda x: F.pad(x, (1, 2)),
    "normalize": lambda x: F.normalize(x, dim=2),
    "in place": lambda x: x.clone().add_(1).mul_(2).relu_(),
    "triangle": lambda x: x.tril() + x.triu(1),
    "flip": lambda x: x.flip(1),
    "cumsum": lambda x: x.cumsum(1),
    "remainder": lambda x: x % 0.7 + x.fmod(0.7) + (x * 9).int() % 4,
    "logic": lambda x: (x > 0).any(1) & (x > -1).all(1),
    "sort": lambda x: x.sort(2)[0] + x.topk(4, 2, largest=True)[0],
    "roll": lambda x: x.roll((1, -1), (1, 2)),
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x),
    "einsum": lambda x: rl.einsum("bij,bkj->bik", x, x),
    "two outputs": lambda x: (x * 2, [x[:, 0]]),
    "input as output": lambda x: x,
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("opset", [17, 18])
def test_functions(name, opset):
    """Expressions on a batch of matrices."""
    check(Lambda(FUNCTIONS[name]), rl.randn(2, 3, 4), opset=opset)


@pytest.mark.parametrize(
    "layer, shape",
    [
        (nn.Conv1d(3, 4, 3, padding="same"), (2, 3, 9)),
        (nn.Conv3d(2, 3, 2), (2, 2, 4, 4, 4)),
        (nn.ConvTranspose2d(3, 2, 3, 2, 1, output_padding=1), (2, 3, 5, 5)),
        (nn.MaxPool1d(2), (2, 3, 8)),
        (nn.MaxPool2d(3, 2, ceil_mode=True), (2, 3, 8, 8)),
        (nn.AvgPool2d(3, 2, 1, count_include_pad=False), (2, 3, 8, 8)),
        (nn.AdaptiveMaxPool2d(2), (2, 3, 8, 8)),
        (nn.AdaptiveAvgPool2d((2, 4)), (2, 3, 8, 8)),
        (nn.AdaptiveAvgPool2d((3, 5)), (2, 3, 7, 7)),
        (nn.BatchNorm1d(4), (3, 4)),
        (nn.BatchNorm1d(4, affine=False), (3, 4, 5)),
        (nn.InstanceNorm2d(3, affine=True, track_running_stats=True), (2, 3, 4, 4)),
        (nn.GroupNorm(2, 4), (2, 4, 3, 3)),
        (nn.InstanceNorm2d(3), (2, 3, 4, 4)),
        (nn.BatchNorm2d(3, track_running_stats=False), (2, 3, 4, 4)),
        (nn.Upsample(scale_factor=2), (2, 3, 4, 4)),
        (nn.Upsample((7, 3), mode="bilinear"), (2, 3, 4, 4)),
        (nn.Upsample(9, mode="linear", align_corners=True), (2, 3, 4)),
        (nn.Upsample(scale_factor=1.5, mode="bicubic"), (2, 3, 4, 4)),
        (nn.ReflectionPad2d((1, 2, 0, 1)), (2, 3, 4, 4)),
        (nn.Conv2d(3, 2, 3, padding=1, padding_mode="circular"), (2, 3, 4, 4)),
        (nn.PixelShuffle(2), (2, 4, 3, 3)),
        (nn.Bilinear(3, 3, 2), (2, 3)),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, nn.Module) else None,
)
def test_layers(layer, shape):
    """Other layers on a batch."""
    x = rl.randn(*shape)
    check(layer, *([x, rl.randn(*shape)] if isinstance(layer, nn.Bilinear) else [x]))


@pytest.mark.parametrize("opset", [18, 20])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_grid_sample(mode, opset):
    sample = Lambda(lambda x, g: F.grid_sample(x, g, mode, "reflection", align_corners=False))
    check(sample, rl.randn(2, 3, 5, 6), rl.rand(2, 4, 7, 2) * 2.4 - 1.2, opset=opset)


def test_embedding():
    """Integer inputs."""
    check(nn.Sequential(nn.Embedding(10, 4), nn.Flatten(), nn.Linear(12, 2)), rl.tensor([[1, 2, 3], [7, 8, 9]]))


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "num_layers": 2}, {"bias": False}], ids=["plain", "deep", "free"])
def test_recurrent(kind, options):
    """A recurrent layer is one node per layer and direction; batch and length may vary."""
    model = kind(3, 4, batch_first=True, **options)
    check(model, rl.randn(2, 5, 3))
    proto = rl.onnx.export(model, rl.randn(2, 5, 3), input_names=["x"], dynamic_axes={"x": {0: "batch", 1: "time"}})
    nodes = [n.op_type for n in proto.graph.node]
    assert nodes.count(kind.__name__) == (4 if options.get("bidirectional") else 1)
    for shape in ((3, 7, 3), (1, 1, 3)):
        expect(model, proto, rl.randn(*shape))


def test_recurrent_variants():
    """An initial state, the other activation, and projections, which are unrolled over a fixed length."""
    check(nn.RNN(3, 4, nonlinearity="relu"), rl.randn(5, 2, 3), batch_dim=1)
    check(nn.GRU(3, 4), rl.randn(5, 2, 3), rl.randn(1, 2, 4), batch_dim=1)
    check(nn.LSTM(3, 4, proj_size=2), rl.randn(5, 2, 3), batch_dim=1)
    check(Calling(nn.LSTM(3, 4), lambda m, x, h, c: m(x, (h, c))), rl.randn(5, 2, 3), *[rl.randn(1, 2, 4)] * 2, batch_dim=1)


def test_packed_sequences_have_no_form():
    """A packed batch is named in the error."""
    packing = Calling(nn.LSTM(3, 4), lambda m, x: m(nn.utils.rnn.pack_padded_sequence(x, rl.tensor([5, 3])))[0].data)
    with pytest.raises(RuntimeError, match="inner: lstm: packed sequences cannot be exported"):
        rl.onnx.export(packing, rl.randn(5, 2, 3))


def test_transformer():
    """An encoder with a dynamic batch, and with a dynamic batch and length."""
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)
    x = rl.randn(2, 5, 8)
    check(model, x)
    proto = rl.onnx.export(model, x, input_names=["x"], dynamic_axes={"x": {0: "batch", 1: "time"}})
    for shape in ((3, 7, 8), (4, 2, 8)):
        expect(model, proto, rl.randn(*shape))


def test_masked_attention():
    """A causal mask is a constant of the graph; the decoder takes two inputs."""
    mask = nn.Transformer.generate_square_subsequent_mask(5)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)
    check(Calling(layer, lambda m, x: m(x, src_mask=mask, is_causal=True)), rl.randn(2, 5, 8))
    check(nn.Transformer(8, 2, 1, 1, 16, batch_first=True), rl.randn(2, 5, 8), rl.randn(2, 4, 8))


class Calling(nn.Module):
    def __init__(self, inner, call):
        super().__init__()
        self.inner, self.call = inner, call

    def forward(self, *inputs):
        return self.call(self.inner, *inputs)


def test_dynamic_image_size():
    """Height and width may vary where the ops allow it."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    proto = rl.onnx.export(model, rl.randn(1, 3, 8, 8), dynamic_axes={"input": {0: "n", 2: "h", 3: "w"}})
    expect(model, proto, rl.randn(3, 3, 12, 10))


def test_positions_from_the_end():
    """Positions counted from the end of a dynamic axis stay there; others that depend on its size are errors."""
    fn = Lambda(lambda x: (x[:, -1], x[:, :-1], x[:, -2:], x[:, 1:-1], x[:, ::2], x[:, 0]))
    options = {"input_names": ["x"], "dynamic_axes": {"x": {0: "batch", 1: "time"}}}
    proto = rl.onnx.export(fn, rl.randn(2, 5, 3), **options)
    for shape in ((2, 5, 3), (3, 8, 3), (1, 3, 3)):
        expect(fn, proto, rl.randn(*shape))
    assert "depends on the input" in error(lambda x: x[:, x.size(1) // 2], rl.randn(2, 5, 3), **options)


def test_files_and_names(tmp_path):
    """A path or a file object; dynamic axes carry their names."""
    model, x = nn.Linear(3, 2), rl.randn(4, 3)
    options = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": {"x": {0: "batch"}, "y": {0: "batch"}}}
    rl.onnx.export(model, (x,), tmp_path / "m.onnx", **options)
    buffer = io.BytesIO()
    rl.onnx.export(model, x, buffer, **options)
    assert buffer.getvalue() == (tmp_path / "m.onnx").read_bytes()
    proto = onnx.load(tmp_path / "m.onnx")
    assert proto.graph.output[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert proto.opset_import[0].version == 18


def error(fn, *inputs, **options):
    with pytest.raises(RuntimeError) as e:
        rl.onnx.export(Lambda(fn), inputs, **options)
    return str(e.value)


def test_errors_name_module_and_op():
    """What cannot be expressed is an error that says where."""
    model = nn.Sequential(nn.Linear(3, 3), nn.Sequential(Lambda(lambda x: rl.linalg.inv(x))))
    with pytest.raises(RuntimeError, match=r"^1\.0: inv has no ONNX lowering$"):
        rl.onnx.export(model, rl.randn(3, 3))


def test_data_dependence_is_an_error():
    """Values read from the input in Python would be frozen; in-place writes through other views would be lost."""
    x = rl.randn(3, 4)
    assert "depends on the input" in error(lambda x: x * x.sum().item(), x)
    assert "depends on the input" in error(lambda x: x + rl.randn(3, 4), x)
    assert "depends on the input" in error(lambda x: x * x.size(0), x, dynamic_axes={"x": [0]}, input_names=["x"])

    def into_a_constant(x):
        y = rl.zeros_like(x)
        y[:] = x
        return y

    assert "depends on the input" in error(into_a_constant, x)
    assert "depends on the input" in error(into_a_constant, rl.arange(6))

    def through_a_view(x):
        y = x * 2
        y[0] = 1.0
        return y

    assert "written in place" in error(through_a_view, x)


def test_wrong_arguments():
    """Names that do not exist, opsets that are not supported, too many names."""
    model, x = nn.Linear(3, 2), rl.randn(4, 3)
    with pytest.raises(ValueError, match="opset_version must be 17 to 20"):
        rl.onnx.export(model, x, opset_version=9)
    with pytest.raises(RuntimeError, match="neither an input"):
        rl.onnx.export(model, x, dynamic_axes={"z": {0: "batch"}})
    with pytest.raises(RuntimeError, match="input names provided"):
        rl.onnx.export(model, x, input_names=["a", "b"])


def test_missing_package(monkeypatch):
    """Without onnx the error says what to install."""
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'rushlight\[onnx\]'"):
        rl.onnx.export(nn.Linear(1, 1), rl.randn(1, 1))


def _pruned(layer):
    nn.utils.prune.l1_unstructured(layer, "weight", 0.5)
    return layer


P = nn.utils.parametrizations
WEIGHTS = {
    "weight_norm": lambda: P.weight_norm(nn.Linear(3, 4)),
    "weight_norm-last": lambda: P.weight_norm(nn.Linear(3, 4), dim=1),
    "weight_norm-bias": lambda: P.weight_norm(nn.Linear(3, 4), "bias"),
    "weight_norm-all": lambda: P.weight_norm(nn.Linear(3, 4), dim=None),
    "spectral_norm": lambda: P.spectral_norm(nn.Linear(3, 4)),
    "spectral_norm-hook": lambda: nn.utils.spectral_norm(nn.Linear(3, 4)),
    "orthogonal-exp": lambda: P.orthogonal(nn.Linear(3, 3)),
    "orthogonal-cayley": lambda: P.orthogonal(nn.Linear(3, 4), orthogonal_map="cayley"),
    "orthogonal-householder": lambda: P.orthogonal(nn.Linear(3, 4)),
    "pruned": lambda: _pruned(nn.Linear(3, 4)),
    "adaptive": lambda: Lambda(nn.AdaptiveLogSoftmaxWithLoss(3, 8, [2, 5], div_value=1.5).log_prob),
}


@pytest.mark.parametrize("opset", [17, 18])
@pytest.mark.parametrize("name", WEIGHTS)
def test_computed_weights(name, opset):
    """Weights that parametrizations and hooks compute; of ops that ONNX lacks the value is written."""
    rl.manual_seed(0)
    check(WEIGHTS[name](), rl.randn(2, 3), opset=opset)


def test_parametrized_weights_keep_their_names():
    """The originals are in the file, and the weight is computed from them."""
    proto = rl.onnx.export(P.weight_norm(nn.Linear(3, 4)), (rl.ones(1, 3),))
    assert {"parametrizations.weight.original0", "parametrizations.weight.original1", "bias"} <= {
        t.name for t in proto.graph.initializer}  # fmt: skip


def test_an_op_on_the_input_is_never_a_constant():
    """matrix_exp of the input, and random windows, cannot be expressed."""
    with pytest.raises(RuntimeError, match="matrix_exp has no ONNX lowering"):
        rl.onnx.export(Lambda(rl.matrix_exp), (rl.ones(2, 2),))
    with pytest.raises(RuntimeError, match="FractionalMaxPool2d: fractional_max_pool2d has no ONNX lowering"):
        rl.onnx.export(nn.FractionalMaxPool2d(2, 2), (rl.ones(1, 1, 4, 4),))


def test_cross_map_lrn_and_conv_tbc():
    """Layers made of other ops export through them."""
    check(nn.CrossMapLRN2d(3, 0.5), rl.randn(2, 5, 3, 3))
    check(Lambda(lambda x: F.conv_tbc(x, rl.ones(2, 3, 4), rl.ones(4), 1)), rl.randn(5, 2, 3), dynamic=False)
