"""One search is the same whoever makes its trials, in whatever order, after whatever death."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import tomli_w

from clinicadl import SearchConfig, resume_search, run_search, show_search, train
from clinicadl.layouts import search
from clinicadl.layouts.maps import names, pruned

LEARNT = {"n_trials": 6, "n_startup": 2, "round_size": 3, "pruner": "hyperband",
          "reduction_factor": 2}  # fmt: skip
DRAWN = {"n_trials": 3, "sampler": "random"}
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def described(caps: Path, **settings) -> SearchConfig:
    experiment = {
        "data": {
            "caps_directory": str(caps),
            "preprocessing_json": "tiny",
            "tsv_directory": str(caps / "split" / "2_fold"),
        },
        "task": {"selection_metrics": ["loss", "BA"]},
        "network": {"name": "RandomArchitecture", "dropout": {"low": 0.0, "high": 0.5}},
        "optimization": {
            "epochs": 3,
            "batch_size": 6,
            "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
            "optimizer": ["Adam", "SGD"],
        },
        "validation": {"n_splits": 2, "split": [0]},
        "compute": {"n_proc": 0, "gpu": False},
    }
    blocks = {"n_convblocks": [1, 2], "first_conv_width": [2, 4], "n_fcblocks": [1, 2]}
    return SearchConfig(threads=1, architecture=blocks, experiment=experiment, **settings)


def written(config: SearchConfig, path: Path) -> Path:
    section = config.model_dump(mode="json", exclude_unset=True)
    experiment = section.pop("experiment")
    path.write_text(tomli_w.dumps({**experiment, "search": section}))
    return path


@pytest.fixture(scope="module")
def learnt(prepared_once, tmp_path_factory):
    """A search that learns and prunes, by one worker."""
    return run_search(described(prepared_once, **LEARNT), tmp_path_factory.mktemp("one") / "learnt")


@pytest.fixture(scope="module")
def drawn(prepared_once, tmp_path_factory):
    """A search that draws anywhere, by one worker."""
    return run_search(described(prepared_once, **DRAWN), tmp_path_factory.mktemp("one") / "drawn")


def bits_of_trial(one, bits):
    """What must not depend on who made a trial; of an unfinished split the logs alone."""
    if one.state == "complete":
        return bits(one.maps)
    return {name: log for name, log in bits(one.maps).items() if name.endswith("training.tsv")}


def assert_same_search(one, other, bits):
    assert search.table(one.folder).read_text() == search.table(other.folder).read_text()
    for first, second in zip(one.trials, other.trials, strict=True):
        assert first._replace(maps=second.maps) == second
        found = bits_of_trial(first, bits)
        assert found and found == bits_of_trial(second, bits)


@pytest.mark.slow
def test_a_search_that_learns_is_the_same_by_one_worker_and_by_three(
    learnt, prepared_once, tmp_path, clinicadl, bits_of
):
    states = [one.state for one in learnt.trials]
    assert set(states) == {"complete", "pruned"}
    file = written(described(prepared_once, **LEARNT), tmp_path / "search.toml")
    done = clinicadl("search", "run", file, tmp_path / "three", "--n_proc", 3)
    assert done.returncode == 0, done.stderr
    assert f"best: trial {learnt.best.number}," in done.stdout
    assert_same_search(learnt, show_search(tmp_path / "three"), bits_of)


@pytest.mark.slow
def test_a_search_that_draws_is_the_same_by_one_worker_and_by_three(
    drawn, prepared_once, tmp_path, bits_of
):
    config = described(prepared_once, **DRAWN)
    assert_same_search(drawn, run_search(config, tmp_path / "three", n_proc=3), bits_of)


@pytest.mark.slow
def test_a_killed_search_goes_on_to_the_same_bits(learnt, prepared_once, tmp_path, bits_of):
    folder = tmp_path / "killed"
    file = written(described(prepared_once, **LEARNT), tmp_path / "search.toml")
    command = [sys.executable, "-m", "clinicadl", "search"]
    begun = [*command, "run", str(file), str(folder)]
    # The first dies in its second trial, and who takes over dies in the fifth.
    for number, words in ((1, begun), (4, [*command, "resume", str(folder)])):
        worker = subprocess.Popen(words, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
        log = names.training_log(search.maps(folder, number), 0)
        while worker.poll() is None and not log.exists():
            time.sleep(0.01)
        worker.send_signal(signal.SIGKILL)
        assert worker.wait() == -signal.SIGKILL
        assert show_search(folder).trials[number].state == "running"
    assert_same_search(learnt, resume_search(folder), bits_of)


def test_a_trial_is_made_alone_elsewhere(drawn, prepared_once, tmp_path, same_bits):
    config = described(prepared_once, trials=(2,), **DRAWN)
    alone = run_search(config, tmp_path / "alone")
    assert [one.state for one in alone.trials] == ["waiting", "waiting", "complete"]
    assert alone.trials[2].settings == drawn.trials[2].settings
    same_bits(alone.trials[2].maps, drawn.trials[2].maps)


def test_a_trial_is_an_experiment_that_train_repeats(drawn, tmp_path, same_bits):
    from clinicadl.layouts.maps.folder import open_maps

    one = drawn.trials[0]
    train(open_maps(one.maps).record.config, tmp_path / "again")
    same_bits(one.maps, tmp_path / "again")


def test_a_search_that_grows_is_the_one_that_began_so(learnt, prepared_once, tmp_path, bits_of):
    config = described(prepared_once, **{**LEARNT, "n_trials": 2})
    run_search(config, tmp_path / "grown")
    assert_same_search(learnt, resume_search(tmp_path / "grown", n_trials=6), bits_of)


def test_a_pruned_trial_is_not_evaluated_and_can_be_trained_to_its_end(
    learnt, prepared_once, tmp_path, invoke
):
    one = next(one for one in learnt.trials if one.state == "pruned")
    maps = Path(shutil.copytree(one.maps, tmp_path / "maps"))
    group = ["--caps_directory", prepared_once, "--participants_tsv",
             prepared_once / "split/test_baseline.tsv", "--no-gpu"]  # fmt: skip
    code, _, said = invoke("predict", maps, "test", *group)
    assert code == 2 and "was pruned" in said and "train resume" in said
    assert "fell behind others after" in pruned.reason(maps)
    assert "pruned: trial" in invoke("maps", "show", maps)[1]
    assert invoke("train", "resume", maps)[0] == 0
    assert pruned.reason(maps) is None
    assert invoke("predict", maps, "test", *group)[0] == 0
    log = pd.read_csv(names.training_log(maps, 0), sep="\t")
    assert len(log) == 3 > one.epochs


def test_a_search_that_is_over_has_its_page(learnt, tmp_path, invoke, monkeypatch):
    folder = tmp_path / "found"
    shutil.copytree(learnt.folder, folder)
    code, out, said = invoke("search", "resume", folder)
    assert (code, out.splitlines()[-1]) == (0, f"report: {folder / 'report.html'}"), said
    assert f"trial-{learnt.best.number:04d}" in (folder / "report.html").read_text()
    (folder / "report.html").unlink()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert f"clinicadl report {folder}" in invoke("search", "resume", folder)[1]
    assert not (folder / "report.html").exists()
