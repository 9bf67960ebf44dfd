"""Which host belongs to which provider, and what of it enters the key."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from environments import TREE
from hypothesis import given, settings
from hypothesis import strategies as st

import cachy.providers as registry_module
from cachy.providers import Provider, Registry, by_name, names
from cachy.providers.answers import finished
from cachy.providers.hosts import address, plain_host
from cachy.providers.shapes import shape_of


@dataclass(frozen=True)
class Rule:
    """What `cachy.settings.HostRule` is to the registry."""

    pattern: str
    provider: str | None = None
    alias: str | None = None


@pytest.fixture(autouse=True)
def _no_base_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    """No base URL of the machine's own environment gets in."""
    for name in names():
        provider = by_name(name)
        assert provider is not None
        for variable in provider.base_url_env:
            monkeypatch.delenv(variable, raising=False)


def claimed(url: str, registry: Registry | None = None) -> tuple[str, str] | None:
    """Provider and host of the claim on a URL, split as httpx splits it."""
    import httpx

    parts = httpx.URL(url)
    claim = (registry or Registry()).claim(parts.scheme, parts.host, parts.port, parts.path)
    return (claim.provider.name, claim.host) if claim else None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.openai.com/v1/chat/completions", ("openai", "api.openai.com")),
        ("https://eu.api.openai.com/v1/responses", ("openai", "eu.api.openai.com")),
        ("https://API.OpenAI.com./v1/files", ("openai", "api.openai.com")),
        ("https://api.openai.com:443/v1/files", ("openai", "api.openai.com")),
        ("http://api.openai.com:8080/v1/files", ("openai", "api.openai.com:8080")),
        ("https://user:pass@api.openai.com/v1/files", ("openai", "api.openai.com")),
        ("https://chatgpt.com/backend-api/codex/responses", ("chatgpt", "chatgpt.com")),
        ("https://api.anthropic.com/v1/messages", ("anthropic", "api.anthropic.com")),
        (
            "https://generativelanguage.googleapis.com/v1beta/models/gemini:generateContent",
            ("gemini", "generativelanguage.googleapis.com"),
        ),
        ("https://aiplatform.googleapis.com/v1/x", ("vertex", "aiplatform.googleapis.com")),
        (
            "https://us-central1-aiplatform.googleapis.com/v1/x",
            ("vertex", "us-central1-aiplatform.googleapis.com"),
        ),
        ("https://aiplatform.eu.rep.googleapis.com/v1/x", ("vertex", "aiplatform.eu.rep.googleapis.com")),
        ("https://acme.openai.azure.com/openai/v1/responses", ("azure", "acme.openai.azure.com")),
        ("https://acme.services.ai.azure.com/anthropic/v1/messages", ("azure", "acme.services.ai.azure.com")),
        (
            "https://bedrock-runtime.us-east-1.amazonaws.com/model/m/converse",
            ("bedrock", "bedrock-runtime.us-east-1.amazonaws.com"),
        ),
        (
            "https://vpce-1.bedrock-runtime.eu-west-1.vpce.amazonaws.com/model/m/invoke",
            ("bedrock", "vpce-1.bedrock-runtime.eu-west-1.vpce.amazonaws.com"),
        ),
        (
            "https://bedrock-mantle.us-east-1.api.aws/openai/v1/responses",
            ("bedrock", "bedrock-mantle.us-east-1.api.aws"),
        ),
        ("https://api.deepseek.com/chat/completions", ("deepseek", "api.deepseek.com")),
        ("https://api.fireworks.ai/inference/v1/completions", ("fireworks", "api.fireworks.ai")),
        ("https://openrouter.ai/api/v1/messages", ("openrouter", "openrouter.ai")),
        ("https://api.groq.com/openai/v1/models", ("groq", "api.groq.com")),
        ("https://api.together.xyz/v1/embeddings", ("together", "api.together.xyz")),
        ("https://api.together.ai/v1/embeddings", ("together", "api.together.ai")),
        ("https://api.mistral.ai/v1/ocr", ("mistral", "api.mistral.ai")),
        ("https://api.eu.mistral.ai/v1/ocr", ("mistral", "api.eu.mistral.ai")),
        ("https://api.x.ai/v1/chat/completions", ("xai", "api.x.ai")),
        ("https://api.moonshot.ai/v1/chat/completions", ("moonshot", "api.moonshot.ai")),
        ("https://api.cerebras.ai/v1/chat/completions", ("cerebras", "api.cerebras.ai")),
        ("https://api.perplexity.ai/chat/completions", ("perplexity", "api.perplexity.ai")),
        ("https://api.cohere.com/v2/chat", ("cohere", "api.cohere.com")),
        ("https://router.huggingface.co/v1/chat/completions", ("huggingface", "router.huggingface.co")),
        (
            "https://x1.us-east-1.aws.endpoints.huggingface.cloud/generate",
            ("huggingface", "x1.us-east-1.aws.endpoints.huggingface.cloud"),
        ),
        ("https://huggingface.co/api/models/a/b", ("huggingface-hub", "huggingface.co")),
        ("http://localhost:11434/api/chat", ("ollama", "localhost:11434")),
        ("http://[::1]:11434/api/chat", ("ollama", "[::1]:11434")),
        ("http://[0:0:0:0:0:0:0:1]:11434/api/chat", ("ollama", "[::1]:11434")),
        ("https://ollama.com/api/chat", ("ollama-cloud", "ollama.com")),
        ("https://api.voyageai.com/v1/embeddings", ("voyage", "api.voyageai.com")),
    ],
)
def test_known_hosts(url: str, expected: tuple[str, str]) -> None:
    """Every service known at birth is claimed under its own name, without a setting."""
    assert claimed(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/?q=api.openai.com",
        "https://example.com/api.openai.com/v1/chat/completions",
        "https://api.openai.com@example.com/v1/chat/completions",
        "https://example.com/v1/chat/completions#api.openai.com",
        "https://api.openai.com.example.com/v1/chat/completions",
        "https://notapi.openai.com/v1/chat/completions",
        "https://evilapi.openai.com.evil.org/v1",
        "https://openai.azure.com/openai/v1/responses",
        "https://xaiplatform.googleapis.com/v1",
        "https://storage.googleapis.com/bucket",
        "https://s3.us-east-1.amazonaws.com/bucket",
        "https://huggingface.co/a/b/resolve/main/model.safetensors",
        "https://openrouter.ai/docs",
        "https://chatgpt.com/",
        "http://localhost:8000/v1/chat/completions",
        "http://localhost/api/chat",
        "ws://api.openai.com/v1/realtime",
        "ftp://api.openai.com/v1/models",
    ],
)
def test_other_hosts_are_none_of_ours(url: str) -> None:
    """A host is compared as a host, never looked for in the text of a URL."""
    assert claimed(url) is None


