"""``clinicadl tsvtools get-labels``, ``get-metadata`` and ``restrict``."""

import json
import tomllib

import pytest

from clinicadl.config.labels import LabelsConfig, MetadataConfig, RestrictConfig
from clinicadl.tables.labels import get_labels
from clinicadl.tables.metadata import get_metadata
from clinicadl.tables.restrict import restrict

MERGED = """participant_id\tsession_id\tage_bl\tsex\tdiagnosis\tMMSE\tdiagnosis_bl\tgroup\tyear
sub-01\tses-M000\t60\tF\tCN\t30\tSMC\tX\t0
sub-01\tses-M012\t60\tF\tn/a\t29\tSMC\tX\t1
sub-01\tses-M024\t60\tF\tCN\t29\tSMC\tX\t2
sub-02\tses-M000\t70\tM\tMCI\tn/a\tMCI\tY\t0
sub-02\tses-M012\t70\tM\tAD\t21\tMCI\tY\t1
sub-03\tses-M000\t80\tF\tAD\t20\tAD\tY\tn/a
"""


@pytest.fixture
def study(tmp_path):
    (tmp_path / "merged.tsv").write_text(MERGED)
    (tmp_path / "qc.tsv").write_text(
        "participant_id\tsession_id\tverdict\nsub-03\tses-M000\tfail\nsub-02\tses-M012\tpass\n"
    )
    (tmp_path / "only.tsv").write_text(
        "participant_id\tsession_id\nsub-01\tses-M000\nsub-02\tses-M000\nsub-02\tses-M012\n"
    )
    mods = tmp_path / "mods"
    mods.mkdir()
    for session in ("ses-M000", "ses-M012", "ses-M024"):
        (mods / f"missing_mods_{session}.tsv").write_text(
            "participant_id\tt1w\tflair\nsub-01\t1\t0\nsub-02\t1\t0\nsub-03\t1\t1\n"
        )
    for who in ("sub-01", "sub-02"):
        image = tmp_path / "bids" / who / "ses-M000" / "anat" / f"{who}_ses-M000_T1w.nii.gz"
        image.parent.mkdir(parents=True)
        image.touch()
    (tmp_path / "bids" / "participants.tsv").write_text(
        "participant_id\tsex\nsub-01\tF\nsub-02\tM\n"
    )
    (tmp_path / "caps" / "subjects" / "sub-02" / "ses-M012").mkdir(parents=True)
    return tmp_path


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_get_labels_says_what_it_kept_and_why_not(invoke, study):
    code, said, complaint = invoke(
        "tsvtools", "get-labels", study / "bids", study / "out", "--merged_tsv",
        study / "merged.tsv", "--missing_mods", study / "mods", "--keep_smc",
    )  # fmt: skip
    assert code == 0
    assert said.splitlines() == [
        f"labels: {study / 'out' / 'labels.tsv'}",
        "  3 participants, 5 sessions",
        "  AD: 2 sessions",
        "  CN: 3 sessions",
        "  diagnoses inferred from the sessions around: 1",
        "  rows read: 6",
        "  rows kept: 5",
        "  left out, another diagnosis: 1",
    ]
    assert complaint.splitlines() == [
        f"clinicadl: {study / 'merged.tsv'}: age_bl is taken as the age"
    ]


FLAGS = {
    "diagnoses": (["-d", "MCI", "AD"], {"diagnoses": ["MCI", "AD"]}),
    "repeated diagnoses": (["-d", "MCI", "--diagnoses", "CN"], {"diagnoses": ["MCI", "CN"]}),
    "column": (["--diagnosis_column", "group"], {"diagnosis_column": "group"}),
    "modality": (["-mod", "flair"], {"modality": "flair"}),
    "variables": (["-voi", "MMSE", "group"], {"variables_of_interest": ["MMSE", "group"]}),
    "missing": (["-voi", "MMSE", "-d", "MCI", "AD", "--missing", "exclude"],
                {"variables_of_interest": ["MMSE"], "diagnoses": ["MCI", "AD"],
                 "missing": "exclude"}),
    "caps": (["-c", "{study}/caps"], {"caps_directory": "{study}/caps"}),
    "restriction": (["--restriction_tsv", "{study}/only.tsv"],
                    {"restriction_tsv": "{study}/only.tsv"}),
    "smc": (["--keep-smc"], {"keep_smc": True}),
    "unique": (["--remove_unique_session"], {"remove_unique_session": True}),
    "qc": (["--qc_tsv", "{study}/qc.tsv", "--qc-column", "verdict"],
           {"qc_tsv": ["{study}/qc.tsv"], "qc_column": "verdict"}),
    "two of qc": (["--qc", "{study}/qc.tsv", "--qc", "{study}/qc.tsv", "--qc_column", "verdict"],
                  {"qc_tsv": ["{study}/qc.tsv"] * 2, "qc_column": "verdict"}),
    "where": (["--where", "age_bl > 60", "--where", "sex == 'F'"],
              {"where": ["age_bl > 60", "sex == 'F'"]}),
    "trajectory": (["--trajectory", "--time_horizon", "6"],
                   {"trajectory": True, "time_horizon": 6}),
    "stages": (["-d", "pMCI", "--stages", "CN=1", "MCI=0", "AD=2"],
               {"diagnoses": ["pMCI"], "stages": ["CN=1", "MCI=0", "AD=2"]}),
    "time": (["--time_column", "year", "--time_unit", "years"],
             {"time_column": "year", "time_unit": "years"}),
}  # fmt: skip


