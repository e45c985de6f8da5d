"""A run: a recipe put together, trained, evaluated and reported; and models from its checkpoints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import nn
from .._config import set_num_threads
from .._random import manual_seed
from ..autograd.grad_mode import no_grad
from ..autograd.interop import from_numpy
from ..ops import softmax
from ..serialization import load
from ._extras import available
from .build import build_loss, build_model, build_optimizer, build_schedule
from .data import Batches, Scaling, Splits, load_data, read_image
from .recipe import Recipe, RecipeError, parse_recipe
from .report import CSVReport, TensorBoardReport, plot_confusion, plot_history
from .trainer import FORMAT, Evaluation, Trainer

__all__ = ["Run", "Predictor", "Prediction"]

EVALUATION_BATCH = 256


class Run:
    """A recipe with everything that it names: `splits`, `model`, `trainer`.

    Example:
        run = Run(read_recipe("digits.toml"))
        run.fit()
        print(run.test().accuracy)
    """

    def __init__(self, recipe: Recipe, callbacks: Iterable = ()):
        self.recipe = recipe
        spec = recipe.train
        if spec.threads:
            set_num_threads(spec.threads)
        self.splits: Splits = load_data(recipe.data, spec.seed, recipe.folder)
        manual_seed(spec.seed)
        outputs = len(self.splits.classes) or _width(self.splits.train.y)
        self.model = build_model(recipe, self.splits.shape, outputs)
        self.loss = build_loss(recipe)
        optimizer = build_optimizer(recipe, self.model)
        self.run_dir = recipe.run_dir
        self.trainer = Trainer(
            self.model, self.loss, optimizer,
            train=self.batches(self.splits.train, recipe.data.batch_size, recipe.data.shuffle),
            validation=self.batches(self.splits.validation) if len(self.splits.validation) else None,
            epochs=spec.epochs, clip_norm=spec.clip_norm, clip_value=spec.clip_value,
            scheduler=build_schedule(recipe, optimizer), run_dir=self.run_dir, keep_best=spec.keep_best, seed=spec.seed,
            callbacks=[*self._reports(), *callbacks],
            extra={"recipe": recipe.text, "recipe_path": recipe.path, "data": self.splits.describe()},
        )  # fmt: skip

    def batches(self, examples, size: int = EVALUATION_BATCH, shuffle: bool = False) -> Batches:
        return Batches(examples, self.splits.scaling, size, shuffle=shuffle, seed=self.recipe.train.seed)

    def _reports(self):
        output = self.recipe.output
        if output.csv:
            yield CSVReport(self.run_dir / "metrics.csv")
        if output.tensorboard and available("tensorboard"):
            yield TensorBoardReport(self.run_dir / "events")

    def fit(self, resume: bool = False) -> list:
        """Trains, from `last.pth` of the run's directory if `resume`.

        Raises: FileNotFoundError if there is nothing to resume; Stopped after Ctrl-C.
        """
        checkpoint = self.run_dir / "last.pth"
        if resume and not checkpoint.exists():
            raise FileNotFoundError(f"there is nothing to resume: {checkpoint} does not exist")
        try:
            history = self.trainer.fit(checkpoint if resume else None)
        finally:
            for callback in self.trainer.callbacks:
                if hasattr(callback, "close"):
                    callback.close()
        if self.recipe.output.plots and available("matplotlib"):
            plot_history(history, self.run_dir / "history.png", Path(self.recipe.path).stem)
        return history

    def test(self, checkpoint: str = "best.pth") -> Evaluation:
        """Evaluates a checkpoint of this run on the test set, or on the validation set if there is none."""
        path = self.run_dir / checkpoint
        if path.exists():
            self.model.load_state_dict(load(path)["model"])
        examples = self.splits.test if len(self.splits.test) else self.splits.validation
        result = self.trainer.evaluate(self.batches(examples), len(self.splits.classes))
        plots = self.recipe.output.plots and available("matplotlib") and self.run_dir.is_dir()
        if plots and result.confusion is not None and result.count:
            plot_confusion(result.confusion, self.splits.classes, self.run_dir / "confusion.png", "Test set")
        return result


def _width(y):
    return 1 if y.ndim == 1 else int(np.prod(y.shape[1:]))


@dataclass
class Prediction:
    """What a model says about one image: its name, and classes with probabilities, most likely first."""

    path: str
    classes: list[tuple[str, float]]


class Predictor:
    """A trained model with the scaling that it was trained with.

    Raises: RuntimeError if the checkpoint was not made by `rushlight fit`.
    """

    def __init__(self, checkpoint):
        state = load(checkpoint)
        if not isinstance(state, dict) or state.get("format") != FORMAT or not state.get("recipe"):
            raise RuntimeError(f"{checkpoint} was not written by `rushlight fit`: it has no recipe for a model")
        self.data = state["data"]
        self.recipe = parse_recipe(state["recipe"], state.get("recipe_path", str(checkpoint)))
        self.recipe.model.weights, self.recipe.init = None, {}
        self.classes = self.data["classes"]
        self.shape = tuple(self.data["shape"])
        self.scaling = Scaling(self.data["divisor"], tuple(self.data["mean"]), tuple(self.data["std"]))
        self.model: nn.Module = build_model(self.recipe, self.shape, len(self.classes) or 1)
        self.model.load_state_dict(state["model"])
        self.model.eval()

    def predict(self, paths) -> list[Prediction]:
        """Predictions for image files, in order.

        Raises: RecipeError for a file that is no image.
        """
        if len(self.shape) != 3:
            raise RecipeError(f"this model takes inputs of shape {self.shape}, not images")
        channels, height, width = self.shape
        out = []
        for start in range(0, len(paths), EVALUATION_BATCH):
            part = paths[start : start + EVALUATION_BATCH]
            images = np.stack([read_image(p, (height, width), channels) for p in part])
            with no_grad():
                scores = softmax(self.model(from_numpy(self.scaling(images))), 1).numpy()
            for path, row in zip(part, scores, strict=True):
                order = np.argsort(-row, kind="stable")
                out.append(Prediction(str(path), [(self.classes[i], float(row[i])) for i in order]))
        return out
