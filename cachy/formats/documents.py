"""Documents of any size, read a piece at a time: a walk through JSON or YAML that holds one value in memory.

Both kinds of document are walked alike, always forward: `kind` says what comes next, and it is taken by one of
`mapping`, `sequence` and `skip`, before the next is looked at. What is wrong with the document as such raises one of
its `errors`, after all that came before has been handed out; what is wrong with one value stands in its place.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from io import BufferedReader
from typing import IO, Any

_BLOCK = 1024 * 1024  # bytes read at a time


class Unreadable(Exception):
    """A file, or one interaction of it, cannot be taken; the message says why in a few words."""


def opened(file: BufferedReader) -> JsonDocument | YamlDocument:
    """What a file or a pipe holds, by its first sign: names say little, vcrpy writes YAML into any.

    Raises Unreadable when it is YAML and PyYAML is not there.
    """
    head = file.peek()
    encoding = json.detect_encoding(head)
    if head.decode(encoding, "ignore").lstrip("\ufeff \t\r\n")[:1] not in ("{", "["):
        return YamlDocument(file)
    return JsonDocument(file, encoding)


class JsonDocument:
    """A JSON text. Between the values that are handed out it is not checked that commas and colons stand right."""

    language = "JSON"
    errors: tuple[type[Exception], ...] = (ValueError,)

    def __init__(self, file: IO[bytes], encoding: str = "utf-8") -> None:
        self._file = file
        # Bytes that are no text, which some tools write into a body, become the same bytes again there.
        self._decode = codecs.getincrementaldecoder(encoding)("surrogateescape").decode
        self._text = ""
        self._at = 0

    @property
    def kind(self) -> str:
        """What comes next: `{`, `[`, or another sign."""
        token, end = self._token()
        self._at = end - len(token)
        return token[:1]

    def mapping(self) -> Iterator[str]:
        """The names in an object; the value of each is to be taken before the next."""
        self._take()
        while (name := self._take()) != "}":
            yield str(json.loads(name))

    def sequence(self) -> Iterator[Any]:
        """The items of an array; an `Unreadable` for each that is not right."""
        self._take()
        while self.kind != "]":
            yield self._value()
        self._take()

    def skip(self) -> None:
        """Leave out a value of any size."""
        depth = 0
        while True:
            depth += _depth(self._take())
            if depth < 0:
                raise ValueError
            if not depth:
                return

    def end(self) -> None:
        """Nothing comes any more."""
        if self._token()[0]:
            raise ValueError

    def _take(self) -> str:
        token, end = self._token()
        self._at = end
        if not token:
            raise ValueError
        return token

    def _value(self) -> Any:
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
                if end < len(self._text) or not self._more():
                    self._at = end
                    return value
            except RecursionError:
                break
            except ValueError as problem:
                # Is it wrong only because it goes on behind what has been read?
                place = getattr(problem, "pos", self._at)
                cut_off = len(self._text) - place < _LONGEST or self._is_open(place)
                if not cut_off or not self._more():
                    break
        self.skip()
        return Unreadable("not JSON")

    def _is_open(self, start: int) -> bool:
        """Whether a string begins there that has not ended yet."""
        return self._text.startswith('"', start) and not _next(self._text, start)[0]

    def _token(self) -> tuple[str, int]:
        """The token that comes next, empty at the end of the file; and where it ends."""
        while True:
            token, end = _next(self._text, self._at)
            rest = self._text[end : end + 1]
            may_go_on = (rest == '"' and not token) or not rest
            if not may_go_on or not self._more():
                break
        if not (token[:1] in _SIGNS or _WORD.fullmatch(token)) if token else rest:
            raise ValueError
        return token, end

    def _more(self) -> bool:
        """Read on; False, and every place stays where it is, at the end of the file."""
        # Twice as much each time, so that a long value is not gone through often.
        block = self._file.read(max(_BLOCK, len(self._text) - self._at))
        if not block:
            self._text += self._decode(b"", True)
            return False
        self._text, self._at = self._text[self._at :] + self._decode(block), 0
        return True


_DECODER = json.JSONDecoder()
# In JSON nothing but a string that is wrong without its end is as long as this many characters.
_LONGEST = 16
_SIGNS = '{}[]"'
_TOKEN = re.compile(r'[\s,:]*([{}\[\]]|"[^"\\]*(?:\\.[^"\\]*)*"|[\w.+-]+|)', re.DOTALL | re.ASCII)
_WORD = re.compile(r"true|false|null|NaN|-?Infinity|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)


def _next(text: str, start: int) -> tuple[str, int]:
    """The token behind a place, empty when there is none, and where it ends."""
    match = _TOKEN.match(text, start)
    return (match[1], match.end()) if match else ("", start)


def _depth(token: str) -> int:
    return (token in ("{", "[")) - (token in ("}", "]"))


class YamlDocument:
    """A YAML text of one document. No tag makes an object; those that vcrpy writes for bodies make bytes."""

    language = "YAML"

    def __init__(self, file: IO[bytes]) -> None:
        """Raises Unreadable without PyYAML."""
        yaml = self._yaml = yaml_module()
        self.errors: tuple[type[Exception], ...] = (yaml.YAMLError, ValueError, RecursionError)
        self._file = file
        self._started: Any = None

    @property
    def _loader(self) -> Any:
        if self._started is None:
            yaml = self._yaml
            self._started = _loader()(self._file)
            while self._started.check_event(yaml.StreamStartEvent, yaml.DocumentStartEvent):
                self._started.get_event()
        return self._started

    @property
    def kind(self) -> str:
        """What comes next: `{`, `[` as in JSON, or nothing of the two."""
        if self._loader.check_event(self._yaml.MappingStartEvent):
            return "{"
        return "[" if self._loader.check_event(self._yaml.SequenceStartEvent) else ""

    def mapping(self) -> Iterator[str]:
        """The names in a mapping; the value of each is to be taken before the next."""
        self._loader.get_event()
        while not self._loader.check_event(self._yaml.MappingEndEvent):
            yield str(self._loader.compose_node(None, None).value)
        self._loader.get_event()

    def sequence(self) -> Iterator[Any]:
        """The items of a sequence; an `Unreadable` for each that is not right."""
        self._loader.get_event()
        while not self._loader.check_event(self._yaml.SequenceEndEvent):
            node = self._loader.compose_node(None, None)
            try:
                # A new one for each: after an error it would be in the midst of it.
                yield _constructor()().construct_document(node)
            except self.errors:
                yield Unreadable("not plain data")
        self._loader.get_event()

    def skip(self) -> None:
        """Leave out a value of any size."""
        depth = 0
        while True:
            event = self._loader.get_event()
            depth += isinstance(event, self._yaml.CollectionStartEvent)
            depth -= isinstance(event, self._yaml.CollectionEndEvent)
            if depth <= 0:
                return

    def end(self) -> None:
        """Nothing comes any more."""
        self._loader.get_event()
        if not self._loader.check_event(self._yaml.StreamEndEvent):
            raise ValueError


def yaml_module() -> Any:
    """PyYAML. Raises Unreadable when it is not installed."""
    try:
        return import_module("yaml")
    except ImportError:
        raise Unreadable("YAML needs PyYAML: pip install 'cachy-run[yaml]'") from None


@cache
def _loader() -> Any:
    """The loader of which only the events and nodes are used: libyaml's makes no single node for others, so the
    composer of PyYAML does."""
    yaml = yaml_module()
    if not hasattr(yaml, "CSafeLoader"):
        return yaml.SafeLoader

    def start(self: Any, stream: Any) -> None:
        yaml.CSafeLoader.__init__(self, stream)
        yaml.composer.Composer.__init__(self)

    return type("_Loader", (yaml.CSafeLoader, yaml.composer.Composer), {"__init__": start})


@cache
def _constructor() -> Any:
    """Makes plain data of nodes; of what vcrpy writes for a file or an iterator that was sent, its content."""
    made: Any = type("_Constructor", (yaml_module().constructor.SafeConstructor,), {})
    tag = "tag:yaml.org,2002:python/"
    for name in ("str", "unicode"):
        made.add_constructor(tag + name, lambda self, node: self.construct_scalar(node))
    made.add_constructor(tag + "tuple", lambda self, node: self.construct_sequence(node, deep=True))
    made.add_constructor(tag + "object/new:_io.BytesIO", lambda self, node: _first(self, node, "state"))
    made.add_constructor(tag + "object/apply:builtins.iter", lambda self, node: _first(self, node, "args"))
    return made


def _first(constructor: Any, node: Any, name: str) -> Any:
    """The first of a list in a mapping: what such an object was made of."""
    return constructor.construct_mapping(node, deep=True)[name][0]
