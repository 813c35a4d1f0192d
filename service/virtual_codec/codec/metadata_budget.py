"""Target sizes of streams, reduced by the size of the metadata that is added later."""

from __future__ import annotations

from dataclasses import replace

from virtual_codec.errors import UnreachableTarget
from virtual_codec.jobs import CompressOptions


def without_metadata(options: CompressOptions, metadata_bytes: int, pixels: int) -> CompressOptions:
    """Options for the stream without its metadata. Raises `UnreachableTarget` if the metadata alone is too large."""
    if options.max_bytes is not None:
        left: float = options.max_bytes - metadata_bytes
        if left < 1:
            raise UnreachableTarget(
                f"the metadata alone has {metadata_bytes} bytes; allow more bytes, or drop it with metadata=none",
                limit=options.max_bytes,
                actual=metadata_bytes,
            )
        return replace(options, max_bytes=int(left))
    if options.max_bpp is not None:
        left = options.max_bpp - 8 * metadata_bytes / pixels
        if left <= 0:
            raise UnreachableTarget(
                f"the metadata alone has {metadata_bytes} bytes; allow more bytes, or drop it with metadata=none",
                limit=options.max_bpp,
                actual=8 * metadata_bytes / pixels,
            )
        return replace(options, max_bpp=left)
    return options
