"""What is asked of aimock with each SDK. Every coroutine here takes a client of either kind, sync or async."""

from __future__ import annotations

from collections.abc import Coroutine
from importlib import import_module
from typing import Any

import pydantic
from sdk_previous.scripts.both import each, plain, run, taken

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
HEADERS: dict[str, str] = {}


class City(pydantic.BaseModel):
    city: str
    people: int


class Sdk:
    """One SDK: how its clients are made, and its calls."""

    def client(self, flavour: str, url: str, headers: dict[str, str], retries: int) -> Any:
        raise NotImplementedError

    async def whole(self, client: Any, text: str) -> Any:
        """The answer to `text`."""
        raise NotImplementedError

    async def stream(self, client: Any, text: str) -> Any:
        """The stream that answers `text`."""
        raise NotImplementedError

    async def more(self, client: Any) -> dict[str, Any]:
        """What only this SDK has, by name: tools in two steps, structured output, embeddings, ..."""
        raise NotImplementedError

    def ask(
        self,
        flavour: str,
        url: str,
        question: Any,
        headers: dict[str, str] = HEADERS,
        retries: int = 0,
    ) -> Any:
        """The result of `await question(client)` with a new client, sync (without an event loop) or async."""

        async def asked() -> Any:
            client = self.client(flavour, url, headers, retries)
            try:
                return await question(client)
            finally:
                await taken(client.aclose() if hasattr(client, "aclose") else client.close())

        coroutine: Coroutine[Any, Any, Any] = asked()
        return run(flavour, coroutine)


class OpenAI(Sdk):
    model = "gpt-5-mini"

    def client(self, flavour: str, url: str, headers: dict[str, str], retries: int) -> Any:
        openai = import_module("openai")
        make = openai.OpenAI if flavour == "sync" else openai.AsyncOpenAI
        return make(base_url=f"{url}/v1", api_key="none", max_retries=retries, default_headers=headers)

    async def whole(self, client: Any, text: str) -> Any:
        messages = [{"role": "user", "content": text}]
        return await taken(client.chat.completions.create(model=self.model, messages=messages))

    async def stream(self, client: Any, text: str) -> Any:
        messages = [{"role": "user", "content": text}]
        return await taken(client.chat.completions.create(model=self.model, messages=messages, stream=True))

    async def more(self, client: Any) -> dict[str, Any]:
        chat = client.chat.completions
        tool = {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}
        messages: list[Any] = [{"role": "user", "content": "What is the weather?"}]
        first = await taken(chat.create(model=self.model, messages=messages, tools=[tool]))
        said = first.choices[0].message
        result = {"role": "tool", "tool_call_id": said.tool_calls[0].id, "content": "cold"}
        messages += [said.model_dump(exclude_none=True), result]
        parsed = await taken(
            chat.parse(
                model=self.model,
                messages=[{"role": "user", "content": "Oslo as JSON"}],
                response_format=City,
            )
        )
        events = client.responses.create(model=self.model, input="hello", stream=True)
        embedded = client.embeddings.create(model="text-embedding-3-small", input="embed me")
        return {
            "tool": plain(first),
            "tool result": plain(await taken(chat.create(model=self.model, messages=messages, tools=[tool]))),
            "structured": parsed.choices[0].message.parsed,
            "response": plain(await taken(client.responses.create(model=self.model, input="hello"))),
            "response events": [plain(event) for event in await each(await taken(events))],
            "embeddings": plain(await taken(embedded)),
        }


class Anthropic(Sdk):
    asked = {"model": "claude-sonnet-4-6", "max_tokens": 64}

    def client(self, flavour: str, url: str, headers: dict[str, str], retries: int) -> Any:
        anthropic = import_module("anthropic")
        make = anthropic.Anthropic if flavour == "sync" else anthropic.AsyncAnthropic
        return make(base_url=url, api_key="none", max_retries=retries, default_headers=headers)

    async def whole(self, client: Any, text: str) -> Any:
        return await taken(client.messages.create(**self.asked, messages=[{"role": "user", "content": text}]))

    async def stream(self, client: Any, text: str) -> Any:
        messages = [{"role": "user", "content": text}]
        return await taken(client.messages.create(**self.asked, messages=messages, stream=True))

    async def more(self, client: Any) -> dict[str, Any]:
        tools = [{"name": "get_weather", "input_schema": SCHEMA}]
        messages: list[Any] = [{"role": "user", "content": "What is the weather?"}]
        create = client.messages.create
        first = await taken(create(**self.asked, messages=messages, tools=tools))
        calls = [block for block in first.content if block.type == "tool_use"]
        results = [{"type": "tool_result", "tool_use_id": call.id, "content": "cold"} for call in calls]
        messages += [
            {
                "role": "assistant",
                "content": [block.model_dump(exclude_none=True) for block in first.content],
            },
            {"role": "user", "content": results},
        ]
        parsed = client.messages.parse(
            **self.asked, messages=[{"role": "user", "content": "Oslo as JSON"}], output_format=City
        )
        return {
            "tool": plain(first),
            "tool result": plain(await taken(create(**self.asked, messages=messages, tools=tools))),
            "structured": (await taken(parsed)).parsed_output,
        }


class Google(Sdk):
    model = "gemini-2.5-flash"

    def client(self, flavour: str, url: str, headers: dict[str, str], retries: int) -> Any:
        genai = import_module("google.genai")
        options = {
            "base_url": url,
            "api_version": "v1beta",  # the one that aimock speaks
            "headers": dict(headers),
            "retry_options": {"attempts": retries + 1, "initial_delay": 0.01, "jitter": 0.01},
        }
        client = genai.Client(api_key="none", http_options=options)
        return client if flavour == "sync" else client.aio

    async def whole(self, client: Any, text: str) -> Any:
        return await taken(client.models.generate_content(model=self.model, contents=text))

    async def stream(self, client: Any, text: str) -> Any:
        return await taken(client.models.generate_content_stream(model=self.model, contents=text))

    async def more(self, client: Any) -> dict[str, Any]:
        tool = {"function_declarations": [{"name": "get_weather", "parameters_json_schema": SCHEMA}]}
        ask = client.models.generate_content
        contents: list[Any] = [{"role": "user", "parts": [{"text": "What is the weather?"}]}]
        first = await taken(ask(model=self.model, contents=contents, config={"tools": [tool]}))
        result = {"function_response": {"name": "get_weather", "response": {"result": "cold"}}}
        contents += [first.candidates[0].content, {"role": "user", "parts": [result]}]
        parsed = ask(
            model=self.model,
            contents="Oslo as JSON",
            config={"response_mime_type": "application/json", "response_schema": City},
        )
        second = ask(model=self.model, contents=contents, config={"tools": [tool]})
        # No embeddings: aimock does not serve the endpoint that google-genai takes for them.
        return {
            "tool": plain(first),
            "tool result": plain(await taken(second)),
            "structured": (await taken(parsed)).parsed,
        }


SDKS = {"openai": OpenAI(), "anthropic": Anthropic(), "google.genai": Google()}
