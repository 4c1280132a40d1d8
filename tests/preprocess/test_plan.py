"""Plans of pipelines: who is taken, what is refused, what a run leaves; no ANTs is needed."""

import errno
import json
import logging
import os
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from clinicadl.config.jobs import JobsConfig
from clinicadl.config.preprocess import PreprocessLinearConfig
from clinicadl.config.preprocessing import FlairLinear, T1Linear, T2Linear
from clinicadl.config.raw import RawFlair, RawT1
from clinicadl.config.read import settings as read_settings
from clinicadl.data import shards
from clinicadl.errors import (
    ClinicaDLError,
    InvalidDataError,
    MissingExtraError,
    MissingInputError,
    OutputError,
    PartialError,
    UsageError,
)
from clinicadl.layouts import caps, images, preprocessed
from clinicadl.layouts.caps import StoredImage
from clinicadl.preprocess import heads, linear, plan
from clinicadl.preprocess.plan import Made

SAID = {"Template": "none"}


def copied(job, fail_at=None) -> Made:
    """Put what is read where it belongs: a pipeline that registers nothing."""
    if plan.is_made(job):
        linear.refuse_changed(job)
        return Made(written=False)
    image = heads.read(job.image.path)
    content = {"Settings": dict(job.settings), "SourcesSHA256": [image.sha256],
               "VarianceExplained": 0.5, "BrainDice": 0.9}  # fmt: skip
    with preprocessed.filling(job.outputs, content) as staging:
        images.write(staging / job.outputs.image, image.voxels, affine=image.affine)
        if fail_at is not None:
            raise OSError(fail_at, os.strerror(fail_at))
        images.write(staging / job.outputs.crop, image.voxels[1:], affine=image.affine)
        (staging / job.outputs.picture).write_bytes(b"png")
        (staging / job.outputs.transform).write_bytes(b"mat")
    return Made(written=True)


def planned(config, *, make=copied, said=SAID, row=None, raw=None):
    return plan.of(config, row or T1Linear(), raw or RawT1(), said, make)


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def put(path: Path, voxels=None) -> Path:
    like = images.read(next(path.parents[3].rglob("sub-0*_T1w.nii.gz")))
    images.write(path, like.voxels if voxels is None else voxels, affine=like.affine)
    return path


def t1w(bids, who="sub-01", session="ses-M000", name="T1w.nii.gz") -> Path:
    return bids / who / session / "anat" / f"{who}_{session}_{name}"


def test_names_are_those_that_the_caps_reader_looks_for(bids, config_of):
    made = plan.complete(planned(config_of()))
    directory = config_of().caps_directory
    for uncropped in (True, False):
        found = caps.index(directory, T1Linear(use_uncropped_image=uncropped))
        assert list(found) == [("sub-01", "ses-M000"), ("sub-01", "ses-M012"),
                               ("sub-02", "ses-M000")]  # fmt: skip
    home = directory / "subjects" / "sub-02" / "ses-M000" / "t1_linear"
    grid = "space-MNI152NLin2009cSym"
    assert sorted(path.name for path in home.iterdir()) == [
        f"sub-02_ses-M000_T1w_{grid}_res-1x1x1_affine.mat",
        f"sub-02_ses-M000_{grid}_desc-Crop_res-1x1x1_T1w.nii.gz",
        f"sub-02_ses-M000_{grid}_res-1x1x1_T1w.json",
        f"sub-02_ses-M000_{grid}_res-1x1x1_T1w.nii.gz",
        f"sub-02_ses-M000_{grid}_res-1x1x1_T1w.png",
    ]
    assert made == directory / "preprocess" / "t1-linear.html"


@pytest.mark.parametrize(
    ("row", "source", "image"),
    [
        (FlairLinear(), "sub-1_ses-M000_acq-a_run-2_FLAIR.nii.gz",
         "sub-1_ses-M000_acq-a_run-2_space-MNI152NLin2009cSym_res-1x1x1_flair.nii.gz"),
        (T2Linear(), "sub-1_T2w.nii",
         "sub-1_ses-M000_space-MNI152NLin2009cSym_res-1x1x1_T2w.nii.gz"),
    ],
)  # fmt: skip
def test_entities_of_the_source_stay(tmp_path, row, source, image):
    stored = StoredImage("sub-1", "ses-M000", tmp_path / source)
    made = preprocessed.outputs(tmp_path, stored, row)
    assert made.image == image
    assert made.home.name == row.name.replace("-", "_")


