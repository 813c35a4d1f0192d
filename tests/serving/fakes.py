"""Fake job handler whose jobs are commands: no images, no torch."""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path
from typing import final

from virtual_codec.counts import RunnerCounts
from virtual_codec.errors import BadModel, UndecodableImage
from virtual_codec.jobs import CompressOptions, CompressResult, Job, RestoreOptions, RestoreResult, check_deadline

OPEN = f"{__name__}:open_obedient"
OPEN_BROKEN = f"{__name__}:open_broken"
OPEN_SLOWLY = f"{__name__}:open_slowly"


def open_obedient(*, device: str, scratch: Path, model: str = "") -> Obedient:
    """Handler that logs what it does to the folder `scratch`."""
    return Obedient(device, scratch, model)


def open_slowly(*, device: str, scratch: Path, model: str = "") -> Obedient:
    """Handler of a worker that takes half a second to open."""
    (scratch / f"{os.getpid()}.opening").touch()
    time.sleep(0.5)
    return Obedient(device, scratch, model)


def open_broken(*, device: str, scratch: Path, model: str = "") -> Obedient:
    """Handler that cannot be opened while the file `broken` is there."""
    if (scratch / "broken").exists():
        raise BadModel("the model is damaged")
    return Obedient(device, scratch, model)


@final
class Obedient:
    """Handler of commands, one a job.

    `sleep 0.5`, `stages`, `hang`, `bad`, `surprise`, `memory`, `crash`, `crash 2 <name>` (only twice), `send` (the
    bytes of the file `hostile` to the parent).

    Models, by name: `bad`, `hang`, `surprise`, `memory`, `crash` and `crash-once` cannot be warmed, `bad-elsewhere`
    by the first worker only; all others can, `slow` in half a second. The `model` of a result lists the warm ones.
    """

    def __init__(self, device: str, scratch: Path, model: str) -> None:
        self.counts = RunnerCounts(bisections=7)
        self.notes = {"speed": f"none at all on {device}"}
        self._scratch = scratch
        self._warm = {model or "0badf00d"}

    def warm_model(self, model: str) -> None:
        with (self._scratch / "models").open("a") as models:
            models.write(f"warm {model} {os.getpid()}\n")
        match model:
            case "bad":
                raise BadModel("as told")
            case "bad-elsewhere":
                if (self._scratch / "models").read_text().count("warm bad-elsewhere") > 1:
                    raise BadModel("as told")
            case "slow":
                time.sleep(0.5)
            case "hang":
                time.sleep(3600)
            case "surprise":
                raise ZeroDivisionError("as told")
            case "memory":
                raise MemoryError
            case "crash":
                os._exit(3)
            case "crash-once" if not (self._scratch / "crashed").exists():
                (self._scratch / "crashed").touch()
                os._exit(3)
        self._warm.add(model)

    def forget_model(self, model: str) -> None:
        self._warm.discard(model)
        with (self._scratch / "models").open("a") as models:
            models.write(f"forget {model} {os.getpid()}\n")

    def run(self, job: Job) -> CompressResult | RestoreResult:
        command, *words = job.data.decode().split()
        running = self._scratch / f"{os.getpid()}.{job.request_id}.running"
        running.touch()
        beside = [path.name for path in self._scratch.glob(f"{os.getpid()}.*.running")]
        with (self._scratch / "log").open("a") as log:
            log.write(f"{job.request_id} {os.getpid()} {len(beside)}\n")
        try:
            match command:
                case "sleep":
                    time.sleep(float(words[0]))
                case "hang":
                    time.sleep(3600)
                case "stages":
                    self._work_in_stages(job)
                case "bad":
                    raise UndecodableImage("as told", limit=1, actual=2)
                case "surprise":
                    logging.getLogger("virtual_codec.fake").warning("event=told")
                    raise ZeroDivisionError("as told")
                case "memory":
                    raise MemoryError
                case "crash":
                    self._crash(words)
                case "send":
                    os.write(int(sys.argv[2]), (self._scratch / "hostile").read_bytes())
        finally:
            running.unlink()
        return self._result(job)

    def _work_in_stages(self, job: Job) -> None:
        for _ in range(1000):
            check_deadline()
            time.sleep(0.01)
        (self._scratch / f"{job.request_id}.finished").touch()

    def _crash(self, words: list[str]) -> None:
        if words:
            times, name = int(words[0]), words[1]
            with (self._scratch / f"crashes.{name}").open("ab") as crashes:
                if crashes.tell() >= times:
                    return
                crashes.write(b".")
        for path in self._scratch.glob(f"{os.getpid()}.*.running"):
            path.unlink()
        os._exit(3)

    def _result(self, job: Job) -> CompressResult | RestoreResult:
        if isinstance(job.options, RestoreOptions):
            return RestoreResult(
                image=job.data,
                media_type="image/png",
                model=" ".join(sorted(self._warm)),
                scale=2,
                width=6,
                height=4,
                rate_bpp=1.5,
                stages_s={"decode": 0.001, "device": 0.002},
            )
        return CompressResult(
            stream=job.data,
            media_type="image/jpeg",
            model=" ".join(sorted(self._warm)),
            scale=2,
            width=6,
            height=4,
            quality=job.options.quality or 50,
            stages_s={"decode": 0.001, "device": 0.002},
        )


def job(command: str, request_id: str = "", *, seconds: float | None = None) -> Job:
    """A job that tells `Obedient` what to do, with so many seconds to do it."""
    deadline = None if seconds is None else time.monotonic() + seconds
    return Job(data=command.encode(), options=CompressOptions(), request_id=request_id or command, deadline=deadline)
