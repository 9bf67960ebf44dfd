"""`instruments.py TOOL CLIENT ORDER`: a call and its replay in an instrumented program; counts the spans."""

from __future__ import annotations

import sys
from typing import Any

from common import ask, enable, told

import cachy

tool, client, order = sys.argv[1:]
spans: list[Any] = []


def instrument() -> None:
    if tool == "opentelemetry":
        from opentelemetry import trace
        from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
        from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
        from opentelemetry.instrumentation.requests import RequestsInstrumentor
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        trace.set_tracer_provider(provider)
        for instrumentor in (HTTPXClientInstrumentor, RequestsInstrumentor, AioHttpClientInstrumentor):
            instrumentor().instrument()
        spans.append(exporter.get_finished_spans)
    elif tool == "logfire":
        import logfire

        logfire.configure(send_to_logfire=False, console=False)
        logfire.instrument_httpx()
        logfire.instrument_requests()
        logfire.instrument_aiohttp_client()
    elif tool == "ddtrace":
        from ddtrace import patch

        patch(httpx=True, requests=True, aiohttp=True)
    elif tool == "sentry":
        import sentry_sdk

        sentry_sdk.init(traces_sample_rate=1.0, transport=lambda _: None)


if order == "cachy first":
    enable()
    __import__(client.rpartition(" ")[2])
    instrument()
else:
    instrument()
    enable()
numbers = [ask(client), ask(client)]
cachy.disable()
numbers.append(ask(client))
told(numbers=numbers, spans=len(spans[0]()) if spans else None)
