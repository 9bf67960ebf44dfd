"""How a URL and the environment name an object store, and what is said when one refuses."""

from __future__ import annotations

import re

import pytest

from cachy.stores.clouds import address, reason

PLAIN = "http://127.0.0.1:9000"


@pytest.mark.parametrize(
    ("url", "environ", "config"),
    [
        ("s3://calls/x", {}, {}),
        (f"s3://calls/x?endpoint={PLAIN}&region=eu-west-1", {}, {"endpoint": PLAIN, "region": "eu-west-1"}),
        ("s3://calls/x", {"AWS_ENDPOINT_URL": PLAIN}, {"endpoint": PLAIN}),
        ("s3://calls/x", {"AWS_ENDPOINT_URL": "https://all", "AWS_ENDPOINT_URL_S3": PLAIN}, {"endpoint": PLAIN}),
        ("s3://calls/x?endpoint=https://s3.corp", {"AWS_ENDPOINT_URL": PLAIN}, {"endpoint": "https://s3.corp"}),
        (f"gs://calls/x?endpoint={PLAIN}", {}, {"base_url": PLAIN}),
        ("gs://calls/x", {"GOOGLE_BASE_URL": PLAIN}, {"base_url": PLAIN}),
        ("az://calls/x", {"AZURE_STORAGE_ENDPOINT": PLAIN}, {"endpoint": PLAIN}),
        ("az://calls/x", {"AZURE_STORAGE_ACCOUNT": "team", "AZURE_STORAGE_KEY": "k"}, {"account_name": "team", "account_key": "k"}),
        ("az://calls/x", {"AZURE_STORAGE_ACCOUNT": "a", "AZURE_STORAGE_ACCOUNT_NAME": "team"}, {}),
        ("az://calls@team.blob.core.windows.net/x", {"AZURE_STORAGE_ACCOUNT": "a"}, {"account_name": "team"}),
        (
            "az://calls@team.blob.core.chinacloudapi.cn/x", {},
            {"account_name": "team", "endpoint": "https://team.blob.core.chinacloudapi.cn"},
        ),
    ],
)  # fmt: skip
def test_where_a_store_is(url: str, environ: dict[str, str], config: dict[str, str]) -> None:
    """The URL comes first, then what obstore reads itself, then what other tools read."""
    found = address(url, environ)
    assert found.url == f"{url[:2]}://calls/x"
    assert found.config == config
    assert found.plain is (PLAIN in config.values())


KEY = "AccountName=team;AccountKey=a2V5=="


@pytest.mark.parametrize(
    ("text", "config"),
    [
        (f"DefaultEndpointsProtocol=https;{KEY}", {"account_name": "team", "account_key": "a2V5=="}),
        (
            f"DefaultEndpointsProtocol=https;{KEY};EndpointSuffix=core.windows.net",
            {"account_name": "team", "account_key": "a2V5==", "endpoint": "https://team.blob.core.windows.net"},
        ),
        (
            f"{KEY};BlobEndpoint={PLAIN}/team;",
            {"account_name": "team", "account_key": "a2V5==", "endpoint": f"{PLAIN}/team"},
        ),
        (
            "BlobEndpoint=https://team.blob.core.windows.net/;SharedAccessSignature=sv=2021&sig=x%3D",
            {"account_name": "team", "sas_key": "sv=2021&sig=x%3D", "endpoint": "https://team.blob.core.windows.net"},
        ),
        ("UseDevelopmentStorage=true", {"use_emulator": "true"}),
        ("nonsense", {}),
    ],
)  # fmt: skip
def test_a_connection_string_of_azure(text: str, config: dict[str, str]) -> None:
    """As the portal shows it."""
    assert address("az://calls/x", {"AZURE_STORAGE_CONNECTION_STRING": text}).config == config


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://calls?account_key=s3cr3t", "it takes ?endpoint= or ?region= and no ?account_key="),
        ("gs://calls?region=s3cr3t", "it takes ?endpoint= and no ?region="),
        ("az://calls?endpoint=s3cr3t", "its endpoint does not begin with"),
        ("s3://calls?endpoint=http://", "its endpoint does not begin with"),
        ("s3://calls/#s3cr3t?endpoint=http://127.0.0.1:1", "a # in it is written %23"),
        ("gs:///x", "it names no bucket"),
        ("az://", "it names no container"),
    ],
)
def test_a_url_that_cannot_be_meant(url: str, said: str) -> None:
    """It is told without what stands there: that may be a key."""
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        address(url, {})
    assert "s3cr3t" not in str(error.value)


class GenericError(Exception):
    """What obstore raises for most of it."""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "Generic GCS error: Unable to open service account file from /x.json: No such file or directory (os error 2)",
            "Unable to open service account file from /x.json: No such file or directory (os error 2)",
        ),
        (
            (
                "Error performing token request: Error performing POST https://oauth2.googleapis.com/token in 9ms - "
                'Server returned non-2xx status code: 400 Bad Request: {"error":"invalid_grant"}'
            ),
            "logging in at oauth2.googleapis.com failed (400 Bad Request); set GOOGLE_APPLICATION_CREDENTIALS",
        ),
        (
            "Generic S3 error: Received redirect without LOCATION, this normally indicates an incorrectly configured region",
            "it is in another region: set AWS_REGION",
        ),
        (
            (
                "Error performing GET https://x/y in 9ms - Server returned error response: Server returned non-2xx status "
                "code: 503 Service Unavailable: <Error><Code>SlowDown</Code></Error>"
            ),
            "it answers 503 Service Unavailable SlowDown",
        ),
        (
            "Generic MicrosoftAzure error: Account must be specified",
            "no account is named: set AZURE_STORAGE_ACCOUNT_NAME",
        ),
        (
            (
                "Error performing GET https://x/y in 9ms - Server returned non-2xx status code: 403 Forbidden: "
                "<Error><Code>AuthenticationFailed</Code><StringToSign>s3cr3t</StringToSign></Error>"
            ),
            "it refuses these credentials (403 Forbidden AuthenticationFailed)",
        ),
    ],
)
def test_why_one_refuses(text: str, said: str) -> None:
    """What obstore 0.12 says; what real servers answer is in tests/stores/test_shared_runs.py."""
    url = "gs://calls/x" if "googleapis" in text else "s3://calls/x"
    found = reason(GenericError(f"{text}\n\nDebug source:\ns3cr3t"), url)
    assert found.startswith(said)
    assert "s3cr3t" not in found
