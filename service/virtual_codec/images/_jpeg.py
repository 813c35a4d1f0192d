"""JPEG files, and MPO files of phones, whose first picture is used."""

from __future__ import annotations

from PIL import Image

from virtual_codec import bitstream
from virtual_codec.errors import UndecodableImage
from virtual_codec.images._exif import Exif, read_exif
from virtual_codec.images._limits import ImageLimits
from virtual_codec.images._stripped import StrippedFile

_APP0, _APP1, _APP2, _APP14, _APP15, _COM = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF, 0xFE
_SOS, _EOI = 0xDA, 0xD9
_FRAMES, _PROGRESSIVE = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA, 0xCB}), frozenset({0xC2, 0xCA})
_END_OF_IMAGE = b"\xff\xd9"
_PROFILE_PREFIX = b"ICC_PROFILE\0"

# A Huffman code has at least one bit. A block has one code for DC and, if its scan is not split, one for its end.
_MIN_BITS_PER_BLOCK = {"baseline": 2, "extended": 2, "progressive": 1}


def strip(file: bytes, limits: ImageLimits) -> StrippedFile:
    """Strip a JPEG as `strip_with_layout` does."""
    return strip_with_layout(file, limits)[0]


def strip_with_layout(file: bytes, limits: ImageLimits) -> tuple[StrippedFile, bitstream.JpegLayout]:
    """Strip a JPEG to the segments needed for pixels, with an end-of-image. Scans are counted before decoding."""
    file = _with_end_of_image(file, limits)
    found = bitstream.layout(file, max_scans=limits.max_scans, max_segments=limits.max_segments)
    limits.check(found.width, found.height)
    if found.precision != 8:
        raise UndecodableImage(f"the JPEG has {found.precision} bits a sample; only 8 are supported")
    _check_data_size(found)
    exif: Exif | None = None
    position = 2
    kept = [file[:2]]
    profile_bytes = 0
    for segment in bitstream.leading_segments(file, limits.max_segments):
        position = segment.end
        body = file[segment.start + 4 : segment.end]
        if segment.marker == _APP1 and exif is None and body.startswith(b"Exif\0\0"):
            exif = read_exif(body[6:])
        is_metadata = _APP0 <= segment.marker <= _APP15 or segment.marker == _COM
        if is_profile := segment.marker == _APP2 and body.startswith(_PROFILE_PREFIX):
            profile_bytes += len(body) - len(_PROFILE_PREFIX) - 2  # two more number the pieces
            limits.check_profile(profile_bytes)
        if not is_metadata or segment.marker in (_APP0, _APP14) or is_profile:
            kept.append(file[segment.start : segment.end])
    scans = file[file.index(b"\xff\xda", position) :]
    # Fill bytes may precede any marker. A decoder that reads in pieces rescans a long run of them with every piece: 60
    # MB of them take 19 s.
    while b"\xff\xff" in scans:
        scans = scans.replace(b"\xff\xff", b"\xff")
    kept.append(scans)
    size = found.width, found.height
    exif = exif or Exif()
    return StrippedFile(file=b"".join(kept), size=size, orientation=exif.orientation, space=exif.space), found


def check_whole(stripped: StrippedFile, _loaded: Image.Image) -> None:
    """Raise `UndecodableImage` if a scan lacks data or scans are missing, which decoders accept."""
    from virtual_codec.codecs import check_scans_complete  # compiled loops, not needed in the API process

    check_scans_complete(stripped.file)


def _with_end_of_image(file: bytes, limits: ImageLimits) -> bytes:
    """File with an end-of-image, added if it is missing.

    Some phones and panorama tools omit it, and may append other data. A sequential JPEG is complete once each component
    has had a scan, so the file is cut there. A progressive one is cut after the data of its last scan.
    """
    frame: bitstream.Segment | None = None
    missing: set[int] = set()
    end = 0  # of the data of the last scan that the picture needs
    for segment in bitstream.segments(file, limits.max_segments):
        if segment.marker == _EOI:
            return file
        if segment.marker in _FRAMES and frame is None:
            frame = segment
            missing = set(file[segment.start + 10 : segment.end : 3])
        elif segment.marker == _SOS and frame is not None and (missing or frame.marker in _PROGRESSIVE):
            missing -= set(file[segment.start + 5 : segment.end - 3 : 2])
            end = bitstream.next_marker(file, segment.end)
    return (file[:end] if end else file) + _END_OF_IMAGE


def _check_data_size(found: bitstream.JpegLayout) -> None:
    """Raise `UndecodableImage` if there is less data than the fewest possible bits of all blocks.

    Decoders fill missing blocks with grey, which takes as long as decoding them.
    """
    widest, highest = (max(factors) for factors in zip(*found.sampling, strict=True))
    blocks = 0
    for across, down in found.sampling:
        columns, rows = -(-found.width * across // widest), -(-found.height * down // highest)
        blocks += -(-columns // 8) * -(-rows // 8)
    if 8 * found.entropy_bytes < blocks * _MIN_BITS_PER_BLOCK.get(found.process, 0):
        raise UndecodableImage(
            f"the JPEG is truncated: {found.entropy_bytes} bytes cannot hold {found.width}x{found.height} pixels"
        )
