"""The figures of groups of participants."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from clinicadl.config.data import DEFAULT_DIAGNOSES
from clinicadl.config.summary import AnalysisConfig
from clinicadl.errors import InvalidDataError, MissingInputError, UsageError, listed
from clinicadl.layouts import splits, tsv
from clinicadl.layouts.files import refuse_existing, refuse_unwritable
from clinicadl.tables import sessions, sieve
from clinicadl.tables.compare_sets import Line, compared_numbers, compared_words
from clinicadl.tables.described import AGE, CDR, MMSE, MONTH, SET, SEX, Described, described, firsts
from clinicadl.tables.sieve import Sieve

logger = logging.getLogger(__name__)

GROUP = "group"
ALL_SESSIONS = " (all sessions)"
CDR_SCORES = (0.0, 0.5, 1.0, 2.0, 3.0)

_DATA = ""
"""The name of the set of a table that is no set."""


class Plan(NamedTuple):
    """The figures, and nothing written."""

    config: AnalysisConfig
    read: tuple[Path, ...]
    rows: Sieve
    """The sessions, and why some are in no group."""
    results: pd.DataFrame
    comparisons: pd.DataFrame | None
    """One row a `Line`, with ``split``, ``set_1`` and ``set_2`` before."""

    @property
    def writes(self) -> dict[Path, pd.DataFrame]:
        """The tables, by their paths."""
        tables = {self.config.results_tsv: self.results}
        if self.comparisons is not None:
            tables[comparison_path(self.config.results_tsv)] = self.comparisons
        return tables


class _Sets(NamedTuple):
    """The tables that are read, those that are described, and the pairs that are compared."""

    table_of: dict[str, Path]
    described: list[str]
    pairs: list[tuple[str, str, str]]
    """Split, first set, second set."""


def analysis(config: AnalysisConfig) -> Path:
    """Write the figures of groups of participants, and of how sets differ.

    Parameters
    ----------
    config
        The tables, and what makes the groups.

    Returns
    -------
    The table of figures; that of differences is beside it, see `comparison_path`.

    Raises
    ------
    MissingInputError
        A table or a column is absent.
    InvalidDataError
        A table is wrong, or a group has no participant.
    UsageError
        The settings contradict each other.
    OutputError
        The results exist and may not be replaced, or cannot be written.
    """
    planned = plan(config)
    write(planned)
    return config.results_tsv


def comparison_path(results: Path) -> Path:
    """Return where the differences between sets are written.

    Examples
    --------
    >>> comparison_path(Path("figures.tsv")).name
    'figures_comparison.tsv'
    """
    return results.with_name(f"{results.stem}_comparison{results.suffix}")


def plan(config: AnalysisConfig) -> Plan:
    """Return what `analysis` would write; raises what `analysis` raises.

    Raises
    ------
    UsageError
        The results would replace a table that is read.
    """
    sets = _sets(config)
    results = config.results_tsv
    outputs = [results, *([comparison_path(results)] if sets.pairs else [])]
    inputs = {path.resolve() for path in (config.merged_tsv, *sets.table_of.values())}
    for path in outputs:
        if path.resolve() in inputs:
            raise UsageError("The results would replace a table that is read", where=path)
        if not config.overwrite:
            refuse_existing(path)
        refuse_unwritable(path)
    known = described(sets.table_of, config)
    kept = _kept(known, config, sets.described)
    return Plan(
        config,
        known.read,
        kept,
        _results(known, kept.kept, config, sets.described),
        _comparisons(known, kept.kept, sets.pairs) if sets.pairs else None,
    )


def write(planned: Plan) -> None:
    """Write what was planned, each table whole.

    Raises
    ------
    OutputError
        A table cannot be written.
    """
    for path, table in planned.writes.items():
        tsv.write(path, table)


def _sets(config: AnalysisConfig) -> _Sets:
    """Return the tables of the sets.

    Raises
    ------
    UsageError
        A folder is given together with named sets.
    MissingInputError
        The folder holds no split.
    """
    if not config.data_tsv.is_dir():
        named = [(_DATA, one, other) for one, other in combinations(config.table_of, 2)]
        return _Sets({_DATA: config.data_tsv, **config.table_of}, [_DATA], named)
    if config.compare:
        raise UsageError(
            "A folder compares the sets that are in it", where="--compare",
            found=config.data_tsv, fix="Give a table, or leave out --compare",
        )  # fmt: skip
    table_of: dict[str, Path] = {}
    pairs: list[tuple[str, str, str]] = []
    for split, folder in _split_folders(config.data_tsv).items():
        in_split = {f"{split}{name}": path for name, path in _parts(folder).items()}
        table_of |= in_split
        pairs += [(split.rstrip("/"), one, other) for one, other in combinations(in_split, 2)]
    if not pairs:
        raise MissingInputError(
            "The folder holds no split", where=config.data_tsv,
            found=listed(table_of.values()) or "no table of a set",
            fix="Give a table, or the folder that tsvtools split or kfold wrote",
        )  # fmt: skip
    return _Sets(table_of, list(table_of), pairs)


def _split_folders(folder: Path) -> dict[str, Path]:
    """Return the folders of the splits by the beginnings of the names of their sets."""
    found: dict[str, Path] = {}
    while (one := splits.split_folder(folder, len(found))).is_dir():
        found[f"{one.name}/"] = one
    return found or {"": folder}


def _parts(folder: Path) -> dict[str, Path]:
    """Return the tables of the sets of a split: of all sessions, where each set has one."""
    ending = splits.table_name("", baseline=True)
    names = sorted(path.name.removesuffix(ending) for path in folder.glob(f"*{ending}"))
    # Who is learnt from is named first.
    names.sort(key=lambda name: name != splits.TRAIN)
    every = {name: folder / splits.table_name(name, baseline=False) for name in names}
    if all(path.is_file() for path in every.values()):
        return every
    return {name: folder / splits.table_name(name, baseline=True) for name in names}


def _kept(known: Described, config: AnalysisConfig, names: list[str]) -> Sieve:
    """Return the sessions that are in a group.

    Raises
    ------
    InvalidDataError
        A diagnosis that is asked for, or every group, has no participant.
    """
    rows = sieve.begin(known.rows)
    for column in config.group_by:
        has_value = _group_cells(known, column)[rows.kept.index].notna()
        rows = sieve.keep(rows, has_value.to_numpy(), f"no {column}")
    if config.diagnoses or sessions.DIAGNOSIS in config.group_by:
        diagnosis = known.words[sessions.DIAGNOSIS]
        present = set(diagnosis[rows.kept.index][rows.kept[SET].isin(names)].dropna())
        usual = [name for name in DEFAULT_DIAGNOSES if name in present]
        wanted = config.diagnoses or tuple(usual) or tuple(sorted(present))
        absent = [name for name in wanted if name not in present]
        if absent:
            raise InvalidDataError(
                f"Nobody has the diagnosis {listed(absent)}", where=config.data_tsv,
                found=f"diagnoses {listed(sorted(present))}", fix="Correct --diagnoses",
            )  # fmt: skip
        reason = f"diagnosis is not {' or '.join(wanted)}"
        rows = sieve.keep(rows, diagnosis[rows.kept.index].isin(wanted).to_numpy(), reason)
    if not rows.kept[SET].isin(names).any():
        raise InvalidDataError(
            "No session is in a group", where=config.data_tsv,
            found=", ".join(f"{reason}: {n}" for reason, n in sieve.counts(rows).items()),
            fix="Fill the columns of --group_by, or name others",
        )  # fmt: skip
    return rows


def _group_cells(known: Described, column: str) -> pd.Series[Any]:
    return known.words[column if column in known.words else SEX]


def _results(
    known: Described, rows: pd.DataFrame, config: AnalysisConfig, names: list[str]
) -> pd.DataFrame:
    """Return one row a group, two where all sessions are described too."""
    levels = {
        name: sorted(known.words[name][rows.index].dropna().unique())
        for name in config.variables
        if name in known.words
    }
    found: list[dict[str, object]] = []
    of_firsts: list[pd.Index[int]] = []
    for name in names:
        for group, of_group in _groups(known, rows[rows[SET] == name], config):
            label = f"{name}, {group}" if name else group
            first = firsts(of_group)
            of_firsts.append(first)
            found.append({GROUP: label, **_figures(known, of_group, first, levels)})
            if config.longitudinal:
                every = _figures(known, of_group, of_group.index, levels)
                found.append({GROUP: label + ALL_SESSIONS, **every, **_followup(of_group)})
    _warn_missing(known, of_firsts, longitudinal=config.longitudinal)
    return pd.DataFrame(found, dtype=object)


def _groups(
    known: Described, rows: pd.DataFrame, config: AnalysisConfig
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the groups by their names, sorted."""
    parts = [_group_cells(known, column)[rows.index] for column in config.group_by]
    names = [", ".join(values) for values in zip(*parts, strict=True)]
    for name, of_group in rows.groupby(np.array(names, dtype=object), sort=True):
        yield str(name), of_group


