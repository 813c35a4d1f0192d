"""Flat tiles of photographs: their share, and the gain and cost of skipping the network for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.rates import Pixels
from virtual_codec import bitstream, images
from virtual_codec.codec import VirtualCodec
from virtual_codec.codec.model import as_colour, plain_restore
from virtual_codec.jobs import CompressOptions

EQUAL_DB: Final = 0.05
DEVIATIONS: Final = (0.5, 1.0, 2.0, 4.0)  # limits on the deviation of a flat tile's decoded samples, in levels
_MAX_SEGMENTS: Final = 1000


@dataclass(frozen=True, kw_only=True)
class FlatTiles:
    """Tiles of a side in pixels, over all pictures of a quality.

    `equal_share` are those that the plain filter restores within 0.05 dB of the network. By deviation: the share of
    tiles below it, and the PSNR in dB that pictures lose, on average and at worst, with the plain filter there.
    """

    quality: int
    side: int
    equal_share: float
    by_deviation: dict[float, tuple[float, float, float]]


@dataclass(frozen=True, kw_only=True)
class _Picture:
    image: Pixels
    plain: Pixels
    restored: Pixels


def flat_tiles(
    codec: VirtualCodec, sources: Sequence[Pixels], qualities: Sequence[int], sides: Sequence[int]
) -> list[FlatTiles]:
    """Flat tiles of pictures, compressed at effort 2, by quality and side."""
    found = []
    for quality in qualities:
        pictures = [_coded(codec, source, quality) for source in sources]
        found += [_counted(pictures, quality, side) for side in sides]
    return found


def _coded(codec: VirtualCodec, image: Pixels, quality: int) -> _Picture:
    stream = codec.compress(images.encode(image, "png"), CompressOptions(quality=quality, effort=2)).stream
    header = bitstream.find(stream, max_segments=_MAX_SEGMENTS)
    assert header is not None
    height, width = image.shape[:2]
    plain = plain_restore(images.decode(stream), header.scale)[:height, :width]
    restored = images.decode(codec.restore(stream).image)
    return _Picture(image=image, plain=as_colour(plain), restored=as_colour(restored))


def _counted(pictures: Sequence[_Picture], quality: int, side: int) -> FlatTiles:
    equal: list[NDArray[np.bool_]] = []
    by_deviation: dict[float, list[tuple[float, float]]] = {limit: [] for limit in DEVIATIONS}
    for picture in pictures:
        plain, restored = (_tile_errors(picture.image, shown, side) for shown in (picture.plain, picture.restored))
        equal.append(plain <= restored * 10 ** (EQUAL_DB / 10))
        deviation = _deviations(picture.plain, side)
        for limit, rows in by_deviation.items():
            chosen = np.where(deviation < limit, plain, restored)
            lost_db = 10 * np.log10(max(chosen.sum(), 1e-9) / max(restored.sum(), 1e-9))
            rows.append((float((deviation < limit).mean()), float(lost_db)))
    return FlatTiles(
        quality=quality,
        side=side,
        equal_share=float(np.concatenate(equal).mean()),
        by_deviation={
            limit: (
                float(np.mean([share for share, _ in rows])),
                float(np.mean([lost for _, lost in rows])),
                max(lost for _, lost in rows),
            )
            for limit, rows in by_deviation.items()
        },
    )


def _tiles(pixels: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Whole tiles of a picture: [H, W, 3] -> [tiles, side * side, 3]."""
    rows, columns = pixels.shape[0] // side, pixels.shape[1] // side
    cut = pixels[: rows * side, : columns * side].reshape(rows, side, columns, side, 3)
    return cut.transpose(0, 2, 1, 3, 4).reshape(rows * columns, side * side, 3)


def _tile_errors(image: Pixels, shown: Pixels, side: int) -> NDArray[np.float32]:
    squares: NDArray[np.float32] = np.square(shown.astype(np.float32) - image)
    errors: NDArray[np.float32] = _tiles(squares, side).sum(axis=(1, 2))
    return errors


def _deviations(decoded: Pixels, side: int) -> NDArray[np.float32]:
    """Standard deviation of each tile's samples, the largest of the channels."""
    deviations: NDArray[np.float32] = _tiles(decoded.astype(np.float32), side).std(axis=1).max(axis=1)
    return deviations
