"""`cachy import` and `cachy export`: what real vcrpy and others have recorded is replayed, and the other way round."""

from __future__ import annotations

import base64
import gzip
import json
import os
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO, StringIO
from itertools import count
from pathlib import Path
from typing import Any

import brotli
import httpx
import pytest
import requests
import vcr
import yaml
import zstandard

import cachy
from cachy.cli import importing, main, talk
from cachy.formats import documents
from cachy.stores import open_store

KEY = "sk-proj-1f8Kd0ZqWm3Vb7Xc9Lp2Rt5Yh4Nj6"
CHAT = {"id": "c1", "object": "chat.completion", "model": "gpt-5-mini", "choices": [{"index": 0, "finish_reason": "stop",
        "message": {"role": "assistant", "content": "Grüße ☃"}}]}  # fmt: skip
SSE = b'data: {"choices":[{"index":0,"delta":{"content":"a\xc3\xa9"}}]}\r\n\r\ndata: [DONE]\r\n\r\n'
PACKED = {
    "gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress, "": bytes,
}  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    """An answer of its own to each call: JSON, an event stream, or bytes; packed as the path says."""

    calls = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        type(self).calls += 1
        kind, packing = self.path.strip("/").split("/")[-1].partition("-")[::2]
        body, content_type = {
            "json": (json.dumps({**CHAT, "id": f"c{self.calls}"}).encode(), "application/json"),
            "sse": (SSE, "text/event-stream"),
            "bytes": (bytes(range(256)), "audio/mpeg"),
            "down": (b'{"error":{"message":"no"}}', "application/json"),
        }[kind]
        body = PACKED[packing](body)
        self.send_response(503 if kind == "down" else 200)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        if packing:
            self.send_header("content-encoding", packing)
        self.send_header("set-cookie", "session=s3cr3tc00k1e")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    Handler.calls = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1/"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("CACHY_HOSTS", "127.0.0.1:*")


def ask(url: str, question: str = "Hi", client: Any = httpx) -> bytes:
    answer = client.post(
        url, json={"model": "gpt-5-mini", "messages": question}, headers={"authorization": f"Bearer {KEY}"}
    )
    return bytes(answer.content)


def replayed(url: str, store: str = "calls.jsonl", **how: Any) -> bytes:
    with cachy.using("replay", store=store, hosts=["127.0.0.1:*"], summary=False):
        return ask(url, **how)


@pytest.mark.parametrize("client", [httpx, requests], ids=["httpx", "requests"])
@pytest.mark.parametrize(
    ("path", "serializer"),
    [
        *((path, "yaml") for path in ("json", "sse", "json-gzip", "sse-gzip", "json-deflate", "json-br", "json-zstd", "bytes", "bytes-gzip", "bytes-br", "bytes-zstd")),
        *((path, "json") for path in ("json", "sse")),  # of bytes vcrpy says that JSON cannot hold them
    ],
)  # fmt: skip
def test_what_vcrpy_recorded_is_replayed(
    url: str, path: str, serializer: str, client: Any, capsys: Any
) -> None:
    """Whatever form vcrpy gave the body, the program gets the same bytes as from the provider."""
    with vcr.use_cassette(f"cassettes/test.{serializer}", serializer=serializer):
        live = ask(url + path, client=client)
    assert main(["import", "cassettes", "--store", "calls.jsonl"]) == 0
    assert capsys.readouterr().out == "1 imported into calls.jsonl\n"
    assert replayed(url + path, client=client) == live
    assert Handler.calls == 1
    text = Path("calls.jsonl").read_text("utf-8")
    assert KEY not in text
    assert "s3cr3tc00k1e" not in text


