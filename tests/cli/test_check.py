"""`cachy verify` and `cachy rekey`: what is found, and what a change of the rules makes of recordings."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from cli.conftest import KEY, Run, ask
from sdk.provider import Provider

import cachy
from cachy.cli import rekey
from cachy.stores.jsonl import JsonlStore

SECRET = "sk-proj-Zq1Xw2Ec3Rv4Tb5Yn6Um7Ik8Ol9Pa0"


def findings(run: Run, *options: str) -> list[dict[str, Any]]:
    status, out, _ = run("verify", "--json", *options)
    report = json.loads(out)
    assert report["version"] == 1
    found: list[dict[str, Any]] = report["findings"]
    assert status == (1 if found else 0)
    return found


def test_what_cachy_records_is_in_order(store: Path, run: Run, keys: dict[str, str]) -> None:
    """Every recording of every dialect is whole, under its key, and without a secret."""
    assert run("verify") == (0, "", f"{len(keys)} recordings checked, nothing found\n")
    assert findings(run) == []


def test_every_fault_is_found_in_its_line(store: Path, run: Run, keys: dict[str, str]) -> None:
    """Lines are numbered as an editor numbers them; replaced lines are looked at too."""
    lines = store.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b"What is a bee?", b"What is a wasp?", 1)  # by hand
    lines[2] = lines[2][:400] + b"\n"
    lines[3:3] = [b"<<<<<<< HEAD\n", b"\n"]
    lines[5] = lines[5].replace("größer".encode(), f"größer {SECRET}".encode())
    lines[6] = lines[6].replace(b'"content":"What happened', f'"content":"{SECRET} What happened'.encode())
    lines[7] = lines[7].replace(b'"instructions":"Be brief."', b'"password":"hunter2"')
    lines[9] = lines[9].replace(b'"status":200', b'"status":"200')
    chunked = next(index for index, line in enumerate(lines) if keys["ollama"].encode() in line)
    lines[chunked] = lines[chunked].replace("你好".encode(), b"hi")
    store.write_bytes(b"".join(lines))
    found = [(finding["number"], finding["kind"], finding["what"]) for finding in findings(run)]
    assert found == [
        (2, "key", "its request has been changed: the key is another one; `cachy rekey` gives it that"),
        (3, "damaged", "not a whole recording; delete it"),
        (4, "damaged", "left by a git merge; delete such lines"),
        (6, "secret", "a secret in response.text"),
        (7, "key", found[4][2]),
        (7, "secret", "a secret in request.body.json.messages[0].content"),
        (8, "key", found[6][2]),
        (8, "secret", "a secret in request.body.json.password"),
        (10, "damaged", "not a whole recording; delete it"),
        (chunked + 1, "damaged", "the pieces of its answer do not add up; delete it"),
    ]
    status, out, err = run("verify")
    assert status == 1
    assert out.splitlines()[0].startswith(
        f"cachy.jsonl:2  {keys['chat stream'][:8]}  its request has been changed"
    )
    assert err.splitlines()[-1].startswith("secrets: `cachy rekey` masks them")
    assert SECRET not in out + err
    assert "hunter2" not in out + err
    assert [finding["number"] for finding in findings(run, "--secrets")] == [6, 7, 8]


def test_only_secrets_are_told_how_to_be_rid_of(
    project: Path, run: Run, golden: tuple[Path, dict[str, str]]
) -> None:
    """One recording, changed by hand, with no secret in it."""
    (line,) = [line for line in golden[0].read_bytes().splitlines() if b"What is a bee?" in line]
    (project / "cachy.jsonl").write_bytes(line.replace(b"What is a bee?", b"What is a wasp?", 1) + b"\n")
    status, out, err = run("verify")
    assert (status, len(out.splitlines())) == (1, 1)
    assert err == "1 recording checked, 1 found\n"


def test_a_key_of_this_machine_is_found_whatever_it_looks_like(
    store: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The value of a provider's variable, in a prompt; a short one may be a word."""
    monkeypatch.setenv("MISTRAL_API_KEY", "correct horse battery")
    monkeypatch.setenv("GROQ_API_KEY", "whale")
    lines = store.read_bytes().replace(b"What is a cow?", b"What is a correct horse battery?")
    store.write_bytes(lines)
    assert {finding["what"] for finding in findings(run, "--secrets")} >= {
        "a secret in request.body.json.messages[0].content"
    }
    assert len(findings(run, "--secrets")) == 1


