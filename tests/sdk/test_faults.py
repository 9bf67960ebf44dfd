"""What a provider in trouble answers, to real SDKs: never frozen, so that the next run does better."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sdk.provider.server import Answer, events, whole
from sdk.replaying import KEY, Bench, seen

import cachy

openai = pytest.importorskip("openai", "3")
anthropic = pytest.importorskip("anthropic", "2")
genai = pytest.importorskip("google.genai")

MESSAGES: Any = [{"role": "user", "content": "Which city?"}]
CLAUDE: Any = {"model": "claude-opus-5", "max_tokens": 500, "messages": MESSAGES}


def ask_openai(url: str, what: str = "chat", question: Any = MESSAGES, **more: Any) -> Any:
    with openai.OpenAI(api_key=KEY, base_url=url + "/v1", max_retries=0) as client:
        if what == "responses":
            return seen(client.responses.create(model="gpt-5.2", input=question, **more))
        return seen(client.chat.completions.create(model="gpt-5.2", messages=question, **more))


def ask_anthropic(url: str, **more: Any) -> Any:
    with anthropic.Anthropic(api_key=KEY, base_url=url + "/anthropic", max_retries=0) as client:
        return seen(client.messages.create(**CLAUDE, **more))


def ask_google(url: str, stream: bool = False) -> Any:
    options = genai.types.HttpOptions(base_url=url + "/gemini")
    with genai.Client(api_key=KEY, http_options=options) as client:
        models = client.models
        how = models.generate_content_stream if stream else models.generate_content
        return seen(how(model="gemini-3-flash", contents="Which city?"))


ASK: dict[str, Callable[[str], Any]] = {
    "chat": ask_openai,
    "chat stream": lambda url: ask_openai(url, stream=True),
    "responses": lambda url: ask_openai(url, "responses"),
    "responses stream": lambda url: ask_openai(url, "responses", stream=True),
    "messages": ask_anthropic,
    "messages stream": lambda url: ask_anthropic(url, stream=True),
    "gemini": ask_google,
    "gemini stream": lambda url: ask_google(url, stream=True),
}

OVERLOADED = {"type": "overloaded_error", "message": "Overloaded", "code": 503, "status": "UNAVAILABLE"}
ERROR = {"type": "error", "error": OVERLOADED}
CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
HI = {**CHUNK, "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}]}
SILENT = {"role": "assistant", "content": ""}
NO_TOKENS = {"prompt_tokens": 5, "completion_tokens": 0, "total_tokens": 5}
COMPLETION = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "usage": NO_TOKENS}
RESPONSE = {"id": "r", "object": "response", "created_at": 1, "model": "m", "output": []}
MESSAGE = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": []}
EMPTY = {**MESSAGE, "stop_reason": "end_turn", "usage": {"input_tokens": 5, "output_tokens": 0}}
START = {"type": "message_start", "message": {**EMPTY, "stop_reason": None}}
COUNTED = {"usageMetadata": {"promptTokenCount": 5, "totalTokenCount": 5}}
HALF = {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hi"}]}}], **COUNTED}
STOPPED = {"candidates": [{"content": {"role": "model"}, "finishReason": "STOP"}], **COUNTED}


def cut(answer: Answer) -> Answer:
    """The same, with the connection ending before the answer does."""
    return replace(answer, cut=True)


FAULTS: list[tuple[str, str, Answer]] = [
    *[
        (ask, f"status {status}", replace(whole(ERROR), status=status))
        for ask in ("chat", "chat stream", "messages", "gemini")
        for status in (400, 401, 429, 500, 503)
    ],
    ("chat", "an error with status 200", whole({"error": OVERLOADED})),
    ("chat", "no choices", whole({**COMPLETION, "choices": []})),
    (
        "chat",
        "no tokens",
        whole({**COMPLETION, "choices": [{"index": 0, "finish_reason": "stop", "message": SILENT}]}),
    ),
    ("chat", "half a document", Answer([json.dumps(COMPLETION)[:40].encode()], "application/json")),
    ("chat", "cut", cut(whole(COMPLETION))),
    ("chat stream", "an error event", events([HI, {"error": OVERLOADED}])),
    ("chat stream", "an error event and an end", events([HI, {"error": OVERLOADED}, "[DONE]"])),
    ("chat stream", "no end marker", events([HI])),
    ("chat stream", "cut", cut(events([HI, HI]))),
    ("chat stream", "nothing", events(["[DONE]"])),
    ("responses", "failed", whole({**RESPONSE, "status": "failed", "error": {"code": "server_error"}})),
    ("responses", "nothing", whole({**RESPONSE, "status": "completed", "usage": {"output_tokens": 0}})),
    (
        "responses stream",
        "failed",
        events([{"type": "response.failed", "response": {**RESPONSE, "status": "failed"}}], named=True),
    ),
    (
        "responses stream",
        "no end marker",
        events([{"type": "response.created", "response": {**RESPONSE, "status": "in_progress"}}], named=True),
    ),
    ("messages", "an error with status 200", whole(ERROR)),
    ("messages", "nothing", whole(EMPTY)),
    ("messages stream", "an error event", events([START, ERROR], named=True)),
    ("messages stream", "no end marker", events([START, {"type": "ping"}], named=True)),
    ("messages stream", "cut", cut(events([START, {"type": "ping"}], named=True))),
    ("gemini", "no candidates", whole(COUNTED)),
    ("gemini", "no tokens", whole(STOPPED)),
    ("gemini stream", "no candidates", events([COUNTED])),
    ("gemini stream", "no tokens", events([STOPPED])),
    ("gemini stream", "no reason to finish", events([HALF])),
    ("gemini stream", "an error", events([HALF, {"error": OVERLOADED}])),
]


@pytest.mark.parametrize(
    ("ask", "fault"), [(ask, fault) for ask, _, fault in FAULTS], ids=[f"{a}: {n}" for a, n, _ in FAULTS]
)
def test_a_fault_is_not_frozen(ask: str, fault: Answer, bench: Bench) -> None:
    """After a faulty answer the same call goes out again, and what is recorded then is the good answer."""
    with bench.cachy("auto"):
        bench.provider.faults.append(fault)
        recorded = cachy.stats().recorded
        try:
            ASK[ask](bench.provider.url)
        except Exception:  # noqa: BLE001 - some SDKs raise, some hand on what they got
            pass
        assert cachy.stats().recorded == recorded
        good = ASK[ask](bench.provider.url)
        assert len(bench.provider.calls) == 2
        assert ASK[ask](bench.provider.url) == good
        assert len(bench.provider.calls) == 2


def test_a_chosen_error_is_recorded(bench: Bench) -> None:
    """With `record_status` an error replays, with the provider gone, to whoever asks the same, and to nobody else."""
    url = bench.provider.url
    with bench.cachy("auto", record_status=[400]):
        bench.provider.faults += [replace(whole({"error": {"message": "Too long."}}), status=400)]
        with pytest.raises(openai.BadRequestError, match="Too long"):
            ask_openai(url)
        bench.provider.faults += [replace(whole({"error": {"message": "Too fast."}}), status=429)]
        with pytest.raises(openai.RateLimitError):
            ask_openai(url, question=[{"role": "user", "content": "Which other city?"}])
    bench.provider.stop()
    with bench.cachy("replay"):
        with pytest.raises(openai.BadRequestError, match="Too long"):
            ask_openai(url)
        with pytest.raises(cachy.Miss):
            ask_openai(url, question=[{"role": "user", "content": "Which other city?"}])
