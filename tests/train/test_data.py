"""Each data source gives the examples that were put into it, and a small model can be fitted to them."""

import csv
import gzip
import re
import struct

import numpy as np
import pytest
from PIL import Image

from rushlight.train import Run, parse_recipe
from rushlight.train.data import Batches, Examples, Scaling, load_data, read_image
from rushlight.train.recipe import Data, RecipeError

RNG = np.random.default_rng(0)


def pictures(n=24, size=8, colour=False):
    """Images whose brightness tells their class."""
    labels = np.arange(n) % 2
    shape = (n, size, size, 3) if colour else (n, size, size)
    return (RNG.integers(0, 100, shape) + 150 * labels.reshape(-1, *[1] * (len(shape) - 1))).astype(np.uint8), labels


def write_idx(path, array, zipped=False):
    header = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    with (gzip.open if zipped else open)(path, "wb") as file:
        file.write(header + array.astype(np.uint8).tobytes())


def make_images(folder, colour=False):
    x, y = pictures(colour=colour)
    for i, (image, label) in enumerate(zip(x, y, strict=True)):
        path = folder / "set" / ("dark", "light")[label] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return {"source": "images", "path": "set"}


def make_split_images(folder):
    for part in ("train", "test"):
        make_images(folder / part)
        (folder / part / "set").rename(folder / f"{part}_")
        (folder / part).rmdir()
    (folder / "set").mkdir()
    for part in ("train", "test"):
        (folder / f"{part}_").rename(folder / "set" / part)
    return {"source": "images", "path": "set"}