@pytest.mark.parametrize(
    ("rules", "url", "expected"),
    [
        ([Rule("api.example.com")], "https://api.example.com/weather", ("plain", "api.example.com")),
        ([Rule("api.example.com")], "https://x.api.example.com/weather", None),
        ([Rule("API.Example.com.")], "https://api.example.com/weather", ("plain", "api.example.com")),
        ([Rule("https://api.example.com/v1")], "https://api.example.com/w", ("plain", "api.example.com")),
        ([Rule("https://api.example.com/v1")], "https://api.example.com:8443/w", None),
        ([Rule("api.example.com")], "https://api.example.com:8443/w", ("plain", "api.example.com:8443")),
        ([Rule("api.example.com:8443")], "https://api.example.com/w", None),
        ([Rule("localhost:8000")], "http://localhost:8000/w", ("plain", "localhost:8000")),
        ([Rule("localhost:8000")], "http://localhost:8001/w", None),
        ([Rule("localhost:*")], "http://localhost:49152/w", ("plain", "localhost:*")),
        ([Rule("[::1]:*")], "http://[::1]:49152/w", ("plain", "[::1]:*")),
        ([Rule("::1")], "http://[::1]:49152/w", ("plain", "[::1]:49152")),
        ([Rule("*.corp.example")], "https://a.b.corp.example/w", ("plain", "a.b.corp.example")),
        ([Rule("*.corp.example:*")], "https://a.corp.example:99/w", ("plain", "a.corp.example:*")),
        ([Rule("*.corp.example", None, "corp")], "https://a.corp.example/w", ("plain", "corp")),
        ([Rule("*")], "https://a.example/w", ("plain", "a.example")),
        ([Rule("*:*")], "https://a.example:99/w", ("plain", "a.example:*")),
        ([Rule("*.corp.example")], "https://corp.example/w", None),
        ([Rule("*.corp.example")], "https://acorp.example/w", None),
        ([Rule("gw-*.corp")], "https://gw-7.corp/w", ("plain", "gw-7.corp")),
        ([Rule("gw-*.corp")], "https://gw-7.x.corp/w", None),
        ([Rule("bücher.example")], "https://xn--bcher-kva.example/w", ("plain", "xn--bcher-kva.example")),
        # Another host than strasse.example, for the clients as for the registries of names.
        ([Rule("straße.example")], "https://straße.example/w", ("plain", "xn--strae-oqa.example")),
        ([Rule("localhost:8000", "openai")], "http://localhost:8000/any", ("openai", "localhost:8000")),
        ([Rule("gw.corp", "openrouter")], "http://gw.corp/any", ("openrouter", "gw.corp")),
        (
            [Rule("gw.corp", "openai", "api.openai.com")],
            "http://gw.corp/v1/chat/completions",
            ("openai", "api.openai.com"),
        ),
        ([Rule("gw.corp", None, "Shared")], "http://gw.corp/v1/messages", ("anthropic", "shared")),
        # The narrowest rule wins, in whatever order they stand.
        (
            [Rule("localhost:*", "ollama"), Rule("localhost:8000", "openai")],
            "http://localhost:8000/any",
            ("openai", "localhost:8000"),
        ),
        # A rule goes before what is known; a redundant one changes nothing.
        ([Rule("api.openai.com", "plain")], "https://api.openai.com/v1/files", ("plain", "api.openai.com")),
        ([Rule("api.openai.com")], "https://api.openai.com/v1/files", ("openai", "api.openai.com")),
        ([Rule("openrouter.ai")], "https://openrouter.ai/docs", ("plain", "openrouter.ai")),
        ([Rule("gw.corp", "no such provider")], "http://gw.corp/v1/messages", ("anthropic", "gw.corp")),
    ],
)
def test_rules(rules: list[Rule], url: str, expected: tuple[str, str] | None) -> None:
    """A rule of the settings claims a host, names its provider, and says what stands for it in the key."""
    assert claimed(url, Registry(rules)) == expected  # type: ignore[arg-type]


