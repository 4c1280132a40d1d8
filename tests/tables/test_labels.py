"""The sessions of a study that can be learnt from."""

import json

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinicadl.config.labels import LabelsConfig
from clinicadl.config.read import settings
from clinicadl.draws import generator
from clinicadl.errors import InvalidDataError, MissingInputError, OutputError, UsageError
from clinicadl.layouts.files import sha256
from clinicadl.tables import labels, sessions, sieve

IDS = ("participant_id", "session_id")


@pytest.fixture
def study(tmp_path):
    """Write a merged table from rows of text and return how to make labels of it."""

    def made(header, *rows, **more):
        path = tmp_path / "merged.tsv"
        names = [*IDS, *header.split()]
        path.write_text("\n".join("\t".join(row) for row in [names, *map(str.split, rows)]) + "\n")
        (tmp_path / "bids").mkdir(exist_ok=True)
        return settings(
            LabelsConfig,
            {"bids_directory": tmp_path / "bids", "output_directory": tmp_path / "out",
             "merged_tsv": path, **more},
        )  # fmt: skip

    return made


def kept(config):
    """'sub-1 M000' of each session that is kept."""
    planned = labels.plan(config)
    pairs = sessions.sessions_of(planned.labels)
    return [f"{who.removeprefix('sub-')} {session.removeprefix('ses-')}" for who, session in pairs]


def reasons(config):
    excluded = labels.plan(config).sieve.excluded
    keys = sessions.sessions_of(excluded)
    return {
        f"{who.removeprefix('sub-')} {session.removeprefix('ses-')}": reason
        for (who, session), reason in zip(keys, excluded["reason"], strict=True)
    }


BASIC = (
    "age sex diagnosis MMSE",
    "sub-2 ses-M012 71 F AD 20",
    "sub-1 ses-M000 60 M CN 30",
    "sub-2 ses-M000 70 F MCI n/a",
    "sub-3 ses-M000 80 n/a AD 25",
)


def test_labels_are_sorted_and_hold_what_is_known_of_them(study):
    path = labels.get_labels(study(*BASIC, variables_of_interest=["MMSE"]))
    assert path.read_text() == (
        "participant_id\tsession_id\tage\tsex\tdiagnosis\tMMSE\n"
        "sub-1\tses-M000\t60\tM\tCN\t30\n"
        "sub-2\tses-M012\t71\tF\tAD\t20\n"
        "sub-3\tses-M000\t80\tn/a\tAD\t25\n"
    )
    assert (path.parent / "excluded.tsv").read_text() == (
        "participant_id\tsession_id\treason\nsub-2\tses-M000\tanother diagnosis\n"
    )


def test_the_record_has_the_keys_of_before_and_accounts_for_every_row(study):
    config = study(*BASIC)
    home = labels.get_labels(config).parent
    record = json.loads((home / "labels.json").read_text())
    assert list(record)[:10] == [
        "bids_directory", "diagnoses", "modality", "restriction_path", "variables_of_interest",
        "remove_smc", "missing_mods", "merged_tsv", "remove_unique_session", "caps_directory",
    ]  # fmt: skip
    assert record["diagnoses"] == ["AD", "CN"]
    assert record["remove_smc"] is True
    assert record["merged_tsv"] == str(config.merged_tsv)
    assert record["columns"] == {"age": "age", "sex": "sex", "diagnosis": "diagnosis"}
    assert (record["n_rows"], record["n_kept"]) == (4, 3)
    assert record["n_excluded"] == {"another diagnosis": 1}
    assert record["tables"] == {str(config.merged_tsv): sha256(config.merged_tsv)}


@pytest.mark.parametrize("folder", ["labels.tsv", "labels.json", "excluded.tsv"])
def test_labels_of_before_are_replaced_on_request_only(study, folder):
    config = study(*BASIC)
    home = config.output_directory
    home.mkdir()
    (home / folder).write_text("old")
    with pytest.raises(OutputError, match=folder):
        labels.get_labels(config)
    assert [path.name for path in home.iterdir()] == [folder]
    # Nobody is left out this time: no table of before may say otherwise.
    labels.get_labels(study(*BASIC, diagnoses=["AD", "CN", "MCI"], overwrite=True))
    assert sorted(path.name for path in home.iterdir()) == ["labels.json", "labels.tsv"]


