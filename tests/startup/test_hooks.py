"""The import hook: called once after each execution of a client, and otherwise as if it were not there."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.resources
import importlib.util
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from cachy import hooks

NAMES = ("sample_client", "sample_other")
BODY = "from . import part\nVALUE = 1\n"

Seen = list[tuple[str, ModuleType]]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No finder of ours is up at the beginning, two made-up modules are the clients, all is put back."""
    watch(hooks, monkeypatch)
    monkeypatch.setattr(hooks, "_finder", None)
    monkeypatch.setattr(sys, "meta_path", [finder for finder in sys.meta_path if not is_ours(finder)])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] in NAMES]:
        del sys.modules[name]


def watch(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the hook watch made-up modules, and not those that other tests have imported."""
    monkeypatch.setattr(module, "CLIENTS", frozenset(NAMES))
    monkeypatch.setattr(module, "DOORS", frozenset())
    monkeypatch.setattr(module, "SDKS", frozenset())
    monkeypatch.setattr(module, "CREDENTIALS", frozenset())


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the package `sample_client`, importable from now on."""
    folder = tmp_path / "path" / "sample_client"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(BODY)
    (folder / "part.py").write_text("")
    (folder / "data.txt").write_text("data")
    monkeypatch.syspath_prepend(str(folder.parent))
    return folder


@pytest.fixture
def seen() -> Seen:
    """Puts the hook up; holds what it was called with."""
    calls: Seen = []
    hooks.install(lambda name, module: calls.append((name, module)))
    return calls


def is_ours(finder: object) -> bool:
    return type(finder).__module__ == "cachy.hooks"


def import_client() -> ModuleType:
    return importlib.import_module("sample_client")


def rewrite(client: Path, body: str) -> None:
    (client / "__init__.py").write_text(body)
    importlib.invalidate_caches()


# When it is called


def test_called_once_after_the_import(client: Path, seen: Seen) -> None:
    """The callback gets the name and the module, whose body has run; a second import is none."""
    state: list[bool] = []
    hooks.install(lambda name, module: (seen.append((name, module)), state.append(hasattr(module, "VALUE"))))
    module = import_client()
    assert import_client() is module
    assert seen == [("sample_client", module)]
    assert state == [True]


def test_called_when_a_submodule_is_imported_first(client: Path, seen: Seen) -> None:
    """`import client.part` imports the client, as an SDK may."""
    importlib.import_module("sample_client.part")
    assert seen == [("sample_client", sys.modules["sample_client"])]


def test_called_at_once_for_what_is_imported(client: Path) -> None:
    """A client that came before us is treated as if we had seen it come."""
    module = import_client()
    calls: Seen = []
    hooks.install(lambda *call: calls.append(call))
    assert calls == [("sample_client", module)]


def test_looking_is_not_importing(client: Path, seen: Seen) -> None:
    """`find_spec` calls nobody back, however often; the import after it does, once."""
    for _ in range(3):
        assert importlib.util.find_spec("sample_client") is not None
    assert "sample_client" not in sys.modules
    assert seen == []
    module = import_client()
    assert seen == [("sample_client", module)]


def test_called_again_on_reload(client: Path, seen: Seen) -> None:
    """A reload brings the unpatched classes back, so they are patched again."""
    module = import_client()
    rewrite(client, BODY + "MORE = 2\n")
    assert importlib.reload(module) is module
    assert seen == [("sample_client", module)] * 2
    assert module.MORE == 2


def test_called_again_after_a_purge(client: Path, seen: Seen) -> None:
    """Who deletes a client from sys.modules and imports it again has a new one."""
    first = import_client()
    del sys.modules["sample_client"]
    second = import_client()
    assert [module for _, module in seen] == [first, second]
    assert first is not second


def test_a_module_made_by_hand_is_called_back_itself(client: Path, seen: Seen) -> None:
    """`module_from_spec` makes a second copy beside the registered one; the copy is what was executed."""
    registered = import_client()
    (finder,) = filter(
        is_ours, sys.meta_path
    )  # importlib.util.find_spec would give the registered one's spec
    spec = finder.find_spec("sample_client", None)
    assert spec is not None
    assert spec.loader is not None
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    assert [module for _, module in seen] == [registered, copy]


def test_a_lazy_module_is_called_back_when_it_is_really_executed(client: Path, seen: Seen) -> None:
    """LazyLoader postpones the execution to the first use, and so the call."""
    module = lazily("sample_client")
    assert seen == []
    assert module.VALUE == 1
    assert seen == [("sample_client", module)]


def test_a_lazy_module_from_before_stays_lazy(client: Path) -> None:
    """Putting the hook up does not import what the program wanted imported later, and misses nothing then."""
    module = lazily("sample_client")
    calls: Seen = []
    hooks.install(lambda *call: calls.append(call))
    hooks.install(lambda *call: calls.append(call))
    assert "sample_client.part" not in sys.modules
    assert calls == []
    assert module.VALUE == 1
    assert calls == [("sample_client", module)]


def lazily(name: str) -> ModuleType:
    """The recipe of the importlib documentation."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    loader = importlib.util.LazyLoader(spec.loader)
    spec.loader = loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    loader.exec_module(module)
    return module


def test_eight_threads_import_at_once(client: Path, seen: Seen) -> None:
    """One execution, one call, and every thread gets the module after the call."""
    rewrite(client, "import time\ntime.sleep(0.02)\n" + BODY)
    hooks.install(lambda name, module: (seen.append((name, module)), setattr(module, "patched", True)))
    barrier = threading.Barrier(8)
    patched: list[bool] = []

    def work() -> None:
        barrier.wait()
        patched.append(hasattr(import_client(), "patched"))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert patched == [True] * 8
    assert seen == [("sample_client", sys.modules["sample_client"])]


def test_a_client_that_imports_itself_is_called_once(client: Path, seen: Seen) -> None:
    """Half-way through its own import a module is not done."""
    (client / "part.py").write_text("import sample_client\n")
    import_client()
    assert len(seen) == 1


def test_a_module_that_replaces_itself(client: Path, seen: Seen) -> None:
    """What stands in sys.modules in the end is what the program gets, and so does the callback."""
    rewrite(client, "import sys, types\nsys.modules[__name__] = types.SimpleNamespace(VALUE=2)\n")
    module = import_client()
    assert module.VALUE == 2
    assert seen == [("sample_client", module)]


# What fails


def test_an_import_that_fails_half_way_fails_as_without_us(client: Path, seen: Seen) -> None:
    """The program sees its own error, nobody is called back; the next try, when it succeeds, is hooked."""
    rewrite(client, BODY + "raise LookupError('half-way')\n")
    for _ in range(2):
        with pytest.raises(LookupError, match="half-way"):
            import_client()
    assert seen == []
    rewrite(client, BODY)
    module = import_client()
    assert seen == [("sample_client", module)]


def test_a_missing_client_is_missing(seen: Seen) -> None:
    """ModuleNotFoundError says what it says without us."""
    with pytest.raises(ModuleNotFoundError, match="No module named 'sample_client'") as caught:
        import_client()
    assert caught.value.name == "sample_client"
    assert importlib.util.find_spec("sample_client") is None
    assert seen == []


def test_a_callback_that_raises_is_told_once(client: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A hook that is broken never breaks the import, and does not nag."""

    def broken(name: str, module: ModuleType) -> None:
        raise RuntimeError("out of order")

    hooks.install(broken)
    importlib.reload(import_client())
    hooks.install(broken)
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "cachy: sample_client could not be hooked, its calls go out live (RuntimeError: out of order)\n"
    )


