"""Where things lie in a MAPS of releases 1.x."""

from __future__ import annotations

import pandas as pd
import pytest

from clinicadl.errors import InvalidDataError, MissingInputError, UsageError
from clinicadl.layouts.maps import published


def test_splits_have_either_name_and_come_in_order(tmp_path):
    for name in ("split-10", "fold-2", "split-1", "split-x", "splits", ".partial-split-0"):
        (tmp_path / name).mkdir()
    (tmp_path / "split-7").write_text("no folder")
    found = published.numbered(tmp_path)
    assert {number: path.name for number, path in found.items()} == {
        1: "split-1", 2: "fold-2", 10: "split-10",
    }  # fmt: skip
    assert list(found) == [1, 2, 10]
    (tmp_path / "fold-1").mkdir()
    with pytest.raises(InvalidDataError, match="fold-1 and split-1"):
        published.numbered(tmp_path)
    assert published.numbered(tmp_path / "absent") == {}


def test_weights_are_those_of_one_network_or_of_several_in_order(tmp_path):
    for number in (10, 2, 0):
        (tmp_path / f"network-{number}_model.pth.tar").write_text("")
    (tmp_path / "optimizer.pth.tar").write_text("")
    assert list(published.weights(tmp_path)) == [0, 2, 10]
    (tmp_path / "other").mkdir()
    (tmp_path / "other/model.pth.tar").write_text("")
    assert list(published.weights(tmp_path / "other")) == [None]


def test_a_maps_is_opened_and_told_from_ours(published_maps, trained, tmp_path):
    assert published.is_one(published_maps)
    assert not published.is_one(trained)
    assert published.open_published(published_maps).settings["architecture"] == "Conv4_FC3"
    with pytest.raises(UsageError, match="this release"):
        published.open_published(trained)
    with pytest.raises(MissingInputError, match="no maps.json"):
        published.is_one(tmp_path)


def test_groups_are_read_without_their_index(published_maps):
    path = published.numbered(published_maps / "groups/train")[0]
    table = pd.read_csv(path / "data.tsv", sep="\t", index_col=0, dtype=str)
    found = published.group(path)
    assert found.table.to_numpy().tolist() == table.to_numpy().tolist()
    assert list(found.table) == ["participant_id", "session_id", "cohort", "diagnosis"]
    assert found.origin["multi_cohort"] is False
    assert published.groups(published_maps) == {}


def test_results_are_tables_and_their_date(published_maps):
    best = published.best(published.numbered(published_maps)[0])["loss"]
    found = published.results(best)
    assert list(found) == ["train", "validation"]
    assert [path.name for path in published.tables(found["train"])] == [
        "train_image_level_metrics.tsv", "train_image_level_prediction.tsv",
    ]  # fmt: skip
    assert published.date_of_results(found["train"]) == "2024-10-03 11:45:00"
    (found["train"] / "description.log").write_text("nothing of the kind")
    assert published.date_of_results(found["train"]) is None
    (found["train"] / "description.log").unlink()
    assert published.date_of_results(found["train"]) is None


@pytest.mark.parametrize("log", ["", "- Date :\t3rd of May\n", "- Path :\tx\n"])
def test_a_date_that_is_not_there_is_none(log):
    assert published.created(log) is None
