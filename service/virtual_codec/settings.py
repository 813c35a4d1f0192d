"""Settings of the service, read from the environment.

Every field is a variable `VCODEC_<NAME>`; unset fields keep their defaults. Only the command line and
`virtual_codec.api.create_app` import this. `virtual_codec.local_settings` reads the few that commands without a server
need; no other module reads the environment.
"""

from __future__ import annotations

import os
import re
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self, final

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from virtual_codec.keys import RATES, Key, check_distinct, digest_of, parse_entry
from virtual_codec.local_settings import DEVICES_FORM, DEVICES_MEANING, PREFIX
from virtual_codec.store import default_model_store
from virtual_codec.variables import Description, describe_field, error_lines, find_unknown

if TYPE_CHECKING:
    from virtual_codec.images import ImageLimits

_MIB = 2**20


@final
class Settings(BaseSettings):
    """Validated settings. `Settings.load` reads them with errors that name the variable."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True)

    host: str = Field("127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(8000, ge=0, le=65_535, description="port to listen on; 0 takes any free one")
    admin_port: int | None = Field(
        None, ge=0, le=65_535, description="port on 127.0.0.1 for POST /admin/models/...; unset: none"
    )
    model_store: Path = Field(default_factory=default_model_store, description="folder of the models")
    pool: Literal["local", "inline", "ray"] = Field(
        "local",
        description="where jobs run: local (worker processes), inline (threads of the server itself) or ray (replicas)",
    )
    ray_address: str | None = Field(
        None, description="Ray cluster of the pool `ray`, HOST:PORT or auto; unset: one of its own on loopback"
    )
    ray_replicas: int = Field(2, ge=1, le=10_000, description="replicas of the pool `ray`, at least")
    ray_max_replicas: int | None = Field(
        None, ge=1, le=10_000, description="most replicas, where their number follows the load; unset: it does not"
    )
    ray_target_wait_s: float = Field(
        2, gt=0, le=3_600, description="estimated seconds that a new request may wait before replicas are added"
    )
    ray_cpus: float = Field(1, ge=0, le=1_024, description="cores of a replica, as Ray counts them")
    ray_gpus: float = Field(
        0, ge=0, le=64, description="GPUs of a replica, as Ray counts them; 0.5: two replicas share one; 0: the CPU"
    )
    devices: str = Field(
        "auto",
        pattern=DEVICES_FORM,
        description=DEVICES_MEANING,
    )
    workers_per_device: int | None = Field(
        None, ge=1, le=64, description="worker processes on each device; unset: one a core, as far as memory allows"
    )
    threads: int | None = Field(
        None, ge=1, le=256, description="jobs that one worker does at a time; unset: by device and cores"
    )
    standby: Literal["auto", "on", "off"] = Field(
        "auto",
        description="a spare warm worker on each device: on, off, or auto (where it has one worker, and memory allows)",
    )
    max_body_bytes: int = Field(64 * _MIB, ge=1, le=2**31, description="largest request body")
    max_pixels: int = Field(50_000_000, ge=1, le=2**29, description="most pixels of an image")
    max_side: int = Field(65_535, ge=1, le=65_535, description="longest side of an image, in pixels")
    max_scans: int = Field(64, ge=1, le=10_000, description="most scans of a JPEG")
    max_segments: int = Field(
        4096, ge=1, le=1_000_000, description="most segments of a JPEG, chunks of a WebP, tags of a TIFF's directory"
    )
    max_chunks: int = Field(131_072, ge=1, le=10_000_000, description="most chunks of a PNG")
    max_blocks: int = Field(1_000_000, ge=1, le=100_000_000, description="most data blocks of a GIF")
    max_profile_bytes: int = Field(
        4 * _MIB, ge=1, le=64 * _MIB, description="largest ICC profile of an image, decompressed"
    )
    max_fields: int = Field(16, ge=0, le=1_000, description="most fields of a form, beside its one file")
    max_field_bytes: int = Field(4096, ge=1, le=_MIB, description="largest field of a form")
    max_header_bytes: int = Field(
        16 * 1024, ge=1024, le=_MIB, description="largest head of a request: its line and headers"
    )
    max_effort: int = Field(9, ge=0, le=9, description="highest effort that a caller may ask for")
    timeout_s: float = Field(120, gt=0, le=86_400, description="seconds a request has when it names no time")
    max_timeout_s: float = Field(600, gt=0, le=86_400, description="most seconds a request may ask for")
    header_timeout_s: float = Field(10, gt=0, le=3_600, description="seconds that the head of a request may take")
    body_timeout_s: float = Field(
        30, gt=0, le=86_400, description="seconds a body may take, and one more for every 128 KiB of it"
    )
    queue_limit_s: float = Field(
        15, gt=0, le=86_400, description="estimated seconds of queued work at which new requests are refused"
    )
    max_pending_bytes: int = Field(
        288 * _MIB, ge=1, le=2**40, description="most bytes of all request bodies and answers held at one time"
    )
    hang_grace_s: float = Field(
        20, gt=0, le=3_600, description="seconds past its deadline at which a job's worker is killed"
    )
    drain_delay_s: float = Field(5, ge=0, le=600, description="seconds it goes on serving, not ready, after SIGTERM")
    shutdown_grace_s: float = Field(
        30, ge=0, le=3_600, description="seconds that running requests have to finish when it stops"
    )
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (), description="keys that may call, with commas between: ID:sha256:DIGEST (`vcodec keys new`) or a secret"
    )
    api_keys_file: Path | None = Field(
        None, description="file of such entries, a line each, with rates of their own; read again when it changes"
    )
    key_requests: str | None = Field(
        None, pattern=f"^({RATES})$", description="jobs each key may send: 60/minute, or 60/minute;5000/day"
    )
    key_megapixels: str | None = Field(
        None, pattern=f"^({RATES})$", description="megapixels each key may send: 500/hour, say"
    )
    quota_storage: SecretStr | None = Field(
        None,
        description="Redis that counts quotas for all replicas: redis://HOST:6379 (extra `redis`); unset: each alone",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="origins whose pages may call, with commas between, or *; unset: none but its own"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level logged")
    log_format: Literal["auto", "text", "json"] = Field(
        "auto", description="log lines as key=value text or as JSON; auto: text on a terminal, else JSON"
    )
    tracing: Literal["off", "otlp"] = Field(
        "off",
        description="spans by OpenTelemetry: off, or otlp (extra `otel`; where to, OTEL_EXPORTER_OTLP_ENDPOINT says)",
    )

    @classmethod
    def load(cls, **given: object) -> Self:
        """Load settings; `given` go before the environment. Raises `ValueError` with a line for each invalid one."""
        try:
            return cls(**given)  # type: ignore[arg-type]  # pydantic checks them
        except ValidationError as error:
            raise ValueError("\n".join(error_lines(error, cls.model_fields))) from None

    @property
    def keys(self) -> tuple[Key, ...]:
        """Keys of `VCODEC_API_KEYS`. A key without an id is named by its position."""
        return tuple(_key(key.get_secret_value(), position) for position, key in enumerate(self.api_keys, 1))

    @property
    def requires_keys(self) -> bool:
        """True if callers need an API key."""
        return bool(self.api_keys) or self.api_keys_file is not None

    @property
    def image_limits(self) -> ImageLimits:
        """Limits on images."""
        from virtual_codec.images import ImageLimits

        return ImageLimits(**{limit.name: getattr(self, limit.name) for limit in fields(ImageLimits)})

    @field_validator("api_keys", "cors_origins", mode="before")
    @classmethod
    def _split(cls, items: object) -> object:
        if isinstance(items, str):
            return tuple(item.strip() for item in items.split(",") if item.strip())
        return items

    @field_validator("api_keys")
    @classmethod
    def _check_keys(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for key in keys:
            secret = key.get_secret_value()
            if not (secret.isascii() and secret.isprintable()):
                raise ValueError("keys are printable ASCII, since they travel in a header")
        check_distinct(_key(key.get_secret_value(), position) for position, key in enumerate(keys, 1))
        return keys

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if origin != "*" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[a-z0-9.\-\[\]:]+", origin):
                raise ValueError("an origin is scheme://host or scheme://host:port, in lower case, without a path")
        return origins

    @model_validator(mode="after")
    def _check_conflicts(self) -> Self:
        wrong = []
        if not self.requires_keys and (self.key_requests or self.key_megapixels):
            wrong.append(
                f"{PREFIX}KEY_REQUESTS and {PREFIX}KEY_MEGAPIXELS limit keys, and there are none: "
                f"set {PREFIX}API_KEYS or {PREFIX}API_KEYS_FILE"
            )
        if self.admin_port and self.admin_port == self.port:
            wrong.append(f"{PREFIX}ADMIN_PORT, {self.admin_port}, must not be {PREFIX}PORT")
        if self.ray_max_replicas is not None and self.ray_max_replicas < self.ray_replicas:
            wrong.append(
                f"{PREFIX}RAY_MAX_REPLICAS, {self.ray_max_replicas}, is below {PREFIX}RAY_REPLICAS, {self.ray_replicas}"
            )
        if self.timeout_s > self.max_timeout_s:
            given, most = self.timeout_s, self.max_timeout_s
            wrong.append(f"{PREFIX}TIMEOUT_S, {given:g}, is above {PREFIX}MAX_TIMEOUT_S, {most:g}")
        if wrong:
            raise ValueError("\n".join(wrong))
        return self


def describe() -> list[Description]:
    """Descriptions of all settings, in the order of `Settings`."""
    return [describe_field(name, field) for name, field in Settings.model_fields.items()]


def unknown_variables() -> list[tuple[str, str | None]]:
    """Environment variables with our prefix that are not settings, each with the most similar one."""
    return find_unknown(os.environ, Settings.model_fields)


def _key(text: str, position: int) -> Key:
    if text.startswith("sha256:"):
        text = f"key-{position}:{text}"
    if ":sha256:" in text:
        return parse_entry(text)
    return Key(id=f"key-{position}", digest=digest_of(text))
