"""The page of a search: one file that needs nothing else, text, or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from clinicadl.config.report import ReportConfig
from clinicadl.errors import ClinicaDLError, UsageError, listed
from clinicadl.layouts import files
from clinicadl.layouts.search import Trial
from clinicadl.report.figures import Drawn
from clinicadl.report.rendering import check_page, environment, number
from clinicadl.report.results import finite
from clinicadl.report.search_figures import all_of
from clinicadl.search import found as searches
from clinicadl.search.found import Found
from clinicadl.search.winner import Judged, judged
from clinicadl.statistics.importance import LEAST_TRIALS, Importance, importances

_TEMPLATES = {"html": "search.html.j2", "md": "search.md.j2"}


class Told(NamedTuple):
    """All that the page of a search says."""

    found: Found
    judged: Judged
    important: tuple[Importance, ...]

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings that are searched, the most important first."""
        known = dict.fromkeys(one.name for one in self.important)
        return (*known, *(n for n in _names(self.found.trials) if n not in known))


def write_search_page(config: ReportConfig) -> Path:
    """Write what a search has found for people to read, and return the file.

    Parameters
    ----------
    config
        The folder of a search, or with the MAPS of a random search; the form and the place.

    Raises
    ------
    MissingExtraError
        Matplotlib is not installed.
    OutputError
        The file or the folder of figures exists already, or cannot be written.
    MissingInputError
        It is no such folder, or has no trial.
    InvalidDataError
        A file of it is damaged.
    UsageError
        An option says what is shown of a MAPS.
    """
    check_page(config)
    defaults = ReportConfig.model_fields
    for name in ("covariates_tsv", "examples"):
        if getattr(config, name) != defaults[name].get_default():
            raise UsageError(
                "The page of a search shows no images and no participants", where=f"--{name}",
                fix="Leave it out, or report one of the trials",
            )  # fmt: skip
    told = read(config.maps_directory)
    is_drawn = config.format != "json" or config.figures is not None
    figures = [*all_of(told.found, told.important)] if is_drawn else []
    text = as_json(told) if config.format == "json" else _page(told, figures, config)
    if config.figures is not None:
        with files.whole_folder(config.figures, overwrite=config.overwrite) as folder:
            for one in figures:
                (folder / f"{one.name}.svg").write_text(one.svg, encoding="utf-8")
                (folder / f"{one.name}.png").write_bytes(one.png)
    files.write_text(config.page, text)
    return config.page


def read(folder: Path) -> Told:
    """Return what there is to say of a search."""
    found = searches.read(folder)
    complete = found.complete
    important = importances(
        [one.settings for one in complete], [one.value or 0.0 for one in complete]
    )
    return Told(found, judged(found), tuple(important))


def sentences(told: Told) -> Iterator[str]:
    """Yield what the best trial is worth, and what a reader must know before any number."""
    found, best = told.found, told.judged.best
    if best is None:
        yield "No trial was trained to its end: there is no best one."
        return
    name, n = best.maps.name, told.judged.n_compared
    if told.judged.reason:
        yield (
            f"{name} has the best {found.metric} on validation of {n} trials, "
            f"{number(best.value)}: it was chosen for that, so that it is too good. It could not "
            f"be corrected. {told.judged.reason.rstrip('.')}."
        )
    else:
        yield worth(told)
    unfinished = len(found.trials) - n
    if unfinished:
        yield (
            f"{unfinished} of {len(found.trials)} trials were not trained to their end: they could "
            "not win, and the correction does not know of them."
        )
    yield (
        "The epoch of each model was chosen on the same validation, which the correction does not "
        "undo. Only people whom the search never saw tell what the model is worth: evaluate the "
        "best trial on them, and no other."
    )
    failed = [one for one in found.trials if one.state == "failed"]
    if failed:
        yield "Failed: " + listed(f"{one.maps.name} ({one.reason})" for one in failed) + "."


