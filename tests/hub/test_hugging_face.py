"""Repositories of the Hugging Face hub, on a server of our own that speaks as it does."""

from __future__ import annotations

import base64
import json
import re
import sys
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from clinicadl import PushConfig, pull_models, push_models, show_models
from clinicadl.errors import MissingExtraError, MissingInputError, OutputError, UsageError
from clinicadl.hub.hugging_face import repository_of

pytest.importorskip("huggingface_hub")
TOKEN = "hf_" + "x" * 34
COMMIT = "a" * 40


class Hub(ThreadingHTTPServer):
    """Repositories in memory, and what was asked."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories, self.asked, self.is_full = {}, [], False


class Handler(BaseHTTPRequestHandler):
    """The few answers that are needed."""

    def log_message(self, *_):
        pass

    def answer(self, content, status=200, **headers):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def is_allowed(self):
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.partition("?")[0]
        self.server.asked.append((self.command, path))
        if path == "/api/whoami-v2":
            mine = {"type": "user", "name": "me", "orgs": [{"name": "ClinicaDL"}]}
            self.answer(mine) if self.is_allowed() else self.answer({}, 401)
            return
        found = re.fullmatch(r"/api/models/([^/]+/[^/]+)(/revision/[^/]+)?", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path)
        name = (found or file)[1] if found or file else None
        repository = self.server.repositories.get(name)
        is_seen = repository is not None and (not repository["private"] or self.is_allowed())
        if not is_seen:
            self.answer({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")
        elif found:
            siblings = [
                {"rfilename": name, "size": len(content), "blobId": sha1(content).hexdigest()}
                for name, content in repository["files"].items()
            ]
            self.answer({"id": name, "modelId": name, "sha": COMMIT, "siblings": siblings,
                         "private": repository["private"], "tags": [], "downloads": 0})  # fmt: skip
        else:
            content = repository["files"][file[2]]
            tag = f'"{sha256(content).hexdigest()}"'
            self.answer(content, ETag=tag, X_Repo_Commit=COMMIT)

    def do_POST(self):
        path, body = self.path.partition("?")[0], self.body()
        self.server.asked.append((self.command, path))
        if not self.is_allowed():
            self.answer({}, 401)
        elif path == "/api/validate-yaml":
            self.answer({"errors": [], "warnings": []})
        elif path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization') or 'me'}/{asked['name']}"
            private = asked.get("private", asked.get("visibility") == "private")
            self.server.repositories[name] = {"private": private, "files": {".gitattributes": b"x"}}
            self.answer({"url": f"http://{self.headers['Host']}/{name}"})
        elif "/preupload/" in path:
            files = json.loads(body)["files"]
            self.answer({"files": [{"path": one["path"], "uploadMode": "regular",
                                    "shouldIgnore": False} for one in files]})  # fmt: skip
        elif self.server.is_full or "/commit/" not in path:
            self.answer({"error": "no space"}, 403)
        else:
            name = re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/[^/]+", path)[1]
            for line in body.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    content = base64.b64decode(entry["value"]["content"])
                    self.server.repositories[name]["files"][entry["value"]["path"]] = content
            url = f"http://{self.headers['Host']}/{name}/commit/{COMMIT}"
            self.answer({"commitUrl": url, "commitOid": COMMIT, "success": True})

    def do_DELETE(self):
        asked = json.loads(self.body())
        self.server.asked.append((self.command, self.path))
        del self.server.repositories[f"{asked.get('organization') or 'me'}/{asked['name']}"]
        self.answer({})


@pytest.fixture
def hub(monkeypatch):
    server = Hub()
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("public", [False, True])
def test_models_go_to_a_repository_and_come_back(hub, trained_once, tmp_path, public, monkeypatch):
    place = "hf:clinicadl/tiny"
    config = PushConfig(domain=False, public=public)
    shared = push_models(config, trained_once, place)
    repository = hub.repositories["ClinicaDL/tiny"]
    assert repository["private"] is not public
    assert {*repository["files"]} == {*shared.files, "hub.json", "README.md", ".gitattributes"}
    if public:
        # A public one needs no account.
        monkeypatch.delenv("HF_TOKEN")
        monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
    hub.asked.clear()
    assert "best by loss" in show_models(place)
    assert not [path for _, path in hub.asked if "safetensors" in path]
    maps = pull_models(place, tmp_path / "pulled")
    assert maps.record.pulled.origin == place
    for name in shared.files:
        assert (tmp_path / "pulled" / name).read_bytes() == repository["files"][name]


def test_the_commands_of_releases_1_x_do_the_same(hub, trained_once, tmp_path, invoke):
    code, out, _ = invoke("hugging-face", "push", "clinicadl", trained_once, "maps", "--no-domain")
    assert (code, out.split(",")[0]) == (0, "shared: hf:clinicadl/maps")
    assert hub.repositories["ClinicaDL/maps"]["private"]
    for number, names in enumerate([("maps",), ()]):
        code, _, _ = invoke("hugging-face", "pull", "clinicadl", *names, tmp_path / str(number))
        assert code == 0
    one, other = (pull_models("hf:clinicadl/maps", tmp_path / name) for name in ("2", "3"))
    assert one.record.pulled.origin == other.record.pulled.origin
    for number in range(2):
        ours = tmp_path / str(number) / "hub.json"
        assert ours.read_bytes() == (tmp_path / "2" / "hub.json").read_bytes()
    assert invoke("hugging-face", "pull", "clinicadl", "a", "b", "c")[0] == 2


def test_a_private_repository_is_hidden_from_others(hub, trained_once, tmp_path, monkeypatch):
    push_models(PushConfig(domain=False), trained_once, "hf:me/tiny")
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(MissingInputError, match="no such repository or file, or it is private"):
        pull_models("hf:me/tiny", tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists()


def test_a_repository_that_is_there_or_another_s_is_refused_first(hub, trained_once):
    push_models(PushConfig(domain=False), trained_once, "hf:me/tiny")
    for place, kind, match in (
        ("hf:me/tiny", OutputError, "exists already"),
        ("hf:you/tiny", UsageError, "not a member.*me, ClinicaDL"),
        ("hf:tiny", UsageError, "names no repository"),
        ("hf:me/../tiny", UsageError, "names no repository"),
    ):
        with pytest.raises(kind, match=match):
            push_models(PushConfig(domain=False), trained_once, place)
    assert [*hub.repositories] == ["me/tiny"]


def test_a_push_that_fails_leaves_no_repository(hub, trained_once):
    hub.is_full = True
    with pytest.raises(OutputError, match="refuses.*status 403") as refused:
        push_models(PushConfig(domain=False), trained_once, "hf:me/tiny")
    assert hub.repositories == {}
    assert TOKEN not in str(refused.value)


def test_a_hub_out_of_reach_is_said(trained_once, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(MissingInputError, match="cannot be reached"):
        pull_models("hf:me/tiny", tmp_path / "pulled")


def test_a_missing_extra_is_named(trained_once, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"clinicadl\[hub\]"):
        push_models(PushConfig(), trained_once, "hf:me/tiny")


def test_the_name_of_our_organisation_is_written_in_one_way():
    assert repository_of("hf:CLINICADL/x") == "ClinicaDL/x"
    assert repository_of("hf:Other/x") == "Other/x"