@pytest.mark.parametrize(
    ("diagnoses", "wanted", "expected"),
    [
        (["CN", "AD", "MCI"], None, ["CN", "AD"]),
        (["CN", "MCI", "x"], None, ["CN"]),
        (["MS", "HC", "NMO"], None, ["MS", "HC", "NMO"]),
        (["MS", "HC", "AD"], ["MS"], ["MS"]),
        (["MS", "HC", "AD"], ["HC", "AD"], ["HC", "AD"]),
    ],
)
def test_diagnoses_are_those_named_or_ad_and_cn_or_all(study, diagnoses, wanted, expected):
    rows = [f"sub-{i} ses-M000 60 F {name}" for i, name in enumerate(diagnoses)]
    planned = labels.plan(study("age sex diagnosis", *rows, diagnoses=wanted))
    assert planned.labels["diagnosis"].tolist() == expected


def test_a_diagnosis_that_nobody_has_names_the_nearest(study, caplog):
    assert kept(study(*BASIC, diagnoses=["AD", "mci"])) == ["2 M012", "3 M000"]
    assert "no session has the diagnosis mci; there are AD, CN, MCI, and the nearest is MCI" in (
        caplog.text
    )
    with pytest.raises(InvalidDataError, match="No session is left.*4 x another diagnosis"):
        labels.get_labels(study(*BASIC, diagnoses=["dementia"]))


@pytest.mark.parametrize(
    ("names", "word", "expected"),
    [
        (["age", "age_bl"], "age", "age"),
        (["language", "age_at_onset", "age_bl"], "age", "age_bl"),
        (["language", "dosage", "agewell"], "age", None),
        (["Sex", "sex_partner"], "sex", "Sex"),
        (["b age", "a age"], "age", "a age"),
        (["MRI.Age"], "age", "MRI.Age"),
        ([], "age", None),
    ],
)
def test_columns_are_found_by_whole_words(names, word, expected):
    assert labels.named_like(names, word) == expected


def test_columns_that_are_not_there_are_said_and_left_out(study, caplog):
    config = study("language MMSE", "sub-1 ses-M000 fr 30")
    assert list(labels.plan(config).labels) == list(IDS)
    for word in ("age", "sex", "diagnosis"):
        assert f"has no column for {word}" in caplog.text


def test_names_of_age_and_sex_are_kept(study, caplog):
    config = study("age_bl Sex diagnosis", "sub-1 ses-M000 60 F CN")
    assert list(labels.plan(config).labels) == [*IDS, "age_bl", "Sex", "diagnosis"]
    assert "age_bl is taken as the age" in caplog.text


@pytest.mark.parametrize(
    ("header", "column", "expected"),
    [
        ("dx1 group", None, "CN"),
        ("dx1 diagnosis", None, "MS"),
        ("clinical_diagnosis group", None, "CN"),
        ("clinical_diagnosis group", "group", "MS"),
        ("diagnosis group", "group", "MS"),
    ],
)
def test_the_column_of_diagnoses_is_found_or_named(study, header, column, expected):
    config = study(header, "sub-1 ses-M000 CN MS", diagnosis_column=column)
    planned = labels.plan(config)
    assert planned.labels.columns.tolist() == [*IDS, "diagnosis"]
    assert planned.labels["diagnosis"].tolist() == [expected]


def test_a_column_of_diagnoses_that_is_not_there_names_the_nearest(study):
    with pytest.raises(MissingInputError, match="no column groups.*nearest is group"):
        labels.plan(study("group", "sub-1 ses-M000 CN", diagnosis_column="groups"))


def test_changes_of_adni_fill_what_is_missing(study):
    rows = [f"sub-{i} ses-M000 n/a {i}{'.0' if i % 2 else ''}" for i in range(1, 10)]
    rows += ["sub-10 ses-M000 AD 1", "sub-11 ses-M000 n/a -4", "sub-12 ses-M000 n/a n/a"]
    config = study("diagnosis adni_diagnosis_change", *rows, diagnoses=["CN", "MCI", "AD"])
    planned = labels.plan(config)
    found = dict(zip(planned.labels["participant_id"], planned.labels["diagnosis"], strict=True))
    expected = ["CN", "MCI", "AD", "MCI", "AD", "AD", "CN", "MCI", "CN", "AD"]
    assert found == {f"sub-{i}": name for i, name in enumerate(expected, start=1)}
    assert len(planned.sieve.excluded) == 2


