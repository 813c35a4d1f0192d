"""What Ctrl-C (SIGINT) does to a command, by how far that is.

starting  ──►  nothing is begun: the process ends at once, with 130. An exception would not do: it would come out of
               the middle of some import, and torch or numpy left half imported fail in ways of their own
working   ──►  `KeyboardInterrupt`, so that what is begun is ended in order; a second Ctrl-C ends the process at once

Where SIGINT is ignored (a background job of a shell, nohup), or somebody else's handler is there, nothing changes.
This is for a process of its own: nothing here acts unless `starting` was called; `virtual_codec.__main__` does so first.
"""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Final, NoReturn

STATUS: Final = 130  # 128 + SIGINT, as shells have it
_SAID: Final = b"vcodec: interrupted\n"


def starting() -> None:
    """From here on nothing is begun yet, or all is done. To be called by the main thread."""
    if signal.getsignal(signal.SIGINT) in (signal.default_int_handler, _interrupt):
        signal.signal(signal.SIGINT, _end)


def working() -> None:
    """From here on there is something to end in order: called by a verb when its imports are done."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, _interrupt)


def came() -> bool:
    """Whether there was a Ctrl-C since the work began: other exceptions, and results, may be its fault."""
    return signal.getsignal(signal.SIGINT) is _end_again


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGINT, _end_again)
    raise KeyboardInterrupt


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    # Not by sys.exit: libraries catch what passes through them while they are imported.
    os.write(2, _SAID)
    os._exit(STATUS)


def _end_again(number: int, frame: FrameType | None) -> NoReturn:
    _end(number, frame)
