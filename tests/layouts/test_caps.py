"""CAPS: which images are found, which are refused, where tensors lie, what extraction JSONs say."""

import fnmatch
import json
import logging
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinicadl.config.base import Choice
from clinicadl.config.mode import MODES, PatchMode, RoiMode, SliceMode
from clinicadl.config.preprocessing import PREPROCESSINGS, Custom, DwiDti, PetLinear, T1Linear
from clinicadl.errors import InvalidDataError, MissingInputError, OutputError
from clinicadl.layouts import caps
from clinicadl.layouts.caps import StoredImage
from clinicadl.layouts.files import TEMPORARY

SPACE = "space-MNI152NLin2009cSym"
T1 = f"{SPACE}_desc-Crop_res-1x1x1_T1w.nii.gz"

rows = pytest.mark.parametrize("name", PREPROCESSINGS)


@pytest.fixture(scope="session")
def examples(pipelines) -> dict:
    """Name -> row, and its images; a row without an example fails by KeyError."""
    return {
        name: (PREPROCESSINGS[name](**settings), below)
        for name, (settings, below) in pipelines.items()
    }


def put(folder: Path, below: str, participant: str = "sub-01", session: str = "ses-M000") -> Path:
    """Write an empty image; ``{}`` in its name stands for participant and session."""
    path = folder / "subjects" / participant / session / below.format(f"{participant}_{session}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@rows
def test_the_image_of_each_preprocessing_is_found(tmp_path, name, examples):
    row, below = examples[name]
    path = put(tmp_path, below)
    for other, (_, elsewhere) in examples.items():
        if other != name:
            put(tmp_path, elsewhere)
    put(tmp_path, "t1_linear/{}_T1w.nii.gz")
    assert caps.index(tmp_path, row) == {
        ("sub-01", "ses-M000"): StoredImage("sub-01", "ses-M000", path)
    }


@pytest.mark.parametrize("name", ["t1-linear", "flair-linear", "t2-linear"])
def test_cropped_and_uncropped_images_are_told_apart(tmp_path, name, examples):
    below = examples[name][1]
    cropped = put(tmp_path, below)
    uncropped = put(tmp_path, below.replace("_desc-Crop", ""))
    row = PREPROCESSINGS[name]
    assert [image.path for image in caps.index(tmp_path, row()).values()] == [cropped]
    found = caps.index(tmp_path, row(use_uncropped_image=True))
    assert [image.path for image in found.values()] == [uncropped]


def test_tracers_and_regions_are_told_apart(tmp_path, examples):
    below = examples["pet-linear"][1]
    put(tmp_path, below.replace("18FFDG", "18FAV45"))
    put(tmp_path, below.replace("cerebellumPons2", "cerebellumPons"))
    fdg = put(tmp_path, below)
    found = caps.index(tmp_path, examples["pet-linear"][0])
    assert [image.path for image in found.values()] == [fdg]
    absent = PetLinear(tracer="18FFDG", suvr_reference_region="pons")
    assert caps.index(tmp_path, absent) == {}


@pytest.mark.parametrize(
    "below",
    [
        f"t1_linear/{{}}_T1w_{T1}",
        f"t1_linear/{{}}_{T1}".removesuffix(".gz"),
        f"t1_linear/{{}}_{T1}".replace("T1w.nii.gz", "t1W.NII.GZ"),
        f"t1_linear/deeper/{{}}_{T1}",
    ],
    ids=["older name", "not compressed", "other case", "deeper"],
)
def test_spellings_of_the_wild_are_found(tmp_path, below):
    path = put(tmp_path, below)
    assert caps.index(tmp_path, T1Linear())["sub-01", "ses-M000"].path == path


def test_what_is_no_image_of_a_session_is_left_alone(tmp_path):
    path = put(tmp_path, f"t1_linear/{{}}_{T1}")
    put(tmp_path, f"t1_linear/.{{}}_{T1}")
    put(tmp_path, f"t1_linear/._{{}}_{T1}")
    put(tmp_path, f"t1_linear/{TEMPORARY}12-{{}}_{T1}")
    put(tmp_path, f"t1_linear/{{}}_{T1}.md5")
    put(tmp_path, f"deeplearning_prepare_data/image_based/t1_linear/{{}}_{T1}")
    put(tmp_path, f"t1_linear/{{}}_{T1}", participant="group-1")
    put(tmp_path, f"t1_linear/{{}}_{T1}", session="long-M000M012")
    (tmp_path / "subjects" / "sub-02.tsv").touch()
    (tmp_path / "subjects" / "sub-01" / "ses-M000.tsv").touch()
    assert [image.path for image in caps.index(tmp_path, T1Linear()).values()] == [path]
    suffix = Custom(custom_suffix="T1w.nii.gz")
    assert [image.path for image in caps.index(tmp_path, suffix).values()] == [path]


words = st.sampled_from(["desc-Crop", "res-1x1x1", SPACE, "T1w", "run-1", "x", "deeplearning"])
file_names = st.lists(words, min_size=1, max_size=5).map("_".join)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["t1_linear", "t1_linear/deeper", "custom", "."]),
            file_names,
            st.sampled_from([".nii.gz", ".nii", ".json"]),
        ),
        max_size=6,
    )
)
def test_the_index_finds_what_a_glob_finds(drawn):
    row = T1Linear()
    with TemporaryDirectory() as name:
        folder = Path(name)
        paths = {put(folder, f"{below}/{stem}{end}") for below, stem, end in drawn}
        home = folder / "subjects" / "sub-01" / "ses-M000"
        glob = f"t1_linear/*{SPACE}_desc-Crop_res-1x1x1_T1w.nii*"
        expected = {
            path for path in paths
            if fnmatch.fnmatchcase(path.relative_to(home).as_posix(), glob)
        }  # fmt: skip
        (folder / "subjects").mkdir(exist_ok=True)
        try:
            found = {image.path for image in caps.index(folder, row).values()}
        except InvalidDataError:
            assert len(expected) > 1
        else:
            assert found <= expected
            assert len(found) == bool(expected)


