"""The tokens that answers say they have cost, in every API and form."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from providers.event_stream import frame

from cachy.exchange import Body, Request, Response
from cachy.providers import by_name
from cachy.providers.usage import Usage, usage

SSE = "text/event-stream; charset=utf-8"


def told(
    *documents: Any,
    path: str = "/v1/x",
    kind: str = "",
    asked: Any = None,
    method: str = "POST",
    **headers: str,
) -> Usage | None:
    """What an answer of one document, or of several as events of a stream, says."""
    body = json.dumps(documents[0]) if len(documents) == 1 else sse(*documents)
    kind = kind or ("application/json" if len(documents) == 1 else SSE)
    given = (("content-type", kind), *((name.replace("_", "-"), value) for name, value in headers.items()))
    request = Request(method, f"https://host.example{path}", (), Body(json.dumps(asked or {}).encode()))
    return usage(request, Response(200, given, body.encode()))


def sse(*documents: Any) -> str:
    return "".join(f"data: {json.dumps(document)}\n\n" for document in documents) + "data: [DONE]\n\n"


CHAT = {
    "model": "gpt-5.2",
    "usage": {
        "prompt_tokens": 30,
        "completion_tokens": 20,
        "total_tokens": 50,
        "prompt_tokens_details": {"cached_tokens": 10},
        "completion_tokens_details": {"reasoning_tokens": 5},
    },
}
RESPONSE = {
    "object": "response",
    "model": "gpt-5.2",
    "usage": {
        "input_tokens": 30,
        "input_tokens_details": {"cached_tokens": 10},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 50,
    },
}
WHOLE = Usage(30, 20, 10, 5, "gpt-5.2")


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        ([CHAT], WHOLE),
        ([{"model": "gpt-5.2", "choices": [{}]}, {"usage": None}, CHAT], WHOLE),
        # Each chunk counts, the last one all of it.
        (
            [{"model": "m", "usage": {"prompt_tokens": 3, "completion_tokens": n}} for n in (1, 2)],
            Usage(3, 2, model="m"),
        ),
        (
            [{"model": "m"}, {"x_groq": {"usage": {"prompt_tokens": 3, "completion_tokens": 2}}}],
            Usage(3, 2, model="m"),
        ),
        ([RESPONSE], WHOLE),
        (
            [
                {"type": "response.created", "response": {"usage": None}},
                {"type": "response.completed", "response": RESPONSE},
            ],
            WHOLE,
        ),
        ([{"model": "e", "usage": {"prompt_tokens": 4, "total_tokens": 4}}], Usage(4, model="e")),
        ([{"model": "voyage-4", "usage": {"total_tokens": 4}}], Usage(4, model="voyage-4")),
        (
            [{"model": "m", "usage": {"prompt_tokens": 64, "completion_tokens": 6, "num_cached_tokens": 32}}],
            Usage(64, 6, 32, model="m"),
        ),
        (
            [
                {
                    "model": "m",
                    "usage": {"prompt_tokens": 9, "completion_tokens": 6, "prompt_cache_hit_tokens": 8},
                }
            ],
            Usage(9, 6, 8, model="m"),
        ),
        # xAI counts thoughts apart.
        (
            [
                {
                    "model": "grok",
                    "usage": {
                        "prompt_tokens": 3,
                        "completion_tokens": 2,
                        "total_tokens": 9,
                        "completion_tokens_details": {"reasoning_tokens": 4},
                    },
                }
            ],
            Usage(3, 6, 0, 4, "grok"),
        ),
        (
            [
                {"type": "conversation.response.started"},
                {"type": "conversation.response.done", "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
            ],
            Usage(3, 2),
        ),
    ],
)
def test_openai(documents: list[Any], expected: Usage) -> None:
    """Chat, responses and embeddings, as documents and as streams, of OpenAI and of those who speak its API."""
    assert told(*documents) == expected


MESSAGE = {
    "type": "message",
    "model": "claude-opus-5",
    "usage": {
        "input_tokens": 10,
        "cache_creation_input_tokens": 3,
        "cache_read_input_tokens": 7,
        "output_tokens": 5,
    },
}


def test_anthropic() -> None:
    """What the cache took part in counts as input; a stream's last count replaces the first one's."""
    assert told(MESSAGE) == Usage(20, 5, 7, model="claude-opus-5")
    delta = {"type": "message_delta", "usage": {"output_tokens": 50, "cache_read_input_tokens": None}}
    start = {"type": "message_start", "message": MESSAGE}
    assert told(start, {"type": "ping"}, delta) == Usage(20, 50, 7, model="claude-opus-5")


GEMINI = {
    "modelVersion": "gemini-3-pro",
    "usageMetadata": {
        "promptTokenCount": 10,
        "toolUsePromptTokenCount": 4,
        "candidatesTokenCount": 5,
        "thoughtsTokenCount": 6,
        "cachedContentTokenCount": 3,
        "totalTokenCount": 25,
    },
}


def test_gemini() -> None:
    """Thoughts are output, what tools brought in is input; chunks are not added up."""
    expected = Usage(14, 11, 3, 6, "gemini-3-pro")
    first = {"usageMetadata": {"promptTokenCount": 10, "totalTokenCount": 10}}
    assert told(GEMINI) == expected
    assert told(first, GEMINI) == expected
    assert told([first, GEMINI], path="/v1beta/models/m:streamGenerateContent") == expected
    counts = {"total_input_tokens": 3, "total_output_tokens": 2, "total_thought_tokens": 4}
    interaction = {"model": "gemini-3-pro", "usage": counts}
    assert told(interaction) == Usage(3, 6, 0, 4, "gemini-3-pro")
    done = {"event_type": "interaction.completed", "interaction": interaction}
    assert told({"event_type": "interaction.start"}, done) == Usage(3, 6, 0, 4, "gemini-3-pro")


CONVERSE = {"usage": {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15, "cacheReadInputTokens": 7}}
METRICS = {"amazon-bedrock-invocationMetrics": {"inputTokenCount": 10, "outputTokenCount": 5}}
MODEL = "/model/us.anthropic.claude%3A0"


@pytest.mark.parametrize(
    ("documents", "path", "expected"),
    [
        ([CONVERSE], f"{MODEL}/converse", Usage(17, 5, 7, model="us.anthropic.claude:0")),
        ([MESSAGE], f"{MODEL}/invoke", Usage(20, 5, 7, model="claude-opus-5")),
        (
            [{"inputTextTokenCount": 3, "results": [{"tokenCount": 2}, {"tokenCount": 4}]}],
            "/model/amazon.titan/invoke",
            Usage(3, 6, model="amazon.titan"),
        ),
        (
            [{"prompt_token_count": 3, "generation_token_count": 2}],
            "/model/meta.llama/invoke",
            Usage(3, 2, model="meta.llama"),
        ),
    ],
)
def test_bedrock(documents: list[Any], path: str, expected: Usage) -> None:
    """Converse and invoke, with the model from the path where the answer does not name it."""
    assert told(*documents, path=path) == expected


def test_bedrock_streams() -> None:
    """The last frame counts: `metadata` of converse, the invocation's metrics, also where it is wrapped in base64."""
    kind = "application/vnd.amazon.eventstream"
    wrapped = {"bytes": base64.b64encode(json.dumps(METRICS).encode()).decode()}
    for last in (CONVERSE, wrapped):
        body = frame(b'{"p": "x"}') + frame(json.dumps(last).encode())
        request = Request("POST", f"https://host.example{MODEL}/converse-stream")
        found = usage(request, Response(200, (("content-type", kind),), body))
        assert found is not None
        assert (found.input - found.cached, found.output, found.model) == (10, 5, "us.anthropic.claude:0")
        assert usage(request, Response(200, (("content-type", kind),), body[:-1])) is None


