"""JPEG, and the MPO of a phone, of which the first picture is read."""

from __future__ import annotations

from service import bitstream
from service.errors import UndecodableImage
from service.images._essence import Essence
from service.images._limits import ImageLimits
from service.images._tiff import exif_orientation

_APP0, _APP1, _APP2, _APP14, _APP15, _COM = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF, 0xFE
_PROFILE = b"ICC_PROFILE\0"


def essence(file: bytes, limits: ImageLimits) -> Essence:
    """Only the segments that make pixels, before the first scan. Counts scans before any is decoded."""
    found = bitstream.layout(file, max_scans=limits.max_scans, max_segments=limits.max_segments)
    limits.check(found.width, found.height)
    if found.precision != 8:
        raise UndecodableImage(f"the JPEG has {found.precision} bits a sample; only 8 are read here")
    orientation: int | None = None
    position = 2
    kept = [file[:2]]
    profile_bytes = 0
    for segment in bitstream.leading_segments(file, limits.max_segments):
        position = segment.end
        body = file[segment.start + 4 : segment.end]
        if segment.marker == _APP1 and orientation is None and body.startswith(b"Exif\0\0"):
            orientation = exif_orientation(body[6:])
        is_metadata = _APP0 <= segment.marker <= _APP15 or segment.marker == _COM
        if is_profile := segment.marker == _APP2 and body.startswith(_PROFILE):
            profile_bytes += len(body) - len(_PROFILE) - 2  # two more number the pieces
            limits.check_profile(profile_bytes)
        if not is_metadata or segment.marker in (_APP0, _APP14) or is_profile:
            kept.append(file[segment.start : segment.end])
    scans = file[file.index(b"\xff\xda", position) :]
    # Fill bytes may stand before any marker; a decoder that is fed piecemeal starts a long run of them again
    # with every piece: 60 MB of them take it 19 s.
    while b"\xff\xff" in scans:
        scans = scans.replace(b"\xff\xff", b"\xff")
    kept.append(scans)
    return Essence(file=b"".join(kept), size=(found.width, found.height), orientation=orientation or 1)
