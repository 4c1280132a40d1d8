"""A report of a MAPS: one page that needs nothing else, text, or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from math import isnan
from pathlib import Path
from typing import Any

from clinicadl.config.report import ReportConfig
from clinicadl.errors import MissingExtraError
from clinicadl.layouts import files
from clinicadl.report import figures, story
from clinicadl.report.figures import Drawn
from clinicadl.report.story import Result, Story

_TEMPLATES = {"html": "page.html.j2", "md": "page.md.j2"}
SHUFFLED = (
    "The labels of train were given to other participants before training (--shuffle_labels): what "
    "was learnt means nothing, and what is said of train is said of those labels."
)
_SHARED = "the models have seen participants of this group"


def write_report(config: ReportConfig) -> Path:
    """Write what a MAPS says for people to read, and return the file.

    Parameters
    ----------
    config
        The MAPS, the form and the place.

    Raises
    ------
    MissingExtraError
        Matplotlib is not installed.
    OutputError
        The file or the folder of figures exists already, or cannot be written.
    MissingInputError
        There is no MAPS.
    InvalidDataError
        A file of the MAPS is damaged.
    """
    if find_spec("matplotlib") is None:
        raise MissingExtraError("matplotlib", "report")
    targets = [config.page, *([] if config.figures is None else [config.figures])]
    for path in targets:
        files.refuse_unwritable(path)
        if not config.overwrite:
            files.refuse_existing(path)
    told = story.read(config.maps_directory)
    drawn = [*figures.all_of(told.curves, _drawn_results(told), story.classes(told))]
    text = _as_json(told) if config.format == "json" else _page(told, drawn, config)
    if config.figures is not None:
        with files.whole_folder(config.figures, overwrite=config.overwrite) as folder:
            for one in drawn:
                (folder / f"{one.name}.svg").write_text(one.svg, encoding="utf-8")
                (folder / f"{one.name}.png").write_bytes(one.png)
    files.write_text(config.page, text)
    return config.page


def _drawn_results(told: Story) -> list[Result]:
    """Return those on groups that no model has seen; where there are none, those on validation."""
    return [*told.tested] or [one for one in told.results if one.group == "validation"]


def _page(told: Story, drawn: list[Drawn], config: ReportConfig) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("clinicadl.report", "."),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["number"] = number
    return environment.get_template(_TEMPLATES[config.format]).render(
        story=told,
        contents=told.contents,
        record=told.record,
        drawn=drawn,
        figures=config.figures,
        classes=story.classes(told),
        checklist=[*checklist(told)],
        warnings=[*warnings(told)],
        command=f"clinicadl train from-maps {told.maps} NEW_MAPS",
    )


def number(value: float | None) -> str:
    """Return a number with three significant decimals; a hyphen for none.

    Examples
    --------
    >>> number(0.98765), number(None), number(1234.5)
    ('0.988', '-', '1234.5')
    """
    if value is None or isnan(value):
        return "-"
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.1f}"


def warnings(told: Story) -> Iterator[str]:
    """Yield what a reader must know before any number."""
    if told.record.config.data.shuffle_labels:
        yield SHUFFLED
    for finding in told.record.guard:
        yield f"Before training: {finding['sentence']}"
    for one in told.results:
        where = f"split {one.split}, best by {one.chosen_by}, on {one.group}"
        if one.accepted is not None:
            yield f"The guard was overridden ({where}), for this reason: {one.accepted}"
        # On train and validation it says what everybody expects.
        for sentence in () if one.is_own else one.findings:
            yield f"{where}: {sentence}"
    for one in told.results:
        if one.says_one_thing:
            yield (
                f"The best model of split {one.split} by {one.chosen_by} says the same of every "
                f"image of {one.group}: it has learnt nothing that tells them apart."
            )
    for people in told.people:
        if people.split is None and people.n_shared:
            yield f"{people.group}: {_SHARED} ({people.n_shared} of {people.n_participants})"
    if not told.tested:
        yield (
            "No group was evaluated that the models have not seen: results on validation chose the "
            "models, and are too good."
        )
    looks = told.contents.looks
    for group, n in looks["group"].value_counts().items() if len(looks) else ():
        if n > 1:
            yield (
                f"{group} was looked at {n} times: each further look at a test group with another "
                "model or setting makes its best result too good."
            )


def checklist(told: Story) -> Iterator[tuple[str, str]]:
    """Yield items that CLAIM 2024 and TRIPOD+AI ask for, and what is known of them here."""
    author = "for the author to write"
    config = told.record.config
    optimization, network = config.optimization, config.network
    yield "Purpose, clinical setting, eligibility", author
    yield "Source of the images", str(config.data.caps_directory)
    yield "Preparation of the images", str(config.data.preprocessing_json)
    yield "Reference standard", ", ".join(config.task.labels) or "the images themselves"
    yield "Participants in the development of the model", f"{told.n_seen}"
    yield (
        "Division of the data",
        (f"{config.validation.n_splits or 1} splits, by participant, the tables are hashed"),
    )
    tested = sorted({one.group for one in told.tested})
    yield "Evaluation on participants not used before", ", ".join(tested) or "none"
    yield "Model", f"{network.name}, input {' x '.join(map(str, told.record.input_shape))}"
    yield "First weights", ", ".join(one.path for one in told.record.parents) or "random, seeded"
    yield (
        "Training",
        (
            f"{optimization.optimizer}, rate {optimization.learning_rate:g}, batches of "
            f"{optimization.batch_size}, at most {optimization.epochs} epochs"
        ),
    )
    yield "Choice of the model", f"best on validation by {', '.join(config.task.selection_metrics)}"
    yield "Uncertainty", "95 % intervals, participants resampled"
    yield "Software", ", ".join(f"{name} {v}" for name, v in told.record.generated_by.items())
    yield "Protocol, registration, ethics, funding", author
    yield "Availability of data and code", author


def _finite(cell: str | float) -> str | float | None:
    return None if isinstance(cell, float) and isnan(cell) else cell


def _as_json(told: Story) -> str:
    content: dict[str, Any] = {
        "maps": str(told.maps),
        "warnings": [*warnings(told)],
        "splits": [{"split": one.number, "state": one.state} for one in told.contents.splits],
        "groups": [one._asdict() for one in told.people],
        "results": [
            {
                "split": one.split,
                "chosen_by": one.chosen_by,
                "group": one.group,
                "accepted_leakage": one.accepted,
                "findings": one.findings,
                "metrics": [metric._asdict() for metric in one.metrics],
            }
            for one in told.results
        ],
        "beside_baselines": [
            {
                **one._asdict(),
                "rows": [
                    {name: _finite(cell) for name, cell in row._asdict().items()}
                    for row in one.rows
                ],
            }
            for one in told.besides
        ],
        "looks": told.contents.looks.to_dict("records"),
        "checklist": dict(checklist(told)),
        "record": told.record.model_dump(mode="json"),
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"