def worth(told: Told) -> str:
    """Return what the best trial is worth, as it was found and corrected, in a sentence or two."""
    found, judgement = told.found, told.judged
    one = judgement.metrics[found.metric]
    name = "" if judgement.best is None else judgement.best.maps.name
    naive = f"{number(one.naive)} ({number(one.naive_low)} to {number(one.naive_high)})"
    if judgement.n_compared == 1:
        return (
            f"{name} is the only trial, and nothing was chosen: its {found.metric} on validation "
            f"is {naive}."
        )
    return (
        f"{name} has the best {found.metric} on validation of {judgement.n_compared} trials, "
        f"{naive}. Because it was chosen for being the best of so many, expect "
        f"{number(one.value)} ({number(one.low)} to {number(one.high)}) of new people: the best "
        "was chosen again among participants drawn anew, and judged on those who were left out."
    )


def of_trial(maps: Path) -> Iterator[str]:
    """Yield what a reader of a MAPS must know that is a trial of a search."""
    folder = searches.search_of(maps)
    if folder is None:
        return
    try:
        told = read(folder)
    except ClinicaDLError as error:
        # Such as another MAPS beside this one that is damaged: this one can be reported.
        yield f"This MAPS is a trial of {folder.name}, which cannot be read. {error}"
        return
    best = told.judged.best
    if best is None or best.maps.absolute() != maps.absolute():
        better = "" if best is None else f", of which {best.maps.name} is the best"
        yield f"This MAPS is one of {len(told.found.trials)} trials of {folder.name}{better}."
        return
    yield f"This MAPS is the best trial of {folder.name}. {next(sentences(told))}"


def remarks(told: Told) -> Iterator[str]:
    """Yield what the importance of settings does not mean."""
    n = told.judged.n_compared
    if told.important and n < LEAST_TRIALS:
        yield (
            f"{n} finished trials are too few to say which setting is important: below "
            f"{LEAST_TRIALS} it is mostly chance."
        )
    if told.important and dict(told.found.facts).get("sampler") == "tpe":
        yield (
            "The sampler drew more trials where earlier ones were good: importance is of the "
            "settings as they were drawn."
        )


def _page(told: Told, drawn: list[Drawn], config: ReportConfig) -> str:
    return (
        environment().get_template(_TEMPLATES[config.format])
        .render(
            told=told, found=told.found, judged=told.judged, drawn=drawn, figures=config.figures,
            states=_states(told.found.trials), sentences=[*sentences(told)],
            remarks=[*remarks(told)], settings=told.settings,
        )
    )  # fmt: skip


def _names(trials: tuple[Trial, ...]) -> list[str]:
    return [*dict.fromkeys(name for one in trials for name in one.settings)]


def _states(trials: tuple[Trial, ...]) -> dict[str, int]:
    every = [one.state for one in trials]
    return {state: every.count(state) for state in dict.fromkeys(every)}


def as_json(told: Told) -> str:
    """Return everything as JSON."""
    best = told.judged.best
    content: dict[str, Any] = {
        "search": str(told.found.folder),
        "metric": told.found.metric,
        "higher_is_better": told.found.is_higher_better,
        **dict(told.found.facts),
        "sentences": [*sentences(told), *remarks(told)],
        "best": None if best is None else best.maps.name,
        "compared": told.judged.n_compared,
        "participants": told.judged.n_participants,
        "share_of_resamples": told.judged.share,
        "not_corrected_because": told.judged.reason or None,
        "winner": {
            name: {key: finite(value) for key, value in one._asdict().items()}
            for name, one in told.judged.metrics.items()
        },
        "importance": [
            {**one._asdict(), "p": finite(one.p)} for one in told.important
        ],
        "trials": [
            {
                "maps": one.maps.name, "state": one.state, "value": one.value,
                "by_split": {str(split): value for split, value in one.by_split.items()},
                "epochs": one.epochs, "settings": dict(one.settings), "reason": one.reason,
            }
            for one in told.found.trials
        ],
    }  # fmt: skip
    return json.dumps(content, indent=2, allow_nan=False) + "\n"
