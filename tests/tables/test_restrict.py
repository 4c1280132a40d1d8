"""The sessions of a table that a rule keeps."""

import pandas as pd
import pytest

from clinicadl.config.base import Choice
from clinicadl.config.labels import RESTRICTIONS, RestrictConfig
from clinicadl.config.read import settings
from clinicadl.errors import InvalidDataError, MissingInputError, OutputError, UsageError
from clinicadl.tables import restrict, sessions, sieve

HEADER = "participant_id\tsession_id\tage_bl\tsex\texamination_date\n"
ROWS = [
    "sub-02\tses-M018\t61.9\tM\t-4\n",
    "sub-01\tses-M000\t62\tF\t01/01/2010\n",
    "sub-01\tses-M018\t62\tF\t-4\n",
    "sub-02\tses-M000\t61.9\tM\t-4\n",
    "sub-03\tses-M000\tn/a\tF\tn/a\n",
]


@pytest.fixture
def merged(tmp_path):
    path = tmp_path / "merged.tsv"
    path.write_text(HEADER + "".join(ROWS))
    return path


def config_of(merged, restriction, **more):
    return settings(
        RestrictConfig,
        {"restriction": restriction, "merged_tsv": merged,
         "results_tsv": merged.parent / "results.tsv", **more},
    )  # fmt: skip


def rows(path):
    return path.read_text().splitlines()[1:]


def test_oasis_keeps_from_62_years_on(merged):
    path = restrict.restrict(config_of(merged, "OASIS"))
    assert path.read_text() == HEADER + ROWS[1] + ROWS[2]
    assert rows(merged.parent / "results_excluded.tsv") == [
        "sub-02\tses-M000\tdoes not hold: age_bl >= 62",
        "sub-02\tses-M018\tdoes not hold: age_bl >= 62",
        "sub-03\tses-M000\tage_bl is missing",
    ]


def test_aibl_leaves_out_who_has_no_date_at_all(merged):
    path = restrict.restrict(config_of(merged, "AIBL"))
    assert path.read_text() == HEADER + ROWS[1] + ROWS[2] + ROWS[4]
    assert rows(merged.parent / "results_excluded.tsv") == [
        "sub-02\tses-M000\texamination_date is -4 in all sessions",
        "sub-02\tses-M018\texamination_date is -4 in all sessions",
    ]


@pytest.mark.parametrize(
    ("restriction", "kept"), [("custom", [1, 2, 4]), ("OASIS", [1, 2]), ("AIBL", [1, 2, 4])]
)
def test_conditions_go_besides_or_instead_of_a_rule(merged, restriction, kept):
    path = restrict.restrict(config_of(merged, restriction, where=["sex == 'F'"]))
    assert path.read_text() == HEADER + "".join(ROWS[i] for i in kept)


@pytest.mark.parametrize("name", RESTRICTIONS)
def test_every_rule_accounts_for_every_row_in_any_order(merged, name):
    more = {"where": ["age_bl > 0"]} if name == "custom" else {}
    planned = restrict.plan(config_of(merged, name, **more))
    assert len(planned.kept) + len(planned.sieve.excluded) == len(ROWS) == planned.sieve.n_read
    assert sum(sieve.counts(planned.sieve).values()) == len(planned.sieve.excluded) > 0
    merged.write_text(HEADER + "".join(reversed(ROWS)))
    again = restrict.plan(config_of(merged, name, **more))
    pd.testing.assert_frame_equal(planned.kept, again.kept)
    pd.testing.assert_frame_equal(
        sessions.in_order(planned.sieve.excluded), sessions.in_order(again.sieve.excluded)
    )


def nobody(settings):
    return lambda one, where: sieve.keep(one, one.kept["sex"] == "F", f"{where.name} says so")


def test_another_package_can_bring_a_rule(merged, monkeypatch):
    class Ours(Choice):
        builds = f"{__name__}:nobody"
        name: str = "ours"

    monkeypatch.setattr(
        "clinicadl.config.base._declared",
        lambda group: {"ours": Ours} if group == "clinicadl.restrictions" else {},
    )
    planned = restrict.plan(config_of(merged, "ours"))
    assert sieve.counts(planned.sieve) == {"merged.tsv says so": 2}


def test_results_are_refused_and_replaced_whole(merged):
    restrict.restrict(config_of(merged, "OASIS"))
    for gone in ("results.tsv", "results_excluded.tsv"):
        (merged.parent / gone).unlink()
        with pytest.raises(OutputError, match="exists already"):
            restrict.restrict(config_of(merged, "AIBL"))
        restrict.restrict(config_of(merged, "OASIS", overwrite=True))
    # Nothing is left out: what was left out before must not stay.
    restrict.restrict(
        config_of(merged, "custom", where=["missing(sex) or sex != ''"], overwrite=True)
    )
    assert sorted(path.name for path in merged.parent.iterdir()) == ["merged.tsv", "results.tsv"]
    assert len(rows(merged.parent / "results.tsv")) == 5


@pytest.mark.parametrize(
    ("restriction", "more", "error", "words"),
    [
        ("custom", {}, UsageError, "--where"),
        ("oasis3", {}, UsageError, "the nearest are OASIS"),
        ("custom", {"where": ["age_bl >"]}, UsageError, "no expression"),
        ("custom", {"where": ["age > 1"]}, MissingInputError, "nearest is age_bl"),
        ("custom", {"where": ["sex > 1"]}, InvalidDataError, "merged.tsv, rows 2, 3"),
        ("custom", {"where": ["age_bl > 100"]}, InvalidDataError, "4 x does not hold"),
        ("OASIS", {"merged_tsv": "gone.tsv"}, MissingInputError, "gone.tsv"),
    ],
)
def test_what_cannot_be_done_is_said_and_writes_nothing(merged, restriction, more, error, words):
    with pytest.raises(error) as refusal:
        restrict.restrict(config_of(merged, restriction, **more))
    assert words in str(refusal.value)
    assert [path.name for path in merged.parent.iterdir()] == ["merged.tsv"]


@pytest.mark.parametrize(("name", "column"), [("OASIS", "age_bl"), ("AIBL", "examination_date")])
def test_a_rule_without_its_column_is_said(tmp_path, name, column):
    path = tmp_path / "merged.tsv"
    path.write_text("participant_id\tsession_id\tsex\nsub-01\tses-M000\tF\n")
    with pytest.raises(MissingInputError, match=f"no column {column}"):
        restrict.restrict(config_of(path, name))


def test_a_table_is_not_overwritten_by_its_part(merged):
    with pytest.raises(UsageError, match="overwrite"):
        restrict.plan(config_of(merged, "OASIS", results_tsv=merged, overwrite=True))


def test_a_real_table_is_restricted_as_pandas_would(real_data, tmp_path):
    path = real_data / "tables" / "oasis2_merged.tsv"
    planned = restrict.plan(
        config_of(path, "custom", results_tsv=tmp_path / "results.tsv",
                  where=["age >= 75 and sex == 'F'", "MMSE < 28 or cdr_global == 0.5"])
    )  # fmt: skip
    table = pd.read_csv(path, sep="\t")
    expected = table[
        (table.age >= 75) & (table.sex == "F") & ((table.MMSE < 28) | (table.cdr_global == 0.5))
    ]
    assert sessions.sessions_of(planned.kept) == sorted(sessions.sessions_of(expected))
    assert 0 < len(expected) < len(table)
