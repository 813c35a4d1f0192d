"""HTTP server process: sockets, signals and a graceful shutdown.

SIGTERM ─► not ready, still serving ─► drain delay ─► no new connections ─► requests finish ─► workers end
SIGHUP ──► the model store is read again; see `virtual_codec.serving.catalogue`
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import logging
import os
import signal
import socket
import time
from collections.abc import Mapping
from types import FrameType
from typing import Final, cast, final

import uvicorn
from starlette.types import ASGIApp

from virtual_codec.api._admin import HOST as ADMIN_HOST
from virtual_codec.api._admin import ByPort
from virtual_codec.api._protocol import BoundedProtocol, ConnectionPolicy
from virtual_codec.api.app import Drain, create_service
from virtual_codec.errors import VirtualCodecError
from virtual_codec.logs import Event, configure
from virtual_codec.memory import return_freed_memory
from virtual_codec.serving import Pool
from virtual_codec.serving.catalogue import Catalogue
from virtual_codec.settings import Settings, unknown_variables

_LOG: Final = logging.getLogger("virtual_codec.api")


def run(settings: Settings, pool: Pool | None = None) -> None:
    """Serve until SIGTERM or SIGINT, by default with the pool of the settings.

    Raises `BadModel` when the model store is damaged, `OSError` when the address cannot be bound or the file of
    API keys cannot be read, `ValueError` when that file is wrong.
    """
    return_freed_memory()
    drain = Drain()
    policy = ConnectionPolicy(
        max_header_bytes=settings.max_header_bytes,
        header_timeout_s=settings.header_timeout_s,
        transfer_timeout_s=settings.body_timeout_s,
    )
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(listen(settings.host, settings.port))
        listeners = {listener: "serving"}
        configure(settings.log_level, settings.log_format)
        for name, meant in unknown_variables():
            _LOG.warning(Event("unknown_setting", variable=name, did_you_mean=meant or "nothing like it"))
        service = create_service(settings, pool, drain=drain)
        app: ASGIApp = service.app
        if settings.admin_port is not None:
            admin_listener = stack.enter_context(listen(ADMIN_HOST, settings.admin_port))
            listeners[admin_listener] = "admin"
            app = ByPort(app, service.admin, admin_listener.getsockname()[1])
        config = uvicorn.Config(
            app,
            # Has the signature of the class that uvicorn expects.
            http=cast("type[asyncio.Protocol]", functools.partial(BoundedProtocol, policy)),
            h11_max_incomplete_event_size=policy.max_header_bytes,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=max(1, round(settings.shutdown_grace_s)),
        )
        if not settings.requires_keys and not _is_loopback(listener):
            _LOG.warning(
                Event(
                    "open_to_all",
                    address=listener.getsockname()[0],
                    advice="everybody who reaches this address can use the service: set VCODEC_API_KEYS_FILE, let a "
                    "proxy authenticate callers, or listen on 127.0.0.1",
                )
            )
        _Server(config, drain, settings.drain_delay_s, service.catalogue, listeners).run(list(listeners))
    _LOG.info(Event("stopped"))


@final
class _Server(uvicorn.Server):
    """Server of uvicorn with a drain delay between SIGTERM and shutdown, and a reload of the models on SIGHUP.

    `listeners` maps each socket to its purpose.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        drain: Drain,
        drain_delay_s: float,
        catalogue: Catalogue,
        listeners: Mapping[socket.socket, str],
    ) -> None:
        super().__init__(config)
        self._drain = drain
        self._drain_delay_s = drain_delay_s
        self._catalogue = catalogue
        self._listeners = listeners
        self._stop_at: float | None = None
        self._reloads: set[asyncio.Task[None]] = set()
        self._had_terminal = _has_terminal()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then accept connections."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._on_hangup)
        await super().startup(sockets)
        for listener, purpose in self._listeners.items():
            host, port = listener.getsockname()[:2]
            _LOG.info("%s on http://%s:%d", purpose, f"[{host}]" if ":" in host else host, port)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no new connections and let running requests finish."""
        for reload in self._reloads:
            reload.cancel()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Begin to stop on a signal. A second signal, or Ctrl-C, skips the drain delay."""
        delay_s = self._drain_delay_s if sig == signal.SIGTERM and self._stop_at is None else 0.0
        if self._stop_at is not None and sig == signal.SIGINT:
            self.force_exit = True
        self._drain.begin()
        self._stop_at = time.monotonic() + delay_s

    async def on_tick(self, counter: int) -> bool:
        """Check whether it is time to stop. Called ten times a second."""
        if self._stop_at is not None and time.monotonic() >= self._stop_at:
            self.should_exit = True
        return await super().on_tick(counter)

    def _on_hangup(self) -> None:
        if self._had_terminal and not _has_terminal():
            self.handle_exit(signal.SIGTERM, None)  # SIGHUP because the terminal was closed, not to reload
        elif (
            len(self._reloads) < 2
        ):  # one reload runs and one waits: the waiting one will read the latest state of the store
            reload = asyncio.create_task(self._reload(), name="reload")
            self._reloads.add(reload)
            reload.add_done_callback(self._reloads.discard)

    async def _reload(self) -> None:
        with contextlib.suppress(VirtualCodecError):  # the catalogue has logged it
            await self._catalogue.reload()


def _has_terminal() -> bool:
    return os.isatty(0)  # the terminal no longer exists once its other end is closed


def _is_loopback(listener: socket.socket) -> bool:
    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket, before any worker starts, so that an address in use is reported at once."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    # asyncio switches Nagle's algorithm (40 ms an answer) off only if the protocol is given.
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
