"""CIFAR-10 and CIFAR-100, from the extracted "python version"."""

from __future__ import annotations

import os
import pickle

import numpy as np

from .._pillow import pillow
from .vision import VisionDataset, missing

__all__ = ["CIFAR10", "CIFAR100"]


_NUMPY = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric")


def _latin1(text, encoding):
    """How Python 3 writes bytes for Python 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"encoding {encoding!r} is not permitted in a data file")
    return text.encode("latin1")


class _ArraysOnly(pickle.Unpickler):
    """Arrays, and what pickle makes itself: a data file has no business calling anything else."""

    def find_class(self, module, name):
        if (module, name) == ("_codecs", "encode"):
            return _latin1
        if module in _NUMPY and name in ("_reconstruct", "ndarray", "dtype", "_frombuffer", "scalar"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} is not permitted in a data file")


def _read(path):
    with open(path, "rb") as file:
        return _ArraysOnly(file, encoding="latin1").load()


class CIFAR10(VisionDataset):
    """32 x 32 RGB images in ten classes: (Pillow image, class number). Files: root/cifar-10-batches-py/data_batch_1 etc.

    Raises: RuntimeError that says which files to put where. `download` is accepted and downloads nothing.
    """

    base_folder = "cifar-10-batches-py"
    source = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    train_list = [f"data_batch_{i}" for i in range(1, 6)]
    test_list = ["test_batch"]
    meta = ("batches.meta", "label_names")

    def __init__(self, root, train=True, transform=None, target_transform=None, download=False):
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.train = train
        folder = os.path.join(self.root, self.base_folder)
        paths = [os.path.join(folder, name) for name in (self.train_list if train else self.test_list)]
        paths.append(os.path.join(folder, self.meta[0]))
        absent = [path for path in paths if not os.path.isfile(path)]
        if absent:
            raise missing("Dataset", absent, self.source, download)
        self.classes = _read(paths.pop())[self.meta[1]]
        self.class_to_idx = {name: i for i, name in enumerate(self.classes)}
        batches = [_read(path) for path in paths]
        self.targets = [t for b in batches for t in b["labels" if "labels" in b else "fine_labels"]]
        data = np.vstack([b["data"] for b in batches]).reshape(-1, 3, 32, 32)
        self.data = np.ascontiguousarray(data.transpose((0, 2, 3, 1)))

    def __getitem__(self, index):
        return self._transformed(pillow().fromarray(self.data[index]), self.targets[index])

    def __len__(self):
        return len(self.data)

    def extra_repr(self):
        return f"Split: {'Train' if self.train else 'Test'}"


class CIFAR100(CIFAR10):
    """32 x 32 RGB images in a hundred classes. Files: root/cifar-100-python/train, test, meta."""

    base_folder = "cifar-100-python"
    source = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
    train_list = ["train"]
    test_list = ["test"]
    meta = ("meta", "fine_label_names")
