"""Transforms: results, printed forms, errors, and the order of random draws (PyTorch's generator draws the same)."""

import numpy as np
import pytest
import torch as pytorch
from PIL import Image, ImageEnhance

import rushlight as torch
from rushlight.vision import transforms as T
from rushlight.vision.transforms import functional as F


def array(height=6, width=8, channels=3):
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


@pytest.fixture
def image():
    return Image.fromarray(array())


def planes(image):
    a = np.asarray(image)
    return a[None] if a.ndim == 2 else a.transpose(2, 0, 1)


REPRS = {
    "ToTensor()": lambda: T.ToTensor(),
    "PILToTensor()": lambda: T.PILToTensor(),
    "ToPILImage()": lambda: T.ToPILImage(),
    "ToPILImage(mode=RGB)": lambda: T.ToPILImage("RGB"),
    "ConvertImageDtype()": lambda: T.ConvertImageDtype(torch.float64),
    "Normalize(mean=[0.5], std=[0.25])": lambda: T.Normalize([0.5], [0.25]),
    "Resize(size=256, interpolation=bilinear, max_size=None, antialias=True)": lambda: T.Resize(256),
    "CenterCrop(size=(224, 224))": lambda: T.CenterCrop(224),
    "RandomCrop(size=(32, 32), padding=4)": lambda: T.RandomCrop(32, padding=4),
    "RandomResizedCrop(size=(224, 224), scale=(0.08, 1.0), ratio=(0.75, 1.3333), interpolation=bilinear, "
    "antialias=True)": lambda: T.RandomResizedCrop(224),
    "RandomHorizontalFlip(p=0.5)": lambda: T.RandomHorizontalFlip(),
    "RandomVerticalFlip(p=0.1)": lambda: T.RandomVerticalFlip(0.1),
    "RandomRotation(degrees=[-10.0, 10.0], interpolation=nearest, expand=False, fill=0)": lambda: T.RandomRotation(10),
    "ColorJitter(brightness=(0.5, 1.5), contrast=None, saturation=None, hue=(-0.1, 0.1))":
        lambda: T.ColorJitter(0.5, hue=0.1),
    "Grayscale(num_output_channels=3)": lambda: T.Grayscale(3),
    "Pad(padding=2, fill=0, padding_mode=constant)": lambda: T.Pad(2),
    "RandomErasing(p=0.5, scale=(0.02, 0.33), ratio=(0.3, 3.3), value=0, inplace=False)": lambda: T.RandomErasing(),
    "Lambda()": lambda: T.Lambda(abs),
    "RandomApply(\n    p=0.3\n    ToTensor()\n)": lambda: T.RandomApply([T.ToTensor()], p=0.3),
    "Compose(\n    ToTensor()\n    Lambda()\n)": lambda: T.Compose([T.ToTensor(), T.Lambda(abs)]),
}  # fmt: skip


@pytest.mark.parametrize("text", REPRS)
def test_printed_form(text):
    """As torchvision prints it."""
    assert repr(REPRS[text]()) == text


@pytest.mark.parametrize(("mode", "dtype"), [("RGB", "float32"), ("L", "float32"), ("1", "float32"), ("RGBA", "float32"),
                                             ("I", "int32"), ("F", "float32")])  # fmt: skip
def test_to_tensor(mode, dtype):
    """[C, H, W]; eight-bit modes are divided by 255, others keep their values."""
    picture = Image.fromarray(array()).convert(mode)
    got = T.ToTensor()(picture)
    values = planes(picture).astype(np.float32) / (255 if mode in ("RGB", "L", "RGBA") else 1)
    assert got.numpy().dtype == dtype
    np.testing.assert_array_equal(got.numpy(), values)


def test_there_and_back(image):
    """PILToTensor and ToPILImage undo each other; so do ToTensor and ToPILImage."""
    for first in (T.PILToTensor(), T.ToTensor()):
        assert np.array_equal(T.ToPILImage()(first(image)), image)
    grey = image.convert("L")
    assert T.ToPILImage()(T.PILToTensor()(grey)).mode == "L"
    assert T.ToPILImage("HSV")(T.PILToTensor()(image)).mode == "HSV"


