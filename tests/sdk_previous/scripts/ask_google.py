"""Content, a stream, tools, structured output, an image, embeddings and a file with google-genai."""

import io

import pydantic
from both import each, main, plain, taken
from google import genai
from google.genai import types

MODEL = "gemini-2.5-flash"
IMAGE = types.Part.from_bytes(data=b"\xfb\xff\xbf" * 500, mime_type="image/png")
SCHEMA = {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}, "required": ["city"]}
TOOL = types.Tool(function_declarations=[{"name": "look_up", "description": "Look.", "parameters": SCHEMA}])


class City(pydantic.BaseModel):
    city: str


async def calls(client, number):
    models = client.models
    asked = {"model": MODEL, "contents": f"Question {number}?"}
    stream = await taken(models.generate_content_stream(**asked))
    structured = {"response_mime_type": "application/json", "response_schema": City}
    parsed = await taken(models.generate_content(**asked, config=structured))
    # Its size must differ too: the request that starts an upload names nothing else of the file.
    file = io.BytesIO(b"note\r\n" * (9 + int(number)))
    upload = client.files.upload(file=file, config={"mime_type": "text/plain", "display_name": "notes"})
    brief = {"system_instruction": "Be brief.", "temperature": 0.5}
    seen = [IMAGE, f"What is on {number}?"]
    return {
        "content": plain(await taken(models.generate_content(**asked, config=brief))),
        "stream": [plain(chunk) for chunk in await each(stream)],
        "tools": plain(await taken(models.generate_content(**asked, config={"tools": [TOOL]}))),
        "structured": parsed.parsed.city,
        "image": plain(await taken(models.generate_content(model=MODEL, contents=seen))),
        "embeddings": plain(await taken(models.embed_content(model="text-embedding-004", contents=number))),
        "upload": plain(await taken(upload)),
    }


main(calls, genai.Client, lambda: genai.Client().aio)
