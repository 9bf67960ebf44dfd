"""Nothing secret is stored: headers, query, bodies, answers."""

from __future__ import annotations

from typing import Any

import pytest

from cachy import redact

KEYS = [
    "sk-proj-Ab1" + "c3D4" * 10,
    "sk-ant-api03-" + "Zx9_" * 12,
    "AIza" + "Sy0" * 11 + "AB",
    "AKIAIOSFODNN7EXAMPLE",
    "gsk_" + "a1B2" * 13,
    "hf_" + "a1B2" * 9,
    "xai-" + "a1B2" * 20,
    "r8_" + "a1B2" * 9 + "c",
    "ghp_" + "a1B2" * 9,
    "tvly-dev-" + "a1B2" * 8,
    "pplx-" + "a1B2" * 12,
    "glpat-" + "a1B2" * 5,
    "nvapi-" + "a1B2" * 16,
    "lsv2_pt_" + "a1b2" * 8 + "_a1b2a1b2a1",
    "pcsk_" + "a1B2" * 17,
    "dapi" + "a1b2" * 8,
    "npm_" + "a1B2" * 9,
    "SG." + "a1B2" * 5 + "xx." + "a1B2" * 10 + "abc",
    "123456789:AA" + "a1B2" * 8 + "x",
    "eyJhbGciOiJIUzI1NiIsInR5.eyJzdWIiOiIxMjM0NTY3ODkw.SflKxwRJSMeKKF2QT4fwpMeJf36",
]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "around", ["{}", "my key: {}.", '{{"a":"line\\n{}"}}', '{{"a":"\\uff1a{}"}}', "token={}&x=1"]
)
def test_every_shape_of_key_is_masked_wherever_it_stands(key: str, around: str) -> None:
    """A key is masked at the start of a text, after an escape, between punctuation; the length stays."""
    text = around.format(key)
    masked = redact.mask_text(text)
    assert key not in masked
    assert key[8:-1] not in masked
    assert len(masked) == len(text)


@pytest.mark.parametrize(
    "text",
    [
        "the sk-learn library, sk-some-long-hyphenated-class-name-for-css",
        "task-1234567890123456789012345",
        "flask-sk-example",
        "a disk-12345678901234567890123456789",
        "AIzaShort",
        "npm_config_registry_of_version2_and_more_words",
        "at 12345678:AA",
        "/services/TALKS/BOOKS/index",
        "/webhooks/12345678901234567/short",
        "eyJub3QiOiJhIGp3dCJ9",
        "desk_live_work",
        "pa-1",
        "call_a1B2c3D4a1B2c3D4a1B2c3D4",
        "msg_011CcqVaeLtDzzEbp9eDjsDF",
        "chatcmpl-CMx5G9aVv4Jq3z1R2s3T4u5V6w7X8",
        "toolu_01A09q90qw90lq917835lq9",
    ],
)
def test_ordinary_words_and_ids_are_not_masked(text: str) -> None:
    """Prose, class names and the ids of providers stay as they are."""
    assert redact.mask_text(text) == text


def test_a_mask_is_stable_and_masks_to_itself() -> None:
    """The same secret always gets the same mask, another one another, and a mask stays."""
    one, other = redact.mask(KEYS[0]), redact.mask(KEYS[1])
    assert one == redact.mask(KEYS[0]) != other
    assert redact.mask(one) == one
    assert redact.mask_text(f"x {one} y") == f"x {one} y"


def test_known_secrets_are_masked_in_an_answer() -> None:
    """A server that echoes the key it was sent does not get it into the file."""
    known = redact.secrets_of(
        [("authorization", "Bearer my-own-secret-token-1")], "https://h/?key=query-secret-token"
    )
    body = redact.mask_bytes(b'{"you":"my-own-secret-token-1","q":"query-secret-token"}', known)
    assert b"my-own-secret" not in body
    assert b"query-secret" not in body
    assert len(body) == len(b'{"you":"my-own-secret-token-1","q":"query-secret-token"}')


def test_short_keys_are_not_taken_for_secrets_in_answers() -> None:
    """The dummy key `test` does not blank every "test" in an answer."""
    assert redact.secrets_of([("authorization", "Bearer test")], "https://h/") == []


def test_binary_answers_are_left_alone() -> None:
    """Audio and images keep every byte."""
    body = bytes(range(256)) * 3
    assert redact.mask_bytes(body) is body


@pytest.mark.parametrize("name", ["link", "x-total-count", "x-next-page", "x-total-pages", "x-wp-totalpages"])
def test_how_far_a_list_goes_on_is_kept(name: str) -> None:
    """A program that pages by these headers would take the first page for all there is."""
    assert redact.answer_headers([(name, "2")]) == ((name, "2"),)


