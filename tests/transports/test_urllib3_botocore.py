"""Bedrock through boto3, which signs each request anew and reads event streams byte for byte."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from providers.event_stream import frame

import cachy

boto3 = pytest.importorskip("boto3")

# boto3 warns of Pythons that it is going to leave behind.
pytestmark = pytest.mark.filterwarnings("ignore:Boto3 will no longer support Python")

ANSWER = {
    "output": {"message": {"role": "assistant", "content": [{"text": "four"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 3, "outputTokens": 1, "totalTokens": 4},
    "metrics": {"latencyMs": 12},
}
STREAM = [
    ("messageStart", {"role": "assistant"}),
    ("contentBlockDelta", {"delta": {"text": "fo"}, "contentBlockIndex": 0}),
    ("contentBlockDelta", {"delta": {"text": "ur"}, "contentBlockIndex": 0}),
    ("contentBlockStop", {"contentBlockIndex": 0}),
    ("messageStop", {"stopReason": "end_turn"}),
    ("metadata", {"usage": ANSWER["usage"], "metrics": {"latencyMs": 12}}),
]
CHUNKS = [{"type": "content_block_delta", "delta": {"text": "four"}}, {"type": "message_stop"}]
MODEL = "anthropic.claude-test-v1:0"
SECRET = "aws-secret-0123456789-0123456789-01234567"


def event(name: str, payload: Any) -> bytes:
    content = json.dumps(payload).encode()
    return frame(content, event_type=name, content_type="application/json", message_type="event")


def streaming(*frames: bytes) -> Any:
    def answer(handler: Any) -> None:
        kind = "application/vnd.amazon.eventstream"
        handler.head(content_type=kind, transfer_encoding="chunked", x_amzn_RequestId="req-1")
        for each in frames:
            handler.chunk(each[:7])  # services cut where they like
            handler.chunk(each[7:])
        handler.end()

    return answer


@pytest.fixture
def server(server: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A stand-in for Bedrock, where boto3 is told that it lies."""
    quoted = MODEL.replace(":", "%3A")
    one = json.dumps(ANSWER).encode()
    server.on(f"/model/{quoted}/converse", lambda h: h.whole(one, x_amzn_RequestId="req-1"))
    server.on(f"/model/{quoted}/invoke", lambda h: h.whole(one, X_Amzn_Bedrock_Input_Token_Count="3"))
    frames = [event(name, payload) for name, payload in STREAM]
    server.on(f"/model/{quoted}/converse-stream", streaming(*frames))
    chunks = [event("chunk", {"bytes": base64.b64encode(json.dumps(c).encode()).decode()}) for c in CHUNKS]
    server.on(f"/model/{quoted}/invoke-with-response-stream", streaming(*chunks))
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", server.url)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return server


def client(secret: str = SECRET, **more: Any) -> Any:
    session = boto3.Session(aws_access_key_id="AKIAIOSFODNN7TESTING", aws_secret_access_key=secret)
    return session.client("bedrock-runtime", region_name="us-east-1", **more)


def ask(**more: Any) -> dict[str, Any]:
    return {"modelId": MODEL, "messages": [{"role": "user", "content": [{"text": "2+2?"}]}], **more}


def converse(bedrock: Any) -> Any:
    answer = bedrock.converse(**ask())
    return answer["output"], answer["usage"], answer["ResponseMetadata"]["HTTPStatusCode"]


def converse_stream(bedrock: Any) -> Any:
    return list(bedrock.converse_stream(**ask())["stream"])


def invoke_model(bedrock: Any) -> Any:
    answer = bedrock.invoke_model(modelId=MODEL, body=json.dumps({"prompt": "2+2?"}))
    return answer["body"].read(), answer["contentType"], answer["ResponseMetadata"]["RetryAttempts"]


def invoke_in_lines(bedrock: Any) -> Any:
    body = bedrock.invoke_model(modelId=MODEL, body=json.dumps({"prompt": "2+2?"}))["body"]
    return list(body.iter_lines()), body.tell()


def invoke_with_stream(bedrock: Any) -> Any:
    stream = bedrock.invoke_model_with_response_stream(modelId=MODEL, body=json.dumps({"prompt": "2+2?"}))
    return [json.loads(item["chunk"]["bytes"]) for item in stream["body"]]


