"""``clinicadl prepare-data``: what it says, what it writes, how it ends."""

import json
import shutil
import tomllib

import numpy as np
import pytest
import torch

from clinicadl.config.mode import MODES
from clinicadl.layouts import images

SUFFIX = "desc-Tiny_T1w.nii.gz"
CUSTOM = ("custom", "--custom_suffix", SUFFIX, "-np", "1")


@pytest.fixture
def caps(prepared):
    """A CAPS without tensors."""
    for folder in prepared.glob("subjects/*/*/deeplearning_prepare_data"):
        shutil.rmtree(folder)
    shutil.rmtree(prepared / "tensor_extraction")
    return prepared


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("group", ["prepare-data", "prepare_data", "extract"])
def test_tensors_and_their_description_are_written(caps, invoke, prepared_once, group):
    code, said, shown = invoke(group, "image", caps, *CUSTOM, "-ej", "tiny")
    assert code == 0
    assert "25 tensors written, 0 were there already" in said
    assert f"extraction JSON: {caps / 'tensor_extraction' / 'tiny.json'}" in said
    assert "prepare-data: 25/25" in shown
    for tensor in prepared_once.rglob("*.pt"):
        ours = caps / tensor.relative_to(prepared_once)
        assert ours.read_bytes() == tensor.read_bytes()
        assert torch.load(ours).shape == (1, 18, 20, 17)


def test_the_command_and_the_function_describe_the_same(caps, invoke, prepared_once):
    invoke("prepare-data", "image", caps, *CUSTOM, "--extract_json", "tiny.json")
    ours, theirs = (folder / "tensor_extraction/tiny.json" for folder in (caps, prepared_once))
    assert ours.read_bytes() == theirs.read_bytes()


def test_a_second_run_says_that_all_was_there(prepared, invoke):
    before = files(prepared)
    code, said, _ = invoke("prepare-data", "image", prepared, *CUSTOM, "-ej", "tiny")
    assert code == 0
    assert "0 tensors written, 25 were there already" in said
    assert files(prepared) == before


def test_a_dry_run_says_everything_and_writes_nothing(caps, invoke):
    before = files(caps)
    code, said, _ = invoke("prepare-data", "image", caps, *CUSTOM, "-ej", "tiny", "--dry-run")
    assert code == 0
    assert files(caps) == before
    written = [line for line in said.splitlines() if line.startswith("# would write: ")]
    assert len(written) == 26
    assert written[-1].endswith("tiny.json")
    code, _, _ = invoke("prepare-data", "image", caps, *CUSTOM, "-ej", "tiny")
    assert code == 0
    for line in written:
        path = line.removeprefix("# would write: ")
        assert path.endswith((".pt", ".json"))
        assert any(str(found) == path for found in files(caps))
    settings = tomllib.loads(said)
    assert settings["preprocessing"] == {"name": "custom", "custom_suffix": SUFFIX}
    assert settings["n_proc"] == 1


def test_a_dry_run_tells_what_is_there_already(prepared, invoke):
    next(prepared.rglob("*.pt")).unlink()
    _, said, _ = invoke("prepare-data", "image", prepared, *CUSTOM, "-ej", "tiny", "--dry-run")
    assert said.count("# there already: ") == 24
    assert said.count("# would read: ") == 1
    assert "tiny.json (there already)" in said


@pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["run", "dry run"])
def test_what_is_refused_is_refused_in_both(caps, invoke, dry):
    (caps / "tensor_extraction").mkdir()
    (caps / "tensor_extraction" / "tiny.json").write_text('{"mode": "patch"}')
    before = files(caps)
    code, said, shown = invoke("prepare-data", "image", caps, *CUSTOM, "-ej", "tiny", *dry)
    assert code == 73
    assert "tiny.json" in shown
    assert said == ""
    assert files(caps) == before


