"""Training from one readable recipe, or from Python: `Trainer` is the loop, `Run` a recipe that can be trained."""

from .recipe import Recipe as Recipe
from .recipe import RecipeError as RecipeError
from .recipe import parse_recipe as parse_recipe
from .recipe import read_recipe as read_recipe
from .run import Prediction as Prediction
from .run import Predictor as Predictor
from .run import Run as Run
from .trainer import Callback as Callback
from .trainer import EpochRecord as EpochRecord
from .trainer import Evaluation as Evaluation
from .trainer import Step as Step
from .trainer import Stopped as Stopped
from .trainer import Trainer as Trainer
