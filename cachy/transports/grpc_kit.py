"""What the adapters of gRPC, sync and asyncio, need: calls and messages in cachy's terms, and the copy of an answer.

Protobuf is imported only when a message of it is at hand.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from functools import lru_cache
from threading import RLock
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .. import redact
from ..aside import in_charge
from ..calls import Forward
from ..engine import Replay
from ..errors import Miss, fit_for_here
from ..exchange import Body, Headers, Request
from ..keys import fold
from ..notices import in_brief, say_once
from ..providers import rpc
from ..providers.hosts import Address, address, written
from ..session import Session
from ..streaming import Decode, Tee
from .patching import once_for_each_module

if TYPE_CHECKING:
    from ..providers import Claim

OK, CANCELLED, FAILED_PRECONDITION, DATA_LOSS = 0, 1, 9, 15
"""Codes of https://grpc.github.io/grpc/core/md_doc_statuscodes.html."""

_SHORT = 1024  # characters of a message in which there is nothing to fold

Metadata = Iterable[tuple[str, Any]] | None


class Kit:
    """What the adapters need of the module grpc."""

    def __init__(self, module: ModuleType) -> None:
        self.module: Any = module
        self.core: Any = module._cython.cygrpc
        self._names: dict[int, str] = {status.value[0]: status.name for status in self.module.StatusCode}

    def warn(self, problem: Exception) -> None:
        say_once(f"grpc could not be wrapped ({in_brief(problem)}); its calls go out live")

    def rival(self, session: Session) -> str:
        """The recorder that a call is left to, or ""."""
        if session.engine.settings.mode == "replay":
            return ""  # the guard does not see what gRPC sends, so what others let through is refused here
        aio = self.module.aio
        return in_charge((aio.insecure_channel, aio.secure_channel))

    def asked(self, target: Any, method: bytes, message: Any, metadata: Metadata, serialize: Any) -> Request:
        """A call in cachy's terms."""
        kind, body = _told(message, serialize)
        headers = tuple((name.lower(), _text(value)) for name, value in metadata or ())
        url = _url(target, method)
        return Request(rpc.METHOD, url, (("content-type", kind), *headers), body)

    def of_a_stream(self, session: Session, claim: Claim, target: Any, method: bytes) -> Answer | None:
        """What to answer to a call whose client sends a stream, which cannot be recorded; None: it goes out.

        Raises Miss in replay mode."""
        asked = Request(rpc.METHOD, _url(target, method))
        verdict = session.engine.unrecordable(asked, claim, "a client-streaming gRPC call")
        return Answer(self, verdict) if isinstance(verdict, Replay) else None

    def copy(self, session: Session, claim: Claim, asked: Request, verdict: Forward, kind: Any) -> Copy:
        """What is to be told of the live answer, whose messages are of the class `kind`."""
        return Copy(verdict, decoder(kind, session.engine.secrets_of(asked, claim)), self._names)

    def cannot_ask(self, session: Session, problem: Exception) -> None:
        """What to do about a call that cannot be told in cachy's terms. Raises Miss in replay mode."""
        if session.engine.settings.mode == "replay":
            # Going on would mean a live call, which replay mode promises never to make.
            raise fit_for_here(
                Miss(f"grpc could not be wrapped ({in_brief(problem)}); nothing was sent")
            ) from problem
        self.warn(problem)


def claim_for(session: Session, target: Any, method: bytes) -> Claim | None:
    """Whose call this is, of those that `session` is responsible for."""
    at = address_of(target)
    if at is None:
        return None
    place = session.registry.place("https", at.host, at.port)
    return None if place is None else place.whole or place.claim(method.decode("utf-8", "replace"))


@lru_cache(maxsize=256)
def address_of(target: bytes | str) -> Address | None:
    """The host and port that a channel leads to, or None when it leads to none (a Unix socket).

    Names: https://grpc.github.io/grpc/core/md_doc_naming.html; without a port it is 443.
    """
    name = target.decode("utf-8", "replace") if isinstance(target, bytes) else target
    scheme, _, rest = name.partition(":")
    if scheme in ("unix", "unix-abstract", "vsock", "fd"):
        return None
    if scheme in ("dns", "ipv4", "ipv6", "xds", "google-c2p", "google-c2p-experimental"):
        name = rest.rpartition("/")[2].partition(",")[0]
    try:
        return address(name)
    except ValueError:
        return None


@lru_cache(maxsize=256)
def _url(target: Any, method: bytes) -> str:
    at = address_of(target)
    host = written("https", at.host, at.port) if at else ""
    return f"https://{host}{method.decode('utf-8', 'replace')}"


def _told(message: Any, serialize: Any) -> tuple[str, Body]:
    """The content type and the body of a request."""
    inner = _protobuf(message)
    readable = None if inner is None else _readable(inner)
    if readable is not None:
        return "application/json", Body(json.dumps(readable).encode())
    if inner is not None:
        raw = inner.SerializeToString(deterministic=True)  # the entries of a map come in any order
    else:
        raw = serialize(message) if serialize else message
    return "application/grpc+proto", Body(bytes(raw))


def _protobuf(message: Any) -> Any:
    """The protobuf message itself; proto-plus (Google's clients) has it inside. None: it is something else."""
    if hasattr(message, "DESCRIPTOR"):
        return message
    inside = getattr(type(message), "pb", None)
    return inside(message) if callable(inside) else None


