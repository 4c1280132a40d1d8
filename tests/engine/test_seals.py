"""A test set that nobody looks at before the one evaluation that it is kept for."""

from __future__ import annotations

import re
import shutil

import pandas as pd
import pytest

from clinicadl import InterpretConfig, PredictConfig, interpret, predict, show_maps, verify
from clinicadl.errors import InvalidDataError, LeakageError, UsageError
from clinicadl.layouts.maps import ledger, names

QUICK = {"n_proc": 0, "gpu": False}


def new_group(caps, **settings):
    return PredictConfig(
        caps_directory=caps, participants_tsv=caps / "split/test_baseline.tsv", **QUICK, **settings
    )


@pytest.fixture
def sealed(trained, prepared_once):
    """A MAPS with a sealed test set."""
    predict(new_group(prepared_once, seal=True), trained, "test")
    return trained


@pytest.fixture
def opened(sealed):
    """A MAPS whose test set had its evaluation, by one of the two models."""
    predict(PredictConfig(unseal="chosen", selection_metrics=("loss",), **QUICK), sealed, "test")
    return sealed


def files(maps):
    return {
        str(path.relative_to(maps)): path.read_bytes()
        for path in maps.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def events(maps):
    return ledger.read(maps)["event"].tolist()


def test_to_seal_defines_the_group_and_looks_at_nobody(trained, prepared_once):
    before = files(trained)
    predict(new_group(prepared_once, seal=True), trained, "test")
    new = {name for name, content in files(trained).items() if before.get(name) != content}
    made = ("data.tsv", "maps.json", "sha256.json", "signatures.npz")
    group = {f"groups/test/{name}" for name in made}
    assert new == {"ledger.tsv", *group}
    (line,) = ledger.read(trained).itertuples()
    assert (line.event, line.group, line.models, line.n_participants) == ("seal", "test", "", "6")
    assert len(line.table_sha256) == 64


def test_a_group_is_sealed_before_any_split_is_trained_to_its_end(trained, prepared_once):
    (trained / "split-0/tmp").mkdir()
    predict(new_group(prepared_once, seal=True), trained, "test")
    assert events(trained) == ["seal"]


def test_the_guard_looks_before_the_seal(trained, prepared_once):
    seen = prepared_once / "split/2_fold/split-0/train.tsv"
    config = new_group(prepared_once, seal=True).model_copy(update={"participants_tsv": seen})
    with pytest.raises(LeakageError, match="seen in train or validation"):
        predict(config, trained, "test")
    assert not (trained / "groups/test").exists()


@pytest.mark.parametrize("reason", [None, "I want to know"])
def test_a_sealed_group_is_refused_to_all_and_nothing_is_written(sealed, prepared_once, reason):
    before = files(sealed)
    accepts = {"accept_leakage": reason}
    looks = {
        "evaluated": lambda: predict(PredictConfig(**QUICK, **accepts), sealed, "test"),
        "redefined": lambda: predict(
            new_group(prepared_once, overwrite=True, **accepts), sealed, "test"
        ),
        "sealed anew": lambda: predict(
            new_group(prepared_once, overwrite=True, seal=True, **accepts), sealed, "test"
        ),
        "interpreted": lambda: interpret(InterpretConfig(**QUICK, **accepts), sealed, "test", "a"),
        "interpreted anew": lambda: interpret(
            InterpretConfig(
                caps_directory=prepared_once, overwrite=True, **QUICK, **accepts,
                participants_tsv=prepared_once / "split/test_baseline.tsv",
            ),
            sealed, "test", "a",
        ),
    }  # fmt: skip
    for look in looks.values():
        with pytest.raises(LeakageError, match="test is sealed.*--unseal REASON"):
            look()
    assert files(sealed) == before


def test_another_name_does_not_open_a_sealed_group(sealed, prepared_once, tmp_path):
    table = pd.read_csv(prepared_once / "split/test_baseline.tsv", sep="\t")
    table[:2].to_csv(tmp_path / "two.tsv", sep="\t", index=False)
    config = PredictConfig(
        caps_directory=prepared_once, participants_tsv=tmp_path / "two.tsv", **QUICK
    )
    with pytest.raises(LeakageError, match="2 participants of data group pilot are in the sealed"):
        predict(config, sealed, "pilot")
    assert not (sealed / "groups/pilot").exists()


def test_the_one_evaluation_says_what_it_would_have_said_without_a_seal(
    sealed, trained_once, prepared_once, tmp_path
):
    predict(PredictConfig(unseal="the models are chosen", **QUICK), sealed, "test")
    plain = shutil.copytree(trained_once, tmp_path / "plain")
    predict(new_group(prepared_once), plain, "test")
    for metric in ("loss", "BA"):
        ours, theirs = (
            names.predictions(names.results(maps, 0, metric, "test"), "image")
            for maps in (sealed, plain)
        )
        assert ours.read_bytes() == theirs.read_bytes()
    lines = ledger.read(sealed)
    assert lines["event"].tolist() == ["seal", "unseal", "look"]
    assert lines["reason"].tolist() == ["", "the models are chosen", ""]
    assert lines["models"].tolist() == ["", "", "split-0/best-BA split-0/best-loss"]
    assert lines["table_sha256"].nunique() == 1


def test_a_second_evaluation_needs_a_reason_which_marks_its_numbers(opened):
    again = {"selection_metrics": ("BA",), **QUICK}
    for config in (PredictConfig(**again), PredictConfig(unseal="once more", **again)):
        with pytest.raises(LeakageError, match="test was sealed, and had its one evaluation on 20"):
            predict(config, opened, "test")
    assert not names.results(opened, 0, "BA", "test").exists()
    predict(PredictConfig(accept_leakage="a reviewer asked", **again), opened, "test")
    home = names.results(opened, 0, "BA", "test")
    said = pd.read_csv(names.metrics(home, "image"), sep="\t")
    assert set(said["accepted_leakage"]) == {"a reviewer asked"}
    assert events(opened) == ["seal", "unseal", "look", "look"]


def test_nobody_evaluates_an_opened_group_again_under_another_name(opened, prepared_once):
    with pytest.raises(
        LeakageError, match="6 participants of data group again were sealed in test"
    ):
        predict(new_group(prepared_once), opened, "again")


def test_what_was_evaluated_may_be_interpreted(opened):
    interpret(InterpretConfig(**QUICK), opened, "test", "why")
    assert events(opened) == ["seal", "unseal", "look", "interpretation"]


def test_an_evaluation_that_failed_was_the_evaluation(sealed):
    names.weights(sealed, 0, "loss").write_bytes(b"damaged")
    config = PredictConfig(unseal="chosen", selection_metrics=("loss",), **QUICK)
    with pytest.raises(InvalidDataError, match=r"model\.safetensors"):
        predict(config, sealed, "test")
    with pytest.raises(LeakageError, match="one evaluation"):
        predict(PredictConfig(selection_metrics=("BA",), **QUICK), sealed, "test")


def test_a_seal_after_a_look_is_refused(trained, prepared_once):
    predict(new_group(prepared_once, selection_metrics=("loss",)), trained, "test")
    for name, more in (("kept", {}), ("test", {"overwrite": True})):
        with pytest.raises(LeakageError, match="so that a seal comes too late"):
            predict(new_group(prepared_once, seal=True, **more), trained, name)


def test_what_cannot_be_meant_is_refused(trained, sealed, prepared_once):
    with pytest.raises(UsageError, match="defined already.*--seal"):
        predict(PredictConfig(seal=True, **QUICK), sealed, "test")
    with pytest.raises(UsageError, match="not sealed"):
        predict(new_group(prepared_once, unseal="why"), trained, "other")
    for pair in (
        {"seal": True, "unseal": "x"},
        {"unseal": "x", "overwrite": True},
        {"seal": True, "split": (0,)},
        {"seal": True, "save_tensor": True},
    ):
        with pytest.raises(ValueError, match="seal"):
            PredictConfig(**pair)


def test_the_ledger_of_an_earlier_release_holds_looks(trained, prepared_once):
    old = "date\tgroup\tn_participants\tn_sessions\tmodels\ttable_sha256\taccepted_leakage\n"
    names.ledger(trained).write_text(old + "2026-01-01\tother\t2\t2\tm\tx\t\n")
    predict(new_group(prepared_once, seal=True), trained, "test")
    lines = ledger.read(trained)
    assert lines["event"].tolist() == ["look", "seal"]
    assert lines["group"].tolist() == ["other", "test"]


def test_a_lost_ledger_opens_nothing(opened):
    names.ledger(opened).unlink()
    with pytest.raises(LeakageError, match="test is sealed"):
        predict(PredictConfig(**QUICK), opened, "test")


def test_maps_show_says_what_is_sealed_and_what_was_looked_at(sealed):
    assert re.search(r"not predicted +sealed\n", show_maps(sealed))
    predict(PredictConfig(unseal="chosen", **QUICK), sealed, "test")
    page = show_maps(sealed)
    assert "unsealed on 20" in page
    assert "chosen" in page


def test_verify_finds_results_that_should_not_be(opened):
    assert verify(opened).different == ()
    rows = names.ledger(opened).read_text().splitlines(keepends=True)
    names.ledger(opened).write_text("".join(rows[:2]))
    assert any("about a group that is sealed" in one for one in verify(opened).different)


def test_the_command_line_shows_and_tells(invoke, trained, prepared_once):
    new = ["--caps_directory", prepared_once, "--participants_tsv",
           prepared_once / "split/test_baseline.tsv"]  # fmt: skip
    code, said, _ = invoke("predict", trained, "test", *new, "--seal", "--dry-run")
    assert code == 0 and "would seal: test" in said
    assert not (trained / "groups/test").exists()
    code, said, _ = invoke("predict", trained, "test", *new, "--seal")
    assert (code, said) == (0, f"sealed: {trained / 'groups/test'}\n")
    assert invoke("predict", trained, "test", "--no-gpu")[0] == 4
    code, said, _ = invoke("predict", trained, "test", "--unseal", "done", "--dry-run", "--no-gpu")
    assert code == 0 and "would unseal: test" in said
    assert events(trained) == ["seal"]
    assert invoke("predict", trained, "test", "--unseal", "done", "--no-gpu")[0] == 0
    assert invoke("predict", trained, "test", "--no-gpu")[0] == 4
