"""The command line: every command, what it prints, and its errors."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import rushlight
from rushlight.cli.app import app
from rushlight.serialization import load

EXAMPLES = Path(__file__).parents[2] / "examples"

RECIPE = """
[data]
source = "digits"
[model]
name = "mlp"
[optimizer]
lr = 0.005
[train]
epochs = 4
[output]
dir = "{dir}/run"
"""


def call(*arguments, code=0):
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "120"})
    if code == 0 and result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def shell(*arguments, code=0, **options):
    """The command in a process of its own, as a user runs it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "COLUMNS": "120"}
    result = subprocess.run([sys.executable, "-m", "rushlight", *map(str, arguments)], capture_output=True, text=True,
                            env=environment, **options)  # fmt: skip
    assert result.returncode == code, result.stdout + result.stderr
    return result.stdout, result.stderr


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    (folder / "digits.toml").write_text(RECIPE.format(dir=folder))
    return folder, call("fit", folder / "digits.toml")


def test_fit_prints_and_writes(trained):
    """A frame that says what is trained, a row per epoch, the result, and the files."""
    folder, output = trained
    assert "1,258 to train on, 180 to validate, 359 to test" in output and "mlp, 9,610 parameters" in output
    rows = re.findall(r"^ +(\d) +\d\.\d{4} +\d+\.\d\d %", output, re.M)
    assert rows == ["1", "2", "3", "4"]
    accuracy = float(re.search(r"accuracy +(\d+\.\d+) %", output[output.index("Test set") :])[1])
    assert accuracy > 90
    for name in ("best.pth", "last.pth", "metrics.csv", "history.png", "confusion.png"):
        assert (folder / "run" / name).exists()


def test_resume(trained, tmp_path):
    """--resume goes on from the last checkpoint and shows the epochs that are done."""
    folder, _ = trained
    (tmp_path / "digits.toml").write_text(RECIPE.format(dir=tmp_path))
    call("fit", tmp_path / "digits.toml", "--epochs", "2")
    output = call("fit", tmp_path / "digits.toml", "--resume")
    assert "resumed after epoch 2" in output
    assert [r["loss"] for r in load(tmp_path / "run" / "last.pth")["history"]] == [
        r["loss"] for r in load(folder / "run" / "last.pth")["history"]
    ]


def test_resume_without_checkpoint(tmp_path):
    """--resume needs something to resume."""
    (tmp_path / "d.toml").write_text(RECIPE.format(dir=tmp_path))
    _, errors = shell("fit", tmp_path / "d.toml", "--resume", code=1)
    assert "there is nothing to resume" in errors


def test_eval(trained):
    """`eval` finds what `fit` found."""
    folder, fitted = trained
    output = call("eval", folder / "digits.toml")
    accuracy = re.compile(r"accuracy +(\d+\.\d+) %")
    assert accuracy.search(output)[1] == accuracy.search(fitted[fitted.index("Test set") :])[1]


def test_predict(trained, tmp_path):
    """Written as PNGs, examples of the test set are recognised, one or a folder at a time."""
    from rushlight.train import Run, read_recipe

    folder, _ = trained
    test = Run(read_recipe(folder / "digits.toml")).splits.test
    for i in range(20):
        Image.fromarray(test.x[i, 0]).save(tmp_path / f"{i:02d}_is_{test.y[i]}.png")
    output = call("predict", folder / "run" / "best.pth", tmp_path)
    found = re.findall(r"_is_(\d)\.png +(\d) +[\d.]+%", output)
    assert len(found) == 20 and sum(a == b for a, b in found) >= 18
    one = call("predict", folder / "run" / "best.pth", tmp_path / f"00_is_{test.y[0]}.png", "--top", "2")
    assert one.count("%") == 2


def test_predict_errors(trained, tmp_path):
    """What is no image, no checkpoint of `fit` or not there is named."""
    folder, _ = trained
    (tmp_path / "a.png").write_bytes(b"no")
    _, errors = shell("predict", folder / "run" / "best.pth", tmp_path / "a.png", code=1)
    assert "cannot read the image" in errors
    _, errors = shell("predict", folder / "run" / "best.pth", tmp_path / "none.png", code=1)
    assert "there is no image" in errors
    torch.save({"w": torch.ones(2)}, tmp_path / "w.pth")
    _, errors = shell("predict", tmp_path / "w.pth", tmp_path / "a.png", code=1)
    assert "was not written by `rushlight fit`" in errors


def test_inspect(tmp_path):
    """Any PyTorch checkpoint becomes a table: name, shape, dtype, count, mean, std, bytes."""
    weight = torch.arange(6.0).reshape(2, 3)
    torch.save({"w": weight, "same": weight[0], "n": torch.tensor(7)}, tmp_path / "c.pth")
    output = call("inspect", tmp_path / "c.pth")
    assert re.search(r"w +2×3 +float32 +6 +2\.5000 +1\.7078 +24 B", output)
    assert re.search(r"n +scalar +int64 +1 +7\.0000 +0\.0000 +8 B", output)
    assert "3 tensors (1 share memory)" in output and "32 B" in output
    model = torch.nn.Linear(2, 3)
    torch.save(model, tmp_path / "m.pth")
    assert re.search(r"weight +3×2 +float32", call("inspect", tmp_path / "m.pth", "--no-stats"))


