"""Uploads in several requests through aiohttp."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from uploads.contract import BecomesReal
from uploads.service import Service
from uploads.test_resumable import CUT, ONE, OTHER, asked, digest, pieces, start

aiohttp: Any = pytest.importorskip("aiohttp")


class TestAiohttp(BecomesReal):
    def upload(self, service: Service, data: bytes, cut: int = CUT) -> tuple[int, bytes]:
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
