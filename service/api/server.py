"""Running the service: sockets, signals, and an end that loses nothing.

SIGTERM ─► not ready, serving on ─► drain delay ─► no new connections ─► requests finish ─► workers end
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import logging
import signal
import socket
import time
from types import FrameType
from typing import Final, cast, final

import uvicorn

from service.api._protocol import BoundedProtocol, ConnectionPolicy
from service.api.app import Drain, create_app
from service.logs import Event, configure
from service.serving import Pool
from service.settings import Settings

_LOG: Final = logging.getLogger("service.api")


def run(settings: Settings, pool: Pool | None = None) -> None:
    """Serve until SIGTERM or SIGINT, from that pool or the one of the settings.

    Raises `BadModel` when the model store is damaged, `OSError` when the address or the file of API keys cannot
    be had, `ValueError` when that file is wrong.
    """
    drain = Drain()
    policy = ConnectionPolicy(
        max_header_bytes=settings.max_header_bytes,
        header_timeout_s=settings.header_timeout_s,
        transfer_timeout_s=settings.body_timeout_s,
    )
    app = create_app(settings, pool, drain=drain)
    with listen(settings.host, settings.port) as listener:
        configure(settings.log_level, settings.log_format)
        config = uvicorn.Config(
            app,
            # Called as the class is that uvicorn asks for.
            http=cast("type[asyncio.Protocol]", functools.partial(BoundedProtocol, policy)),
            h11_max_incomplete_event_size=policy.max_header_bytes,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=max(1, round(settings.shutdown_grace_s)),
        )
        if not settings.wants_keys and not _is_loopback(listener):
            _LOG.warning(
                Event(
                    "open_to_all",
                    address=listener.getsockname()[0],
                    advice="whoever reaches this address may use the service: set VCODEC_API_KEYS_FILE, let a "
                    "proxy decide who may, or listen on 127.0.0.1",
                )
            )
        _Server(config, drain, settings.drain_delay_s).run([listener])
    _LOG.info(Event("stopped"))


@final
class _Server(uvicorn.Server):
    """uvicorn's, but that SIGTERM is announced by /readyz some time before it is obeyed."""

    def __init__(self, config: uvicorn.Config, drain: Drain, drain_delay_s: float) -> None:
        super().__init__(config)
        self._drain = drain
        self._drain_delay_s = drain_delay_s
        self._stop_at: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then accept connections."""
        await super().startup(sockets)
        for listener in sockets or []:
            host, port = listener.getsockname()[:2]
            _LOG.info("serving on http://%s:%d", f"[{host}]" if ":" in host else host, port)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """A signal to stop. A second one, or Ctrl-C, does not wait for the delay."""
        delay_s = self._drain_delay_s if sig == signal.SIGTERM and self._stop_at is None else 0.0
        if self._stop_at is not None and sig == signal.SIGINT:
            self.force_exit = True
        self._drain.begin()
        self._stop_at = time.monotonic() + delay_s

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to stop."""
        if self._stop_at is not None and time.monotonic() >= self._stop_at:
            self.should_exit = True
        return await super().on_tick(counter)


def _is_loopback(listener: socket.socket) -> bool:
    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, before any worker is started: an address in use should be the first thing said."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    # Only where the protocol is told does asyncio switch Nagle's algorithm off; it costs 40 ms an answer.
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from error
    listener.set_inheritable(False)
    return listener
