"""The sessions of a study that can be learnt from, with their labels."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from clinicadl.config.data import DEFAULT_DIAGNOSES
from clinicadl.config.labels import LabelsConfig
from clinicadl.config.names import nearest
from clinicadl.errors import InvalidDataError, MissingInputError, UsageError, listed
from clinicadl.layouts import caps, ids, tsv
from clinicadl.layouts.files import refuse_existing, refuse_unwritable, sha256, write_json
from clinicadl.tables import (
    expressions,
    merged,
    modalities,
    progression,
    quality,
    sessions,
    sieve,
    times,
)
from clinicadl.tables.merged import Merged
from clinicadl.tables.sieve import Sieve

logger = logging.getLogger(__name__)

RECORD = "labels.json"
MISSING_MODS = "missing_mods"
TRAJECTORY = "trajectory"

_CHANGE = "adni_diagnosis_change"
_DIAGNOSIS_OF_CHANGE = {
    "1": "CN", "2": "MCI", "3": "AD", "4": "MCI", "5": "AD", "6": "AD", "7": "CN", "8": "MCI",
    "9": "CN",
}  # fmt: skip
_OLD_DIAGNOSIS = "dx1"
_SMC, _SMC_COLUMNS = "SMC", ("diagnosis_bl", "diagnosis_sc")
_SAID_OTHERWISE = ("output_directory", "diagnoses", "missing_mods", "merged_tsv", "overwrite")
_OF_A_TRAJECTORY = (progression.STABLE, progression.PROGRESSING, progression.REGRESSING)
_ALONE = (progression.UNSTABLE, progression.UNKNOWN)


class Columns(NamedTuple):
    """Where a table tells what labels need; nothing where it does not."""

    age: str | None
    sex: str | None
    diagnosis: str | None


class Wanted(NamedTuple):
    """Which diagnoses are kept."""

    diagnoses: list[str] | None
    """Names of diagnoses and of trajectories; None in a study without diagnoses."""
    has_trajectories: bool
    """Whether the sessions have got their trajectory."""


class Plan(NamedTuple):
    """The labels of a study, and nothing written."""

    config: LabelsConfig
    read: tuple[Path, ...]
    labels: pd.DataFrame
    """As they will be written."""
    sieve: Sieve
    n_inferred: int
    """Diagnoses that were missing and told by the sessions before and after."""
    record: dict[str, Any]

    @property
    def labels_tsv(self) -> Path:
        """Where the labels go."""
        return self.config.output_directory / sessions.LABELS


def get_labels(config: LabelsConfig) -> Path:
    """Write which sessions of a study can be learnt from, with their labels, and which cannot.

    Parameters
    ----------
    config
        The study, and what is kept of it.

    Returns
    -------
    The table of labels.

    Raises
    ------
    UsageError
        An expression is none, or a setting would have no effect.
    MissingInputError
        A table, folder or column is absent.
    InvalidDataError
        A table is wrong, or no session is left.
    OutputError
        There are labels already, or they cannot be written.
    """
    planned = plan(config)
    write(planned)
    return planned.labels_tsv


def plan(config: LabelsConfig) -> Plan:
    """Return the labels that `get_labels` would write.

    Raises
    ------
    UsageError
        An expression is none, or a setting would have no effect.
    MissingInputError
        A table, folder or column is absent.
    InvalidDataError
        A table is wrong, or no session is left.
    OutputError
        There are labels already, or they cannot be written.
    """
    conditions = [expressions.parse(text) for text in config.where]
    for name in (sessions.LABELS, RECORD, sieve.EXCLUDED):
        if not config.overwrite:
            refuse_existing(config.output_directory / name)
        refuse_unwritable(config.output_directory / name)
    given = merged.read(config)
    columns = _columns(given, config)
    for name in config.variables_of_interest:
        expressions.refuse_unknown(name, given.table.columns, where=given.path)

    one = sieve.begin(_with_diagnosis(given.table, columns))
    one = _in_time(one, given, config)
    if not config.keep_smc:
        one = _without_complaints(one)
    if config.remove_unique_session:
        again = one.kept[sessions.PARTICIPANT].duplicated(keep=False)
        one = sieve.keep(one, again.to_numpy(), "the only session of the participant")
    n_before = _n_known(one)
    one = _diagnosed(one, given, columns, config)
    n_inferred = _n_known(one) - n_before
    one, wanted = _of_diagnoses(one, given, columns, config)
    one, with_image = _with_image(one, given, config)
    if config.caps_directory is not None:
        stored = pd.DataFrame(caps.sessions(config.caps_directory), columns=[*ids.PREFIX_OF])
        found = modalities.Found(stored, ())
        one = sieve.keep(one, modalities.are_in(one.kept, found), "not in the CAPS")
    if config.restriction_tsv is not None:
        one = _restricted(one, config.restriction_tsv)
    one = expressions.keep(one, conditions, where=given.path)
    one, n_unchecked = quality.keep_passed(one, config.qc_tsv, config.qc_column)
    one = _complete(one, columns, config)
    _refuse_empty(one, given.path)

    restriction = () if config.restriction_tsv is None else (config.restriction_tsv,)
    tables = (*given.read, *with_image, *restriction, *config.qc_tsv)
    return Plan(
        config,
        tables,
        _labels(one.kept, columns, wanted, config),
        one,
        n_inferred,
        {
            **_record(config, given, columns, wanted, with_image, one),
            **({"n_without_quality_check": n_unchecked} if config.qc_tsv else {}),
        },
    )


def write(planned: Plan) -> None:
    """Write what was planned: the labels last, so that they are there when all is.

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    home = planned.config.output_directory
    hashes = {str(path): sha256(path) for path in planned.read}
    (home / sieve.EXCLUDED).unlink(missing_ok=True)
    sieve.write(planned.sieve, home / sieve.EXCLUDED)
    write_json(home / RECORD, {**planned.record, "tables": hashes})
    sessions.write(planned.labels_tsv, planned.labels)


