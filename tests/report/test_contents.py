"""What is in a MAPS, as a page of text."""

from __future__ import annotations

import json
import re

import pandas as pd
import pytest

from clinicadl import PredictConfig, import_maps, predict, resume, show_maps, train
from clinicadl.engine.events import BatchDone, Evaluated
from clinicadl.errors import InvalidDataError, MissingInputError
from clinicadl.layouts.maps import folder


def lines(maps):
    return [re.sub(r"\s+", " ", line).strip() for line in show_maps(maps).splitlines()]


def section(found, title):
    """Return the lines of a section of a page."""
    start = next(i for i, line in enumerate(found) if line.startswith(title))
    end = next((i for i, line in enumerate(found) if i > start and not line), len(found))
    return found[start + 1 : end]


def test_a_page_names_what_is_not_at_its_default(trained, prepared_once):
    said = section(lines(trained), "Experiment")
    assert f"data.caps_directory {prepared_once}" in said
    assert "network.name Conv4_FC3" in said
    assert "network.dropout 0.3" in said
    assert "task.selection_metrics loss BA" in said
    assert "optimization.epochs 3" in said
    assert "nodes AD = 0, CN = 1" in said
    assert "shape of a sample 1 x 18 x 20 x 17" in said
    assert not [line for line in said if line.startswith(("optimization.patience", "transforms"))]


def test_a_page_shows_the_metrics_of_each_best_model(trained):
    said = section(lines(trained), "Splits")
    for metric, line in zip(("BA", "loss"), said, strict=False):
        path = trained / f"split-0/best-{metric}/validation/validation_image_level_metrics.tsv"
        table = pd.read_csv(path, sep="\t", index_col=0, keep_default_na=False).loc[:, "BA"]
        value, low, high = (float(table[row]) for row in table.index[:3])
        assert f"BA {value:.3f} [{low:.3f}, {high:.3f}]" in line
        assert f"best by {metric} (epoch " in line
        assert re.search(r"loss \d\.\d{3}$", line)
    assert said[0].startswith("split 0 finished")
    assert said[2:] == ["split 1 not trained"]


def test_a_page_says_that_a_split_is_unfinished(trained):
    log = trained / "split-0/training_logs/training.tsv"
    (trained / "split-0/tmp").mkdir()
    said = section(lines(trained), "Splits")
    assert said[0].startswith("split 0 interrupted, epoch 2 of 0-2 best by BA")
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:2]))
    said = section(lines(trained), "Splits")
    assert said[0].startswith("split 0 interrupted, epoch 0 of 0-2 best by BA")
    log.unlink()
    assert section(lines(trained), "Splits")[0].startswith("split 0 interrupted best by BA")


def test_a_page_says_that_a_split_runs_and_how_far(prepared_once, config_of, tmp_path):
    """Also while another command holds the MAPS: a split runs if somebody trains it."""
    maps, said = tmp_path / "maps", []

    def show(event):
        if isinstance(event, BatchDone | Evaluated):
            said.append(section(lines(maps), "Splits")[0])

    class Killed(BaseException):
        pass

    def kill(event):
        if isinstance(event, BatchDone) and event.epoch == 2:
            raise Killed

    with pytest.raises(Killed):
        train(config_of(prepared_once), maps, observers=[show, kill])
    assert said[0] == "split 0 running"
    assert [one for one in said if one.startswith("split 0 running, epoch 0 of 0-2 best by")]
    assert said[-1].startswith("split 0 running, epoch 1 of 0-2 best by")
    with folder.held(maps):
        last = section(lines(maps), "Splits")
    assert last[0].startswith("split 0 interrupted, epoch 1 of 0-2 best by")
    assert last[-1] == "split 1 not trained"
    resume(maps)
    assert section(lines(maps), "Splits")[0].startswith("split 0 finished best by")