@pytest.mark.parametrize(
    "call", [converse, converse_stream, invoke_model, invoke_in_lines, invoke_with_stream]
)
def test_bedrock(server: Any, using: Any, call: Any) -> None:
    """Each call is recorded once and replayed alike, by another client whose signature is another one too."""
    without = call(client())
    with using(hosts=[]):
        live = call(client())
        replayed = call(client(secret="another-" + SECRET))
    assert live == replayed == without
    assert len(server.calls) == 2
    one, other = (call.headers for call in server.calls)
    assert one["authorization"].startswith("AWS4-HMAC-SHA256")
    assert one["amz-sdk-invocation-id"] != other["amz-sdk-invocation-id"]


def test_another_question_is_another_recording(server: Any, using: Any) -> None:
    """Prompt and model are in the key, date and signature are not; nothing of the credentials is stored."""
    with using(hosts=[]):
        bedrock = client()
        converse(bedrock)
        bedrock.converse(**ask(inferenceConfig={"temperature": 0.5}))
        converse(bedrock)
    assert len(server.calls) == 2


def test_event_streams_are_stored_byte_for_byte(server: Any, using: Any, store: Any) -> None:
    """The recording holds the frames with their checksums, and nothing of the credentials."""
    with using(hosts=[]):
        converse_stream(client())
    line = store.read_text("utf-8")
    frames = b"".join(event(name, payload) for name, payload in STREAM)
    assert base64.b64decode(json.loads(line)["response"]["base64"]) == frames
    for word in ("AKIAIOSFODNN7TESTING", SECRET, "AWS4-HMAC", "x-amz-date"):
        assert word not in line


def test_leaving_a_stream_early(server: Any, using: Any, store: Any) -> None:
    """An event stream that its consumer closes is a partial recording: its beginning replays in replay mode."""

    def first() -> Any:
        stream = client().converse_stream(**ask())["stream"]
        found = next(iter(stream))
        stream.close()
        return found

    with using(hosts=[]):
        live = first()
    assert json.loads(store.read_text("utf-8"))["response"]["partial"] is True
    with using("replay", hosts=[]):
        assert first() == live
        with pytest.raises(cachy.Miss, match="read no further"):
            converse_stream(client())


def test_a_miss_is_seen_at_once(server: Any, using: Any) -> None:
    """botocore neither wraps nor retries a Miss."""
    with using("replay", hosts=[]), pytest.raises(cachy.Miss, match="converse"):
        converse(client())
    assert server.calls == []


def test_throttling_is_retried_and_never_recorded(server: Any, using: Any, store: Any) -> None:
    """botocore's own retries go on; of a call that was throttled the good answer is recorded."""
    from botocore.config import Config

    statuses = iter([429])

    def answer(handler: Any) -> None:
        status = next(statuses, 200)
        kind = {} if status == 200 else {"x_amzn_ErrorType": "ThrottlingException"}
        handler.whole(json.dumps(ANSWER).encode(), status=status, **kind)

    server.on(f"/model/{MODEL.replace(':', '%3A')}/converse", answer)
    with using(hosts=[]):
        bedrock = client(config=Config(retries={"max_attempts": 2, "mode": "standard"}))
        answers = [bedrock.converse(**ask()) for _ in range(2)]
    assert [answer["ResponseMetadata"]["RetryAttempts"] for answer in answers] == [1, 0]
    assert len(server.calls) == 2
    assert json.loads(store.read_text("utf-8"))["response"]["status"] == 200


def test_other_services_are_left_alone(server: Any, using: Any, store: Any) -> None:
    """A service that is no provider (S3, STS) goes out each time, its answers as they are."""
    answer = b"<R><GetCallerIdentityResult><Account>1</Account></GetCallerIdentityResult></R>"
    server.on("/", lambda h: h.whole(answer, content_type="text/xml"))
    with using(hosts=[]):
        session = boto3.Session(aws_access_key_id="AKIAIOSFODNN7TESTING", aws_secret_access_key=SECRET)
        sts = session.client(
            "sts", region_name="us-east-1", endpoint_url=server.url.replace("127.0.0.1", "localhost")
        )
        for _ in range(2):
            assert sts.get_caller_identity()["Account"] == "1"
    assert len(server.calls) == 2
    assert not store.exists()
