"""Small files of every format and variant that is read, for mutations to start from."""

from __future__ import annotations

import struct
from functools import cache

import numpy as np
from PIL import Image

from tests.images.pictures import SRGB_D50, exif_tiff, rgb_profile, tiff, written
from virtual_codec import bitstream

_WIDTH, _HEIGHT = 19, 13


@cache
def seeds() -> dict[str, bytes]:
    """Files by name. Each is a few hundred bytes, so that a wrong byte often hits something that matters."""
    profile, exif = rgb_profile(SRGB_D50, 2.2), b"Exif\0\0" + exif_tiff(6)
    colour = _picture("RGB")
    files = {
        "jpeg": written(colour, "JPEG", quality=60),
        "jpeg-progressive": written(colour, "JPEG", progressive=True, quality=40),
        "jpeg-restarts": written(colour, "JPEG", restart_marker_blocks=1, subsampling=0),
        "jpeg-grey": written(_picture("L"), "JPEG"),
        "jpeg-cmyk": written(_picture("CMYK"), "JPEG"),
        "jpeg-metadata": written(colour, "JPEG", exif=exif, icc_profile=profile, comment=b"hello"),
        "png": written(colour, "PNG"),
        "png-metadata": written(colour, "PNG", exif=exif, icc_profile=profile),
        "png-palette": written(colour.quantize(16), "PNG", transparency=3),
        "png-bits": written(_picture("1"), "PNG"),
        "png-alpha": written(_picture("LA"), "PNG"),
        "png-16": written(Image.fromarray(np.arange(247, dtype=np.uint16).reshape(13, 19) * 255), "PNG"),
        "webp": written(colour, "WEBP", quality=30),
        "webp-lossless": written(_picture("RGBA"), "WEBP", lossless=True, exif=exif, icc_profile=profile),
        "webp-alpha": written(_picture("RGBA"), "WEBP", quality=10),
        "gif": written(colour.quantize(8), "GIF", transparency=1),
        "gif-interlaced": written(colour.quantize(4), "GIF", interlace=1, comment=b"hi"),
        "bmp": written(colour, "BMP"),
        "bmp-palette": written(colour.quantize(16), "BMP"),
        "bmp-runs": _runs(),
        "avif": written(colour, "AVIF", quality=20, speed=10, exif=exif),
        "jpeg2000": written(colour, "JPEG2000"),
        "jpeg2000-lossy": written(
            colour, "JPEG2000", quality_layers=[40, 10], irreversible=True, no_jp2=True, tile_size=(8, 8)
        ),
        "jpeg2000-alpha": written(_picture("LA"), "JPEG2000"),
    }
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "zstd"):
        files[f"tiff-{compression}"] = written(colour, "TIFF", compression=compression)
    files["tiff-fax"] = written(_picture("1"), "TIFF", compression="group4")
    files["tiff-big-endian"] = tiff({256: 4, 257: 4, 258: 8, 259: 1, 262: 1, 274: 6}, bytes(16), order=">")
    header = bitstream.StreamHeader(model="4f6c3978", scale=2, width_remainder=2, height_remainder=1)
    for name in ("jpeg", "jpeg-grey", "jpeg-progressive"):
        files[name.replace("jpeg", "stream")] = bitstream.insert(files[name], header)
    attached = bitstream.StreamHeader(model="4f6c3978", scale=1, width_remainder=1, height_remainder=1)
    for codec in bitstream.CODEC_NAMES:
        files[f"{codec}-stream"] = bitstream.attach(files[codec], attached, codec)
    return files


def _picture(mode: str) -> Image.Image:
    y, x = np.mgrid[:_HEIGHT, :_WIDTH]
    planes = [255 * x / _WIDTH, 255 * y / _HEIGHT, 128 + 100 * np.sin(x * y / 9), 255 - 12 * y]
    return Image.fromarray(np.stack(planes, axis=-1).astype(np.uint8), "RGBA").convert(mode)


def _runs() -> bytes:
    palette = b"".join(bytes([level * 16, 255 - level, level, 0]) for level in range(16))
    runs = b"\5\1\3\2\0\0\0\4\1\2\3\4\4\7\0\0\10\5\0\1"
    header = struct.pack("<IIiiHHIIiiII", 118, 40, 8, 3, 1, 8, 1, len(runs), 0, 0, 16, 0)
    return b"BM" + struct.pack("<IHH", 118 + len(runs), 0, 0) + header + palette + runs
