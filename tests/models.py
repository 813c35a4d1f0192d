"""A small model store with untrained networks: everything works with it, nothing looks good."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from virtual_codec.codec.operating import MODES
from virtual_codec.networks import build
from virtual_codec.networks.condition import CODEC_CONDITION_SIZE
from virtual_codec.store import EncoderParameters, Manifest, ModelStore, NetworkEntry, model_id

Networks = dict[str, tuple[str, dict[str, int | float | str | bool]]]

ARGUMENTS: Networks = {
    "postprocess-1": ("postprocess", {"scale": 1, "channels": 8, "blocks": 1}),
    "postprocess-2": ("postprocess", {"scale": 2, "channels": 8, "blocks": 1}),
    "description-2": ("description", {"channels": 8, "blocks": 1}),
}
FULL_SIZE: Networks = {"description-1": ("description", {"scale": 1, "channels": 8, "blocks": 1})}
U_SHAPED: Networks = {
    f"postprocess-{scale}": (
        "u-shaped-postprocess",
        {"scale": scale, "widths": "8-12-16", "down": "1-1-1", "up": "1-1"},
    )
    for scale in (1, 2)
}


def make_store(
    root: Path,
    *,
    strength: float = 0.02,
    name: str = "tiny",
    seed: int = 0,
    full_size: bool = False,
    u_shaped: bool = False,
    encoder: EncoderParameters | None = None,
    networks: Networks | None = None,
) -> ModelStore:
    """Write one model and make it the default. `strength` is how much its networks change a picture.

    With `full_size` it describes at scale 1, too; with `u_shaped` its post-processing has a U-shaped trunk. `networks`
    go before those.
    """
    folder = root / name
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    entries = {}
    chosen = ARGUMENTS | (FULL_SIZE if full_size else {}) | (U_SHAPED if u_shaped else {}) | (networks or {})
    for key, (architecture, arguments) in chosen.items():
        network = build(architecture, arguments)
        weights = network.state_dict()
        weights["tail.weight"] = strength * torch.randn_like(weights["tail.weight"])
        data = save(weights)
        (folder / f"{key}.safetensors").write_bytes(data)
        entries[key] = NetworkEntry(
            architecture=architecture,
            arguments=arguments,
            file=f"{key}.safetensors",
            sha256=hashlib.sha256(data).hexdigest(),
        )
    manifest = Manifest(
        name=name,
        id=model_id(entries),
        created="2026-01-01",
        codecs=["jpeg"],
        networks=entries,
        encoder=encoder or EncoderParameters(),
        tables=made_up_tables(),
    )
    (folder / "manifest.json").write_text(manifest.to_json())
    (root / "CURRENT").write_text(name + "\n")
    return ModelStore(root)


def add_codecs_model(root: Path, *, strength: float = 0.02, name: str = "tiny-codecs", seed: int = 5) -> Manifest:
    """Write a model of WebP, AVIF and JPEG 2000 into a store that has a default."""
    folder = root / name
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    arguments = U_SHAPED["postprocess-1"][1] | {"condition": CODEC_CONDITION_SIZE}
    network = build("u-shaped-postprocess", arguments)
    weights = {key: value.half() for key, value in network.state_dict().items()}
    weights["tail.weight"] = (strength * torch.randn(weights["tail.weight"].shape)).half()
    data = save(weights)
    (folder / "postprocess-1.safetensors").write_bytes(data)
    entry = NetworkEntry(
        architecture="u-shaped-postprocess",
        arguments=arguments,
        file="postprocess-1.safetensors",
        sha256=hashlib.sha256(data).hexdigest(),
    )
    manifest = Manifest(
        name=name,
        id=model_id({"postprocess-1": entry}),
        created="2026-01-02",
        codecs=["avif", "webp", "jpeg2000"],
        networks={"postprocess-1": entry},
        tables={
            "level-avif": list(np.linspace(1, 97, 100)),
            "level-webp": list(np.linspace(0, 99, 100)),
            "level-jpeg2000": list(np.linspace(-2, 1, 100)),
        },
    )
    (folder / "manifest.json").write_text(manifest.to_json())
    return manifest


def list_alternatives(store: ModelStore, alternatives: Iterable[str]) -> Manifest:
    """Write ids of models that restore for the default model of a store into its manifest."""
    manifest = replace(store.default, alternatives=[*alternatives])
    (store.root / manifest.name / "manifest.json").write_text(manifest.to_json())
    return manifest


def made_up_tables() -> dict[str, list[float]]:
    """Steps that fall from 150 to 1.2 and shares that move from small scales to full chroma."""
    place = np.linspace(0, 1, 100)
    step = 150 * (1.2 / 150) ** place
    tables = {"worth": list(0.05 * step**2)}
    for mode in MODES:
        tables[f"step-{mode.name}"] = list(step / mode.scale)
    tables["share-2-420"] = list(1 - place)
    tables["share-1-420"] = list(place)
    tables["share-1-444"] = list(place * 0.5)
    return tables
