"""What training looks like on a terminal: a row per finished epoch, and below them a live bar for the one that runs."""

from __future__ import annotations

import time

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..train.trainer import Callback, EpochRecord, Step

__all__ = ["FitDisplay", "run_panel", "evaluation_panel", "number"]

ACCENT, DIM, GOOD = "dark_orange3", "grey58", "green3"


def number(value, digits=4) -> str:
    if value is None:
        return "–"
    if value != value:
        return "nan"
    if value and (abs(value) >= 1e5 or abs(value) < 10 ** -digits):
        return f"{value:.1e}"
    return f"{value:.{digits}f}"


def percent(value) -> str:
    return "–" if value is None else f"{100 * value:.2f} %"


def clock(seconds) -> str:
    seconds = int(round(seconds))
    hours, rest = divmod(seconds, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


# (title, width, value of a record)
_COLUMNS = (
    ("epoch", 5, lambda r: str(r.epoch)),
    ("loss", 8, lambda r: number(r.loss)),
    ("accuracy", 9, lambda r: percent(r.accuracy)),
    ("val loss", 8, lambda r: number(r.val_loss)),
    ("val acc", 9, lambda r: percent(r.val_accuracy)),
    ("grad norm", 9, lambda r: number(r.grad_norm, 3)),
    ("lr", 8, lambda r: f"{r.lr:.3g}"),
    ("samples/s", 9, lambda r: f"{r.samples_per_second:,.0f}"),
    ("time", 6, lambda r: f"{r.seconds:.1f} s" if r.seconds < 60 else clock(r.seconds)),
)


def _columns_for(width):
    """All columns, or on a narrow terminal all but the least needed."""
    columns = list(_COLUMNS)
    for title in ("lr", "samples/s", "grad norm", "accuracy"):
        if sum(w + 2 for _, w, _ in columns) + 6 > width:
            columns = [c for c in columns if c[0] != title]
    return columns


class FitDisplay(Callback):
    """Draws the rows and the bar. Without a terminal only the rows are printed."""

    def __init__(self, console: Console):
        self.console = console
        self.live: Live | None = None
        self.step: Step | None = None
        self.started = self.shown = 0.0
        self.steps = self.samples = 0
        self.columns = _columns_for(console.width)

    def on_start(self, trainer):
        header = "  ".join(title.rjust(width) for title, width, _ in self.columns)
        self.console.print(Text(header, style=f"bold {ACCENT}"), soft_wrap=True)
        for record in trainer.history:  # of the run that is resumed
            self.console.print(self._row(record, dim=True), soft_wrap=True)
        self.started = time.perf_counter()
        self.total = trainer.epochs * len(trainer.train) - trainer.epoch * len(trainer.train) - trainer.batch
        if self.console.is_terminal:
            self.live = Live(console=self.console, refresh_per_second=12, transient=True)
            self.live.start()

    def on_step(self, trainer, step):
        self.step = step
        self.steps += 1
        self.samples += step.size
        now = time.perf_counter()
        if self.live is not None and (now - self.shown > 0.05 or step.batch == step.batches):
            self.shown = now
            self.live.update(self._bar(trainer, step, now - self.started))

    def on_epoch(self, trainer, record):
        self.console.print(self._row(record), soft_wrap=True)

    def on_end(self, trainer):
        self.close()

    def close(self):
        if self.live is not None:
            self.live.stop()
            self.live = None

    def _row(self, record: EpochRecord, dim=False):
        text = Text(style=DIM if dim else "")
        for title, width, value in self.columns:
            style = "bold" if title in ("val loss", "val acc") and not dim else ""
            text.append(value(record).rjust(width) + "  ", style=style)
        if record.best:
            text.append("best", style=GOOD)
        return text

    def _bar(self, trainer, step: Step, seconds):
        rate = self.samples / max(seconds, 1e-9)
        left = seconds / max(self.steps, 1) * max(self.total - self.steps, 0)
        accuracy = [("  acc ", DIM), percent(step.mean_accuracy)] if step.mean_accuracy is not None else []
        facts = Text.assemble(
            ("loss ", DIM), number(step.mean_loss), *accuracy, ("  |grad| ", DIM), number(step.grad_norm, 3),
            f"  {rate:,.0f}/s", ("  left ", DIM), clock(left), no_wrap=True,
        )  # fmt: skip
        epoch = Text(f"{step.epoch:>5}/{trainer.epochs}", style="bold", no_wrap=True)
        batch = Text(f"{step.batch}/{step.batches}", style=DIM, no_wrap=True)
        width = min(24, max(4, self.console.width - len(facts) - len(epoch) - len(batch) - 6))
        bar = ProgressBar(total=max(step.batches, 1), completed=step.batch, width=width, complete_style=ACCENT,
                          finished_style=ACCENT)  # fmt: skip
        line = Table.grid(padding=(0, 1))
        line.add_row(epoch, bar, batch, facts)
        return line


def run_panel(run, resumed: bool) -> Panel:
    """What is going to be trained, in one frame."""
    recipe, splits = run.recipe, run.splits
    total = sum(p.numel() for p in run.model.parameters())
    trained = sum(p.numel() for g in run.trainer.optimizer.param_groups for p in g["params"])
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style=DIM)
    facts.add_column()
    shape = "×".join(map(str, splits.shape))
    counts = f"{len(splits.train):,} to train on, {len(splits.validation):,} to validate, {len(splits.test):,} to test"
    facts.add_row("data", f"{recipe.data.source}, {shape}: {counts}")
    frozen = f", {total - trained:,} of them frozen" if total != trained else ""
    facts.add_row("model", f"{recipe.model.name}, {total:,} parameters{frozen}")
    groups = f", {len(run.trainer.optimizer.param_groups)} parameter groups" if recipe.optimizer.groups else ""
    optimizer = f"{type(run.trainer.optimizer).__name__}, lr {recipe.optimizer.lr:g}{groups}"
    clipping = f", clipped to norm {recipe.train.clip_norm:g}" if recipe.train.clip_norm else ""
    facts.add_row("optimizer", optimizer + clipping)
    epochs = f"{recipe.train.epochs} epochs of {len(run.trainer.train)} steps, seed {recipe.train.seed}"
    facts.add_row("training", epochs + (f", resumed after epoch {run.trainer.epoch}" if resumed else ""))
    facts.add_row("output", str(run.run_dir))
    return Panel(facts, title=f"[bold]{recipe.path}", title_align="left", border_style=ACCENT, expand=False)


def evaluation_panel(result, what: str, classes, files) -> Panel:
    """Loss and accuracy on the test set, and the classes that were confused most."""
    body = Table.grid(padding=(0, 2))
    body.add_column(style=DIM)
    body.add_column()
    body.add_row("examples", f"{result.count:,}")
    body.add_row("loss", number(result.loss))
    if result.accuracy is not None:
        body.add_row("accuracy", Text(percent(result.accuracy), style=f"bold {GOOD}"))
    if result.confusion is not None:
        wrong = [(int(result.confusion[i, j]), classes[i], classes[j]) for i in range(len(classes))
                 for j in range(len(classes)) if i != j and result.confusion[i, j]]  # fmt: skip
        if wrong:
            top = sorted(wrong, reverse=True)[:3]
            body.add_row("most confused", ", ".join(f"{a} taken for {b} ({n}×)" for n, a, b in top))
    for name, path in files:
        body.add_row(name, str(path))
    return Panel(body, title=f"[bold]{what}", title_align="left", border_style=ACCENT, expand=False)
