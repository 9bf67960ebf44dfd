"""What the names and messages of gRPC calls say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cachy.exchange import Request, Response
from cachy.providers import by_name, rpc
from cachy.providers.base import LEFT, is_listing
from cachy.providers.usage import usage
from cachy.transports.grpc_kit import address_of


def call(name: str, method: str = "GRPC") -> Request:
    return Request(method, f"https://api.x.ai/xai_api.Service/{name}")


def answer(*messages: Any) -> Response:
    lines = [json.dumps({"message": message, "base64": ""}) + "\n" for message in messages]
    return Response(200, (("content-type", "application/grpc"),), "".join(lines).encode())


@pytest.mark.parametrize(
    ("name", "forgets", "lists", "polls"),
    [
        ("GetCompletion", False, False, True),
        ("SampleText", False, False, False),
        ("DeleteFile", True, False, False),
        ("CancelBatch", True, False, False),
        ("ListFiles", False, True, False),
        ("ListLanguageModels", False, False, False),
        ("ListTunedModels", False, True, False),
        ("GetOperation", False, False, True),
    ],
)
def test_names(name: str, forgets: bool, lists: bool, polls: bool) -> None:
    assert (rpc.forgets(call(name)), rpc.polls(call(name))) == (forgets, polls)
    assert is_listing(call(name)) == lists
    assert not rpc.forgets(call(name, "POST"))


@pytest.mark.parametrize(
    ("name", "message", "reason"),
    [
        ("GetCompletion", {"id": "c", "outputs": [{"message": {"content": "a"}}]}, None),
        ("GetDeferredCompletion", {"status": "PENDING"}, "the job is not finished (PENDING)"),
        ("GetDeferredCompletion", {"status": "DONE"}, None),
        (
            "GetBatch",
            {"batchId": "b", "state": {"numRequests": 2, "numPending": 1}},
            "the job is not finished",
        ),
        ("GetBatch", {"batchId": "b", "state": {"numRequests": 2, "numSuccess": 2}}, None),
        ("GetOperation", {"name": "operations/1"}, "the job is not finished"),
        ("GetOperation", {"name": "operations/1", "done": True}, None),
        ("CreateTunedModel", {"name": "tunedModels/a/operations/1"}, None),
        ("GetFile", {"name": "files/1", "state": "PROCESSING"}, "the job is not finished (PROCESSING)"),
        (
            "GetOperation",
            {"name": "operations/1", "done": True, "error": {"code": 13}},
            "the job has failed at the provider (13)",
        ),
        ("GetOperation", {"name": "operations/1", "done": True, "error": {"code": 3}}, None),
        ("Generate", {"error": {"code": 3}}, "the answer is an error"),
    ],
)
def test_which_answers_are_final(name: str, message: Any, reason: str | None) -> None:
    """Every provider judges so; the status OK is what tells that an answer was complete."""
    provider = by_name("xai")
    assert provider is not None
    assert provider.finished(call(name), answer(message), True) == reason
    assert provider.finished(call(name), answer(message), False) == LEFT


def test_usage_of_gemini_and_xai() -> None:
    counts = {"promptTokenCount": 3, "candidatesTokenCount": 2}
    chunks = answer({"candidates": []}, {"usageMetadata": counts, "modelVersion": "gemini-3"})
    cost = usage(call("StreamGenerateContent"), chunks)
    assert cost is not None
    assert (cost.input, cost.output, cost.model) == (3, 2, "gemini-3")
    assert usage(call("GetCompletion"), answer({"text": "a"})) is None


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("api.x.ai", ("api.x.ai", None)),
        ("API.x.ai:443", ("api.x.ai", 443)),
        ("dns:///api.x.ai:443", ("api.x.ai", 443)),
        ("dns:api.x.ai", ("api.x.ai", None)),
        ("dns://8.8.8.8/api.x.ai:8443", ("api.x.ai", 8443)),
        ("localhost:50051", ("localhost", 50051)),
        (b"127.0.0.1:50051", ("127.0.0.1", 50051)),
        ("ipv4:127.0.0.1:1,127.0.0.2:2", ("127.0.0.1", 1)),
        ("ipv6:[::1]:50051", ("::1", 50051)),
        ("[::1]:50051", ("::1", 50051)),
        ("unix:/tmp/socket", None),
        ("unix:///tmp/socket", None),
        ("unix-abstract:name", None),
        ("host:port", None),
    ],
)
def test_targets_of_channels(target: Any, expected: Any) -> None:
    """See https://grpc.github.io/grpc/core/md_doc_naming.html."""
    assert address_of(target) == expected
