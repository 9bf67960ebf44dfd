"""A recording: one request with its answer, and the JSON line that holds it.

The line of format version 1, in this order (so that the key stands at a fixed offset and the answer at the end,
where it can be read without parsing the request):

    {"key":"<32 hex>","v":1,"at":"2026-11-23T08:00:00Z","provider":"openai","test":"tests/test_a.py::test_b",
     "request":{canonical request},
     "response":{"status":200,"ms":812,"headers":[["content-type","application/json"]],"text":"..."}}

`test` is the pytest test that recorded it, when one did (see `cachy.report.uses`). `response` holds `text` (UTF-8) or
`base64`; `chunks` ([ms, length] pairs) when the body came in several pieces; `http` when the protocol was not HTTP/1.1;
`reason` when the server said its own, or none (""); `partial` when the consumer left and this is only the beginning of
the answer; `echo` when the body repeats what the client had made up ([number of an id or name of a field, text] pairs,
see `cachy.echo`).
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from .exchange import Response

FORMAT = 1
KEY_AT = slice(8, 40)
"""Where the 32 hex digits of the key stand in a line of ours."""

_ANSWER = b',"response":{'
_AT = re.compile(rb'\{"key":"[0-9a-f]+","v":\d+,"at":"([^"]*)"')
_PROVIDER = re.compile(rb'"provider":"([^"\\]*)",')
_REMEMBERED = 64 * 1024  # bytes of a line up to which its parsed answer is remembered
_decode = json.JSONDecoder().decode


@dataclass(frozen=True, slots=True)
class Recording:
    """One request with its answer. `at` is the UTC time of recording in ISO 8601, to the second; `test` the id of the
    test that recorded it, or ""."""

    key: str
    at: str
    provider: str
    request: dict[str, Any]
    response: Response
    test: str = ""

    def to_line(self) -> bytes:
        """The JSON line, without a newline."""
        facts = {
            "key": self.key,
            "v": FORMAT,
            "at": self.at,
            "provider": self.provider,
            **({"test": self.test} if self.test else {}),
            "request": self.request,
            "response": _answer_to_json(self.response),
        }
        try:
            return json.dumps(facts, ensure_ascii=False, separators=(",", ":")).encode()
        except UnicodeEncodeError:  # a lone surrogate in the request: only the escaped form can be UTF-8
            return json.dumps(facts, separators=(",", ":")).encode()

    @classmethod
    def from_line(cls, line: bytes) -> Recording:
        """Parse a whole line. Raises ValueError when it is not a recording of this format."""
        try:
            facts = json.loads(line)
            return cls(
                facts["key"],
                facts["at"],
                facts["provider"],
                facts["request"],
                _answer_from_json(facts["response"]),
                facts.get("test", ""),
            )
        except (KeyError, TypeError, AttributeError, RecursionError) as problem:
            raise ValueError(f"not a recording: {problem!r}") from None


def response_of(line: bytes) -> Response:
    """The answer in a line, without parsing the request (the hit path). Raises ValueError."""
    return _response_again(line) if len(line) < _REMEMBERED else _response_of(line)


def recorded_at(line: bytes) -> str:
    """When a line was recorded: its `at`. Raises ValueError."""
    found = _AT.match(line)
    if found is None:
        raise ValueError("not a recording: no time")
    return found[1].decode()


def provider_of(line: bytes) -> str:
    """Whose recording a line is, or "" (pycachy's does not say)."""
    found = _PROVIDER.search(line, 0, 256)
    return found[1].decode("utf-8", "replace") if found else ""


@lru_cache(maxsize=64)
def _response_again(line: bytes) -> Response:
    # Test suites, notebooks and loops ask the same again and again.
    return _response_of(line)


def _response_of(line: bytes) -> Response:
    # The answer comes last and holds no object called "response" of its own, so the last match is the right one.
    at = line.rfind(_ANSWER)
    if at < 0:
        raise ValueError("not a recording: no response")
    try:
        return _answer_from_json(_decode(line[at + len(_ANSWER) - 1 : -1].decode()))
    except (KeyError, TypeError, AttributeError) as problem:
        raise ValueError(f"not a recording: {problem!r}") from None


def _answer_to_json(response: Response) -> dict[str, Any]:
    answer: dict[str, Any] = {"status": response.status, "ms": response.ms}
    if response.http_version != "HTTP/1.1":
        answer["http"] = response.http_version
    if response.reason is not None:
        answer["reason"] = response.reason
    if response.partial:
        answer["partial"] = True
    answer["headers"] = [list(pair) for pair in response.headers]
    if len(response.chunks) > 1:
        answer["chunks"] = [list(chunk) for chunk in response.chunks]
    if response.echo:
        answer["echo"] = [list(pair) for pair in response.echo]
    try:
        answer["text"] = response.body.decode()
    except UnicodeDecodeError:
        answer["base64"] = base64.b64encode(response.body).decode("ascii")
    return answer


def _answer_from_json(answer: dict[str, Any]) -> Response:
    text, headers, chunks = answer.get("text"), answer["headers"], answer.get("chunks", ())
    # Somebody may have edited the line. Each of these raises TypeError where it is not of the kind that clients expect.
    "".join([word for pair in headers for word in pair])
    answer["status"] + answer.get("ms", 0) + sum(map(sum, chunks))
    return Response(
        answer["status"],
        tuple([(name, value) for name, value in headers]),
        base64.b64decode(answer["base64"]) if text is None else text.encode(),
        tuple([(ms, length) for ms, length in chunks]),
        answer.get("ms", 0),
        answer.get("http", "HTTP/1.1"),
        answer.get("reason"),
        answer.get("partial", False),
        tuple([(name, text) for name, text in answer.get("echo", ())]),
    )
