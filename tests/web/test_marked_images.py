"""Images of a page that are marked `data-restore`, and pages that cannot restore."""

from __future__ import annotations

import numpy as np

from tests.api.browser import Tab
from tests.conftest import ROOT
from tests.web.pages import GOLDEN, STRICT, assert_equal, colour, failure
from tests.web.static_host import StaticHost, hosting
from virtual_codec.store import ModelStore
from virtual_codec.web import SCRIPT, WebSite

DEFAULT = ModelStore(ROOT / "model_store").default.id
STREAM = GOLDEN / f"{DEFAULT}-colour-1.jpg"


def test_kernels_are_fetched_before_a_picture_needs_them(host: StaticHost, tab: Tab) -> None:
    for name in ("worker.js", "kernels.wasm"):
        tab.wait_for(f"performance.getEntriesByType('resource').some(entry => entry.name.endsWith('/{name}'))")
    assert not tab.run("performance.getEntriesByType('resource').some(entry => entry.name.endsWith('.bin'))")


def test_an_abort_ends_a_restoration(host: StaticHost, tab: Tab) -> None:
    address = host.put("picture.jpg", STREAM.read_bytes())
    told = tab.run(
        "(() => { const control = new AbortController(); "
        f"const answer = restored({address!r}, control.signal).then(() => '', error => error.name); "
        "control.abort(); return answer })()"
    )
    assert told == "AbortError"


PICTURES = '<!doctype html><script type="module" src="/web/restore.js"></script>'


def test_marked_images_are_restored_in_place(host: StaticHost, tab: Tab) -> None:
    path = GOLDEN / f"{DEFAULT}-colour-2.jpg"
    wanted = colour(path.with_suffix(".png").read_bytes())
    host.put("good.jpg", path.read_bytes())
    host.put("bad.jpg", STREAM.read_bytes().replace(b"VCDC\x10", b"VCDC\x90"))
    host.put(
        "pictures.html",
        f"{PICTURES}<img id=good data-restore src=/good.jpg width=50 height=40><img id=other src=/good.jpg>"
        "<img id=bad data-restore src=/bad.jpg width=50 height=40>"
        f"{'<br>' * 300}<img id=far data-restore src=/good.jpg>",
    )
    tab.open(f"{host.url}/pictures.html")
    tab.wait_for("good.dataset.restore == 'done' && bad.dataset.restore == 'plain'")
    height, width = wanted.shape[:2]
    assert tab.run("[good.naturalWidth, good.naturalHeight]") == [width, height]
    assert tab.run("[bad.src, other.src].map(text => new URL(text).pathname)") == ["/bad.jpg", "/good.jpg"]
    assert tab.run("bad.naturalWidth") > 0
    assert tab.run("far.dataset.restore") == ""
    shown = tab.run(
        "(() => { const { naturalWidth: width, naturalHeight: height } = good; "
        "const pen = new OffscreenCanvas(width, height).getContext('2d'); pen.drawImage(good, 0, 0); "
        "return [...pen.getImageData(0, 0, width, height).data] })()"
    )
    assert_equal(np.array(shown, np.uint8).reshape(height, width, 4)[..., :3], wanted)
    tab.run("far.scrollIntoView()")
    tab.wait_for("far.dataset.restore == 'done'")
    asked = tab.run("performance.getEntriesByType('resource').map(entry => entry.name)")
    assert {name.startswith((host.url, f"blob:{host.url}")) for name in asked} == {True}, "no other host is asked"
    assert tab.complaints == []


def test_the_largest_picture_in_view_comes_first(host: StaticHost, tab: Tab) -> None:
    host.put("good.jpg", (GOLDEN / f"{DEFAULT}-colour-2.jpg").read_bytes())
    sizes = {"small": 40, "large": 300, "middle": 120}
    images_ = "".join(
        f"<img id={name} data-restore src=/good.jpg width={side} height={side}>" for name, side in sizes.items()
    )
    host.put(
        "watch.js",
        "globalThis.order = []; new MutationObserver(changes => order.push(...changes.filter(change => "
        "change.target.dataset.restore == 'done').map(change => change.target.id)))"
        ".observe(document, { subtree: true, attributeFilter: ['data-restore'] })",
    )
    host.put("sizes.html", f"<script src=/watch.js></script>{PICTURES}{images_}")
    tab.open(f"{host.url}/sizes.html")
    tab.wait_for("order.length == 3")
    assert tab.run("order") == ["large", "middle", "small"]


