"""Tool loops written by hand with the OpenAI SDK: chat, streamed chat, responses."""

import asyncio
import json

import openai
from telling import CITY, QUESTION, main, weather

MODEL = "gpt-5.2"
FUNCTION = {"name": "weather", "description": "The weather.", "parameters": CITY}


def chat():
    messages = [{"role": "user", "content": QUESTION}]
    while True:
        tools = [{"type": "function", "function": FUNCTION}]
        answer = openai.OpenAI().chat.completions.create(model=MODEL, messages=messages, tools=tools)
        message = answer.choices[0].message
        if not message.tool_calls:
            return message.content
        messages.append(message)
        for call in message.tool_calls:
            told = weather(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": told})


async def chat_stream():
    messages = [{"role": "user", "content": QUESTION + " (stream)"}]
    async with openai.AsyncOpenAI() as client:
        while True:
            tools = [{"type": "function", "function": FUNCTION}]
            async with client.chat.completions.stream(model=MODEL, messages=messages, tools=tools) as stream:
                message = (await stream.get_final_completion()).choices[0].message
            if not message.tool_calls:
                return message.content
            calls = [call.model_dump(include={"id", "type", "function"}) for call in message.tool_calls]
            for call in calls:
                call["function"].pop("parsed_arguments", None)
            messages.append({"role": "assistant", "tool_calls": calls})
            for call in message.tool_calls:
                told = weather(**json.loads(call.function.arguments))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": told})


def responses():
    items = [{"role": "user", "content": QUESTION}]
    while True:
        tools = [{"type": "function", **FUNCTION}]
        answer = openai.OpenAI().responses.create(model=MODEL, input=items, tools=tools)
        calls = [item for item in answer.output if item.type == "function_call"]
        if not calls:
            return answer.output_text
        items += answer.output
        for call in calls:
            told = weather(**json.loads(call.arguments))
            items.append({"type": "function_call_output", "call_id": call.call_id, "output": told})


main(
    {
        "chat loop": chat,
        "chat loop, streamed, async": lambda: asyncio.run(chat_stream()),
        "responses loop": responses,
    }
)
