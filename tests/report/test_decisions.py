"""What validation makes of probabilities, against scikit-learn and the definitions."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, log_loss, recall_score

from clinicadl import ReportConfig, write_report
from clinicadl.draws import generator
from clinicadl.layouts.maps import folder, names
from clinicadl.report import decisions, results

N = 120


def predictions(seed: int) -> pd.DataFrame:
    """Two sessions of each of some participants, whose model is too sure of itself."""
    stream = generator(seed, "decisions")
    true = stream.integers(2, size=N)
    logit = 2.5 * (true - 0.3 + stream.normal(0, 1.1, N))
    share = 1 / (1 + np.exp(-logit))
    who = [f"sub-{seed}{number // 2:03d}" for number in range(N)]
    return pd.DataFrame(
        {
            "participant_id": who, "session_id": ["ses-M000", "ses-M012"] * (N // 2),
            "image_id": 0, "true_label": true, "predicted_label": (share > 0.5).astype(int),
            "proba0": 1 - share, "proba1": share,
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def judged(trained_once, tmp_path_factory):
    """A MAPS with such predictions of validation, and of a test group."""
    maps = tmp_path_factory.mktemp("decisions") / "maps"
    shutil.copytree(trained_once, maps)
    tables = predictions(1), predictions(2)
    group = folder.read_group(maps, "validation", 0)
    folder.write_group(
        maps, "test", tables[1][["participant_id", "session_id"]].assign(cohort="single"),
        group.origin, overwrite=False,
    )  # fmt: skip
    best = names.best(maps, 0, "loss")
    shutil.copytree(best / "validation", best / "test")
    for path in [*(best / "test").glob("validation_*")]:
        path.rename(path.with_name(path.name.replace("validation", "test")))
    for name, table in zip(("validation", "test"), tables, strict=True):
        table.to_csv(names.predictions(best / name, "image"), sep="\t", index=False)
    return maps, *tables


@pytest.fixture(scope="module")
def decided(judged):
    maps, *_ = judged
    record = folder.open_maps(maps).record
    tested = [one for one in results.read(maps) if one.group == "test"]
    (found,) = decisions.decided(maps, record, tested)
    return found


def test_the_temperature_is_that_of_validation(judged, decided):
    _, known, said = judged
    losses = {}
    for degree in (decided.temperature * factor for factor in (0.98, 1, 1.02)):
        logit = np.log(known["proba1"] / known["proba0"]) / degree
        losses[degree] = log_loss(known["true_label"], 1 / (1 + np.exp(-logit)))
    assert min(losses, key=losses.get) == decided.temperature
    assert decided.temperature > 1
    logit = np.log(said["proba1"] / said["proba0"]) / decided.temperature
    for value, share in zip(
        decided.calibration["Brier"], (said["proba1"], 1 / (1 + np.exp(-logit))), strict=True
    ):
        assert value == pytest.approx(brier_score_loss(said["true_label"], share))


def test_the_threshold_is_the_best_of_validation_and_judged_on_the_group(judged, decided):
    _, known, said = judged
    positive = 0  # the metrics of the tiny experiment are about its first class
    column, is_positive = f"proba{positive}", known["true_label"] == positive
    best = balanced_accuracy_score(is_positive, known[column] >= decided.threshold)
    for other in np.linspace(0, 1, 501):
        assert best >= balanced_accuracy_score(is_positive, known[column] >= other) - 1e-12
    at = {metric.name: metric for metric in decided.at_threshold}
    truth, called = said["true_label"] == positive, said[column] >= decided.threshold
    assert at["BA"].value == pytest.approx(balanced_accuracy_score(truth, called))
    assert at["sensitivity"].value == pytest.approx(recall_score(truth, called))
    assert at["BA"].low < at["BA"].value < at["BA"].high


def test_sets_hold_the_truth_of_one_image_of_each_participant(judged, decided):
    _, known, said = judged
    first, asked = (table[table["session_id"] == "ses-M000"] for table in (known, said))
    own = np.where(first["true_label"] == 1, first["proba1"], first["proba0"])
    limit = np.sort(1 - own)[int(np.ceil((len(own) + 1) * 0.9)) - 1]
    in_it = 1 - asked[["proba0", "proba1"]].to_numpy() <= limit
    right = in_it[np.arange(len(asked)), asked["true_label"]]
    sets = decided.sets
    assert sets.n == len(asked) == N // 2
    assert sets.coverage == pytest.approx(right.mean())
    assert sets.mean_size == pytest.approx(in_it.sum(1).mean())
    assert sets.n_one == (in_it.sum(1) == 1).sum()
    assert sets.low < sets.coverage <= sets.high


@pytest.mark.parametrize("form", ["html", "md", "json"])
def test_they_are_in_the_report(judged, decided, form, tmp_path):
    path = tmp_path / "report"
    config = ReportConfig(maps_directory=judged[0], format=form, output=path, examples=0)
    text = write_report(config).read_text()
    if form == "json":
        assert f'"temperature": {decided.temperature}' in text
    else:
        assert f"{decided.sets.coverage:.3f}" in text
        assert f"{decided.threshold:.3f}" in text


def test_a_validation_that_lacks_a_class_tells_nothing(judged, tmp_path):
    maps = tmp_path / "maps"
    shutil.copytree(judged[0], maps)
    path = names.predictions(names.results(maps, 0, "loss", "validation"), "image")
    judged[1].assign(true_label=0).to_csv(path, sep="\t", index=False)
    record = folder.open_maps(maps).record
    tested = [one for one in results.read(maps) if one.group == "test"]
    assert [*decisions.decided(maps, record, tested)] == []


def test_a_small_validation_makes_no_sets(judged, tmp_path):
    maps = tmp_path / "maps"
    shutil.copytree(judged[0], maps)
    path = names.predictions(names.results(maps, 0, "loss", "validation"), "image")
    judged[1].head(16).to_csv(path, sep="\t", index=False)
    record = folder.open_maps(maps).record
    tested = [one for one in results.read(maps) if one.group == "test"]
    (found,) = decisions.decided(maps, record, tested)
    assert found.sets is None
    assert "too few participants" in write_report(ReportConfig(maps_directory=maps)).read_text()
