"""Optimizers, learning-rate schedules and weight averaging."""

from . import lr_scheduler as lr_scheduler
from .adam import Adam as Adam
from .adam import AdamW as AdamW
from .adam_variants import Adamax as Adamax
from .adam_variants import NAdam as NAdam
from .adam_variants import RAdam as RAdam
from .adaptive import ASGD as ASGD
from .adaptive import Adadelta as Adadelta
from .adaptive import Adagrad as Adagrad
from .adaptive import RMSprop as RMSprop
from .adaptive import Rprop as Rprop
from .optimizer import Optimizer as Optimizer
from .sgd import SGD as SGD