def kind_of(deserialize: Any) -> Any:
    """The class of the messages that a deserialiser makes, or None."""
    owner = getattr(deserialize, "__self__", None)
    if hasattr(owner, "DESCRIPTOR"):
        return owner
    inside = getattr(owner, "pb", None)
    try:
        return inside() if callable(inside) else None
    except Exception:  # noqa: BLE001 - something else of that name
        return None


def _readable(message: Any) -> Any:
    """A message as JSON says it; None when that would not be all of it."""
    from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped, unused-ignore]

    try:
        known = type(message)()
        known.CopyFrom(message)
        known.DiscardUnknownFields()
        return MessageToDict(message) if known.ByteSize() == message.ByteSize() else None
    except Exception:  # noqa: BLE001 - TypeError and others: an `Any` of a type that is not loaded
        return None


def decoder(kind: Any, known: list[str]) -> Decode:
    """Turns serialised messages of the class `kind` into the lines of a recording, without the `known` secrets."""

    def decode(_headers: Headers, raw: list[bytes]) -> Iterable[tuple[int, bytes]]:
        for index, piece in enumerate(raw):
            yield index, _line(kind, piece, known)

    return decode


def _line(kind: Any, piece: bytes, known: list[str]) -> bytes:
    for secret in known:  # a mask is as long as what it hides, so the lengths in the message stay true
        if secret.isascii():
            piece = piece.replace(secret.encode(), redact.mask(secret).encode())
    readable = None if kind is None else _readable(kind.FromString(piece))
    if readable is None:
        return b'{"base64":"%s"}\n' % base64.b64encode(piece)
    text = json.dumps(readable, ensure_ascii=False, separators=(",", ":"))
    masked = redact.mask_text(text, known)
    if masked != text:
        from google.protobuf.json_format import ParseDict

        piece = ParseDict(json.loads(masked), kind()).SerializeToString(deterministic=True)
    if len(masked) > _SHORT:  # pictures and sounds say nothing to people
        masked = json.dumps(fold(json.loads(masked)), ensure_ascii=False, separators=(",", ":"))
    return b'{"message":%s,"base64":"%s"}\n' % (masked.encode(), base64.b64encode(piece))


class Answer:
    """What a replay hands out: serialised messages, then a status. An error (see `on-miss`) has no message."""

    __slots__ = ("at_end", "code", "details", "messages", "metadata", "verdict")

    def __init__(self, kit: Kit, verdict: Replay, kind: Any = None) -> None:
        """`kind`: the class of the messages, should a recording hold them for people alone."""
        response = verdict.response
        self.verdict = verdict
        self.at_end = verdict.at_end
        self.metadata = tuple(
            kit.core._Metadatum(*pair) for pair in response.headers if pair[0] != "content-type"
        )
        self.messages: list[bytes] = []
        self.code, self.details = OK, ""
        if rpc.is_answer(response):
            try:
                self.messages = [_recorded(line, kind) for line in response.body.splitlines()]
            except Exception as problem:  # noqa: BLE001 - edited by hand
                self.code = DATA_LOSS
                self.details = f"cachy: the recording of this call is damaged ({in_brief(problem)})"
        else:
            self.metadata = ()
            self.code = FAILED_PRECONDITION
            self.details = json.loads(response.body)["message"]


def _recorded(line: bytes, kind: Any) -> bytes:
    value = json.loads(line)
    if "base64" in value:
        return base64.b64decode(value["base64"], validate=True)
    from google.protobuf.json_format import ParseDict

    raw: bytes = ParseDict(value["message"], kind()).SerializeToString()
    return raw


class Copy:
    """The copy that is kept of one live answer. Its end may be told more than once, by several threads."""

    def __init__(self, verdict: Forward, decode: Decode, names: dict[int, str]) -> None:
        """`names` of the status codes, for people."""
        self._verdict = verdict
        self._decode = decode
        self._names = names
        self._metadata: Headers = ()
        self._tee: Tee | None = None
        self._begun = False
        self._over = False
        self._lock = RLock()  # the garbage collector may end the call at any moment

    def head(self, metadata: Metadata) -> None:
        """Metadata of the server; what comes after the first message is not kept."""
        if not self._begun:
            self._metadata += tuple((name, value) for name, value in metadata or () if isinstance(value, str))

    def took(self, message: bytes) -> None:
        """A serialised message has arrived."""
        self._begin()
        if self._tee is not None:
            self._tee.feed(message)

    def ended(self, code: int) -> None:
        """The call has ended with this status code."""
        with self._lock:
            # Within the lock: who is told of the end by another thread may count on the recording.
            if self._over:
                return
            self._over = True
            reason = f"status {self._names.get(code, code)}"
            if code == OK:
                self._begin()
                if self._tee is not None:
                    self._tee.finish()
            elif self._tee is not None:
                self._tee.give_up(reason)
            else:
                self._verdict.failed(reason)

    def left(self, reason: str = "the call was cancelled") -> None:
        """The consumer has cancelled the call or let go of it."""
        with self._lock:
            if self._over:
                return
            self._over = True
            if self._tee is not None:
                self._tee.leave()
            else:
                self._verdict.failed(reason)

    def _begin(self) -> None:
        # Not before the first message: who waits for this call may do so as long as it takes.
        if not self._begun:
            self._begun = True
            headers = (("content-type", rpc.KIND), *self._metadata)
            self._tee = self._verdict.answered(200, headers, self._decode, "HTTP/2")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else bytes(value).decode("latin-1")


kit_of = once_for_each_module(Kit)
