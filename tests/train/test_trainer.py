"""The loop: it learns, stops, goes on bit for bit, and writes down what happened."""

import csv
import dataclasses
import os
import signal

import numpy as np
import pytest
import torch

import rushlight
from rushlight import nn, optim
from rushlight.serialization import load
from rushlight.train import Callback, Run, Stopped, Trainer, parse_recipe
from rushlight.train.data import Batches, Examples, Scaling
from rushlight.utils.data import DataLoader, TensorDataset


def examples(n=50, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 6)).astype(np.float32)
    return Examples(x, (x[:, 0] + x[:, 1] > 0).astype(np.int64))


class Net(nn.Module):
    """With dropout, so that the generator's state matters."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 16), nn.Linear(16, 2)

    def forward(self, x):
        return self.b(nn.functional.dropout(rushlight.relu(self.a(x)), 0.2, self.training))


def trainer(run_dir=None, epochs=4, loader=None, **options):
    rushlight.manual_seed(1)
    model = Net()
    train = loader or Batches(examples(), Scaling(), 8, shuffle=True)
    validation = Batches(examples(20, 1), Scaling(), 8)
    options.setdefault("optimizer", optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
    options |= dict(train=train, validation=validation, epochs=epochs, run_dir=run_dir, seed=3)
    return Trainer(model, nn.CrossEntropyLoss(), **options)


def losses(history):
    return [(r.epoch, r.loss, r.accuracy, r.val_loss, r.val_accuracy, r.grad_norm, r.best) for r in history]


class StopAt(Callback):
    def __init__(self, epoch, batch, how):
        self.where, self.how = (epoch, batch), how

    def on_step(self, trainer, step):
        if (step.epoch, step.batch) == self.where:
            self.how()


def interrupt():
    raise KeyboardInterrupt


def ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


def test_learns():
    """Loss falls, accuracy rises, and the history has one record per epoch."""
    t = trainer(epochs=20)
    history = t.fit()
    assert [r.epoch for r in history] == list(range(1, 21))
    assert history[-1].loss < history[0].loss and history[-1].accuracy > 0.85
    assert history[-1].val_accuracy is not None and history[0].grad_norm > 0


@pytest.mark.parametrize("how", [interrupt, ctrl_c])
@pytest.mark.parametrize("where", [(1, 1), (2, 3), (2, 7), (4, 7)], ids=str)
def test_resume_is_exact(where, how, tmp_path):
    """Stopped anywhere and resumed, a run gives the same numbers and weights as one that was never stopped."""
    whole = trainer(tmp_path / "whole")
    whole.fit()
    first = trainer(tmp_path / "parts", callbacks=[StopAt(*where, how)])
    with pytest.raises(Stopped) as stop:
        first.fit()
    assert stop.value.path == tmp_path / "parts" / "last.pth"
    second = trainer(tmp_path / "parts")
    second.fit(resume=stop.value.path)
    assert losses(second.history) == losses(whole.history)
    for a, b in zip(whole.model.parameters(), second.model.parameters(), strict=True):
        assert a.tolist() == b.tolist()


def test_resume_between_epochs(tmp_path):
    """The same from the checkpoint of a finished epoch, with more epochs than were planned first."""
    whole = trainer(epochs=6)
    whole.fit()
    trainer(tmp_path, epochs=3).fit()
    more = trainer(tmp_path, epochs=6)
    more.fit(resume=tmp_path / "last.pth")
    assert losses(more.history) == losses(whole.history)


def test_twice_interrupted(tmp_path):
    """Interrupting the resumed run again changes nothing."""
    whole = trainer()
    whole.fit()
    for where in ((1, 4), (1, 6), (3, 2)):
        t = trainer(tmp_path, callbacks=[StopAt(*where, interrupt)])
        with pytest.raises(Stopped):
            t.fit(resume=tmp_path / "last.pth" if (tmp_path / "last.pth").exists() else None)
    last = trainer(tmp_path)
    last.fit(resume=tmp_path / "last.pth")
    assert losses(last.history) == losses(whole.history)


@pytest.mark.parametrize("where", [(1, 4), (3, 1)], ids=str)
def test_resume_with_a_data_loader(where, tmp_path):
    """A shuffling DataLoader, which draws its order from the generator, resumes as exactly."""
    both = examples()
    data = TensorDataset(rushlight.from_numpy(both.x), rushlight.from_numpy(both.y))

    def loader():
        return DataLoader(data, batch_size=8, shuffle=True)

    whole = trainer(loader=loader())
    whole.fit()
    with pytest.raises(Stopped):
        trainer(tmp_path, loader=loader(), callbacks=[StopAt(*where, interrupt)]).fit()
    rest = trainer(tmp_path, loader=loader())
    rest.fit(resume=tmp_path / "last.pth")
    assert losses(rest.history) == losses(whole.history)


def test_scheduler_is_resumed(tmp_path):
    """Learning rates go on where they were."""

    def make(run_dir, **options):
        t = trainer(run_dir, **options)
        t.scheduler = optim.lr_scheduler.StepLR(t.optimizer, 2, 0.5)
        return t

    whole = make(None, epochs=6)
    whole.fit()
    make(tmp_path, epochs=3).fit()
    rest = make(tmp_path, epochs=6)
    rest.fit(resume=tmp_path / "last.pth")
    assert [r.lr for r in rest.history] == [r.lr for r in whole.history] == [0.1, 0.1, 0.05, 0.05, 0.025, 0.025]
    assert losses(rest.history) == losses(whole.history)


def test_stop_without_run_dir():
    """Without a directory, Ctrl-C stops and saves nothing."""
    with pytest.raises(Stopped, match="stopped"):
        trainer(callbacks=[StopAt(1, 1, interrupt)]).fit()


def test_signal_handler_is_restored():
    """Afterwards, Ctrl-C is again what it was."""
    before = signal.getsignal(signal.SIGINT)
    trainer(epochs=1).fit()
    assert signal.getsignal(signal.SIGINT) is before


def test_best_checkpoint(tmp_path):
    """best.pth holds the weights of the epoch with the lowest validation loss, last.pth the last ones."""
    t = trainer(tmp_path, epochs=10)
    history = t.fit()
    best = min(history, key=lambda r: r.val_loss)
    assert [r for r in history if r.best][-1] == best
    assert load(tmp_path / "best.pth")["epoch"] == best.epoch and load(tmp_path / "last.pth")["epoch"] == 10
    t.model.load_state_dict(load(tmp_path / "best.pth")["model"])
    assert t.evaluate(t.validation).loss == best.val_loss


def test_pytorch_reads_the_checkpoint(tmp_path):
    """A checkpoint is plain data in PyTorch's format."""
    t = trainer(tmp_path, epochs=1)
    t.fit()
    theirs = torch.load(tmp_path / "last.pth", weights_only=True)
    assert theirs["epoch"] == 1 and theirs["model"]["a.weight"].tolist() == t.model.a.weight.tolist()
    assert theirs["history"][0]["loss"] == t.history[0].loss


