"""The canonical request and its key: what matters, and what does not."""

from __future__ import annotations

import dataclasses
import gzip
import json
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachy import keys
from cachy.exchange import SPILL_BYTES, Body, Request
from cachy.providers import Claim, by_name
from cachy.providers.base import Provider

CHAT = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "Say hello"}], "temperature": 0.5}


def claim(host: str = "api.openai.com", **facts: Any) -> Any:
    provider = Provider(
        name="test",
        finished=lambda *_: None,
        headers=frozenset({"anthropic-beta", "x-amzn-bedrock-*", "accept"}),
        **facts,
    )
    return SimpleNamespace(provider=provider, host=host)


def request(
    body: Any = None,
    url: str = "https://api.openai.com/v1/chat/completions",
    method: str = "POST",
    **headers: str,
) -> Request:
    given_headers = {name.replace("_", "-"): value for name, value in headers.items()}
    if isinstance(body, (dict, list)):
        body = json.dumps(body).encode()
        given_headers.setdefault("content-type", "application/json")
    return Request(method, url, tuple(given_headers.items()), Body(body or b""))


def key(*args: Any, **kwargs: Any) -> str:
    return keys.canonical(request(*args, **kwargs), claim()).key


def test_key_is_128_bits_of_hex() -> None:
    """A key is 32 lower-case hex digits, the same on every run and system."""
    assert key(CHAT) == "6864edac3fbd8fbd118a8d18301b49d6"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"a":1,"b":[1,2]}', b'{ "b": [1, 2],\n "a": 1 }'),
        (b'{"a":1}', b'{"a":1.0}'),
        (b'{"a":1e2}', b'{"a":100}'),
        (b'{"a":"\\u00e9"}', '{"a":"é"}'.encode()),
        (b'{"a":-0.0}', b'{"a":0}'),
    ],
)
def test_json_is_compared_as_json(one: bytes, other: bytes) -> None:
    """Key order, spacing, escapes and the spelling of numbers do not matter."""
    assert key(one, content_type="application/json") == key(other, content_type="application/json")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"a":1}', b'{"a":"1"}'),
        (b'{"a":1}', b'{"a":true}'),
        (b'{"a":[1,2]}', b'{"a":[2,1]}'),
        (b'{"a":null}', b"{}"),
        (b'{"a":1e999}', b'{"a":1e998}'),
        (b'{"a":9007199254740993}', b'{"a":9007199254740992}'),
        (b'{"a":NaN}', b'{"a":Infinity}'),
        (b'{"a":1}\n{"b":2}', b'{"a":1}\n{"b":3}'),
        (b"{broken", b"{broken too"),
        (b'{"a":"x "}', b'{"a":"x"}'),
    ],
)
def test_what_differs_in_json_or_is_no_json_stays_different(one: bytes, other: bytes) -> None:
    """Different values, types, orders of a list and broken JSON never share a key."""
    assert key(one, content_type="application/json") != key(other, content_type="application/json")


def test_every_part_of_a_request_that_carries_meaning_counts() -> None:
    """Method, host, path, query, meaning headers and each word of the prompt change the key."""
    base = key(CHAT)
    others = [
        key(CHAT, method="PUT"),
        key(CHAT, url="https://api.openai.com/v1/completions"),
        key(CHAT, url="https://api.openai.com/v1/chat/completions?beta=true"),
        key({**CHAT, "model": "gpt-5"}),
        key({**CHAT, "messages": [{"role": "user", "content": "Say hello "}]}),
        key({**CHAT, "stream": True}),
        key(CHAT, anthropic_beta="files"),
        key(CHAT, x_amzn_bedrock_trace="ENABLED"),
        keys.canonical(request(CHAT), claim("api.groq.com")).key,
        key(b""),
    ]
    assert len({base, *others}) == len(others) + 1


def test_keys_sdk_noise_and_secrets_never_count() -> None:
    """API keys in headers and query, user agents and SDK headers are in neither key nor canonical request."""
    plain = keys.canonical(request(CHAT), claim())
    noisy = keys.canonical(
        request(
            CHAT,
            url="https://api.openai.com/v1/chat/completions?key=SECRET-IN-QUERY&api-key=OTHER",
            authorization="Bearer SECRET",
            x_api_key="SECRET",
            user_agent="openai/3",
            x_stainless_retry_count="1",
            accept="*/*",
        ),
        claim(),
    )
    assert noisy.text == plain.text
    assert "SECRET" not in noisy.text


