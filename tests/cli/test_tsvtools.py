"""``clinicadl tsvtools``."""

import json
import re
import tomllib

import pytest

from clinicadl import KFoldConfig, SplitConfig, kfold, split


@pytest.fixture
def labels(tmp_path):
    rows = [
        f"sub-{i:02d}\tses-M{month:03d}\t{60 + i % 5}\t{'FM'[i // 2 % 2]}\t{['AD', 'CN'][i % 2]}"
        for i in range(24)
        for month in (0, 12)
    ]
    header = "participant_id\tsession_id\tage\tsex\tdiagnosis"
    (tmp_path / "labels.tsv").write_text("\n".join([header, *rows]) + "\n")
    return tmp_path / "labels.tsv"


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_split_says_what_it_wrote(invoke, labels):
    code, said, complaint = invoke("tsvtools", "split", labels, "--n_test", 8)
    assert (code, complaint) == (0, "")
    assert said.splitlines() == [
        f"folder: {labels.parent / 'split'}",
        "  train.tsv: 16 participants, 32 sessions",
        "  train_baseline.tsv: 16 participants, 16 sessions",
        "  validation_baseline.tsv: 8 participants, 8 sessions",
        said.splitlines()[-1],
    ]
    assert re.fullmatch(r"  balance: age p .*, SMD .*; sex p .*", said.splitlines()[-1])


def test_kfold_says_what_it_wrote(invoke, labels):
    code, said, _ = invoke("tsvtools", "kfold", labels, "--n-splits", 2)
    assert code == 0
    assert said.splitlines()[0] == f"folder: {labels.parent / '2_fold'}"
    assert "  split-1/train.tsv: 12 participants, 24 sessions" in said.splitlines()


@pytest.mark.parametrize(
    ("command", "flags", "function", "config"),
    [
        (
            "split",
            ["--subset_name", "test", "--n_test", "0.25", "-ps", "0.5", "-pa", "0.5", "--seed", "7",
             "--stratify-by", "sex", "--categorical_split_variable", "diagnosis",
             "--valid_longitudinal"],
            split,
            {"subset_name": "test", "n_test": 0.25, "p_sex_threshold": 0.5, "p_age_threshold": 0.5,
             "seed": 7, "stratify_by": ("sex",), "categorical_split_variable": "diagnosis",
             "valid_longitudinal": True, "cls": SplitConfig},
        ),
        (
            "split",
            ["--n-test", "5", "--ignore-demographics", "--valid_baseline"],
            split,
            {"n_test": 5, "ignore_demographics": True, "cls": SplitConfig},
        ),
        (
            "kfold",
            ["--n_splits", "3", "--stratify_by", "sex", "--seed", "7", "--subset-name", "test",
             "--valid-longitudinal", "--ignore_demographics"],
            kfold,
            {"n_splits": 3, "stratification": ("sex",), "seed": 7, "subset_name": "test",
             "valid_longitudinal": True, "ignore_demographics": True, "cls": KFoldConfig},
        ),
    ],
    ids=["split", "split without demographics", "kfold"],
)  # fmt: skip
def test_the_command_line_and_the_function_give_the_same_bytes(
    invoke, labels, command, flags, function, config
):
    other = labels.parent / "other" / "labels.tsv"
    other.parent.mkdir()
    other.write_bytes(labels.read_bytes())
    cls = config.pop("cls")
    folder = function(cls(data_tsv=other, **config))
    code, _, _ = invoke("tsvtools", command, labels, *flags)
    assert code == 0
    assert contents(labels.parent / folder.name) == contents(folder)


@pytest.mark.parametrize("command", ["split", "kfold"])
def test_a_dry_run_writes_nothing_and_says_what_would_be(invoke, labels, command):
    flags = ["--n_test", 8] if command == "split" else ["--n_splits", 4]
    code, said, _ = invoke("tsvtools", command, labels, *flags, "--dry-run")
    assert code == 0
    assert [path.name for path in labels.parent.iterdir()] == ["labels.tsv"]
    assert tomllib.loads(said)["data_tsv"] == str(labels)
    assert f"# would read: {labels}" in said
    name = "split" if command == "split" else "4_fold"
    assert f"# would write: {labels.parent / name}" in said
    _, written, _ = invoke("tsvtools", command, labels, *flags)
    for line in written.splitlines()[1:]:
        assert f"# {line}" in said


