"""The parser of a verb: argparse, with a guess at what a mistyped option was meant to be."""

from __future__ import annotations

import argparse
from textwrap import fill
from typing import NoReturn

_WIDTH = 78  # characters of a description


def number(text: str) -> int:
    """The type of an option that counts. Raises ArgumentTypeError."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"a number such as 10, not {text!r}")
    return int(text)


class Parser(argparse.ArgumentParser):
    """A parser whose error names the option that was probably meant."""

    def __init__(self, verb: str, what: str, examples: str = "") -> None:
        super().__init__(
            prog=f"cachy {verb}",
            description=fill(what, _WIDTH),
            epilog=f"examples:\n{examples}" if examples else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """As argparse has it (status 2), with a guess."""
        from difflib import get_close_matches

        for word in message.split():
            option = word.partition("=")[0].rstrip(":")  # "argument --limit: ..." names one that is right
            if option.startswith("--") and option not in self._option_string_actions:
                # The dashes, which all have in common, would make any two of them alike.
                names = [name[2:] for name in self._option_string_actions if name.startswith("--")]
                for meant in get_close_matches(option[2:], names, 1):
                    message += f"; did you mean --{meant}?"
        super().error(message)
