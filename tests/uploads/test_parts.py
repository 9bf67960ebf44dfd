"""OpenAI's Uploads API through its SDK: create, parts, complete, cancel."""

from __future__ import annotations

import asyncio
import threading
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from uploads.service import Service

import cachy

openai = pytest.importorskip("openai")

ONE, OTHER = b"first file, " * 500, b"other file, " * 500
KEY = "sk-test-1f8Kd0ZqWm3Vb7Xc9Lp2Rt5Yh4Nj6"
ABOUT: Any = {"mime_type": "text/plain", "purpose": "batch"}


def client_for(service: Service, kind: Any = openai.OpenAI) -> Any:
    return kind(api_key=KEY, base_url=service.url + "/v1", max_retries=0)


def chunked(service: Service, data: bytes, **more: Any) -> Any:
    with client_for(service) as client:
        given = {"file": data, "filename": "f", "bytes": len(data), "part_size": 2000, **ABOUT, **more}
        return client.uploads.upload_file_chunked(**given)


def chunked_async(service: Service, data: bytes, **more: Any) -> Any:
    async def main() -> Any:
        async with client_for(service, openai.AsyncOpenAI) as client:
            given = {"file": data, "filename": "f", "bytes": len(data), "part_size": 2000, **ABOUT, **more}
            return await client.uploads.upload_file_chunked(**given)

    return asyncio.run(main())


WAYS = pytest.mark.parametrize("way", [chunked, chunked_async])


@pytest.fixture
def using(store: Path) -> Any:
    """`cachy.using(mode)` as a run of its own."""

    def session(mode: Any = "auto") -> Any:
        return cachy.using(mode, store=store, hosts={"127.0.0.1:*": "openai"}, summary=False)

    yield session
    cachy.disable()


def digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def verbs(service: Service) -> list[str]:
    """What arrived at the service since the last look."""
    calls, service.calls = service.calls, []
    return [call.rpartition("/")[2] for call in calls]


@WAYS
def test_the_same_file_is_replayed(way: Any, service: Service, using: Any, store: Path) -> None:
    """create, parts and complete are replayed whole in a second run."""
    with using("auto"):
        live = way(service, ONE)
    assert service.files == [digest(ONE)]
    assert verbs(service) == ["uploads", "parts", "parts", "parts", "complete"]
    for mode in ("auto", "replay"):
        with using(mode):
            assert way(service, ONE) == live
    assert verbs(service) == []
    assert KEY.encode() not in store.read_bytes()


@WAYS
@pytest.mark.parametrize("same", [0, 4500], ids=["early", "late"])
def test_another_file_of_the_same_size(way: Any, same: int, service: Service, using: Any) -> None:
    """A file with the same create and parts that differ makes an upload of its own, equal parts included."""
    data = ONE[:same] + OTHER[same:]
    with using("auto"):
        first = way(service, ONE)
    verbs(service)
    with using("auto"):
        second = way(service, data)
    assert service.files == [digest(ONE), digest(data)]
    assert verbs(service) == ["uploads", "parts", "parts", "parts", "complete"]
    with using("replay"):
        assert (way(service, data), way(service, ONE)) == (second, first)
    assert verbs(service) == []


def test_a_miss(service: Service, using: Any) -> None:
    """In replay mode a part that differs is a miss that names it; nothing is sent."""
    with using("auto"):
        chunked(service, ONE)
    verbs(service)
    with using("replay"), pytest.raises(cachy.Miss, match=r"^\[0\]\.digest not as in recording"):
        chunked(service, OTHER)
    assert verbs(service) == []


def test_a_completion_that_differs(service: Service, using: Any) -> None:
    """When only the completion is new, the recorded parts are sent first, and it lists their real ids."""
    with using("auto"):
        chunked(service, ONE)
    verbs(service)
    for _ in range(2):
        with using("auto"):
            assert chunked(service, ONE, md5="x").file.filename == digest(ONE)
    assert verbs(service) == ["uploads", "parts", "parts", "parts", "complete"]


def test_ids_do_not_matter(service: Service, using: Any, store: Path) -> None:
    """A file is found although its create and its parts were recorded again, with other ids."""
    with using("auto"):
        live = chunked(service, ONE)
    with using("record"):
        chunked(service, OTHER)  # replaces the recording of create
        chunked(service, OTHER)
    verbs(service)
    with using("replay"):
        assert chunked(service, ONE).file == live.file
        assert chunked(service, OTHER).file.filename == digest(OTHER)


def test_an_order_of_parts(service: Service, using: Any) -> None:
    """A completion that lists the same parts in another order is another file."""

    def upload(client: Any, turn: int) -> Any:
        made = client.uploads.create(bytes=6, filename="f", **ABOUT)
        parts = [client.uploads.parts.create(made.id, data=data).id for data in (b"abc", b"def")]
        return client.uploads.complete(made.id, part_ids=parts[::turn]).file.filename

    for _ in range(2):
        with using("auto"), client_for(service) as client:
            assert [upload(client, 1), upload(client, -1)] == [digest(b"abcdef"), digest(b"defabc")]
    assert len(service.files) == 2


