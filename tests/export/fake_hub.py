"""A hub of one's own: the few requests that publishing makes, over HTTP, and what came by them."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class FakeHub:
    """Small files come within the commit, as the hub has it."""

    def __init__(self) -> None:
        self.url = ""
        self.files: dict[str, bytes] = {}
        self.created: dict[str, Any] | None = None
        self.tokens: set[str] = set()
        self.repository: dict[str, Any] | None = None
        """What it answers for a repository that is there already."""
        self.refuses_commits = False

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        path = path.split("?")[0]
        if path == "/api/whoami-v2":
            return 200, {"name": "me", "type": "user", "orgs": []}
        if path == "/api/repos/create":
            self.created = json.loads(body)
            owner, name = self.created.get("organization", "me"), self.created["name"]
            return 200, {"url": f"{self.url}/{owner}/{name}"}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if "/preupload/" in path:
            asked = [file["path"] for file in json.loads(body)["files"]]
            regular = {"uploadMode": "regular", "shouldIgnore": False}
            return 200, {"files": [{"path": path, **regular} for path in asked]}
        if "/commit/" in path:
            return self._commit(body)
        if method == "GET" and path.startswith("/api/models/") and self.repository is not None:
            return 200, self.repository
        return 404, {"error": "Repository not found"}

    def _commit(self, body: bytes) -> tuple[int, Any]:
        if self.refuses_commits:
            return 403, {"error": "Forbidden: this token may not write"}
        for line in body.splitlines():
            entry = json.loads(line)
            if entry["key"] == "file":
                value = entry["value"]
                self.files[value["path"]] = base64.b64decode(value["content"])
        oid = "a" * 40
        return 200, {"commitUrl": f"{self.url}/me/mine/commit/{oid}", "commitOid": oid}


@contextmanager
def running() -> Iterator[FakeHub]:
    hub = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            else:
                body = self.rfile.read(length)
            hub.tokens.add(self.headers.get("Authorization", ""))
            status, answer = hub.answer(self.command, self.path, body)
            data = json.dumps(answer).encode()
            self.send_response(status)
            if status == 404:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = _do

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