@pytest.mark.parametrize("flag", ["--stratification", "--stratify_by", "--stratify-by"])
def test_both_names_of_the_stratification_mean_the_same(invoke, labels, flag):
    code, _, _ = invoke("tsvtools", "kfold", labels, flag, "sex")
    assert code == 0
    record = json.loads((labels.parent / "5_fold" / "kfold.json").read_text())
    assert record["stratification"] == "sex"


def test_the_older_name_of_the_group_works(invoke, labels):
    code, _, _ = invoke("tsvtool", "kfold", labels)
    assert code == 0
    assert json.loads((labels.parent / "5_fold" / "kfold.json").read_text())["n_splits"] == 5


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["split", "{labels}"], 65, ["24 participants", "--n_test"]),
        (["split", "{labels}", "--n_test", "-1"], 2, ["n-test"]),
        (["split", "{labels}", "--subset_name", "a b"], 2, ["subset_name"]),
        (["split", "{labels}", "--n_test", "4", "--stratify_by", "x"], 66, ["no column x"]),
        (["kfold", "{labels}", "--n_splits", "1"], 2, ["n_splits", "one fold"]),
        (["kfold", "{labels}", "--n_splits", "25"], 65, ["24 participants, 25 folds"]),
        (["kfold", "{labels}x"], 66, ["labels.tsvx", "does not exist"]),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_writes_nothing(
    invoke, labels, arguments, code, words
):
    found, said, complaint = invoke("tsvtools", *(one.format(labels=labels) for one in arguments))
    assert (found, said) == (code, "")
    assert "Traceback" not in complaint
    for word in words:
        assert word in complaint
    assert [path.name for path in labels.parent.iterdir()] == ["labels.tsv"]


def test_a_warning_is_shown(invoke, labels):
    lines = [line.rpartition("\t")[0] for line in labels.read_text().splitlines()]
    labels.write_text("\n".join(lines) + "\n")
    code, _, complaint = invoke("tsvtools", "kfold", labels)
    assert code == 0
    assert "no column diagnosis: the participants are not stratified" in complaint


def test_a_test_set_and_folds_are_made_in_one_go(invoke, labels):
    code, said, _ = invoke(
        "tsvtools", "prepare-experiment", labels, "--n_test", 8, "--n_validation", 2
    )
    assert code == 0
    home = labels.parent / "split"
    assert [line for line in said.splitlines() if line.startswith("folder")] == [
        f"folder: {home}", f"folder: {home / '2_fold'}",
    ]  # fmt: skip
    by_hand = labels.parent / "by_hand" / "labels.tsv"
    by_hand.parent.mkdir()
    by_hand.write_bytes(labels.read_bytes())
    invoke("tsvtools", "split", by_hand, "--subset_name", "test", "--n_test", 8)
    invoke("tsvtools", "kfold", by_hand.parent / "split" / "train.tsv", "--n_splits", 2)
    one, other = contents(home), contents(by_hand.parent / "split")
    tables = [name for name in one if name.endswith(".tsv")]
    assert len(tables) == 9
    assert {name: one[name] for name in tables} == {name: other[name] for name in tables}


def test_a_test_set_and_one_split(invoke, labels):
    code, _, _ = invoke(
        "tsvtools", "prepare-experiment", labels, "--n_test", 8, "-vt", "split",
        "--n_validation", 0.25, "--group_by", "participant_id",
    )  # fmt: skip
    assert code == 0
    home = labels.parent / "split" / "split"
    assert (home / "validation_baseline.tsv").exists()


@pytest.mark.parametrize(
    "flags", [["--n_validation", 2.5], ["--n_validation", 99], ["--n_test", 99]]
)
def test_an_experiment_that_cannot_be_made_leaves_nothing(invoke, labels, flags):
    code, _, complaint = invoke("tsvtools", "prepare-experiment", labels, "--n_test", 8, *flags)
    assert code in (2, 65)
    _, more = complaint.strip().splitlines()
    assert more.startswith("More: clinicadl explain ")
    assert sorted(path.name for path in labels.parent.iterdir()) == ["labels.tsv"]


def test_a_dry_run_of_an_experiment_writes_nothing(invoke, labels):
    code, said, _ = invoke(
        "tsvtools", "prepare-experiment", labels, "--n_test", 8, "--n_validation", 2, "--dry-run"
    )
    assert code == 0
    assert f"# would write: {labels.parent / 'split' / '2_fold'}" in said
    assert sorted(path.name for path in labels.parent.iterdir()) == ["labels.tsv"]
