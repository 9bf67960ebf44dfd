"""The words of a miss: what was asked, which recording is nearest, what differs, where, and what to do."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import cachy
from cachy import culprit, tally
from cachy.explain import nearest
from cachy.report.terminal import place as place_of
from cachy.stores import StoreError
from cachy.stores.jsonl import JsonlStore

HOST = "https://api.openai.com"
CHAT = f"{HOST}/v1/chat/completions"
ANSWER = {"object": "chat.completion", "choices": [{"finish_reason": "stop", "message": {"content": "x"}}]}
SECRET = "sk-proj-" + "Abc1" * 10
FRANCE, SPAIN = "What is the capital of France?", "What is the capital of Spain?"
Json = dict[str, Any]


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("CACHY", "CACHY_MODE", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CACHY_STORE", str(tmp_path / "cachy.jsonl"))
    monkeypatch.setenv("CACHY_SUMMARY", "0")
    monkeypatch.setattr(nearest, "BUDGET", 60)  # however busy the machine is
    monkeypatch.chdir(tmp_path)
    yield
    cachy.disable()
    tally.reset()


class Upstream(httpx.BaseTransport):
    """Stands for the network."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=ANSWER)


def post(body: Json, url: str = CHAT, **more: Any) -> None:
    with httpx.Client(transport=Upstream()) as client:
        client.post(url, json=body, **more)


def question(text: str, **more: Any) -> Json:
    return {"model": "gpt-5-mini", "messages": [{"role": "user", "content": text}], **more}


def record(*bodies: Json, **settings: Any) -> None:
    with cachy.using("record", **settings):
        for body in bodies:
            post(body)


def miss(body: Json, url: str = CHAT, headers: Any = None, **settings: Any) -> cachy.Miss:
    """The Miss of a call in replay mode."""
    with cachy.using("replay", **settings), pytest.raises(cachy.Miss) as caught:
        post(body, url, headers=headers)
    return caught.value


# What is said


def test_the_whole_message() -> None:
    """The fact first; then the call, each difference, and what to do next."""
    record(question(FRANCE, temperature=0.2, n=1))
    found = miss(question(SPAIN, temperature=0.3, seed=7))
    key = found.nearest
    assert key is not None
    first, call, *differences, todo = str(found).splitlines()
    assert first == (
        f"messages[0].content, seed, temperature and 1 more not as in recording {key[:8]}"
        " (mode replay, nothing was sent)"
    )
    assert call.startswith(f"  POST {CHAT}  gpt-5-mini  at ")
    assert differences == [
        "  ~ messages[0].content: What is the capital of {-France-}{+Spain+}?",
        "  + seed: 7",
        "  ~ temperature: 0.2 -> 0.3",
        "  - n: 1",
    ]
    assert todo.startswith('  to record it, run once with the mode of this block set to "auto" (store: ')


def test_the_facts_are_attributes() -> None:
    """A program can read what the message says."""
    record(question("a"), store="x.jsonl")
    found = miss(question("b"), store="x.jsonl")
    assert (found.method, found.url, found.provider) == ("POST", CHAT, "openai")
    assert found.store == str(Path.cwd() / "x.jsonl")
    assert len(found.key) == 32
    assert found.nearest in dict(JsonlStore("x.jsonl"))
    assert found.request["body"]["json"] == question("b")
    assert found.differences == ("~ messages[0].content: 'a' -> 'b'",)
    assert found.changes == (("messages[0].content", "changed", "a", "b"),)
    assert found.changes[0].asked == "b"
    assert found.guess == ""
    assert found.caller.startswith(f"{place_of(__file__)}:")


def test_nothing_like_it() -> None:
    """Other questions at other paths are no help; the message says so and names the store."""
    record(question("a"), store="x.jsonl")
    found = miss(question("b"), url=f"{HOST}/v1/responses", store="x.jsonl")
    assert str(found).startswith("nothing like it is recorded in x.jsonl (mode replay, nothing was sent)\n")
    assert found.nearest is None


