"""Recipes: one readable TOML file says what is trained, on what, and how.

Every key that a recipe may have is a field of a dataclass below, with its type, its default and one line of help; the
checks, the messages and `rushlight recipe` are derived from them.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import tomllib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .toml_lines import Lines

__all__ = ["Recipe", "RecipeError", "parse_recipe", "read_recipe"]


class RecipeError(ValueError):
    """A recipe that cannot be followed. The message has the file, the line and the nearest right name."""


def key(default: Any = dataclasses.MISSING, help: str = "", choices: tuple = (), minimum: float | None = None):
    """A field of a recipe's table."""
    meta = {"help": help, "choices": choices, "minimum": minimum}
    if isinstance(default, (dict, list)):
        return field(default_factory=lambda: type(default)(default), metadata=meta)
    return field(default=default, metadata=meta)


SOURCES = ("digits", "images", "csv", "npz", "idx")


@dataclass
class Data:
    """Where the examples come from, and how they are split and scaled."""

    source: str = key(help="where the examples come from", choices=SOURCES)
    path: str | None = key(None, "file or folder, relative to the recipe")
    image_size: int | list[int] | None = key(None, "resize images to this size, or [height, width]")
    channels: int | None = key(None, "1 for grey, 3 for colour; as found if left out")
    validation: float = key(0.1, "share of the examples to validate on", minimum=0.0)
    test: float = key(0.2, "share to test on in the end, where the source has no test set", minimum=0.0)
    normalize: bool = key(True, "subtract the training set's mean and divide by its deviation, per channel")
    batch_size: int = key(64, "examples per step", minimum=1)
    shuffle: bool = key(True, "a new order in every epoch")
    limit: int | None = key(None, "use only so many examples", minimum=1)
    image_column: str = key("image", "csv: the column with file names")
    label_column: str = key("label", "csv: the column with labels")


@dataclass
class Model:
    """What is trained."""

    name: str = key(help="lenet, alexnet, mlp, or package.module:Class")
    args: dict = key({}, "arguments of the class")
    weights: str | None = key(None, "a checkpoint to start from")


@dataclass
class Loss:
    """What is minimised."""

    name: str = key("cross_entropy", "cross_entropy, mse, l1, ... or a class of rushlight.nn such as HuberLoss")
    args: dict = key({}, "arguments, such as label_smoothing")


@dataclass
class Group:
    """Parameters with options of their own."""

    match: str | list[str] = key(help="name patterns, such as 'fc*.weight'")
    options: dict = field(default_factory=dict, metadata={"help": "any option of the optimizer", "rest": True})


@dataclass
class Optimizer:
    """How parameters move."""

    name: str = key("adam", "a class of rushlight.optim, in any case: sgd, adam, adamw, rmsprop, ...")
    lr: float = key(1e-3, "learning rate", minimum=0.0)
    freeze: list[str] = key([], "name patterns of parameters that stay as they are")
    groups: list[Group] = key([], "[[optimizer.groups]]: parameters with options of their own")
    options: dict = field(default_factory=dict, metadata={"help": "any option, such as momentum", "rest": True})


@dataclass
class Schedule:
    """How the learning rate changes: a class of rushlight.optim.lr_scheduler, stepped after every epoch."""

    name: str = key(help="such as cosine, step, or a class name")
    options: dict = field(default_factory=dict, metadata={"help": "any argument of the class", "rest": True})


@dataclass
class Train:
    """How long, and with which safety net."""

    epochs: int = key(10, "passes over the training set", minimum=1)
    clip_norm: float | None = key(None, "scale gradients down to this norm", minimum=0.0)
    clip_value: float | None = key(None, "clamp each gradient to plus or minus this", minimum=0.0)
    seed: int = key(0, "of the split, the initial weights, the order and dropout")
    threads: int | None = key(None, "CPU threads; results do not depend on it", minimum=1)
    keep_best: str = key("loss", "what of the validation makes a checkpoint the best", choices=("loss", "accuracy"))


@dataclass
class Output:
    """What is written beside the checkpoints."""

    dir: str | None = key(None, "where; runs/<name of the recipe> if left out")
    csv: bool = key(True, "metrics.csv")
    tensorboard: bool = key(True, "TensorBoard events, if the package is installed")
    plots: bool = key(True, "history.png and confusion.png, if matplotlib is installed")


@dataclass
class Recipe:
    """A whole recipe. `text` and `path` are the file's own."""

    data: Data
    model: Model
    init: dict = key({}, "layer type = rule: Conv2d = 'kaiming_normal', or { weight = 'xavier_uniform', bias = 0.1 }")
    loss: Loss = field(default_factory=Loss)
    optimizer: Optimizer = field(default_factory=Optimizer)
    schedule: Schedule | None = None
    train: Train = field(default_factory=Train)
    output: Output = field(default_factory=Output)
    text: str = field(default="", repr=False, metadata={"internal": True})
    path: str = field(default="<recipe>", metadata={"internal": True})

    @property
    def folder(self) -> Path:
        """What relative paths in the recipe are relative to."""
        return Path(self.path).parent if os.path.exists(self.path) else Path()

    @property
    def run_dir(self) -> Path:
        return Path(self.output.dir) if self.output.dir else Path("runs") / Path(self.path).stem.strip("<>")


# -- reading -----------------------------------------------------------------------------------------------------------


def read_recipe(path) -> Recipe:
    """A recipe from a file.

    Raises: FileNotFoundError, RecipeError.
    """
    with open(path, encoding="utf-8") as file:
        return parse_recipe(file.read(), os.fspath(path))


