"""Whether a MAPS is what was recorded: every edit is found, and the first epoch that differs."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version

import pandas as pd
import pytest
import torch

from clinicadl import PredictConfig, import_maps, predict, train, verify
from clinicadl.engine.verify import first_difference
from clinicadl.errors import InvalidDataError, MissingInputError, UsageError
from clinicadl.layouts import images
from clinicadl.layouts.maps import hashes, names
from clinicadl.networks import weights


@pytest.fixture
def evaluated(trained, prepared_once):
    """A copy of the trained MAPS, with a data group that one model looked at."""
    config = PredictConfig(
        caps_directory=prepared_once, participants_tsv=prepared_once / "split/test_baseline.tsv",
        selection_metrics=("loss",), gpu=False, n_proc=0,
    )  # fmt: skip
    predict(config, trained, "new")
    return trained


def edited(path, old, new):
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new, 1))


def test_what_was_just_made_is_as_it_was_recorded(evaluated):
    before = {path: path.read_bytes() for path in evaluated.rglob("*") if path.is_file()}
    said = verify(evaluated)
    assert said.different == said.unchecked == ()
    for what in ("the MAPS itself", "groups/validation/split-1", "split-0/best-BA/train",
                 "split-0/best-loss/new", "2 files of weights", "guard finds in train",
                 "the data group new", "tables and"):  # fmt: skip
        assert [one for one in said.same if what in one], what
    assert before == {path: path.read_bytes() for path in evaluated.rglob("*") if path.is_file()}


def test_every_file_that_was_written_has_its_hash(evaluated):
    """But for the ledger, which grows, events of TensorBoard, and locks."""
    known = {names.hashes(evaluated)}
    for path in evaluated.rglob("sha256.json"):
        known |= {path, *(path.parent / name for name in json.loads(path.read_text()))}
    left = {path for path in evaluated.rglob("*") if path.is_file()} - known
    left = {path for path in left if "tensorboard" not in path.parts}
    locks = {names.lock(evaluated), names.split_lock(evaluated, 0)}
    assert left == {names.ledger(evaluated), *locks}


FILES = [
    "maps.json", "environment.txt", "information.log", "groups/train+validation.tsv",
    "groups/train/split-0/data.tsv", "groups/validation/split-1/maps.json", "groups/new/data.tsv",
    "split-0/best-loss/model.safetensors", "split-0/training_logs/training.tsv",
    "split-0/best-BA/validation/validation_image_level_prediction.tsv",
    "split-0/best-BA/train/guard.json", "split-0/best-loss/new/new_image_level_metrics.tsv",
]  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_changed_is_named(evaluated, name):
    path = evaluated / name
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b" \n" if name.endswith("json") else content + b"\n")
    assert f"{path} is not what was written" in verify(evaluated).different


@pytest.mark.parametrize("name", FILES[1:3] + FILES[7:])
def test_a_file_that_is_gone_is_named(evaluated, name):
    (evaluated / name).unlink()
    assert f"{evaluated / name} is gone" in verify(evaluated).different


@pytest.mark.parametrize("name", ["split-0/best-loss/train", "groups/validation/split-0"])
def test_a_folder_that_is_gone_is_named(evaluated, name):
    shutil.rmtree(evaluated / name)
    said = verify(evaluated).different
    assert [one for one in said if str(evaluated / name) in one and "does not exist" in one]


def test_a_list_of_hashes_that_is_gone_or_leads_elsewhere_is_named(evaluated):
    path = names.hashes(evaluated / "split-0")
    path.write_text(json.dumps({"../../etc": "0"}))
    assert [one for one in verify(evaluated).different if "leads out" in one]
    path.unlink()
    assert [one for one in verify(evaluated).different if str(path) in one]


def test_a_file_that_nobody_wrote_is_not_checked_and_said(evaluated):
    (evaluated / "split-0/best-loss/new/mine.tsv").write_text("a\n")
    said = verify(evaluated)
    assert said.different == ()
    assert [one for one in said.unchecked if "mine.tsv is nothing that was written" in one]


def resealed(maps, home):
    """Do as somebody who edits a file and its hash."""
    hashes.seal_split(maps, 0) if home == maps / "split-0" else hashes.seal(home)


def test_weights_of_another_network_are_found_even_under_their_hash(trained):
    path = names.weights(trained, 0, "loss")
    state, facts = weights.read(path)
    facts["network"]["dropout"] = 0.9
    weights.write(path, state, facts)
    resealed(trained, trained / "split-0")
    assert verify(trained).different == (f"{path} holds weights of another network than recorded",)
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    resealed(trained, trained / "split-0")
    assert [one for one in verify(trained).different if "checksum is another" in one]


def test_a_group_whose_table_was_edited_with_its_hash_meets_the_guard(evaluated):
    train_table = pd.read_csv(evaluated / "groups/train/split-0/data.tsv", sep="\t", dtype=str)
    path = evaluated / "groups/new/data.tsv"
    table = pd.read_csv(path, sep="\t", dtype=str)
    table.loc[0, "participant_id"] = train_table["participant_id"][0]
    table.to_csv(path, sep="\t", index=False)
    resealed(evaluated, path.parent)
    said = " ".join(verify(evaluated).different)
    assert "best-loss/new is leaking, which nobody accepted" in said
    assert train_table["participant_id"][0] in said
    assert "the table of new is not the one that was last looked at" in said


def test_train_and_validation_that_were_edited_with_their_hashes_meet_the_guard(trained):
    validation = pd.read_csv(trained / "groups/validation/split-0/data.tsv", sep="\t", dtype=str)
    path = trained / "groups/train/split-0/data.tsv"
    table = pd.concat([pd.read_csv(path, sep="\t", dtype=str), validation.iloc[:1]])
    table.to_csv(path, sep="\t", index=False)
    resealed(trained, path.parent)
    (said,) = verify(trained).different
    assert said.startswith("the guard did not find before: 1 participant of validation is also in")
    table.assign(participant_id="sub-Z").drop_duplicates("participant_id").to_csv(
        path, sep="\t", index=False
    )
    resealed(trained, path.parent)
    assert [one for one in verify(trained).different if "does not name all" in one]


def test_a_leak_that_was_accepted_with_a_reason_is_as_recorded(trained, prepared_once):
    config = PredictConfig(
        caps_directory=prepared_once,
        participants_tsv=prepared_once / "split/2_fold/split-0/validation_baseline.tsv",
        selection_metrics=("loss",), gpu=False, n_proc=0, accept_leakage="a test",
    )  # fmt: skip
    predict(config, trained, "leak")
    assert verify(trained).different == ()


def test_tables_and_images_that_changed_are_named(prepared, config_of, tmp_path):
    maps = tmp_path / "maps"
    train(config_of(prepared), maps)
    config = PredictConfig(
        caps_directory=prepared, participants_tsv=prepared / "split/test_baseline.tsv",
        selection_metrics=("loss",), gpu=False, n_proc=0,
    )  # fmt: skip
    predict(config, maps, "new")
    path = prepared / "split/2_fold/split-0/train.tsv"
    content = path.read_text()
    path.write_text(content.replace("\tF\n", "\tM\n", 1))
    assert verify(maps).different == (f"tables that were read have changed: {path}",)
    path.write_text(content)
    assert verify(maps).different == ()
    for group in ("new", "train/split-0"):
        table = pd.read_csv(maps / f"groups/{group}/data.tsv", sep="\t")
        who = table["participant_id"][0]
        image = next(prepared.glob(f"subjects/{who}/ses-M000/custom/*.nii.gz"))
        old = images.read(image)
        images.write(image, old.voxels + 1, affine=old.affine)
        (said,) = [one for one in verify(maps).different if who in one]
        assert said.startswith("the images of new: ") == (group == "new")
    shutil.rmtree(prepared)
    said = verify(maps)
    assert said.different == ()
    assert [one for one in said.unchecked if "cannot be reached" in one and str(path) in one]
    assert [one for one in said.unchecked if one.startswith("the images of new")]


def test_an_imported_maps_is_verified_as_far_as_it_says_where_it_is_from(published_maps, tmp_path):
    import_maps(published_maps, tmp_path / "new")
    said = verify(tmp_path / "new")
    assert said.different == ()
    assert [one for one in said.unchecked if "another release read them" in one]
    with pytest.raises(UsageError, match="another release"):
        verify(tmp_path / "new", rerun=True)


def test_an_unfinished_split_is_not_checked(trained):
    (trained / "split-0/tmp").mkdir()
    said = verify(trained)
    assert said.different == ()
    assert "split 0 is not trained to its end" in said.unchecked
    with pytest.raises(UsageError, match="not trained"):
        verify(trained, rerun=True)


def test_a_split_comes_out_again_bit_by_bit(trained):
    said = verify(trained, rerun=True)
    assert said.different == said.unchecked == ()
    assert said.same[-1] == "split 0: it came out again, bit by bit"
    with pytest.raises(UsageError, match="not trained"):
        verify(trained, rerun=True, split=1)


def test_several_networks_from_those_of_another_maps_come_out_again(prepared, config_of, tmp_path):
    """Without folds, on slices; the second epoch of the second network then differs."""
    content = json.loads((prepared / "tensor_extraction/tiny.json").read_text())
    slices = {"mode": "slice", "slice_mode": "single", "discarded_slices": [8, 7]}
    (prepared / "tensor_extraction/slices.json").write_text(json.dumps(content | slices))
    one_split = {
        "data": {
            "preprocessing_json": "slices", "tsv_directory": prepared / "split/2_fold/split-0",
        },
        "validation": {"n_splits": 0, "split": []},
        "optimization": {"epochs": 2},
    }  # fmt: skip
    config = config_of(prepared, **one_split).model_copy(update={"multi_network": True})
    train(config, tmp_path / "source")
    transfer = config_of(prepared, **one_split, transfer={"transfer_path": tmp_path / "source"})
    maps = tmp_path / "maps"
    train(transfer.model_copy(update={"multi_network": True}), maps)
    said = verify(maps, rerun=True)
    assert said.different == said.unchecked == ()
    log = names.training_log(maps, 0, 1)
    edited(log, "\n1\t", "\n1\t9")
    (said,) = [one for one in verify(maps, rerun=True).different if "epoch" in one]
    assert said.startswith("split 0, network 1, the first epoch that differs is 1: iteration")


def test_the_first_epoch_that_differs_is_named(trained):
    """As if the record spoke of another run: its log, weights and results are edited."""
    log = trained / "split-0/training_logs/training.tsv"
    rows = pd.read_csv(log, sep="\t", dtype=str, keep_default_na=False)
    was = rows.loc[1, "loss_valid"]
    rows.loc[1, "loss_valid"] = "0.5"
    rows.to_csv(log, sep="\t", index=False)
    path = names.weights(trained, 0, "BA")
    state, facts = weights.read(path)
    name = next(iter(state))
    state[name] = -state[name] if state[name].any() else state[name] + 1
    weights.write(path, state, facts)
    table = trained / "split-0/best-loss/train/train_image_level_prediction.tsv"
    edited(table, "ses-M000", "ses-M00")
    resealed(trained, trained / "split-0")
    resealed(trained, table.parent)
    assert verify(trained).different == ()
    assert verify(trained, rerun=True).different == (
        f"split 0, the first epoch that differs is 1: loss_valid {was}, was 0.5",
        "split 0, the best weights by BA are others",
        f"split 0, results by loss are others: {table.name}",
    )


def test_a_split_is_trained_again_with_the_recorded_number_of_threads(trained):
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        assert verify(trained, rerun=True).different == ()
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_other_versions_are_named_beside_a_difference_and_not_without(trained, monkeypatch):
    record = json.loads((trained / "maps.json").read_text())
    record["generated_by"]["torch"] = "0.4.1"
    (trained / "maps.json").write_text(json.dumps(record))
    hashes.seal_maps(trained)
    assert verify(trained, rerun=True).unchecked == ()
    edited(trained / "split-0/training_logs/training.tsv", "\n2\t", "\n7\t")
    said = verify(trained, rerun=True).unchecked
    assert [one for one in said if f"torch {version('torch')}, and was 0.4.1" in one]


def test_logs_are_compared_epoch_by_epoch():
    one = pd.DataFrame({"epoch": ["0", "1"], "loss": ["0.3", "n/a"]})
    assert first_difference(one, one.copy()) is None
    assert "is 1: only one" in first_difference(one, one.iloc[:1])
    assert "other columns: MAE" in first_difference(one, one.assign(MAE="1"))


def test_the_command_lists_and_ends_with_its_exit_code(invoke, trained, tmp_path):
    code, out, err = invoke("verify", trained)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == f"{trained} is as it was recorded"
    code, out, err = invoke("verify", trained, "--rerun", "-s", 0)
    assert code == 0
    assert "as recorded: split 0: it came out again, bit by bit" in out
    (trained / "environment.txt").write_text("torch==99\n")
    code, out, err = invoke("verify", trained)
    assert code == InvalidDataError.exit_code == 65
    assert f"DIFFERENT: {trained / 'environment.txt'} is not what was written" in out
    assert err.startswith(f"clinicadl: The MAPS is not as it was recorded in {trained}")
    assert invoke("verify", trained, "-s", 0)[0] == 2
    assert invoke("verify", tmp_path / "none")[0] == MissingInputError.exit_code


def test_the_revision_is_that_of_a_checkout_and_of_nothing_else(tmp_path):
    import subprocess

    from clinicadl.layouts.maps.record import revision

    def git(*arguments):
        said = subprocess.run(
            ["git", "-c", "user.name=T", "-c", "user.email=t@example.org", "-C", str(tmp_path),
             *arguments], check=True, capture_output=True, text=True,
        )  # fmt: skip
        return said.stdout.strip()

    sources = tmp_path / "package"
    sources.mkdir()
    (sources / "a.py").write_text("a = 1\n")
    assert revision(sources) == {}
    git("init", "-q")
    assert revision(sources) == {}, "nobody tracks it"
    git("add", ".")
    git("commit", "-qm", "One")
    assert revision(sources) == {"revision": git("rev-parse", "HEAD")}
    (sources / "a.py").write_text("a = 2\n")
    assert revision(sources) == {"revision": git("rev-parse", "HEAD") + "-dirty"}
