"""A pool that only pretends, pictures, and a look at problems."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, final

import httpx2
from PIL import Image

from virtual_codec.jobs import CompressOptions, CompressResult, Job, OrdinaryOptions, RestoreResult
from virtual_codec.serving import PoolState, Result, WorkerState
from virtual_codec.store import Manifest, NetworkEntry, model_id

READY = PoolState(workers=(WorkerState(name="cpu/0", device="cpu", is_ready=True),), notes={"speed": "modest"})


@final
class PretendPool:
    """Answers every job at once, or raises `error`, or waits for `gate`; remembers what it was given.

    `taken` is released once a job.
    """

    def __init__(self) -> None:
        self.jobs: list[tuple[Job, int]] = []
        self.error: Exception | None = None
        self.refusal: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.taken = asyncio.Semaphore(0)
        self.cancelled = 0
        self.warmed: list[str] = []
        self.forgotten: list[str] = []
        self.bad_model: Exception | None = None
        self.now = READY
        self.measured: dict[str, float] = {}
        self.is_running = False
        self.image = b"restored"

    async def start(self) -> None:
        self.is_running = True

    async def stop(self) -> None:
        self.is_running = False

    def admit(self, deadline: float | None = None) -> None:
        if self.refusal is not None:
            raise self.refusal

    async def submit(self, job: Job, *, pixels: int) -> Result:
        self.jobs.append((job, pixels))
        self.taken.release()
        if self.gate is not None:
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        if self.error is not None:
            raise self.error
        return self._result(job)

    async def warm_model(self, model: str) -> None:
        if self.bad_model is not None:
            raise self.bad_model
        self.warmed.append(model)

    def forget_model(self, model: str) -> None:
        self.forgotten.append(model)

    def state(self) -> PoolState:
        return self.now

    def _result(self, job: Job) -> Result:
        stages_s = {"decode": 0.0101, "queue": 0.0002, "device": 0.2, "encode": 0.03}
        if isinstance(job.options, CompressOptions):
            result = CompressResult(
                stream=b"\xff\xd8stream\xff\xd9",
                media_type="image/jpeg",
                model="0badf00d",
                scale=2,
                width=30,
                height=20,
                quality=job.options.quality or 50,
                stages_s=stages_s,
            )
            return replace(result, **self.measured)  # type: ignore[arg-type]  # tests say what fits
        if isinstance(job.options, OrdinaryOptions):
            return CompressResult(
                stream=b"ordinary",
                media_type=f"image/{job.options.format}",
                model="",
                scale=1,
                width=30,
                height=20,
                quality=job.options.quality or 50,
                psnr_db=31.5,
                stages_s=stages_s,
            )
        return RestoreResult(
            image=self.image,
            media_type=f"image/{job.options.output}",
            model="0badf00d",
            scale=2,
            width=30,
            height=20,
            rate_bpp=0.123456,
            stages_s=stages_s,
        )


def manifest_of(name: str, *, is_retired: bool = False, codecs: Sequence[str] = ("jpeg",)) -> Manifest:
    """Its manifest."""
    networks = {
        f"postprocess-{scale}": NetworkEntry(
            architecture=name, arguments={}, file=f"p{scale}.safetensors", sha256="0" * 64
        )
        for scale in (1, 2)
    }
    return Manifest(
        name=name,
        id=model_id(networks),
        created="2026-11-22",
        licence="Apache-2.0",
        data_licences=["CC0"],
        retired=is_retired,
        codecs=list(codecs),
        networks=networks,
        metrics={"bd_rate": -30.5},
    )


SMALL = manifest_of("small").id
"""The id of the default model of `write_store`: what jobs that name no model are promised."""


def picture(form: str = "PNG", size: tuple[int, int] = (30, 20), **options: Any) -> bytes:
    """A small image file."""
    file = io.BytesIO()
    Image.new("RGB", size, (200, 100, 50)).save(file, form, **options)
    return file.getvalue()


def problem(response: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """The problem that a response is, which must be complete."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = json.loads(response.content)
    assert body["code"] == code
    assert body["status"] == status
    assert body["type"] == f"/problems/{code}"
    assert body["request_id"] == response.headers["x-request-id"]
    assert body["instance"] == response.request.url.path
    assert body["title"]
    assert body["detail"]
    return body


def write_store(root: Path) -> Path:
    """A store in the folder `root` with the models `small` (the default) and `old` (retired)."""
    for name, is_retired in (("small", False), ("old", True)):
        write_model(root, name, is_retired=is_retired)
    (root / "CURRENT").write_text("small\n")
    return root


def write_model(root: Path, name: str, *, is_retired: bool = False, codecs: Sequence[str] = ("jpeg",)) -> None:
    """A model of that name in the store, without weights that anything could be done with."""
    manifest = manifest_of(name, is_retired=is_retired, codecs=codecs)
    (root / name).mkdir()
    (root / name / "manifest.json").write_text(manifest.to_json())
    for network in manifest.networks.values():
        (root / name / network.file).touch()
