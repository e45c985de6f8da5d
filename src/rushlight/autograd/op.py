"""The op record: one object that carries everything anyone asks of an operation.

    @op(onnx=...)
    def _softmax(x, /, *, dim): ...          # arrays in, array out

    @_softmax.vjp                            # tensors in; parameter names say what is saved
    def _(g, out, *, dim):
        return out * (g - (g * out).sum(dim, keepdim=True))

A rule's first parameter `g` is the gradient of the output (a tuple if there are several, None where none arrived). Its
other parameters name what it needs, and that is exactly what a node keeps:

    x            an input, by the forward's name            out        the output (a tuple if several)
    x_shape      only the shape of that input               x_dtype    only its dtype
    x_layout     its strides and offset                     out_1      of several outputs only that one, counted from 0
    xs           of `*xs`: the tuple of those inputs
    dim          a keyword argument of the forward          needs      a tuple: which inputs want a gradient

An op that takes a part of its input may say how to add a part's gradient to what has already arrived for the input,
instead of making zeros around each part: `_select.adds(lambda total, g, dim, index: ...)`, tensors and saved values in. The
sweep calls it if nobody else holds `total`.

One rule for all inputs returns a tuple (a single value if there is one tensor input); or there is a rule per input,
`_mul.vjp(a=lambda g, b: g * b, b=lambda g, a: g * a)`, and only those that are needed run. Rules are tensor
expressions, so second derivatives come free.
"""

from __future__ import annotations

import functools
import inspect
import re

from .. import _native
from .node import FREED_MESSAGE, AccumulateGrad, Node, overwritten_message

__all__ = ["Op", "OpNode", "op", "REGISTRY", "no_array"]

# Every op by name: coverage, ONNX and the table tests read it.
REGISTRY: dict[str, Op] = {}

# The same numbers as `enum Save` in native/bindings/tensor.cpp.
ARG, OUT, SHAPE, DTYPE, LAYOUT, ATTR, NEEDS, ARGS = range(8)

def no_array(name) -> NotImplementedError:
    """The error of an operation that has no rule for a sparse tensor, which has no array."""
    return NotImplementedError(
        f"Could not run 'aten::{name}' with arguments from the 'SparseCPU' backend. This could be because the operator doesn't "
        "exist for this backend, or was omitted during the selective/custom build process (if using custom build). "
        "`.to_dense()` gives a tensor that every operation takes."
    )


class Plan:
    """What to save and which rules to run, for one pattern of inputs that need gradients."""

    __slots__ = ("indices", "saves", "rules", "joint", "adding")

    def __init__(self, indices, saves, rules, joint, adding):
        self.indices = indices  # positions of the arguments that get an edge
        self.saves = saves  # ((kind, key), ...)
        self.rules = rules  # per edge: (rule, slots of its arguments, names of the last ones); or one joint entry
        self.joint = joint
        self.adding = adding  # like an entry of `rules`, or None


