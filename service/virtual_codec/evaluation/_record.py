"""Recording of an evaluation's figures in the manifest and the model card of the measured model."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Final

from virtual_codec.errors import BadOption
from virtual_codec.evaluation._summary import BD_RANGES_BPP, Summary
from virtual_codec.store import Manifest

_METRICS: Final = {"psnr_rgb": "RGB PSNR", "psnr_y": "Y PSNR", "ms_ssim": "MS-SSIM"}
_HEADING: Final = "\n## Results\n"


def record(summary: Summary, model: Manifest, root: Path, *, codec: str) -> None:
    """Write the BD-rates of `codec`, a variant measured with a model, into the model's folder.

    `root` is the store's folder. The model's id does not change. Raises `BadOption` if other models were measured, the
    model's alternatives excepted.
    """
    if others := {*summary.models} - {model.id, *model.alternatives}:
        raise BadOption(
            f"only figures of one model can be recorded, {model.name}; {', '.join(sorted(others))} was measured too"
        )
    rates = {
        (row.set, row.metric, row.low_bpp, row.high_bpp): row.percent
        for row in summary.bd_rates
        if row.codec == codec and row.metric in _METRICS and row.percent is not None
    }
    metrics = {
        f"{name}/bd_rate/{metric}/{low:g}-{high:g}_bpp": round(percent, 2)
        for (name, metric, low, high), percent in rates.items()
    }
    folder = root / model.name
    changed = replace(model, metrics=model.metrics | metrics)
    _replace(folder / "manifest.json", changed.to_json())
    card = (folder / "MODEL_CARD.md").read_text(encoding="utf-8").split(_HEADING)[0]
    _replace(folder / "MODEL_CARD.md", card + _HEADING + _table(rates))


def _table(rates: dict[tuple[str, str, float, float], float]) -> str:
    lines = [
        "",
        "BD-rate against ordinary JPEG (libjpeg-turbo, 4:2:0, optimised) in percent, default effort, `scale=auto`.",
        "",
        f"| set | rates | {' | '.join(_METRICS.values())} |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in dict.fromkeys(key[0] for key in rates):
        for low, high in BD_RANGES_BPP:
            found = [rates.get((name, metric, low, high)) for metric in _METRICS]
            cells = ["-" if value is None else f"{value:+.1f}" for value in found]
            lines.append(f"| {name} | {low:g} to {high:g} bpp | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _replace(path: Path, text: str) -> None:
    partial = path.with_suffix(path.suffix + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
