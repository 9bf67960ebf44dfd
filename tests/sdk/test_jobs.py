"""Stateful endpoints with real SDKs: jobs that are polled, what is cancelled, deleted and listed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sdk.provider.jobs import DONE_AT
from sdk.replaying import KEY, Bench, seen

openai = pytest.importorskip("openai", "3")
anthropic = pytest.importorskip("anthropic", "2")
genai = pytest.importorskip("google.genai")
pytestmark = [
    pytest.mark.filterwarnings(f"ignore:The {api} API:DeprecationWarning") for api in ("Sora", "Assistants")
]


class Clients:
    """One client for each SDK."""

    def __init__(self, url: str) -> None:
        self.openai = openai.OpenAI(api_key=KEY, base_url=url + "/v1", max_retries=0)
        self.anthropic = anthropic.Anthropic(api_key=KEY, base_url=url + "/anthropic", max_retries=0)
        options = genai.types.HttpOptions(base_url=url + "/gemini")
        self.google = genai.Client(api_key=KEY, http_options=options)

    def close(self) -> None:
        for client in (self.openai, self.anthropic, self.google):
            client.close()


BASE_URLS = {
    "openai": "OPENAI_BASE_URL",
    "anthropic": "ANTHROPIC_BASE_URL",
    "gemini": "GOOGLE_GEMINI_BASE_URL",
}


@pytest.fixture
def at(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """`at("openai batch")`: the provider is that of the first word, as its SDK's base URL says."""

    def be(name: str) -> None:
        monkeypatch.setenv(BASE_URLS[name.split()[0]], bench.provider.url)

    return be


@pytest.fixture
def clients(bench: Bench) -> Iterator[Clients]:
    made = Clients(bench.provider.url)
    yield made
    made.close()


REQUESTS: Any = [{"custom_id": "one", "params": {"model": "claude-opus-5", "max_tokens": 9, "messages": []}}]
RUN: Any = {"thread_id": "thread_1", "assistant_id": "asst_1"}


JOBS: dict[str, tuple[Callable[[Clients], Any], Callable[[Clients, Any], Any], Callable[[Any], bool]]] = {
    "openai batch": (
        lambda c: c.openai.batches.create(
            input_file_id="file-1", endpoint="/v1/chat/completions", completion_window="24h"
        ),
        lambda c, job: c.openai.batches.retrieve(job.id),
        lambda job: job.status == "completed",
    ),
    "openai background response": (
        lambda c: c.openai.responses.create(model="gpt-5.2", input="Think.", background=True),
        lambda c, job: c.openai.responses.retrieve(job.id),
        lambda job: job.status == "completed",
    ),
    "openai fine-tune": (
        lambda c: c.openai.fine_tuning.jobs.create(model="gpt-5.2", training_file="file-1"),
        lambda c, job: c.openai.fine_tuning.jobs.retrieve(job.id),
        lambda job: job.status == "succeeded",
    ),
    "openai video": (
        lambda c: c.openai.videos.create(prompt="A cat."),
        lambda c, job: c.openai.videos.retrieve(job.id),
        lambda job: job.status == "completed",
    ),
    "openai file": (
        lambda c: c.openai.files.create(file=("a.txt", b"text"), purpose="user_data"),
        lambda c, job: c.openai.files.retrieve(job.id),
        lambda job: job.status == "processed",
    ),
    "anthropic batch": (
        lambda c: c.anthropic.messages.batches.create(requests=REQUESTS),
        lambda c, job: c.anthropic.messages.batches.retrieve(job.id),
        lambda job: job.processing_status == "ended",
    ),
    "gemini operation": (
        lambda c: genai.types.GenerateVideosOperation(name="models/veo-4/operations/1"),
        lambda c, job: c.google.operations.get(job),
        lambda job: job.done,
    ),
    "gemini file": (
        lambda c: genai.types.File(name="files/1"),
        lambda c, job: c.google.files.get(name=job.name),
        lambda job: job.state.name == "ACTIVE",
    ),
}


