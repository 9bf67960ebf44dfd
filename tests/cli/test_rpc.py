"""How recordings of gRPC are shown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cachy.cli.curl import command
from cachy.cli.talk import Problem
from cachy.exchange import Response
from cachy.recording import Recording
from cachy.report.entry import Entry
from cachy.report.messages import plain

ASK: Any = {
    "model": "grok-5",
    "messages": [
        {"role": "ROLE_USER", "content": [{"text": "The weather?"}]},
        {
            "role": "ROLE_ASSISTANT",
            "toolCalls": [{"id": "1", "function": {"name": "look", "arguments": "{}"}}],
        },
        {"role": "ROLE_TOOL", "toolCallId": "1", "content": [{"text": "sun"}]},
    ],
}


def entry(*messages: Any, body: Any = None, host: str = "api.x.ai") -> Entry:
    lines = "".join(json.dumps({"message": message, "base64": ""}) + "\n" for message in messages)
    response = Response(200, (("content-type", "application/grpc"),), lines.encode())
    form = {
        "method": "GRPC",
        "host": host,
        "path": "/xai_api.Chat/GetCompletion",
        "body": body or {"json": ASK},
    }
    return Entry("0" * 32, Recording("0" * 32, "2026-11-24T10:00:00Z", "xai", form, response).to_line())


@pytest.mark.parametrize(
    "messages",
    [
        [{"outputs": [{"message": {"role": "ROLE_ASSISTANT", "content": "It is sunny."}}]}],
        [
            {"status": "DONE", "response": {"outputs": [{"message": {"content": "It is sunny."}}]}},
        ],
        [
            {"outputs": [{"delta": {"role": "ROLE_ASSISTANT", "content": "It is "}}]},
            {"outputs": [{"delta": {"content": "sunny."}, "finishReason": "REASON_STOP"}]},
        ],
    ],
    ids=["whole", "deferred", "stream"],
)
def test_a_conversation_with_xai(messages: Any) -> None:
    """As one of OpenAI's chat: who says what, and which tool is called."""
    shown = entry(*messages)
    assert [message.role for message in shown.question] == ["user", "assistant", "tool"]
    assert plain(shown.question).splitlines()[:2] == ["The weather?", "look {}"]
    assert plain(shown.answer) == "It is sunny."


def test_other_messages_are_shown_as_they_are() -> None:
    shown = entry({"vectors": 3}, body={"json": {"text": "hi"}})
    assert '"vectors": 3' in plain(shown.answer)


def test_the_command_is_one_for_grpcurl(capsys: pytest.CaptureFixture[str]) -> None:
    words = command(entry({}))
    assert words.startswith('grpcurl \\\n  -H "Authorization: Bearer $XAI_API_KEY" \\\n  -d ')
    assert words.endswith(" \\\n  api.x.ai:443 xai_api.Chat/GetCompletion")
    assert json.loads(words.split("-d '")[1].split("' \\\n")[0]) == ASK
    assert command(entry({}, host="localhost:*")).endswith("'localhost:*' xai_api.Chat/GetCompletion")
    assert "wildcard" in capsys.readouterr().err
    with pytest.raises(Problem, match="not known"):
        command(entry({}, body={"type": "application/grpc+proto", "digest": "blake2b:0", "size": 9}))
