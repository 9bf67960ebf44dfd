"""Uploads without a client: what is remembered of them, and which calls a transport is told to make first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cachy import notices
from cachy.exchange import Body, Request, Response
from cachy.keys import Canonical, canonical, rules_for
from cachy.providers import Claim
from cachy.providers.plain import PLAIN
from cachy.uploads import Uploads
from cachy.uploads.base import Spool

HERE = Claim(PLAIN, "api.example.com")
URL = "https://api.example.com/upload/v1beta/files"
ACTIVE = Response(200, (("x-goog-upload-status", "active"),))


def start() -> Request:
    return Request("POST", URL, (("x-goog-upload-command", "start"), ("x-goog-api-key", "secret")))


def opened(name: str) -> Response:
    return Response(200, (("x-goog-upload-url", f"{URL}?upload_id={name}"), *ACTIVE.headers))


def piece(name: str, data: bytes, offset: int = 0, url: str = URL) -> Request:
    headers = (
        ("host", "api.example.com"),
        ("x-goog-upload-command", "upload"),
        ("x-goog-upload-offset", str(offset)),
        ("transfer-encoding", "chunked"),
    )
    return Request("POST", f"{url}?upload_id={name}", headers, Body(data))


def begin(uploads: Uploads, name: str, live: bool = False) -> str:
    """Start an upload; returns the name that the program is given."""
    wanted = canonical(start(), HERE)
    answer = uploads.noted(None, start(), wanted, opened(name), live)
    return answer.header("x-goog-upload-url").partition("upload_id=")[2]


def key(uploads: Uploads, request: Request) -> Canonical:
    upload = uploads.of(request)
    assert upload is not None
    return upload.canonical(request, HERE, rules_for(PLAIN))


def replay(uploads: Uploads, request: Request) -> None:
    uploads.noted(uploads.of(request), request, key(uploads, request), ACTIVE, live=False)


def test_a_request_of_no_upload() -> None:
    """A session that no start of this run gave out is none of ours."""
    uploads = Uploads(keeping=True)
    begin(uploads, "one-upload")
    assert uploads.of(piece("another", b"x")) is None
    assert uploads.of(Request("GET", "https://api.example.com/v1/models")) is None


def test_the_handle_does_not_matter() -> None:
    """A piece is the same under every session with the same start, live or not; other bytes are another one."""
    uploads = Uploads(keeping=True)
    names = [begin(uploads, "one-upload"), begin(uploads, "other-upload", live=True)]
    keys = {key(uploads, piece(name, b"abc")).key for name in names}
    assert len(keys) == 1
    assert key(uploads, piece(names[0], b"abd")).key not in keys


def test_pieces_add_up() -> None:
    """What counts is the file so far: not how it was cut, nor which of its pieces was sent twice."""
    uploads = Uploads(keeping=True)
    one, other = begin(uploads, "one-upload"), begin(uploads, "other-upload")
    whole = key(uploads, piece(one, b"abcdef"))
    key(uploads, piece(other, b"abc"))
    key(uploads, piece(other, b"ab"))
    key(uploads, piece(other, b"cd", 2))
    key(uploads, piece(other, b"d", 3))  # the service had but one byte of the piece
    assert key(uploads, piece(other, b"ef", 4)).text == whole.text
    assert key(uploads, piece(other, b"ef", 400)).key != whole.key


def test_a_recording_given_out_twice() -> None:
    """Of two uploads under way from one recording, the second one has a handle of its own, of the same length."""
    uploads = Uploads(keeping=True)
    first, second = begin(uploads, "one-upload"), begin(uploads, "one-upload")
    assert first == "one-upload"
    assert second != first
    assert len(second) == len(first)


def test_the_calls_that_make_an_upload_real() -> None:
    """First the start with the program's own key, then what was replayed, then the request, at the real session."""
    uploads = Uploads(keeping=True)
    name = begin(uploads, "one-upload")
    replay(uploads, piece(name, b"abc"))
    replay(uploads, piece(name, b"def", 3))
    upload = uploads.of(piece(name, b"xyz", 6))
    assert upload is not None
    calls = upload.to_send(piece(name, b"xyz", 6))
    assert next(calls) == upload.start
    assert upload.start.header("x-goog-api-key") == "secret"
    sent = calls.send(opened("real-upload"))
    assert sent is not None
    assert (sent.url, b"".join(sent.body.chunks())) == (f"{URL}?upload_id=real-upload", b"abcdef")
    assert sent.header("content-length") == "6"
    assert sent.header("transfer-encoding") == ""
    with pytest.raises(StopIteration) as last:
        calls.send(ACTIVE)
    assert last.value.value.url == f"{URL}?upload_id=real-upload"
    assert b"".join(last.value.value.body.chunks()) == b"xyz"
    assert upload.live


def test_only_one_makes_it_real() -> None:
    """While one request makes the upload real, another one is told to wait; when the first gives up, it is its turn."""
    uploads = Uploads(keeping=True)
    request = piece(begin(uploads, "one-upload"), b"abc")
    upload = uploads.of(request)
    assert upload is not None
    first, second = upload.to_send(request), upload.to_send(request)
    assert next(first) is upload.start
    assert next(second) is None
    first.close()
    assert next(second) is upload.start


def test_no_room_on_disk(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """When what is replayed cannot be kept, the replay goes on, and one line says what that means."""

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(notices, "_said", set())
    monkeypatch.setattr(Spool, "write", full)
    uploads = Uploads(keeping=True)
    name = begin(uploads, "one-upload")
    replay(uploads, piece(name, b"abc"))
    assert "could not be kept on disk" in capsys.readouterr().err


def test_uploads_that_never_end() -> None:
    """Only so many uploads are remembered, those that went on last."""
    uploads = Uploads(keeping=True)
    names = [begin(uploads, "upload-0", live=True)]
    for number in range(1, 300):
        names.append(begin(uploads, f"upload-{number}", live=True))
        uploads.noted(
            uploads.of(piece(names[0], b"")),
            piece(names[0], b""),
            canonical(start(), HERE),
            ACTIVE,
            live=True,
        )
    known: Iterator[str] = (name for name in names if uploads.of(piece(name, b"")))
    assert list(known) == [names[0], *names[-255:]]
