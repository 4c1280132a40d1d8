"""The page that shows every image of a pipeline at a glance."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from clinicadl.config.preprocessing import Linear
from clinicadl.layouts import preprocessed, tsv
from clinicadl.layouts.files import turn, write_text
from clinicadl.layouts.ids import PARTICIPANT, SESSION
from clinicadl.layouts.images import stem


class _Row(NamedTuple):
    who: str
    picture: str
    explained: float
    dice: float | None


class _Failed(NamedTuple):
    who: str
    reason: str


def write(directory: Path, pipeline: str, preprocessing: Linear) -> Path:
    """Write the page of all images of a CAPS that a pipeline made, by whatever run; return it.

    Raises
    ------
    OutputError
        The place cannot be written.
    MissingInputError
        A folder of the CAPS cannot be read.
    InvalidDataError
        A sidecar is no JSON object.
    """
    path = preprocessed.page(directory, pipeline)
    environment = Environment(
        loader=PackageLoader("clinicadl.preprocess", "."),
        autoescape=True,
        undefined=StrictUndefined,
    )
    # Shards end at any time: who comes last sees all, and nobody a half of it.
    with turn(path.parent):
        rows = _rows(path.parent, directory, preprocessing)
        text = environment.get_template("page.html.j2").render(
            pipeline=pipeline,
            rows=rows,
            failed=_failed(path),
            has_dice=any(row.dice is not None for row in rows),
        )
        write_text(path, text)
    return path


def _rows(home: Path, directory: Path, preprocessing: Linear) -> list[_Row]:
    rows = [
        _Row(
            f"{image.participant} {image.session}",
            os.path.relpath(image.path.with_name(f"{stem(image.path)}.png"), home),
            float(content.get("VarianceExplained") or 0),
            content.get("BrainDice"),
        )
        for image, content in preprocessed.made_by(directory, preprocessing)
    ]
    return sorted(rows, key=lambda row: (row.explained, row.who))


def _failed(path: Path) -> list[_Failed]:
    tables = sorted(path.parent.glob(f"{path.stem}*_failed.tsv"))
    return [
        _Failed(f"{row[PARTICIPANT]} {row[SESSION]}", str(row["reason"]))
        for table in tables
        for row in tsv.records(table, "table of failures")
    ]
