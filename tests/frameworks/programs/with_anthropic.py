"""Tool loops with the Anthropic SDK: by hand, streamed, and by its own tool runner."""

import asyncio

import anthropic
from telling import CITY, QUESTION, main, weather

ASKED = {
    "model": "claude-opus-5",
    "max_tokens": 500,
    "tools": [{"name": "weather", "description": "The weather.", "input_schema": CITY}],
}


def went_on(messages, answer):
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": weather(**block.input)}
        for block in answer.content
        if block.type == "tool_use"
    ]
    messages += [{"role": "assistant", "content": answer.content}, {"role": "user", "content": results}]
    return results


def loop():
    messages = [{"role": "user", "content": QUESTION}]
    while True:
        answer = anthropic.Anthropic().messages.create(**ASKED, messages=messages)
        if not went_on(messages, answer):
            return answer.content[0].text


async def stream():
    messages = [{"role": "user", "content": QUESTION + " (stream)"}]
    async with anthropic.AsyncAnthropic() as client:
        while True:
            async with client.messages.stream(**ASKED, messages=messages) as stream:
                answer = await stream.get_final_message()
            if not went_on(messages, answer):
                return answer.content[0].text


def runner():
    tool = anthropic.beta_tool(weather)
    run = anthropic.Anthropic().beta.messages.tool_runner(
        model="claude-opus-5",
        max_tokens=500,
        tools=[tool],
        messages=[{"role": "user", "content": QUESTION}],
    )
    return run.until_done().content[0].text


main({"loop": loop, "loop, streamed, async": lambda: asyncio.run(stream()), "tool runner": runner})
