"""The clients' own test suites, with cachy active and without: `python bench/harmless/suites.py [NAME ...]`.

For each client: its released source distribution, its release from the index, what its tests need, and the tree of
cachy, in an environment of its own; then its own tests, once with `CACHY=0` and once with `CACHY=1`. No host matches,
so not one test may fail that does not fail without. Tests that fail in one of the two are run again, both ways, until
they agree or `--again` is used up: some of these suites are not stable by themselves. Needs uv and pip.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Suite:
    """One client: what its tests need, how they are run, and what is true when it is patched."""

    needs: tuple[str, ...]
    patched: str
    pytest: tuple[str, ...] = ()
    beside: str = ""
    """The folder of the source distribution that Python would import in the place of what is installed."""
    env: dict[str, str] = field(default_factory=dict)


SUITES = {
    "urllib3": Suite(
        needs=("urllib3[socks,brotli,h2]", "pytest", "pytest-timeout", "pytest-socket", "trustme", "trio", "anyio[trio]",
               "hypercorn", "quart", "quart-trio", "httpx", "pysocks", "h2", "idna", "cryptography", "pyopenssl"),
        patched="import urllib3; assert 'cachy' in urllib3.HTTPConnectionPool.urlopen.__module__",
        pytest=("test", "--ignore=test/contrib/emscripten", "--timeout=120"),
    ),
    "httpx": Suite(
        needs=("httpx[brotli,cli,http2,socks,zstd]", "pytest<9", "chardet", "cryptography", "trio", "trio-typing",
               "trustme", "uvicorn"),
        patched="import httpx; assert 'cachy' in httpx.Client._transport_for_url.__module__",
        pytest=("tests",),
        beside="httpx",
    ),
    "aiohttp": Suite(
        needs=("aiohttp[speedups]", "pytest>=8.4", "pytest-cov", "pytest-mock", "pytest-timeout", "pytest-xdist",
               "blockbuster", "freezegun", "gunicorn", "isal; python_version < '3.14'", "pkgconfig", "proxy.py>=2.4.4rc5",
               "python-on-whales", "re-assert", "trustme", "uvloop; platform_system != 'Windows'", "zlib_ng"),
        patched="import aiohttp; assert hasattr(aiohttp.BaseConnector.connect, '__cachy_original__')",
        pytest=("tests", "-o", "addopts=", "-m", "not dev_mode and not autobahn and not internal", "-n", "2",
                "--timeout=120", "--ignore-glob=*test_benchmarks*"),
        beside="aiohttp",
    ),
    "requests": Suite(
        needs=("requests[socks]", "pytest<10", "pytest-httpbin==2.1.0", "httpbin~=0.10.0", "pytest-mock", "trustme"),
        patched="import requests, urllib3; assert 'cachy' in urllib3.HTTPConnectionPool.urlopen.__module__",
        pytest=("tests",),
    ),
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(SUITES), metavar="NAME", help=", ".join(SUITES))
    parser.add_argument("--again", type=int, default=3, help="how often tests that disagree are run again")
    parser.add_argument(
        "--tests", action="append", metavar="GLOB", help="only these files, below the suite's folder"
    )
    parser.add_argument("--keep", type=Path, help="a folder to work in and to keep")
    options = parser.parse_args()
    work = options.keep or Path(tempfile.mkdtemp())
    print("| client | version | tests | fail without | fail with | new failures |\n|---|---|---|---|---|---|")
    worse = False
    try:
        for name in options.names:
            row, new = compare(name, SUITES[name], work / name, options.again, options.tests)
            print(row, flush=True)
            for test in sorted(new):
                print(f"    {test}")
            worse = worse or bool(new)
    finally:
        if not options.keep:
            shutil.rmtree(work, ignore_errors=True)
    return int(worse)


def compare(name: str, suite: Suite, work: Path, again: int, tests: list[str] | None) -> tuple[str, set[str]]:
    tree = unpacked(name, suite.beside, work)
    if tests:
        folder, *options = suite.pytest
        chosen = [
            str(path.relative_to(tree)) for glob in tests for path in sorted((tree / folder).glob(glob))
        ]
        suite = replace(suite, pytest=(*chosen, *options))
    version = tree.name.rpartition("-")[2]
    python = environment(name, version, suite, work)
    run([python, "-c", suite.patched], work, {"CACHY": "1"}, check=True)
    without, with_us = (results(suite, python, tree, work, wish) for wish in ("0", "1"))
    new = failed(with_us) - failed(without)
    for _ in range(again):
        if not new:
            break
        once_more = [results(suite, python, tree, work, wish, new) for wish in ("0", "1")]
        new &= failed(once_more[1]) - failed(once_more[0])
    new |= {test for test, outcome in without.items() if outcome == "passed" and test not in with_us}
    counts = f"{len(without)} | {len(failed(without))} | {len(failed(with_us))} | {len(new)}"
    return f"| {name} | {version} | {counts} |", new


def unpacked(name: str, beside: str, work: Path) -> Path:
    """The released source distribution."""
    work.mkdir(parents=True, exist_ok=True)
    if not list(work.glob("*.tar.gz")):
        words = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--no-binary",
            ":all:",
            name,
        ]
        run([*words, "-d", work], work, {}, check=True)
    (archive,) = work.glob("*.tar.gz")
    tree = work / archive.name.removesuffix(".tar.gz")
    if not tree.exists():
        shutil.unpack_archive(archive, work)
    if beside:
        shutil.rmtree(tree / beside, ignore_errors=True)
    return tree


def environment(name: str, version: str, suite: Suite, work: Path) -> Path:
    folder = work / "venv"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        uv = shutil.which("uv") or sys.exit("bench/harmless needs uv: pip install uv")
        run([uv, "venv", "--quiet", "--python", sys.executable, folder], work, {}, check=True)
        install = [uv, "pip", "install", "--quiet", "--python", python]
        run([*install, *suite.needs, f"{name}=={version}", ROOT], work, {}, check=True)
    return python


def results(
    suite: Suite, python: Path, tree: Path, work: Path, wish: str, only: set[str] | None = None
) -> dict[str, str]:
    """What became of each test, by its name; `only` these are looked at, whatever else has to be run with them."""
    report = work / f"report-{wish}.xml"
    report.unlink(missing_ok=True)
    # The release is tested, not the source beside the tests.
    words = [
        python,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-o",
        "pythonpath=",
        f"--junitxml={report}",
    ]
    files = sorted({test.partition("::")[0] for test in only or ()})
    chosen = [*files, *options_of(suite)] if files else suite.pytest
    home = work / f"home-{wish}"
    home.mkdir(exist_ok=True)
    env = {"CACHY": wish, "HOME": str(home), "XDG_CACHE_HOME": str(home), **suite.env}
    done = run([*words, *chosen], tree, env)
    if not report.exists():
        sys.exit(f"pytest did not run:\n{done.stdout}\n{done.stderr}")
    (work / f"output-{wish}.txt").write_text(done.stdout + done.stderr, encoding="utf-8")
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        outcome = next(
            (child.tag for child in case if child.tag in ("failure", "error", "skipped")), "passed"
        )
        found[f"{path_of(case, tree)}::{case.get('classname')}::{case.get('name')}"] = outcome
    return found


def options_of(suite: Suite) -> tuple[str, ...]:
    """What stands behind the folder or the files of the tests."""
    first = next((at for at, word in enumerate(suite.pytest) if word.startswith("-")), len(suite.pytest))
    return suite.pytest[first:]


def path_of(case: ElementTree.Element, tree: Path) -> str:
    """The file of a test, from the dotted name of its module or class."""
    parts = (case.get("classname") or "").split(".")
    for end in range(len(parts), 0, -1):
        path = Path(*parts[:end]).with_suffix(".py")
        if (tree / path).exists():
            return str(path)
    return ""


def failed(found: dict[str, str]) -> set[str]:
    return {test for test, outcome in found.items() if outcome in ("failure", "error")}


def run(
    words: list[object], cwd: Path, env: dict[str, str], check: bool = False
) -> subprocess.CompletedProcess[str]:
    foreign = ("CACHY", "PYTHON", "PYTEST", "XDG_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(foreign) and k != "CI"}
    command = [str(word) for word in words]
    done = subprocess.run(command, cwd=cwd, env=kept | env, capture_output=True, text=True, check=False)
    if check and done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
    return done


if __name__ == "__main__":
    sys.exit(main())
