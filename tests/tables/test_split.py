"""Participants set apart once."""

import json
import shlex
import subprocess
import sys
from hashlib import sha256

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from clinicadl.config.read import settings as config_of
from clinicadl.config.tables import SplitConfig
from clinicadl.errors import (
    InvalidDataError,
    LeakageError,
    MissingInputError,
    OutputError,
    UsageError,
)
from clinicadl.tables.split import plan, split


def write(path, n=60, seed=0, **changed):
    """Write a table of n participants, every third with a second session, and return it."""
    draw = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        facts = {
            "age": f"{draw.normal(70, 8):.1f}", "sex": draw.choice(["F", "M"]),
            "diagnosis": ["AD", "CN", "CN"][i % 3], "site": ["x", "y"][i // 3 % 2],
        }  # fmt: skip
        for session in ["ses-M012", "ses-M000"][i % 3 > 0 :]:
            rows.append({"participant_id": f"sub-{i:03d}", "session_id": session, **facts})
    table = pd.DataFrame(rows)
    for column, change in changed.items():
        table = table.drop(columns=column) if change is None else table.assign(**{column: change})
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, sep="\t", index=False, na_rep="n/a")
    return table


def config(path, **said):
    return config_of(SplitConfig, {"data_tsv": path, "n_test": 12, **said})


def read(path):
    return pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)


def ids(folder, name):
    return list(read(folder / f"{name}.tsv")["participant_id"])


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def labels(tmp_path):
    write(tmp_path / "labels.tsv")
    return tmp_path / "labels.tsv"


def test_participants_are_set_apart_with_all_of_their_sessions(labels):
    table = read(labels)
    folder = split(config(labels, subset_name="test", valid_longitudinal=True))
    assert folder == labels.parent / "split"
    names = {"split.json", "train.tsv", "train_baseline.tsv", "test.tsv", "test_baseline.tsv"}
    assert {path.name for path in folder.iterdir()} == names
    train, test = set(ids(folder, "train")), set(ids(folder, "test"))
    assert not train & test
    assert train | test == set(table["participant_id"])
    assert len(test) == 12
    both = pd.concat([read(folder / "train.tsv"), read(folder / "test.tsv")])
    by = ["participant_id", "session_id"]
    expected = table.sort_values(by).reset_index(drop=True)
    assert both.sort_values(by).reset_index(drop=True).equals(expected)
    for name, part in (("train", train), ("test", test)):
        firsts = read(folder / f"{name}_baseline.tsv")
        assert list(firsts["participant_id"]) == sorted(part)
        assert set(firsts["session_id"]) == {"ses-M000"}
        longitudinal = read(folder / f"{name}.tsv")
        assert longitudinal.equals(longitudinal.sort_values(by).reset_index(drop=True))


def test_the_longitudinal_table_of_the_part_set_apart_is_written_on_request_only(labels):
    folder = split(config(labels))
    assert (folder / "validation_baseline.tsv").exists()
    assert not (folder / "validation.tsv").exists()


@settings(max_examples=30)
@given(
    st.lists(st.sampled_from("AB"), min_size=4, max_size=30).filter(
        lambda labels: min(labels.count("A"), labels.count("B")) >= 2
    ),
    st.lists(st.integers(1, 3), min_size=30, max_size=30),
    st.integers(0, 2**32 - 1),
    st.data(),
)
def test_no_participant_is_in_both_parts(tmp_path_factory, labels, n_sessions, seed, data):
    n_test = data.draw(st.integers(2, len(labels) - 2))
    path = tmp_path_factory.mktemp("split") / "t.tsv"
    rows = [
        (f"sub-{i}", f"ses-M{month:03d}", label)
        for i, (label, n) in enumerate(zip(labels, n_sessions, strict=False))
        for month in range(n)
    ]
    columns = ["participant_id", "session_id", "diagnosis"]
    pd.DataFrame(rows, columns=columns).to_csv(path, sep="\t", index=False)
    folder = split(
        config(path, n_test=n_test, seed=seed, ignore_demographics=True, stratify_by=["diagnosis"])
    )
    apart = read(folder / "validation_baseline.tsv")
    train = read(folder / "train.tsv")
    assert len(apart) == n_test
    assert not set(train["participant_id"]) & set(apart["participant_id"])
    assert set(train["participant_id"]) | set(apart["participant_id"]) == {one for one, *_ in rows}
    count = (apart["diagnosis"] == "A").sum()
    exact = labels.count("A") * n_test / len(labels)
    assert abs(count - exact) <= 1
    assert 1 <= count <= n_test - 1


def both(folder):
    return (read(folder / f"{name}_baseline.tsv") for name in ("validation", "train"))