def test_changes_of_adni_are_enough_and_no_diagnosis_themselves(study):
    config = study("adni_diagnosis_change", "sub-1 ses-M000 3", "sub-2 ses-M000 n/a")
    assert labels.plan(config).labels["diagnosis"].tolist() == ["AD"]


def test_memory_complaints_are_left_out_unless_kept(study):
    rows = (
        "diagnosis diagnosis_bl diagnosis_sc",
        "sub-1 ses-M000 CN SMC CN",
        "sub-2 ses-M000 CN CN SMC",
        "sub-3 ses-M000 CN CN CN",
        "sub-4 ses-M000 CN n/a n/a",
    )
    assert kept(study(*rows)) == ["3 M000", "4 M000"]
    assert reasons(study(*rows))["1 M000"] == "subjective memory complaints (diagnosis_bl)"
    assert len(kept(study(*rows, keep_smc=True))) == 4


def test_who_has_one_session_is_left_out_on_request(study):
    rows = ("diagnosis", "sub-1 ses-M000 CN", "sub-2 ses-M000 CN", "sub-2 ses-M012 CN")
    assert kept(study(*rows, remove_unique_session=True)) == ["2 M000", "2 M012"]
    assert kept(study(*rows)) == ["1 M000", "2 M000", "2 M012"]


INFERRED = (
    "diagnosis",
    "sub-1 ses-M000 n/a", "sub-1 ses-M006 CN", "sub-1 ses-M012 n/a", "sub-1 ses-M018 n/a",
    "sub-1 ses-M024 CN", "sub-1 ses-M030 n/a", "sub-1 ses-M036 AD", "sub-1 ses-M048 n/a",
    "sub-2 ses-M000 n/a",
)  # fmt: skip


def test_missing_diagnoses_are_those_before_and_after_where_they_agree(study):
    config = study(*INFERRED)
    assert kept(config) == ["1 M006", "1 M012", "1 M018", "1 M024", "1 M036"]
    assert labels.plan(config).n_inferred == 2
    reason = "the diagnosis is missing and cannot be inferred"
    assert reasons(config) == dict.fromkeys(["1 M000", "1 M030", "1 M048", "2 M000"], reason)


def test_diagnoses_are_inferred_by_a_column_of_times(study):
    rows = ("diagnosis year", "sub-1 ses-a CN 2", "sub-1 ses-b n/a 1", "sub-1 ses-c CN 0",
            "sub-1 ses-d AD n/a")  # fmt: skip
    config = study(*rows, time_column="year", time_unit="years")
    assert kept(config) == ["1 a", "1 b", "1 c"]
    assert reasons(config) == {"1 d": "year is missing"}
    with pytest.raises(MissingInputError, match="no column years.*nearest is year"):
        labels.plan(study(*rows, time_column="years"))


def test_sessions_that_tell_no_month_go_where_others_do(study):
    rows = ("diagnosis", "sub-1 ses-M000 CN", "sub-1 ses-sc CN", "sub-1 ses-bl2 CN")
    assert kept(study(*rows)) == ["1 M000"]
    assert set(reasons(study(*rows)).values()) == {"session_id tells no month"}
    # No name begins as months do: baseline and retest are names as good as any.
    assert len(kept(study("diagnosis", "sub-1 ses-baseline CN", "sub-1 ses-retest CN"))) == 2


TRAJECTORIES = (
    "diagnosis",
    "sub-1 ses-M000 MCI", "sub-1 ses-M012 n/a", "sub-1 ses-M024 MCI", "sub-1 ses-M048 AD",
    "sub-2 ses-M000 MCI", "sub-2 ses-M036 MCI", "sub-2 ses-M048 MCI",
    "sub-3 ses-M000 MCI", "sub-3 ses-M024 CN",
    "sub-4 ses-M000 CN", "sub-4 ses-M012 MCI", "sub-4 ses-M024 CN",
)  # fmt: skip


