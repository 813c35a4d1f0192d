"""Worker process as its parent sees it."""

from __future__ import annotations

import asyncio
import json
import logging
import queue
import socket
import subprocess
import sys
import threading
from multiprocessing.connection import Connection
from typing import Final, final

from virtual_codec.jobs import Job
from virtual_codec.logs import Event
from virtual_codec.serving._frames import FrameError, decode, read_frame
from virtual_codec.serving._messages import Answer, Message, Opening, Order

_LOG: Final = logging.getLogger(__name__)
_MAX_INBOX: Final = 16  # messages that were read but not yet handled
# A fresh interpreter, because CUDA does not survive a fork. Not `multiprocessing.Process`: its spawn method imports
# the parent's main module again, which fails in a notebook, a pipe or a script without a main guard.
_BOOT: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from virtual_codec.serving._worker import main; main(int(sys.argv[2]))"
)


@final
class WorkerProcess:
    """Running worker process. Raises `OSError` or `RuntimeError` when the system refuses a process or a thread.

    One thread reads the pipe and one writes it, so large images never block the event loop. The death of the process is
    noticed at once, as the end of the pipe.
    """

    def __init__(self, opening: Opening, loop: asyncio.AbstractEventLoop) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _BOOT, json.dumps(sys.path), str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C in the terminal goes to the server only, which then ends its workers
            )
            self._connection: Connection[object, object] = Connection(ours.detach())  # only to send
        self._loop = loop
        self._inbox: asyncio.Queue[Message | None] = asyncio.Queue()
        self._inbox_room = threading.Semaphore(_MAX_INBOX)
        self._max_answer_bytes: dict[int, int] = {}  # by the number of each unanswered job
        self._outbox: queue.SimpleQueue[Opening | Order | tuple[int, Job] | None] = queue.SimpleQueue()
        self._outbox.put(opening)
        name = f"worker-{self._process.pid}"
        self._writer = threading.Thread(target=self._write, name=f"{name}-writer", daemon=True)
        try:
            self._writer.start()
            threading.Thread(target=self._read, name=f"{name}-reader", daemon=True).start()
        except BaseException:
            self._process.kill()
            self._process.wait()
            self._outbox.put(None)
            self._connection.close()
            raise

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Exit status, or the negative number of the signal that ended it; None while it runs."""
        return self._process.returncode

    def send(self, number: int, job: Job, *, max_answer_bytes: int) -> None:
        """Send a job with a number that its answer repeats. A worker that sends a longer result is killed."""
        self._max_answer_bytes[number] = max_answer_bytes
        self._outbox.put((number, job))

    def send_order(self, order: Order) -> None:
        """Send an order."""
        self._outbox.put(order)

    async def next(self) -> Message | None:
        """Receive the next message; None once the process has ended."""
        message = await self._inbox.get()
        if message is None:
            self._inbox.put_nowait(None)
        else:
            self._inbox_room.release()
        return message

    def kill(self) -> None:
        """Kill the process. `next` returns None when it has ended."""
        self._process.kill()

    async def end(self) -> None:
        """Kill the process, and wait until it has ended."""
        self.kill()
        while await self.next() is not None:
            pass

    def _write(self) -> None:
        while (message := self._outbox.get()) is not None:
            try:
                self._connection.send(message)
            except OSError:
                return  # the process died; the reader thread reports it
            del message

    def _read(self) -> None:
        try:
            while (message := self._receive()) is not None:
                self._post(message)
                del message  # do not keep a large result until the next one arrives
        except OSError:
            pass
        except Exception as error:
            _LOG.error(Event("worker_garbled", pid=self.pid, reason=str(error) or type(error).__name__))
        # A process that has closed its pipe can do no more jobs, whatever else it may be doing.
        self._process.kill()
        self._process.wait()
        self._outbox.put(None)
        self._writer.join()
        self._connection.close()
        self._post(None)

    def _receive(self) -> Message | None:
        self._inbox_room.acquire()  # a worker that floods its pipe waits for the event loop
        frame = read_frame(self._connection.fileno(), lambda: max([*self._max_answer_bytes.values()], default=0))
        if frame is None:
            return None
        head, body = frame
        message = decode(head, body)
        if isinstance(message, Answer):
            limit = self._max_answer_bytes.pop(message.number, None)
            if limit is None or len(body) > limit:
                raise FrameError("an answer to a job that it does not have, or a longer one than that can have")
        elif body:
            raise FrameError("a body that belongs to no answer")
        return message

    def _post(self, message: Message | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._inbox.put_nowait, message)
        except RuntimeError:  # the loop was closed without `stop`: nobody waits, and the worker must not survive
            self._process.kill()
