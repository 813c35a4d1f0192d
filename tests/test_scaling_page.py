"""The figures that docs/scaling.md reckons with are those of its sources."""

from __future__ import annotations

import json

import pytest

from tests.conftest import ROOT

DOCS = ROOT / "docs"
PAGE = (DOCS / "scaling.md").read_text()
ENGINE = " ".join((DOCS / "engine.md").read_text().split())
RATE_BPP, SHARE = 1.040, 0.774


def test_times_of_one_core_are_those_of_the_engine_page() -> None:
    assert "| compress, quality 30 | 0.78 s |" in ENGINE
    assert "| compress, quality 75 | 0.60 s |" in ENGINE
    assert "| restore | 0.16 s |" in ENGINE
    assert "2.2 s of CPU time" in ENGINE
    for seconds, megapixels_per_s in ((0.78, "0.50"), (0.60, "0.66"), (0.16, "2.5")):
        assert f"| {seconds:.2f} s for 768x512 | {megapixels_per_s} |" in PAGE
        assert 768 * 512 / 1e6 / seconds == pytest.approx(float(megapixels_per_s), rel=0.02)


def test_times_over_http_are_those_of_the_comparison() -> None:
    rows = (DOCS / "serving-benchmark.md").read_text().splitlines()
    processor_ms = [
        float(row.split("|")[-2]) for row in rows if row.startswith("| 16 | **virtual-codec** | as it comes |")
    ]
    assert 101.5 in processor_ms
    assert 444 in map(round, processor_ms)
    assert any(row.startswith("| throughput through HTTP over in-process, 512x512 | 0.97 |") for row in rows)


def test_rates_are_those_of_the_results() -> None:
    points = json.loads((DOCS / "results" / "summary.json").read_text())["qualities"]
    at = {point["quality"]: point for point in points if point["codec"] == "virtual-codec"}
    text = (DOCS / "results" / "results.md").read_text()
    assert f"| 75 | {RATE_BPP:.3f} | 35.98 | 34.52 | {SHARE:.3f} |" in text
    assert "| 30 | 0.385 | 30.94 | 30.49 | 0.632 |" in text
    assert {30, 75} <= at.keys()


def test_the_archive_is_reckoned_rightly() -> None:
    megapixels = 8e15 / (RATE_BPP / SHARE) / 1e6
    core_hours = megapixels / 0.66 / 3600
    assert megapixels == pytest.approx(6.0e9, rel=0.02)
    assert core_hours == pytest.approx(2.5e6, rel=0.02)
    assert 1e15 * (1 - SHARE) == pytest.approx(226e12)
    assert core_hours / 226 == pytest.approx(11_100, rel=0.01)
    assert "2.5 million core hours, 104 days of 1000 cores" in PAGE
