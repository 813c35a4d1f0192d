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
_MAX_INBOX: Final = 16  # messages that were read and not handled
# A fresh interpreter, since CUDA does not survive a fork. Not `multiprocessing.Process`: its spawn imports
# the parent's main module again, which a notebook, a pipe or a script without a guard does not survive.
_BOOT: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from virtual_codec.serving._worker import main; main(int(sys.argv[2]))"
)


@final
class WorkerProcess:
    """Running worker process. Raises `OSError` or `RuntimeError` when the system refuses a process or a thread.

    A thread each reads and writes the pipe: large images never hold up the event loop, and the death of
    the process is seen at once, as the end of the pipe.
    """

    def __init__(self, opening: Opening, loop: asyncio.AbstractEventLoop) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _BOOT, json.dumps(sys.path), str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                process_group=0,  # a Ctrl-C in the terminal is for the server, which then ends its workers
            )
            self._connection: Connection[object, object] = Connection(ours.detach())  # only to send
        self._loop = loop
        self._inbox: asyncio.Queue[Message | None] = asyncio.Queue()
        self._inbox_room = threading.Semaphore(_MAX_INBOX)
        self._max_answer_bytes: dict[int, int] = {}  # by the number of a job that is not answered
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
        """Send a job, under a number that its answer repeats. A worker with a longer result is killed."""
        self._max_answer_bytes[number] = max_answer_bytes
        self._outbox.put((number, job))

    def tell(self, order: Order) -> None:
        """Send an order."""
        self._outbox.put(order)

    async def next(self) -> Message | None:
        """Receive the next message; None when the process has ended, from then on."""
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
                return  # it died; the reader says so
            del message

    def _read(self) -> None:
        try:
            while (message := self._receive()) is not None:
                self._post(message)
                del message  # a large result is not kept until the next one comes
        except OSError:
            pass
        except Exception as error:
            _LOG.error(Event("worker_garbled", pid=self.pid, reason=str(error) or type(error).__name__))
        # What has closed its pipe serves no more, whatever else it may be doing.
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
        except RuntimeError:  # the loop was closed without `stop`; then nobody waits, and no worker may stay
            self._process.kill()
