"""Conversations in shapes that the loopback provider does not have, and data that has no shape at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachy.exchange import Response
from cachy.report.joined import answered
from cachy.report.messages import asked, plain, said


def response(*events: Any, kind: str = "text/event-stream") -> Response:
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    return Response(200, (("content-type", kind),), body.encode())


def brief(messages: list[Any]) -> list[tuple[str, ...]]:
    return [
        (message.role, *(f"{part.kind}:{part.name}:{part.text}" for part in message.parts))
        for message in messages
    ]


def body(value: Any) -> dict[str, Any]:
    return {"method": "POST", "body": {"json": value}}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "content": None,
                        "tool_calls": [
                            {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                        ],
                    },
                    {"role": "tool", "tool_call_id": "1", "content": "42"},
                ]
            },
            [("assistant", "call:f:{}"), ("tool", "result:1:42")],
        ),
        (
            {
                "system": [{"type": "text", "text": "S"}],
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {
                                "type": "tool_result",
                                "tool_use_id": "t",
                                "content": [{"type": "text", "text": "sun"}],
                            },
                            {
                                "type": "image",
                                "source": {
                                    "type": "base64",
                                    "media_type": "image/png",
                                    "data": {"digest": "blake2b:0", "size": 4000},
                                },
                            },
                        ],
                    }
                ],
            },
            [("system", "text::S"), ("user", "result:t:sun", "note::[image/png, 3.0 kB]")],
        ),
        (
            {
                "systemInstruction": {"parts": [{"text": "S"}]},
                "contents": [
                    {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"a": 1}}}]},
                    {
                        "role": "user",
                        "parts": [
                            {"functionResponse": {"name": "f", "response": {"b": 2}}},
                            {"fileData": {"mimeType": "video/mp4", "fileUri": "files/9"}},
                        ],
                    },
                ],
            },
            [
                ("system", "text::S"),
                ("model", 'call:f:{"a": 1}'),
                ("user", 'result:f:{"b": 2}', "note::[video/mp4, files/9]"),
            ],
        ),
        (
            {
                "input": [
                    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Q"}]},
                    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
                    {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "c"},
                    {"type": "function_call_output", "call_id": "c", "output": "42"},
                ]
            },
            [
                ("user", "text::Q"),
                ("assistant", "thinking::hm"),
                ("assistant", "call:f:{}"),
                ("tool", "result:c:42"),
            ],
        ),
        (
            {
                "system": [{"text": "S"}],
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"text": "Q"},
                            {
                                "image": {
                                    "format": "png",
                                    "source": {"bytes": {"digest": "blake2b:0", "size": 400}},
                                }
                            },
                        ],
                    },
                    {
                        "role": "assistant",
                        "content": [{"toolUse": {"toolUseId": "t", "name": "f", "input": {}}}],
                    },
                    {
                        "role": "user",
                        "content": [{"toolResult": {"toolUseId": "t", "content": [{"json": {"n": 1}}]}}],
                    },
                ],
            },
            [
                ("system", "text::S"),
                ("user", "text::Q", "note::[png, 300 B]"),
                ("assistant", "call:f:{}"),
                ("user", 'result:t:{"json": {"n": 1}}'),
            ],
        ),
        ({"model": "m", "prompt": ["one", "two"]}, [("user", "text::one", "text::two")]),
        ({"limit": 3}, [("user", 'text::{"limit": 3}')]),
    ],
    ids=["openai", "anthropic", "gemini", "responses", "converse", "completions", "other"],
)
def test_what_was_asked(value: Any, expected: Any) -> None:
    """Tool calls and results, pictures and thoughts, under the names that each API has for them."""
    assert brief(asked(body(value))) == expected


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (
            [
                {"choices": [{"index": 0, "delta": {"reasoning_content": "h"}}]},
                {"choices": [{"index": 0, "delta": {"reasoning_content": "m"}}]},
                {"choices": [{"index": 0, "delta": {"content": "Yes"}}]},
                {"choices": [{"index": 1, "delta": {"content": "No"}}]},
                "[DONE]",
            ],
            [("assistant", "thinking::hm", "text::Yes"), ("assistant", "text::No")],
        ),
        (
            [
                {"type": "message_start", "message": {}},
                {
                    "type": "content_block_start",
                    "index": 0,
                    "content_block": {"type": "thinking", "thinking": ""},
                },
                {
                    "type": "content_block_delta",
                    "index": 0,
                    "delta": {"type": "thinking_delta", "thinking": "hm"},
                },
                {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
                {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Yes"}},
            ],
            [("assistant", "thinking::hm", "text::Yes")],
        ),
        (
            [
                {"candidates": [{"content": {"parts": [{"text": "h", "thought": True}]}}]},
                {"candidates": [{"content": {"parts": [{"text": "m", "thought": True}]}}]},
                {"candidates": [{"content": {"parts": [{"text": "Y"}]}}]},
                {"candidates": [{"content": {"parts": [{"text": "es"}]}}]},
            ],
            [("model", "thinking::hm", "text::Yes")],
        ),
        (
            [
                {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "hm"}}},
                {"contentBlockIndex": 1, "delta": {"text": "Yes"}},
                {"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "t", "name": "f"}}},
                {"contentBlockIndex": 2, "delta": {"toolUse": {"input": '{"a":'}}},
                {"contentBlockIndex": 2, "delta": {"toolUse": {"input": "1}"}}},
            ],
            [("assistant", "thinking::hm", "text::Yes", 'call:f:{"a":1}')],
        ),
        (
            [
                {"type": "response.created", "response": {"output": []}},
                {"type": "response.output_text.delta", "delta": "Ye"},
                {"type": "response.output_text.delta", "delta": "s"},
            ],
            [("assistant", "text::Yes")],
        ),
        (
            [{"event_type": "stream-start"}, {"event_type": "text-generation", "text": "Yes"}],
            [("assistant", "text::Yes")],
        ),
        (
            [{"token": {"text": "Ye"}}, {"token": {"text": "s"}, "generated_text": "Yes"}],
            [("assistant", "text::Yes")],
        ),
        (
            [{"some": 1}, {"other": 2}],
            [("assistant", 'text::{"some": 1}'), ("assistant", 'text::{"other": 2}')],
        ),
    ],
    ids=["chat", "anthropic", "gemini", "converse", "responses cut", "cohere 1", "hugging face", "unknown"],
)
def test_what_a_stream_comes_to(events: Any, expected: Any) -> None:
    """Thoughts, several choices, tools, and a stream that was left half-way."""
    assert brief(answered(response(*events))) == expected


def grpc(*messages: Any) -> Response:
    lines = "".join(json.dumps({"message": message, "base64": "CgA="}) + "\n" for message in messages)
    return Response(200, (("content-type", "application/grpc"),), lines.encode())


ANSWER = {
    "id": "c-1",
    "outputs": [{"message": {"role": "ROLE_ASSISTANT", "content": "4", "reasoningContent": "hm"}}],
}
CALLED = {
    "outputs": [
        {"message": {"role": "ROLE_ASSISTANT", "toolCalls": [{"function": {"name": "f", "arguments": "{}"}}]}}
    ]
}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (grpc(ANSWER), [("assistant", "thinking::hm", "text::4")]),
        (grpc({"response": ANSWER, "status": "DONE"}), [("assistant", "thinking::hm", "text::4")]),
        (grpc(CALLED), [("assistant", "call:f:{}")]),
        (
            grpc({"outputs": [{"delta": {"content": "The "}}]}, {"outputs": [{"delta": {"content": "end"}}]}),
            [("assistant", "text::The end")],
        ),
    ],
    ids=["whole", "job", "tool", "stream"],
)
def test_answers_over_grpc(answer: Response, expected: Any) -> None:
    """xAI's, as its SDK receives them."""
    assert brief(answered(answer)) == expected
    asked_for = {"messages": [{"role": "ROLE_USER", "content": [{"text": "2+2?"}]}], "model": "grok-5"}
    assert brief(asked(body(asked_for))) == [("user", "text::2+2?")]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            Response(200, (("content-type", "audio/mpeg"),), b"\xff\xfb" * 700),
            [("assistant", "note::[audio/mpeg, 1.4 kB]")],
        ),
        (Response(200, (("content-type", "text/plain"),), b"plain"), [("assistant", "text::plain")]),
        (Response(204), []),
    ],
)
def test_answers_that_are_no_json(answer: Response, expected: Any) -> None:
    """A sound is a note."""
    assert brief(answered(answer)) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "role",
                    "content",
                    "parts",
                    "text",
                    "type",
                    "messages",
                    "input",
                    "contents",
                    "choices",
                    "delta",
                    "message",
                    "tool_calls",
                    "function",
                    "name",
                    "arguments",
                    "candidates",
                    "output",
                    "response",
                    "data",
                    "embedding",
                    "index",
                    "usage",
                    "toolUse",
                    "start",
                    "thinking",
                    "reasoning_content",
                    "contentBlockIndex",
                    "content_block",
                    "candidates",
                    "done",
                    "token",
                    "generated_text",
                    "url",
                    "image_url",
                    "size",
                    "digest",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(JSON, st.lists(JSON, max_size=4))
def test_odd_data_raises_nothing(value: Any, events: list[Any]) -> None:
    """Whatever a server or a program of somebody sends."""
    plain(asked(body(value)))
    plain(said(value))
    plain(answered(response(*events)))
    plain(answered(response(value, kind="application/json")))
