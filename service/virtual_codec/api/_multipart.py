"""Parser of multipart/form-data with one file and a few short fields, in memory.

Starlette's parser writes files to a temporary folder, decodes fields with any charset that a request names, and does
not report which limit was exceeded or by how much.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from virtual_codec.errors import BadMultipart, FieldTooLarge, MissingFile, TooManyParts

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_EXTENDED_FILENAME: Final = re.compile(rb";\s*filename\*\s*=", re.IGNORECASE)  # RFC 5987; the parser drops it
_FILE_PARTS: Final = 8  # the file, and empty file inputs of an HTML form
_ADVICE: Final = "send one file part named `file`, and options as short fields"


@dataclass(frozen=True, kw_only=True)
class FormLimits:
    """Limits of a form: number of fields besides the file, and bytes of each. The body's limit applies to the file."""

    max_fields: int
    max_field_bytes: int


async def read_form(
    body: AsyncIterable[bytes], content_type: str, limits: FormLimits
) -> tuple[bytes, list[tuple[str, str]]]:
    """Read the bytes of the part `file`, and the names and values of the other parts in their order.

    A part named `file` is the file, with or without a filename. Parts without content are ignored, as browsers send
    them for inputs that were left empty. Raises `BadMultipart`, `MissingFile`, and as soon as a limit is exceeded
    `TooManyParts` or `FieldTooLarge`.
    """
    form = _Form(limits)
    try:
        boundary = _boundary(content_type)
        parser = MultipartParser(boundary, form.callbacks)  # it limits the parts' headers itself
        async for chunk in _after_preamble(body, boundary):
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
        self._name: str | None = None
        self._has_empty_file = False
        self._parts = 0
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
        """File and fields. Raises `BadMultipart` for a truncated body, `MissingFile` without a part `file`."""
        if not self._is_whole:
            raise BadMultipart(f"the multipart body is empty or truncated: its last boundary is missing; {_ADVICE}")
        if self._file is None and not self._has_empty_file:
            raise MissingFile("the form has no part named `file`; put the image into it")
        return b"".join(self._file or ()), self._fields

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
        self._name = _text(options[b"name"]) if b"name" in options else None
        has_filename = b"filename" in options or _EXTENDED_FILENAME.search(self._disposition) is not None
        self._is_file = has_filename or self._name == "file"
        self._parts += 1
        if self._parts > self._limits.max_fields + _FILE_PARTS:
            self._refuse_parts()

    def _add(self, chunk: bytes, start: int, end: int) -> None:
        if not self._part:
            self._begin_content()
        self._part_bytes += end - start
        if not self._is_file and self._part_bytes > self._limits.max_field_bytes:
            raise FieldTooLarge(
                f"the field {(self._name or '')[:40]!r} has more than {self._limits.max_field_bytes} bytes; {_ADVICE}",
                limit=self._limits.max_field_bytes,
                actual=self._part_bytes,
            )
        self._part.append(chunk[start:end])

    def _begin_content(self) -> None:
        """Check the part's place in the form. Parts without content are not checked: HTML forms send empty ones."""
        if self._name is None:
            raise BadMultipart(f"a part has no Content-Disposition with a name; {_ADVICE}")
        if self._is_file:
            if self._file is not None:
                raise TooManyParts("the form has a second file; send one file a request", limit=1, actual=2)
            if self._name != "file":
                raise MissingFile(f"the file must be in the part `file`, not in {self._name[:40]!r}")
            self._file = self._part
        elif len(self._fields) == self._limits.max_fields:
            self._refuse_parts()

    def _refuse_parts(self) -> None:
        raise TooManyParts(
            f"the form has more than {self._limits.max_fields} fields; {_ADVICE}",
            limit=self._limits.max_fields,
            actual=self._limits.max_fields + 1,
        )

    def _end_part(self) -> None:
        if self._is_file:
            self._has_empty_file |= self._name == "file" and not self._part
        elif self._part:
            self._fields.append((self._name or "", _text(b"".join(self._part))))

    def _end(self) -> None:
        self._is_whole = True


async def _after_preamble(body: AsyncIterable[bytes], boundary: bytes) -> AsyncIterator[bytes]:
    """Body without the text before its first boundary, which is to be ignored (RFC 2046, section 5.1.1)."""
    delimiter = b"\r\n--" + boundary
    tail: bytes | None = b"\r\n"  # of the preamble, in which the boundary may begin; None after the boundary
    async for chunk in body:
        if tail is None:
            yield chunk
            continue
        tail += chunk
        start = tail.find(delimiter)
        if start >= 0:
            yield tail[start + 2 :]
            tail = None
        else:
            tail = tail[1 - len(delimiter) :]


def _boundary(content_type: str) -> bytes:
    _, parameters = parse_options_header(content_type)
    boundary = parameters.get(b"boundary", b"")
    if not boundary:
        raise BadMultipart("the Content-Type multipart/form-data names no boundary")
    return boundary


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")
