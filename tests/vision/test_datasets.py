"""Datasets from small files in torchvision's layout, image files, grids, and torchvision as another name."""

import gzip
import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import rushlight as torch
from rushlight.utils.data import DataLoader
from rushlight.vision import datasets, io, transforms, utils


def picture(seed=0, size=(6, 5)):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8))


@pytest.fixture
def folder(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for k in range(3):
            picture(k).save(tmp_path / "images" / name / f"{k}.png")
        (tmp_path / "images" / name / "notes.txt").write_text("no image")
    return tmp_path / "images"


def test_image_folder(folder):
    """(image, class number), classes by name; works in a DataLoader."""
    data = datasets.ImageFolder(str(folder), transform=transforms.ToTensor())
    assert data.classes == ["cat", "dog"] and data.class_to_idx == {"cat": 0, "dog": 1}
    assert data.targets == [0, 0, 0, 1, 1, 1] and len(data) == 6
    assert data.imgs[4] == (str(folder / "dog" / "1.png"), 1)
    np.testing.assert_array_equal(data[4][0].numpy(), np.asarray(picture(1), "f").transpose(2, 0, 1) / np.float32(255))
    images, labels = next(iter(DataLoader(data, batch_size=4, shuffle=False)))
    assert images.shape == (4, 3, 6, 5) and labels.tolist() == [0, 0, 0, 1]
    assert repr(data) == (f"Dataset ImageFolder\n    Number of datapoints: 6\n    Root location: {folder}\n"
                          "    StandardTransform\nTransform: ToTensor()")  # fmt: skip


def test_folder_errors(folder, tmp_path):
    """No class, and a class without an image."""
    (tmp_path / "none").mkdir()
    with pytest.raises(FileNotFoundError, match="Couldn't find any class folder in"):
        datasets.ImageFolder(tmp_path / "none")
    (folder / "emu").mkdir()
    with pytest.raises(FileNotFoundError, match="Found no valid file for the classes emu. Supported extensions are: .jpg"):
        datasets.ImageFolder(folder)
    assert datasets.ImageFolder(folder, allow_empty=True).classes == ["cat", "dog", "emu"]


def write_idx(path, array, pack=False):
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    data = head + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(data) if pack else data)


@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize("kind", [datasets.MNIST, datasets.FashionMNIST])
def test_mnist(tmp_path, kind, pack):
    """IDX files, packed or not."""
    raw = tmp_path / kind.__name__ / "raw"
    raw.mkdir(parents=True)
    values = np.random.default_rng(0).integers(0, 256, (4, 28, 28))
    ending = ".gz" if pack else ""
    write_idx(raw / f"t10k-images-idx3-ubyte{ending}", values, pack)
    write_idx(raw / f"t10k-labels-idx1-ubyte{ending}", np.array([3, 1, 4, 1]), pack)
    data = kind(tmp_path, train=False, transform=transforms.PILToTensor())
    assert len(data) == 4 and data.targets.dtype == torch.int64
    image, label = data[2]
    assert label == 4 and np.array_equal(image.numpy()[0], values[2])
    assert "Split: Test" in repr(data)
    with pytest.raises(RuntimeError, match="train-images-idx3-ubyte"):
        kind(tmp_path, train=True, download=True)


