"""Other encoders' JPEGs that had been JPEGs before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from tests.drawings import drawings
from tests.pictures import opened, saved, scene
from virtual_codec import images, metrics
from virtual_codec.codec import VirtualCodec, foreign
from virtual_codec.runner import DirectRunner
from virtual_codec.store import ModelStore, default_model_store

Pixels = NDArray[np.uint8]

LUMA = np.array([0.299, 0.587, 0.114])


@pytest.fixture(scope="module")
def shipped() -> VirtualCodec:
    return VirtualCodec(ModelStore(default_model_store()), DirectRunner())


def photograph() -> Pixels:
    """A cat, made so much smaller that nothing of the JPEG it came in is left."""
    cat = Image.fromarray(data.chelsea())  # type: ignore[no-untyped-call]
    return np.asarray(cat.resize((200, 133), Image.Resampling.LANCZOS))


def correction_of(stream: bytes) -> NDArray[np.float16] | None:
    return foreign.primary_luma_correction(images.decode_jpeg(images.parse_jpeg(stream)))


@pytest.mark.parametrize("quality", [5, 20, 40, 60, 75, 85, 92, 96, 100])
def test_a_picture_compressed_once_is_left_to_the_network(quality: int) -> None:
    for picture in (photograph(), scene(72, 104), *drawings().values()):
        for options in ({"subsampling": 2}, {"subsampling": 0, "progressive": True}):
            assert correction_of(saved(picture, "JPEG", quality=quality, **options)) is None
        assert correction_of(saved(picture[..., 1], "JPEG", quality=quality)) is None


def test_one_compressed_before_on_another_grid_is_too() -> None:
    earlier = opened(saved(photograph(), "JPEG", quality=50))
    assert correction_of(saved(earlier[3:, 5:], "JPEG", quality=85)) is None


@pytest.mark.parametrize(("first", "second"), [(20, 60), (30, 90), (50, 80), (50, 95), (75, 80), (75, 70), (90, 95)])
@pytest.mark.parametrize("kind", ["4:2:0", "4:4:4", "grey"])
def test_the_luma_of_an_earlier_jpeg_is_found_again(first: int, second: int, kind: str) -> None:
    picture = photograph()[..., 1] if kind == "grey" else photograph()
    options = {} if kind == "grey" else {"subsampling": kind}
    earlier = opened(saved(picture, "JPEG", quality=first, **options))
    stream = saved(earlier, "JPEG", quality=second, **options)
    correction = correction_of(stream)
    assert correction is not None
    now, before = (shown if kind == "grey" else shown @ LUMA for shown in (opened(stream), earlier))
    assert np.square(now + correction - before).mean() < np.square(now - before).mean()


def test_tables_of_any_kind_are_found() -> None:
    table = np.add.outer(np.arange(8), np.arange(8)).ravel() + 14
    earlier = opened(saved(photograph(), "JPEG", qtables=[table.tolist()]))
    assert correction_of(saved(earlier, "JPEG", quality=88)) is not None


def test_a_grid_squeezed_to_the_range_of_video_is_found() -> None:
    earlier = opened(saved(photograph()[..., 1], "JPEG", quality=50))
    squeezed: Pixels = np.rint(16 + earlier * (219 / 255)).astype(np.uint8)
    stream = saved(squeezed, "JPEG", quality=85)
    correction = correction_of(stream)
    assert correction is not None
    now = opened(stream)
    assert np.square(now + correction - squeezed).mean() < 0.7 * np.square(now.astype(int) - squeezed).mean()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_correction_lies_as_the_picture_does(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    earlier = opened(saved(photograph(), "JPEG", quality=40))
    stream = saved(earlier, "JPEG", quality=85, exif=exif)
    jpeg = images.decode_jpeg(images.parse_jpeg(stream))
    correction = foreign.primary_luma_correction(jpeg)
    assert correction is not None
    upright = images.decode(saved(earlier, "TIFF", exif=exif)) @ LUMA
    now = images.decode(stream) @ LUMA
    assert np.square(now + jpeg.upright(correction) - upright).mean() < 0.7 * np.square(now - upright).mean()


@pytest.mark.parametrize(("first", "second"), [(30, 60), (50, 80), (75, 90)])
def test_a_recompressed_jpeg_is_restored_near_to_its_first_jpeg(shipped: VirtualCodec, first: int, second: int) -> None:
    picture = photograph()
    earlier = opened(saved(picture, "JPEG", quality=first))
    stream = saved(earlier, "JPEG", quality=second)
    restored, decoded = opened(shipped.restore(stream).image), opened(stream)
    assert metrics.psnr(restored, earlier) >= metrics.psnr(decoded, earlier) - 0.5
    assert metrics.psnr(restored, picture) > metrics.psnr(decoded, picture)


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (8, 8), (8, 200), (12, 12), (17, 16)])
@pytest.mark.parametrize("quality", [10, 90])
def test_pictures_of_few_blocks_are_restored(codec: VirtualCodec, size: tuple[int, int], quality: int) -> None:
    earlier = opened(saved(scene(*size), "JPEG", quality=30))
    assert opened(codec.restore(saved(earlier, "JPEG", quality=quality)).image).shape == (*size, 3)


def test_jpegs_without_luma_are_restored(codec: VirtualCodec) -> None:
    stream = saved(scene(40, 56), "JPEG", quality=80, keep_rgb=True)
    assert opened(codec.restore(stream).image).shape == (40, 56, 3)
    assert correction_of(stream) is None


@pytest.mark.parametrize(
    ("options", "gain_db"), [({"subsampling": 0}, 1.5), ({"subsampling": 2}, 0.5), ({"keep_rgb": True}, 5)]
)
def test_the_network_is_limited_to_what_the_encoder_may_have_seen(options: dict[str, Any], gain_db: float) -> None:
    picture = photograph()
    jpeg = images.decode_jpeg(images.parse_jpeg(saved(picture, "JPEG", quality=75, **options)))
    random = np.random.default_rng(3)
    wild: Pixels = np.clip(jpeg.samples + random.normal(0, 25, picture.shape), 0, 255).astype(np.uint8)
    limited = foreign.within_quantisation(jpeg.samples, wild, jpeg.layout)
    assert metrics.psnr(limited, picture) > metrics.psnr(wild, picture) + gain_db
    assert np.abs(foreign.within_quantisation(jpeg.samples, picture, jpeg.layout).astype(int) - picture).max() <= 3


def test_a_grey_picture_is_limited_too() -> None:
    picture = photograph()[..., 1]
    jpeg = images.decode_jpeg(images.parse_jpeg(saved(picture, "JPEG", quality=75)))
    wild = (255 - jpeg.samples).astype(np.uint8)
    limited = foreign.within_quantisation(jpeg.samples, wild, jpeg.layout)
    assert metrics.psnr(limited, picture) > metrics.psnr(wild, picture) + 10
