"""Server with a synthetic device: `vcodec serve` in all but the device.

python -m benchmarks.synthetic_device.server --tile-ms 2 --port 8000
"""

from __future__ import annotations

import argparse

from virtual_codec.api.server import run
from virtual_codec.images import ImageLimits
from virtual_codec.serving import PoolPolicy, open_pool
from virtual_codec.settings import Settings


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tile-ms", type=float, required=True)
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    settings = Settings.load(port=given.port)
    policy = PoolPolicy(
        devices="cpu",
        workers_per_device=settings.workers_per_device,
        threads=settings.threads,
        standby="off",
        queue_limit_s=settings.queue_limit_s,
    )
    arguments = {"store": settings.model_store, "limits": ImageLimits(), "tile_ms": given.tile_ms}
    run(
        settings,
        open_pool("local", arguments, policy, worker_factory="benchmarks.synthetic_device.device:open_synthetic"),
    )


if __name__ == "__main__":
    main()
