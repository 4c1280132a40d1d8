"""A report of a MAPS: one page that needs nothing else, text, or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clinicadl.config.report import ReportConfig
from clinicadl.layouts import files
from clinicadl.layouts.maps import names
from clinicadl.layouts.maps.ledger import LOOK
from clinicadl.report import figures, search_page, story
from clinicadl.report.cases import Pictures, pictures
from clinicadl.report.figures import Drawn
from clinicadl.report.rendering import check_page, environment
from clinicadl.report.results import Result, finite
from clinicadl.report.story import Beside, Story

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
    check_page(config)
    told = story.read(config.maps_directory, config.covariates_tsv)
    shown = _shown(told)
    # JSON shows nothing: it is drawn for the folder of figures alone.
    is_drawn = config.format != "json" or config.figures is not None
    drawn = [*figures.all_of(told, shown)] if is_drawn else []
    seen = pictures(told, shown, config.examples)
    mean_maps = [one.figure for one in seen.maps if one.figure is not None]
    text = _as_json(told, seen) if config.format == "json" else _page(told, drawn, seen, config)
    if config.figures is not None:
        with files.whole_folder(config.figures, overwrite=config.overwrite) as folder:
            for one in (*drawn, *seen.cases, *mean_maps):
                (folder / f"{one.name}.svg").write_text(one.svg, encoding="utf-8")
                (folder / f"{one.name}.png").write_bytes(one.png)
            for pair in seen.pairs:
                (folder / f"{pair.name}.png").write_bytes(pair.png)
    files.write_text(config.page, text)
    return config.page


def _shown(told: Story) -> list[Result]:
    """Return those on groups that no model has seen; where there are none, those on validation."""
    return [*told.tested] or [one for one in told.results if one.group == names.VALIDATION]


def _page(told: Story, drawn: list[Drawn], seen: Pictures, config: ReportConfig) -> str:
    return (
        environment()
        .get_template(_TEMPLATES[config.format])
        .render(
            story=told,
            contents=told.contents,
            record=told.record,
            drawn=drawn,
            seen=seen,
            figures=config.figures,
            checklist=[*checklist(told)],
            warnings=[*warnings(told), *of_maps(seen)],
            skipped=skipped(told),
            command=f"clinicadl train from-maps {told.maps} NEW_MAPS",
        )
    )


def warnings(told: Story) -> Iterator[str]:
    """Yield what a reader must know before any number."""
    if told.record.config.data.shuffle_labels:
        yield SHUFFLED
    yield from search_page.of_trial(told.maps)
    for finding in told.record.guard:
        yield f"Before training: {finding['sentence']}"
    # The models of all splits look at one group: what is true of the group is said once.
    accepted = dict.fromkeys((one.group, one.accepted) for one in told.results)
    for group, reason in accepted:
        if reason is not None:
            yield f"The guard was overridden for {group}, for this reason: {reason}"
    # On train and validation it says what everybody expects.
    unexpected = (
        (one.group, found) for one in told.results if not one.is_own for found in one.findings
    )
    for group, sentence in dict.fromkeys(unexpected):
        yield f"{group}: {sentence}"
    for one in story.saying_one_thing(told):
        yield (
            f"The model says the same of every image of {one.group} ({one.model}): it has learnt "
            "nothing that tells them apart."
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
    looks = looks[looks["event"] == LOOK]
    for name, n in looks["group"].value_counts().items() if len(looks) else ():
        if n > 1:
            yield (
                f"{name} was looked at {n} times: each further look at a test group with another "
                "model or setting makes its best result too good."
            )


def of_maps(seen: Pictures) -> Iterator[str]:
    """Yield what speaks against the maps of interpretations."""
    for one in seen.maps:
        yield from (f"Maps of {one.title}: {problem}" for problem in one.problems)


def skipped(told: Story) -> list[str]:
    """Return what the guard could not look for, each once."""
    return [*dict.fromkeys(one for result in told.results for one in result.skipped)]


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


def _beside(one: Beside) -> dict[str, Any]:
    rows = [
        {
            name: finite(cell) if isinstance(cell, float) else cell
            for name, cell in row._asdict().items()
        }
        for row in one.rows
    ]
    return {**one._asdict(), "rows": rows}


def _as_json(told: Story, seen: Pictures) -> str:
    content: dict[str, Any] = {
        "maps": str(told.maps),
        "warnings": [*warnings(told), *of_maps(seen)],
        "not_looked_for": skipped(told),
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
        "beside_baselines": [_beside(one) for one in told.compared.baselines],
        "subgroups": [_beside(one) for one in told.compared.subgroups],
        "remarks": [*told.compared.remarks, *told.flow.remarks],
        "decisions": [
            {
                **one._asdict(),
                "curves": [curve.to_dict("records") for curve in one.curves],
                "at_threshold": [metric._asdict() for metric in one.at_threshold],
                "sets": None if one.sets is None else one.sets._asdict(),
            }
            for one in told.decisions
        ],
        "flow": [
            {**one._asdict(), "left_out": [left._asdict() for left in one.left_out]}
            for one in told.flow.steps
        ],
        "balance": [{"set": one.name, **one.cells} for one in told.balance],
        "looks": told.contents.looks.to_dict("records"),
        "checklist": dict(checklist(told)),
        "record": told.record.model_dump(mode="json"),
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"
