"""A small model store with untrained networks: everything works with it, nothing looks good."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from virtual_codec.codec.operating import MODES
from virtual_codec.networks import build
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
