"""Descriptions of settings and their errors: variable, allowed values, unknown variables."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from virtual_codec.local_settings import PREFIX

_SECRET_FIELDS: Final = frozenset({"api_keys"})
_SHOWN_CHARACTERS: Final = 80


class Description(NamedTuple):
    """Description of a setting: variable, default as text, allowed values and meaning."""

    variable: str
    default: str
    allowed: str
    meaning: str


def variable(name: str) -> str:
    """Environment variable of a setting."""
    return PREFIX + name.upper()


def describe_field(name: str, field: FieldInfo) -> Description:
    """Describe a setting. A default that is computed is shown as the setting's name."""
    default = name if field.default_factory is not None else field.default
    shown = "unset" if default in (None, ()) else str(default)
    return Description(variable(name), shown, allowed(field), field.description or "")


def allowed(field: FieldInfo) -> str:
    """Allowed values of a setting: its range or choices, or "" where only its meaning says."""
    kind = _without_none(field.annotation)
    if get_origin(kind) is Literal:
        return ", ".join(map(str, get_args(kind)))
    if kind not in (int, float):
        return ""
    bounds = [
        f"{word} {getattr(bound, sign)}"
        for sign, word in (("ge", "from"), ("gt", "above"), ("lt", "below"), ("le", "to"))
        for bound in field.metadata
        if hasattr(bound, sign)
    ]
    return " ".join(["a whole number" if kind is int else "a number", *bounds])


def error_lines(error: ValidationError, fields: Mapping[str, FieldInfo]) -> list[str]:
    """Error lines of a validation error, one for each variable, with the allowed values. No secret is shown."""
    lines = []
    for item in error.errors(include_url=False):
        message = item["msg"].removeprefix("Value error, ")
        if not item["loc"]:
            lines += message.splitlines()
            continue
        name = str(item["loc"][0])
        field = fields.get(name)
        right = (allowed(field) or field.description or "") if field is not None else ""
        if item["type"] == "string_pattern_mismatch":
            message = "does not have the right form"
        got = "" if name in _SECRET_FIELDS else f", got {str(item['input'])[:_SHOWN_CHARACTERS]!r}"
        line = f"{variable(name)}: {message[0].lower()}{message[1:]}{got}"
        lines.append(f"{line}; it takes: {right}" if right else line)
    return lines


def find_unknown(environment: Iterable[str], names: Iterable[str]) -> list[tuple[str, str | None]]:
    """Variables with our prefix that are not settings, each with the most similar one or None."""
    known = list(names)
    found = []
    for given in sorted(environment):
        name = given.upper().removeprefix(PREFIX).lower()
        if given.upper().startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            found.append((given, variable(near[0]) if near else None))
    return found


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return kinds[0] if len(kinds) == 1 else annotation
    return annotation