def test_normalize():
    """(x - mean) / std per channel, not in place."""
    x = torch.rand(3, 4, 5)
    want = (x.numpy() - np.array([0.1, 0.2, 0.3], "f")[:, None, None]) / np.array([0.5, 0.6, 0.7], "f")[:, None, None]
    before = x.clone()
    np.testing.assert_array_equal(T.Normalize([0.1, 0.2, 0.3], [0.5, 0.6, 0.7])(x).numpy(), want)
    assert torch.equal(x, before)


@pytest.mark.parametrize(("size", "max_size", "shape"), [(3, None, (3, 4)), ((5, 7), None, (5, 7)), ([12], None, (12, 16)),
                                                         (12, 14, (10, 14)), (6, None, (6, 8))])  # fmt: skip
def test_resize(image, size, max_size, shape):
    """The smaller edge, or both; Pillow's result on images, PyTorch's on tensors."""
    resize = T.Resize(size, max_size=max_size)
    got = resize(image)
    assert got.size == shape[::-1]
    assert np.array_equal(got, image.resize(shape[::-1], Image.BILINEAR))
    x = T.ToTensor()(image)
    want = pytorch.nn.functional.interpolate(pytorch.tensor(x.numpy())[None], size=shape, mode="bilinear", antialias=True)
    np.testing.assert_allclose(resize(x).numpy(), want[0].numpy(), atol=1e-6)


@pytest.mark.parametrize("transform", [
    T.CenterCrop(4), T.CenterCrop((10, 5)), T.CenterCrop((9, 11)), T.Pad(2), T.Pad((1, 2), fill=7), T.Pad((1, 2, 3, 4)),
    T.Pad(2, padding_mode="reflect"), T.Pad(2, padding_mode="edge"), T.Pad(2, padding_mode="symmetric"),
    T.RandomHorizontalFlip(1.0), T.RandomVerticalFlip(1.0), T.RandomCrop(4, padding=2), T.RandomCrop(9, pad_if_needed=True),
    T.FiveCrop(3),
], ids=str)  # fmt: skip
def test_tensors_and_images_agree(image, transform):
    """What only moves pixels does the same to a tensor as to an image."""
    torch.manual_seed(3)
    a = transform(image)
    torch.manual_seed(3)
    b = transform(T.PILToTensor()(image))
    for x, y in zip(a if isinstance(a, tuple) else [a], b if isinstance(b, tuple) else [b], strict=True):
        np.testing.assert_array_equal(planes(x), y.numpy())


@pytest.mark.parametrize(("angle", "turns"), [(90, 1), (180, 2), (-90, -1)])
def test_rotate(angle, turns):
    """Quarter turns of a square move pixels, counter-clockwise, on images and tensors."""
    square = Image.fromarray(array(6, 6))
    want = np.rot90(np.asarray(square), turns)
    assert np.array_equal(F.rotate(square, angle), want)
    np.testing.assert_array_equal(F.rotate(T.PILToTensor()(square), angle).numpy(), want.transpose(2, 0, 1))
    wide = T.PILToTensor()(Image.fromarray(array(4, 8)))
    np.testing.assert_array_equal(F.rotate(wide, angle, expand=True).numpy(), np.rot90(wide.numpy(), turns, (1, 2)))


def test_rotate_fill():
    """Corners get the fill colour, around a centre of one's own too."""
    white = torch.ones(3, 9, 9)
    turned = F.rotate(white, 45.0, fill=[0.25, 0.5, 0.75])
    assert turned[:, 0, 0].tolist() == [0.25, 0.5, 0.75] and turned[:, 4, 4].tolist() == [1, 1, 1]
    got = F.rotate(torch.arange(25.0).view(1, 5, 5), 180, center=[0, 0])
    assert got.abs().sum() == 0


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
@pytest.mark.parametrize("factor", [0.0, 0.4, 1.0, 1.7])
def test_colour(image, name, factor):
    """Pillow's enhancers on images; a tensor differs by rounding only."""
    adjust = getattr(F, f"adjust_{name}")
    enhancer = getattr(ImageEnhance, {"saturation": "Color"}.get(name, name.title()))
    want = enhancer(image).enhance(factor)
    assert np.array_equal(adjust(image, factor), want)
    got = adjust(T.PILToTensor()(image), factor).numpy().astype(int)
    assert np.abs(got - planes(want)).max() <= 2


