"""What is fuzzed in this process: functions of bytes that may raise `VirtualCodecError`, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
import traceback
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

from virtual_codec import bitstream
from virtual_codec.api._accept import choose
from virtual_codec.api._multipart import FormLimits, read_form
from virtual_codec.errors import BadInput, VirtualCodecError
from virtual_codec.images import ImageLimits, decode, probe
from virtual_codec.jobs import CompressOptions

MOST_CPU_S: Final = 2.0
LIMITS: Final = ImageLimits(max_pixels=2_000_000)


class Finding(Exception):
    """A promise that was not kept."""


def read_stream(data: bytes) -> None:
    """The walkers over a JPEG's markers agree with each other."""
    for start in (data, b"\xff\xd8" + data):
        try:
            header = bitstream.find(start)
            layout = bitstream.layout(start)
        except VirtualCodecError:
            continue
        if bitstream.find(bitstream.strip(start)) is not None:
            raise Finding("a segment of ours is left after strip")
        if header is not None and bitstream.find(bitstream.insert(bitstream.strip(start), header)) != header:
            raise Finding("what was found is not what is written again")
        if not (1 <= layout.scans <= bitstream.DEFAULT_MAX_SCANS and 1 <= layout.components <= 4):
            raise Finding(f"an impossible layout: {layout}")


def read_attached(data: bytes) -> None:
    """What WebP, AVIF and JPEG 2000 files hold is read without another failure, and a header is written as it was."""
    for codec in bitstream.CODEC_NAMES:
        found = bitstream.quantisation(data, codec)
        if found is not None and not all(0 < step < 1000 for step in (*found.luma, *found.chroma)):
            raise Finding(f"impossible steps: {found}")
        if bitstream.picture_bytes(data, codec) > len(data):
            raise Finding("the picture is larger than its file")
        with contextlib.suppress(VirtualCodecError):
            header = bitstream.find_attached(data, codec)
            bare = bitstream.detach(data, codec)
            if bitstream.find_attached(bare, codec) is not None:
                raise Finding("a header of ours is left after detach")
            if header and bitstream.find_attached(bitstream.attach(bare, header, codec), codec) != header:
                raise Finding("what was found is not what is written again")


def read_image(data: bytes) -> None:
    """What `decode` returns is what `probe` promised, and what `probe` refuses is refused."""
    promised: tuple[int, int] | None = None
    with contextlib.suppress(BadInput):
        promised = probe(data, limits=LIMITS)
    try:
        pixels = decode(data, limits=LIMITS)
    except BadInput:
        return
    if promised != pixels.shape[1::-1]:
        raise Finding(f"probe said {promised}, decode returned {pixels.shape}")


def read_request(data: bytes) -> None:
    """Forms, options and Accept headers."""
    head, _, body = data.partition(b"\0")
    text = head.decode("latin-1")
    choose([text], ["image/png", "image/webp"])
    with contextlib.suppress(VirtualCodecError):
        CompressOptions.parse(dict(pair.partition("=")[::2] for pair in text.split("&")))

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 37):
            yield body[start : start + 37]

    for content_type in (f"multipart/form-data; {text}", "multipart/form-data; boundary=x"):
        with contextlib.suppress(VirtualCodecError):
            asyncio.run(read_form(chunks(), content_type, FormLimits(max_fields=3, max_field_bytes=50)))


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "stream": read_stream,
    "attached": read_attached,
    "image": read_image,
    "request": read_request,
}


def check(target: str, data: bytes) -> str | None:
    """What is wrong with how the target took these bytes, in words; None when nothing is."""
    start = time.process_time()
    try:
        TARGETS[target](data)
    except Exception:
        return traceback.format_exc()
    seconds = time.process_time() - start
    return f"took {seconds:.1f} s of CPU" if seconds > MOST_CPU_S else None


def keep(folder: Path, target: str, data: bytes, fault: str) -> Path:
    """Write a finding: the bytes, and beside them what they did. One file for each place that raised."""
    folder.mkdir(parents=True, exist_ok=True)
    place = [line.strip() for line in fault.splitlines() if line.startswith("  File")][-1:] or [fault[:20]]
    name = f"{target}-{hashlib.sha256(place[0].encode()).hexdigest()[:10]}"
    (folder / f"{name}.bin").write_bytes(data)
    (folder / f"{name}.txt").write_text(fault)
    return folder / f"{name}.bin"
