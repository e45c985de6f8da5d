"""Image classifiers with torchvision's structure, state-dict keys and initialisation. Nothing is downloaded."""

from .alexnet import *  # noqa: F403
from .densenet import *  # noqa: F403
from .lenet import *  # noqa: F403
from .mobilenetv2 import *  # noqa: F403
from .resnet import *  # noqa: F403
from .squeezenet import *  # noqa: F403
from .vgg import *  # noqa: F403
