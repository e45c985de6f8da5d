"""Times one workload in one library, in a process of its own: `python -m bench.worker NAME LIBRARY SECONDS`.

Prints a JSON object: the median and quartiles of the step's time in milliseconds, the loss at the end (both libraries
start from the same seed, so it must agree), and the process's peak memory in MB.
"""

from __future__ import annotations

import importlib
import json
import resource
import statistics
import sys
import time

from .workloads import WORKLOADS


def operations(step) -> float:
    """Multiply-adds, times two, of the matrix products and convolutions of one step in rushlight, in GFLOP."""
    from math import prod

    from rushlight import _native

    count = {
        "linear": lambda args, out: out.numel() * args[1].shape[1],
        "mm": lambda args, out: out.numel() * args[0].shape[1],
        "bmm": lambda args, out: out.numel() * args[0].shape[-1],
        "conv": lambda args, out: out.numel() * prod(args[1].shape[1:]),
        "conv_input": lambda args, out: args[0].numel() * prod(args[1].shape[1:]),
        "conv_weight_backward": lambda args, out: args[1].numel() * prod(out.shape[1:]),
    }
    for kind in ("lstm", "gru", "rnn_tanh", "rnn_relu"):  # arguments: x, h, c, w_ih, w_hh, …; g, gh, gc, h, c, w_hh, gates, …
        count[kind] = lambda args, out: args[0].numel() // args[0].shape[-1] * (args[3].numel() + args[4].numel())
        count[f"{kind}_backward"] = lambda args, out: args[6].shape[0] * args[5].numel()
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


def main() -> None:
    name, library, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    T = importlib.import_module(library)
    workload = next(w for w in WORKLOADS if w.name == name)
    step = workload.build(T)
    for _ in range(5):  # the allocator's and the CPU's warm-up; the fifth loss is the one compared
        loss = step()
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    times.sort()
    quarter = len(times) // 4
    result = {
        "gflop": operations(step) if library == "rushlight" else None,
        "median_ms": statistics.median(times) * 1e3,
        "low_ms": times[quarter] * 1e3,
        "high_ms": times[-1 - quarter] * 1e3,
        "steps": len(times),
        "loss": loss,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
