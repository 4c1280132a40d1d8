"""``clinicadl tsvtools``: get-progression, adapt, analysis."""

import re
import tomllib

import pytest

import clinicadl
from clinicadl.cli.summary import aligned

LABELS = """\
participant_id	session_id	diagnosis	age	sex	MMSE	cdr_global	site
sub-1	ses-M000	CN	70	F	30	0	x
sub-1	ses-M036	CN	73	F	29	0	x
sub-2	ses-M000	CN	65	M	28	0	y
sub-2	ses-M024	AD	67	M	20	1	y
sub-3	ses-M000	n/a	80	F	n/a	n/a	x
"""


@pytest.fixture
def home(tmp_path):
    (tmp_path / "labels.tsv").write_text(LABELS)
    return tmp_path


@pytest.fixture
def old(home):
    for name in ("train", "test"):
        (home / "old" / name).mkdir(parents=True)
        number = 1 if name == "train" else 2
        row = f"participant_id\tsession_id\nsub-{number}\tses-M00\n"
        (home / "old" / name / "AD_baseline.tsv").write_text(row)
    (home / "old" / "split.json").write_text('{"subset_name": "test"}')
    return home / "old"


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_get_progression_says_what_it_found(invoke, home):
    code, said, complaint = invoke("tsvtools", "get-progression", home / "labels.tsv")
    assert (code, complaint) == (0, "")
    assert said.splitlines() == [
        f"{home / 'labels.tsv'}: 5 sessions of 3 participants; the column progression is added",
        "  s: 1", "  p: 1", "  uk: 2", "  n/a (no diagnosis): 1",
    ]  # fmt: skip
    assert (
        invoke("tsvtools", "get-progression", home / "labels.tsv")[1]
        .splitlines()[0]
        .endswith("the column progression is replaced")
    )


def test_the_stages_of_any_disease_are_taken_from_the_command_line(invoke, home):
    text = LABELS.replace("CN", "low").replace("AD", "high")
    (home / "labels.tsv").write_text(text.replace("ses-M0", "ses-w"))
    code, said, complaint = invoke(
        "tsvtools", "get-progression", "--stages", "low=0", "high=3", home / "labels.tsv",
        "--time_column", "age", "--time_unit", "years", "--time_horizon", 12,
    )  # fmt: skip
    assert (code, complaint) == (0, "")
    assert "  s: 1\n  p: 1\n  uk: 2" in said


def test_adapt_says_what_it_wrote(invoke, home, old):
    code, said, _ = invoke("tsvtools", "adapt", old, home / "new", "-lb", "AD")
    assert code == 0
    assert said.splitlines() == [
        f"folder: {home / 'new'}",
        "  split/train_baseline.tsv: 1 participants, 1 sessions",
        "  split/test_baseline.tsv: 1 participants, 1 sessions",
        "  split/split.json",
    ]
    assert invoke("tsvtools", "adapt", old, home / "new")[0] == 73


def test_analysis_prints_the_figures_and_says_where_they_are(invoke, home):
    code, said, complaint = invoke(
        "tsvtools", "analysis", home / "labels.tsv", home / "labels.tsv", home / "out.tsv",
        "--longitudinal", "--variables", "site", "age",
    )  # fmt: skip
    assert (code, complaint) == (0, "")
    lines = said.splitlines()
    assert lines[:2] == ["rows read: 5, in a group: 4", "  left out, no diagnosis: 1"]
    cells = [re.split(r"\s{2,}", line) for line in lines]
    assert ["CN", "2", "67.5 (2.5)", "1 / 1", "29 (1)", "2/0/0/0/0", "3"] in cells
    # sub-1 has two sessions, 36 months apart, and sub-2 one.
    assert ["CN (all sessions)", "18 (18)", "1.5 (0.5)"] in cells
    assert ["CN", "x 1, y 1", "0"] in cells
    assert lines[-1] == f"table: {home / 'out.tsv'}"


def test_sets_are_compared_in_lines_of_at_most_100_characters(invoke, home):
    header, *rows = LABELS.splitlines()
    for name, which in (("one", rows[:2]), ("two", rows[2:])):
        (home / f"{name}.tsv").write_text("\n".join([header, *which]) + "\n")
    code, said, _ = invoke(
        "tsvtools", "analysis", home / "labels.tsv", home / "labels.tsv", home / "out.tsv",
        "--compare", f"{'a' * 60}={home / 'one.tsv'}", f"{'b' * 60}={home / 'two.tsv'}",
    )  # fmt: skip
    assert code == 0
    assert "diagnosis" in said
    assert "Fisher exact" in said
    table = said.splitlines()[said.splitlines().index(f"{'a' * 60} and {'b' * 60}") + 1 :]
    assert max(len(line) for line in table if not line.startswith("table:")) <= 100
    assert (home / "out_comparison.tsv").exists()


