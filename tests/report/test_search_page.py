"""The page of a search, and what it says of the best trial."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, log_loss

from clinicadl import (
    ReportConfig,
    SearchConfig,
    random_search,
    write_report,
    write_search_page,
)
from clinicadl.draws import generator
from clinicadl.errors import MissingInputError, OutputError, UsageError
from clinicadl.layouts import search as layout
from clinicadl.layouts.maps import names
from clinicadl.layouts.search import Definition, Trial
from clinicadl.report import search_page
from clinicadl.search import found as searches
from clinicadl.search.winner import judged

RATES = (1e-5, 3e-2)


def define(folder, metric="BA", higher=True, sampler="tpe"):
    layout.write_definition(
        folder,
        Definition(
            config=SearchConfig(metric=metric, sampler=sampler, experiment={}),
            higher_is_better=higher, sizes={}, threads=1, tables={}, plugins={}, generated_by={},
            created="2020-01-01",
        ),
    )  # fmt: skip


def said_by(maps, metric, seed):
    """Replace what a trial said of validation, and return its table."""
    path = names.predictions(names.results(maps, 0, metric, names.VALIDATION), "image")
    table = pd.read_csv(path, sep="\t")
    sure = generator(seed, "said").uniform(0.02, 0.98, len(table))
    table["proba0"], table["proba1"] = sure, 1 - sure
    table["predicted_label"] = (sure < 0.5).astype(int)
    table.to_csv(path, sep="\t", index=False)
    return table


def value_of(table, metric):
    if metric == "BA":
        return balanced_accuracy_score(table["true_label"], table["predicted_label"])
    return log_loss(table["true_label"], table[["proba0", "proba1"]].to_numpy())


@pytest.fixture
def searched(trained_once, tmp_path):
    """Return a function that makes a search: some trials that are complete, others that are not."""

    def made(n_complete, *, n_pruned=0, n_failed=0, metric="BA"):
        folder = tmp_path / "found"
        define(folder, metric, higher=metric == "BA")
        stream, trials = generator(0, "settings"), []
        states = ["complete"] * n_complete + ["pruned"] * n_pruned + ["failed"] * n_failed
        for number, state in enumerate(states):
            maps = layout.maps(folder, number)
            settings = {
                "optimization.learning_rate": float(np.exp(stream.uniform(*np.log(RATES)))),
                "network": ["Conv4_FC3", "resnet18"][int(stream.integers(2))],
                "optimization.batch_size": int(stream.integers(1, 9)),
                "transforms.normalize": bool(stream.integers(2)),
            }
            if settings["network"] == "Conv4_FC3":
                settings["network.Conv4_FC3.dropout"] = float(stream.random())
            if state == "failed":
                why = "The training diverged <b>"
                trials.append(Trial(number, state, None, {}, 0, settings, why, maps))
                continue
            shutil.copytree(trained_once, maps)
            value = value_of(said_by(maps, metric, number), metric)
            why = "fell behind" if state == "pruned" else ""
            trials.append(Trial(number, state, value, {0: value}, 3, settings, why, maps))
        layout.write_trials(folder, trials)
        return folder

    return made


@pytest.mark.parametrize("metric", ["BA", "loss"])
def test_the_naive_figure_is_that_of_the_best_trial_and_the_corrected_one_is_worse(
    searched, metric
):
    found = searches.read(searched(8, metric=metric))
    values = [one.value for one in found.trials]
    best = int(np.argmax(values) if metric == "BA" else np.argmin(values))
    judgement = judged(found, n_resamples=300)
    assert judgement.reason == ""
    assert (judgement.best.number, found.best.number) == (best, best)
    one = next(iter(judgement.metrics.values()))
    assert next(iter(judgement.metrics)) == metric
    assert one.naive == pytest.approx(values[best], rel=1e-9)
    assert (one.value < one.naive) == (metric == "BA")
    assert one.low <= min(one.value, one.naive) <= max(one.value, one.naive) <= one.high
    table = pd.read_csv(
        names.predictions(names.results(judgement.best.maps, 0, metric, "validation"), "image"),
        sep="\t",
    )
    assert judgement.n_participants == table["participant_id"].nunique()
    assert judgement.metrics["accuracy"].naive == pytest.approx(
        (table["true_label"] == table["predicted_label"]).mean()
    )


def test_metrics_are_means_over_the_splits(searched):
    folder = searched(3)
    trials = []
    for one in layout.read_trials(folder):
        shutil.copytree(one.maps / "split-0", one.maps / "split-1")
        path = names.predictions(names.results(one.maps, 1, "BA", names.VALIDATION), "image")
        table = pd.read_csv(path, sep="\t")
        table["participant_id"] = table["participant_id"] + "x"  # others than in split 0
        table["predicted_label"] = 1 - table["predicted_label"]
        table.to_csv(path, sep="\t", index=False)
        other = value_of(table, "BA")
        by_split = {0: one.value, 1: other}
        trials.append(one._replace(value=(one.value + other) / 2, by_split=by_split))
    layout.write_trials(folder, trials)
    judgement = judged(searches.read(folder), n_resamples=50)
    assert judgement.reason == ""
    # Whoever is right in one split is wrong in the other: all trials are worth 0.5.
    assert judgement.metrics["BA"].naive == pytest.approx(0.5)
    assert judgement.best.number == 0


def test_what_cannot_be_corrected_is_said(searched):
    folder = searched(3)
    trials = layout.read_trials(folder)
    layout.write_trials(folder, [trials[0]._replace(value=0.99), *trials[1:]])
    assert "is not that of the trials" in judged(searches.read(folder)).reason
    layout.write_trials(folder, trials)
    results = names.results(trials[1].maps, 0, "BA", names.VALIDATION)
    table = pd.read_csv(names.predictions(results, "image"), sep="\t")
    table.iloc[1:].to_csv(names.predictions(results, "image"), sep="\t", index=False)
    assert "same sessions" in judged(searches.read(folder)).reason
    shutil.rmtree(results)
    judgement = judged(searches.read(folder))
    assert str(results) in judgement.reason
    text = " ".join(search_page.sentences(search_page.read(folder)))
    assert "could not be corrected" in text
    assert judgement.best.maps.name in text


def test_the_page_says_both_figures_and_shows_every_trial(searched):
    folder = searched(5, n_pruned=2, n_failed=1)
    page = write_search_page(ReportConfig(maps_directory=folder))
    assert page == folder / "report.html"
    text = page.read_text()
    told = search_page.read(folder)
    one = told.judged.metrics["BA"]
    assert search_page.worth(told) in text
    assert f"{one.naive:.3f} ({one.naive_low:.3f} to {one.naive_high:.3f})" in text
    assert f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})" in text
    assert "3 of 8 trials were not trained to their end" in text
    assert "The training diverged &lt;b&gt;" in text
    assert [f"trial-{i:04d}" in text for i in range(8)] == [True] * 8
    assert text.count("<svg") == 4
    assert not re.search(
        r"<script|https?://(?!www\.w3\.org|purl\.org|creativecommons|matplotlib)", text
    )
    assert "default-src 'none'" in text
    with pytest.raises(OutputError, match="report.html"):
        write_search_page(ReportConfig(maps_directory=folder))
    assert (
        write_search_page(ReportConfig(maps_directory=folder, overwrite=True)).read_text() == text
    )


def test_the_page_is_also_text_and_json_and_its_figures_are_kept(searched, tmp_path):
    folder = searched(4, n_failed=1)
    config = ReportConfig(maps_directory=folder, format="md", figures=tmp_path / "figures")
    text = write_search_page(config).read_text()
    told = search_page.read(folder)
    assert search_page.worth(told) in text
    assert "| trial-0004 | failed | - | 0 |" in text
    assert {one.name for one in (tmp_path / "figures").iterdir()} == {
        f"{name}.{suffix}" for name in ("history", "parallel", "importance", "curves")
        for suffix in ("svg", "png")
    }  # fmt: skip
    for link in re.findall(r"\]\((.*?)\)", text):
        assert (folder / link).exists()
    page = write_search_page(ReportConfig(maps_directory=folder, format="json"))
    content = json.loads(page.read_text())
    assert content["winner"]["BA"] == told.judged.metrics["BA"]._asdict()
    assert content["sentences"][0] == search_page.worth(told)
    assert [one["state"] for one in content["trials"]] == ["complete"] * 4 + ["failed"]


def test_one_trial_and_none_that_ended_have_a_page(searched, tmp_path):
    folder = searched(1)
    assert (
        "the only trial, and nothing was chosen"
        in write_search_page(ReportConfig(maps_directory=folder)).read_text()
    )
    shutil.rmtree(folder)
    folder = searched(0, n_failed=2)
    text = write_search_page(ReportConfig(maps_directory=folder)).read_text()
    assert "No trial was trained to its end" in text
    shutil.rmtree(folder)
    with pytest.raises(MissingInputError, match="no trial yet"):
        write_search_page(ReportConfig(maps_directory=searched(0)))


def test_importance_of_few_trials_is_called_chance(searched):
    told = search_page.read(searched(5))
    text = " ".join(search_page.remarks(told))
    assert "5 finished trials are too few" in text
    assert "sampler drew more trials" in text
    learnt = next(one for one in told.important if one.name.endswith("dropout"))
    assert learnt.n_trials < 5


def test_options_about_images_are_refused_of_a_search(searched, tmp_path):
    folder = searched(1)
    for more in ({"examples": 2}, {"covariates_tsv": tmp_path / "labels.tsv"}):
        with pytest.raises(UsageError, match=next(iter(more))):
            write_search_page(ReportConfig(maps_directory=folder, **more))


def test_the_report_of_a_trial_says_what_the_page_says(searched):
    folder = searched(3)
    told = search_page.read(folder)
    best = told.judged.best
    page = write_report(ReportConfig(maps_directory=best.maps, format="md", examples=0))
    assert search_page.worth(told) in page.read_text()
    other = next(one for one in told.found.trials if one.number != best.number)
    (said,) = search_page.of_trial(other.maps)
    assert said == f"This MAPS is one of 3 trials of found, of which {best.maps.name} is the best."
    shutil.copytree(best.maps, folder.parent / "alone")
    assert [*search_page.of_trial(folder.parent / "alone")] == []
    layout.table(folder).write_text("trial\nx\n")
    (said,) = search_page.of_trial(other.maps)
    assert "cannot be read. The table of trials is damaged" in said


def test_the_command_knows_a_search_and_leaves_its_files_alone(searched, invoke):
    folder = searched(2)
    before = {one.name: one.read_bytes() for one in folder.iterdir() if one.is_file()}
    code, said, _ = invoke("report", folder, "--format", "json")
    assert (code, said) == (0, f"report: {folder / 'report.json'}\n")
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_a_random_search_has_a_page_too(prepared_once, tmp_path):
    import tomli_w

    from clinicadl import RandomSearchConfig

    content = {
        "Random_Search": {
            "network_task": "classification", "caps_directory": str(prepared_once),
            "tsv_path": str(prepared_once / "split/2_fold"), "preprocessing_json": "tiny",
            "n_convblocks": [1, 3], "first_conv_width": [2, 4], "n_fcblocks": 1,
        },
        "Computational": {"gpu": False, "n_proc": 0},
        "Cross_validation": {"n_splits": 2, "split": [0]},
        "Optimization": {"epochs": 2, "learning_rate": [2, 4]},
    }  # fmt: skip
    launch = tmp_path / "launch"
    launch.mkdir()
    (launch / "random_search.toml").write_text(tomli_w.dumps(content))
    for name in ("a", "b", "c"):
        maps = random_search(RandomSearchConfig(launch_directory=launch, name=name))
    found = searches.read(launch)
    assert [one.maps.name for one in found.trials] == ["a", "b", "c"]
    assert [one.state for one in found.trials] == ["complete"] * 3
    assert "optimization.learning_rate" in found.trials[0].settings
    results = names.metrics(names.results(maps.path, 0, "loss", "validation"), "image")
    loss = float(pd.read_csv(results, sep="\t")["loss"].iloc[0])
    assert found.trials[2].value == pytest.approx(loss, rel=1e-6)
    judgement = judged(found, n_resamples=100)
    assert judgement.reason == ""
    assert judgement.metrics["loss"].naive == pytest.approx(found.best.value, rel=1e-5)
    shutil.rmtree(launch / "c" / "split-0" / "best-loss")
    assert searches.read(launch).trials[2].state == "failed"
    text = write_search_page(ReportConfig(maps_directory=launch)).read_text()
    assert "has the best loss on validation of 2 trials" in text
    assert "Failed: c (interrupted)" in text
