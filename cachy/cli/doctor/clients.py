"""Are the HTTP clients hooked, do the SDKs use them, and who else wants to answer?"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from typing import Any

from ... import hooks, settings
from ..run import environment
from ..talk import progress
from . import Check
from .probe import PROBES

Homes = Mapping[str, list[str]]
"""The distributions of each top-level module: reading this once costs less than asking for one."""

_PATIENCE = 60  # seconds for a client's two calls on loopback
_RIVALS = {
    "vcrpy": "its cassettes win inside their scope",
    "pytest-recording": "its cassettes win inside their scope",
    "cassetter": "its cassettes win inside their scope",
    "respx": "its mocks win inside their scope",
    "responses": "its mocks win inside their scope",
    "pytest-httpx": "its mocks win inside their scope",
    "aioresponses": "its mocks win inside their scope",
    "moto": "its mocks win inside their scope",
    "requests-mock": "it replaces the adapter of requests, above cachy",
    "requests-cache": "what it has cached never reaches cachy",
    "hishel": "what it has cached never reaches cachy",
    "ddtrace": "it goes on as before",
    "logfire": "it goes on as before; a replay has no span of httpx",
    "opentelemetry-instrumentation-httpx": "it goes on as before; a replay has no span of httpx",
    "sentry-sdk": "it goes on as before",
    "gevent": "connections through it pass the guard by",
}
_CARRIERS = frozenset(
    ("aiohttp", "boto3", "botocore", "grpcio", "httpx", "httpx2", "lm15", "requests", "urllib3")
)
_NOT_COVERED = {"websockets": "WebSockets"}
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def checks(homes: Homes, self_test: bool) -> Iterator[Check]:
    """Every installed client: its version, and whether a call through it is recorded and replayed."""
    there = [name for name in PROBES if find_spec(name)]
    if not there:
        yield Check("clients", "note", "no HTTP client that cachy knows is installed in this environment")
    if not self_test:
        for name in there:
            yield Check(name, "ok", _version(homes, name))
        return
    with serving() as (url, calls):
        for name in progress(there, len(there), "Trying the clients"):
            calls.clear()
            yield tried(name, _version(homes, name), url, calls)


def tried(name: str, version: str, url: str, calls: list[str]) -> Check:
    """Whether calls through a client to the server at `url` are recorded and replayed; `calls` are those that arrived."""
    with tempfile.TemporaryDirectory(prefix="cachy-doctor-", ignore_cleanup_errors=True) as folder:
        store = os.path.join(folder, "cachy.jsonl")
        answer = _ask(name, url, folder, store)
        if "problem" in answer:
            return Check(name, "wrong", f"{version}: the self-test failed: {answer['problem']}")
        if not answer["patched"]:
            return Check(
                name,
                "wrong",
                f"{version} is not patched: its calls go out live",
                "update cachy or the client",
            )
        for way, answers in answer["answers"].items():
            if len(set(answers)) > 1:
                return Check(name, "wrong", f"{version} is patched, but {way} calls are not replayed")
        if len(calls) + answer["arrived"] != len(answer["answers"]) or not os.path.exists(store):
            return Check(name, "wrong", f"{version} is patched, but its calls are not recorded")
    ways = " and ".join(answer["answers"])
    return Check(name, "ok", f"{version}, patched; {ways} calls recorded and replayed")


def _ask(name: str, url: str, folder: str, store: str) -> dict[str, Any]:
    """What a fresh Python says that makes each call twice."""
    proxies = ("http_proxy", "https_proxy", "all_proxy")
    base = {
        variable: value
        for variable, value in os.environ.items()
        if not variable.startswith("CACHY") and variable.lower() not in (*proxies, "ci")
    }
    wanted = {"CACHY": "auto", "CACHY_STORE": store, "CACHY_HOSTS": "127.0.0.1:*", "CACHY_SUMMARY": "0"}
    found = settings.load(cwd=folder, environ=base | wanted)
    command = [sys.executable, "-m", "cachy.cli.doctor.probe", name, url]
    try:
        done = subprocess.run(
            command,
            env=environment(found, base=base),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as problem:
        return {"problem": type(problem).__name__}
    try:
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer
    except (ValueError, IndexError):
        last = done.stderr.strip().splitlines()
        return {"problem": last[-1][:200] if last else f"exit status {done.returncode}"}


class _Handler(BaseHTTPRequestHandler):
    """Answers each call with its number, as a chat completion."""

    protocol_version = "HTTP/1.1"
    calls: list[str]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.calls.append(self.path)
        message = {"role": "assistant", "content": f"call {len(self.calls)} {os.urandom(4).hex()}"}
        body = json.dumps(
            {"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
        ).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
        """Say nothing."""


@contextmanager
def serving() -> Iterator[tuple[str, list[str]]]:
    """A server on a free port of 127.0.0.1: its URL, and the paths of the calls that arrived."""
    calls: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("_Bound", (_Handler,), {"calls": calls}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", calls
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def sdks(homes: Homes) -> Iterator[Check]:
    """Every SDK of a known provider that is installed: its version, and whether its calls are seen."""
    for name in sorted(hooks.SDKS):
        if not _is_there(name):
            continue
        # A namespace (google, azure) has many homes; the one whose name is most like the module's is meant.
        names = homes.get(name.partition(".")[0]) or [name]
        dashed = name.replace(".", "-").replace("_", "-")
        home = next((known for known in names if known.lower().replace("_", "-") == dashed), names[0])
        yield _covered(name, home)


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _covered(name: str, home: str) -> Check:
    try:
        needs = importlib.metadata.requires(home) or []
        version = importlib.metadata.version(home)
    except importlib.metadata.PackageNotFoundError:
        return Check(
            name, "note", "installed, but not by a package manager: which client it uses is not known"
        )
    wanted = {found[0].lower() for text in needs if "extra ==" not in text and (found := _NAME.match(text))}
    through = sorted(wanted & _CARRIERS)
    if through:
        return Check(name, "ok", f"{home} {version}, through {', '.join(through)}")
    past = sorted(kind for need, kind in _NOT_COVERED.items() if need in wanted)
    if past:
        return Check(name, "note", f"{home} {version} uses {', '.join(past)}, which cachy does not see")
    return Check(name, "note", f"{home} {version} names no HTTP client that cachy knows")


def others() -> Iterator[Check]:
    """Mocks, recorders and tracers that are installed, and what becomes of calls where they are active."""
    for name, what in _RIVALS.items():
        if version := _version_of(name):
            yield Check(name, "note", f"{version}; {what}")


def _version(homes: Homes, module: str) -> str:
    home = (homes.get(module.partition(".")[0]) or [module])[0]
    return _version_of(home) or "of unknown version"


def _version_of(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""
