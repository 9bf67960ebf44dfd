"""What clients make up anew in each run: for each rule, requests that share a key and requests that do not."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from cachy import keys
from cachy.exchange import Body, Request
from cachy.providers import Registry
from cachy.values import HostRule

JSON = (("content-type", "application/json"),)

OPENAI = ("api.openai.com", "/v1/chat/completions")
RESPONSES = ("api.openai.com", "/v1/responses")
ANTHROPIC = ("api.anthropic.com", "/v1/messages")
GEMINI = ("generativelanguage.googleapis.com", "/v1beta/models/gemini-3-pro:generateContent")
INTERACTIONS = ("generativelanguage.googleapis.com", "/v1beta/interactions")
VERTEX = ("us-east5-aiplatform.googleapis.com", "/v1/projects/p/publishers/anthropic/models/c:rawPredict")
BEDROCK = ("bedrock-runtime.us-east-1.amazonaws.com", "/model/claude/converse")
INVOKE = ("bedrock-runtime.us-east-1.amazonaws.com", "/model/claude/invoke")
MANTLE = ("bedrock-mantle.us-east-1.api.aws", "/v1/responses")
COHERE = ("api.cohere.com", "/v2/chat")
MISTRAL = ("api.mistral.ai", "/v1/chat/completions")
OLLAMA = ("localhost:11434", "/api/chat")
OPENROUTER = ("openrouter.ai", "/api/v1/chat/completions")
DEEPSEEK = ("api.deepseek.com", "/anthropic/v1/messages")


def canonical(place: tuple[str, str], body: Any) -> keys.Canonical:
    host, path = place
    name, _, port = host.partition(":")
    claim = Registry().claim("https", name, int(port) if port else None, path)
    assert claim
    raw = Body(json.dumps(body).encode())
    request = Request("POST", f"https://{host}{path}", JSON, raw)
    return keys.canonical(request, claim)


def key(place: tuple[str, str], body: Any) -> str:
    return canonical(place, body).key


def chat(one: str, other: str, *results: str) -> dict[str, Any]:
    """Two tool calls and their results, in the order of `results`."""
    calls = [
        {"id": id_, "type": "function", "function": {"name": "f", "arguments": "{}"}} for id_ in (one, other)
    ]
    said: list[Any] = [{"role": "user", "content": "?"}, {"role": "assistant", "tool_calls": calls}]
    said += [{"role": "tool", "tool_call_id": id_, "content": str(n)} for n, id_ in enumerate(results)]
    return {"model": "m", "messages": said}


def response(one: str, other: str, *results: str) -> dict[str, Any]:
    items = [
        {"type": "function_call", "call_id": id_, "name": "f", "arguments": "{}"} for id_ in (one, other)
    ]
    items += [
        {"type": "function_call_output", "call_id": id_, "output": str(n)} for n, id_ in enumerate(results)
    ]
    return {"model": "m", "input": items}


def messages(one: str, other: str, *results: str) -> dict[str, Any]:
    calls = [{"type": "tool_use", "id": id_, "name": "f", "input": {}} for id_ in (one, other)]
    given = [{"type": "tool_result", "tool_use_id": id_, "content": str(n)} for n, id_ in enumerate(results)]
    turns = [{"role": "assistant", "content": calls}, {"role": "user", "content": given}]
    return {"model": "m", "max_tokens": 9, "messages": turns}


def batch(one: str, other: str, *results: str) -> dict[str, Any]:
    return {"requests": [{"custom_id": "a", "params": messages(one, other, *results)}]}


def contents(one: str, other: str, *results: str) -> dict[str, Any]:
    calls = [{"functionCall": {"id": id_, "name": "f", "args": {}}} for id_ in (one, other)]
    given = [
        {"function_response": {"id": id_, "name": "f", "response": {"n": n}}} for n, id_ in enumerate(results)
    ]
    return {"contents": [{"role": "model", "parts": calls}, {"role": "user", "parts": given}]}


def interaction(one: str, other: str, *results: str) -> dict[str, Any]:
    steps = [{"type": "function_call", "id": id_, "name": "f", "arguments": {}} for id_ in (one, other)]
    steps += [{"type": "function_result", "call_id": id_, "result": n} for n, id_ in enumerate(results)]
    return {"model": "m", "input": steps}


def converse(one: str, other: str, *results: str) -> dict[str, Any]:
    calls = [{"toolUse": {"toolUseId": id_, "name": "f", "input": {}}} for id_ in (one, other)]
    given = [
        {"toolResult": {"toolUseId": id_, "content": [{"text": str(n)}]}} for n, id_ in enumerate(results)
    ]
    return {"messages": [{"role": "assistant", "content": calls}, {"role": "user", "content": given}]}


@pytest.mark.parametrize(
    ("place", "body"),
    [
        (OPENAI, chat),
        (OPENROUTER, chat),
        (MISTRAL, chat),
        (COHERE, chat),
        (OLLAMA, chat),
        (("localhost:11434", "/v1/chat/completions"), chat),
        (("api.anthropic.com", "/v1/chat/completions"), chat),
        (("aiplatform.googleapis.com", "/v1/projects/p/endpoints/openapi/chat/completions"), chat),
        (RESPONSES, response),
        (MANTLE, response),
        (ANTHROPIC, messages),
        (("api.anthropic.com", "/v1/messages/batches"), batch),
        (DEEPSEEK, messages),
        (VERTEX, messages),
        (INVOKE, messages),
        (GEMINI, contents),
        (INTERACTIONS, interaction),
        (BEDROCK, converse),
    ],
    ids=lambda value: getattr(value, "__name__", None) or "".join(value),
)
def test_ids_of_tool_calls_are_renumbered(place: tuple[str, str], body: Any) -> None:
    """Other ids share; two results that change places, or a result of another call, do not."""
    base = key(place, body("call_a", "call_b", "call_a", "call_b"))
    assert key(place, body("x7", "pyd_ai_91", "x7", "pyd_ai_91")) == base
    assert key(place, body("call_b", "call_a", "call_b", "call_a")) == base
    assert key(place, body("call_a", "call_b", "call_b", "call_a")) != base
    assert key(place, body("call_a", "call_b", "call_a", "call_a")) != base


def test_the_live_ids_are_kept_beside_the_key() -> None:
    """`Canonical.ids` holds them in their order; the canonical request shows numbers, and may be read again."""
    made = canonical(OPENAI, chat("call_a", "call_b", "call_b", "call_a"))
    assert made.ids == ("call_a", "call_b")
    assert "call_a" not in made.text
    asked = made.data()["body"]["json"]
    assert [asked["messages"][n]["tool_call_id"] for n in (2, 3)] == ["‹id 2›", "‹id 1›"]
    assert key(OPENAI, asked) == made.key


def test_results_without_their_call_share_only_where_no_call_lies_elsewhere() -> None:
    """LiteLLM gives Ollama results without ids on the calls; a response may answer a call of an earlier one."""
    alone = {"messages": [{"role": "tool", "tool_call_id": "a1", "content": "x"}]}
    other = {"messages": [{"role": "tool", "tool_call_id": "b2", "content": "x"}]}
    assert key(OLLAMA, alone) == key(OLLAMA, other)

    def after(id_: str, place: tuple[str, str] = RESPONSES) -> str:
        items = [{"type": "function_call_output", "call_id": id_, "output": "x"}]
        return key(place, {"previous_response_id": "resp_1", "input": items})

    assert after("call_a") != after("call_b")
    results = ({"input": [{"type": "function_result", "call_id": id_, "result": 1}]} for id_ in "ab")
    assert len({key(INTERACTIONS, body) for body in results}) == 2


@pytest.mark.parametrize(
    ("item", "inline"),
    [
        ({"type": "message", "role": "assistant", "content": []}, True),
        ({"role": "assistant", "content": "hi"}, True),
        ({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}, True),
        ({"type": "function_call_output", "call_id": "c", "output": ""}, True),
        ({"type": "custom_tool_call", "call_id": "c", "name": "f", "input": ""}, True),
        ({"type": "custom_tool_call_output", "call_id": "c", "output": ""}, True),
        ({"type": "reasoning", "summary": [], "encrypted_content": "gAAA"}, True),
        ({"type": "reasoning", "summary": []}, False),
        ({"type": "item_reference"}, False),
        ({}, False),
        ({"type": "image_generation_call", "status": "completed"}, False),
        ({"type": "file_search_call"}, False),
        ({"type": "code_interpreter_call", "container_id": "cntr_1"}, False),
        ({"type": "mcp_approval_request"}, False),
    ],
    ids=lambda value: value.get("type", "untyped") if isinstance(value, dict) else None,
)
def test_ids_of_items_count_unless_their_content_is_here(item: dict[str, Any], inline: bool) -> None:
    """An item whose content lies at the provider is named by its id, any other is what it holds."""
    one, other = (key(RESPONSES, {"input": [{**item, "id": id_}]}) for id_ in ("it_1", "it_2"))
    assert (one == other) is inline


@pytest.mark.parametrize(
    ("place", "body"),
    [
        (RESPONSES, {"input": "?", "previous_response_id": "ID"}),
        (RESPONSES, {"input": "?", "conversation": "ID"}),
        (RESPONSES, {"input": "?", "conversation": {"id": "ID"}}),
        (
            RESPONSES,
            {"input": [{"type": "mcp_approval_response", "approval_request_id": "ID", "approve": True}]},
        ),
        (RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "ID"}]}]}),
        (RESPONSES, {"input": "?", "prompt": {"id": "ID"}}),
        (OPENAI, {"messages": [{"role": "assistant", "audio": {"id": "ID"}}]}),
        (OPENAI, {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "ID"}}]}]}),
        (ANTHROPIC, {"messages": [{"role": "user", "content": "?"}], "container": "ID"}),
        (
            ANTHROPIC,
            {"messages": [{"role": "user", "content": [{"type": "document", "source": {"file_id": "ID"}}]}]},
        ),
        (GEMINI, {"contents": [{"parts": [{"fileData": {"fileUri": "ID"}}]}]}),
        (GEMINI, {"contents": [], "cachedContent": "ID"}),
        (INTERACTIONS, {"input": "?", "previous_interaction_id": "ID"}),
        (COHERE, {"messages": [], "documents": [{"id": "ID", "data": {}}]}),
        (BEDROCK, {"messages": [], "guardrailConfig": {"guardrailIdentifier": "ID"}}),
    ],
)
def test_ids_of_what_lies_at_the_provider_count(place: tuple[str, str], body: dict[str, Any]) -> None:
    """Files, containers, conversations and earlier answers are what their ids say."""
    one, other = (json.loads(json.dumps(body).replace("ID", id_)) for id_ in ("id_1", "id_2"))
    assert key(place, one) != key(place, other)


def test_server_tools_of_anthropic_and_their_callers() -> None:
    """`server_tool_use`, `mcp_tool_use`, their results and `caller.tool_id` are renumbered together."""

    def body(one: str, other: str, caller: str) -> dict[str, Any]:
        blocks = [
            {"type": "server_tool_use", "id": one, "name": "code_execution", "input": {}},
            {"type": "tool_use", "id": "t", "name": "f", "input": {}, "caller": {"tool_id": caller}},
            {"type": "code_execution_tool_result", "tool_use_id": one, "content": {}},
            {"type": "mcp_tool_use", "id": other, "name": "g", "server_name": "s", "input": {}},
            {"type": "mcp_tool_result", "tool_use_id": other, "content": []},
        ]
        return {"messages": [{"role": "assistant", "content": blocks}]}

    base = key(ANTHROPIC, body("a", "b", "a"))
    assert key(ANTHROPIC, body("c", "d", "c")) == base
    assert key(ANTHROPIC, body("a", "b", "b")) != base


@pytest.mark.parametrize(
    ("place", "body", "field"),
    [
        (OPENAI, {"messages": []}, "user"),
        (OPENAI, {"messages": []}, "prompt_cache_key"),
        (OPENAI, {"messages": []}, "safety_identifier"),
        (RESPONSES, {"input": "?"}, "user"),
        (RESPONSES, {"input": "?"}, "prompt_cache_key"),
        (("api.openai.com", "/v1/embeddings"), {"input": "?"}, "user"),
        (("api.openai.com", "/v1/images/generations"), {"prompt": "?"}, "user"),
        (MISTRAL, {"messages": []}, "prompt_cache_key"),
        (OPENROUTER, {"messages": []}, "session_id"),
        (OPENROUTER, {"messages": []}, "trace"),
        (OPENAI, {"messages": []}, "litellm_session_id"),
        (OPENAI, {"messages": []}, "litellm_trace_id"),
        (BEDROCK, {"messages": [{"role": "user", "content": []}]}, "requestMetadata"),
    ],
)
def test_fields_for_the_providers_records_do_not_count(place: Any, body: dict[str, Any], field: str) -> None:
    """With one value, with another and without it the request is the same; elsewhere the name is any other."""
    body = {"model": "m", **body}
    base = key(place, body)
    assert key(place, {**body, field: "u-1"}) == key(place, {**body, field: "u-2"}) == base
    assert key(place, {**body, "stop": "u-1"}) != base
    assert key(place, {**body, "tools": [{field: "u-1"}]}) != key(place, {**body, "tools": [{field: "u-2"}]})


def test_the_user_of_an_anthropic_message_does_not_count() -> None:
    """`metadata.user_id` is for the provider's records; other metadata counts, and other dialects' too."""
    said = {"model": "m", "messages": [{"role": "user", "content": "?"}]}
    base = key(ANTHROPIC, said)
    assert key(ANTHROPIC, {**said, "metadata": {"user_id": "u-1"}}) == base
    assert key(ANTHROPIC, {**said, "metadata": {"user_id": "u-1", "team": "t"}}) != base
    assert key(ANTHROPIC, {**said, "metadata": {}}) != base
    assert key(RESPONSES, {"input": "?", "metadata": {"user_id": "u-1"}}) != key(RESPONSES, {"input": "?"})
    # On Vertex AI and Bedrock the model stands in the path.
    cloud = {"anthropic_version": "vertex-2023-10-16", "messages": said["messages"]}
    assert key(ANTHROPIC, {**cloud, "metadata": {"user_id": "u-1"}}) == key(
        ANTHROPIC, {**cloud, "metadata": {"user_id": "u-2"}}
    )


@pytest.mark.parametrize("path", ["/api/chat", "/channels/7/messages", "/surveys/7/responses"])
@pytest.mark.parametrize("said", [{"messages": [{"role": "user", "content": "?"}]}, {"input": "?"}])
def test_who_asks_a_service_of_ones_own_counts(path: str, said: dict[str, Any]) -> None:
    """A path may look like a provider's; a body that names no model is none of theirs."""
    claim = Registry([HostRule("localhost:*")]).claim("http", "localhost", 8000, path)
    assert claim
    assert claim.provider.name != "plain"
    for name, values in (("user", ["ann", "bob"]), ("metadata", [{"user_id": "ann"}, {"user_id": "bob"}])):
        bodies = [json.dumps({**said, name: value}).encode() for value in values]
        url = f"http://localhost:8000{path}"
        one, other = (keys.canonical(Request("POST", url, JSON, Body(raw)), claim).key for raw in bodies)
        assert one != other


