"""``clinicadl tsvtools get-labels``, ``get-metadata`` and ``restrict``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clinicadl.cli.options import Command, given, options_of
from clinicadl.config.labels import LabelsConfig, MetadataConfig, RestrictConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clinicadl.config.base import Section
    from clinicadl.tables.sieve import Sieve

_MOST_LINES = 10

_dry_run = click.option(
    "--dry-run", is_flag=True,
    help="Print the settings and what would be read and written; write nothing.",
)  # fmt: skip


@click.command("get-labels", cls=Command)
@_dry_run
@options_of(LabelsConfig, arguments=("bids_directory", "output_directory"))
def get_labels(dry_run: bool, **flags: Any) -> None:
    """Write the labels of the sessions that can be learnt from, to OUTPUT_DIRECTORY/labels.tsv.

    They come from a merged table with one row a session, or from the tables of BIDS_DIRECTORY.
    Sessions that are left out stand in excluded.tsv, each with its reason.
    """
    _get_labels(given(flags), dry_run=dry_run)


@click.command("getlabels", cls=Command, deprecated="it is called get-labels now")
@_dry_run
@options_of(LabelsConfig, arguments=("bids_directory",), without=("output_directory",))
@click.argument("output_directory", type=click.Path(path_type=Path), required=False)
def getlabels(dry_run: bool, output_directory: Path | None, **flags: Any) -> None:
    """Do what get-labels does; without OUTPUT_DIRECTORY, write beside BIDS_DIRECTORY."""
    said = given(flags)
    home = output_directory or said["bids_directory"].absolute().parent
    _get_labels({**said, "output_directory": home}, dry_run=dry_run)


def _get_labels(said: dict[str, Any], *, dry_run: bool) -> None:
    from clinicadl.config.read import settings
    from clinicadl.tables import labels as tables
    from clinicadl.tables import sieve
    from clinicadl.tables.sessions import DIAGNOSIS, PARTICIPANT

    planned = tables.plan(settings(LabelsConfig, said))
    home = planned.config.output_directory
    if dry_run:
        outputs = [sieve.EXCLUDED] if len(planned.sieve.excluded) else []
        outputs += [tables.RECORD, planned.labels_tsv.name]
        _say_dry(planned.config, planned.read, [home / name for name in outputs])
    else:
        tables.write(planned)
        click.echo(f"labels: {planned.labels_tsv}")
    table = planned.labels
    lines = [f"{table[PARTICIPANT].nunique()} participants, {len(table)} sessions"]
    if DIAGNOSIS in table.columns:
        counts = table[DIAGNOSIS].value_counts().sort_index()
        lines += [f"{name}: {n} sessions" for name, n in counts.items()]
    if planned.n_inferred:
        lines.append(f"diagnoses inferred from the sessions around: {planned.n_inferred}")
    _say([*lines, *_counts(planned.sieve)], dry_run=dry_run)


@click.command("get-metadata", cls=Command)
@_dry_run
@options_of(MetadataConfig, arguments=("data_tsv", "merged_tsv"))
def get_metadata(dry_run: bool, **flags: Any) -> None:
    """Add columns of MERGED_TSV to DATA_TSV, in place; no row is lost and no cell is changed."""
    from clinicadl.config.read import settings
    from clinicadl.tables import metadata as tables

    planned = tables.plan(settings(MetadataConfig, given(flags)))
    if dry_run:
        _say_dry(planned.config, planned.read, [planned.config.data_tsv])
    else:
        tables.write(planned)
        click.echo(f"table: {planned.config.data_tsv}")
    lines = [
        f"columns added: {', '.join(planned.added) or 'none'}",
        f"{len(planned.table)} sessions, of which {planned.n_unknown} are not in "
        f"{planned.config.merged_tsv}",
    ]
    _say(lines, dry_run=dry_run)


@click.command("restrict", cls=Command)
@_dry_run
@options_of(RestrictConfig, arguments=("restriction", "merged_tsv", "results_tsv"))
def restrict(dry_run: bool, **flags: Any) -> None:
    """Write the sessions of MERGED_TSV that a rule keeps to RESULTS_TSV, the others beside it.

    AIBL leaves out participants without any examination date, OASIS sessions before the age of 62;
    custom has no rule but those given with --where.
    """
    from clinicadl.config.read import settings
    from clinicadl.tables import restrict as tables

    planned = tables.plan(settings(RestrictConfig, given(flags)))
    if dry_run:
        outputs = [planned.excluded_tsv] if len(planned.sieve.excluded) else []
        _say_dry(planned.config, planned.read, [*outputs, planned.config.results_tsv])
    else:
        tables.write(planned)
        click.echo(f"table: {planned.config.results_tsv}")
    _say(_counts(planned.sieve), dry_run=dry_run)


def _counts(one: Sieve) -> list[str]:
    from clinicadl.tables import sieve

    return [
        f"rows read: {one.n_read}",
        f"rows kept: {len(one.kept)}",
        *(f"left out, {reason}: {n}" for reason, n in sieve.counts(one).items()),
    ]


def _say(lines: Sequence[str], *, dry_run: bool) -> None:
    for line in lines:
        click.echo(f"{'# ' if dry_run else ''}  {line}")


def _say_dry(config: Section, read: Sequence[Path], outputs: Sequence[Path]) -> None:
    from clinicadl.config.read import to_toml

    click.echo(to_toml(config))
    for path in read[:_MOST_LINES]:
        click.echo(f"# would read: {path}")
    if len(read) > _MOST_LINES:
        click.echo(f"# would read: {len(read) - _MOST_LINES} more")
    for path in outputs:
        click.echo(f"# would write: {path}")
