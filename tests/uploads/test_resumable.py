"""Google's resumable uploads by hand: what is replayed, what is recorded, and when an upload becomes real."""

from __future__ import annotations

import asyncio
import threading
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from uploads.service import Service

import cachy

KEY = "AIzaSyA-test-1f8Kd0ZqWm3Vb7Xc9Lp2Rt5Yh4"
ONE, OTHER = b"first file, " * 500, b"other file, " * 500
"""Two files of the same size."""
CUT = 2000


def start(size: int, key: str = KEY) -> dict[str, Any]:
    """The request that asks for a session, as keyword arguments."""
    headers = {
        "x-goog-api-key": key,
        "x-goog-upload-protocol": "resumable",
        "x-goog-upload-command": "start",
        "x-goog-upload-header-content-length": str(size),
        "x-goog-upload-header-content-type": "text/plain",
    }
    return {"url": "/upload/v1beta/files", "headers": headers, "json": {"file": {}}}


def piece(url: str, data: bytes, offset: int, command: str = "upload") -> dict[str, Any]:
    headers = {"x-goog-upload-command": command, "x-goog-upload-offset": str(offset)}
    return {"url": url, "headers": headers, "content": data}


def pieces(url: str, data: bytes, cut: int = CUT) -> list[dict[str, Any]]:
    starts = range(0, len(data), cut)
    last = len(data) - cut
    return [
        piece(url, data[at : at + cut], at, "upload" if at < last else "upload, finalize") for at in starts
    ]


def upload(lib: Any, service: Service, data: bytes, cut: int = CUT, key: str = KEY) -> Any:
    """Upload `data` in pieces, each sent again until it is taken; returns the answer to the last one."""
    with lib.Client(base_url=service.url) as client:
        opened = client.post(**start(len(data), key))
        for request in pieces(opened.headers["x-goog-upload-url"], data, cut):
            for _ in range(3):
                answer = client.post(**request)
                if answer.headers.get("x-goog-upload-status"):
                    break
    return answer


async def upload_async(lib: Any, service: Service, data: bytes, cut: int = CUT) -> Any:
    async with lib.AsyncClient(base_url=service.url) as client:
        opened = await client.post(**start(len(data)))
        for request in pieces(opened.headers["x-goog-upload-url"], data, cut):
            answer = await client.post(**request)
    return answer


def digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def asked(service: Service) -> list[str]:
    """What arrived at the service since the last look."""
    calls, service.calls = service.calls, []
    return calls


WAYS = pytest.mark.parametrize(
    "way",
    [upload, lambda *given: asyncio.run(upload_async(*given))],
    ids=["sync", "async"],
)


@WAYS
def test_the_same_file_is_replayed(way: Any, lib: Any, service: Service, using: Any, store: Path) -> None:
    """A second run of an upload in pieces sends nothing, gets the same file, and no session URL was stored."""
    with using("auto"):
        live = way(lib, service, ONE)
    assert service.files == [digest(ONE)]
    asked(service)
    for mode in ("auto", "replay"):
        with using(mode):
            assert way(lib, service, ONE).content == live.content
    assert asked(service) == []
    assert b"AB-secret" not in store.read_bytes()


@WAYS
@pytest.mark.parametrize("cut", [CUT, len(ONE)], ids=["in-pieces", "whole"])
def test_another_file_of_the_same_size(
    way: Any, cut: int, lib: Any, service: Service, using: Any, store: Path
) -> None:
    """A file that shares the start with a recorded one is uploaded whole, recorded, and replayed from then on."""
    with using("auto"):
        first = way(lib, service, ONE, cut)
    with using("auto"):
        second = way(lib, service, OTHER, cut)
    assert service.files == [digest(ONE), digest(OTHER)]
    asked(service)
    with using("replay"):
        assert way(lib, service, OTHER, cut).content == second.content
        assert way(lib, service, ONE, cut).content == first.content
    assert asked(service) == []
    assert b"AB-secret" not in store.read_bytes()
    assert KEY.encode() not in store.read_bytes()


