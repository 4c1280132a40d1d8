"""Write the tables of the documentation that follow from the code; ``--check`` only compares."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic_core import PydanticUndefined

from clinicadl.cli.options import default_text
from clinicadl.config.base import Place, places
from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.task import TASKS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "concepts" / "configuration.md"
MARK = "<!-- settings -->"


WITHOUT_FLAG = {
    "caps_directory": "first argument",
    "preprocessing_json": "second argument",
    "tsv_directory": "third argument",
    "label_code": "in a file only",
}


def settings() -> str:
    """Return every setting of an experiment as a Markdown table."""
    rows = ["| section | key | flag | default | meaning |", "|---|---|---|---|---|"]
    rows += _rows()
    return "\n".join(dict.fromkeys(rows)) + "\n"


def _rows() -> Iterator[str]:
    """Yield the rows; a setting that not all tasks have in the same form says whose it is."""
    of_task = {task: [*places(ExperimentConfig, rows={"task": task})] for task in TASKS}
    for place in places(ExperimentConfig):
        owners = [task for task, own in of_task.items() if _row(place) in map(_row, own)]
        whose = "" if len(owners) == len(TASKS) else f" of {', '.join(owners)}"
        yield _row(place, whose)


def _row(place: Place, whose: str = "") -> str:
    section, key = ".".join(place.path[:-1]), place.path[-1]
    default = place.field.get_default()
    shown = "needed" if default is PydanticUndefined else default_text(place) or "none"
    unit = f" [{place.said('unit')}]" if place.said("unit") else ""
    meaning = (place.field.description or "What is learnt").replace("|", "\\|")
    flag = WITHOUT_FLAG.get(key, f"`--{place.flag}`")
    if place.path == ("task", "name"):
        flag = "the sub-command"
    if place.path == ("network", "name"):
        shown += "".join(
            f"; of {task} {row.default_network}"
            for task, row in TASKS.items()
            if row.default_network != place.field.get_default().name
        )
    return f"| `{section}`{whose} | `{key}` | {flag} | {shown} | {meaning}{unit} |"


def main() -> int:
    """Rewrite the page, or say with exit code 1 that it is out of date."""
    text = PAGE.read_text(encoding="utf-8")
    head, _, _ = text.partition(MARK)
    fresh = f"{head}{MARK}\n\n{settings()}"
    if "--check" in sys.argv:
        return int(fresh != text)
    PAGE.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
