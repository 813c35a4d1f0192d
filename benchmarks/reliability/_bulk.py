"""Bulk run that is killed with all its processes and continued, compared with an undisturbed run of the same files."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.reliability._faults import Facts
from virtual_codec.load_test import synthetic_png

SIDE: Final = 96
_FOLDERS: Final = 10
_START_LIMIT_S: Final = 600.0
_BULK_FOLDER: Final = ".vcodec-bulk"  # folder of bulk runs in a destination


def bulk(images: int, kills: int) -> Facts:
    """Compress pictures of `SIDE` pixels by `vcodec bulk`, once without a kill and once with `kills`.

    A kill is SIGKILL to the command and its workers, at a moment chosen at random within each equal share of the
    files. Raises `RuntimeError` if a run fails, or ends before it could be killed.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _make_pictures(folder / "source", images)
        start = time.monotonic()
        _finish(folder / "source", folder / "whole")
        whole_s = time.monotonic() - start
        expected = _contents(folder / "whole")
        generator = random.Random(0)  # noqa: S311 - when to kill, not secrets
        share = images // (kills + 1)
        done_at_kills, torn, written_again = [], 0, 0
        before: dict[str, int] = {}
        for kill in range(kills):
            _kill_at(folder / "source", folder / "killed", share * kill + generator.randrange(1, share + 1), generator)
            found = _contents(folder / "killed")
            torn += sum(content != expected.get(output) for output, content in found.items())
            before, now = _write_times(folder / "killed"), before
            written_again += sum(before.get(output) != at for output, at in now.items())
            done_at_kills.append(len(found))
        _finish(folder / "source", folder / "killed")
        after = _write_times(folder / "killed")
        written_again += sum(after.get(output) != at for output, at in before.items())
        found = _contents(folder / "killed")
        return {
            "images": images,
            "side": SIDE,
            "kills": kills,
            "seconds_without": round(whole_s),
            "done_at_kills": done_at_kills,
            "torn_at_kills": torn,
            "missing": len(expected.keys() - found.keys()) + images - len(expected),
            "differing": sum(found[output] != content for output, content in expected.items() if output in found),
            "others": len(found.keys() - expected.keys()),
            "recorded_twice": sum(times > 1 for times in _done_counts(folder / "killed").values()),
            "written_again": written_again,
            "parts_left": len(_unfinished_files(folder / "killed")),
        }


def bulk_failures(it: Mapping[str, Any]) -> list[str]:
    """List the failures of a bulk run as sentences; empty if there are none."""
    wrong = {
        "outputs were torn when it was killed": it["torn_at_kills"],
        "outputs are missing": it["missing"],
        "outputs are others than without kills": it["differing"],
        "files are no outputs": it["others"],
        "outputs are recorded as done twice": it["recorded_twice"],
        "unfinished files are left": it["parts_left"],
    }
    return [f"bulk: {count} {what}" for what, count in wrong.items() if count]


def bulk_section(it: Mapping[str, Any]) -> list[str]:
    """Lines of the page about a bulk run."""
    kills = ", ".join(map(str, it["done_at_kills"]))
    return [
        "## Bulk runs that are killed",
        "",
        (
            f"`vcodec bulk compress` of {it['images']} pictures of {it['side']}x{it['side']} pixels was killed "
            f"{it['kills']} times by SIGKILL, with its workers, after {kills} outputs. The same command continued it. "
            f"Compared with a run without kills ({it['seconds_without']} s), {it['missing']} outputs are missing, "
            f"{it['differing']} have other bytes, and {it['others']} files are additional. {it['torn_at_kills']} "
            f"outputs were incomplete at a kill, {it['parts_left']} unfinished files are left, and "
            f"{it['recorded_twice']} outputs are recorded twice. {it['written_again']} outputs that were written but "
            "not yet recorded at a kill were written again."
        ),
        "",
    ]


def _make_pictures(folder: Path, count: int) -> None:
    for number in range(count):
        path = folder / f"{number % _FOLDERS}" / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(synthetic_png(SIDE, SIDE, seed=number))


@contextlib.contextmanager
def _bulk_process(source: Path, target: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run `vcodec bulk compress` in a process group of its own, and kill the group after the block if it still runs."""
    command = [sys.executable, "-m", "virtual_codec", "bulk", "compress", str(source), str(target), "--quiet"]
    process = subprocess.Popen(command, env=os.environ | {"VCODEC_DEVICES": "cpu"}, start_new_session=True)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _finish(source: Path, target: Path) -> None:
    with _bulk_process(source, target) as process:
        if status := process.wait():
            raise RuntimeError(f"vcodec bulk ended with status {status}")


def _kill_at(source: Path, target: Path, outputs: int, generator: random.Random) -> None:
    """Begin or continue a run, and kill it soon after a number of outputs exists."""
    with _bulk_process(source, target) as process:
        end = time.monotonic() + _START_LIMIT_S
        while len(_files(target)) < outputs:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(
                    f"vcodec bulk made {len(_files(target))} outputs, and not the {outputs} to kill it at"
                )
            time.sleep(0.02)
        time.sleep(generator.uniform(0, 0.2))
        if process.poll() is not None:
            raise RuntimeError("vcodec bulk ended before it could be killed")


def _files(target: Path) -> list[Path]:
    found = (path for path in target.rglob("*") if path.is_file())
    return [path for path in found if path.relative_to(target).parts[0] != _BULK_FOLDER]


def _contents(target: Path) -> dict[str, bytes]:
    return {str(path.relative_to(target)): path.read_bytes() for path in _files(target)}


def _write_times(target: Path) -> dict[str, int]:
    """Time at which each output was written, in nanoseconds."""
    return {str(path.relative_to(target)): path.stat().st_mtime_ns for path in _files(target)}


def _unfinished_files(target: Path) -> list[Path]:
    return [path for path in (target / _BULK_FOLDER / "parts").rglob("*") if path.is_file()]


def _done_counts(target: Path) -> Counter[str]:
    """Number of `done` records of each output in the manifest."""
    lines = (line for log in (target / _BULK_FOLDER / "manifest").iterdir() for line in log.read_bytes().splitlines())
    events = (json.loads(line) for line in lines if line.endswith(b"}"))  # a kill may leave half a line
    return Counter(event["output"] for event in events if event["event"] == "done")
