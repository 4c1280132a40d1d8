"""What the form is told: by the model of the command line, in its words."""

from __future__ import annotations

import json
import tomllib

import pandas as pd
import pytest

from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.network import NETWORKS
from clinicadl.config.read import experiment, settings, to_toml
from clinicadl.engine.plan import plan
from clinicadl.errors import UsageError
from clinicadl.gui.answers import DOWNLOADED, Desk, answer, opened
from clinicadl.networks.listing import list_models

DATA = {"caps_directory": "caps", "preprocessing_json": "t1", "tsv_directory": "split"}


def told(address, given=None, *, desk=None, **more):
    body = {"settings": {"data": DATA} if given is None else given, **more}
    return json.loads(answer(address, body, desk or Desk(None)))


def checked(given):
    found = told("/check", given)
    assert found["ok"]
    return [(".".join(one["path"]), one["message"]) for one in found["problems"]]


def test_all_experiments_that_can_be_used_are_said_to_be(experiments):
    for one in experiments:
        assert checked(json.loads(experiment(one).model_dump_json())) == []


@pytest.mark.parametrize(
    ("section", "place"),
    [
        ({"optimization": {"epochs": 0}}, "optimization.epochs"),
        ({"optimization": {"epochs": "many"}}, "optimization.epochs"),
        ({"optimization": {"epoch": 3}}, "optimization.epoch"),
        ({"network": {"name": "Conv5"}}, "network"),
        ({"network": {"name": "Conv5_FC3", "unet_levels": 3}}, "network.unet_levels"),
        ({"network": {"name": "RandomArchitecture", "n_fcblocks": 1}}, "network.convolutions_dict"),
        ({"task": {"selection_metrics": ["B_A"]}}, "task.selection_metrics"),
        ({"task": {"label_smoothing": 0.1, "loss": "MultiMarginLoss"}}, "task"),
        ({"transforms": {"augmentation": [{"name": "Noise", "std": -1}]}},
         "transforms.augmentation.0.std"),
        ({"transforms": {"size_reduction_factor": 3}}, "transforms"),
        ({"tracking": {"emissions_country": "France"}}, "tracking.emissions_country"),
        ({"validation": {"n_splits": 1}}, "validation.n_splits"),
    ],
)  # fmt: skip
def test_a_problem_stands_at_its_setting_in_the_words_of_the_command_line(section, place):
    given = {"data": DATA, **section}
    with pytest.raises(UsageError) as refused:
        settings(ExperimentConfig, given)
    assert checked(given) == [(place, str(refused.value))]


def test_all_problems_are_named_at_once():
    given = {"data": {}, "optimization": {"epochs": 0, "batch_size": 0}, "compute": {"n_proc": -1}}
    assert [place for place, _ in checked(given)] == [
        "data.caps_directory", "data.preprocessing_json", "data.tsv_directory",
        "optimization.epochs", "optimization.batch_size", "compute.n_proc",
    ]  # fmt: skip


def test_a_network_that_cannot_learn_the_task_is_a_problem():
    ((place, message),) = checked({"data": DATA, "network": {"name": "AE_Conv5_FC3"}})
    assert place == "network.name"
    assert "not for classification, but for reconstruction" in message


def test_the_command_names_the_maps_and_the_file(tmp_path):
    found = told("/command", maps="my maps")
    assert found["command"] == "clinicadl train classification caps t1 split 'my maps'"
    assert found["file"] is None
    coded = {"data": DATA, "task": {"label_code": {"AD": 1, "CN": 0}}}
    assert told("/command", coded)["file"] == DOWNLOADED
    desk = Desk(tmp_path / "own.toml")
    assert told("/command", coded, desk=desk)["file"] == str(tmp_path / "own.toml")


def test_toml_and_settings_are_one(experiments, tmp_path):
    for one in experiments:
        config = experiment(one)
        values = json.loads(config.model_dump_json())
        assert told("/toml", values)["toml"] == to_toml(config)
        assert told("/open", text=to_toml(config), name="a.toml")["values"] == values


