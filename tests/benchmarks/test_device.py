"""The measurement of a device at a tiny size, on the processor."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.device.__main__ import main
from tests.models import make_store


def test_a_device_is_measured_and_the_page_has_every_load(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store").root
    out = tmp_path / "page.md"
    sizes = ["--sides", "64", "--clients", "1,2", "--batches", "1", "--formats", "png,bmp", "--seconds", "0.5"]
    assert main(["--device", "cpu", "--out", str(out), "--model-store", str(store), *sizes]) == 0
    text = out.read_text()
    for network in ("description-2", "postprocess-1", "postprocess-2"):
        assert re.search(rf"\| {network} \| 64x64 \| 1 \| [0-9.,]+ \|", text)
    for load in ("/compress 64x64", "/decompress 64x64 to png", "/decompress 64x64 to bmp"):
        assert len(re.findall(rf"\| {load} \| [12] \| [0-9.,]+ \| .* \| 0 \| .*[a-z]+ [0-9]+", text)) == 2
    assert "64x64 to png, a worker killed | 2 |" in text
    assert re.search(r"ready again after the kill: [0-9.]+ s", text)
    assert "largest difference from the processor: 0 levels" in text
