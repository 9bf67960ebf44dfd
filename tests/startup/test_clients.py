"""The import hook with the real clients: httpx and httpx2 in processes that start with cachy."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from installed import copy

from .conftest import Child

pytestmark = pytest.mark.slow

COVERED = """
import sys
def covered(module):
    "Whether both clients of a module are patched, and only once."
    for client in (module.Client, module.AsyncClient):
        original = getattr(client.__dict__["_transport_for_url"], "__cachy_original__", None)
        if original is None or hasattr(original, "__cachy_original__"):
            return False
    return True
"""


@pytest.fixture(params=["httpx", "httpx2"])
def name(request: pytest.FixtureRequest) -> str:
    """The name of a client that is installed here."""
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return str(request.param)


def run(child: Child, python: Path, code: str, **around: str | Path) -> str:
    """What a program that must succeed without a word on stderr prints; it may call `covered(module)`."""
    done = child(python, "-c", COVERED + code, **around)  # type: ignore[arg-type]
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


FACTS = """
import importlib, importlib.resources, importlib.util, inspect, json, pkgutil
name = {name!r}
found = importlib.util.find_spec(name)
module = importlib.import_module(name)
spec = module.__spec__
print(json.dumps(dict(
    found=type(found.loader).__name__,
    loader=[type(module.__loader__).__name__, spec.loader is module.__loader__, sorted(vars(spec.loader))],
    spec=[spec.name, spec.origin, spec.cached, list(spec.submodule_search_locations), spec.has_location],
    module=sorted(vars(module)),
    repr=repr(module),
    source=hash(found.loader.get_source(name)) == hash(inspect.getsource(module)),
    client=[inspect.getsourcefile(module.Client), list(inspect.signature(module.Client).parameters)],
    method=[list(inspect.signature(getattr(module.Client, how)).parameters) for how in ("send", "get")],
    chosen=list(inspect.signature(module.Client._transport_for_url).parameters),
    resources=sorted(item.name for item in importlib.resources.files(name).iterdir()),
    data=len(pkgutil.get_data(name, "__init__.py")),
    again=importlib.util.find_spec(name) is spec,
)))
"""


def test_a_client_looks_as_without_us(child: Child, complete: Path, name: str) -> None:
    """Spec, loader, source, signatures and resources are the same in a start with and without cachy."""
    code = FACTS.format(name=name)
    with_us, without = (json.loads(run(child, complete, code, CACHY=wish)) for wish in ("1", "0"))
    assert with_us == without
    assert with_us["loader"][0] == "SourceFileLoader"
    assert with_us["source"]


def test_a_reload_and_a_fresh_import_are_covered(child: Child, complete: Path, name: str) -> None:
    """Tests and notebooks reload a client, or throw it away and import it anew: its new classes are covered."""
    code = f"""
import importlib, {name} as first
importlib.reload(first)
assert covered(first)
for module in [m for m in sys.modules if m.partition(".")[0] == {name!r}]:
    del sys.modules[module]
second = importlib.import_module({name!r})
print(second.Client is not first.Client, covered(second))
"""
    assert run(child, complete, code, CACHY="1") == "True True\n"


def test_an_import_through_a_submodule_is_covered(child: Child, complete: Path, name: str) -> None:
    """An SDK may begin with `from httpx._client import Client`; the client is covered when it has been imported."""
    code = (
        f"from {name}._client import Client\nimport {name}\nprint(covered({name}), {name}.Client is Client)"
    )
    assert run(child, complete, code, CACHY="1") == "True True\n"


def test_a_lazy_client_stays_lazy(child: Child, complete: Path, name: str) -> None:
    """LazyLoader imports the client at the first use, and that is when it is covered."""
    code = f"""
import importlib.util
spec = importlib.util.find_spec({name!r})
spec.loader = importlib.util.LazyLoader(spec.loader)
module = sys.modules[{name!r}] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print({name + "._client"!r} in sys.modules, "cachy.session" in sys.modules)
print(covered(module))
"""
    assert run(child, complete, code, CACHY="1") == "False False\nTrue\n"


def test_eight_threads_import_it_at_once(child: Child, complete: Path, name: str) -> None:
    """Whichever thread is first, each finds the client covered when its own import is done."""
    code = f"""
import importlib, threading
barrier, found = threading.Barrier(8), []
def load():
    barrier.wait()
    found.append(covered(importlib.import_module({name!r})))
