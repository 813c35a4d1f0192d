"""Parser of multipart/form-data with one file and a few short fields, in memory.

Starlette's parser writes files to a temporary folder, decodes fields by whatever charset a request names, and says
of its limits neither which nor how far.
"""

from __future__ import annotations

from collections.abc import AsyncIterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from virtual_codec.errors import BadMultipart, FieldTooLarge, MissingFile, TooManyParts

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_ADVICE: Final = "send one file part named `file`, and options as short fields"


@dataclass(frozen=True, kw_only=True)
class FormLimits:
    """Limits of a form: number of fields beside the one file, and bytes of each. The file has the body's limit."""

    max_fields: int
    max_field_bytes: int


async def read_form(
    body: AsyncIterable[bytes], content_type: str, limits: FormLimits
) -> tuple[bytes, list[tuple[str, str]]]:
    """Read the bytes of the part `file`, and the names and values of the other parts in their order.

    Raises `BadMultipart`, `MissingFile`, and as soon as a limit is exceeded `TooManyParts` or `FieldTooLarge`.
    """
    form = _Form(limits)
    try:
        parser = MultipartParser(_boundary(content_type), form.callbacks)  # it limits the parts' headers itself
        async for chunk in body:
            parser.write(chunk)
        parser.finalize()
    except FormParserError as error:
        raise BadMultipart(f"the body is not well-formed multipart/form-data; {_ADVICE}") from error
    return form.finished()


@final
class _Form:
    """Form under construction, filled by the parser's callbacks."""

    def __init__(self, limits: FormLimits) -> None:
        self._limits = limits
        self._file: list[bytes] | None = None
        self._fields: list[tuple[str, str]] = []
        self._is_whole = False
        self._header_name = self._header_value = self._disposition = b""
        self._name = ""
        self._is_file = False
        self._part: list[bytes] = []
        self._part_bytes = 0
        self.callbacks: MultipartCallbacks = {
            "on_part_begin": self._begin_part,
            "on_header_field": self._add_header_name,
            "on_header_value": self._add_header_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._add,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def finished(self) -> tuple[bytes, list[tuple[str, str]]]:
        """File and fields. Raises `BadMultipart` for a truncated body, `MissingFile` without a file."""
        if not self._is_whole:
            raise BadMultipart(f"the multipart body is empty or cut short: its last boundary is missing; {_ADVICE}")
        if self._file is None:
            if any(name == "file" for name, _ in self._fields):
                raise MissingFile("the part `file` has no filename, so it is not a file")
            raise MissingFile("no part is named `file`")
        return b"".join(self._file), self._fields

    def _begin_part(self) -> None:
        self._disposition = b""
        self._part, self._part_bytes = [], 0

    def _add_header_name(self, chunk: bytes, start: int, end: int) -> None:
        self._header_name += chunk[start:end]

    def _add_header_value(self, chunk: bytes, start: int, end: int) -> None:
        self._header_value += chunk[start:end]

    def _end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name = self._header_value = b""

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise BadMultipart(f"a part has no Content-Disposition with a name; {_ADVICE}")
        self._name = _text(options[b"name"])
        self._is_file = b"filename" in options
        if self._is_file:
            if self._file is not None:
                raise TooManyParts("the form has a second file; send one file a request", limit=1, actual=2)
            if self._name != "file":
                raise MissingFile(f"the file must be in the part `file`, not in {self._name[:40]!r}")
            self._file = self._part
        elif len(self._fields) == self._limits.max_fields:
            raise TooManyParts(
                f"the form has more than {self._limits.max_fields} fields; {_ADVICE}",
                limit=self._limits.max_fields,
                actual=self._limits.max_fields + 1,
            )

    def _add(self, chunk: bytes, start: int, end: int) -> None:
        self._part_bytes += end - start
        if not self._is_file and self._part_bytes > self._limits.max_field_bytes:
            raise FieldTooLarge(
                f"the field {self._name[:40]!r} has more than {self._limits.max_field_bytes} bytes; {_ADVICE}",
                limit=self._limits.max_field_bytes,
                actual=self._part_bytes,
            )
        self._part.append(chunk[start:end])

    def _end_part(self) -> None:
        if not self._is_file:
            self._fields.append((self._name, _text(b"".join(self._part))))

    def _end(self) -> None:
        self._is_whole = True


def _boundary(content_type: str) -> bytes:
    _, parameters = parse_options_header(content_type)
    boundary = parameters.get(b"boundary", b"")
    if not boundary:
        raise BadMultipart("the Content-Type multipart/form-data names no boundary")
    return boundary


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")
