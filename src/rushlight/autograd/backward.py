"""`backward` and `grad`: from tensors to the engine and back."""

from __future__ import annotations

import warnings

from .. import _native
from .engine import run_backward
from .node import accumulate, edge_of

__all__ = ["backward", "grad"]


def _sequence(x):
    return tuple(x) if isinstance(x, (list, tuple)) else (x,)


def _roots(outputs, grads, create_graph, *, is_grads_batched=False):
    """Edges to start from, and their gradients: ones for scalars, checked shapes for the rest."""
    if len(grads) != len(outputs):
        raise RuntimeError(f"got {len(outputs)} tensors and {len(grads)} gradients")
    edges, values = [], []
    for i, (out, g) in enumerate(zip(outputs, grads, strict=True)):
        if g is None:
            if out.requires_grad and out._a.numel != 1:
                raise RuntimeError("grad can be implicitly created only for scalar outputs")
            g = out.detach().new_ones(out._a.shape)
        else:
            if not isinstance(g, _native.TensorBase):
                raise TypeError(f"gradients can be either Tensors or None, but got {type(g).__name__}")
            if g._a.shape != out._a.shape:
                raise RuntimeError(
                    f"Mismatch in shape: grad_output[{i}] has a shape of {g.shape} and output[{i}] has a shape of "
                    f"{out.shape}."
                )
            if g._a.dtype is not out._a.dtype:
                g = g.to(out._a.dtype)
        edge = edge_of(out) if out.requires_grad else None
        if edge is None:
            raise RuntimeError(f"element {i} of tensors does not require grad and does not have a grad_fn")
        edges.append(edge)
        values.append(g)
    return edges, values


def backward(tensors, grad_tensors=None, retain_graph=None, create_graph=False, grad_variables=None, inputs=None):
    """Adds the gradients of `tensors` to the `.grad` of every leaf they depend on (or of `inputs` only).

    Args: `grad_tensors`, the vector of the vector-Jacobian product (ones for scalars); `retain_graph`, keep what the
    graph saved (default: `create_graph`); `create_graph`, record the backward pass itself.
    Raises: RuntimeError if a tensor has no history, is not a scalar and has no `grad_tensors`, or its graph was freed.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.autograd.backward.html
    """
    if grad_variables is not None:
        warnings.warn("`grad_variables` is deprecated. Use `grad_tensors` instead.", FutureWarning, stacklevel=2)
        grad_tensors = grad_tensors if grad_tensors is not None else grad_variables
    if inputs is not None:
        inputs = _sequence(inputs)
        if not inputs:
            raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    outputs = _sequence(tensors)
    grads = (None,) * len(outputs) if grad_tensors is None else _sequence(grad_tensors)
    edges, values = _roots(outputs, grads, create_graph)
    keep = create_graph if retain_graph is None else retain_graph
    if inputs is None:
        run_backward(edges, values, retain_graph=keep, create_graph=create_graph)
        return
    for i, t in enumerate(inputs):
        if not t.requires_grad:
            raise RuntimeError(f"One of the differentiated Tensors does not require grad (input {i})")
    results = run_backward(edges, values, retain_graph=keep, create_graph=create_graph, inputs=inputs)
    for t, g in zip(inputs, results, strict=True):
        if g is not None:
            accumulate(t, g)


def grad(outputs, inputs, grad_outputs=None, retain_graph=None, create_graph=False, allow_unused=None,
         is_grads_batched=False, materialize_grads=False):  # fmt: skip
    """The gradients of `outputs` with respect to `inputs`, as a tuple; no `.grad` is touched.

    Raises: RuntimeError for an input that the outputs do not depend on, unless `allow_unused` (then None) or
    `materialize_grads` (then zeros).
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.autograd.grad.html
    """
    if materialize_grads and allow_unused is False:
        raise ValueError("Expected allow_unused to be True or not passed when materialize_grads=True, but got: "
                         "allow_unused=False.")  # fmt: skip
    allow_unused = materialize_grads if allow_unused is None else allow_unused
    outputs, inputs = _sequence(outputs), _sequence(inputs)
    if is_grads_batched:
        rows = [grad(outputs, inputs, [g[i] for g in _sequence(grad_outputs)], True, create_graph, allow_unused,
                     False, materialize_grads) for i in range(_sequence(grad_outputs)[0].shape[0])]  # fmt: skip
        return tuple(None if c[0] is None else c[0]._stack_with(c[1:]) for c in zip(*rows, strict=True))
    grads = (None,) * len(outputs) if grad_outputs is None else _sequence(grad_outputs)
    edges, values = _roots(outputs, grads, create_graph)
    for t in inputs:
        if not t.requires_grad:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
    keep = create_graph if retain_graph is None else retain_graph
    results = run_backward(edges, values, retain_graph=keep, create_graph=create_graph, inputs=inputs)
    done = []
    for i, (t, g) in enumerate(zip(inputs, results, strict=True)):
        if g is None:
            if materialize_grads:
                g = t.detach().new_zeros(t._a.shape)
            elif not allow_unused:
                raise RuntimeError(
                    f"The differentiated Tensor at index {i} appears to not have been used in the graph. Set "
                    "allow_unused=True if this is the desired behavior."
                )
        done.append(g)
    return tuple(done)
