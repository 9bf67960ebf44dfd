"""How the value of each setting is read, from TOML and Python or from the text of an environment variable.

A reader returns the value in its final form or raises ValueError with what was expected, in a few words.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any

from ._bootstrap import OFF

_HOSTS = 'a list of hosts, or a table such as {"localhost:8000" = "openai"}'
MODES = ("auto", "replay", "record", "verify", "off")


@dataclass(frozen=True, slots=True)
class HostRule:
    """A host to cover: its pattern, the provider it speaks like, and the host name (`as`) it enters keys with."""

    pattern: str
    provider: str | None = None
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class TtlRule:
    """How many seconds an answer is good for, of a path and all below it, a host, a provider, or everything (`*`)."""

    pattern: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Limits:
    """What a store that evicts is kept below; None: no limit."""

    size: int | None = None
    """Bytes of all recordings together."""
    count: int | None = None
    age: float | None = None
    """Seconds since it was recorded."""

    def __bool__(self) -> bool:
        return not (self.size is None and self.count is None and self.age is None)


NO_LIMITS = Limits()


def boolean(value: Any) -> bool:
    """A bool, or a text such as `1`, `on`, `no`."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        lower = value.strip().lower()
        if lower in OFF:
            return False
        if lower in ("1", "on", "true", "yes"):
            return True
    raise ValueError("true or false")


def one_of(*choices: str) -> Callable[[Any], str]:
    """A reader of one of these words, in whatever capitals."""

    def read(value: Any) -> str:
        if isinstance(value, str) and value.strip().lower() in choices:
            return value.strip().lower()
        raise ValueError("one of " + ", ".join(f'"{choice}"' for choice in choices))

    return read


def text(value: Any) -> str:
    """A text that is not empty."""
    if isinstance(value, str) and value.strip() and "\0" not in value:
        return value.strip()
    raise ValueError("a text")


def names(value: Any) -> tuple[str, ...]:
    """A list of names; as a text with commas, or as JSON."""
    return tuple(_items(value, "a list of names"))


def entries(value: Any) -> tuple[str, ...]:
    """A list of entries of `ignore`, which `cachy.ignore` reads; as a text with commas, or as JSON."""
    return tuple(_items(value, 'a list such as ["messages[*].content:date", "$..run_id"]'))


def statuses(value: Any) -> frozenset[int]:
    """HTTP status codes from 100 to 599; as a text with commas."""
    wanted = "a list of HTTP status codes, such as [400, 404]"
    if isinstance(value, str):
        items: Iterable[Any] = [item.strip() for item in value.split(",") if item.strip()]
    elif isinstance(value, Iterable) and not isinstance(value, Mapping):
        items = value
    else:
        raise ValueError(wanted)
    try:
        codes = frozenset(int(item) if isinstance(item, str) else item for item in items)
    except (TypeError, ValueError):
        raise ValueError(wanted) from None
    if not all(type(code) is int for code in codes):  # neither 404.5 nor true
        raise ValueError(wanted)
    if not all(100 <= code <= 599 for code in codes):
        raise ValueError(wanted)
    return codes


def pace(value: Any) -> float:
    """A factor on the recorded waits; `instant` is 0, `recorded` 1."""
    known = {"instant": 0.0, "recorded": 1.0}
    word = value.strip().lower() if isinstance(value, str) else ""
    try:
        factor = known[word] if word in known else float(value)
    except (TypeError, ValueError, OverflowError):
        factor = -1.0
    if isinstance(value, bool) or not 0 <= factor < 1e6:
        raise ValueError('"instant", "recorded" or a factor such as 0.5')
    return factor


def hosts(value: Any) -> tuple[HostRule, ...]:
    """A list of hosts, or a table from a host to its provider or to `{provider, as}`; as a text, see below."""
    if isinstance(value, str):
        # CACHY_HOSTS=api.example.com,localhost:8000=openai,gw.corp=openai@api.openai.com
        return tuple(_host_of_text(item) for item in _items(value, _HOSTS))
    if not isinstance(value, Mapping):
        return tuple(_rule(pattern) for pattern in _items(value, _HOSTS))
    rules = []
    for pattern, facts in value.items():
        if isinstance(facts, str):
            rules.append(_rule(pattern, facts))
        elif isinstance(facts, Mapping) and set(facts) <= {"provider", "as"}:
            rules.append(_rule(pattern, facts.get("provider"), facts.get("as")))
        else:
            raise ValueError(_HOSTS)
    return tuple(rules)


def hosts_as_text(rules: Iterable[HostRule]) -> str:
    """The form of `CACHY_HOSTS` that `hosts` reads back."""
    return ",".join(
        rule.pattern
        + (f"={rule.provider or ''}" if rule.provider or rule.alias else "")
        + (f"@{rule.alias}" if rule.alias else "")
        for rule in rules
    )


def _host_of_text(item: str) -> HostRule:
    pattern, _, rest = item.partition("=")
    provider, _, alias = rest.partition("@")
    return _rule(pattern, provider, alias)


def _rule(pattern: Any, provider: Any = None, alias: Any = None) -> HostRule:
    """A rule of which every part can stand in the text form."""
    if not all(isinstance(part, (str, NoneType)) for part in (pattern, provider, alias)):
        raise ValueError(_HOSTS)
    host, name, stands_for = _host(pattern), (provider or "").strip(), _host(alias)
    if not host or any(set(part) & set(" \t\r\n,=@") for part in (host, name, stands_for)):
        raise ValueError(_HOSTS)
    return HostRule(host, name or None, stands_for or None)


