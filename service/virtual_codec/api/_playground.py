"""Playground page, assembled from `static/playground/`, and its sample picture.

Style sheet and scripts are put into the page: one request, and one policy that names what may run by hashes.
"""

from __future__ import annotations

import re
from importlib import resources
from typing import Final

_FOLDER: Final = resources.files("virtual_codec.api").joinpath("static", "playground")
_SHEET: Final = re.compile(r'<link rel="stylesheet" href="([a-z]+\.css)">')
_SCRIPTS: Final = re.compile(r'(?:<script src="[a-z]+\.js"></script>\n)+')
_SCRIPT_NAMES: Final = re.compile(r'src="([a-z]+\.js)"')


def playground_page(max_effort: int) -> str:
    """Playground page of a server that allows efforts up to `max_effort`."""
    page = _text("index.html").replace("$MAX_EFFORT", str(max_effort))
    page = _SHEET.sub(lambda found: f"<style>\n{_text(found[1])}</style>", page)
    return _SCRIPTS.sub(
        lambda found: f"<script>\n{''.join(map(_text, _SCRIPT_NAMES.findall(found[0])))}</script>\n", page
    )


def sample_picture() -> bytes:
    """Sample picture, a lossless WebP of 512x512: the astronaut Eileen Collins by NASA, in the public domain."""
    return _FOLDER.joinpath("sample.webp").read_bytes()


def _text(name: str) -> str:
    return _FOLDER.joinpath(name).read_text(encoding="utf-8")
