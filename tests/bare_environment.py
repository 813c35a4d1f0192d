"""Command line in an environment with the packages of training alone: `python -m tests.bare_environment VERB ...`.

Packages other than those of `ALLOWED` and what they require are not found, as if they were not installed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from types import ModuleType
from typing import TYPE_CHECKING, Final, NoReturn, final

if TYPE_CHECKING:
    from _typeshed.importlib import MetaPathFinderProtocol

ALLOWED: Final = ("torch", "numpy", "numba", "pillow", "safetensors", "tqdm")


@final
class LimitedFinder:
    """Finder of modules that does not find the refused ones, whatever another finder says."""

    def __init__(self, finder: MetaPathFinderProtocol, refused: set[str]) -> None:
        self._finder, self._refused = finder, refused

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        """Specification of a module; None for a refused one."""
        is_refused = fullname.partition(".")[0] in self._refused
        return None if is_refused else self._finder.find_spec(fullname, path, target)


def refused_modules() -> set[str]:
    """Modules of all installed distributions that neither are in `ALLOWED` nor required by those."""
    kept = closure(ALLOWED)
    owners = packages_distributions().items()
    return {module for module, names in owners if not kept & set(map(_normal, names))} - {"virtual_codec"}


def closure(names: Sequence[str]) -> set[str]:
    """Names of distributions and of all that they require without extras."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = _normal(waiting.pop())
        if name in found:
            continue
        try:
            requirements = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        found.add(name)
        waiting += [re.split(r"[^A-Za-z0-9._-]", text)[0] for text in requirements if "extra ==" not in text]
    return found


def main() -> NoReturn:
    """Refuse the other packages, then run `vcodec` with this process's arguments."""
    refused = refused_modules()
    sys.meta_path[:] = [LimitedFinder(finder, refused) for finder in sys.meta_path]
    from virtual_codec.__main__ import main as run

    sys.exit(run())


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main()
