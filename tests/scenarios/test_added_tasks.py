"""A task and metrics from outside: by a file that is named, or by a package."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError

from clinicadl.config import plugins
from clinicadl.config.task import Classification
from clinicadl.errors import UsageError

TASK = '''\
from typing import ClassVar, Literal

from clinicadl.config.base import setting
from clinicadl.config.task import Regression


class Quantile(Regression):
    """Learn a quantile of numbers, such as the median age."""

    builds: ClassVar[str] = "my_tasks:quantile"
    name: Literal["quantile"] = "quantile"
    level: float = setting(0.5, "Share of the truths below the prediction", gt=0, lt=1)


def quantile(settings, codes):
    from dataclasses import replace
    from functools import partial

    from clinicadl.tasks.regression import regression

    return replace(regression(settings, codes), loss=partial(pinball, level=settings.level))


def pinball(outputs, targets, *, level):
    errors = targets - outputs
    return (level * errors).maximum((level - 1) * errors).mean(1)


TASKS = {"quantile": Quantile}
'''

METRICS = """\
from clinicadl.tasks.metrics import ImageMetric, Metric, mae, mse, sensitivity, specificity


def youden(confusion):
    return sensitivity(confusion) + specificity(confusion) - 1


def largest_difference(pair):
    return pair.differences.abs().max().item()


