"""Resumable uploads through requests."""

from __future__ import annotations

import pytest
from uploads.contract import BecomesReal
from uploads.service import Service
from uploads.test_resumable import CUT, pieces, start

requests = pytest.importorskip("requests")


class TestRequests(BecomesReal):
    def upload(self, service: Service, data: bytes, cut: int = CUT) -> tuple[int, bytes]:
        with requests.Session() as session:
            first = start(len(data))
            opened = session.post(service.url + first.pop("url"), **first)
            for request in pieces(opened.headers["x-goog-upload-url"], data, cut):
                answer = session.post(request["url"], data=request["content"], headers=request["headers"])
        return answer.status_code, answer.content