def test_a_loader_that_cannot_be_watched_is_told(client: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A loader that raises when it is looked at goes on loading."""

    class Touchy(importlib.machinery.SourceFileLoader):
        def __setattr__(self, name: str, value: object) -> None:
            if name == "exec_module":
                raise TypeError("hands off")
            super().__setattr__(name, value)

    rewrite(client, "VALUE = 1\n")
    calls: Seen = []
    hooks.install(lambda *call: calls.append(call))
    sys.meta_path.insert(1, FixedFinder(Touchy("sample_client", str(client / "__init__.py"))))
    assert import_client().VALUE == 1
    assert calls == []
    assert "(TypeError: hands off)" in capsys.readouterr().err


# What stays as it was


def test_spec_and_loader_are_as_without_us(client: Path, seen: Seen) -> None:
    """After the import nothing shows that we were there."""
    module = import_client()
    spec = module.__spec__
    assert spec is not None
    loader = spec.loader
    assert type(loader) is importlib.machinery.SourceFileLoader
    assert module.__loader__ is loader
    assert vars(loader) == {"name": "sample_client", "path": str(client / "__init__.py")}
    assert loader.get_source("sample_client") == BODY
    assert loader.is_package("sample_client")
    assert loader.get_data(str(client / "data.txt")) == b"data"
    assert importlib.resources.files(module).joinpath("data.txt").read_text() == "data"


def test_a_spec_that_was_only_found_has_its_own_loader(client: Path, seen: Seen) -> None:
    """Tools ask a spec's loader what it is before they use it."""
    spec = importlib.util.find_spec("sample_client")
    assert spec is not None
    assert type(spec.loader) is importlib.machinery.SourceFileLoader
    assert spec.loader.get_source("sample_client") == BODY


def test_other_modules_are_none_of_our_business(seen: Seen) -> None:
    """For every other name the finder has no answer and asks nobody."""
    (finder,) = filter(is_ours, sys.meta_path)
    sys.meta_path.append(FixedFinder(None))
    assert finder.find_spec("sample_clients") is None
    assert finder.find_spec("sample_client.part", ["nowhere"]) is None
    assert FixedFinder.asked == []


def test_a_namespace_package_is_left_alone(
    tmp_path: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that happens to have a client's name is no client."""
    (tmp_path / "sample_other").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("sample_other")
    assert list(module.__path__) == [str(tmp_path / "sample_other")]
    assert [name for name, _ in seen if name != "sample_other"] == []


# Other finders and loaders


class FixedFinder(importlib.abc.MetaPathFinder):
    """Finds `sample_client` always with the same loader, or nothing."""

    asked: list[str] = []

    def __init__(self, loader: Any, *, same_spec: bool = False) -> None:
        self.loader = loader
        self.spec = self.make() if same_spec else None
        FixedFinder.asked = []

    def make(self) -> importlib.machinery.ModuleSpec:
        return importlib.machinery.ModuleSpec("sample_client", self.loader, is_package=True)

    def find_spec(
        self, name: str, path: object = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name.startswith("sample_"):
            FixedFinder.asked.append(name)
        return (self.spec or self.make()) if name == "sample_client" and self.loader else None


class Wrapping(importlib.abc.MetaPathFinder):
    """A finder as wrapt, ddtrace and others have it: in front, asking all others, with a loader of its own."""

    def __init__(self, calls: list[str]) -> None:
        self.calls = calls
        self.busy = False

    def find_spec(
        self, name: str, path: object = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        if self.busy or name != "sample_client":
            return None
        self.busy = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.busy = False
        if spec is not None:
            inner, calls = spec.loader, self.calls

            class Loader(importlib.abc.Loader):
                def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
                    return inner.create_module(spec)

                def exec_module(self, module: ModuleType) -> None:
                    inner.exec_module(module)
                    calls.append(f"patched: {hasattr(module, 'patched')}")

            spec.loader = Loader()
        return spec


@pytest.mark.parametrize("place", [0, 1])
def test_another_hook_before_or_behind_us(client: Path, seen: Seen, place: int) -> None:
    """Both hooks are called, once each, wherever the other one stands."""
    hooks.install(lambda name, module: (seen.append((name, module)), setattr(module, "patched", True)))
    theirs: list[str] = []
    sys.meta_path.insert(place, Wrapping(theirs))
    module = import_client()
    assert seen == [("sample_client", module)]
    assert theirs == [f"patched: {place == 0}"]


def test_finders_in_front_are_asked_once(client: Path, seen: Seen) -> None:
    """Those before us had no answer; they are not bothered again."""
    finder = FixedFinder(None)
    sys.meta_path.insert(0, finder)
    import_client()
    assert finder.asked.count("sample_client") == 1


class Static:
    """A loader that is a class, as the built-in and the frozen importer are."""

    @staticmethod
    def create_module(spec: importlib.machinery.ModuleSpec) -> None:
        return None

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        module.VALUE = 1

    @staticmethod
    def get_source(name: str) -> str:
        return "static"


class Slotted(Static):
    """A loader that has no room for anything."""

    __slots__ = ()


class Busy(Static):
    """A loader on whose instance another tool has put its own `exec_module`, as virtualenv does."""

    def __init__(self) -> None:
        self.exec_module = self.theirs

    def theirs(self, module: ModuleType) -> None:
        module.VALUE = 1


class Named(Static):
    """A loader for one module, as those of files are."""

    def __init__(self) -> None:
        self.name = "sample_client"


@pytest.mark.parametrize("same_spec", [False, True])
@pytest.mark.parametrize("make", [lambda: Static, Static, Slotted, Busy, Named])
def test_any_loader_is_watched_and_put_back(make: Callable[[], Any], same_spec: bool, seen: Seen) -> None:
    """Loaders that are shared, closed or in use by others serve their module, and are themselves again after."""
    loader = make()
    before = dict(vars(loader)) if hasattr(loader, "__dict__") else None
    sys.meta_path.insert(1, FixedFinder(loader, same_spec=same_spec))
    spec = importlib.util.find_spec("sample_client")
    assert spec is not None
    assert spec.loader.get_source("sample_client") == "static"
    for count in (1, 2, 3):
        sys.modules.pop("sample_client", None)
        module = import_client()
        assert module.VALUE == 1
        assert len(seen) == count
        assert seen[-1] == ("sample_client", module)
        assert module.__spec__.loader is module.__loader__ is loader
    if before is not None:
        assert dict(vars(loader)) == before


def test_two_clients_in_one_zip_file(tmp_path: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    """All modules of an archive share one loader; looking at one client must not hide the other."""
    with zipfile.ZipFile(tmp_path / "clients.zip", "w") as archive:
        for name in NAMES:
            archive.writestr(f"{name}/__init__.py", BODY)
            archive.writestr(f"{name}/part.py", "")
    monkeypatch.syspath_prepend(str(tmp_path / "clients.zip"))
    assert importlib.util.find_spec("sample_client") is not None
    modules = [(name, importlib.import_module(name)) for name in reversed(NAMES)]
    assert seen == modules
    for name, module in modules:
        assert type(module.__loader__).__name__ == "zipimporter"
        assert module.__spec__.loader is module.__loader__
        assert module.__loader__.get_source(name) == BODY


# Putting it up and taking it off


def test_there_is_one_finder(client: Path, seen: Seen) -> None:
    """Installing again changes the callback, not the number of finders."""
    later: Seen = []
    hooks.install(lambda *call: later.append(call))
    assert sum(map(is_ours, sys.meta_path)) == 1
    import_client()
    assert (len(seen), len(later)) == (0, 1)


def test_another_copy_of_cachy_makes_way(client: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two copies in one process, as after a purge of sys.modules, never call back both."""
    spec = importlib.util.spec_from_file_location("cachy.hooks", hooks.__file__)
    assert spec is not None
    assert spec.loader is not None
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    watch(copy, monkeypatch)
    later: Seen = []
    copy.install(lambda *call: later.append(call))
    assert sum(map(is_ours, sys.meta_path)) == 1
    import_client()
    assert (len(seen), len(later)) == (0, 1)


def test_taken_off_it_is_gone_and_can_come_back(client: Path, seen: Seen) -> None:
    """uninstall() leaves sys.meta_path as it was; install() after it works as the first time."""
    hooks.uninstall()
    hooks.uninstall()
    assert not any(map(is_ours, sys.meta_path))
    import_client()
    assert seen == []
    hooks.install(lambda *call: seen.append(call))
    assert len(seen) == 1


def test_an_sdk_is_told_of_before_it_runs(client: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some read their key while they are imported: the callback comes first, and not again afterwards."""
    monkeypatch.setattr(hooks, "CLIENTS", frozenset())
    monkeypatch.setattr(hooks, "SDKS", frozenset(NAMES))
    calls: list[tuple[str, bool]] = []
    hooks.install(lambda name, module: calls.append((name, hasattr(module, "VALUE"))))
    assert import_client().VALUE == 1
    assert calls == [("sample_client", False)]
    hooks.install(hooks._finder.callback)  # type: ignore[union-attr]
    assert calls == [("sample_client", False), ("sample_client", True)]
