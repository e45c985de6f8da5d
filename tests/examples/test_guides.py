"""The guides' scripts run, and print the numbers that the guides print."""

import re
import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

# Lines that each script prints, in this order.
PRINTED = {
    "layers": """
        (hidden): Linear(in_features=784, out_features=256, bias=True)
        tensor([-2., -1.,  0.,  1.,  2.])
        (3): Parameter containing: [torch.float32 of size 4x1]
        ['params.0', 'params.1', 'params.2', 'params.3']
        (linear3): Parameter containing: [torch.FloatTensor of size 4x2]
        torch.Size([1, 2])""",
    "convolution": """
        torch.Size([8, 8])
        torch.Size([8, 8])
        torch.Size([2, 2])
        learned [1.0, -1.0]
        tensor([[4., 5.],
        [7., 8.]])
        tensor([[2., 3.],
        [5., 6.]])""",
    "lenet": """
        (conv1): Conv2d(1, 6, kernel_size=(5, 5), stride=(1, 1))
        (fc1): Linear(in_features=400, out_features=120, bias=True)
        10
        torch.Size([6, 1, 5, 5])
        61706
        torch.Size([1, 10])
        torch.Size([6, 28, 28])""",
    "alexnet": """
        (2): MaxPool2d(kernel_size=3, stride=2, padding=0, dilation=1, ceil_mode=False)
        (0): Linear(in_features=6400, out_features=4096, bias=True)
        (2): Dropout(p=0.5, inplace=False)
        46764746
        torch.Size([1, 10])""",
    "initialisation": """
        True False
        tensor([[0.3000, 0.3000, 0.3000, 0.3000, 0.3000, 0.3000, 0.3000, 0.3000, 0.3000,
        conv bias tensor([0.3000]) linear bias tensor([0.])
        gain tanh 1.6667
        gain leaky_relu 1.4141
        Mode fan__in not supported, please use one of ['fan_in', 'fan_out']
        Unsupported nonlinearity leakyrelu""",
    "losses": """
        BCE BinaryCrossEntropyBackward0
        CrossEntropy NllLossBackward0
        L1Loss MeanBackward0
        MSELoss MseLossBackward0
        SmoothL1Loss SmoothL1LossBackward0
        SmoothL1 and L1 at the ends: 9.5 10.0, in the middle: 2.0006e-06 2.0003e-03
        KLDiv as in the guide tensor(-0.3335)
        KLDiv tensor(0.3553)
        MultiLabelMargin tensor(0.4500)
        SoftMargin tensor(0.6764)
        MultiMargin tensor(0.6000)
        Triplet MeanBackward0
        HingeEmbedding tensor(0.7667)
        0D or 1D target tensor expected, multi-target not supported
        CosineEmbedding tensor(0.5000)
        CTC padded and joined agree: True""",
    "optimizer_state": """
        tensor([[ 1.8347, -0.1059],
        [ 2.0897, -0.1895]])
        tensor([[0., 0.],
        same object: True
        [['params', 'lr', 'momentum'], ['params', 'lr', 'nesterov']]
        buffer before tensor([[1., 1.],
        buffer after tensor([[0.0052, 0.0052],
        tensor([[ 0.9393, -1.0013],
        [ 1.1943, -1.0849]])
        load state_dict successfully [0.1, 0.0001]
        {'lr': 0.1, 'momentum': 0.9, 'dampening': 0, 'weight_decay': 0, 'nesterov': False}""",
    "training_loop": """
        cpu
        torch.Size([16, 3, 12, 12]) torch.Size([12, 12, 3]) 32
        Accuracy: 1.00""",
    "layer_groups": """
        [1e-05, 0.01]
        trained 1,692,648 of 11,689,512""",
    "clipping": """
        tensor([1.4142, 2.2361, 5.0000])
        max_norm=1, norm_type=1, total_norm=265.0, first=0.471698
        max_norm=1, norm_type=2, total_norm=153.3786163330078, first=0.814977
        max_norm=1, norm_type=3, total_norm=135.168
        max_norm=1, norm_type=4, total_norm=129.3491
        max_norm=1, norm_type=inf, total_norm=125.0, first=1.0
        total_norm=265.3299865722656
        total_norm=385.389404296875
        total_norm=507.83856201171875
        param=0.5, grad=-3.959321111324243e-05
        param=0.5, grad=-0.0016243279678747058
        param=0.5, grad=-0.014529166743159294
        param=0.5, grad=-0.11987950652837753
        tensor(0.1208)
        param=0.5, grad=-3.960347839893075e-06
        param=0.5, grad=-0.01199105940759182
        param=0.5000039339065552, grad=-3.960347839893075e-06
        param=0.5119910836219788, grad=-0.01199105940759182""",
    "checkpoints": """
        torch.Size([20, 1, 5, 5])
        odict_keys(['weight', 'bias'])
        <All keys matched successfully>
        UnpicklingError
        _IncompatibleKeys(missing_keys=['bias'], unexpected_keys=['bas'])""",
    "autograd": """
        True
        False
        First call [4.0, 2.0, 2.0, 2.0, 2.0]
        Second call [8.0, 4.0, 4.0, 4.0, 4.0]
        After zeroing [4.0, 2.0, 2.0, 2.0, 2.0]
        SGD smaller: True
        Adam smaller: True
        RMSprop smaller: True""",
    "onnx_export": "more bytes than weights: True",
    "parameter_groups": """
        3 10
        [(4, 0.1, 0), (1, 0.01, 0), (2, 0.1, 0.0001)]
        [2, 3]
        Adam.__init__() got an unexpected keyword argument 'momentum'
        SGD.__init__() got multiple values for argument 'lr'
        a frozen parameter with a stale gradient moves by 0.00 (in PyTorch by -0.18)""",
}


