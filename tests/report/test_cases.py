"""Which brains are shown, and where a map is strongest."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from clinicadl import InterpretConfig, PredictConfig, ReportConfig, interpret, predict, write_report
from clinicadl.layouts.maps import names
from clinicadl.report import cases, story


@pytest.fixture(scope="module")
def looked(trained_once, prepared_once, tmp_path_factory):
    """A MAPS whose models were evaluated on a test group, and interpreted; and its CAPS."""
    home = tmp_path_factory.mktemp("looked")
    maps, caps = home / "maps", home / "caps"
    shutil.copytree(trained_once, maps)
    shutil.copytree(prepared_once, caps)
    group = {
        "caps_directory": caps, "gpu": False, "n_proc": 0,
        "participants_tsv": caps / "split/test_baseline.tsv",
    }  # fmt: skip
    predict(PredictConfig(**group), maps, "test")
    asked = InterpretConfig(method="gradients", gpu=False, n_proc=0, selection_metrics=("loss",))
    interpret(asked, maps, "test", "mine")
    return maps, caps


def with_said(told, table, **labels):
    one = told.tested[0]
    return one._replace(predictions=table.assign(session_id="ses-M000"), **labels)


def test_the_surest_are_shown_first(looked):
    told = story.read(looked[0])
    share = np.array([0.6, 0.9, 0.8, 0.3, 0.05, 0.45])
    table = pd.DataFrame(
        {
            "participant_id": [f"sub-{n}" for n in range(6)], "true_label": [1, 1, 0, 1, 1, 0],
            "predicted_label": (share > 0.5).astype(int), "proba0": 1 - share, "proba1": share,
        }
    )  # fmt: skip
    right, wrong = cases.chosen(told, with_said(told, table), 2)
    assert [case.key[0] for case in right] == ["sub-1", "sub-0"]
    assert [case.key[0] for case in wrong] == ["sub-4", "sub-2"]
    assert wrong[0].said == "true CN, said AD (p 0.95)"
    assert cases.chosen(told, with_said(told, table), 0) == ([], [])
    assert cases.chosen(told, with_said(told, table, metrics=()), 2) == ([], [])


def test_of_numbers_the_nearest_and_the_furthest_are_shown(looked):
    told = story.read(looked[0])
    task = told.record.config.task
    regression = type(
        "Told", (), {"record": type("R", (), {"config": type("C", (), {"task": None})})}
    )
    from clinicadl.config.task import Regression

    assert task.kind == "classification"
    regression.record.config.task = Regression(label=("age",))
    table = pd.DataFrame(
        {
            "participant_id": [f"sub-{n}" for n in range(5)], "true_label": [50.0, 60, 70, 80, 90],
            "predicted_label": [51.0, 70, 70, 77, 85],
        }
    )  # fmt: skip
    near, far = cases.chosen(regression, with_said(told, table), 4)
    # Of five, two of each: nobody is shown twice.
    assert [case.key[0] for case in near] == ["sub-2", "sub-0"]
    assert [case.key[0] for case in far] == ["sub-1", "sub-4"]
    assert far[0].said == "true 60, said 70"


def test_cases_and_maps_are_drawn(looked, tmp_path):
    maps, _ = looked
    figures = tmp_path / "figures"
    page = write_report(ReportConfig(maps_directory=maps, output=tmp_path / "p", figures=figures))
    assert {"cases-test.png", "map-test-0-loss-interpret-mine.png"} <= {
        one.name for one in figures.iterdir()
    }
    text = page.read_text()
    assert "surest of the right ones" in text
    assert "Mean map of gradients" in text
    # To see where a network looked gives no number to choose one by.
    assert "was looked at" not in text
    assert "<td>interpretation</td><td>test</td>" in text
    told = story.read(maps)
    shown = cases.pictures(told, told.tested, 4)
    assert (len(shown.cases), len(shown.maps), shown.remarks) == (1, 1, ())


def test_the_map_of_a_single_image_lies_on_it(looked, tmp_path):
    maps, caps = tmp_path / "maps", looked[1]
    shutil.copytree(looked[0], maps)
    scan = next((caps / "subjects").glob("*/*/custom/*.nii.gz"))
    moved = shutil.copyfile(scan, tmp_path / "scan.nii.gz")
    asked = {"image": (moved,), "gpu": False, "n_proc": 0, "accept_leakage": "to draw it"}
    interpret(InterpretConfig(method="gradients", **asked), maps, "alone", "mine")
    predict(
        PredictConfig(gpu=False, n_proc=0, use_labels=False, accept_leakage="too"), maps, "alone"
    )
    told = story.read(maps)
    shown = cases.pictures(told, [one for one in told.tested if one.group == "alone"], 4)
    assert shown.remarks == ()
    assert {one.figure is not None for one in shown.maps} == {True}


def test_a_map_that_means_nothing_is_called_so_first(looked, tmp_path):
    maps = tmp_path / "maps"
    shutil.copytree(looked[0], maps)
    home = names.interpretations(names.results(maps, 0, "loss", "test"))[0]
    made = json.loads(names.method(home).read_text())
    assert made["problems"] == []
    names.method(home).write_text(json.dumps(made | {"problems": ["It <says> nothing"]}))
    for form, expected in (("html", "It &lt;says&gt; nothing"), ("md", "It <says> nothing")):
        config = ReportConfig(maps_directory=maps, output=tmp_path / form, format=form)
        text = write_report(config).read_text()
        assert f"Maps of gradients for AD, test, split 0, best by loss: {expected}" in text
        after = "## Participants" if form == "md" else "<h2>Participants"
        assert text.index(expected) < text.index(after)
    config = ReportConfig(maps_directory=maps, output=tmp_path / "json", format="json")
    warned = json.loads(write_report(config).read_text())["warnings"]
    assert sum("It <says> nothing" in one for one in warned) == 1


def test_images_that_are_gone_are_not_shown(looked, tmp_path):
    maps, caps = looked
    aside = caps.rename(caps.with_name("aside"))
    try:
        text = write_report(ReportConfig(maps_directory=maps, output=tmp_path / "p")).read_text()
    finally:
        aside.rename(caps)
    assert "Images of test cannot be shown" in text
    assert "The interpretation interpret-mine cannot be shown" in text


def test_a_map_is_cut_where_it_is_strongest():
    values = np.zeros((12, 14, 16), np.float32)
    values[3:6, 8:11, 10:13] = -2
    values[0, 0, 0] = 5  # one voxel alone is smoothed away
    assert cases.strongest(values) == (4, 9, 11)
