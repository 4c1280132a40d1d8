"""Who came in, who was left out, and what the sets are like: counted by hand and by pandas."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest

from clinicadl import ReportConfig, train, write_report
from clinicadl.layouts.maps import folder
from clinicadl.report import story
from clinicadl.tables import composition, sessions
from clinicadl.tables.sessions import Source


@pytest.fixture
def own(prepared_once, config_of, tmp_path):
    """A CAPS of our own, and a MAPS that was trained on it."""
    caps = tmp_path / "caps"
    shutil.copytree(prepared_once, caps)
    maps = tmp_path / "maps"
    train(config_of(caps, optimization={"epochs": 1}), maps)
    return caps, maps


def told(maps):
    return story.read(maps).flow


def test_the_steps_are_counted(own):
    """20 participants, every fourth with a second session; 6 are the test set."""
    found = told(own[1])
    assert [(one.name, one.n_participants, one.n_sessions) for one in found.steps] == [
        ("images", 20, 25),
        ("labels.tsv", 20, 25),
        ("split/train.tsv", 14, len(pd.read_csv(own[0] / "split/train.tsv", sep="\t"))),
    ]
    assert [one.left_out for one in found.steps] == [
        (), ((6, "participants set apart by split"),), (),
    ]  # fmt: skip
    assert (found.labels.path.name, found.remarks) == ("labels.tsv", ())


def test_images_of_nobody_and_other_diagnoses_are_left_out(own, config_of):
    caps, _ = own
    table = pd.read_csv(caps / "labels.tsv", sep="\t", dtype=str)
    stranger = next((caps / "subjects").iterdir())
    shutil.copytree(stranger, caps / "subjects" / "sub-X1")
    for path in [*(caps / "subjects" / "sub-X1").rglob("*")]:
        path.rename(path.with_name(path.name.replace(stranger.name, "sub-X1")))
    maps = caps.parent / "only"
    data = {"diagnoses": ["AD", "CN"]}
    odd = sorted(set(table["participant_id"]))[0]
    for path in [caps / "labels.tsv"]:
        table.loc[table["participant_id"] == odd, "diagnosis"] = "MCI"
        table.to_csv(path, sep="\t", index=False)
    from clinicadl import KFoldConfig, kfold

    kfold(KFoldConfig(data_tsv=caps / "labels.tsv", n_splits=2))
    config = config_of(
        caps, data={**data, "tsv_directory": caps / "2_fold"}, optimization={"epochs": 1}
    )
    train(config, maps)
    first, second = told(maps).steps
    assert first.left_out == ((1, "participants not in labels.tsv"),)
    assert second.left_out == (
        (1, "participants in neither train nor validation, such as of other diagnoses"),
    )


def test_what_the_labels_were_chosen_from_comes_first(own):
    caps, maps = own
    said = {"n_rows": 31, "n_kept": 25, "n_excluded": {"no image": 4, "no age": 2}}
    (caps / "labels.json").write_text(json.dumps(said))
    step = told(maps).steps[1]
    assert (step.name, step.n_participants, step.n_sessions) == (
        "sessions that were read",
        None,
        31,
    )
    assert step.left_out == ((4, "sessions: no image"), (2, "sessions: no age"))
    text = write_report(ReportConfig(maps_directory=maps)).read_text()
    assert "4 sessions: no image" in text
    (caps / "labels.json").write_text(json.dumps(said | {"n_kept": 24}))
    assert told(maps).steps[1].name == "labels.tsv"


@pytest.mark.parametrize("what", ["table", "caps", "record"])
def test_what_changed_or_is_gone_is_not_told(own, what):
    caps, maps = own
    if what == "table":
        with (caps / "labels.tsv").open("a") as file:
            file.write("sub-T900\tses-M000\tAD\t70\tF\n")
        found = told(maps)
        assert [one.name for one in found.steps] == ["images", "split/train.tsv"]
    elif what == "caps":
        shutil.rmtree(caps)
        found = told(maps)
        assert found.steps == ()
        assert "How many images there were is not told" in found.remarks[0]
    else:
        (caps / "split/2_fold/kfold.json").write_text("{")
        found = told(maps)
        assert "kfold.json" in found.remarks[0]
    # The report stands on the MAPS alone.
    for remark in found.remarks:
        assert (
            remark
            in write_report(
                ReportConfig(maps_directory=maps, format="md", overwrite=True)
            ).read_text()
        )


def test_the_balance_is_that_of_pandas(own):
    caps, maps = own
    rows = {one.name: one.cells for one in story.read(maps).balance}
    labels = pd.read_csv(caps / "labels.tsv", sep="\t").drop_duplicates("participant_id")
    for name in ("train", "validation"):
        who = folder.read_group(maps, name, 0).table["participant_id"].unique()
        people = labels[labels["participant_id"].isin(who)]
        cells = rows[f"{name}, split 0"]
        assert cells["participants"] == str(len(who))
        age = people["age"]
        assert cells["age"] == f"{age.mean():.1f} ± {age.std():.1f} ({age.min()} to {age.max()})"
        for column in ("sex", "diagnosis"):
            counts = people[column].value_counts().sort_index()
            assert cells[column] == ", ".join(f"{key} {n}" for key, n in counts.items())


def test_what_is_not_known_is_said():
    labels = pd.DataFrame(
        {
            "participant_id": ["sub-1", "sub-2", "sub-3"], "session_id": "ses-M000",
            "age": ["61", "70", "80"], "site": ["a", "b", "c"], "scan": ["x", "y", "x"],
        }
    )  # fmt: skip
    people = pd.DataFrame({"participant_id": ["sub-1", "sub-9"], "session_id": "ses-M000"})
    found = Source(sessions.LABELS, labels)
    (one,) = composition.balance([("test", people)], found, ("age", "scan"))
    assert one.cells == {
        "participants": "2", "age": "61.0 (61 to 61); 1 not known", "scan": "not known 1, x 1",
    }  # fmt: skip
    (none,) = composition.balance([("test", people.tail(1))], found, ("age",))
    assert none.cells["age"] == "not known"


def test_a_table_of_covariates_may_be_named(own, tmp_path):
    _, maps = own
    table = tmp_path / "more.tsv"
    who = pd.concat(folder.read_group(maps, name, 0).table for name in ("train", "validation"))
    who[["participant_id", "session_id"]].assign(
        site=["a", "b"] * (len(who) // 2) + ["a"] * (len(who) % 2)
    ).to_csv(table, sep="\t", index=False)
    found = story.read(maps, table).balance
    assert all(set(one.cells) == {"participants", "site"} for one in found)
