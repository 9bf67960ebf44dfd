"""Notebooks, run by real kernels: calls replay, outputs stay the same, and the magics do what they say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chat_provider import ASK, Provider
from environments import clean, environment

pytestmark = pytest.mark.slow

# As `jupyter execute` does; in a process of its own, which the kernel inherits its environment from.
EXECUTE = """
import json, sys
import nbformat
from nbclient import NotebookClient

path, folder = sys.argv[1:]
notebook = nbformat.read(path, 4)
NotebookClient(notebook, timeout=120, resources={"metadata": {"path": folder}}).execute()
nbformat.write(notebook, path)
"""
PLAIN = ["from ask import ask, ask_async", "ask('one')", "await ask_async('two')"]


class Notebooks:
    """A project with a folder of notebooks."""

    def __init__(self, root: Path, provider: Provider) -> None:
        self.root = root
        self.folder = root / "project" / "nbs"
        self.folder.mkdir(parents=True)
        self.store = root / "project" / "cachy.jsonl"
        (root / "project" / "pyproject.toml").write_text('[project]\nname = "example"\n')
        (self.folder / "ask.py").write_text(ASK)
        (root / "home").mkdir()
        self.env = clean(
            HOME=str(root / "home"), USERPROFILE=str(root / "home"), OPENAI_BASE_URL=provider.url
        )

    def write(self, *cells: str, name: str = "example") -> Path:
        """A notebook with these cells; one that says "sometimes" is known to fail."""
        path = self.folder / f"{name}.ipynb"
        code = [
            {
                "cell_type": "code",
                "id": f"c{n}",
                "metadata": {"tags": ["raises-exception"] if "sometimes" in cell else []},
                "execution_count": None,
                "outputs": [],
                "source": cell,
            }
            for n, cell in enumerate(cells)
        ]
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        facts = {"cells": code, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
        path.write_text(json.dumps(facts))
        return path

    def run(self, *words: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command somewhere else than in the notebook's folder."""
        return subprocess.run(
            [str(word) for word in words],
            cwd=self.root,
            env=self.env | more,
            capture_output=True,
            text=True,
            check=False,
        )

    def execute(self, path: Path, **more: str) -> list[str]:
        """What each cell has put out."""
        done = self.run(sys.executable, "-c", EXECUTE, path, self.folder, **more)
        assert done.returncode == 0, done.stderr
        return outputs(path)


