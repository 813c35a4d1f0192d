"""Pictures of the gallery: free to show, and not used in the training of any network of this project."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import data

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Picture of the gallery: its source with the licence, and top and left of the crop that is shown."""

    name: str
    title: str
    source: str
    read: Callable[[], Pixels]
    top: int
    left: int


def _cat() -> Pixels:
    return np.asarray(data.chelsea())  # type: ignore[no-untyped-call]


def _portrait() -> Pixels:
    # Reduced to hide the artefacts of its JPEG file.
    path = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    return np.asarray(Image.open(path).convert("RGB").resize((307, 360), Image.Resampling.LANCZOS))


def _tissue() -> Pixels:
    whole = np.asarray(data.immunohistochemistry())  # type: ignore[no-untyped-call]
    return np.ascontiguousarray(whole[:320, 100:420])


def _chart() -> Pixels:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2, 2.8), dpi=100)
    canvas, axes = FigureCanvasAgg(figure), figure.add_subplot()
    x = np.linspace(0, 4, 200)
    for power in range(1, 5):
        axes.plot(x, np.cos(power * x) * np.exp(-x / 3), label=f"cos({power}x)")
    axes.set_title("Damped oscillations")
    axes.set_xlabel("seconds")
    axes.legend()
    axes.grid(visible=True)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]


PICTURES = (
    Picture(
        name="cat",
        title="Cat",
        source="`skimage.data.chelsea`, CC0 by Stefan van der Walt; 451x300, as it is",
        read=_cat,
        top=75,
        left=100,
    ),
    Picture(
        name="portrait",
        title="Portrait",
        source="Grace Hopper by the US Navy, public domain, of Matplotlib's sample data; reduced to 307x360",
        read=_portrait,
        top=50,
        left=80,
    ),
    Picture(
        name="tissue",
        title="Tissue",
        source="`skimage.data.immunohistochemistry`, CMMI, no known copyright restrictions; 320x320 of it",
        read=_tissue,
        top=150,
        left=80,
    ),
    Picture(
        name="chart",
        title="Chart (not a photograph)",
        source="drawn by the command itself with Matplotlib; 420x280",
        read=_chart,
        top=0,
        left=150,
    ),
)
