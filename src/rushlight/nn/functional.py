"""The functions behind the layers: re-exports of operations, and PyTorch's older argument forms."""

from __future__ import annotations

import warnings as _warnings

from ..ops import activation as _activation
from ..ops.activation import *  # noqa: F403
from ..ops.aliases import pdist as pdist
from ..ops.attention import *  # noqa: F403
from ..ops.classification import *  # noqa: F403
from ..ops.conv import *  # noqa: F403
from ..ops.ctc import *  # noqa: F403
from ..ops.dropout import *  # noqa: F403
from ..ops.embedding import *  # noqa: F403
from ..ops.fractional_pool import *  # noqa: F403
from ..ops.grid import *  # noqa: F403
from ..ops.interpolate import *  # noqa: F403
from ..ops.linear_cross_entropy import *  # noqa: F403
from ..ops.loss import *  # noqa: F403
from ..ops.matmul import linear as linear
from ..ops.normalization import *  # noqa: F403
from ..ops.pad import *  # noqa: F403
from ..ops.pointwise import relu_ as relu_
from ..ops.pointwise import sigmoid as sigmoid
from ..ops.pointwise import tanh as tanh
from ..ops.pool import *  # noqa: F403
from ..ops.rearrange import *  # noqa: F403
from ..ops.similarity import *  # noqa: F403


def relu(input, inplace=False):
    """max(x, 0)."""
    return input.relu_() if inplace else input.relu()


def _implicit_dim(name, ndim, stacklevel):
    _warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an argument.",
        stacklevel=stacklevel + 1,
    )
    return 0 if ndim in (0, 1, 3) else 1


def softmax(input, dim=None, _stacklevel=3, dtype=None):
    """e^x_i / sum_j e^x_j along `dim`."""
    dim = _implicit_dim("softmax", input.ndim, _stacklevel) if dim is None else dim
    return _activation.softmax(input, dim, dtype)


def softmin(input, dim=None, _stacklevel=3, dtype=None):
    """softmax(-x) along `dim`."""
    dim = _implicit_dim("softmin", input.ndim, _stacklevel) if dim is None else dim
    return _activation.softmin(input, dim, dtype)


def log_softmax(input, dim=None, _stacklevel=3, dtype=None):
    """log(softmax(x)) along `dim`."""
    dim = _implicit_dim("log_softmax", input.ndim, _stacklevel) if dim is None else dim
    return _activation.log_softmax(input, dim, dtype)
