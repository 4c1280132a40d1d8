"""bids-app, whole: a made-up participant, a tiny model, the group level, and what is refused."""

import json
import shutil
import stat
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("ants", reason="needs antspyx, of the extra preproc")

from clinicadl import (
    BidsAppConfig,
    KFoldConfig,
    PrepareConfig,
    kfold,
    prepare_data,
    read_experiment,
    run_bids_app,
    train,
)
from clinicadl.bids_app import group, participant, validated
from clinicadl.draws import generator
from clinicadl.errors import (
    ClinicaDLError,
    InvalidDataError,
    LeakageError,
    MissingInputError,
    OutputError,
    PartialError,
    UsageError,
)
from clinicadl.layouts import derivatives, images
from clinicadl.layouts.maps import names
from clinicadl.preprocess import brain, space

CROP = "space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_T1w.nii.gz"
TURNED = np.array([[0.98, -0.17, 0, 9], [0.17, 0.98, 0, -14], [0, 0, 1, 20], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def bids(tmp_path_factory) -> Path:
    """A data set of one participant with two sessions, and of one whose image is of noise."""
    home = tmp_path_factory.mktemp("data") / "bids"
    small, _ = space.block_means(brain.read_template(brain.template_path()), 4.0)
    for number, session in enumerate(("ses-M000", "ses-M012")):
        folder = home / "sub-01" / session / "anat"
        voxels = (small.voxels * (2 + number)).astype(np.int16)
        images.write(folder / f"sub-01_{session}_T1w.nii.gz", voxels, affine=TURNED @ small.affine)
    path = home / "sub-02" / "ses-M000" / "anat" / "sub-02_ses-M000_T1w.nii.gz"
    images.write(path, np.zeros((24, 24, 24), np.int16), affine=np.diag([8.0, 8, 8, 1]))
    (home / "dataset_description.json").write_text('{"Name": "two", "BIDSVersion": "1.8.0"}')
    return home


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A MAPS that was trained on four images of no head, on the grid of t1-linear."""
    home = tmp_path_factory.mktemp("model")
    caps, rows = home / "caps", ["participant_id\tsession_id\tdiagnosis\tage\tsex"]
    for number in range(4):
        who = f"sub-T{chr(97 + number)}"
        coarse = generator(1, "bids-app", sample=number).uniform(0, 100, (13, 16, 1))
        voxels = np.kron(coarse, np.ones((13, 13, 179))).astype(np.float32)
        path = caps / "subjects" / who / "ses-M000" / "t1_linear" / f"{who}_ses-M000_{CROP}"
        images.write(path, np.ascontiguousarray(voxels), affine=space.crop_frame().affine)
        rows.append(f"{who}\tses-M000\t{('AD', 'CN')[number % 2]}\t{70 + number}\tF")
    (caps / "labels.tsv").write_text("\n".join(rows) + "\n")
    kfold(KFoldConfig(data_tsv=caps / "labels.tsv", n_splits=2))
    prepare_data(
        PrepareConfig(
            caps_directory=caps, preprocessing={"name": "t1-linear"}, extract_json="t1", n_proc=1
        )
    )
    settings = {
        "data": {
            "caps_directory": caps, "preprocessing_json": "t1", "tsv_directory": caps / "2_fold"
        },
        "task": {"name": "classification"},
        "network": {"name": "Conv4_FC3"},
        "transforms": {"size_reduction": True, "size_reduction_factor": 5},
        "optimization": {"epochs": 1, "batch_size": 2},
        "validation": {"n_splits": 2},
        "compute": {"n_proc": 0, "gpu": False},
    }  # fmt: skip
    train(read_experiment(settings), home / "maps")
    return home / "maps"


@pytest.fixture
def config_of(bids, tmp_path):
    """Return a function that makes settings."""

    def of(**settings) -> BidsAppConfig:
        given = {
            "bids_directory": bids, "output_directory": tmp_path / "out", "n_proc": 1,
            "analysis_level": "participant", "skip_bids_validator": True,
        }  # fmt: skip
        given |= {"skull_stripped": True} if settings.get("analysis_level") != "group" else {}
        return BidsAppConfig(**(given | settings))

    return of


@pytest.fixture(scope="module")
def made(bids, model, tmp_path_factory) -> Path:
    """The derivatives of both participants, of whom one cannot be used."""
    target = tmp_path_factory.mktemp("made") / "out"
    before = {path: path.read_bytes() for path in model.rglob("*") if path.is_file()}
    config = BidsAppConfig(
        bids_directory=bids, output_directory=target, analysis_level="participant", n_proc=1,
        skull_stripped=True, skip_bids_validator=True, model=model, ensemble=True, gpu=False,
    )  # fmt: skip
    with pytest.raises(PartialError, match=r"1 of 3 images could not be used .*sub-02"):
        run_bids_app(config)
    after = {path: path.read_bytes() for path in model.rglob("*") if path.is_file()}
    assert after == before, "the model is only read"
    return target


@pytest.fixture
def copied(made, tmp_path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "out"))


def table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t")


def test_images_are_registered_and_judged(made):
    for session in ("ses-M000", "ses-M012"):
        home = made / "caps" / "subjects" / "sub-01" / session / "t1_linear"
        assert images.read(home / f"sub-01_{session}_{CROP}").voxels.shape == (169, 208, 179)
    found = table(made / "sub-01" / "sub-01_quality.tsv")
    assert list(found.session_id) == ["ses-M000", "ses-M012"]
    assert found["pass"].all()
    assert "image" not in found
    assert (made / "caps" / "preprocess" / "t1-linear.html").is_file()
    assert not (made / "sub-02").exists()


def test_what_the_models_say_is_written_with_where_it_is_from(made, model):
    found = table(made / "sub-01" / "sub-01_prediction.tsv")
    for session in ("ses-M000", "ses-M012"):
        rows = found[found.session_id == session]
        assert list(rows.split) == ["0", "1", "ensemble"]
        np.testing.assert_allclose(rows.proba0 + rows.proba1, 1, atol=1e-6)
        one, other, both = rows.proba0
        np.testing.assert_allclose(both, (one + other) / 2, atol=1e-6)
    assert not [column for column in found if column.startswith("true_")]
    said = json.loads((made / "sub-01" / "sub-01_prediction.json").read_text())
    assert said["Classes"] == {"proba0": "AD", "proba1": "CN"}
    assert said["Model"] == "maps"
    assert said["AcceptedLeakage"] is None


def test_the_numbers_are_those_of_predict(made, model, tmp_path):
    from clinicadl import PredictConfig, predict

    copy = Path(shutil.copytree(model, tmp_path / "maps"))
    home = made / "caps" / "subjects" / "sub-01" / "ses-M000" / "t1_linear"
    predict(PredictConfig(image=(home / f"sub-01_ses-M000_{CROP}",), gpu=False), copy, "one")
    for split in (0, 1):
        own = table(names.predictions(names.results(copy, split, "loss", "one"), "image"))
        found = table(made / "sub-01" / "sub-01_prediction.tsv")
        row = found[(found.session_id == "ses-M000") & (found.split == str(split))]
        assert list(row.proba0) == list(own.proba0)


def test_the_folder_says_what_it_is(made):
    said = json.loads((made / "dataset_description.json").read_text())
    assert said["DatasetType"] == "derivative"
    assert said["BIDSVersion"] == "1.8.0"
    assert said["GeneratedBy"][0]["Name"] == "ClinicaDL"
    assert "/caps" in (made / ".bidsignore").read_text().splitlines()


def test_the_group_level_gathers_and_names_who_is_missing(copied, config_of):
    config = config_of(analysis_level="group")
    with pytest.raises(PartialError, match=r"1 of 3 sessions have no result .*sub-02 \| ses-M000"):
        run_bids_app(config)
    assert len(table(copied / "group_quality.tsv")) == 2
    assert len(table(copied / "group_prediction.tsv")) == 6
    page = (copied / "index.html").read_text()
    assert "sub-02 | ses-M000" in page
    assert 'href="caps/preprocess/t1-linear.html"' in page
    only = config_of(analysis_level="group", participant_label=("01",), session_label=("M012",))
    assert run_bids_app(only) == copied / "index.html"
    assert list(table(copied / "group_quality.tsv").session_id) == ["ses-M012"]


def test_the_page_escapes_what_tables_say(copied, config_of):
    path = copied / "sub-01" / "sub-01_quality.tsv"
    path.write_text(path.read_text().replace("\tnone\n", "\tnone\n").replace("True", "<b>x</b>"))
    run_bids_app(config_of(analysis_level="group", participant_label=("01",)))
    page = (copied / "index.html").read_text()
    assert "<b>x</b>" not in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page


def test_a_session_by_itself_leaves_the_rows_of_others(copied, config_of, model):
    before = {path: path.read_bytes() for path in (copied / "sub-01").iterdir()}
    config = config_of(participant_label=("sub-01",), session_label=("M012",), model=model,
                       ensemble=True, gpu=False)  # fmt: skip
    assert run_bids_app(config) == copied / "caps"
    assert {path: path.read_bytes() for path in (copied / "sub-01").iterdir()} == before


def test_another_model_is_refused_before_anything_is_written(copied, config_of, model, tmp_path):
    other = Path(shutil.copytree(model, tmp_path / "other"))
    record = names.record(other)
    record.write_text(record.read_text() + "\n")
    with pytest.raises(OutputError, match="predictions of another model"):
        participant.plan(config_of(participant_label=("01",), model=other))
    participant.plan(config_of(participant_label=("01",), model=other, overwrite=True))


def test_participants_that_the_model_has_seen_are_refused(bids, config_of, model, tmp_path):
    home = tmp_path / "seen"
    seen = home / "sub-Ta" / "ses-M000" / "anat" / "sub-Ta_ses-M000_T1w.nii.gz"
    seen.parent.mkdir(parents=True)
    shutil.copyfile(bids / "sub-01/ses-M000/anat/sub-01_ses-M000_T1w.nii.gz", seen)
    config = config_of(bids_directory=home, model=model)
    with pytest.raises(LeakageError, match="sub-Ta"):
        run_bids_app(config)
    assert not (tmp_path / "out").exists()
    accepted = config_of(bids_directory=home, model=model, accept_leakage="a rehearsal")
    planned = participant.plan(accepted)
    assert planned.model.sidecar["AcceptedLeakage"] == "a rehearsal"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"participant_label": ("03",)}, "participants are not known"),
        ({"session_label": ("M000", "M099")}, r"1 of 2 sessions are not known .*ses-M099"),
    ],
)
def test_labels_that_nobody_has_are_refused(config_of, settings, message):
    with pytest.raises(MissingInputError, match=message):
        participant.plan(config_of(**settings))
    with pytest.raises(MissingInputError):
        group.plan(config_of(analysis_level="group", **settings))


def test_a_folder_of_somebody_else_is_refused(config_of, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(InvalidDataError, match="what this command did not make"):
        participant.plan(config_of())
    with pytest.raises(MissingInputError, match="No participant is done"):
        group.plan(config_of(analysis_level="group", output_directory=tmp_path / "new"))


def test_a_folder_for_work_must_be_there(config_of, tmp_path):
    with pytest.raises(MissingInputError, match="work"):
        participant.plan(config_of(work_directory=tmp_path / "absent"))


@pytest.mark.parametrize("change", ["pet", "channels", "untrained"])
def test_models_that_take_other_images_are_refused(config_of, model, tmp_path, change):
    copy = Path(shutil.copytree(model, tmp_path / "maps"))
    record = json.loads(names.record(copy).read_text())
    (extraction,) = record["extractions"]
    expected: type[ClinicaDLError] = UsageError
    if change == "pet":
        extraction |= {"preprocessing": "custom", "custom_suffix": "x_T1w.nii.gz"}
    elif change == "channels":
        record["extractions"] = [extraction, extraction]
    else:
        shutil.rmtree(copy / "split-0")
        shutil.rmtree(copy / "split-1")
        expected = MissingInputError
    names.record(copy).write_text(json.dumps(record))
    with pytest.raises(expected):
        participant.plan(config_of(participant_label=("01",), model=copy))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "settings",
    [
        {"analysis_level": "group", "overwrite": True},
        {"analysis_level": "group", "work_directory": Path()},
        {"ensemble": True},
        {"gpu": False},
        {"accept_leakage": "why"},
        {"template": Path("x.nii.gz")},
    ],
)
def test_settings_without_a_meaning_are_refused(config_of, settings):
    with pytest.raises(ValueError, match=r"mean|template"):
        config_of(**settings)


def pretend(folder: Path, answer: str) -> None:
    path = folder / validated.PROGRAM
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{answer}\nEND\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_errors_of_the_validator_are_refused_unless_it_is_skipped(config_of, tmp_path, monkeypatch):
    # The one that is installed beside this Python would be taken first.
    monkeypatch.setattr(validated.sys, "executable", str(tmp_path / "python"))
    issues = [
        {"severity": "warning", "code": "FINE"},
        {"severity": "error", "code": "NOT_INCLUDED", "location": "/x.txt"},
    ]
    pretend(tmp_path, json.dumps({"issues": {"issues": issues}}))
    with pytest.raises(InvalidDataError, match=r"1 errors in .*NOT_INCLUDED /x\.txt"):
        participant.plan(config_of(skip_bids_validator=False))
    participant.plan(config_of())
    pretend(tmp_path, json.dumps({"issues": {"issues": issues[:1]}}))
    participant.plan(config_of(skip_bids_validator=False))
    pretend(tmp_path, "no JSON")
    with pytest.raises(ClinicaDLError, match="nothing that can be read"):
        participant.plan(config_of(skip_bids_validator=False))


def test_a_missing_validator_is_said(config_of, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(validated.shutil, "which", lambda *_, **__: None)
    participant.plan(config_of(skip_bids_validator=False))
    assert "not validated" in caplog.text


def test_the_command_line_of_bids_apps(invoke, made, bids, tmp_path):
    copy = shutil.copytree(made, tmp_path / "out")
    words = ("--skip_bids_validator", "--participant_label", "01")
    code, out, _ = invoke("bids-app", bids, copy, "group", *words)
    assert (code, out) == (0, f"page: {copy / 'index.html'}\n")
    code, out, err = invoke(
        "bids-app", bids, copy, "participant", *words, "--session_label", "M000", "--n_cpus", "1",
        "--skull-stripped", "-w", tmp_path,
    )  # fmt: skip
    assert code == 0, err
    assert f"derivatives: {copy}" in out
    code, out, _ = invoke("bids-app", bids, tmp_path / "new", "participant", *words, "--dry-run")
    assert code == 0
    assert "would read" in out
    assert not (tmp_path / "new").exists()
    assert invoke("bids-app", "--version")[1].startswith("clinicadl ")


def test_the_layout_is_known_in_one_place(made):
    assert derivatives.tables(made, "quality") == {"sub-01": made / "sub-01" / "sub-01_quality.tsv"}


def test_the_validator_of_bids_passes_what_is_written(made):
    program = validated.program()
    if program is None:
        pytest.skip("bids-validator-deno is not installed, of the extra bids")
    validated.check(made)
    (made / "dataset_description.json").rename(made / "kept")
    try:
        with pytest.raises(InvalidDataError, match="MISSING_DATASET_DESCRIPTION"):
            validated.check(made)
    finally:
        (made / "kept").rename(made / "dataset_description.json")
