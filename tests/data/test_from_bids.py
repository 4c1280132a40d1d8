"""prepare-data-from-bids: raw images of any grid become tensors that training can tell apart."""

import json
import logging
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from nibabel.processing import resample_from_to

from clinicadl import PrepareConfig, PrepareFromBidsConfig, prepare_data, prepare_data_from_bids
from clinicadl.config.jobs import JobsConfig
from clinicadl.config.mode import MODES
from clinicadl.config.preprocessing import T1Linear
from clinicadl.config.raw import RAW, Grid, RawCustom, RawT1
from clinicadl.config.read import settings as read_settings
from clinicadl.data import belonging, from_bids, origin, prepare, shards
from clinicadl.draws import generator
from clinicadl.errors import (
    InvalidDataError,
    MissingInputError,
    OutputError,
    PartialError,
    UsageError,
)
from clinicadl.layouts import caps, grids, images, masks, part_files
from clinicadl.layouts.caps import StoredImage, read_extraction

# Thick slices, axes to the left, the back and above, turned a little: as a scanner writes them.
AFFINE = np.array([[-1.0, 0, 0.1, 9], [0, -1, 0.2, 11], [0.03, 0.05, 3, -7], [0, 0, 0, 1]])
SHAPE = (18, 20, 7)
KEYS = [("sub-01", "ses-M000"), ("sub-01", "ses-M012"), ("sub-02", "ses-M000")]
COARSE = {"voxel_size": (2.0,), "grid_size": (10, 11, 9)}
FINE = {"voxel_size": (1.5, 1.5, 2), "grid_size": (12,)}


def put(path: Path, number: int = 0, *, affine=AFFINE, shape=SHAPE) -> Path:
    drawn = generator(4, "raw", sample=number).integers(1, 900, shape).astype(np.int16)
    images.write(path, drawn, affine=affine)
    return path


def raw_path(bids: Path, key: tuple[str, str], suffix: str = "T1w", where: str = "anat") -> Path:
    return bids / key[0] / key[1] / where / f"{key[0]}_{key[1]}_{suffix}.nii.gz"


@pytest.fixture
def bids(tmp_path) -> Path:
    home = tmp_path / "bids"
    for number, key in enumerate(KEYS):
        put(raw_path(home, key), number)
    # What a data set has besides.
    (home / "dataset_description.json").write_text("{}")
    shutil.copytree(home / "sub-02", home / "derivatives" / "other" / "sub-02")
    put(home / "derivatives" / "other" / "sub-03" / "ses-M000" / "anat" / "sub-03_T1w.nii.gz")
    return home


def config(bids: Path, **settings) -> PrepareFromBidsConfig:
    given = {"preprocessing": {"name": "t1"}, "extract_json": "raw", "n_proc": 1}
    return PrepareFromBidsConfig(
        bids_directory=bids, caps_directory=bids.parent / "caps", **{**given, **settings}
    )


def home_of(directory: Path, key: tuple[str, str], folder: str = "t1", mode="image") -> Path:
    made = directory / "subjects" / key[0] / key[1] / "deeplearning_prepare_data"
    return made / f"{mode}_based" / folder


def everything(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return the identity, time and content of each file: what is left alone keeps all three."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()
        )
        for path in sorted(folder.rglob("*")) if path.is_file()
    }  # fmt: skip


def outcomes(settings: PrepareFromBidsConfig) -> list[bool]:
    return [one.result.written for one in prepare.run(from_bids.plan(settings))]


@pytest.mark.parametrize("n_proc", [1, 2])
def test_without_a_grid_each_tensor_holds_the_intensities_of_its_image(bids, tmp_path, n_proc):
    before = everything(bids)
    written = prepare_data_from_bids(config(bids, n_proc=n_proc))
    directory = tmp_path / "caps"
    assert written == directory / "tensor_extraction" / "raw.json"
    for key in KEYS:
        home = home_of(directory, key)
        assert sorted(path.name for path in home.iterdir()) == [
            f"{key[0]}_{key[1]}_T1w.json", f"{key[0]}_{key[1]}_T1w.pt",
        ]  # fmt: skip
        stored = torch.load(home / f"{key[0]}_{key[1]}_T1w.pt")
        image = nib.load(raw_path(bids, key))
        assert torch.equal(stored[0], torch.from_numpy(image.get_fdata(dtype=np.float32)))
        known = origin.read(home / f"{key[0]}_{key[1]}_T1w.json")
        np.testing.assert_array_equal(known.affine, image.affine)
        assert known.source == f"../bids/{raw_path(bids, key).relative_to(bids).as_posix()}"
    assert not (directory / "subjects" / "sub-03").exists()
    assert everything(bids) == before