def test_bedrock_headers() -> None:
    """Where the body says nothing, the headers of `invoke` do."""
    counts = {"x_amzn_bedrock_input_token_count": "12", "x_amzn_bedrock_output_token_count": "3"}
    assert told({"outputs": []}, path=f"{MODEL}/invoke", **counts) == Usage(
        12, 3, model="us.anthropic.claude:0"
    )


COHERE = {
    "billed_units": {"input_tokens": 3, "output_tokens": 2},
    "tokens": {"input_tokens": 90, "output_tokens": 2},
}


def test_cohere() -> None:
    """Both versions, streams and embeddings; counted tokens go before billed ones."""
    asked = {"model": "command-a"}
    expected = Usage(90, 2, 40, model="command-a")
    counts = COHERE | {"cached_tokens": 40}
    assert told({"usage": counts}, asked=asked) == expected
    assert (
        told({"type": "message-start"}, {"type": "message-end", "delta": {"usage": counts}}, asked=asked)
        == expected
    )
    assert told({"meta": counts}, asked=asked) == expected
    ended = {"event_type": "stream-end", "response": {"meta": counts}}
    assert told({"event_type": "stream-start"}, ended, asked=asked) == expected
    assert told({"meta": {"billed_units": {"input_tokens": 3}}}, asked=asked) == Usage(3, model="command-a")
    assert told({"meta": {"billed_units": {"search_units": 1}}}, asked=asked) is None


