"""A JPEG whose scans were cut is refused, wherever they were cut; one that is merely odd is not."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from virtual_codec import images
from virtual_codec.codecs import CODECS, JpegSettings, check_scans_complete
from virtual_codec.errors import UndecodableImage

END = b"\xff\xd9"
Pixels = NDArray[np.uint8]


def face() -> Pixels:
    """40 x 32 pixels of a portrait: busy in places, flat in others."""
    portrait: Pixels = data.astronaut()[96:160, 176:256]  # type: ignore[no-untyped-call]
    return portrait[::2, ::2].copy()


def written(picture: Pixels | Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(file, "JPEG", **options)
    return file.getvalue()


def decoded(jpeg: bytes) -> Pixels:
    with Image.open(io.BytesIO(jpeg)) as image:
        return np.array(image)


def own(picture: Pixels) -> bytes:
    return CODECS["jpeg"].encode(picture, JpegSettings(step=12.0))


def optimised(picture: Pixels) -> bytes:
    """Progressive, with scans of mozjpeg's choice, where it is installed."""
    return CODECS["jpeg"].optimise_scans(written(picture, quality=85))


def lossless(components: int, data_bytes: int) -> bytes:
    """16 x 8 samples of 128, by hand: each is predicted rightly, and says so by a bit."""

    def segment(marker: int, body: bytes) -> bytes:
        return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body

    frame = bytes([8, 0, 8, 0, 16, components]) + b"".join(bytes([it, 0x11, 0]) for it in range(components))
    scan = bytes([components]) + b"".join(bytes([it, 0]) for it in range(components)) + bytes([1, 0, 0])
    codes = bytes([0, 1, *bytes(15), 0])
    head = b"\xff\xd8" + segment(0xC3, frame) + segment(0xC4, codes) + segment(0xDA, scan)
    return head + bytes(data_bytes) + END


KINDS: dict[str, Callable[[], bytes]] = {
    "baseline": lambda: written(face()),
    "4:2:2": lambda: written(face(), subsampling=1),
    "4:4:4, codes of its own": lambda: written(face(), subsampling=0, optimize=True),
    "grey": lambda: written(face()[..., 1]),
    "four components": lambda: written(Image.fromarray(face()[:16, :24]).convert("CMYK"), quality=30),
    "restarts": lambda: written(face(), restart_marker_blocks=1),
    "restarts of rows": lambda: written(face(), restart_marker_rows=1),
    "progressive": lambda: written(face(), progressive=True),
    "progressive grey": lambda: written(face()[..., 1], progressive=True, quality=95),
    "progressive with restarts": lambda: written(face(), progressive=True, restart_marker_blocks=3),
    "mozjpeg": lambda: optimised(face()),
    "of this project": lambda: own(face()),
}


def cuts(jpeg: bytes) -> Iterator[bytes]:
    """The file without each of its ends in turn, from the first byte of its first scan on, but with its last marker."""
    for length in range(jpeg.index(b"\xff\xda"), len(jpeg) - len(END)):
        yield jpeg[:length] + END


def check_cuts(jpeg: bytes) -> None:
    whole, accepted = images.decode(jpeg), 0
    for cut in cuts(jpeg):
        try:
            found = images.decode(cut)
        except UndecodableImage:
            continue
        assert np.array_equal(found, whole), f"{len(cut)} of {len(jpeg)} bytes"
        accepted += 1
    assert accepted <= 1  # a last byte of nothing but padding


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_is_seen_wherever_it_is(kind: str) -> None:
    check_cuts(KINDS[kind]())


@pytest.mark.parametrize("components", [1, 3])
def test_a_lossless_one_that_was_cut_is_refused(components: int) -> None:
    enough = 16 * components
    check_scans_complete(lossless(components, enough))
    assert decoded(lossless(components, enough)).mean() == 128
    for size in range(enough):
        with pytest.raises(UndecodableImage, match="truncated"):
            check_scans_complete(lossless(components, size))


def test_data_after_a_cut_does_not_hide_it() -> None:
    """Some decoders report only the first error, and surplus bytes count as one."""
    jpeg = written(face(), progressive=True)
    scans = [place for place in range(len(jpeg)) if jpeg[place : place + 2] == b"\xff\xda"]
    second = jpeg.index(b"\xff", scans[0] + 2)  # where its data ends
    odd = jpeg[:second] + b"odd" + jpeg[second:]
    check_scans_complete(odd)
    with pytest.raises(UndecodableImage, match="truncated"):
        check_scans_complete(odd[:-20] + END)


def test_a_lost_restart_is_a_cut() -> None:
    jpeg = written(face(), restart_marker_blocks=1)
    first, second, third = (jpeg.index(bytes([0xFF, 0xD0 | it])) for it in range(3))
    for lost in (jpeg[:first] + jpeg[second:], jpeg[: first + 2] + jpeg[second:], jpeg[:second] + jpeg[third:]):
        with pytest.raises(UndecodableImage, match="truncated"):
            check_scans_complete(lost)


def test_restarts_are_taken_as_libjpeg_takes_them() -> None:
    jpeg = written(face(), restart_marker_blocks=1)
    far = jpeg.replace(b"\xff\xd1", b"\xff\xd5")  # of a number that is nobody's near here: the one expected
    twice = jpeg.replace(b"\xff\xd2", b"\xff\xd1\xff\xd2")  # one of the last two: passed over
    for odd in (far, twice):
        check_scans_complete(odd)
        assert np.array_equal(decoded(odd), decoded(jpeg))


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_too_many_are_no_matter(kind: str) -> None:
    jpeg = KINDS[kind]()
    scan = jpeg.index(b"\xff\xda")
    oddities = {
        "after the end": jpeg + b"more",
        "before the end": jpeg[:-2] + bytes(50) + END,
        "before the first scan": jpeg[:scan] + b"\0junk" + jpeg[scan:],
        "fill bytes": jpeg[:-2] + b"\xff" * 9 + END,
        "no end": jpeg[:-2],
    }
    for name, odd in oddities.items():
        check_scans_complete(odd)
        if name != "no end":
            assert np.array_equal(decoded(odd), decoded(jpeg)), name


def test_motion_jpeg_leaves_out_the_standard_codes() -> None:
    jpeg = written(face())
    bare = jpeg
    while (start := bare.find(b"\xff\xc4")) >= 0:
        bare = bare[:start] + bare[start + 2 + int.from_bytes(bare[start + 2 : start + 4], "big") :]
    assert np.array_equal(decoded(bare), decoded(jpeg))
    check_cuts(bare)


def test_a_code_that_does_not_exist_is_damage() -> None:
    jpeg = written(np.zeros((64, 64), np.uint8), optimize=True)
    start = jpeg.index(b"\xff\xda")
    data_start = start + 2 + int.from_bytes(jpeg[start + 2 : start + 4], "big")
    with pytest.raises(UndecodableImage, match="damaged"):
        check_scans_complete(jpeg[:data_start] + b"\xfe" * 500 + END)


@pytest.mark.parametrize("seed", range(4))
def test_damage_raises_nothing_else(seed: int) -> None:
    random = np.random.default_rng(seed)
    for jpeg in (KINDS[kind]() for kind in ("baseline", "restarts", "progressive")):
        for _ in range(60):
            damaged = bytearray(jpeg)
            for place in random.integers(2, len(jpeg), 2):
                damaged[place] = random.integers(0, 256)
            with suppress(UndecodableImage):
                check_scans_complete(bytes(damaged))
