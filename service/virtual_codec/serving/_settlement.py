"""Settlement of answered jobs: result, error or retry, and the update of the estimates."""

from __future__ import annotations

import time
from dataclasses import replace

from virtual_codec.errors import DeadlineExceeded
from virtual_codec.serving import Result
from virtual_codec.serving._backlog import Throughput
from virtual_codec.serving._job_queue import QueuedJob
from virtual_codec.serving._messages import Answer, Broken, Cancelled, Done, Failed, NoMemory
from virtual_codec.serving._outcomes import JobAnswered
from virtual_codec.serving._retries import Retries, internal_error


def settle(answered: JobAnswered, worker: str, throughput: Throughput, retries: Retries) -> None:
    """Give the caller of an answered job its result or error, or queue the job again.

    The job is settled even if this raises, because it has left its slot and nobody else would answer its caller.
    """
    try:
        _settle(answered.job, answered.answer, worker, throughput, retries)
    except Exception:
        answered.job.fail(internal_error())
        raise


def _settle(job: QueuedJob, answer: Answer, worker: str, throughput: Throughput, retries: Retries) -> None:
    was_alone = job.alone
    match answer:
        case Done():
            throughput.learn(job.kind, job.pixels, answer.seconds)
            if not job.future.done():
                job.future.set_result(_complete(answer.result, job, worker))
        case Failed():
            if _ran_out_of_time(answer):
                throughput.learn_lower_bound(job.kind, job.pixels, time.monotonic() - job.started_at)
            answer.error.worker = worker
            job.fail(answer.error)
        case Broken():
            retries.after_error(job, answer.report)
        case NoMemory():
            retries.after_shortage(job, worker)
        case Cancelled():  # the caller has already left
            throughput.learn_lower_bound(job.kind, job.pixels, time.monotonic() - job.started_at)
    if was_alone and not isinstance(answer, Cancelled) and not _ran_out_of_time(answer):
        retries.clear(job)


def _complete(result: Result, job: QueuedJob, worker: str) -> Result:
    stages_s = dict(result.stages_s)
    stages_s["queue"] = stages_s.get("queue", 0.0) + job.started_at - job.queued_at
    return replace(result, stages_s=stages_s, worker=worker)


def _ran_out_of_time(answer: Answer) -> bool:
    return isinstance(answer, Failed) and isinstance(answer.error, DeadlineExceeded)
