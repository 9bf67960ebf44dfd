"""DSPy's ReAct over its LiteLLM engine. (Its default client speaks HTTP over sockets of its own.)"""

import dspy
from telling import main, weather

dspy.configure(lm=dspy.LM("openai/gpt-5.2", engine="litellm", cache=False))


def react():
    agent = dspy.ReAct("question -> answer", tools=[weather], max_iters=3)
    found = agent(question="Which city has sun?")
    return [found.answer, found.trajectory]


def predict():
    return dspy.ChainOfThought("question -> answer")(question="Which city has sun?").answer


main({"ReAct": react, "chain of thought": predict})