def outputs(path: Path) -> list[str]:
    """The text of each cell's output."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return ["".join(_text(output) for output in cell["outputs"]).strip() for cell in cells]


def _text(output: dict[str, Any]) -> str:
    text = output.get("text") or output.get("data", {}).get("text/plain") or output.get("evalue", "")
    return text if isinstance(text, str) else "".join(text)


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.stop()


@pytest.fixture
def notebooks(tmp_path: Path, provider: Provider) -> Notebooks:
    return Notebooks(tmp_path, provider)


def test_a_notebook_that_knows_nothing_of_cachy(notebooks: Notebooks, provider: Provider) -> None:
    """`CACHY=1` reaches the kernel; the store is that of the project around the notebook; the file is the same after
    the second run, byte for byte, when the provider is gone."""
    path = notebooks.write(*PLAIN)
    assert notebooks.execute(path, CACHY="1") == ["", "'one! (1)'", "'two! (2)'"]
    assert notebooks.store.read_text("utf-8").count("\n") == 2
    first = _without_times(path)
    provider.stop()
    assert notebooks.execute(path, CACHY="replay") == ["", "'one! (1)'", "'two! (2)'"]
    assert _without_times(path) == first


def _without_times(path: Path) -> Any:
    facts = json.loads(path.read_text("utf-8"))
    for cell in facts["cells"]:
        cell["metadata"].pop("execution", None)  # when nbclient ran it
    return facts


def test_the_magics(notebooks: Notebooks) -> None:
    """Loading switches nothing on; each mode holds from then on; the line tells where things are."""
    path = notebooks.write(
        "%load_ext cachy",
        "from ask import ask\n%cachy",
        "ask('one')",
        "import os; os.chdir('/')\n%cachy auto",
        "ask('one')",
        "ask('one'), ask('one')",
        "%cachy status",
        "%cachy record\nask('one')",
        "%cachy replay",
        "import cachy\ntry: ask('two')\nexcept cachy.Miss as miss: print(miss)",
        "%cachy off",
        "ask('two')",
        "%cachy sometimes",
        "%unload_ext cachy",
    )
    told = notebooks.execute(path, CACHY_STORE="", CACHY_MODE="verify")
    store = str(notebooks.store)
    assert told[0] == ""
    assert told[1] == "cachy: off"
    assert told[2] == "'one! (1)'"
    assert told[3] == f"cachy: auto · {store}, 0 recordings"
    assert told[4:6] == ["'one! (2)'", "('one! (2)', 'one! (2)')"]
    assert told[6] == f"cachy: auto · {store}, 1 recording · 2 replayed, 1 recorded"
    assert told[7].endswith("'one! (3)'")
    assert told[8].startswith(f"cachy: replay · {store}, 1 recording")
    assert "to record it: `%load_ext cachy`, `%cachy auto`, and run this cell again" in told[9]
    assert told[10] == "cachy: off"
    assert told[11] == "'two! (4)'"
    assert told[12] == "UsageError: %cachy takes one of status, auto, replay, record, verify, off"
    assert told[13] == ""


def test_a_mode_for_one_cell(notebooks: Notebooks) -> None:
    """It may await, shows its value, fails as it would, and what comes after it is as before."""
    path = notebooks.write(
        "%load_ext cachy\n%cachy auto\nfrom ask import ask, ask_async",
        "ask('one')",
        "%%cachy bypass\nanswer = await ask_async('one')\nanswer + ask('one')",
        "ask('one')",
        "%%cachy record\nask('one')",
        "try:\n    get_ipython().run_cell('%%cachy bypass\\n1/0').raise_error()\nexcept ZeroDivisionError: print('as it would')",
        "ask('one')",
        "%%cachy sometimes\nask('one')",
        "%%cachy bypass\n\n%%capture kept\nprint(ask('one'))",
        "kept.stdout, ask('one')",
    )
    told = notebooks.execute(path)
    assert told[1:5] == ["'one! (1)'", "'one! (2)one! (3)'", "'one! (1)'", "'one! (4)'"]
    assert told[5].endswith("as it would")
    assert told[6] == "'one! (4)'"
    assert told[7].startswith("UsageError: %%cachy takes one of bypass, auto")
    assert told[9] == "('one! (5)\\n', 'one! (4)')"  # IPython itself knows no second cell magic


def test_a_failing_cell_with_a_mode_fails_the_notebook(notebooks: Notebooks) -> None:
    """Whoever executes it must see that; a cell magic that runs its cell itself would hide it."""
    path = notebooks.write("%load_ext cachy", "%%cachy bypass\nraise ValueError('mine')")
    done = notebooks.run(sys.executable, "-c", EXECUTE, path, notebooks.folder)
    assert done.returncode == 1
    assert "ValueError" in done.stderr
    assert "mine" in done.stderr


def test_cachy_0_forbids_the_magics_too(notebooks: Notebooks) -> None:
    """And the line says why."""
    path = notebooks.write("%load_ext cachy\n%cachy auto", "from ask import ask\nask('one')")
    assert notebooks.execute(path, CACHY="0") == ["cachy: off, as CACHY=0 is set", "'one! (1)'"]
    assert not notebooks.store.exists()


def test_the_folder_of_the_notebook_counts(notebooks: Notebooks) -> None:
    """Where Jupyter or VS Code say which it is, and the kernel works elsewhere."""
    cells = [
        "%load_ext cachy\n%cachy auto",
        "import sys; sys.path.append('project/nbs')\nfrom ask import ask\nask('one')",
    ]
    path = notebooks.write(*cells)
    done = notebooks.run(sys.executable, "-c", EXECUTE, path, notebooks.root, JPY_SESSION_NAME=str(path))
    assert done.returncode == 0, done.stderr
    assert notebooks.store.exists()
    notebooks.store.unlink()
    path = notebooks.write(f"__vsc_ipynb_file__ = {str(path)!r}", *cells)
    done = notebooks.run(sys.executable, "-c", EXECUTE, path, notebooks.root)
    assert done.returncode == 0, done.stderr
    assert notebooks.store.exists()


def test_papermill_and_nbdev(
    notebooks: Notebooks, provider: Provider, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whoever executes the notebook, in an environment that is made for it."""
    python = environment(
        tmp_path_factory.mktemp("jupyter"),
        wheel,
        ("httpx", "ipykernel", "papermill", "nbdev>=3"),
    )
    path_in = {"PATH": os.pathsep.join([str(python.parent), notebooks.env["PATH"]])}
    out = notebooks.folder / "out.ipynb"
    command = [python.parent / "papermill", notebooks.write(*PLAIN), out, "--cwd", notebooks.folder]
    done = notebooks.run(*command, CACHY="auto", **path_in)
    assert done.returncode == 0, done.stderr
    assert outputs(out)[1:] == ["'one! (1)'", "'two! (2)'"]
    provider.stop()
    done = notebooks.run(*command, CACHY="replay", **path_in)
    assert done.returncode == 0, done.stderr
    assert outputs(out)[1:] == ["'one! (1)'", "'two! (2)'"]
    out.unlink()

    # nbdev's tests run in its own process, in the project.
    notebooks.write(
        "from ask import ask", "%load_ext cachy\n%cachy replay", "assert ask('one') == 'one! (1)'"
    )
    table = (
        '[project]\nname = "example"\nversion = "0.1"\n[tool.nbdev]\nnbs_path = "nbs"\nlib_path = "example"\n'
    )
    (notebooks.root / "project" / "pyproject.toml").write_text(table)
    notebooks.root = notebooks.root / "project"
    done = notebooks.run(python.parent / "nbdev-test", "--n-workers", "0", **path_in)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Success." in done.stdout
    assert "cachy  1 replayed" in done.stderr
