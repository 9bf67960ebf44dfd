"""Placeholders for keys: when they are set, which, and when they are taken back."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import httpx
import pytest

import cachy
from cachy import hooks, placeholders, providers, session, tally
from cachy.exchange import Response
from cachy.providers.base import PLACEHOLDER
from cachy.recording import Recording
from cachy.redact import mask_text
from cachy.stores.jsonl import JsonlStore

SDKS = hooks.SDKS
ALL = {name for provider in providers.known() for name in (*provider.key_env, *dict(provider.placeholders))}


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (
        *ALL,
        "CACHY",
        "CACHY_MODE",
        "CI",
        *(name for name in os.environ if name.startswith("AWS_")),
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("CACHY_STORE", str(tmp_path / "cachy.jsonl"))
    monkeypatch.setenv("CACHY_SUMMARY", "0")
    monkeypatch.setattr(hooks, "SDKS", SDKS - set(sys.modules))  # what other tests imported
    yield
    cachy.disable()
    tally.reset()


def recorded(*names: str) -> None:
    """A store with a recording of each of these providers."""
    store = JsonlStore(os.environ["CACHY_STORE"])
    for number, name in enumerate(names):
        key = f"{number:032x}"
        store.put(key, Recording(key, "2026-11-23T08:00:00Z", name, {}, Response(200)).to_line())


def imported(sdk: str) -> dict[str, str]:
    """The variables that hold a placeholder after an SDK was imported."""
    session.lend(sdk, ModuleType(sdk))
    return {name: os.environ[name] for name in ALL if "placeholder" in os.environ.get(name, "")}


def test_the_watched_modules_are_those_of_the_providers() -> None:
    """The hook knows them without loading a provider, so they are written twice."""
    assert {sdk for provider in providers.known() for sdk in provider.sdks} == SDKS


def test_placeholders_are_no_secrets() -> None:
    """None of them looks like a key that would be masked in what is stored or shown."""
    for provider in providers.known():
        for _, value in provider.placeholders:
            assert mask_text(value) == value
            assert "placeholder" in value


@pytest.mark.parametrize(
    ("sdk", "provider", "names"),
    [
        ("openai", "openai", {"OPENAI_API_KEY"}),
        ("openai", "openrouter", {"OPENAI_API_KEY", "OPENROUTER_API_KEY"}),
        ("openai", "ollama", {"OPENAI_API_KEY"}),
        ("openai", "azure", {"AZURE_OPENAI_API_KEY", "AZURE_API_KEY", "ANTHROPIC_FOUNDRY_API_KEY"}),
        ("groq", "groq", {"GROQ_API_KEY"}),
        ("google.genai", "gemini", {"GEMINI_API_KEY"}),
        ("litellm", "cohere", {"CO_API_KEY"}),
        ("anthropic", "bedrock", {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}),
        ("anthropic", "openai", set()),
        ("openai", "plain", set()),
        ("openai", "somebody's", set()),
    ],
)
def test_which_variables(sdk: str, provider: str, names: set[str]) -> None:
    """Those that the SDK reads for a provider that was recorded, and no others."""
    recorded(provider)
    cachy.enable("replay")
    assert set(imported(sdk)) == names


@pytest.mark.parametrize("mode", ["auto", "record", "off"])
def test_never_in_another_mode(mode: Any) -> None:
    """Where a call may go out, a missing key is the program's business."""
    recorded("openai")
    cachy.enable(mode)
    assert imported("openai") == {}


def test_never_without_a_recording() -> None:
    """Not when the store is empty, is not there, or cannot be read."""
    cachy.enable("replay")
    assert imported("openai") == {}
    Path(os.environ["CACHY_STORE"]).write_text("this is no store\n")
    assert imported("openai") == {}


def test_never_over_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """One key of a provider is enough for it; an empty one is none, as CI makes of a secret that it does not have."""
    recorded("openai", "groq")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "mine")
    monkeypatch.setenv("GROQ_API_KEY", "")
    cachy.enable("replay")
    assert set(imported("groq")) == {"GROQ_API_KEY"}
    assert set(imported("openai")) == {"GROQ_API_KEY"}
    monkeypatch.setenv("GROQ_API_KEY", "mine too")
    cachy.enable("auto")
    assert os.environ["GROQ_API_KEY"] == "mine too"


@pytest.mark.parametrize("how", ["profile", "file"])
def test_credentials_of_aws_elsewhere(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile or a file would come second to a variable, so nothing is set beside them."""
    recorded("bedrock")
    if how == "profile":
        monkeypatch.setenv("AWS_PROFILE", "work")
    else:
        (tmp_path / ".aws").mkdir()
        (tmp_path / ".aws" / "credentials").touch()
    cachy.enable("replay")
    assert imported("anthropic") == {}


def test_the_end_of_replay_takes_them_back() -> None:
    """A client that is built then is to say that it has no key."""
    recorded("openai")
    cachy.enable("replay")
    assert set(imported("openai")) == {"OPENAI_API_KEY"}
    cachy.disable()
    assert "OPENAI_API_KEY" not in os.environ


def test_a_block_has_them_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for an SDK that was imported before, as in a test suite."""
    recorded("openai")
    monkeypatch.setattr(hooks, "SDKS", frozenset(["openai"]))
    monkeypatch.setitem(sys.modules, "openai", ModuleType("openai"))
    with cachy.using("replay"):
        assert os.environ["OPENAI_API_KEY"] == PLACEHOLDER
    assert "OPENAI_API_KEY" not in os.environ
    cachy.enable("replay")
    with cachy.using("replay"):
        pass
    assert os.environ["OPENAI_API_KEY"] == PLACEHOLDER


def test_a_call_that_carries_one_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a block of another mode it goes out, is answered by the provider, and one line says why with a 401."""
    recorded("openai")
    cachy.enable("replay")
    imported("openai")

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(
            200, json={"choices": [{"finish_reason": "stop"}], "echo": request.headers["authorization"]}
        )

    class Network(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            return answer(request)

    headers = {"authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
    with cachy.using("auto"), httpx.Client(transport=Network()) as client:
        client.post("https://api.openai.com/v1/chat/completions", json={"a": 1}, headers=headers)
        assert "set OPENAI_API_KEY" in capsys.readouterr().err
    assert PLACEHOLDER.encode() not in Path(os.environ["CACHY_STORE"]).read_bytes()
    assert cachy.stats().recorded == 1
    assert placeholders.lent() == ["OPENAI_API_KEY"]


def google() -> Any:
    """What stands for the module `google.auth`, whose user is nobody."""

    def default(scopes: object = None) -> object:
        raise LookupError("no credentials")

    return SimpleNamespace(default=default)


def test_credentials_of_google(monkeypatch: pytest.MonkeyPatch) -> None:
    """In replay mode they are placeholders that need no network; in any other, and with a file, those of the user."""
    pytest.importorskip("google.oauth2.credentials")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
    recorded("vertex")
    module = google()
    cachy.enable("replay")
    for _ in range(2):
        session.lend("google.auth", module)
    credentials, project = module.default(scopes=["x"])
    credentials.refresh(None)
    assert (credentials.token, credentials.valid, project) == (PLACEHOLDER, True, "p")
    with cachy.using("auto"), pytest.raises(LookupError):
        module.default(scopes=["x"])
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "mine.json")
    with pytest.raises(LookupError):
        module.default()


def test_no_credentials_of_google_without_a_recording() -> None:
    """As for every other provider."""
    recorded("openai")
    module = google()
    cachy.enable("replay")
    session.lend("google.auth", module)
    with pytest.raises(LookupError):
        module.default()