def test_the_json_says_what_training_needs(bids, tmp_path):
    path = prepare_data_from_bids(config(bids, mode={"name": "slice", "slice_direction": 1}))
    content = json.loads(path.read_text())
    assert content == {
        "preprocessing": "t1", "source": "bids", "mode": "slice", "use_uncropped_image": None,
        "prepare_dl": False, "extract_json": "raw.json",
        "file_type": {"pattern": "anat/*_T1w.nii*", "description": "image of t1"},
        "slice_direction": 1, "slice_mode": "rgb", "discarded_slices": [0, 0],
    }  # fmt: skip
    said = read_extraction(tmp_path / "caps", "raw")
    assert said.preprocessing == RawT1()
    assert caps.mode_settings(said) == MODES["slice"](slice_direction=1)
    content = json.loads(
        prepare_data_from_bids(config(bids, extract_json="g", **COARSE)).read_text()
    )
    grid = {"shape": [10, 11, 9], "voxel_size": [2, 2, 2], "interpolation": "linear"}
    assert content["grid"] == grid
    said = read_extraction(tmp_path / "caps", "g")
    assert said.preprocessing == RawT1(grid=Grid(shape=(10, 11, 9), voxel_size=(2, 2, 2)))


@pytest.mark.parametrize("way", ["linear", "nearest", "cubic"])
def test_a_stated_grid_is_where_the_tensors_and_their_affines_are(bids, tmp_path, way):
    prepare_data_from_bids(config(bids, interpolation=way, **COARSE))
    row = read_extraction(tmp_path / "caps", "raw").preprocessing
    found = belonging.verify(tmp_path / "caps", row, KEYS)
    for key in KEYS:
        (tensor,), known = found[key]
        assert tensor.name == f"{key[0]}_{key[1]}_grid-{grids.digest(row.grid)}_T1w.pt"
        one = images.read(raw_path(bids, key))
        expected = grids.onto(one, row.grid, raw_path(bids, key))
        assert torch.equal(torch.load(tensor)[0], torch.from_numpy(expected.voxels))
        assert known.shape == (1, 10, 11, 9)
        np.testing.assert_array_equal(known.affine, expected.affine)
        assert known.sha256 == one.sha256
        assert images.orientation(np.array(known.affine)) == "RAS"


def test_the_grid_of_another_image_is_taken_with_its_place(bids, tmp_path):
    place = np.diag([2.0, 2, 2, 1])
    place[:3, 3] = [-8, -9, -6]
    template = put(tmp_path / "template.nii.gz", 7, affine=place, shape=(9, 10, 8))
    prepare_data_from_bids(config(bids, like=template))
    template.unlink()
    row = read_extraction(tmp_path / "caps", "raw").preprocessing
    for _, known in belonging.verify(tmp_path / "caps", row, KEYS).values():
        assert known.shape == (1, 9, 10, 8)
        np.testing.assert_array_equal(known.affine, place)


def test_two_grids_and_none_lie_side_by_side_and_do_not_mix(bids, tmp_path):
    directory = tmp_path / "caps"
    prepare_data_from_bids(config(bids, extract_json="none"))
    before = everything(directory)
    for name, grid in (("coarse", COARSE), ("fine", FINE)):
        assert outcomes(config(bids, extract_json=name, **grid)) == [True] * 3
    assert {path: everything(directory)[path] for path in before} == before
    shapes = {"none": (1, *SHAPE), "coarse": (1, 10, 11, 9), "fine": (1, 12, 12, 12)}
    for name, shape in shapes.items():
        row = read_extraction(directory, name).preprocessing
        found = belonging.verify(directory, row, KEYS)
        assert {known.shape for _, known in found.values()} == {shape}
        assert {tuple(torch.load(path).shape) for (path,), _ in found.values()} == {shape}
    for file in directory.rglob(f"*_grid-{grids.digest(row.grid)}_*"):
        file.unlink()
    with pytest.raises(MissingInputError, match="3 of 3 sessions have no tensor") as refusal:
        belonging.verify(directory, row, KEYS)
    assert "Run prepare-data-from-bids" in str(refusal.value)


def test_a_second_run_makes_nothing_and_touches_nothing(bids, tmp_path):
    prepare_data_from_bids(config(bids, **COARSE))
    before = everything(tmp_path / "caps")
    planned = from_bids.plan(config(bids, **COARSE))
    assert all(prepare.is_prepared(job) for job in planned.jobs)
    assert outcomes(config(bids, **COARSE)) == [False] * 3
    assert everything(tmp_path / "caps") == before
    assert outcomes(config(bids, extract_json="again", **COARSE)) == [False] * 3


@pytest.mark.parametrize(
    "spoil",
    [
        lambda tensor: tensor.unlink(),
        lambda tensor: tensor.write_bytes(tensor.read_bytes()[:-1]),
        lambda tensor: tensor.with_suffix(".json").unlink(),
        lambda tensor: tensor.with_suffix(".json").write_text("{"),
    ],
    ids=["absent", "short", "no origin", "damaged origin"],
)
def test_what_is_not_whole_is_refused_in_training_and_made_again(bids, tmp_path, spoil):
    prepare_data_from_bids(config(bids, **COARSE))
    directory = tmp_path / "caps"
    row = read_extraction(directory, "raw").preprocessing
    (tensor,) = home_of(directory, KEYS[1]).glob("*.pt")
    whole = tensor.read_bytes()
    spoil(tensor)
    with pytest.raises((MissingInputError, InvalidDataError), match=r"sub-01 \| ses-M012"):
        belonging.verify(directory, row, KEYS)
    assert outcomes(config(bids, **COARSE)) == [False, True, False]
    assert tensor.read_bytes() == whole
    assert list(belonging.verify(directory, row, KEYS)) == KEYS


