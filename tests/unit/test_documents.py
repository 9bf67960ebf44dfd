"""Documents are read a piece at a time: what stands in front comes out before the rest is read, whatever is behind."""

from __future__ import annotations

import io
import json
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cachy import formats
from cachy.formats import documents
from cachy.formats.documents import JsonDocument, Unreadable, YamlDocument, opened

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


class Endless(io.RawIOBase):
    """A file that never ends: a head, then one piece again and again. Counts what was read of it."""

    def __init__(self, head: bytes, piece: Callable[[int], bytes]) -> None:
        self._left = head
        self._piece = piece
        self.count = self.served = 0

    def readable(self) -> bool:
        return True

    def peek(self, size: int = 0) -> bytes:
        return self._left

    def read(self, size: int = -1) -> bytes:
        assert size > 0, "a file of any size is not read whole"
        while len(self._left) < size:
            self.count += 1
            self._left += self._piece(self.count)
        block, self._left = self._left[:size], self._left[size:]
        self.served += size
        return block


def entry(number: int, text: str = "") -> dict[str, Any]:
    return {
        "request": {"method": "GET", "url": f"https://api.openai.com/{number}", "headers": []},
        "response": {"status": 200, "headers": [], "content": {"size": -1, "text": text or "x" * 50_000}},
    }


def interaction(number: int) -> dict[str, Any]:
    return {
        "request": {"method": "GET", "uri": f"https://api.openai.com/{number}", "headers": {}, "body": None},
        "response": {"status": {"code": 200, "message": ""}, "headers": {}, "body": {"string": "x" * 50_000}},
    }


def numbered(piece: bytes) -> Callable[[int], bytes]:
    return lambda number: piece.replace(b"7777", b"%d" % number)


