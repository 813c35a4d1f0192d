"""Settings of commands without a server: model store, devices, limits on images.

The variables are those of `virtual_codec.settings`. They are read with the standard library alone, so that training and
evaluation run without the server's packages. Only the command line imports this.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, TypeVar, final

from virtual_codec.store import default_model_store

if TYPE_CHECKING:
    from virtual_codec.images import ImageLimits

PREFIX: Final = "VCODEC_"
DEVICES_FORM: Final = r"^(auto|[a-z]+(:[0-9]+)?( *, *[a-z]+(:[0-9]+)?)*)$"
DEVICES_MEANING: Final = "auto (every CUDA device, else the CPU) or a list such as cuda:0,cuda:1"

Value = TypeVar("Value")


@final
@dataclass(frozen=True, kw_only=True)
class LocalSettings:
    """Settings of a command that works in its own process."""

    model_store: Path
    devices: str
    image_limits: ImageLimits

    @classmethod
    def load(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Settings of an environment; empty variables are unset. Raises `ValueError` with a line for each error."""
        from virtual_codec.images import ImageLimits  # loads numpy, which `--help` does not need

        reader = _Reader(environment)
        root, devices = reader.read("model_store", Path), reader.read("devices", _devices)
        limits = {limit.name: reader.read(limit.name, _whole) for limit in fields(ImageLimits)}
        if reader.errors:
            raise ValueError("\n".join(reader.errors))
        try:
            image_limits = ImageLimits(**{name: value for name, value in limits.items() if value is not None})
        except ValueError as error:  # the message begins with the name of the limit
            name, _, problem = str(error).partition(" ")
            raise ValueError(f"{PREFIX}{name.upper()}: {problem}") from None
        return cls(model_store=root or default_model_store(), devices=devices or "auto", image_limits=image_limits)


@final
class _Reader:
    """Case-insensitive reader of variables that collects their errors."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._values = {name.upper(): value for name, value in environment.items() if value}
        self.errors: list[str] = []

    def read(self, setting: str, parse: Callable[[str], Value]) -> Value | None:
        """Value of a setting, or None if it is unset or wrong."""
        variable = PREFIX + setting.upper()
        if variable not in self._values:
            return None
        try:
            return parse(self._values[variable])
        except ValueError as error:
            self.errors.append(f"{variable}: {error}")
            return None


def _devices(text: str) -> str:
    if not re.match(DEVICES_FORM, text):
        raise ValueError(f"does not have the right form, got {text[:80]!r}; it takes: {DEVICES_MEANING}")
    return text


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"must be a whole number, got {text[:80]!r}") from None
