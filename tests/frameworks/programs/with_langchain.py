"""LangChain's agents over its clients for OpenAI, Anthropic and Google."""

import asyncio

from langchain.agents import create_agent
from langchain.chat_models import init_chat_model
from telling import QUESTION, main, weather

MODELS = ["openai:gpt-5.2", "anthropic:claude-opus-5", "google_genai:gemini-3-flash"]


def agent(model):
    return create_agent(init_chat_model(model), [weather])


def asked(text):
    return {"messages": [{"role": "user", "content": text}]}


def run(model):
    return agent(model).invoke(asked(QUESTION))["messages"][-1].text


async def stream(model):
    last = None
    async for state in agent(model).astream(asked(QUESTION + " (stream)"), stream_mode="values"):
        last = state["messages"][-1].text
    return last


main(
    {f"agent, {model.partition(':')[0]}": lambda model=model: run(model) for model in MODELS}
    | {
        f"agent, {model.partition(':')[0]}, async": lambda model=model: asyncio.run(stream(model))
        for model in MODELS
    }
)
