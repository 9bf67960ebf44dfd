"""`files.upload` of the Google Gen AI SDK, which sends files in pieces and sends a piece again that failed."""

from __future__ import annotations

import asyncio
import importlib.util
import io
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from uploads.service import Service

import cachy

genai = pytest.importorskip("google.genai")
api_client: Any = genai._api_client

# The SDK derives a class from aiohttp's session, which aiohttp discourages.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")

ONE, OTHER = b"first file, " * 500, b"other file, " * 500
TEXT = {"mime_type": "text/plain"}

Way = Callable[[Service, Any], Any]


def client_for(service: Service) -> Any:
    return genai.Client(api_key="AIzaSyA-test", http_options=genai.types.HttpOptions(base_url=service.url))


def sync(service: Service, file: Any) -> Any:
    with client_for(service) as client:
        return client.files.upload(file=file, config=TEXT)


def asynchronous(service: Service, file: Any) -> Any:
    with patch("google.genai._api_client.has_aiohttp", False):
        return over_aiohttp(service, file)


def over_aiohttp(service: Service, file: Any) -> Any:
    async def main() -> Any:
        async with client_for(service).aio as client:
            return await client.files.upload(file=file, config=TEXT)

    return asyncio.run(main())


HAS_AIOHTTP = importlib.util.find_spec("aiohttp") is not None
WAYS = pytest.mark.parametrize("way", [sync, asynchronous, *([over_aiohttp] if HAS_AIOHTTP else [])])


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of 2 kB instead of 8 MiB, and no waiting before one is sent again."""
    monkeypatch.setattr(api_client, "CHUNK_SIZE", 2000)
    monkeypatch.setattr(api_client, "INITIAL_RETRY_DELAY", 0)


@pytest.mark.parametrize("backend", ["httpx", "httpx2"])
@WAYS
def test_files_in_pieces(
    way: Way, backend: str, service: Service, using: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two files of one size and type, a piece of each failing once: both are uploaded, and both replayed."""
    monkeypatch.setenv("GOOGLE_GENAI_HTTP_CLIENT", backend)
    live = []
    for data in (ONE, OTHER):
        service.failures = [0]
        with using("auto"):
            live.append(way(service, io.BytesIO(data)))
    assert [file.sha256_hash for file in live] == [sha256(data).hexdigest() for data in (ONE, OTHER)]
    service.calls.clear()
    with using("replay"):
        assert [way(service, io.BytesIO(data)) for data in (ONE, OTHER)] == live
    assert service.calls == []


@WAYS
def test_a_path(way: Way, service: Service, using: Any, tmp_path: Path) -> None:
    """A file given by its path is replayed; when what it holds has changed, it is uploaded again."""
    path = tmp_path / "notes.txt"
    path.write_bytes(ONE)
    with using("auto"):
        live = way(service, path)
    with using("auto"):
        assert way(service, str(path)) == live
        path.write_bytes(ONE[:5000] + OTHER[5000:])
        assert way(service, path).sha256_hash == sha256(path.read_bytes()).hexdigest()
    assert len(service.files) == 2


@WAYS
def test_a_miss(way: Way, service: Service, using: Any) -> None:
    """In replay mode another file raises Miss through the SDK, with no retries."""
    with using("auto"):
        way(service, io.BytesIO(ONE))
    with using("replay"), pytest.raises(cachy.Miss, match=r"file\.digest not as in recording"):
        way(service, io.BytesIO(OTHER))


def test_other_pieces(service: Service, using: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was sent whole is found again when it comes in larger pieces than it was recorded in."""
    with using("auto"):
        live = sync(service, io.BytesIO(ONE))
    monkeypatch.setattr(api_client, "CHUNK_SIZE", 8 * 1024 * 1024)
    with using("replay"):
        assert sync(service, io.BytesIO(ONE)) == live