def test_the_index_is_sorted_and_holds_every_session(tmp_path):
    sessions = [(f"sub-{n:02d}", f"ses-M{m:03d}") for n in (3, 1, 2) for m in (12, 0)]
    for participant, session in sessions:
        put(tmp_path, f"t1_linear/{{}}_{T1}", participant, session)
    assert list(caps.index(tmp_path, T1Linear())) == sorted(sessions)
    some = sessions[1:3]
    assert list(caps.index(tmp_path, T1Linear(), only=some)) == sorted(some)
    assert caps.index(tmp_path, T1Linear(), only=[]) == {}


def test_every_session_is_known_with_or_without_an_image(tmp_path):
    put(tmp_path, f"t1_linear/{{}}_{T1}", "sub-02")
    (tmp_path / "subjects" / "sub-01" / "ses-M012").mkdir(parents=True)
    (tmp_path / "subjects" / "sub-03").mkdir()
    assert caps.sessions(tmp_path) == [("sub-01", "ses-M012"), ("sub-02", "ses-M000")]


def test_an_empty_caps_is_one(tmp_path):
    assert caps.check(tmp_path) == tmp_path
    assert caps.index(tmp_path, T1Linear()) == {}
    (tmp_path / "subjects").mkdir()
    assert caps.index(tmp_path, T1Linear()) == {}
    assert caps.sessions(tmp_path) == []


@pytest.mark.parametrize("with_subjects", [True, False])
def test_a_bids_data_set_given_for_a_caps_is_said_to_be_one(tmp_path, with_subjects):
    (tmp_path / "sub-01" / "ses-M000" / "anat").mkdir(parents=True)
    if with_subjects:
        (tmp_path / "subjects").mkdir()
    with pytest.raises(InvalidDataError, match="BIDS data set, not a CAPS") as refusal:
        caps.index(tmp_path, T1Linear())
    assert str(tmp_path) in str(refusal.value)


