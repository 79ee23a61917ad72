"""Servers that imitate real ones which the tests cannot make fail, or cannot have."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socketserver
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

IMAGE = {"Id": "sha256:" + "1" * 64, "RepoTags": ["r.example.org/a:1"]}


@contextlib.contextmanager
def fake_engine(messages: list[dict[str, object]], *, dies: bool, hangs_at: str = "") -> Iterator[str]:
    """Run an engine with one image, and yield its DOCKER_HOST.

    A push reports ``messages``. Then it finishes, or the engine exits if it ``dies``. A request whose path contains
    ``hangs_at`` reports the messages, and never finishes. The engine has no image whose name contains ``absent``.
    """
    stopped = threading.Event()

    class EngineHandler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while line := self.rfile.readline():
                length = 0
                while (header := self.rfile.readline().strip()) != b"":
                    key, _, value = header.partition(b":")
                    length = int(value) if key.lower() == b"content-length" else length
                self.rfile.read(length)
                if hangs_at and hangs_at.encode() in line:
                    if messages:
                        self._report_messages(is_complete=False)
                    stopped.wait()
                    return
                if b"/push" in line:
                    self._report_messages(is_complete=not dies)
                    return
                if b"absent" in line:
                    status, answer = "404 Not Found", {"message": "no such image: absent"}
                else:
                    status, answer = "200 OK", {"ApiVersion": "1.41"} if b"/version" in line else IMAGE
                body = json.dumps(answer).encode()
                head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                self.wfile.write(head.encode() + body)

        def _report_messages(self, *, is_complete: bool) -> None:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
            for message in messages:
                body = json.dumps(message).encode() + b"\r\n"
                self.wfile.write(f"{len(body):x}\r\n".encode() + body + b"\r\n")
            if is_complete:
                self.wfile.write(b"0\r\n\r\n")

    with tempfile.TemporaryDirectory() as folder:  # a socket's path must be short
        path = Path(folder, "docker.sock")
        with socketserver.ThreadingUnixStreamServer(str(path), EngineHandler) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            try:
                yield f"unix://{path}"
            finally:
                stopped.set()
                server.shutdown()
                thread.join()


@contextlib.contextmanager
def closed_socket() -> Iterator[str]:
    """Make an engine's socket that this user may not use, and yield its DOCKER_HOST."""
    with fake_engine([], dies=False) as host:
        path = host.removeprefix("unix://")
        os.chmod(Path(path).parent, 0o755)
        os.chmod(path, 0o000)
        yield host


@contextlib.contextmanager
def run_server(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Run an HTTP server on this machine, and yield its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def page_server() -> Iterator[str]:
    """Run a server that returns a web page for every request, and yield its address."""

    class PageHandler(_QuietHandler):
        def do_GET(self) -> None:
            self.respond(200, b"<html>Welcome</html>", "text/html")

    with run_server(PageHandler) as address:
        yield address


@contextlib.contextmanager
def token_server(files: Mapping[str, str], user: str, password: str, identity: str) -> Iterator[str]:
    """Run a server for a registry's tokens, signed with the key in ``files``, and yield its address as a realm."""
    basic = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    class TokenHandler(_QuietHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            login = self.headers.get("Authorization")
            self._send_token(query, is_user=login == basic, is_anonymous=login is None)

        def do_POST(self) -> None:
            query = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self._send_token(query, is_user=query.get("refresh_token") == [identity], is_anonymous=False)

        def _send_token(self, query: dict[str, list[str]], *, is_user: bool, is_anonymous: bool) -> None:
            if not is_user and not is_anonymous:
                self.respond(401, b"{}", "application/json")
                return
            scopes = (scope.split(":") for text in query.get("scope", []) for scope in text.split() if is_user)
            access = [{"type": kind, "name": name, "actions": acts.split(",")} for kind, name, acts in scopes]
            self.respond(200, json.dumps({"token": sign_token(files, access)}).encode(), "application/json")

    with run_server(TokenHandler) as address:
        yield f"http://{address}/token"


class _QuietHandler(BaseHTTPRequestHandler):
    def respond(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def sign_token(files: Mapping[str, str], access: list[dict[str, object]]) -> str:
    """Return a token that grants access to a registry (JWT, RS256)."""
    certificate = "".join(Path(files["certificate"]).read_text().strip().splitlines()[1:-1])
    now = int(time.time())
    claims = {"iss": "test", "sub": "somebody", "aud": "test", "nbf": now - 60, "exp": now + 600, "iat": now}
    parts = ({"typ": "JWT", "alg": "RS256", "x5c": [certificate]}, {**claims, "jti": "1", "access": access})
    text = ".".join(_url64(json.dumps(part).encode()) for part in parts)
    signature = subprocess.run(
        ["openssl", "dgst", "-sha256", "-sign", files["key"]], input=text.encode(), capture_output=True, check=True
    ).stdout
    return f"{text}.{_url64(signature)}"


def _url64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
