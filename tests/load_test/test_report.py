from __future__ import annotations

import json
import math
from collections.abc import Sequence

import pytest

from virtual_codec.load_test import Report, Sample
from virtual_codec.load_test._report import percentile


def sample(due_s: float, seconds: float, *, status: str = "200", label: str = "", late_s: float = 0.0) -> Sample:
    return Sample(label=label, due_s=due_s, sent_s=due_s + late_s, finished_s=due_s + seconds, status=status)


def report(samples: Sequence[Sample], *, seconds: float = 10, rate_per_s: float | None = None) -> Report:
    return Report(samples=samples, seconds=seconds, clients=4, rate_per_s=rate_per_s, arrivals="poisson", limit_s=0.5)


def test_percentiles_are_by_nearest_rank() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert [percentile(values, percent) for percent in (0, 1, 50, 99, 99.9, 100)] == [1, 1, 50, 99, 100, 100]
    assert math.isnan(percentile([], 50))


def test_steady_figures_raise_no_doubt() -> None:
    samples = [sample(number / 10, 0.05) for number in range(99)]
    assert report(samples).doubts() == []
    assert [window.images_per_s for window in report(samples).windows()] == pytest.approx([10, 10, 10, 10, 9.5], abs=1)


def test_few_answers_are_doubted() -> None:
    assert report([sample(0, 1)]).doubts() == ["only 1 answers; measure longer"]


def test_what_came_in_place_of_answers_is_told() -> None:
    failed = Sample(label="", due_s=0, sent_s=0, finished_s=1, status="TimeoutError", failure="timed out")
    (doubt,) = report([failed, sample(1, 1, status="503")]).doubts()
    assert doubt == "no request was answered with 200; the first ended with TimeoutError: timed out"


def test_throughput_that_moves_is_doubted() -> None:
    samples = [sample(number / 100, 0.05) for number in range(500)]  # nothing in the second half
    (doubt,) = report(samples).doubts()
    assert "from 0 to 100 images/s" in doubt


def test_a_rate_that_is_too_high_is_named() -> None:
    samples = [sample(number / 20, 0.05 + number / 400) for number in range(190)]
    doubts = report(samples, rate_per_s=20).doubts()
    assert any("above the server's capacity" in doubt for doubt in doubts)
    assert not any("latency grew" in doubt for doubt in report(samples).doubts())  # a closed loop never asks too much


def test_late_dispatch_is_named() -> None:
    samples = [sample(number / 10, 0.2, late_s=0.1) for number in range(95)]
    assert any("100 ms late" in doubt for doubt in report(samples, rate_per_s=10).doubts())


def test_refusals_are_answers_of_the_server_only() -> None:
    samples = [sample(0, 0.1, status="503"), sample(0, 0.3, status="429"), sample(0, 9, status="TimeoutError")]
    assert report(samples).refusal_ms(100) == pytest.approx(300)
    assert report(samples).statuses == {"429": 1, "503": 1, "TimeoutError": 1}


def test_the_json_has_its_keys_and_nothing_but_numbers_and_text() -> None:
    samples = [sample(number / 10, 0.2, label="ab"[number % 2]) for number in range(80)]
    figures = json.loads(json.dumps(report([*samples, sample(1, 0.1, status="503")], rate_per_s=8).as_dict()))
    assert list(figures) == [
        "schema",
        "loop",
        "clients",
        "offered_per_s",
        "arrivals",
        "seconds",
        "requests",
        "statuses",
        "images_per_s",
        "megapixels_per_s",
        "goodput_per_s",
        "limit_ms",
        "received_bytes",
        "latency_ms",
        "refusal_ms",
        "lateness_ms",
        "stages_ms",
        "kinds",
        "windows",
        "doubts",
    ]
    assert figures["schema"] == 1
    assert figures["loop"] == "open"
    assert figures["statuses"] == {"200": 80, "503": 1}
    assert figures["images_per_s"] == figures["goodput_per_s"] == 8
    assert list(figures["latency_ms"]) == ["p50", "p90", "p95", "p99", "p99.9", "p100"]
    assert [kind["label"] for kind in figures["kinds"]] == ["a", "b", ""]
    assert len(figures["windows"]) == 5


def test_a_load_without_answers_has_a_report_all_the_same() -> None:
    figures = report([sample(0, 1, status="ConnectionRefusedError")]).as_dict()
    assert json.loads(json.dumps(figures, allow_nan=False))["latency_ms"] == {}
    assert figures["images_per_s"] == 0