@pytest.mark.parametrize(
    ("place", "body"),
    [
        (("api.openai.com", "/v1/organization/invites"), {"user": "u-1"}),
        (("api.openai.com", "/v1/chat/completions"), {"messages": [], "session_id": "u-1"}),
        (
            ("api.openai.com", "/v1/threads/t/runs/r/submit_tool_outputs"),
            {"tool_outputs": [{"tool_call_id": "u-1"}]},
        ),
        (
            ("api.openai.com", "/v1/chat/completions"),
            {"messages": [{"role": "user", "content": "call_id u-1"}]},
        ),
    ],
)
def test_the_same_names_elsewhere_count(place: Any, body: dict[str, Any]) -> None:
    """Rules hold for the places they were made for: an administrator's `user` is what the call is about."""
    other = json.loads(json.dumps(body).replace("u-1", "u-2"))
    assert key(place, body) != key(place, other)


@pytest.mark.parametrize(
    "odd",
    [
        [],
        "text",
        {"messages": "?"},
        {
            "messages": [
                None,
                3,
                "x",
                {"tool_calls": {"id": 1}, "tool_call_id": ["a"], "content": [3, {"type": 4}]},
            ]
        },
        {
            "input": [
                {"call_id": {"a": 1}, "type": ["x"]},
                {"call_id": [], "caller": 3, "type": "message", "id": 1},
            ]
        },
        {"input": 3, "user": {"a": 1}},
        {"contents": [{"parts": [{"functionCall": 3}]}, {"parts": 3}]},
        {"messages": [{"content": [{"toolUse": 3, "toolResult": []}]}], "metadata": {"user_id": 3}},
        {"requests": [{"params": 3}, 4]},
    ],
)
@pytest.mark.parametrize("place", [OPENAI, RESPONSES, ANTHROPIC, GEMINI, INTERACTIONS, BEDROCK, OPENROUTER])
def test_odd_shapes_are_keyed_like_any_other(place: tuple[str, str], odd: Any) -> None:
    """A body of a shape that no API knows gets a key of its own and raises nothing."""
    assert key(place, copy.deepcopy(odd)) != key(place, {"odd": odd})
