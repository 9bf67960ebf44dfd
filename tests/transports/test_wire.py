"""The framing of an answer is taken off however a client cuts what it reads."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cachy.transports.wire import _Chunks


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=6), st.lists(st.integers(1, 40)), st.booleans())
def test_chunks_however_they_are_cut(chunks: list[bytes], cuts: list[int], frills: bool) -> None:
    """The payload is whole, each chunk's end is known, and so is the end of all of them."""
    more = b";name=value" if frills else b""
    wire = b"".join(b"%X%b\r\n%b\r\n" % (len(chunk), more, chunk) for chunk in chunks)
    wire += b"0\r\nx-trailer: 1\r\n\r\n" if frills else b"0\r\n\r\n"
    framing = _Chunks()
    found, piece = [], b""
    at = 0
    for cut in [*cuts, len(wire)]:
        assert not framing.ended or at > wire.rindex(b"0\r\n")
        for part, is_whole in framing.payload(wire[at : at + cut]):
            piece += part
            if is_whole:
                found.append(piece)
                piece = b""
        at += cut
    assert found == chunks
    assert framing.ended
