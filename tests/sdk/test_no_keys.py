"""No keys are needed to replay: real SDKs in processes of their own, with `CACHY=replay` and no key anywhere."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from environments import clean
from sdk.provider import ROUTES
from sdk.provider.gemini import generate
from sdk.provider.server import Answer, Provider, Request, whole

from cachy import providers

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.version_info < (3, 11), reason="the newest SDKs need Python 3.11"),
]

KEY = "sk-test-1f8Kd0ZqWm3Vb7Xc9Lp2Rt5Yh4Nj6"
ASK = "[{'role': 'user', 'content': 'Which city?'}]"


def claude(request: Request) -> Answer:
    """A message as the clouds give it, which take the model in the path."""
    text = {"type": "text", "text": f"Answer {request.number}"}
    usage = {"input_tokens": 9, "output_tokens": 3}
    facts = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-5", "content": [text]}
    return whole({**facts, "stop_reason": "end_turn", "stop_sequence": None, "usage": usage})


CLOUDS = (
    ("POST", r"/bedrock/model/[^/]+/invoke", claude),
    ("POST", r"/vertex/(?:v1|v1beta1)/projects/p/.*:rawPredict", claude),
    ("POST", r"/vertex/v1(?:beta1)?/projects/p/.*/models/(?P<model>[^/]+):generateContent", generate),
)


class Case(NamedTuple):
    """A program whose client takes its key from the environment, and what else it needs there."""

    provider: str
    module: str
    keys: str
    program: str
    env: dict[str, str] = {}


CASES = {
    "openai": Case(
        "openai",
        "openai",
        "OPENAI_API_KEY",
        f"""
import openai
client = openai.OpenAI(base_url=url + "/v1")
print(client.chat.completions.create(model="gpt-5-mini", messages={ASK}))
""",
    ),
    "openai-at-another-provider": Case(
        "openrouter",
        "openai",
        "OPENAI_API_KEY",
        f"""
import openai
client = openai.OpenAI(base_url=url + "/v1")
print(client.chat.completions.create(model="gpt-5-mini", messages={ASK}))
""",
    ),
    "azure": Case(
        "azure",
        "openai",
        "AZURE_OPENAI_API_KEY",
        f"""
import openai
client = openai.AzureOpenAI(azure_endpoint=url, api_version="2024-10-21")
print(client.chat.completions.create(model="gpt-5-mini", messages={ASK}))
""",
    ),
    "anthropic": Case(
        "anthropic",
        "anthropic",
        "ANTHROPIC_API_KEY",
        f"""
import anthropic
client = anthropic.Anthropic(base_url=url + "/anthropic")
print(client.messages.create(model="claude-5", max_tokens=9, messages={ASK}))
""",
    ),
    "bedrock": Case(
        "bedrock",
        "anthropic botocore",
        "AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY",
        f"""
import anthropic
client = anthropic.AnthropicBedrock(base_url=url + "/bedrock")
print(client.messages.create(model="claude-5", max_tokens=9, messages={ASK}))
""",
        {"AWS_REGION": "us-east-1"},
    ),
    "google": Case(
        "gemini",
        "google.genai",
        "GEMINI_API_KEY",
        """
from google import genai
client = genai.Client(http_options={"base_url": url + "/gemini"})
print(client.models.generate_content(model="gemini-3-flash", contents="Which city?").text)
""",
    ),
    "mistral": Case(
        "mistral",
        "mistralai.client",
        "MISTRAL_API_KEY",
        f"""
from mistralai.client import Mistral
client = Mistral(server_url=url + "/mistral")
print(client.chat.complete(model="mistral-large", messages={ASK}))
""",
    ),
    "cohere": Case(
        "cohere",
        "cohere",
        "CO_API_KEY",
        f"""
import cohere
client = cohere.ClientV2(base_url=url + "/cohere")
print(client.chat(model="command-a", messages={ASK}))
""",
    ),
    "groq": Case(
        "groq",
        "groq",
        "GROQ_API_KEY",
        f"""
import groq
client = groq.Groq(base_url=url)
print(client.chat.completions.create(model="llama", messages={ASK}))
""",
    ),
    "huggingface": Case(
        "huggingface",
        "huggingface_hub",
        "HF_TOKEN",
        f"""
import huggingface_hub
client = huggingface_hub.InferenceClient(base_url=url + "/v1")
print(client.chat_completion({ASK}, model="llama"))
""",
    ),
}

# What Google's clouds ask for is no variable: live, the program passes credentials of its own.
VERTEX = {
    "google": (
        "google.genai",
        """