@pytest.mark.parametrize("factor", [-0.5, -0.1, 0.0, 0.25])
def test_hue(factor):
    """Against colorsys."""
    import colorsys

    x = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(0))
    got = F.adjust_hue(x, factor).numpy()
    for i in range(4):
        for j in range(5):
            h, s, v = colorsys.rgb_to_hsv(*x[:, i, j].tolist())
            np.testing.assert_allclose(got[:, i, j], colorsys.hsv_to_rgb((h + factor) % 1, s, v), atol=1e-5)


def test_hue_of_an_image():
    """A third of the circle turns red into green and leaves grey alone."""
    red = Image.new("RGB", (2, 2), (255, 0, 0))
    assert F.adjust_hue(red, 1 / 3).getpixel((0, 0)) == (0, 255, 0)
    grey = Image.new("L", (2, 2), 9)
    assert F.adjust_hue(grey, 0.3) is grey


def test_grayscale(image):
    """Pillow's L on images, the weights 0.2989, 0.587, 0.114 on tensors."""
    assert np.array_equal(T.Grayscale()(image), image.convert("L"))
    assert T.Grayscale(3)(image).mode == "RGB"
    got = T.Grayscale(3)(T.ToTensor()(image))
    assert got.shape == (3, 6, 8)
    weights = np.array([0.2989, 0.587, 0.114], "f")[:, None, None]
    np.testing.assert_allclose(got[1].numpy(), (T.ToTensor()(image).numpy() * weights).sum(0), atol=1e-6)


def test_convert_image_dtype():
    """Values are rescaled to the range of the new dtype."""
    x = torch.tensor([[[0, 128, 255]]], dtype=torch.uint8)
    np.testing.assert_allclose(F.convert_image_dtype(x, torch.float32).numpy(), [[[0, 128 / 255, 1]]], rtol=1e-6)
    assert F.convert_image_dtype(x, torch.int16).tolist() == [[[0, 128 * 128, 255 * 128]]]
    assert F.convert_image_dtype(torch.tensor([[[0.0, 0.5, 1.0]]]), torch.uint8).tolist() == [[[0, 127, 255]]]
    assert F.convert_image_dtype(F.convert_image_dtype(x, torch.float32), torch.uint8).tolist() == x.tolist()
    with pytest.raises(RuntimeError, match="cannot be performed safely"):
        F.convert_image_dtype(torch.rand(1, 2, 2), torch.int32)


def seeded(*seeds):
    torch.manual_seed(seeds[0])
    pytorch.manual_seed(seeds[0])


@pytest.mark.parametrize("seed", range(4))
def test_draws_of_crop_and_flip(image, seed):
    """RandomCrop: top by randint, then left; flips: rand(1) < p."""
    seeded(seed)
    top = pytorch.randint(0, 6 - 3 + 1, size=(1,)).item()
    left = pytorch.randint(0, 8 - 4 + 1, size=(1,)).item()
    flip = bool(pytorch.rand(1) < 0.5)
    got = T.Compose([T.RandomCrop((3, 4)), T.RandomHorizontalFlip()])(image)
    want = np.asarray(image)[top : top + 3, left : left + 4]
    assert np.array_equal(got, want[:, ::-1] if flip else want)


@pytest.mark.parametrize("seed", range(4))
def test_draws_of_resized_crop(image, seed):
    """RandomResizedCrop: area, log of the ratio, top, left; again if it does not fit."""
    import math

    seeded(seed)
    log_ratio = pytorch.log(pytorch.tensor((3 / 4, 4 / 3)))
    for _ in range(10):
        area = 48 * pytorch.empty(1).uniform_(0.08, 1.0).item()
        ratio = pytorch.exp(pytorch.empty(1).uniform_(log_ratio[0], log_ratio[1])).item()
        w, h = int(round(math.sqrt(area * ratio))), int(round(math.sqrt(area / ratio)))
        if 0 < w <= 8 and 0 < h <= 6:
            want = pytorch.randint(0, 6 - h + 1, size=(1,)).item(), pytorch.randint(0, 8 - w + 1, size=(1,)).item(), h, w
            break
    assert T.RandomResizedCrop.get_params(image, (0.08, 1.0), (3 / 4, 4 / 3)) == want
    assert T.RandomResizedCrop(5)(image).size == (5, 5)


