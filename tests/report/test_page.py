"""The report of a MAPS: what it says is what the tables say, and it needs nothing else."""

from __future__ import annotations

import json
import re
import shutil
from base64 import b64encode
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, roc_auc_score, roc_curve

from clinicadl import PredictConfig, ReportConfig, predict, read_experiment, train, write_report
from clinicadl.cli.main import root
from clinicadl.errors import MissingInputError, OutputError
from clinicadl.layouts.maps import names, outcomes
from clinicadl.report import figures, page, story
from clinicadl.report.rendering import number
from clinicadl.tasks.judging import columns_of, confusions


@pytest.fixture(scope="module")
def tested(trained_once, prepared_once, tmp_path_factory):
    """A MAPS whose models were evaluated on a test group; nobody writes to it."""
    maps = tmp_path_factory.mktemp("tested") / "maps"
    shutil.copytree(trained_once, maps)
    config = PredictConfig(
        caps_directory=prepared_once, gpu=False,
        participants_tsv=prepared_once / "split/test_baseline.tsv",
    )  # fmt: skip
    predict(config, maps, "test")
    return maps


def written(maps, tmp_path, **settings):
    return write_report(ReportConfig(maps_directory=maps, output=tmp_path / "report", **settings))


class Page(HTMLParser):
    """Tags that are open at the end, and all that asks for something elsewhere."""

    def __init__(self):
        super().__init__()
        self.open, self.wanted, self.text = [], [], []

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "link", "img", "br", "input"):
            self.open.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "xlink:href", "action", "data"):
                self.wanted.append(value)
        assert tag != "script"

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_is_whole_and_asks_for_nothing_else(tested, tmp_path):
    read = Page()
    read.feed(written(tested, tmp_path).read_text())
    read.close()
    assert not read.open
    assert read.wanted
    # Besides places on the page, only pictures that are part of it.
    assert all(one.startswith(("#", "data:image/png;base64,")) for one in read.wanted)


def test_the_metrics_are_those_of_the_tables(tested, tmp_path):
    content = json.loads(written(tested, tmp_path, format="json").read_text())
    assert {(one["group"], one["chosen_by"]) for one in content["results"]} == {
        (group, metric) for group in ("test", "train", "validation") for metric in ("loss", "BA")
    }
    assert content["results"][0]["group"] == "test"
    text = written(tested, tmp_path, overwrite=True).read_text()
    for one in content["results"]:
        results = names.results(tested, one["split"], one["chosen_by"], one["group"])
        table = pd.read_csv(names.metrics(results, "image"), sep="\t", index_col=0)
        more = [m for m in one["metrics"] if m["name"] not in table]
        assert [m["name"] for m in more] == (
            ["AUC", "Brier", "ECE"] if one["group"] == "test" else []
        )
        assert all(m["low"] <= m["value"] <= m["high"] for m in more if m["name"] != "ECE")
        for metric in (m for m in one["metrics"] if m["name"] in table):
            column = pd.to_numeric(table[metric["name"]], errors="coerce")
            for row, what in (("Values", "value"), ("Lower bound CI", "low")):
                expected, found = column[row], metric[what]
                assert found is None if np.isnan(expected) else found == pytest.approx(expected)
            if metric["low"] is not None:
                low, high = (number(metric[what]) for what in ("low", "high"))
                assert f"({low} to {high})" in text
    assert content["groups"][-1]["n_shared"] == 0


