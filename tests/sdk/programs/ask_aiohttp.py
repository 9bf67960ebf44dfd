"""Makes calls through SDKs whose async clients use aiohttp, and prints what it saw, one JSON line for each."""

import asyncio
import json
import os

import fireworks
import huggingface_hub
import voyageai

URL = os.environ["PROVIDER_URL"]
KEY = os.environ["PROVIDER_KEY"]


def question(who):
    """Another one for each SDK, so that none replays what another one recorded."""
    return {"model": "a-model", "messages": [{"role": "user", "content": f"Which city? 你好 ({who})"}]}


def tell(name, what):
    print(json.dumps([name, what], sort_keys=True))


async def voyage():
    client = voyageai.AsyncClient(api_key=KEY, base_url=URL + "/v1")
    answer = await client.embed(["two", "three"], model="voyage-4")
    tell("voyage embed", [answer.embeddings, answer.total_tokens])


async def on_fireworks():
    asked = question("fireworks")
    async with fireworks.AsyncFireworks(api_key=KEY, base_url=URL) as client:
        answer = await client.chat.completions.create(**asked)
        tell("fireworks chat", answer.model_dump(mode="json"))
        stream = await client.chat.completions.create(**asked, stream=True)
        tell("fireworks stream", [chunk.model_dump(mode="json") async for chunk in stream])


async def huggingface():
    asked = question("huggingface")
    async with huggingface_hub.AsyncInferenceClient(base_url=URL + "/v1", api_key=KEY) as client:
        tell("huggingface chat", await client.chat_completion(**asked))
        stream = await client.chat_completion(**asked, stream=True)
        tell("huggingface stream", [chunk async for chunk in stream])


async def main():
    await voyage()
    await on_fireworks()
    await huggingface()


asyncio.run(main())