def make_csv(folder):
    make_images(folder)
    with open(folder / "list.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "kind"])
        for path in sorted((folder / "set").rglob("*.png")):
            writer.writerow([path.relative_to(folder), path.parent.name])
    return {"source": "csv", "path": "list.csv", "image_column": "file", "label_column": "kind"}


def make_pixel_csv(folder):
    x, y = pictures()
    with open(folder / "pixels.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["label", *[f"pixel{i}" for i in range(64)]])
        writer.writerows([[label, *image.ravel()] for image, label in zip(x, y, strict=True)])
    return {"source": "csv", "path": "pixels.csv", "image_size": 8}


def make_npz(folder):
    x, y = pictures()
    np.savez(folder / "a.npz", x_train=x, y_train=y, x_test=x[:6], y_test=y[:6])
    return {"source": "npz", "path": "a.npz"}


def make_idx(folder, zipped=False):
    x, y = pictures()
    end = ".gz" if zipped else ""
    for kind, part in (("train", slice(None)), ("t10k", slice(6))):
        write_idx(folder / f"{kind}-images-idx3-ubyte{end}", x[part], zipped)
        write_idx(folder / f"{kind}-labels-idx1-ubyte{end}", y[part], zipped)
    return {"source": "idx", "path": "."}


MAKERS = {
    "images": make_images, "colour images": lambda f: make_images(f, True), "split images": make_split_images,
    "csv": make_csv, "pixel csv": make_pixel_csv, "npz": make_npz, "idx": make_idx,
    "idx.gz": lambda f: make_idx(f, True),
}  # fmt: skip


@pytest.mark.parametrize("name", MAKERS)
def test_source_is_read_and_fitted(name, tmp_path):
    """Shapes, classes and splits are right, and an MLP learns dark from light."""
    options = MAKERS[name](tmp_path)
    splits = load_data(Data(**options), 0, tmp_path)
    assert splits.shape == ((3 if "colour" in name else 1), 8, 8)
    named = name in ("images", "colour images", "split images", "csv")
    assert splits.classes == (["dark", "light"] if named else ["0", "1"])
    own_test = {"split images": 24, "npz": 6, "idx": 6, "idx.gz": 6}.get(name)
    assert len(splits.test) == (own_test or 5)
    assert len(splits.train) + len(splits.validation) == (24 if own_test else 19)
    data = "\n".join(f"{k} = {v!r}".replace("'", '"') for k, v in options.items())
    text = f'[data]\n{data}\nbatch_size = 4\n[model]\nname = "mlp"\n[train]\nepochs = 4\n'
    (tmp_path / "r.toml").write_text(text + f'[output]\ndir = "{tmp_path}/run"\nplots = false\ntensorboard = false\n')
    run = Run(parse_recipe((tmp_path / "r.toml").read_text(), str(tmp_path / "r.toml")))
    history = run.fit()
    assert history[-1].loss < history[0].loss
    assert run.test().accuracy >= 0.8


def test_digits():
    """The bundled digits: 1797 in three parts, magnified by whole steps, the same for the same seed."""
    splits = load_data(Data("digits", image_size=32), 3)
    assert [len(p) for p in (splits.train, splits.validation, splits.test)] == [1258, 180, 359]
    assert splits.shape == (1, 32, 32)
    assert np.array_equal(splits.train.x[:, :, ::4, ::4].repeat(4, 2).repeat(4, 3), splits.train.x)
    again = load_data(Data("digits", image_size=32), 3)
    assert np.array_equal(splits.train.x, again.train.x) and np.array_equal(splits.test.y, again.test.y)
    assert not np.array_equal(splits.train.y, load_data(Data("digits"), 4).train.y)


def test_scaling():
    """Scaled training data has mean 0 and deviation 1 per channel; constant channels stay finite."""
    x = RNG.integers(0, 256, (2000, 3, 4, 4)).astype(np.uint8)
    x[:, 1] = 7
    scaled = Scaling.of(x, True)(x)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled.mean(axis=(0, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(scaled.std(axis=(0, 2, 3)), [1, 0, 1], atol=1e-4)
    assert Scaling.of(x, False)(x).max() <= 1.0


def test_batches():
    """Every example once per epoch, in an order that depends on seed and epoch only."""
    ten = Examples(np.arange(10, dtype=np.float32)[:, None], np.arange(10))
    batches = Batches(ten, Scaling(), 4, shuffle=True, seed=1)
    assert len(batches) == 3

    def order(epoch):
        batches.set_epoch(epoch)
        return [v for _, y in batches for v in y.tolist()]

    assert sorted(order(1)) == list(range(10))
    assert order(1) == order(1) != order(2)


def test_values_to_predict(tmp_path):
    """Float targets are kept as they are: regression needs no classes."""
    x = RNG.normal(size=(40, 3)).astype(np.float32)
    np.savez(tmp_path / "a.npz", x=x, y=(x @ np.ones((3, 1), np.float32)))
    (tmp_path / "r.toml").write_text(f"""
[data]
source = "npz"
path = "a.npz"
[model]
name = "mlp"
[loss]
name = "mse"
[optimizer]
lr = 0.01
[train]
epochs = 5
[output]
dir = "{tmp_path}/run"
tensorboard = false
""")
    run = Run(parse_recipe((tmp_path / "r.toml").read_text(), str(tmp_path / "r.toml")))
    history = run.fit()
    assert history[-1].loss < history[0].loss and history[-1].accuracy is None
    result = run.test()
    assert result.accuracy is None and result.confusion is None


def test_image_sizes(tmp_path):
    """Images are resized and turned grey on request; images of several sizes need image_size."""
    Image.fromarray(np.full((5, 7, 3), 200, np.uint8)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").shape == (3, 5, 7)
    assert read_image(tmp_path / "a.png", (4, 6), 1).shape == (1, 4, 6)
    for name, size in (("x", 4), ("y", 5)):
        (tmp_path / "set" / name).mkdir(parents=True)
        Image.fromarray(np.zeros((size, size), np.uint8)).save(tmp_path / "set" / name / "1.png")
    with pytest.raises(RecipeError, match=r"1.png is 5×5, .*1.png is 4×4: set image_size"):
        load_data(Data("images", "set"), 0, tmp_path)


ERRORS = {
    "no path": (Data("images"), r"source = 'images' needs a path"),
    "no folder": (Data("images", "nowhere"), "is not there: .*nowhere"),
    "empty folder": (Data("images", "cut"), "no images below .*: expected one folder per class"),
    "not an image": (Data("images", "bad"), r"cannot read the image .*a.png"),
    "no idx": (Data("idx", "."), r"there is no train-images-idx3-ubyte\(.gz\)"),
    "cut idx": (Data("idx", "cut"), "is cut off: 20 bytes for an array of shape"),
    "npz names": (Data("npz", "names.npz"), "should hold x and y .*; it has a"),
    "npz pickle": (Data("npz", "objects.npz"), "cannot read .*objects.npz"),
    "csv label": (Data("csv", "t.csv"), "has no column 'label'; it has a, b"),
    "csv numbers": (Data("csv", "t.csv", label_column="a"), "no column 'image', and its other columns are not numbers"),
    "split": (Data("digits", validation=0.6, test=0.5), "leave nothing to train on"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name, tmp_path):
    """What is missing or broken is named."""
    (tmp_path / "bad" / "x").mkdir(parents=True)
    (tmp_path / "bad" / "x" / "a.png").write_bytes(b"no image")
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "train-images-idx3-ubyte").write_bytes(struct.pack(">BBBB", 0, 0, 8, 3) + b"\0\0\0\5" * 4)
    np.savez(tmp_path / "names.npz", a=1)
    np.savez(tmp_path / "objects.npz", x=np.array([{}]), y=np.array([1]))
    (tmp_path / "t.csv").write_text("a,b\nx,y\n")
    spec, match = ERRORS[name]
    with pytest.raises(RecipeError) as error:
        load_data(spec, 0, tmp_path)
    assert re.search(match, str(error.value)), str(error.value)
