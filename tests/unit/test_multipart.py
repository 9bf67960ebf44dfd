"""Multipart bodies as lists of parts, however they are cut into pieces."""

from __future__ import annotations

import tracemalloc
from hashlib import blake2b
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cachy.exchange import Body
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


@pytest.mark.parametrize("names", [("你好.txt", "再见.txt"), ("é", "è"), ("😀", "😁")])
def test_names_of_any_script(names: tuple[str, str]) -> None:
    """File names are read as the UTF-8 they are written in, so that two of them are never taken for one."""
    found = [parts(body("xyz").replace(b"a b.txt", name.encode()), "xyz")[1]["filename"] for name in names]
    assert found == list(names)


def test_names_that_are_not_utf8() -> None:
    """Names in other encodings stay apart too."""
    one, other = (parts(body("xyz").replace(b"a b", name), "xyz") for name in (b"\xff\xfe", b"\xfe\xff"))
    assert one != other


def test_names_with_a_charset() -> None:
    """A name in the form of RFC 2231 is the name that it stands for."""
    raw = body("xyz").replace(b'filename="a b.txt"', b"filename*=UTF-8''%e4%bd%a0.txt")
    assert parts(raw, "xyz")[1]["filename"] == "你.txt"


@pytest.mark.parametrize("size", [1, 3, 10**9])
def test_a_longer_line_is_no_delimiter(size: int) -> None:
    """A line of a file that only begins like the delimiter belongs to the file."""
    raw = body("xyz").replace(b"--not-the-boundary", b"--xyzzy\r\n\r\nline")
    _, file, _ = parts(raw, "xyz", size)
    assert file["size"] == len(b"hello\r\n--xyzzy\r\n\r\nline\r\nworld")


@pytest.mark.parametrize("size", [1, 3, 10**9])
def test_blanks_after_the_delimiter(size: int) -> None:
    """Blanks may follow a boundary on its line (RFC 2046: transport padding)."""
    assert parts(body("xyz").replace(b"--xyz\r\n", b"--xyz \t\r\n"), "xyz", size) == parts(body("xyz"), "xyz")


def test_no_line_break_at_the_end() -> None:
    """The last delimiter may end the body, and something may follow it that does not count."""
    for end in (b"", b"\r\n", b"\r\nepilogue"):
        assert parts(body("xyz")[:-2] + end, "xyz") == parts(body("xyz"), "xyz")


def test_multipart_within_a_part() -> None:
    """A multipart body inside of a part is its content, whatever its own boundary."""
    inner = body("inner")
    raw = (
        b'--outer\r\nContent-Disposition: form-data; name="x"; filename="y"\r\n\r\n'
        + inner
        + b"\r\n--outer--"
    )
    (part,) = parts(raw, "outer")
    assert part["size"] == len(inner)


def test_headers_without_an_end_are_not_collected_for_ever() -> None:
    """What begins as the headers of a part and never ends is no multipart body, found out before it is all read."""
    read = []

    def endless() -> Any:
        yield b"--xyz\r\n"
        for number in range(1000):
            read.append(number)
            yield b"x" * 4096

    assert parse(endless(), b"xyz", 1024) is None
    assert len(read) < 100


def test_a_body_in_memory_is_not_copied() -> None:
    """Parsing a large body that lies in memory takes little more memory."""
    data = Body(body("xyz").replace(b"world", b"x" * 20_000_000))
    tracemalloc.start()
    try:
        found = parse(data.chunks(), b"xyz", 1024)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found is not None
    assert peak < 8_000_000


Field = tuple[str, str | None, bytes]
FIELDS: st.SearchStrategy[list[Field]] = st.lists(
    st.tuples(
        st.text(st.characters(exclude_characters='"\\', exclude_categories=["Cc", "Cs"]), max_size=8),
        st.none()
        | st.text(st.characters(exclude_characters='"\\', exclude_categories=["Cc", "Cs"]), max_size=8),
        st.lists(
            st.sampled_from([b"\r\n", b"--", b"xyz", b"\r", b"\n", b"-", b" ", b"a", b"\xff", b"\0"])
        ).map(b"".join),
    ),
    min_size=1,
    max_size=4,
)


def written(fields: list[Field], boundary: bytes) -> bytes:
    lines = []
    for name, filename, content in fields:
        file = "" if filename is None else f'; filename="{filename}"'
        head = f'Content-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode()
        lines.append(b"--" + boundary + b"\r\n" + head + content + b"\r\n")
    return b"".join(lines) + b"--" + boundary + b"--\r\n"


@given(FIELDS, st.integers(1, 40), st.integers(0, 2**32))
def test_any_form_in_any_pieces(fields: list[Field], size: int, seed: int) -> None:
    """Names and contents come out as they went in, whatever they are and however the body is cut."""
    boundary = b"xyz" + f"{seed:08x}".encode()
    found = parts(written(fields, boundary), boundary.decode(), size)
    assert [(part["name"], part.get("filename")) for part in found] == [field[:2] for field in fields]
    for part, (_, filename, content) in zip(found, fields, strict=True):
        if filename is None and content.isascii() and b"\xff" not in content:
            assert part["text"] == content.decode()
        else:
            assert part["size"] == len(content)
            assert part["digest"] == "blake2b:" + blake2b(content, digest_size=16).hexdigest()


@given(FIELDS, FIELDS)
def test_other_forms_have_other_parts(one: list[Field], other: list[Field]) -> None:
    """Two forms have the same parts only when they are the same."""
    assume(one != other)
    assert parts(written(one, b"q7w"), "q7w") != parts(written(other, b"q7w"), "q7w")
