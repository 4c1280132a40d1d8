"""The page in a real browser: nothing to complain of, and nothing asked of the network."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from clinicadl import PredictConfig, ReportConfig, predict, write_report

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((found for name in NAMES if (found := shutil.which(name))), None)
BY_ITSELF = "not an origin"
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")


def opened(page: Path, folder: Path) -> tuple[str, list[str], str]:
    """Return what the console says, the addresses that were asked for, and the page as it is."""
    log = folder / "net.json"
    said = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--disable-default-apps", "--disable-extensions",
            "--enable-logging=stderr", f"--user-data-dir={folder / 'profile'}",
            f"--log-net-log={log}", "--virtual-time-budget=3000", "--dump-dom", page.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    console = "\n".join(line for line in said.stderr.splitlines() if "CONSOLE" in line)
    events = (event.get("params", {}) for event in json.loads(log.read_text())["events"])
    # What a browser asks for by itself has no page as its origin.
    asked = {event["url"] for event in events if event.get("initiator", BY_ITSELF) != BY_ITSELF}
    return console, sorted(asked), said.stdout


@pytest.fixture(scope="module")
def page(trained_once, prepared_once, tmp_path_factory):
    """The report of a tested MAPS."""
    maps = tmp_path_factory.mktemp("browser") / "maps"
    shutil.copytree(trained_once, maps)
    config = PredictConfig(
        caps_directory=prepared_once, gpu=False, n_proc=0,
        participants_tsv=prepared_once / "split/test_baseline.tsv",
    )  # fmt: skip
    predict(config, maps, "test")
    return write_report(ReportConfig(maps_directory=maps))


def test_a_browser_has_nothing_to_complain_of(page, tmp_path):
    console, elsewhere, shown = opened(page, tmp_path)
    assert console == ""
    assert elsewhere == []
    for name in ("first", "flow", "results", "figures", "brains", "looks", "checklist", "again"):
        assert f'<section id="{name}">' in shown
    assert shown.count("<svg") >= 5


def test_what_would_ask_for_something_is_seen(page, tmp_path):
    """The test above can fail: a picture from elsewhere is refused, and the console says so."""
    spoilt = tmp_path / "spoilt.html"
    picture = '<img src="http://127.0.0.1:9/picture.png">'
    spoilt.write_text(page.read_text().replace("</body>", f"{picture}</body>"))
    assert "Content Security Policy" in opened(spoilt, tmp_path)[0]
    spoilt.write_text(f"<!DOCTYPE html><title>x</title>{picture}")
    (tmp_path / "other").mkdir()
    assert opened(spoilt, tmp_path / "other")[1] == ["http://127.0.0.1:9/picture.png"]
