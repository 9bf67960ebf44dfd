"""What single tools write into cassettes and HAR files, in the forms they are found in."""

from __future__ import annotations

import base64
import gzip
import io
import json
import zlib
from typing import Any

import brotli
import pytest
import yaml

from cachy import formats
from cachy.exchange import Body, Request, Response
from cachy.formats import har as writer

HELLO = '{"text": "Grüße ☃"}'
JSON = {"content-type": "application/json"}


def read(data: Any) -> list[Any]:
    text = data if isinstance(data, str) else json.dumps(data)
    return list(formats.read(io.BufferedReader(io.BytesIO(text.encode("utf-8", "surrogateescape")))))


def pairs(headers: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in headers.items()]


def har(
    content: dict[str, Any] | None = None, posted: dict[str, Any] | None = None,
    asked: dict[str, Any] | None = None, headers: dict[str, str] | None = None, **given: Any,
) -> formats.Interaction | formats.Unreadable:  # fmt: skip
    """What is read of one entry."""
    request = {
        "method": "POST",
        "url": "https://api.openai.com/v1/x",
        "headers": [],
        **(asked or {}),
    }
    if posted is not None:
        request["postData"] = posted
    response = {
        "status": 200,
        "headers": pairs(headers or JSON),
        "content": content or {"text": HELLO},
        **given,
    }
    (found,) = read({"log": {"entries": [{"request": request, "response": response}]}})
    assert isinstance(found, formats.Interaction | formats.Unreadable)
    return found


def answer_of(item: formats.Interaction | formats.Unreadable) -> bytes:
    assert isinstance(item, formats.Interaction), item
    return item.response.body


def sent_by(item: formats.Interaction | formats.Unreadable) -> bytes:
    assert isinstance(item, formats.Interaction), item
    return item.request.body.data or b""


SOUND = bytes(range(256)) * 4


def in_base64(body: bytes) -> dict[str, Any]:
    return {"text": base64.b64encode(body).decode(), "encoding": "base64"}


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "zstd"])
def test_har_bytes_that_are_decoded_already(coding: str) -> None:
    """The format says so, whatever the answer's header: a sound is not taken for one that cannot be unpacked."""
    headers = {"content-type": "audio/mpeg", "content-encoding": coding}
    assert answer_of(har({"size": len(SOUND), **in_base64(SOUND)}, headers=headers)) == SOUND
    assert answer_of(har({"size": 308, **in_base64(SOUND)}, headers=headers, bodySize=308)) == SOUND


@pytest.mark.parametrize(
    ("coding", "pack"), [("gzip", gzip.compress), ("br", brotli.compress), ("deflate", zlib.compress)]
)
def test_har_bytes_that_were_left_packed(coding: str, pack: Any) -> None:
    """What some proxies do; and what is torn then is not taken for the answer."""
    headers = {"content-type": "audio/mpeg", "content-encoding": coding}
    packed = pack(SOUND)
    assert answer_of(har(in_base64(packed), headers=headers, bodySize=len(packed))) == SOUND
    torn = har(in_base64(packed[:-20]), headers=headers, bodySize=len(packed) - 20)
    assert str(torn) == f"its content-encoding {coding} cannot be undone here"


def test_har_text_in_the_charset_of_its_answer() -> None:
    """In the file all text is UTF-8; the program gets the bytes that its header speaks of."""
    headers = {"content-type": "text/plain; charset=ISO-8859-1"}
    assert answer_of(har({"text": "é"}, headers=headers)) == b"\xe9"
    assert answer_of(har({"text": "☃"}, headers=headers)) == "☃".encode()
    assert (
        answer_of(har({"text": "é"}, headers={"content-type": "text/plain; charset=none-such"}))
        == "é".encode()
    )


STREAM = 'data: {"text": "é☃“Ÿ”\u20ac"}\n\ndata: [DONE]\n\n'.encode()
# As browsers read Windows-1252: Python's has no place for five of the bytes.
WESTERN = "".join(bytes([byte]).decode("cp1252" if byte not in b"\x81\x8d\x8f\x90\x9d" else "latin-1") for byte in STREAM)  # fmt: skip


