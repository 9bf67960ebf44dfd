"""The `cachy` command. Each verb lives in its own file, imported when it is used.

Data goes to stdout, talk to stderr. Exit status: 0 fine, 1 something was found, 2 wrong usage or an I/O error.
"""

from __future__ import annotations

import io
import sys

VERBS = {
    "run": ("run", "record and replay a command and all Python processes it starts (also: cachy-run)"),
    "demo": ("demo", "see it work, with no key and no network"),
    "ls": ("browse", "list recordings, by provider, model, text, test, age, status"),
    "show": ("browse", "one recording as a conversation"),
    "search": ("browse", "find words in questions and answers"),
    "diff": ("compare", "why two requests are not the same recording"),
    "stats": ("counting", "how many recordings, tokens, seconds, dollars; by provider, model, test"),
    "rm": ("tend", "delete recordings by key"),
    "prune": ("tend", "delete those that are unused, old, of a provider or model"),
    "compact": ("tend", "drop what is no longer needed from the file"),
    "verify": ("check", "is every recording whole, under its key, and without secrets"),
    "rekey": ("rekey", "bring recordings under the keys of today's settings"),
    "copy": ("moving", "copy recordings from one store to another"),
    "import": ("importing", "take over cassettes of vcrpy, HAR files, files of pycachy"),
    "export": ("exporting", "hand recordings on, as a HAR file or a cassette of vcrpy"),
    "doctor": ("doctor", "why is nothing cached? looks at everything, tries every client"),
    "config": ("setup", "every setting, its value, and where it came from"),
    "init": ("init", "switch cachy on for the project in this folder"),
    "trust": ("setup", "let this project's pyproject.toml switch cachy on"),
    "completion": ("completion", "completion for bash, zsh, fish"),
    "textconv": ("browse", "a file of recordings as conversations, for git diff"),
}
"""The file of each verb, and what it is for in a few words."""

_HELP = """usage: cachy VERB [OPTIONS]

examples:
  CACHY=1 python script.py       record the first run, replay every later one
  cachy-run pytest               the same for any command, in any environment
  cachy init                     switch it on for a project
  cachy config                   what is set, and where

verbs:
{verbs}

`cachy VERB --help` tells more. `cachy --version` prints the version.
"""


def step_aside() -> None:
    """This process is nobody's program: what it imports for itself is not to be hooked, nor told of."""
    hooks = sys.modules.get("cachy.hooks")  # there when CACHY or a project has switched cachy on
    if hooks is not None:
        hooks.uninstall()


def main(argv: list[str] | None = None) -> int:
    """Run one verb; its exit status. SystemExit for wrong usage, as argparse raises it."""
    if argv is None:
        step_aside()
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="replace")  # what the terminal has no sign for is no reason to stop
    arguments = sys.argv[1:] if argv is None else argv
    verb = arguments[0] if arguments else "--help"
    if verb in ("-h", "--help", "help"):
        width = max(map(len, VERBS))
        print(
            _HELP.format(verbs="\n".join(f"  {name:<{width}}  {what}" for name, (_, what) in VERBS.items())),
            end="",
        )
        return 0
    if verb in ("-V", "--version"):
        from .. import __version__

        print(f"cachy {__version__}")
        return 0
    if verb == "--complete":
        from .completion import candidates

        print(*candidates(arguments[1:], list(VERBS)), sep="\n")
        return 0
    if verb not in VERBS:
        from difflib import get_close_matches

        near = get_close_matches(verb, VERBS, 1)
        hint = f"; did you mean `cachy {near[0]}`?" if near else ""
        print(f"cachy: there is no verb {verb!r}{hint}\nSee `cachy --help`.", file=sys.stderr)
        return 2
    from importlib import import_module

    module = import_module(f".{VERBS[verb][0]}", __name__)
    name = "import_" if verb == "import" else verb  # which is no name that a function can have
    run = module.main if VERBS[verb][0] == verb else getattr(module, name)
    try:
        status = int(run(arguments[1:]))
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever reads has seen enough (`cachy config | head`). Python would complain at exit that it cannot flush.
        import os

        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as problem:
        from .talk import told

        if not told(problem):
            raise
        return 2
    finally:
        if (shelf := sys.modules.get(f"{__name__}.shelf")) is not None:
            shelf.close()