def test_age_and_sex_are_as_alike_as_asked_for(labels):
    folder = split(config(labels))
    apart, train = both(folder)
    inside, outside = apart["age"].astype(float), train["age"].astype(float)
    p_age = stats.ttest_ind(inside, outside).pvalue
    n, m = len(inside), len(outside)
    pooled = ((n - 1) * inside.var() + (m - 1) * outside.var()) / (n + m - 2)
    smd = abs(inside.mean() - outside.mean()) / pooled**0.5
    counts = [[(part["sex"] == sex).sum() for sex in "FM"] for part in (apart, train)]
    p_sex = stats.fisher_exact(counts).pvalue
    assert min(p_age, p_sex) >= 0.8
    assert smd <= 0.1
    found = json.loads((folder / "split.json").read_text())["balance"]
    np.testing.assert_allclose(
        [found["age"]["p"], found["age"]["smd"], found["sex"]["p"]], [p_age, smd, p_sex], atol=1e-8
    )


def test_the_published_criterion_stays_available(labels):
    folder = split(config(labels, balance="published"))
    apart, train = both(folder)
    p_age = stats.ttest_ind(apart["age"].astype(float), train["age"].astype(float)).pvalue
    f_in, f_out = (apart["sex"] == "F").mean(), (train["sex"] == "F").mean()
    p_sex = stats.chisquare([1 - f_in, f_in], [1 - f_out, f_out]).pvalue
    found = json.loads((folder / "split.json").read_text())["balance"]
    assert min(p_age, p_sex) >= 0.8
    np.testing.assert_allclose(
        [found["age"]["p"], found["sex"]["score"]], [p_age, p_sex], atol=1e-8
    )


def test_several_columns_are_balanced_at_once(labels):
    planned = plan(config(labels, balance_by=["age", "sex", "site"], stratify_by=["diagnosis"]))
    assert set(planned.record["balance"]) == {"age", "sex", "site"}
    assert all(one["p"] >= 0.8 for one in planned.record["balance"].values())


def test_every_column_of_numbers_is_balanced_by_kolmogorov_smirnov(tmp_path):
    draw = np.random.default_rng(1)
    write(tmp_path / "t.tsv", mmse=np.round(draw.normal(27, 2, 80), 2), note=["x"] * 80)
    planned = plan(config(tmp_path / "t.tsv", multi_diagnoses=True))
    assert set(planned.record["balance"]) == {"age", "mmse"}
    assert min(one["p"] for one in planned.record["balance"].values()) >= 0.8
    assert planned.record["mullti_diagnoses"] is True


def test_the_first_draw_that_is_balanced_is_taken(labels):
    loose = plan(config(labels, p_age_threshold=0, p_sex_threshold=0, smd_threshold=9))
    narrow = plan(config(labels, p_age_threshold=0.95, p_sex_threshold=0.9))
    assert loose.record["trial"] == 0
    assert narrow.record["trial"] > 0
    assert narrow.record["balance"]["age"]["p"] >= 0.95


def test_a_group_stays_together_and_classes_keep_their_shares(tmp_path):
    table = write(tmp_path / "t.tsv")
    family = [f"F{int(name[4:]) // 2 % 25}" for name in table["participant_id"]]
    write(tmp_path / "t.tsv", family=family)
    folder = split(config(tmp_path / "t.tsv", group_by="family", subset_name="test"))
    apart = read(folder / "test_baseline.tsv")
    train = read(folder / "train.tsv")
    assert not set(apart["family"]) & set(train["family"])
    assert len(apart) == 12
    assert abs((apart["diagnosis"] == "AD").sum() - 4) <= 1
    record = json.loads((folder / "split.json").read_text())
    assert record["group_by"] == "family"