def test_inspect_error(tmp_path):
    """A file that is no checkpoint gives a sentence, not a traceback."""
    (tmp_path / "log.txt").write_text("hello")
    _, errors = shell("inspect", tmp_path / "log.txt", code=1)
    assert "a text file that starts with 'hello'" in errors and "Traceback" not in errors


def test_recipe_error(tmp_path):
    """A wrong key is shown with its line and the right name."""
    (tmp_path / "r.toml").write_text(RECIPE.format(dir=tmp_path).replace("epochs", "epoch"))
    _, errors = shell("fit", tmp_path / "r.toml", code=1)
    assert "r.toml, line 9: unknown key 'epoch' in [train]; did you mean 'epochs'?" in errors
    assert "Traceback" not in errors
    assert "Traceback" in shell("--debug", "fit", tmp_path / "r.toml", code=1)[1]


def test_ctrl_c(tmp_path):
    """Ctrl-C saves and says how to go on."""
    (tmp_path / "net.py").write_text(
        "import os, signal\nfrom rushlight.train.models import MLP\n"
        "class Net(MLP):\n    calls = 0\n    def forward(self, x):\n        Net.calls += 1\n"
        "        if Net.calls == 30: os.kill(os.getpid(), signal.SIGINT)\n        return super().forward(x)\n"
    )
    (tmp_path / "r.toml").write_text(RECIPE.format(dir=tmp_path).replace('"mlp"', '"net:Net"'))
    _, errors = shell("fit", tmp_path / "r.toml", code=130)
    assert "Stopped." in errors and "--resume" in errors
    state = load(tmp_path / "run" / "last.pth")
    assert (state["epoch"], state["batch"]) in ((1, 9), (1, 10), (1, 8), (1, 7))


SCRIPT = """
import sys
import torch
import torch.nn as nn
from torch import optim
from torch.autograd import grad as _

torch.manual_seed(0)
x = torch.linspace(-1, 1, 64).unsqueeze(1)
y = 3 * x + 0.5
model = nn.Linear(1, 1)
optimizer = optim.SGD(model.parameters(), lr=0.5)
criterion = nn.MSELoss()
for step in range(100):
    optimizer.zero_grad()
    loss = criterion(model(x), y)
    loss.backward()
    optimizer.step()
torch.save(model.state_dict(), sys.argv[1])
print(torch.__name__, "%.6f" % loss.item(), model.weight, sys.argv[1:])
"""


def test_run(tmp_path):
    """An unedited PyTorch script runs on rushlight, with its arguments, and gives what PyTorch gives."""
    (tmp_path / "s.py").write_text(SCRIPT)
    ours, _ = shell("run", tmp_path / "s.py", tmp_path / "ours.pth", "--flag")
    theirs = subprocess.run([sys.executable, tmp_path / "s.py", tmp_path / "theirs.pth", "--flag"], capture_output=True,
                            text=True, check=True).stdout  # fmt: skip
    assert ours.startswith("rushlight ") and "--flag" in ours
    assert ours.split("[")[0].replace("rushlight", "torch") == theirs.split("[")[0]
    a, b = torch.load(tmp_path / "ours.pth"), torch.load(tmp_path / "theirs.pth")
    np.testing.assert_allclose(a["weight"].numpy(), b["weight"].numpy(), rtol=1e-5)


def test_run_lenet(tmp_path):
    """A whole script (Dataset, workers, init, groups, schedule, saving the model) prints the same lines as on PyTorch."""
    script = Path(__file__).parent / "scripts" / "lenet.py"
    ours, _ = shell("run", script, tmp_path / "ours.pth")
    theirs = subprocess.run([sys.executable, script, tmp_path / "theirs.pth"], capture_output=True, text=True, check=True)
    assert ours == theirs.stdout


def test_run_errors(tmp_path):
    """A module that rushlight has not is named; the script's own errors keep their traceback."""
    (tmp_path / "s.py").write_text("import torch.jit\n")
    _, errors = shell("run", tmp_path / "s.py", code=1)
    assert "rushlight has no torch.jit" in errors and "cli/app.py" not in errors
    _, errors = shell("run", tmp_path / "none.py", code=1)
    assert "there is no script" in errors


def test_version_and_config():
    """--version and config."""
    assert call("--version").strip() == f"rushlight {rushlight.__version__}"
    assert "threads:" in shell("config")[0]
    assert "[optimizer]" in shell("recipe")[0]
    assert "fit" in call("--help")


def test_digits_recipe(tmp_path):
    """The example recipe reaches 98 % on digits that it has not seen."""
    output = call("fit", EXAMPLES / "recipes" / "digits.toml", "--out", tmp_path)
    accuracy = float(re.search(r"accuracy +(\d+\.\d+) %", output[output.index("Test set") :])[1])
    assert accuracy >= 98


@pytest.mark.parametrize("path", sorted((EXAMPLES / "recipes").glob("*.toml")), ids=lambda p: p.stem)
def test_examples_are_recipes(path):
    """Every example recipe can be read."""
    from rushlight.train import read_recipe

    read_recipe(path)
