"""Comparison of this service with other servers: one model, one machine, one run.

    python -m benchmarks.serving_comparison

benchmarks/README.md states the requirements and the duration. Measured parts replace those in earlier results, so the
comparison can be made in several runs: `--parts choose 512x512`, then `--parts mixed`, and so on.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.servers import trials
from benchmarks.servers.bare import Bare, bare
from benchmarks.servers.contenders import BARE, CONTENDERS, CORES, OURS, VARIANTS, Contender, Served, Variant, installed
from benchmarks.servers.contenders import serving as _serving
from benchmarks.servers.material import Material, material, pictures
from benchmarks.servers.page import write_page
from benchmarks.servers.trials import LIMIT_S, Row
from virtual_codec.load_test import LoadProfile

CLIENTS = (1, 4, 16, 64)
PARTS = ("choose", "512x512", "mixed", "compress", "overload", "poison", "kill")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument(
        "--systems",
        nargs="+",
        choices=[each.name for each in CONTENDERS],
        help="servers (default: all that are installed)",
    )
    parser.add_argument(
        "--seconds", type=float, default=8.0, help="duration of each measurement in seconds (default 8)"
    )
    parser.add_argument("--images", type=Path, help="folder of images to crop (default: synthetic pictures)")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("docs/results/serving.json"),
        help="JSON file of the results, with a CSV file beside it",
    )
    parser.add_argument("--page", type=Path, default=Path("docs/serving-benchmark.md"), help="Markdown page to write")
    arguments = parser.parse_args()
    comparison = Comparison(arguments)
    for part in arguments.parts:
        say(f"== {part}")
        rows = comparison.parts[part]()
        comparison.keep(part, rows)
    write_page(json.loads(arguments.out.read_text()), arguments.page)
    say(f"wrote {arguments.page}")
    return 0


class Comparison:
    """Parts of the comparison, and the results so far."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._out: Path = arguments.out
        self._seconds: float = arguments.seconds
        self._images: Path | None = arguments.images
        wanted = arguments.systems or [it.name for it in CONTENDERS]
        self._contenders = [it for it in CONTENDERS if it.name in wanted and installed(it)]
        for contender in CONTENDERS:
            if contender not in self._contenders:
                say(f"without {contender.name}: not installed, or not asked for")
        self._results: dict[str, Any] = {"rows": [], "chosen": {}}
        if self._out.exists():
            self._results = json.loads(self._out.read_text())
        self._streams: dict[str, Material] = {}
        self.parts: dict[str, Callable[[], list[Row]]] = {
            "choose": self._choose,
            "512x512": lambda: self._side_by_side("512x512"),
            "mixed": lambda: self._side_by_side("mixed"),
            "compress": self._compress,
            "overload": self._overload,
            "poison": self._poison,
            "kill": self._kill,
        }

    def keep(self, part: str, rows: Sequence[Row]) -> None:
        """Replace earlier rows of the part, and write the results."""
        measured = {row.system for row in rows}
        self._results["rows"] = [
            row for row in self._results["rows"] if row["trial"] != part or row["system"] not in measured
        ] + [asdict(row) for row in rows]
        self._results["machine"] = machine()
        self._results["versions"] = {it.name: installed(it) for it in CONTENDERS}
        when = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
        self._results.setdefault("measured", {})[part] = {"at": when, "commit": commit(), "load_average": load()}
        self._out.parent.mkdir(parents=True, exist_ok=True)
        self._out.write_text(json.dumps(self._results, indent=1) + "\n")

    def _choose(self) -> list[Row]:
        """Choose the variant of each server with the higher throughput."""
        rows: list[Row] = []
        streams = self._streams_of("512x512")
        for variant in VARIANTS:
            with bare(variant) as limit:
                rows.append(self._bare_row("choose", limit, variant, streams))
            for contender in self._contenders:
                if contender.name != OURS:
                    with serving(contender, variant) as served:
                        figures = trials.throughput(served, streams.requests, clients=16, seconds=self._seconds)
                    rows.append(note(Row(trial="choose", system=contender.name, variant=str(variant), figures=figures)))
        for name in {row.system for row in rows}:
            best = max((row for row in rows if row.system == name), key=lambda row: row.figures["images_per_s"])
            self._results["chosen"][name] = best.variant
        return rows

    def _side_by_side(self, part: str) -> list[Row]:
        """Measure all servers in turn while all run, so that other load on the machine affects all of them."""
        streams = self._streams_of(part)
        rows: list[Row] = []
        with contextlib.ExitStack() as stack:
            limit = stack.enter_context(bare(self._variant(BARE)))
            single = limit if self._variant(BARE) == VARIANTS[-1] else stack.enter_context(bare(VARIANTS[-1]))
            up = [stack.enter_context(serving(it, self._variant_of(it))) for it in self._contenders]
            rows.append(self._bare_row(part, limit, self._variant(BARE), streams))
            for clients in CLIENTS:
                if clients == 1:
                    rows.append(self._bare_row(part, single, VARIANTS[-1], streams, alone=True))
                for served in up:
                    figures = trials.throughput(served, streams.requests, clients=clients, seconds=self._seconds)
                    rows.append(self._row(part, served.contender, figures))
                up = up[1:] + up[:1]
            rows.append(self._bare_row(part, limit, self._variant(BARE), streams))
        return rows

    def _compress(self) -> list[Row]:
        images = material(pictures("512x512", self._images), "compress")
        rows: list[Row] = []
        with contextlib.ExitStack() as stack:
            limit = stack.enter_context(bare(self._variant(BARE), task="compress"))
            up = [stack.enter_context(serving(it, self._variant_of(it), task="compress")) for it in self._contenders]
            rows.append(self._bare_row("compress", limit, self._variant(BARE), images))
            for clients in (1, 16):
                for served in up:
                    figures = trials.throughput(served, images.requests, clients=clients, seconds=self._seconds)
                    rows.append(self._row("compress", served.contender, figures))
        return rows

    def _overload(self) -> list[Row]:
        return self._one_by_one("overload", lambda it, of: trials.overload(it, of, seconds=2 * self._seconds), LIMIT_S)

    def _poison(self) -> list[Row]:
        def run(served: Served, requests: Sequence[Any]) -> dict[str, Any]:
            return trials.poison(served, requests, seconds=self._seconds)

        rows = self._one_by_one("poison", run)
        for contender in self._contenders:
            if contender.can_batch:
                with serving(contender, self._variant_of(contender), batch=4) as served:
                    figures = run(served, self._streams_of("512x512").requests)
                rows.append(note(Row(trial="poison", system=contender.name, variant="batches of 4", figures=figures)))
        return rows

    def _kill(self) -> list[Row]:
        def run(served: Served, requests: Sequence[Any]) -> dict[str, Any]:
            return trials.kills(served, requests, seconds=30.0, every_s=10.0)

        return self._one_by_one("kill", run)

    def _one_by_one(
        self, part: str, run: Callable[[Served, Sequence[Any]], dict[str, Any]], timeout_s: float = 130.0
    ) -> list[Row]:
        requests = self._streams_of("512x512").requests
        rows = []
        for contender in self._contenders:
            with serving(contender, self._variant_of(contender), timeout_s=timeout_s) as served:
                rows.append(self._row(part, contender, run(served, requests)))
        return rows

    def _streams_of(self, sizes: str) -> Material:
        """Streams as input of restoring, compressed once by the codec."""
        if sizes not in self._streams:
            from virtual_codec.codec import open_codec
            from virtual_codec.store import default_model_store

            codec = open_codec(default_model_store(), device="cpu")
            found = [
                (label, codec.compress(png).stream, pixels) for label, png, pixels in pictures(sizes, self._images)
            ]
            self._streams[sizes] = material(found, "decompress")
        return self._streams[sizes]

    def _variant(self, name: str) -> Variant:
        chosen = self._results["chosen"].get(name)
        return next((variant for variant in VARIANTS if str(variant) == chosen), VARIANTS[0])

    def _variant_of(self, contender: Contender) -> Variant | None:
        return None if contender.name == OURS else self._variant(contender.name)

    def _row(self, trial: str, contender: Contender, figures: dict[str, Any]) -> Row:
        variant = self._variant_of(contender)
        text = "as it comes" if variant is None else str(variant)
        return note(Row(trial=trial, system=contender.name, variant=text, figures=figures))

    def _bare_row(self, trial: str, limit: Bare, variant: Variant, of: Material, *, alone: bool = False) -> Row:
        report = limit.run(LoadProfile(requests=of.requests, seconds=self._seconds), of.contents, alone=alone)
        text = f"{variant}, one at a time" if alone else str(variant)
        return note(Row(trial=trial, system=BARE, variant=text, figures=trials.summary(report)))


@contextlib.contextmanager
def serving(contender: Contender, variant: Variant | None, **more: Any) -> Iterator[Served]:
    started = time.monotonic()
    with _serving(contender, variant, **more) as served:
        say(f"{contender.name} is ready after {time.monotonic() - started:.0f} s")
        yield served


def machine() -> dict[str, Any]:
    """Processor, cores and Python version of the machine."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    return {"processor": model, "cores": CORES, "python": platform.python_version()}


def commit() -> str:
    """Short hash of the measured commit, or "" outside of a checkout."""
    words = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()


def load() -> float:
    """Load average of the last minute. A value well above the number of cores shows other work on the machine."""
    return round(os.getloadavg()[0], 1)


def note(row: Row) -> Row:
    say(f"{row.trial:9} {row.system:14} {row.variant:12} {json.dumps(row.figures)}")
    return row


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
