"""The start-up door of `cachy-run`: Python runs a module of this name, found through PYTHONPATH, at its start.

It starts the cachy beside it, also in an environment that has none or another one, then makes way for the
sitecustomize that would have run without us. Any Python must be able to read this file, the oldest included.
"""

import os
import sys


def _start(package):
    """Start the cachy that lies in the folder `package`, and make nothing else in its environment importable."""
    present = sys.modules.get("cachy")
    if present is not None and os.path.dirname(os.path.realpath(present.__file__)) != os.path.realpath(package):
        # Another version, started by the environment's own cachy.pth. The settings were made by ours.
        sys.meta_path[:] = [f for f in sys.meta_path if not type(f).__module__.startswith("cachy.")]
        for name in [name for name in sys.modules if name.partition(".")[0] == "cachy"]:
            del sys.modules[name]
        present = None
    if present is None:
        # importlib.util would cost a fifth of an interpreter start; these two are loaded in every interpreter.
        external = sys.modules["_frozen_importlib_external"]
        spec = external.spec_from_file_location(
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
            sys.stderr.write("cachy: could not start (%s: %s); calls go out live\n" % (type(problem).__name__, problem))
        except Exception:
            pass

# From here on everything is as without us: this folder leaves the path, and the next sitecustomize is imported
# in our place. That there is none, or that it fails, is reported to Python's site module by the same exception.
sys.path[:] = [entry for entry in sys.path if entry != _here]
del sys.modules["sitecustomize"]
import sitecustomize  # noqa: E402, F401
