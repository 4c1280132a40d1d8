"""``clinicadl tsvtools``: tables, from clinical files to splits that cannot leak."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clinicadl.cli.lazy import LazyGroup, Row
from clinicadl.cli.options import Command, given, options_of
from clinicadl.config.tables import ExperimentTablesConfig, KFoldConfig, SplitConfig

if TYPE_CHECKING:
    from clinicadl.layouts.splits import Division
    from clinicadl.tables.folds import Plan as FoldsPlan
    from clinicadl.tables.split import Plan as SplitPlan

group = LazyGroup(
    "tsvtools",
    {
        "get-labels": Row("clinicadl.cli.labels:get_labels", "Labels of a BIDS data set or table."),
        "getlabels": Row("clinicadl.cli.labels:getlabels", "The former name of get-labels."),
        "get-metadata": Row("clinicadl.cli.labels:get_metadata", "Add columns of another table."),
        "get-progression": Row("clinicadl.cli.summary:get_progression", "Add how sessions go on."),
        "restrict": Row("clinicadl.cli.labels:restrict", "Keep the sessions that rules allow."),
        "split": Row("clinicadl.cli.tsvtools:split", "Set participants apart, once."),
        "kfold": Row("clinicadl.cli.tsvtools:kfold", "Divide participants into k folds."),
        "prepare-experiment": Row(
            "clinicadl.cli.tsvtools:prepare_experiment", "A test set, then folds, in one go."
        ),
        "analysis": Row("clinicadl.cli.summary:analysis", "Describe groups and compare sets."),
        "check": Row("clinicadl.cli.audit:check", "Audit splits, also of other programs."),
        "adapt": Row("clinicadl.cli.summary:adapt", "Bring tables of release 1.1 up to date."),
    },
    help="Tables of participants: labels, and splits by participant, stratified and balanced.",
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
    for a test set, then divide split/train.tsv again for validation. Sub-labels (sMCI, pMCI) are
    split first, and their parent (MCI) --around them.
    """
    from clinicadl.config.read import settings
    from clinicadl.tables import split as tables

    planned = tables.plan(settings(SplitConfig, given(flags)))
    if not dry_run:
        tables.write(planned)
    _say_plan(planned, dry_run=dry_run)


@click.command("kfold", cls=Command)
@_dry_run
@options_of(KFoldConfig, arguments=("data_tsv",))
def kfold(dry_run: bool, **flags: Any) -> None:
    """Divide the participants of DATA_TSV into folds, beside it in <k>_fold/.

    Each fold is set apart in one of the folders split-0, split-1, ...; the classes are spread
    evenly over the folds, and the folds are alike in age and sex as far as 200 draws allow.
    """
    from clinicadl.config.read import settings
    from clinicadl.tables import folds as tables

    planned = tables.plan(settings(KFoldConfig, given(flags)))
    if not dry_run:
        tables.write(planned)
    _say_plan(planned, dry_run=dry_run)


@click.command("prepare-experiment", cls=Command)
@_dry_run
@options_of(ExperimentTablesConfig, arguments=("data_tsv",))
def prepare_experiment(dry_run: bool, **flags: Any) -> None:
    """Set a test set of DATA_TSV apart in split/, and divide the others for validation in it.

    Training takes the folder of the validation: split/<k>_fold with --n_splits <k>, or split/split.
    """
    from clinicadl.config.read import settings
    from clinicadl.tables import experiment as tables

    planned = tables.plan(settings(ExperimentTablesConfig, given(flags)))
    if not dry_run:
        tables.write(planned)
    for one in planned:
        _say_plan(one, dry_run=dry_run)


def _say_plan(planned: SplitPlan | FoldsPlan, *, dry_run: bool) -> None:
    """Say what is or would be written, and how alike the parts are."""
    from clinicadl.config.read import to_toml
    from clinicadl.layouts.splits import KFOLD_JSON, SPLIT_JSON, split_folder
    from clinicadl.tables import folds
    from clinicadl.tables.division import described

    is_folds = isinstance(planned, folds.Plan)
    if dry_run:
        click.echo(to_toml(planned.config))
        for path in planned.read:
            click.echo(f"# would read: {path}")
        click.echo(f"# would write: {planned.folder}")
        click.echo(f"#   {KFOLD_JSON if is_folds else SPLIT_JSON}")
    else:
        click.echo(f"folder: {planned.folder}")
    divisions = planned.divisions if isinstance(planned, folds.Plan) else (planned.division,)
    reached = planned.record["balance"]
    for number, division in enumerate(divisions):
        home = f"{split_folder(Path(), number)}/" if is_folds else ""
        _say_tables(division, planned.config.subset_name, home, dry_run=dry_run)
        if reached:
            alike = described(reached[number] if is_folds else reached)
            click.echo(f"{'# ' if dry_run else ''}  balance: {alike}")


def _say_tables(division: Division, subset_name: str, home: str, *, dry_run: bool) -> None:
    from clinicadl.layouts.splits import files_of
    from clinicadl.tables.sessions import PARTICIPANT

    for name, table in files_of(division, subset_name).items():
        n_participants = table[PARTICIPANT].nunique()
        click.echo(
            f"{'# ' if dry_run else ''}  {home}{name}: "
            f"{n_participants} participants, {len(table)} sessions"
        )
