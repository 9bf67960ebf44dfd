"""What holds for resumable uploads through every client: subclass `BecomesReal` and say how the client sends a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from uploads.service import Service
from uploads.test_resumable import CUT, ONE, OTHER, asked, digest


class BecomesReal:
    """An upload that only a recording knows becomes real when its bytes differ."""

    def upload(self, service: Service, data: bytes, cut: int = CUT) -> tuple[int, bytes]:
        """Send a file in pieces of `cut` bytes; status and body of the last answer."""
        raise NotImplementedError

    @pytest.mark.parametrize("cut", [CUT, len(ONE)], ids=["in-pieces", "whole"])
    def test_another_file_of_the_same_size(self, service: Service, using: Any, store: Path, cut: int) -> None:
        """The same file replays; another one is uploaded whole, recorded, and replayed from then on."""
        with using("auto"):
            first = self.upload(service, ONE, cut)
        asked(service)
        with using("auto"):
            assert self.upload(service, ONE, cut) == first
            assert asked(service) == []
            second = self.upload(service, OTHER, cut)
        assert service.files == [digest(ONE), digest(OTHER)]
        asked(service)
        with using("replay"):
            assert self.upload(service, OTHER, cut) == second
            assert self.upload(service, ONE, cut) == first
        assert asked(service) == []
        assert b"AB-secret" not in store.read_bytes()

    def test_a_file_that_differs_late(self, service: Service, using: Any) -> None:
        """What was replayed before the difference is sent too."""
        late = ONE[:-10] + b"0123456789"
        for data in (ONE, late):
            with using("auto"):
                self.upload(service, data)
        assert service.files == [digest(ONE), digest(late)]

    def test_a_refused_start(self, service: Service, using: Any) -> None:
        """When the provider refuses the start that a recording had answered, the program gets that answer."""
        with using("auto"):
            self.upload(service, ONE)
        service.refuse_starts = 1
        with using("auto"):
            status, body = self.upload(service, OTHER, len(OTHER))
        assert status == 403
        assert body
        assert service.files == [digest(ONE)]