def test_headers_kept_are_few_and_never_cookies() -> None:
    """Content type and request id stay, cookies and account names do not, not even when asked for."""
    headers = (
        ("content-type", "application/json"),
        ("set-cookie", "a=1"),
        ("openai-organization", "acme"),
        ("x-request-id", "r1"),
        ("x-mine", "m"),
        ("content-length", "5"),
    )
    kept = dict(redact.answer_headers(headers, frozenset({"x-mine", "set-cookie"})))
    assert kept == {
        "content-type": "application/json",
        "x-request-id": "r1",
        "x-mine": "m",
        "content-length": "5",
    }


def test_the_length_of_an_encoded_body_is_not_kept() -> None:
    """A body is stored decoded, so the length and coding of what travelled would be wrong."""
    headers = (("content-encoding", "gzip"), ("content-length", "5"), ("content-type", "text/plain"))
    assert redact.answer_headers(headers) == (("content-type", "text/plain"),)


def test_capabilities_in_urls_are_masked() -> None:
    """A signed location keeps its shape and loses its signature."""
    url = redact.url_without_secrets("https://user:pw@blob.example/a?sig=" + "s" * 20 + "&x=1")
    assert "user" not in url
    assert "ssssss" not in url
    assert url.endswith("&x=1")


def test_where_a_job_is_polled_is_kept_without_its_secrets() -> None:
    """Azure's SDKs find the URL to poll in these headers only; a signature in it is masked."""
    url = "https://r.cognitiveservices.azure.com/documentintelligence/results/7?api-version=2024-11-30"
    for name in ("operation-location", "azure-asyncoperation"):
        assert redact.answer_headers([(name, url)]) == ((name, url),)
        ((_, kept),) = redact.answer_headers([(name, url + "&sig=SECRETSECRETSECRET")])
        assert "SECRETSECRETSECRET" not in kept


@pytest.mark.parametrize(
    ("path", "secret"),
    [
        ("/bot123456789:AAa1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2x/sendMessage", "a1B2a1B2"),
        ("/services/T00000000/B00000000/a1B2a1B2a1B2a1B2a1B2a1B2", "a1B2a1B2"),
        ("/api/webhooks/123456789012345678/" + "a1B2" * 17, "a1B2a1B2"),
    ],
)
def test_a_secret_in_a_path_is_masked(path: str, secret: str) -> None:
    """Telegram, Slack and Discord take the token in the path; what stands around it stays."""
    masked = redact.mask_text(f'{{"path":"{path}"}}')
    assert secret not in masked
    assert masked.startswith(f'{{"path":"{path[:4]}')


@pytest.mark.parametrize("name", ["appid", "access_key", "api_token", "key", "token", "secret", "upload_id"])
def test_what_is_perhaps_a_secret_tells_requests_apart(name: str) -> None:
    """Short values of such names are those of records and pages; long ones are masked, each differently. Fields of
    forms and of multipart bodies as parameters of a query."""
    values = ["7", "8", "a1b2" * 8, "b1b2" * 8]
    found: list[list[str]] = [[], [], []]
    for value in values:
        found[0].append(str(redact.query_that_counts([(name, value)])))
        bodies: list[dict[str, Any]] = [
            {"form": [[name, value]]},
            {"multipart": [{"name": name, "text": value}]},
        ]
        for kind, body in enumerate(bodies, 1):
            found[kind].append(str(redact.blank_request({"body": body})))
    for texts in found:
        assert len(set(texts)) == 4
        assert "a1b2a1b2" not in texts[2]


def test_an_address_keeps_its_bytes_beside_a_secret() -> None:
    """Where a redirect leads stays the same address, in whatever encoding, with a secret masked."""
    shown = redact.url_without_secrets("https://h/p?q=%E9%FF&sig=SECRETSECRETSECRET")
    assert shown.startswith("https://h/p?q=%E9%FF&sig=REDACTED")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-portkey-config", '{"provider": "openai", "api_key": "my-own-secret"}'),
        ("x-ms-copy-source", "https://a.blob.core.windows.net/c/b?sv=2024&sig=my-own-secret"),
        ("helicone-target-url", "https://ann:my-own-secret@gw.corp/v1"),
    ],
)
def test_secrets_in_headers_that_carry_meaning(name: str, value: str) -> None:
    """A configuration and an address in a header are stored without their keys; what is no such thing stays."""
    blanked = redact.blank_request({"headers": {name: value, "range": "bytes=0-9", "x": "{broken"}})[
        "headers"
    ]
    assert "my-own-secret" not in str(blanked)
    assert blanked[name][:8] == value[:8]
    assert (blanked["range"], blanked["x"]) == ("bytes=0-9", "{broken")


def test_values_of_the_wrong_kind_stay() -> None:
    """Somebody may have edited a line by hand; what looks for secrets in it is not to break off."""
    for form in ({"headers": {"x": []}}, {"headers": []}, {"body": {"form": [["key", 5]]}}):
        assert redact.blank_request(form) == form
