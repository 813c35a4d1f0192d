"""Network in the device process as a codec process sees it, and errors of that process."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import torch

from virtual_codec.errors import BadModel

_MAX_LOST: Final = 2  # number of processes that may end while they load a network


@dataclass(eq=False, kw_only=True)
class OpenedNetwork:
    """Network that the device process has loaded or is loading, with its properties or the `error`.

    `is_sent` is true once a device process was asked for it.
    """

    model: str
    key: str
    is_answered: threading.Event = field(default_factory=threading.Event)
    ratio: float = 1.0
    radius: int = 0
    multiple: int = 1
    stride: int = 1
    error: BaseException | None = None
    is_sent: bool = False
    lost: int = 0

    def opened(self, message: Mapping[str, Any]) -> None:
        """Take the properties from the device process's answer."""
        self.error = None
        for name in ("ratio", "radius", "multiple", "stride"):
            setattr(self, name, message[name])
        self.is_answered.set()

    def refused(self, error: BaseException) -> None:
        """Take the error that loading raised."""
        self.error = error
        self.is_answered.set()

    def outlived_process(self) -> bool:
        """Count a device process that ended before it answered. False if no further one is to load the network.

        The system ends a process that takes too much memory, and every later process would end in the same way.
        """
        if not self.is_sent or self.is_answered.is_set():
            return True
        self.lost += 1
        if self.lost < _MAX_LOST:
            return True
        self.refused(torch.OutOfMemoryError(f"the device's process ended {self.lost} times as it loaded a network"))
        return False


def error_of(message: Mapping[str, Any]) -> BaseException:
    """Error that a message of the device process describes."""
    detail = str(message["detail"])
    if message["expected"]:
        return BadModel(detail)
    return torch.OutOfMemoryError(detail) if message["memory"] else RuntimeError(detail)
