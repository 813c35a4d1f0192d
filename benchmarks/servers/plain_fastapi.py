"""Plain FastAPI server: the codec runs in a thread of the serving process."""

from __future__ import annotations

import os

import uvicorn
from fastapi import FastAPI, Response, UploadFile

from benchmarks.servers.job import JOBS, parse_arguments

TASK, THREADS = "BENCHMARK_TASK", "BENCHMARK_THREADS"


def make_app() -> FastAPI:
    task = os.environ[TASK]
    job = JOBS[task](int(os.environ[THREADS]))
    app = FastAPI()

    @app.post(f"/{task}")
    def work(file: UploadFile) -> Response:  # not async: FastAPI runs it in a thread
        return Response(job(file.file.read()), media_type=job.media_type)

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    return app


def main() -> None:
    arguments = parse_arguments()
    os.environ[TASK], os.environ[THREADS] = arguments.task, str(arguments.threads)
    uvicorn.run(
        "benchmarks.servers.plain_fastapi:make_app",
        factory=True,
        host="127.0.0.1",
        port=arguments.port,
        workers=arguments.processes,
        log_level="error",
    )


if __name__ == "__main__":
    main()
