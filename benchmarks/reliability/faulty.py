"""Server with injected faults: pictures with a mark crash, hang or exhaust the worker that decodes them.

    python -m benchmarks.reliability.faulty --port 8000

No picture is known that does this to the real decoders. Everything but the marks is the real thing.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import struct
import time
import zlib
from pathlib import Path
from typing import Any, Final, final

from virtual_codec.jobs import Job
from virtual_codec.serving import JobHandler, PoolPolicy, Result, import_from_string, open_pool

CRASH, HANG, MEMORY = b"reliability:crash", b"reliability:hang", b"reliability:memory"
_HEADROOM_BYTES: Final = 64 * 2**20


def marked(png: bytes, mark: bytes, number: int) -> bytes:
    """Add a mark to a PNG in a text chunk, with a number that makes the file unique."""
    text = b"Comment\0" + mark + b" %d" % number
    chunk = struct.pack(">I", len(text)) + b"tEXt" + text + struct.pack(">I", zlib.crc32(b"tEXt" + text))
    return png[:33] + chunk + png[33:]  # behind signature and IHDR


@final
class FaultyHandler:
    """`JobHandler` that injects faults around the real one."""

    def __init__(self, codec: JobHandler) -> None:
        self._codec = codec
        self.notes = getattr(codec, "notes", {})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codec, name)

    def run(self, job: Job) -> Result:
        """Run the job, or inject the fault that its mark names."""
        if CRASH in job.data:
            os.kill(os.getpid(), signal.SIGSEGV)
        if HANG in job.data:
            time.sleep(3600)
        if MEMORY in job.data:
            _exhaust_memory()
        return self._codec.run(job)


def open_faulty(**arguments: object) -> FaultyHandler:
    """Open the handler in a worker."""
    return FaultyHandler(import_from_string("virtual_codec.codec:open_codec")(**arguments))


def _exhaust_memory() -> None:
    """Allocate until a limit of the operating system, which is set to 64 MiB above the worker's present memory."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + _HEADROOM_BYTES, resource.RLIM_INFINITY))
    held = []
    while True:
        held.append(bytearray(2**20))


def main() -> None:
    """Serve as `vcodec serve` does, with workers that inject faults."""
    from virtual_codec.api.server import run
    from virtual_codec.images import ImageLimits
    from virtual_codec.settings import Settings

    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    settings = Settings.load(port=parser.parse_args().port)
    policy = PoolPolicy(
        devices=settings.devices,
        workers_per_device=settings.workers_per_device,
        standby=settings.standby,
        queue_limit_s=settings.queue_limit_s,
        hang_grace_s=settings.hang_grace_s,
    )
    arguments = {"store": settings.model_store, "limits": ImageLimits(), "threads": 1}
    run(settings, open_pool("local", arguments, policy, worker_factory=f"{__package__}.faulty:open_faulty"))


if __name__ == "__main__":
    main()