from google import genai
client = genai.Client(vertexai=True, project="p", location="europe-west1", credentials=credentials,
                      http_options={"base_url": url + "/vertex"})
print(client.models.generate_content(model="gemini-3-flash", contents="Which city?").text)
""",
    ),
    "anthropic": (
        "anthropic google.auth",
        f"""
import anthropic
client = anthropic.AnthropicVertex(project_id="p", region="europe-west1", credentials=credentials,
                                   base_url=url + "/vertex/v1")
print(client.messages.create(model="claude-5", max_tokens=9, messages={ASK}))
""",
    ),
}
LIVE = """
from google.oauth2.credentials import Credentials
credentials = Credentials("ya29.x")
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def clouds() -> Provider:
    return Provider((*ROUTES, *CLOUDS))


@pytest.fixture
def run(clouds: Provider, tmp_path: Path) -> Run:
    """`run(program, CACHY="1")`: in a fresh process, in a folder and a home of its own, without keys."""
    keys = {name for provider in providers.known() for name in provider.key_env}

    def start(program: str, **more: str) -> subprocess.CompletedProcess[str]:
        env = clean(HOME=str(tmp_path), USERPROFILE=str(tmp_path), APPDATA=str(tmp_path))
        bare = {
            name: value for name, value in env.items() if name not in keys and not name.startswith("AWS_")
        }
        (tmp_path / "program.py").write_text(f"url = {clouds.url!r}\n{program}", "utf-8")
        return subprocess.run(
            [sys.executable, "program.py"],
            env=bare | {"CACHY_STORE": "cachy.jsonl"} | more,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )

    return start


def needs(modules: str) -> None:
    for module in modules.split():
        try:
            found = importlib.util.find_spec(module)
        except ModuleNotFoundError:
            found = None
        if found is None:
            pytest.skip(f"{module} is not installed")


@pytest.mark.parametrize("name", CASES)
def test_a_replay_needs_no_key(name: str, run: Run, clouds: Provider, tmp_path: Path) -> None:
    """Recorded with a key, replayed without one and without the provider; nothing of either is in the store."""
    case = CASES[name]
    needs(case.module)
    env = {"CACHY_HOSTS": f"127.0.0.1:*={case.provider}", **case.env}
    live = run(case.program, CACHY="1", **env, **dict.fromkeys(case.keys.split(), KEY))
    assert live.returncode == 0, live.stderr
    clouds.stop()
    again = run(case.program, CACHY="replay", **env)
    assert (again.returncode, again.stdout) == (0, live.stdout), again.stderr
    assert again.stderr.startswith("cachy  1 replayed · ")
    store = (tmp_path / "cachy.jsonl").read_text("utf-8")
    assert KEY not in store
    assert "placeholder" not in store


@pytest.mark.parametrize("name", VERTEX)
def test_a_replay_needs_no_credentials_of_google(name: str, run: Run, clouds: Provider) -> None:
    """Where nobody is logged in, and no metadata server can be asked, the clients for Vertex AI replay."""
    module, program = VERTEX[name]
    needs(module)
    live = run(LIVE + program, CACHY="1", CACHY_HOSTS="127.0.0.1:*=vertex")
    assert live.returncode == 0, live.stderr
    clouds.stop()
    again = run(
        "credentials = None\n" + program,
        CACHY="replay",
        CACHY_HOSTS="127.0.0.1:*=vertex",
        GCE_METADATA_HOST="127.0.0.1:9",
    )
    assert (again.returncode, again.stdout) == (0, live.stdout), again.stderr


def test_a_missing_key_stays_missing_elsewhere(run: Run) -> None:
    """In auto mode, and in replay mode without a recording, the SDK says what it would say without cachy."""
    needs("openai")
    for mode in ("auto", "replay"):
        done = run(CASES["openai"].program, CACHY=mode, CACHY_HOSTS="127.0.0.1:*=openai")
        assert done.returncode == 1
        assert "OPENAI_API_KEY" in done.stderr


def test_children_have_it_too(run: Run, clouds: Provider) -> None:
    """What a program starts inherits the placeholder, also where cachy does not reach."""
    needs("openai")
    env = {"CACHY_HOSTS": "127.0.0.1:*=openai"}
    assert run(CASES["openai"].program, CACHY="1", OPENAI_API_KEY=KEY, **env).returncode == 0
    child = """
import openai, subprocess, sys
code = "import os; print(os.environ['OPENAI_API_KEY'])"
subprocess.run([sys.executable, "-S", "-c", code], check=True)
"""
    assert "placeholder" in run(child, CACHY="replay", **env).stdout
