"""All operations, one family a file. Importing this package gives Tensor its methods."""

from .conv import *  # noqa: F403
from .creation import *  # noqa: F403
from .indexing import *  # noqa: F403
from .matmul import *  # noqa: F403
from .pointwise import *  # noqa: F403
from .random import *  # noqa: F403
from .reduce import *  # noqa: F403
from .shape import *  # noqa: F403
from .subscript import *  # noqa: F403
