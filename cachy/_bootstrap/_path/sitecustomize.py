"""The start-up door of `cachy-run`: a module of this name, found through PYTHONPATH, runs when Python starts.

It starts the cachy that it is a part of, also in an environment that has none or another one, then makes way
for the sitecustomize that would have run without us. Any Python, even 2.7, must be able to read this file.
"""
# mypy: ignore-errors
# ruff: noqa: BLE001, UP031, UP036

import os
import sys


def _start(package):
    """Start the cachy in the folder `package`, and make nothing else that is installed there importable."""
    present = sys.modules.get("cachy")
    if present is not None and os.path.realpath(present.__path__[0]) != os.path.realpath(package):
        # Another version, started by the environment's own cachy.pth; but the settings were made by ours.
        sys.meta_path[:] = [f for f in sys.meta_path if not type(f).__module__.startswith("cachy.")]
        for name in [name for name in sys.modules if name.partition(".")[0] == "cachy"]:
            del sys.modules[name]
        present = None
    if present is None:
        # What importlib.util would do; but that costs a fifth of an interpreter's start, these two nothing.
        spec = sys.modules["_frozen_importlib_external"].spec_from_file_location(
            "cachy", os.path.join(package, "__init__.py"), submodule_search_locations=[package]
        )
        sys.modules["_frozen_importlib"]._load(spec)
    import cachy._bootstrap  # noqa: F401


_here = os.path.dirname(__file__)
if sys.version_info >= (3, 10):
    try:
        _start(os.path.dirname(os.path.dirname(_here)))
    except Exception as problem:
        try:
            sys.stderr.write("cachy: not started (%s: %s)\n" % (type(problem).__name__, problem))
        except Exception:
            pass

# From here on all is as without us: this folder leaves the path, and the next sitecustomize is imported in
# our place. That there is none, or that it fails, reaches Python's start-up code by the same exception.
sys.path[:] = [entry for entry in sys.path if entry != _here]
_ours = sys.modules.pop("sitecustomize")  # kept: Python 2 clears the globals of a module that is let go
import sitecustomize  # noqa: E402, F401
