"""Verb of the command line: one row of the table in `virtual_codec.cli`, and parsers of argument types."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from virtual_codec.cli._image_codec import OpenCodec


@final
class Misuse(Exception):
    """Error of the command line's arguments, found before anything was done."""


@dataclass(frozen=True, kw_only=True)
class Verb:
    """Verb of the command line; `run` takes the parsed arguments and returns the exit status.

    Ctrl-C ends the process at once until `run` calls `virtual_codec.interrupts.raise_keyboard_interrupt`. `run` must
    call it before it begins work that must not be left half done.

    `epilog` makes the closing text of `--help`, and is called only then.
    """

    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, OpenCodec], int]
    epilog: Callable[[], str] | None = None


def positive(text: str) -> int:
    """Parse a whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value


def positive_seconds(text: str) -> float:
    """Parse a time in seconds above 0, such as 540 or 540s."""
    value = float(text.removesuffix("s"))
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be above 0, got {text}")
    return value


def positive_number(text: str) -> float:
    """Parse a finite number above 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be above 0, got {text}")
    return value