def test_large_groups_that_do_not_fit_fall_short_with_a_warning(tmp_path, caplog):
    table = write(tmp_path / "t.tsv")
    centre = ["ABC"[int(name[4:]) // 20] for name in table["participant_id"]]
    write(tmp_path / "t.tsv", centre=centre)
    planned = plan(config(tmp_path / "t.tsv", group_by="centre", n_test=25))
    assert len(planned.division.apart_baseline) == 20
    assert "20 participants are set apart, not 25" in caplog.text


def test_the_command_that_is_recorded_makes_the_same_split(labels, monkeypatch):
    folder = split(config(labels, seed=3, stratify_by=["site"], balance_by=["age", "site"],
                          valid_longitudinal=True, n_test=0.2))  # fmt: skip
    words = shlex.split(json.loads((folder / "split.json").read_text())["command"])
    monkeypatch.chdir(labels.parent)
    subprocess.run([sys.executable, "-m", *words], check=True, capture_output=True)
    assert contents(labels.parent / "split_2") == contents(folder)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path):
    for name in ("one", "again"):
        write(tmp_path / name / "labels.tsv")
    one, again = (
        split(config(tmp_path / name / "labels.tsv", seed=3)) for name in ("one", "again")
    )
    other = split(config(tmp_path / "one" / "labels.tsv", seed=4))
    assert contents(one) == contents(again)
    assert ids(one, "validation_baseline") != ids(other, "validation_baseline")


def test_the_order_of_the_rows_does_not_matter(tmp_path):
    table = write(tmp_path / "labels.tsv")
    mixed = table.sample(frac=1, random_state=1)
    (tmp_path / "mixed").mkdir()
    mixed.to_csv(tmp_path / "mixed" / "labels.tsv", sep="\t", index=False)
    one = contents(split(config(tmp_path / "labels.tsv")))
    other = contents(split(config(tmp_path / "mixed" / "labels.tsv")))
    assert one.pop("split.json") != other.pop("split.json")
    assert one == other


def test_every_column_is_written_as_it_was_read(tmp_path):
    table = write(tmp_path / "t.tsv", note=[f"0{i}.50" for i in range(80)])
    folder = split(config(tmp_path / "t.tsv"))
    train = read(folder / "train.tsv")
    assert list(train.columns) == list(table.columns)
    assert set(train["note"]) <= set(table["note"])


def test_the_json_tells_how_the_parts_were_made(labels):
    folder = split(config(labels, subset_name="test", seed=5))
    record = json.loads((folder / "split.json").read_text())
    published = {
        "n_test": 12, "subset_name": "test", "p_age_threshold": 0.8, "p_sex_threshold": 0.8,
        "categorical_split_variable": None, "ignore_demographics": False, "mullti_diagnoses": False,
    }  # fmt: skip
    assert record.items() >= published.items()
    assert record["seed"] == 5
    assert record["stratified_by"] == ["diagnosis"]
    assert record["data_tsv"] == "labels.tsv"
    assert record["sha256"] == sha256(labels.read_bytes()).hexdigest()
    assert record["files"] == {
        path.name: sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.tsv")
    }
    assert record["inputs"] == {"labels.tsv": record["sha256"]}
    assert record["participants"] == {
        "train": sorted(set(ids(folder, "train"))),
        "test": sorted(set(ids(folder, "test_baseline"))),
    }


@pytest.mark.parametrize(
    ("n_people", "n_test", "n_apart"),
    [(60, 7, 7), (60, 7.9, 7), (100, 0.29, 29), (60, 0.25, 15), (61, 0.25, 15)],
)
def test_a_number_or_a_share_is_set_apart(tmp_path, n_people, n_test, n_apart):
    write(tmp_path / "t.tsv", n=n_people)
    planned = plan(config(tmp_path / "t.tsv", n_test=n_test, ignore_demographics=True))
    assert len(planned.division.apart_baseline) == n_apart


def test_zero_sets_everybody_apart_and_writes_nothing_to_train_on(tmp_path):
    write(tmp_path / "t.tsv", n=6, age=None, sex=None, diagnosis=None)
    folder = split(config(tmp_path / "t.tsv", n_test=0, valid_longitudinal=True))
    names = {"split.json", "validation.tsv", "validation_baseline.tsv"}
    assert {path.name for path in folder.iterdir()} == names
    assert len(read(folder / "validation_baseline.tsv")) == 6
    assert len(read(folder / "validation.tsv")) == 8


@pytest.mark.parametrize("n_test", [60, 100, 1e300, float("inf")])
def test_as_many_as_there_are_cannot_be_set_apart(labels, n_test):
    with pytest.raises(InvalidDataError, match=r"left to train on in .*labels\.tsv") as caught:
        split(config(labels, n_test=n_test))
    assert "60 participants" in str(caught.value)
    assert list(labels.parent.iterdir()) == [labels]


def test_a_share_of_nobody_is_refused(labels):
    with pytest.raises(InvalidDataError, match="Nobody would be set apart"):
        split(config(labels, n_test=0.01))


def test_what_cannot_be_balanced_says_how_far_it_is_or_fails(labels, caplog):
    wanted = {"n_test": 2, "p_age_threshold": 1.0, "p_sex_threshold": 1.0}
    with pytest.raises(InvalidDataError, match="No draw is as balanced as asked for") as caught:
        split(config(labels, strict=True, **wanted))
    message = str(caught.value)
    assert caught.value.exit_code == 65
    assert "age p 0.9" in message
    assert "--ignore_demographics" in message
    assert list(labels.parent.iterdir()) == [labels]
    planned = plan(config(labels, **wanted))
    reached = planned.record["balance"]["age"]["p"]
    assert 0.9 < reached < 1
    assert f"age p {reached:.3g}" in caplog.text
    assert f"off by {1 - reached:.3g}" in caplog.text
    assert len(planned.division.apart_baseline) == 2


@pytest.mark.filterwarnings("ignore:Precision loss")
def test_the_best_draw_is_the_best_of_all(labels):
    """Every pair of two participants is tried by hand."""
    wanted = config(labels, n_test=2, p_age_threshold=1.0, p_sex_threshold=0, balance_by=["age"],
                    ignore_demographics=False, stratify_by=["site"], smd_threshold=0)  # fmt: skip
    people = read(labels).sort_values("session_id").drop_duplicates("participant_id")
    ages, sites = people["age"].astype(float).to_numpy(), people["site"].to_numpy()
    pairs = [(i, j) for i in range(60) for j in range(i) if sites[i] != sites[j]]
    best = max(stats.ttest_ind(ages[list(pair)], np.delete(ages, pair)).pvalue for pair in pairs)
    assert plan(wanted).record["balance"]["age"]["p"] == pytest.approx(best, abs=1e-8)


def test_more_classes_than_participants_of_a_part_are_refused(labels):
    with pytest.raises(InvalidDataError, match="4 classes cannot all be in both parts") as caught:
        split(config(labels, n_test=3, categorical_split_variable="site"))
    assert "CN, y (20)" in str(caught.value)
    assert "--n_test" in str(caught.value)


def test_a_class_of_one_participant_is_merged_with_a_warning(tmp_path, caplog):
    table = write(tmp_path / "t.tsv")
    write(tmp_path / "t.tsv", diagnosis=["FTD", "FTD", *table["diagnosis"][2:]])
    split(config(tmp_path / "t.tsv", p_age_threshold=0, p_sex_threshold=0))
    assert "merged into the class AD: FTD" in caplog.text


def test_two_columns_are_stratified_together(labels):
    folder = split(config(labels, categorical_split_variable="site"))
    apart = read(folder / "validation_baseline.tsv")
    assert apart.groupby(["diagnosis", "site"]).size().to_dict() == {
        ("AD", "x"): 2, ("AD", "y"): 2, ("CN", "x"): 4, ("CN", "y"): 4,
    }  # fmt: skip
    record = json.loads((folder / "split.json").read_text())
    assert record["stratified_by"] == ["diagnosis", "site"]


def test_another_column_can_be_stratified_by(labels):
    planned = plan(config(labels, stratify_by=["site"]))
    assert planned.division.apart_baseline["site"].value_counts().to_dict() == {"x": 6, "y": 6}


def test_without_a_diagnosis_nothing_is_stratified_and_a_warning_says_so(tmp_path, caplog):
    write(tmp_path / "t.tsv", diagnosis=None)
    assert plan(config(tmp_path / "t.tsv")).record["stratified_by"] == []
    assert "no column diagnosis" in caplog.text


@pytest.mark.parametrize(
    "said", [{"stratify_by": ["diagnosis"]}, {"categorical_split_variable": "scanner"}]
)
def test_a_column_that_was_named_must_be_there(tmp_path, said):
    write(tmp_path / "t.tsv", diagnosis=None)
    with pytest.raises(MissingInputError, match=r"no column (diagnosis|scanner) to stratify"):
        split(config(tmp_path / "t.tsv", **said))


@pytest.mark.parametrize("absent", ["age", "sex"])
def test_absent_demographics_are_named_with_the_way_out(tmp_path, absent):
    write(tmp_path / "t.tsv", **{absent: None})
    with pytest.raises(MissingInputError, match=f"no {absent} to balance") as caught:
        split(config(tmp_path / "t.tsv"))
    assert "--ignore_demographics" in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} == {"t.tsv"}


