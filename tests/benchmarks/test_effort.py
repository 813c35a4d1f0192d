"""The page of the efforts has a row for each of them, measured or not."""

from __future__ import annotations

from benchmarks.effort import Row, _report


def test_an_effort_that_was_not_measured_says_so() -> None:
    text = _report([Row(effort=0, savings=(1.0, 0.9, 2.7), time_ratio=0.58)], 2, "photographs")
    assert "| 0 | the most likely mode for the image, quantised once | +1.0 | +0.9 | +2.7 | 0.58 |" in text
    assert "| 9 | 20 rounds, after trying six neighbouring settings of the encoder | not measured | | | |" in text
    assert text.count("not measured") == 9
