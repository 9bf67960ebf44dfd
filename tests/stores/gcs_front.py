"""The part of Google Cloud Storage's XML API that fake-gcs-server lacks, in front of it.

obstore speaks the XML API (https://docs.cloud.google.com/storage/docs/xml-api/reference-methods). fake-gcs-server reads
and lists in that way too, but writes and deletes in the JSON API alone: `PUT` and `DELETE` are put into its words here,
conditions included. What is stored, and which condition holds, is the server's own decision.
"""

from __future__ import annotations

import json
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlencode

_BOUNDARY = "a-line-that-no-test-writes"


def front(upstream: int) -> ThreadingHTTPServer:
    """A server on a port of its own, for the one on the port `upstream`; not yet serving."""

    class Front(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._pass(self.command, self.path)

        do_HEAD = do_GET

        def do_DELETE(self) -> None:
            _, bucket, name = self.path.split("/", 2)
            self._pass("DELETE", f"/storage/v1/b/{bucket}/o/{name.replace('/', '%2F')}")

        def do_PUT(self) -> None:
            data = self.rfile.read(int(self.headers["content-length"]))
            _, bucket, name = self.path.split("/", 2)
            asked = {"uploadType": "multipart"}
            if condition := self.headers["x-goog-if-generation-match"]:
                asked["ifGenerationMatch"] = condition
            head = f"--{_BOUNDARY}\r\ncontent-type: application/json\r\n\r\n{json.dumps({'name': unquote(name)})}\r\n"
            head += f"--{_BOUNDARY}\r\ncontent-type: application/octet-stream\r\n\r\n"
            self._pass(
                "POST",
                f"/upload/storage/v1/b/{bucket}/o?{urlencode(asked)}",
                head.encode() + data + f"\r\n--{_BOUNDARY}--\r\n".encode(),
            )

        def _pass(self, method: str, path: str, body: bytes | None = None) -> None:
            connection = HTTPConnection("127.0.0.1", upstream, timeout=60)
            connection.request(
                method,
                path,
                body,
                {"content-type": f"multipart/related; boundary={_BOUNDARY}"} if body else {},
            )
            answer = connection.getresponse()
            data = answer.read()
            connection.close()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() in ("etag", "last-modified", "content-type", "x-goog-generation"):
                    self.send_header(name, value)
            if method == "POST" and answer.status == 200:
                written = json.loads(data)
                data = b""
                self.send_header("etag", f'"{written["etag"]}"')
                self.send_header("x-goog-generation", written["generation"])
            length = answer.getheader("content-length") if method == "HEAD" else None
            self.send_header("content-length", length or str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", 0), Front)