class Op:
    """The definition of one operation. Calling happens through the native `OpCall` that holds it."""

    def __init__(self, forward, name, *, view=False, broadcasts=False, grad_name=None, onnx=None, differentiable=True):
        self.forward = forward
        self.name = name
        self.view = view
        self.broadcasts = broadcasts  # gradients are summed to each input's shape and cast to its dtype
        self.onnx = onnx
        self.differentiable = differentiable
        self.grad_name = grad_name or _camel(name) + "Backward0"
        self.joint_rule = None
        self.rules = {}
        self.adding = None
        self.plans = {}
        self.sparse = self.sparse_into = None  # what it does to sparse tensors: `call_sparse`
        self.arg_names, self.variadic, self.attr_names = _signature(forward)

    def __repr__(self):
        return f"<op {self.name}>"

    def call_sparse(self, *args, **attrs):
        """The op where an argument is sparse: by the rule in `sparse`, from sparse and dense tensors to a tensor."""
        if self.sparse is None:
            raise no_array(self.name)
        return self.sparse(*args, **attrs)

    # -- declaring derivatives -----------------------------------------------------------------------------------

    def vjp(self, rule=None, /, **rules):
        """Declares the derivative: a decorator for a joint rule, or one rule per input name."""
        if rule is not None:
            self.joint_rule = rule
            return rule
        for name in rules:
            if name not in self.arg_names:
                raise TypeError(f"{self.name} has no input named {name!r}: {', '.join(self.arg_names)}")
        self.rules.update(rules)
        return None

    def adds(self, rule) -> None:
        """Declares how a gradient is added to what has arrived for the only input that has one."""
        self.adding = rule

    def _slots(self, rule, saves, leading=1):
        """Where each parameter of a rule, but for the `leading` ones, finds its value among the saved ones."""
        positional, keyword = [], {}
        for p in list(inspect.signature(rule).parameters.values())[leading:]:
            item = self._resolve(p.name)
            if item not in saves:
                saves.append(item)
            slot = saves.index(item)
            if p.kind is p.KEYWORD_ONLY:
                keyword[p.name] = slot
            else:
                positional.append(slot)
        return rule, (*positional, *keyword.values()), tuple(keyword) or None

    def _resolve(self, name):
        if name in self.arg_names:
            return ARG, self.arg_names.index(name)
        if name == "out":
            return OUT, None
        if name.startswith("out_") and name[4:].isdigit():
            return OUT, int(name[4:])
        if name == "needs":
            return NEEDS, None
        if self.variadic and name in ("inputs", self.variadic):
            return ARGS, 0 if name == "inputs" else len(self.arg_names)
        for suffix, kind in (("_shape", SHAPE), ("_dtype", DTYPE), ("_layout", LAYOUT)):
            if name.endswith(suffix) and name[: -len(suffix)] in self.arg_names:
                return kind, self.arg_names.index(name[: -len(suffix)])
        if name in self.attr_names:
            return ATTR, name
        raise TypeError(f"the rule of {self.name} asks for {name!r}, which is neither an input nor an argument")

    def plan(self, mask):
        indices = [i for i, need in enumerate(mask) if need]
        saves, rules = [], []
        if self.joint_rule is not None:
            rules.append(self._slots(self.joint_rule, saves))
        else:
            for i in indices:
                name = self.arg_names[i] if i < len(self.arg_names) else str(i)
                rule = self.rules.get(name)
                if rule is None:
                    if self.differentiable:
                        raise NotImplementedError(f"the derivative of {self.name} with respect to {name!r} is not defined")
                    raise RuntimeError(f"the derivative for '{self.name}' is not implemented.")
                rules.append(self._slots(rule, saves) if callable(rule) else None)
        adding = self._slots(self.adding, saves, 2) if self.adding is not None and len(indices) == 1 else None
        plan = self.plans[mask] = Plan(tuple(indices), tuple(saves), tuple(rules), self.joint_rule is not None, adding)
        return plan


class OpNode(Node):
    """A node made by an op with declared rules; OpCall fills it in."""

    __slots__ = ()

    def name(self):
        return self.op.grad_name

    def apply(self, grads, needed):
        out = _native.apply_rules(self, grads, needed)
        if self.input_meta is not None:
            for slot, (shape, dtype) in self.input_meta.items():
                if out[slot] is not None:
                    out[slot] = fit(out[slot], shape, dtype)
        return out

    # apply_rules calls these two to raise.

    def _raise_freed(self):
        raise RuntimeError(FREED_MESSAGE)

    def _raise_overwritten(self, tensor, now, expected, is_output):
        raise RuntimeError(overwritten_message(tensor, now, expected, producer=self if is_output else None))


def fit(g, shape, dtype):
    """A broadcast gradient, summed to the input's shape and cast to its dtype."""
    if g._a.shape != shape:
        g = g.sum_to_size(shape)
    if g._a.dtype is not dtype:
        g = g.to(dtype)
    return g


def op(forward=None, /, *, name=None, view=False, broadcasts=False, grad_name=None, onnx=None, differentiable=True):
    """Makes an op of a function on arrays; returns the callable that works on tensors.

    Args: `view`: the result shares the first argument's memory. `broadcasts`: inputs broadcast against each other.
    `grad_name`: PyTorch's node name where it is not the camel-cased name. `onnx`: the lowering. `differentiable=False`:
    declared to have no gradient.
    """

    def make(f):
        label = name or f.__name__.lstrip("_")
        definition = Op(f, label, view=view, broadcasts=broadcasts, grad_name=grad_name, onnx=onnx,
                        differentiable=differentiable)  # fmt: skip
        if label in REGISTRY:
            raise ValueError(f"two ops are named {label!r}")
        REGISTRY[label] = definition
        return _native.OpCall(f, definition.plans, definition, view, differentiable, broadcasts)

    return make if forward is None else make(forward)


def _camel(name):
    return "".join(part[:1].upper() + part[1:] for part in re.split("_+", name.strip("_")))


@functools.cache
def _signature(forward):
    try:
        parameters = inspect.signature(forward).parameters.values()
    except (TypeError, ValueError):  # a kernel used as forward: its inputs are a, b, c
        return ("a", "b", "c"), None, ()
    names = tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD))
    variadic = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), None)
    attrs = tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
    return names, variadic, attrs


_native.set_node_types(OpNode, AccumulateGrad)