def test_each_result_stands_beside_what_saw_no_image(tested, tmp_path):
    told = story.read(tested)
    assert {(one.group, one.chosen_by, one.name) for one in told.compared.baselines} == {
        ("test", metric, name)
        for metric in ("loss", "BA")
        for name in ("majority class", "age + sex")
    }
    beside = told.compared.baselines[0]
    result = next(one for one in told.tested if one.chosen_by == beside.chosen_by)
    own = {metric.name: metric.value for metric in result.metrics}
    by_name = {row.metric: row for row in beside.rows}
    assert by_name["BA"].second_value == 0.5
    for name in ("BA", "accuracy", "sensitivity"):
        assert by_name[name].first_value == pytest.approx(own[name])
    text = written(tested, tmp_path).read_text()
    assert "Beside majority class" in text
    # It stands in the table of the metrics, too.
    ba = next(row for row in text.splitlines() if row.startswith("<tr><td>BA</td>"))
    assert ba.count('<td class="n alone">') == 4
    assert '<td class="n alone">0.500</td>' in ba
    content = json.loads(written(tested, tmp_path, format="json", overwrite=True).read_text())
    assert len(content["beside_baselines"]) == len(told.compared.baselines)


def test_a_subgroup_is_called_by_its_whole_name(trained, prepared_once, tmp_path):
    everyone = prepared_once / "labels.tsv"
    config = PredictConfig(
        caps_directory=prepared_once, participants_tsv=everyone, gpu=False,
        accept_leakage="to have enough of them",
    )  # fmt: skip
    predict(config, trained, "everyone")
    table = pd.read_csv(everyone, sep="\t")[["participant_id", "session_id", "diagnosis"]]
    place = table.groupby("diagnosis").cumcount().mod(2).map({0: "Lille", 1: "Lyon"})
    table.assign(site=place + ", France").to_csv(tmp_path / "sites.tsv", sep="\t", index=False)
    told = story.read(trained, tmp_path / "sites.tsv")
    apart = told.compared.subgroups
    assert {(one.name, one.others) for one in apart} == {
        ("site Lille, France", "site Lyon, France")
    }
    drawn = {one.name: one.svg for one in figures.all_of(told, told.tested)}
    assert "site Lille, France" in drawn["subgroups-everyone"]
    assert "site Lyon, France" in drawn["subgroups-everyone"]


def test_text_says_the_same(tested, tmp_path):
    text = written(tested, tmp_path, format="md").read_text()
    value = story.read(tested).tested[0].metrics[0]
    assert f"| {value.name} | {number(value.value)} |" in text
    assert "clinicadl train from-maps" in text
    assert not re.search(r"{[{%]", text)


def test_the_figures_are_kept_as_files(tested, tmp_path):
    folder = tmp_path / "figures"
    written(tested, tmp_path, figures=folder)
    found = {path.name for path in folder.iterdir()}
    made = ("learning", "roc-test", "confusion-test", "calibration-test", "cases-test")
    assert found == {f"{name}.{kind}" for name in made for kind in ("svg", "png")}
    for path in folder.glob("*.svg"):
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in folder.glob("*.png"))
    with pytest.raises(OutputError):
        written(tested, tmp_path / "other", figures=folder)


def test_the_same_maps_makes_the_same_page(tested, tmp_path):
    first, second = (written(tested, tmp_path / one).read_bytes() for one in "ab")
    assert first == second


def test_a_report_that_is_there_is_kept(tested, tmp_path):
    path = written(tested, tmp_path)
    path.write_text("mine")
    with pytest.raises(OutputError):
        written(tested, tmp_path)
    assert path.read_text() == "mine"
    assert written(tested, tmp_path, overwrite=True).read_text() != "mine"


def test_without_a_test_group_the_first_thing_said_is_that(trained_once, tmp_path):
    said = [*page.warnings(story.read(trained_once))]
    assert any("No group was evaluated that the models have not seen" in one for one in said)
    assert "No group was evaluated" in written(trained_once, tmp_path).read_text()


