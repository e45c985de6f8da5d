"""Jacobians, Hessians and their products with vectors, for functions of tensors.

Reference: https://docs.pytorch.org/docs/stable/autograd.html#functional-higher-level-api
"""

from __future__ import annotations

from .backward import grad as _grad
from .grad_mode import enable_grad
from .tensor import Tensor

__all__ = ["vjp", "jvp", "jacobian", "hessian", "vhp", "hvp"]


def _as_tuple(x, what, caller):
    was_tuple = isinstance(x, tuple)
    out = x if was_tuple else (x,)
    for i, t in enumerate(out):
        if not isinstance(t, Tensor):
            if was_tuple:
                raise TypeError(f"The {what} given to {caller} must be either a Tensor or a tuple of Tensors but the value "
                                f"at index {i} has type {type(t)}.")  # fmt: skip
            raise TypeError(f"The {what} given to {caller} must be either a Tensor or a tuple of Tensors but the given "
                            f"{what} has type {type(t)}.")  # fmt: skip
    return was_tuple, out


def _inputs(xs, create_graph):
    """Copies that a graph can start from; with create_graph they stay connected to the originals."""
    return tuple(x.view_as(x) if create_graph and x.requires_grad else x.detach().requires_grad_() for x in xs)


def _zeros_for(g, x):
    return x.detach().new_zeros(x.shape) if g is None else g


def _finish(value, create_graph):
    if isinstance(value, tuple):
        return tuple(_finish(v, create_graph) for v in value)
    return value if create_graph else value.detach()


def _check_v(v, others, what, is_other_tuple):
    if len(v) != len(others):
        if is_other_tuple:
            raise RuntimeError(f"v is a tuple of invalid length: should be {len(others)} but got {len(v)}.")
        raise RuntimeError("The given v should contain a single Tensor.")
    for i, (a, b) in enumerate(zip(v, others, strict=True)):
        if a.shape != b.shape:
            prefix = f"Entry {i} in " if is_other_tuple else ""
            raise RuntimeError(f"{prefix}v has invalid size: should be {b.shape} but got {a.shape}.")


def _run(func, inputs, caller, create_graph, strict):
    single_in, xs = _as_tuple(inputs, "inputs", caller)
    xs = _inputs(xs, create_graph)
    out = func(*xs)
    was_tuple, outs = _as_tuple(out, "outputs of the user-provided function", caller)
    if strict:
        for i, o in enumerate(outs):
            if not o.requires_grad:
                raise RuntimeError(
                    f"Output {i} of the user-provided function does not require gradients. The outputs must be computed in "
                    "a differentiable manner from the input when running in strict mode."
                )
    return single_in, xs, was_tuple, outs


def _safe_grad(outs, xs, vectors, create_graph, strict=False, retain=True):
    live = [(o, v) for o, v in zip(outs, vectors, strict=True) if o.requires_grad]
    if not live:
        return tuple(None for _ in xs)
    grads = _grad([o for o, _ in live], xs, [v for _, v in live], allow_unused=True, create_graph=create_graph,
                  retain_graph=retain)  # fmt: skip
    if strict and any(g is None for g in grads):
        i = next(i for i, g in enumerate(grads) if g is None)
        raise RuntimeError(f"The output of the user-provided function is independent of input {i}. This is not allowed in "
                           "strict mode.")  # fmt: skip
    return grads


def vjp(func, inputs, v=None, create_graph=False, strict=False):
    """func(inputs) and the product of v with its Jacobian. `v` may be left out if the output is one number."""
    with enable_grad():
        in_tuple, xs, out_tuple, outs = _run(func, inputs, "vjp", create_graph, strict)
        if v is None:
            if len(outs) != 1 or outs[0].numel() != 1:
                raise RuntimeError("The vector v can only be None if the user-provided function returns a single Tensor with a "
                                   "single element.")  # fmt: skip
            vs = (outs[0].detach().new_ones(outs[0].shape),)
        else:
            _, vs = _as_tuple(v, "v", "vjp")
            _check_v(vs, outs, "v", out_tuple)
        grads = _safe_grad(outs, xs, vs, create_graph, strict)
        grads = tuple(_zeros_for(g, x) for g, x in zip(grads, xs, strict=True))
    outs, grads = _finish(outs, create_graph), _finish(grads, create_graph)
    return (outs if out_tuple else outs[0]), (grads if in_tuple else grads[0])


