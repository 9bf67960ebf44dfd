"""Pydantic AI's agents over OpenAI (responses and chat), Anthropic and Google."""

import asyncio

from pydantic_ai import Agent
from telling import QUESTION, main, weather

MODELS = {
    "openai-responses": "openai-responses:gpt-5.2",
    "openai-chat": "openai-chat:gpt-5.2",
    "anthropic": "anthropic:claude-opus-5",
    "google": "google:gemini-3-flash",
}


def run(model):
    return Agent(model, tools=[weather]).run_sync(QUESTION).output


async def stream(model):
    async with Agent(model, tools=[weather]).run_stream(QUESTION + " (stream)") as answer:
        return [text async for text in answer.stream_text(debounce_by=None)][-1]


main(
    {f"agent, {name}": lambda model=model: run(model) for name, model in MODELS.items()}
    | {
        f"agent, {name}, streamed, async": lambda model=model: asyncio.run(stream(model))
        for name, model in MODELS.items()
    }
)
