"""JPEGs restored in a real browser are those of the service."""

from __future__ import annotations

import hashlib
import io
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

from tests.api.browser import Tab
from tests.conftest import ROOT
from tests.golden_streams import CASES
from tests.web.pages import GOLDEN, PAGE, PAGE_SCRIPT, assert_equal, colour, failure, photograph, restored
from tests.web.static_host import StaticHost
from tests.web.test_weights import u_shaped, without_rounding
from virtual_codec import bitstream, images
from virtual_codec.codec import VirtualCodec, foreign
from virtual_codec.codec.model import ModelNetworks, condition_of
from virtual_codec.metrics import psnr
from virtual_codec.networks import build
from virtual_codec.runner import DirectRunner
from virtual_codec.store import Manifest, ModelStore, NetworkEntry, model_id
from virtual_codec.web import SCRIPT, WebFile, WebSite

DEFAULT = ModelStore(ROOT / "model_store").default.id
FLAT = "d32bd0f5"
U_SHAPED = "7b0202f4"
STREAMS = [
    *sorted(GOLDEN.glob(f"{FLAT}-*.jpg")),
    *sorted(GOLDEN.glob(f"{U_SHAPED}-*.jpg")),
    GOLDEN / "4f6c3978-colour-1.jpg",
    GOLDEN / "4f6c3978-colour-2.jpg",
]


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
