"""What is searched is told from what is fixed, and what cannot be is refused."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from clinicadl.errors import UsageError
from clinicadl.search.laws import Numbers, OneOf
from clinicadl.search.space import Answers, absolute, items, point, searched

names = st.text("abcdefg", min_size=1, max_size=4)
whole = st.integers(1, 40)
rates = st.floats(1e-6, 0.5)


def laws(**experiment):
    return {one.name: one.law for one in searched(items(experiment))}


def test_a_range_is_of_the_type_of_its_setting():
    found = laws(
        optimization={
            "learning_rate": {"low": 1e-5, "high": 1e-2, "log": True},
            "epochs": {"low": 2, "high": 10, "step": 3},
            "optimizer": ["Adam", "SGD"],
        }
    )
    assert found == {
        "optimization.optimizer": OneOf(("Adam", "SGD")),
        "optimization.learning_rate": Numbers(1e-5, 1e-2, is_log=True),
        "optimization.epochs": Numbers(2, 8, step=3, are_integers=True),
    }


def test_a_list_is_a_value_where_the_setting_is_a_list():
    assert laws(task={"selection_metrics": ["loss", "BA"]}) == {}
    assert laws(data={"channels": {"choice": [["a"], ["a", "b"]]}}) == {
        "data.channels": OneOf((["a"], ["a", "b"]))
    }


def test_settings_follow_the_chosen_row():
    of = items(
        {
            "network": {
                "name": ["Conv5_FC3", "ResNet3D", "RandomArchitecture"],
                "dropout": {"low": 0.0, "high": 0.5},
                "ResNet3D": {"dropout": {"low": 0.6, "high": 0.9}},
                "network_normalization": ["BatchNorm", "InstanceNorm"],
            },
            "optimization": {
                "schedule": {"choice": ["constant", "step"]},
            },
        }
    )
    both = {"network", "network.dropout", "optimization.schedule"}
    assert point(of, Answers({})).raw.keys() == both
    found = point(of, Answers({"network": "ResNet3D", "optimization.schedule": "step"}))
    assert found.raw.keys() == both | {"network.ResNet3D.dropout"}
    # What is said of the row alone stands behind what is said of all.
    assert found.experiment["network"] == {"name": "ResNet3D", "dropout": 0.6}
    assert found.experiment["optimization"]["schedule"] == {"name": "step"}
    found = point(of, Answers({"network": "RandomArchitecture"}))
    assert found.raw.keys() == both | {"network.network_normalization"}


def test_a_row_within_a_row_is_found():
    of = items({"optimization": {"schedule": {"name": "step", "step_factor": [0.1, 0.5]}}})
    found = point(of, Answers({"optimization.schedule.step_factor": 0.5}))
    assert found.experiment == {"optimization": {"schedule": {"name": "step", "step_factor": 0.5}}}


def test_a_normal_distribution_ends_where_the_setting_does():
    how = laws(optimization={"learning_rate": {"normal": [1e-3, 1e-2]}})[
        "optimization.learning_rate"
    ]
    assert 0 < how.low < 1e-300 and how.high == float("inf")
    how = laws(optimization={"epochs": {"normal": [5, 20], "high": 9}})["optimization.epochs"]
    assert (how.low, how.high) == (1, 9)


numbers = st.builds(lambda low, more: {"low": low, "high": low + more}, whole, whole)
logs = st.builds(lambda low, f: {"low": low, "high": low * f, "log": True}, rates, st.floats(2, 9))
settings_ = st.fixed_dictionaries(
    {},
    optional={
        "optimization": st.fixed_dictionaries(
            {},
            optional={
                "epochs": whole | numbers | st.lists(whole, min_size=2, unique=True),
                "learning_rate": rates | logs,
                "optimizer": st.sampled_from(
                    ["Adam", ["Adam", "SGD"], {"choice": ["SGD", "ASGD"]}]
                ),
            },
        ),
        "network": st.fixed_dictionaries(
            {"name": st.sampled_from(["Conv5_FC3", ["Conv5_FC3", "Conv4_FC3"]])},
            optional={"dropout": st.just(0.1) | st.just({"low": 0.1, "high": 0.2})},
        ),
    },
)


@given(written=settings_)
def test_what_is_written_as_toml_is_the_same_space(written):
    again = tomllib.loads(tomli_w.dumps(written))
    before, after = items(written), items(again)
    assert [(one.name, one.value, one.law) for one in before] == [
        (one.name, one.value, one.law) for one in after
    ]
    assert absolute(before, written) == again


def test_places_are_whole_wherever_the_search_goes_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.json").touch()
    written = {
        "data": {"caps_directory": "caps", "preprocessing_json": ["p.json", "tiny"]},
        "transfer": {"transfer_path": "maps"},
    }
    found = absolute(items(written), written)
    assert found == {
        "data": {
            "caps_directory": str(tmp_path / "caps"),
            "preprocessing_json": {"choice": [str(tmp_path / "p.json"), "tiny"]},
        },
        "transfer": {"transfer_path": str(tmp_path / "maps")},
    }


@pytest.mark.parametrize(
    ("section", "setting", "value", "message"),
    [
        ("optimization", "learning_rate", {"lo": 1}, "neither a value nor a distribution"),
        ("optimization", "learning_rate", {"low": 1}, "high is missing"),
        ("optimization", "learning_rate", {"low": 2, "high": 1}, "ends, at 1, where it begins"),
        ("optimization", "learning_rate", {"low": 0, "high": 1, "log": True}, "above 0 only"),
        ("optimization", "learning_rate", {"low": 1, "high": 2, "lgo": True}, "lgo is not known"),
        ("optimization", "learning_rate", {"low": 1, "high": 2, "step": 3}, "leads out of the"),
        ("optimization", "learning_rate", {"normal": [1, 0]}, "must be above 0"),
        ("optimization", "epochs", {"low": 1.5, "high": 2}, "whole number"),
        ("optimization", "optimizer", {"low": 1, "high": 2}, "no number, so it has no range"),
        ("optimization", "optimizer", ["Adam"], "at least 2 items"),
        ("optimization", "optimizer", ["Adam", "Adam"], "stands there twice: Adam"),
        ("data", "tsv_directory", ["a", "b"], "cannot be searched.*the same for all trials"),
        ("validation", "n_splits", {"low": 2, "high": 3}, "cannot be searched"),
        ("task", "name", ["classification", "regression"], "cannot be searched"),
        ("network", "name", {"low": 1, "high": 2}, "has no range"),
    ],
)  # fmt: skip
def test_what_cannot_be_searched_is_refused_by_its_place(section, setting, value, message):
    with pytest.raises(UsageError, match=message) as refused:
        items({section: {setting: value}}, where=Path("search.toml"))
    assert str(refused.value.where).startswith("search.toml")


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"name": ["Conv5_FC3", "ResNet3D"], "patch": 3}, "patch belongs to none of Conv5_FC3, R"),
        ({"name": ["Conv5_FC3", "ResNet3D"], "Conv4_FC3": {"dropout": 0.1}}, "have no effect"),
    ],
)
def test_settings_of_rows_that_are_not_searched_are_refused(network, message):
    with pytest.raises(UsageError, match=message):
        items({"network": network})
