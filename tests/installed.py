"""Copies of what is installed beside the tests, for environments that must be made without a network."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
from pathlib import Path


def copy(folder: Path, *names: str) -> Path:
    """Copy these distributions and all that they need into `folder`, and return it.

    What is not installed here is left out: requirements of other Pythons and systems are not.
    """
    todo, done = list(names), set()
    while todo:
        name = todo.pop()
        if name in done:
            continue
        done.add(name)
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        todo += [re.split(r"[^\w.-]", need)[0] for need in found.requires or [] if "extra ==" not in need]
        for file in found.files or []:
            if ".." not in file.parts and "__pycache__" not in file.parts:
                target = folder / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(found.locate_file(file)), target)
    return folder
