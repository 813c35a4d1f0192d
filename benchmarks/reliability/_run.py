"""Run of one scenario, from an idle server to an idle server."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.reliability._check import AllowedOutcomes, Checker
from benchmarks.reliability._faults import Facts, FaultContext
from benchmarks.reliability._scenarios import Scenario, ordinary_requests
from benchmarks.reliability._server import ServerUnderTest, full_disk
from virtual_codec.load_test import HttpSender, LoadProfile, Request, run_load_test, temporary_server

WORKERS: Final = 2
_ENVIRONMENT: Final = {
    "VCODEC_WORKERS_PER_DEVICE": str(WORKERS),
    "VCODEC_STANDBY": "on",
    "VCODEC_DEVICES": "cpu",
    "VCODEC_LOG_LEVEL": "info",
    "VCODEC_LOG_FORMAT": "text",
    "VCODEC_QUEUE_LIMIT_S": "600",  # no refusals on a slow machine: the test is about right answers
}


def measure_capacity(seconds: float) -> dict[str, object]:
    """Capacity of the server on this machine: ordinary requests answered per second."""
    with tempfile.TemporaryDirectory() as name, running(Scenario(description=""), Path(name)) as subject:
        sender = HttpSender(subject.url)
        report = run_load_test(LoadProfile(requests=_ordinary(sender), clients=8, seconds=seconds), sender)
        sender.close()
    return {"images_per_s": round(report.images_per_s, 2), "p50_ms": round(report.latency_ms(50), 1)}


def run_scenario(scenario: Scenario, capacity_per_s: float) -> Facts:
    """Run a scenario and return its results. Raises `OSError` if this machine cannot inject the fault."""
    with tempfile.TemporaryDirectory() as name, running(scenario, Path(name)) as subject:
        sender = HttpSender(subject.url, headers={"Request-Timeout-Ms": str(scenario.timeout_ms)}, timeout_s=700)
        rate_per_s = min(scenario.most_per_s, scenario.rate * capacity_per_s)
        ordinary = _ordinary(sender)
        requests = scenario.mix(ordinary, round(scenario.seconds * rate_per_s * 1.5) + 1)
        checker = Checker(sender, scenario.allowed)
        checker.learn([*ordinary, *{it.content: it for it in requests if it.label != "poison"}.values()])
        subject.wait_until_idle()
        before = _state(subject)
        context = FaultContext(
            subject=subject, requests=ordinary, rate_per_s=rate_per_s, folder=Path(name), stop=threading.Event()
        )
        load = LoadProfile(requests=requests, clients=400, seconds=scenario.seconds, rate_per_s=rate_per_s)
        facts: Facts = {}
        with _fault_running(scenario, context, facts):
            report = run_load_test(load, checker)
        recovery_s = subject.wait_until_idle()
        sender.close()
        after = _state(subject)
        afterwards = checker.fresh_copy(AllowedOutcomes())
        for request in ordinary:
            afterwards.send(request)
        sender.close()
        sent_by_label = {label: sum(it.label == label for it in report.samples) for label in scenario.deaths_by_request}
        caused = len(context.deaths_caused) + sum(
            sent * scenario.deaths_by_request[label] for label, sent in sent_by_label.items()
        )
        deaths = subject.deaths()
        return {
            "description": scenario.description,
            "offered_per_s": round(rate_per_s, 1),
            "seconds": scenario.seconds,
            **checker.summary(),
            "lost_afterwards": len(afterwards.lost),
            "answered_per_s": round(report.images_per_s, 1),
            "latency_ms": {f"p{percent}": round(report.latency_ms(percent)) for percent in (50, 99, 100)},
            **({"refusal_p50_ms": round(report.refusal_ms(50))} if any(it.is_refusal for it in report.samples) else {}),
            "worker_deaths": deaths,
            "worker_deaths_not_caused": max(0, deaths - caused),
            "recovery_s": round(recovery_s, 1),
            "before": before,
            "after": after,
            "facts": facts,
        }


@contextlib.contextmanager
def running(scenario: Scenario, folder: Path) -> Iterator[ServerUnderTest]:
    """Start the scenario's server and wait until every worker is warm."""
    with contextlib.ExitStack() as stack:
        environment = {**_ENVIRONMENT, **scenario.environment}
        command = [sys.executable, "-m", *scenario.module]
        log = folder / "log"
        if scenario.needs_environment is not None:
            environment |= scenario.needs_environment(folder)
        if scenario.needs_full_disk:
            disk = stack.enter_context(full_disk(folder / "full"))
            environment["TMPDIR"] = str(disk)
            log = disk / "log"
        command = ["/bin/sh", "-c", f'exec "$0" "$@" 2>>{log}', *command]
        url, pid = stack.enter_context(temporary_server(command, ready="/healthz", environment=environment))
        subject = ServerUnderTest(url=url, pid=pid, log=log, workers_wanted=WORKERS + 1)
        subject.wait_until_idle()
        yield subject


def _ordinary(sender: HttpSender) -> list[Request]:
    pictures = ordinary_requests()
    streams = [
        Request(path="/decompress", content=sender.send(picture).content, label="decompress") for picture in pictures
    ]
    return [*pictures, *streams]


@contextlib.contextmanager
def _fault_running(scenario: Scenario, context: FaultContext, facts: Facts) -> Iterator[None]:
    failures: list[BaseException] = []

    def work() -> None:
        try:
            facts.update(scenario.fault(context))
        except BaseException as error:  # raised again below
            failures.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        context.stop.set()
        thread.join()
    if failures:
        raise failures[0]


def _state(subject: ServerUnderTest) -> dict[str, object]:
    return {"resident_bytes": subject.resident_bytes(), "descriptors": subject.descriptors()}
