"""Rewriting of XMP data without thumbnails and, unless requested, location.

Source: Adobe XMP Specification, Part 1 (ISO 16684-1) and Part 2 (properties).
"""

from __future__ import annotations

import re
from typing import Final
from xml.etree import ElementTree

from virtual_codec.errors import UndecodableImage

_MAX_BYTES: Final = 1 << 20
_THUMBNAILS: Final = "{http://ns.adobe.com/xap/1.0/}Thumbnails"
_ORIENTATION: Final = "{http://ns.adobe.com/tiff/1.0/}Orientation"
_LOCATION: Final = "{http://ns.adobe.com/exif/1.0/}GPS"
_PREFIXES: Final = {
    "x": "adobe:ns:meta/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpMM": "http://ns.adobe.com/xap/1.0/mm/",
    "xmpRights": "http://ns.adobe.com/xap/1.0/rights/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "aux": "http://ns.adobe.com/exif/1.0/aux/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "crs": "http://ns.adobe.com/camera-raw-settings/1.0/",
}
_DECLARATION: Final = re.compile(r"<!(?!--|\[CDATA\[)")  # beginning of a document type, which can define entities
_HEAD: Final = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
_TAIL: Final = '<?xpacket end="r"?>'


def rewrite_xmp(packet: bytes, *, is_complete: bool) -> bytes:
    """Rewrite an XMP packet for an upright picture: orientation 1, location only if `is_complete`.

    Raises `UndecodableImage` for damaged data.
    """
    try:
        text = packet.strip(b"\0 \t\r\n").decode("utf-8-sig")
        if len(packet) > _MAX_BYTES or _DECLARATION.search(text) is not None:
            raise ValueError("no ordinary XMP")
        root = ElementTree.fromstring(text)  # noqa: S314  # without entities there is nothing to expand
        for element in list(root.iter()):
            for name in [attribute for attribute in element.attrib if _is_dropped(attribute, is_complete)]:
                del element.attrib[name]
            for child in [child for child in element if _is_dropped(child.tag, is_complete)]:
                element.remove(child)
            if _ORIENTATION in element.attrib:
                element.set(_ORIENTATION, "1")
            if element.tag == _ORIENTATION:
                element.text = "1"
        return f"{_HEAD}{ElementTree.tostring(root, encoding='unicode')}{_TAIL}".encode()
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        raise UndecodableImage("the XMP data is damaged; drop it with metadata=none") from error


def _is_dropped(name: str, is_complete: bool) -> bool:
    return name == _THUMBNAILS or (name.startswith(_LOCATION) and not is_complete)


for _prefix, _address in _PREFIXES.items():  # for readers that expect the usual prefixes
    ElementTree.register_namespace(_prefix, _address)
