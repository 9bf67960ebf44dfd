"""The cost of a hit through requests and urllib3, side by side: `python bench/hit_urllib3.py [--quick]`.

As bench/hit.py: each tool in an environment of its own, over the same client with an answer made in process (an
adapter of requests, a pool of urllib3, that answer at once). A dash: the tool cannot do this.
"""

from __future__ import annotations

import argparse
import importlib
import io
import itertools
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TOOLS = {
    "cachy": [str(HERE.parent), "requests", "urllib3"],
    "pycachy": ["pycachy==0.0.22", "requests"],
    "requests-cache": ["requests-cache>=1.2"],
    "vcrpy": ["vcrpy>=9", "requests"],
}
COLUMNS = [("requests", "json"), ("requests", "sse"), ("urllib3", "json"), ("urllib3", "sse")]
CANNOT = {
    ("pycachy", "requests", "sse"), ("pycachy", "urllib3", "json"), ("pycachy", "urllib3", "sse"),
    ("requests-cache", "urllib3", "json"), ("requests-cache", "urllib3", "sse"),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only cachy")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--worker", nargs=3, metavar=("TOOL", "CLIENT", "BODY"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(measure(*options.worker)))
        return
    with tempfile.TemporaryDirectory() as root:
        print("| tool | " + " | ".join(" ".join(column) for column in COLUMNS) + " |")
        print("|---" * (len(COLUMNS) + 1) + "|")
        for tool in ["cachy"] if options.quick else TOOLS:
            cells = [cell(tool, *column, Path(root), options.repeat) for column in COLUMNS]
            print(f"| {tool} | " + " | ".join(cells) + " |", flush=True)


def cell(tool: str, client: str, body: str, root: Path, repeat: int) -> str:
    if (tool, client, body) in CANNOT:
        return "–"
    python = root / tool / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.exists():
        uv = shutil.which("uv") or sys.exit("bench/hit_urllib3.py needs uv: pip install uv")
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(root / tool)], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), *TOOLS[tool]], check=True)
    ratios = []
    for _ in range(repeat):
        command = [str(python), __file__, "--worker", tool, client, body]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(*done.stderr.strip().splitlines()[-1:], file=sys.stderr)
            return "failed"
        ratios.append(json.loads(done.stdout.splitlines()[-1]))
    return f"{statistics.median(ratios):.2f}"


def measure(tool: str, client: str, kind: str) -> float:
    """The median ratio of a hit to the client's floor."""
    from hit_worker import PROMPT, body_of, serve

    content_type, body = body_of(kind)
    server = serve(kind)
    host = f"127.0.0.1:{server.server_port}"
    url = f"http://{host}/v1/chat/completions"
    with tempfile.TemporaryDirectory() as folder:
        importlib.import_module(client)  # vcrpy patches what is there
        kept = open_tool(tool, Path(folder), host)
        tooled, floor = clients(client, tool, content_type, body, Path(folder))

        def call(ask: Any) -> None:
            assert ask(url, PROMPT, kind) == len(body)

        call(tooled)
        server.shutdown()
        server.server_close()
        calls = 40 if tool in ("cachy", "requests-cache") else 10
        ratios = []
        for _ in range(15):
            times = []
            for ask in (floor, tooled):
                start = time.perf_counter()
                for _ in range(calls):
                    call(ask)
                times.append(time.perf_counter() - start)
            ratios.append(times[1] / times[0])
        del kept
        assert server.calls == 1, f"{server.calls} live calls: these were not hits"
    return statistics.median(ratios)


def open_tool(tool: str, folder: Path, host: str) -> Any:
    """Make the tool active; what is returned must be kept for as long."""
    if tool == "cachy":
        import cachy

        cachy.enable("auto", store=folder / "calls.jsonl", hosts={host: "openai"}, summary=False)
    elif tool == "pycachy":
        import cachy

        cachy.enable_cachy(cache_dir=folder, doms=(host,))
    elif tool == "vcrpy":
        import vcr

        match = ["method", "uri", "body"]
        recorder = vcr.VCR(serializer="json", record_mode="new_episodes", match_on=match)
        cassette = recorder.use_cassette(str(folder / "c.json"), allow_playback_repeats=True)
        cassette.__enter__()
        return cassette
    return None


def clients(client: str, tool: str, content_type: str, body: bytes, folder: Path) -> tuple[Any, Any]:
    """(with the tool, without it): functions that ask and return the length of what was answered."""
    import urllib3

    headers = {"content-type": content_type}
    events = [part + b"\n\n" for part in body.split(b"\n\n") if part]

    class Chunked(io.BytesIO):
        """Gives out the pieces that a replay gives out; a client's own work per piece is not the tool's."""

        def __init__(self) -> None:
            super().__init__(body)
            self.pieces = itertools.chain(events, itertools.repeat(b""))

        def read(self, _size: int | None = -1) -> bytes:
            piece = next(self.pieces)
            if not piece:
                self.close()
            return piece

    def made(kind: str) -> Any:
        file = io.BytesIO(body) if kind == "json" else Chunked()
        return urllib3.HTTPResponse(file, headers, 200, reason="OK", version=11, preload_content=False)

    if client == "urllib3":
        pool = urllib3.PoolManager()

        class Stub(urllib3.HTTPConnectionPool):
            def _make_request(self, *_: Any, preload_content: bool = True, **more: Any) -> Any:
                response = made("json" if preload_content else "sse")
                if preload_content:
                    response._body = response.read()
                return response

        stub = urllib3.PoolManager()
        stub.pool_classes_by_scheme = {"http": Stub}

        def asking(manager: Any) -> Any:
            def ask(url: str, prompt: Any, kind: str) -> int:
                content = json.dumps(prompt).encode()
                sent = {"content-type": "application/json"}
                if kind == "json":
                    data = manager.request("POST", url, body=content, headers=sent).data
                    assert "id" in json.loads(data)
                    return len(data)
                response = manager.request("POST", url, body=content, headers=sent, preload_content=False)
                return sum(map(len, response.stream(65536)))

            return ask

        return asking(pool), asking(stub)

    import requests

    class Adapter(requests.adapters.HTTPAdapter):
        def send(self, request: Any, stream: bool = False, **_: Any) -> Any:
            return self.build_response(request, made("sse" if stream else "json"))

    def session_of(adapter: Any = None, kind: Any = requests.Session, **options: Any) -> Any:
        session = kind(**options)
        if adapter is not None:
            session.mount("http://", adapter)

        def ask(url: str, prompt: Any, kind: str) -> int:
            response = session.post(url, json=prompt, stream=kind == "sse")
            if kind == "json":
                assert "id" in response.json()
                return len(response.content)
            return sum(map(len, response.iter_content(65536)))

        return ask

    if tool == "requests-cache":
        import requests_cache

        options = {"backend": "sqlite", "cache_name": str(folder / "c.sqlite"), "allowable_methods": ["POST"]}
        return session_of(kind=requests_cache.CachedSession, **options), session_of(Adapter())
    return session_of(), session_of(Adapter())


if __name__ == "__main__":
    main()