@WAYS
def test_a_file_that_differs_late(way: Any, lib: Any, service: Service, using: Any) -> None:
    """Pieces that were replayed before the difference are sent too, in one request, and the rest as it comes."""
    changed = ONE[:4500] + OTHER[4500:]
    with using("auto"):
        way(lib, service, ONE)
    asked(service)
    with using("auto"):
        way(lib, service, changed)
    assert asked(service) == ["start", "upload", "upload, finalize"]
    assert service.files[-1] == digest(changed)


def test_a_file_that_differs_early(lib: Any, service: Service, using: Any) -> None:
    """Once an upload is real, all that follows reaches the service, even pieces that were recorded."""
    with using("auto"):
        upload(lib, service, ONE)
    asked(service)
    with using("auto"):
        upload(lib, service, OTHER)
        upload(lib, service, OTHER)
    assert asked(service) == ["start", "upload", "upload", "upload, finalize"]


def test_a_miss_says_that_the_file_differs(lib: Any, service: Service, using: Any) -> None:
    """In replay mode another file of the same size is a miss, which names the file as the difference."""
    with using("auto"):
        upload(lib, service, ONE)
    asked(service)
    with using("replay"), pytest.raises(cachy.Miss, match=r"^file\.digest not as in recording") as caught:
        upload(lib, service, OTHER)
    assert asked(service) == []
    assert KEY not in str(caught.value) + repr(vars(caught.value))


def test_pieces_sent_again(lib: Any, service: Service, using: Any) -> None:
    """An upload whose pieces failed and were sent again is replayed at once, without the failures."""
    service.failures = [0, 0]
    with using("auto"):
        live = upload(lib, service, ONE)
    assert asked(service) == ["start", "upload", "upload", "upload", "upload", "upload, finalize"]
    with using("replay"):
        assert upload(lib, service, ONE).content == live.content
        with lib.Client(base_url=service.url) as client:
            url = client.post(**start(len(ONE))).headers["x-goog-upload-url"]
            assert [client.post(**request).status_code for request in pieces(url, ONE)] == [200, 200, 200]


def resumed(lib: Any, service: Service, data: bytes) -> Any:
    """An upload whose client asks, after a failure, how much has arrived, and goes on from there."""
    with lib.Client(base_url=service.url) as client:
        url = client.post(**start(len(data))).headers["x-goog-upload-url"]
        offset = 0
        while True:
            request = piece(url, data[offset : offset + CUT], offset)
            if offset + CUT >= len(data):
                request["headers"]["x-goog-upload-command"] = "upload, finalize"
            answer = client.post(**request)
            status = answer.headers.get("x-goog-upload-status")
            if status == "final":
                return answer
            if status == "active":
                offset += len(request["content"])
                continue
            question = client.post(url, headers={"x-goog-upload-command": "query"})
            offset = int(question.headers["x-goog-upload-size-received"])


def test_an_upload_resumed_in_the_middle_of_a_piece(lib: Any, service: Service, using: Any) -> None:
    """How a file was cut does not matter: a resumed upload is found by the whole file, pieces or not."""
    service.failures = [700]
    with using("auto"):
        live = resumed(lib, service, ONE)
    assert service.files == [digest(ONE)]
    asked(service)
    with using("replay"):
        assert upload(lib, service, ONE, len(ONE)).content == live.content
    assert asked(service) == []


def test_the_progress_of_an_upload_that_became_real(lib: Any, service: Service, using: Any) -> None:
    """A client that asks how much has arrived gets the service's own word once the upload became real."""
    changed = ONE[:2500] + OTHER[2500:]
    with using("auto"):
        upload(lib, service, ONE)
    with using("auto"), lib.Client(base_url=service.url) as client:
        url = client.post(**start(len(changed))).headers["x-goog-upload-url"]
        first, second, last = pieces(url, changed)
        client.post(**first)
        client.post(**second)
        service.failures = [500]
        assert client.post(**last).status_code == 503
        question = client.post(url, headers={"x-goog-upload-command": "query"})
        assert question.headers["x-goog-upload-size-received"] == "4500"
        rest = piece(url, changed[4500:], 4500, "upload, finalize")
        assert client.post(**rest).headers["x-goog-upload-status"] == "final"
    assert service.files[-1] == digest(changed)