def test_a_rule_that_is_no_host_is_told_and_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """A pattern that cannot be read costs one line on stderr and nothing else."""
    registry = Registry([Rule("local host:80x"), Rule("gw.corp")])  # type: ignore[list-item]
    assert claimed("http://gw.corp/x", registry) == ("plain", "gw.corp")
    assert "'local host:80x' is not a host" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/v1/chat/completions", "openai"),
        ("/openai/deployments/gpt/chat/completions", "openai"),
        ("/v1/chat/completions/", "openai"),
        ("/v1/responses", "openai"),
        ("/v1/embeddings", "openai"),
        ("/v1/audio/transcriptions", "openai"),
        ("/v1/messages", "anthropic"),
        ("/anthropic/v1/messages/count_tokens", "anthropic"),
        ("/v1beta/models/gemini-3-pro:streamGenerateContent", "gemini"),
        ("/v1beta/interactions", "gemini"),
        ("/v1/projects/p/locations/l/publishers/google/models/g:generateContent", "vertex"),
        ("/v1/projects/p/locations/l/publishers/anthropic/models/c:streamRawPredict", "vertex"),
        ("/model/us.anthropic.claude-v1:0/converse-stream", "bedrock"),
        ("/model/m/invoke-with-response-stream", "bedrock"),
        ("/api/chat", "ollama"),
        ("/v2/chat", "cohere"),
        ("/v1/rerank", "cohere"),
        ("/", ""),
        ("/completions/archive", ""),
        ("/inbox/messages/7", ""),
        ("/api/chatter", ""),
        ("/v3/chat", ""),
    ],
)
def test_the_shape_of_a_path_tells_the_provider(path: str, shape: str) -> None:
    """Where no rule names the provider, the path does, else the call is plain HTTP."""
    assert shape_of(path) == shape
    registry = Registry([Rule("localhost:*")])  # type: ignore[list-item]
    assert claimed(f"http://localhost:8000{path}", registry) == (shape or "plain", "localhost:*")


