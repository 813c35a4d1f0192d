"""`python -m benchmarks.device --device cuda --out page.md`: what a device does bare, and what the service gets of it.

Networks of the store's default model run alone on batches; then a server of this machine's own answers closed loops of
clients through HTTP, loses a worker under load, and its restored pictures are compared with the processor's. Options
make it smaller; it runs on a processor, too.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from benchmarks.device.networks import largest_difference, network_speeds
from benchmarks.device.page import page
from benchmarks.device.service import load_with_a_kill, loads, metrics_of, questions_of, wait_until_ready
from virtual_codec.load_test import temporary_server
from virtual_codec.store import default_model_store


def main(argv: list[str] | None = None) -> int:
    """Measure, and write the page."""
    arguments = _parser().parse_args(argv)
    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    root = arguments.model_store
    sides, clients = _numbers(arguments.sides), _numbers(arguments.clients)
    speeds = network_speeds(root, device, sides, _numbers(arguments.batches), arguments.seconds / 5)
    notes = {"largest difference from the processor": f"{largest_difference(root, device, sides[0])} levels of 255"}
    results = []
    environment = {"VCODEC_DEVICES": device, "VCODEC_MODEL_STORE": str(root)}
    with temporary_server(environment=environment) as (url, server):
        for side in sides:
            results += loads(url, questions_of(url, side, arguments.formats.split(",")), clients, arguments.seconds)
        if device.startswith("cuda"):
            free, total = torch.cuda.mem_get_info(device)
            notes["device memory in use"] = f"{(total - free) / 2**30:.1f} GiB of {total / 2**30:.0f}"
        metrics = metrics_of(url)
        _, restore = questions_of(url, sides[0], ["png"])
        results.append(load_with_a_kill(url, restore, server, max(clients), max(2.0, arguments.seconds)))
        notes["ready again after the kill"] = f"{wait_until_ready(url):.1f} s"
    batches = metrics.get("vcodec_batches_total", 0.0)
    notes["mean batch"] = (
        f"{metrics.get('vcodec_batch_items_sum', 0.0) / batches:.2f} tiles" if batches else "no batches"
    )
    notes["out of memory"] = f"{metrics.get('vcodec_device_oom_total', 0.0):.0f} times"
    command = " ".join(["python -m benchmarks.device", *(argv if argv is not None else sys.argv[1:])])
    arguments.out.write_text(page(device, command, speeds, results, notes), encoding="utf-8")
    print(arguments.out)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.device", description=__doc__.partition("\n")[0])
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda or cuda:N (default: cuda if available)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="page to write")
    parser.add_argument("--model-store", type=Path, default=default_model_store(), metavar="DIR")
    parser.add_argument(
        "--sides", default="512,2048", metavar="N,...", help="sides of the square pictures in pixels (default 512,2048)"
    )
    parser.add_argument("--clients", default="1,16,64", metavar="N,...", help="numbers of clients (default 1,16,64)")
    parser.add_argument(
        "--batches", default="1,4,16", metavar="N,...", help="batch sizes of the bare networks (default 1,4,16)"
    )
    parser.add_argument(
        "--formats",
        default="png,webp,bmp",
        metavar="NAME,...",
        help="formats of restored images (default png,webp,bmp)",
    )
    parser.add_argument(
        "--seconds", type=float, default=5.0, metavar="S", help="duration of each load in seconds (default 5)"
    )
    return parser


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
