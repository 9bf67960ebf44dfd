"""Resumable uploads through requests: an upload that only a recording knows becomes real when its bytes differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from uploads.service import Service
from uploads.test_resumable import CUT, ONE, OTHER, asked, digest, pieces, start

requests = pytest.importorskip("requests")


def upload(service: Service, data: bytes, cut: int = CUT) -> Any:
    with requests.Session() as session:
        first = start(len(data))
        opened = session.post(service.url + first.pop("url"), **first)
        for request in pieces(opened.headers["x-goog-upload-url"], data, cut):
            answer = session.post(request["url"], data=request["content"], headers=request["headers"])
    return answer


@pytest.mark.parametrize("cut", [CUT, len(ONE)], ids=["in-pieces", "whole"])
def test_another_file_of_the_same_size(service: Service, using: Any, store: Path, cut: int) -> None:
    """The same file replays; another one is uploaded whole, recorded, and replayed from then on."""
    with using("auto"):
        first = upload(service, ONE, cut)
    asked(service)
    with using("auto"):
        assert upload(service, ONE, cut).content == first.content
        assert asked(service) == []
        second = upload(service, OTHER, cut)
    assert service.files == [digest(ONE), digest(OTHER)]
    asked(service)
    with using("replay"):
        assert upload(service, OTHER, cut).content == second.content
        assert upload(service, ONE, cut).content == first.content
    assert asked(service) == []
    assert b"AB-secret" not in store.read_bytes()


def test_a_file_that_differs_late(service: Service, using: Any) -> None:
    """What was replayed before the difference is sent too."""
    late = ONE[:-10] + b"0123456789"
    with using("auto"):
        upload(service, ONE)
    with using("auto"):
        upload(service, late)
    assert service.files == [digest(ONE), digest(late)]


def test_a_refused_start(service: Service, using: Any) -> None:
    """When the provider refuses the start that a recording had answered, the program gets that answer."""
    with using("auto"):
        upload(service, ONE)
    service.refuse_starts = 1
    with using("auto"):
        answer = upload(service, OTHER, len(OTHER))
    assert answer.status_code == 403
    assert answer.content
    assert service.files == [digest(ONE)]
