from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image
from skimage import data

from benchmarks import speed
from tests.models import make_store
from tests.pictures import opened, saved, scene
from virtual_codec.metrics import psnr


def test_pictures_of_every_size_are_about_as_large_as_asked() -> None:
    sources = [scene(384, 512), scene(512, 384)]
    assert speed.of_megapixels(sources, 0.2) is sources
    (large,) = speed.of_megapixels(sources, 3)
    height, width = large.shape[:2]
    assert height * width == pytest.approx(3e6, rel=0.25)


def test_jpeg2000_codes_colour_differences() -> None:
    picture = data.astronaut()[64:192, 160:288]  # type: ignore[no-untyped-call]
    stream = speed._saved("JPEG2000", {}, picture, 1.0)
    assert len(stream) * 8 <= 1.05 * 128 * 128
    separate = io.BytesIO()
    Image.fromarray(picture).save(separate, "JPEG2000", quality_layers=[24], irreversible=True, mct=0)
    assert psnr(opened(stream), picture) > psnr(opened(separate.getvalue()), picture) + 0.5


def test_it_writes_a_page_a_plot_and_figures(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.png").write_bytes(saved(scene(176, 176), "PNG"))
    make_store(tmp_path / "store")
    page = tmp_path / "speed.md"
    store = str(tmp_path / "store")
    options = ["--pictures", "1", "--efforts", "0", "--megapixels", "0.03", "--qualities", "20", "60"]
    assert speed.main([str(folder), "--model-store", store, "--report", str(page), *options]) == 0
    rows = {row["name"]: row for row in json.loads(page.with_suffix(".json").read_text())}
    assert {"virtual-codec, effort 0", "AVIF, speed 6", "WebP, method 6", "JPEG 2000"} <= rows.keys()
    assert all(row["encode_s"]["0.03"] > 0 and row["decode_s"]["0.03"] > 0 for row in rows.values())
    assert rows["AVIF, speed 4"]["savings"][0] < 0
    assert "| AVIF, speed 6 |" in page.read_text()
    assert page.with_suffix(".svg").read_text().startswith("<?xml")
