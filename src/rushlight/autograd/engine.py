"""The backward sweep's surroundings: grad mode, the inputs asked for, hooks.

The sweep itself is native/bindings/engine.cpp; it calls the functions below for what is rare.
"""

from __future__ import annotations

from .. import _native
from .node import AccumulateGrad, accumulate, edge_of
from .op import fit

__all__ = ["run_backward", "only_inputs"]

_asked = False  # whether the sweep that is running was asked for gradients of given inputs


def only_inputs() -> bool:
    """Whether the sweep that is running leaves every `.grad` alone."""
    return _asked


def run_backward(edges, grads, *, retain_graph, create_graph, inputs=None):
    """Sends `grads` into `edges` [(node, nr)] and sweeps.

    With `inputs` (tensors), returns their gradients (None where unreached) and leaves every `.grad` alone; without,
    accumulates into the leaves' `.grad`.
    """
    global _asked
    before, before_asked = _native.set_grad_enabled(create_graph), _asked
    _asked = inputs is not None
    try:
        if inputs is None:
            _native.sweep(edges, grads, bool(retain_graph), None, None, None)
            return None
        targets = [edge_of(t) for t in inputs]
        wanted = {}  # node -> {output number: [positions in inputs]}
        for position, (node, nr) in enumerate(targets):
            wanted.setdefault(node, {}).setdefault(nr, []).append(position)
        captured = [None] * len(inputs)
        _native.sweep(edges, grads, bool(retain_graph), wanted, _reaching([node for node, _ in edges], wanted), captured)
        return captured
    finally:
        _native.set_grad_enabled(before)
        _asked = before_asked


def _reaching(roots, targets):
    """The nodes from which a target can be reached, targets included."""
    # Parents have lower numbers, so visiting in ascending order sees a node's parents before itself.
    seen, stack = set(), list(roots)
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        stack.extend(edge[0] for edge in node.edges if edge is not None)
    reach = set()
    for node in sorted(seen, key=lambda n: n.seq):
        if node in targets or any(edge is not None and edge[0] in reach for edge in node.edges):
            reach.add(node)
    return reach


def _run_hooks(node, grads):
    hooks = node.tensor_hooks
    if hooks is None and isinstance(node, AccumulateGrad) and node.variable._hooks is not None:
        hooks = {0: node.variable._hooks.grad}
    if hooks:
        for nr, fns in hooks.items():
            for fn in tuple(fns.values()):
                if grads[nr] is None:
                    continue
                new = fn(grads[nr])
                if new is not None:
                    if tuple(new.shape) != tuple(grads[nr].shape):
                        raise RuntimeError(f"hook '{getattr(fn, '__name__', 'hook')}' has changed the size of value")
                    grads[nr] = new
    if node.pre_hooks:
        for fn in tuple(node.pre_hooks.values()):
            new = fn(tuple(grads))
            if new is not None:
                grads[:] = new if isinstance(new, (tuple, list)) else [new]


def _run_post_hooks(node, results, grads):
    results = tuple(results)
    for fn in tuple(node.post_hooks.values()):
        new = fn(results, tuple(grads))
        if new is not None:
            results = tuple(new) if isinstance(new, (tuple, list)) else (new,)
    return results


def _retain(node, grads):
    for nr, ref in node.retain.items():
        t = ref()
        if t is None or grads[nr] is None:
            continue
        t._grad = grads[nr].detach().clone() if t._grad is None else t._grad + grads[nr]


_native.set_engine(_run_hooks, _run_post_hooks, _retain, accumulate, fit)
