"""Scripts of the web site, each joined from several modules, so that a page fetches one file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

SCRIPT: Final = "restore.js"
CODECS_SCRIPT: Final = "codecs.js"  # parsers of WebP and AVIF

# Modules of each script, in an order in which each follows the modules that it imports.
_PARTS: Final = {
    SCRIPT: ("bytes.js", "header.js", "files.js", "workers.js", "tiles.js", "jpeg.js", "picture.js", "page.js"),
    CODECS_SCRIPT: ("bytes.js", "header.js", "quantisation.js", "webp.js", "av1.js", "avif.js"),
}
SCRIPT_SOURCES: Final = tuple(sorted({*_PARTS, *(name for parts in _PARTS.values() for name in parts)}))

_IMPORT: Final = re.compile(r'^import \{[^}]*\} from "\./[a-z0-9]+\.js";\n', re.MULTILINE)
_EXPORT: Final = re.compile(r"^export ", re.MULTILINE)


def joined_scripts(sources: Mapping[str, str]) -> dict[str, str]:
    """Scripts by name: the head of each, then its modules, then the rest. `sources` holds `SCRIPT_SOURCES`.

    All modules of a script share one namespace, so their top-level names must differ.
    """
    return {script: _joined([sources[part] for part in parts], sources[script]) for script, parts in _PARTS.items()}


def _joined(modules: list[str], script: str) -> str:
    head, rest = re.split(r"^(?=import )", script, maxsplit=1, flags=re.MULTILINE)
    bodies = [_EXPORT.sub("", _IMPORT.sub("", module)).strip() for module in modules]
    return "\n\n".join([head.strip(), *bodies, _IMPORT.sub("", rest).strip()]) + "\n"
