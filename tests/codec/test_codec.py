from __future__ import annotations

import io
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.models import make_store
from tests.pictures import opened, saved, scene
from virtual_codec import bitstream, metrics
from virtual_codec.codec import VirtualCodec, open_codec
from virtual_codec.codec.model import plain_restore
from virtual_codec.errors import (
    BadOption,
    BadStream,
    DeadlineExceeded,
    ModelNotFound,
    SideTooLong,
    TooManyPixels,
    UndecodableImage,
    UnknownStreamModel,
    UnreachableTarget,
    UnsupportedFormat,
)
from virtual_codec.images import ImageLimits
from virtual_codec.jobs import CompressOptions, Job, RestoreOptions, deadline_scope
from virtual_codec.runner import DirectRunner
from virtual_codec.store import ModelStore

SIZES = [(1, 1), (1, 2), (2, 1), (3, 5), (7, 8), (8, 7), (16, 16), (17, 33), (64, 1), (1, 200), (75, 101)]


def grey(height: int, width: int) -> NDArray[np.uint8]:
    return np.ascontiguousarray(scene(height, width)[..., 0])


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("scale", [1, 2])
def test_every_size_comes_back_at_its_size(codec: VirtualCodec, size: tuple[int, int], scale: int) -> None:
    result = codec.compress(saved(scene(*size)), CompressOptions(scale=scale, quality=60))
    assert (result.height, result.width) == size
    assert opened(result.stream).shape[:2] == tuple(-(-side // scale) for side in size)
    restored = codec.restore(result.stream)
    assert opened(restored.image).shape == (*size, 3)
    assert (restored.width, restored.height) == (size[1], size[0])
    assert restored.scale == result.scale == scale


@pytest.mark.parametrize("size", [(1, 65_535), (65_535, 1)])
def test_sides_too_long_for_a_jpeg_are_coded_at_half_size(codec: VirtualCodec, size: tuple[int, int]) -> None:
    data = saved(np.random.default_rng(0).integers(0, 256, size, np.uint8))
    result = codec.compress(data, CompressOptions(quality=50, effort=0))
    assert result.scale == 2
    assert opened(codec.restore(result.stream).image).shape == size
    with pytest.raises(BadOption, match="use scale 2"):
        codec.compress(data, CompressOptions(scale=1))


@pytest.mark.parametrize("scale", [1, 2])
def test_grey_stays_grey(codec: VirtualCodec, scale: int) -> None:
    result = codec.compress(saved(grey(37, 51)), CompressOptions(scale=scale))
    assert bitstream.layout(result.stream).components == 1
    assert opened(codec.restore(result.stream).image).shape == (37, 51)


@pytest.mark.parametrize("scale", [1, 2])
def test_colour_images_without_colour_are_coded_in_grey(codec: VirtualCodec, scale: int) -> None:
    picture = grey(37, 51)
    stream = codec.compress(saved(np.repeat(picture[..., None], 3, axis=2)), CompressOptions(scale=scale)).stream
    as_grey = codec.compress(saved(picture), CompressOptions(scale=scale)).stream
    assert bitstream.strip(stream) == bitstream.strip(as_grey)
    restored = opened(codec.restore(stream).image)
    assert restored.shape == (37, 51, 3)
    assert (restored == opened(codec.restore(as_grey).image)[..., None]).all()


def test_a_stream_in_colour_that_says_it_is_grey_is_bad(codec: VirtualCodec) -> None:
    stream = codec.compress(saved(scene(20, 20))).stream
    header = bitstream.find(stream)
    assert header
    with pytest.raises(BadStream, match="does not fit its picture"):
        codec.restore(bitstream.insert(bitstream.strip(stream), replace(header, grey_as_colour=True)))


def test_a_stream_is_a_jpeg_of_the_image_for_any_viewer(codec: VirtualCodec) -> None:
    picture = scene(128, 160)
    result = codec.compress(saved(picture), CompressOptions(scale=2, quality=80))
    shown = Image.open(io.BytesIO(result.stream))
    assert shown.format == "JPEG"
    small = np.asarray(Image.fromarray(picture).resize((80, 64), Image.Resampling.LANCZOS))
    assert metrics.psnr(np.asarray(shown), small) > 22


def test_higher_quality_is_nearer_and_longer(codec: VirtualCodec) -> None:
    picture = scene(96, 128)
    found = []
    for quality in (5, 30, 60, 90):
        result = codec.compress(saved(picture), CompressOptions(quality=quality))
        found.append((len(result.stream), metrics.psnr(opened(codec.restore(result.stream).image), picture)))
    assert found == sorted(found)


def test_the_reported_measures_are_those_of_the_restored_image(codec: VirtualCodec) -> None:
    picture = scene(180, 170)
    for options in (CompressOptions(min_psnr=28), CompressOptions(min_ms_ssim=0.95), CompressOptions(max_bytes=6000)):
        result = codec.compress(saved(picture), options)
        restored = opened(codec.restore(result.stream).image)
        assert result.psnr_db == pytest.approx(metrics.psnr(restored, picture), abs=1e-6)
        if result.ms_ssim is not None:
            assert result.ms_ssim == pytest.approx(metrics.ms_ssim(restored, picture), abs=1e-9)


def test_targets_are_met(codec: VirtualCodec) -> None:
    picture = scene(180, 170)
    data = saved(picture)
    assert 0.9 * 5000 < len(codec.compress(data, CompressOptions(max_bytes=5000)).stream) <= 5000
    assert codec.compress(data, CompressOptions(max_bpp=1.0)).rate_bpp <= 1.0
    assert 30 <= (codec.compress(data, CompressOptions(min_psnr=30)).psnr_db or 0) < 31
    assert (codec.compress(data, CompressOptions(min_ms_ssim=0.97)).ms_ssim or 0) >= 0.97


def test_an_unreachable_target_says_what_can_be_had(codec: VirtualCodec) -> None:
    data = saved(scene(180, 170))
    with pytest.raises(UnreachableTarget, match="smallest has") as too_small:
        codec.compress(data, CompressOptions(max_bytes=20))
    assert too_small.value.actual is not None
    smallest = int(too_small.value.actual)
    assert len(codec.compress(data, CompressOptions(max_bytes=smallest)).stream) <= smallest
    with pytest.raises(UnreachableTarget, match=r"the smallest has [0-9.]+ bits per pixel") as too_low:
        codec.compress(data, CompressOptions(max_bpp=0.001))
    assert codec.compress(data, CompressOptions(max_bpp=too_low.value.actual)).rate_bpp <= (too_low.value.actual or 0)
    with pytest.raises(UnreachableTarget, match=r"the best is [0-9.]+ dB") as too_good:
        codec.compress(data, CompressOptions(min_psnr=90))
    assert (codec.compress(data, CompressOptions(min_psnr=too_good.value.actual)).psnr_db or 0) < 90
    with pytest.raises(BadOption, match="at least 161") as too_narrow:
        codec.compress(saved(scene(160, 300)), CompressOptions(min_ms_ssim=0.9))
    assert (too_narrow.value.limit, too_narrow.value.actual) == (161, 160)


def test_the_same_input_gives_the_same_bytes_in_any_company(codec: VirtualCodec) -> None:
    jobs = [(saved(scene(70 + 9 * i, 90, seed=i)), CompressOptions(quality=20 + 10 * i)) for i in range(5)]
    alone = [codec.compress(*job) for job in jobs]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda job: codec.compress(*job), jobs * 3))
        restored = list(threads.map(lambda result: codec.restore(result.stream).image, together))
    assert [result.stream for result in together] == [result.stream for result in alone] * 3
    assert restored[:5] == restored[5:10] == restored[10:]


