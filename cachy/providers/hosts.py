"""Host names as hosts: reading them, writing them in one way, matching patterns. Pure functions."""

from __future__ import annotations

import re
from typing import NamedTuple

DEFAULT_PORTS = {"http": 80, "https": 443}


class Address(NamedTuple):
    """A host as `plain_host` writes it, and its port: None when none is named, `ANY_PORT` for `*`."""

    host: str
    port: int | None


ANY_PORT = -1


def address(text: str) -> Address:
    """The address in a URL or in a `host[:port]`; user name, path and query do not matter.

    Raises ValueError when the port is none."""
    scheme, found, rest = text.strip().rpartition("://")
    rest = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    bracketed = re.fullmatch(r"\[([^\]]+)\](?::(\d+|\*))?", rest)
    if bracketed:
        host, port = bracketed.groups()
    elif rest.count(":") > 1:
        host, port = rest, None  # an IPv6 address without brackets
    else:
        host, _, port = rest.partition(":")
    if port == "*":
        return Address(plain_host(host), ANY_PORT)
    number = int(port) if port else DEFAULT_PORTS.get(scheme.lower()) if found else None
    if number is not None and not 0 <= number < 65536:
        raise ValueError(f"no port: {number}")
    return Address(plain_host(host), number)


def plain_host(host: str) -> str:
    """`host` in lower case, ASCII, without brackets and final dot; an IPv6 address in its shortest form."""
    host = host.strip("[]").rstrip(".").lower()
    if ":" in host:
        import ipaddress

        try:
            return str(ipaddress.IPv6Address(host))
        except ValueError:
            return host
    return host if host.isascii() else ".".join(map(_ascii_label, host.split(".")))


def _ascii_label(label: str) -> str:
    if label.isascii():
        return label
    try:
        # As the clients do it, which bring this package along; Python's own codec takes straße for strasse.
        import idna

        return idna.encode(label).decode("ascii")
    except Exception:  # noqa: BLE001 - not there, or not a name by its rules
        pass
    try:
        return label.encode("idna").decode("ascii")
    except UnicodeError:
        return label


def is_loopback(host: str) -> bool:
    """Whether `host`, as `plain_host` writes it, is this machine."""
    return (
        host in ("localhost", "::1", "0.0.0.0", "::")
        or host.endswith(".localhost")
        or (host.startswith("127.") and host.replace(".", "").isdigit())
    )


def written(scheme: str, host: str, port: int | None) -> str:
    """`host[:port]` as it enters the canonical request: the scheme's own port left out."""
    if ":" in host:
        host = f"[{host}]"
    if port is None or port == DEFAULT_PORTS.get(scheme):
        return host
    return f"{host}:*" if port == ANY_PORT else f"{host}:{port}"


class Pattern:
    """A host pattern of a provider or of the settings.

    `api.example.com` is that host at any port, `api.example.com:8000` at this one. A `*` is one or more whole
    labels, or a part of one: `*.example.com`, `*-aiplatform.googleapis.com`. `localhost:*` is any port.
    """

    __slots__ = ("_tail", "host", "port")

    def __init__(self, text: str) -> None:
        """Raises ValueError when `text` is no host pattern."""
        self.host, self.port = address(text)
        if not self.host or re.search(r"\s", self.host):
            raise ValueError(f"not a host: {text!r}")
        self._tail = self.host.rpartition("*")[2] if "*" in self.host else None

    def matches(self, host: str, port: int) -> bool:
        """`host` as `plain_host` writes it."""
        if self.port is not None and self.port not in (ANY_PORT, port):
            return False
        if self._tail is None:
            return self.host == host
        # The tail first: most expressions are never needed, and compiling them all costs milliseconds.
        return host.endswith(self._tail) and re.fullmatch(_expression(self.host), host) is not None

    def covers(self, host: str, port: int) -> bool:
        """Whether it matches `host` or a domain above it, as pycachy's `doms` are meant."""
        above = host
        while above:
            if self.matches(above, port):
                return True
            above = above.partition(".")[2]
        return False


def _expression(host: str) -> str:
    labels = []
    for label in host.split("."):
        if label == "*":
            labels.append(r"[^.]+(?:\.[^.]+)*")
        else:
            labels.append(re.escape(label).replace(r"\*", "[^.]+"))
    return r"\.".join(labels)
