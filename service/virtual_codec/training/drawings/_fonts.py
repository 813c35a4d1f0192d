"""Fonts of this machine that have Latin letters, and Pillow's own font where there are none."""

from __future__ import annotations

import sys
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from PIL import ImageFont

_FOLDERS: Final = {
    "linux": ("/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts"),
    "darwin": ("/System/Library/Fonts", "/Library/Fonts", "~/Library/Fonts"),
    "win32": ("C:/Windows/Fonts",),
}
_TYPEWRITER: Final = ("mono", "courier", "console", "menlo")

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def random_font(random: np.random.Generator, size: int, *, monospaced: bool = False) -> Font:
    """A font of `size` pixels; `monospaced` prefers one whose letters are of equal width."""
    files = font_files(monospaced=monospaced)
    if not files:
        return ImageFont.load_default(size)
    return _opened(files[int(random.integers(len(files)))], size)


@cache
def font_files(*, monospaced: bool = False) -> tuple[str, ...]:
    """The TrueType and OpenType files that have Latin letters, in the order of their paths."""
    folders = [Path(folder).expanduser() for folder in _FOLDERS.get(sys.platform, ())]
    files = sorted(path for folder in folders for path in folder.rglob("*") if path.suffix.lower() in {".ttf", ".otf"})
    latin = [str(path) for path in files if _has_latin_letters(str(path))]
    if monospaced:
        return tuple(file for file in latin if any(word in Path(file).name.lower() for word in _TYPEWRITER))
    return tuple(latin)


def _has_latin_letters(file: str) -> bool:
    """True if the letters a, b and c have pictures of their own: missing ones all show the same box."""
    try:
        font = _opened(file, 20)
        pictures = {bytes(font.getmask(letter)) for letter in "abc"}
    except OSError:
        return False
    return len(pictures) == 3


@lru_cache(maxsize=512)
def _opened(file: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(file, size)
