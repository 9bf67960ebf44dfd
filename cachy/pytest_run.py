"""The working part of the pytest plugin, loaded when cachy is active in a test run."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Generator
from types import TracebackType
from typing import Any

import pytest

from cachy import pytest_plugin, settings, tally, verdicts
from cachy.culprit import is_users
from cachy.errors import Miss
from cachy.notices import in_brief
from cachy.redact import mask_text
from cachy.report.terminal import counted
from cachy.report.test_run import Facts, TestRun, count

_COLOURS = ("red", "yellow", "green")


class Reporter:
    """Follows one run of tests in this process, the controller's or a worker's."""

    def __init__(self, config: pytest.Config, late: bool) -> None:
        self._config = config
        self._late = late
        self._worker: dict[str, Any] | None = getattr(config, "workerinput", None)
        self._outer = os.environ.get(tally.RUN_DIR)
        self.folder = self._make_folder()
        """Where this process, its workers and its children report."""
        os.environ[tally.RUN_DIR] = self.folder
        verdicts.listen(self.folder)
        self._read: dict[str, int] = {}  # how far each file of the folder was read
        self._fresh: list[Facts] = []  # of the present test, not yet in a report
        self._telling = False
        self._collected: int | None = None  # as a worker has told it
        self._deselected = 0
        self._broken = False  # whether something could not be collected
        self._outcomes: dict[str, str] = {}
        self._run = TestRun(str(config.rootpath))
        self._said: list[tuple[str, str]] = []  # lines for the end, each with its colour

    def _make_folder(self) -> str:
        if self._worker is not None and os.path.isdir(given := str(self._worker.get("cachy", ""))):
            folder = os.path.join(given, str(self._worker["workerid"]))
            os.makedirs(folder, exist_ok=True)
            return folder
        # Within the folder of a cachy-run around us, which counts our calls too.
        within = self._outer if self._outer and os.path.isdir(self._outer) else None
        return tempfile.mkdtemp(prefix="cachy-pytest-", dir=within)

    # While tests run

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        self._deselected += len(items)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._broken = self._broken or report.failed

    def pytest_runtest_logstart(self) -> None:
        # The n-th question of a test, not of however many tests ran before it here.
        session = sys.modules.get("cachy.session")
        shared = session and session.shared()
        if shared:
            shared.engine.turns.start_over()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, Any, None]:
        whole = self._config.getoption("fulltrace", False) or self._config.getoption("usepdb", False)
        if call.excinfo is not None and isinstance(call.excinfo.value, Miss) and not whole:
            _end_with_the_user(call.excinfo)
        outcome = yield
        report: pytest.TestReport = outcome.get_result()
        name = mask_text(item.nodeid)
        news = [facts for facts in self._news() if facts.get("test") == name]
        self._fresh = news if report.when == "setup" else [*self._fresh, *news]
        if self._fresh:
            report.cachy = counted(count(self._fresh))  # type: ignore[attr-defined]
        if report.failed:
            shown = report.longreprtext
            texts = [text for text in _explanations(news) if text.partition("\n")[0] not in shown]
            if texts:
                report.sections.append(("cachy", "\n\n".join(texts)))

    def _news(self) -> list[Facts]:
        """What this process and its children have reported since the last time."""
        found: list[Facts] = []
        try:
            for path in tally.run_files(self.folder):
                seen = self._read.get(path, 0)
                if os.path.getsize(path) == seen:
                    continue
                with open(path, "rb") as file:
                    file.seek(seen)
                    data = file.read()
                whole = data[: data.rfind(b"\n") + 1]  # a child may be writing
                self._read[path] = seen + len(whole)
                found += tally.read_lines(whole.splitlines())
        except OSError:
            pass  # somebody cleaned up the temporary folder
        return found

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None, None, None]:
        before = self._outcomes.get(report.nodeid)
        if report.failed or before is None or (report.skipped and before == "passed"):
            self._outcomes[report.nodeid] = report.outcome
        self._telling = self._config.getoption("verbose", 0) > 0
        yield
        self._telling = False

    @pytest.hookimpl(hookwrapper=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> Generator[None, Any, None]:
        outcome = yield
        told = getattr(report, "cachy", None)
        if not told or not self._telling:
            return
        category, letter, word = outcome.get_result()
        if isinstance(word, tuple) and word[0]:
            word = (f"{word[0]} ({', '.join(told)})", word[1])
        elif word and isinstance(word, str):
            word = f"{word} ({', '.join(told)})"
        outcome.force_result((category, letter, word))

    # At the end

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        told = getattr(node, "workeroutput", {}).get("cachy")
        if told:
            self._collected, self._deselected, broken = told
            self._broken = self._broken or broken

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if self._worker is not None:
            # All workers collect the same tests.
            collected = self._config.stash.get(pytest_plugin.COLLECTED, 0)
            self._config.workeroutput["cachy"] = (collected, self._deselected, self._broken)  # type: ignore[attr-defined]
            return
        try:
            self._sum_up(session, int(exitstatus))
        except Exception as problem:  # noqa: BLE001 - the tests have run; what we have to say about them is less
            self._said.append((f"the run could not be summed up ({in_brief(problem)})", "yellow"))

    def _sum_up(self, session: pytest.Session, exitstatus: int) -> None:
        run, option = self._run, self._config.option
        run.read(self.folder)
        if self._late and not (session.shouldstop or session.shouldfail):
            for item in session.items:  # of those that ran before us it is not known how they ended
                self._outcomes.setdefault(item.nodeid, "skipped")
        run.outcomes = {mask_text(test): outcome for test, outcome in self._outcomes.items()}
        missing = self._not_full(exitstatus)
        if not missing:
            run.look_for_unused()
        run.remember(
            [test for test, outcome in run.outcomes.items() if outcome == "passed"], full=not missing
        )
        if line := run.line():
            note = settings.load(cwd=str(self._config.invocation_params.dir)).mode_note
            # A program may have chosen a mode of its own.
            told = f"{line} · mode {note}" if note and not run.stats.recorded else line
            self._said.append((told, self._colour()))
        if option.cachy_prune:
            if missing or exitstatus:
                why = missing or "not all tests passed"
                self._said.append(
                    (f"nothing is pruned, as this was not a full run that passed ({why})", "yellow")
                )
            elif run.unused:
                self._said.append((f"{run.prune()} deleted that no test used (--cachy-prune)", "green"))
        for offence in run.offences(pytest_plugin.fail_on(self._config)):
            self._said.append((f"failed, as --cachy-fail-on says: {offence}", "red"))
            if session.exitstatus == 0:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _not_full(self, exitstatus: int) -> str:
        """Why this run does not tell what is unused, in a few words, or "" when it does: every test there is was asked
        for, and ran to its end or was skipped."""
        option = self._config.option
        for name in (
            "lf",
            "stepwise",
            "keyword",
            "markexpr",
            "deselect",
            "ignore",
            "ignore_glob",
            "collectonly",
        ):
            if getattr(option, name, None):
                return f"--{name.replace('_', '-')}".replace("--keyword", "-k").replace("--markexpr", "-m")
        if self._deselected:
            return f"{self._deselected} tests were deselected"
        if self._broken:
            return "not everything could be collected"
        collected = self._config.stash.get(pytest_plugin.COLLECTED, self._collected)
        if exitstatus not in (0, 1) or collected is None or len(self._outcomes) < collected:
            return "not all tests ran"
        asked = [
            os.path.abspath(os.path.join(self._config.invocation_params.dir, arg))
            for arg in self._config.args
        ]
        root = str(self._config.rootpath)
        all_of_it = [os.path.join(root, path) for path in self._config.getini("testpaths")] or [root]
        if all(any(_inside(path, folder) for folder in asked) for path in all_of_it):
            return ""
        return "not all of the project's tests were asked for"

    def _colour(self) -> str:
        stats = self._run.stats
        if stats.missed or stats.escaped:
            return "red"
        return "yellow" if stats.recorded or stats.bypassed or stats.drifted or self._run.unused else "green"

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        option = self._config.getoption
        silent = option("verbose", 0) < -1 or option("no_summary", False)
        for text, colour in self._said:
            if colour == "red" or not silent:
                terminalreporter.write_line(f"cachy: {text}", **{colour: True})

    def pytest_unconfigure(self) -> None:
        tally.told()  # no line at exit
        if self._outer is None:
            os.environ.pop(tally.RUN_DIR, None)
        else:
            os.environ[tally.RUN_DIR] = self._outer
        verdicts.listen(self._outer)
        if self._worker is None and not self._outer:
            shutil.rmtree(self.folder, ignore_errors=True)


def _end_with_the_user(excinfo: pytest.ExceptionInfo[BaseException]) -> None:
    """Cut a traceback behind the user's line: what a client and we do below it says nothing about a miss."""
    entry: TracebackType | None = excinfo.tb
    last = None
    while entry is not None:
        if is_users(entry.tb_frame.f_code.co_filename):
            last = entry
        entry = entry.tb_next
    if last is not None:
        last.tb_next = None


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _explanations(news: list[Facts]) -> list[str]:
    """The texts of the misses among these verdicts."""
    missed = [facts for facts in news if facts["outcome"] == "missed"]
    if not missed:
        return []
    from cachy.explain import misses

    texts: dict[str, str] = {}
    for facts in missed:
        if "key" not in facts:  # a connection past all adapters, a WebSocket
            what = f"a call to {facts.get('url', 'a provider')} was refused"
            texts.setdefault(what, what + (f" ({facts['reason']})" if "reason" in facts else ""))
    keys = {facts["key"] for facts in missed if "key" in facts}
    for store in dict.fromkeys(facts["store"] for facts in missed if "key" in facts):
        for noted in misses.last(store, 200):
            if noted.get("key") in keys and noted["key"] not in texts:
                texts[noted["key"]] = str(noted.get("message", ""))
    return list(texts.values())
