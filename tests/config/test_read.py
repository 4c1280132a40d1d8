"""From files, flags and defaults to a configuration, and back."""

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from clinicadl.config.autoencoders import UNet
from clinicadl.config.base import places
from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.names import nearest
from clinicadl.config.read import experiment, json_schema, to_toml, words
from clinicadl.config.tables import KFoldConfig
from clinicadl.config.task import TASKS, Reconstruction
from clinicadl.errors import InvalidDataError, MissingInputError, UsageError

DATA = {"caps_directory": "caps", "preprocessing_json": "x", "tsv_directory": "tables"}


def written(tmp_path, text):
    path = tmp_path / "experiment.toml"
    path.write_text(text)
    return path


@given(
    st.fixed_dictionaries(
        {
            "optimization": st.fixed_dictionaries(
                {}, optional={"epochs": st.integers(1, 99), "learning_rate": st.floats(1e-6, 1)}
            ),
            "network": st.fixed_dictionaries(
                {"name": st.sampled_from(["Conv5_FC3", "Conv4_FC3"])},
                optional={"dropout": st.floats(0, 0.9)},
            ),
            "data": st.fixed_dictionaries(
                {key: st.just(value) for key, value in DATA.items()},
                optional={"diagnoses": st.lists(st.text("ADCN", min_size=1), min_size=1)},
            ),
        }
    )
)
def test_what_is_written_as_toml_reads_back_the_same(tmp_path_factory, given_values):
    config = experiment(given_values)
    path = written(tmp_path_factory.mktemp("toml"), to_toml(config))
    assert experiment({}, file=path) == config


def test_flags_win_over_the_file_and_the_file_over_defaults(tmp_path):
    path = written(tmp_path, "[optimization]\nepochs = 7\nbatch_size = 3\n")
    config = experiment({"data": DATA, "optimization": {"epochs": 9}}, file=path)
    settings = config.optimization
    assert (settings.epochs, settings.batch_size, settings.patience) == (9, 3, 0)


def test_another_network_on_the_command_line_drops_the_parameters_of_the_file(tmp_path):
    path = written(tmp_path, '[network]\nname = "Conv5_FC3"\ndropout = 0.4\n')
    kept = experiment({"data": DATA}, file=path)
    assert kept.network.dropout == 0.4
    replaced = experiment({"data": DATA, "network": {"name": "Conv4_FC3"}}, file=path)
    assert replaced.network.dropout == 0.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[optimization]\nepoch = 3\n", ("epoch", "epochs", "experiment.toml")),
        ("[optimisation]\nepochs = 3\n", ("optimisation", "optimization", "experiment.toml")),
        ("[network]\nname = 'Conv5'\n", ("Conv5", "Conv5_FC3", "experiment.toml")),
        ("[network]\nname = 'Conv5_FC3'\ndropuot = 0.1\n", ("dropuot", "dropout")),
        ("[task]\nselection_metrics = ['B_A']\n", ("B_A", "BA", "experiment.toml")),
        ("[optimization]\nepochs = 0\n", ("greater than or equal to 1", "optimization.epochs")),
        ("[optimization]\nepochs = 'many'\n", ("many", "optimization.epochs")),
        ("epochs = \n", ("not TOML", "experiment.toml")),
    ],
)
def test_a_mistake_in_a_file_is_laid_at_its_door(tmp_path, text, words):
    with pytest.raises(InvalidDataError) as caught:
        experiment({"data": DATA}, file=written(tmp_path, text))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MissingInputError, match="absent.toml"):
        experiment({}, file=tmp_path / "absent.toml")


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"validation": {"n_splits": 1}}, ("--n_splits", "at least 2")),
        ({"validation": {"n_splits": 3, "split": [3]}}, ("split 3 does not exist", "0 to 2")),
        ({"task": {"name": "classification", "selection_metrics": ["BA", "BA"]}}, ("twice",)),
        ({"network": {"name": "Conv4_FC3", "dropout": 1.0}}, ("--dropout", "less than 1")),
    ],
)
def test_a_mistake_in_a_flag_names_the_flag(sections, words):
    with pytest.raises(UsageError) as caught:
        experiment({"data": DATA, **sections})
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_parameters_without_a_name_are_those_of_the_default_row(tmp_path):
    config = experiment({"data": DATA, "network": {"dropout": 0.2}})
    assert (config.network.name, config.network.dropout) == ("Conv5_FC3", 0.2)
    path = written(tmp_path, '[network]\nname = "Conv4_FC3"\n')
    config = experiment({"data": DATA, "network": {"dropout": 0.2}}, file=path)
    assert (config.network.name, config.network.dropout) == ("Conv4_FC3", 0.2)