def test_clipping():
    """Gradients are clipped before the step; the norm that is reported is the one before."""
    seen = []

    class Watch(Callback):
        def on_step(self, trainer, step):
            norms = [p.grad.norm().item() for p in trainer.model.parameters()]
            seen.append((step.grad_norm, sum(n * n for n in norms) ** 0.5))

    trainer(epochs=1, clip_norm=0.05, callbacks=[Watch()]).fit()
    assert all(before > 0.05 and after == pytest.approx(0.05, rel=1e-3) for before, after in seen)
    values = []

    class Largest(Callback):
        def on_step(self, trainer, step):
            values.append(max(p.grad.abs().max().item() for p in trainer.model.parameters()))

    trainer(epochs=1, clip_value=0.01, callbacks=[Largest()]).fit()
    assert max(values) <= 0.01 + 1e-9


def test_confusion():
    """Rows are true classes, columns predicted ones, and the diagonal is the accuracy."""
    t = trainer(epochs=5)
    t.fit()
    result = t.evaluate(t.validation, classes=2)
    assert result.confusion.sum() == 20 == result.count
    assert np.trace(result.confusion) / 20 == result.accuracy
    assert result.confusion.sum(axis=1).tolist() == np.bincount(t.validation.examples.y, minlength=2).tolist()


def test_wrong_checkpoint(tmp_path):
    """Weights alone are not a training checkpoint, and the error says what to do with them."""
    rushlight.save(Net().state_dict(), tmp_path / "w.pth")
    with pytest.raises(RuntimeError, match="not a training checkpoint of rushlight; to start from its weights"):
        trainer().fit(resume=tmp_path / "w.pth")


RECIPE = """
[data]
source = "digits"
batch_size = 64
[model]
name = "mlp"
args = {{ hidden = [32], dropout = 0.1 }}
[optimizer]
name = "adam"
lr = 0.003
[schedule]
name = "cosine"
[train]
epochs = 3
clip_norm = 1.0
[output]
dir = "{dir}"
"""


def test_run_writes_reports(tmp_path):
    """A run leaves metrics, TensorBoard events, plots and both checkpoints."""
    run = Run(parse_recipe(RECIPE.format(dir=tmp_path)))
    history = run.fit()
    result = run.test()
    assert result.confusion.shape == (10, 10) and result.confusion.sum() == 359
    rows = list(csv.DictReader((tmp_path / "metrics.csv").read_text().splitlines()))
    assert [int(r["epoch"]) for r in rows] == [1, 2, 3]
    assert float(rows[-1]["loss"]) == pytest.approx(history[-1].loss)
    assert set(rows[0]) == {f.name for f in dataclasses.fields(history[0])}
    for name in ("history.png", "confusion.png"):
        assert (tmp_path / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "events"))
    events.Reload()
    values = [e.value for e in events.Scalars("loss/train")]
    np.testing.assert_allclose(values, [r.loss for r in history], rtol=1e-6)
    assert history[-1].lr < history[0].lr


def test_same_seed_same_run(tmp_path):
    """Two runs of one recipe give the same losses; another seed gives others."""
    text = RECIPE.format(dir=tmp_path).replace("epochs = 3", "epochs = 2\nseed = SEED")
    text += "tensorboard = false\nplots = false\n"
    a, b, c = (losses(Run(parse_recipe(text.replace("SEED", str(s)))).fit()) for s in (1, 1, 2))
    assert a == b != c
