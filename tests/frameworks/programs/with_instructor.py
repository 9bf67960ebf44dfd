"""Instructor, whose first answer does not pass the check, so that it asks again with what was wrong."""

import asyncio

import instructor
from pydantic import BaseModel, field_validator
from telling import main

MODELS = ["openai/gpt-5.2", "anthropic/claude-opus-5", "google/gemini-3-flash"]
seen = []


class Place(BaseModel):
    city: str
    inhabitants: int

    @field_validator("inhabitants")
    @classmethod
    def is_another(cls, value):
        seen.append(value)
        if len(seen) % 2:
            raise ValueError(f"not {value}")
        return value


def asked(text):
    message = {"role": "user", "content": text}
    return {"response_model": Place, "messages": [message], "max_retries": 3, "max_tokens": 500}


def create(model):
    client = instructor.from_provider(model)
    return client.create(**asked("Which city?")).model_dump()


async def create_async(model):
    client = instructor.from_provider(model, async_client=True)
    return (await client.create(**asked("Which city? (async)"))).model_dump()


main(
    {f"create, {model.partition('/')[0]}": lambda model=model: create(model) for model in MODELS}
    | {
        f"create, {model.partition('/')[0]}, async": lambda model=model: asyncio.run(create_async(model))
        for model in MODELS
    }
)
