"""``clinicadl train``: the tasks, and what all of its commands do with a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clinicadl.cli.lazy import LazyGroup, Row
from clinicadl.cli.modes_first import MODES
from clinicadl.cli.options import Command, given, options_of
from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.jobs import JobsConfig
from clinicadl.config.task import TABLE, TaskSettings

if TYPE_CHECKING:
    from clinicadl.engine.plan import Plan
    from clinicadl.jobs import Jobs

_TASKS = TABLE.all_rows()

group = LazyGroup(
    "train",
    {
        **{
            name: Row(f"clinicadl.cli.train:{name}", (row.__doc__ or name).partition("\n")[0])
            for name, row in _TASKS.items()
        },
        **{mode: Row(f"clinicadl.cli.modes_first:{mode}", short) for mode, short in MODES.items()},
        "resume": Row("clinicadl.cli.resume:command", "Go on with an interrupted training."),
        "list-models": Row(
            "clinicadl.cli.list_models:command", "List the networks, or the layers of one."
        ),
        "from-maps": Row("clinicadl.cli.repeat:from_maps", "Train what another MAPS did, anew."),
        "from-json": Row("clinicadl.cli.repeat:from_json", "Train what a JSON file describes."),
        "schema": Row(
            "clinicadl.cli.train:schema", "Print the JSON Schema of a configuration file."
        ),
    },
    help="Train networks, or go on with what was interrupted.",
)


_ARGUMENTS = """\
CAPS_DIRECTORY holds the images, PREPROCESSING_JSON says how they were prepared (its
path, or its name in the CAPS), TSV_DIRECTORY was written by tsvtools split or kfold, and
OUTPUT_MAPS_DIRECTORY gets everything that is learnt."""


def __getattr__(name: str) -> click.Command:
    """Return the command of a task, whoever declared the task.

    Raises
    ------
    AttributeError
        There is no such task.
    """
    if name not in _TASKS:
        raise AttributeError(name)
    return _command(name, _TASKS[name])


def _command(task: str, row: type[TaskSettings]) -> click.Command:
    """Return the command of a task, with the options of its settings and of no other task's."""
    _, _, what = cleandoc(row.__doc__ or task).partition("\n")

    @click.command(task, cls=Command, help=f"{what.strip()}\n\n{_ARGUMENTS}")
    @click.option(
        "-c", "--config-file", type=click.Path(path_type=Path),
        help="TOML or JSON file with settings, also of release 1.6.1; flags win over it.",
    )  # fmt: skip
    @click.option(
        "--dry-run", is_flag=True, help="Print the settings as TOML and what would be done."
    )
    @options_of(JobsConfig)
    @options_of(
        ExperimentConfig,
        arguments=("caps_directory", "preprocessing_json", "tsv_directory"),
        without=("task",),
        rows={"task": task},
        defaults={"network": row.default_network},
    )
    @click.argument("output_maps_directory", type=click.Path(path_type=Path))
    def command(
        config_file: Path | None, dry_run: bool, output_maps_directory: Path, **flags: Any
    ) -> None:
        _train(task, config_file, output_maps_directory, flags, dry_run=dry_run)

    return command


def _train(
    task: str,
    config_file: Path | None,
    output_maps_directory: Path,
    flags: Mapping[str, Any],
    *,
    dry_run: bool,
) -> None:
    from clinicadl.engine.train import ready

    jobs, others = jobs_of(flags)
    config = asked(task, config_file, others)
    planned = ready(config, output_maps_directory, jobs=jobs)
    if dry_run:
        describe(planned, config)
        click.echo(f"# would write: {output_maps_directory}")
        show_jobs(planned, output_maps_directory, config.validation.chosen(), jobs)
        return
    complete(planned, output_maps_directory, jobs)


def asked(task: str, config_file: Path | None, flags: Mapping[str, Any]) -> ExperimentConfig:
    """Return the experiment that a command stands for."""
    from clinicadl.config.read import experiment

    nested = given(flags)
    nested.setdefault("task", {})["name"] = task
    return experiment(nested, file=config_file)


def jobs_of(flags: Mapping[str, Any]) -> tuple[JobsConfig, dict[str, Any]]:
    """Return what was said of jobs, and all other flags: jobs are no part of an experiment."""
    from clinicadl.config.read import settings

    said = {name: flags[name] for name in JobsConfig.model_fields}
    others = {name: value for name, value in flags.items() if name not in said}
    return settings(JobsConfig, given(said)), others


def complete(planned: Plan, maps: Path, jobs: JobsConfig) -> None:
    """Train as planned into a new MAPS, here or in jobs."""
    from clinicadl.cli.console import watching
    from clinicadl.engine.train import run, submit

    if jobs.submit is None:
        run(planned, maps, observers=watching(planned.config.task))
        click.echo(f"MAPS: {maps}")
        return
    follow(submit(planned, maps, jobs), maps, planned.config.validation.chosen(), jobs)


def follow(submitted: Jobs, maps: Path, splits: Sequence[int], jobs: JobsConfig) -> None:
    """Say what was submitted; wait for jobs of this machine, showing how many are over."""
    from contextlib import closing

    from clinicadl.cli.console import progress
    from clinicadl.engine import split_jobs
    from clinicadl.errors import listed

    click.echo(f"{len(submitted.ids)} jobs: {listed(submitted.ids)}")
    click.echo(f"logs: {submitted.folder}")
    click.echo(f"MAPS: {maps}")
    if jobs.submit == "slurm":
        click.echo(f"state: {submitted.state_command}, clinicadl maps show {maps}")
        click.echo(f"when they are over, for what failed: clinicadl train resume {maps}")
        return
    with closing(split_jobs.finish(submitted, maps, splits)) as ended:
        for _ in progress(ended, total=len(splits), what="train", unit="job"):
            pass


def show_jobs(planned: Plan, maps: Path, splits: Sequence[int], jobs: JobsConfig) -> None:
    """Print the command of each job, if there would be any."""
    import shlex

    from clinicadl.engine.split_jobs import commands

    if jobs.submit is not None:
        for words in commands(jobs, planned, maps, splits):
            click.echo(f"# would submit: {shlex.join(words)}")


def describe(planned: Plan, config: ExperimentConfig) -> None:
    """Print the settings as they were given, with the loss that was chosen, and what they mean."""
    from clinicadl.config.read import to_toml
    from clinicadl.engine.need import in_gb

    click.echo(to_toml(config.model_copy(update={"task": planned.config.task})))
    for one in planned.splits:
        chosen = "trained" if one.number in config.validation.chosen() else "not trained"
        click.echo(
            f"# split {one.number} ({chosen}): {len(one.train)} sessions of train, "
            f"{len(one.validation)} of validation"
        )
    click.echo(f"# memory: about {in_gb(planned.needed.total)}")
    classes = f"classes: {planned.codes}; " if planned.codes else ""
    click.echo(f"# {classes}shape of a sample: {planned.input_shape}")


@click.command("schema")
def schema() -> None:
    """Print the JSON Schema of a configuration file, for editors that complete and check."""
    from clinicadl.config.read import json_schema

    click.echo(json_schema())
