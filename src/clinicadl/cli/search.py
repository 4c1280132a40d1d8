"""``clinicadl search``: find good settings and architectures, one MAPS a trial."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clinicadl.cli.lazy import LazyGroup, Row
from clinicadl.cli.options import Command, given, options_of
from clinicadl.config.jobs import JobsConfig
from clinicadl.config.search import SearchConfig

if TYPE_CHECKING:
    from clinicadl.search.plan import SearchPlan

group = LazyGroup(
    "search",
    {
        "run": Row("clinicadl.cli.search:run", "Begin a search that a file describes."),
        "resume": Row("clinicadl.cli.search:resume", "Go on with a search, or join its workers."),
        "show": Row("clinicadl.cli.search:show", "Say what became of each trial."),
    },
    help="Find good settings and architectures on train and validation, one MAPS a trial.",
)

_n_proc = click.option(
    "--n-proc", "-np", type=click.IntRange(1), default=1, show_default=True,
    help="Workers: trials that are made at the same time. The trials do not depend on it.",
)  # fmt: skip


@click.command("run", cls=Command)
@click.argument("config_file", type=click.Path(path_type=Path))
@click.argument("output_directory", type=click.Path(path_type=Path))
@_n_proc
@click.option("--dry-run", is_flag=True, help="Print what is searched and what would be done.")
@options_of(JobsConfig)
@options_of(SearchConfig, without=("architecture", "experiment"))
def run(
    config_file: Path, output_directory: Path, n_proc: int, dry_run: bool, **flags: Any
) -> None:
    """Begin a search.

    CONFIG_FILE is that of an experiment, as for train, with a section [search], and with
    {low=..., high=..., log=true}, {choice=[...]} or {normal=[mean, deviation]} in place of the
    values that are searched. OUTPUT_DIRECTORY gets a MAPS for each trial, and the table of all.
    """
    from clinicadl.cli.train import jobs_of
    from clinicadl.config.search import of_file
    from clinicadl.search.workers import begin

    jobs, others = jobs_of(flags)
    config = of_file(config_file, given(others))
    if dry_run:
        _describe(config, output_directory, n_proc, jobs, config_file)
        return
    planned = begin(config, output_directory, n_proc=n_proc, jobs=jobs, file=config_file)
    _carry_out(output_directory, n_proc, jobs, planned)


@click.command("resume", cls=Command)
@click.argument("search_directory", type=click.Path(path_type=Path))
@click.option("--n-trials", type=click.IntRange(1), help="Trials in all, if there are to be more.")
@_n_proc
@options_of(JobsConfig)
def resume(search_directory: Path, n_trials: int | None, n_proc: int, **flags: Any) -> None:
    """Go on with a search that was interrupted, or help those who work on it.

    The same command on another machine that sees SEARCH_DIRECTORY adds workers.
    """
    from clinicadl.cli.train import jobs_of
    from clinicadl.jobs import check
    from clinicadl.search.workers import extend

    jobs, _ = jobs_of(flags)
    if jobs.submit is not None:
        check(jobs)
    if n_trials is not None:
        extend(search_directory, n_trials)
    _carry_out(search_directory, n_proc, jobs, None)


@click.command("show", cls=Command)
@click.argument("search_directory", type=click.Path(path_type=Path))
def show(search_directory: Path) -> None:
    """Print the trials of a search, and which is the best."""
    from clinicadl.cli.search_progress import said

    for line in said(search_directory, with_trials=True):
        click.echo(line)


def _describe(
    config: SearchConfig, folder: Path, n_proc: int, jobs: JobsConfig, file: Path
) -> None:
    """Print what is searched, and what would be written and submitted."""
    import shlex
    from tempfile import TemporaryDirectory

    from clinicadl.layouts import files
    from clinicadl.search import nested, plan
    from clinicadl.search.space import searched
    from clinicadl.search.workers import commands

    if config.outer_folds:
        files.refuse_existing(folder)
        files.refuse_unwritable(folder)
        # The searches of outer folds are planned on their tables, which nobody keeps here.
        with TemporaryDirectory(prefix="clinicadl-search-") as there:
            planned = nested.begin(config, Path(there) / folder.name, jobs=jobs, file=file)[0]
        click.echo(f"outer folds: {config.outer_folds}, of {config.participants_tsv}")
    else:
        planned = plan.ready(config, folder, n_proc=n_proc, jobs=jobs, file=file)
    definition = planned.definition
    config, way = definition.config, "highest" if definition.higher_is_better else "lowest"
    pruner = "" if config.pruner == "none" else f", pruned by {config.pruner}"
    click.echo(f"trials: {config.n_trials}, drawn by {config.sampler} (seed {config.seed}){pruner}")
    click.echo(f"best: the {way} {config.metric} of validation")
    click.echo(f"threads of a trial: {definition.threads}")
    for one in searched(planned.items):
        click.echo(f"searched: {one.name} = {one.value}")
    if config.architecture is not None:
        for name, value in config.architecture.model_dump().items():
            click.echo(f"drawn: architecture.{name} = {value}")
    click.echo(f"# would write: {folder}")
    if jobs.submit is not None:
        for words in commands(folder, definition, n_proc):
            click.echo(f"# would submit: {shlex.join(words)}")


def _carry_out(folder: Path, n_proc: int, jobs: JobsConfig, planned: SearchPlan | None) -> None:
    """Make the trials, showing how they go, and say which is the best."""
    from clinicadl.cli.search_progress import Table, said
    from clinicadl.layouts.search import read_definition
    from clinicadl.search.workers import carry_out, submit

    if jobs.submit == "slurm":
        submitted = submit(folder, read_definition(folder), n_proc, jobs, planned)
        click.echo(f"{len(submitted.ids)} jobs: {', '.join(submitted.ids)}")
        click.echo(f"logs: {submitted.folder}")
        click.echo(f"state: {submitted.state_command}, clinicadl search show {folder}")
        return
    with Table(folder) as table:
        carry_out(folder, n_proc=n_proc, jobs=jobs, watch=table.look, planned=planned)
    for line in said(folder):
        click.echo(line)
    _report(folder)


def _report(folder: Path) -> None:
    """Write the page of a search that is over, or of each outer fold's, and say where it is."""
    from importlib.util import find_spec

    from clinicadl.config.report import ReportConfig
    from clinicadl.report.search_page import write_search_page
    from clinicadl.search.workers import is_over, searches

    if not is_over(folder):
        return
    for one in searches(folder):
        if find_spec("matplotlib") is None:
            click.echo(f'for its page: pip install "clinicadl[report]"; clinicadl report {one}')
        else:
            page = write_search_page(ReportConfig(maps_directory=one, overwrite=True))
            click.echo(f"report: {page}")