def test_every_script_is_here():
    """No guide's script without expected lines."""
    assert {path.stem for path in (EXAMPLES / "guides").glob("*.py")} == set(PRINTED)


NUMBER = re.compile(r"[-+]?\d+\.\d*(?:e[-+]?\d+)?")


def find(line, out, place):
    """Where `line` ends in `out`, from `place` on: the same text, and decimal numbers to five digits; -1 if nowhere."""
    pattern = NUMBER.pattern.join(f"({re.escape(text)})" for text in NUMBER.split(line))
    numbers = [float(n) for n in NUMBER.findall(line)]
    for match in re.compile(pattern).finditer(out, place):
        if [float(n) for n in NUMBER.findall(match[0])] == pytest.approx(numbers, rel=1e-5):
            return match.end()
    return -1


@pytest.mark.parametrize("name", PRINTED)
def test_prints_the_guides_numbers(name, capsys):
    """Each expected line comes after the one before it."""
    runpy.run_path(str(EXAMPLES / "guides" / f"{name}.py"), run_name="__main__")
    out = capsys.readouterr().out
    place = 0
    for line in (line.strip() for line in PRINTED[name].strip().splitlines()):
        found = find(line, out, place)
        assert found >= 0, f"{line!r} is not printed, or too early, in\n{out}"
        place = found


def test_optimizers(tmp_path, capsys):
    """Every optimizer brings the loss down from 0.4, most of them to the noise; the picture is written."""
    main = runpy.run_path(str(EXAMPLES / "optimizers.py"))["main"]
    main(tmp_path / "picture.png")
    lines = capsys.readouterr().out.splitlines()
    last = [float(line.split()[-1]) for line in lines]
    assert len(last) == 13 and max(last) < 0.04 and sorted(last)[6] < 0.013
    assert (tmp_path / "picture.png").read_bytes()[:4] == b"\x89PNG"


def test_loss_curves(tmp_path, capsys):
    """The guide's curves: SmoothL1 is half a unit below L1 at the ends, and a parabola near 0."""
    runpy.run_path(str(EXAMPLES / "loss_curves.py"))["main"](tmp_path / "picture.png")
    rows = {line[:18].strip(): line.split()[-3:] for line in capsys.readouterr().out.splitlines()}
    assert [row[-1] for row in rows.values()] == ["0.5021", "0.1261", "0.0420", "0.1261", "0.2521"]
    assert (tmp_path / "picture.png").read_bytes()[:4] == b"\x89PNG"