FORMS = {
    "HAR": (b'{"log": {"pages": [{"id": "]}"}], "entries": [', numbered(json.dumps(entry(7777)).encode() + b",\n")),
    "JSON": (b'{"version": 1, "interactions": [', numbered(json.dumps(interaction(7777)).encode() + b",\n")),
    "YAML": (b"version: 1\ninteractions:\n", numbered(yaml.dump([interaction(7777)], Dumper=yaml.CSafeDumper).encode())),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_what_is_read_comes_out_at_once(form: str) -> None:
    """Of a file without an end: after each interaction only little more than that has been read."""
    file = Endless(*FORMS[form])
    items = formats.read(file)
    for number in range(1, 60):
        item = next(items)
        assert isinstance(item, formats.Interaction)
        assert item.request.url == f"https://api.openai.com/{number}"
        assert file.served <= (number + 3) * 60_000 + 2 * documents._BLOCK


@pytest.mark.parametrize("form", FORMS)
def test_memory_does_not_grow(form: str) -> None:
    """What was handed out is forgotten: of fifteen megabytes no more is held than a few blocks."""
    items = formats.read(Endless(*FORMS[form]))
    tracemalloc.start()
    try:
        for _ in range(10):
            next(items)
        tracemalloc.reset_peak()
        for _ in range(300):
            next(items)
        assert tracemalloc.get_traced_memory()[1] < 6 * documents._BLOCK
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("form", FORMS)
def test_what_came_before_a_break_is_taken(form: str) -> None:
    """Wherever a file is cut off, the whole interactions in front of it come out, and the break is told."""
    head, piece = FORMS[form]
    pieces = [piece(number).replace(b"x" * 50_000, b"x" * 40) for number in (1, 2, 3)]
    whole = head + b"".join(pieces)
    second = len(head) + len(pieces[0])
    for length in range(second, second + len(pieces[1]), 7):
        came, problem = all_of(whole[:length])
        if form == "YAML":  # of which the start of a text is one too, mostly
            assert len(came) in (1, 2)
            assert problem in (None, "the rest is not YAML")
        else:
            assert len(came) == 1
            assert problem == "the rest is not JSON"


def test_what_is_damaged_in_the_middle() -> None:
    """One bad entry is left out, and what cannot be read on from ends the file."""
    one, two = json.dumps(entry(1, "a")), json.dumps(entry(2, "b"))
    for bad in ('{"request": "\\q"}', "{]", '{"a" "b"}', "{,}"):
        came, problem = all_of(f'{{"log": {{"entries": [{one}, {bad}, {two}]}}}}'.encode())
        assert [str(item) if isinstance(item, Unreadable) else item.response.body for item in came] == [
            b"a", "not JSON", b"b",
        ]  # fmt: skip
        assert problem is None
    for bad in ("<<<<<<< HEAD", '"', "}", "nul", "1.2.3", "\x00"):
        came, problem = all_of(f'{{"log": {{"entries": [{one}, {bad}\n {two}]}}}}'.encode())
        assert came[0].response.body == b"a"
        assert problem == "the rest is not JSON", bad
    _, problem = all_of(f'{{"log": {{"entries": [{one}]}}}} and more'.encode())
    assert problem == "the rest is not JSON"
    _, problem = all_of(b"version: 1\ninteractions: []\n---\nmore: 1\n")
    assert problem == "the rest is not YAML"


def test_damage_does_not_fill_the_memory() -> None:
    """In a file without an end a quote too many is noticed soon."""
    head, piece = FORMS["HAR"]
    file = Endless(head + b'"', piece)
    with pytest.raises(Unreadable, match="the rest is not JSON"):
        list(formats.read(file))
    assert file.served <= 3 * documents._BLOCK


@pytest.mark.parametrize("lost", ["{", '{"request": {', '{"request" "x"', '{"a": 1, 2: 3'])
def test_a_lost_bracket_does_not_fill_the_memory(lost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it opens has no end in the file, and is gone through without being kept."""
    monkeypatch.setattr(documents, "_BLOCK", 60_000)
    head, piece = FORMS["HAR"]
    data = head + lost.encode() + b"".join(map(piece, range(60)))
    tracemalloc.start()
    try:
        assert all_of(data) == ([], "the rest is not JSON")
        assert tracemalloc.get_traced_memory()[1] < 20 * 60_000
    finally:
        tracemalloc.stop()


def all_of(data: bytes) -> tuple[list[Any], str | None]:
    came: list[Any] = []
    try:
        for item in formats.read(io.BufferedReader(io.BytesIO(data))):
            came.append(item)
    except Unreadable as problem:
        return came, str(problem)
    return came, None


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "neither a cassette of vcrpy nor a HAR file"),
        (b"just words", "neither a cassette of vcrpy nor a HAR file"),
        (b"[1, 2]", "neither a cassette of vcrpy nor a HAR file"),
        (b'{"log": 3, "interactions": null}', "neither a cassette of vcrpy nor a HAR file"),
        (b'{"log": {"entries": null}}', None),
        (b'{"log": {}}', None),
        (b"interactions: []\n", None),
        (b'{"log" 3', "not JSON"),
        (b"{", "not JSON"),
        (b"a: [b", "not YAML"),
        (b"\x00\x01", "not YAML"),
        (b"[" * 100_000, "neither a cassette of vcrpy nor a HAR file"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b', "log": {}}', None),
    ],
)
def test_what_a_file_is(data: bytes, said: str | None) -> None:
    """By what stands in it, in few words."""
    assert all_of(data) == ([], said)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_encodings(encoding: str) -> None:
    """Those that JSON may have, with and without a mark in front."""
    text = json.dumps({"log": {"entries": [entry(1, "Grüße ☃ \U0001f600" * 20_000)]}}, ensure_ascii=False)
    (item,), problem = all_of(text.encode(encoding))
    assert problem is None
    assert item.response.body.decode() == "Grüße ☃ \U0001f600" * 20_000


@settings(max_examples=30, deadline=None)
@given(st.lists(JSON), JSON, st.sampled_from([None, 2, "\t"]))
def test_json_as_json_reads_it(items: list[Any], other: Any, indent: Any) -> None:
    """Whatever the values, the spacing and the place where a block ends."""
    text = json.dumps({"other": other, "items": items, "after": other}, indent=indent).encode()
    documents._BLOCK, before = 1, documents._BLOCK
    try:
        assert list(walked(JsonDocument(io.BytesIO(text)))) == items
    finally:
        documents._BLOCK = before


@settings(max_examples=30, deadline=None)
@given(st.lists(JSON), JSON)
def test_yaml_as_yaml_reads_it(items: list[Any], other: Any) -> None:
    """Whatever the values."""
    text = yaml.safe_dump({"other": other, "items": items, "z": other}, sort_keys=False, allow_unicode=True)
    assert list(walked(YamlDocument(io.BytesIO(text.encode("utf-8", "surrogatepass"))))) == yaml.safe_load(text)["items"]  # fmt: skip


def walked(document: JsonDocument | YamlDocument) -> Iterator[Any]:
    assert document.kind == "{"
    for name in document.mapping():
        if name == "items":
            yield from document.sequence()
        else:
            document.skip()
    document.end()


def test_yaml_without_libyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyYAML's own parser does the same."""
    plain = ModuleType("yaml")
    plain.__dict__.update({name: value for name, value in vars(yaml).items() if name[0] != "C"})
    plain.__dict__.update(CollectionStartEvent=yaml.CollectionStartEvent, CollectionEndEvent=yaml.CollectionEndEvent)  # fmt: skip
    monkeypatch.setitem(sys.modules, "yaml", plain)
    documents._loader.cache_clear()
    try:
        (item,), problem = all_of(yaml.safe_dump({"interactions": [interaction(7)], "version": 1}).encode())
    finally:
        documents._loader.cache_clear()
    assert problem is None
    assert item.request.url == "https://api.openai.com/7"


def test_anchors_reach_from_one_interaction_to_the_next() -> None:
    """PyYAML writes them wherever the same object stands twice."""
    shared = interaction(1)
    text = yaml.safe_dump({"interactions": [shared, {**interaction(2), "response": shared["response"]}]})
    assert "*id001" in text
    came, problem = all_of(text.encode())
    assert problem is None
    assert [item.response.body for item in came] == [b"x" * 50_000] * 2


def test_no_tag_makes_an_object() -> None:
    """The interaction that has one is left out, those around it are taken."""
    one, two = (yaml.safe_dump([interaction(number)]) for number in (1, 2))
    evil = "- request: !!python/object/apply:os.system ['touch owned']\n- !!python/name:os.system\n"
    came, problem = all_of(f"interactions:\n{one}{evil}{two}".encode())
    assert problem is None
    assert [str(item) if isinstance(item, Unreadable) else item.request.url[-1] for item in came] == [
        "1", "not plain data", "not plain data", "2",
    ]  # fmt: skip


def test_what_is_opened_is_known_by_its_first_sign() -> None:
    """vcrpy writes YAML into a file of any name."""
    assert isinstance(opened(io.BufferedReader(io.BytesIO(b"\xef\xbb\xbf\n {}"))), JsonDocument)
    assert isinstance(opened(io.BufferedReader(io.BytesIO(b"interactions: []"))), YamlDocument)
