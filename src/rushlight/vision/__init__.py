"""torchvision's datasets, transforms and models for this package. Images are Pillow's (extra `vision`).

Reference: https://docs.pytorch.org/vision/stable/index.html
"""

from . import datasets as datasets
from . import io as io
from . import models as models
from . import transforms as transforms
from . import utils as utils