@pytest.mark.parametrize("name", FLAGS)
def test_each_flag_of_get_labels_has_an_effect_the_same_as_from_python(invoke, study, name):
    flags, config = FLAGS[name]
    flags = [flag.format(study=study) for flag in flags]
    config = {
        key: [one.format(study=study) for one in value] if isinstance(value, list)
        else value.format(study=study) if isinstance(value, str) else value
        for key, value in config.items()
    }  # fmt: skip
    basic = {"merged_tsv": study / "merged.tsv", "missing_mods": study / "mods"}
    plain = get_labels(
        LabelsConfig(bids_directory=study / "bids", output_directory=study / "plain", **basic)
    )
    python = get_labels(
        LabelsConfig.model_validate(
            {"bids_directory": study / "bids", "output_directory": study / "python", **basic,
             **config}
        )
    )  # fmt: skip
    code, _, _ = invoke(
        "tsvtools", "get-labels", study / "bids", study / "out", "--merged_tsv",
        study / "merged.tsv", "--missing-mods", study / "mods", *flags,
    )  # fmt: skip
    assert code == 0
    assert files(study / "out") == files(python.parent)
    assert files(plain.parent)["labels.tsv"] != files(python.parent)["labels.tsv"]


def test_the_tables_of_the_data_set_and_its_images_are_the_default(invoke, study):
    code, _, _ = invoke("tsvtools", "get-labels", study / "bids", study / "out")
    assert code == 0
    assert (study / "out" / "labels.tsv").read_text() == (
        "participant_id\tsession_id\tsex\nsub-01\tses-M000\tF\nsub-02\tses-M000\tM\n"
    )
    code, _, complaint = invoke("tsvtools", "get-labels", study / "bids", study / "out")
    assert code == 73
    assert "labels.tsv" in complaint
    code, _, _ = invoke("tsvtools", "get-labels", study / "bids", study / "out", "--overwrite")
    assert code == 0


@pytest.mark.parametrize("where", ["given", "beside"])
def test_the_older_name_works_and_says_so(invoke, study, where):
    output = [study / "out"] if where == "given" else []
    more = ["--merged_tsv", study / "merged.tsv", "--keep_smc"]
    code, said, complaint = invoke("tsvtools", "getlabels", study / "bids", *output, *more)
    assert code == 0
    assert "get-labels" in complaint
    home = study / "out" if where == "given" else study
    assert said.splitlines()[0] == f"labels: {home / 'labels.tsv'}"
    assert (home / "labels.json").is_file()


def test_lists_leave_the_positional_arguments_to_what_they_are(invoke, study):
    code, _, _ = invoke(
        "tsvtools", "get-labels", "--merged_tsv", study / "merged.tsv", "-d", "MCI", "AD",
        study / "bids", study / "out",
    )  # fmt: skip
    assert code == 0
    record = json.loads((study / "out" / "labels.json").read_text())
    assert record["diagnoses"] == ["MCI", "AD"]


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (["get-labels", "{study}/bids", "{study}/out", "--merged_tsv", "{study}/merged.tsv",
          "--missing_mods", "{study}/mods"], "{study}/out/labels.tsv"),
        (["getlabels", "{study}/bids", "--keep_smc"], "{study}/labels.tsv"),
        (["get-metadata", "{study}/qc.tsv", "{study}/merged.tsv"], "{study}/qc.tsv"),
        (["restrict", "OASIS", "{study}/merged.tsv", "{study}/r.tsv"], "{study}/r.tsv"),
    ],
)  # fmt: skip
def test_a_dry_run_writes_nothing_and_says_what_would_be(invoke, study, arguments, output):
    before = {path: path.is_file() and path.read_bytes() for path in study.rglob("*")}
    arguments = [one.format(study=study) for one in arguments]
    code, said, _ = invoke("tsvtools", *arguments, "--dry-run")
    assert code == 0
    assert before == {path: path.is_file() and path.read_bytes() for path in study.rglob("*")}
    first = next(one for one in arguments if one.startswith(str(study)))
    assert first in tomllib.loads(said).values()
    assert f"# would write: {output.format(study=study)}" in said
    assert "# would read: " in said
    _, written, _ = invoke("tsvtools", *arguments)
    for line in written.splitlines()[1:]:
        assert f"# {line}" in said


