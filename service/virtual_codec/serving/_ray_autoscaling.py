"""Number of replicas that the waiting work needs: a policy for Ray Serve's autoscaler.

Ray pickles this module by value into its controller, so it imports nothing of ours.
"""

from __future__ import annotations

import math
from typing import Any

WORK = "work_s"
"""Name of the replicas' metric: seconds of work for one thread, queued and running, of all callers."""


class WaitPolicy:
    """Policy: as many replicas as keep the estimated wait of a new job at `target_wait_s`.

    `threads` is the number of jobs that one replica does at a time. Ray applies the bounds and the delays.
    """

    def __init__(self, target_wait_s: float, threads: int) -> None:
        self._work_s_for_each = target_wait_s * threads

    def __call__(self, ctx: Any) -> tuple[int, dict[str, Any]]:
        """Number of replicas that is needed, and no state. `ctx` is Ray's `AutoscalingContext`."""
        said = (ctx.aggregated_metrics or {}).get(WORK) or {}
        if not said:
            return ctx.target_num_replicas, {}
        work_s = max(said.values())  # each replica is told of all work
        return max(1, math.ceil(work_s / self._work_s_for_each)), {}