def git(*words: str) -> str:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    identity = ["-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", *identity, *words], env=environ, check=True, capture_output=True, text=True
    ).stdout


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_what_is_staged(store: Path, run: Run, project: Path) -> None:
    """Of the index, not of the working tree: only the lines that a commit would add, of any file of recordings."""
    git("init", "-q")
    lines = store.read_bytes().splitlines(keepends=True)
    leaky = lines[4].replace("größer".encode(), f"größer {SECRET}".encode())
    store.write_bytes(b"".join([leaky, *lines[:3]]))
    git("add", ".")
    assert [(finding["file"], finding["number"]) for finding in findings(run, "--staged", "--secrets")] == [
        ("cachy.jsonl", 1)
    ]
    git("commit", "-qm", "it is too late for that one")
    assert findings(run, "--staged") == []
    (project / "tests").mkdir()
    (project / "tests" / "größe.jsonl").write_bytes(b"".join([*lines[5:8], leaky]))
    (project / "notes.txt").write_text(
        f"my key is {SECRET}\n", "utf-8"
    )  # no recording: other tools look there
    store.write_bytes(b"".join([leaky, *lines[:3], b"not a recording\n"]))
    git("config", "core.quotePath", "false")
    git("add", ".")
    store.write_bytes(b"")
    found = [(finding["file"], finding["number"], finding["kind"]) for finding in findings(run, "--staged")]
    assert found == [("cachy.jsonl", 5, "damaged"), ("tests/größe.jsonl", 4, "secret")]


