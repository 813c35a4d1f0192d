from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import final


@final
class EchoServer(ThreadingHTTPServer):
    """Answers like the service, with the body reversed; `b"no"` is turned away, `b"die"` hung up on."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, delay_s: float = 0.005) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.delay_s = delay_s
        self.seen: list[tuple[str, str | None, bytes]] = []
        self.connections = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one piece; two would wait for each other

    def setup(self) -> None:
        super().setup()
        self._server().connections += 1

    def do_POST(self) -> None:
        server = self._server()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server.seen.append((self.path, self.headers["X-Api-Key"], body))
        time.sleep(server.delay_s)
        if body == b"die":
            self.close_connection = True
            return
        self.send_response(503 if body == b"no" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Vcodec-Size", "1000x500")
        self.send_header("Server-Timing", "decode;dur=1.5, queue;dur=0, device;dur=4.5")
        self.end_headers()
        self.wfile.write(body[::-1])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's own name
        pass

    def _server(self) -> EchoServer:
        assert isinstance(self.server, EchoServer)
        return self.server


@contextmanager
def running_server() -> Iterator[EchoServer]:
    with EchoServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