def test_an_image_that_changed_is_seen_and_one_that_is_gone_is_no_matter(bids, tmp_path):
    prepare_data_from_bids(config(bids, **COARSE))
    directory = tmp_path / "caps"
    row = read_extraction(directory, "raw").preprocessing
    put(raw_path(bids, KEYS[2]), 99)
    with pytest.raises(InvalidDataError, match=r"sub-02 \| ses-M000 \(the image changed\)") as said:
        belonging.verify(directory, row, KEYS)
    assert "Run prepare-data-from-bids again" in str(said.value)
    assert outcomes(config(bids, **COARSE)) == [False, False, True]
    shutil.rmtree(bids)
    assert list(belonging.verify(directory, row, KEYS)) == KEYS


def test_data_set_and_caps_can_be_moved_together_or_alone(bids, tmp_path):
    prepare_data_from_bids(config(bids))
    (tmp_path / "there").mkdir()
    for name in ("bids", "caps"):
        (tmp_path / name).rename(tmp_path / "there" / name)
    moved, directory = tmp_path / "there" / "bids", tmp_path / "there" / "caps"
    assert outcomes(config(moved)) == [False] * 3
    put(raw_path(moved, KEYS[0]), 99)
    with pytest.raises(InvalidDataError, match="the image changed"):
        belonging.verify(directory, RawT1(), KEYS)
    put(raw_path(moved, KEYS[0]), 0)
    moved.rename(tmp_path / "elsewhere")
    tensor = home_of(directory, KEYS[0]) / "sub-01_ses-M000_T1w.pt"
    before = tensor.stat()
    again = config(tmp_path / "elsewhere").model_copy(update={"caps_directory": directory})
    assert outcomes(again) == [False] * 3
    assert tensor.stat() == before
    known = origin.read(tensor.with_suffix(".json"))
    assert known.source == "../../elsewhere/sub-01/ses-M000/anat/sub-01_ses-M000_T1w.nii.gz"


def test_a_caps_behind_a_link_names_its_images_so_that_they_are_found(bids, tmp_path):
    (tmp_path / "disk" / "deep" / "caps").mkdir(parents=True)
    (tmp_path / "caps").symlink_to(tmp_path / "disk" / "deep" / "caps")
    prepare_data_from_bids(config(bids))
    put(raw_path(bids, KEYS[0]), 99)
    with pytest.raises(InvalidDataError, match="the image changed"):
        belonging.verify(tmp_path / "caps", RawT1(), KEYS)


def test_images_that_are_links_are_named_as_the_data_set_names_them(bids, tmp_path):
    image = raw_path(bids, KEYS[0])
    (tmp_path / "store").mkdir()
    image.rename(tmp_path / "store" / "SHA256E-s123")
    image.symlink_to(tmp_path / "store" / "SHA256E-s123")
    prepare_data_from_bids(config(bids))
    known = origin.read(home_of(tmp_path / "caps", KEYS[0]) / "sub-01_ses-M000_T1w.json")
    assert known.source == f"../bids/{image.relative_to(bids).as_posix()}"
    assert outcomes(config(bids)) == [False] * 3


def test_without_a_session_level_the_session_is_the_only_one(tmp_path):
    bids = tmp_path / "bids"
    path = put(bids / "sub-07" / "anat" / "sub-07_T1w.nii", 3)
    prepare_data_from_bids(config(bids, **COARSE))
    key = ("sub-07", "ses-M000")
    row = read_extraction(tmp_path / "caps", "raw").preprocessing
    ((tensor,), known) = belonging.verify(tmp_path / "caps", row, [key])[key]
    assert tensor.name == f"sub-07_grid-{grids.digest(row.grid)}_T1w.pt"
    assert known.source == "../bids/sub-07/anat/sub-07_T1w.nii"
    put(bids / "sub-07" / "ses-M000" / "anat" / "sub-07_ses-M000_T1w.nii.gz")
    with pytest.raises(InvalidDataError, match="ses-M000 and in no session") as refusal:
        from_bids.plan(config(bids))
    assert path.name in str(refusal.value)


def test_of_several_runs_the_last_is_taken_with_a_warning(bids, tmp_path, caplog):
    for run in (1, 2, 10):
        put(raw_path(bids, KEYS[2], f"run-{run}_T1w"), run)
    raw_path(bids, KEYS[2]).unlink()
    with caplog.at_level(logging.WARNING):
        prepare_data_from_bids(config(bids))
    assert "1 sessions have several runs, of which the last is taken: sub-02 | ses-M000" in (
        caplog.text
    )
    (tensor,) = home_of(tmp_path / "caps", KEYS[2]).glob("*.pt")
    assert tensor.name == "sub-02_ses-M000_run-10_T1w.pt"


def test_several_images_of_sessions_are_named_together(bids):
    for key in KEYS[1:]:
        put(raw_path(bids, key, "acq-x_T1w"))
    with pytest.raises(InvalidDataError, match="Several images match in 2 sessions") as refusal:
        from_bids.plan(config(bids))
    said = str(refusal.value)
    assert "(sub-01 | ses-M012)" in said
    assert "sub-02_ses-M000_acq-x_T1w.nii.gz" in said


