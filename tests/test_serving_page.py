"""The page that compares servers is what its results say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from benchmarks.servers.page import write_page
from tests.conftest import ROOT

RESULTS = ROOT / "docs" / "results" / "serving.json"


def test_the_page_and_the_csv_are_those_of_the_results(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    shutil.copy(RESULTS, tmp_path / "results")
    write_page(json.loads(RESULTS.read_text(encoding="utf-8")), tmp_path / "serving-benchmark.md")
    for name in ("serving-benchmark.md", "results/serving.csv"):
        assert (tmp_path / name).read_text(encoding="utf-8") == (ROOT / "docs" / name).read_text(encoding="utf-8"), (
            f"docs/{name} lags behind docs/results/serving.json; benchmarks.serving_comparison writes both"
        )
