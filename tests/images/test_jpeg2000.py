"""JPEG 2000 inputs: what is read, what is refused before it costs anything, and what is not whole."""

from __future__ import annotations

import time

import numpy as np
import pytest
from PIL import Image

from tests.images.pictures import SRGB_D50, rgb_profile, smooth, written
from virtual_codec import bitstream
from virtual_codec.errors import BadInput, ProfileTooLarge, TooManyPixels, TooManySegments, UndecodableImage
from virtual_codec.images import ImageLimits, decode, probe, sniff

PICTURE = smooth(40, 56)


def patched(file: bytes, old: bytes, new: bytes) -> bytes:
    assert file.count(old) >= 1
    return file.replace(old, new, 1)


def siz(file: bytes, place: int, value: int, size: int = 4) -> bytes:
    """The file with a number of its SIZ segment changed, `place` bytes into the code stream."""
    start = file.index(b"\xff\x4f\xff\x51") + place
    return file[:start] + value.to_bytes(size, "big") + file[start + size :]


def cod(file: bytes, place: int, value: int) -> bytes:
    """The file with a byte of its COD segment changed."""
    start = file.index(b"\xff\x52\0\x0c") + place
    return file[:start] + bytes([value]) + file[start + 1 :]


@pytest.mark.parametrize("no_jp2", [False, True])
def test_both_kinds_of_files_are_read(no_jp2: bool) -> None:
    file = written(PICTURE, "JPEG2000", no_jp2=no_jp2)
    assert sniff(file) == "jpeg2000"
    assert probe(file) == (PICTURE.shape[1], PICTURE.shape[0])
    assert np.array_equal(decode(file), PICTURE)


def test_grey_alpha_and_tiles_are_read() -> None:
    grey = PICTURE[..., 0].copy()
    assert np.array_equal(decode(written(grey, "JPEG2000")), grey)
    clear = np.dstack([PICTURE, np.zeros(PICTURE.shape[:2], np.uint8)])
    assert (decode(written(clear, "JPEG2000"), background=(1, 2, 3)) == (1, 2, 3)).all()
    assert np.array_equal(decode(written(PICTURE, "JPEG2000", tile_size=(16, 16))), PICTURE)


def test_sixteen_bits_of_grey_become_eight() -> None:
    wide = (np.arange(40 * 56, dtype=np.uint16) * 29).reshape(40, 56)
    found = decode(written(Image.fromarray(wide), "JPEG2000"))
    assert np.abs(found.astype(int) - wide / 257).max() <= 1


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_refused(share: float) -> None:
    for file in (written(PICTURE, "JPEG2000"), written(PICTURE, "JPEG2000", no_jp2=True)):
        with pytest.raises(UndecodableImage):
            decode(file[: int(share * len(file))])


def test_sizes_are_refused_by_the_header_alone() -> None:
    file = written(PICTURE, "JPEG2000", no_jp2=True)
    with pytest.raises(TooManyPixels):
        probe(siz(siz(file, 8, 30_000), 12, 30_000))
    with pytest.raises(UndecodableImage, match="no pixels"):
        probe(siz(file, 8, 0))


def test_parts_without_number_are_refused() -> None:
    file = written(PICTURE, "JPEG2000", no_jp2=True)
    with pytest.raises(TooManySegments, match="tiles"):
        decode(siz(siz(siz(siz(file, 8, 7000), 12, 7000), 24, 1), 28, 1))
    large = siz(siz(siz(siz(file, 8, 7000), 12, 7000), 24, 7000), 28, 7000)
    with pytest.raises(TooManySegments, match="code blocks"):
        decode(cod(cod(large, 10, 0), 11, 0))
    with pytest.raises(TooManySegments, match="layers"):
        decode(cod(file, 6, 255))


def test_other_limits_hold() -> None:
    file = written(PICTURE, "JPEG2000")
    with pytest.raises(TooManySegments):
        decode(file, limits=ImageLimits(max_segments=3))
    with pytest.raises(UndecodableImage, match="5 components"):
        decode(siz(file, 40, 5, 2))
    with pytest.raises(UndecodableImage, match="signed"):
        decode(siz(file, 42, 0x87, 1))


def test_a_profile_is_applied_and_limited() -> None:
    profile = rgb_profile(SRGB_D50, 1.0)
    file = written(PICTURE, "JPEG2000")
    head = next(box for box in bitstream.boxes(file) if box.kind == b"jp2h")
    colour = next(box for box in bitstream.boxes(file, head.start, head.end) if box.kind == b"colr")
    body = b"\2\0\0" + profile
    box = (8 + len(body)).to_bytes(4, "big") + b"colr" + body
    inside = file[head.start : colour.start - 8] + box + file[colour.end : head.end]
    with_profile = file[: head.start - 8] + (8 + len(inside)).to_bytes(4, "big") + b"jp2h" + inside + file[head.end :]
    assert decode(with_profile).mean() > PICTURE.mean() + 10  # a linear profile brightens
    with pytest.raises(ProfileTooLarge):
        decode(with_profile, limits=ImageLimits(max_profile_bytes=len(profile) - 1))


def test_damage_is_refused_or_shown_but_never_fails() -> None:
    file = written(PICTURE, "JPEG2000")
    random = np.random.default_rng(5)
    started = time.process_time()
    for _ in range(150):
        broken = bytearray(file)
        for _ in range(3):
            broken[random.integers(0, min(len(file), 260))] = random.integers(0, 256)
        try:
            pixels = decode(bytes(broken), limits=ImageLimits(max_pixels=1_000_000))
        except BadInput:
            continue
        assert pixels.ndim in (2, 3)
    assert time.process_time() - started < 30
