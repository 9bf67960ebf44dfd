"""Imports run one way: a module never imports, at its top, one that stands above it."""

from __future__ import annotations

import ast
from pathlib import Path

import cachy

ROOT = Path(cachy.__file__).parent

# From the bottom up; what is not named belongs to the nearest package that is.
LAYERS = [
    {
        "",
        "errors",
        "clocks",
        "notices",
        "exchange",
        "trust",
        "redact",
        "key_shapes",
        "sign_in",
        "multipart",
        "_bootstrap",
        "hooks",
        "paths",
        "patterns",
        "report.terminal",
        "culprit",
        "aside",
        "verdicts",
        "blocks",
    },
    {"settings", "recording", "echo", "ignore", "streaming", "flights"},
    {"keys", "providers", "stores", "legacy", "tally", "uploads"},
    {"placeholders"},
    {"policy", "repeats", "recorded", "redirects", "drift"},
    {"calls", "engine", "explain"},
    {"session"},
    {"guard", "children"},
    {"transports"},
    {"api", "pycachy"},
    {"report", "formats"},
    {"cli", "demo", "__main__", "pytest_plugin", "pytest_run", "ipython"},
]
CLIENTS = {"httpx", "httpx2", "requests", "urllib3", "aiohttp", "openai", "anthropic"}


def layer(module: str) -> int:
    name = module
    while True:
        for height, names in enumerate(LAYERS):
            if name in names:
                return height
        if not name:
            raise AssertionError(f"cachy.{module} has no layer")
        name = name.rpartition(".")[0]


def modules() -> dict[str, ast.Module]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        relative = path.relative_to(ROOT).with_suffix("")
        if relative.name == "sitecustomize":
            continue  # stands alone: it runs before any of this can be imported
        name = ".".join(relative.parts).removesuffix("__init__").rstrip(".")
        found[name] = ast.parse(path.read_text("utf-8"))
    return found


def top_imports(name: str, tree: ast.Module, is_package: bool) -> list[str]:
    """Absolute names of what a module imports at its top, outside `if TYPE_CHECKING`."""
    found = []
    here = ["cachy", *name.split(".")] if name else ["cachy"]
    for node in tree.body:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if not node.level:
                found.append(node.module or "")
                continue
            base = here if is_package else here[:-1]
            base = base[: len(base) - (node.level - 1)]
            target = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{target}.{alias.name}" for alias in node.names]
            # `from . import redact` imports a module, `from .redact import mask` a name of one.
            found += [
                n
                if (ROOT / n.removeprefix("cachy.").replace(".", "/")).with_suffix(".py").exists()
                else target
                for n in names
            ]
    return found


def test_no_module_imports_one_above_it() -> None:
    """Every top-level import goes sideways or down."""
    wrong = []
    for name, tree in modules().items():
        package = (ROOT / name.replace(".", "/") / "__init__.py").exists()
        for target in top_imports(name, tree, package):
            if target.partition(".")[0] == "cachy":
                short = target.removeprefix("cachy").lstrip(".")
                if layer(short) > layer(name):
                    wrong.append(f"cachy.{name} imports {target}")
    assert wrong == []


def test_no_module_imports_an_http_client_at_its_top() -> None:
    """A client is an argument, never an import: importing httpx ourselves would break `httpx2.alias_httpx()`."""
    wrong = [
        f"cachy.{name} imports {target}"
        for name, tree in modules().items()
        if not name.startswith("demo")
        for target in top_imports(name, tree, False)
        if target.partition(".")[0] in CLIENTS
    ]
    assert wrong == []


def test_no_module_is_longer_than_350_lines() -> None:
    """A reader can hold each module in the head."""
    long = {
        path.name: n for path in ROOT.rglob("*.py") if (n := len(path.read_text("utf-8").splitlines())) > 350
    }
    assert long == {}
