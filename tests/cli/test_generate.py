"""``clinicadl generate``."""

import json
import signal
import subprocess
import sys
import tomllib

import numpy as np
import pytest

from clinicadl import RandomConfig
from clinicadl.layouts import images
from clinicadl.synthesis.noise import generate_random

AFFINE = np.diag([4.0, 4, 4, 1])
AFFINE[:3, 3] = (-14, -10, -6)
SPACE = "space-MNI152NLin2009cSym_desc-Crop_res-1x1x1"
NAMES = (
    f"t1_linear/{{}}_{SPACE}_T1w.nii.gz",
    f"pet_linear/{{}}_trc-18FFDG_{SPACE}_suvr-pons_pet.nii.gz",
)


@pytest.fixture
def source(tmp_path):
    """A CAPS of three participants with T1 and PET."""
    for number in range(3):
        voxels = np.zeros((8, 6, 4), dtype=np.float32)
        voxels[1:7, 1:5, 1:3] = 10 + number
        session = f"sub-{number}_ses-M000"
        for name in NAMES:
            home = tmp_path / "caps" / "subjects" / f"sub-{number}" / "ses-M000"
            images.write(home / name.format(session), voxels, affine=AFFINE)
    return tmp_path / "caps"


def bits(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "commandline.json"
    }


def test_trivial_writes_a_caps_and_says_where(source, tmp_path, invoke):
    code, said, progress = invoke(
        "generate", "trivial", source, tmp_path / "new", "--preprocessing", "t1-linear",
        "--n_subjects", 3, "--seed", 1,
    )  # fmt: skip
    assert (code, said) == (0, f"CAPS: {tmp_path / 'new'}\n")
    assert "generate trivial: 3/3" in progress
    assert len(list((tmp_path / "new" / "subjects").iterdir())) == 6


def test_the_command_line_and_the_function_give_the_same_bits(source, tmp_path, invoke):
    code, _, _ = invoke(
        "generate", "random", source, tmp_path / "cli", "--n-subjects", 2, "--sigma", 0.25,
        "--mean", -1, "--seed", 9,
    )  # fmt: skip
    assert code == 0
    generate_random(
        RandomConfig(
            caps_directory=source,
            generated_caps_directory=tmp_path / "api",
            n_subjects=2,
            sigma=0.25,
            mean=-1,
            seed=9,
        )
    )
    assert bits(tmp_path / "cli") == bits(tmp_path / "api")


def test_the_options_of_pet_are_taken(source, tmp_path, invoke):
    code, _, said = invoke(
        "generate", "trivial", source, tmp_path / "new", "--preprocessing", "pet-linear",
        "--tracer", "18FFDG", "-suvr", "pons", "--n_subjects", 1, "-np", 1,
    )  # fmt: skip
    assert code == 0, said
    name = NAMES[1].format("sub-TRIV0_ses-M000")
    assert (tmp_path / "new" / "subjects" / "sub-TRIV0" / "ses-M000" / name).is_file()


@pytest.mark.parametrize("kind", ["trivial", "random"])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--tracer", "18FFDG"], ("--tracer", "does not belong", "pet-linear")),
        (["--preprocessing", "pet-linear", "-suvr", "pons"], ("--tracer", "missing")),
        (["--preprocessing", "t1-freesurfer"], ("t1-extensive", "t1-linear")),
        (["--preprocessing", "custom", "-cn", "x.nii", "-uui"], ("does not belong", "t1-linear")),
        (["--seed", "-1"], ("seed",)),
    ],
)
def test_options_that_do_not_fit_are_refused(source, tmp_path, invoke, kind, options, words):
    code, _, said = invoke("generate", kind, source, tmp_path / "new", *options)
    assert code == 2
    assert all(word in said for word in words), said
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("kind", ["trivial", "random", "shepplogan"])
def test_a_dry_run_says_what_would_be_written_and_writes_nothing(source, tmp_path, invoke, kind):
    inputs = [] if kind == "shepplogan" else [source]
    before = bits(tmp_path)
    code, said, _ = invoke(
        "generate", kind, *inputs, tmp_path / "new", "--n_subjects", 2, "--dry-run"
    )
    assert code == 0
    assert tomllib.loads(said)["n_subjects"] == 2
    assert f"# would write: {tmp_path / 'new'}" in said
    assert said.count("ses-M000/") == 4
    assert bits(tmp_path) == before