def test_a_second_run_leaves_all_alone(bids, config_of):
    outcomes = list(plan.run(planned(config_of())))
    assert [outcome.result.written for outcome in outcomes] == [True] * 3
    before = files(config_of().caps_directory)
    outcomes = list(plan.run(planned(config_of())))
    assert [outcome.result.written for outcome in outcomes] == [False] * 3
    assert files(config_of().caps_directory) == before
    outcomes = list(plan.run(planned(config_of(overwrite=True))))
    assert [outcome.result.written for outcome in outcomes] == [True] * 3
    assert files(config_of().caps_directory) == before


def test_a_session_that_was_stopped_in_between_is_made_again(bids, config_of):
    plan.complete(planned(config_of()))
    whole = files(config_of().caps_directory)
    home = config_of().caps_directory / "subjects" / "sub-01" / "ses-M000" / "t1_linear"
    # As kill -9 leaves it: the sidecar in its place, an image not, the rest half-written.
    next(home.glob("*desc-Crop*.nii.gz")).unlink()
    (home / ".partial-1234").mkdir()
    (home / ".partial-1234" / "half.nii.gz").write_bytes(b"ha")
    outcomes = list(plan.run(planned(config_of())))
    assert [outcome.result.written for outcome in outcomes] == [True, False, False]
    assert files(config_of().caps_directory) == whole


def test_a_source_that_changed_is_said(bids, config_of):
    plan.complete(planned(config_of()))
    changed = images.read(t1w(bids)).voxels.copy()
    changed[5, 5, 5] += 1
    put(t1w(bids), changed)
    with pytest.raises(PartialError, match=r"sub-01 \| ses-M000"):
        plan.complete(planned(config_of()))
    table = config_of().caps_directory / "preprocess" / "t1-linear_failed.tsv"
    assert "--overwrite" in table.read_text()
    plan.complete(planned(config_of(overwrite=True)))
    assert not table.exists()


def test_images_of_others_and_of_other_settings_are_not_replaced(bids, config_of):
    plan.complete(planned(config_of()))
    with pytest.raises(OutputError, match="3 of 3 sessions were made with other settings"):
        planned(config_of(), said={"Template": "another"})
    home = config_of().caps_directory / "subjects" / "sub-02" / "ses-M000" / "t1_linear"
    next(home.glob("*.json")).unlink()
    before = files(config_of().caps_directory)
    with pytest.raises(OutputError, match="another program") as caught:
        planned(config_of())
    assert "sub-02 | ses-M000" in str(caught.value) and "--overwrite" in str(caught.value)
    assert files(config_of().caps_directory) == before
    planned(config_of(overwrite=True))


def test_one_bad_image_is_reported_and_the_others_go_on(bids, config_of):
    t1w(bids).write_bytes(t1w(bids).read_bytes()[:300])
    with pytest.raises(PartialError) as caught:
        plan.complete(planned(config_of(n_proc=2)))
    assert caught.value.exit_code == 3
    assert "1 of 3 images were skipped" in str(caught.value)
    page = (config_of().caps_directory / "preprocess" / "t1-linear.html").read_text()
    assert "1 images failed" in page and "truncated" in page
    assert page.count("<figure>") == 2


def test_without_any_good_image_nothing_is_called_done(bids, config_of):
    for path in bids.rglob("*.nii.gz"):
        path.write_bytes(b"")
    with pytest.raises(InvalidDataError, match="None of the 3 images"):
        plan.complete(planned(config_of()))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_disk_that_ends_leaves_no_half_of_a_session(bids, config_of, number):
    with pytest.raises(OutputError, match="cannot be written"):
        plan.complete(planned(config_of(), make=partial(copied, fail_at=number)))
    home = config_of().caps_directory / "subjects" / "sub-01" / "ses-M000" / "t1_linear"
    assert list(home.iterdir()) == []
    plan.complete(planned(config_of()))


