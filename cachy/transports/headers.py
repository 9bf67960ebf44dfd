"""Headers on their way from a recording to a client."""

from __future__ import annotations


def raw_header(text: str) -> bytes:
    """The bytes of a recorded name or value."""
    try:
        return text.encode("latin-1")  # as it was read
    except UnicodeEncodeError:  # edited by hand, or pycachy's
        return text.encode("utf-8", "replace")
