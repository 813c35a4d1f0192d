"""Verification of the outputs of earlier runs against the digests in the manifest."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

from virtual_codec.bulk._index import Task
from virtual_codec.bulk._plan import Plan

_THREADS = 8


def verify(plan: Plan) -> int:
    """Read every finished output. Mark missing or altered ones as not done, and return their number."""

    def is_intact(task: Task) -> bool:
        try:
            content = plan.target.read(task.output)
        except FileNotFoundError:
            return False
        return hashlib.sha256(content).hexdigest() == task.output_sha256

    damaged = 0
    with ThreadPoolExecutor(_THREADS) as threads:
        for chunk in plan.index.tasks(done=True, size=64):
            for task, intact in zip(chunk, threads.map(is_intact, chunk), strict=True):
                if not intact:
                    plan.index.forget(task.source)
                    damaged += 1
    return damaged