def test_the_page_asks_for_nothing_from_elsewhere(bids, config_of):
    page = plan.complete(planned(config_of())).read_text()
    assert "<script" not in page and "http" not in page.replace("http-equiv", "")
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    for text in ("sub-01 ses-M012", "fit 0.50", "brain 0.90"):
        assert text in page
    sources = [word.split('"')[0] for word in page.split('src="')[1:]]
    home = config_of().caps_directory / "preprocess"
    assert len(sources) == 3
    assert all((home / source).resolve().is_file() for source in sources)


def test_the_last_of_two_runs_is_taken(bids, config_of, caplog):
    first = t1w(bids, "sub-02")
    for number in (1, 2):
        shutil.copy(first, first.with_name(f"sub-02_ses-M000_run-{number}_T1w.nii.gz"))
    first.unlink()
    with caplog.at_level(logging.WARNING):
        jobs = planned(config_of()).jobs
    assert "several runs" in caplog.text
    assert jobs[-1].image.path.name == "sub-02_ses-M000_run-2_T1w.nii.gz"


def test_a_data_set_without_sessions_gets_one(bids, config_of):
    shutil.rmtree(bids / "sub-01")
    shutil.move(bids / "sub-02" / "ses-M000" / "anat", bids / "sub-02" / "anat")
    (bids / "sub-02" / "ses-M000").rmdir()
    at = bids / "sub-02" / "anat"
    (at / "sub-02_ses-M000_T1w.nii.gz").rename(at / "sub-02_T1w.nii.gz")
    job = planned(config_of()).jobs[0]
    assert (job.image.session, job.outputs.image[:15]) == ("ses-M000", "sub-02_ses-M000")


def test_sessions_without_the_modality_are_left_out_with_a_warning(bids, config_of, caplog):
    put(t1w(bids, name="FLAIR.nii.gz"))
    with caplog.at_level(logging.WARNING):
        jobs = planned(config_of(pipeline="flair-linear"), row=FlairLinear(), raw=RawFlair()).jobs
    assert [job.image.path.name for job in jobs] == ["sub-01_ses-M000_FLAIR.nii.gz"]
    assert "2 sessions have no such image" in caplog.text


def test_a_data_set_without_its_description_is_taken_with_a_warning(bids, config_of, caplog):
    (bids / "dataset_description.json").unlink()
    with caplog.at_level(logging.WARNING):
        assert len(planned(config_of()).jobs) == 3
    assert "dataset_description.json" in caplog.text


def several(bids, tmp_path):
    put(t1w(bids, name="acq-other_T1w.nii.gz"))
    return {}


def listed_without(bids, tmp_path):
    table = tmp_path / "some.tsv"
    table.write_text("participant_id\tsession_id\nsub-01\tses-M000\nsub-07\tses-M000\n")
    return {"participants_tsv": table}


def read_only(bids, tmp_path):
    (tmp_path / "caps").mkdir(mode=0o500)
    return {}


def a_file(bids, tmp_path):
    (tmp_path / "caps").write_text("")
    return {}


def in_the_way(bids, tmp_path):
    home = tmp_path / "caps" / "subjects" / "sub-01" / "ses-M000"
    home.mkdir(parents=True)
    (home / "t1_linear").write_text("a file")
    return {}


def other_folder(bids, tmp_path):
    (tmp_path / "caps" / "photos").mkdir(parents=True)
    return {}


def no_images(bids, tmp_path):
    for path in bids.rglob("*.nii.gz"):
        path.unlink()
    return {}


def stray(bids, tmp_path):
    shutil.copy(t1w(bids), t1w(bids).with_name("sub-02_ses-M000_T1w.nii.gz"))
    return {}


