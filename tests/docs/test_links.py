"""Every link leads somewhere: files, anchors, and only hosts that we mean."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from runpy import run_path

import pytest
from markdown.extensions.toc import slugify

ROOT = Path(__file__).resolve().parents[2]
HOSTS = {
    "aramislab.paris.inria.fr",
    "bids-apps.neuroimaging.io",
    "brain-development.org",
    "github.com",
    "nifti.nimh.nih.gov",
    "optuna.org",
}
"""Where a page may send its readers."""

_CODE = re.compile(r"^```.*?^```|`[^`\n]*`|<!--.*?-->", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)


def generated() -> dict[str, str]:
    hooks = run_path(str(ROOT / "scripts" / "docs_hooks.py"))
    return {f"docs/{path}": text for path, text in (*hooks["explanations"](), *hooks["api"]())}


GENERATED = generated()
WRITTEN = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
}
PAGES = {**WRITTEN, **GENERATED}


def links(text: str) -> list[str]:
    return _LINK.findall(_CODE.sub(lambda found: " " * len(found[0]), text))


def anchors(text: str) -> set[str]:
    """Return the anchors that the site gives to the headings of a page."""
    plain = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    found: set[str] = set()
    for title in _HEADING.findall(plain):
        words = re.sub(r"`|\*", "", re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", title))
        base = name = slugify(words.strip(), "-")
        number = 0
        while name in found:
            number += 1
            name = f"{base}_{number}"
        found.add(name)
    return found


def target(page: str, link: str) -> str:
    parts: list[str] = []
    for part in (PurePosixPath(page).parent / link).parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


def wrong(page: str, text: str) -> list[str]:
    """Return the links of a page that lead nowhere, or where they must not."""
    found = []
    for link in links(text):
        if re.match(r"[a-z]+:", link):
            host = re.match(r"https://([^/]+)", link)
            if host is None or host[1] not in HOSTS:
                found.append(link)
            continue
        path, _, anchor = link.partition("#")
        home = target(page, path) if path else page
        exists = home in PAGES or (ROOT / home).exists()
        if not exists or (anchor and anchor not in anchors(PAGES.get(home, ""))):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    assert wrong(page, PAGES[page]) == []


def test_a_link_that_leads_nowhere_is_found():
    home = "docs/commands/train.md"
    for link in ("nowhere.md", "predict.md#no-such", "#no-such", "https://example.org/", "ftp:x"):
        assert wrong(home, f"[x]({link})") == [link]
    for link in ("predict.md#options", "../index.md", "#options", "https://github.com/x"):
        assert wrong(home, f"`[x](none.md)` [x]({link})") == []


def test_every_page_about_an_error_is_linked_from_the_list_of_them():
    listed = links(GENERATED["docs/explanations/index.md"])
    ours = {path.rpartition("/")[2] for path in GENERATED if "/explanations/" in path}
    assert ours - {"index.md"} <= {*listed}


def test_every_public_name_has_a_page_of_the_api():
    import clinicadl

    pages = {path.rpartition("/")[2] for path in GENERATED if "/api/" in path}
    assert pages == {f"{name}.md" for name in clinicadl.__all__} | {"index.md"}
    for name in clinicadl.__all__:
        assert f"({name}.md)" in GENERATED["docs/api/index.md"]
        own = GENERATED[f"docs/api/{name}.md"]
        assert own.startswith(f"::: {clinicadl._HOMES[name].replace(':', '.')}\n")
        if name.endswith("Config"):
            for field in getattr(clinicadl, name).model_fields:
                assert re.search(rf"^\| `{field}[.`]", own, re.MULTILINE), (name, field)
