"""`cachy completion SHELL`: a script that has the shell ask `cachy --complete` what may come next."""

from __future__ import annotations

import contextlib
import io
import re
from itertools import islice

from .parsing import Parser

_SCRIPTS = {
    "bash": """\
_cachy() {
    local IFS=$'\\n'
    COMPREPLY=($(cachy --complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _cachy cachy
""",
    "zsh": """\
#compdef cachy
_cachy() {
    local -a found
    found=("${(@f)$(cachy --complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    compadd -a found || _files
}
compdef _cachy cachy
""",
    "fish": """\
complete -c cachy -a '(cachy --complete (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
""",
}
_EXAMPLES = """\
  source <(cachy completion bash)                                    in ~/.bashrc
  source <(cachy completion zsh)                                     in ~/.zshrc
  cachy completion fish > ~/.config/fish/completions/cachy.fish"""
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
_TAKE_KEYS = ("show", "rm", "diff")
_MOST = 50  # keys that are offered


def main(argv: list[str]) -> int:
    """`cachy completion bash|zsh|fish`: print the script."""
    parser = Parser(
        "completion", "Print the script that completes verbs, options and keys in a shell.", _EXAMPLES
    )
    parser.add_argument("shell", choices=_SCRIPTS)
    print(_SCRIPTS[parser.parse_args(argv).shell], end="")
    return 0


def candidates(words: list[str], verbs: list[str]) -> list[str]:
    """What may stand in the place of the last of these words, which may be empty. Never raises."""
    *before, begun = words or [""]
    try:
        if not before:
            found = verbs
        elif begun.startswith("-"):
            found = _options(before[0])
        elif before[0] in _TAKE_KEYS:
            found = [*_keys(before, begun), *(["@last"] if before[0] == "diff" else [])]
        else:
            found = []
    except Exception:  # noqa: BLE001 - nothing may disturb somebody who types
        return []
    return [word for word in found if word.startswith(begun)]


def _options(verb: str) -> list[str]:
    """The options that the help of a verb names."""
    from . import main as run

    shown = io.StringIO()
    silent = contextlib.redirect_stderr(io.StringIO())
    with contextlib.redirect_stdout(shown), silent, contextlib.suppress(SystemExit):
        run([verb, "--help"])
    return sorted(set(_OPTION.findall(shown.getvalue())))


def _keys(before: list[str], begun: str) -> list[str]:
    from . import shelf

    parser = shelf.parser(before[0], "")
    options, _ = parser.parse_known_args([word for word in before[1:] if word != "--json"])
    store = shelf.opened(options)
    digits = shelf.digits(store)
    return [key[:digits] for key in islice((key for key in store.all_keys() if key.startswith(begun)), _MOST)]