def test_trajectories_are_progressions_of_diagnoses(study):
    every = ["CN", "MCI", "AD"]
    planned = labels.plan(study(*TRAJECTORIES, trajectory=True, diagnoses=every))
    assert list(planned.labels) == [*IDS, "diagnosis", "trajectory"]
    assert planned.labels["trajectory"].tolist() == [
        "pMCI", "pMCI", "pMCI", "uk", "sMCI", "sMCI", "uk", "rMCI", "uk", "us", "us", "us",
    ]  # fmt: skip
    near = labels.plan(study(*TRAJECTORIES, trajectory=True, time_horizon=12, diagnoses=every))
    assert near.labels["trajectory"].tolist()[:3] == ["sMCI", "sMCI", "pMCI"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["sMCI"], ["2 M000", "2 M036"]),
        (["pMCI"], ["1 M000", "1 M012", "1 M024"]),
        (["rMCI", "us"], ["3 M000", "4 M000", "4 M012", "4 M024"]),
        (["AD", "pMCI"], ["1 M000", "1 M012", "1 M024", "1 M048"]),
    ],
)
def test_trajectories_are_named_like_diagnoses_and_found_on_all_sessions(study, names, expected):
    config = study(*TRAJECTORIES, diagnoses=names)
    assert kept(config) == expected
    assert "trajectory" in labels.plan(config).labels


def test_a_diagnosis_that_looks_like_a_trajectory_is_a_diagnosis(study):
    rows = ("diagnosis", "sub-1 ses-M000 CN", "sub-2 ses-M000 sCN", "sub-3 ses-M000 us")
    planned = labels.plan(study(*rows, diagnoses=["sCN", "us"]))
    assert planned.labels["diagnosis"].tolist() == ["sCN", "us"]
    assert "trajectory" not in planned.labels


def test_stages_of_another_disease_are_given(study):
    rows = ("diagnosis", "sub-1 ses-M000 CIS", "sub-1 ses-M012 RR", "sub-1 ses-M024 SP")
    with pytest.raises(InvalidDataError, match="CIS.*--stages"):
        labels.plan(study(*rows, trajectory=True))
    planned = labels.plan(study(*rows, trajectory=True, stages=["CIS=0", "RR=1", "SP=2"]))
    assert planned.labels["trajectory"].tolist() == ["pCIS", "pRR", "uk"]


def test_trajectories_need_time(study):
    rows = ("diagnosis year", "sub-1 ses-a MCI 0", "sub-1 ses-b AD 1")
    with pytest.raises(InvalidDataError, match="--time_column"):
        labels.plan(study(*rows, trajectory=True))
    config = study(*rows, diagnoses=["pMCI"], time_column="year", time_unit="years")
    assert kept(config) == ["1 a"]


@pytest.mark.parametrize(("unit", "first"), [("years", "sMCI"), ("months", "pMCI")])
def test_the_unit_of_time_counts(study, unit, first):
    rows = ("diagnosis t", "sub-1 ses-a MCI 0", "sub-1 ses-b MCI 1", "sub-1 ses-c AD 2")
    config = study(
        *rows, trajectory=True, diagnoses=["MCI"], time_horizon=12, time_column="t", time_unit=unit
    )
    assert labels.plan(config).labels["trajectory"].tolist() == [first, "pMCI"]


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "mods"
    folder.mkdir()
    (folder / "missing_mods_ses-M00.tsv").write_text(
        "participant_id\tt1w\tflair\nsub-1\t1\t0\nsub-2\t0\t1\nsub-3\t1\t0\n"
    )
    return folder


def test_who_has_no_image_is_left_out(study, images):
    assert kept(study(*BASIC, missing_mods=images)) == ["1 M000", "3 M000"]
    flair = study(*BASIC, missing_mods=images, modality="flair", diagnoses=["MCI", "AD"])
    assert kept(flair) == ["2 M000"]
    assert reasons(flair)["2 M012"] == "no image of the modality flair"
    path = labels.get_labels(flair)
    record = json.loads((path.parent / "labels.json").read_text())
    assert record["missing_mods"] == str(images)
    assert len(record["tables"]) == 2


def test_tables_of_images_in_the_output_are_found(study, images):
    config = study(*BASIC)
    config.output_directory.mkdir()
    images.rename(config.output_directory / "missing_mods")
    assert kept(config) == ["1 M000", "3 M000"]


def test_images_of_the_data_set_count_where_there_are_no_tables(study, tmp_path):
    path = tmp_path / "bids" / "sub-3" / "ses-M00" / "anat" / "sub-3_ses-M00_T1w.nii.gz"
    path.parent.mkdir(parents=True)
    path.touch()
    assert kept(study(*BASIC)) == ["3 M000"]


def test_without_any_source_nobody_is_left_out_unless_a_modality_is_named(study, caplog):
    assert len(kept(study(*BASIC))) == 3
    assert "sessions are kept whether they have an image or not" in caplog.text
    with pytest.raises(MissingInputError, match="modality t1w"):
        labels.plan(study(*BASIC, modality="t1w"))


