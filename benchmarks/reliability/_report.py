"""Page of the results of fault injection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from benchmarks.reliability._bulk import bulk_failures, bulk_section
from benchmarks.reliability._cluster_report import cluster_failures, cluster_section
from benchmarks.reliability._scenarios import SCENARIOS

MEMORY_PERCENT_AN_HOUR: Final = 1.0
_MIN_REQUESTS: Final = 1000
_MORE_DESCRIPTORS: Final = 5  # connections that are about to close

_INTRODUCTION: Final = """# Fault injection

This page shows operators the answers that callers get while faults are injected into a running server.
`python -m benchmarks.reliability` writes it from `reliability.json`; `--soak 3600` makes the last part an hour long.

A real server (`vcodec serve`, two workers and a spare on the CPU, the bundled model) gets load from independent
callers (open loop, Poisson arrivals). **Every answer is checked.** A request counts as lost unless it ends in one of
two correct answers:

- status 200 with the same bytes that the server returned for this request without faults;
- a complete refusal that the scenario allows: a problem with all its members, and `Retry-After` if its status needs it.

After a scenario the server must be idle again, with every worker warm and nothing in progress, and return the same
bytes as before. A scenario counts only if its fault happened (the full queue refused a request, a worker was killed,
the clock jumped, slow headers and bodies were cut off).

Times are those of correct answers, measured from the moment that each request was due. A worker's death is unexplained
if the scenario did not cause it: a kill causes one, an input that crashes its worker up to three.
"""
_CONCLUSION: Final = """\
## What to conclude

