"""Typed reading of JSON objects: each field is read with a type check, and errors name the path of the field."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, Final, NoReturn, Self, TypeVar, final

Built = TypeVar("Built")

_REQUIRED: Final = object()


@final
class JsonObject:
    """Fields of a JSON object that have not been read yet.

    `text` and similar methods remove a field and return its value, or its default if it is missing. A missing field
    without default, or one of another type, raises `ValueError` with its path: "networks.postprocess-1.file: must be a
    string, got 3". `build` does the same for a field that was not read, and for values that the built object refuses.
    """

    def __init__(self, value: object, place: str = "") -> None:
        self._place = place
        if not isinstance(value, dict):
            raise ValueError(f"{place or 'the file'}: must be an object, got {_shortened(value)}")
        self._fields: dict[str, Any] = dict(value)

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """Object of a JSON text. Raises `ValueError` for other texts, and for NaN and infinities."""
        try:
            return cls(json.loads(text, parse_constant=_refuse_constant))
        except RecursionError:
            raise ValueError("the JSON is nested too deeply") from None

    def text(self, name: str, default: object = _REQUIRED) -> str:
        """String of a field."""
        value = self._value(name, default)
        if not isinstance(value, str):
            self.refuse(name, f"must be a string, got {_shortened(value)}")
        return value

    def flag(self, name: str, default: object = _REQUIRED) -> bool:
        """Truth value of a field."""
        value = self._value(name, default)
        if not isinstance(value, bool):
            self.refuse(name, f"must be true or false, got {_shortened(value)}")
        return value

    def number(self, name: str, default: object = _REQUIRED) -> float:
        """Finite number of a field."""
        value = self._value(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.refuse(name, f"must be a number, got {_shortened(value)}")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            self.refuse(name, "must be a finite number")
        return number

    def scalar(self, name: str) -> int | float | str | bool:
        """Finite number, string or truth value of a field, by the field's own type."""
        value = self._fields.get(name)
        if isinstance(value, bool | str):
            self._value(name, _REQUIRED)
            return value
        number = self.number(name)
        return value if isinstance(value, int) else number

    def items(self, name: str, default: object = _REQUIRED) -> Self:
        """Array of a field as an object whose fields are its indices."""
        value = self._value(name, default)
        if not isinstance(value, list):
            self.refuse(name, f"must be an array, got {_shortened(value)}")
        return type(self)({str(index): item for index, item in enumerate(value)}, self._path_of(name))

    def child(self, name: str, default: object = _REQUIRED) -> Self:
        """Object of a field."""
        return type(self)(self._value(name, default), self._path_of(name))

    def names(self) -> list[str]:
        """Names of the remaining fields, in the order of the file."""
        return list(self._fields)

    def build(self, kind: Callable[..., Built], **values: object) -> Built:
        """Object made from the read values. Its own `ValueError` gets the path of this JSON object."""
        for name in self._fields:
            self.refuse(name, "there is no such field")
        try:
            return kind(**values)
        except ValueError as error:
            raise ValueError(self._path_of(str(error))) from None

    def refuse(self, name: str, problem: str) -> NoReturn:
        """Raise `ValueError` for a field."""
        raise ValueError(f"{self._path_of(name)}: {problem}")

    def _value(self, name: str, default: object) -> Any:
        if name not in self._fields and default is _REQUIRED:
            self.refuse(name, "is missing")
        return self._fields.pop(name, default)

    def _path_of(self, name: str) -> str:
        return f"{self._place}.{name}" if self._place else name


def _shortened(value: object) -> str:
    return json.dumps(value)[:40]


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