@pytest.fixture
def region(tmp_path):
    """A mask inside of the images."""
    voxels = np.zeros((8, 6, 4), dtype=np.uint8)
    voxels[3:5, 2:4, 1:3] = 1
    images.write(tmp_path / "region.nii.gz", voxels, affine=AFFINE)
    return tmp_path / "region.nii.gz"


def changing(kind, region):
    """Return options that change the images of the fixture in a way."""
    return {
        "artifacts": ["--noise"],
        "hypometabolic": [
            "--mask", region, "--n_subjects", 2, "-suvr", "pons", "--tracer", "18FFDG", "-p", "pca"
        ],
        "atrophy": ["--atrophy_percent", 5, "--margin", 14, "--mask", region],
    }[kind]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("artifacts", ("art-noi", "untouched", "untouched")),
        ("hypometabolic", ("pat-pca_deg-30", "untouched")),
        ("atrophy", ("atr-deformed", "untouched", "untouched")),
    ],
)
def test_changed_images_are_made_as_a_dry_run_says(source, region, tmp_path, invoke, kind, names):
    words = (
        "generate",
        kind,
        *changing(kind, region),
        source,
        tmp_path / "new",
        "-np",
        1,
        "--share",
        0.3,
    )
    before = bits(tmp_path)
    code, said, err = invoke(*words, "--dry-run")
    assert code == 0, err
    assert tomllib.loads(said)["share"] == 0.3
    lines = [line for line in said.splitlines() if line.startswith("#   subjects/")]
    assert len(lines) == len(names)
    assert sum("(untouched)" in line for line in lines) == names.count("untouched")
    assert sum(names[0] in line for line in lines) == 1
    assert bits(tmp_path) == before
    code, _, err = invoke(*words)
    assert code == 0, err
    for line in lines:
        assert (tmp_path / "new" / line.split()[1]).is_file()
    record = json.loads((tmp_path / "new" / "commandline.json").read_text())
    assert record["command"] == f"generate {kind}"
    assert record["share"] == 0.3


@pytest.mark.parametrize(
    "form", [("1", "2"), ("1", "--translation", "2")], ids=["list", "repeated"]
)
def test_a_range_is_two_values_behind_one_flag_or_two(source, tmp_path, invoke, form):
    pytest.importorskip("torchio")
    code, _, said = invoke(
        "generate", "artifacts", "--motion", "--contrast", "--gamma", "-0.3", "-.1",
        "--num_transforms", 1, "-np", 1, "--translation", *form, source, tmp_path / "new",
    )  # fmt: skip
    assert code == 0, said
    for path in (tmp_path / "new").rglob("*_art-mot-con_*.json"):
        changes = json.loads(path.read_text())["changes"]
        assert all(1 <= one <= 2 for one in changes["motion"]["translation"][0])
        assert np.exp(-0.3) <= changes["contrast"]["power"] <= np.exp(-0.1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["artifacts"], "no artefact is selected"),
        (["artifacts", "--noise", "--noise_std", "5"], "two values are needed, not 1"),
        (["artifacts", "--noise", "--noise_std", "5", "6", "7"], "two values are needed, not 3"),
        (["artifacts", "--blur", "--rotation", "1", "2"], "rotation means nothing without motion"),
        (["hypometabolic"], "--mask, or by --atlas"),
        (["hypometabolic", "--mask", "m.nii", "-p", "xy"], "bvftd"),
        (["atrophy"], "--mask, or by --atlas"),
        (["atrophy", "--mask", "m.nii", "--atrophy_percent", "95"], "at most 80"),
    ],
)
def test_changes_that_mean_nothing_are_refused(source, tmp_path, invoke, words, message):
    code, _, said = invoke("generate", words[0], source, tmp_path / "new", *words[1:])
    assert code == 2, said
    assert message in said
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("kind", ["artifacts", "hypometabolic", "atrophy"])
def test_what_was_changed_is_read_by_prepare_data(source, region, tmp_path, invoke, kind):
    new = tmp_path / "new"
    assert invoke("generate", kind, *changing(kind, region), source, new, "-np", 1)[0] == 0
    pet = ["--tracer", "18FFDG", "-suvr", "pons"] if kind == "hypometabolic" else []
    code, said, err = invoke(
        "prepare-data",
        "image",
        new,
        "pet-linear" if pet else "t1-linear",
        *pet,
        "-ej",
        "all",
        "-np",
        1,
    )
    assert code == 0, err
    assert f"{2 if pet else 3} tensors written" in said