def _host(text: str | None) -> str:
    """`text` without the user name, password and path of a URL: they do not matter, and may be secret."""
    scheme, found, rest = (text or "").strip().rpartition("://")
    return scheme + found + rest.partition("/")[0].rpartition("@")[2]


def list_as_text(items: Iterable[str]) -> str:
    """The form of a list in the environment that its reader reads back: with commas, or as JSON."""
    found = list(items)
    text = ",".join(found)
    return text if _items(text, "") == found else json.dumps(found)


def _items(value: Any, wanted: str) -> list[str]:
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)  # the form for what has commas in it
        except (ValueError, RecursionError):
            pass  # a host such as [::1]:8000
    if isinstance(value, str):
        return [item.strip() for item in value.split(",") if item.strip()]
    if isinstance(value, Iterable) and not isinstance(value, Mapping):
        items = list(value)
        if all(isinstance(item, str) and item.strip() for item in items):
            return [item.strip() for item in items]
    raise ValueError(wanted)


_TTL = 'a time such as "30d", "12h", "15m" or "90s", or a table such as {"*" = "30d", "/v1/models" = "1d"}'
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def ttl(value: Any) -> tuple[TtlRule, ...]:
    """A time for all answers, or a table from a path, host or provider to its time; as a text, see below."""
    if isinstance(value, Mapping):
        return tuple(_ttl_rule(str(pattern), duration) for pattern, duration in value.items())
    if not isinstance(value, str):
        raise ValueError(_TTL)
    rules = []
    for item in _items(value, _TTL):  # CACHY_TTL=30d or CACHY_TTL=*=30d,/v1/models=1d
        pattern, found, duration = item.rpartition("=")
        rules.append(_ttl_rule(pattern if found else "*", duration))
    return tuple(rules)


def _ttl_rule(pattern: str, duration: Any) -> TtlRule:
    seconds = _seconds(duration)
    pattern = pattern.strip()
    if not pattern.startswith("/"):  # paths are case-sensitive, hosts and providers are not
        pattern = pattern.lower()
    if seconds is None or not pattern or set(pattern) & set(",= "):
        raise ValueError(_TTL)
    return TtlRule(pattern, seconds)


_SIZES = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
          "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}  # fmt: skip


def size(value: Any) -> int | None:
    """Bytes, from a number or a text such as `500 MB`; None for an empty text."""
    wanted = 'a size such as "500 MB" or "2 GiB"'
    if isinstance(value, str):
        if not value.strip():
            return None
        number = value.strip().rstrip("BbIiKkMmGgTt ")
        unit = value.strip()[len(number) :].strip().upper()
        try:
            value = int(float(number) * _SIZES[unit])
        except (KeyError, ValueError, OverflowError):
            raise ValueError(wanted) from None
    if type(value) is not int or not 0 < value < 2**62:
        raise ValueError(wanted)
    return value


def number(value: Any) -> int | None:
    """A whole number above zero; None for an empty text."""
    if isinstance(value, str):
        if not value.strip():
            return None
        if value.strip().isdecimal():
            value = int(value)
    if type(value) is not int or not 0 < value < 2**62:
        raise ValueError("a whole number above 0")
    return value


def duration(value: Any) -> float | None:
    """Seconds, from a number or a text such as `30d`; None for an empty text."""
    if isinstance(value, str) and not value.strip():
        return None
    text = "" if isinstance(value, bool) else str(value)
    seconds = _seconds(text if text[-1:].isalpha() else f"{text}s")
    if seconds is None or seconds <= 0:
        raise ValueError('a time such as "30d", "12h", "15m" or "90s"')
    return seconds


def needed(reader: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A reader for a setting that cannot be empty."""

    def read(value: Any) -> Any:
        found = reader(value)
        if found is None:
            raise ValueError("set to something")
        return found

    return read


def _seconds(value: Any) -> float | None:
    text = value.strip().lower() if isinstance(value, str) else ""
    try:
        seconds = float(text[:-1]) * _UNITS[text[-1:]]
    except (KeyError, ValueError):
        return None
    return seconds if 0 <= seconds < 1e11 else None


def duration_as_text(seconds: float) -> str:
    """Seconds as people write them: `30d`, `90s`."""
    units = (unit for unit in "dhm" if seconds and not seconds % _UNITS[unit])
    unit = next(units, "s")
    return f"{seconds / _UNITS[unit]:.15g}{unit}"


def as_text(value: Any) -> str:
    """The text form of a setting, which its reader reads back."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, frozenset):
        return ",".join(str(item) for item in sorted(value))
    if isinstance(value, tuple):
        if value and isinstance(value[0], HostRule):
            return hosts_as_text(value)
        if value and isinstance(value[0], TtlRule):
            return ",".join(f"{rule.pattern}={duration_as_text(rule.seconds)}" for rule in value)
        return list_as_text(value)
    return str(value)


READERS: Mapping[str, Callable[[Any], Any]] = {
    "enabled": boolean,
    "mode": one_of(*MODES),
    "store": text,
    "max-size": size,
    "max-count": number,
    "max-age": duration,
    "remote-read-only": boolean,
    "remote-timeout": needed(duration),
    "hosts": hosts,
    "repeats": one_of("same", "sequence", "cycle"),
    "ttl": ttl,
    "replay-listings": boolean,
    "ignore": entries,
    "redact": names,
    "keep-headers": names,
    "record-status": statuses,
    "on-miss": one_of("raise", "respond"),
    "pace": pace,
    "summary": boolean,
    "guard": boolean,
}
"""The reader of each setting, by its name."""
