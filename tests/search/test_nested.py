"""Outer folds judge what their searches chose, on people whom these never saw."""

from __future__ import annotations

import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

from clinicadl import run_search
from clinicadl.errors import LeakageError, UsageError
from clinicadl.layouts import search
from clinicadl.layouts.maps import folder as maps_folder
from clinicadl.layouts.maps import ledger, outcomes
from clinicadl.search import nested
from clinicadl.search.workers import resume_search

SMALL = {"n_trials": 2, "sampler": "random"}


def outer_of(search_of, caps, **settings):
    config = search_of(
        caps,
        participants_tsv=caps / "labels.tsv",
        outer_folds=2,
        sections={"validation": {"n_splits": 2, "split": []}, "optimization": {"epochs": 1}},
        **{**SMALL, **settings},
    )
    data = {name: one for name, one in config.experiment["data"].items() if name != "tsv_directory"}
    return config.model_copy(update={"experiment": {**config.experiment, "data": data}})


@pytest.fixture(scope="module")
def found(search_of, prepared_once, tmp_path_factory):
    """The searches of two outer folds."""
    folder = tmp_path_factory.mktemp("nested") / "search"
    run_search(outer_of(search_of, prepared_once), folder)
    return folder


def people(path):
    return set(pd.read_csv(path, sep="\t")["participant_id"])


def test_no_search_sees_the_people_that_judge_it(found, prepared_once):
    tests = []
    for fold in nested.chosen(found):
        home = search.outer_tables(found, 2, fold.number)
        test = people(home / "test_baseline.tsv")
        for trial in search.read_trials(search.outer(found, fold.number)):
            assert test.isdisjoint(maps_folder.read_seen(trial.maps)["participant_id"])
        looks = ledger.read(fold.best.maps)
        assert looks["group"].tolist() == [nested.GROUP]
        said = outcomes.read_verdict(fold.best.maps, None, "loss", nested.GROUP)
        assert said.accepted is None
        tests.append(test)
    assert not tests[0] & tests[1]
    assert tests[0] | tests[1] == people(prepared_once / "labels.tsv")


def test_each_person_is_judged_once_and_the_metrics_are_those_of_scikit_learn(found, prepared_once):
    said = pd.read_csv(search.outer_results(found, "predictions"), sep="\t")
    assert sorted(said["participant_id"]) == sorted(people(prepared_once / "labels.tsv"))
    metrics = pd.read_csv(search.outer_results(found, "metrics"), sep="\t", index_col=0)
    expected = balanced_accuracy_score(said["true_label"], said["predicted_label"])
    assert float(metrics.loc["Values", "BA"]) == pytest.approx(expected, abs=1e-12)
    low, high = (float(metrics.loc[f"{end} bound CI", "BA"]) for end in ("Lower", "Upper"))
    assert low <= expected <= high
    table = pd.read_csv(search.outer_results(found, "folds"), sep="\t")
    assert table["participants"].sum() == len(said)
    for fold, row in zip(nested.chosen(found), table.itertuples(), strict=True):
        rows = said[said["fold"] == fold.number]
        of_fold = balanced_accuracy_score(rows["true_label"], rows["predicted_label"])
        assert row.test_BA == pytest.approx(of_fold, abs=1e-12)
        assert row.validation_loss == fold.best.value
        assert (found / row.maps) == fold.best.maps


def test_another_trial_of_a_fold_is_not_evaluated_on_it(found):
    from clinicadl import PredictConfig, predict

    fold = nested.chosen(found)[0]
    other = next(
        one for one in search.read_trials(search.outer(found, 0)) if one.number != fold.best.number
    )
    test = search.outer_tables(found, 2, 0) / "test_baseline.tsv"
    caps = maps_folder.open_maps(other.maps).record.config.data.caps_directory
    config = PredictConfig(caps_directory=caps, participants_tsv=test, gpu=False, n_proc=0)
    with pytest.raises(LeakageError, match="of the same search was evaluated on 10 participants"):
        predict(config, other.maps, "test")


def test_what_is_done_is_not_done_again_and_what_is_lost_is_found_again(found):
    table = search.outer_results(found, "metrics")
    before = table.read_bytes()
    table.unlink()
    resume_search(found)
    assert table.read_bytes() == before
    assert [len(ledger.read(fold.best.maps)) for fold in nested.chosen(found)] == [1, 1]
    with pytest.raises(UsageError, match="do not grow"):
        resume_search(found, n_trials=9)


def test_it_is_shown_by_its_folds(found, invoke):
    code, out, _ = invoke("search", "show", found)
    assert code == 0
    assert "outer fold 0:" in out and "outer fold 1:" in out
    assert "outer BA: " in out and str(search.outer_results(found, "metrics")) in out


@pytest.mark.parametrize(
    ("data", "validation", "message"),
    [
        ({"tsv_directory": "x"}, {}, "make the tables of each search themselves"),
        ({}, {"n_splits": 0}, "needs splits, whose models then speak together"),
    ],
)
def test_settings_that_outer_folds_cannot_judge_are_refused(
    data, validation, message, search_of, prepared_once, tmp_path
):
    config = outer_of(search_of, prepared_once)
    experiment = {**config.experiment}
    experiment["data"] = {**experiment["data"], **data}
    experiment["validation"] = {**experiment["validation"], **validation}
    with pytest.raises(UsageError, match=message):
        run_search(config.model_copy(update={"experiment": experiment}), tmp_path / "search")
    assert not (tmp_path / "search").exists()
