"""Who may ask the form, and how much: each refusal by a request of its own."""

from __future__ import annotations

import html
import http.client
import json
import re
import socket
from urllib.parse import urlsplit

import pytest

from clinicadl.config.gui import GuiConfig
from clinicadl.errors import InvalidDataError, MissingInputError, OutputError, UsageError
from clinicadl.gui.answers import ANSWERS
from clinicadl.gui.server import LARGEST, TOKEN, open_form

DATA = {"caps_directory": "caps", "preprocessing_json": "t1", "tsv_directory": "split"}


@pytest.fixture
def form():
    """The address of a form."""
    with open_form(GuiConfig(browser=False)) as address:
        yield address


def asked(address, method, path, *, headers=None, body=None):
    """Return the status, the headers and the text of an answer, to exactly these headers."""
    place = urlsplit(address)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=20)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in (headers or {}).items():
        if value is not None:
            connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read().decode()
    connection.close()
    return found


def ask(address, path="/check", *, body=None, **headers):
    """Ask as the page does, but for some headers."""
    place = urlsplit(address)
    text = json.dumps({"settings": {"data": DATA}}).encode() if body is None else body
    token = place.query.removeprefix("token=")
    own = {"Host": place.netloc, "Origin": f"http://{place.netloc}", TOKEN: token,
           "Content-Type": "application/json", "Content-Length": str(len(text))}  # fmt: skip
    changed = {name.replace("_", "-"): value for name, value in headers.items()}
    return asked(address, "POST", path, headers={**own, **changed}, body=text)


def test_it_listens_on_this_machine_alone(form):
    place = urlsplit(form)
    assert place.hostname == "127.0.0.1"
    others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for other in others - {"127.0.0.1"} | {"127.0.0.2"}:
        with pytest.raises(OSError):
            socket.create_connection((other, place.port), timeout=2).close()


def test_the_page_is_given_to_who_knows_the_whole_address(form):
    place = urlsplit(form)
    status, headers, text = asked(
        form, "GET", f"{place.path}?{place.query}", headers={"Host": place.netloc}
    )
    assert status == 200
    assert "ClinicaDL experiment" in text
    assert headers["Content-Security-Policy"] == "frame-ancestors 'none'"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "Access-Control-Allow-Origin" not in headers
    assert "default-src 'none'" in html.unescape(text)
    assert "Python" not in headers["Server"]


@pytest.mark.parametrize("path", ["/", "/?token=", "/?token=wrong", "/?token=x&token=y"])
def test_the_page_is_refused_to_others(form, path):
    status, _, text = asked(form, "GET", path, headers={"Host": urlsplit(form).netloc})
    assert status == 403
    assert "whole address" in text


@pytest.mark.parametrize("path", ["/etc/passwd", "/../form.js", "/check", "/favicon.ico"])
def test_there_is_no_other_page(form, path):
    place = urlsplit(form)
    assert asked(form, "GET", f"{path}?{place.query}", headers={"Host": place.netloc})[0] == 404


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1", None]
)
def test_another_name_for_this_machine_is_refused(form, host):
    """A site whose name is made to lead here (DNS rebinding) gets neither page nor answer."""
    query = urlsplit(form).query
    assert asked(form, "GET", f"/?{query}", headers={"Host": host})[0] == 403
    assert ask(form, Host=host)[0] == 403


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1"]
)
def test_another_site_is_refused(form, origin):
    assert ask(form, Origin=origin)[0] == 403


@pytest.mark.parametrize("token", ["", "wrong", None, "é"])
def test_a_question_without_the_token_is_refused(form, token):
    assert ask(form, **{TOKEN: token and token.encode("latin-1")})[0] == 403


@pytest.mark.parametrize("address", ANSWERS)
def test_every_question_wants_the_token(form, address):
    assert ask(form, address, **{TOKEN: "wrong"})[0] == 403


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content_Type": "text/plain"}, None, 415),
        ({"Content_Type": None}, None, 415),
        ({"Content_Length": None}, b"", 411),
        ({"Content_Length": "-1"}, b"", 411),
        ({"Content_Length": "many"}, b"", 411),
        ({"Content_Length": str(LARGEST + 1)}, b"", 413),
        ({}, b"{", 400),
        ({}, b"[]", 400),
        ({}, b"\xff", 400),
        ({}, b'{"settings": []}', 200),
    ],
)
def test_what_is_no_question_is_refused(form, headers, body, status):
    assert ask(form, body=body, **headers)[0] == status


def test_deep_nonsense_is_refused_and_the_form_goes_on(form):
    assert ask(form, body=b"[" * 100_000)[0] == 400
    assert ask(form)[0] == 200


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "DELETE", "HEAD"])
def test_there_is_no_other_method(form, method):
    """A browser that asks whether another site may ask (CORS) hears no."""
    status, headers, _ = asked(form, method, "/check", headers={"Host": urlsplit(form).netloc})
    assert status == 501
    assert "Access-Control-Allow-Origin" not in headers


def test_an_unknown_question_is_refused(form):
    assert ask(form, "/shell")[0] == 404


def test_the_page_asks_as_it_must(form):
    place = urlsplit(form)
    status, _, text = ask(form)
    assert (status, json.loads(text)) == (200, {"ok": True, "problems": []})
    # localhost is this machine too.
    near = f"localhost:{place.port}"
    assert ask(form, Host=near, Origin=f"http://{near}")[0] == 200
    assert ask(form, Origin=None)[0] == 200


def test_each_form_has_a_token_of_its_own():
    tokens = set()
    for _ in range(3):
        with open_form(GuiConfig(browser=False)) as address:
            tokens.add(urlsplit(address).query)
    assert len(tokens) == 3
    assert all(re.fullmatch(r"token=[\w-]{43}", token) for token in tokens)


def test_a_port_may_be_chosen_and_must_be_free():
    with open_form(GuiConfig(browser=False)) as address:
        port = urlsplit(address).port
        with pytest.raises(UsageError, match=f"--port .found: {port}"):
            open_form(GuiConfig(browser=False, port=port)).__enter__()
    with open_form(GuiConfig(browser=False, port=port)) as again:
        assert urlsplit(again).port == port


def test_a_file_that_cannot_be_the_form_is_refused(tmp_path):
    def opened(name):
        return open_form(GuiConfig(browser=False, experiment_toml=tmp_path / name)).__enter__()

    (tmp_path / "wrong.toml").write_text("[optimization]\nepochs = 0\n")
    with pytest.raises(InvalidDataError, match=r"wrong.toml, optimization.epochs"):
        opened("wrong.toml")
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(UsageError, match=r"a\.json"):
        opened("a.json")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises((OutputError, MissingInputError), match=r"folder\.toml"):
        opened("folder.toml")
    (tmp_path / "latin.toml").write_bytes("label = 'é'".encode("latin-1"))
    with pytest.raises(InvalidDataError, match=r"latin\.toml"):
        opened("latin.toml")
