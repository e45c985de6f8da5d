"""`Trainer`: the training loop, with checkpoints from which it goes on bit for bit.

What is drawn on a screen or written to files is done by callbacks; the loop only computes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .. import nn
from .._random import get_rng_state, manual_seed, set_rng_state
from ..autograd.grad_mode import no_grad
from ..compiler import compile as compiled
from ..nn.utils import clip_grad_norm_, clip_grad_value_, get_total_norm
from ..serialization import load, save

__all__ = ["Trainer", "Callback", "EpochRecord", "Step", "Evaluation", "Stopped"]

FORMAT = "rushlight.train/1"


class Stopped(KeyboardInterrupt):
    """Training was stopped by Ctrl-C; `path` is the checkpoint to resume from (None if there is no run directory)."""

    def __init__(self, path):
        super().__init__(f"stopped; resume from {path}" if path else "stopped")
        self.path = path


@dataclass
class EpochRecord:
    """One row of the history. Accuracy is None where the targets are not classes."""

    epoch: int
    loss: float
    accuracy: float | None
    grad_norm: float
    lr: float
    val_loss: float | None = None
    val_accuracy: float | None = None
    seconds: float = 0.0
    samples_per_second: float = 0.0
    best: bool = False


@dataclass
class Step:
    """What a callback sees after each step: this batch's values, and means over the epoch so far."""

    epoch: int
    batch: int
    batches: int
    loss: float
    grad_norm: float
    size: int
    mean_loss: float
    mean_accuracy: float | None


@dataclass
class Evaluation:
    """Result of `Trainer.evaluate`. `confusion[i, j]`: examples of class i that were taken for j."""

    loss: float
    accuracy: float | None
    count: int
    confusion: np.ndarray | None = None


class Callback:
    """Override what you need."""

    def on_start(self, trainer: Trainer) -> None: ...
    def on_epoch_start(self, trainer: Trainer, epoch: int) -> None: ...
    def on_step(self, trainer: Trainer, step: Step) -> None: ...
    def on_epoch(self, trainer: Trainer, record: EpochRecord) -> None: ...
    def on_end(self, trainer: Trainer) -> None: ...


@dataclass
class _Sums:
    """Totals over an epoch, exact enough to be the same after a resume."""

    loss: float = 0.0
    correct: int | None = None
    count: int = 0
    norm: float = 0.0
    steps: int = 0
    seconds: float = 0.0

    def add(self, loss, norm, correct, size, seconds):
        self.loss += loss * size
        self.count += size
        self.norm += norm
        self.steps += 1
        self.seconds += seconds
        if correct is not None:
            self.correct = (self.correct or 0) + correct

    def mean_loss(self):
        return self.loss / max(self.count, 1)

    def accuracy(self):
        return None if self.correct is None else self.correct / max(self.count, 1)