@pytest.mark.parametrize("text", [STREAM.decode("latin-1"), WESTERN], ids=["mitmproxy", "Chromium"])
@pytest.mark.parametrize("size", [len(STREAM), 30, -1])
def test_har_event_streams_that_were_read_as_western(text: str, size: int) -> None:
    """Where no charset is named; what is UTF-8 when it is read back was UTF-8."""
    content = {"size": size, "compression": len(STREAM) - size, "text": text}
    assert answer_of(har(content, headers={"content-type": "text/event-stream"})) == STREAM
    assert answer_of(har({"text": STREAM.decode()}, headers={"content-type": "text/event-stream"})) == STREAM
    about = json.dumps({"mojibake": "Ã©"}, ensure_ascii=False)
    assert answer_of(har({"text": about})) == about.encode()


def test_har_bytes_that_were_read_as_western() -> None:
    """mitmproxy does it with what looks like text; the size tells."""
    sound = {"size": 30, "compression": len(SOUND) - 30, "text": SOUND.decode("latin-1")}
    assert answer_of(har(sound, headers={"content-type": "audio/mpeg"})) == SOUND
    form = b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n\xff\x00\r\n--x--\r\n'
    posted = {"mimeType": "multipart/form-data; boundary=x", "text": form.decode("latin-1"), "params": []}
    assert sent_by(har(posted=posted, asked={"bodySize": len(form)})) == form


@pytest.mark.parametrize(
    "kind", ["text/plain; charset=latin-1", "text/plain", "application/json", "audio/mpeg", ""]
)
@pytest.mark.parametrize("body", [b"a", "é".encode(), "Ã©".encode(), b"\xe9", "☃".encode(), SOUND])
def test_har_there_and_back_again(kind: str, body: bytes) -> None:
    """Whatever we write is read as the same bytes."""
    request = Request("POST", "https://api.openai.com/v1/x", (("content-type", kind),), Body(body))
    text = writer.entry(request, Response(200, (("content-type", kind),), body), "")
    (item,) = read(f'{{"log": {{"entries": [{text}]}}}}')
    assert (item.request.body.data, item.response.body) == (body, body)


def test_har_sizes_that_count_characters() -> None:
    """Some tools do: that does not make the text Latin-1."""
    assert answer_of(har({"size": 8, "text": '"Grüße!"'})) == '"Grüße!"'.encode()


def test_har_bytes_that_were_written_as_text() -> None:
    """What Insomnia does with all answers: they are lost, and that is told."""
    lost = SOUND.decode("utf-8", "replace")
    said = "bytes that the tool wrote as text, and lost"
    assert str(har({"size": len(SOUND), "text": lost}, headers={"content-type": "audio/mpeg"})) == said
    assert str(har(posted={"text": lost}, asked={"bodySize": len(SOUND)})) == said
    meant = '{"sign": "\ufffd"}'
    assert answer_of(har({"size": len(meant.encode()), "text": meant})) == meant.encode()
    assert answer_of(har({"text": meant})) == meant.encode()


def test_har_of_insomnia() -> None:
    """The query stands apart from the URL, forms have no text."""
    query = [{"name": "b", "value": "2 é"}, {"name": "a", "value": "1"}]
    item = har(asked={"queryString": query}, posted={"mimeType": "", "text": ""})
    assert isinstance(item, formats.Interaction)
    assert item.request.url == "https://api.openai.com/v1/x?b=2+%C3%A9&a=1"
    item = har(asked={"url": "https://api.openai.com/v1/x?a=1&b=2%20%C3%A9", "queryString": query})
    assert isinstance(item, formats.Interaction)
    assert item.request.url == "https://api.openai.com/v1/x?a=1&b=2%20%C3%A9"
    kind = "application/x-www-form-urlencoded"
    params = [{"name": "a", "value": "1 2"}, {"name": "b"}]
    assert sent_by(har(posted={"mimeType": kind, "params": params})) == b"a=1+2&b="
    parts = {"mimeType": "multipart/form-data", "params": params}
    assert str(har(posted=parts)) == "a form in parts, which were not written as they were sent"
    assert (
        str(har(posted={"params": [{"name": "f", "fileName": "f.png"}]}))
        == "a form with files, whose bytes were left out"
    )


