"""Bulk runs as tests begin them: in this process, or as a program of its own that can be killed."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.bulk.fakes import OPEN, FakePool
from tests.pictures import saved, scene
from virtual_codec.bulk import BulkPolicy, Progress, Totals, convert_all, open_storage, opened_plan, verify
from virtual_codec.images import ImageLimits
from virtual_codec.jobs import CompressOptions
from virtual_codec.serving import Pool, PoolPolicy
from virtual_codec.serving._local import LocalPool

PNG = frozenset({".png"})


def make_images(folder: Path, count: int, *, width: int = 8) -> dict[str, bytes]:
    """Small PNGs at two depths, each different: their outputs by name."""
    outputs = {}
    for number in range(count):
        name = f"{'deep/' if number % 3 == 0 else ''}{number:03}.png"
        content = saved(scene(4, width, seed=number))
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        outputs[name.replace(".png", ".jpg")] = content[::-1]
    return outputs


def contents(folder: Path) -> dict[str, bytes]:
    """Everything a destination holds but for what runs keep for themselves."""
    files = (path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: path.read_bytes() for name, path in names.items() if not name.startswith(".vcodec-bulk/")}


def run(
    source: Path | str,
    target: Path | str,
    pool: Pool | None = None,
    *,
    quality: int | None = None,
    verifies: bool = False,
    policy: BulkPolicy | None = None,
    **planned: Any,
) -> Totals:
    """One run of `vcodec bulk compress` without its command line."""
    options = CompressOptions(quality=quality, model="0a1b2c3d")
    given: Mapping[str, Any] = {"taken": PNG, "suffix": ".jpg"} | planned
    with opened_plan(open_storage(str(source)), open_storage(str(target)), options, **given) as plan:
        if verifies:
            verify(plan)
        (left, _), (kept, _) = plan.index.count(done=False), plan.index.count(done=True)
        progress = Progress(total=left + kept, kept=kept, is_json=False, is_quiet=True, shows_bar=False)
        convert_all(plan, pool or FakePool(), progress, limits=ImageLimits(), policy=policy)
        return progress.totals


if __name__ == "__main__":
    source, target, log = sys.argv[1:]
    workers = PoolPolicy(devices="cpu", workers_per_device=2, threads=1, standby="off", queue_limit_s=1e9)
    run(source, target, LocalPool(OPEN, {"delay_s": 0.02, "log": Path(log)}, workers))