def test_what_to_do_depends_on_who_chose_the_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    """The advice works: an environment variable beats all but a block; and CI is named when it decided."""
    monkeypatch.setenv("CI", "true")
    cachy.enable()
    with pytest.raises(cachy.Miss) as caught:
        post(question("a"))
    assert "(CI is set, so nothing is called)" in str(caught.value)
    test = "test_explain.py::test_what_to_do_depends_on_who_chose_the_mode"
    assert caught.value.command.startswith("CACHY=auto pytest ") == (os.name != "nt")
    assert caught.value.command.endswith(test)
    assert f"  to record it: {caught.value.command} (store: " in str(caught.value)


def test_many_differences_are_cut() -> None:
    """Five are shown, the others counted; the attribute has them all."""
    record(question("a", **{f"x{n}": n for n in range(9)}))
    found = miss(question("a"))
    assert len(found.differences) == len(found.changes) == 9
    lines = str(found).splitlines()
    assert lines[0].startswith("x0, x1, x2 and 6 more not as in recording")
    assert len([line for line in lines if line.startswith("  - ")]) == 5
    assert "  … and 4 more differences" in lines


def test_a_cause_that_looks_volatile_is_told_with_its_cure() -> None:
    """A date that changed since the recording: the message has the setting that leaves it out."""
    record(question("Report of 2026-11-21."))
    found = miss(question("Report of 2026-11-22."))
    assert found.guess == 'ignore = ["messages[0].content:date"]'
    assert f"  looks volatile (a date or time), would be cured by: {found.guess}\n" in str(found)


