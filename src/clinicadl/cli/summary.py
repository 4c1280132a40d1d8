"""``clinicadl tsvtools``: what is said about a table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clinicadl.cli.options import Command, given, options_of
from clinicadl.config.base import Section
from clinicadl.config.summary import AdaptConfig, AnalysisConfig, ProgressionConfig

if TYPE_CHECKING:
    from clinicadl.tables.summary import Plan

_WIDTH, _NARROWEST = 100, 8


_dry_run = click.option(
    "--dry-run", is_flag=True,
    help="Print the settings and what would be read and written; write nothing.",
)  # fmt: skip


@click.command("get-progression", cls=Command)
@_dry_run
@options_of(ProgressionConfig, arguments=("data_tsv",))
def get_progression(dry_run: bool, **flags: Any) -> None:
    """Add to DATA_TSV, in place, how each session goes on.

    The column progression says s (stable), p (progressing), r (regressing), us (unstable) or uk
    (unknown: the last session). No row and no other cell of the table changes.
    """
    from clinicadl.config.read import settings
    from clinicadl.tables import progression

    planned = progression.plan(settings(ProgressionConfig, given(flags)))
    if dry_run:
        _say_settings(planned.config, planned.read, [planned.config.data_tsv])
    else:
        progression.write(planned)
    click.echo(
        f"{_mark(dry_run)}{planned.config.data_tsv}: {len(planned.table)} sessions of "
        f"{planned.n_participants} participants; the column {progression.PROGRESSION} is "
        f"{'replaced' if planned.replaces else 'added'}"
    )
    for label, n_sessions in planned.n_labels.items():
        is_reason = label in (progression.NO_DIAGNOSIS, progression.NO_TIME)
        click.echo(f"{_mark(dry_run)}  {f'n/a ({label})' if is_reason else label}: {n_sessions}")


@click.command("adapt", cls=Command)
@_dry_run
@options_of(AdaptConfig, arguments=("old_tsv_dir", "new_tsv_dir"))
def adapt(dry_run: bool, **flags: Any) -> None:
    """Write the labels and splits of OLD_TSV_DIR, of release 1.1, to NEW_TSV_DIR as of today.

    The tables of one label each become one table of all labels; OLD_TSV_DIR stays as it is.
    """
    from clinicadl.config.read import settings
    from clinicadl.tables import adapt as tables

    planned = tables.plan(settings(AdaptConfig, given(flags)))
    new = planned.config.new_tsv_dir
    if dry_run:
        sources = [path for paths in planned.sources.values() for path in paths]
        _say_settings(planned.config, sources, [new])
    else:
        tables.write(planned)
        click.echo(f"folder: {new}")
    for name, table in planned.tables.items():
        n_participants = table["participant_id"].nunique()
        click.echo(
            f"{_mark(dry_run)}  {name}: {n_participants} participants, {len(table)} sessions"
        )
    for name in planned.records:
        click.echo(f"{_mark(dry_run)}  {name}")
    if planned.n_repeated:
        click.echo(f"{_mark(dry_run)}rows that stood in two tables: {planned.n_repeated}")


@click.command("analysis", cls=Command)
@_dry_run
@options_of(AnalysisConfig, arguments=("merged_tsv", "data_tsv", "results_tsv"))
def analysis(dry_run: bool, **flags: Any) -> None:
    """Describe groups of the participants of DATA_TSV: age, sex, MMSE, CDR, and what you name.

    MERGED_TSV tells what is known of the sessions, and may be the same table. Where DATA_TSV is a
    folder that split or kfold wrote, its sets are compared too.
    """
    from clinicadl.config.read import settings
    from clinicadl.tables import sieve, summary

    planned = summary.plan(settings(AnalysisConfig, given(flags)))
    if dry_run:
        _say_settings(planned.config, planned.read, planned.writes)
        return
    summary.write(planned)
    click.echo(f"rows read: {planned.rows.n_read}, in a group: {len(planned.rows.kept)}")
    for reason, n_rows in sieve.counts(planned.rows).items():
        click.echo(f"  left out, {reason}: {n_rows}")
    click.echo()
    for line in (*_figures(planned), *_differences(planned)):
        click.echo(line)
    for path in planned.writes:
        click.echo(f"table: {path}")


def _mark(dry_run: bool) -> str:
    return "# " if dry_run else ""


def _say_settings(config: Section, read: Iterable[Path], writes: Iterable[Path]) -> None:
    from clinicadl.config.read import to_toml

    click.echo(to_toml(config))
    for path in read:
        click.echo(f"# would read: {path}")
    for path in writes:
        click.echo(f"# would write: {path}")


def _figures(planned: Plan) -> list[str]:
    """Return the figures of the groups as text, and those of the variables below."""
    from clinicadl.tables.summary import CDR_SCORES, GROUP

    rows = planned.results.to_dict("records")
    scores = [f"{score:g}" for score in CDR_SCORES]
    header = ["group", "people", "age", "F / M", "MMSE", f"CDR {'/'.join(scores)}", "sessions"]
    lines = [
        [
            str(row[GROUP]), str(row["n_subjects"]), _mean(row, "age"),
            f"{row['sexF']} / {row['sexM']}", _mean(row, "MMSE"),
            "/".join(_count(row[f"CDR_{score}"]) for score in scores), str(row["n_scans"]),
        ]
        for row in rows
    ]  # fmt: skip
    text = [*aligned(header, lines), ""]
    for name in planned.config.variables:
        if f"missing_{name}" not in planned.results:
            continue
        is_number = f"mean_{name}" in planned.results
        lines = [
            [str(row[GROUP]), _mean(row, name) if is_number else _values(row, name),
             *([_range(row, name)] if is_number else []), str(row[f"missing_{name}"])]
            for row in rows
        ]  # fmt: skip
        what = ["mean (SD)", "least to most"] if is_number else ["values"]
        text += [name, *aligned(["group", *what, "missing"], lines), ""]
    if planned.config.longitudinal:
        lines = [[str(row[GROUP]), _mean(row, "followup"), _mean(row, "scans")] for row in rows
                 if not _is_missing(row["mean_followup"])]  # fmt: skip
        text += [*aligned(["group", "months followed", "sessions each"], lines), ""]
    return text


def _differences(planned: Plan) -> list[str]:
    """Return the comparison of each pair of sets as text."""
    if planned.comparisons is None:
        return []
    text: list[str] = []
    keys = ["split", "set_1", "set_2"]
    for (split, one, other), lines in planned.comparisons.groupby(keys, dropna=False, sort=False):
        text.append(f"{'' if _is_missing(split) else f'{split}: '}{one} and {other}")
        header = ["variable", str(one), str(other), "test", "p", "SMD"]
        rows = [
            [
                f"  {line['level']}" if line["level"] is not None else str(line["variable"]),
                _part(line, 1), _part(line, 2), line["test"] or "",
                _p(line["p_value"]), _decimal(line["smd"], 2),
            ]
            for line in lines.to_dict("records")
        ]  # fmt: skip
        text += [*aligned(header, rows), ""]
    return text


def aligned(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table as lines of text of at most 100 characters, columns below each other.

    Where the lines would be longer, the widest columns are cut, which an ellipsis shows.

    Examples
    --------
    >>> aligned(["group", "n"], [["AD", "12"], ["CN", "7"]])
    ['group  n', 'AD     12', 'CN     7']
    """
    table = [list(header), *map(list, rows)]
    width = [max(len(row[i]) for row in table) for i in range(len(header))]
    while sum(width) + 2 * (len(header) - 1) > _WIDTH and max(width) > _NARROWEST:
        width[width.index(max(width))] -= 1
    return [
        "  ".join(_cut(cell, size).ljust(size) for cell, size in zip(row, width, strict=True))
        .rstrip()
        for row in table
    ]  # fmt: skip


