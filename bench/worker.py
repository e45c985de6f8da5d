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