def named_like(columns: Sequence[str], word: str) -> str | None:
    """Return the column of that name, else the shortest of which it is a word.

    Words end at signs: ``language`` is no age. Upper and lower case are the same.

    Examples
    --------
    >>> named_like(["language", "age_at_onset", "Age_bl"], "age")
    'Age_bl'
    """
    if word in columns:
        return word
    like = [name for name in columns if word in re.split(r"[\W_]+", name.lower())]
    return min(like, key=lambda name: (len(name), name), default=None)


def _columns(given: Merged, config: LabelsConfig) -> Columns:
    """Return where the table tells age, sex and diagnosis; what is guessed or absent is said.

    Raises
    ------
    MissingInputError
        The column that is named is not there.
    """
    names = [str(name) for name in given.table.columns]
    diagnosis = config.diagnosis_column
    if diagnosis is not None:
        expressions.refuse_unknown(diagnosis, names, where=given.path)
    elif _OLD_DIAGNOSIS in names and sessions.DIAGNOSIS not in names:
        diagnosis = _OLD_DIAGNOSIS
    else:
        others = [name for name in names if name != _CHANGE]
        diagnosis = named_like(others, sessions.DIAGNOSIS) or (
            _CHANGE if _CHANGE in names else None
        )
    found = Columns(named_like(names, "age"), named_like(names, "sex"), diagnosis)
    for word, name in found._asdict().items():
        if name is None:
            logger.warning("%s has no column for %s: the labels have none", given.path, word)
        elif name != word:
            logger.warning("%s: %s is taken as the %s", given.path, name, word)
    return found