def test_a_network_that_harms_is_not_used(tmp_path: Path) -> None:
    harmful = VirtualCodec(make_store(tmp_path, strength=3.0), DirectRunner())
    picture = scene(64, 80)
    for scale in (1, 2):
        result = harmful.compress(saved(picture), CompressOptions(scale=scale, quality=70))
        header = bitstream.find(result.stream)
        assert header is not None
        assert header.show_decoded
        plain = plain_restore(opened(result.stream), scale)[:64, :80]
        assert (opened(harmful.restore(result.stream).image) == plain).all()


def test_a_restored_image_is_never_worse_than_the_plain_filter(codec: VirtualCodec) -> None:
    for seed in range(3):
        picture = scene(60, 84, seed=seed)
        for quality in (5, 50, 95):
            result = codec.compress(saved(picture), CompressOptions(quality=quality))
            plain = plain_restore(opened(result.stream), result.scale)[:60, :84]
            restored = opened(codec.restore(result.stream).image)
            assert metrics.psnr(restored, picture) >= metrics.psnr(plain, picture)


@pytest.mark.parametrize("options", [{"subsampling": 0}, {"subsampling": 2}, {"progressive": True}, {"quality": 100}])
def test_foreign_jpegs_are_restored_at_their_own_size(codec: VirtualCodec, options: dict[str, int]) -> None:
    stream = saved(scene(61, 43), "JPEG", **options)
    result = codec.restore(stream)
    assert opened(result.image).shape == (61, 43, 3)
    assert result.scale == 1
    assert result.rate_bpp == pytest.approx(8 * len(stream) / (61 * 43))


def test_foreign_jpegs_stand_upright_and_grey_or_cmyk_ones_work(codec: VirtualCodec) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert opened(codec.restore(saved(scene(40, 60), "JPEG", exif=exif)).image).shape == (60, 40, 3)
    assert opened(codec.restore(saved(grey(40, 60), "JPEG")).image).shape == (40, 60)
    file = io.BytesIO()
    Image.fromarray(scene(40, 60)).convert("CMYK").save(file, "JPEG")
    assert opened(codec.restore(file.getvalue()).image).shape == (40, 60, 3)