def test_a_folder_of_something_else_is_no_caps(tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(InvalidDataError, match="no folder named subjects"):
        caps.check(tmp_path)
    with pytest.raises(MissingInputError, match="does not exist"):
        caps.check(tmp_path / "absent")


def test_the_last_of_several_runs_is_taken_and_said_once(tmp_path, caplog):
    for session in ("ses-M000", "ses-M012"):
        for run in ("_run-2", "_run-10", ""):
            put(tmp_path, f"t1_linear/{{}}{run}_{T1}", session=session)
    put(tmp_path, f"t1_linear/{{}}_run-01_{T1}", "sub-02")
    with caplog.at_level(logging.WARNING):
        found = caps.index(tmp_path, T1Linear())
    names = [image.path.name for image in found.values()]
    assert ["_run-10_" in name for name in names[:2]] == [True, True]
    assert len(caplog.records) == 1
    assert "2 sessions have several runs" in caplog.text
    assert "sub-01 | ses-M000, sub-01 | ses-M012" in caplog.text


@pytest.mark.parametrize(
    "second",
    [
        f"t1_linear/{{}}_acq-other_{T1}",
        f"t1_linear/{{}}_run-2_{T1}".removesuffix(".gz"),
        f"t1_linear/deeper/{{}}_run-2_{T1}",
        f"t1_linear/deeper_run-2/{{}}_{T1}",
    ],
    ids=["entity", "extension", "folder", "folder that is named like a run"],
)
def test_images_that_differ_in_more_than_the_run_are_refused(tmp_path, second):
    put(tmp_path, f"t1_linear/{{}}_{T1}")
    put(tmp_path, second)
    with pytest.raises(InvalidDataError, match="Several images match in 1 session"):
        caps.index(tmp_path, T1Linear())


def test_all_sessions_with_several_images_are_named_in_one_error(tmp_path):
    for participant in ("sub-01", "sub-02", "sub-03"):
        put(tmp_path, f"t1_linear/{{}}_{T1}", participant)
    for participant in ("sub-03", "sub-01"):
        put(tmp_path, f"t1_linear/{{}}_acq-2_{T1}", participant)
    with pytest.raises(InvalidDataError, match="in 2 sessions") as refusal:
        caps.index(tmp_path, T1Linear())
    said = str(refusal.value)
    assert "(sub-01 | ses-M000)" in said
    assert "(sub-03 | ses-M000)" in said
    assert "sub-02" not in said
    only = [("sub-02", "ses-M000")]
    assert list(caps.index(tmp_path, T1Linear(), only=only)) == only


def test_sessions_are_selected_in_their_order_and_missing_ones_are_named(tmp_path):
    for participant in ("sub-01", "sub-02"):
        put(tmp_path, f"t1_linear/{{}}_{T1}", participant)
    stored = caps.index(tmp_path, T1Linear())
    wanted = [("sub-02", "ses-M000"), ("sub-01", "ses-M000")]
    chosen = caps.select(stored, wanted, where=tmp_path / "table.tsv")
    assert [(image.participant, image.session) for image in chosen] == wanted
    absent = [("sub-02", "ses-M012"), ("sub-09", "ses-M000")]
    with pytest.raises(MissingInputError, match="2 of 4 sessions have no image") as refusal:
        caps.select(stored, [*wanted, *absent], where=tmp_path / "table.tsv")
    said = str(refusal.value)
    assert "(sub-02 | ses-M012), (sub-09 | ses-M000)" in said
    assert "table.tsv" in said


@rows
def test_the_tensor_of_each_image_is_found_again(tmp_path, name, examples):
    row, below = examples[name]
    path = put(tmp_path, below)
    (image,) = caps.index(tmp_path, row).values()
    found = caps.image_tensor(tmp_path, image, row)
    assert found.tensor == (
        tmp_path / "subjects/sub-01/ses-M000/deeplearning_prepare_data/image_based"
        / name.replace("-", "_") / f"{path.name.removesuffix('.nii.gz')}.pt"
    )  # fmt: skip
    sessions = [("sub-01", "ses-M000"), ("sub-01", "ses-M012")]
    assert caps.index_tensors(tmp_path, row, sessions) == {}
    found.tensor.parent.mkdir(parents=True)
    for file in (found.tensor, found.origin):
        file.touch()
        file.with_name(f"{TEMPORARY}12-{file.name}").touch()
    path.unlink()
    assert caps.index_tensors(tmp_path, row, sessions) == {sessions[0]: found}
    assert caps.index_tensors(tmp_path, row, []) == {}


@pytest.mark.parametrize(
    ("suffix", "below"),
    [
        ("T1w.nii", "custom/{}_T1w.nii"),
        ("_T1w.nii*", "custom/{}_T1w.nii.gz"),
        ("T1w.*", "custom/{}_T1w.nii.gz"),
        ("*Tiny_*", "custom/{}_Tiny_T1w.nii.gz"),
        ("pet/*_pet.nii.gz", "pet/{}_pet.nii.gz"),
        ("res-1.5_T1w.nii.gz", "custom/{}_res-1.5_T1w.nii.gz"),
    ],
)
def test_any_suffix_that_finds_an_image_finds_its_tensor(tmp_path, suffix, below):
    row = Custom(custom_suffix=suffix)
    put(tmp_path, below)
    (image,) = caps.index(tmp_path, row).values()
    found = caps.image_tensor(tmp_path, image, row)
    assert found.tensor.suffix == ".pt"
    assert ".nii" not in found.tensor.name
    found.tensor.parent.mkdir(parents=True)
    found.tensor.touch()
    (found.tensor.parent / "another.pt").touch()
    key = ("sub-01", "ses-M000")
    assert caps.index_tensors(tmp_path, row, [key]) == {key: found}


def test_tensors_of_cropped_and_uncropped_images_are_told_apart(tmp_path):
    key = ("sub-01", "ses-M000")
    tensors = {}
    for uncropped in (False, True):
        row = T1Linear(use_uncropped_image=uncropped)
        crop = "" if uncropped else "_desc-Crop"
        put(tmp_path, f"t1_linear/{{}}_{SPACE}{crop}_res-1x1x1_T1w.nii.gz")
        (image,) = caps.index(tmp_path, row).values()
        tensors[uncropped] = caps.image_tensor(tmp_path, image, row)
        tensors[uncropped].tensor.parent.mkdir(parents=True, exist_ok=True)
        tensors[uncropped].tensor.touch()
    for uncropped, expected in tensors.items():
        row = T1Linear(use_uncropped_image=uncropped)
        assert caps.index_tensors(tmp_path, row, [key]) == {key: expected}


DTI = "dwi/dti_based_processing/"
# What the releases of Clinica write: native space, then normalized space.
DTI_NAMES = {
    "documented": ("{}_space-T1w_FA.nii.gz", "{}_space-MNI152Lin_res-1x1x1_FA.nii.gz"),
    "older": (
        "{}_acq-axial_dwi_space-b0_FA.nii.gz",
        "{}_acq-axial_dwi_space-MNI152Lin_res-1x1x1_FA.nii.gz",
    ),
    "newer": (
        "{}_space-b0_desc-preproc_FA.nii.gz",
        "{}_space-b0_desc-preproc_space-MNI152Lin_res-1x1x1_FA.nii.gz",
    ),
}


@pytest.mark.parametrize("release", DTI_NAMES)
def test_measures_and_spaces_of_diffusion_are_told_apart_and_so_are_their_tensors(
    tmp_path, release
):
    key = ("sub-01", "ses-M000")
    homes = [f"{DTI}{space}_space/" for space in ("native", "normalized")]
    below = [home + name for home, name in zip(homes, DTI_NAMES[release], strict=True)]
    put(tmp_path, f"{homes[0]}{{}}_space-T1w_DECFA.nii.gz")
    put(tmp_path, f"{homes[0]}{{}}_space-T1w_model-DTI_diffmodel.nii.gz")
    put(tmp_path, f"{homes[1]}{{}}_space-MNI152Lin_res-1x1x1_deformation.nii.gz")
    made = {}
    for number, space in enumerate(("native", "normalized")):
        for measure in ("FA", "MD", "AD", "RD"):
            row = DwiDti(dti_measure=measure, dti_space=space)
            path = put(tmp_path, below[number].replace("_FA.", f"_{measure}."))
            (image,) = caps.index(tmp_path, row).values()
            assert image.path == path
            made[row] = caps.image_tensor(tmp_path, image, row)
            assert caps.index_tensors(tmp_path, row, [key]) == {}
            made[row].tensor.parent.mkdir(parents=True, exist_ok=True)
            made[row].tensor.touch()
    assert len(set(made.values())) == 8
    for row, expected in made.items():
        assert caps.index_tensors(tmp_path, row, [key]) == {key: expected}


def test_several_tensors_that_match_are_refused(tmp_path):
    for run in ("run-1", "run-2"):
        put(tmp_path, f"deeplearning_prepare_data/image_based/t1_linear/{{}}_{run}_{T1[:-7]}.pt")
    with pytest.raises(InvalidDataError, match="Several tensors match in sub-01 . ses-M000"):
        caps.index_tensors(tmp_path, T1Linear(), [("sub-01", "ses-M000")])


def test_names_that_lead_out_of_the_caps_are_refused(tmp_path):
    (tmp_path / "caps" / "subjects").mkdir(parents=True)
    folder = tmp_path / "caps"
    image = StoredImage("..", "..", folder / "a.nii")
    outside = StoredImage("../../outside", "ses-M000", folder / "a.nii")
    with pytest.raises(InvalidDataError, match="leads out"):
        caps.image_tensor(folder, outside, T1Linear())
    with pytest.raises(InvalidDataError, match="leads out"):
        caps.image_tensor(folder, image, T1Linear())
    with pytest.raises(InvalidDataError, match="leads out"):
        caps.index_tensors(folder, T1Linear(), [("../..", "ses-M000")])
    for name in ("../../x", "/etc/x", "../x", "a/../../x"):
        with pytest.raises(InvalidDataError, match="leads out"):
            caps.extraction_path(folder, name)


def test_an_extraction_has_one_name_with_or_without_its_suffix(tmp_path):
    expected = tmp_path / "tensor_extraction" / "t1.json"
    assert caps.extraction_path(tmp_path, "t1") == expected
    assert caps.extraction_path(tmp_path, "t1.json") == expected
    assert caps.failures(expected) == tmp_path / "tensor_extraction" / "t1_failed.tsv"
    assert caps.failures(expected, (2, 3)).name == "t1_shard-2of3_failed.tsv"


def written(folder: Path, row: Choice, **parts: object) -> Path:
    path = caps.extraction_path(folder, row.name)
    content = caps.extraction_content(path, row, mode="image", parts=parts)
    caps.write_extraction(path, content)
    return path


@rows
def test_what_an_extraction_says_is_read_again(tmp_path, name, examples):
    (tmp_path / "subjects").mkdir()
    path = written(tmp_path, examples[name][0])
    for said in (name, f"{name}.json", str(path)):
        found = caps.read_extraction(tmp_path, said)
        assert found.path == path
        assert found.mode == "image"
        assert found.preprocessing == examples[name][0]
    content = json.loads(path.read_text())
    published = {
        "preprocessing", "mode", "use_uncropped_image", "prepare_dl", "extract_json", "file_type"
    }  # fmt: skip
    own = {
        "pet-linear": {"tracer", "suvr_reference_region"}, "custom": {"custom_suffix"},
        "dwi-dti": {"dti_measure", "dti_space"},
    }  # fmt: skip
    assert set(content) == published | own.get(name, set())
    assert content["extract_json"] == f"{name}.json"
    assert content["prepare_dl"] is False
    cropped = {"t1-linear", "flair-linear", "t2-linear", "pet-linear"}
    assert content["use_uncropped_image"] is (False if name in cropped else None)


def test_parts_are_added_to_what_an_extraction_says(tmp_path):
    path = written(tmp_path, T1Linear(), slice_direction=0, prepare_dl=True)
    content = json.loads(path.read_text())
    assert content["slice_direction"] == 0
    assert content["prepare_dl"] is True


def test_an_extraction_that_says_the_same_is_left_alone_and_another_is_refused(tmp_path):
    path = written(tmp_path, T1Linear())
    before = path.stat()
    written(tmp_path, T1Linear())
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert path.stat().st_ino == before.st_ino
    content = caps.extraction_content(path, Custom(custom_suffix="a.nii"), mode="image")
    for refuse in (caps.refuse_other_extraction, caps.write_extraction):
        with pytest.raises(OutputError, match="describes another extraction") as refusal:
            refuse(path, content)
        assert refusal.value.exit_code == 73
        assert str(path) in str(refusal.value)
    assert json.loads(path.read_text())["preprocessing"] == "t1-linear"


def test_a_name_too_long_for_the_disk_is_refused(tmp_path):
    (tmp_path / "tensor_extraction").mkdir()
    path = caps.extraction_path(tmp_path, "a" * 300)
    with pytest.raises(OutputError, match="too long"):
        caps.refuse_other_extraction(path, {})


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"preprocessing": "t1-linear", "mode": "image"}, T1Linear()),
        (
            {"preprocessing": "t1-linear", "mode": "patch", "use_uncropped_image": True},
            T1Linear(use_uncropped_image=True),
        ),
        (
            {
                "preprocessing": "pet-linear", "mode": "image", "acq_label": "fdg",
                "suvr_reference_region": "pons", "file_type": {"pattern": "x", "description": "y"},
            },
            PetLinear(tracer="fdg", suvr_reference_region="pons"),
        ),
        (
            {
                "preprocessing": "custom", "mode": "roi", "use_uncropped_image": None,
                "custom_suffix": "graymatter.nii.gz", "roi_list": ["a"],
            },
            Custom(custom_suffix="graymatter.nii.gz"),
        ),
        (
            {
                "preprocessing": "custom", "mode": "slice", "custom_suffix": None,
                "file_type": {"pattern": "*_space-SheppLogan_phantom.nii.gz", "description": "x"},
            },
            Custom(custom_suffix="*_space-SheppLogan_phantom.nii.gz"),
        ),
        (
            {
                "preprocessing": "dwi-dti", "mode": "image", "use_uncropped_image": False,
                "prepare_dl": False, "extract_json": "dti.json",
                "file_type": {
                    "pattern": "dwi/dti_based_processing/*/*_space-normalized_AD.nii.gz",
                    "description": "DTI-based AD", "needed_pipeline": "dwi_dti",
                },
                "dti_measure": "AD", "dti_space": "normalized",
            },
            DwiDti(dti_measure="AD", dti_space="normalized"),
        ),
        ({"preprocessing": "dwi-dti", "mode": "image"}, DwiDti()),
    ],
    ids=["bare", "uncropped", "older tracer", "custom", "custom by its pattern",
         "tensor of diffusion", "bare tensor"],
)  # fmt: skip
def test_extractions_of_earlier_versions_are_understood(tmp_path, content, expected):
    (tmp_path / "caps" / "subjects").mkdir(parents=True)
    path = tmp_path / "older.json"
    path.write_text(json.dumps(content))
    found = caps.read_extraction(tmp_path / "caps", str(path))
    assert found.preprocessing == expected
    assert found.mode == content["mode"]
    assert found.content == content


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"mode": "image"}, MODES["image"]()),
        ({"mode": "image", "prepare_dl": True, "patch_size": 3}, MODES["image"]()),
        ({"mode": "patch"}, PatchMode()),
        ({"mode": "patch", "patch_size": 64, "stride_size": 32},
         PatchMode(patch_size=64, stride_size=32)),
        ({"mode": "slice"}, SliceMode()),
        ({"mode": "slice", "slice_direction": 2, "slice_mode": "single", "discarded_slices": 0,
          "num_slices": 1},
         SliceMode(slice_direction=2, slice_mode="single", num_slices=1)),
        ({"mode": "slice", "slice_direction": None, "slice_mode": None, "discarded_slices": None,
          "num_slices": None}, SliceMode()),
        ({"mode": "roi", "roi_list": None}, RoiMode()),
        ({"mode": "slice", "discarded_slices": 20}, SliceMode(discarded_slices=(20, 20))),
        ({"mode": "slice", "discarded_slices": [20]}, SliceMode(discarded_slices=(20,))),
        ({"mode": "slice", "discarded_slices": [3, 5]}, SliceMode(discarded_slices=(3, 5))),
        ({"mode": "roi", "roi_list": ["a", "b"], "uncropped_roi": True, "roi_custom_template": "",
          "roi_custom_mask_pattern": "", "roi_template": "X", "masks_location": "somewhere",
          "roi_background_value": 0},
         RoiMode(roi_list=("a", "b"), uncropped_roi=True)),
        ({"mode": "roi", "roi_list": ["a"], "roi_custom_template": "MNI"},
         RoiMode(roi_list=("a",), roi_custom_template="MNI")),
    ],
)  # fmt: skip
def test_the_mode_of_an_extraction_comes_back_with_its_settings(tmp_path, content, expected):
    said = {"preprocessing": "t1-linear", **content}
    found = caps.mode_settings(caps.parse_extraction(said, tmp_path / "a.json"))
    assert found == expected
    assert found.name == content["mode"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"mode": "cube"}, "mode is not known.*cube.*image, patch, roi, slice"),
        ({"mode": "patch", "patch_size": "large"}, "valid integer"),
        ({"mode": "slice", "slice_direction": 3}, "less than or equal to 2"),
        ({"mode": "slice", "discarded_slices": -1}, "not below 0"),
        ({"mode": "slice", "num_slices": 0}, "greater than or equal to 1"),
        ({"mode": "roi", "roi_list": ["../a"]}, "cannot stand"),
    ],
)
def test_a_mode_that_means_nothing_is_refused_with_its_file(tmp_path, content, complaint):
    said = {"preprocessing": "t1-linear", **content}
    extraction = caps.parse_extraction(said, tmp_path / "a.json")
    with pytest.raises(InvalidDataError, match=complaint) as refusal:
        caps.mode_settings(extraction)
    assert str(tmp_path / "a.json") in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{}", "lacks a key.*preprocessing, mode"),
        ('{"preprocessing": "t1-linear"}', "lacks a key.*mode"),
        ('{"preprocessing": 3, "mode": "image"}', "lacks a key.*preprocessing"),
        ('{"preprocessing": "t1-lineal", "mode": "image"}', "not known.*t1-lineal"),
        ('{"preprocessing": "pet-linear", "mode": "image"}', "missing"),
        ('{"preprocessing": "custom", "mode": "image", "custom_suffix": ""}', "every file name"),
        ("[]", "not a JSON object"),
        ("mode: image", "not JSON"),
    ],
)
def test_what_is_no_extraction_is_refused(tmp_path, content, complaint):
    (tmp_path / "subjects").mkdir()
    (tmp_path / "tensor_extraction").mkdir()
    path = tmp_path / "tensor_extraction" / "wrong.json"
    path.write_text(content)
    with pytest.raises(InvalidDataError, match=complaint) as refusal:
        caps.read_extraction(tmp_path, "wrong")
    assert str(path) in str(refusal.value)


