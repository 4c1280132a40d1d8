"""The figures of groups of participants."""

import math
import statistics

import pandas as pd
import pytest
from scipy import stats

from clinicadl.config.read import settings
from clinicadl.config.summary import AnalysisConfig
from clinicadl.draws import generator
from clinicadl.errors import InvalidDataError, MissingInputError, OutputError, UsageError
from clinicadl.layouts import tsv
from clinicadl.tables import sieve, summary
from clinicadl.tables.summary import analysis

COLUMNS = [
    *("group", "n_subjects"),
    *(f"{what}_age" for what in ("mean", "std", "min", "max")),
    *("sexF", "sexM"),
    *(f"{what}_MMSE" for what in ("mean", "std", "min", "max")),
    *("CDR_0", "CDR_0.5", "CDR_1", "CDR_2", "CDR_3"),
    *("mean_scans", "std_scans", "n_scans"),
]

MERGED = """\
participant_id	session_id	age	sex	diagnosis	MMSE	MMSE_total	cdr_global	site	weight
sub-1	ses-M000	70	F	n/a	30	1	0	x	60
sub-1	ses-M012	71	F	CN	29	1	0	x	61
sub-1	ses-M024	72	F	CN	28	1	0.5	x	62
sub-2	ses-M000	80	M	CN	27	1	0	y	n/a
sub-2	ses-M006	80.5	n/a	AD	20	1	1	y	80
sub-3	ses-M000	60	n/a	AD	n/a	1	2	x	70
sub-4	ses-M000	90	F	MCI	25	1	0.5	x	50
"""
DATA = """\
participant_id	session_id	diagnosis
sub-1	ses-M00	CN
sub-1	ses-M12	CN
sub-1	ses-M24	CN
sub-2	ses-M000	CN
sub-2	ses-M006	AD
sub-3	ses-M000	AD
sub-4	ses-M000	MCI
"""


@pytest.fixture
def home(tmp_path):
    (tmp_path / "merged.tsv").write_text(MERGED)
    (tmp_path / "data.tsv").write_text(DATA)
    return tmp_path


def config(home, **options):
    given = {
        "merged_tsv": home / "merged.tsv",
        "data_tsv": home / "data.tsv",
        "results_tsv": home / "results.tsv",
        **options,
    }
    return settings(AnalysisConfig, given)


def figures(home, **options):
    return summary.plan(config(home, **options)).results.set_index("group")


def test_the_published_figures_by_hand(home):
    path = analysis(config(home))
    written = tsv.read(path, "figures")
    assert list(written.columns) == COLUMNS
    assert written["group"].tolist() == ["AD", "CN"]
    found = figures(home, overwrite=True)
    # The first session of sub-1 has no diagnosis in the merged table: the second counts.
    ages = [71, 80]
    expected = {
        "n_subjects": 2, "mean_age": 75.5, "std_age": statistics.pstdev(ages), "min_age": 71,
        "max_age": 80, "sexF": 1, "sexM": 1, "mean_MMSE": 28, "std_MMSE": 1, "min_MMSE": 27,
        "max_MMSE": 29, "CDR_0": 2, "CDR_0.5": 0, "CDR_1": 0, "CDR_2": 0, "CDR_3": 0,
        "mean_scans": 2, "std_scans": 1, "n_scans": 4,
    }  # fmt: skip
    assert found.loc["CN"].to_dict() == pytest.approx(expected)
    # The sex of sub-2 stands in another row of the participant; nobody tells that of sub-3.
    some = {"n_subjects": 2, "mean_age": 70.25, "sexF": 0, "sexM": 1, "mean_MMSE": 20,
            "std_MMSE": 0, "CDR_1": 1, "CDR_2": 1, "n_scans": 2}  # fmt: skip
    assert found.loc["AD", list(some)].to_dict() == some


def test_missing_values_are_counted_once_a_column(home, caplog):
    summary.plan(config(home))
    said = [record.getMessage() for record in caplog.records]
    assert said == ["MMSE is missing for 1 of 4 participants", "sex is missing for 1 of 4 "
                    "participants"]  # fmt: skip


