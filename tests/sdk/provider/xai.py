"""xAI over gRPC on loopback, with the messages and services of its own SDK."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from xai_sdk import proto

WORDS = ["The ", "answer ", "is ", "4️⃣."]


class Xai(proto.chat_pb2_grpc.ChatServicer, proto.models_pb2_grpc.ModelsServicer):  # type: ignore[misc]
    """`calls` holds what arrived: (method, message, metadata)."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any, dict[str, Any]]] = []
        self.polls = 0
        self.knocks = 0
        """Calls that came after `hang_up`."""
        self._gone = False
        server = grpc.server(ThreadPoolExecutor(4))
        proto.chat_pb2_grpc.add_ChatServicer_to_server(self, server)
        proto.models_pb2_grpc.add_ModelsServicer_to_server(self, server)
        # As the SDK has it for `localhost`: TLS in all but name, so that the key is sent.
        port = server.add_secure_port("localhost:0", grpc.local_server_credentials())
        self.url = f"localhost:{port}"
        self.environment = {"XAI_BASE_URL": self.url}
        server.start()
        self._stop: Callable[[], Any] = lambda: server.stop(None).wait(10)

    def stop(self) -> None:
        self._stop()
        self._stop = lambda: None

    def hang_up(self) -> None:
        """From now on calls fail, and are counted."""
        self._gone = True

    def _noted(self, name: str, request: Any, context: Any) -> int:
        if self._gone:
            self.knocks += 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
        self.calls.append((name, request, dict(context.invocation_metadata())))
        return len(self.calls)

    def GetCompletion(self, request: Any, context: Any) -> Any:
        number = self._noted("GetCompletion", request, context)
        if request.messages[-1].content[0].text == "overload":
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests")
        return self._completion(request, number)

    @staticmethod
    def _completion(request: Any, number: int) -> Any:
        answer = proto.chat_pb2.GetChatCompletionResponse(id=f"c-{number}", model=request.model)
        answer.created.GetCurrentTime()
        for index in range(request.n or 1):
            output = answer.outputs.add(index=index, finish_reason="REASON_STOP")
            output.message.role = "ROLE_ASSISTANT"
            if request.tools and len(request.messages) == 1:
                output.finish_reason = proto.sample_pb2.FinishReason.REASON_TOOL_CALLS
                call = output.message.tool_calls.add(id=f"call-{number}")
                call.function.name, call.function.arguments = "weather", '{"city":"Basel"}'
            elif request.HasField("response_format"):
                output.message.content = '{"city":"Basel","inhabitants":2}'
            else:
                output.message.content = f"{''.join(WORDS)} ({number})"
        answer.usage.prompt_tokens, answer.usage.completion_tokens = 11, 5
        answer.usage.reasoning_tokens, answer.usage.cached_prompt_text_tokens = 7, 3
        answer.usage.total_tokens = 23
        return answer

    def GetCompletionChunk(self, request: Any, context: Any) -> Iterator[Any]:
        number = self._noted("GetCompletionChunk", request, context)
        for index, word in enumerate(WORDS):
            chunk = proto.chat_pb2.GetChatCompletionChunk(id=f"c-{number}", model=request.model)
            output = chunk.outputs.add(index=0)
            output.delta.role, output.delta.content = "ROLE_ASSISTANT", word
            chunk.usage.prompt_tokens, chunk.usage.completion_tokens = 11, index + 1
            if word == WORDS[-1]:
                output.finish_reason = proto.sample_pb2.FinishReason.REASON_STOP
            yield chunk

    def StartDeferredCompletion(self, request: Any, context: Any) -> Any:
        self._deferred = request
        number = self._noted("StartDeferredCompletion", request, context)
        return proto.deferred_pb2.StartDeferredResponse(request_id=f"d-{number}")

    def GetDeferredCompletion(self, request: Any, context: Any) -> Any:
        number = self._noted("GetDeferredCompletion", request, context)
        self.polls += 1
        if self.polls < 3:
            return proto.chat_pb2.GetDeferredCompletionResponse(status="PENDING")
        whole = self._completion(self._deferred, number)
        return proto.chat_pb2.GetDeferredCompletionResponse(status="DONE", response=whole)

    def DeleteStoredCompletion(self, request: Any, context: Any) -> Any:
        self._noted("DeleteStoredCompletion", request, context)
        return proto.chat_pb2.DeleteStoredCompletionResponse(response_id=request.response_id)

    def ListLanguageModels(self, request: Any, context: Any) -> Any:
        number = self._noted("ListLanguageModels", request, context)
        return proto.models_pb2.ListLanguageModelsResponse(
            models=[proto.models_pb2.LanguageModel(name=f"grok-{number}")]
        )
