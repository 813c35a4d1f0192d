"""Bulk conversion of folders and object stores: on all workers of a pool, and continued where it was interrupted.

    listing + manifest ──► index ──► read ──► pool ──► write ──► manifest
                                                                    │
                           a later run continues from it ◄──────────┘

A source and a destination are local folders or URLs that fsspec opens. What a destination holds besides outputs lies
in its folder `.vcodec-bulk`: the manifest, a lock and the report of the last run's failures. Memory depends on the
number of workers and the largest images, not on the number of files.
"""

from __future__ import annotations

from virtual_codec.bulk._plan import Plan, Shard, opened_plan
from virtual_codec.bulk._progress import Progress, Totals, printable
from virtual_codec.bulk._run import BulkPolicy, convert_all
from virtual_codec.bulk._verify import verify
from virtual_codec.bulk.storage import Storage, open_storage

__all__ = [
    "BulkPolicy",
    "Plan",
    "Progress",
    "Shard",
    "Storage",
    "Totals",
    "convert_all",
    "open_storage",
    "opened_plan",
    "printable",
    "verify",
]
