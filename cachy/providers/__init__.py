"""Which provider a call goes to.

All are registered in the same way: by an entry point in the group `cachy.providers` that names a `Provider` or a
sequence of them. Reading entry points costs several starts of Python, so the built-in ones are also listed below,
and those of third parties are looked up only when nothing built in claims a host.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..notices import in_brief, say_once
from . import anthropic, bedrock, cohere, google, huggingface, ollama, openai, plain, voyage
from .base import Provider
from .hosts import ANY_PORT, DEFAULT_PORTS, Pattern, address, is_loopback, plain_host, written
from .shapes import is_unmistakable, shape_of

if TYPE_CHECKING:
    from ..settings import HostRule

__all__ = ["Claim", "Provider", "Registry", "by_name", "known", "names"]

_FAMILIES = (openai, anthropic, google, bedrock, cohere, huggingface, ollama, voyage, plain)
_OURS = frozenset(family.__name__ for family in _FAMILIES)
_BUILT_IN = tuple(provider for family in _FAMILIES for provider in family.PROVIDERS)
_NO_PORT = 65536  # what matches it matches any port
_LOOKS = 3  # calls to an unknown host whose paths are looked at: SDKs ask for a model's list or a token first
_MOST_HOSTS = 10_000  # remembered at once: a crawler meets hosts without end


@dataclass(frozen=True, slots=True)
class Claim:
    """A call that cachy is responsible for.

    `host` is the `host[:port]` that enters the canonical request: the alias of the rule that matched, else the plain
    host in lower case; the scheme's own port left out, and `*` as the port where the rule leaves it open
    (`localhost:*`).
    """

    provider: Provider
    host: str


class _Shelf:
    """Providers by name and by host."""

    def __init__(self, providers: Sequence[Provider]) -> None:
        self.by_name = {provider.name: provider for provider in reversed(providers)}
        self.providers = providers
        self._exact: dict[str, list[tuple[Pattern, Provider]]] = {}
        self._wild: list[tuple[Pattern, Provider]] = []
        for provider in providers:
            for text in provider.hosts:
                pattern = Pattern(text)
                if "*" in pattern.host:
                    self._wild.append((pattern, provider))
                else:
                    self._exact.setdefault(pattern.host, []).append((pattern, provider))

    def serving(self, host: str, port: int) -> tuple[Provider, ...]:
        """The provider whose host this is, or those whose base URL in the environment names it."""
        for pattern, provider in [*self._exact.get(host, ()), *self._wild]:
            if pattern.matches(host, port):
                return (provider,)
        return tuple(provider for provider in self.providers if _is_base_url(provider, host, port))


_built_in = _Shelf(_BUILT_IN)
_foreign: _Shelf | None = None


def by_name(name: str) -> Provider | None:
    """The provider called `name`, or None."""
    return _built_in.by_name.get(name) or _third_parties().by_name.get(name)


def known(among: Collection[str] = ()) -> Sequence[Provider]:
    """The built-in providers; those of third parties too when one `among` these names is none of them."""
    foreign = any(name not in _built_in.by_name for name in among)
    return (*_built_in.providers, *_third_parties().providers) if foreign else _built_in.providers


def names() -> list[str]:
    """The names of all providers, sorted."""
    return sorted({*_built_in.by_name, *_third_parties().by_name})


def _third_parties() -> _Shelf:
    """What other distributions registered; looked up once, and only when nothing built in will do."""
    global _foreign
    if _foreign is None:
        _foreign = _Shelf(tuple(_entry_points()))
    return _foreign


def _entry_points() -> Iterator[Provider]:
    try:
        from importlib.metadata import entry_points

        points = entry_points(group="cachy.providers")
    except Exception as problem:  # noqa: BLE001 - a damaged installation must not stop the user's program
        say_once(f"providers of other packages could not be looked up ({in_brief(problem)})")
        return
    for point in points:
        if point.value.partition(":")[0] in _OURS:
            continue  # known without looking anything up
        try:
            found = point.load()
            providers = [found] if isinstance(found, Provider) else list(found)
            _Shelf(providers)  # a wrong one fails here, alone
        except Exception as problem:  # noqa: BLE001 - as above
            say_once(f"the provider {point.name!r} ({point.value}) could not be loaded ({in_brief(problem)})")
        else:
            yield from providers


@dataclass(frozen=True, slots=True)
class Place:
    """What is known of one scheme, host and port."""

    host: str
    providers: tuple[Provider, ...]
    """Candidates, the likeliest first; none: only the path tells."""
    listed: bool
    """Whether the user named the host, so that any path of it counts."""
    claims: dict[str, Claim]
    whole: Claim | None
    """The claim on every path of the host, where they are all of one provider."""

    @classmethod
    def of(cls, host: str, providers: tuple[Provider, ...], listed: bool) -> Place:
        alone = len(providers) == 1 and not providers[0].paths
        return cls(host, providers, listed, {}, Claim(providers[0], host) if alone else None)

    def claim(self, path: str) -> Claim | None:
        if self.whole is not None:
            return self.whole
        provider = self._provider(path)
        if provider is None:
            return None
        known = self.claims.get(provider.name)
        if known is None:
            known = self.claims[provider.name] = Claim(provider, self.host)
        return known

    def _provider(self, path: str) -> Provider | None:
        if len(self.providers) == 1:
            only = self.providers[0]
            if path.startswith(only.paths):
                return only
            return plain.PLAIN if self.listed else None
        shape = shape_of(path)
        for provider in self.providers:
            if provider.shape == shape:
                return provider
        if shape:
            return _built_in.by_name[shape]
        return self.providers[0] if self.providers else plain.PLAIN


@dataclass(frozen=True, slots=True)
class _Stranger(Place):
    """A host that we do not know, for its first calls: should it be an API of a model, the user wants to know."""

    looks: Iterator[int]
    forget: Callable[[], object]
    """Call it when there were looks enough."""

    def claim(self, path: str) -> Claim | None:
        if is_unmistakable(path):
            # A base URL in the program (`OpenAI(base_url=...)`), which nothing but the path tells of.
            say_once(
                f"calls to {self.host} look like a model's API and are not recorded, as that host is not known;"
                f" CACHY_HOSTS={self.host} records them"
            )
            self.forget()
        elif next(self.looks, None) is None:
            self.forget()
        return None


class Registry:
    """The hosts that one session is responsible for."""

    def __init__(
        self, rules: Sequence[HostRule] = (), only: Sequence[str] | None = None, tells: bool = False
    ) -> None:
        """`rules` come from the settings; `only`: these domains (`host[:port]`, all below) and no others; `tells`:
        whether the user is told of a host that should perhaps be in the settings."""
        self._tells = tells and only is None
        self._rules = [(pattern, rule) for rule in rules if (pattern := _pattern(rule.pattern))]
        # The narrowest rule wins: a host before a wildcard, a port before any port; else the first one.
        self._rules.sort(key=lambda pair: ("*" in pair[0].host, pair[0].port in (None, ANY_PORT)))
        self._only = None if only is None else [pattern for text in only if (pattern := _pattern(text))]
        self._places: dict[tuple[str, str, int | None], Place | None] = {}
        self._expected: dict[tuple[str, int], bool] = {}

    def claim(self, scheme: str, host: str, port: int | None, path: str) -> Claim | None:
        """The claim on a call, or None when it is none of ours. Never raises."""
        place = self.place(scheme, host, port)
        return None if place is None else place.claim(path)

    def place(self, scheme: str, host: str, port: int | None) -> Place | None:
        """What we know of a host, or None when none of its paths can be ours. Never raises."""
        at = (scheme, host, port)
        try:
            return self._places[at]
        except KeyError:
            if len(self._places) >= _MOST_HOSTS:
                self._places.clear()
            name = plain_host(host)
            place = self._meet(scheme, name, port)
            if place is None and self._tells and scheme in DEFAULT_PORTS:

                def forget() -> None:
                    self._places[at] = None

                name = written(scheme, name, port)
                place = _Stranger(name, (), False, {}, None, iter(range(_LOOKS)), forget)
            self._places[at] = place
            return place

    def expects(self, host: str, port: int) -> bool:
        """Whether every HTTP call to this address is ours, so that a connection alone tells.

        Not where only the path tells; not at any port of a host, where there are other things than HTTP; and not on
        loopback, where programs have servers of their own and knock on their ports to see whether they are up.
        """
        at = (host, port)
        if at not in self._expected:
            if len(self._expected) >= _MOST_HOSTS:
                self._expected.clear()
            self._expected[at] = self._is_all_ours(plain_host(host), port)
        return self._expected[at]

    def _is_all_ours(self, host: str, port: int) -> bool:
        if is_loopback(host):
            return False
        place = self._meet("", host, port)
        if place is None or place.claim("/") is None:
            return False
        listed = any(pattern.port == port and pattern.matches(host, port) for pattern, _ in self._rules)
        return listed or port in DEFAULT_PORTS.values() or self._meet("", host, _NO_PORT) is None

    def _meet(self, scheme: str, host: str, port: int | None) -> Place | None:
        number = port or DEFAULT_PORTS.get(scheme)
        if number is None or not host:
            return None  # neither HTTP nor HTTPS
        if self._only is not None and not any(pattern.covers(host, number) for pattern in self._only):
            return None
        name = written(scheme, host, port)
        for pattern, rule in self._rules:
            if pattern.matches(host, number):
                # Ports are often random; hosts that a wildcard names are as different as any two.
                name = rule.alias or (written("", host, ANY_PORT) if pattern.port == ANY_PORT else name)
                named = by_name(rule.provider) if rule.provider else None
                if rule.provider and named is None:
                    _tell_unknown(rule.provider)
                # A host that a rule gives to a provider is all its own.
                found = (replace(named, paths=()),) if named else _serving(host, number)
                return Place.of(name.lower(), found, True)
        found = _serving(host, number)
        if self._only is None and not found:
            return None
        return Place.of(name, found, self._only is not None)


def _serving(host: str, port: int) -> tuple[Provider, ...]:
    return _built_in.serving(host, port) or _third_parties().serving(host, port)


def _is_base_url(provider: Provider, host: str, port: int) -> bool:
    for variable in provider.base_url_env:
        value = os.environ.get(variable)
        if value:
            try:
                base = address(value)
            except ValueError:
                continue
            # Ollama takes `host` and `:port` too.
            if base in ((host, port), (host, None)) or (base == ("", port) and host == "127.0.0.1"):
                return True
    return False


def _tell_unknown(provider: str) -> None:
    from difflib import get_close_matches

    near = get_close_matches(provider, names(), 1)
    hint = f"did you mean {near[0]}?" if near else "its calls are taken for what their paths look like"
    say_once(f"hosts: there is no provider {provider!r}; {hint}")


def _pattern(text: str) -> Pattern | None:
    try:
        return Pattern(text)
    except ValueError:
        say_once(f"{text!r} is not a host; write it as api.example.com, localhost:8000 or localhost:*")
        return None
