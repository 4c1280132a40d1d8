"""The site is built without a warning, asks for nothing, and is searched from the disk."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((found for name in NAMES if (found := shutil.which(name))), None)
BY_ITSELF = "not an origin"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; a warning is an error."""
    folder = tmp_path_factory.mktemp("site") / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def test_no_page_loads_anything_from_elsewhere(site):
    loads = re.compile(
        r'<(?:script|img|iframe|source|video)[^>]+src="(?:https?:)?//|'
        r'<link[^>]+href="(?:https?:)?//|url\((?:https?:)?//|@import'
    )
    pages = [*site.rglob("*.html"), *site.rglob("*.css")]
    assert len(pages) > 100
    assert [str(page) for page in pages if loads.search(page.read_text())] == []


def test_explanations_and_the_api_are_part_of_it(site):
    assert "Somebody stands on both sides" in (site / "explanations/leakage.html").read_text()
    page = (site / "api/split.html").read_text()
    for words in ("The folder, beside the table.", "LeakageError", "SplitConfig"):
        assert words in page
    assert "Participants set apart" in (site / "api/SplitConfig.html").read_text()


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
def test_the_search_works_from_the_disk_and_asks_nobody(site, tmp_path):
    log = tmp_path / "net.json"
    said = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--disable-default-apps", "--disable-extensions",
            "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}",
            f"--log-net-log={log}", "--virtual-time-budget=30000", "--dump-dom",
            f"{(site / 'index.html').as_uri()}?q=late-split",
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert [line for line in said.stderr.splitlines() if "CONSOLE" in line] == []
    assert re.search(r"[1-9]\d* matching documents", said.stdout)
    assert re.search(r'href="[^"]*explanations/late-split\.html', said.stdout)
    events = (event.get("params", {}) for event in json.loads(log.read_text())["events"])
    # What a browser asks for by itself has no page as its origin.
    asked = {event["url"] for event in events if event.get("initiator", BY_ITSELF) != BY_ITSELF}
    assert [url for url in asked if not url.startswith("file:")] == []
