"""Lets one description of calls run with the sync and with the async client of an SDK.

`python ask_openai.py sync:1 async:2` asks the questions number 1 with the sync client, without any event loop,
then those number 2 with the async client, and prints all answers as one JSON object.
"""

import asyncio
import inspect
import json
import sys


async def taken(value):
    """The value, awaited when the client is async."""
    return await value if inspect.isawaitable(value) else value


async def each(stream):
    """The items of a stream of either kind, as a list."""
    if hasattr(stream, "__aiter__"):
        return [item async for item in stream]
    return list(stream)


def run(flavour, coroutine):
    """Run a coroutine: an `async` one on an event loop, a `sync` one, which never waits, without any."""
    if flavour == "async":
        return asyncio.run(coroutine)
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise RuntimeError("a sync client made its caller wait")


def plain(answer):
    """What the provider said, without what this version of the SDK adds."""
    return answer.model_dump(mode="json", exclude_unset=True, exclude={"sdk_http_response"})


def main(calls, sync_client, async_client):
    """`calls(client, number)` is a coroutine function that returns the answers by kind of call."""
    clients = {"sync": sync_client, "async": async_client}
    printed = {}
    for word in sys.argv[1:]:
        flavour, _, number = word.partition(":")

        async def asked(flavour=flavour, number=number):
            return await calls(clients[flavour](), number)

        printed[word] = run(flavour, asked())
    print(json.dumps(printed))
