"""Pictures restored in a real browser are those of the service, and where they cannot be the plain picture stays."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save
from safetensors.torch import load

from tests.api.browser import BROWSER, Tab, browsing
from tests.conftest import ROOT
from tests.golden_streams import CASES
from tests.web.firefox import FIREFOX, FirefoxTab, browsing_firefox
from tests.web.static_host import StaticHost, hosting
from tests.web.test_weights import u_shaped, without_rounding
from virtual_codec import bitstream, images
from virtual_codec.codec import VirtualCodec, foreign, open_codec
from virtual_codec.codec.model import ModelNetworks, condition_of
from virtual_codec.metrics import psnr
from virtual_codec.networks import build
from virtual_codec.runner import DirectRunner
from virtual_codec.store import Manifest, ModelStore, NetworkEntry, model_id
from virtual_codec.web import SCRIPT, WebFile, WebSite

DEFAULT = ModelStore(ROOT / "model_store").default.id
GOLDEN = ROOT / "tests" / "golden" / "streams"
FLAT = "d32bd0f5"
U_SHAPED = "7b0202f4"
STREAMS = [
    *sorted(GOLDEN.glob(f"{FLAT}-*.jpg")),
    *sorted(GOLDEN.glob(f"{U_SHAPED}-*.jpg")),
    GOLDEN / "4f6c3978-colour-1.jpg",
    GOLDEN / "4f6c3978-colour-2.jpg",
]
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


@pytest.fixture(scope="module")
def site() -> list[WebFile]:
    return WebSite().export(ModelStore(ROOT / "model_store"))


@pytest.fixture(scope="module")
def codec() -> Iterator[VirtualCodec]:
    opened = open_codec(ROOT / "model_store")
    yield opened
    opened.close()


@pytest.fixture(scope="module", params=["chromium", "firefox"])
def tab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab | FirefoxTab]:
    folder = tmp_path_factory.mktemp("browser")
    if request.param == "chromium":
        if BROWSER is None:
            pytest.skip("there is no Chromium here")
        with browsing(folder) as opened:
            yield opened
    else:
        if FIREFOX is None:
            pytest.skip("there is no Firefox here")
        pytest.importorskip("websockets")
        with browsing_firefox(folder) as fox:
            yield fox


@pytest.fixture(scope="module")
def shared_host(site: list[WebFile]) -> Iterator[StaticHost]:
    with hosting(StaticHost(site, policy=STRICT)) as running:
        running.put("favicon.ico", b"")
        running.put("index.html", PAGE)
        running.put("page.js", PAGE_SCRIPT)
        yield running


@pytest.fixture
def host(shared_host: StaticHost, tab: Tab) -> StaticHost:
    """A host with a strict policy, whose page is open and has imported the script."""
    tab.open(f"{shared_host.url}/index.html")
    tab.wait_for("window.restored")
    return shared_host


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


def by_network_alone(codec: VirtualCodec, data: bytes) -> NDArray[np.uint8]:
    """A foreign JPEG as the page shows it: turned upright, then restored by the network without limits.

    The service restores first, limits the network's change to the quantisation, and then turns; the two pictures differ
    by little.
    """
    store = ModelStore(ROOT / "model_store")
    model = ModelNetworks(store, store.default, DirectRunner())
    layout = bitstream.layout(data)
    upright = images.decode(data)
    picture = foreign.restore(model, upright, layout, None) if foreign.can_restore(layout) else upright
    shown = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
    assert np.abs(shown.astype(np.int16) - colour(codec.restore(data).image)).mean() < 1
    return shown


def photograph(height: int, width: int) -> NDArray[np.uint8]:
    from skimage.data import astronaut

    picture: NDArray[np.uint8] = astronaut()[  # type: ignore[no-untyped-call]
        20 : 20 + height, 100 : 100 + width
    ]
    return picture


def jpeg(pixels: NDArray[np.uint8], **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize("stream", STREAMS, ids=[path.stem for path in STREAMS])
def test_released_streams_look_as_the_service_shows_them(host: StaticHost, tab: Tab, stream: Path) -> None:
    host.asked.clear()
    found = restored(tab, host.put("picture.jpg", stream.read_bytes()))
    served = colour(stream.with_suffix(".png").read_bytes())
    assert_equal(found, served)
    original = CASES[stream.stem.split("-", 1)[1].rpartition("-")[0]][0]
    if min(original.shape[:2]) > 1:
        original = original if original.ndim == 3 else np.repeat(original[..., None], 3, axis=2)
        assert abs(psnr(found, original) - psnr(served, original)) < 0.05
    assert tab.complaints == []
    model, scale = stream.name[:8], stream.stem[-1]
    version = WebSite().version
    assert {path for path in host.asked if path.endswith(".bin")} <= {f"/web/{version}/{model}-{scale}.bin"}


@pytest.mark.parametrize(
    ("size", "options"),
    [
        ((131, 203), {"quality": 20}),
        ((131, 203), {"quality": 75, "subsampling": 0, "progressive": True}),
        ((64, 50), {"quality": 98}),
        ((64, 50), {"quality": 100, "subsampling": 0}),
        ((3, 5), {"quality": 30}),
    ],
    ids=["4:2:0", "4:4:4", "fine tables", "finest tables", "tiny"],
)
def test_other_jpegs_look_as_the_service_shows_them(
    host: StaticHost, tab: Tab, codec: VirtualCodec, size: tuple[int, int], options: dict[str, Any]
) -> None:
    data = jpeg(photograph(*size), **options)
    assert_equal(restored(tab, host.put("picture.jpg", data)), by_network_alone(codec, data))


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_without_colour_get_none(host: StaticHost, tab: Tab, codec: VirtualCodec, channels: int) -> None:
    grey = photograph(70, 90)[..., 1]
    data = jpeg(np.repeat(grey[..., None], 3, axis=2) if channels == 3 else grey, quality=20)
    found = restored(tab, host.put("picture.jpg", data))
    assert_equal(found, by_network_alone(codec, data))
    assert (found[..., 0] == found[..., 1]).all()
    assert (found[..., 0] == found[..., 2]).all()


def test_upright_pictures_come_of_turned_jpegs(host: StaticHost, tab: Tab, codec: VirtualCodec) -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    data = jpeg(photograph(40, 60), quality=30, exif=exif)
    found = restored(tab, host.put("picture.jpg", data))
    assert found.shape == (60, 40, 3)
    assert_equal(found, by_network_alone(codec, data))


@pytest.mark.parametrize("scale", [1, 2])
def test_u_shaped_networks_are_computed_as_pytorch_computes_them(
    host: StaticHost, tab: Tab, tmp_path: Path, scale: int
) -> None:
    store = u_shaped_store(tmp_path)
    for file in WebSite().model_files(store, store.default)[1:]:
        host.files[f"/web/{file.path}"] = (file.media_type, file.content)
    pixels = photograph(77, 118)
    header = bitstream.StreamHeader(model=store.default.id, scale=scale, width_remainder=scale, height_remainder=scale)
    stream = bitstream.insert(jpeg(pixels, quality=30), header)
    wanted = in_float32(store, scale, stream)
    found = restored(tab, host.put("picture.jpg", stream))
    assert_equal(found, wanted)
    plain = np.asarray(Image.fromarray(pixels).resize(wanted.shape[1::-1]))
    assert np.abs(wanted.astype(np.int16) - plain).mean() > 3, "the network must change the picture"


def in_float32(store: ModelStore, scale: int, stream: bytes) -> NDArray[np.uint8]:
    """What PyTorch makes of a stream in the precision of browsers; the service may compute in bfloat16."""
    entry = store.default.networks[f"postprocess-{scale}"]
    network = build(entry.architecture, entry.arguments)
    network.load_state_dict(load(store.weights(store.default, f"postprocess-{scale}")))
    network.eval()
    decoded = colour(stream)
    height, width = decoded.shape[:2]
    multiple = network.multiple
    assert isinstance(multiple, int)
    padding = [(0, -side % multiple) for side in (height, width)]
    padded = torch.from_numpy(np.pad(decoded, [*padding, (0, 0)], mode="edge"))
    vector = torch.from_numpy(condition_of(bitstream.layout(stream), own=True))
    with torch.inference_mode():
        output = network(padded.permute(2, 0, 1)[None] / 255, vector[None])[0]
    levels = (255 * output).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
    cropped: NDArray[np.uint8] = levels[: scale * height, : scale * width]
    return cropped


def u_shaped_store(root: Path) -> ModelStore:
    """A store of one model with small U-shaped networks, whose weights a browser gets without rounding."""
    folder = root / "wide"
    folder.mkdir()
    entries = {}
    for scale in (1, 2):
        content = save(without_rounding(u_shaped(scale=scale)))
        name = f"postprocess-{scale}"
        (folder / f"{name}.safetensors").write_bytes(content)
        entries[name] = NetworkEntry(
            architecture="u-shaped-postprocess",
            arguments={"scale": scale, "widths": "8-16-24", "down": "1-1-1", "up": "1-1"},
            file=f"{name}.safetensors",
            sha256=hashlib.sha256(content).hexdigest(),
        )
    manifest = Manifest(name="wide", id=model_id(entries), created="2026-01-01", codecs=["jpeg"], networks=entries)
    (folder / "manifest.json").write_text(manifest.to_json())
    (root / "CURRENT").write_text("wide")
    return ModelStore(root)


@pytest.mark.parametrize("scale", [1, 2])
def test_metadata_of_a_stream_changes_no_pixel(host: StaticHost, tab: Tab, scale: int) -> None:
    stream = GOLDEN / f"{DEFAULT}-colour-{scale}.jpg"
    exif = Image.Exif()
    exif[0x112] = 3
    segment = b"\xff\xe1" + (len(exif.tobytes()) + 2).to_bytes(2, "big") + exif.tobytes()
    data = stream.read_bytes()
    found = restored(tab, host.put("picture.jpg", data[:2] + segment + data[2:]))
    assert_equal(found, colour(stream.with_suffix(".png").read_bytes()))


def test_tiles_make_the_picture_that_one_tile_makes(
    site: list[WebFile], host: StaticHost, tab: Tab, codec: VirtualCodec
) -> None:
    script = site[0].content.replace(b"MEMORY = 80e6", b"MEMORY = 4e6")
    assert script != site[0].content
    host.put(f"web/{SCRIPT}".replace(".js", "-tiled.js"), script)
    host.put("tiled.js", PAGE_SCRIPT.replace("restore.js", "restore-tiled.js").replace("restored", "tiled"))
    host.put("tiled.html", PAGE.replace("page.js", "tiled.js"))
    data = jpeg(photograph(331, 203), quality=20)
    whole = restored(tab, host.put("picture.jpg", data))
    tab.open(f"{host.url}/tiled.html")
    tab.wait_for("window.tiled && (window.restored = window.tiled)")
    tiled = restored(tab, f"{host.url}/picture.jpg")
    distance = np.abs(tiled.astype(np.int16) - whole)  # Winograd's sums round by where a tile begins
    assert distance.max() <= 1
    assert np.mean(distance > 0) < 1e-4
    assert_equal(whole, by_network_alone(codec, data))


def test_a_stream_shown_as_decoded_takes_the_frozen_filter(host: StaticHost, tab: Tab, codec: VirtualCodec) -> None:
    path = GOLDEN / f"{DEFAULT}-colour-2.jpg"
    stream = path.read_bytes()
    header = bitstream.find(stream)
    assert header is not None
    shown = bitstream.insert(bitstream.strip(stream), replace(header, show_decoded=True))
    host.asked.clear()
    found = restored(tab, host.put("picture.jpg", shown))
    np.testing.assert_array_equal(found, colour(codec.restore(shown).image))
    assert not [name for name in host.asked if name.endswith(".bin")]


@pytest.mark.parametrize("kind", ["segment", "model", "text", "cut"])
def test_damage_is_an_error(host: StaticHost, tab: Tab, kind: str) -> None:
    assert failure(tab, host.put("picture.jpg", damaged(kind)))


def damaged(kind: str) -> bytes:
    stream = STREAMS[0].read_bytes()
    header = bitstream.find(stream)
    assert header is not None
    match kind:
        case "segment":
            return stream.replace(b"VCDC\x10", b"VCDC\x90")
        case "model":
            return bitstream.insert(bitstream.strip(stream), replace(header, model="00000000"))
        case "text":
            return b"<html>not a picture</html>"
        case _:
            return stream[: stream.index(b"VCDC")]


def test_kernels_are_fetched_before_a_picture_needs_them(host: StaticHost, tab: Tab) -> None:
    for name in ("worker.js", "kernels.wasm"):
        tab.wait_for(f"performance.getEntriesByType('resource').some(entry => entry.name.endsWith('/{name}'))")
    assert not tab.run("performance.getEntriesByType('resource').some(entry => entry.name.endsWith('.bin'))")


def test_an_abort_ends_a_restoration(host: StaticHost, tab: Tab) -> None:
    address = host.put("picture.jpg", jpeg(photograph(300, 300), quality=20))
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
    host.put("bad.jpg", damaged("segment"))
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
    host.put("stays.jpg", STREAMS[0].read_bytes())
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
    host.put("saver.jpg", STREAMS[0].read_bytes())
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
        assert "changes the pixels" in failure(tab, host.put("picture.jpg", STREAMS[0].read_bytes()))
    finally:
        host.files[path] = (media_type, content)


def test_an_image_of_a_host_without_cors_stays_plain(host: StaticHost, tab: Tab) -> None:
    with hosting(StaticHost([])) as other:
        address = other.put("picture.jpg", STREAMS[0].read_bytes())
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