def test_an_unknown_extraction_is_answered_with_the_known_ones(tmp_path):
    (tmp_path / "subjects").mkdir()
    with pytest.raises(MissingInputError, match="Run prepare-data first"):
        caps.read_extraction(tmp_path, "t1")
    path = written(tmp_path, Custom(custom_suffix="a.nii"))
    path.with_name(f"{TEMPORARY}12-t1.json").touch()
    with pytest.raises(MissingInputError, match=r"Known there: custom\.json\.$"):
        caps.read_extraction(tmp_path, "t1")


@pytest.mark.parametrize("suffix", ["", " ", "*", "**", "*.*", "?"])
def test_a_suffix_of_every_file_is_refused(suffix):
    with pytest.raises(ValueError, match="end of every file name"):
        Custom(custom_suffix=suffix)


@pytest.mark.parametrize("tracer", ["", "*", "18F FDG", "18F/FDG", "[a]"])
def test_a_tracer_that_no_file_name_can_hold_is_refused(tracer):
    with pytest.raises(ValueError, match="pattern"):
        PetLinear(tracer=tracer, suvr_reference_region="pons")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not read")
def test_a_folder_that_cannot_be_read_is_named():
    with TemporaryDirectory() as name:
        folder = Path(name)
        put(folder, f"t1_linear/{{}}_{T1}")
        for path in (folder, folder / "subjects", folder / "subjects" / "sub-01"):
            path.chmod(0o755)
        closed = folder / "subjects" / "sub-01" / "ses-M000"
        closed.chmod(0o700)
        (closed / "t1_linear").chmod(0o700)
        os.seteuid(65534)
        try:
            with pytest.raises(MissingInputError, match="cannot be read") as refusal:
                caps.index(folder, Custom(custom_suffix="T1w.nii.gz"))
        finally:
            os.seteuid(0)
        assert str(closed) in str(refusal.value)