The column *lost* must be 0: every caller gets a correct answer or a clear refusal. The times were measured on a busy
machine; run `python -m benchmarks.reliability` to measure yours.
"""


def markdown(found: Mapping[str, Any]) -> str:
    """Write the page as Markdown."""
    scenarios = found["scenarios"]
    parts = [
        _INTRODUCTION,
        f"Measured on {found['machine']}, which did other work besides: times are for orders of magnitude.",
    ]
    if "capacity" in found:
        parts.append(
            "Capacity, 64x64 to 160x160 pixels, compress and decompress in turn: "
            f"{found['capacity']['images_per_s']} answers/s.\n"
        )
    faults = {name: it for name, it in scenarios.items() if name not in ("bulk", "cluster", "repeat", "soak")}
    heads = (
        "scenario",
        "requests",
        "200",
        "refused",
        "**lost**",
        "worker deaths, unexplained",
        "200s: p50 / slowest ms",
    )
    parts.append(f"| {' | '.join(heads)} | recovery |")
    parts.append("| --- | --- | --- | --- | --- | --- | --- | --- |")
    parts += [_row(name, it) for name, it in faults.items()]
    parts.append("")
    for name, it in faults.items():
        parts += _section(name, it)
    if "bulk" in scenarios:
        parts += bulk_section(scenarios["bulk"])
    if "cluster" in scenarios:
        parts += cluster_section(scenarios["cluster"])
    if "repeat" in scenarios:
        parts += _repeat(scenarios["repeat"])
    if "soak" in scenarios:
        parts += _soak(scenarios["soak"])
    parts.append(_CONCLUSION)
    return "\n".join(parts).rstrip() + "\n"


def failures(found: Mapping[str, Any]) -> list[str]:
    """List the failures as sentences; empty if there are none."""
    wrong = []
    for name, it in found["scenarios"].items():
        if "skipped" in it:
            continue
        if name == "bulk":
            wrong += bulk_failures(it)
            continue
        if name == "cluster":
            wrong += cluster_failures(it)
            continue
        if name in SCENARIOS and not SCENARIOS[name].fault_happened(it):
            wrong.append(f"{name}: the fault did not happen: {it['outcomes']} {it['facts']}")
        if it.get("lost_afterwards"):
            wrong.append(f"{name}: afterwards {it['lost_afterwards']} answers were others than before")
        if "before" in it:
            more = it["after"]["descriptors"]["server"] - it["before"]["descriptors"]["server"]
            if more > _MORE_DESCRIPTORS:
                wrong.append(f"{name}: the server has {more} descriptors more than before")
        if it["requests"] < it.get("wanted", 0):
            wrong.append(f"{name}: {it['requests']} of {it['wanted']} requests in the time there was")
        if it.get("lost"):
            wrong.append(f"{name}: {it['lost']} requests lost: {it['lost_first']}")
        if it.get("worker_deaths_not_caused"):
            wrong.append(f"{name}: {it['worker_deaths_not_caused']} workers died by themselves")
        for part, slope in it.get("memory", {}).items():
            if not is_flat(slope):
                change = f"{slope['percent_an_hour']} ± {slope['plus_minus']} % an hour"
                wrong.append(f"{name}: memory of the {part} is not shown to be flat: {change}")
    return wrong


def is_flat(slope: Mapping[str, float]) -> bool:
    """True if growth plus its error is below the goal, so that a noisy measurement does not pass."""
    return slope["percent_an_hour"] + slope["plus_minus"] < MEMORY_PERCENT_AN_HOUR


def _row(name: str, it: Mapping[str, Any]) -> str:
    if "skipped" in it:
        return f"| {_spaced(name)} | not done here: {it['skipped']} | | | | | | |"
    ok = sum(count for outcome, count in it["outcomes"].items() if outcome.endswith(": 200"))
    deaths = f"{it['worker_deaths']}, {it['worker_deaths_not_caused']}"
    times = f"{it['latency_ms']['p50']} / {it['latency_ms']['p100']}"
    refused = it["requests"] - ok - it["lost"]
    return (
        f"| {_spaced(name)} | {it['requests']} | {ok} | {refused} | **{it['lost']}** | {deaths} | {times} | "
        f"{it['recovery_s']} s |"
    )


def _section(name: str, it: Mapping[str, Any]) -> list[str]:
    if "skipped" in it:
        return []
    lines = [f"**{_spaced(name)}**: {it['description']}. {it['offered_per_s']} requests/s for {it['seconds']:g} s."]
    outcomes = ", ".join(f"{outcome} {count}" for outcome, count in it["outcomes"].items())
    lines.append(f"Outcomes: {outcomes}.")
    if "refusal_p50_ms" in it:
        lines.append(f"Answered {it['answered_per_s']}/s; half of the refusals within {it['refusal_p50_ms']} ms.")
    lines += [f"{_spaced(fact).capitalize()}: {_as_text(value)}." for fact, value in it["facts"].items()]
    before, after = it["before"]["descriptors"], it["after"]["descriptors"]
    lines.append(f"Descriptors of the server: {before['server']} before, {after['server']} after.")
    if "note" in it:
        lines.append(f"Measured {it['note']}.")
    if it["lost"]:
        lines.append(f"Lost, the first: {'; '.join(it['lost_first'])}.")
    return [" ".join(lines), ""]


def _repeat(it: Mapping[str, Any]) -> list[str]:
    return [
        "## Repeated requests",
        "",
        (
            f"{it['requests']} requests one after the other in {it['seconds']} s, a picture to compress and its stream "
            f"to decompress in turn: {it['requests'] - it['lost']} answers of the same bytes, {it['lost']} others; "
            f"{it['worker_deaths']} workers ended."
        ),
        "",
    ]


def _soak(it: Mapping[str, Any]) -> list[str]:
    lines = [
        "## Soak",
        "",
        (
            f"{', '.join(it['sizes'])}, compress and decompress in turn, {it['clients']} callers, {it['seconds']} s, "
            f"{it['answered_per_s']} answers/s; the first {it['warm_up_seconds']} s are warm-up and not in the slopes. "
            f"{it['requests']} requests, {it['lost']} lost, {it['worker_deaths']} workers ended; p50 "
            f"{it['latency_ms']['p50']} ms, p99 {it['latency_ms']['p99']} ms."
        ),
        "",
        "| | mean | least | most | % an hour (two standard errors) |",
        "| --- | --- | --- | --- | --- |",
    ]
    for what, scale, unit in (("memory", 2**20, " MiB"), ("descriptors", 1, "")):
        for part, slope in it[what].items():
            numbers = [f"{slope[name] / scale:.0f}{unit}" for name in ("mean", "least", "most")]
            growth = f"{slope['percent_an_hour']:+.2f} ± {slope['plus_minus']:.2f}"
            lines.append(f"| {what}, {part} | {' | '.join(numbers)} | {growth} |")
    if any(slope["percent_an_hour"] - slope["plus_minus"] > MEMORY_PERCENT_AN_HOUR for slope in it["memory"].values()):
        lines += ["", "**Memory was not flat**: the goal, under 1 % an hour, is not shown by this run."]
    elif not all(map(is_flat, it["memory"].values())):
        lines += ["", "**The error is too large** to tell whether memory grows by less than 1 % an hour, the goal."]
    if it["requests"] < _MIN_REQUESTS:
        times = it["requests"] // (2 * len(it["sizes"]))
        few = f"{it['requests']} requests are few: each size was met about {times} times by each endpoint"
        lines += ["", f"{few}, so caches and arenas may still fill. An hour on a machine of its own decides."]
    return [*lines, ""]


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _as_text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {count}" for key, count in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)
