"""pycachy's keys and lines, against what its released versions made."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachy import legacy
from cachy.exchange import Body, Request
from cachy.stores.jsonl import JsonlStore

SHARED = Path(os.environ.get("CACHY_SHARED", Path(__file__).parents[2] / "shared"))

JSON = {"content-type": "application/json", "accept": "application/json"}
REQUESTS: dict[str, tuple[str, str, dict[str, str], bytes]] = {
    "chat": (
        "POST",
        "https://api.openai.com/v1/chat/completions",
        JSON,
        b'{"model":"gpt-4o","messages":[{"role":"user","content":"one word"}]}',
    ),
    "odd json": (
        "POST",
        "https://api.openai.com/v1/responses",
        {**JSON, "accept": "*/*"},
        b'{"z": "h\xc3\xa9llo \\u2603 \\ud83d", "a": [1.0, 1e999, -0.0, 12345678901234567890, NaN], "a": null, "stream": true}',
    ),
    "no json after all": (
        "POST",
        "https://api.mistral.ai/v1/x",
        {**JSON, "content-type": "application/JSON; charset=utf-8"},
        b'{"a": 1}\n{"b": "line 12, in f"}\n',
    ),
    "bytes": (
        "POST",
        "https://api.groq.com/audio",
        {"content-type": "audio/wav", "accept": "text/event-stream"},
        b'RIFF\xff\xfe\x00 0xABCDEF12 line 3, in g "prompt_cache_key" : "x"\xc3',
    ),
    "places": (
        "POST",
        "https://api.anthropic.com/v1/messages",
        JSON,
        b'{"b":"/tmp/tmpab12cd /var/folders/q9/a|b/T x ipykernel_77 /ipykernel_12/34.py <ipython-input-3-ab12> 0xDEADBEEF line 12, in","a":"0xABC"}',
    ),
    "query": (
        "POST",
        "https://generativelanguage.googleapis.com/v1beta/models/g:streamGenerateContent?b=2&key=SECRET&a=x%20y&b=1&c=&alt=sse&d=~%7E*%2F(",
        {"content-type": "application/json", "accept": "*/*"},
        b'{"contents":[{"parts":[{"text":"hi"}]}]}',
    ),
    "multipart": (
        "POST",
        "https://api.anthropic.com/v1/files?beta=true",
        {"content-type": 'multipart/form-data; charset=x; Boundary="f9ee33-x"', "accept": "application/json"},
        b'--f9ee33-x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhello f9ee33-x 0x1234567\r\n--f9ee33-x--\r\n',
    ),
    "cache key": (
        "POST",
        "https://api.openai.com/v1/responses",
        JSON,
        b'{"input":"say \\"prompt_cache_key\\": \\"no\\"","prompt_cache_key":"abc-123","model":"gpt-4.1"}',
    ),
    "only a key": (
        "GET",
        "https://generativelanguage.googleapis.com/v1beta/models?key=SECRET",
        {"accept": "*/*"},
        b"",
    ),
    "tidy url": (
        "GET",
        "https://api.x.ai/tmp/tmp0a1b/0xDEADBEEF/line%20?path=/tmp/tmp9z&n=0xABCDEF01",
        {},
        b"",
    ),
    "form": (
        "POST",
        "http://127.0.0.1:8080/token?",
        {"content-type": "application/x-www-form-urlencoded"},
        b"grant=a+b&key=1",
    ),
}

# Made by the released packages themselves: `_key` of every version from 0.0.1 to 0.0.22 on these requests, with httpx
# 0.28.1, and lisette's formula. Newest formula first; the stream flags in the order of `Formula.flags`. An X: that
# version raised.
GOLDEN = {
    "chat": (
        "334d4284 904a988d 334d4284 904a988d 92f97cf0 0a31545a 92f97cf0 0a31545a 92f97cf0 35454147 0a31545a fb998a38 a99859a0 fb998a38 7fdf374f c0e255ef 8922e751"
    ),
    "odd json": (
        "1e7da39b d2f15551 1e7da39b d2f15551 7aae8606 99c6a8eb 7aae8606 99c6a8eb 7aae8606 8c345063 99c6a8eb 17180dff c3ace896 17180dff 082efb8d 008c7d9f f54b8279"
    ),
    "no json after all": (
        "71429372 1679059c 71429372 1679059c 90160cf4 c5c1f46d 90160cf4 c5c1f46d e6fa041a a4e6e58e f9da62d0 e6fa041a 83f352dc e6fa041a 05af9464 0468deeb 900d34d7"
    ),
    "bytes": (
        "c34c837d d87acec3 30788c6b 94b52064 8e4a9339 458bcd5e 8e4a9339 458bcd5e 005e751d 0095f43f 2c8cf235 005e751d c38cb8d0 005e751d X X X"
    ),
    "places": (
        "3458ab79 9b892d35 3458ab79 9b892d35 d16c0e09 82782a7f d16c0e09 82782a7f 039cd6f1 9e9bba0f 95cfe9c2 57042f01 63a327c4 57042f01 7f98b36e 170d0785 7fb9acd4"
    ),
    "query": (
        "be13bfe6 3b006eb4 be13bfe6 3b006eb4 1d47fc49 8e351797 1d47fc49 8e351797 1d47fc49 3f78ed0e 8e351797 e9a6fa57 a52eeeb5 65bbe210 dcf0f966 7edcd20a f8203783"
    ),
    "multipart": (
        "603b3b37 ef5412d7 603b3b37 ef5412d7 5c734cab 04184a4f 5c734cab 04184a4f 4fb35d8e c669ab79 57a29841 4fb35d8e 3895fa99 00402985 17f9fc51 47bcf9c4 e8a80560"
    ),
    "cache key": (
        "fb209767 c3c329e9 c3ab6a18 8f6ca5eb 99e9bdb9 86389586 99e9bdb9 86389586 99e9bdb9 5ef0b0aa 86389586 50af69c8 25a0165a 50af69c8 85582b60 0a152ee2 f19ec8d0"
    ),
    "only a key": (
        "10d7c85c c05db62b 10d7c85c c05db62b e43e4345 5928a27e e43e4345 5928a27e e43e4345 56df32bb 5928a27e e43e4345 751b6029 b31eb257 b31eb257 ce44ca25 d015c24f"
    ),
    "tidy url": (
        "64f53293 2a2bc148 64f53293 2a2bc148 64f53293 2a2bc148 ccd8a7e9 a23062b7 ccd8a7e9 7a068cfb a23062b7 ccd8a7e9 c13d834a 6edcba19 6edcba19 7a3795d6 25441e0f"
    ),
    "form": (
        "a6c30cbc 91827632 a6c30cbc 91827632 a6c30cbc 91827632 a6c30cbc 91827632 a6c30cbc bb724d94 91827632 a6c30cbc 5f38f968 811eaba5 3ef7d759 30865d78 19cd0553"
    ),
}

SERVED = {
    "/v1/chat": ("application/json", b'{"object": "chat.completion", "text": "h\xc3\xa9"}'),
    "/v1/stream": (
        "text/event-stream; charset=utf-8",
        b'event: a\ndata: {"x": "\xe2\x98\x83"}\n\ndata: [DONE]\n\n',
    ),
    "/v1/speech": ("audio/mpeg", b"ID3\xff\x00\xfe"),
    "/v1/files": ("application/json", b"[1, 2]"),
}


def request(name: str) -> Request:
    method, url, headers, body = REQUESTS[name]
    return Request(method, url, tuple(headers.items()), Body(body))


def parts(asked: Request) -> legacy._Asked:
    assert asked.body.data is not None
    return legacy._Asked(asked, asked.body.data)


@pytest.mark.parametrize("name", REQUESTS)
def test_every_formula_gives_the_key_of_the_released_version(name: str) -> None:
    """All nine formulas, each with the stream flags that its versions could be given."""
    asked = parts(request(name))
    made = [formula.key(asked, flag) for formula in legacy.FORMULAS.values() for flag in formula.flags]
    golden = GOLDEN[name].split()
    assert [key for key, right in zip(made, golden, strict=True) if right != "X"] == [
        right for right in golden if right != "X"
    ]


@pytest.mark.parametrize("name", REQUESTS)
def test_the_candidates_hold_every_key_once(name: str) -> None:
    """What any version recorded is found, and no look-up is made twice."""
    made = list(legacy.keys(request(name)))
    assert set(GOLDEN[name].split()) - {"X"} <= set(made)
    assert len(made) == len(set(made))


def test_the_newest_formula_and_the_likelier_flag_come_first() -> None:
    """A look-up for a stream tries the streamed key first; one for a plain answer the other."""
    newest = {name: GOLDEN[name].split()[:2] for name in GOLDEN}
    plain, stream = newest["chat"]
    assert next(legacy.keys(request("chat"))) == plain
    for name in ("query", "odd json"):
        plain, stream = newest[name]
        assert next(legacy.keys(request(name))) == stream


def test_the_shared_golden_keys() -> None:
    """All 23 released versions, with every stream flag, give the keys that the project's shared file holds."""
    path = SHARED / "data" / "pycachy_keys.json"
    if not path.exists():
        pytest.skip("no shared golden keys beside the repository (set CACHY_SHARED)")
    golden = json.loads(path.read_text("utf-8"))
    since = {number(name): name for name in legacy.FORMULAS if name != "lisette"}
    for version, requests in golden["keys"].items():
        formula = legacy.FORMULAS[since[max(first for first in since if first <= number(version))]]
        for name, flags in requests.items():
            facts = golden["requests"][name]
            headers = tuple((key.lower(), value) for key, value in facts["headers"].items())
            asked = Request(facts["method"], facts["url"], headers, Body(facts["content"].encode()))
            for flag, key in flags.items():
                value = {"None": None, "True": True, "False": False}[flag]
                assert formula.key(parts(asked), value) == key, (version, name, flag)
                if value in formula.flags:
                    assert key in legacy.keys(asked)


