"""The one place that turns an error into an exit code."""

from __future__ import annotations

import subprocess
import sys

import pytest

from clinicadl.cli import main


def test_no_command_shows_the_commands_and_is_no_success(invoke):
    code, out, _ = invoke()
    assert code == 2
    assert all(name in out for name in main.COMMANDS)


def test_the_version_is_that_of_the_package(invoke):
    from importlib.metadata import version

    assert invoke("--version")[1].strip() == f"clinicadl {version('clinicadl')}"


@pytest.mark.parametrize(("alias", "meant"), [("tsvtool", "tsvtools"), ("extract", "prepare-data")])
def test_old_names_of_commands_still_work(invoke, alias, meant):
    old, new = (invoke(name, "--help")[1].splitlines() for name in (alias, meant))
    assert len(new) > 3
    assert old[1:] == new[1:]


def test_an_unknown_command_names_the_nearest(invoke):
    code, _, said = invoke("predit")
    assert code == 2
    assert "predict" in said


def test_a_bug_of_ours_is_one_line_without_a_traceback(invoke, monkeypatch):
    def crash(*_):
        raise ZeroDivisionError("our fault")

    monkeypatch.setattr("clinicadl.config.read.json_schema", crash)
    code, _, said = invoke("train", "schema")
    assert code == 1
    sentence, more = said.splitlines()
    assert more == "More: clinicadl explain unexpected"
    assert all(word in sentence for word in ("ZeroDivisionError", "our fault", "--debug"))
    with pytest.raises(ZeroDivisionError):
        main.run(["--debug", "train", "schema"])


def test_a_reader_that_goes_away_is_no_error():
    command = f"{sys.executable} -m clinicadl train schema | head -n 1"
    said = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert said.stdout == "{\n"
    assert said.stderr == ""


def test_dry_runs_write_nothing_and_print_a_usable_file(prepared, tmp_path, monkeypatch, invoke):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    flags = ["train", "classification", "caps", "tiny", "caps/split/2_fold", "out", "--no-gpu",
             "--n_splits", "2", "--epochs", "1", "-np", "0"]  # fmt: skip
    code, text, _ = invoke(*flags, "--dry-run")
    assert code == 0
    assert sorted(tmp_path.rglob("*")) == before
    assert "# split 0 (trained)" in text
    (tmp_path / "experiment.toml").write_text(text)
    assert invoke(*flags, "-c", "experiment.toml", "--dry-run")[1] == text


def test_a_dry_evaluation_writes_nothing(prepared_once, trained, invoke):
    before = sorted(trained.rglob("*"))
    code, text, _ = invoke(
        "predict", trained, "test", "--caps_directory", prepared_once, "--no-gpu",
        "--participants_tsv", prepared_once / "split/test_baseline.tsv", "--dry-run",
    )  # fmt: skip
    assert code == 0
    assert "would write" in text
    assert sorted(trained.rglob("*")) == before


@pytest.mark.parametrize(("flag", "is_said"), [("-v", True), ("-q", False)])
def test_verbosity_decides_what_is_said(prepared, invoke, flag, is_said):
    table = prepared / "labels.tsv"
    rows = [line.rsplit("\t", 3)[0] for line in table.read_text().splitlines()]
    table.write_text("\n".join(rows) + "\n")
    code, _, said = invoke(flag, "tsvtools", "kfold", table, "--n_splits", "2")
    assert code == 0
    assert ("diagnosis" in said) == is_said


@pytest.mark.parametrize("words", [["-q"], ["--quiet"], ["-v"], ["-vv"], ["--debug"]])
def test_flags_of_every_command_may_stand_anywhere(words, monkeypatch):
    said = []
    monkeypatch.setattr(main.root, "callback", lambda **flags: said.append(flags))
    for place in (0, 1, 2):
        given = ["train", "schema"]
        given[place:place] = words
        with pytest.raises(SystemExit) as done:
            main.run(given)
        assert done.value.code == 0
    assert said[0] == said[1] == said[2]
    assert any(said[0].values())
