"""The form on this machine alone: who may ask, and how much."""

from __future__ import annotations

import hmac
import json
import secrets
import sys
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from clinicadl.config.gui import GuiConfig
from clinicadl.errors import UsageError
from clinicadl.gui.answers import ANSWERS, Desk, answer, opened
from clinicadl.gui.page import page

LOOPBACK = "127.0.0.1"
TOKEN = "X-ClinicaDL-Token"  # noqa: S105  # the name of a header
LARGEST = 2**20
"""Bytes of a question."""
_PATIENCE = 30
"""Seconds that a question may take to arrive."""


@contextmanager
def open_form(config: GuiConfig) -> Iterator[str]:
    """Serve the form on 127.0.0.1 while a block runs, which gets its address.

    Nothing is written but the file that the configuration names, when Save is pressed.

    Parameters
    ----------
    config
        The file, the port, and whether a browser is opened.

    Raises
    ------
    UsageError
        The port is taken, or a page in a file was asked for.
    MissingInputError
        The file cannot be read.
    InvalidDataError
        The file is no configuration, or one of its settings is wrong.
    OutputError
        The file could not be written.
    """
    if config.export is not None:
        raise UsageError("A page in a file needs no server", where="--export", fix="Use write_form")
    desk = opened(config.experiment_toml)
    try:
        server = _Server(desk, config.port)
    except OSError as error:
        raise UsageError(
            "The port cannot be used", where="--port", found=f"{config.port}, {error.strerror}",
            fix="Give another one, or none: a free one is found",
        ) from error  # fmt: skip
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        if config.browser:
            webbrowser.open(server.address)
        yield server.address
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    """What all requests share."""

    daemon_threads = True

    def __init__(self, desk: Desk, port: int) -> None:
        super().__init__((LOOPBACK, port), _Request)
        self.desk = desk
        self.token = secrets.token_urlsafe(32)
        self.hosts = [f"{name}:{self.server_port}" for name in (LOOPBACK, "localhost")]
        self.turn = threading.Lock()
        """One answer at a time: they share the file, and none takes long."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that did not wait for the answer; of all else what is usual."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def address(self) -> str:
        """Of the page."""
        return f"http://{self.hosts[0]}/?token={self.token}"

    def page(self) -> str:
        """Return the page, with the settings of the file as it was last read or written."""
        file = None if self.desk.file is None else str(self.desk.file)
        return page(token=self.token, file=file, values=self.desk.values)


class _Request(BaseHTTPRequestHandler):
    """One question, and whether it is answered."""

    server: _Server
    server_version = "clinicadl"
    sys_version = ""
    timeout = _PATIENCE

    def do_GET(self) -> None:  # the name that http.server looks for
        """Give the page to who knows the token."""
        asked = urlsplit(self.path)
        if not self._is_from_here():
            return self._refuse(HTTPStatus.FORBIDDEN, "Open the form at its own address.")
        if asked.path != "/":
            return self._refuse(HTTPStatus.NOT_FOUND, "There is no such page.")
        if not self._is_token("".join(parse_qs(asked.query).get("token", []))):
            return self._refuse(
                HTTPStatus.FORBIDDEN, "Open the whole address that clinicadl gui prints."
            )
        return self._send(HTTPStatus.OK, self.server.page(), "text/html")

    def do_POST(self) -> None:  # the name that http.server looks for
        """Answer a question of the page."""
        # What is not read would be taken for the next request.
        self.close_connection = True
        if not self._is_from_here() or not self._is_token(self.headers.get(TOKEN, "")):
            return self._refuse(HTTPStatus.FORBIDDEN, "Only the page of the form may ask.")
        if self.path not in ANSWERS:
            return self._refuse(HTTPStatus.NOT_FOUND, "There is no such question.")
        if self.headers.get_content_type() != "application/json":
            return self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "A question is JSON.")
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            return self._refuse(HTTPStatus.LENGTH_REQUIRED, "A question has a length.")
        if int(length) > LARGEST:
            return self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The question is too long.")
        try:
            body = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            return self._refuse(HTTPStatus.BAD_REQUEST, "A question is a JSON object.")
        with self.server.turn:
            text = answer(self.path, body, self.server.desk)
        return self._send(HTTPStatus.OK, text, "application/json")

    def _is_from_here(self) -> bool:
        """Return whether the browser was sent here by our own page, under our own name.

        Another name that leads to 127.0.0.1 would be another site's (DNS rebinding).
        """
        origin, site = self.headers.get("Origin"), self.headers.get("Host", "")
        return site in self.server.hosts and origin in (None, f"http://{site}")

    def _is_token(self, said: str) -> bool:
        return hmac.compare_digest(said.encode(), self.server.token.encode())

    def _refuse(self, status: HTTPStatus, sentence: str) -> None:
        self._send(status, sentence + "\n", "text/plain")

    def _send(self, status: HTTPStatus, text: str, kind: str) -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", "frame-ancestors 'none'")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # the name of http.server
        """Say nothing: the address holds the token."""
