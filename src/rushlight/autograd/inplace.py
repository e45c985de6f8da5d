"""In-place ops: writing into a tensor that has a history, or is a view of one that has.

An in-place op gives the tensor a new node whose first input is the tensor's old one. If the tensor is a view, its base
gets the node instead (`CopySlices`), because every other view must see the change; the view's own node is then taken
from the base again, by `refresh_view`.
"""

from __future__ import annotations

from .. import _native, _recording
from .._kernels import K
from .node import Node, edge_of
from .op import ARG, OUT

__all__ = ["apply_inplace", "check_inplace", "refresh_view", "rebase"]


def check_inplace(t) -> None:
    """Raises RuntimeError if writing into `t` would break the recorded graph."""
    if t._is_inference and not _native.is_inference_enabled():
        raise RuntimeError(
            "Inplace update to inference tensor outside InferenceMode is not allowed.You can make a clone to get a "
            "normal tensor before doing inplace update.See https://github.com/pytorch/rfcs/pull/17 for more details."
        )
    if not _native.is_grad_enabled():
        return
    if t.requires_grad:
        if t._base is not None and t._base._node is None and t._base._requires_grad:
            raise RuntimeError("a view of a leaf Variable that requires grad is being used in an in-place operation.")
        if t._node is None:
            raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")


def _apply_inplace(opcall, self, *args, into=None, **attrs):
    """self <- op(self, *args). `into(out, ...)` is the kernel's own in-place form, where it has one."""
    check_inplace(self)
    try:
        a = self._a
        arrays = [x._a if isinstance(x, _native.TensorBase) else x for x in args]
    except NotImplementedError:  # a sparse tensor has no array
        return _write_sparse(opcall.definition, self, args, attrs)
    _recording.note(self, *(x for x in args if isinstance(x, _native.TensorBase)))
    node = None
    if _native.is_grad_enabled():
        inputs = (self, *args)
        mask = tuple(isinstance(x, _native.TensorBase) and x.requires_grad for x in inputs)
        op = opcall.definition
        if any(mask) and op.differentiable and a.dtype.is_floating_point:
            if self._view_limit == 2:
                name = self.grad_fn.name().removesuffix("Backward0")
                raise RuntimeError(
                    f"Output {self._output_nr} of {name} is a view and is being modified inplace. This view is the output of a "
                    "function that returns multiple views. Such functions do not allow the output views to be modified inplace. "
                    "You should replace the inplace operation by an out-of-place one."
                )
            if self._view_limit:
                raise RuntimeError(
                    "A view was created in no_grad mode and is being modified inplace with grad mode enabled. Given "
                    "that this use case is ambiguous and error-prone, it is forbidden. You can clarify your code by "
                    "moving both the view and the inplace either both inside the no_grad block (if you don't want the "
                    "inplace to be tracked) or both outside (if you want the inplace to be tracked)."
                )
            node = opcall.node(inputs, attrs, (self,))
            for slot, (kind, key) in enumerate(node.plan.saves):
                if kind == ARG and key == 0:  # the rule wants the old values: keep a copy
                    old = _native.wrap(K.copy(a))
                    old._node, old._output_nr, old._requires_grad = self._node, self._output_nr, self._requires_grad
                    node.saved[slot] = (old, 0)
    if into is not None:
        into(a, a, *arrays)
    else:
        result = opcall.forward(a, *arrays, **attrs)
        if result.shape != a.shape:
            raise RuntimeError(
                f"output with shape {list(a.shape)} doesn't match the broadcast shape {list(result.shape)}"
            )
        K.copy_into(a, result)
    if node is not None:
        for slot, (kind, _) in enumerate(node.plan.saves):
            if kind == OUT:
                node.saved[slot] = [(a, a.version)]
        rebase(self, node, self_has_edge=mask[0])
    tracer = _native.get_tracer()
    if tracer is not None:
        tracer(opcall.definition, (self, *args), attrs, self)
    return self


apply_inplace = _native.apply_inplace  # writes at once where nobody watches, otherwise _apply_inplace
_native.set_inplace(_apply_inplace, K.copy_into)


def _write_sparse(op, self, args, attrs):
    if op.sparse_into is not None and not self.is_sparse:
        return op.sparse_into(self, *args, **attrs)
    result = op.call_sparse(self, *args, **attrs)
    if not self.is_sparse:
        return self.copy_(result)
    return self.become(result, in_place=op.name != "mul")  # in PyTorch, too, mul_ is not seen through `.data`


def rebase(t, node, *, self_has_edge) -> None:
    """Makes `node` the history of `t`, through its base if it is a view."""
    base = t._base
    if base is None:
        t._node, t._output_nr, t._requires_grad = node, 0, True
        return
    base._node, base._output_nr = CopySlices(base, t, node, self_has_edge), 0
    base._requires_grad = True
    refresh_view(t)


def refresh_view(t) -> None:
    """Takes the history of a view from its base again."""
    base, a = t._base, t._a
    t._view_version = a.version
    with _Recording():
        fresh = base.as_strided(a.shape, a.strides, a.offset)
    t._node, t._output_nr, t._requires_grad = fresh._node, fresh._output_nr, fresh._requires_grad


class _Recording:
    def __enter__(self):
        self.before = _native.set_grad_enabled(True)

    def __exit__(self, *exc):
        _native.set_grad_enabled(self.before)


class CopySlices(Node):
    """The history of a base one of whose views was written: the rest keeps its gradient, the view's goes through `inner`."""

    __slots__ = ("inner", "self_has_edge", "geometry", "base_meta")

    def __init__(self, base, view, inner, self_has_edge):
        rest = inner.edges[1:] if self_has_edge else inner.edges
        super().__init__([edge_of(base), *rest])
        self.inner, self.self_has_edge = inner, self_has_edge
        a = view._a
        self.geometry = (a.shape, a.strides, a.offset)
        self.base_meta = (base._a.shape, base._a.strides, base._a.offset)

    def apply(self, grads, needed):
        (g,) = grads
        shape, strides, offset = self.geometry
        base_shape, base_strides, base_offset = self.base_meta
        g = g.contiguous()
        # The view's geometry, carried over to a contiguous gradient of the base.
        strides, offset = _recast(base_shape, base_strides, strides, offset - base_offset)
        part = g.as_strided(shape, strides, offset).clone()
        inner_needed = None if needed is None else ([True] if self.self_has_edge else []) + list(needed[1:])
        inner = self.inner.apply([part], inner_needed)
        own = inner[0] if self.self_has_edge else None
        if own is None:
            own = part.new_zeros(shape)
        rest = inner[1:] if self.self_has_edge else inner
        return [g.as_strided_scatter(own, shape, strides, offset), *rest]

    def release(self):
        self.inner.release()


def _recast(base_shape, base_strides, strides, offset):
    """Strides and offset of a view of a dense base, for the same view of a contiguous array of the base's shape."""
    order = sorted(range(len(base_shape)), key=lambda d: -base_strides[d])
    dense = [1] * len(base_shape)
    step = 1
    for d in range(len(base_shape) - 1, -1, -1):
        dense[d] = step
        step *= base_shape[d]

    def carry(distance):
        # A distance in the base's memory as a sum of steps along its dimensions.
        sign = -1 if distance < 0 else 1
        distance, total = abs(distance), 0
        for d in order:
            if base_strides[d] > 0 and base_shape[d] > 1:
                total += distance // base_strides[d] * dense[d]
                distance %= base_strides[d]
        return sign * total

    return [carry(s) for s in strides], carry(offset)