def _with_diagnosis(table: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    """Return the table with a column ``diagnosis``, filled where ADNI tells a change instead."""
    if columns.diagnosis is None:
        return table
    cells = table[columns.diagnosis]
    diagnosis = [cell.strip() if isinstance(cell, str) else cell for cell in cells]
    if columns.diagnosis == _CHANGE:
        diagnosis = [np.nan] * len(table)
    if _CHANGE in table.columns:
        changes = [str(cell).strip().removesuffix(".0") for cell in table[_CHANGE]]
        diagnosis = [
            _DIAGNOSIS_OF_CHANGE.get(change, np.nan) if pd.isna(cell) else cell
            for cell, change in zip(diagnosis, changes, strict=True)
        ]
    filled = pd.Series(diagnosis, dtype=object, index=table.index)
    return table.assign(**{sessions.DIAGNOSIS: filled})


def _in_time(one: Sieve, given: Merged, config: LabelsConfig) -> Sieve:
    """Return the sessions whose time is known; all of them where no name begins as ``ses-M06``."""
    if config.time_column is not None:
        expressions.refuse_unknown(config.time_column, given.table.columns, where=given.path)
        known = _months(one, given, config).notna().to_numpy()
        return sieve.keep(one, known, f"{config.time_column} is missing")
    if not one.kept[sessions.SESSION].str.match(r"ses-M\d").any():
        return one
    known = times.of_sessions(one.kept).notna().to_numpy()
    return sieve.keep(one, known, "session_id tells no month")


def _months(one: Sieve, given: Merged, config: LabelsConfig) -> pd.Series[float]:
    return times.in_column(one.kept, str(config.time_column), config.time_unit, where=given.path)


def _without_complaints(one: Sieve) -> Sieve:
    for column in _SMC_COLUMNS:
        if column in one.kept.columns:
            cells = one.kept[column].map(lambda cell: str(cell).strip())
            stays = (cells != _SMC).to_numpy()
            one = sieve.keep(one, stays, f"subjective memory complaints ({column})")
    return one


def _n_known(one: Sieve) -> int:
    known = one.kept.get(sessions.DIAGNOSIS)
    return 0 if known is None else int(known.notna().sum())


def _diagnosed(one: Sieve, given: Merged, columns: Columns, config: LabelsConfig) -> Sieve:
    """Return the sessions whose diagnosis is known, or told by those before and after.

    Raises
    ------
    MissingInputError
        Diagnoses are asked for, and there is no column of them.
    InvalidDataError
        No session is left.
    """
    if columns.diagnosis is None:
        if config.diagnoses is not None or config.trajectory:
            raise MissingInputError(
                "There is no column of diagnoses", where=given.path,
                found=f"columns {listed(given.table.columns)}",
                fix="Name it with --diagnosis_column",
            )  # fmt: skip
        return one
    months = None if config.time_column is None else _months(one, given, config)
    one = replace(one, kept=progression.inferred(one.kept, months=months))
    known = one.kept[sessions.DIAGNOSIS].notna().to_numpy()
    one = sieve.keep(one, known, "the diagnosis is missing and cannot be inferred")
    _refuse_empty(one, given.path)
    return one


def _of_diagnoses(
    one: Sieve, given: Merged, columns: Columns, config: LabelsConfig
) -> tuple[Sieve, Wanted]:
    """Return the sessions of the diagnoses or trajectories that are kept, and these.

    Raises
    ------
    UsageError
        Settings of trajectories are given, and there are none.
    """
    present = [] if columns.diagnosis is None else sorted(one.kept[sessions.DIAGNOSIS].unique())
    wanted = config.diagnoses
    paths = {
        name for name in wanted or ()
        if name not in present
        and (name in _ALONE or (name[:1] in _OF_A_TRAJECTORY and name[1:] in present))
    }  # fmt: skip
    has_trajectories = config.trajectory or bool(paths)
    if has_trajectories:
        one = replace(one, kept=_with_trajectory(one, given, config))
    elif {"time_horizon", "stages"} & config.model_fields_set:
        raise UsageError(
            "time_horizon and stages mean nothing without trajectories",
            fix="Add --trajectory, or name trajectories with --diagnoses",
        )
    if columns.diagnosis is None:
        return one, Wanted(None, has_trajectories)
    if wanted is None:
        chosen = [name for name in DEFAULT_DIAGNOSES if name in present] or present
    else:
        chosen = list(dict.fromkeys(wanted))
        _say_unknown([name for name in chosen if name not in (*present, *paths)], present, given)
    stays = one.kept[sessions.DIAGNOSIS].isin([name for name in chosen if name not in paths])
    if paths:
        stays |= one.kept[TRAJECTORY].isin(paths)
    kind = "diagnosis or trajectory" if paths else "diagnosis"
    one = sieve.keep(one, stays.to_numpy(), f"another {kind}")
    return one, Wanted(chosen, has_trajectories)


def _with_trajectory(one: Sieve, given: Merged, config: LabelsConfig) -> pd.DataFrame:
    """Return the table with how the diagnosis of each session goes on: sMCI, pMCI, us, uk."""
    goes_on = progression.progressions(
        one.kept,
        horizon=config.time_horizon,
        stages=config.stage_of,
        months=None if config.time_column is None else _months(one, given, config),
        where=given.path,
    )
    diagnosis = one.kept[sessions.DIAGNOSIS]
    return one.kept.assign(**{TRAJECTORY: goes_on.where(goes_on.isin(_ALONE), goes_on + diagnosis)})


def _say_unknown(unknown: list[str], present: list[str], given: Merged) -> None:
    if unknown:
        logger.warning(
            "%s: no session has the diagnosis %s; there are %s, and the nearest is %s",
            given.path, listed(unknown), listed(present), nearest(unknown[0], present)[0],
        )  # fmt: skip


def _with_image(one: Sieve, given: Merged, config: LabelsConfig) -> tuple[Sieve, tuple[Path, ...]]:
    """Return the sessions that have an image of the modality, and the tables that tell it.

    Raises
    ------
    MissingInputError
        A modality is asked for, and nothing tells who has it.
    """
    folder = config.missing_mods or config.output_directory / MISSING_MODS
    if config.missing_mods is not None or folder.is_dir():
        found = modalities.in_tables(folder, config.modality)
    else:
        files = merged.files_of(given, config.bids_directory)
        if files is None:
            if "modality" in config.model_fields_set:
                raise MissingInputError(
                    f"Nothing tells which sessions have an image of the modality {config.modality}",
                    where=config.bids_directory, found="no BIDS data set and no --missing_mods",
                    fix="Give the BIDS data set, or the folder of the missing_mods tables",
                )  # fmt: skip
            logger.warning(
                "%s is no BIDS data set, and there are no tables of images: sessions are kept "
                "whether they have an image or not", config.bids_directory,
            )  # fmt: skip
            return one, ()
        found = modalities.in_bids(files, config.modality, where=config.bids_directory)
    stays = modalities.are_in(one.kept, found)
    return sieve.keep(one, stays, f"no image of the modality {config.modality}"), found.read


def _restricted(one: Sieve, path: Path) -> Sieve:
    """Return the sessions that are in exactly one row of a table.

    Raises
    ------
    MissingInputError
        The table cannot be read, or lacks a column.
    InvalidDataError
        A cell is no id.
    """
    table = tsv.read(path, "restriction table", needs=(*ids.PREFIX_OF,))
    for column in ids.PREFIX_OF:
        table[column] = table[column].map(lambda cell, of=column: ids.as_id(cell.strip(), of),
                                          na_action="ignore")  # fmt: skip
        tsv.check_ids(table, column, path)
    n_rows = Counter(_named(table))
    counts = np.array([n_rows[key] for key in _named(one.kept)], dtype=int)
    one = sieve.keep(one, counts > 0, "not in the restriction table")
    return sieve.keep(one, counts[counts > 0] == 1, "more than once in the restriction table")


def _named(table: pd.DataFrame) -> list[tuple[str, int | str]]:
    """Return each session in one spelling of its month."""
    told = [(who, name, sessions.month(name)) for who, name in sessions.sessions_of(table)]
    return [(who, name if month is None else month) for who, name, month in told]


def _complete(one: Sieve, columns: Columns, config: LabelsConfig) -> Sieve:
    """Return the sessions without those that lack a value, or all with a word on what they lack."""
    for name in dict.fromkeys([columns.age, columns.sex, *config.variables_of_interest]):
        if name is None:
            continue
        known = one.kept[name].notna().to_numpy()
        if config.missing == "exclude":
            one = sieve.keep(one, known, f"{name} is missing")
        elif not known.all():
            n_missing = int((~known).sum())
            logger.warning("%d of %d sessions have no %s", n_missing, len(known), name)
    return one


def _refuse_empty(one: Sieve, path: Path) -> None:
    if one.kept.empty:
        raise InvalidDataError(
            "No session is left", where=path,
            found=listed(f"{n} x {reason}" for reason, n in sieve.counts(one).items()),
            fix="Check --diagnoses, --modality and the restrictions",
        )  # fmt: skip


def _labels(
    table: pd.DataFrame, columns: Columns, wanted: Wanted, config: LabelsConfig
) -> pd.DataFrame:
    names = [
        *ids.PREFIX_OF,
        columns.age,
        columns.sex,
        None if columns.diagnosis is None else sessions.DIAGNOSIS,
        TRAJECTORY if wanted.has_trajectories else None,
        *config.variables_of_interest,
    ]
    return sessions.in_order(table)[[name for name in dict.fromkeys(names) if name is not None]]


def _record(
    config: LabelsConfig,
    given: Merged,
    columns: Columns,
    wanted: Wanted,
    with_image: tuple[Path, ...],
    one: Sieve,
) -> dict[str, Any]:
    """Return what labels.json says; the first keys are those of release 1.x."""
    said = json.loads(config.model_dump_json())
    return {
        "bids_directory": said.pop("bids_directory"),
        "diagnoses": wanted.diagnoses,
        "modality": said.pop("modality"),
        "restriction_path": said.pop("restriction_tsv"),
        "variables_of_interest": said.pop("variables_of_interest"),
        "remove_smc": not said.pop("keep_smc"),
        "missing_mods": str(with_image[0].parent) if with_image else None,
        "merged_tsv": str(given.path) if given.files is None else None,
        "remove_unique_session": said.pop("remove_unique_session"),
        "caps_directory": said.pop("caps_directory"),
        **{name: value for name, value in said.items() if name not in _SAID_OTHERWISE},
        "trajectory": wanted.has_trajectories,
        "columns": columns._asdict(),
        "n_rows": one.n_read,
        "n_kept": len(one.kept),
        "n_excluded": sieve.counts(one),
    }
