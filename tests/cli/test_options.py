"""From settings to flags: names, bounds, lists and what was said."""

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from clinicadl.cli.options import Command, options_of, parameter
from clinicadl.cli.options import given as said
from clinicadl.config import base
from clinicadl.config.base import Choice, places, setting
from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.mode import MODES_GROUP
from clinicadl.config.prepare import PrepareConfig
from clinicadl.config.task import TASKS

POSITIONAL = ("caps_directory", "preprocessing_json", "tsv_directory")
IN_FILES_ONLY = {"label_code", "convolutions_dict"}
seen = {}


@click.command(
    "example", cls=Command, context_settings={"token_normalize_func": lambda s: s.replace("_", "-")}
)
@options_of(ExperimentConfig, arguments=POSITIONAL, without=("task",))
@click.argument("maps")
def example(**flags):
    seen.clear()
    seen.update(flags)


def parse(*arguments):
    result = CliRunner().invoke(example, arguments)
    assert result.exit_code == 0, result.output
    return said({name: value for name, value in seen.items() if name != "maps"})


def test_every_setting_has_a_flag_and_its_default_in_the_help():
    text = CliRunner().invoke(example, ["--help"]).output
    for place in places(ExperimentConfig):
        field = place.path[-2] if place.table else place.path[-1]
        if field in POSITIONAL or field == "task" or field in IN_FILES_ONLY:
            continue
        assert "--" + place.flag.replace("_", "-") in text, place.path
    assert "(default: 0.0001)" in text
    assert "(default: Conv5_FC3)" in text


def test_what_was_not_said_is_left_out():
    nested = parse("caps", "x", "tables", "maps")
    assert set(nested) == {"data"}
    assert set(nested["data"]) == set(POSITIONAL)


@pytest.mark.parametrize(
    "words",
    [
        ("caps", "x", "tables", "maps", "--diagnoses", "AD", "CN"),
        ("--diagnoses", "AD", "CN", "caps", "x", "tables", "maps"),
        ("caps", "--diagnoses", "AD", "CN", "x", "tables", "maps"),
        ("--diagnoses", "AD", "--diagnoses", "CN", "caps", "x", "tables", "maps"),
        ("caps", "x", "tables", "maps", "-d", "AD", "CN", "--epochs", "3"),
        ("-d", "AD", "CN", "--epochs", "3", "caps", "x", "tables", "maps"),
        ("--diagnoses=AD", "--diagnoses=CN", "caps", "x", "tables", "maps"),
    ],
    ids=" ".join,
)
def test_a_list_takes_several_words_or_the_flag_again(words):
    nested = parse(*words)
    assert nested["data"]["diagnoses"] == ("AD", "CN")
    assert nested["data"]["tsv_directory"].name == "tables"
    assert seen["maps"] == "maps"


@given(
    st.lists(st.sampled_from(["AD", "CN", "MCI"]), min_size=1, max_size=4),
    st.lists(st.integers(0, 9), max_size=3),
    st.booleans(),
)
def test_lists_and_positional_arguments_never_mix(diagnoses, splits, positional_first):
    lists = ["--diagnoses", *diagnoses, *(["--split", *map(str, splits)] if splits else [])]
    positional = ["caps", "x", "tables", "maps"]
    nested = parse(
        *(positional + lists if positional_first else [*lists, "--epochs", "2", *positional])
    )
    assert nested["data"]["diagnoses"] == tuple(diagnoses)
    assert nested.get("validation", {}).get("split", ()) == tuple(splits)


@pytest.mark.parametrize("flag", ["--batch_size", "--batch-size"])
def test_dashes_and_underscores_mean_the_same(flag):
    assert parse("caps", "x", "t", "maps", flag, "3")["optimization"] == {"batch_size": 3}


@pytest.mark.parametrize(
    ("words", "section", "expected"),
    [
        (("--unnormalize",), "transforms", {"normalize": False}),
        (("--no-gpu",), "compute", {"gpu": False}),
        (("--gpu",), "compute", {"gpu": True}),
        (("-np", "1"), "compute", {"n_proc": 1}),
        (("-lr", "0.1", "-wd", "0"), "optimization", {"learning_rate": 0.1, "weight_decay": 0.0}),
        (("-a", "Conv4_FC3"), "network", {"name": "Conv4_FC3"}),
        (("-sm", "BA", "loss"), "task", {"selection_metrics": ("BA", "loss")}),
        (("--save_all_models",), "optimization", {"save_all_models": True}),
    ],
)
def test_published_flags_set_their_setting(words, section, expected):
    assert parse("caps", "x", "t", "maps", *words)[section] == expected


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--epochs", "0"), "x>=1"),
        (("--epochs", "many"), "not a valid integer"),
        (("--dropout", "1"), "0<=x<1"),
        (("-a", "Conv5-FC3"), "Conv5_FC3"),
        (("--epoch", "3"), "--epochs"),
        (("--batch_size",), "requires an argument"),
        (("--diagnoses",), "requires an argument"),
    ],
)
def test_a_wrong_flag_is_refused_and_the_right_one_is_named(words, complaint):
    result = CliRunner().invoke(example, ["caps", "x", "t", "maps", *words])
    assert result.exit_code == 2
    assert complaint in result.output


def test_a_missing_argument_is_named():
    result = CliRunner().invoke(example, ["caps", "x", "t"])
    assert result.exit_code == 2
    assert "MAPS" in result.output


@pytest.mark.parametrize("task", TASKS)
def test_a_command_may_have_the_settings_of_one_row_and_a_default_of_its_own(task):
    @click.command(cls=Command)
    @options_of(
        ExperimentConfig, without=("task",), rows={"task": task}, defaults={"network": "Mine"}
    )
    def command(**flags):
        del flags

    text = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    own = {place.path[-1] for place in places(TASKS[task])} - IN_FILES_ONLY - {"name"}
    every = {place.path[-1] for row in TASKS.values() for place in places(row)} - {"name"}
    found = {name for name in every if f"--{name.replace('_', '-')}" in text}
    assert found == own
    assert "(default: Mine)" in text


def test_no_two_settings_share_a_flag():
    named = [
        (place.said("short") or place.flag, parameter(place)) for place in places(ExperimentConfig)
    ]
    owners = {}
    for flag, name in named:
        owners.setdefault(flag, set()).add(name)
    assert {flag: names for flag, names in owners.items() if len(names) > 1} == {}


@pytest.mark.parametrize(("row", "shown"), [("patch", "default: 50"), ("cube", "default: 8")])
def test_settings_of_one_name_are_those_of_the_row_that_was_chosen(monkeypatch, row, shown):
    class Cube(Choice):
        name: str = "cube"
        patch_size: int = setting(8, "Edge of a cube of another package")

    rows = {MODES_GROUP: {"cube": Cube}}
    monkeypatch.setattr(base, "_declared", lambda group: rows.get(group, {}))

    @click.command("example", cls=Command)
    @options_of(PrepareConfig, rows={"mode": row})
    def command(**flags): ...

    text = CliRunner().invoke(command, ["--help"]).output
    assert text.count("--patch-size") == 1
    assert shown in text.partition("--patch-size")[2].partition("--")[0]
    assert ("--stride-size" in text) == (row == "patch")
    assert "--roi-list" not in text
