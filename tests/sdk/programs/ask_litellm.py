"""Makes every kind of call through LiteLLM and prints what it saw, one JSON line for each.

What LiteLLM makes up itself is left out: the time, and ids where the provider gives none.
"""

import asyncio
import json
import sys

import litellm

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "?", "parameters": PARAMETERS}}]
MODELS = ["openai/gpt-5.2", "anthropic/claude-opus-5", "gemini/gemini-3-flash"]
EMBEDDING_MODELS = ["openai/text-embedding-4", "gemini/gemini-embedding-2"]
MADE_UP = ("created", "id")


def question(how):
    """Another one for each way to ask, so that none replays what another one recorded."""
    return [{"role": "user", "content": f"Which city? 你好 ({how})"}]


def seen(answer):
    if not hasattr(answer, "model_dump"):
        return [seen(item) for item in answer]
    facts = answer.model_dump(mode="json", warnings=False)
    return {name: value for name, value in facts.items() if name not in MADE_UP}


async def seen_async(answer):
    return [seen(item) async for item in answer] if hasattr(answer, "__aiter__") else seen(answer)


def tell(name, what):
    print(json.dumps([name, what], sort_keys=True))


def sync():
    for model in MODELS:
        tell(f"{model} completion", seen(litellm.completion(model, question("sync"))))
        tell(f"{model} stream", seen(litellm.completion(model, question("sync"), stream=True)))
    for model in EMBEDDING_MODELS:
        tell(f"{model} embedding", seen(litellm.embedding(model, ["sync", "three"])))


async def asynchronous():
    for model in MODELS:
        tell(f"{model} completion", await seen_async(await litellm.acompletion(model, question("async"))))
        tell(
            f"{model} stream",
            await seen_async(await litellm.acompletion(model, question("async"), stream=True)),
        )
    for model in EMBEDDING_MODELS:
        tell(f"{model} embedding", await seen_async(await litellm.aembedding(model, ["async", "three"])))


def tools():
    # Not with Gemini: LiteLLM makes up ids of its calls, and sends them along.
    for model in MODELS[:2]:
        messages = question("tools")
        first = litellm.completion(model, messages, tools=TOOLS)
        asked = first.choices[0].message
        call = asked.tool_calls[0]
        result = {"role": "tool", "tool_call_id": call.id, "name": "weather", "content": "sun"}
        second = litellm.completion(model, [*messages, asked, result], tools=TOOLS)
        tell(f"{model} tool loop", [call.function.model_dump(), seen(second)])


def errors():
    async def asked(model, **more):
        return await seen_async(await litellm.acompletion(model, question("errors"), **more))

    for model in MODELS:
        for ask in (
            lambda model: seen(litellm.completion(model, question("errors"))),
            lambda model: seen(litellm.completion(model, question("errors"), stream=True)),
            lambda model: asyncio.run(asked(model)),
            lambda model: asyncio.run(asked(model, stream=True)),
        ):
            try:
                tell(model, ask(model))
            except BaseException as problem:  # noqa: BLE001 - Miss is one
                kind = type(problem)
                tell(model, [f"{kind.__module__}.{kind.__name__}", str(problem)])


PARTS = {"sync": sync, "async": lambda: asyncio.run(asynchronous()), "tools": tools, "errors": errors}
for part in sys.argv[1:]:
    PARTS[part]()
