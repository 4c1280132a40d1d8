"""The group level: one table of all participants for each kind, and a page."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from clinicadl.bids_app import validated
from clinicadl.config.bids_app import BidsAppConfig
from clinicadl.config.raw import RawT1
from clinicadl.data import from_bids
from clinicadl.errors import MissingInputError, PartialError, listed
from clinicadl.layouts import bids, derivatives, files, ids, preprocessed, tsv
from clinicadl.layouts.caps import Session
from clinicadl.layouts.derivatives import PREDICTION, QUALITY
from clinicadl.layouts.files import write_text
from clinicadl.layouts.ids import PARTICIPANT, SESSION
from clinicadl.tables import chosen, sessions
from clinicadl.tables.quality import PASSED, PROBABILITY

_SHOWN = (PARTICIPANT, SESSION, PROBABILITY, PASSED, "reason")
"""Columns of quality that the page shows."""


@dataclass(frozen=True)
class Plan:
    """The tables of the participants that were asked for."""

    config: BidsAppConfig
    wanted: tuple[Session, ...]
    """The sessions with a T1-weighted image."""
    tables: dict[str, tuple[Path, ...]]
    """Kind -> tables of participants."""


class _Table(NamedTuple):
    title: str
    link: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def plan(config: BidsAppConfig) -> Plan:
    """Return what is gathered.

    Raises
    ------
    MissingInputError
        A participant is not known, or no participant is done.
    InvalidDataError
        The data set or the folder is wrong.
    OutputError
        The folder cannot be written.
    """
    home = bids.check(config.bids_directory)
    target = derivatives.check(config.output_directory)
    if not config.skip_bids_validator:
        validated.check(home)
    found = bids.index(home)
    keys = chosen.labelled(from_bids.sessions_with_images(found), config.participant_label, home)
    wanted = sorted(from_bids.images_of(found, RawT1(), keys, home))
    if config.session_label:
        named = {ids.as_id(label, SESSION) for label in config.session_label}
        unknown = sorted(named - {session for _, session in wanted})
        if unknown:
            raise MissingInputError(
                f"{len(unknown)} of {len(named)} sessions are not known", where=home,
                found=listed(unknown), fix="Check --session_label",
            )  # fmt: skip
        wanted = [key for key in wanted if key[1] in named]
    people = {participant for participant, _ in wanted}
    tables = {
        what: tuple(
            path
            for participant, path in derivatives.tables(target, what).items()
            if participant in people
        )
        for what in (QUALITY, PREDICTION)
    }
    if not tables[QUALITY]:
        raise MissingInputError(
            "No participant is done", where=target,
            fix="Run the level participant before the level group",
        )  # fmt: skip
    for path in (
        derivatives.page(target),
        *(derivatives.group_table(target, one) for one in tables),
    ):
        files.refuse_unwritable(path)
    return Plan(config, tuple(wanted), tables)


def run(planned: Plan) -> Path:
    """Write the tables of all participants, and return the page that shows them.

    Raises
    ------
    PartialError
        Some sessions have no result; what there is of the others is written.
    InvalidDataError
        The table of a participant is damaged.
    OutputError
        The folder cannot be written.
    """
    target, wanted = planned.config.output_directory, set(planned.wanted)
    shown = []
    done: set[Session] = set()
    for what, paths in planned.tables.items():
        if not paths:
            continue
        table = _gathered(paths, wanted)
        path = derivatives.group_table(target, what)
        tsv.write(path, table)
        shown.append(_shown(what, path, table))
        if what == QUALITY:
            done = set(sessions.sessions_of(table))
    missing = sorted(wanted - done)
    page = derivatives.page(target)
    registered = preprocessed.page(derivatives.caps(target), "t1-linear")
    environment = Environment(
        loader=PackageLoader("clinicadl.bids_app", "."), autoescape=True, undefined=StrictUndefined
    )
    text = environment.get_template("page.html.j2").render(
        tables=shown,
        n_sessions=len(wanted),
        missing=[" | ".join(key) for key in missing],
        registered=os.path.relpath(registered, target) if registered.is_file() else None,
    )
    write_text(page, text)
    if missing:
        raise PartialError(
            f"{len(missing)} of {len(wanted)} sessions have no result", where=page,
            found=listed(" | ".join(key) for key in missing),
            fix="Run the level participant for them; its message says why, if they fail",
        )  # fmt: skip
    return page


def _gathered(paths: Iterable[Path], wanted: set[Session]) -> pd.DataFrame:
    tables = [derivatives.read(path) for path in paths]
    whole = pd.concat(tables, ignore_index=True)
    kept = [key in wanted for key in sessions.sessions_of(whole)]
    return whole[kept].reset_index(drop=True)


def _shown(what: str, path: Path, table: pd.DataFrame) -> _Table:
    columns = [str(one) for one in table if what != QUALITY or one in _SHOWN]
    rows = table[columns].astype(object).where(table[columns].notna(), "").to_numpy()
    return _Table(what, path.name, tuple(columns), tuple(tuple(map(_cell, row)) for row in rows))


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