def test_a_page_counts_the_groups_and_shows_the_looks(trained, prepared_once):
    found = lines(trained)
    assert section(found, "Looks") == ["nobody looked yet"]
    own = pd.read_csv(trained / "groups/train/split-0/data.tsv", sep="\t")
    n_people, n_sessions = own["participant_id"].nunique(), len(own)
    assert section(found, "Data groups")[0] == (
        f"train split 0 {n_people} participants {n_sessions} sessions "
        "predicted: split 0 by BA, split 0 by loss"
    )
    config = PredictConfig(
        caps_directory=prepared_once, participants_tsv=prepared_once / "split/test_baseline.tsv",
        selection_metrics=("loss",), gpu=False, n_proc=0,
    )  # fmt: skip
    predict(config, trained, "new")
    found = lines(trained)
    assert section(found, "Data groups")[-1] == (
        "new 6 participants 6 sessions predicted: split 0 by loss"
    )
    header, look = section(found, "Looks")
    assert header == "date group n_participants n_sessions models accepted_leakage event reason"
    assert look.split()[1:] == ["new", "6", "6", "split-0/best-loss", "look"]


def test_a_published_maps_is_shown_and_says_how_to_read_it(published_maps):
    found = lines(published_maps)
    assert "created 2024-10-03T11:30:00, with clinicadl 1.6.1, torch 2.1.2, numpy 1.26.4" in found
    assert f"to use it here, read it with: clinicadl maps import {published_maps} NEW_MAPS" in found
    assert "optimization.batch_size 4" in section(found, "Experiment")
    (split,) = section(found, "Splits")
    assert split == (
        "split 0 finished best by loss BA 0.750 [0.500, 1.000], accuracy 0.800 [0.600, 0.900], "
        "F1_score 0.700 [0.400, 0.800], sensitivity 0.600 [0.300, 0.700], loss 0.500"
    )
    assert section(found, "Data groups")[0].endswith("predicted: split 0 by loss")


def test_a_published_maps_that_cannot_be_read_is_shown_all_the_same(published_of, tmp_path):
    found = lines(published_of(tmp_path / "old", architecture="NoSuchNet"))
    (reason,) = [line for line in found if line.startswith("it cannot be imported.")]
    assert "NoSuchNet is not known here" in reason
    assert "architecture NoSuchNet" in section(found, "Experiment")
    assert section(found, "Splits")[0].startswith("split 0 finished")


def test_tables_of_one_row_and_tables_that_are_gone_are_no_hindrance(published_maps):
    best = published_maps / "split-0/best-loss"
    path = best / "validation/validation_image_level_metrics.tsv"
    path.write_text("accuracy\tBA\n0.5\t\n")
    assert section(lines(published_maps), "Splits")[0].endswith("accuracy 0.500, BA n/a")
    path.unlink()
    assert section(lines(published_maps), "Splits")[0].endswith("best by loss no metrics")


def test_an_imported_maps_says_where_it_is_from(published_maps, tmp_path):
    content = json.loads((published_maps / "maps.json").read_text())
    content["transfer_path"] = "earlier"
    (published_maps / "maps.json").write_text(json.dumps(content))
    import_maps(published_maps, tmp_path / "new")
    found = lines(tmp_path / "new")
    assert [line for line in found if line.startswith("imported") and "release 1.6.1" in line]
    assert "first weights from earlier, best by loss" in found


def test_the_findings_of_the_guard_are_shown(published_maps, tmp_path):
    table = published_maps / "groups/train/split-0/data.tsv"
    table.write_text((published_maps / "groups/validation/split-0/data.tsv").read_text())
    import_maps(published_maps, tmp_path / "new")
    (finding,) = section(lines(tmp_path / "new"), "Findings")
    assert "also in train of split 0" in finding


def test_what_is_no_maps_is_refused(tmp_path, trained):
    with pytest.raises(MissingInputError, match="no maps.json"):
        show_maps(tmp_path)
    with pytest.raises(MissingInputError, match="does not exist"):
        show_maps(tmp_path / "none")
    (trained / "maps.json").write_text("{}")
    with pytest.raises(InvalidDataError, match="another release"):
        show_maps(trained)
