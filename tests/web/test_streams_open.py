"""Streams of other codecs than JPEG are ordinary pictures for a browser: our header disturbs nobody."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import features

from tests.api.browser import BROWSER, Tab, browsing
from tests.pictures import opened, saved, scene
from virtual_codec import bitstream
from virtual_codec.bitstream import CodecName, StreamHeader

pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here")

PICTURE = scene(46, 70)
HEADER = StreamHeader(model="0badf00d", scale=1, width_remainder=1, height_remainder=1)
# Size and pixels of a picture as the browser shows it.
SHOWN = """(async () => {
  const bytes = Uint8Array.from(atob("%s"), character => character.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes], {type: "%s"}));
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
  context.drawImage(bitmap, 0, 0);
  return [bitmap.width, bitmap.height, ...context.getImageData(0, 0, bitmap.width, bitmap.height).data];
})()"""


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browsing(tmp_path_factory.mktemp("browser")) as opened_tab:
        yield opened_tab


@pytest.mark.parametrize(
    ("codec", "kind", "media_type"), [("webp", "WEBP", "image/webp"), ("avif", "AVIF", "image/avif")]
)
def test_a_browser_shows_the_picture_that_pillow_shows(tab: Tab, codec: CodecName, kind: str, media_type: str) -> None:
    if not features.check(codec):
        pytest.skip(f"this Pillow has no {kind}")
    stream = bitstream.attach(saved(PICTURE, kind, quality=60), HEADER, codec)
    width, height, *samples = tab.run(SHOWN % (base64.b64encode(stream).decode(), media_type))
    shown = np.array(samples, np.int64).reshape(height, width, 4)[..., :3]
    assert shown.shape == PICTURE.shape
    assert np.abs(shown - opened(stream)).mean() < 2  # chroma is enlarged by other filters