CLASSIFICATION_METRICS = {"Youden": Metric(youden, higher_is_better=True, low=-1, high=1)}
REGRESSION_METRICS = {
    "Variance": Metric(lambda sums: mse(sums) - mae(sums) ** 2, False, 0, float("inf")),
}
RECONSTRUCTION_METRICS = {
    "Largest": ImageMetric(largest_difference, higher_is_better=False, low=0, high=float("inf")),
}
"""


def test_a_task_in_thirty_lines_is_trained_and_predicted(prepared, tmp_path, clinicadl):
    assert len(TASK.splitlines()) <= 30
    path = tmp_path / "my_tasks.py"
    path.write_text(TASK)
    said = clinicadl("train", "--help", "--plugin", path)
    assert "quantile        Learn a quantile of numbers" in said.stdout
    words = ["train", "quantile", prepared, "tiny", prepared / "split/2_fold",
             tmp_path / "maps", "--n_splits", 2, "--split", 0, "--epochs", 1, "-np", 0, "--no-gpu",
             "--level", 0.9, "--label", "age"]  # fmt: skip
    assert clinicadl(*words).returncode == 2
    said = clinicadl(*words, "--plugin", path)
    assert said.returncode == 0, said.stderr
    record = json.loads((tmp_path / "maps/maps.json").read_text())
    assert record["config"]["task"]["name"] == "quantile"
    assert record["config"]["task"]["level"] == 0.9
    group = ["predict", tmp_path / "maps", "test", "--caps_directory", prepared,
             "--participants_tsv", prepared / "split/test_baseline.tsv", "-np", 0,
             "--no-gpu"]  # fmt: skip
    assert clinicadl(*group).returncode == 2
    said = clinicadl(*group, "--plugin", path)
    assert said.returncode == 0, said.stderr
    folder = tmp_path / "maps/split-0/best-loss/test"
    rows = pd.read_csv(folder / "test_image_level_prediction.tsv", sep="\t")
    metrics = pd.read_csv(folder / "test_image_level_metrics.tsv", sep="\t")
    errors = rows["true_label"] - rows["predicted_label"]
    by_hand = np.where(errors > 0, 0.9 * errors, -0.1 * errors).mean()
    assert float(metrics["loss"][0]) == pytest.approx(by_hand, rel=1e-5)
    words[5] = tmp_path / "other"
    said = clinicadl(*words, "--plugin", path, "-a", "AE_Conv5_FC3")
    assert said.returncode == 2
    assert "is not for regression" in said.stderr


@pytest.mark.parametrize(
    ("task", "name", "by_hand", "options"),
    [
        ("classification", "Youden", lambda row: 2 * row["BA"] - 1, ()),
        ("regression", "Variance", lambda row: row["MSE"] - row["MAE"] ** 2, ("--label", "age")),
        ("reconstruction", "Largest", None, ()),
    ],
)
def test_a_metric_is_computed_logged_and_can_select(
    prepared, tmp_path, clinicadl, task, name, by_hand, options
):
    assert len(METRICS.splitlines()) <= 30
    path = tmp_path / "my_metrics.py"
    path.write_text(METRICS)
    maps = tmp_path / "maps"
    words = ["train", task, prepared, "tiny", prepared / "split/2_fold", maps, "--n_splits", 2,
             "--split", 0, "--epochs", 2, "-np", 0, "--no-gpu", *options,
             "--selection_metrics", name, "--plugin", path]  # fmt: skip
    said = clinicadl(*words)
    assert said.returncode == 2
    assert "name it in extra_metrics" in said.stderr
    said = clinicadl(*words, "--extra_metrics", name)
    assert said.returncode == 0, said.stderr
    assert (maps / f"split-0/best-{name}").is_dir()
    group = ["predict", maps, "test", "--caps_directory", prepared, "--participants_tsv",
             prepared / "split/test_baseline.tsv", "-np", 0, "--no-gpu"]  # fmt: skip
    assert clinicadl(*group).returncode == 2
    keep = ["--save_tensor"] if by_hand is None else []
    said = clinicadl(*group, "--plugin", path, *keep)
    assert said.returncode == 0, said.stderr
    folder = maps / f"split-0/best-{name}/test"
    table = pd.read_csv(folder / "test_image_level_metrics.tsv", sep="\t").set_index("Metrics")
    values = table.loc["Values"]
    low, high = (float(table.loc[f"{end} bound CI", name]) for end in ("Lower", "Upper"))
    assert low <= float(values[name]) <= high
    if by_hand is None:
        rows = pd.read_csv(folder / "test_image_level_prediction.tsv", sep="\t")
        largest = []
        for _, row in rows.iterrows():
            both = [
                torch.load(folder / "tensors" / f"{row.participant_id}_{row.session_id}"
                           f"_image-0_{kind}.pt", weights_only=True)
                for kind in ("input", "output")
            ]  # fmt: skip
            largest.append((both[0] - both[1]).abs().max().item())
        assert rows[name].to_numpy() == pytest.approx(largest)
    else:
        expected = by_hand({one: float(values[one]) for one in values.index if one not in
                            ("positive_class", name)})  # fmt: skip
        assert float(values[name]) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("'Youden'", "a str that is no Metric"),
        ("Metric(lambda c: c[0, 5], True, 0, 1)", "IndexError of confusions"),
        ("Metric(lambda c: 1.0, True, 0, 1)", "values of shape"),
        ("Metric(lambda c: c[..., 0, 0], True, 0, 1)", "outside of 0 to 1"),
        ("Metric(lambda c: c[..., 0, 0] / c[..., 1].sum(-1), True, 0, 1)", "inf"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
def test_what_is_no_metric_is_refused_before_anything_is_read(tmp_path, monkeypatch, row, words):
    monkeypatch.setattr(plugins, "_ROWS", {group: {} for group in plugins.GROUP_OF.values()})
    path = tmp_path / f"my_metrics_{abs(hash(row))}.py"
    path.write_text(
        f"from clinicadl.tasks.metrics import Metric\nCLASSIFICATION_METRICS = {{'Mine': {row}}}\n"
    )
    plugins.load(path)
    settings = Classification(extra_metrics=("Mine",), selection_metrics=("Mine",))
    with pytest.raises(UsageError, match=words):
        settings.build({"AD": 0, "CN": 1})


def test_metrics_that_nobody_declares_or_that_are_ours_are_refused():
    for given, words in (
        ({"extra_metrics": ("BA",)}, "is ours"),
        ({"extra_metrics": ("Nobodys",)}, "--plugin"),
        ({"selection_metrics": ("Youden",)}, "nearest"),
    ):
        with pytest.raises(ValidationError, match=words):
            Classification(**given)


def test_a_task_and_a_metric_of_a_package_are_found_by_entry_points(
    prepared, tmp_path, clinicadl, monkeypatch
):
    (tmp_path / "lab_tasks.py").write_text(TASK.replace("my_tasks:", "lab_tasks:"))
    (tmp_path / "lab_metrics.py").write_text(METRICS)
    info = tmp_path / "lab-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[clinicadl.tasks]\nquantile = lab_tasks:Quantile\n"
        "[clinicadl.metrics.regression]\nVariance = lab_metrics:VARIANCE\n"
    )
    with (tmp_path / "lab_metrics.py").open("a") as file:
        file.write('VARIANCE = REGRESSION_METRICS["Variance"]\n')
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    maps = tmp_path / "maps"
    said = clinicadl(
        "train", "quantile", prepared, "tiny", prepared / "split/2_fold", maps, "--n_splits", 2,
        "--split", 0, "--epochs", 1, "-np", 0, "--no-gpu", "--label", "age",
        "--extra_metrics", "Variance",
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    log = pd.read_csv(maps / "split-0/training_logs/training.tsv", sep="\t")
    assert {"Variance_train", "Variance_valid"} <= {*log.columns}
