"""Random images with random labels, for trying out a training loop."""

from __future__ import annotations

from ... import _random, ops
from ..transforms.functional import to_pil_image
from .vision import VisionDataset

__all__ = ["FakeData"]


class FakeData(VisionDataset):
    """(Pillow image of noise, class number); number i is the same whenever it is asked for, and the generator's state stays.

    Args: `size`, how many images; `image_size`, (channels, height, width); `random_offset`, other images for another number.
    """

    def __init__(self, size=1000, image_size=(3, 224, 224), num_classes=10, transform=None, target_transform=None,
                 random_offset=0):  # fmt: skip
        super().__init__(None, transform=transform, target_transform=target_transform)
        self.size, self.image_size, self.num_classes, self.random_offset = size, image_size, num_classes, random_offset

    def __getitem__(self, index):
        if index >= len(self):
            raise IndexError(f"{type(self).__name__} index out of range")
        before = _random.get_rng_state()
        _random.manual_seed(index + self.random_offset)
        image = ops.randn(*self.image_size)
        target = ops.randint(0, self.num_classes, size=(1,))[0]
        _random.set_rng_state(before)
        image, target = self._transformed(to_pil_image(image), target)
        return image, target.item() if hasattr(target, "item") else target

    def __len__(self):
        return self.size