def test_mnist_file_that_is_cut(tmp_path):
    """A file shorter than its head says is refused, by name."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    write_idx(raw / "train-images-idx3-ubyte", np.zeros((2, 28, 28)))
    write_idx(raw / "train-labels-idx1-ubyte", np.zeros(2))
    path = raw / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="train-images-idx3-ubyte has 1567 bytes"):
        datasets.MNIST(tmp_path)


def test_cifar(tmp_path):
    """Pickled batches, five for training; a pickle that calls something is refused."""
    base = tmp_path / "cifar-10-batches-py"
    base.mkdir()
    values = np.random.default_rng(0).integers(0, 256, (12, 3072)).astype(np.uint8)
    parts = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    for k, name in enumerate(parts):
        (base / name).write_bytes(pickle.dumps({"data": values[2 * k : 2 * k + 2], "labels": [k, 9]}, protocol=2))
    with pytest.raises(RuntimeError, match="batches.meta"):
        datasets.CIFAR10(tmp_path)
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    (base / "batches.meta").write_bytes(pickle.dumps({"label_names": names}, protocol=2))
    train, test = datasets.CIFAR10(tmp_path), datasets.CIFAR10(tmp_path, train=False)
    assert len(train) == 10 and len(test) == 2 and train.classes == names and train.targets[2:4] == [1, 9]
    image, label = test[0]
    assert label == 5 and np.array_equal(np.asarray(image).transpose(2, 0, 1).ravel(), values[10])
    (base / "test_batch").write_bytes(pickle.dumps(subprocess.run))
    with pytest.raises(pickle.UnpicklingError, match="not permitted"):
        datasets.CIFAR10(tmp_path, train=False)


def test_fake_data():
    """Number i is torchvision's noise, whenever it is asked for; the generator's state stays as it was."""
    data = datasets.FakeData(5, (3, 4, 5), 7)
    before = torch.get_rng_state()
    image, label = data[3]
    assert label == 0 and np.asarray(image)[0].tolist() == [[237, 10, 187], [91, 133, 36], [57, 214, 33], [18, 13, 173], [169, 143, 51]]
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(datasets.FakeData(9, (3, 4, 5), 7, random_offset=-2)[5][0], image)
    assert repr(data) == "Dataset FakeData\n    Number of datapoints: 5" and len(data) == 5
    with pytest.raises(IndexError, match="FakeData index out of range"):
        data[5]


def test_read_image(tmp_path):
    """[C, H, W] of uint8, as it is or converted; what is written is read again."""
    path = tmp_path / "a.png"
    picture().save(path)
    want = np.asarray(picture()).transpose(2, 0, 1)
    assert np.array_equal(io.read_image(path).numpy(), want)
    assert io.read_image(path, io.ImageReadMode.GRAY).shape == (1, 6, 5)
    assert io.read_image(str(path), "RGB_ALPHA").shape == (4, 6, 5)
    io.write_png(io.read_image(path), tmp_path / "b.png")
    assert np.array_equal(io.read_image(tmp_path / "b.png").numpy(), want)
    with pytest.raises(RuntimeError, match="Unsupported image file"):
        io.decode_image(torch.zeros(9, dtype=torch.uint8))
    with pytest.raises(FileNotFoundError):
        io.read_image(tmp_path / "none.png")


def test_make_grid(tmp_path):
    """Images in rows with borders between; normalize; a single image as it is."""
    x = torch.arange(3 * 2 * 2 * 3.0).view(3, 1, 2, 6)
    grid = utils.make_grid(x, nrow=2, padding=1, pad_value=-1)
    assert grid.shape == (3, 2 * 3 + 1, 2 * 7 + 1)
    for k, (top, left) in enumerate([(1, 1), (1, 8), (4, 1)]):
        assert torch.equal(grid[2, top : top + 2, left : left + 6], x[k, 0])
    assert (grid[0, 0] == -1).all() and (grid[0, 4:, 8:] == -1).all()
    scaled = utils.make_grid(x, normalize=True)
    assert scaled.max() == 1 and scaled.min() == 0 and x.max() == 35
    each = utils.make_grid(list(x), normalize=True, scale_each=True, padding=0, nrow=3)
    assert each[0, 1, [5, 11, 17]].tolist() == [1, 1, 1]
    assert utils.make_grid(x[0]).shape == (3, 2, 6)
    utils.save_image(torch.tensor([[[0.0, 0.5, 1.0]]]), tmp_path / "g.png")
    assert io.read_image(tmp_path / "g.png")[0].tolist() == [[0, 128, 255]]


def test_run_gives_torchvision(tmp_path):
    """A script that imports torchvision gets this."""
    (tmp_path / "script.py").write_text(
        "import torch, torchvision\nfrom torchvision import datasets, transforms\n"
        "from torchvision.models import resnet18\nimport torchvision.transforms.functional as F\n"
        "print(torchvision.__name__, datasets.MNIST.__module__, transforms.Compose([]), F.__name__)\n"
    )
    code = f"from rushlight.cli.alias import run_with_alias; run_with_alias({str(tmp_path / 'script.py')!r})"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert out.stdout.split() == ["rushlight.vision", "rushlight.vision.datasets.mnist", "Compose(", ")",
                                  "rushlight.vision.transforms.functional"], out.stderr  # fmt: skip


def test_without_pillow():
    """Importing needs no Pillow; using an image names the extra."""
    code = (
        "import sys; sys.modules['PIL'] = None\n"
        "from rushlight import vision\n"
        "try: vision.io.decode_image('x.png')\nexcept ImportError as e: print(e)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert out.stdout.strip() == "images need Pillow: pip install 'rushlight[vision]'", out.stderr
