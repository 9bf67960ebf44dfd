"""urllib3 1.26 with the requests and boto3 of its time: the same tests, in an environment of their own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from environments import TREE, clean, environment

pytestmark = pytest.mark.slow

GENERATION = ("urllib3>=1.26.20,<2", "requests>=2.28,<2.29", "boto3>=1.34.120,<1.35")
NAMES = ("urllib3_pools", "urllib3_bodies", "urllib3_requests", "urllib3_botocore", "matrix")
TESTS = [f"tests/transports/test_{name}.py" for name in NAMES]


def test_the_previous_generation(wheel: Path, tmp_path: Path) -> None:
    """What holds for the newest urllib3, requests and boto3 holds for those of 2022 to 2024."""
    python = environment(tmp_path, wheel, (*GENERATION, "pytest", "hypothesis"))
    # The script, not `python -m pytest`, which would put the tree in front of what is installed.
    script = python.with_name("pytest" + python.suffix)
    done = subprocess.run(
        [str(script), "-q", "-p", "no:cacheprovider", *TESTS],
        cwd=TREE,
        env=clean(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "boto3" not in done.stdout  # nothing was skipped for want of it