@pytest.mark.parametrize("name", JOBS)
def test_a_poll_is_replayed_at_its_end(
    name: str, at: Callable[[str], None], bench: Bench, clients: Clients
) -> None:
    """What is not finished is not recorded; in replay the loop ends at its first look, with the last answer."""
    create, poll, is_done = JOBS[name]
    at(name)

    def loop() -> tuple[int, Any, Any]:
        job = create(clients)
        for looks in range(1, 10):
            state = poll(clients, job)
            if is_done(state):
                return looks, seen(job), seen(state)
        raise AssertionError("never done")

    with bench.cachy("auto"):
        looks, job, state = loop()
        assert looks == DONE_AT
        assert loop() == (1, job, state)  # a second run of the program, the provider being there
    bench.provider.stop()
    with bench.cachy("replay"):
        assert loop() == (1, job, state)


def test_helpers_that_poll_themselves(bench: Bench, clients: Clients) -> None:
    """The SDK's own loops (`create_and_poll`) end at their first look, too."""

    def helped() -> list[Any]:
        run = clients.openai.beta.threads.runs.create_and_poll(**RUN, poll_interval_ms=1)
        return [seen(run), seen(clients.openai.videos.create_and_poll(prompt="A cat.", poll_interval_ms=1))]

    with bench.cachy("auto"):
        live = helped()
    assert len(bench.provider.calls) == 2 * (1 + DONE_AT)
    bench.provider.stop()
    with bench.cachy("replay"):
        assert helped() == live


def test_results_of_a_batch(bench: Bench, clients: Clients) -> None:
    """The file of results, found by the URL in the last look, is replayed line by line."""

    def results() -> list[Any]:
        batches = clients.anthropic.messages.batches
        job = batches.create(requests=REQUESTS)
        while batches.retrieve(job.id).processing_status != "ended":
            pass
        return [seen(one) for one in batches.results(job.id)]

    with bench.cachy("auto"):
        live = results()
    bench.provider.stop()
    with bench.cachy("replay"):
        assert results() == live != []


ONCE_MORE: dict[str, Callable[[Clients], Any]] = {
    "openai delete": lambda c: c.openai.files.delete("file-1"),
    "openai cancel batch": lambda c: c.openai.batches.cancel("batch_1"),
    "openai cancel response": lambda c: c.openai.responses.cancel("resp_1"),
    "openai cancel fine-tune": lambda c: c.openai.fine_tuning.jobs.cancel("job_1"),
    "anthropic cancel": lambda c: c.anthropic.messages.batches.cancel("batch_1"),
    "anthropic delete": lambda c: c.anthropic.messages.batches.delete("batch_1"),
    "gemini delete": lambda c: c.google.files.delete(name="files/1"),
    "openai list": lambda c: [item.id for item in c.openai.files.list().data],
}


@pytest.mark.parametrize("name", ONCE_MORE)
def test_what_goes_out_each_time(
    name: str, at: Callable[[str], None], bench: Bench, clients: Clients
) -> None:
    """DELETE, cancel and listings are sent each time in auto, and replayed in replay."""
    call = ONCE_MORE[name]
    at(name)
    with bench.cachy("auto"):
        call(clients)
        last = seen(call(clients))
    assert len(bench.provider.calls) == 2
    bench.provider.stop()
    with bench.cachy("replay"):
        assert seen(call(clients)) == last


def test_listings_on_request(at: Callable[[str], None], bench: Bench, clients: Clients) -> None:
    """With `replay_listings` a list is replayed in auto, as it was the first time."""
    at("openai")
    with bench.cachy("auto", replay_listings=True):
        first = ONCE_MORE["openai list"](clients)
        assert ONCE_MORE["openai list"](clients) == first
    assert len(bench.provider.calls) == 1
