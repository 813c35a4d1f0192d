"""Manifest of a model: its networks, the checksums of their weights, its measured tables and results.

It is the file `manifest.json` of a model's folder (`virtual_codec.store`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Final, Self, final

from virtual_codec.json_object import JsonObject

_FORMAT: Final = 1
_MODEL_ID: Final = re.compile(r"[0-9a-f]{8}")
_MODEL_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_NETWORK_KEY: Final = re.compile(r"[a-z_]+-[1-9][0-9]?")
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,86}\.safetensors")
_DEVICE: Final = re.compile(r"[a-z]{2,16}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_LARGEST_CHROMA_DC: Final = 4.0


@final
@dataclass(frozen=True, kw_only=True)
class NetworkEntry:
    """Network of a model: its row in `networks.NETWORKS`, the arguments of its constructor, its weights."""

    architecture: str
    arguments: dict[str, int | float | str | bool]
    file: str
    sha256: str

    def __post_init__(self) -> None:
        check_network(self.architecture, self.file)
        _check_form("sha256", self.sha256, _SHA256, "64 hex digits")

    @classmethod
    def read(cls, fields: JsonObject) -> Self:
        """Entry of a JSON object."""
        return fields.build(
            cls,
            architecture=fields.text("architecture"),
            arguments=read_arguments(fields),
            file=fields.text("file"),
            sha256=fields.text("sha256"),
        )


@final
@dataclass(frozen=True, kw_only=True)
class EncoderParameters:
    """Encoder parameters that a model's networks were trained with; they differ from model to model.

    `chroma_dc` is the factor on the DC entry of the chroma quantisation table (`codecs.JpegSettings.chroma_dc`).
    """

    chroma_dc: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.chroma_dc <= _LARGEST_CHROMA_DC:
            raise ValueError(f"chroma_dc: must be above 0 and at most {_LARGEST_CHROMA_DC:g}, got {self.chroma_dc}")

    @classmethod
    def read(cls, fields: JsonObject) -> Self:
        """Parameters of a JSON object; missing ones have their defaults."""
        return fields.build(cls, chroma_dc=fields.number("chroma_dc", 1.0))


@final
@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Manifest of a model folder. Raises `ValueError` with the name of an invalid field.

    `networks` has a key `<role>-<scale>` for each: `description-2`, `postprocess-1`, `postprocess-2`. `id` is
    `model_id(networks)`. `tables` are numbers measured when the model was made, `metrics` its results. Without
    `encoder` the encoder's defaults apply. `alternatives` are the ids of other models that may restore descriptions of
    this one; the encoder chooses (`virtual_codec.codec.restorer_choice`). `devices` are the kinds of devices for which
    the model is meant, such as "cuda"; none means any. The model runs on all devices, only slower. `licence` is the
    licence of the weights, `data_licences` those of the training pictures, the most frequent first; "" and [] mean that
    nothing is stated.
    """

    format: int = field(default=_FORMAT, init=False)
    name: str
    id: str
    created: str
    licence: str = ""
    data_licences: list[str] = field(default_factory=list)
    retired: bool = False
    codecs: list[str]
    networks: dict[str, NetworkEntry]
    encoder: EncoderParameters = EncoderParameters()
    alternatives: list[str] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)
    tables: dict[str, list[float]] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_form("name", self.name, _MODEL_NAME, "1 to 64 lower-case letters, digits, '.', '_' and '-'")
        _check_form("id", self.id, _MODEL_ID, "8 hex digits")
        if _MODEL_ID.fullmatch(self.name):
            raise ValueError(f"the name {self.name} looks like an id; choose another")
        _check_date(self.created)
        if not self.codecs:
            raise ValueError("codecs: must name at least one")
        for alternative in self.alternatives:
            _check_form("alternatives", alternative, _MODEL_ID, "model ids, 8 hex digits each")
        for device in self.devices:
            _check_form("devices", device, _DEVICE, "kinds such as cuda or cpu")
        for key in self.networks:
            check_network_key(key)
        if not self.scales:
            raise ValueError("there is no postprocess network, so nothing could be restored")

    @property
    def scales(self) -> list[int]:
        """Scales that this model restores from, ascending."""
        return sorted(int(key.removeprefix("postprocess-")) for key in self.networks if is_restoring(key))

    @classmethod
    def from_json(cls, text: bytes | str) -> Self:
        """Read a manifest. Raises `ValueError` with the path of an invalid field, or if its id is wrong."""
        fields = JsonObject.parse(text.encode() if isinstance(text, str) else text)
        if (found := fields.number("format", _FORMAT)) != _FORMAT:
            fields.refuse("format", f"must be {_FORMAT}, got {found:g}")
        networks, tables, metrics = fields.child("networks"), fields.child("tables", {}), fields.child("metrics", {})
        codecs, devices = fields.items("codecs"), fields.items("devices", [])
        data_licences, alternatives = fields.items("data_licences", []), fields.items("alternatives", [])
        manifest = fields.build(
            cls,
            name=fields.text("name"),
            id=fields.text("id"),
            created=fields.text("created"),
            licence=fields.text("licence", ""),
            data_licences=[data_licences.text(index) for index in data_licences.names()],
            retired=fields.flag("retired", False),
            codecs=[codecs.text(index) for index in codecs.names()],
            networks={key: NetworkEntry.read(networks.child(key)) for key in networks.names()},
            encoder=EncoderParameters.read(fields.child("encoder", {})),
            alternatives=[alternatives.text(index) for index in alternatives.names()],
            devices=[devices.text(index) for index in devices.names()],
            tables={key: _numbers(tables.items(key)) for key in tables.names()},
            metrics={key: metrics.number(key) for key in metrics.names()},
        )
        expected = model_id(manifest.networks)
        if manifest.id != expected:
            raise ValueError(f"the id is {manifest.id}, but its postprocess networks make it {expected}")
        return manifest

    def to_json(self) -> str:
        """JSON of the manifest, the content of `manifest.json`."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def model_id(networks: Mapping[str, NetworkEntry]) -> str:
    """Model id, which depends only on what restoring needs: 8 hex digits.

    These are the first 4 bytes of the sha256 of the JSON of all postprocess networks: key -> architecture,
    arguments and sha256 of the weights, keys sorted, no blanks, ASCII.
    """
    restoring = {
        key: {"architecture": entry.architecture, "arguments": entry.arguments, "sha256": entry.sha256}
        for key, entry in networks.items()
        if is_restoring(key)
    }
    canonical = json.dumps(restoring, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()[:8]


def is_restoring(network: str) -> bool:
    """True for the key of a post-processing network."""
    return network.startswith("postprocess-")


def read_arguments(fields: JsonObject) -> dict[str, int | float | str | bool]:
    """Constructor arguments of a network, the field `arguments` of its JSON object."""
    arguments = fields.child("arguments")
    return {name: arguments.scalar(name) for name in arguments.names()}


def check_network_key(key: str) -> None:
    """Raise `ValueError` for a key other than `<role>-<scale>`."""
    _check_form("networks", key, _NETWORK_KEY, "<role>-<scale>, such as postprocess-2")


def check_network(architecture: str, file: str) -> None:
    """Raise `ValueError` for an architecture without a name, or a file name that is not that of a safetensors file."""
    if not architecture:
        raise ValueError("architecture: must not be empty")
    _check_form("file", file, _FILE_NAME, "NAME.safetensors, without folders")


def _check_form(name: str, value: str, form: re.Pattern[str], right: str) -> None:
    if not form.fullmatch(value):
        raise ValueError(f"{name}: must be {right}, got {value[:80]!r}")


def _check_date(created: str) -> None:
    try:
        date.fromisoformat(created)
    except ValueError:
        raise ValueError(f"created: must be a date such as 2026-01-31, got {created[:40]!r}") from None


def _numbers(fields: JsonObject) -> list[float]:
    return [fields.number(index) for index in fields.names()]
