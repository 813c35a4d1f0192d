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
        None, ge=0, le=65_535, description="port on 127.0.0.1 for POST /admin/models/...; unset: no admin port"
    )
    model_store: Path = Field(default_factory=default_model_store, description="folder that holds the models")
    pool: Literal["local", "inline", "ray"] = Field(
        "local",
        description="where jobs run: local (worker processes), inline (threads of the server) or ray (Ray replicas)",
    )
    ray_address: str | None = Field(
        None, description="address of the Ray cluster, HOST:PORT or auto; unset: start a cluster on loopback"
    )
    ray_replicas: int = Field(2, ge=1, le=10_000, description="least number of Ray replicas")
    ray_max_replicas: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="largest number of Ray replicas, if it follows the load; unset: a fixed number",
    )
    ray_target_wait_s: float = Field(
        2, gt=0, le=3_600, description="estimated queueing time of a new request at which Ray replicas are added"
    )
    ray_cpus: float = Field(1, ge=0, le=1_024, description="CPU cores that Ray reserves for each replica")
    ray_gpus: float = Field(
        0, ge=0, le=64, description="GPUs that Ray reserves for each replica; 0.5: two replicas share one; 0: CPU only"
    )
    devices: str = Field(
        "auto",
        pattern=DEVICES_FORM,
        description=DEVICES_MEANING,
    )
    workers_per_device: int | None = Field(
        None,
        ge=1,
        le=64,
        description="worker processes on each device; unset: one for each core, as far as memory allows",
    )
    threads: int | None = Field(
        None, ge=1, le=256, description="jobs that one worker runs at the same time; unset: by device and cores"
    )
    standby: Literal["auto", "on", "off"] = Field(
        "auto",
        description="spare warm worker on each device: on, off, or auto (if it has one worker and memory allows)",
    )
    max_body_bytes: int = Field(64 * _MIB, ge=1, le=2**31, description="largest request body, in bytes")
    max_pixels: int = Field(50_000_000, ge=1, le=2**29, description="most pixels of an image")
    max_side: int = Field(65_535, ge=1, le=65_535, description="longest side of an image, in pixels")
    max_scans: int = Field(64, ge=1, le=10_000, description="most scans of a JPEG")
    max_segments: int = Field(
        4096, ge=1, le=1_000_000, description="most segments of a JPEG, chunks of a WebP, tags of a TIFF's directory"
    )
    max_chunks: int = Field(131_072, ge=1, le=10_000_000, description="most chunks of a PNG")
    max_blocks: int = Field(1_000_000, ge=1, le=100_000_000, description="most data blocks of a GIF")
    max_profile_bytes: int = Field(
        4 * _MIB, ge=1, le=64 * _MIB, description="largest ICC profile of an image, in bytes after decompression"
    )
    max_fields: int = Field(16, ge=0, le=1_000, description="most form fields besides the one file")
    max_field_bytes: int = Field(4096, ge=1, le=_MIB, description="largest form field, in bytes")
    max_header_bytes: int = Field(
        16 * 1024, ge=1024, le=_MIB, description="largest request line and headers together, in bytes"
    )
    max_effort: int = Field(9, ge=0, le=9, description="highest effort that a request may ask for")
    timeout_s: float = Field(
        120, gt=0, le=86_400, description="deadline of a request without Request-Timeout-Ms, in seconds"
    )
    max_timeout_s: float = Field(
        600, gt=0, le=86_400, description="longest deadline that a request may ask for, in seconds"
    )
    header_timeout_s: float = Field(10, gt=0, le=3_600, description="seconds in which the request headers must arrive")
    body_timeout_s: float = Field(
        30, gt=0, le=86_400, description="seconds in which the body must arrive, plus one for every 128 KiB"
    )
    queue_limit_s: float = Field(
        15, gt=0, le=86_400, description="estimated seconds of queued work at which new requests are refused"
    )
    max_pending_bytes: int = Field(
        288 * _MIB, ge=1, le=2**40, description="most bytes of request bodies and answers held in memory at one time"
    )
    hang_grace_s: float = Field(
        20, gt=0, le=3_600, description="seconds after a job's deadline at which its worker is killed"
    )
    drain_delay_s: float = Field(5, ge=0, le=600, description="seconds of serving after SIGTERM while /readyz says 503")
    shutdown_grace_s: float = Field(
        30, ge=0, le=3_600, description="seconds that running requests have to finish at shutdown"
    )
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (), description="comma-separated API keys: ID:sha256:DIGEST (from `vcodec keys new`) or the key itself"
    )
    api_keys_file: Path | None = Field(
        None, description="file with one API key a line, each with optional quotas; reread when it changes"
    )
    key_requests: str | None = Field(
        None, pattern=f"^({RATES})$", description="request quota of each key: 60/minute, or 60/minute;5000/day"
    )
    key_megapixels: str | None = Field(
        None, pattern=f"^({RATES})$", description="megapixel quota of each key, such as 500/hour"
    )
    quota_storage: SecretStr | None = Field(
        None,
        description="Redis that counts quotas for all replicas: redis://HOST:6379 (extra `redis`); unset: no sharing",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="comma-separated origins whose pages may call, or *; unset: only the service's own"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="lowest level that is logged")
    log_format: Literal["auto", "text", "json"] = Field(
        "auto", description="format of log lines: key=value text or JSON; auto: text on a terminal, else JSON"
    )
    tracing: Literal["off", "otlp"] = Field(
        "off",
        description="OpenTelemetry spans: off, or otlp (extra `otel`; sent to OTEL_EXPORTER_OTLP_ENDPOINT)",
    )

    @classmethod
    def load(cls, **given: object) -> Self:
        """Load the settings. `given` values override the environment. `ValueError` has a line for each invalid one."""
        try:
            return cls(**given)  # type: ignore[arg-type]  # pydantic checks them
        except ValidationError as error:
            raise ValueError("\n".join(error_lines(error, cls.model_fields))) from None

    @property
    def keys(self) -> tuple[Key, ...]:
        """API keys of `VCODEC_API_KEYS`. A key without an id is named by its position."""
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
                raise ValueError("an API key must be printable ASCII, because it is sent in a header")
        check_distinct(_key(key.get_secret_value(), position) for position, key in enumerate(keys, 1))
        return keys

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if origin != "*" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[a-z0-9.\-\[\]:]+", origin):
                raise ValueError("an origin must be scheme://host or scheme://host:port, in lower case, without a path")
        return origins

    @model_validator(mode="after")
    def _check_conflicts(self) -> Self:
        wrong = []
        if not self.requires_keys and (self.key_requests or self.key_megapixels):
            wrong.append(
                f"{PREFIX}KEY_REQUESTS and {PREFIX}KEY_MEGAPIXELS limit API keys, but no keys are configured: "
                f"set {PREFIX}API_KEYS or {PREFIX}API_KEYS_FILE"
            )
        if self.admin_port and self.admin_port == self.port:
            wrong.append(f"{PREFIX}ADMIN_PORT, {self.admin_port}, must differ from {PREFIX}PORT")
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
