"""All operations, one family a file. Importing this package gives Tensor its methods."""

from .activation import *  # noqa: F403
from .algebra import *  # noqa: F403
from .aliases import *  # noqa: F403
from .arrange import *  # noqa: F403
from .attention import *  # noqa: F403
from .classification import *  # noqa: F403
from .conv import *  # noqa: F403
from .creation import *  # noqa: F403
from .ctc import *  # noqa: F403
from .dropout import *  # noqa: F403
from .embedding import *  # noqa: F403
from .extrema import *  # noqa: F403
from .fractional_pool import *  # noqa: F403
from .grid import *  # noqa: F403
from .indexing import *  # noqa: F403
from .interpolate import *  # noqa: F403
from .legacy import *  # noqa: F403
from .linear_cross_entropy import *  # noqa: F403
from .loss import *  # noqa: F403
from .matmul import *  # noqa: F403
from .matrix_maps import *  # noqa: F403
from .normalization import *  # noqa: F403
from .norms import *  # noqa: F403
from .pad import *  # noqa: F403
from .pointwise import *  # noqa: F403
from .pool import *  # noqa: F403
from .random import *  # noqa: F403
from .rearrange import *  # noqa: F403
from .recurrent import *  # noqa: F403
from .reduce import *  # noqa: F403
from .scan import *  # noqa: F403
from .scatter import *  # noqa: F403
from .shape import *  # noqa: F403
from .similarity import *  # noqa: F403
from .sorting import *  # noqa: F403
from .sparse import *  # noqa: F403
from .sparse_rules import *  # noqa: F403
from .special import *  # noqa: F403
from .subscript import *  # noqa: F403

# The functions, not the family files: `rushlight.random` is another module than `rushlight.ops.random`.
__all__ = [_n for _n, _v in list(globals().items()) if not _n.startswith("_") and type(_v) is not type(random)]  # noqa: F405
