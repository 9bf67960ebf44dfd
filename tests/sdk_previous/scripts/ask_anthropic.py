"""A message, both ways to stream one, tools, an image and a count of tokens with anthropic."""

import anthropic
from both import each, main, plain, taken

MODEL = {"model": "claude-sonnet-4-6", "max_tokens": 64}
TOOL = {
    "name": "look_up",
    "description": "Look a city up.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
IMAGE = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo" * 200},
}


async def helped(client, messages):
    """The events of the stream helper, and the message it puts together."""
    helper = client.messages.stream(**MODEL, messages=messages, system="Be brief, in a stream.")
    if hasattr(helper, "__aenter__"):
        async with helper as stream:
            return [event.type for event in await each(stream)], await stream.get_final_text()
    with helper as stream:
        return [event.type for event in stream], stream.get_final_text()


async def calls(client, number):
    messages = [{"role": "user", "content": f"Question {number}?"}]
    seen = [{"role": "user", "content": [IMAGE, {"type": "text", "text": f"What is on {number}?"}]}]
    create = client.messages.create
    stream = await taken(create(**MODEL, messages=messages, stream=True))
    message = await taken(create(**MODEL, messages=messages, system="Be brief."))
    return {
        "message": plain(message),
        "request_id": message._request_id,
        "stream": [plain(event) for event in await each(stream)],
        "helper": await helped(client, messages),
        "tools": plain(await taken(create(**MODEL, messages=messages, tools=[TOOL]))),
        "image": plain(await taken(create(**MODEL, messages=seen))),
        "count": plain(
            await taken(client.messages.count_tokens(model="claude-sonnet-4-6", messages=messages))
        ),
    }


main(calls, anthropic.Anthropic, anthropic.AsyncAnthropic)