def test_sessions_that_the_table_leaves_out_are_no_matter(bids, tmp_path):
    put(raw_path(bids, KEYS[2], "acq-x_T1w"))
    table = tmp_path / "table.tsv"
    table.write_text("participant_id\tsession_id\nsub-01\tses-M012\n")
    prepare_data_from_bids(config(bids, participants_tsv=table))
    assert [path.name for path in tmp_path.rglob("*.pt")] == ["sub-01_ses-M012_T1w.pt"]


def test_sessions_without_an_image_of_the_modality_are_named(bids):
    put(raw_path(bids, KEYS[0], "FLAIR"))
    with pytest.raises(MissingInputError, match="2 of 3 sessions have no image") as refusal:
        from_bids.plan(config(bids, preprocessing="flair"))
    assert "(sub-01 | ses-M012), (sub-02 | ses-M000)" in str(refusal.value)
    with pytest.raises(MissingInputError, match="no image of dwi") as refusal:
        from_bids.plan(config(bids, preprocessing="dwi"))
    assert "dwi/*_dwi.nii*" in str(refusal.value)


@pytest.mark.parametrize(
    ("row", "suffix", "where"),
    [
        ({"name": "flair"}, "FLAIR", "anat"),
        ({"name": "dwi"}, "dwi", "dwi"),
        ({"name": "pet"}, "trc-18FFDG_rec-acdyn_pet", "pet"),
        ({"name": "pet", "tracer": "18FFDG"}, "trc-18FFDG_pet", "pet"),
        ({"name": "pet", "reconstruction": "acdyn"}, "rec-acdyn_trc-18FFDG_pet", "pet"),
        ({"name": "custom", "custom_suffix": "acq-?_T2w.nii.gz"}, "acq-2_T2w", "anat"),
    ],
)
@pytest.mark.parametrize("grid", [{}, COARSE], ids=["as it is", "on a grid"])
def test_each_modality_is_prepared_and_found_again(tmp_path, row, suffix, where, grid):
    path = put(raw_path(tmp_path / "bids", KEYS[0], suffix, where), 5)
    prepare_data_from_bids(config(tmp_path / "bids", preprocessing=row, **grid))
    said = read_extraction(tmp_path / "caps", "raw").preprocessing
    assert said.model_copy(update={"grid": None}) == RAW[row["name"]](**row)
    ((tensor,), _) = belonging.verify(tmp_path / "caps", said, [KEYS[0]])[KEYS[0]]
    assert tensor.parent == home_of(tmp_path / "caps", KEYS[0], row["name"])
    expected = images.read(path)
    if grid:
        expected = grids.onto(expected, said.grid, path)
    assert torch.equal(torch.load(tensor)[0], torch.from_numpy(expected.voxels))


def test_tracers_and_reconstructions_are_told_apart_and_so_are_their_tensors(tmp_path):
    bids, made = tmp_path / "bids", {}
    for number, (tracer, rec) in enumerate([("A", "x"), ("A", "y"), ("AB", "x")]):
        put(raw_path(bids, KEYS[0], f"trc-{tracer}_rec-{rec}_pet", "pet"), number)
    with pytest.raises(InvalidDataError, match="Several images match"):
        from_bids.plan(config(bids, preprocessing="pet"))
    for tracer, rec in [("A", "x"), ("A", "y"), ("AB", None)]:
        row = {"name": "pet", "tracer": tracer, "reconstruction": rec}
        name = f"{tracer}{rec}"
        prepare_data_from_bids(config(bids, preprocessing=row, extract_json=name))
        made[name] = row
    for name, row in made.items():
        said = read_extraction(tmp_path / "caps", name).preprocessing
        assert said == RAW["pet"](**row)
        ((tensor,), _) = belonging.verify(tmp_path / "caps", said, [KEYS[0]])[KEYS[0]]
        rec = row["reconstruction"] or "x"
        assert tensor.name == f"sub-01_ses-M000_trc-{row['tracer']}_rec-{rec}_pet.pt"


def test_several_volumes_are_refused_image_by_image(tmp_path):
    bids = tmp_path / "bids"
    put(raw_path(bids, KEYS[0], "dwi", "dwi"), 1, shape=(*SHAPE, 1))
    put(raw_path(bids, KEYS[2], "dwi", "dwi"), 2, shape=(*SHAPE, 65))
    with pytest.raises(PartialError, match="1 of 2 images were skipped"):
        prepare_data_from_bids(config(bids, preprocessing="dwi"))
    table = pd.read_csv(tmp_path / "caps" / "tensor_extraction" / "raw_failed.tsv", sep="\t")
    assert table["participant_id"].tolist() == ["sub-02"]
    assert "holds 65 volumes" in table["reason"][0]
    assert "sub-02_ses-M000_dwi.nii.gz" in table["reason"][0]
    row = read_extraction(tmp_path / "caps", "raw").preprocessing
    assert belonging.verify(tmp_path / "caps", row, [KEYS[0]])[KEYS[0]][1].shape == (1, *SHAPE)


def test_a_data_set_of_volumes_alone_can_be_mended_and_prepared_again(tmp_path):
    bids = tmp_path / "bids"
    put(raw_path(bids, KEYS[0], "dwi", "dwi"), 1, shape=(*SHAPE, 3))
    with pytest.raises(InvalidDataError, match="None of the 1 images can be used"):
        prepare_data_from_bids(config(bids, preprocessing="dwi"))
    put(raw_path(bids, KEYS[0], "dwi", "dwi"), 1)
    assert prepare_data_from_bids(config(bids, preprocessing="dwi")).exists()


