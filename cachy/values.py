"""How the value of each setting is read, from TOML and Python or from the text of an environment variable.

A reader returns the value in its final form or raises ValueError with what was expected, in a few words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ._bootstrap import OFF

MODES = ("auto", "replay", "record", "off")


@dataclass(frozen=True, slots=True)
class HostRule:
    """A host to cover: its pattern, the provider it speaks like, and the host name (`as`) it enters keys with."""

    pattern: str
    provider: str | None = None
    alias: str | None = None


def boolean(value: Any) -> bool:
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
    def read(value: Any) -> str:
        if isinstance(value, str) and value.strip().lower() in choices:
            return value.strip().lower()
        raise ValueError("one of " + ", ".join(f'"{choice}"' for choice in choices))

    return read


def text(value: Any) -> str:
    if isinstance(value, str) and value.strip():
        return value.strip()
    raise ValueError("a text")


def names(value: Any) -> tuple[str, ...]:
    return tuple(_items(value, "a list of names"))


def statuses(value: Any) -> frozenset[int]:
    wanted = "a list of HTTP status codes, such as [400, 404]"
    if isinstance(value, str):
        items: Iterable[Any] = [item.strip() for item in value.split(",") if item.strip()]
    elif isinstance(value, Iterable) and not isinstance(value, Mapping):
        items = value
    else:
        raise ValueError(wanted)
    try:
        codes = frozenset(int(item) for item in items if not isinstance(item, bool))
    except (TypeError, ValueError):
        raise ValueError(wanted) from None
    if not all(100 <= code <= 599 for code in codes):
        raise ValueError(wanted)
    return codes


def pace(value: Any) -> float:
    known = {"instant": 0.0, "recorded": 1.0}
    try:
        factor = known[value] if value in known else float(value)
    except (TypeError, ValueError):
        factor = -1.0
    if isinstance(value, bool) or not 0 <= factor < 1e6:
        raise ValueError('"instant", "recorded" or a factor such as 0.5')
    return factor


def hosts(value: Any) -> tuple[HostRule, ...]:
    wanted = 'a list of hosts, or a table such as {"localhost:8000" = "openai"}'
    if isinstance(
        value, str
    ):  # CACHY_HOSTS=api.example.com,localhost:8000=openai,gw.corp=openai@api.openai.com
        return tuple(_host_of_text(item) for item in _items(value, wanted))
    if not isinstance(value, Mapping):
        return tuple(HostRule(pattern) for pattern in _items(value, wanted))
    rules = []
    for pattern, facts in value.items():
        if isinstance(facts, str):
            rules.append(HostRule(pattern, facts))
        elif isinstance(facts, Mapping) and set(facts) <= {"provider", "as"}:
            if not all(isinstance(fact, str) for fact in facts.values()):
                raise ValueError(wanted)
            rules.append(HostRule(pattern, facts.get("provider"), facts.get("as")))
        else:
            raise ValueError(wanted)
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
    return HostRule(pattern.strip(), provider.strip() or None, alias.strip() or None)


def _items(value: Any, wanted: str) -> list[str]:
    if isinstance(value, str):
        return [item.strip() for item in value.split(",") if item.strip()]
    if isinstance(value, Iterable) and not isinstance(value, Mapping):
        items = list(value)
        if all(isinstance(item, str) and item.strip() for item in items):
            return [item.strip() for item in items]
    raise ValueError(wanted)


READERS: Mapping[str, Callable[[Any], Any]] = {
    "enabled": boolean,
    "mode": one_of(*MODES),
    "store": text,
    "hosts": hosts,
    "redact": names,
    "keep-headers": names,
    "record-status": statuses,
    "on-miss": one_of("raise", "respond"),
    "pace": pace,
    "summary": boolean,
}
"""The reader of each setting, by its name."""
