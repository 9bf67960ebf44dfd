"""Uploads in several requests through aiohttp: what only a recording knows becomes real when its bytes differ."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from uploads.service import Service
from uploads.test_resumable import CUT, ONE, OTHER, asked, digest, pieces, start

aiohttp: Any = pytest.importorskip("aiohttp")


def upload(service: Service, data: bytes, cut: int = CUT) -> tuple[int, bytes]:
    async def main() -> tuple[int, bytes]:
        async with aiohttp.ClientSession(headers={"x-goog-api-key": "AB-secret-key"}) as session:
            first = start(len(data))
            async with session.post(service.url + first.pop("url"), **first) as opened:
                await opened.read()  # who does not may leave before the answer has come
                url = opened.headers["x-goog-upload-url"]
            for request in pieces(url, data, cut):
                options = {"data": request["content"], "headers": request["headers"]}
                async with session.post(request["url"], **options) as response:
                    found = response.status, await response.read()
            return found

    return asyncio.run(main())


@pytest.mark.parametrize("cut", [CUT, len(ONE)], ids=["in-pieces", "whole"])
def test_another_file_of_the_same_size(service: Service, using: Any, store: Path, cut: int) -> None:
    """The same file replays; another one is uploaded whole, recorded, and replayed from then on."""
    with using("auto"):
        first = upload(service, ONE, cut)
    asked(service)
    with using("auto"):
        assert upload(service, ONE, cut) == first
        assert asked(service) == []
        second = upload(service, OTHER, cut)
    assert service.files == [digest(ONE), digest(OTHER)]
    asked(service)
    with using("replay"):
        assert upload(service, OTHER, cut) == second
        assert upload(service, ONE, cut) == first
    assert asked(service) == []
    assert b"AB-secret" not in store.read_bytes()


def test_a_file_that_differs_late(service: Service, using: Any) -> None:
    """What was replayed before the difference is sent too."""
    late = ONE[:-10] + b"0123456789"
    for data in (ONE, late):
        with using("auto"):
            upload(service, data)
    assert service.files == [digest(ONE), digest(late)]


def test_a_refused_start(service: Service, using: Any) -> None:
    """When the provider refuses the start that a recording had answered, the program gets that answer."""
    with using("auto"):
        upload(service, ONE)
    service.refuse_starts = 1
    with using("auto"):
        status, body = upload(service, OTHER, len(OTHER))
    assert status == 403
    assert body
    assert service.files == [digest(ONE)]


def in_parts(service: Service, blocks: list[bytes]) -> Any:
    """OpenAI's uploads: the parts have ids, which the completion lists."""

    async def main() -> Any:
        async with aiohttp.ClientSession() as session:

            async def call(path: str, **options: Any) -> Any:
                async with session.post(service.url + "/v1/uploads" + path, **options) as response:
                    return await response.json()

            size = sum(map(len, blocks))
            about = {"bytes": size, "filename": "f", "mime_type": "text/plain", "purpose": "batch"}
            upload = (await call("", json=about))["id"]
            parts = []
            for block in blocks:
                form = aiohttp.FormData()
                form.add_field("data", block, filename="part")
                parts.append((await call(f"/{upload}/parts", data=form))["id"])
            return await call(f"/{upload}/complete", json={"part_ids": parts})

    return asyncio.run(main())


def test_parts(service: Service, using: Any) -> None:
    """Another file of the same size is sent under the ids that the provider gave, the same one is replayed."""
    files = ([ONE[:CUT], ONE[CUT:]], [ONE[:CUT], OTHER[CUT:]])
    hosts = {"127.0.0.1:*": "openai"}
    live = []
    for blocks in files:
        with using("auto", hosts=hosts):
            live.append(in_parts(service, blocks))
    assert service.files == [digest(b"".join(blocks)) for blocks in files]
    asked(service)
    with using("replay", hosts=hosts):
        assert [in_parts(service, blocks)["file"]["filename"] for blocks in files] == service.files
    assert asked(service) == []
    assert [answer["status"] for answer in live] == ["completed"] * 2
