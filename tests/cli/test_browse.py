"""`cachy ls`, `search`, `show`: what they print of real recordings, for people and for programs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import CALLS, Run, ask
from sdk.provider import Provider

import cachy
from cachy.report import entry as entries


def listed(run: Run, *options: str) -> list[dict[str, Any]]:
    status, out, _ = run("ls", "--json", *options)
    assert status == 0
    report = json.loads(out)
    assert (report["version"], report["store"]) == (1, "cachy.jsonl")
    found: list[dict[str, Any]] = report["recordings"]
    return found


# ls


def test_ls_shows_the_newest_first(store: Path, run: Run, keys: dict[str, str]) -> None:
    """One line each, with what tells it from others; nothing is said beside it."""
    status, out, err = run("ls")
    assert (status, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert [row[0] for row in rows] == [key[:8] for key in reversed(keys.values())]
    assert rows[-1] == [
        "805951c9",
        "now",
        "openai",
        "gpt-5-mini",
        rows[-1][4],
        rows[-1][5],
        *["What", "is", "a", "whale?"],
    ]
    assert "What is this? [image/png, 1.6 kB]" in out
    assert run("ls", "--limit", "2")[1].splitlines() == out.splitlines()[:2]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (("--provider", "anthropic"), ["messages", "messages stream", "messages tool"]),
        (("--provider", "co*"), ["cohere stream"]),
        (("--model", "GPT-5-mini"), ["chat", "chat stream", "chat tool"]),
        (("--model", "gemini*"), ["gemini", "gemini stream"]),
        (("--text", "WHAT IS A BEE"), ["chat stream"]),
        (("--text", "to “What is a dog?”: größer 你好"), ["messages stream"]),
        (("--provider", "openai", "--text", "elk"), ["responses stream"]),
        (("--status", "4xx"), []),
        (("--status", "200", "--text", "yak"), ["gemini stream"]),
        (("--older", "1d"), []),
        (("--newer", "1d", "--provider", "ollama"), ["ollama"]),
        (("--partial",), []),
    ],
)
def test_ls_filters(
    store: Path, run: Run, keys: dict[str, str], options: tuple[str, ...], names: list[str]
) -> None:
    """All that is given must hold; a text is found in a stream that cuts it to pieces."""
    assert [found["key"] for found in reversed(listed(run, *options))] == [keys[name] for name in names]


def test_ls_by_age(store: Path, run: Run, keys: dict[str, str]) -> None:
    """The time of recording counts, not that of the file."""
    lines = store.read_bytes().splitlines(keepends=True)
    at = json.loads(lines[0])["at"].encode()
    store.write_bytes(b"".join([lines[0].replace(at, b"2026-01-02T03:04:05Z"), *lines[1:]]))
    assert [found["key"] for found in listed(run, "--older", "7d")] == [keys["chat"]]
    assert len(listed(run, "--newer", "7d")) == len(keys) - 1


def test_ls_of_partial_and_failed(project: Path, run: Run, provider: Provider) -> None:
    """What was left half-way and what was answered with an error can be found."""
    import httpx

    with cachy.using("auto", store="cachy.jsonl", hosts=["127.0.0.1:*"], record_status=[404], summary=False):
        httpx.get(f"{provider.url}/openai/v1/nothing")
        url, body = CALLS["chat stream"]
        with httpx.stream("POST", provider.url + url, json=body) as answer:
            next(answer.iter_raw())
    assert [found["status"] for found in listed(run, "--status", "404")] == [404]
    (partial,) = listed(run, "--partial")
    assert partial["partial"] is True
    out = run("ls")[1]
    assert "404 " in out
    assert "partial " in out
    assert "only its beginning" in run("show", partial["key"])[1]


@pytest.mark.parametrize("wrong", [("--older", "soon"), ("--status", "ok"), ("--newer", "3 days")])
def test_a_wrong_filter_is_told(store: Path, run: Run, wrong: tuple[str, str]) -> None:
    """Status 2, nothing on stdout, and the option is named."""
    status, out, err = run("ls", *wrong)
    assert (status, out) == (2, "")
    assert err.startswith(f"cachy: {wrong[0]} {wrong[1]}: ")


def test_ls_where_there_is_nothing(project: Path, run: Run) -> None:
    """No store is an error, an empty one is none; each says so in one line."""
    status, out, err = run("ls")
    assert (status, out) == (2, "")
    assert err == "cachy: there are no recordings: cachy.jsonl does not exist (another one: --store)\n"
    (project / "other.jsonl").touch()
    assert run("ls", "--store", "other.jsonl") == (0, "", "no recordings in other.jsonl\n")
    report = json.loads(run("ls", "--json", "--store", "other.jsonl")[1])
    assert report["recordings"] == []


def test_ls_with_cachy_switched_off(store: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """CACHY=0 is for programs; who lists recordings wants to see them."""
    monkeypatch.setenv("CACHY", "0")
    assert len(listed(run)) == len(CALLS)


def test_damaged_lines_are_left_out(store: Path, run: Run) -> None:
    """One line says how many; the rest is shown."""
    lines = store.read_bytes().splitlines(keepends=True)
    lines[3] = lines[3].replace(b'"status":200', b'"status":2xx')
    store.write_bytes(b"".join(lines))
    status, out, err = run("ls")
    assert (status, len(out.splitlines())) == (0, len(lines) - 1)
    assert err == "1 damaged left out; `cachy verify` names them\n"


@pytest.mark.parametrize(
    "argv",
    [("ls",), ("ls", "--json"), ("search", "is"), ("stats",), ("stats", "--json"), ("rekey", "--dry-run")],
    ids=" ".join,
)
def test_lines_that_are_no_recordings_are_told(store: Path, run: Run, argv: tuple[str, ...]) -> None:
    """What a merge or a crash has left is not passed over in silence by any verb that reads all."""
    assert "skipped" not in run(*argv)[2]
    with open(store, "ab") as file:
        file.write(b"<<<<<<< HEAD\nnonsense\n")
    status, _, err = run(*argv)
    assert status == 0
    assert err.count("cachy.jsonl: 2 lines are skipped, the first is line 16: left by a git merge") == 1


@pytest.mark.parametrize("at", ["yesterday", "2026-99-99T00:00:00Z", ""])
def test_a_recording_without_a_time_is_damaged(store: Path, run: Run, keys: dict[str, str], at: str) -> None:
    """Whoever edits a line may break it anywhere; no verb breaks off at it, and all of them say so."""
    lines = store.read_bytes().splitlines(keepends=True)
    lines[3] = re.sub(rb'"at":"[^"]*"', b'"at":"%s"' % at.encode(), lines[3], count=1)
    store.write_bytes(b"".join(lines))
    assert json.loads(run("verify", "--json")[1])["findings"][0]["number"] == 4
    for argv in (["ls"], ["ls", "--older", "1d"], ["stats"], ["search", "is"]):
        status, _, err = run(*argv)
        assert status == 0
        assert "1 damaged left out" in err, argv
    assert run("prune", "--older", "1d", "--dry-run")[0] == 0
    key = lines[3][8:40].decode()
    assert run("show", key)[2].startswith(f"cachy: recording {key[:8]} is damaged")
    assert run("diff", key, keys["chat"])[0] == 2
    assert run("rm", key, "--yes")[0] == 0
    assert json.loads(run("verify", "--json")[1])["findings"] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("request", "body"), ["list"]),
        (("request", "host"), None),
        (("request", "query"), [["a", 1]]),
        (("request", "headers"), {"a": []}),
        (("request", "body", "text"), 5),
        (("request", "body", "multipart"), ["part"]),
        (("response", "ms"), []),
        (("response", "headers"), [["content-type", 1]]),
    ],
    ids=str,
)
def test_a_line_of_the_wrong_kinds_stops_no_verb(
    store: Path, run: Run, keys: dict[str, str], path: tuple[str, ...], value: Any
) -> None:
    """One recording that was edited badly is left out and told; all others are shown."""
    lines = store.read_bytes().splitlines()
    facts = json.loads(lines[3])
    *steps, last = path
    part = facts
    for step in steps:
        part = part[step]
    part[last] = value
    lines[3] = json.dumps(facts, separators=(",", ":")).encode()
    store.write_bytes(b"\n".join(lines) + b"\n")
    for argv in (["ls"], ["stats"], ["search", "is"]):
        status, _, err = run(*argv)
        assert (status, err.splitlines()[0]) == (0, "1 damaged left out; `cachy verify` names them")
    assert run("export", "--format", "vcr")[0] == 1
    for verb in (["show"], ["show", "--curl"], ["diff", keys["chat"]]):
        assert "is damaged" in run(*verb, facts["key"])[2]
    assert json.loads(run("verify", "--json")[1])["findings"][0]["number"] == 4


def test_an_export_that_is_not_whole_says_so(store: Path, run: Run) -> None:
    """Also by its status: a script would not read the words."""
    with open(store, "ab") as file:
        file.write(b"nonsense\n")
    status, out, err = run("export", "--format", "har")
    assert (status, len(json.loads(out)["log"]["entries"])) == (1, len(CALLS))
    assert "cachy.jsonl: 1 line is skipped, the first is line 16: " in err


def test_recordings_of_pycachy_are_shown_too(project: Path, run: Run) -> None:
    """As far as they go: pycachy kept no request."""
    answer = json.dumps(
        {"model": "gpt-4o", "choices": [{"message": {"role": "assistant", "content": "Hi there."}}]}
    )
    (project / "cachy.jsonl").write_text(json.dumps({"key": "deadbeef", "response": answer}) + "\n", "utf-8")
    assert run("ls")[1].split()[:3] == ["deadbeef", "?", "pycachy"]
    shown = run("show", "dead")[1]
    assert "recorded by pycachy, without its request" in shown
    assert shown.endswith("assistant\n  Hi there.\n")
    assert run("show", "dead", "--curl")[0] == 2
    assert run("diff", "dead", "dead")[0] == 2


# Keys


def test_the_beginning_of_a_key_is_enough(store: Path, run: Run, keys: dict[str, str]) -> None:
    """As in git: capitals or not, as long as it is one recording's alone."""
    whole = run("show", keys["chat"])
    assert run("show", keys["chat"][:5]) == run("show", keys["chat"][:5].upper()) == whole


