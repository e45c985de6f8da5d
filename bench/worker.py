"""Times one workload in one way, in a process of its own: `python -m bench.worker NAME PEER SECONDS`.

Peers: torch, torch.compile, jax, rushlight, rushlight.compile. Prints a JSON object: the median and quartiles of the step's
time in milliseconds, the loss after five steps (from the same seed in all but JAX), the process's peak memory in MB, and how
long the first calls took beyond the time of as many steps. Prints null where the peer has no such step.
"""

from __future__ import annotations

import importlib
import json
import resource
import statistics
import sys
import time

from .registry import WORKLOADS

WARM_UP = 5  # calls; the loss of the last one is compared


def operations(step) -> float:
    """Multiply-adds, times two, of the matrix products and convolutions of one step in rushlight, in GFLOP."""
    from math import prod

    from rushlight import _native

    def recurrent(args, out):  # products with the input and with the previous state
        rows = args[0].numel() // args[0].shape[-1]
        return rows * (args[3].numel() + args[4].numel())

    def recurrent_backward(args, out):  # the previous state's gradient; the other products are ops of their own
        return args[6].shape[0] * args[5].numel()

    def attention(args, out):  # scores and their product with the values
        q, k, v, causal = args[0], args[1], args[2], 0.5 if attrs_of_call["causal"] else 1
        return causal * q.numel() * k.shape[-2] * (1 + v.shape[-1] / q.shape[-1])

    def attention_backward(args, out):  # scores again, and the gradients of scores, q, k and v
        return 2.5 * attention(args[1:], out)

    count = {
        "linear": lambda args, out: out.numel() * args[1].shape[1],
        "mm": lambda args, out: out.numel() * args[0].shape[1],
        "bmm": lambda args, out: out.numel() * args[0].shape[-1],
        "matmul": lambda args, out: out.numel() * args[0].shape[-1],
        "conv": lambda args, out: out.numel() * prod(args[1].shape[1:]),
        "conv_input": lambda args, out: args[0].numel() * prod(args[1].shape[1:]),
        "lstm": recurrent,
        "gru": recurrent,
        "lstm_backward": recurrent_backward,
        "gru_backward": recurrent_backward,
        "scaled_dot_product_attention": attention,
        "scaled_dot_product_attention_backward": attention_backward,
        "conv_weight_backward": lambda args, out: args[1].numel() * prod(out.shape[1:]),
    }
    total, attrs_of_call = 0, {}

    def tracer(op, args, attrs, out):
        nonlocal total, attrs_of_call
        attrs_of_call = attrs
        if op.name in count:
            total += 2 * count[op.name](args, out)

    _native.set_tracer(tracer)
    try:
        step()
    finally:
        _native.set_tracer(None)
    return total * 1e-9


def build(name, peer):
    """step() -> something with .item(); None where nobody wrote the step for this peer."""
    if peer == "jax":
        from .jax_networks import STEPS

        return STEPS[name]() if name in STEPS else None
    library, _, compiled = peer.partition(".")
    return WORKLOADS[name].build(importlib.import_module(library), bool(compiled))


def main() -> None:
    name, peer, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    step = build(name, peer)
    if step is None:
        return print("null")
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