def test_only_sessions_of_the_caps_are_kept(study, tmp_path):
    for key in ("sub-1/ses-M000", "sub-2/ses-M12"):
        (tmp_path / "caps" / "subjects" / key / "t1_linear").mkdir(parents=True)
    config = study(*BASIC, caps_directory=tmp_path / "caps")
    assert kept(config) == ["1 M000", "2 M012"]
    assert reasons(config)["3 M000"] == "not in the CAPS"


def test_a_restriction_must_match_exactly_once(study, tmp_path):
    path = tmp_path / "only.tsv"
    path.write_text(
        "participant_id\tsession_id\nsub-1\tses-M000\nsub-2\tses-M012\nsub-2\tses-M12\nsub-7\tses-1\n"
    )
    config = study(*BASIC, restriction_tsv=path)
    assert kept(config) == ["1 M000"]
    assert reasons(config) == {
        "2 M000": "another diagnosis",
        "3 M000": "not in the restriction table",
        "2 M012": "more than once in the restriction table",
    }
    path.write_text("participant_id\tsession_id\nn/a\tses-M000\n")
    with pytest.raises(InvalidDataError, match=r"only\.tsv, row 2, column participant_id"):
        labels.plan(config)
    path.write_text("participant_id\nsub-1\n")
    with pytest.raises(MissingInputError, match="no column session_id"):
        labels.plan(config)


@pytest.mark.parametrize(
    ("header", "column", "yes", "no"),
    [
        ("pass", None, "True", "False"),
        ("qc", None, "pass", "FAIL"),
        ("x\tpass", None, "1\t1", "1\t0"),
        ("pass\tsecond", "second", "0\t1.0", "1\t0.0"),
    ],
)
def test_what_failed_the_quality_control_is_left_out(
    study, tmp_path, caplog, header, column, yes, no
):
    path = tmp_path / "qc.tsv"
    rest = "\t".join(["n/a"] * (header.count("\t") + 1))
    path.write_text(
        f"participant_id\tsession_id\t{header}\n"
        f"sub-1\tses-M00\t{yes}\nsub-2\tses-M012\t{no}\nsub-2\tses-M000\t{rest}\n"
    )
    config = study(*BASIC, qc_tsv=[path], qc_column=column, diagnoses=["AD", "CN", "MCI"])
    assert kept(config) == ["1 M000", "2 M000", "3 M000"]
    assert reasons(config) == {"2 M012": "failed the quality check qc.tsv"}
    assert "says nothing of 2 of 4 sessions: they are kept" in caplog.text


def test_several_quality_checks_are_asked_and_each_reason_is_kept(study, tmp_path, caplog):
    paths = [tmp_path / "raw.tsv", tmp_path / "t1.tsv"]
    paths[0].write_text(
        "participant_id\tsession_id\treasons\tpass\n"
        "sub-1\tses-M000\tn/a\tTrue\nsub-2\tses-M012\tunreadable, sheared\tFalse\n"
        "sub-2\tses-M000\tn/a\tTrue\nsub-3\tses-M000\tn/a\tTrue\n"
    )
    paths[1].write_text(
        "participant_id\tsession_id\tpass_probability\tpass\n"
        "sub-1\tses-M000\t0.1\tFalse\nsub-2\tses-M012\t0.2\tFalse\n"
    )
    config = study(*BASIC, qc_tsv=paths, diagnoses=["AD", "CN", "MCI"])
    assert kept(config) == ["2 M000", "3 M000"]
    assert reasons(config) == {
        "1 M000": "failed the quality check t1.tsv",
        "2 M012": "failed the quality check raw.tsv: unreadable, sheared",
    }
    assert "t1.tsv says nothing of 2 of 3 sessions: they are kept" in caplog.text
    assert labels.plan(config).record["n_without_quality_check"] == 2


def test_a_quality_control_that_says_neither_is_placed(study, tmp_path):
    path = tmp_path / "qc.tsv"
    path.write_text("participant_id\tsession_id\tpass\nsub-1\tses-M00\tmaybe\n")
    with pytest.raises(InvalidDataError, match=r"qc\.tsv, row 2, column pass.*maybe"):
        labels.plan(study(*BASIC, qc_tsv=[path]))
    with pytest.raises(MissingInputError, match="no column verdict.*--qc_column"):
        labels.plan(study(*BASIC, qc_tsv=[path], qc_column="verdict"))


