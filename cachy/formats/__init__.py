"""Recordings of other tools: vcrpy's cassettes and HAR files, read into and written from requests and answers.

A file is parsed as plain data, never unpickled or evaluated.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ..exchange import Headers, Request, Response

ENDINGS = (".yaml", ".yml", ".json", ".har")


class Unreadable(Exception):
    """A file, or one interaction of it, cannot be taken; the message says why in a few words."""


@dataclass(frozen=True, slots=True)
class Interaction:
    """One request with its answer. `at`: when, in UTC (ISO 8601, to the second), or "" when that is not known."""

    request: Request
    response: Response
    at: str = ""


def read(path: str) -> Iterator[Interaction | Unreadable]:
    """The interactions of a file, in order; an `Unreadable` for each that cannot be taken.

    Raises Unreadable when that holds for the whole file, and OSError.
    """
    from . import har, vcr

    with open(path, "rb") as file:
        data = file.read()
    parsed = vcr.parse_yaml(data) if path.lower().endswith((".yaml", ".yml")) else _json(data)
    if isinstance(parsed, dict) and isinstance(parsed.get("interactions"), list):
        return _each(parsed["interactions"], vcr.interaction)
    if isinstance(parsed, dict) and isinstance(parsed.get("log"), dict):
        return _each(parsed["log"].get("entries") or [], har.interaction)
    raise Unreadable("neither a cassette of vcrpy nor a HAR file")


def files(paths: Iterable[str]) -> Iterator[str]:
    """The files that are meant: each as it is, of a folder all below it that have an ending of these tools."""
    for path in paths:
        if not os.path.isdir(path):
            yield path
            continue
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            yield from (
                os.path.join(folder, name) for name in sorted(names) if name.lower().endswith(ENDINGS)
            )


def _each(items: list[Any], make: Any) -> Iterator[Interaction | Unreadable]:
    for item in items:
        try:
            yield make(item)
        except Unreadable as problem:
            yield problem
        except (KeyError, TypeError, ValueError, AttributeError):
            yield Unreadable("not an interaction")


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise Unreadable("not JSON") from None


def decoded(headers: Headers, body: bytes) -> bytes:
    """A body without its content-encoding; one that is decoded already is left as it is. Raises Unreadable."""
    for name in reversed([part.strip().lower() for key, value in headers if key == "content-encoding" for part in value.split(",")]):  # fmt: skip
        if name in ("", "identity"):
            continue
        undone = _undo(name, body)
        if undone is None:
            if not _is_text(body):
                raise Unreadable(f"its content-encoding {name} cannot be undone here")
            return body  # by whoever recorded it
        body = undone
    return body


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


def _is_text(body: bytes) -> bool:
    try:
        body.decode()
        return True
    except UnicodeDecodeError:
        return False


def answer(status: int, reason: str, headers: Headers, body: bytes, ms: int = 0) -> Response:
    """An answer with its body decoded, without the headers that tell how it was sent. Raises Unreadable."""
    body = decoded(headers, body)
    told = ("content-encoding", "transfer-encoding", "content-length")
    kept = tuple((name, value) for name, value in headers if name not in told)
    return Response(status, kept, body, ms=ms, reason=reason)