@pytest.mark.parametrize(
    ("only", "url", "expected"),
    [
        (["example.com"], "https://example.com/x", ("plain", "example.com")),
        (["example.com"], "https://a.b.example.com:8443/x", ("plain", "a.b.example.com:8443")),
        (["example.com"], "https://notexample.com/x", None),
        (["example.com"], "https://api.openai.com/v1/chat/completions", None),
        (["localhost:8000"], "http://localhost:8000/v1/messages", ("anthropic", "localhost:8000")),
        (["localhost:8000"], "http://localhost:8001/v1/messages", None),
        (["openai.com"], "https://api.openai.com/v1/files", ("openai", "api.openai.com")),
        ([], "https://api.openai.com/v1/files", None),
    ],
)
def test_only_these_domains(only: list[str], url: str, expected: tuple[str, str] | None) -> None:
    """With pycachy's `doms`, the given domains and all below them are claimed, and nothing else is."""
    assert claimed(url, Registry(only=only)) == expected


@pytest.mark.parametrize(
    ("variable", "value", "url", "expected"),
    [
        ("OPENAI_BASE_URL", "http://127.0.0.1:8123/v1", "http://127.0.0.1:8123/v1/files", "openai"),
        ("OPENAI_BASE_URL", "http://127.0.0.1:8123/v1", "http://127.0.0.1:8124/v1/files", None),
        ("OPENAI_BASE_URL", "https://LLM.corp/v1", "https://llm.corp/other/path", "openai"),
        ("OPENAI_BASE_URL", "https://llm.corp", "http://llm.corp/v1/chat/completions", None),
        ("ANTHROPIC_BASE_URL", "http://u:p@gw.corp:4000/a?b#c", "http://gw.corp:4000/v1/models", "anthropic"),
        ("GOOGLE_GEMINI_BASE_URL", "http://[::1]:9/", "http://[::1]:9/upload/v1beta/files", "gemini"),
        ("GOOGLE_VERTEX_BASE_URL", "http://gw.corp", "http://gw.corp/v1/x", "vertex"),
        ("AZURE_OPENAI_ENDPOINT", "https://apim.corp/llm", "https://apim.corp/openai/x", "azure"),
        ("GROQ_BASE_URL", "http://gw.corp", "http://gw.corp/openai/v1/chat/completions", "groq"),
        ("CO_API_URL", "http://gw.corp", "http://gw.corp/v2/chat", "cohere"),
        ("OLLAMA_HOST", "gpu.corp", "http://gpu.corp:11434/api/tags", "ollama"),
        ("OLLAMA_HOST", "gpu.corp:9999", "http://gpu.corp:9999/api/tags", "ollama"),
        ("OLLAMA_HOST", ":9999", "http://127.0.0.1:9999/api/tags", "ollama"),
        ("OLLAMA_HOST", "http://gpu.corp", "http://gpu.corp/api/tags", "ollama"),
        ("OPENAI_BASE_URL", "http://gw.corp:port/v1", "http://gw.corp/v1/files", None),
        ("OPENAI_BASE_URL", "", "http://gw.corp/v1/files", None),
    ],
)
def test_a_base_url_in_the_environment(
    variable: str, value: str, url: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host and port in an SDK's base URL variable belong to its provider."""
    monkeypatch.setenv(variable, value)
    found = claimed(url)
    assert (found and found[0]) == expected


def test_one_gateway_for_two_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that several SDKs point to is told apart by the paths."""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:4000/v1")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:4000")
    registry = Registry()
    assert claimed("http://127.0.0.1:4000/v1/messages", registry) == ("anthropic", "127.0.0.1:4000")
    assert claimed("http://127.0.0.1:4000/v1/chat/completions", registry) == ("openai", "127.0.0.1:4000")
    assert claimed("http://127.0.0.1:4000/v1/files", registry) == ("openai", "127.0.0.1:4000")


def test_an_unknown_host_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first call to a host the environment is not read again."""
    registry = Registry()
    assert claimed("http://127.0.0.1:8123/v1/files", registry) is None
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:8123/v1")
    assert claimed("http://127.0.0.1:8123/v1/files", registry) is None
    assert claimed("http://127.0.0.1:8123/v1/files") == ("openai", "127.0.0.1:8123")


def test_a_crawler_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many hosts a program meets, a bounded number is remembered, and answers stay right."""
    monkeypatch.setattr(registry_module, "_MOST_HOSTS", 50)
    registry = Registry()
    for number in range(200):
        assert registry.claim("https", f"host{number}.example", None, "/") is None
    assert len(registry._places) <= 50
    assert claimed("https://api.openai.com/v1/files", registry) == ("openai", "api.openai.com")


@pytest.fixture
def _plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed distribution that registers providers, and a process that has not looked yet."""
    (tmp_path / "acme_llm.py").write_text(
        "from cachy.providers.base import Provider\n"
        "from cachy.providers.answers import finished\n"
        "ACME = Provider(name='acme', finished=finished, hosts=('llm.acme.example',), base_url_env=('ACME_URL',))\n"
        "BOTH = (Provider(name='other', finished=finished, hosts=('other.example', 'api.openai.com')),)\n"
        "BAD = [Provider(name='bad', finished=finished, hosts=('not a host',))]\n"
    )
    info = tmp_path / "acme_llm-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-llm\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[cachy.providers]\nacme = acme_llm:ACME\nboth = acme_llm:BOTH\n"
        "bad = acme_llm:BAD\ngone = acme_llm_no_such_module:X\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry_module, "_foreign", None)
    return tmp_path


@pytest.mark.usefixtures("_plugin")
def test_a_third_party_registers_its_provider(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Providers come through the entry point group; a broken one costs a line, and none takes a known host."""
    assert claimed("https://llm.acme.example/x") == ("acme", "llm.acme.example")
    assert claimed("https://other.example/x") == ("other", "other.example")
    assert claimed("https://api.openai.com/v1/files") == ("openai", "api.openai.com")
    assert claimed("https://not/x") is None
    monkeypatch.setenv("ACME_URL", "http://127.0.0.1:7777")
    assert claimed("http://127.0.0.1:7777/x") == ("acme", "127.0.0.1:7777")
    rules = Registry([Rule("gw.corp", "acme")])  # type: ignore[list-item]
    assert claimed("http://gw.corp/x", rules) == ("acme", "gw.corp")
    assert {"acme", "other"} < set(names())
    told = capsys.readouterr().err
    assert "'bad'" in told
    assert "'gone'" in told


@pytest.mark.usefixtures("_plugin")
def test_entry_points_are_not_read_for_a_known_host() -> None:
    """A program that calls only known providers never pays for the look-up of third parties."""
    assert claimed("https://api.openai.com/v1/files") == ("openai", "api.openai.com")
    assert registry_module._foreign is None


def test_built_in_providers_are_registered_as_those_of_others_are() -> None:
    """The entry points of this distribution and the list that needs no look-up name the same files."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    project = tomllib.loads((TREE / "pyproject.toml").read_text("utf-8"))["project"]
    declared = project["entry-points"]["cachy.providers"]
    listed = {family.__name__.rpartition(".")[2]: family for family in registry_module._FAMILIES}
    assert declared == {name: f"{family.__name__}:PROVIDERS" for name, family in listed.items()}
    files = {
        path.stem
        for path in (TREE / "cachy" / "providers").glob("*.py")
        if "PROVIDERS = (" in path.read_text()
    }
    assert files == set(declared)


@pytest.mark.usefixtures("_plugin")
def test_the_built_in_providers_are_not_looked_up(tmp_path: Path) -> None:
    """Among the entry points of others, the built-in ones are passed over, not registered twice."""
    (tmp_path / "acme_llm-1.0.dist-info" / "entry_points.txt").write_text(
        "[cachy.providers]\nopenai = cachy.providers.openai:PROVIDERS\nacme = acme_llm:ACME\n"
    )
    assert {provider.name for provider in registry_module._third_parties().providers} == {"acme"}


def test_names() -> None:
    """Every provider is found by its name, each name is used once, and every shape is a name."""
    built_in = [provider.name for provider in registry_module._BUILT_IN]
    assert len(set(built_in)) == len(built_in)
    assert set(built_in) <= set(names())
    for name in names():
        provider = by_name(name)
        assert isinstance(provider, Provider)
        assert provider.name == name
        assert not provider.shape or by_name(provider.shape)
    assert by_name("no such provider") is None


HOSTS = st.from_regex(r"[a-z0-9]{1,8}(\.[a-z0-9]{1,8}){0,3}", fullmatch=True)


@settings(deadline=None)
@given(host=HOSTS, port=st.integers(1, 65535))
def test_an_address_reads_back(host: str, port: int) -> None:
    """However an address is written, host and port are read from it alike."""
    for text in (f"{host}:{port}", f"http://{host}:{port}/a:b@c", f"https://u:p@{host.upper()}.:{port}?x#y"):
        assert address(text) == (host, port)
    assert address(host) == (host, None)
    assert address(f"https://{host}") == (host, 443)
    assert plain_host(plain_host(host)) == plain_host(host)


@settings(deadline=None)
@given(host=HOSTS, other=HOSTS)
def test_a_host_matches_itself_and_what_is_below_a_wildcard(host: str, other: str) -> None:
    """A plain pattern matches one host only; `*.host` matches exactly the names below it."""
    exact = Registry([Rule(host, "plain")])  # type: ignore[list-item]
    below = Registry([Rule(f"*.{host}", "plain")])  # type: ignore[list-item]
    assert (exact.claim("https", other, None, "/") is not None) == (other == host or _is_known(other))
    assert (below.claim("https", other, None, "/") is not None) == (
        other.endswith("." + host) or _is_known(other)
    )
    assert below.claim("https", f"{other}.{host}", None, "/") is not None


def _is_known(host: str) -> bool:
    return Registry().claim("https", host, None, "/") is not None


def test_a_provider_of_ones_own_needs_few_facts() -> None:
    """A third party's provider is a name, hosts and the shared judgement."""
    own = Provider(name="own", finished=finished, hosts=("own.example",))
    assert "anthropic-beta" in own.headers
    assert own.key_env == ()


def test_a_host_that_speaks_a_models_api_is_told_of(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A base URL that stands in the program names a host that nobody told us of: one line, once, and no claim."""
    monkeypatch.setattr("cachy.notices._said", set())
    registry = Registry(tells=True)
    for path in ("/v1/models", "/v1/chat/completions", "/v1/chat/completions"):
        assert registry.claim("http", "127.0.0.1", 8123, path) is None
    assert capsys.readouterr().err == (
        "cachy: calls to 127.0.0.1:8123 look like a model's API and are not recorded, as that host is not known;"
        " CACHY_HOSTS=127.0.0.1:8123 records them\n"
    )
    assert registry.place("http", "127.0.0.1", 8123) is None


def test_other_unknown_hosts_are_not_told_of(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some calls nobody looks at their paths any more; nor ever where pycachy's `doms` say what counts."""
    monkeypatch.setattr("cachy.notices._said", set())
    registry = Registry(tells=True)
    for number in range(5):
        assert registry.claim("https", "shop.example", None, f"/messages/{number}") is None
    assert registry.place("https", "shop.example", None) is None
    assert Registry().claim("https", "c.example", None, "/v1/messages") is None  # the command line
    assert (
        Registry(only=["api.openai.com"], tells=True).claim("https", "a.example", None, "/v1/messages")
        is None
    )
    assert Registry(tells=True).claim("ws", "b.example", None, "/v1/messages") is None
    assert capsys.readouterr().err == ""