def test_draws_of_jitter_and_rotation(image):
    """ColorJitter: the order by randperm, then the factors; RandomRotation: one uniform angle."""
    seeded(5)
    order = pytorch.randperm(4)
    factors = [pytorch.empty(1).uniform_(*r).item() for r in ((0.5, 1.5), (0.7, 1.3))]
    angle = pytorch.empty(1).uniform_(-30, 30).item()
    got = T.ColorJitter.get_params((0.5, 1.5), None, (0.7, 1.3), None)
    assert got[0].tolist() == order.tolist() and got[1:] == (factors[0], None, factors[1], None)
    assert np.array_equal(T.RandomRotation(30)(image), image.rotate(angle))
    T.ColorJitter(0.5, 0.5, 0.5, 0.5)(image)


def test_erasing():
    """A rectangle is set; the image itself stays; p=0 does nothing."""
    seeded(1)
    x = torch.ones(3, 20, 20)
    got = T.RandomErasing(p=1.0)(x)
    assert 0 < (got == 0).sum() < 3 * 400 * 0.4 and x.sum() == 1200
    assert T.RandomErasing(p=0.0)(x) is x
    colours = T.RandomErasing(p=1.0, value=(0.1, 0.2, 0.3))(x)
    assert all(abs(c.min().item() - v) < 1e-6 for c, v in zip(colours, (0.1, 0.2, 0.3), strict=True))
    assert T.RandomErasing(p=1.0, value="random")(x).std() > 0


def test_random_apply(image):
    """Skipped when p < rand(1)."""
    assert T.RandomApply([T.ToTensor()], p=1.0)(image).shape == (3, 6, 8)
    assert T.RandomApply([T.ToTensor()], p=-1.0)(image) is image


ERRORS = [
    (lambda i: T.ToTensor()(3), TypeError, "pic should be PIL Image or ndarray. Got <class 'int'>"),
    (lambda i: T.Normalize([0.5], [0.5])(i), TypeError, "img should be Tensor Image. Got"),
    (lambda i: T.Normalize([0.5], [0.0])(torch.rand(1, 2, 2)), ValueError, "std evaluated to zero after conversion to"),
    (lambda i: T.Normalize([0.5], [0.5])(T.PILToTensor()(i)), TypeError, "Input tensor should be a float tensor. Got torch.uint8"),
    (lambda i: T.RandomCrop(9)(i), ValueError, "Required crop size (9, 9) is larger than input image size (6, 8)"),
    (lambda i: T.Pad("x"), TypeError, "Got inappropriate padding arg"),
    (lambda i: T.Lambda(3), TypeError, "Argument lambd should be callable, got 'int'"),
    (lambda i: T.ColorJitter(-1), ValueError, "If brightness is a single number, it must be non negative."),
    (lambda i: F.adjust_hue(i, 0.6), ValueError, "hue_factor (0.6) is not in [-0.5, 0.5]."),
    (lambda i: T.Resize((1, 2, 3)), ValueError, "If size is a sequence, it should have 1 or 2 values"),
    (lambda i: T.RandomRotation(-1), ValueError, "If degrees is a single number, it must be positive."),
    (lambda i: F.hflip(3), TypeError, "img should be PIL Image. Got <class 'int'>"),
    (lambda i: F.get_dimensions(3), TypeError, "Unexpected type <class 'int'>"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), ERRORS, ids=[e[2][:30] for e in ERRORS])
def test_errors(image, call, kind, message):
    """torchvision's sentences."""
    with pytest.raises(kind) as error:
        call(image)
    assert message in str(error.value)
