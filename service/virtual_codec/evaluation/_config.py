"""Configuration of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from virtual_codec.errors import BadOption
from virtual_codec.evaluation._anchors import ANCHORS, check_anchors
from virtual_codec.evaluation._foreign import KINDS
from virtual_codec.evaluation._sweep import Variant

DEFAULT_QUALITIES: Final = (1, 2, 3, 4, 5, 7, 9, 12, 15, 19, 24, 30, 37, 45, 50, 55, 65, 75, 85, 92, 95)
FOREIGN_QUALITIES: Final = (10, 20, 30, 40, 50, 60, 70, 80, 90, 100)

_QUICK_QUALITIES: Final = (3, 7, 15, 30, 50, 75, 92)
_QUICK_FOREIGN_QUALITIES: Final = (10, 40, 70, 100)
_QUICK_ANCHORS: Final = ("jpeg", "webp")
_QUICK_PICTURES: Final = 4


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Configuration of an evaluation. Raises `BadOption` for values that cannot be measured.

    `data_dir` holds images, or folders of images, one for each set. `quick` takes a few pictures of each set, a few
    qualities and the fast standard codecs. `variants` are options of the codec under test. `anchors` are standard
    codecs; JPEG is always measured. The files of the anchors in `restored` are also restored, with the model for their
    codec. `foreign_kinds` are the kinds of foreign JPEGs to restore; an empty tuple skips them. `cache_dir` keeps the
    anchors' measurements, by default in the user's cache. `resume` continues an interrupted run of the same models:
    rows in `out_dir` are not measured again; they may name the models under test and their alternatives, ids by the id
    of a model in `alternatives`. `ssimulacra2` adds that metric if its package is installed.
    """

    data_dir: Path
    out_dir: Path
    quick: bool = False
    qualities: tuple[int, ...] = DEFAULT_QUALITIES
    variants: tuple[Variant, ...] = (Variant(name="virtual-codec"),)
    anchors: tuple[str, ...] = ("jpeg", "webp", "jpeg2000", "avif")
    restored: tuple[str, ...] = ()
    foreign_qualities: tuple[int, ...] = FOREIGN_QUALITIES
    foreign_kinds: tuple[str, ...] = ("colour", "grey")
    pictures_per_set: int | None = None
    workers: int = 2
    cache_dir: Path | None = None
    resume: bool = False
    alternatives: Mapping[str, Sequence[str]] = field(default_factory=dict)
    ssimulacra2: bool = False

    def __post_init__(self) -> None:
        check_anchors((*self.anchors, *self.restored))
        names = [variant.name for variant in self.variants]
        if len(set(names)) < len(names) or not ANCHORS.keys().isdisjoint(names):
            raise BadOption(
                f"names of variants must differ from each other and from {', '.join(ANCHORS)}; got {', '.join(names)}"
            )
        if not all(1 <= quality <= 100 for quality in (*self.qualities, *self.foreign_qualities)):
            raise BadOption("qualities must be from 1 to 100")
        if not set(self.foreign_kinds) <= KINDS.keys():
            raise BadOption(f"kinds of JPEGs are {', '.join(KINDS)}; got {', '.join(self.foreign_kinds)}")
        if self.workers < 1:
            raise BadOption(f"workers must be at least 1, got {self.workers}")


def quick_config(config: EvaluateConfig) -> EvaluateConfig:
    """Quick form of a configuration: fewer pictures, qualities and anchors."""
    return replace(
        config,
        qualities=_QUICK_QUALITIES if config.qualities == DEFAULT_QUALITIES else config.qualities,
        anchors=tuple(name for name in config.anchors if name in _QUICK_ANCHORS),
        restored=(),
        foreign_qualities=_QUICK_FOREIGN_QUALITIES,
        pictures_per_set=config.pictures_per_set or _QUICK_PICTURES,
    )
