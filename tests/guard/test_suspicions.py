"""What is no leak, and worth a look."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from clinicadl.config.audit import CheckConfig
from clinicadl.guard.audit import check_tables
from clinicadl.guard.suspicions import alike, association, column_of

COHORTS = "cohort\tpath\nLyon\tlyon\nGraz\tgraz\n"


def table(n=60, first=0, **columns):
    """Return participants of two classes in turn, with ages that say nothing."""
    i = np.arange(first, first + n)
    draw = np.random.default_rng(first)
    facts = {
        "participant_id": [f"sub-{k:03d}" for k in i], "session_id": "ses-M000",
        "diagnosis": np.where(i % 2, "AD", "CN"), "age": np.round(draw.normal(70, 8, n), 2),
        "sex": np.where(i // 2 % 2, "M", "F"),
    }  # fmt: skip
    return pd.DataFrame({**facts, **columns})


def warnings_of(folder, files, *paths, **said):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            path.write_text(content)
        else:
            content.to_csv(path, sep="\t", index=False, na_rep="n/a")
    where = tuple(folder / one for one in paths) or (folder,)
    report = check_tables(CheckConfig(paths=where, **said))
    assert (report.leaks, report.faults) == ((), ())
    return report.warnings


def halves(whole, at=40):
    return {"train.tsv": whole.iloc[:at], "validation.tsv": whole.iloc[at:]}


def by_class(whole, swapped=()):
    """Return x for AD and y for CN, but for some rows."""
    values = np.where(whole["diagnosis"] == "AD", "x", "y")
    for row in swapped:
        values[row] = "y" if values[row] == "x" else "x"
    return values


@pytest.mark.parametrize("column", ["site", "scanner_id", "ManufacturersModelName", "Center"])
def test_a_site_that_goes_with_the_label_is_told(tmp_path, column):
    whole = table()
    whole[column] = by_class(whole, swapped=[3, 8, 21])
    (found,) = warnings_of(tmp_path, halves(whole))
    assert found.rule == "determined-label"
    assert f"{column} nearly determines diagnosis (Cramer's V 0.90 over 60" in found.sentence
    assert f"learn {column} instead" in found.sentence


@pytest.mark.parametrize(
    "values",
    [
        lambda whole: by_class(whole, swapped=range(0, 60, 4)),
        lambda whole: [f"s{i}" for i in range(60)],
        lambda whole: ["x"] * 60,
    ],
    ids=["three of four", "a site each", "one site"],
)
def test_a_site_that_tells_little_is_silent(tmp_path, values):
    whole = table()
    assert warnings_of(tmp_path, halves(whole.assign(site=values(whole)))) == ()


def test_a_small_study_is_silent(tmp_path):
    whole = table(18)
    assert warnings_of(tmp_path, halves(whole.assign(site=by_class(whole)), 12)) == ()


@pytest.mark.parametrize(
    "column", ["cdr_global", "dx", "progression_class"], ids=lambda column: column
)
def test_the_label_under_another_name_is_told_in_other_words(tmp_path, column):
    whole = table()
    whole[column] = np.where(whole["diagnosis"] == "AD", "1.0", "0.0")
    (found,) = warnings_of(tmp_path, halves(whole))
    assert f"{column} determines diagnosis" in found.sentence
    assert "under another name" in found.sentence


@pytest.mark.parametrize("column", ["RID", "image_path", "exam_date", "Unnamed: 3", "birth_date"])
def test_ids_and_dates_are_never_suspects(tmp_path, column):
    whole = table()
    order = np.argsort(whole["diagnosis"], kind="stable")
    values = np.empty(60, dtype=int)
    values[order] = np.arange(60)
    assert warnings_of(tmp_path, halves(whole.assign(**{column: values}))) == ()


def test_numbers_are_judged_by_the_area_under_the_curve(tmp_path):
    whole = table(200)
    draw = np.random.default_rng(1)
    is_ad = whole["diagnosis"] == "AD"
    near = np.round(np.where(is_ad, 20, 26) + draw.normal(0, 2.2, 200), 1)
    far = np.round(np.where(is_ad, 20, 40) + draw.normal(0, 2.2, 200), 1)
    assert 0.95 < roc_auc_score(~is_ad, near) < 0.99
    found = warnings_of(tmp_path, halves(whole.assign(MMSE=near, ADAS=far), 120))
    assert [one.sentence.split()[0] for one in found] == ["ADAS"]
    assert "AUC 1.00 over 200" in found[0].sentence


def test_a_quantity_is_judged_by_its_halves(tmp_path):
    whole = table(60)
    old = whole["age"] > whole["age"].median()
    found = warnings_of(tmp_path, halves(whole.assign(site=np.where(old, "x", "y"))), label="age")
    assert [one.sentence.split()[:3] for one in found] == [["site", "nearly", "determines"]]


def test_a_cohort_that_holds_one_class_is_told(tmp_path):
    files = {"cohorts.tsv": COHORTS}
    for cohort, kind in (("lyon", "AD"), ("graz", "CN")):
        whole = table(60).assign(diagnosis=kind)
        files |= {f"{cohort}/{name}": part for name, part in halves(whole).items()}
    (found,) = warnings_of(tmp_path, files, "cohorts.tsv")
    assert "cohort nearly determines diagnosis" in found.sentence


def test_cramers_v_is_that_of_the_formula():
    draw = np.random.default_rng(2)
    label = draw.choice(["AD", "CN", "MCI"], 150)
    site = np.where(draw.random(150) < 0.7, label, draw.choice(["p", "q"], 150))
    found = association(
        column_of(pd.Series(site, dtype=object), "site"),
        column_of(pd.Series(label, dtype=object), "diagnosis"),
    )
    counts = pd.crosstab(site, label).to_numpy()
    chi2, p, freedom, _ = stats.chi2_contingency(counts, correction=False)
    r, c = counts.shape
    phi = max(0, chi2 / 150 - freedom / 149)
    expected = np.sqrt(phi / (min(r - (r - 1) ** 2 / 149, c - (c - 1) ** 2 / 149) - 1))
    assert found.measure == "V"
    np.testing.assert_allclose([found.value, found.p], [expected, p], rtol=1e-9)


def test_the_area_under_the_curve_is_that_of_the_two_classes_told_apart_worst():
    draw = np.random.default_rng(3)
    label = np.repeat(["AD", "CN", "MCI"], 30)
    score = np.round(draw.normal(0, 1, 90) + np.repeat([0, 3, 5], 30), 2)
    found = association(
        column_of(pd.Series(score.astype(str), dtype=object), "score"),
        column_of(pd.Series(label, dtype=object), "diagnosis"),
    )
    worst = min(
        roc_auc_score(label[np.isin(label, pair)] == pair[1], score[np.isin(label, pair)])
        for pair in (["AD", "CN"], ["AD", "MCI"], ["CN", "MCI"])
    )
    assert found.measure == "AUC"
    assert found.value == pytest.approx(worst, rel=1e-12)


def test_sets_that_differ_widely_in_age_are_told(tmp_path):
    whole = table()
    whole.loc[40:, "age"] += 12
    (found,) = warnings_of(tmp_path, halves(whole))
    a, b = whole["age"][40:], whole["age"][:40]
    smd = abs(a.mean() - b.mean()) / np.sqrt((a.var() + b.var()) / 2)
    p = stats.ttest_ind(a, b, equal_var=False).pvalue
    assert found.rule == "unlike-sets"
    assert "validation and train" in found.sentence
    assert f"means {a.mean():.1f} and {b.mean():.1f}" in found.sentence
    assert f"(standardised difference {smd:.2f}, p {p:.1g})" in found.sentence


def test_sets_that_differ_widely_in_sex_are_told(tmp_path):
    whole = table()
    whole.loc[40:, "sex"] = "F"
    (found,) = warnings_of(tmp_path, halves(whole))
    p = stats.fisher_exact([[0, 20], [20, 20]]).pvalue
    assert "differ in sex: shares 0.00 and 0.50" in found.sentence
    assert f"p {p:.1g})" in found.sentence


@pytest.mark.parametrize("shift", [0, 2])
def test_a_difference_that_chance_explains_is_silent(tmp_path, shift):
    whole = table()
    whole.loc[40:, "age"] += shift
    assert warnings_of(tmp_path, halves(whole)) == ()


def brains(n=60, **changed):
    draw = np.random.default_rng(5)
    volume = np.round(draw.normal(1500, 120, n), 1)
    return table(
        n, eTIV=volume, ASF=np.round(1755 / volume, 4), nWBV=np.round(draw.normal(0.7, 0.05, n), 4),
        hippocampus=np.round(draw.normal(3200, 300, n), 1), **changed,
    )  # fmt: skip


def copied(whole, one, other, columns):
    whole = whole.copy()
    whole.loc[other, columns] = whole.loc[one, columns].to_numpy()
    return whole


MEASURES = ["age", "sex", "eTIV", "ASF", "nWBV", "hippocampus"]


def test_one_person_under_two_ids_is_told(tmp_path):
    (found,) = warnings_of(tmp_path, halves(copied(brains(), 4, 50, MEASURES)))
    assert found.rule == "same-person-twice"
    assert found.participants == ("sub-004", "sub-050")
    assert "sub-004 (train) and sub-050 (validation) have the same age" in found.sentence


def test_many_persons_under_two_ids_are_told(tmp_path):
    whole = brains()
    for one in range(12):
        whole = copied(whole, one, 40 + one, MEASURES)
    (found,) = warnings_of(tmp_path, halves(whole))
    assert "12 pairs" in found.sentence
    assert "and 2 more" in found.sentence
    assert len(found.participants) == 24


@pytest.mark.parametrize(
    ("one", "other", "columns"),
    [
        (4, 5, MEASURES),
        (4, 50, ["eTIV", "ASF", "nWBV", "hippocampus"]),
        (4, 50, ["age", "eTIV", "ASF"]),
        (4, 50, ["age", "nWBV"]),
        (4, 53, [name for name in MEASURES if name != "sex"]),
    ],
    ids=["in one set", "of other ages", "columns that say one thing", "two columns", "other sex"],
)
def test_what_may_be_two_people_is_silent(tmp_path, one, other, columns):
    whole = brains()
    assert "sex" in columns or other != 53 or whole["sex"][4] != whole["sex"][53] or True
    if other == 53:
        whole.loc[53, "sex"] = "M" if whole["sex"][4] == "F" else "F"
    assert warnings_of(tmp_path, halves(copied(whole, one, other, columns))) == ()


def test_birth_dates_do_as_well_as_ages(tmp_path):
    draw = np.random.default_rng(6)
    days = pd.Timestamp("1930-01-01") + pd.to_timedelta(draw.integers(0, 9000, 60), unit="D")
    whole = brains(birth_date=days.strftime("%Y-%m-%d")).drop(columns="age")
    columns = ["birth_date", "sex", "eTIV", "ASF", "nWBV", "hippocampus"]
    (found,) = warnings_of(tmp_path, halves(copied(whole, 4, 50, columns)))
    assert found.participants == ("sub-004", "sub-050")


def test_pairs_are_hardly_ever_told_by_chance():
    told = 0
    for seed in range(300):
        draw = np.random.default_rng(seed)
        n = int(draw.integers(20, 400))
        people = pd.DataFrame(
            {
                "age": draw.integers(55, 90, n), "MMSE": draw.integers(18, 31, n),
                "education": draw.integers(8, 21, n), "score": draw.integers(0, 60, n),
                "volume": np.round(draw.normal(3, 0.5, n), 1),
            },
            index=[f"sub-{i}" for i in range(n)],
        ).astype(str)  # fmt: skip
        told += len(alike(people))
    # Fewer than one in a hundred tables, as MOST_EXPECTED promises.
    assert told <= 3


def test_a_baseline_with_later_sessions_is_told(tmp_path):
    whole = table(60)
    later = whole.assign(session_id="ses-M012")
    files = {
        "labels.tsv": pd.concat([whole, later]),
        "train_baseline.tsv": whole.iloc[:40],
        "validation_baseline.tsv": pd.concat([later.iloc[40:42], whole.iloc[42:]]),
    }
    (found,) = warnings_of(tmp_path, files)
    assert found.rule == "later-sessions"
    assert found.participants == ("sub-040", "sub-041")
    assert "validation_baseline.tsv is called a baseline" in found.sentence


def test_sessions_of_classes_that_were_left_out_are_not_missed(tmp_path):
    whole = table(60)
    early = whole.assign(diagnosis="MCI")
    files = {
        "labels.tsv": pd.concat([early, whole.assign(session_id="ses-M012")]),
        "train_baseline.tsv": whole.iloc[:40].assign(session_id="ses-M012"),
        "validation_baseline.tsv": whole.iloc[40:].assign(session_id="ses-M012"),
    }
    assert warnings_of(tmp_path, files) == ()


def test_an_id_that_names_its_data_set_in_two_cohorts_is_told(tmp_path):
    files = {"cohorts.tsv": COHORTS}
    for cohort, first in (("lyon", 0), ("graz", 35)):
        whole = table(60, first)
        whole["participant_id"] = [f"sub-ADNI002S{k:04d}" for k in range(first, first + 60)]
        files |= {f"{cohort}/{name}": part for name, part in halves(whole).items()}
    (found,) = warnings_of(tmp_path, files, "cohorts.tsv")
    assert found.rule == "one-id-in-cohorts"
    assert "Graz: sub-ADNI002S0040 = Lyon: sub-ADNI002S0040" in found.sentence
