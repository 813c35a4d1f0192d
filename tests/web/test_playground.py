"""The playground in a real browser, with a server that really compresses."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import httpx2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.api.browser import BROWSER, Tab, browsing
from tests.conftest import ROOT
from tests.pictures import saved, scene
from tests.web.pages import assert_equal
from virtual_codec.metrics import psnr

pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here")

PICTURE = scene(190, 230)
ORDINARY = {"jpeg": "JPEG", "webp": "WebP", "avif": "AVIF"}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where a server with the released models answers."""
    settings = {"VCODEC_PORT": "0", "VCODEC_STANDBY": "off", "VCODEC_DRAIN_DELAY_S": "0", "VCODEC_LOG_FORMAT": "text"}
    settings |= {"VCODEC_MODEL_STORE": str(ROOT / "model_store"), "PYTHONPATH": str(ROOT / "service")}
    command = [sys.executable, "-m", "virtual_codec", "serve"]
    with subprocess.Popen(command, env={**os.environ, **settings}, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        line = next(line for line in server.stderr if "serving on " in line)
        reader = threading.Thread(target=server.stderr.read)
        reader.start()
        url = line.split("serving on ")[1].split()[0].strip('"}')
        transport = httpx2.HTTPTransport(retries=2)
        with httpx2.Client(transport=transport, timeout=60) as client:
            while client.get(f"{url}/readyz").status_code != 200:
                threading.Event().wait(0.2)
        yield url
        server.terminate()
        reader.join()


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browsing(tmp_path_factory.mktemp("browser")) as tab:
        yield tab


@pytest.fixture
def tab(opened: Tab, address: str) -> Tab:
    """The playground at the size of a laptop, with nothing in it yet."""
    opened.resize(1280, 900)
    opened.open(address)
    return opened


def compress(tab: Tab, picture: bytes = saved(PICTURE)) -> None:
    """Put a picture in, and wait until it is restored."""
    text = base64.b64encode(picture).decode()
    tab.run(f"openFile(new File([Uint8Array.from(atob('{text}'), c => c.charCodeAt(0))], 'a.png'))")
    tab.wait_for("!$('facts').hidden && !$('stage').classList.contains('busy')")


def shown(tab: Tab) -> NDArray[np.uint8]:
    """Samples of the restored picture that the page shows: [h, w, 3]."""
    found = tab.run(
        "(() => { const { naturalWidth: width, naturalHeight: height } = $('after'); "
        "const pen = new OffscreenCanvas(width, height).getContext('2d'); pen.drawImage($('after'), 0, 0); "
        "return [...pen.getImageData(0, 0, width, height).data] })()"
    )
    return np.array(found, np.uint8).reshape(*PICTURE.shape[:2], 4)[..., :3]


def test_the_sample_is_shown_beside_ordinary_codecs_of_its_size(tab: Tab, address: str) -> None:
    tab.run("$('sample').click()")
    tab.wait_for("!$('facts').hidden")
    for format_, name in ORDINARY.items():
        tab.run(f"document.querySelector('[name=other][value={format_}]').click()")
        tab.wait_for(f"$('left').textContent == '{name}' && $('before').complete")
        assert tab.run(f"state.files.{format_}.blob.size <= state.result.bytes")
        assert tab.run("[$('before').naturalWidth, $('before').naturalHeight]") == [451, 300]
    rows = tab.run("[...$('rows').rows].map(row => row.innerText.split('\\t'))")
    assert [row[0] for row in rows] == ["restored", *ORDINARY.values()]
    assert all(20 < float(row[3].removesuffix(" dB")) < 50 and 0.8 < float(row[4]) < 1 for row in rows)
    asked = tab.run("performance.getEntriesByType('resource').map(entry => entry.name)")
    assert {name.startswith((address, "blob:", "data:")) for name in asked} == {True}
    assert tab.complaints == []


def test_a_codec_that_cannot_be_so_small_says_its_least_size(tab: Tab) -> None:
    tab.run(
        "$('target').value = 'max_bytes'; updateSlider(); $('value').value = 32; updateLabels(); $('sample').click()"
    )
    tab.wait_for("!$('facts').hidden")
    assert tab.run("state.result.bytes") < 1600
    tab.run("document.querySelector('[name=other][value=webp]').click()")
    tab.wait_for("$('note').textContent.startsWith('WebP needs at least')")
    assert tab.run("$('left').textContent") == "original"


def test_both_sides_are_enlarged_and_scrolled_together(tab: Tab) -> None:
    compress(tab)
    tab.run("document.querySelector('[name=zoom][value=\"8\"]').click(); $('view').scrollLeft = 500")
    rects = tab.run("['after', 'before'].map(id => $(id).getBoundingClientRect().toJSON())")
    assert rects[0] == rects[1]
    assert rects[0]["width"] == 8 * PICTURE.shape[1]
    assert tab.run("$('view').scrollLeft") == 500


def test_the_keyboard_zooms_and_divides(tab: Tab) -> None:
    compress(tab)
    tab.run("$('view').focus()")
    tab.press("+")
    tab.press("+")
    assert tab.run("chosen('zoom')") == "2"
    tab.press("-")
    assert tab.run("chosen('zoom')") == "1"
    tab.run("$('at').focus(); $('at').value = 20; $('at').dispatchEvent(new Event('input'))")
    assert tab.run("$('pair').style.getPropertyValue('--at')") == "20%"


def test_a_plot_can_be_cancelled_and_made_again(tab: Tab) -> None:
    compress(tab)
    tab.run("$('effort').value = 0; $('plot').click()")
    tab.wait_for("$('done').value >= 2 && $('chart').querySelectorAll('circle').length >= 2")
    tab.run("$('cancel').click()")
    assert tab.run("[$('plot').disabled, $('done').hidden, $('cancel').hidden]") == [False, True, True]
    drawn = tab.run("$('chart').querySelectorAll('circle').length")
    tab.run("new Promise(done => setTimeout(done, 500))")
    assert tab.run("$('chart').querySelectorAll('circle').length") == drawn
    tab.run("$('plot').click()")
    tab.wait_for("$('done').hidden")
    assert tab.run("$('chart').querySelectorAll('circle').length") == 24
    assert "PSNR in dB over bits per pixel. restored: " in tab.run("$('chart').getAttribute('aria-label')")
    assert tab.complaints == []


def test_in_this_browser_shows_the_picture_of_the_service(tab: Tab) -> None:
    compress(tab)
    served = shown(tab)
    tab.run("$('here').click()")
    tab.wait_for("$('list').textContent.includes('in this browser in')")
    here = shown(tab)
    assert_equal(here, served)
    assert abs(psnr(here, PICTURE) - psnr(served, PICTURE)) < 0.05
    assert not np.array_equal(served, PICTURE)
    assert tab.complaints == []


@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_shows_everything_without_scrolling_sideways(tab: Tab, width: int) -> None:
    tab.resize(width, 844, is_phone=True)
    compress(tab)
    assert tab.run("document.documentElement.scrollWidth") <= width
    for control in ("value", "effort", "codec", "open", "plot", "stream"):
        left, right = tab.run(f"(box => [box.left, box.right])($('{control}').getBoundingClientRect())")
        assert 0 <= left < right <= width, control


def test_every_control_has_a_name(tab: Tab) -> None:
    compress(tab)
    nameless = tab.run(
        "[...document.querySelectorAll('button, input:not([hidden]), select, a, img, [role]:not([role=status])')]"
        ".filter(each => "
        "!each.hidden && !(each.getAttribute('aria-label') || each.textContent.trim() || each.alt || "
        "each.labels?.[0]?.textContent.trim() || each.title)).map(each => each.outerHTML)"
    )
    assert nameless == []
