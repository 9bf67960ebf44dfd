"""The pytest plugin: says what became of the calls of a test run, and gives tests a mode, a variant, or none of it.

Nothing of cachy is loaded until it is needed: when CACHY or the project's table asks for it, an option or ini of ours
is given, a test has the marker, or a program opens a session by itself. Then a folder is made to which every process
reports: this one, the workers of pytest-xdist, and the programs that tests start. Each verdict is written at once and
names its test, so that the controller can sum up at the end, whichever worker crashed.
"""

from __future__ import annotations

import os
import sys

import pytest

from cachy import _bootstrap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from contextlib import AbstractContextManager
    from typing import Any

    from cachy.pytest_run import Reporter
    from cachy.stores import Store

MODES = ("auto", "replay", "record", "verify", "off")
FAIL_ON = ("live", "miss", "escaped", "unused")
_REPORTER = "cachy-reporter"
COLLECTED = pytest.StashKey[int]()
"""How many tests there are, as far as they were asked for."""
_BEFORE = pytest.StashKey["dict[str, str | None]"]()  # what variables were before we set them
_MARKER = (
    "cachy(mode=..., variant=..., off=True, **settings): how the calls of this test are treated; settings as for"
    " cachy.using()"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("cachy", "recorded API calls (cachy)")
    group.addoption(
        "--cachy", choices=MODES, metavar="MODE", help=f"{', '.join(MODES)}: as CACHY=MODE in the environment"
    )
    group.addoption(
        "--cachy-prune",
        action="store_true",
        help="after a full run in which all tests passed, delete the recordings that no test used",
    )
    group.addoption(
        "--cachy-fail-on",
        action="append",
        metavar="KIND",
        help=f"fail the run when there is any of {', '.join(FAIL_ON)} (several: with commas)",
    )
    parser.addini("cachy_mode", "the mode, unless the environment or --cachy says one")
    parser.addini(
        "cachy_store", "the store of the tests, relative to this file, unless the environment says one"
    )
    parser.addini("cachy_fail_on", "as --cachy-fail-on", type="args")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    # Here already, so that clients made in a conftest.py find what they need.
    _apply(early_config, early_config.known_args_namespace)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARKER)
    _apply(config, config.option)  # where this plugin was loaded too late for the hook above
    # In a worker of pytest-xdist the controller has said it.
    if not config.getini("cachy_store") and not hasattr(config, "workerinput"):
        _tell_of_another_project(str(config.rootpath))
    kinds = fail_on(config)
    session = sys.modules.get("cachy.session")  # an option or a conftest.py may have opened one
    if _bootstrap.door is not None or kinds or config.option.cachy_prune or (session and session.shared()):
        reporter(config)
    else:
        _bootstrap.when_active.append(_Later(config))


def pytest_unconfigure(config: pytest.Config) -> None:
    # A pytest may run within another one.
    _bootstrap.when_active[:] = [
        when for when in _bootstrap.when_active if getattr(when, "config", None) is not config
    ]
    for name, before in config.stash.get(_BEFORE, {}).items():
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """A worker of pytest-xdist is about to start: whatever becomes active there, it knows where to report."""
    found = reporter(node.config)
    if found is not None:
        node.workerinput["cachy"] = found.folder


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Generator[None, None, None]:
    config.stash[COLLECTED] = len(items)  # before anybody takes some away, by an option or in silence
    yield


def pytest_collection_finish(session: pytest.Session) -> None:
    if any(item.get_closest_marker("cachy") for item in session.items):
        session.config.pluginmanager.register(_Marks(), "cachy-marks")


@pytest.fixture
def cachy_bypass() -> Iterator[None]:
    """The calls of this test, in all its threads and tasks, go out live and are not recorded."""
    from cachy import session

    with session.bypass(everywhere=True):
        yield


@pytest.fixture
def cachy_store() -> Store:
    """The store in which the calls of this test are recorded: `len(cachy_store)`, `for key, line in cachy_store`."""
    from cachy import session

    session.start()
    current = session.current()
    if current is None:
        pytest.fail("cachy_store: cachy is not active in this test (pytest --cachy auto)", pytrace=False)
    return current.engine.store


