"""Fonts of this machine that have Latin letters, or Pillow's own font if there are none."""

from __future__ import annotations

import sys
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from PIL import ImageFont

_FONT_FOLDERS: Final = {
    "linux": ("/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts"),
    "darwin": ("/System/Library/Fonts", "/Library/Fonts", "~/Library/Fonts"),
    "win32": ("C:/Windows/Fonts",),
}
_MONOSPACED_NAMES: Final = ("mono", "courier", "console", "menlo")

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def random_font(random: np.random.Generator, size: int, *, monospaced: bool = False) -> Font:
    """Random font of `size` pixels. With `monospaced`, one with letters of equal width if there is any."""
    files = font_files(monospaced=monospaced)
    if not files:
        return ImageFont.load_default(size)
    return _open_font(files[int(random.integers(len(files)))], size)


@cache
def font_files(*, monospaced: bool = False) -> tuple[str, ...]:
    """Paths of the TrueType and OpenType files that have Latin letters, sorted."""
    folders = [Path(folder).expanduser() for folder in _FONT_FOLDERS.get(sys.platform, ())]
    files = sorted(path for folder in folders for path in folder.rglob("*") if path.suffix.lower() in {".ttf", ".otf"})
    latin = [str(path) for path in files if _has_latin_letters(str(path))]
    if monospaced:
        return tuple(file for file in latin if any(word in Path(file).name.lower() for word in _MONOSPACED_NAMES))
    return tuple(latin)


def _has_latin_letters(file: str) -> bool:
    """True if the letters a, b and c have different glyphs: missing glyphs are all the same box."""
    try:
        font = _open_font(file, 20)
        pictures = {bytes(font.getmask(letter)) for letter in "abc"}
    except OSError:
        return False
    return len(pictures) == 3


@lru_cache(maxsize=512)
def _open_font(file: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(file, size)
