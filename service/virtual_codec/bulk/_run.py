"""Run of a plan: many files in parallel, each recorded after its output is written."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar, final

from virtual_codec import images
from virtual_codec.bulk._index import Task
from virtual_codec.bulk._manifest import Manifest
from virtual_codec.bulk._plan import Plan
from virtual_codec.bulk._progress import Progress
from virtual_codec.errors import BodyTooLarge, Unavailable, VirtualCodecError
from virtual_codec.images import ImageLimits
from virtual_codec.jobs import CompressOptions, CompressResult, Job, RestoreOptions
from virtual_codec.serving import Pool, Result

_CHUNK: Final = 64  # tasks that are recorded as begun together
_FULL_STORAGE_ERRORS: Final = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}

_ResultT = TypeVar("_ResultT")


@dataclass(frozen=True, kw_only=True)
class BulkPolicy:
    """Limits of a run: files in progress at once, bytes of one source, and bytes of all sources in progress."""

    parallel: int = 8
    max_source_bytes: int = 512 * 2**20
    max_held_bytes: int = 1024 * 2**20


def convert_all(
    plan: Plan, pool: Pool, progress: Progress, *, limits: ImageLimits, policy: BulkPolicy | None = None
) -> None:
    """Convert the remaining tasks of a plan and write the report. Failures of single files do not end the run.

    The pool is started and stopped here. Raises `Unavailable` if no worker starts, and `OSError` if the destination is
    full. Finished tasks are recorded in either case, so a later run continues.
    """
    assert plan.manifest is not None
    asyncio.run(_Run(plan, plan.manifest, pool, progress, limits, policy or BulkPolicy()).run())


@final
class _Run:
    """State of one run on one event loop. Blocking calls run in threads."""

    def __init__(
        self,
        plan: Plan,
        manifest: Manifest,
        pool: Pool,
        progress: Progress,
        limits: ImageLimits,
        policy: BulkPolicy,
    ) -> None:
        self._plan = plan
        self._manifest = manifest
        self._pool = pool
        self._progress = progress
        self._limits = limits
        self._policy = policy
        self._threads = ThreadPoolExecutor(policy.parallel, thread_name_prefix="storage")
        self._writing = asyncio.Lock()
        self._room = asyncio.Condition()
        self._held = 0
        self._held_bytes = 0
        self._fatal: Exception | None = None

    async def run(self) -> None:
        tasks: set[asyncio.Task[None]] = set()
        await self._pool.start()
        try:
            await self._flush()
            for chunk in self._plan.index.tasks(done=False, size=_CHUNK):
                for task in await self._begin(chunk):
                    await self._take_room(task)
                    if self._fatal is not None:
                        break
                    running = asyncio.create_task(self._convert(task))
                    tasks.add(running)
                    running.add_done_callback(tasks.discard)
                if self._fatal is not None:
                    break
            await asyncio.gather(*tasks)
        finally:
            for running in list(tasks):
                running.cancel()
            await self._pool.stop()
            await self._flush()
            self._threads.shutdown(cancel_futures=True)
        self._write_report()
        if self._fatal is not None:
            raise self._fatal

    async def _begin(self, chunk: list[Task]) -> list[Task]:
        """Record tasks as begun and return them, without those whose output exists and is not of a bulk run."""
        fresh = [task for task in chunk if not task.is_owned]
        sizes = await asyncio.gather(*(self._in_thread(self._plan.target.size_bytes, task.output) for task in fresh))
        foreign = {task.source for task, size in zip(fresh, sizes, strict=True) if size is not None}
        for task in fresh:
            if task.source in foreign:
                where = f"{self._plan.target.url}/{task.output}"
                self._fail(task, "exists", f"{where} exists and is not of a bulk run; move it away")
            else:
                self._manifest.add("begun", _task_facts(task))
        if fresh:
            await self._flush()
        return [task for task in chunk if task.source not in foreign]

    async def _take_room(self, task: Task) -> None:
        def has_room() -> bool:
            is_small = self._held_bytes + task.source_bytes <= self._policy.max_held_bytes
            return self._held == 0 or (self._held < self._policy.parallel and is_small)

        async with self._room:
            await self._room.wait_for(has_room)
            self._held += 1
            self._held_bytes += task.source_bytes

    async def _convert(self, task: Task) -> None:
        try:
            if self._fatal is None:
                await self._attempt(task)
            if self._manifest.is_due:
                await self._flush()
        except Exception as error:  # the manifest cannot be written, or a programming error: the run ends
            self._fatal = self._fatal or error
        finally:
            async with self._room:
                self._held -= 1
                self._held_bytes -= task.source_bytes
                self._room.notify_all()

    async def _attempt(self, task: Task) -> None:
        target = self._plan.target
        try:
            source, digest, pixels = await self._in_thread(self._read, task)
            if digest == task.source_sha256 and await self._is_intact(task):
                self._finish(task, digest, {}, output_bytes=task.output_bytes, output_sha256=task.output_sha256)
                return
            job = Job(data=source, options=self._options(source))
            result = await self._pool.submit(job, pixels=pixels)
            output = result.stream if isinstance(result, CompressResult) else result.image
            await self._in_thread(
                target.write, task.output, output, replace=task.is_owned, media_type=result.media_type
            )
        except Unavailable as error:
            self._fatal = self._fatal or error
        except VirtualCodecError as error:
            self._fail(task, error.code, str(error) or type(error).__name__)
        except FileExistsError:
            self._fail(task, "exists", f"{target.url}/{task.output} exists and is not of a bulk run; move it away")
        except OSError as error:
            if error.errno in _FULL_STORAGE_ERRORS:
                self._fatal = self._fatal or error
            else:
                self._fail(task, "os", str(error))
        else:
            sha256 = hashlib.sha256(output).hexdigest()
            self._finish(task, digest, _result_facts(result), output_bytes=len(output), output_sha256=sha256)

    def _options(self, source: bytes) -> CompressOptions | RestoreOptions:
        """Options for a source: workers open with the plan's model, and a file of another codec needs another one."""
        options = self._plan.options
        if isinstance(options, RestoreOptions):
            return replace(options, model=self._plan.models.get(images.sniff(source)))
        return options

    def _read(self, task: Task) -> tuple[bytes, str, int]:
        """Content, digest and number of pixels of a source."""
        limit = self._policy.max_source_bytes
        if task.source_bytes > limit:
            raise BodyTooLarge(f"the file is larger than {limit} bytes", limit=limit, actual=task.source_bytes)
        source = self._plan.source.read(task.source)
        width, height = images.probe(source, limits=self._limits)
        return source, hashlib.sha256(source).hexdigest(), width * height

    async def _is_intact(self, task: Task) -> bool:
        return await self._in_thread(self._plan.target.size_bytes, task.output) == task.output_bytes

    def _finish(
        self, task: Task, digest: str, facts: Mapping[str, object], *, output_bytes: int, output_sha256: str
    ) -> None:
        digests = {"source_sha256": digest, "output_bytes": output_bytes, "output_sha256": output_sha256}
        self._manifest.add("done", {**_task_facts(task), **digests, **facts})
        width, height = facts.get("width", 0), facts.get("height", 0)
        assert isinstance(width, int)
        assert isinstance(height, int)
        self._progress.add_done(
            {
                "input": task.source,
                "output": task.output,
                "input_bytes": task.source_bytes,
                "output_bytes": output_bytes,
                **facts,
            },
            source_bytes=task.source_bytes,
            output_bytes=output_bytes,
            pixels=width * height,
        )

    def _fail(self, task: Task, code: str, detail: str) -> None:
        self._plan.index.add_failure(task.source, code, detail)
        self._manifest.add("failed", {"source": task.source, "code": code, "detail": detail})
        self._progress.add_failed(task.source, task.output, code, detail)

    async def _flush(self) -> None:
        async with self._writing:
            await self._in_thread(self._manifest.flush)

    def _write_report(self) -> None:
        """Write one JSON line for each failed file, sorted by name. The report is empty if there is none."""
        lines = [
            json.dumps({"source": source, "code": code, "detail": detail}) + "\n"
            for source, code, detail in self._plan.index.failures()
        ]
        self._plan.target.write(
            self._plan.report, "".join(lines).encode(), replace=True, media_type="application/jsonl"
        )

    async def _in_thread(self, call: Callable[..., _ResultT], *arguments: Any, **named: Any) -> _ResultT:
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: call(*arguments, **named))


def _task_facts(task: Task) -> dict[str, object]:
    names = ("source", "output", "version", "source_bytes")
    return {name: getattr(task, name) for name in names}


def _result_facts(result: Result) -> dict[str, object]:
    facts: dict[str, object] = {"width": result.width, "height": result.height}
    facts |= {"rate_bpp": round(result.rate_bpp, 4), "scale": result.scale, "model": result.model}
    if isinstance(result, CompressResult):
        facts["quality"] = result.quality
        facts["psnr_db"] = None if result.psnr_db is None else round(result.psnr_db, 3)
        facts["ms_ssim"] = None if result.ms_ssim is None else round(result.ms_ssim, 5)
    return facts
