"""Pages of the site that are made while it is built: explanations of errors, and the API."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from mkdocs.structure.files import File, Files

import clinicadl
from clinicadl.cli.options import default_text
from clinicadl.config.base import Section, places
from clinicadl.explanations.pages import codes_of_exits, pages

_GROUPS = ("Functions", "Settings")


def explanations() -> Iterator[tuple[str, str]]:
    """Yield the path and the text of each page about an error, and of the list of them."""
    known = pages()
    exits = {name: number for number, name in codes_of_exits().items()}
    rows = [
        f"| [{code}]({code}.md) | {exits.get(code, '')} | {page.meaning} |"
        for code, page in sorted(
            known.items(), key=lambda item: (exits.get(item[0], 1000), item[0])
        )
    ]
    yield (
        "explanations/index.md",
        "# Every error, exit code and finding\n\n"
        "These pages are part of the package: [`clinicadl explain CODE`](../commands/explain.md) "
        "prints them, and every\nerror ends with the line that leads to its page.\n\n"
        "| code | exit code | means |\n|---|---|---|\n" + "\n".join(rows) + "\n",
    )
    for code, page in known.items():
        yield f"explanations/{code}.md", page.text


def api() -> Iterator[tuple[str, str]]:
    """Yield the path and the text of each page about a public name, and of the list of them."""
    homes = clinicadl._HOMES
    lists = {group: [name for name in homes if _group(name) == group] for group in _GROUPS}
    lines = [
        "# Python\n",
        "Every command is also a function, with the same settings, defaults and errors. Each name "
        "is imported when it is\nfirst used: `import clinicadl` alone is quick.\n",
    ]
    for group, names in lists.items():
        lines += [f"## {group}\n", "| | |", "|---|---|"]
        lines += [f"| [`clinicadl.{name}`]({name}.md) | {_first_line(name)} |" for name in names]
        lines.append("")
    yield "api/index.md", "\n".join(lines)
    for name, home in homes.items():
        settings = _settings(getattr(clinicadl, name)) if _group(name) == "Settings" else ""
        yield f"api/{name}.md", f"::: {home.replace(':', '.')}\n\n{settings}"


def _settings(model: type[Section]) -> str:
    """Return the settings of a configuration as a table."""
    rows = ["## Settings\n", "| name | default | meaning |", "|---|---|---|"]
    for place in places(model):
        value = place.field.get_default()
        default = str(value) if isinstance(value, bool) else default_text(place)
        if not default and place.field.is_required():
            default = "needed"
        unit = f" [{place.said('unit')}]" if place.said("unit") else ""
        text = f"{place.field.description or ''}{unit}"
        rows.append(f"| `{'.'.join(place.path)}` | {cell(default)} | {cell(text)} |")
    return "\n".join(dict.fromkeys(rows)) + "\n"


def _group(name: str) -> str:
    return "Settings" if name.endswith("Config") else "Functions"


def _first_line(name: str) -> str:
    text = (getattr(clinicadl, name).__doc__ or "").strip()
    return " ".join(text.split("\n\n")[0].split()).replace("|", "\\|")


def cell(text: str) -> str:
    """Return a text as a cell of a table shows it."""
    escaped = re.sub(r"([*|\[\]])", r"\\\1", text).replace("<", "&lt;")
    return " ".join(escaped.split())


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made here to those of ``docs/``."""
    for path, text in (*explanations(), *api()):
        files.append(File.generated(config, path, content=text))
    return files


def on_config(config: Any) -> Any:
    """Put the pages that are made here into the navigation, below their lists."""
    for section in config["nav"]:
        for title, pages_of in section.items():
            if title == "Errors":
                pages_of += [{code: f"explanations/{code}.md"} for code in pages()]
            if title == "Python":
                pages_of += [{name: f"api/{name}.md"} for name in clinicadl.__all__]
    return config
