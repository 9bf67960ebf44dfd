"""One recording as all tools show it: each fact worked out when it is first asked for, of pycachy's lines too."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import datetime, timezone
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from .. import legacy
from ..exchange import Body, Request, Response
from ..explain.nearest import request_of
from ..policy import age
from ..providers import by_name, rpc
from ..providers.usage import model_asked
from ..recording import Recording, response_of
from .joined import answered
from .messages import TURNS, Message, asked, plain

if TYPE_CHECKING:
    from ..providers.usage import Usage


MARKER = re.compile(r"‹[^‹›]{1,40}›")
"""What stands in a canonical request for what does not count (see `cachy.ignore` and `cachy.echo`)."""


class Entry:
    """A recording in a store. What is asked of a damaged line raises ValueError."""

    def __init__(self, key: str, line: bytes) -> None:
        self.key = key
        self.line = line

    @property
    def is_legacy(self) -> bool:
        """Whether pycachy wrote it, which kept no request."""
        return len(self.key) == 8

    @cached_property
    def at(self) -> str:
        """When it was recorded, in ISO 8601; "" when that is not known."""
        return "" if self.is_legacy else str(_head(self.line)["at"])

    @cached_property
    def provider(self) -> str:
        """The name of the provider; `pycachy` where that is not known."""
        return "pycachy" if self.is_legacy else str(_head(self.line)["provider"])

    @cached_property
    def test(self) -> str:
        """The test that recorded it, or ""."""
        return "" if self.is_legacy else str(_head(self.line)["test"])

    @cached_property
    def form(self) -> dict[str, Any]:
        """The canonical request; {} when it is not known."""
        return {} if self.is_legacy else _checked(request_of(self.line))

    @cached_property
    def response(self) -> Response:
        """The answer."""
        return legacy.response_of(self.line) if self.is_legacy else response_of(self.line)

    @cached_property
    def request(self) -> Request:
        """The request as far as the canonical one tells it: what had been folded or left out is not there."""
        form = self.form
        query = f"?{urlencode(_pairs(form['query']))}" if form.get("query") else ""
        path = quote(str(form.get("path", "/")), safe="/%!$&'()*+,;=:@~")
        scheme = "http" if str(form.get("host", "")).startswith(("127.", "localhost", "[::1]")) else "https"
        url = f"{scheme}://{form.get('host', '')}{path}{query}"
        return Request(str(form.get("method", "")), url, tuple(form.get("headers", {}).items()), self._body())

    def _body(self) -> Body:
        body = self.form.get("body", {})
        if "json" in body:
            return Body(json.dumps(body["json"], ensure_ascii=False).encode("utf-8", "replace"))
        if "form" in body:
            return Body(urlencode(_pairs(body["form"])).encode())
        return Body(str(body.get("text", "")).encode("utf-8", "replace"))

    @cached_property
    def usage(self) -> Usage | None:
        """The tokens that it has cost, as the answer says; None when it does not say."""
        known = by_name(self.provider)
        return known.usage(self.request, self.response) if known else None

    @cached_property
    def model(self) -> str:
        """The model that was asked, else the one that answered; "" when none is named."""
        asked_for = "" if self.is_legacy else model_asked(self.request)
        return asked_for or (self.usage.model if self.usage else "")

    @property
    def streamed(self) -> bool:
        """Whether the answer came as a stream of events."""
        kind = self.response.header("content-type")
        if rpc.is_answer(self.response):
            return len(self.response.chunks) > 1
        return any(name in kind for name in ("event-stream", "eventstream", "ndjson"))

    @cached_property
    def question(self) -> list[Message]:
        """What was asked, as messages."""
        return asked(self.form)

    @cached_property
    def answer(self) -> list[Message]:
        """What was answered, as messages, a stream put together."""
        return answered(self.response)

    @cached_property
    def words(self) -> str:
        """All words of question and answer."""
        return f"{self.form.get('path', '')}\n{plain(self.question)}\n{plain(self.answer)}"

    def age(self, now: float | None = None) -> float | None:
        """Seconds since it was recorded; None when that is not known."""
        if not self.at:
            return None
        return age(self.at, datetime.now(timezone.utc).timestamp() if now is None else now)

    @property
    def title(self) -> str:
        """What tells it from others in one line: the last thing that was asked, else method and path."""
        asked_last = next((message for message in reversed(self.question) if message.role == "user"), None)
        texts = [part.text for part in asked_last.parts] if asked_last else []
        return " ".join(
            " ".join(texts or [f"{self.form.get('method', '')} {self.form.get('path', '')}"]).split()
        )

    @property
    def options(self) -> list[str]:
        """What else was asked for, in brief: `temperature=0.2`, `stream=true`, `tools=weather`."""
        body = self.form.get("body", {}).get("json")
        if not isinstance(body, dict):
            return []
        plain_values = (str, int, float, bool)
        found = [
            f"{name}={json.dumps(value)}"
            for name, value in body.items()
            if isinstance(value, plain_values)
            and name != "model"
            and len(str(value)) < 40
            and name not in TURNS
        ]
        tools = body.get("tools") or []
        named = (
            [tool.get("function", tool) for tool in tools if isinstance(tool, dict)]
            if isinstance(tools, list)
            else []
        )
        names = [str(tool.get("name", "")) for tool in named if isinstance(tool, dict) and tool.get("name")]
        return [*found, *([f"tools={','.join(names)}"] if names else [])]

    def facts(self) -> dict[str, Any]:
        """The facts of a recording as `--json` shows them, without its texts."""
        used = self.usage
        return {
            "key": self.key,
            "at": self.at or None,
            "provider": self.provider,
            "model": self.model or None,
            "method": self.form.get("method"),
            "host": self.form.get("host"),
            "path": self.form.get("path"),
            "status": self.response.status,
            "ms": self.response.ms,
            "streamed": self.streamed,
            "partial": self.response.partial,
            "bytes": len(self.line),
            "tokens": {
                "input": used.input,
                "output": used.output,
                "cached": used.cached,
                "reasoning": used.reasoning,
            }
            if used
            else None,
        }

    def check(self) -> None:
        """Raises ValueError when the line is no whole recording."""
        if self.is_legacy:
            legacy.response_of(self.line)
        else:
            Recording.from_line(self.line)
            _head(self.line), self.form


def _pairs(listed: list[list[str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in listed]


def ignored(value: Any, path: str = "") -> list[str]:
    """Where in a canonical request stands a marker for what does not count."""
    if isinstance(value, str):
        return [path] if MARKER.search(value) else []
    named: Iterable[tuple[str, Any]] = ()
    if isinstance(value, dict):
        named = ((f"{path}.{name}" if path else name, item) for name, item in value.items())
    elif isinstance(value, list):
        named = ((f"{path}[{index}]", item) for index, item in enumerate(value))
    return [found for step, item in named for found in ignored(item, step)]


def _checked(form: dict[str, Any]) -> dict[str, Any]:
    """A canonical request whose outer parts are of the kinds that `cachy.keys` writes. Raises ValueError."""
    body = form.get("body", {})
    try:
        "".join([form["method"], form["host"], form["path"], *form.get("headers", {}).values()])
        for pairs in (form.get("query") or (), body.get("form", ())):
            "".join([word for name, value in pairs for word in (name, value)])
        for part in body.get("multipart", ()):
            part.keys()
        body.get("text", "").encode("utf-8", "replace")
    except (KeyError, TypeError, AttributeError) as problem:
        raise ValueError(f"not a request: {problem!r}") from None
    return form


def _head(line: bytes) -> dict[str, Any]:
    """What stands before the request in a line."""
    start, _, _ = line.partition(b',"request":')
    try:
        head = json.loads(start + b"}")
        age(head["at"], 0)  # which is to be a time
        return {"at": head["at"], "provider": head["provider"], "test": head.get("test", "")}
    except (ValueError, TypeError, KeyError):
        raise ValueError("not a recording") from None