def test_absent_demographics_come_from_the_labels_above(tmp_path):
    write(tmp_path / "labels.tsv")
    write(tmp_path / "sub" / "t.tsv", age=None, sex=None)
    planned = plan(config(tmp_path / "sub" / "t.tsv"))
    assert planned.read == (tmp_path / "sub" / "t.tsv", tmp_path / "labels.tsv")
    same = plan(config(tmp_path / "labels.tsv"))
    assert planned.record["balance"] == same.record["balance"]
    assert "age" not in planned.division.train.columns


def test_unknown_sexes_are_named(tmp_path):
    table = write(tmp_path / "t.tsv")
    write(tmp_path / "t.tsv", sex=["n/a", "n/a", *table["sex"][2:-1], "female"])
    with pytest.raises(InvalidDataError, match="sex of 2 participants is not M or F") as caught:
        split(config(tmp_path / "t.tsv", balance="published"))
    assert "sub-000, sub-059" in str(caught.value)


def test_other_words_for_sex_are_classes_and_unknown_ones_are_left_out(tmp_path, caplog):
    table = write(tmp_path / "t.tsv")
    words = ["woman" if sex == "F" else "man" for sex in table["sex"]]
    write(tmp_path / "t.tsv", sex=["n/a", "n/a", *words[2:]])
    planned = plan(config(tmp_path / "t.tsv"))
    assert planned.record["balance"]["sex"]["p"] >= 0.8
    assert "without the sex of sub-000" in caplog.text


