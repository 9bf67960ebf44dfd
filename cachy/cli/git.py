"""What git says of the folder that the recordings lie in."""

from __future__ import annotations

import re
import subprocess

_RULE = re.compile(r"(.+?:\d+):(.*)\t")
"""Source, line and pattern of a rule: https://git-scm.com/docs/git-check-ignore, "Output"."""


def asked(folder: str, *words: str) -> str | None:
    """What git answers; None when it fails or is not there."""
    try:
        done = subprocess.run(
            ["git", *words], cwd=folder, capture_output=True, encoding="utf-8", errors="replace", check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def ignoring(folder: str, name: str) -> str:
    """The rule by which git ignores a file that is not tracked, as `*.jsonl (.gitignore:3)`; "" when it does not, or is
    not there."""
    # Asked twice: --verbose also names a rule that lets the file through.
    if not asked(folder, "check-ignore", "--", name):
        return ""
    told = _RULE.match(asked(folder, "check-ignore", "--verbose", "--", name) or "")
    return f"{told[2]} ({told[1]})" if told else "its rule"
