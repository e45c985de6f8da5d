"""What a run leaves behind for people: metrics as CSV and TensorBoard events, and plots."""

from __future__ import annotations

import csv
import dataclasses
import io
import time
from pathlib import Path

import numpy as np

from ..serialization.atomic import atomic_write
from ._extras import need
from .trainer import Callback, EpochRecord

__all__ = ["CSVReport", "TensorBoardReport", "plot_history", "plot_confusion"]


class CSVReport(Callback):
    """metrics.csv: one row per epoch, written anew after each, so that a resumed run has one whole file."""

    def __init__(self, path):
        self.path = Path(path)

    def on_epoch(self, trainer, record):
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, [f.name for f in dataclasses.fields(EpochRecord)], lineterminator="\n")
        writer.writeheader()
        for row in trainer.history:
            values = dataclasses.asdict(row)
            writer.writerow({k: f"{v:.9g}" if isinstance(v, float) else v for k, v in values.items()})
        with atomic_write(self.path) as file:
            file.write(buffer.getvalue().encode())


class TensorBoardReport(Callback):
    """Scalars for TensorBoard: loss and accuracy of both sets, learning rate, gradient norm, speed."""

    _TAGS = {
        "loss": "loss/train", "val_loss": "loss/validation", "accuracy": "accuracy/train",
        "val_accuracy": "accuracy/validation", "lr": "optimizer/lr", "grad_norm": "optimizer/grad_norm",
        "samples_per_second": "speed/samples_per_second",
    }  # fmt: skip

    def __init__(self, folder):
        self.folder = Path(folder)
        need("tensorboard", "writing TensorBoard events")
        self.writer = None

    def on_start(self, trainer):
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self.writer = EventFileWriter(str(self.folder))

    def on_epoch(self, trainer, record):
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=tag, simple_value=getattr(record, name)) for name, tag in self._TAGS.items()
                  if getattr(record, name) is not None]  # fmt: skip
        event = Event(wall_time=time.time(), step=record.epoch, summary=Summary(value=values))
        self.writer.add_event(event)
        self.writer.flush()

    def on_end(self, trainer):
        self.close()

    def close(self):
        if self.writer is not None:
            self.writer.close()
            self.writer = None


# -- plots -------------------------------------------------------------------------------------------------------------

_INK, _GRID = "#22272e", "#e3e6ea"
_TRAIN, _VALIDATION, _BEST = "#c2571a", "#2468a2", "#5b8c3e"


def _figure(width, height):
    need("matplotlib", "drawing plots")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _save(figure, path):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    with atomic_write(path) as file:
        file.write(buffer.getvalue())


def _axis(ax, title, unit):
    ax.set_title(title, loc="left", fontsize=11, color=_INK, pad=8)
    ax.set_xlabel("epoch", color=_INK)
    ax.set_ylabel(unit, color=_INK)
    ax.grid(color=_GRID, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(colors=_INK, length=0)
    ax.xaxis.get_major_locator().set_params(integer=True)
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color("#b7bdc5")


def plot_history(history, path, title: str = "") -> None:
    """Loss and accuracy of training and validation by epoch, with the best epoch marked."""
    epochs = [r.epoch for r in history]
    with_accuracy = any(r.accuracy is not None or r.val_accuracy is not None for r in history)
    figure = _figure(9.0 if with_accuracy else 5.0, 3.5)
    figure.get_layout_engine().set(wspace=0.06, w_pad=0.08, h_pad=0.08)
    axes = figure.subplots(1, 2 if with_accuracy else 1, squeeze=False)[0]
    best = next((r for r in reversed(history) if r.best), None)
    panels = (("Loss", "loss", "val_loss", 1.0, "loss"), ("Accuracy", "accuracy", "val_accuracy", 100.0, "%"))
    for ax, (name, train, validation, scale, unit) in zip(axes, panels, strict=False):
        _axis(ax, name, unit)
        marker = "o" if len(history) <= 30 else None
        for attribute, label, color in ((train, "training", _TRAIN), (validation, "validation", _VALIDATION)):
            values = [getattr(r, attribute) for r in history]
            if any(v is not None for v in values):
                points = [np.nan if v is None else v * scale for v in values]
                ax.plot(epochs, points, color=color, label=label, linewidth=1.8, marker=marker, markersize=3.5)
        value = None if best is None else getattr(best, validation if best.val_loss is not None else train)
        if value is not None:
            ax.plot([best.epoch], [value * scale], "o", ms=10, markerfacecolor="none", markeredgecolor=_BEST,
                    markeredgewidth=1.8, label=f"best: epoch {best.epoch}", zorder=5)  # fmt: skip
        ax.legend(frameon=False, fontsize=9, labelcolor=_INK)
        if name == "Loss" and all(r.loss >= 0 for r in history):
            ax.set_ylim(bottom=0)
    if title:
        figure.suptitle(title, fontsize=12, fontweight="bold", color=_INK, x=0.01, ha="left")
    _save(figure, path)


def plot_confusion(matrix: np.ndarray, classes: list[str], path, title: str = "") -> None:
    """Counts of true classes (rows) by predicted ones (columns).

    Colour is the share of the row: blue where it is right; orange, on a steeper scale, where it is wrong.
    """
    n = len(classes)
    side = min(max(3.6, 0.42 * n + 1.8), 14)
    figure = _figure(side + 0.6, side)
    ax = figure.subplots()
    rows = matrix.sum(axis=1, keepdims=True)
    share = np.divide(matrix, rows, out=np.zeros(matrix.shape), where=rows > 0)
    diagonal = np.eye(n, dtype=bool)
    wrong = np.ma.masked_where(diagonal | (matrix == 0), share**0.5)
    ax.imshow(wrong, cmap="Oranges", vmin=-0.1, vmax=1)
    image = ax.imshow(np.ma.masked_where(~diagonal, share), cmap="Blues", vmin=0, vmax=1)
    if n <= 50:
        ax.set_xticks(np.arange(n + 1) - 0.5, minor=True)
        ax.set_yticks(np.arange(n + 1) - 0.5, minor=True)
        ax.grid(which="minor", color=_GRID, linewidth=0.8)
        ax.tick_params(which="minor", length=0)
    ax.set_xlabel("predicted", color=_INK)
    ax.set_ylabel("true", color=_INK)
    if n <= 50:
        long = max(map(len, classes)) > 3
        ax.set_xticks(range(n), classes, rotation=60 if long else 0, ha="right" if long else "center", fontsize=9)
        ax.set_yticks(range(n), classes, fontsize=9)
    ax.tick_params(length=0, colors=_INK)
    for spine in ax.spines.values():
        spine.set_visible(False)
    if n <= 25:
        for i, j in zip(*np.nonzero(matrix), strict=True):
            ax.text(j, i, str(matrix[i, j]), ha="center", va="center", fontsize=8 if n > 12 else 9,
                    color="white" if share[i, j] > (0.55 if i == j else 0.3) else _INK)  # fmt: skip
    total = matrix.sum()
    right = f"{np.trace(matrix)} of {total} right ({np.trace(matrix) / max(total, 1):.1%})"
    ax.set_title(f"{title}: {right}" if title else right, loc="left", fontsize=11, color=_INK, pad=10)
    bar = figure.colorbar(image, ax=ax, shrink=0.75, ticks=[0, 0.5, 1], pad=0.03)
    bar.ax.set_yticklabels(["0 %", "50 %", "100 %"], color=_INK, fontsize=9)
    bar.set_label("share of the true class", color=_INK, fontsize=9)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)
    _save(figure, path)