def test_a_study_without_scores_of_dementia_is_described_in_silence(home, caplog):
    ages = "participant_id\tsession_id\tdiagnosis\tage\tsex\nsub-1\tses-M000\tasthma\t9\tF\n"
    (home / "data.tsv").write_text(ages)
    found = figures(home, merged_tsv=home / "data.tsv").loc["asthma"]
    assert found[["mean_MMSE", "CDR_0"]].isna().all()
    assert found["mean_age"] == 9
    assert not caplog.text


def test_contradictory_sexes_count_as_missing(home):
    text = MERGED.replace("72\tF", "72\tM").replace("60\tn/a", "60\tfemale")
    (home / "merged.tsv").write_text(text)
    found = figures(home)
    assert found.loc["CN", ["sexF", "sexM"]].tolist() == [0, 1]
    assert found.loc["AD", ["sexF", "sexM"]].tolist() == [1, 1]


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_rows_does_not_matter(home, seed):
    options = {"longitudinal": True, "group_by": ("diagnosis", "site"), "variables": ("weight",)}
    expected = summary.plan(config(home, **options)).results
    for number, name in enumerate(("merged.tsv", "data.tsv")):
        header, *rows = (home / name).read_text().splitlines()
        order = generator(seed, "shuffle", sample=number).permutation(len(rows))
        (home / name).write_text("\n".join([header, *(rows[i] for i in order)]) + "\n")
    pd.testing.assert_frame_equal(summary.plan(config(home, **options)).results, expected)


def test_one_table_is_enough(home):
    (home / "data.tsv").write_text(MERGED.replace("\tn/a\t30", "\tCN\t30"))
    found = figures(home, merged_tsv=home / "data.tsv")
    assert found.loc["CN", "mean_age"] == (70 + 80) / 2
    assert found.loc["CN", "n_scans"] == 4


def test_sessions_that_the_merged_table_lacks_are_described_by_their_own(home):
    text = DATA.replace("diagnosis", "diagnosis\tage\tsex")
    lines = [text.splitlines()[0], "sub-9\tses-M000\tCN\t50\tF", "sub-2\tses-M000\tCN\t1\tF"]
    (home / "data.tsv").write_text("\n".join(lines) + "\n")
    found = figures(home, diagnoses=("CN",))
    # What the merged table says of sub-2 counts: 80 years; the two sexes contradict each other.
    assert found.loc["CN", ["min_age", "max_age", "sexF", "sexM"]].tolist() == [50, 80, 1, 0]


def test_the_diagnosis_may_come_from_the_labels_above_or_the_merged_table(home):
    ids = "\n".join("\t".join(line.split("\t")[:2]) for line in DATA.splitlines()) + "\n"
    (home / "split").mkdir()
    (home / "split" / "train.tsv").write_text(ids)
    found = figures(home, data_tsv=home / "split" / "train.tsv")
    # The merged table does not know the first diagnosis of sub-1: that session is in no group.
    assert found.loc["CN", "n_scans"] == 3
    (home / "labels.tsv").write_text(DATA)
    found = figures(home, data_tsv=home / "split" / "train.tsv")
    assert found.loc["CN", "n_scans"] == 4


def test_diagnoses_are_chosen_and_rows_left_out_are_counted(home):
    planned = summary.plan(config(home))
    assert (planned.rows.n_read, len(planned.rows.kept)) == (7, 6)
    assert sieve.counts(planned.rows) == {"diagnosis is not AD or CN": 1}
    assert figures(home, diagnoses=("MCI",)).index.tolist() == ["MCI"]
    (home / "data.tsv").write_text(DATA.replace("CN", "relapse").replace("AD", "stable"))
    assert figures(home).index.tolist() == ["MCI", "relapse", "stable"]