def test_an_image_away_from_the_grid_is_listed_and_the_others_are_made(bids, tmp_path):
    away = AFFINE.copy()
    away[0, 3] += 900
    put(raw_path(bids, KEYS[1]), affine=away)
    like = put(tmp_path / "like.nii.gz")
    with pytest.raises(PartialError, match=r"sub-01 \| ses-M012"):
        prepare_data_from_bids(config(bids, like=like))
    table = pd.read_csv(tmp_path / "caps" / "tensor_extraction" / "raw_failed.tsv", sep="\t")
    assert "do not overlap" in table["reason"][0]


PARTS = {
    "patch": {"name": "patch", "patch_size": 4, "stride_size": 4},
    "slice": {"name": "slice", "slice_direction": 2, "slice_mode": "single"},
    "roi": {"name": "roi", "roi_list": ["box"], "roi_custom_template": "Own"},
}


def put_mask(directory: Path, affine: np.ndarray, shape: tuple[int, ...]) -> None:
    inside = np.zeros(shape, np.uint8)
    inside[2:6, 3:7, 1:4] = 1
    path = directory / "masks" / "tpl-Own" / "tpl-Own_res-2_roi-box_mask.nii.gz"
    images.write(path, inside, affine=affine)


@pytest.mark.parametrize("mode", PARTS.values(), ids=list(PARTS))
def test_stored_parts_of_a_grid_equal_parts_of_its_image(bids, tmp_path, mode):
    directory = tmp_path / "caps"
    place = np.diag([2.0, 2, 2, 1])
    place[:3, 3] = [-8, -9, -6]
    like = put(tmp_path / "like.nii.gz", affine=place, shape=(9, 10, 8))
    put_mask(directory, place, (9, 10, 8))
    given = {"mode": mode, "like": like}
    prepare_data_from_bids(config(bids, save_features=True, **given))
    said = read_extraction(directory, "raw")
    assert said.stores_parts
    row, chosen = caps.mode_settings(said), said.preprocessing
    regions = masks.read(directory, row, chosen)
    found = belonging.verify_parts(directory, chosen, KEYS, mode=row, masks=regions)
    for key, (paths, known) in found.items():
        whole = grids.onto(images.read(raw_path(bids, key)), chosen.grid, bids).voxels
        windows = {
            "patch": [whole[x : x + 4, y : y + 4, z : z + 4]
                      for x in (0, 4) for y in (0, 4) for z in (0, 4)],
            "slice": [whole[:, :, z] for z in range(8)],
            "roi": [whole[2:6, 3:7, 1:4]],
        }[mode["name"]]  # fmt: skip
        assert len(paths) == len(windows)
        for path, expected in zip(paths, windows, strict=True):
            assert f"_grid-{grids.digest(chosen.grid)}_" in path.name
            assert np.array_equal(torch.load(path)[0].numpy(), expected)
        assert known.shape == (1, 9, 10, 8)
    assert not list(directory.rglob("image_based"))
    assert outcomes(config(bids, save_features=True, **given)) == [False] * 3
    # Regions of another grid do not go over these.
    if mode["name"] == "roi":
        put_mask(directory, AFFINE, SHAPE)
        before = everything(home_of(directory, KEYS[0], mode="roi"))
        again = config(bids, mode=mode, save_features=True, extract_json="other")
        assert outcomes(again) == [True] * 3
        now = everything(home_of(directory, KEYS[0], mode="roi"))
        assert {name: now[name] for name in before} == before
        assert "sub-01_ses-M000_space-Own_desc-CropRoi_res-2_roi-box_T1w.pt" in now


def test_masks_of_raw_images_need_their_template(bids, tmp_path):
    put_mask(tmp_path / "caps", AFFINE, SHAPE)
    for mode, said in (
        ({"roi_list": ["box"]}, "need the name of their template"),
        ({"roi_list": [], "roi_custom_template": "Own"}, "--roi_list"),
    ):
        with pytest.raises(UsageError, match=said):
            from_bids.plan(config(bids, mode={"name": "roi", **mode}))
    away = AFFINE.copy()
    away[0, 3] += 1
    put_mask(tmp_path / "caps", away, SHAPE)
    with pytest.raises(InvalidDataError, match="lies on another grid than the image"):
        from_bids.plan(config(bids, mode=PARTS["roi"]))


def test_shards_and_labels_choose_the_sessions(bids, tmp_path):
    for number in (1, 2):
        prepare_data_from_bids(config(bids, shard=f"{number}/2"))
        assert len(list((tmp_path / "caps").rglob("*.pt"))) == number + 1
    prepare_data_from_bids(config(bids, participant_label=("02",), extract_json="g", **COARSE))
    assert len(list((tmp_path / "caps").rglob("*_grid-*.pt"))) == 1
    with pytest.raises(MissingInputError, match="sub-09"):
        from_bids.plan(config(bids, participant_label=("09",)))