def test_parts_at_once(service: Service, using: Any) -> None:
    """Parts that are sent at the same time, all of them new, go to one upload, which is created once."""

    async def run(data: bytes) -> str:
        async with client_for(service, openai.AsyncOpenAI) as client:
            made = await client.uploads.create(bytes=len(data), filename="f", **ABOUT)
            cut = [data[at : at + 2000] for at in range(0, len(data), 2000)]
            parts = await asyncio.gather(*(client.uploads.parts.create(made.id, data=p) for p in cut))
            ids = [part.id for part in parts]
            return (await client.uploads.complete(made.id, part_ids=ids)).file.filename  # type: ignore[no-any-return]

    with using("auto"):
        asyncio.run(run(ONE))
    verbs(service)
    service.meeting = threading.Barrier(3)
    with using("auto"):
        assert asyncio.run(run(OTHER)) == digest(OTHER)
    assert verbs(service) == ["uploads", "parts", "parts", "parts", "complete"]


def test_parts_at_once_and_a_create_that_is_refused(service: Service, using: Any) -> None:
    """The part whose create is refused gets that answer; another one of those that wait makes the next attempt."""

    async def run() -> list[Any]:
        async with client_for(service, openai.AsyncOpenAI) as client:
            made = await client.uploads.create(bytes=6, filename="f", **ABOUT)
            sent = (client.uploads.parts.create(made.id, data=data) for data in (b"ab", b"cd", b"ef"))
            return await asyncio.gather(*sent, return_exceptions=True)

    with using("auto"), client_for(service) as client:
        client.uploads.create(bytes=6, filename="f", **ABOUT)
    verbs(service)
    service.refuse_starts = 1
    with using("auto"):
        answers = asyncio.run(run())
    refused = [answer for answer in answers if isinstance(answer, openai.PermissionDeniedError)]
    assert len(refused) == 1
    assert sorted(verbs(service)) == ["parts", "parts", "uploads", "uploads"]


def test_files_at_once(service: Service, using: Any) -> None:
    """Files that are uploaded at the same time from one recorded create each keep an upload of their own."""

    def both() -> list[str]:
        with client_for(service) as client:
            made = [client.uploads.create(bytes=6, filename="f", **ABOUT).id for _ in range(2)]
            parts = [
                [client.uploads.parts.create(upload, data=part).id for part in data]
                for upload, data in zip(made, ((b"abc", b"def"), (b"abc", b"xyz")), strict=True)
            ]
            pairs = zip(made, parts, strict=True)
            return [client.uploads.complete(up, part_ids=ids).file.filename for up, ids in pairs]

    with using("auto"), client_for(service) as client:
        made = client.uploads.create(bytes=6, filename="f", **ABOUT)
        client.uploads.parts.create(made.id, data=b"abc")
    for _ in range(2):
        with using("auto"):
            assert both() == [digest(b"abcdef"), digest(b"abcxyz")]
    assert len(service.files) == 2


def test_the_id_that_a_part_tells(service: Service, using: Any) -> None:
    """A program that takes the upload's id from the answer to a part replays too, whichever upload it was."""

    def upload(client: Any, data: bytes) -> Any:
        made = client.uploads.create(bytes=len(data), filename="f", **ABOUT)
        part = client.uploads.parts.create(made.id, data=data)
        return client.uploads.complete(part.upload_id, part_ids=[part.id]).file.filename

    for mode in ("auto", "auto", "replay"):
        with using(mode), client_for(service) as client:
            assert [upload(client, data) for data in (ONE, OTHER)] == [digest(ONE), digest(OTHER)]
    assert len(service.files) == 2


def test_cancel(service: Service, using: Any) -> None:
    """A cancel reaches the provider when it knows the upload, and is replayed when only a recording does."""

    def upload() -> str:
        with client_for(service) as client:
            made = client.uploads.create(bytes=6, filename="f", **ABOUT)
            client.uploads.parts.create(made.id, data=b"abc")
            return client.uploads.cancel(made.id).status  # type: ignore[no-any-return]

    with using("auto"):
        assert upload() == "cancelled"
    assert verbs(service) == ["uploads", "parts", "cancel"]
    for mode in ("auto", "replay"):
        with using(mode):
            assert upload() == "cancelled"
    assert verbs(service) == []


def test_a_part_that_is_refused(service: Service, using: Any) -> None:
    """An id that no create of this run gave out is sent as it is, and the provider's answer reaches the program."""
    with using("auto"), client_for(service) as client, pytest.raises(openai.NotFoundError, match="upload_x"):
        client.uploads.parts.create("upload_x", data=b"abc")
