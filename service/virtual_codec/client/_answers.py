"""Answers of the service as values: streams, restored images, models."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from virtual_codec.errors import VirtualCodecError
from virtual_codec.jobs import CompressResult, LeftOut, RestoreResult


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Answer of success: headers, whose names are found in any case, and the body."""

    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """Model of a server's store. A retired one restores its streams and has no `codecs` to compress with.

    `licence` is that of the weights, `data_licences` those of the pictures that they were trained on.
    """

    id: str
    name: str
    default: bool = False
    state: str = ""
    codecs: list[str] = field(default_factory=list)
    scales: list[int] = field(default_factory=list)
    created: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    licence: str = ""
    data_licences: list[str] = field(default_factory=list)


def compressed(answer: Answer) -> CompressResult:
    """Result of /compress. Raises `VirtualCodecError` for an answer that no server of this project gives."""
    headers = answer.headers
    psnr_db, ms_ssim = headers.get("Vcodec-Psnr"), headers.get("Vcodec-Ms-Ssim")
    try:
        width, height = _size(headers)
        return CompressResult(
            stream=answer.body,
            media_type=headers["Content-Type"],
            model=headers["Vcodec-Model"],
            scale=int(headers["Vcodec-Scale"]),
            width=width,
            height=height,
            quality=int(headers["Vcodec-Quality"]),
            psnr_db=None if psnr_db is None else float(psnr_db),
            ms_ssim=None if ms_ssim is None else float(ms_ssim),
            left_out=_left_out(headers.get("Vcodec-Left-Out", "")),
        )
    except (KeyError, ValueError) as error:
        raise _unexpected_answer(error) from error


def restored(answer: Answer) -> RestoreResult:
    """Result of /decompress. Raises as `compressed` does."""
    headers = answer.headers
    try:
        width, height = _size(headers)
        return RestoreResult(
            image=answer.body,
            media_type=headers["Content-Type"],
            model=headers["Vcodec-Model"],
            scale=int(headers["Vcodec-Scale"]),
            width=width,
            height=height,
            rate_bpp=float(headers["Vcodec-Bpp"]),
        )
    except (KeyError, ValueError) as error:
        raise _unexpected_answer(error) from error


def models(answer: Answer) -> list[ModelInfo]:
    """Models that /models lists. Raises as `compressed` does."""
    try:
        return [_model(described) for described in json.loads(answer.body)]
    except (AttributeError, TypeError, ValueError) as error:
        raise _unexpected_answer(error) from error


def model(answer: Answer) -> ModelInfo:
    """Model that /models/{name} describes. Raises as `compressed` does."""
    try:
        return _model(json.loads(answer.body))
    except (AttributeError, TypeError, ValueError) as error:
        raise _unexpected_answer(error) from error


def _model(described: Mapping[str, Any]) -> ModelInfo:
    known = {item.name for item in dataclasses.fields(ModelInfo)}  # a later server may say more
    return ModelInfo(**{name: value for name, value in described.items() if name in known})


def _left_out(text: str) -> tuple[LeftOut, ...]:
    """Kinds that the header names, those that are known here."""
    named = {name.strip() for name in text.split(",")}
    return tuple(kind for kind in get_args(LeftOut) if kind in named)


def _size(headers: Mapping[str, str]) -> tuple[int, int]:
    width, height = map(int, headers["Vcodec-Size"].split("x"))
    return width, height


def _unexpected_answer(error: Exception) -> VirtualCodecError:
    return VirtualCodecError(f"the answer is not one of this service; is the address right? ({error!r})")
