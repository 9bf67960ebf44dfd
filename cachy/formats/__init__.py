"""Recordings of other tools: vcrpy's cassettes and HAR files, read into and written from requests and answers.

A file is parsed as plain data, never unpickled or evaluated, and one interaction at a time.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from io import BufferedReader
from typing import Any

from ..exchange import Body, Headers, Request, Response
from .documents import Unreadable, opened

ENDINGS = (".yaml", ".yml", ".json", ".har")
_NEITHER = "neither a cassette of vcrpy nor a HAR file"

__all__ = [
    "ENDINGS",
    "Interaction",
    "Unreadable",
    "answer",
    "files",
    "is_text",
    "length_of",
    "question",
    "read",
]


@dataclass(frozen=True, slots=True)
class Interaction:
    """One request with its answer. `at`: when, in UTC (ISO 8601, to the second), or "" when that is not known."""

    request: Request
    response: Response
    at: str = ""


def read(file: BufferedReader) -> Iterator[Interaction | Unreadable]:
    """The interactions of a file, in order and as they are read; an `Unreadable` for each that cannot be taken.

    Raises Unreadable when that holds for the whole file, or for the rest of it, and OSError.
    """
    from . import har, vcr

    document = opened(file)
    known = False
    try:
        if document.kind != "{":
            raise Unreadable(_NEITHER)
        for name in document.mapping():
            if name == "interactions" and document.kind == "[":
                known = True
                yield from _each(document.sequence(), vcr.interaction)
            elif name == "log" and document.kind == "{":
                known = True
                for part in document.mapping():
                    if part == "entries" and document.kind == "[":
                        yield from _each(document.sequence(), har.interaction)
                    else:
                        document.skip()
            else:
                document.skip()
        document.end()
    except document.errors:
        raise Unreadable(("the rest is " if known else "") + f"not {document.language}") from None
    if not known:
        raise Unreadable(_NEITHER)


def files(paths: Iterable[str]) -> Iterator[str]:
    """The files that are meant: each as it is, of a folder all below it that have an ending of these tools, or none
    and are a cassette: vcrpy names it as it is told."""
    for path in paths:
        if not os.path.isdir(path):
            yield path
            continue
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                found = os.path.join(folder, name)
                if name.lower().endswith(ENDINGS) or ("." not in name and _is_cassette(found)):
                    yield found


def _is_cassette(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(_FIRST)) == _FIRST
    except OSError:
        return False


_FIRST = b"interactions:"  # vcrpy sorts the keys


def _each(items: Iterable[Any], make: Any) -> Iterator[Interaction | Unreadable]:
    for item in items:
        try:
            yield item if isinstance(item, Unreadable) else make(item)
        except Unreadable as problem:
            yield problem
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError):
            yield Unreadable("not an interaction")


def decoded(headers: Headers, body: bytes, sent: int | None) -> bytes:
    """A body without its content-encoding; one that is decoded already is left as it is.

    `sent`: how many bytes it had on its way, or None when that is not known. Raises Unreadable.
    """
    for name in reversed([part.strip().lower() for key, value in headers if key == "content-encoding" for part in value.split(",")]):  # fmt: skip
        if name in ("", "identity"):
            continue
        undone = _undo(name, body)
        if undone is None:
            if _is_encoded(name, body, sent):
                raise Unreadable(f"its content-encoding {name} cannot be undone here")
            return body  # decoded by whoever recorded it
        body = undone
    return body


def _is_encoded(name: str, body: bytes, sent: int | None) -> bool:
    """Whether a body that cannot be decoded is encoded all the same: torn, or nothing that decodes it is here."""
    if name in _MAGIC:
        return body.startswith(_MAGIC[name])
    return sent in (None, len(body)) and not is_text(body)


_MAGIC = {"gzip": b"\x1f\x8b", "x-gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}  # RFC 1952, RFC 8878


def _undo(name: str, body: bytes) -> bytes | None:
    import zlib

    try:
        if name in ("gzip", "x-gzip"):
            return zlib.decompress(body, 31)
        if name == "deflate":
            try:
                return zlib.decompress(body)
            except zlib.error:
                return zlib.decompress(body, -15)
        if name == "br":
            return bytes(import_module("brotli").decompress(body))
        if name == "zstd":
            return bytes(import_module("zstandard").ZstdDecompressor().decompressobj().decompress(body))
    except Exception:  # noqa: BLE001 - not installed, or it is not what it says; each has errors of its own
        pass
    return None


def is_text(body: bytes) -> bool:
    """Whether it is UTF-8."""
    try:
        body.decode()
        return True
    except UnicodeDecodeError:
        return False


def length_of(headers: Headers) -> int | None:
    """What the headers say of the length of the body in bytes, or None."""
    told = next((value for name, value in headers if name == "content-length"), "")
    return int(told) if told.isdecimal() else None


def question(method: Any, url: Any, headers: Headers, body: bytes) -> Request:
    """A request. Raises TypeError when a file has something else in the place of the method or the URL."""
    if not (isinstance(method, str) and isinstance(url, str)):
        raise TypeError
    return Request(method.upper(), url, headers, Body(body))


def answer(
    status: int, reason: str | None, headers: Headers, body: bytes, ms: int = 0, sent: int | None = None
) -> Response:
    """An answer with its body decoded, without the headers that tell how it was sent.

    `sent`: how many bytes the body had on its way, if the headers do not say it. Raises Unreadable.
    """
    told = length_of(headers)
    body = decoded(headers, body, sent if told is None else told)
    about_sending = ("content-encoding", "transfer-encoding", "content-length")
    kept = tuple((name, value) for name, value in headers if name not in about_sending)
    return Response(status, kept, body, ms=ms, reason=reason)
