"""Request bodies through urllib3, 1.26 and 2: each arrives as it does without cachy, and is recognised."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest

urllib3 = pytest.importorskip("urllib3")


@pytest.fixture
def http() -> Iterator[Any]:
    with urllib3.PoolManager() as manager:
        yield manager


class Once:
    """A file that can be read but once."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)


BODIES: dict[str, Any] = {
    "nothing": dict,
    "bytes": lambda: {"body": b"bytes"},
    "text": lambda: {"body": "text"},
    "buffer": lambda: {"body": bytearray(b"buffer")},
    "file": lambda: {"body": io.BytesIO(b"file" * 50_000)},
    "unseekable": lambda: {"body": Once(b"pipe" * 50_000)},
    "sized file": lambda: {"body": io.BytesIO(b"file" * 9), "headers": {"Content-Length": "36"}},
    "generator": lambda: {"body": (b"%d," % n for n in range(1000)), "chunked": True},
    "fields": lambda: {"fields": {"a": "1", "file": ("a.txt", b"part" * 1000)}},
    "form": lambda: {"fields": {"a": "1", "b": "é"}, "encode_multipart": False},
}


@pytest.mark.parametrize("kind", BODIES)
def test_the_server_receives_every_byte_of_any_body(server: Any, using: Any, http: Any, kind: str) -> None:
    """Each kind of body arrives as it does without cachy, framed in the same way; a second one like it is a hit."""
    http.request("POST", server.url + "/v1", **BODIES[kind]())
    with using():
        for _ in range(2):
            http.request("POST", server.url + "/v1", **BODIES[kind]())
    without, recorded = server.calls
    boundary = without.headers.get("content-type", "").partition("boundary=")[2].encode()
    other = recorded.headers.get("content-type", "").partition("boundary=")[2].encode()
    assert recorded.body == (without.body.replace(boundary, other) if boundary else without.body)
    assert bool(recorded.body) is (kind != "nothing")
    for name in ("content-length", "transfer-encoding", "content-type"):
        assert (
            recorded.headers.get(name, "").partition(";")[0]
            == without.headers.get(name, "").partition(";")[0]
        )


def test_a_large_upload_goes_through_a_file(
    server: Any, using: Any, http: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body above the spill size is sent whole, again after a failure, and recognised the second time."""
    monkeypatch.setattr("cachy.exchange.SPILL_BYTES", 10_000)
    statuses = iter([503])
    server.on("/v1", lambda h: h.whole(b"{}", status=next(statuses, 200)))
    again = urllib3.Retry(status=1, status_forcelist=[503], **{METHODS: None})
    with using():
        for _ in range(2):
            http.request("POST", server.url + "/v1", body=Once(b"x" * 50_000), retries=again)
    assert [call.body for call in server.calls] == [b"x" * 50_000] * 2


METHODS = "method_whitelist" if not hasattr(urllib3.Retry.DEFAULT, "allowed_methods") else "allowed_methods"
