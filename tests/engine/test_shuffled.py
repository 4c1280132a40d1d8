"""Labels of train that are given to other participants, and nothing else is."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinicadl import ReportConfig, read_experiment, train, write_report
from clinicadl.engine.shuffled import shuffled
from clinicadl.errors import UsageError
from clinicadl.layouts.maps import folder, outcomes

people = st.lists(st.integers(1, 3), min_size=1, max_size=12)


def table_of(n_sessions, *, first=0):
    rows = [
        (f"sub-{first + i:02}", f"ses-M{12 * visit:03}", f"{i}-{visit}", 10 * i + visit)
        for i, n in enumerate(n_sessions)
        for visit in range(n)
    ]
    return pd.DataFrame(rows, columns=["participant_id", "session_id", "diagnosis", "age"])


@given(people, st.integers(0, 10**6), st.integers(0, 4))
def test_each_participant_has_the_labels_of_one_other_in_their_order(n_sessions, seed, split):
    table = table_of(n_sessions)
    found = shuffled(table, ["diagnosis", "age"], seed=seed, split=split)
    ids = ["participant_id", "session_id"]
    pd.testing.assert_frame_equal(found[ids], table[ids])
    givers = set()
    for _, rows in found.groupby("participant_id"):
        (giver,) = {int(cell.split("-")[0]) for cell in rows["diagnosis"]}
        givers.add(giver)
        visits = [min(i, n_sessions[giver] - 1) for i in range(len(rows))]
        assert rows["diagnosis"].tolist() == [f"{giver}-{visit}" for visit in visits]
        assert rows["age"].tolist() == [10 * giver + visit for visit in visits]
    assert givers == set(range(len(n_sessions)))


@given(people, st.integers(0, 10**6), st.randoms())
def test_the_order_of_the_rows_says_nothing_and_the_seed_and_the_split_do(n_sessions, seed, order):
    table = table_of(n_sessions)
    places = table.groupby("participant_id", sort=False).ngroup()
    turn = list(range(len(n_sessions)))
    order.shuffle(turn)
    other = table.iloc[sorted(range(len(table)), key=lambda i: turn[places[i]])]
    one = shuffled(table, ["age"], seed=seed, split=0)
    two = shuffled(other.reset_index(drop=True), ["age"], seed=seed, split=0)
    keys = ["participant_id", "session_id"]
    pd.testing.assert_frame_equal(
        one.sort_values(keys, ignore_index=True), two.sort_values(keys, ignore_index=True)
    )


def test_another_seed_or_split_shuffles_otherwise():
    table = table_of([1] * 40)
    one, seed, split = (
        shuffled(table, ["age"], seed=seed, split=split)["age"].tolist()
        for seed, split in ((0, 0), (1, 0), (0, 1))
    )
    assert len({tuple(one), tuple(seed), tuple(split), tuple(table["age"])}) == 4
    assert sorted(one) == table["age"].tolist()


def said(maps, group):
    table = outcomes.read_predictions(maps, 0, "loss", group, "image")
    return table.set_index(["participant_id", "session_id"])["true_label"].sort_index()


def test_train_learns_shuffled_labels_and_validation_keeps_its_own(
    prepared_once, config_of, trained_once, tmp_path, caplog
):
    config = config_of(
        prepared_once, data={"shuffle_labels": True}, optimization={"epochs": 1},
        task={"name": "classification", "selection_metrics": ["loss"]},
    )  # fmt: skip
    maps = tmp_path / "maps"
    train(config, maps)
    assert "what is learnt means nothing" in caplog.text
    of_validation = [said(one, "validation") for one in (maps, trained_once)]
    pd.testing.assert_series_equal(*of_validation)
    ours, theirs = (said(one, "train") for one in (maps, trained_once))
    firsts = [one.xs("ses-M000", level=1).tolist() for one in (ours, theirs)]
    assert sorted(firsts[0]) == sorted(firsts[1])
    assert (ours != theirs).any()
    table = folder.read_group(trained_once, "train", 0).table
    expected = shuffled(table, ["diagnosis"], seed=0, split=0)
    expected = expected.set_index(["participant_id", "session_id"])
    codes = folder.open_maps(maps).record.label_code
    assert ours.to_dict() == expected["diagnosis"].map(codes).to_dict()
    assert folder.open_maps(maps).record.config.data.shuffle_labels
    page = write_report(ReportConfig(maps_directory=maps, format="md"))
    assert "what was learnt means nothing" in page.read_text()


def test_what_has_no_labels_is_refused(prepared_once, tmp_path):
    config = read_experiment({
        "data": {"caps_directory": prepared_once, "preprocessing_json": "tiny",
                 "tsv_directory": prepared_once / "split/2_fold", "shuffle_labels": True},
        "network": {"name": "UNet", "unet_levels": 2},
        "task": {"name": "reconstruction"},
        "validation": {"n_splits": 2, "split": [0]},
    })  # fmt: skip
    with pytest.raises(UsageError, match="no labels that could be shuffled in --shuffle_labels"):
        train(config, tmp_path / "maps")
    assert not (tmp_path / "maps").exists()