def parse_recipe(text: str, path: str = "<recipe>") -> Recipe:
    """A recipe from its text.

    Raises: RecipeError with every wrong key and value, each with its line.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(_syntax_message(error, text, path)) from None
    reader = _Reader(text, path)
    recipe = reader.table(Recipe, values, ())
    if reader.problems:
        raise RecipeError("\n\n".join(reader.problems))
    recipe.text, recipe.path = text, path
    return recipe


def _syntax_message(error, text, path):
    match = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
    if not match:
        return f"{path}: {error}"
    line = int(match[1])
    return f"{path}, line {line}: {str(error)[: match.start()].strip()}\n{Lines(text).show(line)}"


class _Reader:
    """Fills dataclasses from parsed TOML and collects what is wrong."""

    def __init__(self, text, path):
        self.lines, self.path, self.problems = Lines(text), path, []

    def problem(self, where, message, word=""):
        number = self.lines.of(where)
        if number is None:
            self.problems.append(f"{self.path}: {message}")
        else:
            self.problems.append(f"{self.path}, line {number}: {message}\n{self.lines.show(number, word)}")

    def table(self, cls, values, where):
        hints = typing.get_type_hints(cls)
        fields = {f.name: f for f in dataclasses.fields(cls) if not f.metadata.get("internal")}
        rest = next((f.name for f in fields.values() if f.metadata.get("rest")), None)
        given, extra = {}, {}
        for name, value in values.items():
            if name in fields and name != rest:
                given[name] = self.value(hints[name], value, (*where, name), fields[name])
            elif rest:
                extra[name] = value
            else:
                self.unknown(name, fields, where)
        if rest:
            given[rest] = extra
        for name, f in fields.items():
            required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
            if required and name not in given:
                title = f"[{'.'.join(map(str, where))}] needs" if where else "the recipe needs"
                what = f"a table [{name}]" if not where else f"{name!r}: {f.metadata.get('help')}"
                self.problem(where, f"{title} {what}")
                given[name] = None
        return cls(**given)

    def unknown(self, name, fields, where):
        near = difflib.get_close_matches(name, fields, 1, 0.5)
        elsewhere = [t for t, c in _TABLES.items() if name in {f.name for f in dataclasses.fields(c)} and (t,) != where]
        title = f" in [{'.'.join(map(str, where))}]" if where else ""
        if near:
            hint = f"; did you mean {near[0]!r}?"
        elif elsewhere:
            hint = f"; it belongs into [{elsewhere[0]}]"
        else:
            hint = f"; there are {', '.join(fields)}"
        self.problem((*where, name), f"unknown key {name!r}{title}{hint}", name)

    def value(self, hint, value, where, f):
        options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        for option in options:
            if option is type(None):
                continue
            if dataclasses.is_dataclass(option):
                if isinstance(value, dict):
                    return self.table(option, value, where)
            elif typing.get_origin(option) is list:
                (item,) = typing.get_args(option)
                if isinstance(value, list) and dataclasses.is_dataclass(item):
                    if all(isinstance(v, dict) for v in value):
                        return [self.table(item, v, (*where, i)) for i, v in enumerate(value)]
                elif isinstance(value, list) and all(_is(item, v) for v in value):
                    return value
            elif _is(option, value):
                return self.checked(option(value) if option is float else value, where, f)
        wanted = " or ".join(_NAMES.get(o, "a table" if dataclasses.is_dataclass(o) else "a list")
                             for o in options if o is not type(None))  # fmt: skip
        self.problem(where, f"{where[-1]!r} should be {wanted}, got {value!r}", str(where[-1]))
        return None

    def checked(self, value, where, f):
        choices, minimum = f.metadata.get("choices"), f.metadata.get("minimum")
        if choices and value not in choices:
            near = difflib.get_close_matches(str(value), choices, 1, 0.4)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            text = f"{where[-1]!r} should be one of {', '.join(map(repr, choices))}, got {value!r}{hint}"
            self.problem(where, text, str(value))
        elif minimum is not None and value < minimum:
            self.problem(where, f"{where[-1]!r} should be at least {minimum:g}, got {value!r}", str(where[-1]))
        return value


_NAMES = {int: "a whole number", float: "a number", str: "text in quotes", bool: "true or false", dict: "a table"}
_TABLES = {"data": Data, "model": Model, "loss": Loss, "optimizer": Optimizer, "schedule": Schedule, "train": Train,
           "output": Output}  # fmt: skip


def _is(kind, value):
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return kind is Any or isinstance(value, kind)


def locate(recipe: Recipe, where: tuple, message: str, word: str = "") -> RecipeError:
    """An error about a value that only its user can judge (an optimizer's option, a layer's name), with its line."""
    reader = _Reader(recipe.text, recipe.path)
    reader.problem(where, message, word)
    return RecipeError(reader.problems[0])


def describe() -> str:
    """Every key with its default and meaning, as a commented recipe."""
    parts = []
    for name, cls in _TABLES.items():
        parts.append(f"\n[{name}]  # {cls.__doc__.splitlines()[0]}")
        for f in dataclasses.fields(cls):
            meta = f.metadata
            if meta.get("rest"):
                parts.append(f"# ...  # {meta['help']}")
                continue
            default = "" if f.default in (dataclasses.MISSING, None) else _toml(f.default)
            choices = f" ({', '.join(meta['choices'])})" if meta.get("choices") else ""
            parts.append(f"# {f.name} = {default}".rstrip(" =").ljust(28) + f"  # {meta['help']}{choices}")
    parts.append("\n[init]  # layer type = rule")
    parts.append("# Conv2d = 'kaiming_normal'\n# Linear = { weight = 'xavier_uniform', bias = 0.0 }")
    return "\n".join(parts).lstrip() + "\n"


def _toml(value):
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)