def test_many_tables_are_counted_in_a_dry_run(invoke, study):
    for i in range(20):
        home = study / "bids" / f"sub-X{i}" / "anat"
        home.mkdir(parents=True)
        (home / f"sub-X{i}_T1w.nii.gz").touch()
        (home.parent / f"sub-X{i}_sessions.tsv").write_text("session_id\tage\nses-M000\t60\n")
    code, said, _ = invoke("tsvtools", "get-labels", study / "bids", study / "out", "--dry-run")
    assert code == 0
    assert said.count("# would read: ") == 11
    assert "# would read: 11 more" in said


def test_get_metadata_says_what_it_added(invoke, study):
    (study / "data.tsv").write_text("participant_id\tsession_id\nsub-02\tses-M00\nsub-7\tses-M0\n")
    (study / "same.tsv").write_bytes((study / "data.tsv").read_bytes())
    code, said, _ = invoke(
        "tsvtools", "get-metadata", study / "data.tsv", study / "merged.tsv", "-voi", "sex", "MMSE"
    )
    assert code == 0
    assert said.splitlines() == [
        f"table: {study / 'data.tsv'}",
        "  columns added: sex, MMSE",
        f"  2 sessions, of which 1 are not in {study / 'merged.tsv'}",
    ]
    get_metadata(
        MetadataConfig(
            data_tsv=study / "same.tsv", merged_tsv=study / "merged.tsv",
            variables_of_interest=("sex", "MMSE"),
        )
    )  # fmt: skip
    assert (study / "data.tsv").read_bytes() == (study / "same.tsv").read_bytes()


def test_restrict_says_what_it_kept(invoke, study):
    code, said, _ = invoke(
        "tsvtools", "restrict", "OASIS", study / "merged.tsv", study / "r.tsv",
        "--where", "sex == 'F'",
    )  # fmt: skip
    assert code == 0
    assert said.splitlines() == [
        f"table: {study / 'r.tsv'}",
        "  rows read: 6",
        "  rows kept: 1",
        "  left out, does not hold: age_bl >= 62: 3",
        "  left out, does not hold: sex == 'F': 2",
    ]
    restrict(
        RestrictConfig(
            restriction="OASIS", merged_tsv=study / "merged.tsv", results_tsv=study / "s.tsv",
            where=("sex == 'F'",),
        )
    )  # fmt: skip
    assert (study / "r.tsv").read_bytes() == (study / "s.tsv").read_bytes()
    assert (study / "r_excluded.tsv").read_bytes() == (study / "s_excluded.tsv").read_bytes()
    again = (
        "tsvtools",
        "restrict",
        "custom",
        study / "merged.tsv",
        study / "r.tsv",
        "--where",
        "age_bl>0",
    )
    assert invoke(*again)[0] == 73
    assert invoke(*again, "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["get-labels", "{study}/bids"], 2, ["OUTPUT_DIRECTORY"]),
        (["get-labels", "{study}/gone", "{study}/out"], 66, ["gone", "does not exist"]),
        (["get-labels", "{study}/mods", "{study}/out"], 65, ["not a BIDS data set"]),
        (["get-labels", "{study}/bids", "{study}/out", "-mod", "pet"], 65, ["pet", "T1w"]),
        (["get-labels", "{study}/bids", "{study}/out", "-d", "AD"], 66, ["--diagnosis_column"]),
        (["get-labels", "{study}/bids", "{study}/out", "-voi", "sexx"], 66, ["nearest is sex"]),
        (["get-labels", "{study}/bids", "{study}/out", "--where", "sex"], 2, ["not a condition"]),
        (["get-labels", "{study}/bids", "{study}/out", "--qc_column", "x"], 2, ["qc_tsv"]),
        (["get-labels", "{study}/bids", "{study}/out", "--missing", "no"], 2, ["exclude"]),
        (["get-metadata", "{study}/gone.tsv", "{study}/merged.tsv"], 66, ["gone.tsv"]),
        (["get-metadata", "{study}/qc.tsv", "{study}/merged.tsv", "-voi", "ag"], 66, ["age_bl"]),
        (["restrict", "OASIS3", "{study}/merged.tsv", "{study}/r.tsv"], 2, ["OASIS"]),
        (["restrict", "custom", "{study}/merged.tsv", "{study}/r.tsv"], 2, ["--where"]),
        (["restrict", "AIBL", "{study}/merged.tsv", "{study}/r.tsv"], 66, ["examination_date"]),
        (["restrict", "OASIS", "{study}/merged.tsv", "{study}/merged.tsv"], 2, ["overwrite"]),
        (["restrict", "OASIS", "{study}/merged.tsv", "{study}/qc.tsv"], 73, ["qc.tsv"]),
        (["restrict", "OASIS", "{study}/merged.tsv", "{study}/qc.tsv/r.tsv"], 73, ["qc.tsv"]),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_writes_nothing(
    invoke, study, arguments, code, words
):
    before = {path: path.is_file() and path.read_bytes() for path in study.rglob("*")}
    found, said, complaint = invoke("tsvtools", *(one.format(study=study) for one in arguments))
    assert (found, said) == (code, "")
    assert "Traceback" not in complaint
    for word in words:
        assert word in complaint
    assert before == {path: path.is_file() and path.read_bytes() for path in study.rglob("*")}
