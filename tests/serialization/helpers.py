"""Making the same object in both libraries, and comparing what was loaded."""

import collections
import math

import torch

import rushlight

PAIRS = {torch.Tensor: rushlight.Tensor, torch.Size: rushlight.Size, torch.nn.Parameter: rushlight.nn.Parameter}


def same_tensor(ours, theirs):
    assert type(ours) is PAIRS[type(theirs)]
    assert tuple(ours.shape) == tuple(theirs.shape)
    assert tuple(ours.stride()) == tuple(theirs.stride())
    assert ours.storage_offset() == theirs.storage_offset()
    assert repr(ours.dtype) == repr(theirs.dtype)
    assert ours.requires_grad == theirs.requires_grad
    a, b = (t.detach().to(t.dtype).reshape(-1).tolist() for t in (ours, theirs))
    assert all(x == y or (math.isnan(x) and math.isnan(y)) for x, y in zip(a, b, strict=True))
    user = {k: v for k, v in ours.__dict__.items() if not k.startswith("_")}
    assert user.keys() == {k for k in theirs.__dict__ if not k.startswith("_")}


def same(ours, theirs):
    """`ours` (from rushlight) is what `theirs` (from PyTorch) is."""
    if isinstance(theirs, torch.Tensor):
        same_tensor(ours, theirs)
    elif isinstance(theirs, (torch.dtype, torch.device, torch.layout)):
        assert repr(ours) == repr(theirs)
    elif isinstance(theirs, dict):
        assert type(ours) is type(theirs)
        assert list(map(str, ours)) == list(map(str, theirs))
        for a, b in zip(ours.values(), theirs.values(), strict=True):
            same(a, b)
        if isinstance(theirs, collections.OrderedDict):
            assert ours.__dict__.keys() == theirs.__dict__.keys()
            same(dict(ours.__dict__), dict(theirs.__dict__))
    elif isinstance(theirs, (list, tuple)):
        assert type(ours) is PAIRS.get(type(theirs), type(theirs))
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            same(a, b)
    else:
        assert type(ours) is type(theirs)
        assert ours == theirs or (ours != ours and theirs != theirs)
