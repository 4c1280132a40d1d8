"""``clinicadl tsvtools check``."""

import json
import tomllib

import pytest

from clinicadl.config.audit import CheckConfig
from clinicadl.guard.audit import check_tables


def write(path, *numbers, family=None):
    rows = [
        f"sub-{i:02d}\tses-M000\t{['AD', 'CN'][i % 2]}\t{60 + 7 * i % 25}\t{i // 2}"
        for i in numbers
    ]
    header = "participant_id\tsession_id\tdiagnosis\tage\tfamily"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.fixture
def clean(tmp_path):
    write(tmp_path / "train.tsv", *range(20))
    write(tmp_path / "validation.tsv", *range(20, 30))
    return tmp_path


def test_a_line_a_set_and_a_last_one(invoke, clean):
    code, said, complaint = invoke("tsvtools", "check", clean)
    assert (code, complaint) == (0, "")
    assert said.splitlines() == [
        f"set: {clean} train: 20 participants, 20 sessions (AD 10, CN 10), in "
        f"{clean / 'train.tsv'}",
        f"set: {clean} validation: 10 participants, 10 sessions (AD 5, CN 5), in "
        f"{clean / 'validation.tsv'}",
        "2 tables checked: 0 leaks, 0 faults, 0 warnings",
    ]


def test_a_leak_has_a_line_and_exit_code_4(invoke, clean):
    write(clean / "validation.tsv", *range(19, 30))
    code, said, complaint = invoke("tsvtools", "check", clean)
    assert code == 4
    leak = said.splitlines()[2]
    assert leak.startswith("LEAK: 1 participant of validation")
    assert "sub-19" in leak
    assert said.splitlines()[-1] == "2 tables checked: 1 leak, 0 faults, 0 warnings"
    assert complaint.startswith("clinicadl: Data leakage (found: shared-participants)")


def test_a_fault_has_a_line_and_exit_code_65(invoke, clean):
    write(clean / "validation.tsv", *range(20, 30), 20)
    code, said, complaint = invoke("tsvtools", "check", clean)
    assert code == 65
    assert "INVALID: 1 row of" in said
    assert "repeated-rows" in complaint


def test_a_warning_has_a_line_and_exit_code_0(invoke, clean):
    for name in ("train.tsv", "validation.tsv"):
        text = (clean / name).read_text()
        text = text.replace("family", "family\tdx").replace("\n", "\t\n")
        lines = [
            line.rstrip("\t") if i == 0 else line + ("1" if "AD" in line else "2")
            for i, line in enumerate(text.splitlines())
        ]
        (clean / name).write_text("\n".join(lines) + "\n")
    code, said, complaint = invoke("tsvtools", "check", clean)
    assert (code, complaint) == (0, "More: clinicadl explain determined-label\n")
    assert "warning: dx determines diagnosis" in said


@pytest.mark.parametrize("flag", ["--group_by", "--group-by"])
def test_families_are_looked_at_on_request(invoke, clean, flag):
    write(clean / "train.tsv", *range(19))
    write(clean / "validation.tsv", *range(19, 30))
    assert invoke("tsvtools", "check", clean)[0] == 0
    code, said, _ = invoke("tsvtools", "check", clean, flag, "family")
    assert code == 4
    assert "1 group of family" in said


def test_the_label_can_be_another_column(invoke, clean):
    code, said, _ = invoke("tsvtools", "check", clean, "--label", "family")
    assert code == 0
    assert "(AD" not in said
    assert invoke("tsvtools", "check", clean, "--label", "absent")[0] == 66


def test_sets_can_be_named(invoke, tmp_path):
    one, other = write(tmp_path / "a.tsv", *range(20)), write(tmp_path / "b.tsv", *range(19, 30))
    code, said, _ = invoke("tsvtools", "check", "--set", f"train={one}", f"test={other}")
    assert code == 4
    assert "of test" in said
    again = invoke("tsvtools", "check", "--set", f"train={one}", "--set", f"test={other}")
    assert again[1] == said