def test_groups_cross(home):
    found = figures(home, group_by=("diagnosis", "site"))
    assert found["n_subjects"].to_dict() == {"AD, x": 1, "AD, y": 1, "CN, x": 1, "CN, y": 1}
    by_sex = summary.plan(config(home, group_by=("sex",)))
    assert by_sex.results["group"].tolist() == ["F", "M"]
    assert by_sex.results["n_scans"].tolist() == [4, 2]
    assert sieve.counts(by_sex.rows) == {"no sex": 1}
    only = figures(home, group_by=("sex",), diagnoses=("AD",))
    assert only["n_scans"].to_dict() == {"M": 1}


def test_variables_are_averaged_or_counted(home):
    found = figures(home, variables=("weight", "site"))
    assert found.loc["CN", ["mean_weight", "missing_weight"]].tolist() == [61, 1]
    assert found.loc["AD", ["site=x", "site=y", "missing_site"]].tolist() == [1, 1, 0]
    named = figures(home, variables=("weight",), categorical=("weight",))
    assert named.loc["CN", ["weight=61", "missing_weight"]].tolist() == [1, 1]
    assert "mean_weight" not in named.columns


def test_all_sessions_are_described_beside_the_first(home):
    found = figures(home, longitudinal=True)
    assert found.index.tolist() == ["AD", "AD (all sessions)", "CN", "CN (all sessions)"]
    every = found.loc["CN (all sessions)"]
    assert every["mean_age"] == pytest.approx((70 + 71 + 72 + 80) / 4)
    assert every[["n_subjects", "n_scans", "CDR_0", "CDR_0.5"]].tolist() == [2, 4, 3, 1]
    # sub-1 from month 0 to 24, sub-2 once.
    follow = [f"{what}_followup" for what in ("mean", "std", "min", "max")]
    assert every[follow].tolist() == [12, 12, 0, 24]
    assert found.loc["CN", follow].isna().all()


def test_time_may_stand_in_a_column(home):
    rows = ["participant_id\tsession_id\tdiagnosis\tage\twhen", "sub-1\tses-b\tCN\t70\t0",
            "sub-1\tses-a\tCN\t75\t5.5", "sub-2\tses-a\tCN\t60\tn/a"]  # fmt: skip
    (home / "data.tsv").write_text("\n".join(rows) + "\n")
    options = {"merged_tsv": home / "data.tsv", "longitudinal": True}
    clock = {"time_column": "when", "time_unit": "years"}
    found = figures(home, **options, **clock)
    assert found.loc["CN", "mean_age"] == (70 + 60) / 2
    assert found.loc["CN (all sessions)", "max_followup"] == 66
    assert figures(home, **options).loc["CN", "mean_age"] == (75 + 60) / 2


def compared(home, **options):
    found = summary.plan(config(home, **options)).comparisons
    return found.set_index(["variable", found["level"].fillna("")])


@pytest.fixture
def sets(home):
    header, *rows = DATA.splitlines()
    (home / "a.tsv").write_text("\n".join([header, *rows[:3], rows[5]]) + "\n")
    (home / "b.tsv").write_text("\n".join([header, *rows[3:5]]) + "\n")
    return ("a=" + str(home / "a.tsv"), "b=" + str(home / "b.tsv"))


def test_named_sets_are_compared_at_their_first_sessions(home, sets):
    found = compared(home, compare=sets, variables=("site",))
    assert set(zip(found["set_1"], found["set_2"], strict=True)) == {("a", "b")}
    age = found.loc[("age", "")]
    # Of a: sub-1 at 71 and sub-3 at 60; of b: sub-2 at 80, who alone has no spread.
    assert age[["n_1", "mean_1", "n_2", "mean_2"]].tolist() == [2, 65.5, 1, 80]
    assert math.isnan(age["p_value"])
    site = found.loc[("site", "")]
    assert site["p_value"] == pytest.approx(stats.fisher_exact([[2, 0], [0, 1]]).pvalue)
    assert site["smd"] == math.inf
    assert found.loc[("site", "x"), ["n_1", "share_1", "n_2", "share_2"]].tolist() == [2, 1, 0, 0]
    assert found.loc[("CDR", "0"), ["n_1", "n_2"]].tolist() == [1, 1]


