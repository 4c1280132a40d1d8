"""Whatever cannot be is refused before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli_w

from clinicadl import run_search
from clinicadl.errors import InvalidDataError, OutputError, UsageError
from clinicadl.layouts import search
from clinicadl.search import plan


def refused(config, folder, kind, message, file=None):
    with pytest.raises(kind, match=message) as found:
        plan.ready(config, folder, file=file)
    assert not folder.exists()
    return found.value


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"optimization": {"learning_rate": {"low": 0.0, "high": 0.1}}}, "greater than 0"),
        ({"network": {"dropout": {"low": 0.5, "high": 1.0}}}, "less than 1"),
        ({"optimization": {"batch_size": [2, 0]}}, "greater than or equal to 1"),
        ({"optimization": {"optimizer": ["Adam", "Adan"]}}, "input should be 'Adadelta'"),
        ({"optimization": {"learning_rat": 0.1}}, "learning_rat is not known"),
        ({"transforms": {"normalisation": 3}}, "normalisation is not known"),
    ],
)
def test_a_value_outside_of_the_bounds_of_its_setting_is_refused_at_either_end(
    sections, message, search_of, prepared_once, tmp_path
):
    config = search_of(prepared_once, sections=sections)
    error = refused(config, tmp_path / "s", InvalidDataError, message, file=Path("search.toml"))
    assert str(error.where).startswith("search.toml, ")
    assert isinstance(refused(config, tmp_path / "s", UsageError, message), UsageError)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metric": "accuracy"}, "No best model is chosen by the metric"),
        (
            {"sections": {"task": {"loss": ["CrossEntropyLoss", "MultiMarginLoss"]}}},
            "The loss cannot judge trials that have different ones.*task.loss",
        ),
        (
            {"sections": {"network": {"name": "Conv4_FC3"}}},
            "Blocks are drawn of a RandomArchitecture, and no such network",
        ),
        (
            {"architecture": {"n_convblocks": [9, 10], "first_conv_width": 2, "n_fcblocks": 1}},
            "So many blocks leave one element",
        ),
        (
            {
                "architecture": None,
                "sections": {"network": {"name": ["Conv4_FC3", "ResNet3D"]}},
            },
            "ResNet3D cannot take this input",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(
    settings, message, search_of, prepared_once, tmp_path
):
    refused(search_of(prepared_once, **settings), tmp_path / "s", UsageError, message)


def test_a_search_of_nothing_is_refused(search_of, prepared_once, tmp_path):
    config = search_of(
        prepared_once,
        architecture=None,
        sections={
            "network": {"name": "Conv4_FC3", "dropout": 0.1},
            "optimization": {"learning_rate": 0.1, "optimizer": "Adam"},
        },
    )
    refused(config, tmp_path / "s", UsageError, "Nothing is searched")


def test_a_folder_that_holds_something_is_left_alone(search_of, prepared_once, tmp_path):
    (tmp_path / "mine").touch()
    with pytest.raises(OutputError, match="exists already"):
        plan.ready(search_of(prepared_once), tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trials": (9,)}, "trial 9 does not exist"),
        ({"trials": (3,)}, "trial 3 follows from those of earlier rounds"),
        ({"outer_folds": 1}, "one outer fold"),
        ({"outer_folds": 2}, "need each other"),
        ({"pruner": "median"}, "'none' or 'hyperband'"),
    ],
)
def test_settings_of_a_search_are_judged_together(
    settings, message, search_of, prepared_once, tmp_path, invoke
):
    config = search_of(prepared_once)
    section = config.model_dump(mode="json", exclude_unset=True)
    experiment = section.pop("experiment")
    values = {name: list(one) if isinstance(one, tuple) else one for name, one in settings.items()}
    file = tmp_path / "search.toml"
    file.write_text(tomli_w.dumps({**experiment, "search": {**section, **values}}))
    code, _, said = invoke("search", "run", file, tmp_path / "s")
    assert code == 65 and message in said and "search.toml" in said


def test_a_failed_trial_is_no_end_and_all_failed_are_an_error(search_of, prepared_once, tmp_path):
    # A weight decay of such a size makes the loss a number no more.
    config = search_of(
        prepared_once, n_trials=2, n_startup=9,
        sections={
            "optimization": {"epochs": 2, "weight_decay": [1e30, 0.0], "optimizer": "SGD",
                             "learning_rate": {"low": 0.01, "high": 0.02}},
            "network": {"dropout": 0.1},
        },
    )  # fmt: skip
    found = run_search(config.model_copy(update={"n_trials": 4}), tmp_path / "some")
    failed = {one.number: one for one in found.trials if one.state == "failed"}
    assert failed and len(failed) < 4
    assert all(one.settings["optimization.weight_decay"] == 1e30 for one in failed.values())
    assert all("the training cannot go on in split 0" in one.reason for one in failed.values())
    assert found.best.number not in failed
    assert search.read_trials(tmp_path / "some") == list(found.trials)
    config.experiment["optimization"]["weight_decay"] = [1e30, 1e31]
    with pytest.raises(InvalidDataError, match="All trials of the search failed"):
        run_search(config, tmp_path / "none")


def test_a_search_reads_nobody_outside_of_its_splits(search_of, prepared, tmp_path):
    import pandas as pd

    test = pd.read_csv(prepared / "split/test_baseline.tsv", sep="\t")["participant_id"]
    gone = [path for who in test for path in prepared.rglob(f"{who}_*") if path.is_file()]
    assert len(gone) >= 2 * len(test)
    for path in gone:
        path.unlink()
        path.mkdir()  # whoever opens it fails
    found = run_search(search_of(prepared, n_trials=1), tmp_path / "search")
    assert [one.state for one in found.trials] == ["complete"]


def test_a_changed_table_ends_the_search(search_of, prepared, tmp_path):
    from clinicadl import resume_search
    from clinicadl.errors import CannotResumeError

    run_search(search_of(prepared, n_trials=1), tmp_path / "search")
    table = prepared / "split/2_fold/split-0/train.tsv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(CannotResumeError, match="A file changed since the search began.*train.tsv"):
        resume_search(tmp_path / "search", n_trials=2)


def test_the_plan_says_what_is_searched_and_writes_nothing(
    search_of, prepared_once, tmp_path, invoke
):
    section = search_of(prepared_once).model_dump(mode="json", exclude_unset=True)
    experiment = section.pop("experiment")
    file = tmp_path / "search.toml"
    file.write_text(tomli_w.dumps({**experiment, "search": section}))
    code, out, said = invoke("search", "run", file, tmp_path / "s", "--n_trials", 7, "--dry-run")
    assert code == 0, said
    assert "trials: 7, drawn by tpe (seed 0)" in out
    assert "best: the lowest loss of validation" in out
    assert "searched: optimization.learning_rate = {'low': 0.0001" in out
    assert "drawn: architecture.n_convblocks = (1, 3)" in out
    assert f"# would write: {tmp_path / 's'}" in out
    assert [path.name for path in tmp_path.iterdir()] == ["search.toml"]