def test_conditions_hold_for_all_that_is_kept(study):
    config = study(*BASIC, where=["MMSE > 24", "diagnosis != 'MCI' or sex == 'F'"])
    assert kept(config) == ["1 M000", "3 M000"]
    assert reasons(config)["2 M012"] == "does not hold: MMSE > 24"


@pytest.mark.parametrize(("missing", "n_kept"), [("keep", 3), ("exclude", 2)])
def test_missing_values_are_counted_or_left_out(study, caplog, missing, n_kept):
    config = study(*BASIC, missing=missing, variables_of_interest=["MMSE"])
    assert len(kept(config)) == n_kept
    if missing == "keep":
        assert "1 of 3 sessions have no sex" in caplog.text
    else:
        assert reasons(config)["3 M000"] == "sex is missing"


def test_the_order_of_the_rules_decides_on_the_reason(study, images, tmp_path):
    (tmp_path / "none.tsv").write_text("participant_id\tsession_id\nsub-1\tses-M000\n")
    config = study(
        *BASIC, missing_mods=images, restriction_tsv=tmp_path / "none.tsv", where=["age > 60"],
        diagnoses=["AD", "MCI", "CN"],
    )  # fmt: skip
    with pytest.raises(InvalidDataError, match="No session is left"):
        labels.plan(config)
    config = config.model_copy(update={"where": ()})
    planned = labels.plan(config)
    assert list(sieve.counts(planned.sieve).items()) == [
        ("no image of the modality t1w", 2),
        ("not in the restriction table", 1),
    ]
    assert planned.sieve.n_read == 4


rows = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.sampled_from([0, 6, 12, 24]),
        st.sampled_from(["CN", "MCI", "AD", "n/a"]),
        st.sampled_from(["60", "70", "n/a"]),
    ),
    min_size=1, max_size=16, unique_by=lambda row: row[:2],
)  # fmt: skip


@given(rows, st.integers(0, 2**32))
def test_every_row_is_kept_or_has_a_reason_in_any_order(tmp_path_factory, drawn, seed):
    home = tmp_path_factory.mktemp("study")
    order = generator(seed, "shuffle").permutation(len(drawn))
    found = []
    for name, rows_of in (("a", drawn), ("b", [drawn[i] for i in order])):
        path = home / f"{name}.tsv"
        lines = [f"sub-{who}\tses-M{m:03d}\t{dx}\t{age}" for who, m, dx, age in rows_of]
        path.write_text("\n".join(["participant_id\tsession_id\tdiagnosis\tage", *lines]) + "\n")
        config = LabelsConfig(
            bids_directory=home, output_directory=home / "out", merged_tsv=path, trajectory=True,
            remove_unique_session=True, where=("age > 60 or diagnosis == 'CN'",),
        )  # fmt: skip
        try:
            planned = labels.plan(config)
        except InvalidDataError as error:
            assert "No session is left" in str(error)
            found.append(None)
            continue
        keys = [
            *sessions.sessions_of(planned.labels),
            *sessions.sessions_of(planned.sieve.excluded),
        ]
        assert sorted(keys) == sorted((f"sub-{who}", f"ses-M{m:03d}") for who, m, _, _ in drawn)
        found.append((planned.labels, sessions.in_order(planned.sieve.excluded)))
    if None in found:
        assert found == [None, None]
    else:
        for one, other in zip(*found, strict=True):
            pd.testing.assert_frame_equal(one, other)