def test_sets_that_share_somebody_are_a_warning(home, sets, caplog):
    compared(home, compare=(sets[0], "c=" + str(home / "data.tsv")))
    assert "2 participants are in a and in c" in caplog.text


def write_split(folder, names, *, longitudinal=False):
    folder.mkdir(parents=True)
    header, *rows = DATA.splitlines()
    for name, who in names.items():
        mine = [row for row in rows if row.split("\t")[0] in who]
        first = [row for row in mine if "M00\t" in row or "M000" in row]
        (folder / f"{name}_baseline.tsv").write_text("\n".join([header, *first]) + "\n")
        if name == "train" or longitudinal:
            (folder / f"{name}.tsv").write_text("\n".join([header, *mine]) + "\n")


def test_a_folder_of_a_split_compares_its_own_sets(home):
    write_split(home / "split", {"train": ["sub-1", "sub-3"], "test": ["sub-2"]})
    planned = summary.plan(config(home, data_tsv=home / "split"))
    assert planned.results["group"].tolist() == ["train, AD", "train, CN", "test, CN"]
    # Where one set has first sessions alone, the others are described by theirs.
    assert planned.results["n_scans"].tolist() == [1, 1, 1]
    found = planned.comparisons
    assert {*zip(found["set_1"], found["set_2"], strict=True)} == {("train", "test")}
    assert planned.writes.keys() == {home / "results.tsv", home / "results_comparison.tsv"}


def test_sets_of_all_sessions_are_described_by_them(home):
    sets = {"train": ["sub-1"], "validation": ["sub-2"]}
    write_split(home / "split", sets, longitudinal=True)
    planned = summary.plan(config(home, data_tsv=home / "split"))
    assert dict(planned.results[["group", "n_scans"]].to_numpy()) == {
        "train, CN": 3, "validation, AD": 1, "validation, CN": 1
    }  # fmt: skip


def test_each_split_of_folds_is_compared(home):
    for i, (one, other) in enumerate([("sub-1", "sub-2"), ("sub-2", "sub-1")]):
        sets = {"train": [one, "sub-3"], "validation": [other]}
        write_split(home / "2_fold" / f"split-{i}", sets)
    planned = summary.plan(config(home, data_tsv=home / "2_fold"))
    assert planned.comparisons["split"].unique().tolist() == ["split-0", "split-1"]
    assert planned.comparisons["set_1"].unique().tolist() == ["train"]
    groups = planned.results["group"].tolist()
    assert groups[0] == "split-0/train, AD"
    assert "split-1/validation, CN" in groups


def test_results_are_replaced_only_on_request(home, sets):
    options = {"compare": sets}
    analysis(config(home, **options))
    before = {
        name: (home / name).read_bytes() for name in ("results.tsv", "results_comparison.tsv")
    }
    with pytest.raises(OutputError, match=r"results\.tsv"):
        analysis(config(home))
    (home / "results.tsv").unlink()
    with pytest.raises(OutputError, match=r"results_comparison\.tsv"):
        analysis(config(home, **options))
    assert not (home / "results.tsv").exists()
    analysis(config(home, **options, overwrite=True))
    assert {name: (home / name).read_bytes() for name in before} == before


