"""Scripts that ask for a GPU get PyTorch's answers of a build without one."""

import pytest
import torch

import rushlight


@pytest.mark.parametrize("name", rushlight.cuda.__all__)
def test_answers(name):
    """The same value or the same error."""
    arguments = (0,) if name in ("manual_seed", "manual_seed_all") else ()
    if name in ("set_device",):
        with pytest.raises(AssertionError, match="Torch not compiled with CUDA enabled"):
            rushlight.cuda.set_device(0)
        return
    try:
        expected = getattr(torch.cuda, name)(*arguments)
    except AssertionError as error:
        with pytest.raises(AssertionError, match=str(error)):
            getattr(rushlight.cuda, name)(*arguments)
    else:
        assert getattr(rushlight.cuda, name)(*arguments) == expected


def test_switches():
    """cuDNN's switches can be set."""
    rushlight.backends.cudnn.benchmark = True
    rushlight.backends.cudnn.benchmark = False
    assert not rushlight.backends.cudnn.is_available() and not rushlight.backends.mps.is_available()
