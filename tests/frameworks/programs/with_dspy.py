"""DSPy's ReAct over its own client, lm15, and over LiteLLM."""

import os

import dspy
from telling import main, weather


def over(engine, program):
    base = os.environ["OPENAI_BASE_URL"]  # lm15 does not look there
    with dspy.context(lm=dspy.LM("openai/gpt-5.2", engine=engine, api_base=base, cache=False)):
        return program(question=f"Which city has sun? ({engine})")


def react(engine):
    found = over(engine, dspy.ReAct("question -> answer", tools=[weather], max_iters=3))
    return [found.answer, found.trajectory]


def predict(engine):
    return over(engine, dspy.ChainOfThought("question -> answer")).answer


main(
    {
        f"{name}, {engine}": lambda engine=engine, run=run: run(engine)
        for engine in ("lm15", "litellm")
        for name, run in (("ReAct", react), ("chain of thought", predict))
    }
)
