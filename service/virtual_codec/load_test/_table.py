"""Text form of a load test's report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, cast

from virtual_codec.load_test._report import Report

_NAME_WIDTH: Final = 16


def format_report(report: Report) -> str:
    """Format a report as lines of text: the load, the answers, percentiles in milliseconds, and doubts."""
    figures = report.as_dict()
    lines = [
        _row("load", _pace(report)),
        _row("answers", "  ".join(f"{status}: {count}" for status, count in report.statuses.items())),
        _row("throughput", f"{report.images_per_s:.3g} images/s  {report.megapixels_per_s:.3g} MP/s{_goodput(report)}"),
    ]
    rows: list[tuple[str, object]] = [
        ("latency", figures["latency_ms"]),
        *[(f"  {kind['label']}", kind["latency_ms"]) for kind in cast(list[Mapping[str, object]], figures["kinds"])],
        ("refusals", figures["refusal_ms"]),
        ("sent late", figures["lateness_ms"] if report.rate_per_s is not None else {}),
    ]
    measured = [(name, cast(Mapping[str, float], values)) for name, values in rows if values]
    if measured:
        lines += ["", *_percentiles(measured), ""]
    if stages := cast(Mapping[str, float], figures["stages_ms"]):
        lines.append(_row("stages", "  ".join(f"{stage} {ms:g}" for stage, ms in stages.items()) + "  ms per request"))
    lines.append(
        _row("in fifths", "  ".join(f"{window.images_per_s:.3g}" for window in report.windows()) + "  images/s")
    )
    return "\n".join([*lines, *(_row("doubt", doubt) for doubt in report.doubts())])


def _pace(report: Report) -> str:
    if report.rate_per_s is None:
        return f"closed loop, {report.clients} clients, {report.seconds:.1f} s"
    return f"open loop, {report.rate_per_s:g} requests/s ({report.arrivals}), {report.seconds:.1f} s"


def _goodput(report: Report) -> str:
    if report.limit_s is None:
        return ""
    return f"  within {1000 * report.limit_s:g} ms: {report.goodput_per_s:.3g} images/s"


def _percentiles(rows: Sequence[tuple[str, Mapping[str, float]]]) -> list[str]:
    width = max(_NAME_WIDTH, *(len(name) + 2 for name, _ in rows))
    heads = ["max" if name == "p100" else name for name in rows[0][1]]
    head = f"{'ms':<{width}}" + "".join(f"{name:>9}" for name in heads)
    return [head, *(f"{name:<{width}}" + "".join(f"{value:9.1f}" for value in of.values()) for name, of in rows)]


def _row(name: str, text: str) -> str:
    return f"{name:<{_NAME_WIDTH}}{text}"
