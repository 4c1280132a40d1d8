"""``clinicadl tsvtools``: participants set apart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clinicadl.cli.lazy import LazyGroup, Row
from clinicadl.cli.options import Command, given, options_of
from clinicadl.config.tables import KFoldConfig, SplitConfig

if TYPE_CHECKING:
    from clinicadl.layouts.splits import Division
    from clinicadl.tables import folds
    from clinicadl.tables import split as split_tables

group = LazyGroup(
    "tsvtools",
    {
        "split": Row("clinicadl.cli.tsvtools:split", "Set participants apart, once."),
        "kfold": Row("clinicadl.cli.tsvtools:kfold", "Divide participants into k folds."),
    },
    help="Set participants apart without leakage: by participant, stratified, balanced, seeded.",
)

_dry_run = click.option(
    "--dry-run", is_flag=True, help="Print the settings and what would be written; write nothing."
)


@click.command("split", cls=Command)
@_dry_run
@options_of(SplitConfig, arguments=("data_tsv",))
def split(dry_run: bool, **flags: Any) -> None:
    """Set participants of DATA_TSV apart, with all of their sessions, beside it in split/.

    Both parts get the same share of each class and are alike in age and sex. Use --subset_name test
    for a test set, then divide split/train.tsv again for validation.
    """
    from clinicadl.config.read import settings
    from clinicadl.layouts.splits import SPLIT_JSON
    from clinicadl.tables import split as tables

    planned = tables.plan(settings(SplitConfig, given(flags)))
    if not dry_run:
        tables.write(planned)
    _say(planned, SPLIT_JSON, dry_run=dry_run)
    _say_tables(planned.division, planned.config.subset_name, "", dry_run=dry_run)


@click.command("kfold", cls=Command)
@_dry_run
@options_of(KFoldConfig, arguments=("data_tsv",))
def kfold(dry_run: bool, **flags: Any) -> None:
    """Divide the participants of DATA_TSV into folds, beside it in <k>_fold/.

    Each fold is set apart in one of the folders split-0, split-1, ...; the classes are spread
    evenly over the folds, and the folds are alike in age and sex as far as 200 draws allow.
    """
    from clinicadl.config.read import settings
    from clinicadl.layouts.splits import KFOLD_JSON, split_folder
    from clinicadl.tables import folds as tables

    planned = tables.plan(settings(KFoldConfig, given(flags)))
    if not dry_run:
        tables.write(planned)
    _say(planned, KFOLD_JSON, dry_run=dry_run)
    for number, division in enumerate(planned.divisions):
        home = f"{split_folder(Path(), number)}/"
        _say_tables(division, planned.config.subset_name, home, dry_run=dry_run)


def _say(planned: split_tables.Plan | folds.Plan, record: str, *, dry_run: bool) -> None:
    from clinicadl.config.read import to_toml

    if not dry_run:
        click.echo(f"folder: {planned.folder}")
        return
    click.echo(to_toml(planned.config))
    for path in planned.read:
        click.echo(f"# would read: {path}")
    click.echo(f"# would write: {planned.folder}")
    click.echo(f"#   {record}")


def _say_tables(division: Division, subset_name: str, home: str, *, dry_run: bool) -> None:
    from clinicadl.layouts.splits import files_of
    from clinicadl.tables.sessions import PARTICIPANT

    for name, table in files_of(division, subset_name).items():
        n_participants = table[PARTICIPANT].nunique()
        click.echo(
            f"{'# ' if dry_run else ''}  {home}{name}: "
            f"{n_participants} participants, {len(table)} sessions"
        )
