"""Metadata over HTTP: what a stream keeps of an image's EXIF and XMP, and the restored file after it."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.models import make_store
from tests.pictures import saved, scene
from virtual_codec import images
from virtual_codec.api import create_app
from virtual_codec.errors import BadOption, UndecodableImage
from virtual_codec.settings import Settings

ORIENTATION, MAKE, THUMBNAIL, EXIF_IFD, GPS_IFD, EXPOSURE, NOTE = 0x112, 0x10F, 0x201, 0x8769, 0x8825, 0x829A, 0x927C
XMP = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    b'xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
    b'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4" tiff:Orientation="6" exif:GPSLatitude="52,30N">'
    b"<exif:GPSLongitude>13,24E</exif:GPSLongitude><xmp:Thumbnails>pixels</xmp:Thumbnails>"
    b'</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)


def tagged(form: str) -> bytes:
    """Image file of 90x60 pixels with EXIF data (turned, with place and thumbnail) and XMP data."""
    exif = Image.Exif()
    exif[ORIENTATION], exif[MAKE] = 6, "Camera"
    exif.get_ifd(EXIF_IFD).update({EXPOSURE: 0.01, NOTE: b"private note"})
    exif.get_ifd(GPS_IFD).update({1: "N", 2: (52.0, 30.0, 0.0)})
    exif.get_ifd(0xA005)
    file = io.BytesIO()
    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", XMP.decode())
    xmp: dict[str, Any] = {"pnginfo": text} if form == "PNG" else {"xmp": XMP}
    Image.fromarray(scene(60, 90)).save(file, form, exif=exif, **xmp)
    return file.getvalue()


@contextlib.asynccontextmanager
async def serving(root: Path) -> AsyncIterator[httpx2.AsyncClient]:
    make_store(root)
    app = create_app(Settings.load(model_store=root, pool="inline"))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test", timeout=60) as client,
    ):
        yield client


def shown(file: bytes) -> tuple[dict[int, Any], dict[int, Any], dict[int, Any], bytes]:
    """First, camera and location directory of the EXIF data, and the XMP packet, as Pillow reads them."""
    with Image.open(io.BytesIO(file)) as image:
        image.load()
        exif = image.getexif()
        camera, location = dict(exif.get_ifd(EXIF_IFD)), dict(exif.get_ifd(GPS_IFD))
        main = {tag: value for tag, value in exif.items() if tag not in (EXIF_IFD, GPS_IFD)}
        return main, camera, location, image.info.get("xmp", b"")


async def test_a_stream_and_its_restored_file_keep_what_was_chosen(tmp_path: Path) -> None:
    image = tagged("JPEG")
    async with serving(tmp_path / "store") as client:
        for choice in ("none", "exif", "xmp", "all"):
            made = await client.post(f"/compress?metadata={choice}&effort=0", content=image)
            assert made.status_code == 200, made.text
            assert made.headers["vcodec-size"] == "60x90"
            files = [made.content]
            for accept in ("image/png", "image/webp"):
                back = await client.post("/decompress", content=made.content, headers={"Accept": accept})
                assert back.status_code == 200, back.text
                files.append(back.content)
            for file in files:
                main, camera, location, xmp = shown(file)
                assert main.get(MAKE) == ("Camera" if choice in ("exif", "all") else None)
                assert main.get(ORIENTATION, 1) == 1
                assert (EXPOSURE in camera) == (choice in ("exif", "all"))
                assert (NOTE in camera) == (choice == "all")
                assert bool(location) == (choice == "all")
                assert (b'Rating="4"' in xmp) == (choice in ("xmp", "all"))
                assert (b"GPSLatitude" in xmp) == (b"GPSLongitude" in xmp) == (choice == "all")
                assert b"Thumbnails" not in xmp
                assert b'Orientation="6"' not in xmp


async def test_a_target_size_counts_the_metadata(tmp_path: Path) -> None:
    image = tagged("JPEG")
    async with serving(tmp_path / "store") as client:
        plain = len((await client.post("/compress?effort=0&quality=30", content=image)).content)
        made = await client.post(f"/compress?effort=0&metadata=all&max_bytes={plain + 1500}", content=image)
        assert len(made.content) <= plain + 1500
        assert shown(made.content)[3]
        for target in ("max_bytes=200", "max_bpp=0.1"):
            refused = await client.post(f"/compress?effort=0&metadata=all&{target}", content=image)
            assert (refused.status_code, refused.json()["code"]) == (422, "unreachable_target")
            assert "metadata" in refused.json()["detail"]


async def test_metadata_of_other_peoples_jpegs_is_not_passed_on(tmp_path: Path) -> None:
    async with serving(tmp_path / "store") as client:
        back = await client.post("/decompress", content=tagged("JPEG"))
        assert shown(back.content) == ({}, {}, {}, b"")


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_every_format_that_has_metadata_is_read(form: str) -> None:
    found = images.read_metadata(tagged(form), "all")
    assert found.exif is not None
    assert b"Camera" in found.exif
    assert found.xmp is not None
    assert b'Rating="4"' in found.xmp


def test_a_tiff_gives_its_description_and_nothing_of_its_strips() -> None:
    file = io.BytesIO()
    Image.fromarray(np.zeros((400, 400, 3), np.uint8)).save(file, "TIFF", tiffinfo={MAKE: "Camera", 700: XMP})
    found = images.read_metadata(file.getvalue(), "all")
    assert found.exif is not None
    assert b"Camera" in found.exif
    assert len(found.exif) < 300
    assert found.xmp is not None


@pytest.mark.parametrize("form", ["BMP", "GIF"])
def test_formats_without_metadata_have_none(form: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, form)
    assert images.read_metadata(file.getvalue(), "all") == images.Metadata()


@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"II*\0",
        b"II*\0\xff\xff\xff\xff",
        b"XX*\0\x08\0\0\0\0\0",
        b"II*\0" + struct.pack("<IH", 8, 65_535),
        b"II*\0" + struct.pack("<IHHHII", 8, 1, 0x010F, 2, 2**31, 8),
        b"II*\0" + struct.pack("<IHHHII", 8, 1, 0x8769, 4, 1, 2**31),
        b"II*\0" + struct.pack("<IHHHII", 8, 1, 0x8769, 4, 1, 8),  # a directory that is its own
    ],
)
def test_damaged_exif_data_is_refused_or_empty(exif: bytes) -> None:
    jpeg = tagged("JPEG")[:2] + b"\xff\xe1" + struct.pack(">H", 8 + len(exif)) + b"Exif\0\0" + exif + tagged("JPEG")[2:]
    with contextlib.suppress(UndecodableImage):
        found = images.read_metadata(jpeg, "exif")
        assert found.exif is None or len(found.exif) < 1000


@pytest.mark.parametrize(
    "xmp",
    [
        b"<x",
        b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><x>&b;</x>',
        '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE x><x/>'.encode("utf-16"),
        b"<x>" * 50_000,
        b"<x>" * 50_000 + b"</x>" * 50_000,
    ],
)
def test_damaged_xmp_data_is_refused(xmp: bytes) -> None:
    body = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp)
    chunk = struct.pack(">I", len(body)) + b"iTXt" + body + struct.pack(">I", zlib.crc32(b"iTXt" + body))
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "PNG")
    png = file.getvalue()
    with pytest.raises(UndecodableImage, match="metadata=none"):
        images.read_metadata(png[:33] + chunk + png[33:], "xmp")


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_the_parts_that_a_choice_leaves_out_are_listed(form: str) -> None:
    image = tagged(form)
    assert images.left_out(image, "none") == ("exif", "xmp")
    assert images.left_out(image, "exif") == ("xmp", "location", "maker-notes")
    assert images.left_out(image, "xmp") == ("exif", "location")
    assert images.left_out(image, "all") == ()


def test_a_file_without_metadata_leaves_nothing_out() -> None:
    for form in ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF"):
        file = io.BytesIO()
        Image.new("RGB", (4, 4)).save(file, form)
        assert images.left_out(file.getvalue(), "none") == (), form
    exif = b"II*\0\xff\xff\xff\xff"  # damaged: no choice could keep it
    jpeg = tagged("JPEG")
    start = jpeg.index(b"Exif\0\0")
    jpeg = jpeg[: start + 6] + exif + jpeg[start + 14 :]
    assert images.left_out(jpeg, "none") == ("xmp",)


async def test_answers_say_what_the_stream_does_not_keep(tmp_path: Path) -> None:
    pixels = np.dstack([scene(20, 30), np.full((20, 30), 255, np.uint8)])
    opaque, clear = saved(pixels), saved(np.dstack([scene(20, 30), np.arange(600, dtype=np.uint8).reshape(20, 30)]))
    async with serving(tmp_path / "store") as client:
        for query, image, left_out in (
            ("", tagged("JPEG"), "exif, xmp"),
            ("&metadata=exif", tagged("JPEG"), "xmp, location, maker-notes"),
            ("&metadata=all", tagged("JPEG"), None),
            ("", opaque, None),
            ("", clear, "transparency"),
        ):
            made = await client.post(f"/compress?effort=0{query}", content=image)
            assert made.headers.get("vcodec-left-out") == left_out
            assert 10 < float(made.headers["vcodec-psnr"]) < 60


def test_metadata_that_no_segment_holds_is_refused() -> None:
    with pytest.raises(BadOption, match="a JPEG holds 65504"):
        images.metadata_segments(images.Metadata(xmp=bytes(70_000)))
