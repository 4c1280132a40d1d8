"""The page as a file: what is in it, and what it may reach."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from importlib.resources import files

import pytest

from clinicadl.config.base import places
from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.gui import GuiConfig
from clinicadl.config.network import architectures
from clinicadl.config.read import settings
from clinicadl.config.task import TASKS
from clinicadl.errors import OutputError, UsageError
from clinicadl.gui.page import page, write_form
from clinicadl.gui.relevance import MODE, RULES
from clinicadl.gui.server import open_form

VENDOR = files("clinicadl.gui") / "vendor" / "smol-toml"
SHA256 = {
    "index.cjs": "f9029370259e9a43a2f3e64fa1d39e72f3598188380ace83a0abb8261fa33555",
    "LICENSE": "fa5659948374d4f555594f47f6da073b40dc503e921aeeece30df4362b3051a5",
}
"""Of smol-toml 1.9.1 as npm has it."""


def facts(text):
    return json.loads(re.search(r'id="facts">(.*?)</script>', text, re.S)[1])


def test_what_is_vendored_is_what_its_authors_published():
    for name, digest in SHA256.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest
    said = json.loads((VENDOR / "VERSION.json").read_text())
    assert said["files"] == SHA256
    assert said["version"] == "1.9.1"
    assert "BSD" in (VENDOR / "index.cjs").read_text()[:200]
    assert said["license"] == "BSD-3-Clause"


@pytest.mark.parametrize("token", [None, "secret"])
def test_the_policy_allows_what_is_in_the_page_and_nothing_else(token):
    text = page(token=token)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    said = dict(one.split(" ", 1) for one in html.unescape(policy).split("; "))
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.S)
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.S)
    for kind, content in (("script-src", script), ("style-src", style)):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert said[kind] == f"'sha256-{digest}'"
    assert said["default-src"] == "'none'"
    assert said["connect-src"] == ("'none'" if token is None else "'self'")
    assert "style=" not in text
    assert not re.findall(r"(?:src|href)=\"(?:https?:)?//", text)


def test_what_a_file_is_called_cannot_end_the_script():
    name = '</script><script>alert("x")</script>.toml'
    text = page(token="x", file=name, values={"task": {"label": name}})
    assert text.count("<script>") == 1
    assert "<script>alert" not in text
    assert facts(text)["values"]["task"]["label"] == name


def test_the_page_is_made_from_the_schema():
    found = facts(page())
    assert found["schema"] == ExperimentConfig.model_json_schema()
    assert found["token"] is None
    assert found["networks"].keys() == architectures().keys()
    for name, row in architectures().items():
        assert found["networks"][name]["tasks"] == list(row.tasks if row.n_domains == 1 else ())
    for name, row in TASKS.items():
        assert found["tasks"][name]["network"] == row.default_network


def test_each_rule_is_about_settings_that_there_are():
    known = {".".join(place.path): place for place in places(ExperimentConfig)}
    known |= {name.removesuffix(".name"): place for name, place in known.items()}
    for path, rule in RULES.items():
        assert path in known
        assert rule.on == MODE or rule.on in known
        assert rule.values


def test_the_page_is_written_and_not_overwritten(tmp_path):
    file = tmp_path / "form.html"
    config = GuiConfig(export=file)
    assert write_form(config) == file
    first = file.read_bytes()
    with pytest.raises(OutputError, match=r"form\.html"):
        write_form(config)
    assert write_form(GuiConfig(export=file, overwrite=True)) == file
    # Nothing in it depends on when or where it was written.
    assert file.read_bytes() == first


def test_no_request_is_written_into_the_file():
    assert "X-ClinicaDL-Token" in page()
    with pytest.raises(UsageError, match="write_form"):
        open_form(GuiConfig(export="a.html")).__enter__()
    with pytest.raises(UsageError, match="--export"):
        write_form(GuiConfig())


@pytest.mark.parametrize(
    "given",
    [
        {"overwrite": True},
        {"export": "a.html", "experiment_toml": "a.toml"},
        {"export": "a.html", "port": 8000},
        {"export": "a.html", "browser": False},
        {"port": 70000},
    ],
)
def test_what_would_have_no_effect_is_refused(given):
    with pytest.raises(UsageError):
        settings(GuiConfig, given)


def test_the_command_writes_the_page(invoke, tmp_path):
    file = tmp_path / "form.html"
    code, out, _ = invoke("gui", "--export", file)
    assert (code, out.strip()) == (0, f"form: {file}")
    assert file.read_text() == page()
    code, _, err = invoke("gui", "--export", file)
    assert code == 73
    assert str(file) in err
    code, _, err = invoke("gui", "x.toml", "--export", file)
    assert code == 2
    assert "by itself" in err