def jvp(func, inputs, v=None, create_graph=False, strict=False):
    """func(inputs) and the product of its Jacobian with v, by differentiating the vjp with respect to its vector."""
    with enable_grad():
        in_tuple, xs, out_tuple, outs = _run(func, inputs, "jvp", create_graph, strict)
        if v is None:
            if len(xs) != 1 or xs[0].numel() != 1:
                raise RuntimeError("The vector v can only be None if the input to the user-provided function is a single Tensor "
                                   "with a single element.")  # fmt: skip
            vs = (xs[0].detach().new_ones(xs[0].shape),)
        else:
            _, vs = _as_tuple(v, "v", "jvp")
            _check_v(vs, xs, "v", in_tuple)
        dummies = tuple(o.detach().new_zeros(o.shape).requires_grad_() for o in outs)
        back = _safe_grad(outs, xs, dummies, True, strict)
        pairs = [(g, w) for g, w in zip(back, vs, strict=True) if g is not None and g.requires_grad]
        if pairs:
            forward = _grad([g for g, _ in pairs], dummies, [w for _, w in pairs], allow_unused=True, create_graph=create_graph)
        else:
            forward = (None,) * len(outs)
        forward = tuple(_zeros_for(g, o) for g, o in zip(forward, outs, strict=True))
    outs, forward = _finish(outs, create_graph), _finish(forward, create_graph)
    return (outs if out_tuple else outs[0]), (forward if out_tuple else forward[0])


def jacobian(func, inputs, create_graph=False, strict=False, vectorize=False, strategy="reverse-mode"):
    """The Jacobian of func at inputs: for every output and input, a tensor of shape output.shape + input.shape."""
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError('Expected strategy to be either "forward-mode" or "reverse-mode".')
    with enable_grad():
        in_tuple, xs, out_tuple, outs = _run(func, inputs, "jacobian", create_graph, strict)
        result = []
        for out in outs:
            rows = [[] for _ in xs]
            flat = out.reshape(-1)
            for j in range(flat.numel()):
                if flat.requires_grad:
                    grads = _safe_grad([flat[j]], xs, [flat.detach().new_ones(())], create_graph, strict)
                else:
                    grads = (None,) * len(xs)
                for row, g, x in zip(rows, grads, xs, strict=True):
                    row.append(_zeros_for(g, x))
            result.append(tuple(
                (row[0]._stack_with(row[1:]) if row else x.detach().new_zeros((0, *x.shape))).view(tuple(out.shape) + tuple(x.shape))
                for row, x in zip(rows, xs, strict=True)))  # fmt: skip
    result = _finish(tuple(result), create_graph)
    result = tuple(r if in_tuple else r[0] for r in result)
    return result if out_tuple else result[0]


def _scalar(func):
    def checked(*args):
        out = func(*args)
        _, outs = _as_tuple(out, "outputs of the user-provided function", "hessian")
        if len(outs) != 1 or not isinstance(outs[0], Tensor):
            raise RuntimeError("The function given to hessian should return a single Tensor")
        if outs[0].numel() != 1:
            raise RuntimeError("The Tensor returned by the function given to hessian should contain a single element")
        return outs[0].squeeze()

    return checked


def hessian(func, inputs, create_graph=False, strict=False, vectorize=False, outer_jacobian_strategy="reverse-mode"):
    """The Hessian of a scalar function: for every pair of inputs, a tensor of shape input_i.shape + input_j.shape."""
    in_tuple, _ = _as_tuple(inputs, "inputs", "hessian")
    scalar = _scalar(func)

    def first(*xs):
        jac = jacobian(scalar, xs, create_graph=True)
        return tuple(j.view_as(x) if j.numel() == x.numel() else j for j, x in zip(jac, xs, strict=True))

    result = jacobian(first, inputs if in_tuple else (inputs,), create_graph=create_graph, strict=strict)
    return result if in_tuple else result[0][0]


def vhp(func, inputs, v=None, create_graph=False, strict=False):
    """func(inputs) (one number) and the product of v with its Hessian."""
    with enable_grad():
        in_tuple, xs, _, outs = _run(func, inputs, "vhp", create_graph, strict)
        if outs[0].numel() != 1 or len(outs) != 1:
            raise RuntimeError("The Tensor returned by the function given to vhp should contain a single element")
        vs = (xs[0].detach().new_ones(xs[0].shape),) if v is None else _as_tuple(v, "v", "vhp")[1]
        if v is not None:
            _check_v(vs, xs, "v", in_tuple)
        first = _safe_grad(outs, xs, [outs[0].detach().new_ones(outs[0].shape)], True, strict)
        first = tuple(_zeros_for(g, x) for g, x in zip(first, xs, strict=True))
        second = _safe_grad(first, xs, vs, create_graph, strict)
        second = tuple(_zeros_for(g, x) for g, x in zip(second, xs, strict=True))
    return _finish(outs[0], create_graph), (_finish(second, create_graph) if in_tuple else _finish(second[0], create_graph))


def hvp(func, inputs, v=None, create_graph=False, strict=False):
    """func(inputs) (one number) and the product of its Hessian with v; the same as `vhp`, the Hessian being symmetric."""
    return vhp(func, inputs, v, create_graph, strict)