@pytest.mark.parametrize(
    "given",
    [
        {"preprocessing": {"name": "pet", "tracer": "A", "reconstruction": "x"}},
        {
            "preprocessing": {"name": "custom", "custom_suffix": "-a b*.nii"},
            "like": "some grid.nii",
        },
        {"voxel_size": (2,), "grid_size": (8, 9, 10), "interpolation": "cubic"},
        {"mode": {"name": "roi", "roi_list": ["a"], "roi_custom_template": "T"}},
    ],
    ids=["pet", "like", "grid", "roi"],
)
def test_the_command_of_a_job_means_the_settings_with_a_shard(given, monkeypatch, tmp_path):
    from clinicadl.cli import prepare_from_bids as group
    from clinicadl.cli.main import root

    wanted = config(tmp_path / "my bids", jobs={"submit": "local"}, n_shards=2, **given)
    found: list[dict] = []
    monkeypatch.setattr(group, "_prepare", lambda said, dry_run: found.append(said))
    for number, command in enumerate(shards.commands(wanted), start=1):
        root.main(args=command[3:], standalone_mode=False)
        meant = read_settings(PrepareFromBidsConfig, found.pop())
        like = wanted.like and wanted.like.absolute()
        alone = {"jobs": JobsConfig(), "n_shards": None, "like": like, "shard": f"{number}/2"}
        assert meant == wanted.model_copy(update=alone)


def test_jobs_make_what_one_run_makes(bids, tmp_path):
    pytest.importorskip("submitit", reason='pip install "clinicadl[slurm]"')
    prepare_data_from_bids(config(bids, **COARSE))
    (tmp_path / "caps").rename(tmp_path / "one")
    prepare_data_from_bids(config(bids, jobs={"submit": "local"}, n_shards=2, **COARSE))
    logs = caps.jobs_folder(tmp_path / "caps" / "tensor_extraction" / "raw.json")
    shutil.rmtree(logs)
    found, expected = everything(tmp_path / "caps"), everything(tmp_path / "one")
    assert {name: content for name, (_, _, content) in found.items()} == {
        name: content for name, (_, _, content) in expected.items()
    }


def test_images_on_several_grids_are_said_with_what_to_type(bids, caplog):
    with caplog.at_level(logging.WARNING):
        from_bids.plan(config(bids))
    assert not caplog.records
    put(raw_path(bids, KEYS[2]), shape=(18, 20, 9))
    with caplog.at_level(logging.WARNING):
        from_bids.plan(config(bids))
    (said,) = [record.getMessage() for record in caplog.records]
    assert "2 grids" in said
    assert "18 x 20 x 7 voxels of 1 x 1 x 3.01 mm, LPS (sub-01 | ses-M000, sub-01 | ses-M012)" in (
        said
    )
    assert "18 x 20 x 9 voxels" in said
    # The cube root of 3 mm3 is 1.44 mm; 18.9, 21.8 and 28.54 mm are to be held.
    assert said.endswith("--voxel_size 1.5 --grid_size 13 15 20")
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        from_bids.plan(config(bids, **COARSE))
        from_bids.plan(config(bids, participant_label=("01",)))
    assert not caplog.records


@pytest.mark.parametrize(
    "change",
    [np.diag([1, 1, 1.1, 1]), np.diag([-1, 1, 1, 1])],
    ids=["thicker slices", "other direction"],
)
def test_the_same_shape_is_not_the_same_grid(bids, caplog, change):
    put(raw_path(bids, KEYS[2]), affine=AFFINE @ change)
    with caplog.at_level(logging.WARNING):
        from_bids.plan(config(bids))
    assert "2 grids" in caplog.text


def test_an_image_that_cannot_be_read_is_no_grid(bids, caplog):
    raw_path(bids, KEYS[2]).write_bytes(b"no image")
    with caplog.at_level(logging.WARNING):
        from_bids.plan(config(bids))
    assert not caplog.records
    with pytest.raises(PartialError, match=r"sub-02 \| ses-M000"):
        prepare_data_from_bids(config(bids))


def refused(settings: PrepareFromBidsConfig, kind: type, match: str, root: Path) -> str:
    before = everything(root)
    with pytest.raises(kind, match=match) as refusal:
        from_bids.plan(settings)
    assert everything(root) == before
    return str(refusal.value)


def test_folders_that_are_none_are_refused_before_any_work(bids, tmp_path):
    swapped = config(bids).model_copy(
        update={"bids_directory": tmp_path / "caps", "caps_directory": bids}
    )
    (tmp_path / "caps" / "subjects").mkdir(parents=True)
    refused(swapped, InvalidDataError, "This is a CAPS", tmp_path)
    same = config(bids).model_copy(update={"caps_directory": bids})
    refused(same, InvalidDataError, "BIDS data set, not a CAPS", tmp_path)
    absent = config(bids).model_copy(update={"bids_directory": tmp_path / "absent"})
    refused(absent, MissingInputError, "absent", tmp_path)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").touch()
    other = config(bids).model_copy(update={"caps_directory": tmp_path / "thesis"})
    refused(other, InvalidDataError, "no folder named subjects", tmp_path)
    file = config(bids).model_copy(update={"caps_directory": tmp_path / "thesis" / "chapter.tex"})
    refused(file, MissingInputError, "not a folder", tmp_path)
    inside = tmp_path / "caps" / "subjects"
    put(raw_path(inside, KEYS[0]))
    own = config(bids).model_copy(update={"bids_directory": inside})
    refused(own, InvalidDataError, "folder of images of the CAPS", tmp_path)


