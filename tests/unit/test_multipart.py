"""Multipart bodies as lists of parts, however they are cut into pieces."""

from __future__ import annotations

from typing import Any

import pytest

from cachy.multipart import boundary_of, parse


def body(boundary: str, *, newline: str = "\r\n") -> bytes:
    lines = [
        f"--{boundary}",
        'Content-Disposition: form-data; name="purpose"',
        "",
        "assistants",
        f"--{boundary}",
        'Content-Disposition: form-data; name="file"; filename="a b.txt"',
        "Content-Type: text/plain; charset=utf-8",
        "",
        "hello\r\n--not-the-boundary\r\nworld",
        f"--{boundary}",
        'Content-Disposition: form-data; name="empty"',
        "",
        "",
        f"--{boundary}--",
        "",
    ]
    return newline.join(lines).encode()


def parts(raw: bytes, boundary: str, size: int = 10**9) -> Any:
    return parse([raw[at : at + size] for at in range(0, len(raw), size)], boundary.encode(), 1024)


def test_parts_in_order() -> None:
    """Names, file names, types, texts and digests come out in the order of the body."""
    purpose, file, empty = parts(body("xyz"), "xyz")
    assert purpose == {"name": "purpose", "text": "assistants"}
    assert (file["name"], file["filename"], file["type"], file["size"]) == (
        "file",
        "a b.txt",
        "text/plain",
        32,
    )
    assert file["digest"].startswith("blake2b:")
    assert empty == {"name": "empty", "text": ""}


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 11, 64])
def test_the_cut_does_not_matter(size: int) -> None:
    """The parts are the same in whatever pieces the body arrives."""
    assert parts(body("xyz"), "xyz", size) == parts(body("xyz"), "xyz")


def test_the_boundary_does_not_matter() -> None:
    """Two boundaries, the same parts."""
    assert parts(body("a1"), "a1") == parts(
        body("f9ee33966b45cc8c80952bb57cc728c4"), "f9ee33966b45cc8c80952bb57cc728c4"
    )


def test_content_matters() -> None:
    """A changed byte of a file changes its digest."""
    assert parts(body("xyz").replace(b"world", b"w0rld"), "xyz") != parts(body("xyz"), "xyz")


@pytest.mark.parametrize(
    "raw", [b"", b"not multipart", b"--xyz\r\nContent-Type: text/plain\r\n\r\ncut off", b"--other--\r\n"]
)
def test_what_is_no_multipart_body_is_told_apart(raw: bytes) -> None:
    """A body that does not keep to its boundary is None, never an empty list that others would share."""
    assert parts(raw, "xyz") is None


def test_part_without_headers() -> None:
    """RFC 2046 allows a part without headers."""
    assert parts(b"--xyz\r\n\r\nbare\r\n--xyz--", "xyz") == [{"text": "bare"}]


def test_binary_and_long_fields_are_digests() -> None:
    """A field that is not UTF-8, or is long, is not kept."""
    raw = (
        b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n\xff\xfe\r\n--b\r\nContent-Disposition: form-data; name="y"\r\n\r\n'
        + b"y" * 2000
        + b"\r\n--b--"
    )
    one, other = parts(raw, "b")
    assert (one["size"], other["size"]) == (2, 2000)
    assert "text" not in one
    assert "text" not in other


def test_boundary_of_a_header() -> None:
    """Quoted and plain boundaries are read, other types have none."""
    assert boundary_of("multipart/form-data; boundary=abc") == b"abc"
    assert boundary_of('multipart/related; type="x"; boundary="a b c"') == b"a b c"
    assert boundary_of("application/json") == b""
