"""MNIST and datasets of its form: IDX files, as they are or with .gz."""

from __future__ import annotations

import gzip
import os

import numpy as np

from ...autograd.interop import from_numpy
from .._pillow import pillow
from .vision import VisionDataset, missing

__all__ = ["MNIST", "FashionMNIST", "KMNIST", "read_idx"]

_IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read_idx(path) -> np.ndarray:
    """The array in an IDX file. Raises: ValueError if it is none, or shorter than its head says."""
    with (gzip.open if str(path).endswith(".gz") else open)(path, "rb") as file:
        data = file.read()
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _IDX_TYPES:
        raise ValueError(f"{path} is no IDX file")
    start = 4 + 4 * data[3]
    dtype, shape = np.dtype(_IDX_TYPES[data[2]]), tuple(np.frombuffer(data[4:start], ">u4").tolist())
    if len(data) - start != dtype.itemsize * int(np.prod(shape)):
        raise ValueError(f"{path} has {len(data) - start} bytes of data, and its head says {shape} of {dtype}")
    return np.frombuffer(data, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


class MNIST(VisionDataset):
    """28 x 28 grey images of handwritten digits: (Pillow image, digit). Files: root/MNIST/raw/train-images-idx3-ubyte etc.

    Raises: RuntimeError that says which files to put where. `download` is accepted and downloads nothing.
    """

    classes = ["0 - zero", "1 - one", "2 - two", "3 - three", "4 - four", "5 - five", "6 - six", "7 - seven",
               "8 - eight", "9 - nine"]  # fmt: skip
    source = "https://ossci-datasets.s3.amazonaws.com/mnist/"

    def __init__(self, root, train=True, transform=None, target_transform=None, download=False):
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.train = train
        stem = "train" if train else "t10k"
        paths = [os.path.join(self.raw_folder, f"{stem}-{part}-ubyte") for part in ("images-idx3", "labels-idx1")]
        found = [next((p for p in (path, path + ".gz") if os.path.isfile(p)), None) for path in paths]
        if None in found:
            absent = [f"{path} (or .gz)" for path, there in zip(paths, found, strict=True) if there is None]
            raise missing("Dataset", absent, self.source, download)
        self.data = from_numpy(read_idx(found[0]))
        self.targets = from_numpy(read_idx(found[1]).astype(np.int64))
        if self.data.ndim != 3 or self.targets.ndim != 1 or len(self.data) != len(self.targets):
            raise ValueError(
                f"{found[0]} and {found[1]} don't belong together: shapes {tuple(self.data.shape)} and "
                f"{tuple(self.targets.shape)}"
            )

    @property
    def raw_folder(self) -> str:
        return os.path.join(self.root, type(self).__name__, "raw")

    @property
    def class_to_idx(self) -> dict:
        return {name: i for i, name in enumerate(self.classes)}

    def __getitem__(self, index):
        return self._transformed(pillow().fromarray(self.data[index].numpy()), int(self.targets[index]))

    def __len__(self):
        return len(self.data)

    def extra_repr(self):
        return f"Split: {'Train' if self.train else 'Test'}"


class FashionMNIST(MNIST):
    """28 x 28 grey images of clothes. Files: root/FashionMNIST/raw/train-images-idx3-ubyte etc."""

    classes = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
    source = "https://github.com/zalandoresearch/fashion-mnist"


class KMNIST(MNIST):
    """28 x 28 grey images of cursive Japanese characters. Files: root/KMNIST/raw/train-images-idx3-ubyte etc."""

    classes = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]
    source = "http://codh.rois.ac.jp/kmnist/"
