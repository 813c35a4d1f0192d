"""Promises about what is in model_store/: it loads, it restores what it ever made, and it is better than nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.conftest import ROOT
from tests.golden_streams import SUFFIXES
from tests.pictures import opened, saved
from virtual_codec import bitstream, metrics
from virtual_codec.codec import VirtualCodec
from virtual_codec.codec.model import plain_restore
from virtual_codec.codec.restoring import find_header
from virtual_codec.images import ImageLimits
from virtual_codec.jobs import CompressOptions
from virtual_codec.load_test import synthetic_png
from virtual_codec.runner import DirectRunner
from virtual_codec.store import ModelStore, default_model_store

STORE = ModelStore(default_model_store())
STREAMS = sorted(path for path in (ROOT / "tests" / "golden" / "streams").iterdir() if path.suffix in SUFFIXES.values())

AROUND = {"avif": 350, "webp": 70, "jpeg2000": 200}  # bytes around a picture, which weigh much in pictures this small


@pytest.fixture(scope="module")
def codec() -> VirtualCodec:
    return VirtualCodec(STORE, DirectRunner())


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
def test_a_stream_once_released_decodes_as_it_did(codec: VirtualCodec, path: Path) -> None:
    """Beside each stream lies what it was restored to; machines differ in the last bit of some samples."""
    restored = opened(codec.restore(path.read_bytes()).image)
    then = opened(path.with_suffix(".png").read_bytes())
    assert restored.shape == then.shape
    assert metrics.psnr(restored, then) > 48
    assert np.abs(restored.astype(int) - then).max() <= 4


def test_every_model_codec_and_scale_has_a_golden_stream() -> None:
    have = set()
    for path in STREAMS:
        codec = next(name for name, suffix in SUFFIXES.items() if path.suffix == suffix)
        header = find_header(path.read_bytes(), ImageLimits())
        if header is not None:
            have.add((header.model, codec, header.scale))
    assert have >= {
        (model.id, codec, scale) for model in STORE.models() for codec in model.codecs for scale in model.scales
    }


def test_alternatives_of_the_default_model_share_its_descriptions() -> None:
    default = STORE.default
    assert default.alternatives
    for alternative in map(STORE.get, default.alternatives):
        for scale in default.scales:
            key = f"description-{scale}"
            assert alternative.networks[key] == default.networks[key]


def test_text_is_restored_by_the_alternative_for_drawings(codec: VirtualCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Image.new("RGB", (320, 240), (250, 250, 245))
    for line in range(14):
        ImageDraw.Draw(page).text(
            (8, 6 + 16 * line), "def restore(stream): return network(decoded)  # 0123", fill=(20, 40, 90)
        )
    data, options = saved(np.asarray(page)), CompressOptions(quality=40, scale=1)
    chosen = codec.compress(data, options)
    assert [chosen.model] == STORE.default.alternatives
    assert find_header(chosen.stream, ImageLimits()) is not None
    monkeypatch.setattr("virtual_codec.codec.with_best_restorer", lambda trials, *_: trials)
    default = codec.compress(data, options)
    assert default.model == STORE.default.id
    assert chosen.psnr_db is not None
    assert default.psnr_db is not None
    assert chosen.psnr_db > default.psnr_db


@pytest.mark.parametrize("scale", [1, 2])
def test_the_default_model_beats_the_plain_filter_on_a_photograph(codec: VirtualCodec, scale: int) -> None:
    data = pytest.importorskip("skimage.data")
    picture = np.ascontiguousarray(data.astronaut()[0:256, 100:356])
    result = codec.compress(saved(picture), CompressOptions(quality=20, scale=scale))
    plain = plain_restore(opened(result.stream), scale)[:256, :256]
    restored = opened(codec.restore(result.stream).image)
    assert metrics.psnr(restored, picture) > metrics.psnr(plain, picture) + 0.5


@pytest.mark.parametrize("quality", [10, 30, 50, 75, 95])
def test_a_quality_is_an_ordinary_jpegs_in_fewer_bytes(codec: VirtualCodec, quality: int) -> None:
    data = pytest.importorskip("skimage.data")
    ours, theirs, sizes = [], [], []
    for picture in (data.astronaut()[:256, 100:356], data.chelsea()[20:276, 60:316], data.coffee()[60:316, 150:406]):
        image = np.ascontiguousarray(picture)
        stream = codec.compress(saved(image), CompressOptions(quality=quality)).stream
        jpeg = saved(image, "JPEG", quality=quality, subsampling=2, optimize=True)
        ours.append(metrics.psnr(opened(codec.restore(stream).image), image))
        theirs.append(metrics.psnr(opened(jpeg), image))
        sizes.append(len(stream) / len(jpeg))
    assert np.mean(ours) > np.mean(theirs) - 0.3  # three pictures are not a set
    assert np.mean(sizes) < (0.75 if quality <= 50 else 1.0)


@pytest.mark.parametrize("name", ["avif", "webp", "jpeg2000"])
def test_a_quality_of_other_codecs_is_an_ordinary_jpegs_in_fewer_bytes(codec: VirtualCodec, name: str) -> None:
    data = pytest.importorskip("skimage.data")
    pictures = (data.astronaut()[:192, 100:292], data.chelsea()[20:212, 60:252], data.coffee()[60:252, 150:342])
    for quality in (10, 50, 90):
        ours, theirs, sizes = [], [], []
        for image in map(np.ascontiguousarray, pictures):
            stream = codec.compress(saved(image), CompressOptions(quality=quality, codec=name)).stream
            jpeg = saved(image, "JPEG", quality=quality, subsampling=2, optimize=True)
            ours.append(metrics.psnr(opened(codec.restore(stream).image), image))
            theirs.append(metrics.psnr(opened(jpeg), image))
            sizes.append((len(stream) - AROUND[name]) / len(jpeg))
        assert np.mean(ours) > np.mean(theirs) - 0.3
        assert np.mean(sizes) < (0.75 if quality <= 50 else 1.0)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("WEBP", [{"quality": quality} for quality in (10, 40, 80)]),
        ("AVIF", [{"quality": quality} for quality in (20, 50, 80)]),
        ("JPEG2000", [{"quality_layers": [ratio], "irreversible": True, "mct": 1} for ratio in (60, 25, 10)]),
    ],
)
def test_other_peoples_files_come_nearer_to_their_originals(
    codec: VirtualCodec, kind: str, options: list[dict[str, object]]
) -> None:
    data = pytest.importorskip("skimage.data")
    for each in options:
        gains = []
        for picture in (
            data.astronaut()[:160, 100:260],
            data.chelsea()[20:180, 60:220],
            data.coffee()[60:220, 150:310],
        ):
            image = np.ascontiguousarray(picture)
            file = saved(image, kind, **each)
            gains.append(metrics.psnr(opened(codec.restore(file).image), image) - metrics.psnr(opened(file), image))
        assert np.mean(gains) > 0.05


def test_pictures_made_up_for_load_keep_the_networks_busy(codec: VirtualCodec) -> None:
    """Where a stream says that its decode is as good, restoring it would cost nothing and measure nothing."""
    header = bitstream.find(codec.compress(synthetic_png(160, 128)).stream)
    assert header is not None
    assert not header.show_decoded


@pytest.mark.parametrize("effort", [0, 4])
def test_grey_and_fine_goes_together(codec: VirtualCodec, effort: int) -> None:
    """There the likeliest mode of a colour picture keeps chroma at full size."""
    grey = np.ascontiguousarray(pytest.importorskip("skimage.data").camera()[:64, :80])
    stream = codec.compress(saved(grey), CompressOptions(quality=99, effort=effort)).stream
    assert opened(codec.restore(stream).image).shape == (64, 80)


def test_every_released_model_states_its_licence_and_those_of_its_data() -> None:
    for model in ModelStore(ROOT / "model_store").models():
        folder = ROOT / "model_store" / model.name
        card, data = ((folder / name).read_text(encoding="utf-8") for name in ("MODEL_CARD.md", "DATA.md"))
        assert f"The weights are under {model.licence}." in card
        assert model.data_licences
        stated = {
            licence.strip()
            for row in data.splitlines()
            if row.count("|") == 4
            for licence in row.split("|")[3].split(",")
        }
        assert set(model.data_licences) <= stated
        assert all(licence in card for licence in model.data_licences)
