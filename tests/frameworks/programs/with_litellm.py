"""Tool loops with LiteLLM, to the APIs of OpenAI, Anthropic, Gemini and Ollama."""

import asyncio
import json

import litellm
from telling import CITY, QUESTION, main, weather

TOOLS = [{"type": "function", "function": {"name": "weather", "description": "?", "parameters": CITY}}]


def went_on(messages, message):
    if not message.tool_calls:
        return False
    messages.append(message)
    for call in message.tool_calls:
        told = weather(**json.loads(call.function.arguments))
        messages.append({"role": "tool", "tool_call_id": call.id, "name": "weather", "content": told})
    return True


def loop(model):
    messages = [{"role": "user", "content": QUESTION}]
    while went_on(messages, answer := litellm.completion(model, messages, tools=TOOLS).choices[0].message):
        pass
    return answer.content


async def stream(model):
    messages = [{"role": "user", "content": QUESTION + " (stream)"}]
    while True:
        pieces = await litellm.acompletion(model, messages, tools=TOOLS, stream=True)
        answer = litellm.stream_chunk_builder([piece async for piece in pieces], messages=messages)
        if not went_on(messages, answer.choices[0].message):
            return answer.choices[0].message.content


MODELS = ["openai/gpt-5.2", "anthropic/claude-opus-5", "gemini/gemini-3-flash", "ollama_chat/qwen3"]
main(
    {f"loop, {model.partition('/')[0]}": lambda model=model: loop(model) for model in MODELS}
    | {
        f"loop, {model.partition('/')[0]}, streamed, async": lambda model=model: asyncio.run(stream(model))
        for model in MODELS[:3]
    }
)