def test_the_network_that_nobody_names_is_that_of_the_task(tmp_path):
    default = TASKS["reconstruction"].default_network
    for task in ("reconstruction", {"name": "reconstruction"}, Reconstruction()):
        assert experiment({"data": DATA, "task": task}).network.name == default
    assert experiment({"data": DATA, "task": "regression"}).network.name == "Conv5_FC3"
    for network in ("UNet", {"name": "UNet"}, UNet()):
        named = {"data": DATA, "task": "reconstruction", "network": network}
        assert experiment(named).network.name == "UNet"
    path = written(tmp_path, "[network]\nlatent_space_size = 3\n")
    with pytest.raises(InvalidDataError, match="does not belong to the network that was chosen"):
        experiment({"data": DATA, "task": {"name": "reconstruction"}}, file=path)


def test_a_file_without_the_name_of_its_task_is_judged_as_one_for_the_command(tmp_path):
    path = written(tmp_path, '[task]\nlabel = ["age", "mmse"]\n')
    config = experiment({"data": DATA, "task": {"name": "regression"}}, file=path)
    assert config.task.labels == ("age", "mmse")
    with pytest.raises(InvalidDataError, match=r"task\.label"):
        experiment({"data": DATA, "task": {"name": "classification"}}, file=path)


@pytest.mark.parametrize(
    ("task", "metric", "near"),
    [("regression", "R2", "R2_score"), ("reconstruction", "SIM", "SSIM"), ("regression", "BA", "")],
)
def test_a_metric_of_another_task_is_refused(task, metric, near):
    given = {"data": DATA, "task": {"name": task, "selection_metrics": [metric]}}
    with pytest.raises(UsageError, match=rf"'{metric}' is not a metric of this task.*{near}"):
        experiment(given)


def test_a_configuration_is_frozen():
    config = experiment({"data": DATA})
    with pytest.raises(ValueError, match="frozen"):
        config.optimization.epochs = 3


def test_the_schema_accepts_what_we_write_and_refuses_an_unknown_key():
    validator = Draft202012Validator(json.loads(json_schema()))
    content = tomllib.loads(to_toml(experiment({"data": DATA})))
    assert list(validator.iter_errors(content)) == []
    content["optimization"]["epoch"] = 3
    assert [error.validator for error in validator.iter_errors(content)] == ["additionalProperties"]


def test_every_setting_says_what_it_means():
    silent = [
        place.path
        for place in places(ExperimentConfig)
        if not place.field.description and place.path != ("task", "name")
    ]
    assert silent == []


@pytest.mark.parametrize(
    ("typed", "meant"), [("epoch", "epochs"), ("BATCH_SIZE", "batch_size"), ("Dropout", "dropout")]
)
def test_the_nearest_name_is_found(typed, meant):
    names = {place.path[-1] for place in places(ExperimentConfig)}
    assert nearest(typed, names)[0] == meant


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, ["a.tsv"]),
        ({"n_splits": 3, "seed": 5}, ["a.tsv", "--n_splits", "3", "--seed", "5"]),
        ({"ignore_demographics": True}, ["a.tsv", "--ignore_demographics"]),
        ({"around": ("b", "c d")}, ["a.tsv", "--around", "b", "c d"]),
        ({"merged_tsv": "-b.tsv"}, ["a.tsv", "--merged_tsv=-b.tsv"]),
    ],
)
def test_settings_become_the_words_that_give_them(said, expected):
    assert words(KFoldConfig(data_tsv="a.tsv", **said), arguments=["data_tsv"]) == expected


def test_the_words_of_sections_and_of_chosen_rows_are_among_them():
    config = experiment(
        {
            "data": DATA,
            "optimization": {"learning_rate": 1e-5},
            "network": {"name": "Conv4_FC3", "dropout": 0.25},
            "transforms": {"normalize": False},
        }
    )
    found = words(config, arguments=["caps_directory", "preprocessing_json", "tsv_directory"])
    assert found[:3] == [str(DATA[name]) for name in DATA]
    assert sorted(found[3:]) == sorted(
        ["--architecture", "Conv4_FC3", "--dropout", "0.25", "--learning_rate", "1e-05",
         "--unnormalize"]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"optimization": {"warmup_epochs": 30}}, "warmup_epochs must be less than epochs"),
        ({"transforms": {"size_reduction_factor": 3}}, "without size_reduction"),
    ],
)
def test_a_rule_between_settings_lays_nothing_at_the_door_of_another(section, words):
    with pytest.raises(UsageError, match=words) as refused:
        experiment({"data": DATA, **section})
    assert refused.value.where is None
