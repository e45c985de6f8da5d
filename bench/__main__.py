"""`make bench`: training steps in rushlight, PyTorch and JAX, alternating in fresh processes; prints ratios, writes JSON.
`make bench-others` does the same with about a hundred other networks (bench/networks).

Absolute times depend on the machine and on the minute; the ratios of one run are what counts. Beside each step stands
the fraction of the machine's floor it reaches: the time that its products and convolutions would take at the speed of a large
matrix product, or its bytes at that of walking through arrays.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .registry import WORKLOADS

PEERS = ("torch", "torch.compile", "jax")
OURS = ("rushlight", "rushlight.compile")
FLOOR = "floor"  # takes its turn like a peer: the least time that the machine allows, measured in the same minutes


class Worker:
    """One peer's process, waiting to be asked. `ready` is False where the peer cannot run the step or has none."""

    def __init__(self, name, peer):
        self.what = f"{name} on {peer}"
        self.errors = tempfile.TemporaryFile("w+")
        command = [sys.executable, "-m", "bench.worker", name, peer]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
                                        start_new_session=True)  # fmt: skip
        try:
            self.ready = self._answer() is not None
        except ChildProcessError as error:
            if peer in (*OURS, FLOOR, "torch"):
                raise SystemExit(str(error)) from None
            print(str(error).replace("\n", " ")[-300:], file=sys.stderr)
            self.ready = False
            self._kill()

    def _answer(self):
        for line in self.process.stdout:
            if line.startswith(("{", "null")):  # libraries print things of their own
                return json.loads(line)
        self.errors.seek(0)
        raise ChildProcessError(f"{self.what} failed:\n{self.errors.read()}")

    def measure(self, seconds):
        print(seconds, file=self.process.stdin, flush=True)
        try:
            return self._answer()
        except ChildProcessError as error:
            raise SystemExit(str(error)) from None

    def _kill(self):
        """Ends what the process has started: compilers go on in the background, and take time from those that are measured."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self._kill()
        self.errors.close()


def one_round(name, peers, slices, seconds):
    """Fresh processes, all alive, of which one at a time runs for a slice: {peer: [slice, ...]}."""
    workers = {}
    try:
        for peer in peers:
            workers[peer] = Worker(name, peer)
        ready = {peer: worker for peer, worker in workers.items() if worker.ready}
        seen = {peer: [] for peer in ready}
        for _ in range(slices):
            for peer, worker in ready.items():
                seen[peer].append(worker.measure(seconds / slices))
        return seen
    finally:
        for worker in workers.values():
            worker.close()


def compare(workload, peers, rounds, slices, seconds):
    """Medians over all slices; each slice's ratio is against the best peer beside it. None where no peer has the step."""
    seen = [one_round(workload.name, (*peers, *OURS, FLOOR), slices, seconds) for _ in range(rounds)]
    seen = [{peer: r[peer] for peer in r if all(peer in other for other in seen)} for r in seen]
    runs = {peer: [s for r in seen for s in r[peer]] for peer in seen[0]}
    floors = runs.pop(FLOOR)
    ms = {peer: statistics.median(s["median_ms"] for s in slices_of) for peer, slices_of in runs.items()}
    others = [peer for peer in runs if peer not in OURS]
    if not others:
        return None
    best = min(others, key=ms.get)
    own = "rushlight.compile"
    by_round = [[min(r[p][i]["median_ms"] for p in others) / r[own][i]["median_ms"] for i in range(slices)] for r in seen]
    gflop = runs["rushlight"][0]["gflop"]
    steps = gflop / floors[0]["gflop"] if "gflop" in floors[0] else 1  # how many times the floor's work the workload's is
    fractions = [steps * f["median_ms"] / s["median_ms"] for f, s in zip(floors, runs[own], strict=True)]
    own_numbers = {"jax", "torch.compile"} if workload.draws else {"jax"}
    losses = [r[0]["loss"] for peer, r in runs.items() if peer not in own_numbers]
    return {
        "name": workload.name,
        "ms": ms,
        "best_peer": best,
        "ratio": statistics.median(sum(by_round, [])),
        "ratio_low": min(map(statistics.median, by_round)),
        "ratio_high": max(map(statistics.median, by_round)),
        "eager_ratio": ms.get("torch", math.nan) / ms["rushlight"],
        "gflop": gflop,
        "floor_ms": steps * statistics.median(f["median_ms"] for f in floors),
        "floor_fraction": statistics.median(fractions),
        "mb": {peer: max(r["peak_mb"] for r in slices_of) for peer, slices_of in runs.items()},
        "first_ms": {peer: statistics.median(r["first_ms"] for r in slices_of) for peer, slices_of in runs.items()},
        "loss": {peer: r[0]["loss"] for peer, r in runs.items()},
        "losses_agree": max(losses) - min(losses) < 1e-3 + 1e-3 * abs(losses[0]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round of the small workloads, PyTorch eager and JAX only")
    parser.add_argument("--others", action="store_true", help="other networks instead of the twelve steps")
    parser.add_argument("--only", nargs="*", help="names of workloads")
    parser.add_argument("--peers", nargs="*", default=None, choices=PEERS)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of each process in a round")
    parser.add_argument("--slices", type=int, default=6, help="turns that each process takes in a round")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"))
    args = parser.parse_args()
    rounds, seconds = args.rounds or (1 if args.quick else 3), args.seconds or (1.0 if args.quick else 1.5)
    peers = args.peers or (("torch", "jax") if args.quick else PEERS)
    if importlib.util.find_spec("jax") is None:
        peers = tuple(p for p in peers if p != "jax")
    if unknown := set(args.only or ()) - set(WORKLOADS):
        parser.error(f"no such workload: {', '.join(sorted(unknown))}")
    if args.slices < 1:
        parser.error("a process needs at least one turn in a round: --slices 1 or more")
    group = [w for w in WORKLOADS.values() if w.group == ("others" if args.others else "steps") and (w.quick or not args.quick)]
    chosen = [WORKLOADS[name] for name in args.only] if args.only else group
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    columns = (*peers, *OURS)
    heads = "".join(f"{c:>18}" for c in columns)
    print(f"{'milliseconds a step':<20}{heads}{'ratio':>8} {'(low-high)':<13}{'eager':>7}{'floor':>7}{'MB':>12}")
    rows = []
    for workload in chosen:
        row = compare(workload, peers, rounds, args.slices, seconds)
        if row is None:
            print(f"{workload.name:<20}{'-':>18}", flush=True)
            continue
        rows.append(row)
        cells = "".join(f"{row['ms'][c]:>18.3f}" if c in row["ms"] else f"{'-':>18}" for c in columns)
        spread = f"({row['ratio_low']:.2f}-{row['ratio_high']:.2f})"
        note = "" if row["losses_agree"] else "   LOSSES DIFFER"
        print(f"{row['name']:<20}{cells}{row['ratio']:>7.2f}x {spread:<13}{row['eager_ratio']:>6.2f}x{row['floor_fraction']:>7.0%}"
              f"{row['mb'].get('torch', math.nan):>7.0f}/{row['mb']['rushlight.compile']:.0f}{note}", flush=True)  # fmt: skip
    if not rows:
        return
    mean = statistics.geometric_mean(r["ratio"] for r in rows)
    print(f"geometric mean: {mean:.2f} times as fast as the best of the others "
          f"({statistics.geometric_mean(r['eager_ratio'] for r in rows):.2f} eager against eager)")  # fmt: skip
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps({"time": time.strftime("%Y-%m-%d %H:%M"), "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
