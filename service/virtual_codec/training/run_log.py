"""Log of a training run: log.csv, sample sheets, and optionally TensorBoard events.

OUT/log.csv                    a row for each validation: step, seconds, loss, measured figures
OUT/events/                    the same figures for TensorBoard
OUT/samples/step-000500.png    columns of held-out crops: the original, then the result of each stage
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, final, runtime_checkable

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from virtual_codec.errors import BadOption

LOG: Final = "log.csv"
_SHEET_COLUMNS: Final = 6


@runtime_checkable
class ReportsFigures(Protocol):
    """Loss that reports figures of its last batch, such as the rate, to the progress bar."""

    figures: Mapping[str, float]


@runtime_checkable
class ProvidesSamples(Protocol):
    """Validation with sample pictures: rows [B, 1 or 3, h, w] of one set of crops, in any sizes."""

    def rows(self, network: nn.Module) -> Sequence[Tensor]:
        """Rows of the sheet, one for each stage."""


def reported_figures(loss: object) -> Mapping[str, float]:
    """Figures that a loss reports; empty if it reports none."""
    return loss.figures if isinstance(loss, ReportsFigures) else {}


@final
class RunLog:
    """Writer of a run's log.

    The run resumes at `step`. Later rows are dropped: they belong to a session that was killed before its checkpoint.
    """

    def __init__(self, out: Path, *, step: int = 0, tensorboard: bool = False) -> None:
        self._out = out
        self._log = out / LOG
        self._events: Any = _event_writer(out / "events", step) if tensorboard else None
        _drop_rows_after(self._log, step)

    def add_validation(self, step: int, seconds: float, loss: float, figures: Mapping[str, float]) -> None:
        """Append the figures of a validation."""
        new = not self._log.exists() or not self._log.stat().st_size
        with self._log.open("a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(["step", "seconds", "loss", *figures])
            writer.writerow([step, seconds, f"{loss:.6f}", *(f"{value:.4f}" for value in figures.values())])
        if self._events is not None:
            for name, value in {"loss": loss, **figures}.items():
                self._events.add_scalar(name, value, step)
            self._events.flush()

    def add_samples(self, step: int, validate: object, network: nn.Module) -> None:
        """Write a sheet of sample pictures if the validation provides them."""
        if not isinstance(validate, ProvidesSamples):
            return
        sheet = sample_sheet(validate.rows(network))
        folder = self._out / "samples"
        folder.mkdir(exist_ok=True)
        Image.fromarray(sheet.numpy()).save(folder / f"step-{step:06}.png")
        if self._events is not None:
            self._events.add_image("samples", sheet, step, dataformats="HWC")

    def close(self) -> None:
        """Close the TensorBoard writer."""
        if self._events is not None:
            self._events.close()


def sample_sheet(rows: Sequence[Tensor]) -> Tensor:
    """Sheet of rows of pictures in [0, 1], each enlarged to the first row's size by repetition: [H, W, 3] bytes."""
    size = rows[0].shape[-2:]
    bands = []
    for row in rows:
        shown = functional.interpolate(row[:_SHEET_COLUMNS].float().clamp(0, 1), size=size, mode="nearest")
        bands.append(torch.cat(list(shown.expand(-1, 3, -1, -1)), dim=2))
    return (torch.cat(bands, dim=1) * 255).round().byte().permute(1, 2, 0).contiguous()


def _event_writer(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise BadOption(
            "TensorBoard is not installed; run `pip install 'virtual-codec[train]'`, or read log.csv"
        ) from error
    return SummaryWriter(str(folder), purge_step=step + 1)


def _drop_rows_after(log: Path, step: int) -> None:
    """Drop the rows of a log after a step."""
    if not log.exists():
        return
    with log.open(newline="") as file:
        rows = list(csv.reader(file))
    kept = rows[:1] + [row for row in rows[1:] if row and row[0].isdigit() and int(row[0]) <= step]
    partial = log.with_suffix(".partial")
    with partial.open("w", newline="") as file:
        csv.writer(file).writerows(kept)
    partial.replace(log)