def test_what_the_guard_was_overridden_for_and_each_further_look_are_said_first(
    trained_once, prepared_once, tmp_path
):
    maps = tmp_path / "maps"
    shutil.copytree(trained_once, maps)
    of_train = prepared_once / "split" / "2_fold" / "split-0" / "train_baseline.tsv"
    for overwrite in (False, True):
        config = PredictConfig(
            caps_directory=prepared_once, participants_tsv=of_train, gpu=False,
            accept_leakage="to see what <b>happens</b>", overwrite=overwrite,
        )  # fmt: skip
        predict(config, maps, "leaking")
    said = "\n".join(page.warnings(story.read(maps)))
    # Of two models, once.
    assert said.count("for this reason: to see what <b>happens</b>") == 1
    assert said.count("7 of 7 participants of data group leaking") == 1
    assert "leaking was looked at 2 times" in said
    assert "the models have seen participants of this group (7 of 7)" in said
    text = written(maps, tmp_path).read_text()
    # What people write is text on the page, and never part of it.
    assert "&lt;b&gt;happens" in text
    assert "<b>happens" not in text
    assert text.index("looked at 2 times") < text.index("<h2>Participants</h2>")


def test_a_model_that_says_one_thing_of_all_is_called_so(tested):
    told = story.read(tested)
    constant = told.results[0].predictions.assign(predicted_label=1.0)
    same = told._replace(results=(told.results[0]._replace(predictions=constant),))
    assert any("says the same of every image of test" in one for one in page.warnings(same))


def test_a_regression_has_residuals_and_a_reconstruction_its_curves(
    prepared_once, config_of, tmp_path
):
    data = config_of(prepared_once).data.model_dump()
    for task, expected in (
        (
            {"name": "regression", "label": "age"},
            {"learning", "regression-validation", "cases-validation"},
        ),
        ({"name": "reconstruction"}, {"learning"}),
    ):
        config = read_experiment(
            {
                "data": data, "task": task, "optimization": {"epochs": 1},
                "validation": {"n_splits": 2, "split": [0]}, "compute": {"gpu": False},
            }
        )  # fmt: skip
        maps, figs = tmp_path / task["name"], tmp_path / f"figures-{task['name']}"
        train(config, maps)
        write_report(ReportConfig(maps_directory=maps, figures=figs))
        assert {path.stem for path in figs.iterdir()} == expected
        assert (maps / "report.html").is_file()


@pytest.mark.parametrize("form", ["html", "md", "json"])
def test_groups_of_one_and_without_labels_are_reported(trained, prepared_once, form):
    """One participant cannot be resampled, and without labels there is nothing to compare."""
    one = trained.parent / "one.tsv"
    rows = pd.read_csv(prepared_once / "split/test_baseline.tsv", sep="\t")
    rows.head(1).to_csv(one, sep="\t", index=False)
    for name, settings in (
        ("alone", {"participants_tsv": one}),
        (
            "unknown",
            {"participants_tsv": prepared_once / "split/test_baseline.tsv", "use_labels": False},
        ),
    ):
        config = PredictConfig(caps_directory=prepared_once, gpu=False, n_proc=0, **settings)
        predict(config, trained, name)
    told = story.read(trained)
    assert {one.group: one.is_labelled for one in told.tested} == {"alone": True, "unknown": False}
    assert len(told.compared.remarks) == 2
    assert all(said.startswith("alone, best by") for said in told.compared.remarks)
    text = write_report(ReportConfig(maps_directory=trained, format=form)).read_text()
    assert "has one participant" in text
    assert "unknown" in text


def test_each_label_of_a_regression_has_its_figure(tested):
    """Of several labels the columns of a table of predictions are named after them."""
    one = story.read(tested).tested[0]
    drawn = np.arange(2.0 * len(one.predictions)).reshape(-1, 2)
    columns = ("true_age", "predicted_age", "true_score", "predicted_score")
    both = np.concatenate([drawn, drawn**2], axis=1)
    said = one.predictions[["participant_id", "session_id"]].assign(
        **dict(zip(columns, both.T, strict=True))
    )
    results = [one._replace(predictions=said)]
    made = [
        figures.regression("test", results, label, pair)
        for label, pair in zip(("age", "score"), columns_of(("age", "score")), strict=True)
    ]
    assert [figure.name for figure in made] == ["age-test", "score-test"]


