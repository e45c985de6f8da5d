"""All parameters of a model as one vector, and back."""

from __future__ import annotations

from ...autograd.tensor import Tensor
from ...ops.shape import cat

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def parameters_to_vector(parameters) -> Tensor:
    """The parameters, flattened and joined."""
    return cat([p.view(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters) -> None:
    """Makes the parameters views of consecutive parts of `vec`.

    Raises: TypeError if `vec` is no tensor.
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {type(vec).__name__}")
    at = 0
    for p in parameters:
        n = p._a.numel
        p.data = vec.narrow(0, at, n).view(p._a.shape).data
        at += n
