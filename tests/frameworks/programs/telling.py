"""How each program here tells what it saw: one JSON line for each part; it goes on when its reader says so.

The reader counts in between what has reached the provider, so that it knows what each part has sent.
"""

import json
import sys


def main(parts):
    """Run the parts named on the command line, or all of them."""
    for name in sys.argv[1:] or parts:
        print("\n" + json.dumps([name, parts[name]()], sort_keys=True), flush=True)
        sys.stdin.readline()


def weather(city: str) -> str:
    """The weather of a city.

    Args:
        city: the name of the city.
    """
    return f"{city}: sun"


QUESTION = "Which city has sun? Find out in 3 steps."
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