def test_staged_outside_of_git(store: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says what is missing."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(store.parent.parent))
    assert run("verify", "--staged")[::2] == (2, "cachy: --staged works in a git repository only\n")


# rekey


def test_today_s_rules_make_the_same_keys(store: Path, run: Run) -> None:
    """Nothing to do for what was just recorded, in any dialect: the rules may be applied again and again."""
    before = store.read_bytes()
    status, out, err = run("rekey", "--yes")
    assert (status, out) == (0, "")
    assert err.startswith("0 of 15 recordings get another key")
    assert store.read_bytes() == before


def test_a_new_entry_of_ignore_needs_no_new_recording(project: Path, run: Run, provider: Provider) -> None:
    """Recorded without it, replayed with it: for another date, at another port, by the same recording."""
    question = "What happened on {} in Oslo?"

    def asked(day: str, url: str) -> bytes:
        return ask(url, "dated", messages=[{"role": "user", "content": question.format(day)}]).content

    with cachy.using(
        "auto", store="cachy.jsonl", hosts=[provider.url.removeprefix("http://")], summary=False
    ):
        answers = [asked(day, provider.url) for day in ("2026-11-21", "2026-11-22")]
    settings = {"hosts": ["127.0.0.1:*"], "ignore": ["messages[*].content:date"]}
    (project / "pyproject.toml").write_text(
        "[tool.cachy]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()),
        "utf-8",
    )
    plan = json.loads(run("rekey", "--json", "--dry-run")[1])
    assert (plan["moved"], plan["merged"], plan["written"]) == (2, 1, False)
    assert run("rekey")[0] == 2  # nobody is here to be asked
    assert run("rekey", "--yes")[0] == 0
    assert findings(run) == []
    with cachy.using("replay", store="cachy.jsonl", summary=False, **settings):  # type: ignore[arg-type]
        assert asked("2030-01-01", "http://127.0.0.1:9") in answers
    assert json.loads(run("rekey", "--json")[1])["moved"] == 0


@pytest.fixture
def dated(project: Path, run: Run, provider: Provider) -> Path:
    """Two recordings that today's rules make one."""
    with cachy.using("auto", store="cachy.jsonl", hosts=["127.0.0.1:*"], summary=False):
        for day in ("2026-11-21", "2026-11-22"):
            ask(provider.url, "dated", messages=[{"role": "user", "content": f"What happened on {day}?"}])
    (project / "pyproject.toml").write_text(
        '[tool.cachy]\nignore = ["messages[*].content:date"]\nhosts = ["127.0.0.1:*"]\n', "utf-8"
    )
    return project / "cachy.jsonl"


def test_rekey_puts_a_recording_in_the_place_of_a_damaged_one(dated: Path, run: Run) -> None:
    """It does not break off where there is one."""
    before = dated.read_bytes()
    assert run("rekey", "--yes")[0] == 0
    (after,) = dated.read_bytes().splitlines()
    dated.write_bytes(before + after.replace(b'"status":200', b'"status":"200"') + b"\n")
    status, _, err = run("rekey", "--yes")
    assert (status, "1 damaged left alone" in err) == (0, True)
    assert dated.read_bytes() == after + b"\n"
    assert findings(run) == []


def test_what_is_recorded_while_rekey_writes_is_kept(
    dated: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that still goes by the old rules records anew under an old key: that answer is not deleted."""
    keys = [line[8:40].decode() for line in dated.read_bytes().splitlines()]
    fresh = dated.read_bytes().splitlines()[1].replace(b'"status":200', b'"status":201')

    def progress(items: Iterator[Any], _: int, what: str) -> Iterator[Any]:
        for number, item in enumerate(items):
            if (what, number) == ("Writing", 1):
                with closing(JsonlStore(dated)) as program:
                    program.put(keys[1], fresh)
            yield item

    monkeypatch.setattr(rekey, "progress", progress)
    assert run("rekey", "--yes")[0] == 0
    left = dict(JsonlStore(dated))
    assert len(left) == 2
    assert left.pop(keys[1]) == fresh
    assert keys[0] not in left


def test_uploads_keep_their_keys(project: Path, run: Run, provider: Provider) -> None:
    """They are made of more than one request; the same file still replays afterwards."""
    command = "x-goog-upload-command"

    def upload(url: str) -> bytes:
        facts = {"file": {"mime_type": "text/plain", "size_bytes": 5}}
        begin = {
            command: "start",
            "x-goog-upload-protocol": "resumable",
            "x-goog-upload-header-content-length": "5",
        }
        session = httpx.post(f"{url}/gemini/upload/v1/files", json=facts, headers=begin).headers[
            "x-goog-upload-url"
        ]
        send = {command: "upload, finalize", "x-goog-upload-offset": "0"}
        return httpx.post(session, content=b"hello", headers=send).content

    with cachy.using("auto", store="cachy.jsonl", hosts=["127.0.0.1:*"], summary=False):
        live = upload(provider.url)
    before = Path("cachy.jsonl").read_bytes()
    assert b'"upload":{' in before
    assert run("rekey", "--yes")[0] == 0
    assert run("verify")[0] == 0
    assert Path("cachy.jsonl").read_bytes() == before
    provider.stop()
    with cachy.using("replay", store="cachy.jsonl", hosts=["127.0.0.1:*"], summary=False):
        assert upload(provider.url) == live


def test_json_comes_whole_or_not_at_all(store: Path, run: Run) -> None:
    """A file that is none of ours is told on stderr; nothing is begun on stdout."""
    store.write_text("name,price\ntea,3\n", "utf-8")
    for verb in ("verify", "ls", "stats"):
        status, out, err = run(verb, "--json")
        assert (status, out) == (2, "")
        assert "is not a file of recordings" in err


def test_rekey_masks_what_is_a_secret_today(store: Path, run: Run, keys: dict[str, str]) -> None:
    """In request and answer; the lengths stay, so that a stream keeps its pieces."""
    text = store.read_bytes()
    text = text.replace(b"What is a whale?", f"What is {SECRET}?".encode())
    store.write_bytes(text)
    assert findings(run, "--secrets") != []
    assert run("rekey", "--yes")[0] == 0
    assert findings(run) == []
    assert SECRET.encode() not in store.read_bytes()
    assert KEY.encode() not in store.read_bytes()
    assert len(store.read_bytes().splitlines()) == len(keys)


def test_ids_that_an_answer_repeats_keep_their_numbers(project: Path, run: Run, provider: Provider) -> None:
    """What a client makes up is still put back into the answer after it."""
    pair = [
        {"role": "assistant", "content": None, "tool_calls": [{"id": "call_abcdef", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "call_abcdef", "content": "42"},
    ]  # fmt: skip
    with cachy.using("auto", store="cachy.jsonl", hosts=["127.0.0.1:*"], summary=False):
        ask(provider.url, "chat", messages=[{"role": "user", "content": "2026-11-22"}, *pair])
    line = json.loads(Path("cachy.jsonl").read_bytes())
    line["response"]["echo"] = [[1, "call_abcdef"]]
    Path("cachy.jsonl").write_text(
        json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n", "utf-8"
    )
    Path("pyproject.toml").write_text('[tool.cachy]\nignore = ["messages[0].content:date"]\n', "utf-8")
    assert run("rekey", "--yes")[0] == 0
    after = json.loads(Path("cachy.jsonl").read_bytes())
    assert after["key"] != line["key"]
    assert after["response"]["echo"] == [[1, "call_abcdef"]]
    assert after["request"]["body"]["json"]["messages"][2]["tool_call_id"] == "‹id 1›"