def fail_on(config: pytest.Config) -> list[str]:
    """The kinds that `--cachy-fail-on` and the ini say, each once. Raises UsageError for one that there is not."""
    given = [*(config.option.cachy_fail_on or ()), *config.getini("cachy_fail_on")]
    kinds = [kind.strip() for text in given for kind in text.split(",") if kind.strip()]
    for kind in kinds:
        if kind not in FAIL_ON:
            raise pytest.UsageError(f"--cachy-fail-on: {kind!r} is none of {', '.join(FAIL_ON)}")
    return list(dict.fromkeys(kinds))


def reporter(config: pytest.Config, late: bool = False) -> Reporter | None:
    """The part that does the work, loaded and registered when it is first needed; None where it cannot work.

    `late`: tests may have run before, all without cachy.
    """
    found: Reporter | None = config.pluginmanager.get_plugin(_REPORTER)
    if found is None:
        from cachy.notices import in_brief, say_once
        from cachy.pytest_run import Reporter

        try:
            found = Reporter(config, late)
            config.pluginmanager.register(found, _REPORTER)
        except Exception as problem:  # noqa: BLE001 - no room for temporary files: the tests run all the same
            say_once(f"what becomes of the calls of this test run is not told ({in_brief(problem)})")
    return found


class _Later:
    """Called when a session is opened."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    def __call__(self) -> None:
        reporter(self.config, late=True)


def _apply(config: pytest.Config, options: Any) -> None:
    """Let the option and the ini hold, in this process and in those that it starts: as variables of the environment."""
    if _BEFORE in config.stash:
        return
    before = config.stash.setdefault(_BEFORE, {})

    def put(name: str, value: str, over: bool = False) -> None:
        if over or not os.environ.get(name, "").strip():
            before[name] = os.environ.get(name)
            os.environ[name] = value

    mode, store, wish = config.getini("cachy_mode"), config.getini("cachy_store"), options.cachy
    if os.environ.get("CACHY", "").strip().lower() in _bootstrap.OFF:
        return  # off beats everything
    if mode and mode not in MODES:
        raise pytest.UsageError(f"cachy_mode: {mode!r} is none of {', '.join(MODES)}")
    if store:
        put("CACHY_STORE", store if "://" in store else os.path.join(str(config.rootpath), store))
    if mode:
        put("CACHY_MODE", mode)
    if wish:
        put("CACHY", wish, over=True)
    elif mode and _bootstrap.door is None:
        put("CACHY", "1")
    if before and (mode or wish or _bootstrap.door is not None):
        from cachy import session

        session.enable({})


def _tell_of_another_project(root: str) -> None:
    """Say when the project of the tests asks for cachy in vain: what counts is the one that pytest was started in, as
    for any program."""
    here = _bootstrap.cwd
    if here is None or here == root:
        return
    project = _bootstrap.find_project(os.path.realpath(root))
    path = os.path.join(project, "pyproject.toml") if project else ""
    if path and project != _bootstrap.find_project(os.path.realpath(here)) and _bootstrap.names_cachy(path):
        from cachy.notices import say_once

        say_once(
            f"{path} does not count, as pytest was started outside of that project; start it there, or set cachy_mode"
            " and cachy_store beside its settings of pytest"
        )


class _Marks:
    """Gives marked tests what they ask for, from the first of their fixtures to the last.

    For the whole process, not for the current context as a `with` block does: event loops, worker threads and
    fixtures of wider scope were begun in other contexts, and belong to the test all the same while it runs.
    """

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, None, None]:
        wishes: dict[str, Any] = {}
        for marker in reversed(list(item.iter_markers("cachy"))):  # the nearest last
            wishes |= marker.kwargs
        if wishes:
            from contextlib import ExitStack

            with ExitStack() as stack:
                for block in _blocks(wishes):
                    stack.enter_context(block)
                yield
        else:
            yield


def _blocks(wishes: dict[str, Any]) -> Iterator[AbstractContextManager[None]]:
    from cachy import repeats, session

    variant = wishes.pop("variant", "")
    if variant:
        yield repeats.variant_everywhere(variant)
    if wishes.pop("off", False) or wishes.get("mode") == "off":
        yield session.bypass(everywhere=True)
    elif wishes:
        settings = {name: os.fspath(v) if isinstance(v, os.PathLike) else v for name, v in wishes.items()}
        yield session.using(settings, everywhere=True)
