"""What all image datasets share."""

from __future__ import annotations

import os
from pathlib import Path

from ...utils.data import Dataset

__all__ = ["VisionDataset", "StandardTransform", "missing"]


def missing(name: str, absent, source: str, download: bool = False) -> RuntimeError:
    """The error for files that are not there: what to put where."""
    files = "\n".join(f"  {path}" for path in absent)
    first = f"{name} not found: nothing is downloaded" + (", also not with download=True." if download else ".")
    return RuntimeError(f"{first} Get the files from {source} and put them here:\n{files}")


def _indented(transform, head):
    first, *rest = repr(transform).splitlines()
    return [f"{head}{first}", *(" " * len(head) + line for line in rest)]


class StandardTransform:
    """transform for the image and target_transform for the label."""

    def __init__(self, transform=None, target_transform=None):
        self.transform, self.target_transform = transform, target_transform

    def __call__(self, input, target):
        if self.transform is not None:
            input = self.transform(input)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return input, target

    def __repr__(self):
        lines = ["StandardTransform"]
        if self.transform is not None:
            lines += _indented(self.transform, "Transform: ")
        if self.target_transform is not None:
            lines += _indented(self.target_transform, "Target transform: ")
        return "\n".join(lines)


class VisionDataset(Dataset):
    """Images below a folder. transforms takes (image, label); transform and target_transform take one of them each."""

    def __init__(self, root=None, transforms=None, transform=None, target_transform=None):
        self.root = os.path.expanduser(root) if isinstance(root, (str, Path)) else root
        separate = transform is not None or target_transform is not None
        if transforms is not None and separate:
            raise ValueError("Only transforms or transform/target_transform can be passed as argument")
        self.transform, self.target_transform = transform, target_transform
        self.transforms = StandardTransform(transform, target_transform) if separate else transforms

    def __getitem__(self, index):
        raise NotImplementedError

    def __len__(self):
        raise NotImplementedError

    def extra_repr(self) -> str:
        """Further lines for the printed form."""
        return ""

    def _transformed(self, image, target):
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return image, target

    def __repr__(self):
        body = [f"Number of datapoints: {len(self)}"]
        if self.root is not None:
            body.append(f"Root location: {self.root}")
        body += self.extra_repr().splitlines()
        if self.transforms is not None:
            body += [repr(self.transforms)]
        return "\n".join([f"Dataset {type(self).__name__}", *(f"    {line}" for line in body)])