def test_query_and_headers_by_name(tmp_path: Path) -> None:
    """They are shown as the settings name them."""
    beta = {"anthropic-beta": "one"}
    with cachy.using("record"), httpx.Client(transport=Upstream()) as client:
        client.post(f"{CHAT}?a=1&b=2", json=question("a"), headers=beta)
    found = miss(question("a"), url=f"{CHAT}?a=1&b=3", headers={"anthropic-beta": "two"})
    assert found.differences == ("~ query.b: '2' -> '3'", "~ header.anthropic-beta: 'one' -> 'two'")


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["python", "ask.py", "--n", "3"], "python ask.py --n 3"),
        (["/usr/bin/python3.12", "-m", "app", "a b"], "python3.12 -m app 'a b'"),
        (["/env/bin/python", "/env/bin/uvicorn", "app:main"], "uvicorn app:main"),
        (["python"], ""),
        (["python", "-c", "print()"], ""),
        (["python", "-m", "ipykernel_launcher", "-f", "x.json"], ""),
        (["python", "ask.py", "--api-key", "hunter2"], ""),
        (["python", "ask.py", SECRET], ""),
        (["python", "ask.py", "x" * 200], ""),
    ],
)
def test_the_command_that_records_it(argv: list[str], command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a person typed to start this Python; nothing where nobody typed it, or where it may show a secret."""
    monkeypatch.setattr(sys, "orig_argv", argv)
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    monkeypatch.setattr(os, "name", "posix")
    cachy.enable("replay")
    with pytest.raises(cachy.Miss) as caught:
        post(question("a"))
    assert caught.value.command == (f"CACHY=auto {command}" if command else "")
    todo = f"to record it: CACHY=auto {command} (" if command else "to record it, run once with CACHY=auto ("
    assert todo in str(caught.value)


def test_the_command_in_a_run_and_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a variable in front of a command has no effect, cachy-run says the mode."""
    monkeypatch.setattr(sys, "orig_argv", ["python", "ask.py"])
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    monkeypatch.setenv("CACHY_RUN_DIR", "x")
    cachy.enable("replay")
    with pytest.raises(cachy.Miss) as caught:
        post(question("a"))
    assert caught.value.command == "cachy-run --mode auto python ask.py"


@pytest.mark.parametrize(
    ("theirs", "ours", "line"),
    [
        ({"n": None}, {"n": []}, "~ n: None -> []"),
        ({"n": {}}, {"n": []}, "~ n: {} -> []"),
        ({"n": "1"}, {"n": 1}, "~ n: '1' -> 1"),
        ({"n": True}, {"n": False}, "~ n: True -> False"),
        ({"n": 1}, {"n": True}, "~ n: 1 -> True"),
        ({"n": "ab"}, {"n": "aab"}, "~ n: 'ab' -> 'aab'"),
    ],
)
def test_values_of_every_kind(theirs: Json, ours: Json, line: str) -> None:
    """A change of type is a difference, and an empty container is a value."""
    record(question("a", **theirs))
    assert miss(question("a", **ours)).differences == (line,)


# Which recording is nearest


def test_the_nearest_shares_most_words_of_a_long_prompt() -> None:
    """Of many recordings that differ in the same field, the one with most of its words is taken."""
    record(*[question(f"Tell me about {topic}.") for topic in ("cats and dogs", "the sea", "old ships")])
    assert "cats and {-dogs-}{+mice+}" in miss(question("Tell me about cats and mice.")).differences[0]


def test_a_large_common_part_does_not_hide_the_nearest() -> None:
    """With one system prompt for all, and settings changed on both sides of it, the question decides."""
    system = {"role": "system", "content": "You answer briefly. " * 200}
    asked = [f"alpha{n} bravo{n} charlie{n} delta{n}" for n in range(60)]
    record(*[{"n": 1, **question("", z=1), "messages": [system, user(text)]} for text in asked])
    found = miss({"n": 2, **question("", z=2), "messages": [system, user(asked[7])]})
    assert found.differences == ("~ n: 1 -> 2", "~ z: 1 -> 2")


def user(text: str) -> Json:
    return {"role": "user", "content": text}


def test_of_equals_the_newest() -> None:
    """What was recorded last is likeliest to be what the program just changed."""
    record(question("a", seed=1), question("a", seed=2))
    assert miss(question("a", seed=3)).differences == ("~ seed: 2 -> 3",)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (f"{HOST}/v1/responses", "nothing like it is among the newest 3 recordings in x.jsonl"),
        (CHAT, "\n  searched the newest 3 of 20 recordings\n"),
    ],
)
def test_the_search_ends_when_its_time_is_over(
    url: str, told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In a store of any size only as many recordings are read as there is time for, and the message says so."""
    record(*[question(str(number)) for number in range(20)], store=tmp_path / "x.jsonl")
    ticks = iter(range(1000))
    monkeypatch.setattr(nearest, "_SAMPLE", 2)
    monkeypatch.setattr(nearest, "_clock", lambda: next(ticks) * nearest.BUDGET / 2)
    assert told in str(miss(question("new"), url=url, store=tmp_path / "x.jsonl"))


@pytest.mark.parametrize(
    "line",
    [
        b'{"key":"%s","v":1,"request":{"method":"POST"}}',
        b'{"key":"%s","v":1,"at":"","provider":"","request":"x","response":{"status":200,"headers":[],"text":""}}',
        b'{"key":"%s","v":1,"broken}',
    ],
)
def test_damaged_recordings_do_not_hide_the_miss(tmp_path: Path, line: bytes) -> None:
    """They are passed over in the search."""
    record(question("a"), store="x.jsonl")
    with open("x.jsonl", "ab") as file:
        file.write(line % (b"f" * 32) + b"\n")
    assert "messages[0].content not as in" in str(miss(question("b"), store="x.jsonl"))


def test_a_damaged_recording_of_the_request_is_named(tmp_path: Path) -> None:
    """It would be wrong to say that its reader had left."""
    record(question("What is a whale?"))
    store = Path("cachy.jsonl")
    store.write_bytes(store.read_bytes().replace(b'"status":200', b'"status":"200"'))
    first = str(miss(question("What is a whale?"))).splitlines()[0]
    assert "is damaged (`cachy verify` tells more) (mode replay, nothing was sent)" in first


def test_a_store_that_fails_does_not_hide_the_miss(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Miss says that the recordings could not be searched, and why."""

    def fail(self: object) -> None:
        raise StoreError("the disk is gone")

    record(question("a"))
    monkeypatch.setattr(JsonlStore, "__reversed__", fail)
    assert "could not be searched (StoreError: the disk is gone)" in str(miss(question("b")))


def test_the_same_request_under_another_key(tmp_path: Path) -> None:
    """Recordings of another version of the keys are told apart from a difference."""
    record(question("a"), store="x.jsonl")
    (key,) = dict(JsonlStore("x.jsonl"))
    text = Path("x.jsonl").read_text("utf-8")
    Path("x.jsonl").write_text(text.replace(key, "f" * 32), "utf-8")
    found = miss(question("a"), store="x.jsonl")
    assert str(found).startswith("recording ffffffff has the same request under another key (mode replay")


# Secrets


def test_no_secret_is_shown() -> None:
    """Neither in the message nor in an attribute: keys in headers, query, body, prompt, or under a name of `redact`."""
    url = f"https://me:{SECRET}1@api.openai.com/v1/chat/completions?key={SECRET}2&mine={SECRET}3&x=1"
    record(question("a"), redact=["mine", "hush"])
    found = miss(
        question(
            f"my key is {SECRET}", password=f"{SECRET}4", hush=f"{SECRET}5", tools=[{"api_key": "pass"}]
        ),
        url=url,
        headers={"authorization": f"Bearer {SECRET}6", "cookie": f"a={SECRET}7"},
        redact=["mine", "hush"],
    )
    told = f"{found} {found.__dict__} {found!r}"
    assert "Abc1Abc1" not in told
    assert "pass'" not in told
    assert "x=1" in found.url


def test_a_secret_of_another_shape_is_not_shown_in_the_url() -> None:
    """A name that only the settings know is masked by its name."""
    found = miss(question("a"), url=f"{CHAT}?mine=correct-horse&x=1", redact=["Mine"])
    assert "correct-horse" not in f"{found} {found.__dict__}"


# Where it was asked


def line_of_caller() -> int:
    return sys._getframe(1).f_lineno


HERE = Path(__file__)


def place(line: int) -> str:
    return f"  at {HERE}:{line}\n"


def test_the_callers_line_through_httpx() -> None:
    """The file and line of the program, not of a library."""
    with cachy.using("replay"), httpx.Client() as client, pytest.raises(cachy.Miss) as caught:
        client.post(CHAT, json={}, headers={"x-line": str(line := line_of_caller())})
    assert place(line) in str(caught.value)


def test_the_callers_line_in_async_code() -> None:
    """Through the event loop, the coroutine that awaits the call."""
    line = 0

    async def ask() -> None:
        nonlocal line
        async with httpx.AsyncClient() as client:
            line = line_of_caller() + 1
            await client.post(CHAT, json={})

    async def main() -> None:
        await asyncio.gather(ask())

    with cachy.using("replay"), pytest.raises(cachy.Miss) as caught:
        asyncio.run(main())
    assert place(line) in str(caught.value)


def test_the_callers_line_through_an_sdk() -> None:
    """Also below the layers of an SDK, which neither wraps nor retries the Miss."""
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(api_key=SECRET)
    with cachy.using("replay"), pytest.raises(cachy.Miss) as caught:
        client.responses.create(model="gpt-5-mini", input=str(line := line_of_caller()))
    assert place(line) in str(caught.value)
    assert "  gpt-5-mini" in str(caught.value)


def test_the_callers_line_through_an_async_sdk() -> None:
    """The same for its asynchronous client."""
    openai = pytest.importorskip("openai")
    line = 0

    async def main() -> None:
        nonlocal line
        async with openai.AsyncOpenAI(api_key=SECRET) as client:
            line = line_of_caller() + 1
            await client.responses.create(model="gpt-5-mini", input="hello")

    with cachy.using("replay"), pytest.raises(cachy.Miss) as caught:
        asyncio.run(main())
    assert place(line) in str(caught.value)


def test_a_program_beside_us_is_no_part_of_us(tmp_path: Path) -> None:
    """Files whose path only begins like the folder of cachy or of the standard library are the user's."""
    ours, library = Path(cachy.__file__).parent, Path(asyncio.__file__).parents[1]
    # Where cachy is installed, what lies beside it is installed too, and not the user's.
    beside_us = () if "site-packages" in ours.parts else (f"{ours}-app/main.py", f"{ours}.py")
    for name in (*beside_us, f"{library}-mine/main.py"):
        code = compile("def call(function): return function()", name, "exec")
        scope: dict[str, Any] = {}
        exec(code, scope)
        assert scope["call"](culprit.user_line) == f"{place_of(name)}:1"


def test_the_line_of_a_cell() -> None:
    """Code of a notebook is compiled under a file name with the number of the kernel's process in it, which would make
    the output of each run another one."""
    scope: dict[str, Any] = {}
    exec(
        compile("\n\ndef call(function): return function()", "/tmp/ipykernel_2471/3254052676.py", "exec"),
        scope,
    )
    assert scope["call"](culprit.user_line) == "line 3 of a notebook's cell"
