"""Contact sheets of crops: a row for each rate and a column for each codec."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from benchmarks.gallery.coding import OWN, Shown
from benchmarks.gallery.pictures import Picture, Pixels

_GAP, _LINE = 6, 17
_PAPER, _INK, _SOFT, _ACCENT = "#ffffff", "#22242a", "#6d6a64", "#c4482a"


def contact_sheet(picture: Picture, pixels: Pixels, rows: Sequence[Sequence[Shown]], side: int, zoom: int = 1) -> bytes:
    """Lossless WebP of crops of `side` pixels, enlarged by `zoom` without a filter.

    The original is at the left of the first row. The whole picture with the marked crop is below it.
    """
    cell, columns = side * zoom, 1 + len(rows[0])
    sheet = Image.new("RGB", (columns * (cell + _GAP) + _GAP, len(rows) * (cell + 2 * _LINE + _GAP) + _GAP), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    box = (picture.left, picture.top, picture.left + side, picture.top + side)

    def put(column: int, row: int, shown: Image.Image, *lines: str, colour: str = _INK) -> None:
        x, y = _GAP + column * (cell + _GAP), _GAP + row * (cell + 2 * _LINE + _GAP)
        sheet.paste(shown, (x, y))
        for index, line in enumerate(lines):
            draw.text((x, y + cell + index * _LINE + 1), line, fill=_SOFT if index else colour, font=font)

    def crop(whole: Pixels) -> Image.Image:
        return Image.fromarray(whole).crop(box).resize((cell, cell), Image.Resampling.NEAREST)

    put(0, 0, crop(pixels), "original", f"{pixels.shape[1]}x{pixels.shape[0]}")
    if len(rows) > 1:
        put(0, 1, _marked(pixels, box, cell), "the crop in the picture")
    for index, row in enumerate(rows):
        for column, shown in enumerate(row, 1):
            over = shown.size_bytes > row[0].size_bytes
            size = f"{shown.size_bytes:,} B{' (its least)' if over else ''}"
            colour = _ACCENT if shown.codec == OWN else _INK
            put(column, index, crop(shown.pixels), f"{shown.codec}  {shown.psnr_db:.1f} dB", size, colour=colour)
    return _webp(sheet)


def chain(original: Pixels, stream: Shown) -> bytes:
    """Lossless WebP of three pictures side by side: original, stream as decoded, and restored image."""
    with Image.open(io.BytesIO(stream.file)) as file:
        steps = [
            (Image.fromarray(original), f"original  {original.shape[1]}x{original.shape[0]}"),
            (file.convert("RGB"), f"stream, a plain JPEG  {file.width}x{file.height}, {stream.size_bytes:,} B"),
            (Image.fromarray(stream.pixels), f"restored from it  {stream.psnr_db:.1f} dB"),
        ]
    width = sum(max(image.width, 230) + _GAP for image, _ in steps) + _GAP
    sheet = Image.new("RGB", (width, original.shape[0] + _LINE + 2 * _GAP), _PAPER)
    draw, font, left = ImageDraw.Draw(sheet), ImageFont.load_default(13), _GAP
    for image, text in steps:
        sheet.paste(image, (left, _GAP))
        draw.text((left, _GAP + image.height + 1), text, fill=_INK, font=font)
        left += max(image.width, 230) + _GAP
    return _webp(sheet)


def _webp(sheet: Image.Image) -> bytes:
    file = io.BytesIO()
    sheet.save(file, "WEBP", lossless=True, method=3, quality=60)
    return file.getvalue()


def _marked(pixels: Pixels, box: tuple[int, int, int, int], cell: int) -> Image.Image:
    whole = Image.fromarray(pixels)
    ImageDraw.Draw(whole).rectangle(box, outline=_ACCENT, width=4)
    whole.thumbnail((cell, cell), Image.Resampling.LANCZOS)
    return whole