def number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.partition(".post")[0].split("."))


_TEXT = st.text("aZ9 ~*/+%&=?éß☃-_.'(),:;@!$[]|\\^`{}\"<>", max_size=8)


@settings(deadline=None)  # the first example imports httpx
@given(st.lists(st.tuples(st.one_of(st.just("key"), _TEXT), _TEXT), max_size=5), st.booleans())
def test_the_url_is_printed_as_httpx_prints_it(pairs: list[tuple[str, str]], as_params: bool) -> None:
    """Taking `key` out of any query gives the text of httpx's own `copy_remove_param`."""
    httpx = pytest.importorskip("httpx")
    url = httpx.URL("https://api.openai.com/v1/a%20b")
    query = "&".join(f"{name}={value}" for name, value in pairs)
    url = url.copy_with(params=pairs) if as_params else httpx.URL(f"{url}?{query}")
    asked = parts(Request("GET", str(url)))
    theirs = str(url.copy_remove_param("key"))
    assert theirs in (asked.url, legacy._Asked(Request("GET", str(url)), b"", "%20").url)
    assert asked.host == url.host


def test_a_body_on_disk_has_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Formulas that need the whole body several times over are not tried on a large upload."""
    monkeypatch.setattr("cachy.exchange.SPILL_BYTES", 10)
    body = Body.gather([b"x" * 11])
    assert body.data is None
    assert list(legacy.keys(Request("POST", "https://api.openai.com/v1/files", (), body))) == []


@pytest.mark.parametrize(
    ("facts", "status", "headers", "body"),
    [
        ({"response": '{"a":1}'}, 200, [("content-type", "application/json")], b'{"a":1}'),
        (
            {"response": "data: 1\n\n", "headers": None},
            200,
            [("content-type", "text/event-stream")],
            b"data: 1\n\n",
        ),
        (
            {"response": ": hi\n\nevent: x\n"},
            200,
            [("content-type", "text/event-stream")],
            b": hi\n\nevent: x\n",
        ),
        ({"response": "{no json", "headers": {}}, 200, [("content-type", "text/plain")], b"{no json"),
        ({"response": "h\u00e9 \u2603"}, 200, [("content-type", "text/plain")], "h\u00e9 \u2603".encode()),
        ({"response": "", "status_code": 204}, 204, [("content-type", "text/plain")], b""),
        (
            {"response": base64.b64encode(b"\xff\0").decode(), "binary": True, "headers": None},
            200,
            [("content-type", "application/octet-stream")],
            b"\xff\0",
        ),
        (
            {
                "response": "{}",
                "headers": {
                    "Content-Type": "application/json; charset=utf-8",
                    "content-encoding": "gzip",
                    "Content-Length": "99",
                    "transfer-encoding": "chunked",
                    "connection": "keep-alive",
                    "set-cookie": "__cf_bm=secret",
                    "openai-organization": "org",
                    "x-request-id": "r1",
                    "request-id": "r2",
                    "retry-after": "3",
                    "location": "/v1/x",
                    "X-Goog-Upload-URL": "https://u",
                },
                "status_code": 201,
                "binary": False,
            },
            201,
            [
                ("content-type", "application/json; charset=utf-8"),
                ("x-request-id", "r1"),
                ("request-id", "r2"),
                ("retry-after", "3"),
                ("location", "/v1/x"),
                ("x-goog-upload-url", "https://u"),
            ],
            b"{}",
        ),
    ],
)
def test_the_answer_in_a_line(
    facts: dict[str, Any], status: int, headers: list[tuple[str, str]], body: bytes
) -> None:
    """Status, body and the few headers that a client needs come back from every form of line; cookies do not."""
    found = legacy.response_of(json.dumps({"key": "0123abcd", **facts}).encode())
    assert (found.status, list(found.headers), found.body) == (status, headers, body)


@pytest.mark.parametrize(
    ("line", "body", "kind"),
    [
        (b'b0d78915|{"candidates":[]}', b'{"candidates":[]}', "application/json"),
        (
            b'456ea349|"event: message_start\\ndata: {}\\n\\n"\r',
            b"event: message_start\ndata: {}\n\n",
            "text/event-stream",
        ),
    ],
)
def test_the_answer_in_a_line_of_cachy_txt(line: bytes, body: bytes, kind: str) -> None:
    """In the oldest form a plain answer stands as it is, a streamed one as a JSON string."""
    found = legacy.response_of(line)
    assert (found.status, found.body, found.header("content-type")) == (200, body, kind)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"not a line",
        b'{"key": "0123abcd"}',
        b'{"key": "0123abcd", "response": "cut',
        b'{"key": "0123abcd", "response": {"a": 1}}',
        b'{"key": "0123abcd", "response": "{}", "status_code": "ok"}',
        b'{"key": "0123abcd", "response": "***", "binary": true}',
        b'{"key": "0123abcd", "response": "\\ud83d"}',
        b'{"key":"0123456789abcdef0123456789abcdef","response":{"status":200}}',
        b"0123abcd|{no json",
    ],
)
def test_a_line_that_is_no_answer(line: bytes) -> None:
    """Anything else is a ValueError, never another exception and never an answer."""
    with pytest.raises(ValueError):
        legacy.response_of(line)


def test_a_real_file_of_pycachy_is_read_whole() -> None:
    """Every line of the file that claudette keeps in its repository is indexed and gives a JSON or SSE answer."""
    path = SHARED / "data" / "claudette.cachy.jsonl"
    if not path.exists():
        pytest.skip("no shared file of pycachy beside the repository (set CACHY_SHARED)")
    store = JsonlStore(path)
    expected = {json.loads(line)["key"] for line in path.read_text("utf-8").splitlines()}
    assert store.legacy
    assert store.problems is None
    assert {key for key, _ in store} == expected
    for _, line in store:
        found = legacy.response_of(line)
        assert found.body.decode() == json.loads(line)["response"]
        assert found.header("content-type").startswith(("application/json", "text/event-stream"))
        assert not {name for name, _ in found.headers} - legacy._KEPT
    store.close()


# With the real pycachy: its own process records calls to a server of ours, which keeps what it was sent.

CALLS = """
import asyncio, sys
import cachy, httpx
base, folder, bytes_too = sys.argv[1:]
cachy.enable_cachy(cache_dir=folder, doms=("127.0.0.1",))
body = {"model": "m", "messages": [{"role": "user", "content": "h\u00e9 0xDEADBEEF line 3, in /tmp/tmpabc"}], "b": 1.0}
stream = {**body, "stream": True, "prompt_cache_key": "k1"}
with httpx.Client(headers={"accept": "application/json"}) as client:
    client.post(base + "/v1/chat", json=body)
    client.send(client.build_request("POST", base + "/v1/chat", json={"sdk": 1}), stream=False)
    # Not client.stream(): the versions up to 0.0.7 break it.
    client.send(client.build_request("POST", base + "/v1/stream?key=SECRET&alt=sse", json=stream), stream=True).read()
    if bytes_too == "yes":
        client.post(base + "/v1/files?b=2&a=x y&b=1", files={"file": ("a.txt", b"hello")}, data={"purpose": "x"})
