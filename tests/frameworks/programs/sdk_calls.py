"""Makes the calls of the SDK tests, with the sync or the async client: `sdk_calls.py openai sync [CALL...]`."""

import importlib
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import pytest
from telling import main

pytest.register_assert_rewrite = lambda *names: None
name, way, *sys.argv[1:] = sys.argv[1:]
calls = importlib.import_module(f"sdk.test_{name}")
ask = {"sync": calls.sync, "async": calls.asynchronous}[way]


def made(call):
    return lambda: repr(ask(call, os.environ["PROVIDER_URL"]))


main({kind: made(call) for kind, call in calls.CALLS.items()})
