"""Takes every hostile file in one process, under limits, and writes what came of each: `judge REPORT [FOLDER]`.

A process that dies, or one file that takes the memory of all others, is seen by what is missing in the report.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from tests.hostile.files import Case, cases
from tests.models import make_store
from virtual_codec.codec import VirtualCodec
from virtual_codec.errors import VirtualCodecError
from virtual_codec.images import decode
from virtual_codec.jobs import RestoreOptions
from virtual_codec.runner import DirectRunner

MOST_MEMORY_BYTES = 1 << 30  # beside what the process has once it is warm


def main(report: Path, collection: Path | None) -> None:
    """Judge the files that are made by code, or those of a folder."""
    store = make_store(report.parent / "store")
    codec = VirtualCodec(store, DirectRunner())
    codec.warm()
    judged = cases(store.default.id) if collection is None else _collected(collection)
    ceiling = 1024 * _status("VmSize") + MOST_MEMORY_BYTES
    with report.open("w") as lines:
        for case in judged:
            Path("/proc/self/clear_refs").write_text("5")  # the highest resident size is counted anew
            before = _status("VmRSS")
            resource.setrlimit(resource.RLIMIT_AS, (ceiling, resource.RLIM_INFINITY))
            started = time.process_time()
            comes = _judge(codec, case)
            seconds = time.process_time() - started
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            grown = 1024 * (_status("VmHWM") - before)
            lines.write(json.dumps({"name": case.name, "comes": comes, "cpu_s": seconds, "grown_bytes": grown}) + "\n")
            lines.flush()


def _judge(codec: VirtualCodec, case: Case) -> str:
    try:
        if case.restores:
            result = codec.restore(case.file, RestoreOptions())
            return f"{result.width}x{result.height}"
        height, width = decode(case.file).shape[:2]
        return f"{width}x{height}"
    except VirtualCodecError as error:
        return error.code


def _collected(folder: Path) -> list[Case]:
    files = sorted(file for file in folder.iterdir() if file.is_file() and file.suffix != ".tsv")
    return [
        Case(name=file.name, file=file.read_bytes(), comes="", restores=restores)
        for file in files
        for restores in (False, True)
    ]


def _status(field: str) -> int:
    """One of /proc/self/status's sizes, in KiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise AssertionError(f"the kernel tells no {field}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
