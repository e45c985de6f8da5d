"""Times one workload in one way, in a process of its own: `python -m bench.worker NAME PEER [SECONDS]`.

Peers: torch, torch.compile, jax, rushlight, rushlight.compile, floor. Prints {} when it is ready, or null where the peer has no such
step, and then a JSON object: the median and quartiles of the step's time in milliseconds, the loss after five steps (from the
same seed in all but JAX), the process's peak memory in MB, and how long the first calls took beyond the time of as many steps.
Without SECONDS it reads a number of seconds from each line of its input and answers each with such an object.
"""

from __future__ import annotations

import importlib
import json
import resource
import statistics
import sys
import time

from .registry import WORKLOADS
from .workloads import ADAM_READ, ADAM_UPDATED

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


def floor(workload):
    """What takes the least time the machine allows, and how many GFLOP it is: a large product, or for an optimizer the bytes it moves."""
    import rushlight

    if workload.bound == "bandwidth":
        updated, read = (rushlight.ones(int(n) // 4) for n in (ADAM_UPDATED / 2, ADAM_READ))
        return lambda: (updated.mul_(1.0), read.sum())[1], {}
    a, one = rushlight.ones(1024, 1024), rushlight.ones(())
    return lambda: (a @ a, one)[1], {"gflop": 2 * 1024**3 * 1e-9}


def build(name, peer):
    """step() -> something with .item(); None where nobody wrote the step for this peer."""
    if peer == "jax":
        from .jax_networks import STEPS

        return STEPS[name]() if name in STEPS else None
    library, _, compiled = peer.partition(".")
    return WORKLOADS[name].build(importlib.import_module(library), bool(compiled))


def measure(step, seconds, fewest):
    """Steps for that long, at least `fewest`: median and quartiles in milliseconds."""
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < fewest:
        start = time.perf_counter()
        step().item()
        times.append((time.perf_counter() - start) * 1e3)
    times.sort()
    quarter = len(times) // 4
    return {"median_ms": statistics.median(times), "low_ms": times[quarter], "high_ms": times[-1 - quarter], "steps": len(times)}


def main() -> None:
    name, peer, *seconds = sys.argv[1:]
    step, known = floor(WORKLOADS[name]) if peer == "floor" else (build(name, peer), {})
    if step is None:
        return print("null", flush=True)
    start = time.perf_counter()
    for _ in range(WARM_UP):
        loss = step().item()
    first = (time.perf_counter() - start) * 1e3
    known["loss"] = loss
    if peer == "rushlight":
        known["gflop"] = operations(step)
    # The other end says how long to go on, and when; what it has not asked for takes no time from the others.
    print("{}", flush=True)
    for line in seconds or sys.stdin:
        times = measure(step, float(line), 5 if seconds else 2)
        known["first_ms"] = first - WARM_UP * times["median_ms"]
        known["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({**times, **known}), flush=True)


if __name__ == "__main__":
    main()
