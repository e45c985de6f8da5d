"""The backward sweep.

Nodes are taken from a heap, highest number first. A node's number is larger than that of every node before it, so when
it comes up, everything that contributes to its gradient has already run; no counting pass, no recursion, and graphs of
any depth work.
"""

from __future__ import annotations

from heapq import heappop, heappush

from .. import _native
from .node import FREED_MESSAGE, AccumulateGrad, accumulator

__all__ = ["run_backward", "FREED_MESSAGE"]

_anomaly_check = None  # set by autograd.anomaly while detection is on


def set_anomaly_check(fn) -> None:
    global _anomaly_check
    _anomaly_check = fn


def run_backward(edges, grads, *, retain_graph, create_graph, inputs=None):
    """Sends `grads` into `edges` [(node, nr)] and sweeps.

    With `inputs` (tensors), returns their gradients (None where unreached) and leaves every `.grad` alone; without,
    accumulates into the leaves' `.grad`.
    """
    before = _native.set_grad_enabled(create_graph)
    try:
        return _sweep(edges, grads, retain_graph, inputs)
    finally:
        _native.set_grad_enabled(before)


def _sweep(edges, grads, retain_graph, inputs):
    heap, pending = [], {}
    for (node, nr), g in zip(edges, grads, strict=True):
        _send(heap, pending, node, nr, g)

    wanted = needed_nodes = None
    if inputs is not None:
        wanted = {}  # node -> {output number: [positions in inputs]}
        for position, t in enumerate(inputs):
            node = t._node if t._node is not None else accumulator(t)
            wanted.setdefault(node, {}).setdefault(t._output_nr, []).append(position)
        needed_nodes = _reaching([node for node, _ in edges], wanted)
        captured = [None] * len(inputs)

    while heap:
        _, node = heappop(heap)
        grads = pending.pop(node)
        if node.tensor_hooks is not None or node.pre_hooks is not None or type(node) is AccumulateGrad:
            _run_hooks(node, grads)
        if node.retain is not None and wanted is None:
            _retain(node, grads)
        needed = None
        if wanted is not None:
            for nr, positions in wanted.get(node, {}).items():
                for position in positions:
                    captured[position] = grads[nr]
            if type(node) is AccumulateGrad:
                continue
            needed = [edge is not None and edge[0] in needed_nodes for edge in node.edges]
            if not any(needed):
                continue
        if _anomaly_check is None:
            results = node.apply(grads, needed)
        else:
            results = _anomaly_check(node, grads, needed)
        if node.post_hooks is not None:
            results = _run_post_hooks(node, results, grads)
        if not retain_graph:
            node.release()
        slot = 0
        for edge in node.edges:
            g = results[slot]
            slot += 1
            if g is None or edge is None:
                continue
            target, nr = edge
            if needed_nodes is not None and target not in needed_nodes:
                continue
            buffer = pending.get(target)
            if buffer is None:
                if target.num_outputs == 1:
                    pending[target] = [g]
                else:
                    pending[target] = buffer = [None] * target.num_outputs
                    buffer[nr] = g
                heappush(heap, (-target.seq, target))
            elif buffer[nr] is None:
                buffer[nr] = g
            else:
                buffer[nr] = buffer[nr] + g
    return captured if inputs is not None else None


def _send(heap, pending, node, nr, g):
    buffer = pending.get(node)
    if buffer is None:
        pending[node] = buffer = [None] * node.num_outputs
        heappush(heap, (-node.seq, node))
    buffer[nr] = g if buffer[nr] is None else buffer[nr] + g


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
    if hooks is None and type(node) is AccumulateGrad and node.variable._hooks is not None:
        hooks = {0: node.variable._hooks.grad}
    if hooks:
        for nr, fns in hooks.items():
            for fn in tuple(fns.values()):
                if grads[nr] is None:
                    continue
                new = fn(grads[nr])
                if new is not None:
                    if tuple(new.shape) != tuple(grads[nr].shape):
                        raise RuntimeError("hook '%s' has changed the size of value" % getattr(fn, "__name__", "hook"))
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