threads = [threading.Thread(target=load) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(found == [True] * 8)
"""
    assert run(child, complete, code, CACHY="1") == "True\n"


def test_a_client_that_came_before_us(child: Child, complete: Path, name: str) -> None:
    """`enable` covers what a program had imported, classes it holds by name included; `disable` undoes it."""
    code = f"""
import {name}
from {name} import AsyncClient, Client
before = [vars(client)["_transport_for_url"] for client in (Client, AsyncClient)]
import cachy
assert cachy.enable(summary=False) and cachy.enable(summary=False)
print(covered({name}), {name}.Client is Client, {name}.AsyncClient is AsyncClient)
cachy.disable()
after = [vars(client)["_transport_for_url"] for client in (Client, AsyncClient)]
print(all(one is other for one, other in zip(before, after)))
print(any(type(finder).__module__.startswith("cachy") for finder in sys.meta_path))
"""
    assert run(child, complete, code) == "True True True\nTrue\nFalse\n"


def test_disable_undoes_what_the_start_did(child: Child, complete: Path, name: str) -> None:
    """A program that was started with CACHY=1 can take it back; what it imports later is left alone."""
    code = f"""
import cachy, {name}
assert covered({name})
cachy.disable()
print([client._transport_for_url.__module__ for client in ({name}.Client, {name}.AsyncClient)])
import importlib
for module in [m for m in sys.modules if m.partition(".")[0] == {name!r}]:
    del sys.modules[module]
print(covered(importlib.import_module({name!r})))
"""
    assert run(child, complete, code, CACHY="1") == f"['{name}._client', '{name}._client']\nFalse\n"


# httpx2 in the place of httpx


@pytest.mark.parametrize(
    "order",
    [
        "import httpx2; httpx2.alias_httpx(); import httpx",
        "import httpx2; httpx2.alias_httpx(); import cachy; cachy.enable(summary=False); import httpx",
        "import cachy; cachy.enable(summary=False); import httpx2; httpx2.alias_httpx(); import httpx",
        "import httpx2; httpx2.alias_httpx(); import httpx; import cachy; cachy.enable(summary=False)",
    ],
)
@pytest.mark.parametrize("cachy", ["", "1"])
def test_httpx2_under_the_name_of_httpx(child: Child, complete: Path, order: str, cachy: str) -> None:
    """`alias_httpx` works as without us, which it would not had we imported httpx; the one module is patched once."""
    pytest.importorskip("httpx2")
    code = f"{order}\nprint(httpx is httpx2, covered(httpx))"
    assert run(child, complete, code, CACHY=cachy) == f"True {bool(cachy) or 'enable' in order}\n"


# pytest


def test_pytest_in_front(child: Child, complete: Path, name: str, tmp_path: Path) -> None:
    """Tests that pytest rewrites, with a finder that stands in front of ours, find the client covered."""
    (tmp_path / "test_it.py").write_text(
        f"{COVERED}\nimport {name}\ndef test_it():\n    assert covered({name})\n"
    )
    path = copy(tmp_path / "pytest", "pytest")
    done = child(complete, "-m", "pytest", "-q", tmp_path / "test_it.py", PYTHONPATH=str(path), CACHY="1")
    assert done.returncode == 0, done.stdout + done.stderr


# What cannot be patched

BROKEN = """
import asyncio, sys
import cachy.transports
cachy.transports.patch = lambda name, module: 1 / 0
import {name} as lib
import cachy
try:
    print(lib.Client().get("http://127.0.0.1:9/"))
except cachy.Miss as miss:
    print("refused:", miss)
except lib.ConnectError:
    print("called")
async def main():
    async with lib.AsyncClient() as client:
        await client.post("http://127.0.0.1:9/")
try:
    asyncio.run(main())
except cachy.Miss as miss:
    print("refused:", miss)
except lib.ConnectError:
    print("called")
"""


@pytest.mark.parametrize("wish", ["1", "replay"])
def test_a_client_that_cannot_be_patched(child: Child, complete: Path, name: str, wish: str) -> None:
    """Its calls go out live, with one line that says so; in replay mode they are refused."""
    done = child(complete, "-c", BROKEN.format(name=name), CACHY=wish)
    said = {
        "1": f"cachy: {name} could not be hooked, its calls go out live",
        "replay": f"cachy: {name} could not be hooked, its calls are refused, as the mode is replay",
    }
    assert done.stderr == f"{said[wish]} (ZeroDivisionError: division by zero)\n"
    why = f"refused: {name} could not be hooked (ZeroDivisionError: division by zero), and in replay mode nothing is sent"
    assert done.stdout.splitlines() == (["called"] * 2 if wish == "1" else [why] * 2)


def test_grpc_is_covered_and_loads_no_protobuf(child: Child, complete: Path) -> None:
    """Both halves of grpc, and nothing more than grpc itself loads of other packages."""
    if importlib.util.find_spec("grpc") is None:
        pytest.skip("grpc is not installed")
    code = """
import grpc, sys
mark = "__cachy_original__"
print(hasattr(sys.modules["grpc._channel"]._UnaryUnaryMultiCallable._blocking, mark))
print(hasattr(sys.modules["grpc.aio._call"].UnaryUnaryCall.__init__, mark))
print([name for name in ("google.protobuf", "httpx", "urllib3", "aiohttp") if name in sys.modules])
"""
    assert run(child, complete, code, CACHY="1") == "True\nTrue\n[]\n"
