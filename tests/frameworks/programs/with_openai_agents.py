"""OpenAI's agents over responses and over chat."""

import asyncio

from agents import Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool
from openai import AsyncOpenAI
from telling import QUESTION, main, weather


def agent(kind=OpenAIResponsesModel):
    model = kind("gpt-5.2", AsyncOpenAI())
    return Agent("Guide", instructions="Be brief.", tools=[function_tool(weather)], model=model)


def run():
    return Runner.run_sync(agent(), QUESTION).final_output


async def stream():
    answer = Runner.run_streamed(agent(), QUESTION + " (stream)")
    count = 0
    async for event in answer.stream_events():
        count += event.type == "raw_response_event"
    return [answer.final_output, count]


async def chat():
    return (await Runner.run(agent(OpenAIChatCompletionsModel), QUESTION)).final_output


main(
    {
        "agent, responses": run,
        "agent, responses, streamed, async": lambda: asyncio.run(stream()),
        "agent, chat, async": lambda: asyncio.run(chat()),
    }
)
