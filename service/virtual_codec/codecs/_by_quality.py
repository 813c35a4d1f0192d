"""Standard codecs that use Pillow's encoders with a quality level: AVIF, WebP and JPEG 2000.

To add a codec, write a function that saves a picture, and add a row to `QUALITY_CODECS`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from virtual_codec.bitstream import JP2_EXIF, JP2_XMP, CodecName, uuid_box
from virtual_codec.errors import UndecodableImage

Subsampling = Literal["420", "444"]

_FLAT_MATRIX: Final = 15  # number of AV1's flat quantiser matrix
_COARSE_MATRIX: Final = 9  # quantiser matrix of the coarsest levels, up to `_COARSE_LEVELS`
_COARSE_LEVELS: Final = 40
_DECIBELS: Final = (20.0, 52.0)  # PSNR targets of JPEG 2000's levels 0 and 100


@dataclass(frozen=True, kw_only=True)
class QualitySettings:
    """Settings of an encoder with quality levels.

    `level` is 0 (coarsest) to 100, on the codec's own scale, within `QualityCodec.levels`. `speed` is the encoder's
    speed: AVIF 0 (slowest) to 10, WebP 6 (slowest) to 0; JPEG 2000 has only one. `subsampling` is that of the chroma;
    codecs without the choice ignore it. `is_tuned` tunes encoders that can be tuned for the restored picture, as
    this project's streams are; False keeps the encoder's own tuning, as other programs do.
    """

    level: int
    speed: int
    subsampling: Subsampling = "420"
    is_tuned: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.level <= 100:
            raise ValueError(f"level must be 0 to 100, got {self.level}")


@final
@dataclass(frozen=True, kw_only=True)
class QualityCodec:
    """Standard codec, coded by Pillow at a quality level.

    `decibels` is the encoder's target PSNR at levels 0 and 100, with linear steps between; None for encoders whose
    levels stand for quantisers.
    """

    name: CodecName
    media_type: str
    title: str
    longest_side: int
    finest_level: int
    usual_speed: int
    subsamplings: tuple[Subsampling, ...]
    has_grey: bool = True
    decibels: tuple[float, float] | None = None
    pillow_format: str
    options: Callable[[QualitySettings, bool], dict[str, object]]

    @property
    def levels(self) -> range:
        """Levels of the encoder, coarsest first."""
        return range(self.finest_level + 1)

    @property
    def is_available(self) -> bool:
        """True if this machine's Pillow has the codec."""
        return bool(features.check({"jpeg2000": "jpg_2000"}.get(self.name, self.name)))

    def encode(
        self,
        pixels: NDArray[np.uint8],
        settings: QualitySettings,
        *,
        exif: bytes | None = None,
        xmp: bytes | None = None,
    ) -> bytes:
        """Encode [h, w, 3] RGB or [h, w] grey samples. The same pixels give the same bytes on one machine.

        `exif` is a TIFF file without the `Exif` prefix, `xmp` a packet.
        """
        file = io.BytesIO()
        options = self.options(settings, pixels.ndim == 2)
        if self.name == "jpeg2000":
            Image.fromarray(pixels).save(file, self.pillow_format, **options)
            return file.getvalue() + b"".join(
                uuid_box(uuid, body) for uuid, body in ((JP2_EXIF, exif), (JP2_XMP, xmp)) if body is not None
            )
        options |= {"exif": b"Exif\0\0" + exif} if exif is not None else {}
        options |= {"xmp": xmp} if xmp is not None else {}
        Image.fromarray(pixels).save(file, self.pillow_format, **options)
        return file.getvalue()

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        """Decode a stream as any decoder of the standard does: [h, w, 3] or [h, w]. Raises `UndecodableImage`."""
        try:
            with Image.open(io.BytesIO(stream), formats=[self.pillow_format]) as image:
                return np.asarray(image if image.mode in ("RGB", "L") else image.convert("RGB"))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Warning) as error:
            raise UndecodableImage(f"the stream is not a {self.title} file that Pillow decodes: {error}") from error


def _avif(settings: QualitySettings, is_grey: bool) -> dict[str, object]:
    subsampling = "4:0:0" if is_grey else {"420": "4:2:0", "444": "4:4:4"}[settings.subsampling]
    options: dict[str, object] = {
        "quality": settings.level,
        "speed": settings.speed,
        "subsampling": subsampling,
        "max_threads": 1,  # a job has one thread, and tiles for several threads would cost bytes
        "autotiling": False,
    }
    return options | ({"advanced": _avif_tuning(settings.level)} if settings.is_tuned else {})


def _avif_tuning(level: int) -> dict[str, str]:
    """Options of libaom: tuned for SSIM, with a quantiser matrix at coarse levels.

    From `_COARSE_LEVELS` on, the matrix becomes flatter every fourth level. benchmarks/avif_settings.py measures it:
    restored, the tuning for SSIM has no lower PSNR than that for PSNR, and the matrices raise MS-SSIM.
    """
    matrix = min(_FLAT_MATRIX, _COARSE_MATRIX + max(0, level - _COARSE_LEVELS) // 4)
    if matrix == _FLAT_MATRIX:
        return {"tune": "ssim"}
    return {"tune": "ssim", "enable-qm": "1", "qm-min": str(matrix), "qm-max": str(matrix)}


def _webp(settings: QualitySettings, _is_grey: bool) -> dict[str, object]:
    return {"quality": settings.level, "method": settings.speed}


def _jpeg2000(settings: QualitySettings, is_grey: bool) -> dict[str, object]:
    low, high = _DECIBELS
    wanted = low + (high - low) * settings.level / 100
    return {"quality_mode": "dB", "quality_layers": [wanted], "irreversible": True, "mct": 0 if is_grey else 1}


QUALITY_CODECS: Final[Mapping[str, QualityCodec]] = {
    codec.name: codec
    for codec in (
        QualityCodec(
            name="webp",
            media_type="image/webp",
            title="WebP",
            longest_side=16_383,
            finest_level=100,
            usual_speed=4,
            subsamplings=("420",),
            has_grey=False,
            pillow_format="WEBP",
            options=_webp,
        ),
        QualityCodec(
            name="avif",
            media_type="image/avif",
            title="AVIF",
            longest_side=32_768,  # limit of libavif's decoder
            finest_level=99,  # 100 is lossless
            usual_speed=6,
            subsamplings=("420", "444"),
            pillow_format="AVIF",
            options=_avif,
        ),
        QualityCodec(
            name="jpeg2000",
            media_type="image/jp2",
            title="JPEG 2000",
            longest_side=65_535,
            finest_level=100,
            usual_speed=0,
            subsamplings=("444",),
            decibels=_DECIBELS,
            pillow_format="JPEG2000",
            options=_jpeg2000,
        ),
    )
}