def test_an_ambiguous_key_is_listed(store: Path, run: Run, keys: dict[str, str]) -> None:
    """Status 2, and all that it may be, so that one can be chosen."""
    line = store.read_bytes().splitlines()[0]
    twin = keys["chat"][:12] + "f" * 20
    with open(store, "ab") as file:
        file.write(line.replace(keys["chat"].encode(), twin.encode()) + b"\n")
    status, out, err = run("show", keys["chat"][:12])
    assert (status, out) == (2, "")
    assert err.splitlines()[0] == f"cachy: {keys['chat'][:12]} may be any of these; say more of it:"
    assert sorted(line.split()[0] for line in err.splitlines()[1:]) == sorted([twin, keys["chat"]])
    assert "What is a whale?" in err
    assert run("show", twin[:13])[0] == 0


@pytest.mark.parametrize("key", ["0000", "xyz", "", "g" * 32])
def test_a_key_that_is_none(store: Path, run: Run, key: str) -> None:
    """Told in one line."""
    status, out, err = run("show", key)
    assert (status, out, len(err.splitlines())) == (2, "", 1)


# show


@pytest.mark.parametrize("name", CALLS)
def test_every_conversation_is_readable(store: Path, run: Run, keys: dict[str, str], name: str) -> None:
    """In every dialect, streamed or not: the question and the whole answer, word for word."""
    out = run("show", keys[name])[1]
    number = list(CALLS).index(name) + 1
    question = {"dated": "What happened on ‹date› in Rome?", "picture": "What is this?"}.get(name)
    texts = [part for message in _messages(CALLS[name][1]) for part in [message] if part]
    for text in [question] if question else texts:
        assert f"  {text}\n" in out
    if name == "embeddings":
        assert "[2 embeddings of 8 numbers]" in out
    elif name.endswith("tool"):
        assert f'  → weather({{"city": "Zürich {number}"}})\n' in out
        assert "tools=weather" in out
    else:
        assert f"  Answer {number} to “" in out
        assert out.endswith("”: größer 你好 🌍, done.\n")


