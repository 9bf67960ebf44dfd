"""Properties of keys: equal meaning gives equal keys, and any change of what carries meaning gives another."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from cachy import keys
from cachy.exchange import Body, Request
from cachy.ignore import Ignore
from cachy.providers import Claim, by_name

OPENAI = by_name("openai")
assert OPENAI
CLAIM = Claim(OPENAI, "api.openai.com")
URL = "https://api.openai.com/v1/chat/completions"
JSON = ("content-type", "application/json")
MEANING = [("openai-beta", "a, b"), ("range", "bytes=0-9")]

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="‹›"), max_size=30)
numbers = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
ids = st.lists(st.sampled_from([f"call_{letter}" for letter in "abcd"]), max_size=6)
prompts = st.lists(texts, min_size=1, max_size=4)


def chat(prompts: list[str], ids: list[str], more: Any) -> dict[str, Any]:
    """A conversation in which some tools were called: `ids` alternate between calls and results."""
    said: list[dict[str, Any]] = [{"role": "user", "content": prompt} for prompt in prompts]
    for index, id_ in enumerate(ids):
        if index % 2:
            said.append({"role": "tool", "tool_call_id": id_, "content": "done"})
        else:
            call = {"id": id_, "type": "function", "function": {"name": "f", "arguments": "{}"}}
            said.append({"role": "assistant", "tool_calls": [call]})
    return {"model": "m", "messages": said, "tools": [{"parameters": more}]}


def key(
    body: bytes | Any,
    headers: list[tuple[str, str]] | None = None,
    url: str = URL,
    ignore: tuple[str, ...] = (),
) -> str:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = Request("POST", url, tuple([JSON] if headers is None else headers), Body(raw))
    rules = keys.rules_for(CLAIM.provider, ignore=Ignore.of(ignore) if ignore else None)
    return keys.canonical(request, CLAIM, rules).key


def respelt(value: Any, choose: random.Random) -> Any:
    """The same JSON with members in another order, and whole numbers as floats."""
    if isinstance(value, dict):
        members = list(value.items())
        choose.shuffle(members)
        return {name: respelt(item, choose) for name, item in members}
    if isinstance(value, list):
        return [respelt(item, choose) for item in value]
    if value == 0 and type(value) in (int, float):
        return choose.choice([0, 0.0, -0.0])
    if type(value) is int and choose.random() < 0.5:
        return float(value)
    return value


@given(prompts, ids, values, st.randoms(use_true_random=False))
def test_spelling_does_not_matter(
    prompts: list[str], ids: list[str], more: Any, choose: random.Random
) -> None:
    """Order of members, white space, escapes and forms of numbers in JSON; order and noise of headers; secrets."""
    body = chat(prompts, ids, more)
    noise = [
        ("user-agent", "x/1"),
        ("x-stainless-retry-count", "1"),
        ("authorization", "Bearer abc"),
        ("accept", "*/*"),
    ]
    headers = [JSON, *MEANING, *noise]
    choose.shuffle(headers)
    headers = [(name, "b,a" if name == "openai-beta" else value) for name, value in headers]
    other = json.dumps(
        respelt(body, choose), indent=choose.choice([None, 1]), ensure_ascii=choose.random() < 0.5
    )
    assert key(other.encode(), headers, URL + "?key=abc") == key(body, [JSON, *MEANING])


@given(prompts, ids, values, st.permutations(["call_a", "call_b", "call_c", "call_d"]), texts)
def test_names_of_ids_do_not_matter(
    prompts: list[str], ids: list[str], more: Any, names: list[str], user: str
) -> None:
    """Ids that are renamed one to one, and another user, leave the key as it was."""
    renamed = dict(zip(sorted(names), names, strict=True))
    other = {**chat(prompts, [renamed[id_] for id_ in ids], more), "user": user}
    assert key(other) == key(chat(prompts, ids, more))


def pattern(ids: list[str]) -> list[int]:
    """Each id as its place of first appearance."""
    return [ids.index(id_) for id_ in ids]


@given(ids, ids)
def test_renumbering_keeps_different_ids_different(one: list[str], other: list[str]) -> None:
    """Two requests share a key only when one is the other with its ids renamed one to one."""
    assert (key(chat(["?"], one, None)) == key(chat(["?"], other, None))) == (pattern(one) == pattern(other))


@given(ids)
def test_the_numbers_of_a_request_stand_for_its_ids(ids: list[str]) -> None:
    """As many numbers as there are ids; each leads back to the id that it stands for."""
    request = Request("POST", URL, (JSON,), Body(json.dumps(chat(["?"], ids, None)).encode()))
    made = keys.canonical(request, CLAIM)
    shown = [
        text
        for message in made.data()["body"]["json"]["messages"][1:]
        for text in [message.get("tool_call_id") or message["tool_calls"][0]["id"]]
    ]
    assert [made.ids[int(text[4:-1]) - 1] for text in shown] == ids
    assert len(set(made.ids)) == len(made.ids) == len(set(ids))


def leaves(value: Any) -> list[tuple[Any, Any]]:
    """(container, name or index) of everything that holds nothing itself, ids left out."""
    found: list[tuple[Any, Any]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        if isinstance(item, (dict, list)) and item:
            found += leaves(item)
        elif name not in ("id", "tool_call_id") or not str(item).startswith("call_"):
            found.append((value, name))
    return found


@given(prompts, ids, values, st.data())
def test_every_leaf_matters(prompts: list[str], ids: list[str], more: Any, data: st.DataObject) -> None:
    """A change of any value that carries meaning, or leaving it out, gives another key."""
    body = chat(prompts, ids, more)
    other = copy.deepcopy(body)
    holder, name = data.draw(st.sampled_from(leaves(other)))
    before = holder[name]
    after = data.draw(values)
    assume(json.dumps(respelt(before, _Floats())) != json.dumps(respelt(after, _Floats())))
    holder[name] = after
    assert key(other) != key(body)
    del holder[name]
    assert key(other) != key(body)


class _Floats(random.Random):
    """Chooses floats for all numbers, so that 1 and 1.0 look the same."""

    def random(self) -> float:
        return 0.0

    def choice(self, seq: Any) -> Any:
        return seq[0]


@given(st.sampled_from([*MEANING, None]), st.sampled_from(["", "?a=1", "?a=1&a=2", "?a="]), texts)
def test_the_rest_of_a_request_matters_too(header: Any, query: str, word: str) -> None:
    """A header with a meaning, a parameter of the query, the path."""
    base = key({"input": word})
    headers = [JSON, header] if header else [JSON]
    assert (key({"input": word}, headers, URL + query) == base) == (not header and not query)
    assert key({"input": word}, url=URL + "/x") != base


@given(st.lists(st.tuples(texts, st.binary(max_size=20)), min_size=1, max_size=3), st.data())
def test_boundaries_do_not_matter(parts: list[tuple[str, bytes]], data: st.DataObject) -> None:
    """A multipart body is its parts; another boundary is the same body, another part is another one."""

    def encoded(boundary: str, parts: list[tuple[str, bytes]]) -> str:
        body = b"".join(
            b"--%s\r\ncontent-disposition: form-data; name=f%d\r\n\r\n%s\r\n"
            % (boundary.encode(), n, content)
            for n, (_, content) in enumerate(parts)
        )
        headers = [("content-type", f"multipart/form-data; boundary={boundary}")]
        return key(body + b"--%s--\r\n" % boundary.encode(), headers)

    base = encoded("boundary-1-of-one-run", parts)
    assert encoded("boundary-of-another-run", parts) == base
    index = data.draw(st.integers(0, len(parts) - 1))
    changed = [*parts[:index], ("", parts[index][1] + b"x"), *parts[index + 1 :]]
    assert encoded("boundary-1-of-one-run", changed) != base


DATES = ["2026-11-23", "2026-11-24T08:00:00Z", "November 23, 2026", "14:05"]
words = st.lists(st.sampled_from(["on", "at", "‹", "x1", "2026", *DATES]), max_size=5)


def without_dates(said: list[str]) -> list[str]:
    return ["" if word in DATES else word for word in said]


@given(words, words)
def test_only_what_is_ignored_does_not_matter(one: list[str], other: list[str]) -> None:
    """Two prompts share a key exactly when they are equal outside the ignored spans; another field never does."""
    ignore = ("messages[*].content:date",)

    def asked(said: list[str], name: str = "content") -> dict[str, Any]:
        return {"messages": [{"role": "user", name: " | ".join(said)}]}

    same = without_dates(one) == without_dates(other)
    assert (key(asked(one), ignore=ignore) == key(asked(other), ignore=ignore)) == same
    assert (key(asked(one, "name"), ignore=ignore) == key(asked(other, "name"), ignore=ignore)) == (
        one == other
    )


@given(values, values, prompts, prompts)
def test_an_ignored_value_hides_only_itself(a: Any, b: Any, one: list[str], other: list[str]) -> None:
    """Whatever stands at an ignored path, the rest of the request decides."""

    def asked(value: Any, said: list[str]) -> dict[str, Any]:
        return {"metadata": {"run_id": value}, "input": said}

    ignore = ("$..run_id",)
    assert (key(asked(a, one), ignore=ignore) == key(asked(b, other), ignore=ignore)) == (one == other)
