"""What a verb of the command line is."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from virtual_codec.cli._open import OpenCodec


@final
class Misuse(Exception):
    """The command line cannot be meant; nothing has been done."""


@dataclass(frozen=True, kw_only=True)
class Verb:
    """One row of the table of verbs; `run` takes the parsed arguments and returns the exit status.

    Ctrl-C ends the process on the spot until `run` calls `virtual_codec.interrupts.raise_keyboard_interrupt`. `run` has
    to call it before it begins work that must not be left half done.

    `epilog` is what `--help` closes with, made only then.
    """

    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, OpenCodec], int]
    epilog: Callable[[], str] | None = None


def positive(text: str) -> int:
    """Read an argument that counts something."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value


def positive_seconds(text: str) -> float:
    """Read an argument that is a time, such as 540 or 540s."""
    value = float(text.removesuffix("s"))
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be above 0, got {text}")
    return value


def positive_number(text: str) -> float:
    """Read an argument that is a rate or an amount."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be above 0, got {text}")
    return value
