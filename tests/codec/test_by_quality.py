"""Compression to WebP, AVIF and JPEG 2000, and their restoration, with an untrained network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import features

from tests.models import add_codecs_model, make_store
from tests.pictures import opened, saved, scene
from virtual_codec import bitstream, metrics
from virtual_codec.bitstream import CODEC_NAMES, CodecName
from virtual_codec.codec import VirtualCodec
from virtual_codec.codec.levels import _min_avif_speed, lowest_crossing
from virtual_codec.errors import BadOption, BadStream, UnreachableTarget, UnsupportedFormat
from virtual_codec.jobs import CompressOptions
from virtual_codec.runner import DirectRunner
from virtual_codec.store import ModelStore

PICTURE = scene(45, 67)
KINDS = {"webp": "WEBP", "avif": "AVIF", "jpeg2000": "JPEG2000"}
FOREIGN: dict[str, dict[str, Any]] = {
    "webp": {"quality": 40},
    "avif": {"quality": 40, "speed": 10},
    "jpeg2000": {"quality_layers": [30]},
}

pytestmark = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")


@pytest.fixture(scope="module")
def codecs(tmp_path_factory: pytest.TempPathFactory) -> VirtualCodec:
    root = tmp_path_factory.mktemp("codecs")
    make_store(root)
    add_codecs_model(root)
    return VirtualCodec(ModelStore(root), DirectRunner())


def compress(codecs: VirtualCodec, image: np.ndarray = PICTURE, **options: object) -> bytes:
    result = codecs.compress(saved(image), CompressOptions(**{"effort": 0, **options}))  # type: ignore[arg-type]
    assert result.scale == 1
    assert (result.height, result.width) == image.shape[:2]
    return result.stream


def restored(codecs: VirtualCodec, stream: bytes) -> np.ndarray:
    return opened(codecs.restore(stream).image)


@pytest.mark.parametrize("codec", CODEC_NAMES)
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (33, 7), (64, 64)])
@pytest.mark.parametrize("kind", ["colour", "grey", "grey as colour"])
def test_any_size_and_kind_comes_back_as_it_was(
    codecs: VirtualCodec, codec: CodecName, size: tuple[int, int], kind: str
) -> None:
    image = scene(*size)
    if kind != "colour":
        image = image[..., 0].copy() if kind == "grey" else image[..., [0, 0, 0]].copy()
    stream = compress(codecs, image, codec=codec, quality=70)
    back = restored(codecs, stream)
    assert back.shape == image.shape
    if kind == "grey as colour":
        assert (back == back[..., :1]).all()
    assert metrics.psnr(back, image) > 18
    assert opened(stream).shape[:2] == image.shape[:2]


@pytest.mark.parametrize("codec", CODEC_NAMES)
def test_an_image_is_restored_no_worse_than_decoded(codecs: VirtualCodec, codec: CodecName) -> None:
    """The network is untrained: every stream says that its decoded picture is to be shown, unless noise helps."""
    for quality in (5, 50, 90):
        stream = compress(codecs, codec=codec, quality=quality)
        header = bitstream.find_attached(stream, codec)
        assert header is not None
        back = metrics.psnr(restored(codecs, stream), PICTURE)
        assert back >= metrics.psnr(opened(stream), PICTURE) - 1e-9
        if header.show_decoded:
            assert np.array_equal(restored(codecs, stream), opened(stream))


@pytest.mark.parametrize("codec", CODEC_NAMES)
def test_higher_qualities_are_larger_and_better(codecs: VirtualCodec, codec: CodecName) -> None:
    streams = [compress(codecs, codec=codec, quality=quality) for quality in (5, 40, 70, 95)]
    sizes = [len(stream) for stream in streams]
    quality_db = [metrics.psnr(restored(codecs, stream), PICTURE) for stream in streams]
    assert sizes == sorted(sizes)
    assert quality_db == sorted(quality_db)


@pytest.mark.parametrize("codec", CODEC_NAMES)
def test_targets_are_met_and_not_by_far(codecs: VirtualCodec, codec: CodecName) -> None:
    for most in (600, 1500):
        result = codecs.compress(saved(PICTURE), CompressOptions(codec=codec, max_bytes=most, effort=0))
        assert 0.6 * most < len(result.stream) <= most
        assert result.psnr_db == pytest.approx(metrics.psnr(restored(codecs, result.stream), PICTURE))
    for least in (31.0, 33.0):
        result = codecs.compress(saved(PICTURE), CompressOptions(codec=codec, min_psnr=least, effort=0))
        assert result.psnr_db is not None
        assert least <= result.psnr_db < least + 2
        assert result.psnr_db == pytest.approx(metrics.psnr(restored(codecs, result.stream), PICTURE))
        again = codecs.compress(saved(PICTURE), CompressOptions(codec=codec, quality=result.quality, effort=0))
        assert abs(len(again.stream) - len(result.stream)) < 0.25 * len(result.stream)
    stream = compress(codecs, codec=codec, max_bpp=2.0)
    assert len(stream) <= 2.0 * PICTURE.shape[0] * PICTURE.shape[1] / 8


@pytest.mark.parametrize("codec", CODEC_NAMES)
def test_an_unreachable_target_says_what_can_be_had(codecs: VirtualCodec, codec: CodecName) -> None:
    with pytest.raises(UnreachableTarget) as small:
        compress(codecs, codec=codec, max_bytes=60)
    assert small.value.actual is not None
    assert len(compress(codecs, codec=codec, max_bytes=int(small.value.actual))) == small.value.actual
    with pytest.raises(UnreachableTarget, match="dB") as good:
        compress(codecs, codec=codec, min_psnr=90)
    assert good.value.actual is not None
    compress(codecs, codec=codec, min_psnr=good.value.actual)


def test_ms_ssim_is_a_target_too(codecs: VirtualCodec) -> None:
    image = scene(170, 164)
    result = codecs.compress(saved(image), CompressOptions(codec="webp", min_ms_ssim=0.95, effort=0))
    assert result.ms_ssim is not None
    assert result.ms_ssim >= 0.95
    assert result.ms_ssim == pytest.approx(metrics.ms_ssim(restored(codecs, result.stream), image))


@pytest.mark.parametrize("codec", CODEC_NAMES)
def test_other_peoples_files_are_restored_at_their_size(codecs: VirtualCodec, codec: CodecName) -> None:
    file = saved(PICTURE, KINDS[codec], **FOREIGN[codec])
    result = codecs.restore(file)
    assert result.model == codecs.compress(saved(PICTURE), CompressOptions(codec=codec)).model
    assert opened(result.image).shape == PICTURE.shape
    assert not np.array_equal(opened(result.image), opened(file))


def test_files_without_losses_come_back_as_they_are(codecs: VirtualCodec) -> None:
    assert np.array_equal(restored(codecs, saved(PICTURE, "WEBP", lossless=True)), PICTURE)
    noise = np.random.default_rng(3).integers(0, 256, (40, 40, 3), np.uint8)
    assert np.array_equal(restored(codecs, saved(noise, "JPEG2000")), noise)
    exact = saved(PICTURE, "AVIF", quality=100, subsampling="4:4:4", speed=10)
    assert np.array_equal(restored(codecs, exact), opened(exact))


def test_alpha_of_a_foreign_file_is_flattened_onto_white(codecs: VirtualCodec) -> None:
    clear = np.dstack([PICTURE, np.zeros(PICTURE.shape[:2], np.uint8)])
    assert restored(codecs, saved(clear, "WEBP", quality=50)).mean() > 230


@pytest.mark.parametrize("codec", CODEC_NAMES)
def test_a_stream_compressed_again_is_restored_first(codecs: VirtualCodec, codec: CodecName) -> None:
    result = codecs.compress(compress(codecs, codec=codec, quality=80), CompressOptions(quality=60))
    assert (result.media_type, result.width, result.height) == ("image/jpeg", 67, 45)


@pytest.mark.parametrize("codec", CODEC_NAMES)
def test_a_header_that_does_not_fit_its_picture_is_named(codecs: VirtualCodec, codec: CodecName) -> None:
    stream = compress(codecs, codec=codec)
    header = bitstream.find_attached(stream, codec)
    assert header is not None
    for change in ({"scale": 2}, {"model": codecs_of_jpeg(codecs)}, {"grey_as_colour": True}):
        values = {"scale": 1, "model": header.model} | change
        wrong = bitstream.StreamHeader(width_remainder=1, height_remainder=1, **values)  # type: ignore[arg-type]
        with pytest.raises(BadStream, match="does not fit its picture"):
            codecs.restore(bitstream.attach(bitstream.detach(stream, codec), wrong, codec))


def codecs_of_jpeg(codecs: VirtualCodec) -> str:
    return codecs.compress(saved(PICTURE), CompressOptions(effort=0)).model


def test_metadata_travels_in_every_codec(codecs: VirtualCodec) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/></x:xmpmeta>'
    image = saved(PICTURE, "WEBP", lossless=True, xmp=xmp)
    for codec in CODEC_NAMES:
        stream = codecs.compress(image, CompressOptions(codec=codec, metadata="xmp", effort=0)).stream
        assert b"xmpmeta" in stream
        assert b"xmpmeta" in codecs.restore(stream).image
        assert b"xmpmeta" not in codecs.compress(image, CompressOptions(codec=codec, effort=0)).stream


def test_options_that_contradict_the_codec_are_refused(codecs: VirtualCodec, tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="codec avif works at scale 1 only, got 2"):
        compress(codecs, codec="avif", scale=2)
    with pytest.raises(BadOption, match="codec must be one of avif, jpeg, jpeg2000, webp, got 'heic'"):
        compress(codecs, codec="heic")
    with pytest.raises(BadOption, match="model tiny supports jpeg, not avif"):
        compress(codecs, codec="avif", model="tiny")
    with pytest.raises(BadOption, match="WebP supports sides of up to 16383 pixels, the image is 16384x1"):
        compress(codecs, np.zeros((1, 16384, 3), np.uint8), codec="webp")
    make_store(tmp_path)
    alone = VirtualCodec(ModelStore(tmp_path), DirectRunner())
    with pytest.raises(UnsupportedFormat, match="model tiny restores jpeg files; this is a WebP"):
        alone.restore(saved(PICTURE, "WEBP"))


def test_large_pictures_get_a_faster_encoder() -> None:
    """No AVIF may take minutes, whatever the effort: an encoder cannot be stopped at the deadline."""
    assert [_min_avif_speed(pixels) for pixels in (10_000, 1_000_000, 6_000_000, 16_000_000, 50_000_000)] == [
        2,
        2,
        4,
        5,
        7,
    ]


def test_such_a_model_can_be_warmed_and_named(codecs: VirtualCodec) -> None:
    codecs.warm_model("tiny-codecs")
    assert compress(codecs, codec="avif", model="tiny-codecs", quality=30)


@pytest.mark.parametrize("crossing", [0, 1, 37, 50, 51, 98, 99, 100, 200])
@pytest.mark.parametrize("slope", [0.01, 0.3, 5.0])
def test_the_lowest_crossing_is_found_in_few_evaluations(crossing: int, slope: float) -> None:
    asked: list[int] = []

    def excess(level: int) -> float:
        asked.append(level)
        return 0.3 * (level - crossing)

    found = lowest_crossing(excess, range(101), slope)
    assert found == (crossing if crossing <= 100 else None)
    assert len(asked) == len(set(asked)) <= 13
    if crossing <= 100:
        assert crossing in asked
        assert crossing == 0 or crossing - 1 in asked