def _figures(
    known: Described,
    rows: pd.DataFrame,
    described_rows: pd.Index[int],
    levels: Mapping[str, list[str]],
) -> dict[str, object]:
    """Return the figures of a group.

    Parameters
    ----------
    known
        What is known of every session.
    rows
        Those of the group.
    described_rows
        Those whose values count.
    levels
        Column of words -> the values that are counted.
    """
    people = rows.drop_duplicates(sessions.PARTICIPANT).index
    sex = known.words[SEX][people]
    values = known.numbers.loc[described_rows]
    n_sessions = rows[sessions.PARTICIPANT].value_counts().to_numpy(float)
    found: dict[str, object] = {"n_subjects": len(people), **_spread(AGE, values[AGE])}
    found |= {f"sex{name}": int((sex == name).sum()) for name in ("F", "M")}
    found |= _spread(MMSE, values[MMSE])
    no_score = known.numbers[CDR].isna().all()
    found |= {
        f"CDR_{score:g}": None if no_score else int((values[CDR] == score).sum())
        for score in CDR_SCORES
    }
    found |= {"mean_scans": n_sessions.mean(), "std_scans": n_sessions.std()}
    found |= {"n_scans": len(rows)}
    for name in values.columns.drop([AGE, MMSE, CDR]):
        found |= {**_spread(name, values[name]), f"missing_{name}": int(values[name].isna().sum())}
    for name, words in levels.items():
        cells = known.words[name][described_rows]
        found |= {f"{name}={word}": int((cells == word).sum()) for word in words}
        found |= {f"missing_{name}": int(cells.isna().sum())}
    return found


