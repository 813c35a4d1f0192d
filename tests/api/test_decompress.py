"""`POST /decompress`: the types on offer, what is measured for the queue, and what is refused."""

from __future__ import annotations

import httpx2
import pytest

from tests.api.conftest import Connect
from tests.api.pretend import SMALL, PretendPool, picture, problem
from virtual_codec import bitstream
from virtual_codec.jobs import RestoreOptions


def stream(scale: int = 2) -> bytes:
    """A stream of ours, 30x20 inside."""
    header = bitstream.StreamHeader(model="0badf00d", scale=scale, width_remainder=1, height_remainder=1)
    return bitstream.insert(picture("JPEG"), header)


async def test_any_jpeg_comes_back_as_a_png(client: httpx2.AsyncClient, pool: PretendPool) -> None:
    response = await client.post("/decompress", content=picture("JPEG"))
    assert response.status_code == 200
    assert response.headers["content-type"] == "image/png"
    assert response.headers["vary"] == "Accept"
    assert response.headers["vcodec-bpp"] == "0.1235"
    assert response.headers["vcodec-size"] == "30x20"
    assert "vcodec-quality" not in response.headers
    [(job, pixels)] = pool.jobs
    assert job.options == RestoreOptions(output="png", model=SMALL)
    assert pixels == 600


async def test_the_work_is_that_of_the_restored_image(client: httpx2.AsyncClient, pool: PretendPool) -> None:
    response = await client.post("/decompress", files={"file": ("a.jpg", stream())})
    assert response.status_code == 200
    assert pool.jobs[0][1] == 59 * 39


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "image/png"),
        ("image/*", "image/png"),
        ("", "image/png"),
        (" , ,", "image/png"),
        ("image/webp", "image/webp"),
        ("image/bmp", "image/bmp"),
        ("IMAGE/WEBP", "image/webp"),
        ("image/webp, image/png", "image/png"),
        ("image/webp, */*", "image/png"),
        ("image/webp, image/png;q=0.9", "image/webp"),
        ("image/avif, image/webp;q=0.8, */*;q=0.5", "image/webp"),
        ("image/png;q=0, image/*", "image/webp"),
        ("image/*;q=0.1, image/bmp;q=0.2", "image/bmp"),
        ("text/html, nonsense, image/bmp;q=high, image/webp;q=0.001", "image/webp"),
    ],
)
async def test_accept_decides_and_png_on_ties(client: httpx2.AsyncClient, accept: str, media_type: str) -> None:
    response = await client.post("/decompress", content=picture("JPEG"), headers={"Accept": accept})
    assert response.status_code == 200
    assert response.headers["content-type"] == media_type


@pytest.mark.parametrize("accept", ["text/html", "image/jpeg", "image/*;q=0", "*/*;q=0"])
async def test_an_unacceptable_type_is_refused_with_the_acceptable_ones(
    client: httpx2.AsyncClient, pool: PretendPool, accept: str
) -> None:
    response = await client.post("/decompress", content=picture("JPEG"), headers={"Accept": accept})
    assert "image/webp" in problem(response, 406, "not_acceptable")["detail"]
    assert response.headers["vary"] == "Accept"
    assert pool.jobs == []


async def test_there_are_no_options(client: httpx2.AsyncClient) -> None:
    problem(await client.post("/decompress?quality=5", content=picture("JPEG")), 422, "bad_option")
    response = await client.post("/decompress", files={"file": ("a.jpg", picture("JPEG"))}, data={"scale": "1"})
    problem(response, 422, "bad_option")


async def test_a_damaged_segment_of_ours_is_refused(client: httpx2.AsyncClient, pool: PretendPool) -> None:
    place = stream().index(b"VCDC")
    damaged = stream()[: place + 6] + b"\x55" + stream()[place + 7 :]
    problem(await client.post("/decompress", content=damaged), 422, "bad_stream")
    assert pool.jobs == []


async def test_a_stream_whose_restored_image_is_too_large_is_refused(connect: Connect) -> None:
    async with connect(max_pixels=2000) as client:
        assert (await client.post("/decompress", content=picture("JPEG"))).status_code == 200
        body = problem(await client.post("/decompress", content=stream()), 413, "too_many_pixels")
        assert body["limit"] == 2000


async def test_other_formats_cannot_be_restored(client: httpx2.AsyncClient, pool: PretendPool) -> None:
    problem(await client.post("/decompress", content=picture("PNG")), 415, "unsupported_format")
    problem(await client.post("/decompress", content=b"nothing"), 415, "unsupported_format")
    assert pool.jobs == []


@pytest.mark.parametrize("form", ["WEBP", "AVIF", "JPEG2000"])
async def test_other_peoples_files_of_every_codec_are_taken(
    client: httpx2.AsyncClient, pool: PretendPool, form: str
) -> None:
    response = await client.post("/decompress", content=picture(form))
    assert response.status_code == 200
    assert response.headers["content-type"] == "image/png"
    assert pool.jobs[0][1] == 600
