"""Server with a synthetic device, otherwise the same as `vcodec serve`.

python -m benchmarks.synthetic_device.server --batch-ms 2 --port 8000
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Final

from virtual_codec.api.server import run
from virtual_codec.images import ImageLimits
from virtual_codec.serving import PoolPolicy, open_pool
from virtual_codec.settings import Settings

_FACTORIES: Final = "benchmarks.synthetic_device.device"


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch-ms", type=float, required=True)
    parser.add_argument("--whole-workers", action="store_true", help="let each worker open the device itself")
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    settings = Settings.load(port=given.port)
    policy = PoolPolicy(
        devices="synthetic:0",
        workers_per_device=settings.workers_per_device,
        threads=settings.threads,
        standby="off",
        queue_limit_s=settings.queue_limit_s,
        device_factory=None if given.whole_workers else f"{_FACTORIES}:open_synthetic_process",
    )
    arguments: dict[str, object] = {"store": settings.model_store, "limits": ImageLimits(), "batch_ms": given.batch_ms}
    with tempfile.NamedTemporaryFile() as turn:
        if given.whole_workers:
            arguments["turn"] = Path(turn.name)
        run(settings, open_pool("local", arguments, policy, worker_factory=f"{_FACTORIES}:open_synthetic"))


if __name__ == "__main__":
    main()
