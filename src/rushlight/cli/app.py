"""The commands. Each is thin: it parses, calls, and prints."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from pickle import UnpicklingError
from typing import Annotated

import typer
from rich.console import Console

from .._config import show_config
from .._version import __version__

__all__ = ["app", "run"]

app = typer.Typer(
    add_completion=False, no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_enable=False,
    help="Trains PyTorch models on the CPU.", context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
console = Console(highlight=False)
if not console.is_terminal and "COLUMNS" not in os.environ:
    console = Console(highlight=False, width=120)  # nothing needs to be squeezed in a log
errors = Console(stderr=True, highlight=False)

RecipePath = Annotated[Path, typer.Argument(help="A recipe, such as examples/recipes/digits.toml.")]


def run() -> None:
    """Runs the command line; errors that a user can mend are printed without a traceback."""
    try:
        app()
    except (ValueError, RuntimeError, OSError, ImportError, UnpicklingError, EOFError) as error:
        if "--debug" in sys.argv:
            raise
        errors.print("error:", style="bold red", end=" ")
        errors.print(str(error), markup=False, soft_wrap=True)
        sys.exit(1)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"rushlight {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
) -> None: ...


@app.command()
def fit(
    recipe: RecipePath,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's last checkpoint.")] = False,
    epochs: Annotated[int | None, typer.Option(help="Instead of the recipe's.", min=1)] = None,
    out: Annotated[Path | None, typer.Option(help="Directory of the run, instead of the recipe's.")] = None,
) -> None:
    """Trains what a recipe describes; tests it; writes checkpoints, metrics and plots."""
    from ..train import Run, Stopped, read_recipe
    from .display import FitDisplay, evaluation_panel, run_panel

    plan = read_recipe(recipe)
    plan.train.epochs = epochs or plan.train.epochs
    plan.output.dir = str(out) if out else plan.output.dir
    display = FitDisplay(console)
    training = Run(plan, [display])
    if resume and (training.run_dir / "last.pth").exists():
        training.trainer.restore(training.run_dir / "last.pth")
    console.print(run_panel(training, resume))
    try:
        training.fit(resume)
    except Stopped as stop:
        display.close()
        hint = f"Saved {stop.path}; go on with --resume." if stop.path else "Nothing was saved."
        errors.print(f"[bold]Stopped.[/] {hint}", soft_wrap=True)
        raise typer.Exit(130) from None
    finally:
        display.close()
    result = training.test()
    names = {"checkpoint": "best.pth", "history": "history.png", "confusion": "confusion.png", "metrics": "metrics.csv"}
    files = [(name, training.run_dir / file) for name, file in names.items() if (training.run_dir / file).exists()]
    what = "Test set" if len(training.splits.test) else "Validation set"
    console.print(evaluation_panel(result, f"{what}, best checkpoint", training.splits.classes, files))


@app.command("eval")
def evaluate(
    recipe: RecipePath,
    checkpoint: Annotated[Path | None, typer.Option(help="Instead of the run's best.pth.")] = None,
) -> None:
    """Evaluates a trained recipe on its test set."""
    from ..train import Run, read_recipe
    from .display import evaluation_panel

    plan = read_recipe(recipe)
    training = Run(plan)
    path = checkpoint or training.run_dir / "best.pth"
    if not path.exists():
        raise FileNotFoundError(f"there is no checkpoint {path}: train first, or give --checkpoint")
    result = training.test(path.resolve())
    console.print(evaluation_panel(result, f"{path}", training.splits.classes, []))


@app.command()
def predict(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint written by `rushlight fit`.")],
    images: Annotated[list[Path], typer.Argument(help="Images, or folders of images.")],
    top: Annotated[int, typer.Option(help="How many classes to show.", min=1)] = 3,
) -> None:
    """Says what is on one image, or on each image of a folder."""
    from rich.table import Table

    from ..train import Predictor
    from ..train.data import IMAGE_SUFFIXES

    files: dict[Path, str] = {}  # and the names they are shown by: within a given folder, relative to it
    for path in images:
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
            files |= {p: str(p.relative_to(path)) for p in found}
        elif path.exists():
            files[path] = str(path)
        else:
            raise FileNotFoundError(f"there is no image {path}")
    if not files:
        raise FileNotFoundError(f"there are no images in {', '.join(map(str, images))}")
    table = Table(box=None, header_style="bold dark_orange3", pad_edge=False)
    table.add_column("image", overflow="fold")
    table.add_column("class", style="bold")
    table.add_column("probability", justify="right")
    table.add_column("then", style="grey58")
    for prediction in Predictor(checkpoint).predict(list(files)):
        (name, probability), *others = prediction.classes[:top]
        rest = ", ".join(f"{n} {p:.1%}" for n, p in others)
        table.add_row(files[Path(prediction.path)], name, f"{probability:.1%}", rest)
    console.print(table)


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="Any PyTorch or rushlight checkpoint, or .safetensors file.")],
    stats: Annotated[bool, typer.Option(help="Read the values and show mean and standard deviation.")] = True,
) -> None:
    """Lists every tensor of a checkpoint. Executes nothing that the file contains."""
    from ..serialization import inspect as tensors_of
    from .tables import tensor_table

    tensors = tensors_of(file)
    console.print(tensor_table(str(file), tensors, stats))


_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}


@app.command("run", context_settings=_PASS_ON)
def run_script(
    context: typer.Context,
    script: Annotated[Path, typer.Argument(help="A Python file that imports torch.")],
) -> None:
    """Runs a PyTorch script as it is, with `torch` being rushlight."""
    from .alias import run_with_alias

    run_with_alias(script, context.args)


@app.command()
def config() -> None:
    """Shows the CPU, the kernels that were chosen and the number of threads."""
    print(show_config(), end="")


@app.command("recipe")
def recipe_help() -> None:
    """Shows every key that a recipe can have."""
    from ..train.recipe import describe

    print(describe(), end="")
