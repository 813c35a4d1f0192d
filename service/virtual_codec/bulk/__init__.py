"""Bulk conversion of folders and object stores, on all workers of a pool. An interrupted run can be continued.

    listing + manifest ──► index ──► read ──► pool ──► write ──► manifest
                                                                    │
                           a later run continues from it ◄──────────┘

Source and destination are local folders or URLs that fsspec opens. The destination's folder `.vcodec-bulk` holds the
manifest, a lock and the report of the last run's failures. Memory depends on the number of workers and on the largest
images, not on the number of files.
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
