"""All workloads, by name."""

from __future__ import annotations

from . import networks, workloads

WORKLOADS = {workload.name: workload for workload in (*workloads.STEPS, *networks.NETWORKS)}