def test_an_output_that_exists_is_refused(source, tmp_path, invoke):
    arguments = ("generate", "random", source, tmp_path / "new", "--n_subjects", 1)
    assert invoke(*arguments)[0] == 0
    before = bits(tmp_path / "new")
    code, _, said = invoke(*arguments, "--seed", 3)
    assert code == 73
    assert str(tmp_path / "new") in said
    assert bits(tmp_path / "new") == before


def test_images_that_could_not_be_made_are_named_and_the_code_is_3(source, tmp_path, invoke):
    path = next(source.rglob("sub-1_*_T1w.nii.gz"))
    path.write_bytes(path.read_bytes()[:50])
    code, _, said = invoke("generate", "trivial", source, tmp_path / "new", "--n_subjects", 3)
    assert code == 3
    assert "2 of 6 images could not be made" in said
    assert "sub-TRIV2, sub-TRIV3" in said
    assert path.name in (tmp_path / "new" / "failed.tsv").read_text()


@pytest.mark.parametrize(
    "shares", [("0", "0.5", "0.5"), ("0", "-asd", "0.5", "-asd", "0.5")], ids=["list", "repeated"]
)
def test_shares_are_three_values_behind_one_flag_or_three(tmp_path, invoke, shares):
    code, _, said = invoke(
        "generate", "shepplogan", "-asd", *shares, "--n_subjects", 3, "--image_size", 32,
        tmp_path / "new",
    )  # fmt: skip
    assert code == 0, said
    rows = (tmp_path / "new" / "data.tsv").read_text().splitlines()[1:4]
    assert {row.split("\t")[3] for row in rows} <= {"1", "2"}


@pytest.mark.parametrize("shares", [("1",), ("0.5", "0.5"), ("0.25",) * 4])
def test_another_number_of_shares_is_refused(tmp_path, invoke, shares):
    code, _, said = invoke(
        "generate", "shepplogan", tmp_path / "new", "--cn_subtypes_distribution", *shares
    )
    assert code == 2
    assert f"three shares are needed, not {len(shares)} in --cn_subtypes_distribution" in said
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("stop", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_what_was_stopped_does_not_pass_as_a_caps(source, tmp_path, stop, code):
    command = ["generate", "random", source, tmp_path / "new", "--n_subjects", 5000, "-np", 1]
    with subprocess.Popen(
        [sys.executable, "-m", "clinicadl", *map(str, command)], stderr=subprocess.PIPE, text=True
    ) as running:
        assert "generate random: 1000/10000" in running.stderr.readline()
        running.send_signal(stop)
        running.stderr.read()
    assert running.returncode == code
    left = {path.name for path in tmp_path.iterdir()} - {"caps"}
    assert not left if stop == signal.SIGINT else all(name.startswith(".partial-") for name in left)
