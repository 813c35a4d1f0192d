"""Dataset manifests: MANIFEST.tsv states which images of a folder are held out and which are already reduced.

    file               split        reduction     tab-separated, with these names in the first line; others are ignored
    v00001_lake.avif   validation   2.048
    t00002_street.avif train        1.5

`file` is relative to the manifest's folder. `split` is `train` or `validation`; without that column, files whose
names begin with `v` and a digit are held out. A number in `reduction` says that the image was reduced by that factor to
hide the compression artefacts of its source, and must not be reduced again.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from virtual_codec.errors import BadTrainingData

FILE_NAME: Final = "MANIFEST.tsv"

_SPLITS: Final = ("train", "validation")
_VALIDATION_NAME: Final = re.compile(r"v\d")


@dataclass(frozen=True, kw_only=True)
class DatasetEntry:
    """Facts that a manifest states about one image file."""

    is_held_out: bool
    is_reduced: bool


def read_manifests(folder: Path) -> dict[Path, DatasetEntry]:
    """Entries of all manifests in a folder and the folders below it, by path of the image.

    Listed files need not exist. Raises `BadTrainingData` for a manifest that cannot be parsed.
    """
    return {path: entry for manifest in sorted(folder.rglob(FILE_NAME)) for path, entry in _entries(manifest)}


def _entries(manifest: Path) -> Iterator[tuple[Path, DatasetEntry]]:
    try:
        with manifest.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            if "file" not in (rows.fieldnames or ()):
                raise BadTrainingData(
                    f"{manifest} needs a first line of column names, `file` among them, tab-separated"
                )
            for row in rows:
                yield manifest.parent / row["file"], _entry(manifest, row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadTrainingData(f"{manifest} is not a readable table in UTF-8: {error}") from error


def _entry(manifest: Path, row: dict[str, str]) -> DatasetEntry:
    split = row.get("split")
    if split is None:
        split = "validation" if _VALIDATION_NAME.match(Path(row["file"]).name) else "train"
    if split not in _SPLITS:
        raise BadTrainingData(f"{manifest}: the split of {row['file']} must be {' or '.join(_SPLITS)}, got {split!r}")
    return DatasetEntry(is_held_out=split == "validation", is_reduced=bool(row.get("reduction")))
