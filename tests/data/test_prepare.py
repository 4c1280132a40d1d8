"""prepare-data: tensors of raw intensities, nothing made twice, bad images skipped and listed."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch

from clinicadl import PrepareConfig, prepare_data
from clinicadl.config.mode import MODES
from clinicadl.data import belonging, origin, parts, tensors
from clinicadl.data.prepare import is_prepared, plan, run
from clinicadl.errors import (
    InvalidDataError,
    MissingInputError,
    OutputError,
    PartialError,
    UsageError,
)
from clinicadl.layouts import images, masks
from clinicadl.layouts.caps import mode_settings, read_extraction
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
    assert len(belonging.verify(caps, planned.config.preprocessing, KEYS)) == 4


def test_parts_that_another_run_stores_at_the_same_time_stay_known(caps, monkeypatch):
    """The other one comes right before the first says what it has stored."""
    sizes = {"small": 2, "large": 3}
    modes = {name: {"name": "patch", "patch_size": n} for name, n in sizes.items()}
    settings = {name: config(caps, mode=mode, save_features=True, extract_json=name)
                for name, mode in modes.items()}  # fmt: skip
    write, others = origin.write, []

    def late(path, made_from):
        if not others:
            others.append(threading.Thread(target=prepare_data, args=[settings["large"]]))
            others[0].start()
            # It may finish here, or wait for its turn: then this time is lost, and nothing else.
            others[0].join(1)
        write(path, made_from)

    monkeypatch.setattr(origin, "write", late)
    prepare_data(settings["small"])
    others[0].join()
    for name, one in settings.items():
        assert [is_prepared(job) for job in plan(one).jobs] == [True] * 4, name


def test_an_image_that_another_run_has_done_meanwhile_is_not_written_again(caps, monkeypatch):
    read, is_first = images.read, []

    def slow(path):
        image = read(path)
        if not is_first:
            is_first.append(path)
            prepare_data(config(caps))
        return image

    monkeypatch.setattr(images, "read", slow)
    before = time.time_ns()
    outcomes = list(run(plan(config(caps))))
    assert [outcome.result.n_written for outcome in outcomes] == [0, 0, 0, 0]
    assert [outcome.result.n_kept for outcome in outcomes] == [1, 1, 1, 1]
    assert before < tensor_path(caps, "sub-00").stat().st_mtime_ns


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
        belonging.verify(caps, config(caps).preprocessing, KEYS)


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
    assert list(belonging.verify(links, row, KEYS[:2])) == KEYS[:2]
    assert not any(outcome.result.written for outcome in run(plan(config(links))))


def test_what_was_prepared_can_be_trained_on(caps):
    prepare_data(config(caps))
    extraction = read_extraction(caps, "t1")
    found = belonging.verify(caps, extraction.preprocessing, KEYS)
    for number, key in enumerate(KEYS):
        (stored,), said = found[key]
        assert tensors.read(stored).shape == said.shape
        assert torch.equal(tensors.read(stored)[0], torch.from_numpy(voxels(number)))
        np.testing.assert_array_equal(said.affine, AFFINE.astype(np.float32))


NLIN = "tpl-MNI152NLin2009cSym"
REGIONS = ("left", "right")
SETTINGS = {
    "patch": {"patch_size": 3, "stride_size": 1},
    "padded": {"name": "patch", "patch_size": 3, "stride_size": 2, "pad": True},
    "slice": {"slice_direction": 1, "slice_mode": "single", "discarded_slices": (1, 0)},
    "rgb": {"name": "slice", "slice_direction": 2},
    "roi": {"roi_list": REGIONS},
    "uncropped": {"name": "roi", "roi_list": REGIONS, "uncropped_roi": True},
}
MODE_OF = {name: {"name": name, **settings} for name, settings in SETTINGS.items()}
each_mode = pytest.mark.parametrize("mode", MODE_OF.values(), ids=list(MODE_OF))


def put_masks(caps: Path, *, first: int = 0, affine: np.ndarray = AFFINE) -> None:
    for number, roi in enumerate(REGIONS):
        inside = np.zeros((4, 5, 6), np.uint8)
        inside[1 : 3 + number, 2:4, first : 4 + number] = 1
        inside[1, 2, first] = 0
        name = f"{NLIN}_desc-Crop_res-1x1x1_roi-{roi}_mask.nii.gz"
        images.write(caps / "masks" / NLIN / name, inside, affine=affine)


@pytest.fixture
def with_masks(caps) -> Path:
    put_masks(caps)
    return caps


def part_paths(caps: Path, participant: str = "sub-01") -> dict[str, Path]:
    """Return the tensors of parts by their names: what stands in front of the suffix."""
    folder = caps / "subjects" / participant / "ses-M000" / "deeplearning_prepare_data"
    return {path.name: path for path in folder.glob("*_based/t1_linear/*.pt")}


def cut_by_hand(mode: dict, number: int, caps: Path) -> dict[str, np.ndarray]:
    """Return the parts of an image by the names of their files, cut by NumPy alone."""
    volume, participant = voxels(number), KEYS[number][0]
    before, after = f"{participant}_ses-M000_{SPACE.removesuffix('_T1w')}_", "_T1w.pt"
    if mode["name"] == "patch" and not mode.get("pad"):
        firsts = [(x, y, z) for x in range(2) for y in range(3) for z in range(4)]
        return {
            f"{before}patchsize-3_stride-1_patch-{i}{after}": volume[
                None, x : x + 3, y : y + 3, z : z + 3
            ]
            for i, (x, y, z) in enumerate(firsts)
        }
    if mode["name"] == "patch":
        framed = np.pad(volume, [(0, 9)] * 3)
        firsts = [(x, y, z) for x in (0, 2) for y in (0, 2) for z in (0, 2, 4)]
        return {
            f"{before}patchsize-3_stride-2_pad-zero_patch-{i}{after}": framed[
                None, x : x + 3, y : y + 3, z : z + 3
            ]
            for i, (x, y, z) in enumerate(firsts)
        }
    if mode["name"] == "slice" and mode["slice_direction"] == 1:
        return {
            f"{before}axis-cor_channel-single_slice-{i}{after}": volume[None, :, i]
            for i in range(1, 5)
        }
    if mode["name"] == "slice":
        return {
            f"{before}axis-axi_channel-rgb_slice-{i}{after}": np.stack([volume[..., i]] * 3)
            for i in range(6)
        }
    found = {}
    for roi in REGIONS:
        (path,) = (caps / "masks").rglob(f"*_roi-{roi}_mask.nii.gz")
        inside = nib.load(path).get_fdata(dtype=np.float32)
        box = np.argwhere(inside)
        window = tuple(map(slice, box.min(0), box.max(0) + 1))
        product = volume * inside
        kind = "CropImage" if mode.get("uncropped_roi") else "CropRoi"
        name = f"space-MNI152NLin2009cSym_desc-{kind}_res-1x1x1_roi-{roi}"
        value = product if mode.get("uncropped_roi") else product[window]
        found[f"{participant}_ses-M000_{name}{after}"] = value[None]
    return found


@each_mode
@pytest.mark.parametrize("n_proc", [1, 2])
def test_stored_parts_have_published_names_and_equal_a_cut_by_hand(with_masks, mode, n_proc):
    prepare_data(config(with_masks, mode=mode, save_features=True, n_proc=n_proc))
    for number, (participant, _) in enumerate(KEYS):
        expected = cut_by_hand(mode, number, with_masks)
        found = part_paths(with_masks, participant)
        assert found.keys() == expected.keys()
        for name, part in expected.items():
            stored = torch.load(found[name])
            assert stored.dtype == torch.float32
            assert stored.shape == part.shape
            assert torch.equal(stored, torch.from_numpy(np.ascontiguousarray(part)))
    assert not list(with_masks.rglob("image_based"))
    assert nothing_is_half_written(with_masks)


@each_mode
def test_stored_parts_equal_parts_cut_on_the_fly(with_masks, mode):
    prepare_data(config(with_masks, mode=mode, save_features=True))
    prepare_data(config(with_masks, mode=mode, extract_json="fly"))
    extraction = read_extraction(with_masks, "t1")
    row = mode_settings(extraction)
    assert row == mode_settings(read_extraction(with_masks, "fly"))
    found = masks.read(with_masks, row, extraction.preprocessing)
    stored = belonging.verify_parts(
        with_masks, extraction.preprocessing, KEYS, mode=row, masks=found
    )
    whole = belonging.verify(with_masks, extraction.preprocessing, KEYS)
    for key in KEYS:
        paths, made_from = stored[key]
        (image,), other = whole[key]
        assert (made_from.shape, made_from.affine) == (other.shape, other.affine)
        cut = parts.of(row, made_from.shape, found)
        assert len(paths) == len(cut)
        for index, path in enumerate(paths):
            on_the_fly = cut.cut(tensors.read(image), index)
            assert torch.equal(tensors.read(path), on_the_fly)
            said = made_from.parts[cut.names[index]]
            assert (said.shape, said.start) == (on_the_fly.shape, cut.window(index).start)


def json_of(caps: Path, name: str = "t1") -> dict:
    return json.loads((caps / "tensor_extraction" / f"{name}.json").read_text())


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize(
    ("mode", "keys"),
    [
        ("patch", {"patch_size": 3, "stride_size": 1, "pad": False}),
        ("slice", {"slice_direction": 1, "slice_mode": "single", "discarded_slices": [1, 0]}),
        (
            "roi",
            {
                "roi_list": ["left", "right"], "uncropped_roi": False, "roi_custom_template": "",
                "roi_custom_mask_pattern": "", "roi_template": "MNI152NLin2009cSym",
                "roi_mask_pattern": "res-1x1x1", "masks_location": f"masks/{NLIN}",
            },
        ),
    ],
)  # fmt: skip
def test_the_json_says_the_mode_under_the_published_keys(with_masks, mode, keys, stored):
    prepare_data(config(with_masks, mode=MODE_OF[mode], save_features=stored))
    assert json_of(with_masks) == {
        "preprocessing": "t1-linear", "mode": mode, "use_uncropped_image": False,
        "prepare_dl": stored, "extract_json": "t1.json",
        "file_type": json_of(with_masks)["file_type"], **keys,
    }  # fmt: skip


def test_experiments_of_several_modes_share_one_tensor_an_image(with_masks):
    prepare_data(config(with_masks))
    before = everything(with_masks / "subjects")
    for name, mode in MODE_OF.items():
        outcomes = list(run(plan(config(with_masks, mode=mode, extract_json=name))))
        assert not any(outcome.result.written for outcome in outcomes)
    assert everything(with_masks / "subjects") == before
    assert len(list((with_masks / "tensor_extraction").iterdir())) == 1 + len(MODE_OF)


def counts(settings: PrepareConfig) -> list[tuple[int, int]]:
    results = [outcome.result for outcome in run(plan(settings))]
    return [(result.n_written, result.n_kept) for result in results]


@each_mode
def test_parts_that_are_there_are_left_alone_and_a_missing_one_is_made(with_masks, mode):
    settings = config(with_masks, mode=mode, save_features=True)
    n = counts(settings)[0][0]
    before = everything(with_masks)
    assert counts(settings) == [(0, n)] * 4
    assert all(is_prepared(job) for job in plan(settings).jobs)
    assert everything(with_masks) == before
    name, path = min(part_paths(with_masks).items())
    path.write_bytes(b"short")
    assert [is_prepared(job) for job in plan(settings).jobs] == [True, False, True, True]
    assert counts(settings) == [(0, n), (1, n - 1), (0, n), (0, n)]
    again = everything(with_masks)
    assert {key: content for key, (_, _, content) in again.items()} == {
        key: content for key, (_, _, content) in before.items()
    }
    changed = {Path(key).name for key in before if again[key][0] != before[key][0]}
    assert changed == {name, tensor_path(with_masks, "sub-01").with_suffix(".json").name}


def test_other_settings_add_parts_and_leave_those_that_are_there(caps):
    def slices(begin: int, end: int, direction: int = 0) -> PrepareConfig:
        mode = {"name": "slice", "discarded_slices": (begin, end), "slice_direction": direction}
        name = f"{begin}-{end}-{direction}"
        return config(caps, mode=mode, save_features=True, extract_json=name)

    assert counts(slices(1, 1)) == [(2, 0)] * 4
    assert counts(slices(0, 1)) == [(1, 2)] * 4
    assert counts(slices(2, 1)) == [(0, 1)] * 4
    assert counts(slices(0, 0, 2)) == [(6, 0)] * 4
    for settings in (slices(1, 1), slices(0, 1), slices(0, 0, 2)):
        found = belonging.verify_parts(caps, settings.preprocessing, KEYS, mode=settings.mode)
        assert {len(paths) for paths, _ in found.values()} == {
            len(parts.of(settings.mode, (1, 4, 5, 6)))
        }


def test_an_image_that_changed_gets_all_its_parts_anew_and_old_ones_are_refused(caps):
    patch = config(caps, mode=MODE_OF["patch"], save_features=True)
    cube = config(caps, mode={"name": "patch", "patch_size": 4}, save_features=True,
                  extract_json="cube")  # fmt: skip
    prepare_data(patch)
    prepare_data(cube)
    images.write(image_path(caps, "sub-01"), voxels(99), affine=AFFINE)
    row = patch.preprocessing
    with pytest.raises(InvalidDataError, match=r"sub-01 \| ses-M000 \(the image changed\)"):
        belonging.verify_parts(caps, row, KEYS, mode=patch.mode)
    assert counts(patch) == [(0, 24), (24, 0), (0, 24), (0, 24)]
    assert len(belonging.verify_parts(caps, row, KEYS, mode=patch.mode)) == 4
    # The cubes of the old image are still there, and nobody takes them for those of the new one.
    with pytest.raises(InvalidDataError, match=r"1 of 4 .*sub-01 \| ses-M000 \(incomplete\)"):
        belonging.verify_parts(caps, row, KEYS, mode=cube.mode)
    assert counts(cube)[1] == (1, 0)


def test_a_mask_that_changed_gets_its_region_anew(with_masks):
    settings = config(with_masks, mode=MODE_OF["roi"], save_features=True)
    prepare_data(settings)
    put_masks(with_masks, first=1)
    found = masks.read(with_masks, settings.mode, settings.preprocessing)
    with pytest.raises(InvalidDataError, match=r"sub-00 \| ses-M000 \(a mask changed\)"):
        belonging.verify_parts(
            with_masks, settings.preprocessing, KEYS, mode=settings.mode, masks=found
        )
    assert counts(settings) == [(2, 0)] * 4
    for name, part in cut_by_hand(MODE_OF["roi"], 1, with_masks).items():
        assert torch.equal(torch.load(part_paths(with_masks)[name])[0], torch.from_numpy(part[0]))


def test_sessions_without_stored_parts_are_named(caps):
    settings = config(caps, mode=MODE_OF["patch"], save_features=True)
    keys = [*KEYS, ("sub-77", "ses-M000")]
    prepare_data(settings)
    with pytest.raises(MissingInputError, match="1 of 5 sessions have no tensor") as refusal:
        belonging.verify_parts(caps, settings.preprocessing, keys, mode=settings.mode)
    assert "sub-77 | ses-M000" in str(refusal.value)


@each_mode
@pytest.mark.parametrize("stored", [False, True])
def test_a_bad_image_is_no_hindrance_in_any_mode(with_masks, mode, stored):
    spoiled(with_masks, "truncated")
    with pytest.raises(PartialError, match="1 of 4 images were skipped"):
        prepare_data(config(with_masks, mode=mode, save_features=stored))
    assert part_paths(with_masks) == {}
    assert len(part_paths(with_masks, "sub-03")) > 0


@pytest.mark.parametrize("stored", [False, True])
def test_an_image_on_another_grid_than_the_masks_is_listed(with_masks, stored):
    moved = AFFINE.copy()
    moved[0, 3] += 1
    images.write(image_path(with_masks, "sub-01"), voxels(1), affine=moved)
    with pytest.raises(PartialError, match="1 of 4 images"):
        prepare_data(config(with_masks, mode=MODE_OF["roi"], save_features=stored))
    reasons = pd.read_csv(with_masks / "tensor_extraction" / "t1_failed.tsv", sep="\t")["reason"]
    assert "another grid" in reasons[0]
    assert "40" in reasons[0]
    assert "41" in reasons[0]


def test_an_image_that_is_smaller_than_the_others_is_listed(caps):
    images.write(image_path(caps, "sub-01"), voxels(1)[:2], affine=AFFINE)
    with pytest.raises(PartialError, match="1 of 4 images"):
        prepare_data(config(caps, mode=MODE_OF["patch"]))
    said = (caps / "tensor_extraction" / "t1_failed.tsv").read_text()
    assert "The patch is larger than the image" in said


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize(
    ("mode", "kind", "match"),
    [
        ({"name": "patch"}, UsageError, "50 voxels, the image has 4x5x6"),
        ({"name": "patch", "patch_size": 5, "pad": True}, UsageError, "larger than the image"),
        ({"name": "slice", "discarded_slices": (2, 2)}, UsageError, "All slices are discarded"),
        ({"name": "roi", "roi_list": ("middle",)}, MissingInputError, "Known there: left, right"),
        (
            {"name": "roi", "roi_list": ("left",), "roi_custom_template": "X"},
            UsageError, "Only custom and raw images take --roi_custom_template",
        ),
    ],
    ids=["patch", "padded", "slices", "no mask", "template"],
)  # fmt: skip
def test_a_mode_that_cannot_be_is_refused_before_any_work(with_masks, mode, kind, match, stored):
    refused(config(with_masks, mode=mode, save_features=stored), kind, match)
    prepare_data(config(with_masks, extract_json="image"))
    refused(config(with_masks, mode=mode, save_features=stored), kind, match)


def test_masks_on_another_grid_are_refused_before_any_work(caps):
    put_masks(caps, affine=np.diag([2.0, 2, 2, 1]))
    said = refused(config(caps, mode=MODE_OF["roi"]), InvalidDataError, "lies on another grid")
    assert "mask 4x5x6, affine [2 0 0 0; 0 2 0 0; 0 0 2 0]" in said
    assert "image 4x5x6, affine [-2 0 0.1 40; 0 3 0 -50; 0.2 0 4 -60]" in said


def test_boxes_need_the_grid_of_cropped_images(caps):
    refused(config(caps, mode="roi"), UsageError, "grid of cropped t1-linear")


def test_regions_of_another_image_are_not_overwritten(with_masks):
    for participant, _ in KEYS:
        path = image_path(with_masks, participant)
        shutil.copy(path, path.with_name(f"{participant}_ses-M000_acq-b_T1w.nii.gz"))
    home = with_masks / "masks" / NLIN
    shutil.copytree(home, with_masks / "masks" / "tpl-MNI152NLin2009cSymB")

    def custom(suffix: str, template: str) -> PrepareConfig:
        mode = {**MODE_OF["roi"], "roi_custom_template": template}
        row = {"name": "custom", "custom_suffix": suffix}
        name = f"{suffix[:4]}-{template}"
        return config(with_masks, preprocessing=row, mode=mode, save_features=True,
                      extract_json=name)  # fmt: skip

    beginning = plan(custom("1x1x1_T1w.nii.gz", "MNI152NLin2009cSym"))
    prepare_data(custom("acq-b_T1w.nii.gz", "MNI152NLin2009cSym"))
    before = {path: path.read_bytes() for path in part_paths(with_masks).values()}
    # Also by a run that was planned before the other had stored anything.
    with pytest.raises(OutputError, match="made from another image"):
        list(run(beginning))
    assert {path: path.read_bytes() for path in part_paths(with_masks).values()} == before
    said = refused(
        custom("1x1x1_T1w.nii.gz", "MNI152NLin2009cSym"), OutputError, "made from another image"
    )
    assert "acq-b_T1w" in said
    prepare_data(custom("1x1x1_T1w.nii.gz", "MNI152NLin2009cSymB"))


def test_a_mode_whose_images_are_all_bad_says_so(with_masks):
    for participant, _ in KEYS:
        image_path(with_masks, participant).write_bytes(b"")
    with pytest.raises(InvalidDataError, match="None of the 4 images"):
        prepare_data(config(with_masks, mode=MODE_OF["patch"], save_features=True))


def test_a_kill_leaves_whole_parts_that_nobody_takes_for_all(caps):
    code = (
        "import os, signal, sys\n"
        "from clinicadl import PrepareConfig\n"
        "from clinicadl.data import prepare, tensors\n"
        "real = tensors.write_part\n"
        "def write_part(path, voxels):\n"
        "    if 'sub-02' in path.name and 'patch-7_' in path.name:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    real(path, voxels)\n"
        "tensors.write_part = write_part\n"
        "prepare.prepare_data(PrepareConfig(caps_directory=sys.argv[1], n_proc=1,\n"
        "    preprocessing='t1-linear', extract_json='t1', save_features=True,\n"
        "    mode={'name': 'patch', 'patch_size': 3, 'stride_size': 1}))\n"
    )
    said = subprocess.run([sys.executable, "-c", code, str(caps)], check=False)
    assert said.returncode == -signal.SIGKILL
    assert len(part_paths(caps, "sub-02")) == 7
    settings = config(caps, mode=MODE_OF["patch"], save_features=True)
    with pytest.raises(MissingInputError, match="1 of 4 sessions have no tensor"):
        belonging.verify_parts(caps, settings.preprocessing, KEYS, mode=settings.mode)
    assert counts(settings) == [(0, 24), (0, 24), (24, 0), (24, 0)]


def test_shards_are_disjoint_and_together_all(caps, tmp_path):
    shuffled = table(tmp_path, *[KEYS[i] for i in (2, 0, 3, 1)])
    taken = []
    for number in (1, 2, 3):
        settings = config(caps, shard=f"{number}/3", participants_tsv=shuffled)
        taken.append([job.image.participant for job in plan(settings).jobs])
        prepare_data(settings)
    assert taken == [["sub-00", "sub-03"], ["sub-01"], ["sub-02"]]
    assert len(belonging.verify(caps, config(caps).preprocessing, KEYS)) == 4
    assert plan(config(caps, shard="9/9")).jobs == ()
    prepare_data(config(caps, shard="9/9"))


def test_a_shard_lists_its_own_failures(caps):
    spoiled(caps, "truncated")
    with pytest.raises(InvalidDataError, match="t1_shard-2of4_failed.tsv"):
        prepare_data(config(caps, shard="2/4"))
    prepare_data(config(caps, shard="1/4"))
    names = sorted(path.name for path in (caps / "tensor_extraction").iterdir())
    assert names == ["t1.json", "t1_shard-2of4_failed.tsv"]


def test_participants_are_taken_by_their_labels(caps, tmp_path):
    settings = config(caps, participant_label=("02", "sub-00"))
    assert [job.image.participant for job in plan(settings).jobs] == ["sub-00", "sub-02"]
    chosen = table(tmp_path, KEYS[2], KEYS[1])
    both = config(caps, participant_label=("02",), participants_tsv=chosen)
    assert [job.image.participant for job in plan(both).jobs] == ["sub-02"]
    said = refused(
        config(caps, participant_label=("00",), participants_tsv=chosen),
        MissingInputError, "1 of 1 participants are not known",
    )  # fmt: skip
    assert "sub-00" in said
    assert "--participant_label" in said


def test_every_mode_of_the_table_is_prepared_here():
    assert {"image", *(mode["name"] for mode in MODE_OF.values())} == set(MODES)


@pytest.mark.data
def test_real_regions_are_stored_and_found(real_data, tmp_path):
    source = min((real_data / "ixi-caps-4mm" / "subjects").iterdir())
    shutil.copytree(source, tmp_path / "subjects" / source.name)
    shutil.copytree(real_data / "ixi-caps-4mm" / "masks", tmp_path / "masks")
    mode = {"name": "roi", "roi_custom_template": "MNI152",
            "roi_list": ("hippocampusLeft", "brainstem")}  # fmt: skip
    row = {"name": "custom", "custom_suffix": "desc-Brain_res-4x4x4_T1w.nii.gz"}
    prepare_data(config(tmp_path, preprocessing=row, mode=mode, save_features=True))
    names = sorted(path.name for path in tmp_path.rglob("*.pt"))
    before = f"{source.name}_ses-M000_space-MNI152_desc-CropRoi_res-4x4x4_roi-"
    assert names == [f"{before}brainstem_T1w.pt", f"{before}hippocampusLeft_T1w.pt"]
