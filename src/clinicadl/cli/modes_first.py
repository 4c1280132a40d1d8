"""``clinicadl train MODE KIND``: the form of release 0.2, which names the mode first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from clinicadl.cli.lazy import LazyGroup, Row
from clinicadl.cli.options import Command, Names, given, options_of
from clinicadl.config.base import from_table
from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.jobs import JobsConfig
from clinicadl.config.network import NETWORKS
from clinicadl.config.prepare import PrepareConfig

if TYPE_CHECKING:
    from clinicadl.config.base import Section

MODES = {
    "image": "Whole images, in the form of release 0.2.",
    "patch": "Patches, in the form of release 0.2.",
    "roi": "Regions of interest, in the form of release 0.2.",
    "slice": "Slices, in the form of release 0.2.",
}
"""Mode -> one line about it."""
KINDS = {
    "autoencoder": "Give back the image, through few numbers.",
    "cnn": "Tell classes apart, by one network for all parts.",
    "multicnn": "Tell classes apart, by one network for each part.",
}
"""What is trained -> one line about it."""
STORED = {"patch": "patches", "roi": "roi", "slice": "slices"}
"""Mode -> how this form calls its stored parts: ``--use_extracted_patches``."""
METRICS = {"best_loss": "loss", "best_balanced_accuracy": "BA"}

BATCH_SIZE = 2
MODE_DEFAULTS: dict[str, dict[str, Any]] = {"slice": {"discarded_slices": [20, 20]}}
"""What this form has otherwise than ours where nothing is said."""

_HELP = """
Prepares the images of CAPS_DIRECTORY where that was not done, and trains. PREPROCESSING is the
preprocessing whose images are taken, TSV_PATH was written by tsvtools split or kfold,
OUTPUT_DIRECTORY is the MAPS to be, and NETWORK is named as train list-models shows it. The two
commands that this one stands for are printed, and what they do is done.
"""
_OF_PREPARE = ("caps_directory", "preprocessing")
_OF_TRAIN = ("task", "caps_directory", "preprocessing_json", "tsv_directory")


def __getattr__(name: str) -> click.Command:
    """Return the group of a mode (``roi``), or one of its commands (``roi_cnn``).

    Raises
    ------
    AttributeError
        There is no such mode or command.
    """
    mode, _, kind = name.partition("_")
    if mode not in MODES or (kind and kind not in _kinds(mode)):
        raise AttributeError(name)
    if kind:
        return _command(mode, kind)
    rows = {one: Row(f"clinicadl.cli.modes_first:{mode}_{one}", KINDS[one]) for one in _kinds(mode)}
    return LazyGroup(mode, rows, help=MODES[mode])


def _kinds(mode: str) -> list[str]:
    return [kind for kind in KINDS if (mode, kind) != ("image", "multicnn")]


def _command(mode: str, kind: str) -> click.Command:
    task = "reconstruction" if kind == "autoencoder" else "classification"
    of_prepare = tuple(
        name
        for name in (*PrepareConfig.model_fields, *JobsConfig.model_fields)
        if name not in _OF_PREPARE
    )
    of_others = (
        *_OF_TRAIN, "multi_network", "transfer_path", "transfer_selection_metric", "network",
    )  # fmt: skip
    networks = list(from_table(NETWORKS, "clinicadl.networks").all_rows())

    @click.command(kind, cls=Command, help=f"{KINDS[kind]}\n{_HELP}")
    @options_of(PrepareConfig, arguments=_OF_PREPARE, without=of_prepare, rows={"mode": mode})
    @click.argument("tsv_path", type=click.Path(path_type=Path))
    @click.argument("output_directory", type=click.Path(path_type=Path))
    @click.argument("network", type=Names(networks))
    @click.option("--dry-run", is_flag=True, help="Print what would be done; write nothing.")
    @click.option("-cpu", "--use-cpu", is_flag=True, help="Compute on the CPU.")
    @click.option(
        "--transfer-learning-path",
        type=click.Path(path_type=Path),
        help="MAPS whose weights, of the same split, are the first weights.",
    )
    @click.option(
        "--transfer-learning-selection",
        type=Names([*METRICS]),
        help="Which best model of it is taken (default: best_balanced_accuracy of a CNN).",
    )
    @options_of(ExperimentConfig, without=of_others, rows={"task": task})
    def command(dry_run: bool, output_directory: Path, **flags: Any) -> None:
        _run(_resolved(mode, kind, flags), output_directory, dry_run=dry_run)

    if mode in STORED:
        command.params.append(
            click.Option(
                [f"--use-extracted-{STORED[mode]}", "use_extracted"], is_flag=True,
                help="Read the tensors of parts that the CAPS holds; make none.",
            )
        )  # fmt: skip
    _rename_shorts(command)
    return command


def _rename_shorts(command: click.Command) -> None:
    """Give each short form to the setting that has it in this form of the command line."""
    of_mode = {
        flag for one in command.params if str(one.name).startswith("mode__") for flag in one.opts
    }
    for param in command.params:
        if not str(param.name).startswith("mode__"):
            param.opts = [flag for flag in param.opts if flag not in of_mode]
        if param.name == "transforms__normalize":
            param.secondary_opts.append("-un")


class Resolved(NamedTuple):
    """What a command of this form stands for."""

    prepare: PrepareConfig
    experiment: ExperimentConfig
    uses_extracted: bool


def _resolved(mode: str, kind: str, flags: dict[str, Any]) -> Resolved:
    from clinicadl.config.read import experiment, settings

    own = {name: flags.pop(name, None) for name in (
        "tsv_path", "network", "use_cpu", "transfer_learning_path", "transfer_learning_selection",
        "use_extracted",
    )}  # fmt: skip
    said = given(flags)
    prepare = settings(
        PrepareConfig,
        {
            "caps_directory": said.pop("caps_directory"),
            "preprocessing": said.pop("preprocessing"),
            "mode": {"name": mode, **MODE_DEFAULTS.get(mode, {}), **said.pop("mode", {})},
            "save_features": bool(own["use_extracted"]),
        },
    )
    prepare = prepare.model_copy(update={"extract_json": f"{mode}_{_digest(prepare)}"})
    config = experiment(_nested(prepare, kind, own, said))
    return Resolved(prepare, config, bool(own["use_extracted"]))


def _nested(
    prepare: PrepareConfig, kind: str, own: Mapping[str, Any], said: dict[str, Any]
) -> dict[str, Any]:
    """Return the settings of the experiment, nested as its sections are."""
    is_autoencoder = kind == "autoencoder"
    task = {"name": "reconstruction" if is_autoencoder else "classification"}
    metrics = {"selection_metrics": ["loss"] if is_autoencoder else ["BA", "loss"]}
    network = own["network"]
    if is_autoencoder and f"AE_{network}" in NETWORKS:
        network = f"AE_{network}"
    source, selection = own["transfer_learning_path"], own["transfer_learning_selection"]
    transfer = {
        "transfer_path": source,
        "transfer_selection_metric": METRICS[selection] if selection else _best(source),
    }
    return {
        **said,
        "data": {
            **said.get("data", {}),
            "caps_directory": prepare.caps_directory,
            "preprocessing_json": prepare.extract_json,
            "tsv_directory": own["tsv_path"],
        },
        "task": {**metrics, **said.get("task", {}), **task},
        "network": {**said.get("network", {}), "name": network},
        "multi_network": kind == "multicnn",
        "transfer": {**said.get("transfer", {}), **transfer},
        "optimization": {"batch_size": BATCH_SIZE, **said.get("optimization", {})},
        "compute": {**said.get("compute", {}), **({"gpu": False} if own["use_cpu"] else {})},
    }


def _best(source: Path | None) -> str | None:
    """Return by which metric the best model of a source is taken where nobody said it."""
    from clinicadl.layouts.maps import names

    if source is None:
        return None
    splits = names.split_numbers(source)
    there = {metric for split in splits for metric in names.selection_metrics(source, split)}
    return next((one for one in ("BA", "loss") if one in there), None)


def _digest(prepare: PrepareConfig) -> str:
    """Return a name for what is prepared, the same for the same settings."""
    content = prepare.model_dump(mode="json", include={"preprocessing", "mode", "save_features"})
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


def _run(resolved: Resolved, output: Path, *, dry_run: bool) -> None:
    from clinicadl.config.read import words
    from clinicadl.layouts.files import refuse_existing

    prepare, experiment, uses_extracted = resolved
    for name, config, arguments, behind in (
        ("prepare-data", prepare, ("mode", *_OF_PREPARE), []),
        ("train", experiment, _OF_TRAIN, [str(output)]),
    ):
        click.echo(f"stands for: {_typed(name, config, arguments, behind, words)}")
    refuse_existing(output)
    if dry_run:
        return
    for caps in _all_caps(experiment):
        _prepare(prepare.model_copy(update={"caps_directory": caps}), uses_extracted=uses_extracted)
    _train(experiment, output)


def _typed(
    name: str, config: Section, arguments: tuple[str, ...], behind: list[str], words: Any
) -> str:
    """Return a command as a person would type it, its last argument in its place."""
    import shlex

    found = words(config, arguments=arguments)
    n_positional = len(arguments)
    return shlex.join(["clinicadl", name, *found[:n_positional], *behind, *found[n_positional:]])


def _all_caps(experiment: ExperimentConfig) -> list[Path]:
    """Return the CAPS of all cohorts."""
    if not experiment.data.multi_cohort:
        return [experiment.data.caps_directory]
    from clinicadl.tables.cohorts import read

    return [one.path for one in read(experiment.data.caps_directory)]


def _prepare(config: PrepareConfig, *, uses_extracted: bool) -> None:
    from clinicadl.cli.prepare_data import run_planned
    from clinicadl.data.prepare import describe, plan

    if uses_extracted:
        click.echo(f"extraction JSON: {describe(config)}")
        return
    run_planned(plan(config))


def _train(config: ExperimentConfig, output: Path) -> None:
    from clinicadl.cli.console import watching
    from clinicadl.engine.train import train

    train(config, output, observers=watching(config.task))
    click.echo(f"MAPS: {output}")
