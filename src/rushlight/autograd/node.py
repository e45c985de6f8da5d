"""What autograd remembers: a node per recorded op.

A node knows its op, where its inputs came from (`edges`: pairs of a node and the number of its output), and exactly
what the op's rules asked to save. Nodes are numbered as they are made; since an op's inputs exist before its output, a
backward sweep that always takes the highest number has every contribution to a node before it runs it (engine.py).
"""

from __future__ import annotations

import traceback

from .. import _native
from .._kernels import K

__all__ = ["Node", "AccumulateGrad", "edge_of", "FREED", "accumulator"]

wrap = _native.wrap

# What a node's `saved` becomes once its memory is given back.
FREED = _native.FREED

FREED_MESSAGE = (
    "Trying to backward through the graph a second time (or directly access saved tensors after they have already "
    "been freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). "
    "Specify retain_graph=True if you need to backward through the graph a second time or if you need to access "
    "saved tensors after calling backward."
)


class Node(_native.NodeBase):
    """One recorded op. `tensor.grad_fn` is one; `next_functions` leads to the ops before it.

    The fields live in the native base: `seq` (given when the node is made), `edges`, `saved`, `num_outputs`, and hooks,
    which are None unless there are any.
    """

    __slots__ = ()

    def __init__(self, edges, num_outputs=1):
        self.edges = edges
        self.num_outputs = num_outputs
        self.saved = ()

    # -- what users see ------------------------------------------------------------------------------------------

    def name(self) -> str:
        """PyTorch's name of the node, such as `MulBackward0`."""
        return type(self).__name__

    def __repr__(self):
        return f"<{self.name()} object at {id(self):#x}>"

    @property
    def next_functions(self):
        """The nodes before this one, as pairs of a node (or None) and an output number."""
        return tuple(edge if edge is not None else (None, 0) for edge in self.edges)

    @property
    def metadata(self):
        """A dict for the user's own notes on this node."""
        return self.__dict__.setdefault("_metadata", {})

    def register_hook(self, fn):
        """`fn(grad_inputs, grad_outputs)` after this node has run; it may return new grad_inputs."""
        from .hooks import add_hook

        if self.post_hooks is None:
            self.post_hooks = {}
        return add_hook(self.post_hooks, fn)

    def register_prehook(self, fn):
        """`fn(grad_outputs)` before this node runs; it may return new grad_outputs."""
        from .hooks import add_hook

        if self.pre_hooks is None:
            self.pre_hooks = {}
        return add_hook(self.pre_hooks, fn)

    # -- what the engine calls ------------------------------------------------------------------------------------

    def apply(self, grads, needed):
        """Gradients for each edge. `grads`: one per output, None where none arrived. `needed`: a bool per edge."""
        raise NotImplementedError

    def release(self):
        if self.saved:
            self.saved = FREED

    def remember_trace(self):
        self.trace = traceback.format_stack()[:-3]


def overwritten_message(tensor, now, expected, producer=None):
    a = tensor._a
    node = tensor.grad_fn if producer is None else producer
    source = ""
    if node is not None:
        source = f", which is output {tensor._output_nr} of {node.name().removesuffix('0').removesuffix('Backward')},"
    return (
        "one of the variables needed for gradient computation has been modified by an inplace operation: "
        f"[torch.{a.dtype.scalar_name}Tensor {list(a.shape)}]{source} is at version {now}; expected version {expected} "
        "instead. Hint: enable anomaly detection to find the operation that failed to compute its gradient, with "
        "torch.autograd.set_detect_anomaly(True, check_nan=False)."
    )


class AccumulateGrad(Node):
    """The end of every path: adds what arrives to a leaf's `.grad`."""

    __slots__ = ()

    def apply(self, grads, needed):
        (g,) = grads
        if g is not None:
            accumulate(self.variable, g)
        return ()


def accumulate(leaf, g):
    """leaf.grad += g. (The engine itself takes over a first gradient whose memory nobody else holds.)"""
    old = leaf._grad
    if g.is_sparse or (old is not None and old.is_sparse):
        leaf._grad = _sum_sparse(old, g)
    elif old is None:
        # A gradient that is itself part of a graph (create_graph) keeps its history.
        if g._requires_grad:
            leaf._grad = g
        else:
            leaf._grad = wrap(K.copy(g._a) if g._a.contiguous else _contiguous_copy(g._a))
    elif g._requires_grad or old._requires_grad:
        leaf._grad = old + g
    else:
        K.add_into(old._a, old._a, g._a)
    if leaf._hooks is not None:
        for hook in tuple(leaf._hooks.post_accumulate.values()):
            hook(leaf)


def _sum_sparse(old, g):
    if old is None:
        return g if g.requires_grad else g.clone()
    if g.requires_grad or old.requires_grad:
        return old + g
    return g + old if old.is_sparse and not g.is_sparse else old.add_(g)  # a dense gradient makes the sum dense


def _contiguous_copy(a):
    out = _native.empty(a.shape, a.dtype.code)
    K.copy_into(out, a)
    return out


accumulator = _native.accumulator


def edge_of(tensor):
    """Where a gradient for `tensor` goes: (node, output number), or None if it needs none."""
    if not tensor._requires_grad:
        return None
    node = tensor._node
    if node is None:
        return accumulator(tensor), 0
    return node, tensor._output_nr
