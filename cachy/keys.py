"""From a request to its canonical form and its key.

The canonical request is a JSON object, every member left out when empty:

    {"method": "POST", "host": "api.openai.com", "path": "/v1/chat/completions",
     "query": [["name", "value"], ...],            sorted by name, secrets left out
     "headers": {"anthropic-beta": "..."},         only those that change the meaning
     "body": {"json": ...}                         JSON compared as JSON, in the sense of RFC 8785; unzipped;
                                                   a patch with its "type", which says how it is meant
           | {"form": [["name", "value"], ...]}    sorted by name
           | {"multipart": [part, ...]}            in order; boundary left out
           | {"type": "text/plain", "text": "..."}
           | {"type": "audio/wav", "digest": "blake2b:...", "size": 12345}}

Long base64 strings and file contents enter as digests. Where the client made up an id stands `‹id 1›`, where the
settings say `ignore` stands `‹ignored›` or `‹date›`. The key is 128 bits of BLAKE2b over the object written with
sorted names and no spaces.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from hashlib import blake2b
from operator import itemgetter
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote_to_bytes, urlsplit

from . import redact
from .echo import Made, Normalise
from .exchange import Body, Request

if TYPE_CHECKING:
    from .ignore import Ignore
    from .providers import Claim, Provider

_LONG = 1024  # characters: a base64 string or a text part above this enters as a digest
_READABLE = 64 * 1024  # bytes: another text body up to this size is kept readable
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=-_\r\n"
REMEMBERED = 16 * 1024  # bytes of a body up to which its canonical form is remembered
_FORM = "application/x-www-form-urlencoded"
_PLAIN_PATH = re.compile(rf"[A-Za-z0-9_.\-/{redact.PATH_SAFE}]+")  # which every client writes so
_EXACT = 2**53  # integers above this are not exact as IEEE 754 doubles
_NOTHING: Mapping[str, str] = {}


Pairs = tuple[tuple[str, str], ...]


class Rules:
    """What decides a key besides the request. Compared by identity, as what is remembered is remembered by it."""

    __slots__ = ("headers", "ignore", "normalise", "prefixes", "secret")

    def __init__(
        self,
        headers: frozenset[str],
        secret: frozenset[str],
        normalise: Normalise | None,
        ignore: Ignore | None,
    ) -> None:
        self.headers = headers
        """Request headers that carry meaning; those beginning with one of the `prefixes` do too."""
        self.prefixes = tuple(name[:-1] for name in headers if name.endswith("*"))
        self.secret = secret
        """Query parameters that never count, beyond those in `cachy.redact`."""
        self.normalise = normalise
        self.ignore = ignore


_rules = lru_cache(maxsize=256)(Rules)  # equal rules are the same, from session to session


def rules_for(
    provider: Provider, secret_names: frozenset[str] = frozenset(), ignore: Ignore | None = None
) -> Rules:
    """The rules of a provider, with what the settings add to them: names of secrets, and what to ignore."""
    return _rules(provider.headers, provider.secret_query | secret_names, provider.normalise, ignore)


class Canonical:
    """A canonical request: its `key` (32 hex digits) and its `text` (JSON, sorted, no spaces).

    `ids` holds what `‹id 1›`, `‹id 2›`, ... stand for in this very request, `dropped` the fields left out of it.
    """

    __slots__ = ("dropped", "ids", "key", "text")

    def __init__(self, text: str, ids: tuple[str, ...] = (), dropped: Mapping[str, str] = _NOTHING) -> None:
        self.text = text
        self.key = blake2b(text.encode("ascii"), digest_size=16).hexdigest()
        self.ids = ids
        self.dropped = dropped

    def data(self) -> dict[str, Any]:
        """The canonical request as an object."""
        parsed: dict[str, Any] = json.loads(self.text)
        return parsed

    @property
    def model(self) -> str:
        """The model that a JSON body asks for, or ""."""
        body = self.data().get("body", {}).get("json")
        model = body.get("model") if isinstance(body, dict) else None
        return model if isinstance(model, str) else ""

    def redacted(self, secret_names: frozenset[str] = frozenset(), known: Collection[str] = ()) -> Canonical:
        """This request with its secrets taken out, the `known` ones and those in its body: the form that is stored,
        shown, and looked up.

        Itself when there is nothing to take out, which nearly always holds. So a look-up may try the unredacted
        key first and need not search every prompt for secrets before a hit.
        """
        text = redact.mask_text(_encode(redact.blank_request(self.data(), secret_names)), known)
        return self if text == self.text else Canonical(text, self.ids, self.dropped)

    def amended(self, form: dict[str, Any]) -> Canonical:
        """This request with another canonical object."""
        return Canonical(_encode(form), self.ids, self.dropped)


def canonical(request: Request, claim: Claim, rules: Rules | None = None) -> Canonical:
    """The canonical form of `request`, its body not redacted yet (see `Canonical.redacted`); keys in headers and
    query never enter. Without `rules` those of the provider alone hold."""
    rules = rules or rules_for(claim.provider)
    known = request.known
    if known is not None and known[0] is rules and known[1] == claim.host:
        remembered: Canonical = known[2]
        return remembered
    headers = _headers(request, rules)
    line = (request.method, claim.host, request.url)
    body = request.body
    content_type = request.header("content-type")
    if body.data is None or body.size > REMEMBERED:
        return _canonical(*line, headers, content_type, body, rules)
    found = _canonical_again(*line, headers, content_type, body.data, rules)
    request.known = rules, claim.host, found
    return found


@lru_cache(maxsize=256)
def _canonical_again(
    method: str,
    host: str,
    url: str,
    headers: Pairs,
    content_type: str,
    body: bytes,
    rules: Rules,
) -> Canonical:
    # Test suites, notebooks and loops ask the same again and again: the same bytes have the same key.
    return _canonical(method, host, url, headers, content_type, Body(body), rules)


def _canonical(
    method: str, host: str, url: str, headers: Pairs, content_type: str, body: Body, rules: Rules
) -> Canonical:
    parts = urlsplit(url)
    form: dict[str, Any] = {"method": method, "host": host, "path": _path(parts.path)}
    if parts.query:
        query = redact.query_that_counts(_pairs(parts.query), rules.secret)
        if query:
            form["query"] = query
    if headers:
        form["headers"] = dict(headers)
    made = Made()
    if body.size:
        form["body"] = _body(body, content_type, rules, made)
    if rules.ignore:
        rules.ignore.mark(form)
    return Canonical(_encode(form), tuple(made.numbers), made.dropped)


def from_object(form: dict[str, Any]) -> Canonical:
    """The canonical request of an object, as a recording holds it."""
    return Canonical(_encode(form))


def again(form: dict[str, Any], rules: Rules, host: str) -> Canonical:
    """The canonical request that these rules make today of one that is recorded; `form` itself is changed.

    What had been left out or folded stays so. `ids` holds the recorded markers: what `‹id 1›` is called now.
    """
    made = Made()
    form["host"] = host
    if "query" in form:
        pairs = [(name, value) for name, value in form["query"]]
        form["query"] = redact.query_that_counts(pairs, rules.secret)
    if "headers" in form:
        wanted = rules.headers | {"host"}
        kept = {
            name: value
            for name, value in form["headers"].items()
            if name in wanted or name.startswith(rules.prefixes)
        }
        form["headers"] = kept
    for name in ("query", "headers"):
        if not form.get(name, True):
            del form[name]
    body = form.get("body", {})
    if "json" in body:
        if rules.normalise:
            body["json"] = rules.normalise(body["json"], made)
        if rules.ignore:
            body["json"] = rules.ignore.json(body["json"])
        body["json"] = fold(body["json"])
    if rules.ignore:
        rules.ignore.mark(form)
    return Canonical(_encode(form), tuple(made.numbers), made.dropped)


def _pairs(text: str) -> list[tuple[str, str]]:
    # What is escaped need not be UTF-8: other bytes are other characters.
    return parse_qsl(text, keep_blank_values=True, errors="surrogateescape")


def _path(path: str) -> str:
    if _PLAIN_PATH.fullmatch(path):
        return path
    # Clients differ in what they escape. Segment by segment, so that an escaped slash stays one.
    segments = path.split("/")
    return "/".join(quote(unquote_to_bytes(segment), safe=redact.PATH_SAFE) for segment in segments) or "/"


def _headers(request: Request, rules: Rules) -> Pairs:
    found: dict[str, list[str]] = {}
    wanted, prefixes = rules.headers, rules.prefixes
    for name, value in request.headers:
        if name in wanted or (prefixes and name.startswith(prefixes)):
            if name == "accept" and value.strip() == "*/*":
                continue  # what every client says when nothing in particular is asked for
            # Lists of features (anthropic-beta: a,b) mean the same in any order.
            values = (
                [item.strip() for item in value.split(",")] if name.endswith("-beta") else [value.strip()]
            )
            found.setdefault(name, []).extend(values)
        elif name == "host" and not _is_host_of(request.url, value):
            found[name] = [value.lower()]  # one address may serve several hosts
    return tuple([(name, ",".join(sorted(set(values)))) for name, values in sorted(found.items())])


def _is_host_of(url: str, host: str) -> bool:
    start = url.find("://") + 3
    if url.startswith(host, start) and url[start + len(host) : start + len(host) + 1] in ("/", "?", ""):
        return True  # nearly always
    return urlsplit(url).netloc.rpartition("@")[2].lower() == host.lower()


def _body(body: Body, content_type: str, rules: Rules, made: Made) -> dict[str, Any]:
    kind = content_type.partition(";")[0].strip().lower()
    if "json" in kind:
        body = body.unzipped()
    if body.data is not None:
        # Some clients call a form whatever they are not told the type of.
        if "json" in kind or (kind in ("", _FORM) and body.data[:1] in (b"{", b"[")):
            try:
                value = {"json": _json(body.data, rules, made)}
            except (ValueError, RecursionError):
                pass  # claims to be JSON and is not (or is JSON lines): it is what its bytes are
            else:
                # The same document is another change as a merge patch (RFC 7386) than as one of Kubernetes.
                return {"type": kind, **value} if "patch" in kind else value
        if kind == _FORM:
            pairs = _pairs(body.data.decode("utf-8", "surrogateescape"))
            return {"form": sorted(([name, value] for name, value in pairs), key=itemgetter(0))}
    if kind.startswith("multipart/"):
        from . import multipart

        boundary = multipart.boundary_of(content_type)
        parts = multipart.parse(body.chunks(), boundary, _LONG) if boundary else None
        if parts is not None:
            return {"multipart": parts}
    if body.data is not None and body.size <= _READABLE:
        try:
            return {"type": kind, "text": body.data.decode()}
        except UnicodeDecodeError:
            pass
    return {"type": kind, **digest(body)}


def digest(body: Body) -> dict[str, Any]:
    """What stands for bytes that are not kept: `{"digest": "blake2b:<32 hex>", "size": bytes}`."""
    state = blake2b(digest_size=16)
    for chunk in body.chunks():
        state.update(chunk)
    return {"digest": "blake2b:" + state.hexdigest(), "size": body.size}


def _json(raw: bytes, rules: Rules, made: Made) -> Any:
    value = _decode(raw.decode())
    if rules.normalise:
        value = rules.normalise(value, made)
    if rules.ignore:
        value = rules.ignore.json(value)
    return fold(value) if len(raw) > _LONG else value


def _number(literal: str) -> int | float:
    # RFC 8785 writes numbers as ECMAScript does: 1.0 is 1.
    number = float(literal)
    if number - number != 0.0:  # infinite: two such literals would look alike
        raise ValueError(literal)
    return int(number) if number.is_integer() and abs(number) < _EXACT else number


def _no_constant(literal: str) -> Any:
    raise ValueError(f"{literal} is not JSON")


def fold(value: Any) -> Any:
    """`value` with long base64 strings and data URLs turned into digests; its own containers are changed."""
    if isinstance(value, str):
        return _fold_text(value) if len(value) > _LONG else value
    if isinstance(value, dict):
        for name, item in value.items():
            if isinstance(item, (dict, list)) or (isinstance(item, str) and len(item) > _LONG):
                value[name] = fold(item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, (dict, list)) or (isinstance(item, str) and len(item) > _LONG):
                value[index] = fold(item)
    return value


def _fold_text(text: str) -> Any:
    if not text.isascii():
        return text
    head, comma, data = text.partition(",") if text.startswith("data:") else ("", "", text)
    if (comma and not head.endswith(";base64")) or data.encode("ascii").translate(None, _BASE64):
        return text
    folded = {
        "digest": "blake2b:" + blake2b(data.encode("ascii"), digest_size=16).hexdigest(),
        "size": len(data),
    }
    return {"data": head[5:], **folded} if comma else folded


# Made once: `json.dumps` and `json.loads` make a new one at each call with options, a tenth of the cost of a key.
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
_decode = json.JSONDecoder(parse_float=_number, parse_constant=_no_constant).decode
