"""Files in multipart requests, through the SDKs of several providers."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from typing import Any

import pytest
from uploads.service import Service

import cachy

ONE, OTHER = b"first file\r\n--" * 900, b"other file\r\n--" * 900
KEY = "sk-test-1f8Kd0ZqWm3Vb7Xc9Lp2Rt5Yh4Nj6"


def openai(service: Service, file: Any) -> Any:
    with pytest.importorskip("openai").OpenAI(api_key=KEY, base_url=service.url + "/v1") as client:
        return client.files.create(file=file, purpose="batch").id


def openai_async(service: Service, file: Any) -> Any:
    async def main() -> Any:
        kind = pytest.importorskip("openai").AsyncOpenAI
        async with kind(api_key=KEY, base_url=service.url + "/v1") as client:
            return (await client.files.create(file=file, purpose="batch")).id

    return asyncio.run(main())


def anthropic(service: Service, file: Any) -> Any:
    with pytest.importorskip("anthropic").Anthropic(api_key=KEY, base_url=service.url) as client:
        return client.beta.files.upload(file=file).id


def groq(service: Service, file: Any) -> Any:
    with pytest.importorskip("groq").Groq(api_key=KEY, base_url=service.url) as client:
        return client.files.create(file=file, purpose="batch").id


def mistral(service: Service, file: Any) -> Any:
    kind = pytest.importorskip("mistralai.client").Mistral
    with kind(api_key=KEY, server_url=service.url) as client:
        name, content = file
        return client.files.upload(file={"file_name": name, "content": content}, purpose="batch").id


@pytest.mark.parametrize("send", [openai, openai_async, anthropic, groq, mistral])
@pytest.mark.parametrize("wrap", [bytes, io.BytesIO], ids=["bytes", "file"])
def test_files(send: Callable[..., Any], wrap: Any, service: Service, using: Any) -> None:
    """The same file is replayed in spite of a new boundary; other bytes or another name make a call of its own."""
    files = [("notes.txt", ONE), ("notes.txt", OTHER), ("贝.txt", ONE), ("书.txt", ONE)]
    with using("auto"):
        live = [send(service, (name, wrap(data))) for name, data in files]
    assert len(set(live)) == len(service.files) == 4
    service.calls.clear()
    with using("replay"):
        assert [send(service, (name, wrap(data))) for name, data in files] == live
        with pytest.raises(cachy.Miss, match=r"\[\d\]\.digest not as in recording"):
            send(service, ("notes.txt", wrap(ONE[::-1])))
    assert service.calls == []