def test_unknown_ages_are_left_out_of_the_balance(tmp_path):
    table = write(tmp_path / "t.tsv")
    write(tmp_path / "t.tsv", age=["n/a"] * 10 + list(table["age"][10:]))
    folder = split(config(tmp_path / "t.tsv"))
    record = json.loads((folder / "split.json").read_text())
    known = [
        pd.to_numeric(read(folder / name)["age"], errors="coerce").dropna()
        for name in ("validation_baseline.tsv", "train_baseline.tsv")
    ]
    np.testing.assert_allclose(
        record["balance"]["age"]["p"], stats.ttest_ind(*known).pvalue, atol=1e-8
    )


def test_ignoring_demographics_needs_none_and_stratifies_on_nothing_unnamed(tmp_path):
    write(tmp_path / "t.tsv", age=None, sex=None)
    free = plan(config(tmp_path / "t.tsv", ignore_demographics=True))
    kept = plan(config(tmp_path / "t.tsv", ignore_demographics=True, stratify_by=["diagnosis"]))
    assert free.record["stratified_by"] == []
    assert kept.division.apart_baseline["diagnosis"].value_counts().to_dict() == {"CN": 8, "AD": 4}


def test_folders_are_numbered_and_an_existing_one_is_left_alone(labels):
    first = split(config(labels))
    before = contents(first)
    assert split(config(labels, seed=1)).name == "split_2"
    assert split(config(labels, seed=2)).name == "split_3"
    assert contents(first) == before


def test_a_split_of_a_split_lies_inside_it(labels):
    outer = split(config(labels, subset_name="test"))
    inner = split(config(outer / "train.tsv"))
    assert inner == outer / "split"
    parts = [ids(inner, "train"), ids(inner, "validation_baseline"), ids(outer, "test_baseline")]
    assert not set(parts[0]) & set(parts[1])
    assert not set(parts[2]) & (set(parts[0]) | set(parts[1]))


def test_a_table_that_took_in_a_participant_of_the_test_set_is_refused(labels):
    outer = split(config(labels, subset_name="test"))
    moved = (outer / "test_baseline.tsv").read_text().splitlines()[1]
    with (outer / "train.tsv").open("a") as table:
        table.write(f"{moved}\n")
    with pytest.raises(LeakageError, match="now holds participants of test") as caught:
        split(config(outer / "train.tsv"))
    assert caught.value.exit_code == 4
    assert moved.split("\t")[0] in str(caught.value)


def test_a_table_that_was_shortened_is_noticed(labels, caplog):
    outer = split(config(labels, subset_name="test"))
    gone = ids(outer, "train")[-1]
    kept = [line for line in (outer / "train.tsv").read_text().splitlines() if gone not in line]
    (outer / "train.tsv").write_text("\n".join(kept) + "\n")
    split(config(outer / "train.tsv"))
    assert "0 participants came, 1 went" in caplog.text
    assert gone in caplog.text


def test_a_place_that_forbids_writing_is_refused(labels, monkeypatch):
    # The superuser may write anywhere, so the answer of the system is given for it.
    monkeypatch.setattr("os.access", lambda *_, **__: False)
    with pytest.raises(OutputError):
        plan(config(labels))


@pytest.mark.parametrize(
    "said",
    [
        {"subset_name": "train"}, {"subset_name": "../x"}, {"n_test": -1}, {"p_age_threshold": 2},
        {"p_sex_threshold": 0.5, "ignore_demographics": True}, {"seed": -1},
        {"balance": "published", "smd_threshold": 0.1}, {"balance": "best"},
        {"multi_diagnoses": True, "balance_by": ["age"]},
        {"strict": True, "ignore_demographics": True},
    ],
)  # fmt: skip
def test_settings_that_mean_nothing_are_refused(labels, said):
    with pytest.raises(UsageError):
        config(labels, **said)