@pytest.mark.parametrize("n_proc", ["1", "2"])
def test_a_bad_image_is_said_listed_and_told_by_the_exit_code(caps, invoke, n_proc):
    image = caps / f"subjects/sub-T003/ses-M000/custom/sub-T003_ses-M000_{SUFFIX}"
    image.write_bytes(image.read_bytes()[:200])
    table = caps / "tensor_extraction" / "tiny_failed.tsv"
    code, said, shown = invoke(
        "prepare-data", "image", caps, *CUSTOM[:3], "-np", n_proc, "-ej", "tiny"
    )
    assert code == 3
    assert "24 tensors written" in said
    assert "extraction JSON: " in said
    assert f"skipped: The image is truncated or damaged in {image}" in shown
    *_, sentence, more = shown.splitlines()
    assert str(table) in sentence and more == "More: clinicadl explain partial"
    header, row = table.read_text().splitlines()
    assert header == "participant_id\tsession_id\treason"
    assert row.startswith("sub-T003\tses-M000\tThe image is truncated")


def test_no_image_at_all_is_invalid_data(caps, invoke):
    for image in caps.rglob("*.nii.gz"):
        image.write_bytes(b"")
    code, said, shown = invoke("prepare-data", "image", caps, *CUSTOM, "-ej", "tiny")
    assert code == 65
    assert "0 tensors written" in said
    assert "extraction JSON" not in said
    assert "None of the 25 images" in shown
    assert not (caps / "tensor_extraction" / "tiny.json").exists()


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (("t1-freesurfer",), 2, "is not one of"),
        ((), 2, "Missing argument 'MODALITY'"),
        (("custom",), 2, "--custom_suffix"),
        (("custom", "-cn", ""), 2, "--custom_suffix"),
        (("custom", "-cn", "*"), 2, "--custom_suffix"),
        (("pet-linear", "--tracer", "18FFDG"), 2, "--suvr_reference_region"),
        (("pet-linear", "-suvr", "pons"), 2, "--tracer"),
        (("pet-linear", "--tracer", "18FFDG", "-suvr", "pins"), 2, "pons"),
        (("t1-linear", "--tracer", "18FFDG"), 2, "belongs to pet-linear"),
        (("t1-linear",), 66, "no image of t1-linear"),
        (("custom", "-cn", SUFFIX, "-tsv", "absent.tsv"), 66, "absent.tsv"),
        (("custom", "-cn", SUFFIX, "-ej", "../out"), 65, "leads out"),
        (("custom", "-cn", SUFFIX, "-np", "0"), 2, "-np"),
    ],
)
def test_a_wrong_command_is_refused_before_anything_is_written(
    caps, invoke, words, code, complaint
):
    before = files(caps)
    found, _, shown = invoke("prepare-data", "image", caps, *words)
    assert found == code
    assert complaint in shown
    assert "Traceback" not in shown
    assert files(caps) == before


@pytest.mark.parametrize("flag", ["-tsv", "--subjects_sessions_tsv", "--participants-tsv"])
def test_a_table_chooses_the_sessions(caps, invoke, tmp_path, flag):
    table = tmp_path / "table.tsv"
    table.write_text("participant_id\tsession_id\nsub-T000\tses-M012\nsub-T001\tses-M000\n")
    code, said, _ = invoke("prepare-data", "image", caps, *CUSTOM, flag, table, "-ej", "two")
    assert code == 0
    assert "2 tensors written" in said
    names = sorted(path.name for path in caps.rglob("*.pt"))
    stem = SUFFIX.removesuffix(".nii.gz")
    assert names == [f"sub-T000_ses-M012_{stem}.pt", f"sub-T001_ses-M000_{stem}.pt"]
    content = json.loads((caps / "tensor_extraction" / "two.json").read_text())
    assert content["custom_suffix"] == SUFFIX


def test_the_help_names_every_preprocessing_and_the_group_its_commands(invoke):
    from clinicadl.config.preprocessing import PREPROCESSINGS

    code, said, _ = invoke("prepare-data", "image", "--help")
    assert code == 0
    joined = "".join(said.split())
    for name in PREPROCESSINGS:
        assert name in joined
    assert "CAPS_DIRECTORY MODALITY" in said
    _, said, _ = invoke("prepare-data", "--help")
    assert "image" in said


