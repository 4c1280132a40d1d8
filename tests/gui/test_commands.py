"""The command that the form shows is the experiment that the form holds."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinicadl.cli import train
from clinicadl.config.read import experiment, to_toml
from clinicadl.gui.commands import train_command

DATA = {"caps_directory": "caps", "preprocessing_json": "t1", "tsv_directory": "split"}
FILE = "settings.toml"


def understood(typed, config, folder):
    """Return what the command line makes of a command: the experiment and the MAPS."""
    program, group, task, *words = shlex.split(typed.line)
    assert (program, group) == ("clinicadl", "train")
    if typed.needs_file:
        (folder / FILE).write_text(to_toml(config))
    parent = click.Context(train.group, **train.group.context_settings)
    found = train.group.get_command(parent, task).make_context(task, words, parent=parent).params
    for name in ("dry_run",):
        assert not found.pop(name)
    file, maps = found.pop("config_file"), found.pop("output_maps_directory")
    assert (file is not None) == typed.needs_file
    _, others = train.jobs_of(found)
    return train.asked(task, file, others), maps


def is_same(config, folder, maps="maps"):
    typed = train_command(config, maps, file=str(folder / FILE))
    assert understood(typed, config, folder) == (config, Path(maps))
    return typed


def test_every_setting_is_said(experiments, tmp_path):
    for one in experiments:
        is_same(experiment(one), tmp_path)


words = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1)
sections = st.fixed_dictionaries(
    {
        "data": st.fixed_dictionaries(
            {
                "caps_directory": words, "tsv_directory": words,
                "preprocessing_json": words.filter(lambda text: not text.startswith("-")),
            },
            optional={
                "diagnoses": st.none() | st.lists(words, max_size=3),
                "channels": st.lists(words, max_size=2), "baseline": st.booleans(),
            },
        ),
        "task": st.fixed_dictionaries(
            {"name": st.just("classification")},
            optional={
                "label": words, "label_smoothing": st.floats(0, 0.9),
                "label_code": st.dictionaries(words, st.integers(0, 9), max_size=2),
            },
        )
        | st.fixed_dictionaries(
            {"name": st.just("regression")},
            optional={"label": st.lists(words, min_size=1, max_size=3, unique=True)},
        )
        | st.just({"name": "reconstruction", "loss": "L1Loss"}),
    },
    optional={
        "network": st.sampled_from(["Conv5_FC3", "AE_Conv5_FC3", "Conv4_FC3"]).map(
            lambda name: {"name": name}
        ),
        "optimization": st.fixed_dictionaries(
            {},
            optional={
                "learning_rate": st.floats(1e-300, 1e300, allow_subnormal=False),
                "epochs": st.integers(1, 10**12),
                "gradient_clipping": st.none() | st.floats(0.1, 9),
                "schedule": st.sampled_from([{"name": "cosine", "lowest_rate": 0.5}, "step"]),
            },
        ),
        "compute": st.sampled_from([None, True, False]).map(lambda gpu: {"gpu": gpu}),
        "transforms": st.lists(
            st.sampled_from(["Noise", {"name": "Noise", "std": 0.5}, "Flip"]), max_size=3
        ).map(lambda some: {"augmentation": some}),
    },
)  # fmt: skip


@given(sections, words)
def test_the_command_line_understands_the_same(tmp_path_factory, asked, maps):
    is_same(experiment(asked), tmp_path_factory.getbasetemp(), maps)


def test_what_has_an_option_needs_no_file(tmp_path):
    config = experiment(
        {"data": {**DATA, "diagnoses": ("AD", "CN")}, "optimization": {"epochs": 3}, "task":
         {"name": "regression"}, "transforms": {"augmentation": ["Noise", "Flip"]}}
    )  # fmt: skip
    assert is_same(config, tmp_path).line == (
        "clinicadl train regression caps t1 split maps --diagnoses AD CN --data_augmentation Noise "
        "Flip --epochs 3"
    )


@pytest.mark.parametrize(
    "section",
    [
        {"task": {"label_code": {"AD": 1, "CN": 0}}},
        {"data": {**DATA, "diagnoses": ()}},
        {"transforms": {"augmentation": [{"name": "Noise", "std": 0.3}]}},
        {"data": {**DATA, "preprocessing_json": "-odd"}},
    ],
)
def test_what_has_no_option_is_read_from_the_file(section, tmp_path):
    assert is_same(experiment({"data": DATA, **section}), tmp_path).needs_file