REFUSED = {
    "CAPS is BIDS": (lambda b, t: {"caps_directory": b}, InvalidDataError, "BIDS data set, not a"),
    "no data set": (lambda b, t: shutil.rmtree(b) or {}, MissingInputError, "does not exist"),
    "empty data set": (lambda b, t: shutil.rmtree(b) or b.mkdir() or {}, InvalidDataError, "empty"),
    "several images": (several, InvalidDataError, "Several images match"),
    "no such session": (listed_without, MissingInputError, r"sub-07 \| ses-M000"),
    "no such participant": (
        lambda b, t: {"participant_label": ("09",)}, MissingInputError, "sub-09"),
    "read-only": (read_only, OutputError, "cannot be written"),
    "a file": (a_file, MissingInputError, "not a folder"),
    "file in the way": (in_the_way, OutputError, "cannot be written"),
    "another folder": (other_folder, InvalidDataError, "not a CAPS"),
    "no images": (no_images, MissingInputError, "no image for t1-linear"),
    "stray file": (stray, InvalidDataError, "another participant"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_be_refused_is_refused_before_anything_is_written(bids, config_of, tmp_path, name):
    if name == "read-only" and os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    change, error, said = REFUSED[name]
    settings = change(bids, tmp_path)
    before = files(tmp_path)
    with pytest.raises(error, match=said):
        planned(config_of(**settings))
    assert files(tmp_path) == before


def test_a_read_only_place_is_refused(bids, config_of, monkeypatch):
    # Root may write anywhere, so that the system is asked in its place.
    monkeypatch.setattr(os, "access", lambda path, mode, **_: mode == os.R_OK | os.X_OK)
    with pytest.raises(OutputError, match="cannot be written"):
        planned(config_of())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"shard": "3/2"}, "counted"),
        ({"n_shards": 2}, "need each other"),
        ({"jobs": {"submit": "local"}, "n_shards": 2, "shard": "1/2"}, "of its own"),
        ({"template": "a.nii", "skull_stripped": True}, "a head"),
        ({"pipeline": "t1-volume"}, "t1-linear"),
        ({"n_proc": 0}, "n_proc|--n-proc"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(bids, given, said):
    whole = {"pipeline": "t1-linear", "bids_directory": bids, "caps_directory": "caps", **given}
    with pytest.raises(UsageError, match=said):
        read_settings(PreprocessLinearConfig, whole)


def test_shards_share_the_sessions_out_and_write_one_page(bids, config_of):
    seen = []
    for k in (1, 2):
        one = planned(config_of(shard=f"{k}/2"))
        seen += [job.image.path.name for job in one.jobs]
        plan.complete(one)
    assert len(seen) == len(set(seen)) == 3
    page = config_of().caps_directory / "preprocess" / "t1-linear.html"
    assert page.read_text().count("<figure>") == 3


def test_jobs_are_commands_that_say_the_same(bids, config_of):
    config = config_of(
        jobs=JobsConfig(submit="local"), n_shards=2, skull_stripped=False, overwrite=True
    )
    one, two = shards.commands(config)
    at = one.index("preprocess")
    assert one[at : at + 4] == [
        "preprocess", "t1-linear", str(bids), str(config.caps_directory)
    ]  # fmt: skip
    assert "--whole-head" in one and "--overwrite" in one
    assert (one[one.index("--shard") + 1], two[two.index("--shard") + 1]) == ("1/2", "2/2")


def test_without_antspyx_the_command_says_what_to_install(bids, config_of, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ants", None)
    with pytest.raises(MissingExtraError, match=r"pip install \"clinicadl\[preproc\]\""):
        linear.planned(config_of())


def test_what_a_sidecar_says_that_is_none_is_an_error_with_its_name(bids, config_of):
    plan.complete(planned(config_of()))
    job = planned(config_of()).jobs[0]
    job.outputs.sidecar.write_text("{")
    with pytest.raises(ClinicaDLError, match=job.outputs.sidecar.name):
        planned(config_of())
    job.outputs.sidecar.write_text(json.dumps({"Outputs": {"../../a": "0"}}))
    # A name that leads elsewhere is never removed.
    outside = job.outputs.home.parents[1] / "a"
    outside.write_text("mine")
    plan.complete(planned(config_of(overwrite=True)))
    assert outside.read_text() == "mine"
    assert np.any(images.read(job.outputs.home / job.outputs.image).voxels)