def put_mask(caps):
    image = images.read(next(caps.rglob("*.nii.gz")))
    inside = np.zeros(image.voxels.shape, np.uint8)
    inside[2:9, 3:5, 4:6] = 1
    path = caps / "masks" / "tpl-T" / "tpl-T_res-8_roi-corner_mask.nii.gz"
    images.write(path, inside, affine=image.affine)


ROI = ("--roi_list", "corner", "-ct", "T")


@pytest.mark.parametrize(
    ("mode", "words", "said"),
    [
        ("patch", ("-ps", "8", "-ss", "4", "--pad"),
         {"patch_size": 8, "stride_size": 4, "pad": True}),
        ("patch", ("--patch_size", "8", "--stride-size", "4"),
         {"patch_size": 8, "stride_size": 4, "pad": False}),
        ("slice", ("-sd", "2", "-sm", "single", "-ds", "3", "4"),
         {"slice_direction": 2, "slice_mode": "single", "discarded_slices": [3, 4]}),
        ("slice", ("-ds", "3", "-ds", "4"),
         {"slice_direction": 0, "slice_mode": "rgb", "discarded_slices": [3, 4]}),
        ("slice", ("--discarded_slices", "5"), {"discarded_slices": [5]}),
        ("roi", ROI, {"roi_list": ["corner"], "uncropped_roi": False, "roi_custom_template": "T",
                      "roi_template": "T", "masks_location": "masks/tpl-T"}),
        ("roi", (*ROI, "-cmp", "res-8"), {"roi_mask_pattern": "res-8"}),
        ("roi", (*ROI, "--uncropped_roi"), {"uncropped_roi": True}),
        ("roi", (*ROI, "--roi_uncrop_output"), {"uncropped_roi": True}),
    ],
)  # fmt: skip
def test_the_options_of_a_mode_are_said_in_the_json(caps, invoke, mode, words, said):
    put_mask(caps)
    code, _, shown = invoke("prepare-data", mode, caps, *CUSTOM, *words, "-ej", "parts")
    assert code == 0, shown
    content = json.loads((caps / "tensor_extraction" / "parts.json").read_text())
    assert content["mode"] == mode
    assert content["prepare_dl"] is False
    assert {key: content[key] for key in said} == said
    assert len(list(caps.rglob("image_based/custom/*.pt"))) == 25


@pytest.mark.parametrize(
    ("mode", "words", "n"),
    [("patch", ("-ps", "9", "-ss", "9"), 4), ("slice", ("-ds", "8"), 2), ("roi", ROI, 1)],
)
def test_part_tensors_are_written_and_counted(caps, invoke, mode, words, n):
    put_mask(caps)
    words = ("prepare-data", mode, caps, *CUSTOM, *words, "--save_features", "-ej", "parts")
    code, said, _ = invoke(*words, "--dry-run")
    assert code == 0
    assert not list(caps.rglob("*.pt"))
    first = next(line for line in said.splitlines() if line.startswith("# would write: "))
    assert (f" and {n - 1} more, to " in first) == (n > 1)
    code, said, _ = invoke(*words)
    assert code == 0
    assert f"{25 * n} tensors written, 0 were there already" in said
    assert len(list(caps.rglob(f"{mode}_based/custom/*.pt"))) == 25 * n
    assert any(f"# would write: {path}" in first for path in caps.rglob("*.pt"))
    _, said, _ = invoke(*words)
    assert f"0 tensors written, {25 * n} were there already" in said
    _, said, _ = invoke(*words, "--dry-run")
    assert said.count("# there already: ") == 25


