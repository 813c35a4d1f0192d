"""A web server on loopback that holds files in memory, as any static host would; it remembers what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import final

from virtual_codec.web import WebFile

TYPES = {
    "html": "text/html; charset=utf-8",
    "jpg": "image/jpeg",
    "webp": "image/webp",
    "avif": "image/avif",
    "js": "text/javascript",
    "ico": "image/x-icon",
}


@final
class StaticHost:
    """`policy` is the Content-Security-Policy of its pages; `files` may be changed while it runs."""

    def __init__(self, files: list[WebFile], *, policy: str = "", prefix: str = "web/") -> None:
        self.files = {f"/{prefix}{file.path}": (file.media_type, file.content) for file in files}
        self.policy = policy
        self.asked: list[str] = []
        self.url = ""

    def put(self, name: str, content: bytes | str) -> str:
        """Hold one more file; its address."""
        content = content.encode() if isinstance(content, str) else content
        self.files[f"/{name}"] = (TYPES[name.rpartition(".")[2]], content)
        return f"{self.url}/{name}"


@contextmanager
def hosting(host: StaticHost) -> Iterator[StaticHost]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            host.asked.append(path)
            found = host.files.get(path)
            self.send_response(200 if found else 404)
            media_type, content = found or ("text/plain", b"")
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            if host.policy:
                self.send_header("Content-Security-Policy", host.policy)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    host.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield host
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
