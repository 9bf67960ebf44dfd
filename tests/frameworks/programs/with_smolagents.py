"""smolagents' tool calling agent over OpenAI's API."""

import os

from smolagents import OpenAIModel, ToolCallingAgent, tool
from telling import QUESTION, main, weather


def agent(**more):
    model = OpenAIModel(
        "gpt-5.2", api_base=os.environ["OPENAI_BASE_URL"], api_key=os.environ["OPENAI_API_KEY"]
    )
    return ToolCallingAgent([tool(weather)], model, verbosity_level=0, **more)


main(
    {
        "agent": lambda: agent().run(QUESTION),
        "agent, streamed": lambda: agent(stream_outputs=True).run(QUESTION + " (stream)"),
    }
)