@pytest.mark.parametrize(
    ("mode", "words", "code", "complaint"),
    [
        ("image", ("--save_features",), 2, "No such option"),
        ("image", ("-ps", "3"), 2, "No such option"),
        ("slice", ("-ps", "3"), 2, "No such option"),
        ("patch", (), 2, "The patch is larger than the image"),
        ("patch", ("-ps", "0"), 2, "--patch-size"),
        ("slice", ("-sd", "3"), 2, "--slice-direction"),
        ("slice", ("-ds", "1", "2", "3"), 2, "--discarded_slices"),
        ("slice", ("-ds", "9"), 2, "All slices are discarded"),
        ("roi", (), 2, "--roi_custom_template"),
        ("roi", ("--roi_list", "corner"), 2, "--roi_custom_template"),
        ("roi", ("--roi_list", "side", "-ct", "T"), 66, "Known there: corner"),
        ("patch", ("--shard", "1/2"), 2, "needs --extract_json"),
        ("patch", ("--shard", "3/2", "-ej", "a"), 2, "--shard"),
        ("patch", ("--submit", "local", "--n_shards", "2"), 2, "--submit needs --extract_json"),
        ("patch", ("--submit", "sge"), 2, "is not one of"),
        ("patch", ("--participant_label", "X"), 66, "sub-X"),
        ("cube", (), 2, "nearest"),
    ],
)
def test_a_wrong_mode_is_refused_before_anything_is_written(
    caps, invoke, mode, words, code, complaint
):
    put_mask(caps)
    before = files(caps)
    found, _, shown = invoke("prepare-data", mode, caps, *CUSTOM, *words)
    assert found == code, shown
    assert complaint in shown
    assert "Traceback" not in shown
    assert files(caps) == before


@pytest.mark.parametrize(
    ("mode", "words", "said"),
    [
        ("image", ("-dm", "RD", "-ds", "normalized"), ("RD", "normalized", None)),
        ("patch", ("-ps", "4", "-ss", "4", "-ds", "native"), ("FA", "native", None)),
        ("slice", ("-ds", "1", "2", "--dti_space", "normalized"), ("FA", "normalized", [1, 2])),
        ("slice", ("-ds", "3", "-dm", "AD"), ("AD", "native", [3])),
    ],
)
def test_the_short_form_ds_is_the_space_of_diffusion_but_in_slices(
    tmp_path, invoke, mode, words, said
):
    for space, name in (("native", "space-T1w"), ("normalized", "space-MNI152Lin_res-1x1x1")):
        for measure in ("FA", "AD", "RD"):
            home = tmp_path / "subjects/sub-01/ses-M000/dwi/dti_based_processing"
            voxels = np.arange(8 * 9 * 10, dtype=np.float32).reshape(8, 9, 10)
            path = home / f"{space}_space" / f"sub-01_ses-M000_{name}_{measure}.nii.gz"
            images.write(path, voxels, affine=np.eye(4))
    code, _, shown = invoke("prepare-data", mode, tmp_path, "dwi-dti", *words, "-ej", "dti")
    assert code == 0, shown
    content = json.loads((tmp_path / "tensor_extraction" / "dti.json").read_text())
    found = (content["dti_measure"], content["dti_space"], content.get("discarded_slices"))
    assert found == said
    (tensor,) = tmp_path.rglob("*.pt")
    assert tensor.name.endswith(f"_{said[0]}.pt")
    assert ("MNI" in tensor.name) == (said[1] == "normalized")


def test_labels_and_shards_choose_the_sessions(caps, invoke):
    words = ("prepare-data", "image", caps, *CUSTOM, "-ej", "some")
    _, said, _ = invoke(*words, "--participant_label", "T000", "sub-T001", "--shard", "1/2")
    assert "2 tensors written" in said
    names = sorted(path.name.partition("_desc")[0] for path in caps.rglob("*.pt"))
    assert names == ["sub-T000_ses-M000", "sub-T001_ses-M000"]
    _, said, _ = invoke(*words, "--shard", "2/2")
    assert "12 tensors written" in said


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_has_a_command_with_its_own_options_alone(invoke, mode):
    code, said, _ = invoke("prepare-data", mode, "--help")
    assert code == 0
    own = {f"--{name.replace('_', '-')}" for name in MODES[mode].model_fields} - {"--name"}
    others = {
        f"--{name.replace('_', '-')}" for row in MODES.values() for name in row.model_fields
    } - {"--name"} - own  # fmt: skip
    assert all(flag in said for flag in own)
    assert not any(flag in said for flag in others)
    assert ("--save-features" in said) == (mode != "image")
    _, said, _ = invoke("prepare-data", "--help")
    assert f"  {mode} " in said
