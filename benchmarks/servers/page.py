"""Writer of docs/serving-benchmark.md from the results."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.servers.contenders import BARE, CONTENDERS, OURS
from benchmarks.servers.trials import LIMIT_S

_RIVALS = ("LitServe", "Ray Serve")
_HEAD = """\
# Comparison with other servers

This page compares this service with LitServe, Ray Serve and plain FastAPI at one job: restoring one picture in each
request. All servers call the same `VirtualCodec` with the same model, and get the same pictures in the same multipart
form. Only the server around the codec differs. The same generator sends the load on the same machine
([how to read such figures](benchmarking.md)).
LitServe, Ray Serve and FastAPI run in the better of two configurations, called *shapes*. The first is one process for
each core with one torch thread, the second one process with all cores. This service runs with its default settings
(*as it comes*).

Made by `python -m benchmarks.serving_comparison` ([how to repeat it](../benchmarks/README.md)); every figure is in
[results/serving.json](results/serving.json).
"""
_CONCLUSION = """\
## What to conclude

If the device is the bottleneck, throughput hardly depends on the server. Servers differ in the latency of single
callers, and in their behaviour under overload and faults.
"""


def write_page(results: dict[str, Any], path: Path) -> None:
    """Write the page, and the rows of throughput as a CSV file beside the results."""
    rows: list[dict[str, Any]] = results["rows"]
    parts = [_HEAD, _conditions(results), _ratios_section(rows)]
    for trial, title in (("512x512", "512x512 pictures"), ("mixed", "Mixed sizes, 256x256 to 1600x1200")):
        parts.append(_throughput_section(rows, trial, f"## /decompress, {title}"))
    parts.append(_throughput_section(rows, "compress", "## /compress, 512x512 pictures"))
    parts += [_overload_section(rows), _poison_section(rows), _kill_section(rows), _variants_section(rows), _CONCLUSION]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(part for part in parts if part), encoding="utf-8")
    _write_csv(rows, path.parent / "results" / "serving.csv")


def _conditions(results: dict[str, Any]) -> str:
    machine = results.get("machine", {})
    versions = ", ".join(f"{name} {version}" for name, version in results.get("versions", {}).items() if version)
    hardware = f"{machine.get('cores')} cores ({machine.get('processor')}), no GPU"
    return (
        f"{hardware}, Python {machine.get('python')}; {versions}.\n"
        "The generator runs on the same cores. In the tables of /decompress and /compress, all servers ran at the\n"
        "same time and were measured in turn. Compare ratios within a table, not absolute figures, and not tables of\n"
        "different parts.\n\n" + _measured_parts(results)
    )


def _measured_parts(results: dict[str, Any]) -> str:
    lines = ["| part | measured (UTC) | commit | load average |", "| --- | --- | --- | --- |"]
    for part, of in results.get("measured", {}).items():
        lines.append(f"| {part} | {of['at']} | {of['commit']} | {of['load_average'] or 'not noted'} |")
    return "\n".join([*lines, ""])


def _ratios_section(rows: Sequence[dict[str, Any]]) -> str:
    lines = ["## Ratios", "", "| what | ratio | |", "| --- | --- | --- |"]
    for trial in ("512x512", "mixed"):
        ours = _best_row(rows, trial, OURS)
        if ours is None:
            continue
        for rival in (rival for rival in _RIVALS if _rows_of(rows, trial, rival)):
            lines += [_throughput_row(rows, trial, ours, rival), _one_client_row(rows, trial, rival)]
        limit = _mean(
            [row for row in _rows_of(rows, trial, BARE) if "one at a time" not in row["variant"]], "images_per_s"
        )
        if limit:
            share = ours["figures"]["images_per_s"] / limit
            lines.append(f"| throughput through HTTP over in-process, {trial} | {share:.2f} | all cores |")
    single = [row for row in _rows_of(rows, "512x512", BARE) if "one at a time" in row["variant"]]
    if single and (ours := _row_at(rows, "512x512", OURS, 1)):
        ratio = ours["figures"]["p50_ms"] / single[0]["figures"]["p50_ms"]
        lines.append(f"| median latency of one client over one call in-process, 512x512 | {ratio:.2f} | |")
    for rival in _RIVALS:
        for theirs, ours in zip(_rows_of(rows, "overload", rival), _rows_of(rows, "overload", OURS), strict=False):
            lines.append(
                f"| goodput over {rival}, at four times the capacity | {_ratio(ours, theirs, 'goodput_per_s')} | |"
            )
    return "\n".join([*lines, ""]) if len(lines) > 4 else ""


def _throughput_row(rows: Sequence[dict[str, Any]], trial: str, ours: dict[str, Any], rival: str) -> str:
    throughput = _ratio(ours, _best_row(rows, trial, rival), "images_per_s")
    p99 = _ratio(_row_at(rows, trial, OURS, 16), _row_at(rows, trial, rival, 16), "p99_ms")
    return f"| throughput over {rival}, {trial} | {throughput} | p99 {p99} of its, 16 clients |"


def _one_client_row(rows: Sequence[dict[str, Any]], trial: str, rival: str) -> str:
    one, other = (_row_at(rows, trial, system, 1) for system in (OURS, rival))
    throughput, p99 = (_ratio(one, other, name) for name in ("images_per_s", "p99_ms"))
    return f"| throughput over {rival}, {trial}, one client | {throughput} | p99 {p99} of its |"


def _throughput_section(rows: Sequence[dict[str, Any]], trial: str, title: str) -> str:
    found = [row for row in rows if row["trial"] == trial]
    if not found:
        return ""
    lines = [
        title,
        "",
        "| clients | system | shape | images/s | MP/s | p50 ms | p99 ms | errors | CPU ms an image |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    order = {name: place for place, name in enumerate([BARE, *(it.name for it in CONTENDERS)])}
    for row in sorted(found, key=lambda row: (row["figures"].get("clients", 0), order[row["system"]])):
        figures = row["figures"]
        cells = [figures.get("clients", "-"), _display_name(row["system"]), row["variant"], figures["images_per_s"]]
        cells += [figures["megapixels_per_s"], figures["p50_ms"], figures["p99_ms"], figures["errors"]]
        cells.append(figures.get("cpu_ms_per_image", "-"))
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    return "\n".join([*lines, ""])


def _overload_section(rows: Sequence[dict[str, Any]]) -> str:
    found = [row for row in rows if row["trial"] == "overload"]
    if not found:
        return ""
    lines = [
        "## Overload: four times the capacity",
        "",
        "Requests arrive at random, at four times the capacity measured just before. Goodput counts the images that",
        f"were answered within {LIMIT_S:g} s of the time at which their requests were due. LitServe and Ray Serve have",
        f"timeouts of {LIMIT_S:g} s, and Ray Serve has a queue of that length. To this service callers send",
        "`Request-Timeout-Ms`.",
        "",
        "| system | capacity images/s | goodput images/s | of capacity | refusal p50 ms | p99 ms | answers |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in found:
        figures = row["figures"]
        refusals = [figures["refusal_p50_ms"], figures["refusal_p99_ms"]]
        cells = [
            _display_name(row["system"]),
            figures["capacity_per_s"],
            figures["goodput_per_s"],
            figures["goodput_share"],
        ]
        cells += ["-" if value is None else value for value in refusals]
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} | {_status_counts(figures['statuses'])} |")
    return "\n".join([*lines, ""])


def _poison_section(rows: Sequence[dict[str, Any]]) -> str:
    found = [row for row in rows if row["trial"] == "poison"]
    if not found:
        return ""
    lines = [
        "## An input that cannot be decoded",
        "",
        "One request in six, 8 clients. It should get a status that means an error of the caller (4xx). The other",
        "requests should succeed.",
        "",
        "| system | shape | other requests failed | answers to the invalid input |",
        "| --- | --- | --- | --- |",
    ]
    for row in found:
        figures = row["figures"]
        failed = f"{figures['good_failed']} of {figures['good']}"
        answered = _status_counts(figures["poison_statuses"])
        lines.append(f"| {_display_name(row['system'])} | {row['variant']} | {failed} | {answered} |")
    return "\n".join([*lines, ""])


def _kill_section(rows: Sequence[dict[str, Any]]) -> str:
    found = [row for row in rows if row["trial"] == "kill"]
    if not found:
        return ""
    lines = [
        "## kill -9 of a worker under load",
        "",
        "The busiest worker process is killed every 10 s, with 8 clients. A request without an answer for 30 s counts",
        "as lost (`TimeoutError`).",
        "",
        "| system | kills | requests | lost | answers | images/s | slowest ms | a request afterwards |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in found:
        figures = row["figures"]
        cells = [_display_name(row["system"]), figures["kills"], figures["requests"], figures["lost"]]
        cells += [
            _status_counts(figures["statuses"]),
            figures["images_per_s"],
            figures["max_ms"],
            figures["afterwards"],
        ]
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    return "\n".join([*lines, ""])


def _variants_section(rows: Sequence[dict[str, Any]]) -> str:
    found = [row for row in rows if row["trial"] == "choose"]
    if not found:
        return ""
    lines = [
        "## Configurations (shapes) that were tried",
        "",
        "A shape is the number of processes x torch threads in each. Pictures of 512x512, 16 clients.",
        "",
        "| system | shape | images/s | p99 ms |",
        "| --- | --- | --- | --- |",
    ]
    for row in found:
        figures = row["figures"]
        lines.append(
            f"| {_display_name(row['system'])} | {row['variant']} | {figures['images_per_s']} | {figures['p99_ms']} |"
        )
    return "\n".join([*lines, ""])


def _write_csv(rows: Sequence[dict[str, Any]], path: Path) -> None:
    names = ["images_per_s", "megapixels_per_s", "p50_ms", "p99_ms", "requests", "errors", "cpu_ms_per_image"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["trial", "system", "shape", "clients", *names])
        for row in rows:
            figures = row["figures"]
            if row["trial"] in ("choose", "512x512", "mixed", "compress"):
                values = [figures.get(name, "") for name in ("clients", *names)]
                writer.writerow([row["trial"], row["system"], row["variant"], *values])


def _rows_of(rows: Sequence[dict[str, Any]], trial: str, system: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["trial"] == trial and row["system"] == system]


def _best_row(rows: Sequence[dict[str, Any]], trial: str, system: str) -> dict[str, Any] | None:
    return max(_rows_of(rows, trial, system), key=lambda row: row["figures"]["images_per_s"], default=None)


def _row_at(rows: Sequence[dict[str, Any]], trial: str, system: str, clients: int) -> dict[str, Any] | None:
    return next((row for row in _rows_of(rows, trial, system) if row["figures"].get("clients") == clients), None)


def _mean(rows: Sequence[dict[str, Any]], name: str) -> float:
    return sum(row["figures"][name] for row in rows) / len(rows) if rows else 0.0


def _ratio(one: dict[str, Any] | None, other: dict[str, Any] | None, name: str) -> str:
    if one is None or other is None or not other["figures"][name] or not one["figures"][name]:
        return "-"
    return f"{one['figures'][name] / other['figures'][name]:.2f}"


def _status_counts(statuses: dict[str, int]) -> str:
    return ", ".join(f"{count} x {status}" for status, count in statuses.items()) or "-"


def _display_name(system: str) -> str:
    return f"**{system}**" if system == OURS else system
