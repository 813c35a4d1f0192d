"""LitServe server: worker processes behind a queue, after the file and image examples of its documentation."""

import litserve
from fastapi import Request, Response  # no `from __future__ import annotations`: LitServe reads the types

from benchmarks.servers.job import JOBS, parse_arguments


class Work(litserve.LitAPI):
    def __init__(self, task: str, threads: int, batch: int) -> None:
        super().__init__(api_path=f"/{task}", max_batch_size=batch, batch_timeout=0.01 if batch > 1 else 0.0)
        self._task = task
        self._threads = threads

    def setup(self, device: str) -> None:  # noqa: ARG002 - given by name
        self._job = JOBS[self._task](self._threads)

    def decode_request(self, request: Request) -> bytes:
        data: bytes = request["file"].file.read()
        return data

    def predict(self, data: bytes | list[bytes]) -> bytes | list[bytes]:
        return [self._job(each) for each in data] if isinstance(data, list) else self._job(data)

    def batch(self, inputs: list[bytes]) -> list[bytes]:
        return list(inputs)

    def unbatch(self, output: list[bytes]) -> list[bytes]:
        return output

    def encode_response(self, output: bytes) -> Response:
        return Response(output, media_type=self._job.media_type)


def main() -> None:
    arguments = parse_arguments()
    server = litserve.LitServer(
        Work(arguments.task, arguments.threads, arguments.batch),
        accelerator="cpu",
        workers_per_device=arguments.processes,
        timeout=arguments.timeout,
        restart_workers=True,
    )
    server.run(host="127.0.0.1", port=arguments.port, num_api_servers=1, generate_client_file=False, log_level="error")


if __name__ == "__main__":
    main()
