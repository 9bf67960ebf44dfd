"""Sign-ins: requests that trade a password, or what is as good as one, for a session or a token.

What a sign-in gets is of no use in a later run: cookies are never recorded, and tokens expire. So a run that may
call signs in anew, or the first call that goes out after a replayed sign-in would be refused. Where nothing is
sent, any answer will do, and its tokens are masked: no key depends on them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .redact import BLANK, mask

if TYPE_CHECKING:
    from .keys import Canonical

_TRADED = frozenset(("password", "client_secret", "clientsecret", "refresh_token", "refreshtoken"))
# A form with such a field belongs to the page and the cookie that it came with, and cannot be sent anew without them.
_OF_A_PAGE = ("csrf", "xsrf", "authenticity_token", "verificationtoken")
_HANDED_OUT = (  # compiled when it is first needed
    r'(?i)("(?:(?:(?:access|refresh|id|auth|session)_?)?token|jwt|session(?:_?(?:id|key))?|api_?key|client_?secret)"'
    r'\s*:\s*")([^"\\]{16,})(?=")'
)


def is_sign_in(wanted: Canonical) -> bool:
    """Whether this request, its secrets taken out, is a sign-in."""
    if BLANK not in wanted.text:
        return False
    form = wanted.data()
    body = form.get("body", {})
    named = body["json"] if isinstance(body.get("json"), dict) else ()
    names = {*named, *(name for name, _ in body.get("form", ()))}
    names.update(part.get("name", "") for part in body.get("multipart", ()))
    lower = {name.lower() for name in names}
    return (
        form["method"] == "POST"
        and not _TRADED.isdisjoint(lower)
        and not any(mark in name for name in lower for mark in _OF_A_PAGE)
    )


def without_tokens(body: bytes) -> bytes:
    """The answer to a sign-in, what it hands out masked by the names of its JSON members."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return body
    return re.sub(_HANDED_OUT, lambda match: match.group(1) + mask(match.group(2)), text).encode()