def test_ollama_and_hugging_face() -> None:
    """Ollama's last line counts; text generation counts when it was asked for details."""
    done = {"model": "qwen3", "done": True, "prompt_eval_count": 11, "eval_count": 7}
    body = json.dumps({"model": "qwen3", "done": False}) + "\n" + json.dumps(done) + "\n"
    request = Request("POST", "http://localhost:11434/api/chat")
    lines = Response(200, (("content-type", "application/x-ndjson"),), body.encode())
    assert usage(request, lines) == told(done) == Usage(11, 7, model="qwen3")
    generated = {"generated_text": "Hi", "details": {"generated_tokens": 2, "prefill": [{}, {}, {}]}}
    assert told([generated]) == Usage(3, 2)
    assert told({"token": {}}, generated | {"details": {"generated_tokens": 2, "input_length": 9}}) == Usage(
        9, 2
    )


@pytest.mark.parametrize(
    "document",
    [
        {"input_tokens": 100},  # counting tokens is free
        {"totalTokens": 100},
        {"text": "...", "usage": {"type": "duration", "seconds": 3}},
        {"usage": "unknown"},
        {"usage": {"prompt_tokens_details": None}},
        {"usageMetadata": {"trafficType": "ON_DEMAND"}},
        [1, "two", None],
        "text",
    ],
)
def test_answers_that_say_nothing_of_tokens(document: Any) -> None:
    """Without counts there is no usage, which is not the same as a usage of nothing."""
    assert told(document) is None


def test_what_is_fetched_again_is_not_paid_again() -> None:
    """A GET counts for a job that is done, not for an answer that was counted when it was given."""
    assert told(RESPONSE, method="GET") is None
    assert told(RESPONSE | {"background": True}, method="GET") == WHOLE
    assert told(CHAT | {"object": "thread.run"}, method="GET") == WHOLE


@pytest.mark.parametrize("kind", ["application/json", SSE, "application/vnd.amazon.eventstream", ""])
@pytest.mark.parametrize("body", [b"", b"\xff\x00", b"[" * 200_000, b"data: [\n\n", b'{"usage": {'])
def test_garbage_never_raises(body: bytes, kind: str) -> None:
    """Whatever a server sends, there is an answer: here that nothing is known."""
    assert (
        usage(Request("POST", "https://host.example/"), Response(200, (("content-type", kind),), body))
        is None
    )


def test_every_provider_tells() -> None:
    """A provider reads all known APIs unless it brings a function of its own."""
    openai = by_name("openai")
    assert openai is not None
    body = json.dumps(CHAT).encode()
    answer = Response(200, (("content-type", "application/json"),), body)
    assert openai.usage(Request("POST", "https://api.openai.com/v1/chat/completions"), answer) == WHOLE
