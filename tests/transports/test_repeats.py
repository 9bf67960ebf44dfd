"""The n-th answer to the same question, and variants."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import cachy


def ask(lib: Any, server: Any, times: int) -> list[int]:
    return [lib.post(server.url + "/v1", json={"q": 1}).json()["call"] for _ in range(times)]


def test_by_default_the_same_request_has_the_same_answer(lib: Any, server: Any, using: Any) -> None:
    """One call, whatever the temperature."""
    with using():
        assert ask(lib, server, 3) == [1, 1, 1]


def test_a_sequence_is_replayed_in_its_order(lib: Any, server: Any, using: Any) -> None:
    """Each run begins with the first answer; what a run asks beyond the last one is recorded in auto, a miss in replay."""
    with using(repeats="sequence"):
        assert ask(lib, server, 3) == [1, 2, 3]
    with using(repeats="sequence"):
        assert ask(lib, server, 4) == [1, 2, 3, 4]
    with using("replay", repeats="sequence"):
        assert ask(lib, server, 4) == [1, 2, 3, 4]
        with pytest.raises(cachy.Miss, match="turn"):
            ask(lib, server, 1)
    assert len(server.calls) == 4


def test_the_first_of_a_sequence_is_the_plain_recording(lib: Any, server: Any, using: Any) -> None:
    """What was recorded before repeats were switched on is the first answer."""
    with using():
        assert ask(lib, server, 2) == [1, 1]
    with using(repeats="sequence"):
        assert ask(lib, server, 2) == [1, 2]


def test_a_cycle_starts_over(lib: Any, server: Any, using: Any) -> None:
    """After the last answer replay goes on with the first; auto records more."""
    with using(repeats="cycle"):
        assert ask(lib, server, 3) == [1, 2, 3]
    with using("replay", repeats="cycle"):
        assert ask(lib, server, 7) == [1, 2, 3, 1, 2, 3, 1]
    with using("replay", repeats="cycle"), pytest.raises(cachy.Miss):
        lib.post(server.url + "/v1", json={"q": "never asked"})


def test_record_mode_replaces_each_turn(lib: Any, server: Any, using: Any) -> None:
    """The n-th call of a recording run replaces the n-th answer."""
    with using(repeats="sequence"):
        ask(lib, server, 2)
    with using("record", repeats="sequence"):
        assert ask(lib, server, 2) == [3, 4]
    with using("replay", repeats="sequence"):
        assert ask(lib, server, 2) == [3, 4]


def test_a_failed_call_does_not_use_up_a_turn(lib: Any, server: Any, using: Any) -> None:
    """The retry after an error, or the next poll, is the same turn: replay has no gap."""
    seen = []

    def answer(handler: Any) -> None:
        seen.append(handler.command)
        status = 503 if len(seen) in (1, 3) else 200
        handler.whole(b'{"call":%d}' % len(seen), status=status)

    server.on("/v1", answer)
    with using(repeats="sequence"):
        assert ask(lib, server, 4) == [1, 2, 3, 4]
    with using("replay", repeats="sequence"):
        assert ask(lib, server, 2) == [2, 4]


def test_gathered_calls_keep_their_order(lib: Any, server: Any, using: Any) -> None:
    """Tasks get their turns in the order in which they ask, so a replay gives each the answer it had."""

    async def main() -> list[int]:
        async with lib.AsyncClient() as client:

            async def one() -> int:
                return (await client.post(server.url + "/v1", json={"q": 1})).json()["call"]  # type: ignore[no-any-return]

            return await asyncio.gather(*(one() for _ in range(5)))

    with using(repeats="sequence"):
        live = asyncio.run(main())
    assert sorted(live) == [1, 2, 3, 4, 5]
    with using("replay", repeats="sequence"):
        assert asyncio.run(main()) == live
        with pytest.raises(cachy.Miss):
            asyncio.run(main())


def test_threads_share_the_turns(lib: Any, server: Any, monkeypatch: pytest.MonkeyPatch, store: Any) -> None:
    """Many threads of one run get each answer once."""
    monkeypatch.delenv("CI", raising=False)

    def main() -> list[int]:
        with ThreadPoolExecutor(4) as pool:
            return [answers[0] for answers in pool.map(lambda _: ask(lib, server, 1), range(8))]

    for mode in ("auto", "replay"):
        cachy.enable(mode, store=store, hosts=["127.0.0.1:*"], repeats="sequence", summary=False)  # type: ignore[arg-type]
        assert sorted(main()) == list(range(1, 9))
    cachy.disable()
    assert len(server.calls) == 8


def test_variants_have_recordings_of_their_own(lib: Any, server: Any, using: Any) -> None:
    """Inside the block, in this task alone, and again by its name."""
    with using():
        assert ask(lib, server, 1) == [1]
        with cachy.variant("trial-2"):
            assert ask(lib, server, 2) == [2, 2]
            with cachy.variant("trial-3"):
                assert ask(lib, server, 1) == [3]
            assert ask(lib, server, 1) == [2]
        assert ask(lib, server, 1) == [1]
    with using("replay"):
        with cachy.variant("trial-2"):
            assert ask(lib, server, 1) == [2]
        with cachy.variant("trial-9"), pytest.raises(cachy.Miss, match="variant"):
            ask(lib, server, 1)
    with pytest.raises(ValueError, match="name"), cachy.variant(""):
        pass


def test_a_variant_with_a_sequence(lib: Any, server: Any, using: Any) -> None:
    """Each variant counts for itself."""
    with using(repeats="sequence"):
        assert ask(lib, server, 2) == [1, 2]
        with cachy.variant("b"):
            assert ask(lib, server, 2) == [3, 4]
    with using("replay", repeats="sequence"):
        with cachy.variant("b"):
            assert ask(lib, server, 2) == [3, 4]
        assert ask(lib, server, 2) == [1, 2]