httpx.get(base + "/v1/files?key=SECRET")
if bytes_too == "yes":
    httpx.post(base + "/v1/speech?key=1", content=b"\\x00ab")

async def main():
    async with httpx.AsyncClient() as client:
        await client.post(base + "/v1/chat", json={**body, "async": True})
        again = client.build_request("POST", base + "/v1/stream", json={**stream, "async": True})
        await (await client.send(again, stream=True)).aread()

asyncio.run(main())
"""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = tuple((name.lower(), value) for name, value in self.headers.items())
        url = f"http://{self.headers['host']}{self.path}"
        self.server.seen.append(Request(self.command, url, headers, Body(body)))  # type: ignore[attr-defined]
        kind, answer = SERVED[self.path.partition("?")[0]]
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(answer)))
        self.send_header("set-cookie", "session=secret")
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.seen = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.slow
@pytest.mark.parametrize(
    "packages",
    [
        ["pycachy==0.0.22"],
        ["pycachy==0.0.20"],
        ["pycachy==0.0.12"],
        ["pycachy==0.0.8", "httpx==0.27.2"],  # this httpx printed a space in a query as %20
        ["pycachy==0.0.3"],
        ["pycachy==0.0.1"],
    ],
    ids=" ".join,
)
def test_what_the_real_pycachy_recorded_is_found(
    packages: list[str], server: ThreadingHTTPServer, tmp_path: Path
) -> None:
    """Each call that pycachy made and recorded has its key among ours, and its line gives the served answer."""
    python = environment(tmp_path / "env", packages)
    script = tmp_path / "calls.py"
    script.write_text(CALLS, "utf-8")
    base = f"http://127.0.0.1:{server.server_port}"
    # Before, an upload or a binary answer was an error.
    bytes_too = number(packages[0].partition("==")[2]) >= (0, 0, 8)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("CACHY", "PYTHON"))}
    done = subprocess.run(
        [python, script, base, tmp_path, "yes" if bytes_too else "no"],
        env=clean,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr

    store = JsonlStore(tmp_path / "cachy.jsonl")
    recorded = dict(store)
    asked: list[Request] = server.seen  # type: ignore[attr-defined]
    assert len(asked) == 6 + 2 * bytes_too
    found = set()
    for one in asked:
        keys = [key for key in legacy.keys(one) if key in recorded]
        assert keys, one.url
        found.update(keys)
        assert store.get(keys[0]) == recorded[keys[0]]
        answer = legacy.response_of(recorded[keys[0]])
        kind, body = SERVED[one.split().path]
        assert answer.status == 200
        assert answer.body == body
        stored = json.loads(recorded[keys[0]]).get("headers") or {}
        if "content-type" in stored:
            assert answer.headers == (("content-type", kind),)
        elif not kind.startswith("audio/"):
            assert answer.headers == (("content-type", kind.partition(";")[0]),)
    assert found == set(recorded)
    store.close()


def environment(folder: Path, packages: list[str]) -> Path:
    """The Python of a fresh environment with `packages`."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    uv = shutil.which("uv")
    if uv:
        commands = [
            [uv, "venv", "-q", "--python", sys.executable, folder],
            [uv, "pip", "install", "-q", "--python", python, *packages],
        ]
    else:
        commands = [[sys.executable, "-m", "venv", folder], [python, "-m", "pip", "install", "-q", *packages]]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"cannot install {' '.join(packages)}: {done.stderr.strip()[-200:]}")
    return python