def _messages(body: dict[str, Any]) -> list[str]:
    """The texts of a request, found in another way than the one under test."""
    found = []
    for name, value in body.items():
        if name in ("content", "text", "system", "instructions", "input") and isinstance(value, str):
            found.append(value)
        elif isinstance(value, list) and name in ("messages", "contents", "parts", "input"):
            found += [
                value_of
                for item in value
                for value_of in (_messages(item) if isinstance(item, dict) else [item])
            ]
    return found


def test_pictures_and_what_does_not_count(store: Path, run: Run, keys: dict[str, str]) -> None:
    """A picture is a note, an ignored date is shown as ignored."""
    assert "  [image/png, 1.6 kB]\n" in run("show", keys["picture"])[1]
    assert "what stands in ‹› does not count" in run("show", keys["dated"])[1]
    assert "‹" not in run("show", keys["chat"])[1]
    report = json.loads(run("show", keys["dated"], "--json")[1])
    assert report["ignored"] == ["body.json.messages[0].content"]


def test_show_as_json(store: Path, run: Run, keys: dict[str, str]) -> None:
    """The facts of `ls`, the request, and both sides of the conversation."""
    report = json.loads(run("show", keys["messages tool"], "--json")[1])
    (facts,) = listed(run, "--text", "Zürich 11")
    assert report.items() >= facts.items()
    assert report["question"] == [{"role": "user", "parts": [{"kind": "text", "text": "The weather?"}]}]
    (answer,) = report["answer"]
    assert answer == {
        "role": "assistant",
        "parts": [{"kind": "call", "name": "weather", "text": '{"city": "Zürich 11"}'}],
    }
    assert report["request"]["body"]["json"]["max_tokens"] == 99
    assert report["tokens"] == {"input": 11, "output": 7, "cached": 0, "reasoning": 0}


