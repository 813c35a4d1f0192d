"""Handling of Ctrl-C (SIGINT) in a command, in two phases.

exit_at_once              while imports run: the process exits with status 130. An exception would occur in the middle
                              of an import, and half-imported torch or numpy fail with other errors
raise_keyboard_interrupt  while work runs: the first Ctrl-C raises `KeyboardInterrupt`, so that the work is ended in
                          order; the second exits at once

An ignored SIGINT (a background job of a shell, nohup) and a foreign handler are left unchanged. Nothing happens before
`exit_at_once` is called, which `virtual_codec.__main__` does first.
"""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Final, NoReturn

EXIT_STATUS: Final = 130  # 128 + SIGINT, as in shells
_INTERRUPT_MESSAGE: Final = b"vcodec: interrupted\n"


def exit_at_once() -> None:
    """Make Ctrl-C end the process at once, before work begins or after it ends. For the main thread only."""
    if signal.getsignal(signal.SIGINT) in (signal.default_int_handler, _interrupt):
        signal.signal(signal.SIGINT, _exit_interrupted)


def raise_keyboard_interrupt() -> None:
    """Make Ctrl-C raise `KeyboardInterrupt`. A verb calls this after its imports, before its work."""
    if signal.getsignal(signal.SIGINT) is _exit_interrupted:
        signal.signal(signal.SIGINT, _interrupt)


def was_interrupted() -> bool:
    """True if Ctrl-C was pressed since the work began, which may have caused other exceptions and lost results."""
    return signal.getsignal(signal.SIGINT) is _exit_again


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGINT, _exit_again)
    raise KeyboardInterrupt


def _exit_interrupted(_number: int, _frame: FrameType | None) -> NoReturn:
    # Not sys.exit, because libraries catch exceptions while they are imported.
    os.write(2, _INTERRUPT_MESSAGE)
    os._exit(EXIT_STATUS)


def _exit_again(number: int, frame: FrameType | None) -> NoReturn:
    _exit_interrupted(number, frame)
