"""Looking at the recorded graph.

Reference: https://docs.pytorch.org/docs/stable/autograd.html#autograd-graph
"""

from __future__ import annotations

from typing import NamedTuple

from .node import Node as Node
from .node import edge_of

__all__ = ["Node", "GradientEdge", "get_gradient_edge", "increment_version"]


class GradientEdge(NamedTuple):
    """A place in the graph: a node and the number of one of its outputs."""

    node: Node
    output_nr: int


def get_gradient_edge(tensor) -> GradientEdge:
    """Where a gradient for `tensor` would go.

    Raises: RuntimeError if it requires none.
    """
    edge = edge_of(tensor)
    if edge is None:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not require gradients")
    return GradientEdge(*edge)


def increment_version(tensor) -> None:
    """Counts an in-place write that rushlight cannot see (through a NumPy view, say)."""
    tensors = tensor if isinstance(tensor, (list, tuple)) else (tensor,)
    for t in tensors:
        t._a.bump_version()
