"""Examples from each source that a recipe can name, as arrays; split, scaled and served in batches.

Images stay bytes (uint8) in memory and become float32, scaled to 0..1 and normalised, a batch at a time.
"""

from __future__ import annotations

import csv
import gzip
import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .._random import Generator
from ..autograd.interop import from_numpy
from ..ops import randperm
from ._extras import need
from .recipe import Data, RecipeError

__all__ = ["Examples", "Batches", "Scaling", "Splits", "load_data", "read_image", "IMAGE_SUFFIXES"]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")


@dataclass
class Examples:
    """Inputs (N, ...) and labels (N,): whole numbers for classes, floats for values to predict."""

    x: np.ndarray
    y: np.ndarray

    def __len__(self):
        return len(self.x)

    def take(self, indices) -> Examples:
        return Examples(self.x[indices], self.y[indices])


@dataclass
class Scaling:
    """How stored values become a model's input: (x / divisor - mean) / std, per channel."""

    divisor: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    @classmethod
    def of(cls, x: np.ndarray, normalize: bool) -> Scaling:
        divisor = 255.0 if x.dtype == np.uint8 else 1.0
        if not normalize or not len(x):
            return cls(divisor)
        axes = (0, 2, 3) if x.ndim == 4 else tuple(range(x.ndim))
        # Sums in float64 over slices, so that large sets of images need no second copy in memory.
        total, square, count = 0.0, 0.0, 0
        for start in range(0, len(x), 1024):
            part = x[start : start + 1024].astype(np.float64) / divisor
            total, square = total + part.sum(axis=axes), square + (part * part).sum(axis=axes)
            count += part.size // (part.shape[1] if x.ndim == 4 else 1)
        mean = np.atleast_1d(total / count)
        std = np.sqrt(np.maximum(np.atleast_1d(square / count) - mean**2, 0))
        return cls(divisor, tuple(map(float, mean)), tuple(float(s) if s > 1e-8 else 1.0 for s in std))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        shape = (-1, 1, 1) if x.ndim == 4 else (1,)
        mean, std = (np.asarray(v, np.float32).reshape(shape) for v in (self.mean, self.std))
        return np.ascontiguousarray((x.astype(np.float32) / np.float32(self.divisor) - mean) / std)


class Batches:
    """Batches of (input, label) tensors. The order of an epoch depends on the seed and the epoch only."""

    def __init__(self, examples: Examples, scaling: Scaling, batch_size: int, *, shuffle: bool = False, seed: int = 0):
        self.examples, self.scaling, self.batch_size = examples, scaling, batch_size
        self.shuffle, self.seed, self.epoch = shuffle, seed, 0

    def __len__(self):
        return math.ceil(len(self.examples) / self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self):
        n = len(self.examples)
        order = np.arange(n)
        if self.shuffle:
            order = randperm(n, generator=Generator().manual_seed(self.seed * 1_000_003 + self.epoch)).numpy()
        for start in range(0, n, self.batch_size):
            part = self.examples.take(order[start : start + self.batch_size])
            y = part.y.astype(np.int64 if part.y.dtype.kind in "iub" else np.float32)
            yield from_numpy(self.scaling(part.x)), from_numpy(y)


@dataclass
class Splits:
    """What a recipe's [data] gives."""

    train: Examples
    validation: Examples
    test: Examples
    classes: list[str]  # empty for values to predict
    scaling: Scaling

    @property
    def shape(self) -> tuple[int, ...]:
        return self.train.x.shape[1:]

    def describe(self) -> dict:
        """What prediction needs later: kept in every checkpoint."""
        s = self.scaling
        return {"classes": list(self.classes), "shape": list(self.shape), "divisor": s.divisor, "mean": list(s.mean),
                "std": list(s.std)}  # fmt: skip


def load_data(spec: Data, seed: int = 0, folder: Path | str = ".") -> Splits:
    """Reads, splits and measures the examples of a recipe.

    Raises: RecipeError if they are not there or do not fit together; ImportError for a missing package.
    """
    found = _SOURCES[spec.source](spec, Path(folder))
    train, test, classes = found
    if len(train.x) != len(train.y):
        raise RecipeError(f"[data] has {len(train.x)} inputs but {len(train.y)} labels")
    order = np.random.default_rng(seed).permutation(len(train))
    if spec.limit:
        order = order[: spec.limit]
    if spec.validation + (0 if test is not None else spec.test) >= 1:
        raise RecipeError("[data] validation and test leave nothing to train on: together they must be below 1")
    n_test = 0 if test is not None else round(len(order) * spec.test)
    n_validation = round(len(order) * spec.validation)
    parts = np.split(order, [n_test, n_test + n_validation])
    test = train.take(parts[0]) if test is None else test
    validation, rest = train.take(parts[1]), train.take(parts[2])
    if not len(rest):
        raise RecipeError(f"[data] {spec.source} has no examples to train on")
    return Splits(rest, validation, test, classes, Scaling.of(rest.x, spec.normalize))