def _cut(cell: str, size: int) -> str:
    return cell if len(cell) <= size else f"{cell[: size - 1]}…"


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _count(value: Any) -> str:
    return "-" if _is_missing(value) else str(value)


def _decimal(value: Any, digits: int) -> str:
    return "" if _is_missing(value) else f"{value:.{digits}f}"


def _mean(row: dict[Any, Any], name: str) -> str:
    if _is_missing(row[f"mean_{name}"]):
        return "n/a"
    return f"{row[f'mean_{name}']:.4g} ({row[f'std_{name}']:.3g})"


def _range(row: dict[Any, Any], name: str) -> str:
    if _is_missing(row[f"min_{name}"]):
        return "n/a"
    return f"{row[f'min_{name}']:.4g} to {row[f'max_{name}']:.4g}"


def _values(row: dict[Any, Any], name: str) -> str:
    counts = {
        str(key).removeprefix(f"{name}="): n
        for key, n in row.items()
        if str(key).startswith(f"{name}=")
    }
    return ", ".join(f"{value} {n}" for value, n in counts.items() if n) or "n/a"


def _part(line: dict[Any, Any], number: int) -> str:
    """Return what a line of a comparison says of one of its sets."""
    n, share = line[f"n_{number}"], line[f"share_{number}"]
    if line["level"] is not None:
        return f"{n}" if _is_missing(share) else f"{n} ({100 * share:.0f} %)"
    missing = line[f"missing_{number}"]
    gone = f", {missing} missing" if missing else ""
    if _is_missing(line[f"mean_{number}"]):
        return f"n = {n}{gone}"
    spread = _decimal(line[f"sd_{number}"], 2) or "n/a"
    return f"{line[f'mean_{number}']:.4g} ({spread}){gone}"


def _p(value: Any) -> str:
    if _is_missing(value):
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
