"""Everything that is fuzzed, for as long as wanted, one after the other. Exit status 1 after a finding.

guided by coverage: image, stream, request ──► options ──► one server: http, socket, contract ──► findings
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from random import Random

from tests.fuzz.campaign import fuzz_contract, fuzz_images, fuzz_options, fuzz_sockets, fuzz_target
from tests.fuzz.server import serving
from tests.fuzz.targets import TARGETS

_SHARES = {"image": 0.35, "stream": 0.1, "request": 0.1, "options": 0.05, "http": 0.25, "socket": 0.15}


def main() -> int:
    """Fuzz as the arguments say. Returns the exit status."""
    wish = _arguments()
    random = Random(wish.seed)
    started = time.time()
    minutes = wish.minutes if wish.seconds is None else wish.seconds / 60
    parts = wish.only or [*_SHARES, "contract"]
    total = sum(_SHARES.get(part, 0) for part in parts) or 1.0
    seconds = {part: int(60 * minutes * _SHARES.get(part, 0) / total) for part in parts}
    print(f"seed {wish.seed}", flush=True)
    for target in (target for target in TARGETS if target in parts):
        print(f"{target}: {fuzz_target(target, seconds[target], wish.out, random)}", flush=True)
    if "options" in parts:
        print(f"options: {fuzz_options(seconds['options'], wish.out, random)}", flush=True)
    if {"http", "socket", "contract"} & set(parts):
        with serving(wish.out / "server", port=wish.port) as served:
            if "http" in parts:
                print(f"http: {fuzz_images(served, seconds['http'], wish.out, random)}", flush=True)
            if "socket" in parts:
                print(f"socket: {fuzz_sockets(served, seconds['socket'], wish.out, random)}", flush=True)
            if "contract" in parts:
                print(f"contract: {fuzz_contract(served, wish.cases, wish.out, random)}", flush=True)
    files = [path for path in wish.out.glob("*-*") if path.is_file()]
    findings = sorted(path.name for path in files if path.stat().st_mtime >= started)
    print(f"{len(findings)} files of findings in {wish.out}/ {' '.join(findings)}".rstrip())
    if before := len(files) - len(findings):
        print(f"and {before} of runs before this one")
    return 1 if findings else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--minutes", type=float, default=30, help="in total, but for the contract (30)")
    parser.add_argument("--seconds", type=float, help="the same in seconds")
    parser.add_argument("--cases", type=int, default=1_000, help="requests to each route of the contract (1000)")
    parser.add_argument("--out", type=Path, default=Path("fuzz-findings"), help="folder of findings (fuzz-findings)")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32, help="of what is not guided")
    parser.add_argument("--port", type=int, default=0, help="of the service that is fuzzed (any free one)")
    parser.add_argument("--only", choices=[*_SHARES, "contract"], action="append", help="this part; may be repeated")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
