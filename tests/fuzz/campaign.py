"""One campaign for each thing that is fuzzed: so many seconds of it, findings into a folder."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random

import httpx2

from tests.fuzz import contract, options, sockets
from tests.fuzz.images_over_http import post
from tests.fuzz.mutate import mutate
from tests.fuzz.seeds import seeds
from tests.fuzz.server import Served
from tests.fuzz.targets import Finding, check, keep

_BETWEEN_CHECKS = 200
_ENOUGH_CASES = 200  # of which some must have been done


def fuzz_target(target: str, seconds: int, out: Path, random: Random) -> str:
    """Fuzz a function in this process's likeness, guided by coverage where Atheris is installed. Says what was done."""
    if importlib.util.find_spec("atheris") is None:
        return _fuzz_unguided(target, seconds, out, random)
    out.mkdir(parents=True, exist_ok=True)
    log = out / f"{target}.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "tests.fuzz.guided", target, str(seconds), str(out)]
        status = subprocess.run(command, stdout=output, stderr=output, check=False).returncode
    done = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("Done ")]
    if status or not done:
        (out / f"{target}-stopped.txt").write_text(f"exit status {status}; see {log.name} and the newest file here")
    return done[-1] if done else f"ended with {status}"


def fuzz_images(served: Served, seconds: float, out: Path, random: Random) -> str:
    """Post broken images to a service. Says which statuses came."""
    statuses: Counter[int] = Counter()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with httpx2.Client(base_url=served.url, timeout=120) as client:
            for _ in range(_BETWEEN_CHECKS):
                file = mutate(random.choice(sorted(seeds().values())), random)
                try:
                    statuses[post(client, file, random)] += 1
                except (Finding, httpx2.HTTPError):
                    keep(out, "http", file, traceback.format_exc())
                if time.monotonic() > until:
                    break
        _check_health(served, out, "http")
    return f"{statuses.total()} images: {dict(sorted(statuses.items()))}"


def fuzz_sockets(served: Served, seconds: float, out: Path, random: Random) -> str:
    """Say malformed things to a service. Says which statuses came."""
    statuses: Counter[int] = Counter()
    said = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        speech = sockets.speech(random)
        said += 1
        try:
            statuses.update(sockets.check_answers(sockets.converse(served.address, speech, random)))
        except (Finding, OSError):
            keep(out, "socket", b"".join(speech), traceback.format_exc())
        if said % _BETWEEN_CHECKS == 0:
            _check_health(served, out, "socket")
    _check_health(served, out, "socket")
    return f"{said} conversations: {dict(sorted(statuses.items()))}"


def fuzz_options(seconds: float, out: Path, random: Random) -> str:
    """Try options by hypothesis. Says how many."""
    tried, fault = options.explore(seconds, random)
    if fault is not None:
        keep(out, "options", b"", fault)
    return f"{tried} sets of options"


def fuzz_contract(served: Served, cases: int, out: Path, random: Random) -> str:
    """Send so many requests to each route of the OpenAPI document. Says what each answered: some have fewer in them."""
    labels = list(contract.routes(served.url))
    told = []
    for label in labels:
        try:
            statuses = contract.explore(served.url, label, cases, seed=random.getrandbits(32))
        except (Exception, BaseExceptionGroup):  # schemathesis raises groups
            keep(out, "contract", label.encode(), traceback.format_exc())
            told.append(f"{label}: wrong")
            continue
        told.append(f"{label}: {statuses.total()} requests, {dict(sorted(statuses.items()))}")
        if cases >= _ENOUGH_CASES and label.startswith("POST ") and not statuses[200]:
            keep(out, "contract", label.encode(), f"{label}: not one of {cases} requests was done, so little was tried")
    _check_health(served, out, "contract")
    return "; ".join(told)


def _fuzz_unguided(target: str, seconds: float, out: Path, random: Random) -> str:
    runs = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        data = mutate(random.choice(sorted(seeds().values())), random)
        runs += 1
        if (fault := check(target, data)) is not None:
            keep(out, target, data, fault)
    return f"{runs} runs, not guided: Atheris is not installed"


def _check_health(served: Served, out: Path, part: str) -> None:
    if served.process.poll() is not None:
        raise SystemExit(f"the service ended while {part} was fuzzed; see {served.log}")
    if deaths := served.deaths():
        keep(out, part, b"", f"{deaths} workers ended; see {served.log}")
    if not served.is_well():
        keep(out, part, b"", f"the service is not ready; see {served.log}")
