"""Retries of jobs whose failure is not known to be caused by their input."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final, final

from virtual_codec.errors import PoisonInput, Unavailable, VirtualCodecError
from virtual_codec.logs import Event
from virtual_codec.serving._backlog import no_memory
from virtual_codec.serving._job_queue import JobQueue, QueuedJob
from virtual_codec.serving._quarantine import Quarantine

_LOG: Final = logging.getLogger(__name__)
_MAX_LOSSES: Final = 2


@final
class Retries:
    """Retry policy: puts a failed job back into the queue, to run alone, or fails it for good.

    A job whose worker died is retried until its input has ended two workers alone. A job that raised an unexpected
    error, or ran out of memory, is retried once. `count` is the number of retries so far.
    """

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue
        self._quarantine = Quarantine()
        self.count = 0

    @property
    def refused_inputs(self) -> int:
        """Number of inputs that were found to kill workers."""
        return self._quarantine.refused_inputs

    def check(self, digest: bytes) -> None:
        """Raise `PoisonInput` for an input that is known to kill workers."""
        self._quarantine.check(digest)

    def is_suspect(self, digest: bytes) -> bool:
        """True if the input must run alone."""
        return self._quarantine.is_suspect(digest)

    def clear(self, job: QueuedJob) -> None:
        """Clear the input of suspicion, because it ran alone without killing its worker."""
        self._quarantine.clear(job.digest)

    def after_death(self, jobs: Iterable[QueuedJob], *, is_blamed: bool) -> None:
        """Retry the jobs of a worker that died. `is_blamed` is False if something else may have ended it."""
        for job in jobs:
            if not is_blamed:
                self._retry(job, alone=job.alone)
                continue
            if job.alone:
                self._quarantine.strike(job.digest)
            else:
                self._quarantine.suspect(job.digest)
            if not self._is_refused(job):
                self._retry(job)
        self._isolate_suspects()

    def after_loss(self, job: QueuedJob) -> None:
        """Retry a job whose replica was lost. Its input ran in another process, so it is not suspect."""
        job.losses += 1
        if job.losses > _MAX_LOSSES:
            job.fail(Unavailable("the replicas that had this ended; send it again in a moment", retry_after_s=5.0))
            return
        self._retry(job, alone=job.alone)

    def refuse(self, digest: bytes) -> None:
        """Refuse an input from now on, because a replica found that it kills workers."""
        self._quarantine.refuse(digest)

    def after_error(self, job: QueuedJob, report: str) -> None:
        """Retry a job that raised an unexpected error, because the device may only have been short of memory."""
        _LOG.error(Event("job_broke", **job.job.log_fields, report=report))
        self._retry_once(job, internal_error())

    def after_shortage(self, job: QueuedJob, worker: str) -> None:
        """Retry a job that ran out of memory, because other jobs may have used the memory that it needed."""
        _LOG.warning(Event("job_out_of_memory", worker=worker, alone=job.alone, **job.job.log_fields))
        self._retry_once(job, no_memory())

    def _retry_once(self, job: QueuedJob, error: VirtualCodecError) -> None:
        if job.was_retried:
            job.fail(error)
            return
        job.was_retried = True
        self._retry(job)

    def _retry(self, job: QueuedJob, *, alone: bool = True) -> None:
        if not job.future.done():
            self.count += 1
            job.alone = alone
            self._queue.add(job)

    def _isolate_suspects(self) -> None:
        """Make queued jobs with a suspect input run alone, or refuse them."""
        for job in list(self._queue):
            if self._quarantine.is_suspect(job.digest):
                self._queue.remove(job)
                if not self._is_refused(job):
                    job.alone = True
                    self._queue.add(job)

    def _is_refused(self, job: QueuedJob) -> bool:
        """True if the input has killed its workers; the job has then failed."""
        try:
            self._quarantine.check(job.digest)
        except PoisonInput as error:
            _LOG.error(Event("quarantine", **job.job.log_fields))
            job.fail(error)
            return True
        return False


def internal_error() -> VirtualCodecError:
    """Error for the caller of a job that failed through a bug or fault of the service."""
    return VirtualCodecError("internal error; the log has the details")