@pytest.mark.parametrize(
    ("command", "arguments", "writes"),
    [
        ("get-progression", ["labels.tsv"], ["labels.tsv"]),
        ("adapt", ["old", "new"], ["new"]),
        ("analysis", ["labels.tsv", "labels.tsv", "out.tsv", "--compare", "a=labels.tsv",
                      "b=labels.tsv"], ["out.tsv", "out_comparison.tsv"]),
    ],
)  # fmt: skip
def test_a_dry_run_writes_nothing_and_says_what_would_be(
    invoke, home, old, monkeypatch, command, arguments, writes
):
    monkeypatch.chdir(home)
    before = contents(home)
    code, said, _ = invoke("tsvtools", command, *arguments, "--dry-run")
    assert code == 0
    assert contents(home) == before
    assert tomllib.loads(said)
    for name in writes:
        assert f"# would write: {name}" in said
    assert "# would read: " in said


@pytest.mark.parametrize(
    ("command", "function", "cls", "flags", "given"),
    [
        (
            "get-progression", "get_progression", "ProgressionConfig",
            ["labels.tsv", "--time-horizon", "12", "--stages", "AD=0", "--stages", "CN=1"],
            {"data_tsv": "labels.tsv", "time_horizon": 12, "stages": ("AD=0", "CN=1")},
        ),
        (
            "adapt", "adapt", "AdaptConfig", ["old", "new", "--labels_list", "AD"],
            {"old_tsv_dir": "old", "new_tsv_dir": "new", "labels_list": ("AD",)},
        ),
        (
            "analysis", "analysis", "AnalysisConfig",
            ["labels.tsv", "labels.tsv", "out.tsv", "-d", "CN", "AD", "--group-by", "diagnosis",
             "site", "--variables", "site", "--categorical", "site", "--longitudinal",
             "--time_column", "age", "--time_unit", "years", "--overwrite"],
            {"merged_tsv": "labels.tsv", "data_tsv": "labels.tsv", "results_tsv": "out.tsv",
             "diagnoses": ("CN", "AD"), "group_by": ("diagnosis", "site"), "variables": ("site",),
             "categorical": ("site",), "longitudinal": True, "time_column": "age",
             "time_unit": "years", "overwrite": True},
        ),
    ],
)  # fmt: skip
def test_the_command_line_and_the_function_give_the_same_bytes(
    invoke, home, old, monkeypatch, command, function, cls, flags, given
):
    import shutil

    shutil.copytree(home, home.with_name(f"{home.name}-other"))
    monkeypatch.chdir(home)
    assert invoke("tsvtools", command, *flags)[0] == 0
    monkeypatch.chdir(home.with_name(f"{home.name}-other"))
    getattr(clinicadl, function)(getattr(clinicadl, cls)(**given))
    assert contents(home) == contents(home.with_name(f"{home.name}-other"))


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["get-progression", "none.tsv"], 66, "none.tsv"),
        (["get-progression", "labels.tsv", "--stages", "CN=0"], 65, "AD has no stage"),
        (["get-progression", "labels.tsv", "--stages", "CN"], 2, "--stages"),
        (["get-progression", "labels.tsv", "--time_column", "day"], 66, "no column day"),
        (["adapt", "none", "new"], 66, "none"),
        (["adapt", "old", "old"], 73, "exists already"),
        (["adapt", "old", "new", "-lb", "CN"], 66, "labels AD"),
        (["analysis", "labels.tsv", "labels.tsv", "labels.tsv"], 2, "replace a table"),
        (["analysis", "labels.tsv", "labels.tsv", "out.tsv", "-d", "X"], 65, "diagnosis X"),
        (["analysis", "labels.tsv", "old", "out.tsv"], 66, "no split"),
        (["analysis", "labels.tsv", "labels.tsv", "out.tsv", "--compare", "a=x"], 2, "one set"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_changes_nothing(
    invoke, home, old, monkeypatch, arguments, code, words
):
    monkeypatch.chdir(home)
    before = contents(home)
    found, said, complaint = invoke("tsvtools", *arguments)
    assert (found, said) == (code, "")
    assert words in complaint
    assert "Traceback" not in complaint
    assert contents(home) == before


def test_columns_stand_below_each_other_and_the_longest_is_cut():
    short = aligned(["a", "bb"], [["xxx", "y"], ["", "z"]])
    assert short == ["a    bb", "xxx  y", "     z"]
    (_, line) = aligned(["name", "n"], [["x" * 200, "7"]])
    assert line == "x" * 96 + "…  7"
    assert len(line) == 100
