"""Automatic differentiation."""

from .backward import backward as backward
from .backward import grad as grad
from .grad_mode import enable_grad as enable_grad
from .grad_mode import inference_mode as inference_mode
from .grad_mode import no_grad as no_grad
from .grad_mode import set_grad_enabled as set_grad_enabled
from .tensor import Tensor as Variable  # noqa: F401
from .function import Function as Function
