"""Makes the pictures of the README from a real run: python tools/pictures.py"""

import shutil
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme

from rushlight.cli.display import FitDisplay, evaluation_panel, run_panel
from rushlight.cli.tables import tensor_table
from rushlight.serialization import inspect
from rushlight.train import Run, read_recipe

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
THEME = TerminalTheme((24, 26, 31), (222, 224, 228), [(24, 26, 31)] * 8, [(150, 150, 150)] * 8)


class Snapshot(FitDisplay):
    """Draws the bar of one step under the rows, as it stands on the screen at that moment."""

    moment = (20, 23)

    def on_step(self, trainer, step):
        super().on_step(trainer, step)
        if (step.epoch, step.batch) == self.moment and not self.done:
            self.done = True
            self.console.print(self._bar(trainer, step, time.perf_counter() - self.started))

    def on_epoch(self, trainer, record):
        if not self.done:
            super().on_epoch(trainer, record)

    done = False


def recorder(width=104):
    return Console(record=True, width=width, file=open("/dev/null", "w"), color_system="truecolor", highlight=False)


def main():
    recipe = read_recipe(ROOT / "examples/recipes/digits.toml")
    recipe.path = "examples/recipes/digits.toml"
    with tempfile.TemporaryDirectory() as folder:
        recipe.output.dir = folder
        console = recorder()
        run = Run(recipe, [Snapshot(console)])
        run.run_dir = Path("runs/digits")
        console.print(run_panel(run, False))
        run.run_dir = Path(folder)
        run.fit()
        result = run.test()
        console.save_svg(str(IMAGES / "fit.svg"), title="rushlight fit examples/recipes/digits.toml", theme=THEME)
        console = recorder(80)
        console.print(evaluation_panel(result, "Test set, best checkpoint", run.splits.classes, []))
        console.print(tensor_table("best.pth", [t for t in inspect(Path(folder) / "best.pth") if t.name[:5] == "model"], True))
        console.save_svg(str(IMAGES / "inspect.svg"), title="rushlight inspect runs/digits/best.pth", theme=THEME)
        for name in ("history.png", "confusion.png"):
            shutil.copy(Path(folder) / name, IMAGES / name)


if __name__ == "__main__":
    main()
