"""Autoscaling policy for Ray Serve: the number of replicas by the queued work.

Ray pickles this module by value into its controller, so the module imports nothing from this package.
"""

from __future__ import annotations

import math
from typing import Any

WORK = "work_s"
"""Name of the replicas' metric: seconds of work for one thread, queued and running, of all callers."""


class WaitPolicy:
    """Policy that keeps the estimated wait of a new job at `target_wait_s`.

    `threads` is the number of jobs that one replica runs at the same time. Ray applies the bounds and the delays.
    """

    def __init__(self, target_wait_s: float, threads: int) -> None:
        self._work_s_for_each = target_wait_s * threads

    def __call__(self, ctx: Any) -> tuple[int, dict[str, Any]]:
        """Target number of replicas, and an empty state. `ctx` is Ray's `AutoscalingContext`."""
        said = (ctx.aggregated_metrics or {}).get(WORK) or {}
        if not said:
            return ctx.target_num_replicas, {}
        work_s = max(said.values())  # each replica is told the work of all replicas
        return max(1, math.ceil(work_s / self._work_s_for_each)), {}
