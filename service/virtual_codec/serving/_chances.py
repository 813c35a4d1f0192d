"""Jobs that failed through no proven fault of theirs: they run again, alone in a worker from then on."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final, final

from virtual_codec.errors import PoisonInput, VirtualCodecError
from virtual_codec.logs import Event
from virtual_codec.serving._backlog import no_memory
from virtual_codec.serving._quarantine import Quarantine
from virtual_codec.serving._ticket import Line, Ticket

_LOG: Final = logging.getLogger(__name__)


@final
class SecondChances:
    """Puts jobs back into the line, or tells who waits why not: alone, none can be hit by what another does.

    After the death of its worker a job may run until its input has ended two workers alone; after an error that should
    never be, or for want of memory, once. `given` counts how often one ran again.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._quarantine = Quarantine()
        self.given = 0

    @property
    def refused_inputs(self) -> int:
        """How many inputs were found to kill workers."""
        return self._quarantine.refused_inputs

    def check(self, digest: bytes) -> None:
        """Raise `PoisonInput` for an input that is known to kill workers."""
        self._quarantine.check(digest)

    def is_suspect(self, digest: bytes) -> bool:
        """Whether an input must run alone."""
        return self._quarantine.is_suspect(digest)

    def clear(self, ticket: Ticket) -> None:
        """It got through alone, whatever came of it."""
        self._quarantine.clear(ticket.digest)

    def after_death(self, tickets: Iterable[Ticket], *, is_blamed: bool) -> None:
        """The worker that had these ended; none of them is to blame where it had a model to load."""
        for ticket in tickets:
            if not is_blamed:
                self._repeat(ticket, alone=ticket.alone)
                continue
            if ticket.alone:
                self._quarantine.strike(ticket.digest)
            else:
                self._quarantine.suspect(ticket.digest)
            if not self._is_refused(ticket):
                self._repeat(ticket)
        self._isolate_suspects()

    def after_error(self, ticket: Ticket, report: str) -> None:
        """It raised what it never should: perhaps the device was only short of memory."""
        _LOG.error(Event("job_broke", **ticket.job.marks, report=report))
        self._repeat_once(ticket, VirtualCodecError("an error of the service; it has been logged"))

    def after_shortage(self, ticket: Ticket, worker: str) -> None:
        """Memory ran out over it: what others had there may be what it lacked."""
        _LOG.warning(Event("job_out_of_memory", worker=worker, alone=ticket.alone, **ticket.job.marks))
        self._repeat_once(ticket, no_memory())

    def _repeat_once(self, ticket: Ticket, error: VirtualCodecError) -> None:
        if ticket.was_repeated:
            ticket.fail(error)
            return
        ticket.was_repeated = True
        self._repeat(ticket)

    def _repeat(self, ticket: Ticket, *, alone: bool = True) -> None:
        if not ticket.future.done():
            self.given += 1
            ticket.alone = alone
            self._line.add(ticket)

    def _isolate_suspects(self) -> None:
        """What waits may be the same input: it too runs alone from now on, or not at all."""
        for ticket in list(self._line):
            if self._quarantine.is_suspect(ticket.digest):
                self._line.remove(ticket)
                if not self._is_refused(ticket):
                    ticket.alone = True
                    self._line.add(ticket)

    def _is_refused(self, ticket: Ticket) -> bool:
        """Whether the input has killed its workers; then who waits is told so."""
        try:
            self._quarantine.check(ticket.digest)
        except PoisonInput as error:
            _LOG.error(Event("quarantine", **ticket.job.marks))
            ticket.fail(error)
            return True
        return False
