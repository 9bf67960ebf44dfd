"""cachy records the LLM and HTTP API calls of a program once and replays them for ever.

Nothing is imported here: `import cachy` costs next to nothing, each name is loaded when it is first used.

(For pytest, which would rewrite what a package with a plugin asserts, and warn as this module is there before it:
PYTEST_DONT_REWRITE)
"""

TYPE_CHECKING = False  # `typing` is not imported at start-up; type checkers know the name
if TYPE_CHECKING:
    from .api import bypass, disable, enable, stats, using
    from .errors import Miss
    from .pycachy import cachy, disable_cachy, doms, enable_cachy, no_cachy
    from .repeats import variant
    from .tally import Stats
    from .transports.httpx import AsyncTransport, Transport

__all__ = [
    "AsyncTransport",
    "Miss",
    "Stats",
    "Transport",
    "__version__",
    "bypass",
    "cachy",
    "disable",
    "disable_cachy",
    "doms",
    "enable",
    "enable_cachy",
    "no_cachy",
    "stats",
    "using",
    "variant",
]

__version__ = "0.1.0"

_HOMES = {
    "AsyncTransport": "transports.httpx",
    "Miss": "errors",
    "Stats": "tally",
    "Transport": "transports.httpx",
    "bypass": "api",
    "cachy": "pycachy",
    "disable": "api",
    "disable_cachy": "pycachy",
    "doms": "pycachy",
    "enable": "api",
    "enable_cachy": "pycachy",
    "load_ipython_extension": "ipython",
    "no_cachy": "pycachy",
    "stats": "api",
    "unload_ipython_extension": "ipython",
    "using": "api",
    "variant": "repeats",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'cachy' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"cachy.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> "list[str]":
    return sorted(__all__)