def test_what_cannot_be_is_refused_before_any_work(bids, tmp_path):
    large = {"voxel_size": (0.1,), "grid_size": (3000,)}
    refused(config(bids, **large), UsageError, "too many voxels", tmp_path)
    text = tmp_path / "text.nii"
    text.write_text("no image")
    refused(config(bids, like=text), InvalidDataError, r"not a NIfTI image.*text\.nii", tmp_path)
    film = put(tmp_path / "film.nii", shape=(*SHAPE, 4))
    refused(config(bids, like=film), InvalidDataError, "holds 4 volumes", tmp_path)
    patch = {"name": "patch", "patch_size": 10}
    refused(config(bids, mode=patch, **COARSE), UsageError, "larger than the image", tmp_path)
    prepare_data_from_bids(config(bids))
    refused(config(bids, **COARSE), OutputError, "describes another extraction", tmp_path)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"voxel_size": (2,)}, "together"),
        ({"grid_size": (9,)}, "together"),
        ({"voxel_size": (0,), "grid_size": (9,)}, "above 0"),
        ({"voxel_size": (1, -1, 1), "grid_size": (9,)}, "above 0"),
        ({"voxel_size": (float("nan"),), "grid_size": (9,)}, "above 0"),
        ({"voxel_size": (float("inf"),), "grid_size": (9,)}, "above 0"),
        ({"voxel_size": (2,), "grid_size": (9, 0, 9)}, "above 0"),
        ({"voxel_size": (2, 2), "grid_size": (9,)}, "one number or three"),
        ({"voxel_size": (2,), "grid_size": (9, 9, 9, 9)}, "one number or three"),
        ({"voxel_size": (2,), "grid_size": (9,), "like": "a.nii"}, "--like states a grid"),
        ({"interpolation": "cubic"}, "means nothing"),
        ({"preprocessing": T1Linear()}, "t1, pet, flair, dwi, custom"),
        ({"preprocessing": RawT1(grid=Grid(shape=(1, 1, 1), voxel_size=(1, 1, 1)))}, "voxel_size"),
        ({"preprocessing": {"name": "custom", "custom_suffix": "*"}}, "every file name"),
        ({"preprocessing": {"name": "pet", "tracer": "18F/FDG"}}, "pattern"),
        ({"preprocessing": {"name": "t1", "tracer": "18FFDG"}}, "does not belong"),
    ],
)
def test_settings_that_mean_nothing_are_refused(tmp_path, given, complaint):
    whole = {"bids_directory": tmp_path, "caps_directory": tmp_path, "preprocessing": "t1", **given}
    with pytest.raises(UsageError, match=complaint):
        read_settings(PrepareFromBidsConfig, whole)


def test_custom_images_of_a_data_set_and_of_the_caps_are_not_taken_for_each_other(bids, tmp_path):
    directory, suffix = tmp_path / "caps", {"name": "custom", "custom_suffix": "T1w.nii.gz"}
    own = StoredImage(*KEYS[2], put(raw_path(directory / "subjects", KEYS[2], where="any"), 50))
    one_participant = {"participant_label": ("02",), "preprocessing": suffix}
    raw = config(bids, **one_participant)
    other = PrepareConfig(caps_directory=directory, extract_json="own", n_proc=1, **one_participant)
    prepare_data_from_bids(raw)
    rows = RawCustom(custom_suffix="T1w.nii.gz"), other.preprocessing
    assert list(belonging.verify(directory, rows[0], [KEYS[2]])) == [KEYS[2]]
    with pytest.raises(InvalidDataError, match=r"made from \.\./bids/sub-02"):
        belonging.verify(directory, rows[1], [KEYS[2]])
    # The same name: one tensor at a time, and which one it is is known.
    prepare_data(other)
    ((tensor,), _) = belonging.verify(directory, rows[1], [KEYS[2]])[KEYS[2]]
    expected = images.read(own.path).voxels
    assert torch.equal(torch.load(tensor)[0], torch.from_numpy(expected))
    with pytest.raises(InvalidDataError, match=r"made from subjects/sub-02"):
        belonging.verify(directory, rows[0], [KEYS[2]])
    # On a grid they have another name and lie beside.
    prepare_data_from_bids(config(bids, **{**one_participant, "extract_json": "g"}, **COARSE))
    gridded = read_extraction(directory, "g").preprocessing
    for row in (gridded, rows[1]):
        assert list(belonging.verify(directory, row, [KEYS[2]])) == [KEYS[2]]


def test_parts_that_another_grid_stored_are_not_adopted(bids, tmp_path):
    directory, mode = tmp_path / "caps", PARTS["patch"]
    prepare_data_from_bids(config(bids, mode=mode, save_features=True, **COARSE))
    with pytest.raises(MissingInputError, match="3 of 3 sessions have no tensor"):
        belonging.verify_parts(directory, RawT1(), KEYS, mode=MODES["patch"](patch_size=4))
    home = part_files.index_parts(
        directory, read_extraction(directory, "raw").preprocessing, KEYS, "patch"
    )
    assert {one.folder.parent.name for one in home.values()} == {"patch_based"}