@pytest.mark.parametrize("form", ["html", "md", "json"])
def test_an_ensemble_stands_beside_its_members(prepared_once, config_of, tmp_path, form):
    config = config_of(
        prepared_once, optimization={"epochs": 1}, validation={"n_splits": 2, "split": [0, 1]}
    )
    maps = tmp_path / "maps"
    train(config, maps)
    looked = PredictConfig(
        caps_directory=prepared_once, gpu=False, n_proc=0, ensemble=True,
        participants_tsv=prepared_once / "split/test_baseline.tsv",
        selection_metrics=("loss",),
    )  # fmt: skip
    predict(looked, maps, "test")
    told = story.read(maps)
    assert [one.split for one in told.tested] == [0, 1, None]
    # It has no validation of its own, and is compared with nobody.
    assert {one.split for one in told.decisions} <= {0, 1}
    assert {one.split for one in told.compared.baselines} == {"0", "1"}
    text = write_report(ReportConfig(maps_directory=maps, format=form)).read_text()
    together = told.tested[-1].metrics[0]
    if form == "json":
        assert json.loads(text)["results"][2]["split"] is None
    else:
        assert "ensemble of the best by loss" in text
        assert number(together.value) in text


def test_pictures_of_heads_with_two_names_come_first(tested, tmp_path):
    maps = tmp_path / "maps"
    shutil.copytree(tested, maps)
    png = b"\x89PNG, as it were"
    names.group_pairs(names.group(maps, "test")).write_bytes(png)
    text = written(maps, tmp_path, figures=tmp_path / "figures").read_text()
    shown = b64encode(png).decode()
    assert text.index(shown) < text.index("<h2>Participants</h2>")
    assert (tmp_path / "figures/pairs-test.png").read_bytes() == png
    assert "Not looked for" not in text
    path = names.guard(names.results(maps, 0, "loss", "test"))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"skipped": ["heads: too few"]}))
    assert "Not looked for: heads: too few" in written(maps, tmp_path, overwrite=True).read_text()


def test_what_was_only_interpreted_was_not_predicted(trained):
    names.interpretation(names.results(trained, 0, "loss", "new"), "mine").mkdir(parents=True)
    (names.best(trained, 0, "loss") / ".partial-1234-test").mkdir()
    (names.best(trained, 0, "loss") / ".partial-1234-test" / "table.tsv").write_text("")
    assert outcomes.judged_groups(trained, 0, "loss") == ("train", "validation")
    assert {one.group for one in story.read(trained).results} == {"train", "validation"}
    models = story.read(trained).contents.splits[0].models
    assert {group for model in models for group in model.groups} == {"train", "validation"}


def test_a_folder_that_is_no_maps_is_refused(tmp_path):
    with pytest.raises(MissingInputError):
        write_report(ReportConfig(maps_directory=tmp_path / "none", output=tmp_path / "x"))
    said = CliRunner().invoke(root, ["report", str(tmp_path / "none")])
    assert said.exit_code != 0
    assert not [*tmp_path.iterdir()]


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
def test_a_roc_curve_is_that_of_scikit_learn(rows):
    scores, positive = (np.array(column) for column in zip(*rows, strict=True))
    if positive.all() or not positive.any():
        return
    points = figures.roc(scores.astype(float), positive)
    alarms, hits, _ = roc_curve(positive, scores, drop_intermediate=False)
    np.testing.assert_allclose(points, np.stack([alarms, hits], axis=1))
    area = np.trapezoid(points[:, 1], points[:, 0])
    assert area == pytest.approx(roc_auc_score(positive, scores))


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1))
def test_a_confusion_is_that_of_scikit_learn(rows):
    table = pd.DataFrame(rows, columns=["true_label", "predicted_label"])
    table = table.assign(participant_id=[f"sub-{i % 3}" for i in range(len(rows))])
    expected = confusion_matrix(*zip(*rows, strict=True), labels=[0, 1, 2])
    np.testing.assert_array_equal(confusions(table, 3).sum(0), expected)