def test_show_raw_and_body(
    store: Path, keys: dict[str, str], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Byte for byte what lies there."""
    line = store.read_bytes().splitlines()[1]
    for option, expected in (
        ("--raw", line + b"\n"),
        ("--body", json.loads(line)["response"]["text"].encode()),
    ):
        subprocess.run([sys.executable, "-m", "cachy", "show", keys["chat stream"], option], check=True)
        assert capfdbinary.readouterr().out == expected


@pytest.mark.skipif(not shutil.which("curl") or os.name == "nt", reason="needs curl and a shell")
@pytest.mark.parametrize("name", ["chat", "dated", "messages stream", "gemini stream"])
def test_the_curl_command_asks_the_same(
    store: Path, run: Run, keys: dict[str, str], provider: Provider, name: str
) -> None:
    """Run by a real shell, against a real server: same path, same body, and the key from the environment."""
    status, command, err = run("show", keys[name], "--curl")
    assert status == 0
    assert "wildcard" in err
    environ = {
        "PATH": os.environ["PATH"],
        "OPENAI_API_KEY": "one",
        "ANTHROPIC_API_KEY": "one",
        "GEMINI_API_KEY": "one",
    }
    command = command.replace("http://127.0.0.1:*", provider.url)
    subprocess.run(["sh", "-c", f"{command.strip()} -s -o answer"], env=environ, check=True)
    (call,) = provider.calls
    path, body = CALLS[name]
    if name == "dated":
        body = json.loads(json.dumps(body).replace("2026-11-22", "\\u2039date\\u203a"))
        assert "messages[0].content" in err
    assert (call.path, call.json) == (path.partition("?")[0], body)
    assert "one" in [
        call.headers.get("authorization", "").removeprefix("Bearer "),
        call.headers.get("x-api-key"),
        call.headers.get("x-goog-api-key"),
    ]


# search


def test_search_shows_the_place(store: Path, run: Run, keys: dict[str, str]) -> None:
    """Key and words around it; the whole stream counts, not its pieces."""
    status, out, err = run("search", "A DOG?”: Größer")
    assert (status, err) == (0, "")
    assert out.startswith(f"{keys['messages stream'][:8]}  …")
    assert "“What is a dog?”: größer 你好" in out
    assert len(run("search", "--regex", r"what is an? \w{3}\?")[1].splitlines()) == 9
    report = json.loads(run("search", "whale", "--json")[1])
    assert [(found["key"], found["match"]) for found in report["recordings"]] == [(keys["chat"], "whale")]
    assert run("search", "unicorn") == (0, "", "'unicorn' stands in no recording of cachy.jsonl\n")
    assert run("search", "--regex", "(")[0] == 2


def test_what_is_shown_cannot_steer_the_terminal(project: Path, run: Run, provider: Provider) -> None:
    """Escape sequences in prompts are written out."""
    with cachy.using("auto", store="cachy.jsonl", hosts=["127.0.0.1:*"], summary=False):
        ask(provider.url, "chat", messages=[{"role": "user", "content": "red \x1b[31m alert \x07"}])
    for shown in (run("ls")[1], run("search", "alert")[1], run("show", listed(run)[0]["key"])[1]):
        assert "\\x1b[31m alert" in shown
        assert "\x1b" not in shown


def test_a_pipe_costs_no_rich(store: Path) -> None:
    """rich, prices and HTTP clients are loaded for those who need them."""
    code = (
        "import sys; from cachy.cli import main; main(['ls']); main(['show', '805951c9']); main(['search', 'bee']);"
        "print([name for name in ('rich', 'genai_prices', 'httpx', 'asyncio') if name in sys.modules], file=sys.stderr)"
    )
    code = code.replace("main(['show', '805951c9']); ", "")  # which shows a price
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    assert done.stderr == "[]\n"


def test_facts_have_the_documented_names(store: Path, run: Run) -> None:
    """docs/cli.md promises them."""
    (first, *_) = listed(run)
    assert list(first) == [
        "key", "at", "provider", "model", "method", "host", "path", "status", "ms", "streamed", "partial", "bytes", "tokens",
    ]  # fmt: skip
    assert entries.MARKER.search("‹ignored›")
