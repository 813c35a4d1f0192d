"""Page that restores pictures with the script, and what it makes of them."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.api.browser import Tab
from tests.conftest import ROOT

GOLDEN = ROOT / "tests" / "golden" / "streams"
# Nothing is allowed but what docs/web.md asks for.
STRICT = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src blob:; connect-src 'self'; "
    "img-src 'self' blob:; base-uri 'none'; require-trusted-types-for 'script'"
)
PAGE = '<!doctype html><script type="module" src="/page.js"></script>'
PAGE_SCRIPT = """
import { restore } from "/web/restore.js";
window.restored = async (address, signal) => {
  const { data, width, height } = await restore(address, { signal });
  let text = "";
  for (let i = 0; i < data.length; i += 32768) text += String.fromCharCode(...data.subarray(i, i + 32768));
  return [width, height, btoa(text)];
};
"""


def restored(tab: Tab, address: str) -> NDArray[np.uint8]:
    """The picture that the page makes of a JPEG: [h, w, 3]."""
    answer: Any = tab.run(f"restored({address!r}).catch(error => String(error))")
    assert isinstance(answer, list), answer
    width, height, text = answer
    pixels = np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)
    assert (pixels[..., 3] == 255).all()
    return pixels[..., :3]


def failure(tab: Tab, address: str) -> str:
    answer: str = tab.run(f"restored({address!r}).then(() => '', error => String(error))")
    return answer


def colour(png: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(png)) as picture:
        return np.asarray(picture.convert("RGB"))


def assert_equal(found: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> None:
    assert found.shape == wanted.shape
    distance = np.abs(found.astype(np.int16) - wanted)
    assert np.mean(distance <= 1) >= 0.999
    assert distance.max() <= 2


def photograph(height: int, width: int) -> NDArray[np.uint8]:
    from skimage.data import astronaut

    picture: NDArray[np.uint8] = astronaut()[  # type: ignore[no-untyped-call]
        20 : 20 + height, 100 : 100 + width
    ]
    return picture