def test_the_folders_may_be_left_to_the_command():
    found = told("/toml", {"data": {"tsv_directory": "split"}, "optimization": {"epochs": 3}})
    written = tomllib.loads(found["toml"])
    assert written["data"]["tsv_directory"] == "split"
    assert "caps_directory" not in written["data"]
    values = told("/open", text=found["toml"], name="a.toml")["values"]
    assert values["data"]["tsv_directory"] == "split"
    assert "preprocessing_json" not in values["data"]
    assert values["optimization"]["epochs"] == 3


def test_files_of_release_1_6_open():
    text = '[Model]\narchitecture = "Conv4_FC3"\n[Optimization]\nepochs = 7\n'
    values = told("/open", text=text, name="old.toml")["values"]
    assert values["network"]["name"] == "Conv4_FC3"
    assert values["optimization"]["epochs"] == 7


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epochs = ", "own.toml"),
        ("[optimization]\nepoch = 3\n", "epochs"),
        ("[optimization]\nlearning_rate = inf\nepochs = 0\n", "optimization.epochs"),
    ],
)
def test_a_file_that_is_wrong_is_refused_in_its_name(text, words):
    found = told("/open", text=text, name="own.toml")
    assert not found["ok"]
    assert words in found["message"]
    assert "own.toml" in found["message"]


def test_what_json_cannot_say_is_refused():
    found = told("/open", text="[optimization]\nlearning_rate = inf\n", name="own.toml")
    assert not found["ok"]
    assert "finite" in found["message"]


def test_save_writes_the_file_of_the_command_line_and_no_other(tmp_path):
    file = tmp_path / "own.toml"
    desk = opened(file)
    given = {"data": DATA, "optimization": {"epochs": 3}}
    assert told("/save", given, desk=desk) == {"ok": True, "saved": str(file)}
    assert experiment({}, file=file) == experiment(given)
    given["optimization"]["epochs"] = 4
    assert told("/save", given, desk=desk)["ok"]
    assert desk.values["optimization"]["epochs"] == 4
    # What cannot be used is not written.
    given["optimization"]["epochs"] = 0
    assert not told("/save", given, desk=desk)["ok"]
    assert experiment({}, file=file).optimization.epochs == 4
    assert [path.name for path in tmp_path.iterdir()] == ["own.toml"]
    assert "no file" in told("/save", given={"data": DATA})["message"]


def test_what_somebody_else_wrote_meanwhile_is_not_overwritten(tmp_path):
    file = tmp_path / "own.toml"
    desk = opened(file)
    file.write_text("# mine\n")
    found = told("/save", desk=desk)
    assert not found["ok"]
    assert "changed since it was opened" in found["message"]
    assert file.read_text() == "# mine\n"
    assert told("/save", desk=opened(file))["ok"]


@pytest.fixture(scope="module")
def tiny(prepared_once, config_of):
    """The settings of an experiment on real tables and tensors."""
    return json.loads(config_of(prepared_once).model_dump_json())


def test_the_images_are_those_that_the_training_reads(tiny, prepared_once, config_of):
    found = told("/images", tiny)
    planned = plan(config_of(prepared_once))
    assert found == {
        "ok": True, "mode": "image", "n_parts": 1, "input_shape": list(planned.input_shape),
    }  # fmt: skip


def test_the_network_is_that_of_the_plan(tiny, prepared_once, config_of):
    found = told("/network", tiny)
    planned = plan(config_of(prepared_once))
    network = planned.config.network.build(planned.input_shape, planned.task.n_outputs)
    assert found["n_parameters"] == sum(one.numel() for one in network.parameters())
    assert found["n_parameters"] == sum(one["n_parameters"] for one in found["layers"])
    assert found["layers"][-1]["output"] == [planned.task.n_outputs]
    assert found["memory"]["total"] == f"{planned.needed.total / 1e9:.1f} GB"


FAMILIES = {row.builds.partition(":")[0]: name for name, row in reversed(NETWORKS.items())
            if row.n_domains == 1}  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES.values())
