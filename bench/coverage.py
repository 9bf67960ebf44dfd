"""Which calls of which SDKs and frameworks are recorded and replayed: run, counted, and written to docs/coverage.md.

    python bench/coverage.py [NAME...]

Each program of `tests/frameworks` runs twice against a provider on loopback: live, and in a fresh process with the
provider gone. Names leave out all others and print the page instead of writing it.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import tempfile
from pathlib import Path

TREE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TREE / "tests"))

from environments import clean  # noqa: E402
from frameworks.running import SUITES, Run, Suite, environment, provider_for, twice, version  # noqa: E402

PAGE = TREE / "docs" / "coverage.md"
HEAD = """# What is covered

Made by `python bench/coverage.py` with Python {python}; not written by hand. Each program of `tests/frameworks` ran twice with nothing but `CACHY=1`: live against a provider on loopback, then in a fresh process with the provider gone.

*requests*: how many reached the provider live; *recorded*: how many recordings they left; *replayed*: whether the fresh process saw the same answers; *sent again*: how many connections it asked for meanwhile.

"""
COLUMNS = "| call | requests | recorded | replayed | sent again |\n|---|---|---|---|---|\n"


def built(folder: Path) -> Path:
    """The wheel of this tree."""
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(words, cwd=TREE, env=clean(), check=True, stdout=subprocess.DEVNULL)
    (wheel,) = folder.glob("*.whl")
    return wheel


def section(suite: Suite, of: str, live: Run, again: Run) -> str:
    """One heading and its table."""
    seen = {part.name: part for part in again.parts}
    lines = []
    for part in live.parts:
        after = seen.get(part.name)
        if part.name in suite.not_covered:
            said, sent = f"no: {suite.not_covered[part.name]}", "–"
        else:
            said = "yes" if after and after.seen == part.seen else "**no**"
            sent = str(after.requests) if after else "–"
        lines.append(f"| {part.name} | {part.requests} | {part.recorded} | {said} | {sent} |\n")
    kind = f" ({suite.kind})" if suite.kind else ""
    return f"## {suite.distribution} {of}{kind}\n\n{COLUMNS}{''.join(lines)}"


def measured(suite: Suite, wheel: Path, folder: Path) -> str:
    folder.mkdir()
    python = environment(suite, wheel, folder)
    provider = provider_for(suite)
    try:
        live, again = twice(suite, python, provider, folder)
    finally:
        provider.stop()
    if live.status or again.status:
        raise SystemExit(f"{suite.name} failed:\n{live.stderr}{again.stderr}")
    return section(suite, version(suite, python), live, again)


def main() -> None:
    chosen = [suite for suite in SUITES if not sys.argv[1:] or suite.distribution in sys.argv[1:]]
    sections = []
    with tempfile.TemporaryDirectory() as place:
        wheel = built(Path(place))
        for number, suite in enumerate(chosen):
            print(suite.name, file=sys.stderr)
            sections.append(measured(suite, wheel, Path(place) / str(number)))
    page = HEAD.format(python=platform.python_version()) + "\n".join(sections)
    if sys.argv[1:]:
        print(page)
    else:
        PAGE.write_text(page, "utf-8")


if __name__ == "__main__":
    main()