@dataclass
class Trainer:
    """Trains `model` to lower `loss(model(x), y)` over the batches of `train`.

    Args:
        train, validation: iterables of (x, y), such as a DataLoader; `validation` may be None.
        epochs: passes over `train`.
        clip_norm, clip_value: gradient clipping between backward and step.
        scheduler: stepped after every epoch (with the validation loss if it is a ReduceLROnPlateau).
        run_dir: where `last.pth` and `best.pth` go; None keeps no checkpoints.
        keep_best: "loss" or "accuracy" of the validation set (of the training set if there is none).
        seed: given to `manual_seed` when a fresh `fit` starts; None leaves the generator alone.
        extra: plain values that are stored in every checkpoint.
        compile: record the step and repeat it natively (see `rushlight.compile`), with the same bits.

    Example:
        trainer = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), 0.1), loader, epochs=5)
        trainer.fit()
        print(trainer.history[-1].loss)
    """

    model: nn.Module
    loss: nn.Module
    optimizer: object
    train: object
    validation: object = None
    epochs: int = 10
    clip_norm: float | None = None
    clip_value: float | None = None
    scheduler: object = None
    run_dir: Path | None = None
    keep_best: str = "loss"
    seed: int | None = None
    callbacks: list = field(default_factory=list)
    extra: dict = field(default_factory=dict)
    history: list = field(default_factory=list)
    compile: bool = True

    def __post_init__(self):
        self.run_dir = Path(self.run_dir) if self.run_dir is not None else None
        self.epoch, self.batch = 0, 0  # epochs done, batches done in the one that runs
        self._sums, self._epoch_rng = _Sums(), None
        self._stop = self._in_step = False
        self.best: float | None = None
        self._update = compiled(update, disable=not self.compile)

    # -- the loop ----------------------------------------------------------------------------------------------------

    def fit(self, resume=None) -> list[EpochRecord]:
        """Trains to the end, from the beginning or from a checkpoint.

        Args: `resume`: a checkpoint's path. What follows is what would have followed without the interruption.
        Raises: Stopped after Ctrl-C, with a checkpoint written between two steps.
        """
        if resume is not None:
            self.restore(resume)
        elif self.seed is not None:
            manual_seed(self.seed)
        if self.run_dir is not None:
            self.run_dir.mkdir(parents=True, exist_ok=True)
        self._call("on_start")
        with self._ctrl_c():
            try:
                while self.epoch < self.epochs:
                    self._run_epoch()
                self._call("on_end")
            except KeyboardInterrupt:
                raise Stopped(self._save_stopped()) from None
        return self.history

    def _run_epoch(self):
        epoch = self.epoch + 1
        self._call("on_epoch_start", epoch)
        if hasattr(self.train, "set_epoch"):
            self.train.set_epoch(epoch)
        self.model.train()
        done, rng = self.batch, get_rng_state()
        if done:
            set_rng_state(self._epoch_rng)  # the loader draws its order again
        else:
            self._epoch_rng, self._sums = rng, _Sums()
        sums = self._sums
        batches = len(self.train) if hasattr(self.train, "__len__") else 0
        iterator = iter(self.train)
        for _ in range(done):
            next(iterator)
        if done:
            set_rng_state(rng)
        started = time.perf_counter()
        for x, y in iterator:
            self._in_step = True
            value, norm, correct = self._step(x, y)
            now = time.perf_counter()
            sums.add(value, norm, correct, len(x), now - started)
            started = now
            self.batch += 1
            self._in_step = False
            means = sums.mean_loss(), sums.accuracy()
            self._call("on_step", Step(epoch, self.batch, batches, value, norm, len(x), *means))
            if self._stop:
                raise KeyboardInterrupt
        self._finish_epoch(epoch)

    def _step(self, x, y):
        """One step: (loss, gradient norm before clipping, correct predictions or None)."""
        loss, norm, output = self._update(self.model, self.loss, self.optimizer, self.clip_norm, self.clip_value, x, y)
        return float(loss), float(norm), _correct(output, y)

    def _finish_epoch(self, epoch):
        sums = self._sums
        record = EpochRecord(epoch, sums.mean_loss(), sums.accuracy(), sums.norm / max(sums.steps, 1),
                             self.optimizer.param_groups[0]["lr"], seconds=sums.seconds,
                             samples_per_second=sums.count / max(sums.seconds, 1e-9))  # fmt: skip
        if self.validation is not None and len(self.validation):
            result = self.evaluate(self.validation)
            record.val_loss, record.val_accuracy = result.loss, result.accuracy
        if self.scheduler is not None:
            watched = record.val_loss if record.val_loss is not None else record.loss
            plateau = type(self.scheduler).__name__ == "ReduceLROnPlateau"
            self.scheduler.step(watched) if plateau else self.scheduler.step()
        record.best = self._is_best(record)
        self.history.append(record)
        self.epoch, self.batch = epoch, 0
        if self.run_dir is not None:
            self.save(self.run_dir / "last.pth")
            if record.best:
                self.save(self.run_dir / "best.pth")
        self._call("on_epoch", record)
        if self._stop:
            raise KeyboardInterrupt

    def _is_best(self, record):
        loss = record.loss if record.val_loss is None else record.val_loss
        accuracy = record.accuracy if record.val_loss is None else record.val_accuracy
        score = accuracy if self.keep_best == "accuracy" and accuracy is not None else -loss
        if math.isnan(score) or (self.best is not None and score <= self.best):
            return False
        self.best = score
        return True

    def _call(self, name, *args):
        for callback in self.callbacks:
            getattr(callback, name)(self, *args)

    # -- Ctrl-C ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _ctrl_c(self):
        """The first Ctrl-C stops after the step that runs; a second one at once."""
        self._stop = False
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(signum, frame):
            if self._stop:
                raise KeyboardInterrupt
            self._stop = True

        before = signal.signal(signal.SIGINT, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _save_stopped(self):
        if self.run_dir is None:
            return None
        path = self.run_dir / "last.pth"
        if not self._in_step:  # after a second Ctrl-C a step may be half done: then the last epoch's checkpoint stands
            self.save(path)
        return path if path.exists() else None

    # -- evaluation --------------------------------------------------------------------------------------------------

    def evaluate(self, batches, classes: int = 0) -> Evaluation:
        """Loss and accuracy over `batches` in eval mode; with `classes`, a confusion matrix too."""
        confusion = np.zeros((classes, classes), np.int64) if classes else None
        total, correct, count, known = 0.0, 0, 0, False
        was_training = self.model.training
        self.model.eval()
        with no_grad():
            for x, y in batches:
                output = self.model(x)
                total += float(self.loss(output, y)) * len(x)
                count += len(x)
                right = _correct(output, y)
                if right is not None:
                    correct, known = correct + right, True
                    if confusion is not None:
                        np.add.at(confusion, (y.numpy(), output.argmax(1).numpy()), 1)
        self.model.train(was_training)
        return Evaluation(total / max(count, 1), correct / max(count, 1) if known else None, count, confusion)

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict:
        """Everything that the future of a run depends on, as plain data."""
        return {
            "format": FORMAT,
            "epoch": self.epoch,
            "batch": self.batch,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict() if self.scheduler is not None else None,
            "rng": get_rng_state(),
            "epoch_rng": self._epoch_rng,
            "sums": dataclasses.asdict(self._sums),
            "best": self.best,
            "history": [dataclasses.asdict(r) for r in self.history],
            **self.extra,
        }

    def save(self, path) -> None:
        """Writes a checkpoint, atomically; PyTorch can load it as data."""
        save(self.state_dict(), path)

    def restore(self, path) -> None:
        """Takes up the state of a checkpoint.

        Raises: RuntimeError if it is not one of a Trainer's, or does not fit model and optimizer.
        """
        state = load(path)
        if not isinstance(state, dict) or state.get("format") != FORMAT:
            raise RuntimeError(f"{path} is not a training checkpoint of rushlight; to start from its weights, put "
                               "weights = ... into [model]")  # fmt: skip
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None and state["scheduler"] is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        self.epoch, self.batch, self.best = state["epoch"], state["batch"], state["best"]
        self._sums, self._epoch_rng = _Sums(**state["sums"]), state["epoch_rng"]
        self.history[:] = [EpochRecord(**r) for r in state["history"]]
        set_rng_state(state["rng"])


def update(model, loss, optimizer, clip_norm, clip_value, x, y):
    """One training step: (loss, gradient norm before clipping, output)."""
    optimizer.zero_grad()
    output = model(x)
    value = loss(output, y)
    value.backward()
    parameters = [p for p in model.parameters() if p.grad is not None]
    norm = get_total_norm([p.grad for p in parameters]) if clip_norm is None else clip_grad_norm_(parameters, clip_norm)
    if clip_value is not None:
        clip_grad_value_(parameters, clip_value)
    optimizer.step()
    return value.detach(), norm, output.detach()


def _correct(output, y):
    """How many predictions are right, where there are classes to be right about."""
    if output.ndim != 2 or y.ndim != 1 or y.is_floating_point():
        return None
    return int((output.argmax(1) == y).sum())