@pytest.mark.parametrize(
    ("more", "error", "words"),
    [
        ({"variables_of_interest": ["mmse"]}, MissingInputError, "nearest is MMSE"),
        ({"where": ["age >"]}, UsageError, "no expression"),
        ({"where": ["aeg > 1"]}, MissingInputError, "nearest is age"),
        ({"where": ["sex > 1"]}, InvalidDataError, "column sex"),
        ({"merged_tsv": "gone.tsv"}, MissingInputError, "gone.tsv"),
        ({"missing_mods": "gone"}, MissingInputError, "gone"),
        ({"restriction_tsv": "gone.tsv"}, MissingInputError, "gone.tsv"),
        ({"qc_tsv": ["gone.tsv"]}, MissingInputError, "gone.tsv"),
        ({"caps_directory": "gone"}, MissingInputError, "gone"),
        ({"qc_column": "x"}, UsageError, "without qc_tsv"),
        ({"time_unit": "years"}, UsageError, "without time_column"),
        ({"time_horizon": 12}, UsageError, "without trajectories"),
        ({"time_horizon": 0}, UsageError, "time_horizon"),
        ({"stages": ["CN"], "trajectory": True}, UsageError, "'CN' is no diagnosis with its stage"),
        ({"missing": "drop"}, UsageError, "missing"),
        ({"diagnoses": []}, UsageError, "diagnoses"),
    ],
)
def test_what_cannot_be_done_is_said_and_writes_nothing(study, tmp_path, more, error, words):
    with pytest.raises(error) as refusal:
        labels.get_labels(study(*BASIC, **more))
    assert words in str(refusal.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("more", [{"diagnoses": ["AD"]}, {"trajectory": True}])
def test_diagnoses_need_a_column(study, more):
    with pytest.raises(MissingInputError, match="--diagnosis_column"):
        labels.plan(study("age", "sub-1 ses-M000 60", **more))


def test_a_wrong_table_leaves_nothing_behind(study, tmp_path):
    config = study(*BASIC)
    (tmp_path / "merged.tsv").write_text("participant_id\tsession_id\nsub-1\tses-M000\tx\n")
    with pytest.raises(InvalidDataError, match=r"merged\.tsv, row 2"):
        labels.get_labels(config)
    assert not (tmp_path / "out").exists()


def test_labels_of_a_real_study_of_dementia(real_data, tmp_path):
    path = real_data / "tables" / "oasis2_merged.tsv"
    config = LabelsConfig(
        bids_directory=tmp_path, output_directory=tmp_path / "out", merged_tsv=path,
        diagnoses=("sCN", "pCN"), time_horizon=120,
    )  # fmt: skip
    found = labels.plan(config).labels
    table = pd.read_csv(path, sep="\t", dtype=str)
    table["month"] = table["session_id"].str[5:].astype(int)
    table = table.sort_values(["participant_id", "month"])
    last = table.groupby("participant_id")["diagnosis"].transform("last")
    is_last = ~table.duplicated("participant_id", keep="last")
    # Of ten participants who go from CN to AD two go back, and are unstable; with ten years ahead,
    # all CN sessions of the others progress.
    progressing = table[(table["diagnosis"] == "CN") & (last == "AD") & ~is_last]
    assert progressing["participant_id"].nunique() == 8
    kept_of = found[found["trajectory"] == "pCN"]
    assert sessions.sessions_of(kept_of) == sessions.sessions_of(progressing)
    assert set(found["trajectory"]) == {"sCN", "pCN"}


def test_labels_of_a_real_study_without_diagnoses(real_data, tmp_path):
    config = LabelsConfig(
        bids_directory=real_data / "bids-layouts" / "dlbs", output_directory=tmp_path / "out",
        merged_tsv=real_data / "tables" / "dlbs_merged.tsv", variables_of_interest=("MMSE",),
        where=("age < 60",), missing="exclude",
    )  # fmt: skip
    planned = labels.plan(config)
    table = pd.read_csv(config.merged_tsv, sep="\t")
    home = config.bids_directory
    on_disk = {tuple(path.parts[-4:-2]) for path in home.glob("sub-*/ses-*/anat/*_T1w.nii.gz")}
    has_image = pd.Series([key in on_disk for key in sessions.sessions_of(table)])
    expected = table[(table["age"] < 60) & table["MMSE"].notna() & table["sex"].notna() & has_image]
    assert sessions.sessions_of(planned.labels) == sorted(sessions.sessions_of(expected))
    assert list(planned.labels) == [*IDS, "age", "sex", "MMSE"]
    assert planned.sieve.n_read == len(table) == 676


def test_labels_of_a_real_data_set_alone(real_data, tmp_path):
    home = real_data / "open-ms-bids"
    flair = LabelsConfig(bids_directory=home, output_directory=tmp_path / "out", modality="flair")
    path = labels.get_labels(flair)
    assert path.read_text() == (
        "participant_id\tsession_id\tage\tsex\tdiagnosis\nsub-MS01\tses-M000\t20.0\tF\tMS\n"
    )
    assert json.loads((path.parent / "labels.json").read_text())["merged_tsv"] is None
    t1w = labels.plan(flair.model_copy(update={"modality": "t1w", "overwrite": True}))
    assert len(t1w.labels) == 4