def test_a_network_of_every_family_is_shown_without_images(name):
    row = NETWORKS[name]
    example = f"{row.example[0]}@{'x'.join(map(str, row.example[1:]))}"
    (listed,) = [one for one in list_models() if one.name == name]
    task = {"name": "regression"} if "regression" in row.tasks else {"name": row.tasks[0]}
    more = {"label": ["a", "b"]} if task["name"] == "regression" else {}
    given = {
        "data": DATA, "network": {"name": name, **row.needed}, "task": {**task, **more},
        "optimization": {"batch_size": 2}, "compute": {"gpu": False},
    }  # fmt: skip
    found = told("/network", given, input_size=example)
    assert found["ok"], found
    assert found["n_parameters"] == listed.n_parameters


def test_as_many_classes_as_are_named_are_told_apart():
    given = {"data": {**DATA, "diagnoses": ["AD", "CN", "MCI"]}, "compute": {"gpu": False}}
    assert told("/network", given, input_size="1@80x96x80")["n_outputs"] == 3
    given["task"] = {"label_code": {"a": 0, "b": 1, "c": 2, "d": 3}}
    assert told("/network", given, input_size="1@80x96x80")["n_outputs"] == 4
    given["task"] = {"label": "sex"}
    assert told("/network", given, input_size="1@80x96x80")["n_outputs"] == 2


@pytest.mark.parametrize(
    ("size", "words"), [("80x96x80", "C@HxW"), ("1@4x4x4", "Conv5_FC3"), (None, "split")]
)
def test_a_network_that_cannot_be_is_refused(size, words):
    found = told("/network", {"data": DATA, "network": {"name": "ResNet3D"}} if size == "1@4x4x4"
                 else None, input_size=size)  # fmt: skip
    assert not found["ok"]
    assert words.replace("Conv5_FC3", "ResNet3D") in found["message"]


def test_the_splits_are_counted_as_in_their_tables(tiny, prepared_once):
    found = told("/splits", tiny)
    assert [one["number"] for one in found["splits"]] == [0, 1]
    assert [one["is_trained"] for one in found["splits"]] == [True, False]
    assert found["findings"] == []
    assert not found["is_refused"]
    for split in found["splits"]:
        folder = prepared_once / "split" / "2_fold" / f"split-{split['number']}"
        for name, table in (("train", "train.tsv"), ("validation", "validation_baseline.tsv")):
            (one,) = [one for one in split["sets"] if one["name"] == name]
            read = pd.read_csv(folder / table, sep="\t")
            people = read.drop_duplicates("participant_id")
            assert one["n_sessions"] == len(read)
            assert one["participants"] == list(people["participant_id"])
            age = people["age"]
            assert one["cells"]["age"] == (
                f"{age.mean():.1f} ± {age.std():.1f} ({age.min()} to {age.max()})"
            )
            for column in ("diagnosis", "sex"):
                counts = people[column].value_counts().sort_index()
                assert one["cells"][column] == ", ".join(f"{key} {n}" for key, n in counts.items())


def test_the_guard_is_heard_before_anything_is_trained(tiny, prepared):
    folder = prepared / "split" / "2_fold" / "split-0"
    stranger = pd.read_csv(folder / "validation_baseline.tsv", sep="\t").head(1)
    train = pd.read_csv(folder / "train.tsv", sep="\t")
    pd.concat([train, stranger]).to_csv(folder / "train.tsv", sep="\t", index=False)
    data = {**tiny["data"], "caps_directory": str(prepared),
            "tsv_directory": str(prepared / "split" / "2_fold")}  # fmt: skip
    found = told("/splits", {**tiny, "data": data})
    assert found["is_refused"]
    said = " ".join(one["sentence"] for one in found["findings"] if one["severity"] == "refuse")
    assert stranger["participant_id"].iloc[0] in said


def test_absent_tables_are_named():
    found = told("/splits")
    assert not found["ok"]
    assert "split" in found["message"]