def test_different_answers_to_one_request_are_a_sequence(url: str, capsys: Any) -> None:
    """Across cassettes, in the order of their names; an answer that is there already is not taken twice."""
    live = []
    for name in ("a", "b", "c"):
        with vcr.use_cassette(f"cassettes/{name}.yaml"):
            live.append(ask(url + "json"))
    Path("cassettes/d.yaml").write_bytes(Path("cassettes/b.yaml").read_bytes())
    assert main(["import", "cassettes", "--store", "calls.jsonl"]) == 0
    assert capsys.readouterr().out == "3 imported into calls.jsonl\n1 skipped: there already\n"
    with cachy.using("replay", store="calls.jsonl", hosts=["127.0.0.1:*"], repeats="sequence", summary=False):
        assert [ask(url + "json") for _ in range(3)] == live
    assert replayed(url + "json") == live[0]
    before = Path("calls.jsonl").read_bytes()
    assert main(["import", "cassettes", "--store", "calls.jsonl", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "version": 1, "target": "calls.jsonl", "taken": 0, "skipped": {"there already": 4},
    }  # fmt: skip
    assert Path("calls.jsonl").read_bytes() == before


def test_what_vcrpy_names_as_it_is_told(url: str, capsys: Any) -> None:
    """It writes YAML, or what it is told to, into a file of any name; the first sign of a file tells."""
    with vcr.use_cassette("cassettes/no_ending"):
        ask(url + "json", "a")
    with vcr.use_cassette("cassettes/wrong.json"):
        ask(url + "json", "b")
    with vcr.use_cassette("cassettes/wrong.yaml", serializer="json"):
        ask(url + "json", "c \U0001f600")
    Path("cassettes/README").write_text("interacting")
    assert main(["import", "cassettes", "--store", "calls.jsonl"]) == 0
    assert capsys.readouterr().out == "3 imported into calls.jsonl\n"
    assert replayed(url + "json", question="c \U0001f600")


def test_files_and_iterators_that_were_sent(url: str, capsys: Any) -> None:
    """vcrpy writes them as Python objects; their content is taken, and found by it."""
    Path("sound").write_bytes(b"\xff\x00sound")
    with vcr.use_cassette("c.yaml"), open("sound", "rb") as file:
        requests.post(url + "json", data=file)
        requests.post(url + "json", data=BytesIO(b"text"))
    text = Path("c.yaml").read_text("utf-8")
    assert text.count("!!python/object/new:_io.BytesIO") == 2
    assert main(["import", "c.yaml", "--store", "calls.jsonl"]) == 0
    assert capsys.readouterr().out == "2 imported into calls.jsonl\n"
    with cachy.using("replay", store="calls.jsonl", hosts=["127.0.0.1:*"], summary=False):
        assert requests.post(url + "json", data=b"\xff\x00sound").json()["id"] == "c1"
        assert requests.post(url + "json", data=b"text").json()["id"] == "c2"


def entries(count: int) -> str:
    """A HAR file of so many entries, all different."""
    found = []
    for number in range(count):
        asked = {**HAR["log"]["entries"][0]["request"], "postData": {"mimeType": "application/json", "text": f'{{"model":"m{number}"}}'}}  # fmt: skip
        found.append({**HAR["log"]["entries"][0], "request": asked})
    return json.dumps({"log": {"version": "1.2", "entries": found}})


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="a named pipe")
def test_an_import_that_was_killed_goes_on(capsys: Any) -> None:
    """Started again it takes what is missing, and the store is as if nothing had been."""
    text = entries(4000)
    Path("session.har").write_text(text)
    os.mkfifo("pipe")  # held open, so that the import cannot end before it is killed
    command = [sys.executable, "-m", "cachy", "import", "pipe", "--store", "calls.jsonl"]
    with subprocess.Popen(command, env={**os.environ, "CACHY": "0"}) as child, open("pipe", "w") as pipe:
        pipe.write(text[: 3 * documents._BLOCK // 2])
        pipe.flush()
        while not (os.path.exists("calls.jsonl") and os.path.getsize("calls.jsonl")):
            assert child.poll() is None
        child.kill()
    before = Path("calls.jsonl").read_bytes().count(b"\n")
    assert 0 < before < 4000
    assert main(["import", "session.har", "--store", "calls.jsonl", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["taken"] + told["skipped"]["there already"] == 4000
    assert told["skipped"]["there already"] == before
    assert main(["import", "session.har", "--store", "whole.jsonl"]) == 0
    assert dict(open_store("calls.jsonl")) == dict(open_store("whole.jsonl"))


@pytest.mark.skipif(os.name != "posix", reason="a named pipe")
@pytest.mark.parametrize("form", ["har", "yaml"])
def test_a_pipe(form: str, capsys: Any) -> None:
    """`xz -dc session.har.xz | cachy import /dev/stdin`: nothing is read twice."""
    os.mkfifo("pipe")
    text = entries(3) if form == "har" else yaml.safe_dump({"interactions": [item()], "version": 1})
    writer = threading.Thread(target=Path("pipe").write_text, args=(text,))
    writer.start()
    assert main(["import", "pipe", "--store", "calls.jsonl"]) == 0
    writer.join()
    assert capsys.readouterr().out == f"{3 if form == 'har' else 1} imported into calls.jsonl\n"


def test_progress_within_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the bytes that have been read, of all files."""

    class Bar:
        """What is told to the bar of rich, which redraws itself at its own times."""

        told: list[int] = []

        def add_task(self, what: str, total: int) -> int:
            assert total == os.path.getsize("a.har") + os.path.getsize("b.yaml")
            return 0

        def update(self, task: int, completed: int) -> None:
            self.told.append(completed)

        def stop(self) -> None:
            pass

    class Screen(StringIO):
        def isatty(self) -> bool:
            return True

    clock = count()
    monkeypatch.setattr(talk, "_clock", lambda: next(clock) * 0.3)
    monkeypatch.setattr(talk, "_new_bar", Bar)
    monkeypatch.setattr(documents, "_BLOCK", 1000)
    monkeypatch.setattr(sys, "stderr", Screen())
    Path("a.har").write_text(entries(40))
    Path("b.yaml").write_text(yaml.safe_dump({"interactions": [item() for _ in range(100)]}))
    assert main(["import", "a.har", "b.yaml", "--store", "calls.jsonl"]) == 0
    first = os.path.getsize("a.har")
    assert sorted(Bar.told) == Bar.told
    assert len({done for done in Bar.told if done < first}) > 10
    assert len({done for done in Bar.told if first < done < first + os.path.getsize("b.yaml")}) >= 1
    assert Bar.told[-1] <= first + os.path.getsize("b.yaml")


def test_a_question_that_was_asked_often(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """What it costs to find the turn of an answer does not grow with the number of turns."""
    looked: list[str] = []

    def opened(*arguments: Any) -> Any:
        store = open_store(*arguments)
        get = store.get
        monkeypatch.setattr(store, "get", lambda key: looked.append(key) or get(key))
        return store

    monkeypatch.setattr(importing, "open_store", opened)
    answers = [json.dumps({**CHAT, "id": f"c{number % 50}"}) for number in range(100)]
    cassette(*(item(None, {"body": {"string": answer}}) for answer in answers))
    for taken in (50, 0):
        assert main(["import", "c.yaml", "--store", "calls.db", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["taken"], told["skipped"]) == (taken, {"there already": 100 - taken})
        assert len(looked) <= 2 * 100
        looked.clear()
    with cachy.using("replay", store="calls.db", repeats="sequence", summary=False):
        ids = [httpx.post("https://api.openai.com/v1/chat/completions", json={"model": "gpt-5-mini"}).json()["id"] for _ in range(50)]  # fmt: skip
    assert ids == [f"c{number}" for number in range(50)]


def cassette(*items: dict[str, Any], name: str = "c.yaml") -> None:
    Path(name).write_text(yaml.safe_dump({"version": 1, "interactions": list(items)}), "utf-8")


def item(request: dict[str, Any] | None = None, response: dict[str, Any] | None = None) -> dict[str, Any]:
    headers = {"Content-Type": ["application/json"]}
    return {
        "request": {"method": "POST", "uri": "https://api.openai.com/v1/chat/completions", "headers": headers,
                    "body": '{"model": "gpt-5-mini"}', **(request or {})},
        "response": {"status": {"code": 200, "message": "OK"}, "headers": headers, "body": {"string": json.dumps(CHAT)},
                     **(response or {})},
    }  # fmt: skip


BODIES: dict[str, dict[str, Any]] = {
    "text": {"body": {"string": json.dumps(CHAT)}},
    "bytes": {"body": {"string": json.dumps(CHAT).encode()}},
    "base64": {"body": {"base64_string": base64.b64encode(json.dumps(CHAT).encode()).decode()}},
    "bare": {"body": json.dumps(CHAT)},
    "gzip": {"body": {"string": gzip.compress(json.dumps(CHAT).encode())}, "headers": {"content-type": "application/json", "content-encoding": ["gzip"]}},
    "said to be gzip": {"body": {"string": json.dumps(CHAT)}, "headers": {"content-type": ["application/json"], "content-encoding": ["gzip"]}},
    "parsed": {"body": {}, "parsed_body": CHAT, "headers": {"content-type": ["application/json"], "content-length": ["9"]}},
}  # fmt: skip


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_bodies_in_every_form(body: dict[str, Any]) -> None:
    """Those that vcrpy, its forks and the serializers of others write."""
    asked = {"parsed_body": {"model": "gpt-5-mini"}, "body": None} if "parsed_body" in body else {}
    cassette(item(asked, body))
    assert main(["import", "c.yaml", "--store", "calls.jsonl"]) == 0
    with cachy.using("replay", store="calls.jsonl", summary=False):
        answer = httpx.post("https://api.openai.com/v1/chat/completions", json={"model": "gpt-5-mini"})
    assert answer.json() == CHAT
    assert "content-encoding" not in answer.headers


def test_nothing_is_refused_silently(capsys: Any) -> None:
    """What a live run would not have recorded either is counted by its reason; what is wrong is named."""
    cassette(
        item(),
        item({"body": '{"model": "b"}'}, {"status": {"code": 429, "message": "slow down"}}),
        item({"method": "GET", "uri": "https://api.openai.com/v1/responses/resp_1", "body": None}, {"body": {"string": '{"id": "r", "status": "in_progress", "object": "response"}'}}),
        item({"uri": "https://oauth2.googleapis.com/token"}),
        item({"uri": "https://example.com/x"}),
        item({"body": '{"model": "d"}'}, {"headers": {"content-encoding": ["br"]}, "body": {"string": b"\xff\xfe"}}),
        {"request": {}},
    )  # fmt: skip
    with open("c.yaml", "a", encoding="utf-8") as file:
        file.write("interactions:\n- !!python/object/apply:os.system ['touch owned']\n")
    Path("notes.json").write_text('{"dear": "diary"}')
    Path("evil.yaml").write_text("!!python/object/apply:os.system ['touch owned']")
    Path("torn.har").write_text('{"log": {"entries": [{"request": {')
    assert main(["import", ".", "--store", "calls.db"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("1 imported into calls.db\n")
    for reason in (
        "1 skipped: status 429",
        "1 skipped: oauth2.googleapis.com is no provider's",
        "1 skipped: example.com is no provider's and not in `hosts` (--all-hosts takes it)",
        "1 skipped: its content-encoding br cannot be undone here (./c.yaml)",
        "1 skipped: not an interaction (./c.yaml)",
        "1 skipped: not plain data (./c.yaml)",
        "2 skipped: neither a cassette of vcrpy nor a HAR file (./evil.yaml, ./notes.json)",
        "1 skipped: the rest is not JSON (./torn.har)",
    ):
        assert reason in out
    assert not Path("owned").exists()
    assert sum(int(text.split()[0]) for text in out.splitlines()) == 11
    assert main(["import", "c.yaml", "--store", "calls.db", "--all-hosts"]) == 1
    assert "1 imported" in capsys.readouterr().out


def test_a_file_of_pycachy(capsys: Any) -> None:
    """Its lines keep their keys, and are found by them."""
    old = b'{"key": "0123abcd", "response": "{}", "headers": null, "status_code": 200, "binary": false}'
    Path("old.jsonl").write_bytes(old + b"\n")
    assert main(["import", "old.jsonl", "--store", "cachy/"]) == 0
    assert dict(open_store("cachy/")) == {"0123abcd": old}


HAR = {"log": {"version": "1.2", "entries": [
    {"startedDateTime": "2025-01-02T03:04:05.678+02:00", "time": 812.4,
     "request": {"method": "POST", "url": "https://api.openai.com/v1/chat/completions", "httpVersion": "h2",
                 "headers": [{"name": ":authority", "value": "api.openai.com"}, {"name": "Authorization", "value": f"Bearer {KEY}"}],
                 "postData": {"mimeType": "application/json", "text": '{"model":"gpt-5-mini"}'}},
     "response": {"status": 200, "statusText": "", "headers": [{"name": "content-encoding", "value": "br"}],
                  "content": {"size": 5, "mimeType": "application/json", "text": base64.b64encode(json.dumps(CHAT).encode()).decode(), "encoding": "base64"}}},
    {"request": {"method": "GET", "url": "https://api.openai.com/v1/models", "headers": []},
     "response": {"status": 0, "headers": [], "content": {}}},
    {"request": {"method": "GET", "url": "https://api.openai.com/v1/models", "headers": []},
     "response": {"status": 200, "headers": [], "content": {"size": 100}}},
]}}  # fmt: skip


def test_a_har_file(capsys: Any) -> None:
    """As a browser writes it: bodies decoded, bytes in base64, some left out; its times are kept."""
    Path("session.har").write_text(json.dumps(HAR))
    assert main(["import", "session.har", "--store", "calls.jsonl"]) == 1
    out = capsys.readouterr().out
    assert "1 skipped: it got no answer (session.har)" in out
    assert "1 skipped: the tool that wrote it left out the body (session.har)" in out
    ((_, line),) = open_store("calls.jsonl")
    facts = json.loads(line)
    assert facts["at"] == "2025-01-02T01:04:05Z"
    assert facts["response"]["ms"] == 812
    assert KEY.encode() not in line
    with cachy.using("replay", store="calls.jsonl", summary=False):
        answer = httpx.post("https://api.openai.com/v1/chat/completions", json={"model": "gpt-5-mini"})
    assert answer.json() == CHAT


def test_what_is_exported_is_replayed_by_vcrpy(url: str, capsys: Any) -> None:
    """Real vcrpy plays the cassette and calls nobody."""
    with cachy.using("auto", store="calls.jsonl", hosts=["127.0.0.1:*"], summary=False):
        live = {path: ask(url + path) for path in ("json-gzip", "sse", "bytes")}
    assert main(["export", "--format", "vcr", "--store", "calls.jsonl", "-o", "out.yaml"]) == 0
    assert capsys.readouterr().err == "3 exported to out.yaml\n"
    assert KEY not in Path("out.yaml").read_text("utf-8")
    exact = Path("out.yaml").read_text("utf-8").replace("http://127.0.0.1:*/v1/", url)
    Path("out.yaml").write_text(exact, "utf-8")
    with vcr.use_cassette("out.yaml", record_mode="none", match_on=["method", "uri", "body"]):
        assert {path: ask(url + path) for path in live} == live
    assert Handler.calls == 3


@pytest.mark.parametrize("form", ["har", "vcr"])
def test_there_and_back_again(form: str, capsys: Any) -> None:
    """What is exported and imported has the same keys and answers; times too."""
    cassette(
        item(),
        item({"uri": "https://api.openai.com/v1/audio/speech", "body": '{"model": "b", "input": "é"}'}, {"body": {"string": b"\xff\x00"}, "headers": {"content-type": ["audio/mpeg"]}}),
        item({"method": "GET", "uri": "https://api.openai.com/v1/models?limit=3&after=a%20b", "body": None, "headers": {}}),
    )  # fmt: skip
    assert main(["import", "c.yaml", "--store", "a.jsonl"]) == 0
    capsys.readouterr()
    assert main(["export", "--format", form, "--store", "a.jsonl"]) == 0
    Path("again.yaml" if form == "vcr" else "again.har").write_text(capsys.readouterr().out, "utf-8")
    assert main(["import", "again.yaml" if form == "vcr" else "again.har", "--store", "b.jsonl"]) == 0
    one, other = (
        {key: json.loads(line) for key, line in open_store(name)} for name in ("a.jsonl", "b.jsonl")
    )
    assert one == other
    assert len(one) == 3


def test_an_export_of_nothing_is_valid(capsys: Any) -> None:
    """A filter that lets nothing through leaves a file that the tools can read."""
    cassette(item())
    main(["import", "c.yaml", "--store", "a.jsonl"])
    capsys.readouterr()
    assert main(["export", "--format", "har", "--store", "a.jsonl", "--provider", "none"]) == 0
    assert json.loads(capsys.readouterr().out)["log"]["entries"] == []
    assert main(["export", "--format", "vcr", "--store", "a.jsonl", "--provider", "none"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == {"interactions": [], "version": 1}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["import", "none.yaml"], "none.yaml does not exist"),
        (["import", "empty"], "no file below empty ends in one of .yaml, .yml, .json, .har"),
        (["export", "--format", "har", "--store", "none.jsonl"], "none.jsonl does not exist"),
        (
            ["export", "--format", "har", "--store", "a.jsonl", "-o", "no/such/folder.har"],
            "no/such/folder.har.part",
        ),
    ],
)
def test_what_cannot_be_done(arguments: list[str], said: str, capsys: Any) -> None:
    """One line says why; the exit status is 2."""
    cassette(item())
    Path("empty").mkdir()
    main(["import", "c.yaml", "--store", "a.jsonl"])
    capsys.readouterr()
    assert main(arguments) == 2
    assert said in capsys.readouterr().err
