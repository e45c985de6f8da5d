"""Times one workload in one way, in a process of its own: `python -m bench.worker NAME PEER SECONDS`.

Peers: torch, torch.compile, jax, rushlight, rushlight.compile. Prints a JSON object: the median and quartiles of the step's
time in milliseconds, the loss after five steps (from the same seed in all but JAX), the process's peak memory in MB, and how
long the first calls took beyond the time of as many steps.
"""

from __future__ import annotations

import importlib
import json
import resource
import statistics
import sys
import time

from .workloads import WORKLOADS

WARM_UP = 5  # calls; the loss of the last one is compared


def operations(step) -> float:
    """Multiply-adds, times two, of the matrix products and convolutions of one step in rushlight, in GFLOP."""
    from math import prod

    from rushlight import _native

    def recurrent(args, out):  # the product with the previous state; the other one is a `linear`
        return 0

    count = {
        "linear": lambda args, out: out.numel() * args[1].shape[1],
        "mm": lambda args, out: out.numel() * args[0].shape[1],
        "bmm": lambda args, out: out.numel() * args[0].shape[-1],
        "matmul": lambda args, out: out.numel() * args[0].shape[-1],
        "conv": lambda args, out: out.numel() * prod(args[1].shape[1:]),
        "conv_input": lambda args, out: args[0].numel() * prod(args[1].shape[1:]),
        "conv_weight_backward": lambda args, out: args[1].numel() * prod(out.shape[1:]),
    }
    total = 0

    def tracer(op, args, attrs, out):
        nonlocal total
        if op.name in count:
            total += 2 * count[op.name](args, out)

    _native.set_tracer(tracer)
    try:
        step()
    finally:
        _native.set_tracer(None)
    return total * 1e-9


def build(name, peer):
    """step() -> something with .item()"""
    if peer == "jax":
        from .jax_steps import STEPS

        return STEPS[name]()
    library, _, compiled = peer.partition(".")
    workload = next(w for w in WORKLOADS if w.name == name)
    return workload.build(importlib.import_module(library), bool(compiled))


def main() -> None:
    name, peer, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    step = build(name, peer)
    start = time.perf_counter()
    for _ in range(WARM_UP):
        loss = step().item()
    first = time.perf_counter() - start
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        start = time.perf_counter()
        step().item()
        times.append(time.perf_counter() - start)
    times.sort()
    quarter = len(times) // 4
    median = statistics.median(times)
    result = {
        "median_ms": median * 1e3,
        "low_ms": times[quarter] * 1e3,
        "high_ms": times[-1 - quarter] * 1e3,
        "steps": len(times),
        "loss": loss,
        "first_ms": (first - WARM_UP * median) * 1e3,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    if peer == "rushlight":
        result["gflop"] = operations(step)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
