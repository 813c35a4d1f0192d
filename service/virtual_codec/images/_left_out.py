"""Parts of an image that its stream does not keep: metadata and transparency."""

from __future__ import annotations

import contextlib
from typing import get_args

from virtual_codec.errors import UndecodableImage
from virtual_codec.images._exif_rewrite import ExifContents, exif_contents
from virtual_codec.images._metadata import stored_metadata
from virtual_codec.images._xmp import rewrite_xmp
from virtual_codec.jobs import LeftOut, MetadataChoice


def left_out(image: bytes, choice: MetadataChoice, *, is_flattened: bool = False) -> tuple[LeftOut, ...]:
    """Kinds of metadata of a valid image file that `choice` drops and another choice would keep.

    Location and maker notes are named only if the EXIF or XMP data around them is kept. Damaged data, which cannot be
    kept, counts as absent. XMP data that is dropped as a whole is neither inflated nor parsed. `is_flattened` adds
    transparency.
    """
    found: set[LeftOut] = {"transparency"} if is_flattened else set()
    with contextlib.suppress(UndecodableImage):
        stored = stored_metadata(image, inflates=choice == "xmp")
        if stored.xmp and choice in ("none", "exif"):
            found.add("xmp")
        if stored.xmp and choice == "xmp" and _has_location(stored.xmp):
            found.add("location")
        if stored.exif and choice != "all":
            found |= _exif_left_out(exif_contents(stored.exif), is_kept=choice == "exif")
    return tuple(kind for kind in get_args(LeftOut) if kind in found)


def _exif_left_out(found: ExifContents, *, is_kept: bool) -> set[LeftOut]:
    if not is_kept:
        return {"exif"} if found.is_descriptive else set()
    named: dict[LeftOut, bool] = {"location": found.has_location, "maker-notes": found.has_maker_note}
    return {kind for kind, is_there in named.items() if is_there}


def _has_location(packet: bytes) -> bool:
    return rewrite_xmp(packet, is_complete=True) != rewrite_xmp(packet, is_complete=False)