# -- images ------------------------------------------------------------------------------------------------------------


def _size(spec):
    if spec.image_size is None:
        return None
    return (spec.image_size,) * 2 if isinstance(spec.image_size, int) else tuple(spec.image_size)


def read_image(path, size=None, channels=None) -> np.ndarray:
    """A picture as (channels, height, width) bytes.

    Raises: RecipeError that names a file that is no picture.
    """
    image_module = need("PIL.Image", "reading images")
    try:
        with image_module.open(path) as image:
            grey = image.mode in ("1", "L", "I", "I;16", "F", "LA")
            image = image.convert("L" if channels == 1 or (channels is None and grey) else "RGB")
            if size is not None and image.size != (size[1], size[0]):
                image = image.resize((size[1], size[0]), image_module.Resampling.BILINEAR)
            array = np.asarray(image)
    except (OSError, ValueError, SyntaxError) as error:
        raise RecipeError(f"cannot read the image {path}: {error}") from None
    return array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))


def _read_images(paths, spec):
    size, channels, out = _size(spec), spec.channels, None
    for i, path in enumerate(paths):
        image = read_image(path, size, channels)
        if out is None:
            channels = image.shape[0]  # the first image decides what is not given
            out = np.empty((len(paths), *image.shape), np.uint8)
        if image.shape != out.shape[1:]:
            sizes = [f"{s[-1]}×{s[-2]}" for s in (image.shape, out.shape)]
            raise RecipeError(f"{path} is {sizes[0]}, {paths[0]} is {sizes[1]}: set image_size in [data]")
        out[i] = image
    return out


def _resized(x, spec):
    """Arrays of images in the size that the recipe asks for; magnified in whole steps where that fits."""
    if x.ndim == 3:
        x = x[:, None]
    size = _size(spec)
    if size is None or x.ndim != 4 or x.shape[2:] == size:
        return x
    factors = [s / n for s, n in zip(size, x.shape[2:], strict=True)]
    if all(f >= 1 and f == int(f) for f in factors):
        return x.repeat(int(factors[0]), axis=2).repeat(int(factors[1]), axis=3)
    image_module = need("PIL.Image", "resizing images")
    planes = x.reshape(-1, *x.shape[2:])
    resized = [np.asarray(image_module.fromarray(p).resize((size[1], size[0]), image_module.Resampling.BILINEAR))
               for p in planes]  # fmt: skip
    return np.stack(resized).reshape(*x.shape[:2], *size).astype(x.dtype)


# -- sources -----------------------------------------------------------------------------------------------------------


def _path(spec, folder, what):
    if spec.path is None:
        raise RecipeError(f"[data] source = {spec.source!r} needs a path: {what}")
    path = folder / os.path.expanduser(spec.path)
    if not path.exists():
        raise RecipeError(f"[data] {what} is not there: {path}")
    return path


def _digits(spec, folder):
    bunch = need("sklearn.datasets", "the bundled digits").load_digits()
    x = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    return Examples(_resized(x, spec), bunch.target.astype(np.int64)), None, [str(c) for c in range(10)]


