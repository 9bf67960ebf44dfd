"""Chat, stream, tools, structured output, an image, Responses, embeddings and a file with openai."""

import openai
import pydantic
from both import each, main, plain, taken

MODEL = "gpt-5-mini"
TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Look a city up.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "iVBORw0KGgo" * 200}}


class City(pydantic.BaseModel):
    city: str


async def calls(client, number):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": f"Question {number}?"},
    ]
    seen = [{"role": "user", "content": [{"type": "text", "text": f"What is on {number}?"}, IMAGE]}]
    chat = client.chat.completions
    stream = await taken(chat.create(model=MODEL, messages=messages, stream=True))
    parsed = await taken(chat.parse(model=MODEL, messages=messages, response_format=City))
    upload = client.files.create(file=("notes.jsonl", f"{number}\r\n".encode() * 99), purpose="batch")
    return {
        "chat": plain(await taken(chat.create(model=MODEL, messages=messages, temperature=0.5))),
        "stream": [plain(chunk) for chunk in await each(stream)],
        "tools": plain(await taken(chat.create(model=MODEL, messages=messages, tools=[TOOL]))),
        "structured": parsed.choices[0].message.parsed.city,
        "image": plain(await taken(chat.create(model=MODEL, messages=seen))),
        "responses": plain(await taken(client.responses.create(model=MODEL, input=f"Question {number}?"))),
        "embeddings": plain(
            await taken(client.embeddings.create(model="text-embedding-3-small", input=number))
        ),
        "upload": plain(await taken(upload)),
    }


main(calls, openai.OpenAI, openai.AsyncOpenAI)