def test_persons_of_two_cohorts_can_be_declared(invoke, tmp_path):
    for cohort, numbers in (("lyon", range(20)), ("graz", range(20, 40))):
        (tmp_path / cohort).mkdir()
        write(tmp_path / cohort / "train.tsv", *numbers)
        write(tmp_path / cohort / "test.tsv", *range(40, 50))
    table = tmp_path / "cohorts.tsv"
    table.write_text("cohort\tpath\nLyon\tlyon\nGraz\tgraz\n")
    assert invoke("tsvtools", "check", table)[0] == 0
    same = tmp_path / "same.tsv"
    same.write_text("cohort\tparticipant_id\tperson\nLyon\tsub-03\tP\nGraz\tsub-44\tP\n")
    code, said, _ = invoke("tsvtools", "check", table, "--same_person", same)
    assert code == 4
    assert "person: P" in said


def test_the_findings_are_written_as_json(invoke, clean, tmp_path):
    write(clean / "validation.tsv", *range(19, 30))
    path = tmp_path / "found" / "check.json"
    code, *_ = invoke("tsvtools", "check", clean, "--json", path)
    assert code == 4
    expected = check_tables(CheckConfig(paths=(clean,))).to_record()
    assert json.loads(path.read_text()) == expected
    code, said, complaint = invoke("tsvtools", "check", clean, "--json", path)
    assert (code, said) == (73, "")
    assert "check.json" in complaint


def test_a_dry_run_reads_no_table_and_writes_nothing(invoke, clean):
    (clean / "train.tsv").write_text("\0")
    path = clean / "check.json"
    code, said, _ = invoke("tsvtools", "check", clean, "--json", path, "--dry-run")
    assert code == 0
    assert tomllib.loads(said)["paths"] == [str(clean)]
    assert f"# would read: {clean / 'train.tsv'}" in said
    assert f"# would write: {path}" in said
    assert not path.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, ["nothing to check"]),
        (["{}", "--set", "train"], 2, ["train=mine.tsv"]),
        (["{}/absent"], 66, ["absent", "does not exist"]),
        (["{}", "--same_person", "{}/train.tsv"], 2, ["same_person"]),
    ],
)
def test_what_cannot_be_done_is_one_sentence(invoke, clean, arguments, code, words):
    found, said, complaint = invoke("tsvtools", "check", *(one.format(clean) for one in arguments))
    assert (found, said) == (code, "")
    assert "Traceback" not in complaint
    for word in words:
        assert word in complaint


def test_audit_says_a_line_a_set_and_a_last_one_as_check_does(invoke, clean):
    assert invoke("audit", clean) == invoke("tsvtools", "check", clean)


def test_audit_of_a_leak_has_exit_code_4(invoke, clean):
    write(clean / "validation.tsv", *range(19, 30))
    code, said, complaint = invoke("audit", clean)
    assert code == 4 and "LEAK: 1 participant of validation" in said
    assert complaint.startswith("clinicadl: Data leakage (found: shared-participants)")


def test_audit_of_a_maps_and_a_caps_says_what_was_looked_at(invoke, trained, prepared_once):
    code, said, complaint = invoke("audit", trained, prepared_once)
    assert (code, complaint) == (0, "")
    first, second, *_, last = said.splitlines()
    assert first.startswith(f"MAPS: {trained}: 2 splits") and second.startswith("CAPS: ")
    assert last.startswith("1 MAPS, 1 CAPS, ") and last.endswith(
        "checked: 0 leaks, 0 faults, 0 warnings"
    )


def test_audit_writes_what_the_function_returns(invoke, trained, tmp_path):
    from clinicadl import AuditConfig, audit

    invoke("audit", trained, "--json", tmp_path / "found.json")
    expected = audit(AuditConfig(paths=(trained,))).to_record()
    assert json.loads((tmp_path / "found.json").read_text()) == expected


def test_a_dry_run_of_audit_reads_and_writes_nothing(invoke, trained, prepared_once, tmp_path):
    target = tmp_path / "found.json"
    pictures = tmp_path / "pictures"
    code, said, _ = invoke(
        "audit", trained, prepared_once, "--json", target, "--pictures", pictures, "--dry-run"
    )
    assert code == 0 and not target.exists() and not pictures.exists()
    for line in (
        f"# would read: {trained}", f"# would read: {prepared_once}",
        f"# would write: {target}", f"# would write: {pictures}",
    ):  # fmt: skip
        assert line in said.splitlines()


def test_audit_of_nothing_is_bad_usage(invoke, tmp_path):
    assert invoke("audit")[0] == 2
    assert invoke("audit", tmp_path / "nowhere")[0] == 66
