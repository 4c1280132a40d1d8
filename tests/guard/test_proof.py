"""Whether a table is still what its division wrote."""

import json

import pytest

from clinicadl.config.tables import KFoldConfig, SplitConfig
from clinicadl.errors import InvalidDataError
from clinicadl.guard import proof
from clinicadl.layouts import tsv
from clinicadl.layouts.ids import PARTICIPANT
from clinicadl.tables.folds import kfold
from clinicadl.tables.split import split


@pytest.fixture
def home(tmp_path):
    """A division of 24 participants, with two folds of its train part."""
    rows = [
        f"sub-{i:02d}\tses-M{month:03d}\t{60 + i % 5}\t{'FM'[i // 2 % 2]}\t{['AD', 'CN'][i % 2]}"
        for i in range(24)
        for month in (0, 12)
    ]
    header = "participant_id\tsession_id\tage\tsex\tdiagnosis"
    (tmp_path / "labels.tsv").write_text("\n".join([header, *rows]) + "\n")
    config = SplitConfig(
        data_tsv=tmp_path / "labels.tsv", subset_name="test", n_test=8, valid_longitudinal=True
    )
    folder = split(config)
    kfold(KFoldConfig(data_tsv=folder / "train.tsv", n_splits=2))
    return folder


def people(path):
    return list(tsv.read(path, "table")[PARTICIPANT])


def check(path):
    return proof.check(path, people(path))


def test_every_table_as_written_passes(home):
    tables = sorted(home.rglob("*.tsv"))
    assert len(tables) == 10
    for path in tables:
        assert check(path) == ()


@pytest.mark.parametrize("name", ["train.tsv", "2_fold/split-1/train.tsv"])
def test_a_table_without_a_record_passes(home, name):
    for record in home.rglob("*.json"):
        record.unlink()
    path = home / name
    path.write_text(path.read_text() + "sub-99\tses-M000\t60\tF\tAD\n")
    assert check(path) == ()


def test_a_record_of_release_1_says_nothing(home):
    record = {"n_test": 8, "subset_name": "test", "mullti_diagnoses": False}
    (home / "split.json").write_text(json.dumps(record))
    path = home / "train.tsv"
    path.write_text(path.read_text() + "sub-99\tses-M000\t60\tF\tAD\n")
    assert check(path) == ()


def test_a_record_of_hashes_alone_tells_that_there_was_an_edit(home):
    record = json.loads((home / "split.json").read_text())
    del record["participants"]
    (home / "split.json").write_text(json.dumps(record))
    assert check(home / "train.tsv") == ()
    (home / "train.tsv").write_text((home / "train.tsv").read_text().replace("F", "f"))
    (found,) = check(home / "train.tsv")
    assert (found.rule, found.severity) == ("edited-table", "warn")


@pytest.mark.parametrize(
    ("table", "other", "sets"),
    [
        ("train.tsv", "test.tsv", "test"),
        ("test_baseline.tsv", "train_baseline.tsv", "train"),
        ("2_fold/split-1/train.tsv", "2_fold/split-1/validation_baseline.tsv", "validation"),
    ],
)
def test_somebody_of_another_set_is_a_leak(home, table, other, sets):
    taken = (home / other).read_text().splitlines()[1]
    (home / table).write_text((home / table).read_text() + taken + "\n")
    (found,) = check(home / table)
    who = taken.partition("\t")[0]
    assert (found.rule, found.severity, found.participants) == ("edited-leak", "refuse", (who,))
    assert f"1 participant of it is recorded in {sets}" in found.sentence
    assert who in found.sentence
    assert str(home / table) in found.sentence


def test_another_fold_is_another_division(home):
    """In validation of split-0 means in train of split-1: no leak, and no edit."""
    one = set(people(home / "2_fold/split-0/validation_baseline.tsv"))
    assert one == set(people(home / "2_fold/split-1/train.tsv"))
    assert check(home / "2_fold/split-1/train.tsv") == ()


def test_another_spelling_of_somebody_of_another_set_is_a_leak(home):
    (who, *rest) = (home / "test_baseline.tsv").read_text().splitlines()[1].split("\t")
    respelt = who.replace("sub-", "sub-0")
    path = home / "train.tsv"
    path.write_text(path.read_text() + "\t".join([respelt, *rest]) + "\n")
    (found,) = check(path)
    assert found.rule == "edited-leak"
    assert f"{respelt} = {who}" in found.sentence


def test_who_came_and_went_is_told(home):
    path = home / "train.tsv"
    lines = path.read_text().splitlines()
    gone = lines[1].partition("\t")[0]
    kept = [line for line in lines if not line.startswith(gone)]
    path.write_text("\n".join([*kept, "sub-98\tses-M000\t60\tF\tAD"]) + "\n")
    (found,) = check(path)
    assert (found.rule, found.severity, found.participants) == ("edited-table", "warn", ("sub-98",))
    assert "1 participant came and 1 went; new is sub-98" in found.sentence


def test_a_leak_and_a_stranger_are_both_told(home):
    path = home / "train.tsv"
    taken = (home / "test_baseline.tsv").read_text().splitlines()[1]
    path.write_text(path.read_text() + taken + "\nsub-98\tses-M000\t60\tF\tAD\n")
    assert [one.rule for one in check(path)] == ["edited-leak", "edited-table"]


@pytest.mark.parametrize("edit", ["value", "line ends", "order", "spelling", "session"])
def test_an_edit_that_keeps_everybody_is_a_warning(home, edit):
    path = home / "train.tsv"
    header, *rows = path.read_text().splitlines()
    changed = {
        "value": [header, *(row.replace("\tF\t", "\tf\t") for row in rows)],
        "line ends": [f"{line}\r" for line in [header, *rows]],
        "order": [header, *rows[::-1]],
        "spelling": [header, *(row.replace("sub-", "sub-0") for row in rows)],
        "session": [header, *rows[1:]],
    }[edit]
    path.write_bytes(("\n".join(changed) + "\n").encode())
    (found,) = check(path)
    assert (found.rule, found.participants) == ("edited-table", ())
    assert "0 participants came and 0 went" in found.sentence


def test_a_damaged_record_is_an_error(home):
    (home / "split.json").write_text('{"files": 3}')
    with pytest.raises(InvalidDataError, match="split.json"):
        check(home / "train.tsv")