def _spread(name: str, values: pd.Series[float] | np.ndarray[Any, Any]) -> dict[str, float]:
    """Return mean, standard deviation of the population, least and most of what is known."""
    known = np.asarray(values, dtype=float)
    known = known[~np.isnan(known)]
    if not len(known):
        return {f"{what}_{name}": math.nan for what in ("mean", "std", "min", "max")}
    figures = (known.mean(), known.std(), known.min(), known.max())
    return {
        f"{what}_{name}": float(figure)
        for what, figure in zip(("mean", "std", "min", "max"), figures, strict=True)
    }


def _followup(rows: pd.DataFrame) -> dict[str, float]:
    """Return how long participants were followed, from first to last session, in months."""
    months = rows[MONTH].groupby(rows[sessions.PARTICIPANT])
    return _spread("followup", (months.max() - months.min()).to_numpy())


def _warn_missing(known: Described, of_firsts: list[pd.Index[int]], *, longitudinal: bool) -> None:
    """Say once a column how often its value is missing."""
    rows = np.concatenate([np.asarray(one) for one in of_firsts])
    # A session that is in several groups or sets is spoken of once.
    again = known.rows[[sessions.PARTICIPANT, sessions.SESSION]].iloc[rows].duplicated()
    rows = rows[~again.to_numpy()]
    told = known.numbers.iloc[rows].assign(**{SEX: known.words[SEX].iloc[rows].to_numpy()})
    if longitudinal:
        told[MONTH] = known.rows[MONTH].iloc[rows].to_numpy()
    for name, n_missing in told.isna().sum().items():
        # A study without dementia has no such scores, and its figures say n/a.
        is_absent = name in (MMSE, CDR) and n_missing == len(told)
        if n_missing and not is_absent:
            logger.warning("%s is missing for %d of %d participants", name, n_missing, len(told))


def _comparisons(
    known: Described, rows: pd.DataFrame, pairs: list[tuple[str, str, str]]
) -> pd.DataFrame:
    """Return how the participants of pairs of sets differ at their first sessions."""
    first = {name: firsts(of_set) for name, of_set in rows.groupby(SET)}
    found = []
    for split, one, other in pairs:
        ends = [first.get(name, rows.index[:0]) for name in (one, other)]
        shared = set.intersection(*(set(rows[sessions.PARTICIPANT][end]) for end in ends))
        if shared:
            logger.warning(
                "%d participants are in %s and in %s: the tests take sets for strangers",
                len(shared), one, other,
            )  # fmt: skip
        names = [name.removeprefix(f"{split}/") for name in (one, other)]
        for line in _lines(known, *ends):
            found.append({"split": split or None, "set_1": names[0], "set_2": names[1]}
                         | line._asdict())  # fmt: skip
    return pd.DataFrame(found, dtype=object)


def _lines(known: Described, one: pd.Index[Any], other: pd.Index[Any]) -> list[Line]:
    lines: list[Line] = []
    for name, values in known.numbers.items():
        if name != CDR and values.notna().any():
            lines += compared_numbers(str(name), values[one], values[other])
    scores = known.numbers[CDR].map("{:g}".format, na_action="ignore")
    for name, cells in [*known.words.items(), (CDR, scores)]:
        if cells.notna().any():
            lines += compared_words(str(name), list(cells[one]), list(cells[other]))
    return lines