def test_a_table_that_is_read_is_never_replaced(home):
    for name in ("merged.tsv", "data.tsv"):
        with pytest.raises(UsageError, match="replace a table that is read"):
            analysis(config(home, results_tsv=home / name, overwrite=True))
    assert (home / "merged.tsv").read_text() == MERGED


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"diagnoses": ("AD", "FTD")}, InvalidDataError, "Nobody has the diagnosis FTD"),
        ({"group_by": ("scanner",)}, MissingInputError, "no column scanner"),
        ({"variables": ("wieght",)}, MissingInputError, "nearest is weight"),
        ({"variables": ("CDR",)}, UsageError, "cdr_global"),
        ({"categorical": ("site",)}, UsageError, "not among the variables"),
        ({"compare": ("a=a.tsv",)}, UsageError, "one set alone"),
        ({"compare": ("a=a.tsv", "a=b.tsv")}, UsageError, "comes twice"),
        ({"compare": ("a", "b")}, UsageError, "no set with its table"),
        ({"time_unit": "years"}, UsageError, "without time_column"),
        ({"time_column": "when"}, MissingInputError, "no column when"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(home, options, error, words):
    with pytest.raises(error, match=words):
        analysis(config(home, **options))
    assert not (home / "results.tsv").exists()


def test_an_age_that_is_no_number_is_named_with_its_file_and_row(home):
    (home / "merged.tsv").write_text(MERGED.replace("80.5", "old"))
    with pytest.raises(InvalidDataError, match=r"merged\.tsv, row 6, column age"):
        analysis(config(home))
    # Rows of sessions that are not described may hold anything.
    (home / "merged.tsv").write_text(MERGED + "sub-9\tses-M000\told\tF\tAD\t1\t1\t1\tx\t1\n")
    analysis(config(home))


def test_a_folder_without_splits_and_a_folder_with_named_sets_are_refused(home, sets):
    (home / "empty").mkdir()
    with pytest.raises(MissingInputError, match="holds no split"):
        analysis(config(home, data_tsv=home / "empty"))
    with pytest.raises(UsageError, match="--compare"):
        analysis(config(home, data_tsv=home / "empty", compare=sets))


def test_nobody_in_a_group_is_an_error(home):
    (home / "data.tsv").write_text("participant_id\tsession_id\tdiagnosis\nsub-1\tses-M00\tn/a\n")
    with pytest.raises(InvalidDataError, match=r"No session is in a group .*no diagnosis: 1"):
        analysis(config(home))


@pytest.mark.data
def test_a_real_table_has_the_published_columns_and_its_own_figures(real_data, tmp_path):
    tables = real_data / "tables"
    merged = tables / "oasis2_merged.tsv"
    planned = summary.plan(
        AnalysisConfig(merged_tsv=merged, data_tsv=merged, results_tsv=tmp_path / "r.tsv")
    )
    published = tsv.read(tables / "handbook_analysis_oasis.tsv", "figures")
    assert list(planned.results.columns) == list(published.columns)
    assert planned.results["group"].tolist() == published["group"].tolist()
    raw = pd.read_csv(merged, sep="\t").sort_values(["participant_id", "session_id"])
    for row in planned.results.to_dict("records"):
        of_group = raw[raw["diagnosis"] == row["group"]]
        first = of_group.groupby("participant_id").head(1)
        assert row["n_subjects"] == len(first)
        assert row["mean_age"] == pytest.approx(first["age"].mean(), rel=1e-12)
        assert row["std_MMSE"] == pytest.approx(first["MMSE"].std(ddof=0), rel=1e-12)
        assert row["sexF"] == (first["sex"] == "F").sum()
        assert row["CDR_0.5"] == (first["cdr_global"] == 0.5).sum()
        assert row["n_scans"] == len(of_group)


@pytest.mark.data
def test_real_waves_are_followed_up_in_years(real_data, tmp_path):
    merged = real_data / "tables" / "dlbs_merged.tsv"
    planned = summary.plan(
        AnalysisConfig(
            merged_tsv=merged, data_tsv=merged, results_tsv=tmp_path / "r.tsv", longitudinal=True,
            group_by=("sex",), time_column="years_since_wave1", time_unit="years",
        )
    )  # fmt: skip
    raw = pd.read_csv(merged, sep="\t")
    for row in planned.results.iloc[1::2].to_dict("records"):
        of_group = raw[raw["sex"] == row["group"][0]].groupby("participant_id")
        years = of_group["years_since_wave1"].agg(lambda one: one.max() - one.min())
        assert row["mean_followup"] == pytest.approx(12 * years.mean(), rel=1e-9)
        assert row["n_subjects"] == len(years)