def test_har_without_what_was_sent() -> None:
    """A browser leaves out large bodies and streams: the answer is none to an empty request."""
    said = "the tool that wrote it left out what was sent"
    assert str(har(asked={"bodySize": 12})) == said
    assert str(har(asked={"headers": pairs({"Content-Length": "12"})}, posted={"mimeType": "x"})) == said
    assert sent_by(har(asked={"bodySize": 0, "headers": pairs({"content-length": "0"})})) == b""
    assert sent_by(har(asked={"bodySize": -1})) == b""


def test_har_of_a_browser() -> None:
    """HTTP/2's own headers, a content type that only the body has, numbers that are none."""
    item = har(
        {"text": HELLO, "mimeType": "application/json"},
        {"mimeType": "application/json", "text": "{}"},
        {"headers": pairs({":method": "POST", "X-Up": "1"})}, {":status": "200"}, statusText=None,
    )  # fmt: skip
    assert isinstance(item, formats.Interaction)
    assert item.request.headers == (("x-up", "1"), ("content-type", "application/json"))
    assert item.response.headers == (("content-type", "application/json"),)
    for given in ({"status": float("inf")}, {"status": None}, {"status": "x"}, {"asked": {"headers": 3}}):
        assert str(har(**given)) == "not an interaction"


def test_bytes_that_are_no_text() -> None:
    """Some tools write them into the JSON as they are: they come out as they are."""
    raw = b"\xff\xfe\x80".decode("utf-8", "surrogateescape")
    (item,) = read('{"log": {"entries": [{"request": {"method": "GET", "url": "http://x/"}, "response": {"status": 200, "content": {"text": "RAW"}}}]}}'.replace("RAW", raw))  # fmt: skip
    assert item.response.body == b"\xff\xfe\x80"


def cassette(
    request: str,
    response: str = "body: {string: '{}'}\n    status: {code: 200, message: OK}\n    headers: {}",
) -> Any:
    (item,) = read(
        f"interactions:\n- request:\n    method: POST\n    uri: https://api.openai.com/v1/x\n    headers: {{}}\n    {request}\n  response:\n    {response}\nversion: 1\n"
    )
    return item


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        ("!!python/object/new:_io.BytesIO\n      state: !!python/tuple\n      - !!binary |\n        /wBmaWxl\n      - 0\n      - null", b"\xff\x00file"),
        ("!!python/object/apply:builtins.iter\n      args:\n      - - !!binary |\n          YQ==\n        - !!binary |\n          Yv8=\n      state: 0", b"ab\xff"),
        ("!!python/object/apply:builtins.iter\n      args: [abc]", b"abc"),
        ("!!python/unicode 'Gr\u00fc\u00dfe'", "Grüße".encode()),
        ("!!python/str 'x'", b"x"),
        ("!!python/tuple [a, b]", b"ab"),
        ("[104, 105]", b"hi"),
        ("[99999999999999999999]", None),
    ],
)  # fmt: skip
def test_what_vcrpy_writes_for_files_and_iterators(body: str, sent: bytes | None) -> None:
    """Its content comes out; no object is made."""
    item = cassette(f"body: {body}")
    assert str(item) == "not an interaction" if sent is None else item.request.body.data == sent


def test_answers_of_httpx_in_older_cassettes() -> None:
    """Before vcrpy 6 they had a form of their own."""
    item = cassette(
        "body: ''",
        "content: '{\"a\": 1}'\n    headers: {content-encoding: [gzip]}\n    http_version: HTTP/1.1\n    status_code: 201",
    )
    assert (item.response.status, item.response.body) == (201, b'{"a": 1}')


def test_an_answer_that_vcrpy_decoded() -> None:
    """Through urllib3 the body is unpacked and the header says otherwise; its length tells."""

    def response(body: bytes, length: int) -> str:
        return yaml.safe_dump({"body": {"string": body}, "status": {"code": 200, "message": ""}, "headers": {"content-encoding": ["br"], "content-length": [str(length)]}}).replace("\n", "\n    ")  # fmt: skip

    assert cassette("body: ''", response(SOUND, 308)).response.body == SOUND
    assert (
        str(cassette("body: ''", response(SOUND, len(SOUND))))
        == "its content-encoding br cannot be undone here"
    )
