"""Link between a codec process and the device process: JSON messages, and descriptors of shared memory.

    codec process ──open, block, run, forget──► device process
    codec process ◄──hello, opened, refused, done, failed── device process

A hostile image may take over the process that decodes it, so neither side unpickles anything, and an invalid message
ends the link.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, final

_MAX_BYTES: Final = 64 * 1024
_MAX_DESCRIPTORS: Final = 1


class LinkError(Exception):
    """Invalid message on a link."""


@final
class Link:
    """Connected link. `send` may be called from several threads, `receive` from one."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    @classmethod
    def connect(cls, path: Path) -> Link:
        """Connect to the device process. Raises `OSError` if none listens."""
        connecting = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            connecting.connect(str(path))
        except BaseException:
            connecting.close()
            raise
        return cls(connecting)

    def send(self, message: Mapping[str, object], descriptors: Sequence[int] = (), *, wait: bool = True) -> None:
        """Send a whole message. Raises `OSError`; without `wait` also if the other side has not read for long."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        self._socket.sendmsg([json.dumps(message).encode()], rights, 0 if wait else socket.MSG_DONTWAIT)

    def receive(self) -> tuple[dict[str, Any], list[int]] | None:
        """Receive a message and its descriptors; None at the end of the link. Raises `LinkError` and `OSError`."""
        found, rights, flags, _ = self._socket.recvmsg(
            _MAX_BYTES, socket.CMSG_SPACE(4 * _MAX_DESCRIPTORS), socket.MSG_CMSG_CLOEXEC
        )
        descriptors = _descriptors(rights)
        try:
            if not found:
                return None
            if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                raise LinkError("a message that is too long")
            message = json.loads(found)
            if not isinstance(message, dict):
                raise LinkError("a message that is not a JSON object")
        except (ValueError, RecursionError) as error:
            _close_descriptors(descriptors)
            raise LinkError("a message that is not valid JSON") from error
        except LinkError:
            _close_descriptors(descriptors)
            raise
        return message, descriptors

    def close(self) -> None:
        """End the link; `receive` returns None on both sides."""
        with contextlib.suppress(OSError):  # the other side has already closed it
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def whole_number(message: Mapping[str, object], name: str) -> int:
    """Integer of a name in a message, at least 0. Raises `LinkError`."""
    value = message.get(name)
    if type(value) is not int or value < 0:
        raise LinkError(f"{name} is not a whole number of at least 0")
    return value


def _descriptors(rights: Sequence[tuple[int, int, bytes]]) -> list[int]:
    found = array.array("i")
    for level, kind, content in rights:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(content[: len(content) - len(content) % found.itemsize])
    return list(found)


def _close_descriptors(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
