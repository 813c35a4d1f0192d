"""`python -m benchmarks.reliability`: run the scenarios, write docs/reliability.json and docs/reliability.md."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.reliability._bulk import bulk
from benchmarks.reliability._cluster import cluster
from benchmarks.reliability._faults import Facts
from benchmarks.reliability._report import failures, markdown
from benchmarks.reliability._run import measure_capacity, run_scenario
from benchmarks.reliability._scenarios import SCENARIOS
from benchmarks.reliability._soak import repeat, soak

SCENARIO_NAMES = (*SCENARIOS, "bulk", "cluster", "repeat", "soak")
DOCS = Path(__file__).resolve().parent.parent.parent / "docs"


def main() -> int:
    """Run the scenarios. The exit status is 1 if a request was lost, a worker died without a fault, or memory grew."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reliability", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="SCENARIO", help=f"scenarios (default: all): {', '.join(SCENARIO_NAMES)}"
    )
    parser.add_argument(
        "--soak",
        type=float,
        default=900.0,
        metavar="S",
        help="duration of the soak test in seconds, 0 for none (default 900)",
    )
    parser.add_argument(
        "--images", type=int, default=1000, metavar="N", help="images of the killed bulk run (default 1000)"
    )
    parser.add_argument("--kills", type=int, default=3, metavar="N", help="kills of the bulk run (default 3)")
    parser.add_argument(
        "--repeat", type=int, default=10_000, metavar="N", help="repeated requests, 0 for none (default 10000)"
    )
    parser.add_argument(
        "--repeat-limit",
        type=float,
        default=600.0,
        metavar="S",
        help="time limit of the repeated requests in seconds (default 600)",
    )
    parser.add_argument(
        "--capacity", type=float, metavar="N", help="capacity in answers per second (default: measured)"
    )
    parser.add_argument(
        "--share", type=float, default=1.0, metavar="X", help="factor on the duration of each scenario (default 1)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=DOCS / "reliability.json",
        help="JSON file of the results; earlier results of other scenarios are kept",
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(SCENARIO_NAMES):
        parser.error(f"no scenario {', '.join(sorted(unknown))}; have {', '.join(SCENARIO_NAMES)}")
    found: Facts = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}

    def keep(name: str, result: Facts) -> None:
        scenarios = found.setdefault("scenarios", {})
        assert isinstance(scenarios, dict)
        scenarios[name] = {"measured": time.strftime("%Y-%m-%d"), **result}
        found["machine"] = f"{os.cpu_count()} cores of {platform.machine()}, {platform.system()}"
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")
        arguments.out.with_suffix(".md").write_text(markdown(found))
        print(f"{name}: {json.dumps(result)}", file=sys.stderr, flush=True)

    names = arguments.names or SCENARIO_NAMES
    capacity_per_s = 0.0
    if scenarios := [name for name in names if name in SCENARIOS]:
        capacity = measure_capacity(15.0) if arguments.capacity is None else {"images_per_s": arguments.capacity}
        capacity_per_s = float(str(capacity["images_per_s"]))
        print(f"capacity: {capacity}", file=sys.stderr, flush=True)
        if arguments.capacity is None:
            found["capacity"] = capacity
    for name in scenarios:
        try:
            scenario = SCENARIOS[name]
            result = run_scenario(replace(scenario, seconds=arguments.share * scenario.seconds), capacity_per_s)
        except OSError as error:
            result = {"description": SCENARIOS[name].description, "skipped": str(error)}
        keep(name, result)
    if "bulk" in names:
        keep("bulk", bulk(arguments.images, arguments.kills))
    if "cluster" in names:
        try:
            keep("cluster", cluster())
        except OSError as error:  # `TimeoutError` too: a service that does not recover
            if isinstance(error, TimeoutError):
                raise
            keep("cluster", {"skipped": str(error)})
    if arguments.repeat and "repeat" in names:
        keep("repeat", repeat(arguments.repeat, arguments.repeat_limit))
    if arguments.soak and "soak" in names:
        keep("soak", soak(arguments.soak))
    wrong = failures(found)
    print("\n".join(wrong) or "nothing lost", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
