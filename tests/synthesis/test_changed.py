"""Changed images keep the names of their participants, and everything about them is written."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest

from clinicadl import (
    ArtifactsConfig,
    PredictConfig,
    PrepareConfig,
    generate_artifacts,
    predict,
    prepare_data,
)
from clinicadl.config.preprocessing import PREPROCESSINGS
from clinicadl.draws import generator
from clinicadl.errors import LeakageError, PartialError, UsageError
from clinicadl.layouts import caps, images
from clinicadl.synthesis.artifacts import plan
from clinicadl.synthesis.changed import as_stored, draw_touched

GRID = (10, 9, 8)
AFFINE = np.array([[0.0, -4, 0, 16], [4, 0, 0, -16], [0, 0, 3, -14], [0, 0, 0, 1]])
NAME = "custom/{}_desc-Some_T1w.nii.gz"
CUSTOM = {"name": "custom", "custom_suffix": "desc-Some_T1w.nii.gz"}


def write_source(folder, name=NAME, n_participants=4, kind=np.float32):
    rows = ["participant_id\tsession_id\tdiagnosis\tage"]
    for number in range(n_participants):
        for session in ["ses-M000", "ses-M012"] if number == 0 else ["ses-M000"]:
            draw = generator(3, f"image/{session}", sample=number)
            voxels = np.zeros(GRID)
            voxels[1:9, 1:8, 1:7] = draw.uniform(50, 100, (8, 7, 6))
            participant = f"sub-{number:02d}"
            home = folder / "subjects" / participant / session
            path = home / name.format(f"{participant}_{session}")
            images.write(path, voxels.astype(kind), affine=AFFINE)
            rows.append(f"{participant}\t{session}\tCN\t{60 + number}")
    (folder / "sessions.tsv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def source(tmp_path):
    """A CAPS of four participants, the first with two sessions."""
    return write_source(tmp_path / "caps")


def config_of(source, target, **settings):
    quick = {"n_proc": 1, "seed": 5, "preprocessing": CUSTOM, "noise": True}
    return ArtifactsConfig(
        caps_directory=source, generated_caps_directory=target, **{**quick, **settings}
    )


def bits(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "commandline.json"
    }


@pytest.mark.parametrize("name", PREPROCESSINGS)
def test_the_same_preprocessing_finds_the_images_under_the_same_names(tmp_path, name, pipelines):
    settings, pattern = pipelines[name]
    source = write_source(tmp_path / "caps", pattern)
    preprocessing = {"name": name, **settings}
    folder = generate_artifacts(config_of(source, tmp_path / "new", preprocessing=preprocessing))
    row = PREPROCESSINGS[name](**settings)
    old, new = caps.index(source, row), caps.index(folder, row)
    assert list(new) == list(old)
    assert len(new) == 5
    for key, image in new.items():
        home, other = (path.parent.relative_to(root) for path, root in (
            (image.path, folder), (old[key].path, source),
        ))  # fmt: skip
        assert home == other
        assert image.path.name.startswith(f"{key[0]}_{key[1]}_art-noi_")


def test_a_share_of_the_participants_is_changed_with_all_sessions_of_each(source, tmp_path):
    folder = generate_artifacts(
        config_of(
            source, tmp_path / "new", share=0.5, participants_tsv=source / "sessions.tsv", seed=1
        )
    )
    table = pd.read_csv(folder / "data.tsv", sep="\t", dtype=str)
    of_person = table.groupby("participant_id")["diagnosis"].agg(set)
    assert all(len(labels) == 1 for labels in of_person)
    assert sorted(table.drop_duplicates("participant_id")["diagnosis"]) == (
        ["noi"] * 2 + ["untouched"] * 2
    )
    preprocessing = PREPROCESSINGS["custom"](custom_suffix=CUSTOM["custom_suffix"])
    old, new = caps.index(source, preprocessing), caps.index(folder, preprocessing)
    for row in table.itertuples():
        key = (row.participant_id, row.session_id)
        is_same = old[key].path.read_bytes() == new[key].path.read_bytes()
        assert is_same == (row.diagnosis == "untouched")


@pytest.mark.parametrize(("share", "expected"), [(0.01, 1), (0.5, 10), (1, 20)])
def test_the_share_is_exact_and_somebody_is_always_changed(source, tmp_path, share, expected):
    people = [f"sub-{i}" for i in range(20) for _ in range(2)]
    config = config_of(source, tmp_path / "new", share=share)
    drawn = draw_touched(people, config)
    assert len(drawn) == expected
    assert drawn == draw_touched(people, config)
    if share == 0.5:
        assert drawn != draw_touched(
            people, config_of(source, tmp_path / "new", share=share, seed=6)
        )


def test_the_table_keeps_what_was_known_of_the_sessions(source, tmp_path):
    folder = generate_artifacts(
        config_of(source, tmp_path / "new", participants_tsv=source / "sessions.tsv")
    )
    table = pd.read_csv(folder / "data.tsv", sep="\t", dtype=str)
    assert list(table) == [
        "participant_id", "session_id", "diagnosis", "severity", "source_diagnosis", "age",
    ]  # fmt: skip
    before = pd.read_csv(source / "sessions.tsv", sep="\t", dtype=str)
    assert list(table["age"]) == list(before["age"])
    assert set(table["source_diagnosis"]) == {"CN"}


def test_each_image_says_what_it_was_made_from(source, tmp_path):
    folder = generate_artifacts(config_of(source, tmp_path / "new", share=0.5))
    sidecars = sorted(folder.rglob("subjects/**/*.json"))
    assert len(sidecars) == 5
    for path in sidecars:
        said = json.loads(path.read_text())
        original = source / said["source"]
        assert path.name[:6] == original.name[:6]
        assert said["source_sha256"] == hashlib.sha256(original.read_bytes()).hexdigest()
        assert bool(said["changes"]) == ("art-noi" in path.name)
        assert path.with_name(path.name.replace(".json", ".nii.gz")).is_file()


def test_whole_numbers_stay_whole_numbers_within_their_limits(tmp_path):
    source = write_source(tmp_path / "caps", kind=np.uint8)
    folder = generate_artifacts(config_of(source, tmp_path / "new", noise_std=(100, 100)))
    for path in folder.rglob("*.nii.gz"):
        image = images.read(path)
        assert image.header.get_data_dtype() == np.uint8
        assert image.voxels.min() == 0
        assert image.voxels.max() == 255


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [(np.int16, 2.5, np.int16), (np.int16, 3.0, np.int16), (np.float32, 3.0, np.float32)],
)
def test_voxels_are_stored_as_the_source_stored_its_own(tmp_path, kind, value, expected):
    path = tmp_path / "image.nii"
    images.write(path, np.arange(8, dtype=kind).reshape(2, 2, 2), affine=np.eye(4))
    stored = as_stored(images.read(path), np.full((2, 2, 2), value + 0.4, dtype=np.float32))
    assert stored.dtype == expected
    assert stored[0, 0, 0] == (
        np.rint(value + 0.4) if kind == np.int16 else np.float32(value + 0.4)
    )


def test_scaled_numbers_are_no_whole_numbers(tmp_path):
    image = images.Image(np.full((2, 2, 2), 0.5, np.float32), np.eye(4), None)
    path = tmp_path / "image.nii"
    images.write(path, np.zeros((2, 2, 2), dtype=np.uint8), affine=np.eye(4))
    image = image._replace(header=images.read(path).header)
    assert as_stored(image, image.voxels).dtype == np.float32


def test_affine_and_header_are_kept(source, tmp_path):
    path = next(source.rglob("sub-03_*"))
    image = images.read(path)
    image.header["descrip"] = b"one of a kind"
    images.write(path, image.voxels, affine=AFFINE, header=image.header)
    folder = generate_artifacts(config_of(source, tmp_path / "new"))
    copy = images.read(next(folder.rglob("sub-03_*.nii.gz")))
    np.testing.assert_allclose(copy.affine, AFFINE)
    assert copy.header["descrip"].item() == b"one of a kind"


def test_the_seed_decides_and_not_the_number_of_processes(source, tmp_path):
    one = bits(generate_artifacts(config_of(source, tmp_path / "one", share=0.5)))
    two = bits(generate_artifacts(config_of(source, tmp_path / "two", share=0.5, n_proc=2)))
    other = bits(generate_artifacts(config_of(source, tmp_path / "other", seed=6)))
    assert one == two
    assert one != other


def test_an_image_that_cannot_be_read_is_listed_and_the_others_are_complete(source, tmp_path):
    next(source.rglob("sub-00_ses-M000_*")).write_bytes(b"no image")
    with pytest.raises(PartialError, match=r"1 of 5 images.*sub-00"):
        generate_artifacts(config_of(source, tmp_path / "new"))
    failed = pd.read_csv(tmp_path / "new" / "failed.tsv", sep="\t")
    assert list(failed["session_id"]) == ["ses-M000"]
    assert len(pd.read_csv(tmp_path / "new" / "data.tsv", sep="\t")) == 4


def test_names_that_would_not_be_found_again_are_refused(source, tmp_path):
    row = {"name": "custom", "custom_suffix": "ses-M0??_desc-Some_T1w.nii.gz"}
    with pytest.raises(UsageError, match="does not find"):
        plan(config_of(source, tmp_path / "new", preprocessing=row))


@pytest.fixture
def noisy(prepared, tmp_path):
    """The prepared CAPS with noise, prepared as well, and the table of its images."""
    suffix = "desc-Tiny_T1w.nii.gz"
    folder = generate_artifacts(
        config_of(
            prepared,
            tmp_path / "noisy",
            preprocessing={"name": "custom", "custom_suffix": suffix},
            participants_tsv=prepared / "labels.tsv",
        )
    )
    prepare_data(
        PrepareConfig(
            caps_directory=folder,
            preprocessing={"name": "custom", "custom_suffix": suffix},
            extract_json="tiny",
            n_proc=1,
        )
    )
    return folder


def _group(noisy, people, tmp_path):
    table = pd.read_csv(noisy / "data.tsv", sep="\t", dtype=str)
    table = table[table["participant_id"].isin(people)]
    table["diagnosis"] = table["source_diagnosis"]
    path = tmp_path / "group.tsv"
    table.to_csv(path, sep="\t", index=False)
    return PredictConfig(
        caps_directory=noisy, participants_tsv=path, gpu=False, n_proc=0, batch_size=4,
    )  # fmt: skip


def test_no_model_that_saw_the_source_is_evaluated_on_the_changed_image(
    trained, noisy, prepared, tmp_path
):
    seen = pd.read_csv(prepared / "split" / "train.tsv", sep="\t")["participant_id"].unique()
    with pytest.raises(
        LeakageError, match=f"{len(seen)} of {len(seen)} participants.*seen"
    ) as leak:
        predict(_group(noisy, seen, tmp_path), trained, "noisy")
    assert leak.value.exit_code == 4
    assert not (trained / "groups" / "noisy").exists()


def test_a_model_is_evaluated_on_the_changed_images_of_others(trained, noisy, prepared, tmp_path):
    others = pd.read_csv(prepared / "split" / "test_baseline.tsv", sep="\t")["participant_id"]
    predict(_group(noisy, set(others), tmp_path), trained, "noisy")
    metrics = trained / "split-0" / "best-loss" / "noisy" / "noisy_image_level_metrics.tsv"
    assert metrics.is_file()


def test_source_and_changed_image_are_not_trained_on_as_two_cohorts(
    prepared, noisy, tmp_path, invoke
):
    folds = prepared / "split" / "2_fold"
    # Who trains clean images in split 0 validates noisy ones in split 1.
    caps_of = f"cohort\tpath\nclean\t{prepared}\nnoisy\t{noisy}\n"
    tables = f"cohort\tpath\tdiagnoses\nclean\t{folds}/split-0\tAD,CN\n"
    tables += f"noisy\t{folds}/split-1\tAD,CN\n"
    (tmp_path / "caps.tsv").write_text(caps_of)
    (tmp_path / "tables.tsv").write_text(tables)
    code, _, said = invoke(
        "train", "classification", tmp_path / "caps.tsv", "tiny", tmp_path / "tables.tsv",
        tmp_path / "maps", "--multi_cohort", "--no-gpu", "-a", "Conv4_FC3",
    )  # fmt: skip
    assert code == 65
    assert "14 sessions are in two cohorts" in said
    assert not (tmp_path / "maps").exists()
