"""A recorded request as a command for curl, or grpcurl. No key is in it: a shell variable stands in its place."""

from __future__ import annotations

import json
import shlex

from ..exchange import Request
from ..providers import by_name, rpc
from ..report.entry import Entry, ignored
from .talk import Problem, say

# Where the services take their key that do not take it as `Authorization: Bearer`.
_KEY_HEADERS = {"anthropic": "x-api-key", "azure": "api-key", "gemini": "x-goog-api-key"}


def command(entry: Entry) -> str:
    """The command; what it cannot hold is told on stderr. Raises Problem for a recording of pycachy."""
    if not entry.form:
        raise Problem("pycachy kept no request that could be asked again")
    request, body = entry.request, entry.form.get("body", {})
    if request.method == rpc.METHOD:
        return _grpcurl(request, entry)
    words = [f"curl -X {request.method} {shlex.quote(request.url)}", *_key(entry.provider)]
    kind = body.get("type") or ("application/json" if "json" in body else "")
    headers = [*request.headers, *([("content-type", kind)] if kind else [])]
    words += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in headers]
    if "json" in body:
        words.append(f"-d {shlex.quote(json.dumps(body['json'], ensure_ascii=False))}")
    elif "form" in body:
        words += [f"--data-urlencode {shlex.quote(f'{name}={value}')}" for name, value in body["form"]]
    elif "multipart" in body:
        for part in body["multipart"]:
            given = part.get("text") or "@" + part.get("filename", "FILE")
            words.append(f"-F {shlex.quote(part.get('name', 'file') + '=' + given)}")
    elif "text" in body:
        words.append(f"--data-binary {shlex.quote(body['text'])}")
    elif body:
        words.append("--data-binary @FILE")
    _tell(entry)
    return " \\\n  ".join(words)


def _grpcurl(request: Request, entry: Entry) -> str:
    """For a server that tells its own messages (reflection); else it takes `-proto FILE`."""
    parts = request.split()
    asked = entry.form.get("body", {}).get("json")
    if asked is None and entry.form.get("body"):
        raise Problem("the type of this message was not known when it was recorded")
    port = parts.netloc.rpartition(":")[2]
    address = parts.netloc if port.isdigit() or port == "*" else f"{parts.netloc}:443"
    words = ["grpcurl" + (" -plaintext" if parts.scheme == "http" else ""), *_key(entry.provider)]
    words += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in request.headers]
    words.append(f"-d {shlex.quote(json.dumps(asked or {}, ensure_ascii=False))}")
    words.append(f"{shlex.quote(address)} {shlex.quote(parts.path.lstrip('/'))}")
    _tell(entry)
    return " \\\n  ".join(words)


def _tell(entry: Entry) -> None:
    """Say what a command cannot hold."""
    body = entry.form.get("body", {})
    if "*" in entry.form["host"]:
        say(f"the host is {entry.form['host']}, a wildcard of the setting hosts; put the real one in")
    if '"digest"' in json.dumps(body):
        say("a recording keeps only the digest of files and pictures; put the real ones in")
    if places := ignored(entry.form):
        say(f"what stands in ‹› was not kept: {', '.join(places[:5])}{' …' if len(places) > 5 else ''}")


def _key(provider: str) -> list[str]:
    known = by_name(provider)
    if provider == "bedrock":
        return [
            '--aws-sigv4 "aws:amz:$AWS_REGION:bedrock"',
            '--user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY"',
        ]
    if provider == "vertex":
        return ['-H "Authorization: Bearer $(gcloud auth print-access-token)"']
    if known is None or not known.key_env:
        return []
    name = _KEY_HEADERS.get(provider)
    return [
        f'-H "{name}: ${known.key_env[0]}"' if name else f'-H "Authorization: Bearer ${known.key_env[0]}"'
    ]
