"""Requests that are unusual and legal: what is replayed for them is their own answer, as it was."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize("name", ["\xe9.txt".encode("latin-1"), "\xe9\u2603.txt".encode()])
def test_headers_that_are_not_ascii(lib: Any, server: Any, using: Any, name: bytes) -> None:
    """The bytes of a header are replayed as they came, be they Latin-1 or UTF-8."""
    raw = (
        b'HTTP/1.1 200 OK\r\ncontent-disposition: attachment; filename="%s"\r\ncontent-length: 1\r\n\r\nx'
        % name
    )
    url = server.on("/file", lambda handler: handler.wfile.write(raw))

    def sent(client: Any) -> list[bytes]:
        return [value for key, value in client.get(url).headers.raw if key.lower() == b"content-disposition"]

    with using(), lib.Client() as client:
        assert sent(client) == sent(client) == [b'attachment; filename="%s"' % name]
    assert len(server.calls) == 1


def test_virtual_hosts_on_one_address(lib: Any, server: Any, using: Any) -> None:
    """A Host header that names another host than the URL asks for something else."""
    url = server.url + "/v1"
    with using(), lib.Client() as client:
        for _ in range(2):
            answers = [
                client.get(url, headers={"host": host}).json()["call"] for host in ("a.test", "b.test")
            ]
            assert answers == [1, 2]
        address = server.url.removeprefix("http://")
        assert client.get(url).json() == client.get(url, headers={"host": address}).json() == {"call": 3}
    assert len(server.calls) == 3


def test_a_target_other_than_the_url(lib: Any, server: Any, using: Any) -> None:
    """`extensions={"target": ...}` is what is really asked for."""
    with using(), lib.Client() as client:
        for _ in range(2):
            answers = [
                client.get(server.url, extensions={"target": target}).json()["call"]
                for target in (b"/one", b"/two?x=1", b"*")
            ]
            assert answers == [1, 2, 3]
    assert [call.path for call in server.calls] == ["/one", "/two?x=1", "*"]
