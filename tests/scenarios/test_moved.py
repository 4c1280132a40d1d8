"""Images, tables and sources of a MAPS lie elsewhere: it goes on there, or says what is other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

from clinicadl import PredictConfig, predict, resume, show_maps, train, train_from, verify
from clinicadl.config.jobs import JobsConfig
from clinicadl.engine.events import Evaluated
from clinicadl.errors import (
    CannotResumeError,
    ClinicaDLError,
    InvalidDataError,
    MissingInputError,
    OutputError,
    UsageError,
)
from clinicadl.layouts.maps import folder, names


class Killed(BaseException):
    pass


def killer(event):
    if isinstance(event, Evaluated) and event.row.epoch == 1:
        raise Killed


def begun(config, maps):
    with pytest.raises(Killed):
        train(config, maps, observers=[killer])


def placed(caps, tables=None):
    return {"data": {"caps_directory": caps, **({"tsv_directory": tables} if tables else {})}}


def contents(maps):
    """Every file of a MAPS but locks, with its bytes."""
    return {
        path.relative_to(maps): path.read_bytes()
        for path in maps.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


@pytest.fixture
def moved(prepared, config_of, tmp_path):
    """An interrupted training whose MAPS and CAPS were moved: (MAPS, CAPS), both elsewhere."""
    begun(config_of(prepared), tmp_path / "maps")
    (tmp_path / "disk").mkdir()
    maps, caps = tmp_path / "disk" / "maps", tmp_path / "disk" / "data"
    (tmp_path / "maps").rename(maps)
    prepared.rename(caps)
    return maps, caps


def test_a_training_goes_on_where_its_data_lie_now_to_the_same_bits(
    moved, trained_once, same_bits, prepared
):
    maps, caps = moved
    before = {path: path.read_bytes() for path in (names.record(maps), names.seen(maps))}
    resume(maps, places=placed(caps))
    same_bits(maps, trained_once)
    assert {path: path.read_bytes() for path in before} == before, "what was sealed stays"
    found = verify(maps)
    assert (found.different, found.unchecked) == ((), ())
    assert f"data.caps_directory {caps}" in " ".join(show_maps(maps).split())
    assert not prepared.exists()
    # From now on nobody needs to be told.
    resume(maps, splits=(1,))
    config = PredictConfig(
        caps_directory=caps, participants_tsv=caps / "split/test_baseline.tsv", gpu=False, n_proc=0
    )
    predict(config, maps, "new")
    assert verify(maps).different == ()


def test_only_what_was_moved_need_be_said(prepared, config_of, tmp_path, trained_once, same_bits):
    """Tables alone; and the extraction JSON, which was given by its path in the CAPS."""
    tables = tmp_path / "tables"
    shutil.copytree(prepared / "split", tables / "split")
    data = {
        "tsv_directory": tables / "split/2_fold",
        "preprocessing_json": str(prepared / "tensor_extraction/tiny.json"),
    }
    begun(config_of(prepared, data=data), tmp_path / "maps")
    tables.rename(tmp_path / "others")
    prepared.rename(tmp_path / "images")
    asked = r"--caps_directory PATH --preprocessing_json PATH --tsv_directory PATH\."
    with pytest.raises(MissingInputError, match=asked):
        resume(tmp_path / "maps")
    before = contents(tmp_path / "maps")
    with pytest.raises(MissingInputError, match="tables"):
        resume(tmp_path / "maps", places=placed(tmp_path / "images"))
    assert contents(tmp_path / "maps") == before
    resume(tmp_path / "maps", places=placed(tmp_path / "images", tmp_path / "others/split/2_fold"))
    same_bits(tmp_path / "maps", trained_once)
    now = folder.open_maps(tmp_path / "maps").record
    assert now.config.data.preprocessing_json == str(
        tmp_path / "images/tensor_extraction/tiny.json"
    )
    assert now.tables
    assert all(Path(path).is_relative_to(tmp_path / "others") for path in now.tables)
    assert verify(tmp_path / "maps").different == ()


def test_what_is_other_in_the_new_place_is_refused_by_name_and_nothing_is_written(moved, tmp_path):
    maps, caps = moved
    before = contents(maps)
    path = caps / "split/2_fold/split-1/validation_baseline.tsv"
    kept = path.read_text()
    path.write_text(kept.rstrip("\n") + " \n")
    with pytest.raises(ClinicaDLError, match=r"split-1/validation_baseline\.tsv") as refusal:
        resume(maps, places=placed(caps))
    assert refusal.value.exit_code in (65, 75)
    path.write_text(kept)
    test = caps / "split/test_baseline.tsv"
    test.write_text(test.read_text().replace("\tF", "\tM"))
    with pytest.raises(CannotResumeError, match=r"data/split/test_baseline\.tsv"):
        resume(maps, places=placed(caps))
    assert contents(maps) == before


def test_a_column_that_nobody_trains_on_makes_a_file_another_one(moved):
    maps, caps = moved
    path = caps / "split/2_fold/split-0/train.tsv"
    table = pd.read_csv(path, sep="\t")
    table.assign(age=table["age"] + 1).to_csv(path, sep="\t", index=False)
    (path.parent / "split.json").unlink(missing_ok=True)
    with pytest.raises(ClinicaDLError, match=r"data/split/2_fold/split-0/train\.tsv"):
        resume(maps, places=placed(caps))


def test_other_images_in_the_new_place_are_refused(moved, caps_of, tmp_path):
    from clinicadl import PrepareConfig, prepare_data

    maps, caps = moved
    shutil.rmtree(caps / "subjects")
    caps_of(tmp_path / "like", n_participants=20)
    (tmp_path / "like/subjects").rename(caps / "subjects")
    image = next(caps.glob("subjects/sub-T001/*/custom/*.nii.gz"))
    shutil.copy(next(caps.glob("subjects/sub-T003/*/custom/*.nii.gz")), image)
    prepare_data(
        PrepareConfig(
            caps_directory=caps, extract_json="tiny", n_proc=1,
            preprocessing={"name": "custom", "custom_suffix": "desc-Tiny_T1w.nii.gz"},
        )
    )  # fmt: skip
    with pytest.raises(CannotResumeError, match="images changed"):
        resume(maps, places=placed(caps))
    assert not names.moved(maps).exists()


def test_other_splits_of_the_same_tables_are_refused(moved):
    """All files hold what other files held: what is trained on is what counts."""
    maps, caps = moved
    home = caps / "split/2_fold"
    for record in caps.rglob("kfold.json"):
        record.unlink()  # it would tell at once
    (home / "split-0").rename(home / "x")
    (home / "split-1").rename(home / "split-0")
    (home / "x").rename(home / "split-1")
    with pytest.raises(CannotResumeError, match="train of split 0"):
        resume(maps, places=placed(caps))


def test_the_command_line_says_where_and_says_so_without(moved, invoke, trained_once, same_bits):
    maps, caps = moved
    code, _, said = invoke("train", "resume", maps)
    assert code == 66
    assert f"clinicadl train resume {maps} --caps_directory PATH --tsv_directory PATH." in said
    before = contents(maps)
    tables = caps / "split/2_fold"
    line = ("train", "resume", maps, "--caps_directory", caps, "--tsv_directory", tables)
    code, said, _ = invoke(*line, "--dry-run")
    assert (code, contents(maps)) == (0, before)
    assert f'caps_directory = "{caps}"' in said
    assert invoke(*line)[0] == 0
    same_bits(maps, trained_once)
    code, _, said = invoke("train", "resume", maps, "--pretrained", caps)
    assert (code, "does not belong to the network" in said) == (2, True)


def test_jobs_find_the_data_where_they_were_moved(moved, trained_once, same_bits):
    pytest.importorskip("submitit", reason='pip install "clinicadl[slurm]"')
    maps, caps = moved
    resume(maps, places=placed(caps), jobs=JobsConfig(submit="local"))
    same_bits(maps, trained_once)


def test_data_may_be_moved_again_and_all_groups_follow(moved, tmp_path, config_of, same_bits):
    """One was defined before the first move, one between the two."""
    maps, caps = moved
    resume(maps, places=placed(caps))

    def look(at):
        return PredictConfig(
            caps_directory=at, participants_tsv=at / "split/test_baseline.tsv", split=(0,),
            gpu=False, n_proc=0,
        )  # fmt: skip

    predict(look(caps), maps, "between")
    again = tmp_path / "again"
    caps.rename(again)
    resume(maps, splits=(1,), places=placed(again))
    for name in ("train", "validation"):
        group = folder.read_group(maps, name, 0)
        assert folder.caps_of(group) == {"single": again}
    predict(PredictConfig(split=(1,), gpu=False, n_proc=0), maps, "between")
    assert verify(maps).different == ()
    assert verify(maps).unchecked == ()
    train_from(maps, tmp_path / "anew", splits=(0, 1))
    same_bits(tmp_path / "anew", maps_without(maps, "between", tmp_path / "bare"))


def maps_without(maps, name, copy):
    shutil.copytree(maps, copy)
    for path in copy.glob(f"split-*/best-*/{name}"):
        shutil.rmtree(path)
    return copy


def test_a_source_of_first_weights_may_be_moved(prepared_once, config_of, tmp_path, same_bits):
    source = tmp_path / "source"
    train(config_of(prepared_once, optimization={"epochs": 1}), source)
    transfer = {"transfer_path": source, "transfer_selection_metric": "loss"}
    config = config_of(prepared_once, transfer=transfer)
    train(config, tmp_path / "whole")
    begun(config, tmp_path / "maps")
    other = tmp_path / "other"
    train(config_of(prepared_once, optimization={"epochs": 2}), other)
    source.rename(tmp_path / "moved")
    with pytest.raises(MissingInputError, match="--transfer_path"):
        resume(tmp_path / "maps")
    if (epoch_of(other), epoch_of(tmp_path / "moved")) == (1, 0):
        with pytest.raises(CannotResumeError, match="first weights came from"):
            resume(tmp_path / "maps", places={"transfer": {"transfer_path": other}})
    resume(tmp_path / "maps", places={"transfer": {"transfer_path": tmp_path / "moved"}})
    same_bits(tmp_path / "maps", tmp_path / "whole")
    resume(tmp_path / "maps", splits=())
    assert verify(tmp_path / "maps").different == ()


def epoch_of(maps):
    from clinicadl.networks import weights

    return weights.read(names.weights(maps, 0, "loss")).facts["epoch"]


def test_several_cohorts_are_moved_by_two_new_tables(caps_of, config_of, tmp_path, same_bits):
    from clinicadl import KFoldConfig, PrepareConfig, kfold, prepare_data

    def lay(home, left, right):
        rows = [f"Lyon\t{home / left}", f"Graz\t{home / right}"]
        (home / "caps.tsv").write_text("\n".join(["cohort\tpath", *rows]) + "\n")
        rows = [f"{row}/2_fold\tAD, CN" for row in rows]
        (home / "folds.tsv").write_text("\n".join(["cohort\tpath\tdiagnoses", *rows]) + "\n")
        return placed(home / "caps.tsv", home / "folds.tsv")

    for name, first in (("lyon", 0), ("graz", 100)):
        caps = caps_of(tmp_path / name, n_participants=8, first=first)
        kfold(KFoldConfig(data_tsv=caps / "labels.tsv", n_splits=2))
        prepare_data(
            PrepareConfig(
                caps_directory=caps, extract_json="tiny", n_proc=1,
                preprocessing={"name": "custom", "custom_suffix": "desc-Tiny_T1w.nii.gz"},
            )
        )  # fmt: skip
    data = lay(tmp_path, "lyon", "graz")["data"] | {"multi_cohort": True}
    config = config_of(tmp_path, data=data)
    train(config, tmp_path / "whole")
    begun(config, tmp_path / "maps")
    there = tmp_path / "there"
    there.mkdir()
    (tmp_path / "lyon").rename(there / "a")
    (tmp_path / "graz").rename(there / "b")
    with pytest.raises(ClinicaDLError):
        resume(tmp_path / "maps")
    with pytest.raises(CannotResumeError, match="train of split 0"):
        resume(tmp_path / "maps", places=lay(there, "b", "a"))
    resume(tmp_path / "maps", places=lay(there, "a", "b"))
    same_bits(tmp_path / "maps", tmp_path / "whole")
    found = verify(tmp_path / "maps")
    assert (found.different, found.unchecked) == ((), ())
    assert folder.caps_of(folder.read_group(tmp_path / "maps", "train", 0)) == {
        "Lyon": there / "a",
        "Graz": there / "b",
    }


def test_a_damaged_list_of_places_is_said(trained):
    for content, complaint in (
        ({"config": {}}, "damaged"),
        ({"config": {"data": {"capz": "x"}}, "tables": {}, "caps": {}, "date": ""}, "belong"),
    ):
        names.moved(trained).write_text(json.dumps(content))
        with pytest.raises(InvalidDataError, match=complaint) as refusal:
            folder.open_maps(trained)
        assert str(names.moved(trained)) in str(refusal.value)


def test_the_list_of_places_is_written_whole_or_not_at_all(moved, monkeypatch):
    maps, caps = moved
    before = contents(maps)

    def full(*_):
        raise OSError(28, "No space left on device")

    from clinicadl.layouts import files

    monkeypatch.setattr(files, "flush", full)
    with pytest.raises(OutputError, match="No space"):
        resume(maps, places=placed(caps))
    assert contents(maps) == before


def test_places_that_are_the_same_are_no_move(trained, prepared_once):
    resume(trained, places=placed(prepared_once, prepared_once / "split/2_fold"))
    assert not names.moved(trained).exists()
    with pytest.raises(UsageError, match="capz"):
        resume(trained, places={"data": {"capz": "x"}})


def test_a_file_of_first_weights_may_be_moved(prepared, config_of, tmp_path, same_bits):
    from clinicadl import PrepareConfig, prepare_data
    from clinicadl.config.network import NETWORKS

    with torch.random.fork_rng():
        state = NETWORKS["resnet18_0.2"]().build((3, 64, 64), 2).state_dict()
    known = {name: value for name, value in state.items() if not name.startswith("fc_out")}
    torch.save(known, tmp_path / "resnet18.pth")
    prepare_data(
        PrepareConfig(
            caps_directory=prepared, extract_json="slices", n_proc=1,
            preprocessing={"name": "custom", "custom_suffix": "T1w.nii.gz"},
            mode={"name": "slice", "slice_direction": 2, "discarded_slices": (7, 8)},
        )
    )  # fmt: skip
    config = config_of(
        prepared,
        network={"name": "resnet18", "pretrained": tmp_path / "resnet18.pth"},
        data={"preprocessing_json": "slices"},
        optimization={"epochs": 2},
    )
    begun(config, tmp_path / "maps")
    (tmp_path / "resnet18.pth").rename(tmp_path / "elsewhere.pth")
    resume(tmp_path / "maps", places={"network": {"pretrained": tmp_path / "elsewhere.pth"}})
    found = verify(tmp_path / "maps")
    assert (found.different, found.unchecked) == ((), ())
