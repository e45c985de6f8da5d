"""What is compared with torchvision: expressions of `T` (transforms), `F` (their functions) and an image `x`.

After `@`: the images that `x` is in turn, by default those of DEFAULT. They are made here, without chance.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

DEFAULT = ("rgb", "L", "u8", "f")

ROWS = """
T.ToTensor()(x) @ rgb L rgba 1 P F I I;16 u8
T.ToPILImage()(x) @ u8 u8g f fb i16 rgb
T.ToPILImage()(np.asarray(x)) @ rgb L rgba F I I;16
T.ToPILImage('YCbCr')(x) @ u8 u8g f
T.ToPILImage('CMYK')(np.asarray(x)) @ rgba rgb
T.ConvertImageDtype(torch.float32)(x)
T.ConvertImageDtype(torch.float64)(x) @ u8 f i16
T.ConvertImageDtype(torch.uint8)(x) @ u8 f i16
T.ConvertImageDtype(torch.int32)(x) @ u8 f i16
T.ConvertImageDtype(torch.int64)(x) @ u8 f i16
T.ConvertImageDtype(torch.bool)(x) @ u8 f i16
T.Normalize([.5,.4,.3],[.1,.2,.3])(x)
T.Normalize([.5],[.1])(x)
T.Normalize([.5,.4,.3],[.1,0,.3])(x)
T.Resize(10)(x) @ rgb L rgba 1 P F I I;16 u8 u8g f fb i16 fs
T.Resize(40)(x) @ rgb L rgba 1 P F u8 u8g f fb i16 fs
T.Resize((10,12))(x)
T.Resize([10])(x)
T.Resize(10,max_size=12)(x)
T.Resize(10,max_size=9)(x)
T.Resize(10,antialias=False)(x)
T.Resize(10,IM.NEAREST)(x)
T.Resize(10,IM.NEAREST_EXACT)(x)
T.Resize(10,IM.BICUBIC)(x)
T.Resize(50,IM.BICUBIC)(x)
T.Resize(10,IM.BICUBIC,antialias=False)(x) @ u8 f
T.Resize(10,2)(x)
T.Resize(10.5)
T.Resize((1,2,3))
T.Resize(0)(x)
T.Resize(None, max_size=12)(x)
T.CenterCrop(10)(x)
T.CenterCrop((10,50))(x)
T.CenterCrop((50,10))(x)
T.CenterCrop((50,51))(x)
T.CenterCrop((11,12))(x)
T.CenterCrop((1,2,3))
T.Pad(3)(x) @ rgb L rgba 1 P F I u8 u8g f fb
T.Pad((1,2))(x)
T.Pad((1,2,3,4))(x)
T.Pad([5])(x)
T.Pad(3,fill=7)(x) @ rgb L rgba 1 P F I u8 u8g f fb
T.Pad(3,fill=(1,2,3))(x)
T.Pad(3,padding_mode='reflect')(x) @ rgb L rgba P F I u8 u8g f fb
T.Pad(3,padding_mode='edge')(x) @ rgb L rgba P F I u8 u8g f fb
T.Pad(3,padding_mode='symmetric')(x) @ rgb L rgba P F I u8 u8g f fb
T.Pad((1,2,3,4),padding_mode='symmetric')(x)
T.Pad((-1,-2,3,4))(x)
T.Pad((-1,-2,3,4),padding_mode='edge')(x)
T.Pad((-1,-2,3,4),padding_mode='symmetric')(x)
T.Pad((-1,-2,3,4),padding_mode='reflect')(x)
T.Pad(3,padding_mode='foo')
T.Pad((1,2,3))
T.RandomCrop(10)(x)
T.RandomCrop((10,12))(x)
T.RandomCrop(10,padding=4)(x)
T.RandomCrop((23,31))(x)
T.RandomCrop(10,padding=(1,2),fill=5)(x)
T.RandomCrop(10,padding=4,padding_mode='reflect')(x)
T.RandomCrop(40)(x)
T.RandomCrop((40,10),pad_if_needed=True)(x)
T.RandomCrop((40,40),pad_if_needed=True,padding_mode='edge')(x)
T.RandomResizedCrop(10)(x)
T.RandomResizedCrop((10,12),scale=(.5,.9))(x)
T.RandomResizedCrop(10,scale=(2.,3.))(x)
T.RandomResizedCrop(10,ratio=(5.,6.),scale=(1.,1.))(x)
T.RandomResizedCrop(10,ratio=(.1,.2),scale=(1.,1.))(x)
T.RandomResizedCrop(10,interpolation=IM.NEAREST)(x)
T.RandomResizedCrop(10,interpolation=IM.BICUBIC)(x)
T.RandomResizedCrop(10,scale=1)
T.RandomResizedCrop(10,antialias=False)(x)
T.RandomHorizontalFlip()(x)
T.RandomHorizontalFlip(1.)(x)
T.RandomVerticalFlip(.9)(x)
T.RandomRotation(30)(x) @ rgb L rgba 1 P F I u8 u8g f fb fs
T.RandomRotation((10,50))(x)
T.RandomRotation(30,expand=True)(x)
T.RandomRotation(30,IM.BILINEAR)(x) @ rgb L u8 f fs fb
T.RandomRotation(30,IM.BICUBIC)(x)
T.RandomRotation(30,center=(3,4))(x)
T.RandomRotation(30,fill=9)(x)
T.RandomRotation(30,fill=(1,2,3))(x)
T.RandomRotation(30,IM.BILINEAR,True,None,128)(x)
T.RandomRotation(-3)
T.RandomRotation((1,2,3))
T.RandomRotation('a')
T.RandomRotation(3,center=(1,))
F.rotate(x,90)
F.rotate(x,90,expand=True)
F.rotate(x,45.,expand=True)
F.rotate(x,180)
F.rotate(x,33,IM.BILINEAR)
F.rotate(x,'a')
F.rotate(x,3,center=5)
T.ColorJitter(.5,.5,.5,.2)(x)
T.ColorJitter(.5)(x)
T.ColorJitter(0,.5)(x)
T.ColorJitter(0,0,.5)(x)
T.ColorJitter(0,0,0,.4)(x)
T.ColorJitter((.2,.3),(1,2),(0,3),(-.5,.5))(x) @ rgb L u8 f fs smooth
T.ColorJitter(-1)
T.ColorJitter(hue=.6)
T.ColorJitter('a')
T.ColorJitter((3,1))
F.adjust_brightness(x,1.7) @ rgb L rgba 1 P F u8 u8g f fb
F.adjust_contrast(x,1.7) @ rgb L rgba 1 P F u8 u8g f fb
F.adjust_saturation(x,1.7) @ rgb L rgba 1 P F u8 u8g f fb
F.adjust_hue(x,.3) @ rgb L rgba 1 P F u8 u8g f fb smooth
F.adjust_hue(x,-.21) @ rgb L rgba u8 u8g f fb fs smooth
F.adjust_hue(x,.6)
F.adjust_brightness(x,-1)
F.adjust_gamma(x,2.2) @ rgb L rgba u8 u8g f fb
F.adjust_gamma(x,.5,2) @ rgb L rgba u8 u8g f fb
F.adjust_gamma(x,-.5)
F.adjust_sharpness(x,2.) @ rgb L rgba u8 u8g f fb
F.adjust_sharpness(x,.3)
F.adjust_sharpness(x,-1)
F.autocontrast(x) @ rgb L smooth u8 u8g f fb fs
F.equalize(x) @ rgb L smooth u8 u8g f b
F.invert(x) @ rgb L u8 u8g f fb i16
F.posterize(x,3) @ rgb L u8 u8g f b
F.solarize(x,100) @ rgb L u8 u8g f b
F.solarize(x,.4) @ f fb
F.solarize(x,300) @ u8
F.gaussian_blur(x,3) @ rgb L u8 u8g f fb rgba
F.gaussian_blur(x,[5,3],[1.,.4]) @ rgb L u8 u8g f fb
F.gaussian_blur(x,4)
F.gaussian_blur(x,[3,3,3])
F.gaussian_blur(x,3,-1.)
F.affine(x,30,[2,3],1.2,[10.,5.]) @ rgb L rgba u8 u8g f fb fs
F.affine(x,30,[2,3],1.2,[10.,5.],IM.BILINEAR) @ rgb L u8 u8g f fb fs
F.affine(x,30,[2,3],.7,10.,IM.BILINEAR,fill=[100.,50,25]) @ rgb u8 f
F.affine(x,30,[2,3],.7,10.,center=[3,4])
F.affine(x,30,(2,),.7,10.)
F.affine(x,30,(2,3),-1,10.)
F.affine(x,'a',(2,3),1,10.)
F.perspective(x,[[0,0],[30,0],[30,22],[0,22]],[[2,3],[28,1],[29,20],[1,19]]) @ rgb L u8 u8g f fb fs
F.perspective(x,[[0,0],[30,0],[30,22],[0,22]],[[2,3],[28,1],[29,20],[1,19]],IM.NEAREST,fill=7) @ rgb L u8 u8g f fb fs
F.elastic_transform(x,torch.zeros(1,23,31,2)) @ u8 f rgb
T.RandomGrayscale(.9)(x) @ rgb L u8 f fb u8g
T.Grayscale()(x) @ rgb L rgba u8 u8g f fb
T.Grayscale(3)(x) @ rgb L u8 u8g f fb
T.Grayscale(2)(x)
F.to_grayscale(x,3)
F.rgb_to_grayscale(x,2)
T.RandomErasing(1.)(x) @ u8 f fb u8g rgb
T.RandomErasing(.3)(x) @ u8 f
T.RandomErasing(1.,value='random')(x) @ u8 f fb u8g
T.RandomErasing(1.,value=(1,2,3))(x) @ u8 f u8g
T.RandomErasing(1.,value=(1,2))(x) @ f
T.RandomErasing(1.,value=.3,inplace=True)(x) @ f
T.RandomErasing(1.,scale=(.9,.95))(x) @ f
T.RandomErasing(2.)
T.RandomErasing(.5,scale=(-1,.3))
T.RandomErasing(.5,value='foo')
T.RandomApply([T.Pad(1)],.5)(x)
T.RandomApply([T.Pad(1)],.9)(x)
T.RandomChoice([T.Pad(1),T.Pad(2),T.Pad(3)])(x)
T.RandomChoice([T.Pad(1),T.Pad(2),T.Pad(3)],p=[.1,.1,.8])(x)
T.RandomChoice([T.Pad(1),T.Pad(2)],p=.1)
T.RandomOrder([T.Pad(1),T.CenterCrop(10),T.Pad(3)])(x)
T.FiveCrop(10)(x)
T.FiveCrop((10,12))(x)
T.FiveCrop(100)(x)
T.TenCrop(10)(x)
T.TenCrop(10,vertical_flip=True)(x)
F.five_crop(x,(3,))
F.ten_crop(x,(4,5))
T.RandomAffine(30)(x) @ rgb L u8 u8g f fb fs
T.RandomAffine(30,(.1,.2),(.5,1.5),10)(x)
T.RandomAffine((10,20),(.1,.2),(.5,1.5),(5,10))(x)
T.RandomAffine(0,shear=(1,2,3,4),interpolation=IM.BILINEAR,fill=5)(x)
T.RandomAffine(0,shear=(1,2,3))
T.RandomAffine(0,translate=(2,.1))
T.RandomAffine(0,scale=(-1,.1))
T.RandomAffine(30,fill=(1,2,3),center=(3,4))(x) @ rgb u8 f
T.RandomAffine(-1)
T.RandomPerspective(.5,1.)(x) @ rgb L u8 u8g f fb fs
T.RandomPerspective(.5,.3)(x)
T.RandomPerspective(.3,1.,IM.NEAREST,9)(x)
T.GaussianBlur(3)(x) @ rgb L u8 u8g f fb
T.GaussianBlur((3,5),(.3,.4))(x)
T.GaussianBlur(3,.5)(x)
T.GaussianBlur(4)
T.GaussianBlur(3,-1)
T.GaussianBlur(3,(3,1))
T.RandomInvert(.9)(x)
T.RandomInvert(.1)(x)
T.RandomPosterize(2,.9)(x) @ rgb L u8 b f
T.RandomSolarize(100,.9)(x) @ rgb L u8 b
T.RandomAdjustSharpness(2,.9)(x)
T.RandomAutocontrast(.9)(x)
T.RandomEqualize(.9)(x) @ rgb L u8 b f
T.AutoAugment()(x) @ rgb u8 L u8g
T.AutoAugment(T.AutoAugmentPolicy.CIFAR10)(x) @ rgb u8 b
T.AutoAugment(T.AutoAugmentPolicy.SVHN,fill=7)(x) @ rgb u8
T.RandAugment()(x) @ rgb u8 L b
T.RandAugment(4,20,15,fill=[1.,2,3])(x) @ rgb u8
T.TrivialAugmentWide()(x) @ rgb u8 L b
T.ElasticTransform()(x) @ rgb u8 f L
T.LinearTransformation(torch.eye(6),torch.zeros(6))(torch.arange(12.).view(2,6)) @ f
T.LinearTransformation(torch.zeros(6,5),torch.zeros(6)) @ f
T.LinearTransformation(torch.eye(6),torch.zeros(5)) @ f
T.Lambda(lambda v: v)(x)
T.Lambda(3)
T.Compose([T.RandomCrop(10,padding=2),T.RandomHorizontalFlip(),T.ColorJitter(.4,.4,.4,.1)])(x)
F.crop(x,2,3,10,11)
F.crop(x,-2,-3,10,11)
F.crop(x,20,25,10,11)
F.crop(x,30,40,10,11)
F.resized_crop(x,1,2,10,11,[5,6])
F.erase(x,1,2,3,4,torch.zeros(1))  @ f rgb
F.get_dimensions(x)
F.get_image_size(x)
F.get_image_num_channels(x)
F.hflip(x)
F.hflip(3)
F.normalize(x,[.5],[.2])
F.to_tensor(3)
F.pil_to_tensor(3)
F.convert_image_dtype(x) @ u8 f rgb
T.PILToTensor()(x) @ rgb L rgba 1 P F I
T.RandomChoice([T.Pad(1), T.Pad(2)], p=.1) @ rgb
repr(T.ToTensor()) @ rgb
repr(T.Compose([T.Resize(3), T.RandomApply([T.ToTensor()])])) @ rgb
repr([T.RandomAffine(3, (.1, .1), (1, 2), (1, 2), 2, 3, (1, 2)), T.RandomAffine(3), T.RandomPerspective(), T.GaussianBlur(3)]) @ rgb
repr([T.RandomInvert(), T.RandomPosterize(2), T.RandomSolarize(3), T.RandomAdjustSharpness(2), T.RandomAutocontrast()]) @ rgb
repr([T.RandomEqualize(), T.AutoAugment(), T.RandAugment(), T.TrivialAugmentWide(), T.ElasticTransform(), T.TenCrop(3)]) @ rgb
repr(T.LinearTransformation(torch.eye(2), torch.zeros(2))) @ rgb
repr([T.RandomChoice([T.Pad(1)]), T.RandomChoice([T.Pad(1)], p=[1]), T.RandomOrder([T.Pad(1)])]) @ rgb
repr([T.Resize(3, IM.BICUBIC, 9), T.CenterCrop(3), T.FiveCrop(3), T.Pad(3), T.RandomCrop(3, 2), T.RandomResizedCrop(3)]) @ rgb
repr([T.RandomRotation(3), T.RandomRotation(3, center=(1, 2)), T.ColorJitter(.1), T.RandomErasing(), T.Grayscale()]) @ rgb
repr([T.RandomGrayscale(), T.Normalize([1], [2]), T.ToPILImage(), T.ToPILImage('RGB'), T.PILToTensor(), T.Lambda(abs)]) @ rgb
"""


def _noise(height, width, channels):
    n = np.arange(1, height * width * channels + 1, dtype=np.uint64)
    return ((n * np.uint64(2654435761)) >> np.uint64(13) & np.uint64(255)).astype(np.uint8).reshape(height, width, channels)


def _smooth(height, width):
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 8 % 256, y * 11 % 256, x * y % 256], -1).astype(np.uint8)


NOISE, SMOOTH = _noise(23, 31, 3), _smooth(23, 31)


def image(kind, torch):
    """The Pillow image or tensor of that name."""
    grey, planes = NOISE[..., 0], np.ascontiguousarray(NOISE.transpose(2, 0, 1))
    floats = (planes / 255).astype(np.float32)
    pictures = {
        "rgb": NOISE, "smooth": SMOOTH, "L": grey, "rgba": np.dstack([NOISE, grey]), "F": grey.astype(np.float32),
        "I": grey.astype(np.int32), "I;16": grey.astype(np.uint16),
    }  # fmt: skip
    if kind in pictures:
        return Image.fromarray(pictures[kind])
    if kind in ("1", "P"):
        return Image.fromarray(grey if kind == "1" else NOISE).convert(kind)
    return torch.from_numpy({
        "u8": planes, "u8g": grey[None].copy(), "f": floats, "b": np.stack([planes, planes]), "fb": np.stack([floats, floats]),
        "fs": np.ascontiguousarray((SMOOTH.transpose(2, 0, 1) / 255).astype(np.float32)), "i16": planes.astype(np.int16),
    }[kind])  # fmt: skip


def rows():
    """[(expression, kind of image)]"""
    found = []
    for line in ROWS.strip().splitlines():
        expression, _, kinds = line.partition(" @ ")
        found += [(expression.strip(), kind) for kind in kinds.split() or DEFAULT]
    return found


def run(expression, kind, torch, vision, seed):
    """The result, or the error."""
    import random

    torch.manual_seed(seed)
    random.seed(seed)
    T = vision.transforms
    names = dict(T=T, F=T.functional, IM=T.InterpolationMode, torch=torch, np=np, x=image(kind, torch))
    try:
        return eval(expression, names)
    except Exception as error:
        return error


def digest(x, torch):
    """What is kept of a result: its kind and shape, its mean, and nine of its elements."""
    if isinstance(x, (tuple, list)):
        return [digest(part, torch) for part in x]
    if isinstance(x, Exception):
        message = str(x).split("\n")[0].replace("rushlight.autograd.tensor", "torch").replace("rushlight.vision", "torchvision")
        return {"error": f"{type(x).__name__}: {message}"}
    if isinstance(x, Image.Image):
        kind, a = x.mode, np.asarray(x)
    elif isinstance(x, torch.Tensor):
        kind, a = str(x.dtype), x.numpy()
    else:
        return x
    flat = a.reshape(-1).astype(np.float64)
    if not flat.size:
        return {"kind": kind, "shape": list(a.shape)}
    at = np.linspace(0, flat.size - 1, 9).astype(int)
    return {"kind": kind, "shape": list(a.shape), "mean": round(float(flat.mean()), 6), "at": [round(v, 6) for v in flat[at].tolist()]}