def test_features_in_a_beta_header_are_a_set() -> None:
    """`anthropic-beta: a,b` means what `anthropic-beta: b, a` means."""
    assert key(CHAT, anthropic_beta="a,b") == key(CHAT, anthropic_beta="b, a")


def test_escapes_in_a_path_do_not_count_but_escaped_slashes_do() -> None:
    """Clients escape a path differently; `%2F` is still not `/`."""
    base = "https://h/models/"
    assert key(url=base + "a%3Ab") == key(url=base + "a:b")
    assert key(url=base + "a%2Fb") != key(url=base + "a/b")


def test_query_order_does_not_count() -> None:
    """Names may stand in any order; blank values count."""
    assert key(url="https://h/p?a=1&b=") == key(url="https://h/p?b=&a=1")
    assert key(url="https://h/p?a=1&b=") != key(url="https://h/p?a=1")


def test_the_order_of_values_of_one_name_counts() -> None:
    """`sort=name&sort=age` asks for another order than `sort=age&sort=name`, in a query and in a form."""
    one, other = "sort=name&x=1&sort=age", "sort=age&x=1&sort=name"
    form = "application/x-www-form-urlencoded"
    assert key(url=f"https://h/p?{one}") != key(url=f"https://h/p?{other}")
    assert key(one.encode(), content_type=form) != key(other.encode(), content_type=form)
    assert key(url=f"https://h/p?{one}") == key(url="https://h/p?x=1&sort=name&sort=age")


def test_secret_fields_are_blank_at_any_depth() -> None:
    """The tokens of MCP servers and keys in a body are not stored and do not count."""

    def body(token: str) -> dict[str, Any]:
        return {
            "api_key": token,
            "tools": [{"type": "mcp", "headers": {"Authorization": f"Bearer {token}"}}],
            "max_tokens": 5,
        }

    one, other = (
        keys.canonical(request(body(token)), claim()).redacted() for token in ("first-token", "second-token")
    )
    assert one.key == other.key
    assert "first-token" not in one.text
    assert '"max_tokens":5' in one.text


def test_a_key_in_a_prompt_is_masked_and_still_counts() -> None:
    """What looks like an API key is not stored, and two prompts with different keys stay different."""

    def chat(secret: str) -> keys.Canonical:
        return keys.canonical(
            request({"messages": [{"content": f"my key is\n{secret} ok?"}]}), claim()
        ).redacted()

    one, other = chat("sk-proj-" + "a1" * 20), chat("sk-proj-" + "b2" * 20)
    assert "a1a1a1" not in one.text
    assert one.key != other.key


def test_forms_are_sorted_pairs() -> None:
    """The order of the fields of a form does not matter, their values do, secrets are blank."""
    form = "application/x-www-form-urlencoded"
    assert key(b"a=1&b=2", content_type=form) == key(b"b=2&a=1", content_type=form)
    assert key(b"a=1", content_type=form) != key(b"a=2", content_type=form)
    with_secret = keys.canonical(request(b"a=1&client_secret=xyz", content_type=form), claim())
    assert with_secret.redacted().data()["body"] == {"form": [["a", "1"], ["client_secret", "[redacted]"]]}


def test_redacting_what_holds_no_secret_changes_nothing() -> None:
    """The redacted form of an ordinary request is the very same, so one look-up is enough for a hit."""
    made = keys.canonical(request({**CHAT, "n": 1.5, "text": "é☃"}), claim())
    assert made.redacted() is made


def test_long_base64_enters_as_a_digest() -> None:
    """An image in a JSON body is not kept, and two images stay different."""

    def image(letter: str) -> keys.Canonical:
        url = "data:image/png;base64," + letter * 5000
        return keys.canonical(request({"input": [{"image_url": url}]}), claim())

    assert len(image("A").text) < 400
    assert "image/png" in image("A").text
    assert image("A").key != image("B").key


def test_long_prose_is_kept_whole() -> None:
    """A long prompt is never folded, with or without spaces in its first words."""
    prose = "word " * 1000
    assert prose in keys.canonical(request({"messages": [{"content": prose}]}), claim()).text


