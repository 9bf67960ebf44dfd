"""Tool loops with Google's SDK, which calls Python functions by itself."""

import asyncio

from google import genai
from telling import QUESTION, main, weather

CONFIG = {"tools": [weather]}


def chat():
    with genai.Client() as client:
        return client.chats.create(model="gemini-3-flash", config=CONFIG).send_message(QUESTION).text


async def stream():
    async with genai.Client().aio as client:
        chat = client.chats.create(model="gemini-3-flash", config=CONFIG)
        return [chunk.text async for chunk in await chat.send_message_stream(QUESTION + " (stream)")]


main({"function calling": chat, "function calling, streamed, async": lambda: asyncio.run(stream())})
