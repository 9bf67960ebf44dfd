"""`cachy init --ci`: the job that replays what is committed, where the service looks for it."""

from __future__ import annotations

import json
import os
import shlex

from .git import asked
from .talk import for_programs, say

# The same stands in docs/ci.md; a test compares them, and runs the commands.
_GITHUB = """\
# Replays what is committed. A call without a recording fails, and no key is needed.
on: [push, pull_request]
permissions:
  contents: read
jobs:
  tests:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - run: pip install . pytest cachy-run
      - run: pytest --cachy replay --cachy-fail-on live,miss,escaped
      - run: cachy verify
"""
_GITLAB = """\
# Replays what is committed. A call without a recording fails, and no key is needed.
tests:
  image: python:3.12
  script:
    - pip install . pytest cachy-run
    - pytest --cachy replay --cachy-fail-on live,miss,escaped
    - cachy verify
"""
SERVICES = {"github": (".github/workflows/cachy.yml", _GITHUB), "gitlab": (".gitlab-ci.yml", _GITLAB)}
"""Of each service, where it looks for a job, seen from the root of the repository, and the job."""


def add(project: str, service: str) -> None:
    """Write the job of a project in the file of its repository, or print it when there is such a file. Raises OSError."""
    name, job = SERVICES[service]
    root = asked(project, "rev-parse", "--show-toplevel") or project
    job = _within(os.path.relpath(os.path.realpath(project), os.path.realpath(root)), job)
    path = os.path.join(root, *name.split("/"))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    try:
        with open(path, "x", encoding="utf-8", newline="\n") as file:
            file.write(job)
    except FileExistsError:
        with open(path, encoding="utf-8", errors="replace") as file:
            if file.read() == job:
                say(f"{path} has its job already")
                return
        say(f"{path} is there already; what it needs is this:")
        for_programs()
        print(job, end="", flush=True)
    else:
        say(f"{path} written; see that it installs your project as the tests need it")


def _within(folder: str, job: str) -> str:
    """The same job for a project that is not the whole repository: its commands run in `folder` (`.`: it is)."""
    if folder == ".":
        return job
    folder = folder.replace(os.sep, "/")
    at = f"    defaults:\n      run:\n        working-directory: {json.dumps(folder)}\n    steps:\n"
    cd = f"  script:\n    - {json.dumps(f'cd {shlex.quote(folder)}')}\n"
    return job.replace("    steps:\n", at).replace("  script:\n", cd)
