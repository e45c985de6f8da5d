"""Layers, losses and what they are built from."""

from . import functional as functional
from . import init as init
from . import parallel as parallel
from . import parameter as parameter
from . import utils as utils
from .modules import *  # noqa: F403
from .modules._module_hooks import _WrappedHook as _WrappedHook  # checkpoints of whole modules name it
from .parallel import DataParallel as DataParallel
from .parameter import Buffer as Buffer
from .parameter import Parameter as Parameter
from .parameter import UninitializedBuffer as UninitializedBuffer
from .parameter import UninitializedParameter as UninitializedParameter


def factory_kwargs(kwargs):
    """The `device`, `dtype` and `memory_format` among a module's keyword arguments, for `empty` and its like.

    They may also stand in a dict `factory_kwargs`, for a module that has an argument of such a name itself.

    Raises: TypeError for other keys, and for a key given twice.
    """
    if kwargs is None:
        return {}
    simple = {"device", "dtype", "memory_format"}
    unexpected = kwargs.keys() - simple - {"factory_kwargs"}
    if unexpected:
        raise TypeError(f"unexpected kwargs {unexpected}")
    out = dict(kwargs.get("factory_kwargs", {}))
    for key in simple & kwargs.keys():
        if key in out:
            raise TypeError(f"{key} specified twice, in **kwargs and in factory_kwargs")
        out[key] = kwargs[key]
    return out
