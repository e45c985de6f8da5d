"""`make bench`: training steps in rushlight and PyTorch, alternating in fresh processes; prints ratios, writes JSON.

Absolute times depend on the machine and on the minute; the ratios of one run are what counts. Beside each step stands
the fraction of the machine's floor it reaches: the operations of its products and convolutions over the fastest matrix
product measured in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from .workloads import WORKLOADS

LIBRARIES = ("torch", "rushlight")


def measure(name, library, seconds):
    """One fresh process."""
    out = subprocess.run([sys.executable, "-m", "bench.worker", name, library, str(seconds)], capture_output=True, text=True)
    if out.returncode:
        raise SystemExit(f"{name} on {library} failed:\n{out.stderr}")
    return json.loads(out.stdout.splitlines()[-1])


def gemm_peak() -> float:
    """GFLOP/s of the fastest 1024-cube product in rushlight."""
    code = (
        "import rushlight as T, time\n"
        "a = T.ones(1024, 1024); best = 9\n"
        "for _ in range(40):\n"
        "    s = time.perf_counter(); a @ a; best = min(best, time.perf_counter() - s)\n"
        "print(2 * 1024**3 / best / 1e9)"
    )
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def compare(workload, rounds, seconds):
    """Alternating runs; the ratio of each round, and the medians of all."""
    runs = {library: [] for library in LIBRARIES}
    for _ in range(rounds):
        for library in LIBRARIES:
            runs[library].append(measure(workload.name, library, seconds))
    ratios = [t["median_ms"] / r["median_ms"] for t, r in zip(runs["torch"], runs["rushlight"], strict=True)]
    ours = statistics.median(r["median_ms"] for r in runs["rushlight"])
    return {
        "name": workload.name,
        "torch_ms": statistics.median(r["median_ms"] for r in runs["torch"]),
        "rushlight_ms": ours,
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
        "gflop": runs["rushlight"][0]["gflop"],
        "torch_mb": max(r["peak_mb"] for r in runs["torch"]),
        "rushlight_mb": max(r["peak_mb"] for r in runs["rushlight"]),
        "losses_agree": abs(runs["torch"][0]["loss"] - runs["rushlight"][0]["loss"]) < 1e-3,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, small workloads only")
    parser.add_argument("--only", nargs="*", help="names of workloads")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"))
    args = parser.parse_args()
    rounds, seconds = (2, 1.0) if args.quick else (5, 2.0)
    chosen = [w for w in WORKLOADS if (w.quick or not args.quick) and (not args.only or w.name in args.only)]
    peak = gemm_peak()
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; fastest matrix product {peak:.0f} GFLOP/s")
    print(f"{'training step':<18}{'PyTorch ms':>12}{'rushlight ms':>14}{'ratio':>8}  {'(lowest-highest)':<18}{'of peak':>8}"
          f"{'MB':>12}")  # fmt: skip
    rows = []
    for workload in chosen:
        row = compare(workload, rounds, seconds)
        row["peak_fraction"] = row["gflop"] / (row["rushlight_ms"] * 1e-3) / peak
        rows.append(row)
        note = "" if row["losses_agree"] else "   LOSSES DIFFER"
        print(f"{row['name']:<18}{row['torch_ms']:>12.3f}{row['rushlight_ms']:>14.3f}{row['ratio']:>7.2f}x  "
              f"({row['ratio_low']:.2f}-{row['ratio_high']:.2f}){'':<6}{row['peak_fraction']:>8.0%}"
              f"{row['torch_mb']:>6.0f}/{row['rushlight_mb']:.0f}{note}")  # fmt: skip
    mean = statistics.geometric_mean(r["ratio"] for r in rows)
    print(f"geometric mean: {mean:.2f} times as fast as PyTorch eager")
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps({"time": time.strftime("%Y-%m-%d %H:%M"), "gemm_gflops": peak, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
