"""prepare-data: tensors of raw intensities, nothing made twice, bad images skipped and listed."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch

from clinicadl import PrepareConfig, prepare_data
from clinicadl.data import origin
from clinicadl.data.prepare import is_prepared, plan, run
from clinicadl.errors import InvalidDataError, MissingInputError, OutputError, PartialError
from clinicadl.layouts import images
from clinicadl.layouts.files import TEMPORARY

SPACE = "space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_T1w"
AFFINE = np.array([[-2.0, 0, 0.1, 40], [0, 3, 0, -50], [0.2, 0, 4, -60], [0, 0, 0, 1]])
KEYS = [(f"sub-{number:02d}", "ses-M000") for number in range(4)]


def image_path(caps: Path, participant: str, session: str = "ses-M000") -> Path:
    name = f"{participant}_{session}_{SPACE}.nii.gz"
    return caps / "subjects" / participant / session / "t1_linear" / name


def tensor_path(caps: Path, participant: str, session: str = "ses-M000") -> Path:
    folder = caps / "subjects" / participant / session / "deeplearning_prepare_data"
    return folder / "image_based" / "t1_linear" / f"{participant}_{session}_{SPACE}.pt"


def voxels(number: int) -> np.ndarray:
    return np.random.default_rng(number).normal(size=(4, 5, 6)).astype(np.float32)


@pytest.fixture
def caps(tmp_path) -> Path:
    for number, (participant, _) in enumerate(KEYS):
        path = image_path(tmp_path / "caps", participant)
        images.write(path, voxels(number), affine=AFFINE)
    return tmp_path / "caps"


def config(caps: Path, **settings) -> PrepareConfig:
    given = {"preprocessing": {"name": "t1-linear"}, "extract_json": "t1", "n_proc": 1}
    return PrepareConfig(caps_directory=caps, **{**given, **settings})


def everything(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return the identity, time and content of each file: what is left alone keeps all three."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()
        )
        for path in sorted(folder.rglob("*")) if path.is_file()
    }  # fmt: skip


def nothing_is_half_written(folder: Path) -> bool:
    return not [path for path in folder.rglob("*") if path.name.startswith(TEMPORARY)]


@pytest.mark.parametrize("n_proc", [1, 2])
def test_each_tensor_holds_the_intensities_of_its_image(caps, n_proc):
    written = prepare_data(config(caps, n_proc=n_proc))
    assert written == caps / "tensor_extraction" / "t1.json"
    for participant, session in KEYS:
        stored = torch.load(tensor_path(caps, participant))
        expected = nib.load(image_path(caps, participant)).get_fdata(dtype=np.float32)
        assert stored.dtype == torch.float32
        assert stored.shape == (1, 4, 5, 6)
        assert torch.equal(stored[0], torch.from_numpy(expected))
        assert origin.read(tensor_path(caps, participant, session).with_suffix(".json"))
    assert nothing_is_half_written(caps)


@pytest.mark.data
def test_a_real_image_becomes_its_tensor(real_data, tmp_path):
    source = min((real_data / "ixi-caps-4mm" / "subjects").iterdir())
    shutil.copytree(source, tmp_path / "subjects" / source.name)
    suffix = {"name": "custom", "custom_suffix": "desc-Brain_res-4x4x4_T1w.nii.gz"}
    prepare_data(config(tmp_path, preprocessing=suffix))
    (tensor,) = tmp_path.rglob("*.pt")
    (image,) = tmp_path.rglob("*.nii.gz")
    expected = nib.load(image).get_fdata(dtype=np.float32)
    assert torch.equal(torch.load(tensor)[0], torch.from_numpy(expected))


def test_the_number_of_processes_changes_no_byte(caps, tmp_path):
    shutil.copytree(caps, tmp_path / "other")
    prepare_data(config(caps, n_proc=1))
    prepare_data(config(tmp_path / "other", n_proc=3))
    for participant, _ in KEYS:
        one, other = tensor_path(caps, participant), tensor_path(tmp_path / "other", participant)
        assert one.read_bytes() == other.read_bytes()
    content = json.loads((caps / "tensor_extraction" / "t1.json").read_text())
    assert content == json.loads((tmp_path / "other" / "tensor_extraction" / "t1.json").read_text())


def test_disk_use_is_one_float32_copy(caps):
    for number, (participant, _) in enumerate(KEYS):
        big = np.random.default_rng(number).normal(size=(40, 50, 60)).astype(np.float32)
        images.write(image_path(caps, participant), big, affine=AFFINE)
    before = sum(path.stat().st_size for path in caps.rglob("*") if path.is_file())
    prepare_data(config(caps))
    after = sum(path.stat().st_size for path in caps.rglob("*") if path.is_file())
    assert after - before <= 1.05 * len(KEYS) * 40 * 50 * 60 * 4


def test_outcomes_come_in_order_and_the_json_comes_last(caps):
    planned = plan(config(caps, n_proc=2))
    found = []
    for outcome in run(planned):
        assert not planned.extraction.exists()
        assert outcome.result.written
        assert outcome.job.target.origin.exists()
        found.append((outcome.job.image.participant, outcome.job.image.session))
    assert found == KEYS
    assert planned.extraction.exists()


def test_a_second_run_makes_nothing_and_touches_nothing(caps):
    prepare_data(config(caps))
    before = everything(caps)
    assert [outcome.result.written for outcome in run(plan(config(caps)))] == [False] * 4
    assert everything(caps) == before


def test_another_name_for_the_same_tensors_makes_none(caps):
    prepare_data(config(caps))
    outcomes = list(run(plan(config(caps, extract_json="again"))))
    assert [outcome.result.written for outcome in outcomes] == [False] * 4
    assert (caps / "tensor_extraction" / "again.json").exists()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda tensor: tensor.unlink(),
        lambda tensor: tensor.write_bytes(tensor.read_bytes()[:-1]),
        lambda tensor: tensor.write_bytes(b""),
        lambda tensor: tensor.with_suffix(".json").unlink(),
        lambda tensor: tensor.with_suffix(".json").write_text("{"),
        lambda tensor: tensor.with_suffix(".json").write_text("{}"),
    ],
    ids=["absent", "short", "empty", "no origin", "damaged origin", "hollow origin"],
)
def test_what_is_not_whole_is_made_again_and_the_rest_left_alone(caps, spoil):
    prepare_data(config(caps))
    whole = everything(caps)
    tensor = tensor_path(caps, "sub-02")
    spoil(tensor)
    outcomes = list(run(plan(config(caps))))
    assert [outcome.result.written for outcome in outcomes] == [False, False, True, False]
    again = everything(caps)
    assert {name: content for name, (_, _, content) in again.items()} == {
        name: content for name, (_, _, content) in whole.items()
    }
    changed = {name for name in whole if again[name][0] != whole[name][0]}
    assert changed <= {
        str(path.relative_to(caps)) for path in (tensor, tensor.with_suffix(".json"))
    }


def test_an_image_that_changed_gets_another_tensor(caps):
    prepare_data(config(caps))
    images.write(image_path(caps, "sub-01"), voxels(99), affine=AFFINE)
    outcomes = list(run(plan(config(caps))))
    assert [outcome.result.written for outcome in outcomes] == [False, True, False, False]
    stored = torch.load(tensor_path(caps, "sub-01"))
    assert torch.equal(stored[0], torch.from_numpy(voxels(99)))


def test_an_image_of_another_time_is_hashed_once_and_its_time_noted(caps):
    prepare_data(config(caps))
    os.utime(image_path(caps, "sub-01"), ns=(5, 5))
    before = tensor_path(caps, "sub-01").stat().st_ino
    outcomes = list(run(plan(config(caps))))
    assert not any(outcome.result.written for outcome in outcomes)
    assert tensor_path(caps, "sub-01").stat().st_ino == before
    assert origin.read(tensor_path(caps, "sub-01").with_suffix(".json")).mtime_ns == 5


def test_a_kill_costs_the_images_in_the_making_alone(caps):
    code = (
        "import os, signal, sys\n"
        "from clinicadl import PrepareConfig\n"
        "from clinicadl.data import prepare, tensors\n"
        "from clinicadl.layouts.files import whole_file\n"
        "real = tensors.write\n"
        "def write(path, voxels):\n"
        "    if 'sub-02' in path.name:\n"
        "        with whole_file(path) as temporary:\n"
        "            temporary.write_bytes(b'half')\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "    real(path, voxels)\n"
        "tensors.write = write\n"
        "prepare.prepare_data(PrepareConfig(caps_directory=sys.argv[1], n_proc=1,\n"
        "    preprocessing='t1-linear', extract_json='t1'))\n"
    )
    said = subprocess.run([sys.executable, "-c", code, str(caps)], check=False)
    assert said.returncode == -signal.SIGKILL
    assert not (caps / "tensor_extraction").exists()
    assert not nothing_is_half_written(caps)
    whole = {participant: tensor_path(caps, participant).exists() for participant, _ in KEYS}
    assert whole == {"sub-00": True, "sub-01": True, "sub-02": False, "sub-03": False}
    planned = plan(config(caps))
    assert [is_prepared(job) for job in planned.jobs] == [True, True, False, False]
    assert [outcome.result.written for outcome in run(planned)] == [False, False, True, True]
    assert len(origin.verify(caps, planned.config.preprocessing, KEYS)) == 4


@pytest.mark.parametrize("n_proc", [1, 2])
def test_a_run_that_is_given_up_leaves_whole_tensors_and_no_json(caps, n_proc):
    reader = run(plan(config(caps, n_proc=n_proc)))
    next(reader)
    reader.close()
    assert not (caps / "tensor_extraction").exists()
    assert nothing_is_half_written(caps)
    for path in caps.rglob("*.pt"):
        assert torch.load(path).shape == (1, 4, 5, 6)
    assert prepare_data(config(caps)).exists()


def spoiled(caps: Path, how: str) -> None:
    """Spoil the image of sub-01."""
    path = image_path(caps, "sub-01")
    content = path.read_bytes()
    values = voxels(1)
    path.unlink()
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.touch()
    elif how == "text":
        path.write_text("participant_id\n" * 99)
    elif how == "broken link":
        path.symlink_to("gone.nii.gz")
    elif how == "folder":
        path.mkdir()
        return
    else:
        values[...] = {"NaN": np.nan, "constant": 3.0, "infinite": values}[how]
        if how == "infinite":
            values[1, 2, 3] = np.inf
        images.write(path, values, affine=AFFINE)


BAD = ["truncated", "empty", "text", "broken link", "NaN", "constant", "infinite"]


@pytest.mark.parametrize("how", BAD)
def test_a_bad_image_is_skipped_and_listed_and_the_others_are_made(caps, how):
    spoiled(caps, how)
    with pytest.raises(PartialError, match="1 of 4 images were skipped") as partial:
        prepare_data(config(caps))
    assert partial.value.exit_code == 3
    assert "sub-01 | ses-M000" in str(partial.value)
    failed = caps / "tensor_extraction" / "t1_failed.tsv"
    assert str(failed) in str(partial.value)
    table = pd.read_csv(failed, sep="\t")
    assert list(table.columns) == ["participant_id", "session_id", "reason"]
    assert table[["participant_id", "session_id"]].to_numpy().tolist() == [["sub-01", "ses-M000"]]
    assert image_path(caps, "sub-01").name in table["reason"][0]
    assert [tensor_path(caps, participant).exists() for participant, _ in KEYS] == [
        True, False, True, True,
    ]  # fmt: skip
    assert (caps / "tensor_extraction" / "t1.json").exists()


def test_a_list_of_failures_goes_when_none_is_left(caps):
    spoiled(caps, "truncated")
    with pytest.raises(PartialError):
        prepare_data(config(caps))
    images.write(image_path(caps, "sub-01"), voxels(1), affine=AFFINE)
    outcomes = list(run(plan(config(caps))))
    assert [outcome.result.written for outcome in outcomes] == [False, True, False, False]
    assert [path.name for path in (caps / "tensor_extraction").iterdir()] == ["t1.json"]


def test_an_image_that_went_bad_leaves_a_tensor_that_is_refused(caps):
    prepare_data(config(caps))
    spoiled(caps, "truncated")
    with pytest.raises(PartialError):
        prepare_data(config(caps))
    with pytest.raises(InvalidDataError, match=r"sub-01 \| ses-M000 \(the image changed\)"):
        origin.verify(caps, config(caps).preprocessing, KEYS)


@pytest.mark.parametrize("n_proc", [1, 2])
def test_nothing_is_described_when_no_image_can_be_used(caps, n_proc):
    for participant, _ in KEYS:
        image_path(caps, participant).write_bytes(b"")
    with pytest.raises(InvalidDataError, match="None of the 4 images can be used") as refusal:
        prepare_data(config(caps, n_proc=n_proc))
    assert "empty file" in str(refusal.value)
    assert [path.name for path in (caps / "tensor_extraction").iterdir()] == ["t1_failed.tsv"]
    assert len(pd.read_csv(caps / "tensor_extraction" / "t1_failed.tsv", sep="\t")) == 4
    assert not list(caps.rglob("*.pt"))


def test_voxels_that_are_no_number_are_kept_and_said_once(caps, caplog):
    for number, participant in enumerate(["sub-01", "sub-03"]):
        values = voxels(number)
        values[0, 0, : number + 1] = np.nan
        images.write(image_path(caps, participant), values, affine=AFFINE)
    with caplog.at_level(logging.WARNING):
        prepare_data(config(caps))
    assert torch.isnan(torch.load(tensor_path(caps, "sub-03"))).sum() == 2
    assert len(caplog.records) == 1
    assert "2 images have voxels that are no number" in caplog.text
    assert "(1 voxels)" in caplog.text
    assert "(2 voxels)" in caplog.text


def refused(settings: PrepareConfig, kind: type, match: str) -> str:
    """Return what is said against a plan, which must not have written a byte."""
    root = settings.caps_directory
    before = everything(root) if root.exists() else {}
    with pytest.raises(kind, match=match) as refusal:
        plan(settings)
    assert (everything(root) if root.exists() else {}) == before
    return str(refusal.value)


def table(folder: Path, *rows: tuple[str, str]) -> Path:
    path = folder / "table.tsv"
    lines = ["participant_id\tsession_id", *("\t".join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_sessions_of_a_table_are_taken_in_its_order(caps, tmp_path):
    chosen = table(tmp_path, KEYS[2], KEYS[0])
    outcomes = list(run(plan(config(caps, participants_tsv=chosen))))
    assert [outcome.job.image.participant for outcome in outcomes] == ["sub-02", "sub-00"]
    assert len(list(caps.rglob("*.pt"))) == 2


def test_sessions_of_a_table_without_an_image_are_named(caps, tmp_path):
    chosen = table(tmp_path, KEYS[0], ("sub-77", "ses-M000"), ("sub-01", "ses-M012"))
    said = refused(
        config(caps, participants_tsv=chosen), MissingInputError, "2 of 3 sessions have no image"
    )
    assert "(sub-77 | ses-M000), (sub-01 | ses-M012)" in said
    assert str(chosen) in said


def test_sessions_of_the_caps_without_an_image_are_named(caps):
    image_path(caps, "sub-02").unlink()
    (caps / "subjects" / "sub-01" / "ses-M012").mkdir()
    said = refused(config(caps), MissingInputError, "2 of 5 sessions have no image")
    assert "(sub-01 | ses-M012), (sub-02 | ses-M000)" in said
    assert "table" in said


def test_sessions_that_the_table_leaves_out_are_no_matter(caps, tmp_path):
    image_path(caps, "sub-02").unlink()
    path = image_path(caps, "sub-03")
    shutil.copy(path, path.with_name(path.name.replace("_space", "_acq-2_space")))
    prepare_data(config(caps, participants_tsv=table(tmp_path, *KEYS[:2])))
    assert len(list(caps.rglob("*.pt"))) == 2
    refused(
        config(caps, participants_tsv=table(tmp_path, KEYS[3])), InvalidDataError, "Several images"
    )


def test_a_table_that_is_none_is_refused(caps, tmp_path):
    absent = config(caps, participants_tsv=tmp_path / "absent.tsv")
    assert "absent.tsv" in refused(absent, MissingInputError, "does not exist")
    twice = config(caps, participants_tsv=table(tmp_path, KEYS[0], KEYS[0]))
    refused(twice, InvalidDataError, "sub-00")
    path = tmp_path / "names.tsv"
    path.write_text("name\n")
    refused(config(caps, participants_tsv=path), (InvalidDataError, MissingInputError), "names.tsv")


def test_a_caps_without_such_images_is_refused(caps):
    pet = {"name": "pet-linear", "tracer": "18FFDG", "suvr_reference_region": "pons"}
    said = refused(config(caps, preprocessing=pet), MissingInputError, "no image of pet-linear")
    assert "_trc-18FFDG_" in said


def test_a_bids_data_set_or_no_folder_at_all_is_refused(tmp_path):
    (tmp_path / "bids" / "sub-01" / "ses-M000").mkdir(parents=True)
    refused(config(tmp_path / "bids"), InvalidDataError, "BIDS data set")
    refused(config(tmp_path / "absent"), MissingInputError, "does not exist")
    (tmp_path / "empty").mkdir()
    refused(config(tmp_path / "empty"), MissingInputError, "no image of t1-linear")


@pytest.mark.parametrize("name", ["../t1", "/etc/t1", "../../t1.json"])
def test_a_json_outside_of_the_caps_is_refused(caps, name):
    refused(config(caps, extract_json=name), InvalidDataError, "leads out of its folder")


def test_a_name_that_means_another_extraction_is_refused_before_any_work(caps):
    (caps / "tensor_extraction").mkdir()
    (caps / "tensor_extraction" / "t1.json").write_text('{"preprocessing": "custom"}')
    said = refused(config(caps), OutputError, "describes another extraction")
    assert "t1.json" in said


@pytest.mark.parametrize("below", ["tensor_extraction", "deeplearning_prepare_data"])
def test_a_file_in_the_way_is_refused_before_any_work(caps, below):
    home = caps if below == "tensor_extraction" else caps / "subjects" / "sub-03" / "ses-M000"
    (home / below).touch()
    said = refused(config(caps), OutputError, "cannot be written")
    assert below in said


def test_a_name_is_made_from_the_time_when_none_is_given(caps):
    path = prepare_data(config(caps, extract_json=None))
    assert path.parent == caps / "tensor_extraction"
    number = path.stem.removeprefix("extract_")
    assert number.isdigit()
    assert len(number) >= 10


def test_a_caps_of_links_into_another_is_prepared_and_its_images_may_be_links(caps, tmp_path):
    links = tmp_path / "links"
    (links / "subjects").mkdir(parents=True)
    for participant, _ in KEYS[:2]:
        (links / "subjects" / participant).symlink_to(caps / "subjects" / participant)
    image = image_path(caps, "sub-01")
    image.rename(tmp_path / "elsewhere.nii.gz")
    image.symlink_to(tmp_path / "elsewhere.nii.gz")
    prepare_data(config(links))
    assert torch.equal(torch.load(tensor_path(links, "sub-01"))[0], torch.from_numpy(voxels(1)))
    row = config(links).preprocessing
    assert list(origin.verify(links, row, KEYS[:2])) == KEYS[:2]
    assert not any(outcome.result.written for outcome in run(plan(config(links))))


def test_what_was_prepared_can_be_trained_on(caps):
    from clinicadl.data import tensors
    from clinicadl.layouts.caps import read_extraction

    prepare_data(config(caps))
    extraction = read_extraction(caps, "t1")
    found = origin.verify(caps, extraction.preprocessing, KEYS)
    for number, key in enumerate(KEYS):
        stored, said = found[key]
        assert tensors.read(stored.tensor).shape == said.shape
        assert torch.equal(tensors.read(stored.tensor)[0], torch.from_numpy(voxels(number)))
        np.testing.assert_array_equal(said.affine, AFFINE.astype(np.float32))
