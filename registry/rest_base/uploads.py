"""Large bodies: files in parts, and lines of JSON. Bounded before they are read; no name in them becomes a path."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, StopFutureHandlers
from django.http import HttpRequest
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from rest_framework import exceptions, parsers
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.request import Request

from registry import conf, errors
from registry.exchange import reading
from registry.rest_base import parsing, views

# Predictions of a version in full are among it.
METADATA_BYTES = 8 * 1024**2


class UploadView(views.ApiView):
    """A view that takes files, in parts from bearers of a token alone.

    A session would have its form read to find the CSRF token, before anybody asks whether its user may send one.
    """

    def get_authenticators(self) -> list[BaseAuthentication]:
        """Return who may say who the caller is."""
        found = super().get_authenticators()
        # None while the API's document is written.
        sent: HttpRequest | None = getattr(self, "request", None)
        in_parts = sent is not None and (sent.content_type or "").startswith(PartsParser.media_type)
        return [each for each in found if not (in_parts and isinstance(each, SessionAuthentication))]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Files by the name of their part, and what was said in JSON beside them."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    said: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return what tells two bodies apart, for the Idempotency-Key."""
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(self.files.items())}
        return repr((digests, sorted(self.said.items(), key=lambda each: each[0])))


@dataclass(frozen=True, kw_only=True)
class Lines:
    """A body of lines, each of them JSON."""

    body: bytes

    def __str__(self) -> str:
        """Return what tells two bodies apart, for the Idempotency-Key."""
        return hashlib.sha256(self.body).hexdigest()

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Yield the lines that are not blank, one after the other, each with its number from 1."""
        return ((number, line) for number, line in enumerate(io.BytesIO(self.body), start=1) if line.strip())

    def count(self) -> int:
        """Return how many lines there are at most, without making them."""
        return self.body.count(b"\n") + 1


class PartsParser(parsers.BaseParser):
    """Reads multipart/form-data: files, and the part `metadata` in JSON."""

    media_type = "multipart/form-data"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        """Return `Parts`. Raises ParseError and Malformed (400) or BodyTooLarge and TooLarge (413)."""
        request = parser_context["request"]
        most = conf.current().max_artifact_bytes + METADATA_BYTES
        _refuse_larger(int(request.META.get("CONTENT_LENGTH") or 0), most)
        meta = {**request.META, "CONTENT_TYPE": media_type}
        try:
            fields, files = MultiPartParser(meta, stream, [_InMemory()], "utf-8").parse()
        except MultiPartParserError as error:
            raise exceptions.ParseError(f"The parts cannot be read: {error}") from error
        except RequestDataTooBig as error:
            raise parsing.BodyTooLarge("A part that is no file is too large.") from error
        lists = [*fields.lists(), *files.lists()]
        if repeated := sorted(name for name, values in lists if len(values) > 1):
            raise exceptions.ParseError(f"The part {repeated[0][:64]!r} stands twice.")
        return _parts({name: values[0].encode() for name, values in fields.lists()}, _read(files))


class LinesParser(parsers.BaseParser):
    """Takes JSON lines as they are; each is read when its turn comes."""

    media_type = "application/x-ndjson"

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None) -> Any:
        """Return `Lines`. Raises BodyTooLarge."""
        most = conf.current().bulk_body_bytes
        _refuse_larger(int(parser_context["request"].META.get("CONTENT_LENGTH") or 0), most)
        body = stream.read(most + 1)
        _refuse_larger(len(body), most)
        return Lines(body=body)


def parts(request: Request, *, files: frozenset[str]) -> Parts:
    """Return the files of these names, and what is said beside them, of a body in parts or (in base64) in JSON.

    Raises ParseError, ValidationError.
    """
    found = request.data if isinstance(request.data, Parts) else _from_json(request.data, files)
    if unknown := sorted(found.files.keys() - files):
        known = ", ".join(sorted(files))
        raise exceptions.ValidationError({unknown[0]: [f"This file is not known here. Known are: {known}, metadata."]})
    return found


class _InMemory(FileUploadHandler):
    """Keeps files in memory, together at most as large as one artifact; nothing is written under any name."""

    def __init__(self) -> None:
        super().__init__()
        self._left = conf.current().max_artifact_bytes
        self._content = io.BytesIO()

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self._content = io.BytesIO()
        raise StopFutureHandlers

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self._left -= len(raw_data)
        if self._left < 0:
            _refuse_larger(1, 0)
        self._content.write(raw_data)

    def file_complete(self, file_size: int) -> UploadedFile[bytes]:
        return UploadedFile(file=self._content, name="part", size=file_size)


def _refuse_larger(size: int, most: int) -> None:
    if size > most:
        allowed = f" than the {most} bytes allowed" if most else " than an artifact may be"
        raise parsing.BodyTooLarge(f"The body is larger{allowed}. Register what is larger on the machine itself.")


def _read(files: Any) -> dict[str, bytes]:
    return {name: values[0].file.getvalue() for name, values in files.lists()}


def _parts(fields: dict[str, bytes], files: dict[str, bytes]) -> Parts:
    text = files.pop("metadata", None) or fields.pop("metadata", b"{}")
    if len(text) > METADATA_BYTES:
        raise parsing.BodyTooLarge(f"The metadata is larger than the {METADATA_BYTES} bytes allowed.")
    if fields:
        raise exceptions.ParseError(f"The part {min(fields)[:64]!r} is no file; say it in the part metadata, in JSON.")
    said = reading.read_values(text)
    if not isinstance(said, dict):
        raise exceptions.ParseError("The part metadata is no JSON object.")
    return Parts(files=files, said=said)


def _from_json(body: Any, names: frozenset[str]) -> Parts:
    if not isinstance(body, dict):
        raise exceptions.ValidationError("The body is no JSON object.")
    try:
        files = {name: reading.decoded(body[name], name) for name in names if name in body}
    except errors.Invalid as error:
        raise exceptions.ValidationError({str(error.field): [error.sentence]}) from error
    return Parts(files=files, said={name: value for name, value in body.items() if name not in names})