@pytest.mark.parametrize(("output", "kind"), [("png", "PNG"), ("webp", "WEBP"), ("bmp", "BMP")])
def test_outputs_hold_the_same_pixels(codec: VirtualCodec, output: str, kind: str) -> None:
    stream = codec.compress(saved(scene(50, 70))).stream
    result = codec.restore(stream, RestoreOptions(output=output))  # type: ignore[arg-type]
    assert Image.open(io.BytesIO(result.image)).format == kind
    assert (opened(result.image) == opened(codec.restore(stream).image)).all()


def test_only_jpegs_can_be_restored(codec: VirtualCodec) -> None:
    with pytest.raises(UnsupportedFormat, match="PNG"):
        codec.restore(saved(scene(8, 8)))


def test_every_truncation_of_a_stream_is_refused_as_bad_input(codec: VirtualCodec) -> None:
    stream = codec.compress(saved(scene(40, 40)), CompressOptions(effort=1)).stream
    for end in range(3, len(stream) - 2, max(1, len(stream) // 40)):
        with pytest.raises((UndecodableImage, BadStream)):
            codec.restore(stream[:end])


def test_a_stream_of_an_unknown_model_is_refused_by_name(codec: VirtualCodec, store: ModelStore) -> None:
    stream = codec.compress(saved(scene(20, 20))).stream
    header = bitstream.StreamHeader(model="00c0ffee", scale=1, width_remainder=1, height_remainder=1)
    with pytest.raises(UnknownStreamModel, match="00c0ffee"):
        codec.restore(bitstream.insert(bitstream.strip(stream), header))
    forged = bitstream.StreamHeader(model=store.default.id, scale=16, width_remainder=1, height_remainder=1)
    with pytest.raises(BadStream):
        codec.restore(bitstream.insert(bitstream.strip(stream), forged))


def test_the_restored_size_counts_against_the_limit(store: ModelStore) -> None:
    small = VirtualCodec(store, DirectRunner(), limits=ImageLimits(max_pixels=2000))
    stream = VirtualCodec(store, DirectRunner()).compress(saved(scene(50, 50)), CompressOptions(scale=2)).stream
    with pytest.raises(TooManyPixels) as refused:
        small.restore(stream)
    assert refused.value.actual == 2500
    with pytest.raises(SideTooLong):
        VirtualCodec(store, DirectRunner(), limits=ImageLimits(max_side=49)).compress(stream)


def test_a_codec_of_little_effort_can_be_warmed(store: ModelStore) -> None:
    VirtualCodec(store, DirectRunner(), max_effort=0).warm()


def test_efforts_and_models_out_of_reach_are_refused(codec: VirtualCodec, store: ModelStore) -> None:
    data = saved(scene(20, 20))
    with pytest.raises(BadOption, match="at most 3"):
        VirtualCodec(store, DirectRunner(), max_effort=3).compress(data, CompressOptions(effort=4))
    with pytest.raises(ModelNotFound, match="tiny"):
        codec.compress(data, CompressOptions(model="huge"))
    with pytest.raises(BadOption, match="jpeg"):
        codec.compress(data, CompressOptions(codec="jxl"))


@pytest.mark.parametrize("effort", range(10))
def test_every_effort_works(codec: VirtualCodec, effort: int) -> None:
    result = codec.compress(saved(scene(48, 64)), CompressOptions(effort=effort))
    assert opened(codec.restore(result.stream).image).shape == (48, 64, 3)


def test_a_deadline_that_passed_stops_the_work(codec: VirtualCodec) -> None:
    job = Job(data=saved(scene(64, 64)), options=CompressOptions())
    with deadline_scope(time.monotonic() - 1, lambda: False), pytest.raises(DeadlineExceeded):
        codec.run(job)


def test_an_opened_codec_is_warm(store: ModelStore, tmp_path: Path) -> None:
    make_store(tmp_path / "store")
    codec = open_codec(tmp_path / "store")
    assert {"device", "precision"} <= set(codec.notes)
    assert codec.compress(saved(scene(24, 24))).model == store.default.id


def test_the_finest_foreign_jpegs_keep_their_luma(codec: VirtualCodec) -> None:
    for subsampling, picture in ((0, scene(48, 64)), (-1, grey(48, 64))):
        stream = saved(picture, "JPEG", quality=100, subsampling=subsampling)
        assert (opened(codec.restore(stream).image) == opened(stream)).all()
    stream = saved(scene(48, 64), "JPEG", quality=100, subsampling=2)
    restored, decoded = opened(codec.restore(stream).image), opened(stream)
    assert (restored != decoded).any()
    inside = ((restored > 0) & (restored < 255)).all(axis=2)
    weights = np.array([0.299, 0.587, 0.114])
    assert np.abs((restored @ weights - decoded @ weights)[inside]).max() <= 0.51