@pytest.mark.parametrize("mode", ["auto", "replay"])
def test_the_progress_of_a_recorded_upload(mode: str, lib: Any, service: Service, using: Any) -> None:
    """A client that asks how much has arrived is told what it has sent, while only a recording knows the upload."""
    with using("auto"):
        upload(lib, service, ONE)
    asked(service)
    with using(mode), lib.Client(base_url=service.url) as client:
        url = client.post(**start(len(ONE))).headers["x-goog-upload-url"]
        for request in pieces(url, ONE)[:2]:
            client.post(**request)
        question = client.post(url, headers={"x-goog-upload-command": "query"})
        assert question.headers["x-goog-upload-status"] == "active"
        assert question.headers["x-goog-upload-size-received"] == "4000"
    assert asked(service) == []


def test_record_mode(lib: Any, service: Service, using: Any) -> None:
    """In record mode an upload is always live, and recorded where the others find it."""
    for _ in range(2):
        with using("record"):
            live = upload(lib, service, ONE)
    assert service.files == [digest(ONE)] * 2
    with using("replay"):
        assert upload(lib, service, ONE).content == live.content


def test_a_start_that_is_refused_later(lib: Any, service: Service, using: Any, store: Path) -> None:
    """When the provider refuses the start of an upload that has to become real, the program gets that answer."""
    with using("auto"):
        upload(lib, service, ONE)
    before = store.read_bytes()
    with using("auto"):
        answer = upload(lib, service, OTHER, key="wrong-" + KEY)
    assert (answer.status_code, answer.json()["error"]["message"]) == (403, "refused")
    assert store.read_bytes() == before
    assert service.files == [digest(ONE)]


def test_a_start_that_is_refused_once(lib: Any, service: Service, using: Any) -> None:
    """A piece that is sent again after a refused start makes another attempt to make the upload real."""
    with using("auto"):
        upload(lib, service, ONE)
    service.refuse_starts = 1
    with using("auto"):
        upload(lib, service, OTHER)
    assert service.files == [digest(ONE), digest(OTHER)]


@WAYS
def test_a_service_that_is_gone(way: Any, lib: Any, service: Service, using: Any) -> None:
    """When an upload cannot become real for want of a connection, the program gets its client's own error."""
    with using("auto"):
        way(lib, service, ONE)
    service.stop()
    with using("auto"):
        assert way(lib, service, ONE).status_code == 200
        with pytest.raises(lib.ConnectError):
            way(lib, service, OTHER)


def test_uploads_with_the_same_start_at_once(lib: Any, service: Service, using: Any) -> None:
    """Files that are uploaded at the same time from one recorded start each keep an upload of their own."""
    with using("auto"):
        upload(lib, service, ONE)
    files = [ONE, *(bytes([65 + number]) * len(ONE) for number in range(5))]
    service.meeting = threading.Barrier(5)
    answers: list[Any] = [None] * len(files)

    async def run() -> None:
        found = await asyncio.gather(*(upload_async(lib, service, data) for data in files))
        answers[:] = [answer.json()["file"]["sha256Hash"] for answer in found]

    for mode in ("auto", "replay"):
        with using(mode):
            asyncio.run(run())
        assert answers == [digest(data) for data in files]
    assert sorted(service.files) == sorted(digest(data) for data in files)