def test_a_phone_restores_what_is_in_view(host: StaticHost, tab: Tab) -> None:
    host.put("good.jpg", (GOLDEN / f"{DEFAULT}-colour-2.jpg").read_bytes())
    images_ = "".join(
        f"<img id=i{number} data-restore src=/good.jpg?{number} width=350 height=500>" for number in range(5)
    )
    host.put("phone.html", f'<meta name="viewport" content="width=device-width">{PICTURES}{images_}')
    tab.resize(390, 844, is_phone=True)
    try:
        tab.open(f"{host.url}/phone.html")
        tab.wait_for("i0.dataset.restore == 'done' && i1.dataset.restore == 'done'")
        assert tab.run("document.documentElement.scrollWidth") <= 390
        assert tab.run("i4.dataset.restore") == "", "it is far below what the phone shows"
    finally:
        tab.resize(1280, 900)


def test_a_policy_without_webassembly_leaves_the_plain_picture(host: StaticHost, tab: Tab) -> None:
    host.put("stays.jpg", STREAM.read_bytes())
    host.put("stays.html", f"{PICTURES}<img id=picture data-restore src=/stays.jpg width=50 height=40>")
    host.policy = STRICT.replace("'wasm-unsafe-eval'", "")
    try:
        tab.open(f"{host.url}/stays.html")
        tab.wait_for("picture.dataset.restore == 'plain'")
        assert tab.run("new URL(picture.src).pathname") == "/stays.jpg"
        assert tab.run("picture.naturalWidth") > 0
    finally:
        host.policy = STRICT


def test_a_visitor_who_saves_data_fetches_nothing_more(host: StaticHost, tab: Tab) -> None:
    host.put("saver.js", "Object.defineProperty(navigator, 'connection', { value: { saveData: true } });")
    host.put("saver.jpg", STREAM.read_bytes())
    image = "<img id=picture data-restore src=/saver.jpg width=50 height=40>"
    host.put("saver.html", f'<!doctype html><script src="/saver.js"></script>{PICTURES}{image}')
    tab.open(f"{host.url}/saver.html")
    tab.wait_for("picture.complete && picture.naturalWidth > 0")
    tab.run("new Promise(done => setTimeout(done, 300))")
    assert tab.run("picture.dataset.restore") == ""
    asked = tab.run("performance.getEntriesByType('resource').map(entry => new URL(entry.name).pathname)")
    assert {path for path in asked if path.startswith("/web/")} == {f"/web/{SCRIPT}"}


def test_a_browser_that_changes_pixels_leaves_the_plain_picture(host: StaticHost, tab: Tab) -> None:
    path = f"/web/{WebSite().version}/worker.js"
    media_type, content = host.files[path]
    read = b"return CONTEXT.getImageData(0, 0, width, height).data;"
    assert read in content
    noisy = b"const { data } = CONTEXT.getImageData(0, 0, width, height); data[5] ^= 1; return data;"
    host.files[path] = (media_type, content.replace(read, noisy))
    try:
        tab.open(f"{host.url}/index.html")
        tab.wait_for("window.restored")
        assert "changes the pixels" in failure(tab, host.put("picture.jpg", STREAM.read_bytes()))
    finally:
        host.files[path] = (media_type, content)


def test_an_image_of_a_host_without_cors_stays_plain(host: StaticHost, tab: Tab) -> None:
    with hosting(StaticHost([])) as other:
        address = other.put("picture.jpg", STREAM.read_bytes())
        host.put("foreign.html", f"{PICTURES}<img id=picture data-restore src={address} width=50 height=40>")
        host.policy = STRICT.replace("'self' blob:", f"'self' blob: {other.url}").replace(
            "connect-src 'self'", f"connect-src 'self' {other.url}"
        )
        try:
            tab.open(f"{host.url}/foreign.html")
            tab.wait_for("picture.dataset.restore == 'plain'")
            assert tab.run("picture.src") == address
            assert tab.run("picture.naturalWidth") > 0
        finally:
            host.policy = STRICT