def test_a_body_on_disk_is_digested_as_a_stream() -> None:
    """A large upload gets the same canonical request whether it comes in one piece or in many."""
    blocks = [bytes([n % 251]) * 1_000_000 for n in range(SPILL_BYTES // 1_000_000 + 2)]
    in_pieces, whole = Body.gather(iter(blocks)), Body.gather([b"".join(blocks)])
    assert in_pieces.data is None
    assert b"".join(in_pieces.chunks()) == b"".join(blocks)
    assert keys.digest(in_pieces) == keys.digest(whole)
    assert keys.digest(in_pieces)["size"] == in_pieces.size


def test_two_readers_of_a_body_on_disk_do_not_disturb_each_other() -> None:
    """A body can be sent twice at once (a retry beside a redirect)."""
    body = Body.gather([b"x" * (SPILL_BYTES + 1), b"y" * 3_000_000])
    pairs = list(zip(body.chunks(), body.chunks(), strict=True))
    assert all(one == other for one, other in pairs)
    assert sum(len(one) for one, _ in pairs) == body.size


def test_recomputing_from_a_recording_gives_the_same_key() -> None:
    """A stored canonical request, parsed and written again, has its old key."""
    made = keys.canonical(request({**CHAT, "n": 1.5, "big": 2**60, "deep": [{"é": None}]}), claim())
    assert keys.from_object(made.data()).key == made.key


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def shuffled(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: shuffled(item) for name, item in reversed(list(value.items()))}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


@given(json_values)
def test_equal_meaning_gives_equal_keys(value: Any) -> None:
    """Any JSON, with its members in another order and other white space, has the same key."""
    one = json.dumps({"v": value}).encode()
    other = json.dumps({"v": shuffled(value)}, indent=1, ensure_ascii=False).encode("utf-8", "surrogatepass")
    try:
        json.loads(other)
    except UnicodeDecodeError:
        return
    assert key(one, content_type="application/json") == key(other, content_type="application/json")


@given(json_values, json_values)
def test_different_meaning_gives_different_keys(one: Any, other: Any) -> None:
    """Two JSON values share a key only when they are equal as JSON."""

    def rfc8785(value: Any) -> Any:
        if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
            return int(value)
        if isinstance(value, dict):
            return {name: rfc8785(item) for name, item in value.items()}
        return [rfc8785(item) for item in value] if isinstance(value, list) else value

    same = json.dumps(rfc8785(one), sort_keys=True) == json.dumps(rfc8785(other), sort_keys=True)
    assert (key({"v": one}) == key({"v": other})) == same


def test_gather_keeps_every_byte() -> None:
    """A body gathered from pieces is their sum."""
    assert Body.gather([b"abc", b"", b"def"]).data == b"abcdef"


def test_a_key_in_the_query_of_an_unknown_host_may_be_a_name() -> None:
    """`?key=` and `?token=` are secrets at providers; elsewhere as likely a record or a page, so they count, masked."""
    long = "c0ffee" * 5

    def made(provider: str, query: str) -> keys.Canonical:
        found = by_name(provider)
        assert found
        return keys.canonical(Request("GET", f"https://h.example/v?{query}"), Claim(found, "h.example"))

    for name in ("key", "token"):
        assert made("plain", f"{name}=a").key != made("plain", f"{name}=b").key
        assert made("plain", f"{name}={long}1").key != made("plain", f"{name}={long}2").key
        assert long not in made("plain", f"{name}={long}").text
        assert made("openai", f"{name}=a").key == made("openai", f"{name}=b").key == made("openai", "").key
    assert made("plain", "api_key=a").key == made("plain", "api_key=b").key


def test_what_is_remembered_of_a_request_is_not_taken_for_its_copy() -> None:
    one, place = request({"a": 1}), claim()
    first = keys.canonical(one, place)
    assert keys.canonical(one, place) is first
    copy = dataclasses.replace(one, body=Body(b'{"a":2}'))
    assert keys.canonical(copy, place).key != first.key
    assert keys.canonical(one, claim("other.example")).key != first.key


FORM = "application/x-www-form-urlencoded"


def test_escapes_that_are_not_utf8_are_other_characters() -> None:
    """`%FF` and `%FE` (Latin-1, say) are two texts, in a query and in a form; both used to be U+FFFD."""
    assert len({key(url=f"https://h/p?q={text}") for text in ("%FF", "%FE", "%EF%BF%BD")}) == 3
    assert len({key(f"q={text}".encode(), content_type=FORM) for text in ("%FF", "%FE", "%EF%BF%BD")}) == 3
    assert key(url="https://h/p?q=%FF") == key(url="https://h/p?q=%ff")


def test_json_that_is_called_a_form_is_compared_as_json() -> None:
    """Python's urllib and curl call any body a form: in JSON, `+` and `%20` are no spaces."""
    one = {"messages": [{"role": "user", "content": "1+1"}]}
    other = {"messages": [{"role": "user", "content": "1 1"}]}
    assert key(json.dumps(one).encode(), content_type=FORM) != key(
        json.dumps(other).encode(), content_type=FORM
    )
    assert key(json.dumps(one, indent=1).encode(), content_type=FORM) == key(one)
    assert key(b"[]=1+1", content_type=FORM) == key(b"[]=1%201", content_type=FORM)


@pytest.mark.parametrize("path", ["/p/a|b", "/p/é", "/p/a^b", "/p/a b", "/p/[1]", '/p/"x"'])
def test_what_a_client_leaves_unescaped_in_a_path_does_not_count(path: str) -> None:
    """httpx sends `|`, `^` and brackets as they are, requests escapes them."""
    assert key(url=f"https://h{path}") == key(url=f"https://h{quote(path, safe='/')}")


def test_gzip_of_a_document_does_not_count() -> None:
    """A zipped body holds the time at which it was made; what is no gzip or no JSON is compared as it is."""
    raw = json.dumps(CHAT).encode()
    zipped = [gzip.compress(raw, mtime=seconds) for seconds in (1, 2)]
    assert {key(body, content_type="application/json") for body in zipped} == {key(CHAT)}
    broken = [zipped[0][:-4], zipped[0] + b"more", zipped[0] + zipped[1], b"\x1f\x8bno gzip"]
    assert len({key(body, content_type="application/json") for body in [raw, *broken]}) == 5
    assert key(zipped[0], content_type="application/gzip") != key(zipped[1], content_type="application/gzip")


def test_the_way_in_which_a_patch_is_meant_counts() -> None:
    """One document, three changes: the type of a patch says which."""
    kinds = ("merge-patch", "strategic-merge-patch", "apply-patch")
    forms = [
        keys.canonical(request(b'{"a":[1]}', content_type=f"application/{kind}+json"), claim())
        for kind in kinds
    ]
    assert len({form.key for form in forms}) == len({form.redacted().key for form in forms}) == 3


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("x-amz-target", "DynamoDB_20120810.DescribeTable", "DynamoDB_20120810.DeleteTable"),
        ("x-amz-copy-source", "/bucket/a", "/bucket/b"),
        ("x-amzn-sagemaker-target-model", "a.tar.gz", "b.tar.gz"),
        ("x-ms-range", "bytes=0-9", "bytes=10-19"),
        ("azureml-model-deployment", "blue", "green"),
        ("soapaction", '"urn:Get"', '"urn:Delete"'),
        ("dropbox-api-arg", '{"path":"/a"}', '{"path":"/b"}'),
        ("x-goog-fieldmask", "places.id", "places.name"),
        ("content-range", "bytes 0-9/30", "bytes 10-19/30"),
        ("upload-offset", "0", "10"),
        ("upload-metadata", "filename YQ==", "filename Yg=="),
        ("destination", "https://h/a", "https://h/b"),
        ("accept-profile", "public", "private"),
        ("if-match", '"1"', '"2"'),
        ("stripe-account", "acct_1", "acct_2"),
        ("x-return-format", "markdown", "html"),
    ],
)
def test_what_services_are_asked_in_headers_counts(name: str, one: str, other: str) -> None:
    """With the same URL and body these headers ask for different things."""
    plain = by_name("plain")
    assert plain is not None
    found = {
        keys.canonical(Request("POST", "https://h/", ((name, value),), Body(b"{}")), Claim(plain, "h")).key
        for value in (one, other)
    }
    assert len(found) == 2