@pytest.fixture
def trainable(tmp_path, caps_of) -> Path:
    """A data set of the images of the tiny CAPS, with its table, test set and folds."""
    from clinicadl import KFoldConfig, SplitConfig, kfold, split

    tiny = caps_of(tmp_path / "tiny")
    bids = tmp_path / "bids"
    for path in tiny.rglob("*.nii.gz"):
        key = (path.parts[-4], path.parts[-3])
        raw_path(bids, key).parent.mkdir(parents=True)
        image = images.read(path)
        flipped = image.affine @ np.diag([-1, -1, 1, 1])
        flipped[:3, 3] -= flipped[:3, :3] @ np.array([17, 19, 0])
        images.write(raw_path(bids, key), image.voxels[::-1, ::-1], affine=flipped)
    (tmp_path / "caps").mkdir()
    (tmp_path / "caps" / "subjects").mkdir()
    labels = shutil.copy(tiny / "labels.tsv", tmp_path / "caps" / "labels.tsv")
    split(SplitConfig(data_tsv=labels, subset_name="test", n_test=6, ignore_demographics=True))
    kfold(KFoldConfig(data_tsv=tmp_path / "caps" / "split" / "train.tsv", n_splits=2))
    return bids


GRID = {"voxel_size": (8,), "grid_size": (18, 20, 17)}


@pytest.mark.parametrize("save_features", [False, True])
def test_training_prediction_and_preview_work_as_on_other_extractions(
    trainable, tmp_path, config_of, save_features
):
    from clinicadl import PredictConfig, PreviewConfig, predict, preview, train

    directory = tmp_path / "caps"
    mode = {"name": "patch", "patch_size": 9, "stride_size": 8} if save_features else "image"
    given = {"mode": mode, "save_features": save_features, "extract_json": "tiny", **GRID}
    prepare_data_from_bids(config(trainable, **given))
    # Turned to RAS, the voxels are those of the images that the data set was made of, to the bit.
    row = read_extraction(directory, "tiny").preprocessing
    if not save_features:
        for path in (tmp_path / "tiny").rglob("*.nii.gz"):
            key = (path.parts[-4], path.parts[-3])
            ((tensor,), known) = belonging.verify(directory, row, [key])[key]
            whole = images.read(path)
            assert torch.equal(torch.load(tensor)[0], torch.from_numpy(whole.voxels))
            np.testing.assert_allclose(known.affine, whole.affine, atol=1e-9)
    picture = preview(
        PreviewConfig(
            caps_directory=directory, preprocessing_json="tiny", output_png=tmp_path / "a.png"
        )
    )
    assert picture.stat().st_size > 10_000
    # Training needs the tensors alone, and so does prediction.
    shutil.rmtree(trainable)
    prepare_data(
        PrepareConfig(
            caps_directory=tmp_path / "tiny", extract_json="tiny", mode=mode, n_proc=1,
            preprocessing={"name": "custom", "custom_suffix": "T1w.nii.gz"},
        )
    )  # fmt: skip
    said = {}
    for images_of in (directory, tmp_path / "tiny"):
        maps = tmp_path / f"maps of {images_of.name}"
        tables = {"tsv_directory": directory / "split" / "2_fold"}
        train(config_of(images_of, data=tables, optimization={"epochs": 2}), maps)
        table = directory / "split" / "test_baseline.tsv"
        predict(PredictConfig(caps_directory=images_of, participants_tsv=table), maps, "test")
        (predicted,) = maps.rglob("best-loss/test/test_image_level_prediction.tsv")
        said[images_of] = predicted.read_bytes()
    # The same voxels in the same order: the same bits as from preprocessed images.
    assert len(set(said.values())) == 1
    record = json.loads((tmp_path / "maps of caps" / "maps.json").read_text())
    assert '"source": "bids"' in json.dumps(record)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "n_images", "shape"),
    [("open-ms-bids", 4, (96, 112, 96)), ("forrest-bids", 1, (96, 128, 110)),
     ("ixi-bids-2mm", 24, (80, 96, 80))],
)  # fmt: skip
def test_real_data_sets_come_to_one_grid(real_data, tmp_path, name, n_images, shape):
    given = config(real_data / name, voxel_size=(2,), grid_size=shape, n_proc=2)
    given = given.model_copy(update={"caps_directory": tmp_path / "caps"})
    prepare_data_from_bids(given)
    row = read_extraction(tmp_path / "caps", "raw").preprocessing
    keys = caps.sessions(tmp_path / "caps")
    assert len(keys) == n_images
    for (tensor,), known in belonging.verify(tmp_path / "caps", row, keys).values():
        assert known.shape == (1, *shape)
        stored = torch.load(tensor)[0].numpy()
        # The same places as another program finds them: it does not smooth, so not the same values.
        source = nib.load(tmp_path / "caps" / known.source)
        theirs = resample_from_to(source, (shape, np.array(known.affine)), order=1).get_fdata()
        assert np.corrcoef(stored.ravel(), theirs.ravel())[0, 1] > 0.97
        shifted = np.roll(theirs, 2, axis=0)
        assert np.corrcoef(stored.ravel(), shifted.ravel())[0, 1] < 0.97