def _folder(path, spec, classes=None):
    names = sorted(p.name for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    classes = names if classes is None else classes
    files, labels = [], []
    for label, name in enumerate(classes):
        for file in sorted((path / name).rglob("*")) if (path / name).is_dir() else ():
            if file.suffix.lower() in IMAGE_SUFFIXES:
                files.append(file)
                labels.append(label)
    if not files:
        raise RecipeError(f"[data] no images below {path}: expected one folder per class, such as {path}/cat/1.png")
    return Examples(_read_images(files, spec), np.asarray(labels, np.int64)), classes


def _images(spec, folder):
    path = _path(spec, folder, "a folder with one folder of images per class")
    train, test = path / "train", next((path / n for n in ("test", "val", "validation") if (path / n).is_dir()), None)
    if train.is_dir() and test is not None:
        examples, classes = _folder(train, spec)
        return examples, _folder(test, spec, classes)[0], classes
    examples, classes = _folder(path, spec)
    return examples, None, classes


def _csv(spec, folder):
    path = _path(spec, folder, "a CSV file")
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise RecipeError(f"[data] {path} has no rows")
    columns = list(rows[0])
    if spec.label_column not in columns:
        raise RecipeError(f"[data] {path} has no column {spec.label_column!r}; it has {', '.join(columns[:8])}")
    labels = [row[spec.label_column] for row in rows]
    if spec.image_column in columns:
        x = _read_images([path.parent / row[spec.image_column] for row in rows], spec)
    else:  # a column per pixel, or any numbers
        try:
            x = np.array([[float(row[c]) for c in columns if c != spec.label_column] for row in rows], np.float32)
        except (TypeError, ValueError):
            raise RecipeError(
                f"[data] {path} has no column {spec.image_column!r}, and its other columns are not numbers"
            ) from None
        side = math.isqrt(x.shape[1])
        if side * side == x.shape[1] and x.min() >= 0 and x.max() <= 255 and spec.image_size is not None:
            x = _resized(x.astype(np.uint8).reshape(-1, side, side), spec)
    return Examples(x, *_labels(labels)[:1]), None, _labels(labels)[1]


def _labels(values):
    """(labels as numbers, names of the classes): names if they are words, their values if they are numbers."""
    if all(v.lstrip("-").isdigit() for v in values):
        numbers = sorted({int(v) for v in values})
        names = [str(n) for n in (range(numbers[-1] + 1) if numbers[0] >= 0 and numbers[-1] < 10000 else numbers)]
    else:
        names = sorted(set(values))
    index = {name: i for i, name in enumerate(names)}
    return np.array([index[str(int(v)) if v.lstrip("-").isdigit() else v] for v in values], np.int64), names


def _npz(spec, folder):
    path = _path(spec, folder, "an .npz file with x, y (and x_test, y_test)")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name.lower(): file[name] for name in file.files}
    except (ValueError, OSError, AttributeError) as error:
        raise RecipeError(f"[data] cannot read {path}: {error}") from None
    names = {"x": ("x", "x_train", "images", "data"), "y": ("y", "y_train", "labels", "target")}
    found = {k: next((arrays[n] for n in options if n in arrays), None) for k, options in names.items()}
    if found["x"] is None or found["y"] is None:
        raise RecipeError(f"[data] {path} should hold x and y (or x_train and y_train); it has {', '.join(arrays)}")
    y = found["y"]
    labels = y.dtype.kind in "iub"
    classes = [str(c) for c in range(int(y.max()) + 1)] if labels and y.ndim == 1 and len(y) else []
    train = Examples(_resized(_plain(found["x"]), spec), y)
    if "x_test" in arrays and "y_test" in arrays:
        return train, Examples(_resized(_plain(arrays["x_test"]), spec), arrays["y_test"]), classes
    return train, None, classes


def _plain(x):
    """Images with channels last become channels first; floats become float32."""
    if x.ndim == 4 and x.shape[-1] in (1, 3) and x.shape[1] not in (1, 3):
        x = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    return x if x.dtype == np.uint8 else x.astype(np.float32)


def _read_idx(path):
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
        data = file.read()
    kinds = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in kinds:
        raise RecipeError(f"[data] {path} is not an IDX file")
    shape = struct.unpack_from(f">{data[3]}I", data, 4) if len(data) >= 4 + 4 * data[3] else ()
    dtype = np.dtype(kinds[data[2]])
    if len(data) != 4 + 4 * data[3] + math.prod(shape) * dtype.itemsize:
        raise RecipeError(f"[data] {path} is cut off: {len(data)} bytes for an array of shape {shape}")
    return np.frombuffer(data, dtype, offset=4 + 4 * data[3]).reshape(shape).astype(dtype.newbyteorder("="))


def _idx(spec, folder):
    path = _path(spec, folder, "a folder with IDX files such as train-images-idx3-ubyte")

    def find(kind, required=True):
        for name in (f"{kind}-ubyte", f"{kind.replace('-idx', '.idx')}-ubyte"):
            for suffix in ("", ".gz"):
                if (path / (name + suffix)).exists():
                    return _read_idx(path / (name + suffix))
        if required:
            raise RecipeError(f"[data] there is no {kind}-ubyte(.gz) in {path}")
        return None

    train = Examples(_resized(find("train-images-idx3"), spec), find("train-labels-idx1").astype(np.int64))
    images, labels = find("t10k-images-idx3", False), find("t10k-labels-idx1", False)
    test = None if images is None or labels is None else Examples(_resized(images, spec), labels.astype(np.int64))
    return train, test, [str(c) for c in range(int(train.y.max()) + 1)]


_SOURCES = {"digits": _digits, "images": _images, "csv": _csv, "npz": _npz, "idx": _idx}
