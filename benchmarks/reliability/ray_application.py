"""Deployment of the service as by `serve run`, with an update for each further line of settings.

    python -m benchmarks.reliability.ray_application HEAD_ADDRESS PORT < lines of JSON

Each line of standard input holds settings of `virtual_codec.serving.ray:app`; a line of output says that they are
deployed. The application ends with standard input.
"""

from __future__ import annotations

import json
import sys


def main() -> None:
    """Deploy on the cluster at an address, with a proxy on the head and on every node with a replica."""
    import ray
    from ray import serve

    from virtual_codec.serving.ray import app

    address, port = sys.argv[1:]
    ray.init(address=address, log_to_driver=False)
    serve.start(proxy_location="EveryNode", http_options={"host": "0.0.0.0", "port": int(port)})
    try:
        for line in sys.stdin:
            serve.run(app(json.loads(line)))
            print("deployed", flush=True)
    finally:
        serve.shutdown()
        ray.shutdown()


if __name__ == "__main__":
    main()