def test_uploads_with_the_same_start_at_once_from_nothing(lib: Any, service: Service, using: Any) -> None:
    """Files that are uploaded at once with nothing recorded are each uploaded whole, and each replayed."""

    async def run() -> list[str]:
        found = await asyncio.gather(*(upload_async(lib, service, data) for data in (ONE, OTHER, ONE[::-1])))
        return [answer.json()["file"]["sha256Hash"] for answer in found]

    wanted = [digest(data) for data in (ONE, OTHER, ONE[::-1])]
    with using("auto"):
        assert asyncio.run(run()) == wanted
    assert sorted(service.files) == sorted(wanted)
    asked(service)
    with using("replay"):
        assert asyncio.run(run()) == wanted
    assert asked(service) == []


def test_verify_mode(lib: Any, service: Service, using: Any, store: Path) -> None:
    """In verify mode an upload goes out, and each answer is compared with the one recorded for those bytes."""
    with using("auto"):
        upload(lib, service, ONE)
    before, earlier = store.read_bytes(), cachy.stats()
    asked(service)
    with using("verify"):
        upload(lib, service, ONE)
    assert asked(service) == ["start", "upload", "upload", "upload, finalize"]
    now = cachy.stats()
    assert (now.verified + now.drifted) - (earlier.verified + earlier.drifted) == 4
    assert store.read_bytes() == before


def test_interleaved_uploads_of_a_live_start(lib: Any, service: Service, using: Any) -> None:
    """Two uploads that were started live, one after the other's start, are recorded apart."""

    def both() -> list[str]:
        with lib.Client(base_url=service.url) as client:
            urls = [client.post(**start(len(ONE))).headers["x-goog-upload-url"] for _ in range(2)]
            turns = zip(pieces(urls[0], ONE), pieces(urls[1], OTHER), strict=True)
            answers = [[client.post(**request) for request in turn] for turn in turns]
        return [answer.json()["file"]["sha256Hash"] for answer in answers[-1]]

    with using("auto"):
        assert both() == [digest(ONE), digest(OTHER)]
    asked(service)
    with using("replay"):
        assert both() == [digest(ONE), digest(OTHER)]
    assert asked(service) == []


def test_a_generator_in_one_request(lib: Any, service: Service, using: Any) -> None:
    """A file that comes out of a generator is replayed, and one that differs uploaded, like one in memory."""

    def send(data: bytes) -> Any:
        with lib.Client(base_url=service.url) as client:
            url = client.post(**start(len(data))).headers["x-goog-upload-url"]
            blocks = (data[at : at + 100] for at in range(0, len(data), 100))
            headers = {"x-goog-upload-command": "upload, finalize", "x-goog-upload-offset": "0"}
            return client.post(url, headers=headers, content=blocks)

    for _ in range(2):
        with using("auto"):
            assert send(ONE).json()["file"]["sha256Hash"] == digest(ONE)
            assert send(OTHER).json()["file"]["sha256Hash"] == digest(OTHER)
    assert service.files == [digest(ONE), digest(OTHER)]


def test_a_server_that_moved(lib: Any, service: Service, using: Any) -> None:
    """A client that sends a session URL to another host, as google-genai does with a base URL, still replays."""
    with using("auto"):
        upload(lib, service, ONE)
    other = Service()
    try:
        with using("auto"), lib.Client() as client:
            request = start(len(ONE))
            opened = client.post(**{**request, "url": other.url + request["url"]})
            url = opened.headers["x-goog-upload-url"].replace(service.url, other.url)
            for data in (ONE[:CUT], OTHER[:CUT]):
                assert client.post(**piece(url, data, 0)).headers["x-goog-upload-status"] == "active"
    finally:
        other.stop()
    assert other.calls == ["start", "upload"]


def test_a_session_that_is_not_ours(lib: Any, service: Service, using: Any) -> None:
    """A session URL that was not handed out in this run is sent as it is."""
    with lib.Client(base_url=service.url) as client:
        url = client.post(**start(len(ONE))).headers["x-goog-upload-url"]
        with using("auto"):
            answer = client.post(**piece(url, ONE, 0, "upload, finalize"))
    assert answer.json()["file"]["sha256Hash"] == digest(ONE)
