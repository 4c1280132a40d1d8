"""``clinicadl quality-check t1-linear``."""

import numpy as np
import pytest

from clinicadl.layouts import images
from clinicadl.quality.networks import JUDGES
from clinicadl.quality.registration_align import GRID, read_template

NAME = "space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_T1w.nii.gz"


@pytest.fixture(scope="module")
def caps(tmp_path_factory):
    """A CAPS with a brain on its place, and one that is 14 mm off."""
    folder = tmp_path_factory.mktemp("quality") / "caps"
    template = read_template(None)
    for participant, shift in (("sub-1", 14.0), ("sub-2", 0.0)):
        affine = np.array(GRID.affine)
        affine[0, 3] += shift
        home = folder / "subjects" / participant / "ses-M000" / "t1_linear"
        path = home / f"{participant}_ses-M000_{NAME}"
        images.write(path, template.voxels, affine=affine)
    return folder


def test_the_worst_are_said_with_their_reason(caps, tmp_path, invoke):
    output = tmp_path / "qc.tsv"
    code, said, progress = invoke("quality-check", "t1-linear", caps, output, "-np", 1)
    first, second = said.splitlines()
    assert (code, first) == (0, f"1 of 2 images pass: {output}")
    assert second.startswith("  sub-1 | ses-M000  0.0")
    assert "off its place by about 14 mm" in second
    assert "quality-check t1-linear (none): 2/2" in progress
    assert (
        output.read_text().splitlines()[0] == "participant_id\tsession_id\tpass_probability\tpass"
    )


def test_what_is_there_is_replaced_on_request_only(caps, tmp_path, invoke):
    output = tmp_path / "qc.tsv"
    output.write_text("mine")
    code, _, said = invoke("quality-check", "t1-linear", caps, output)
    assert (code, output.read_text()) == (73, "mine")
    assert "exists already" in said
    assert invoke("quality-check", "t1-linear", caps, output, "--overwrite", "-np", 1)[0] == 0
    assert output.read_text() != "mine"


def test_a_dry_run_reads_and_writes_nothing(caps, tmp_path, invoke):
    output, details = tmp_path / "qc.tsv", tmp_path / "details.tsv"
    code, said, _ = invoke(
        "quality-check", "t1-linear", caps, output, "--details", details, "--dry-run"
    )
    assert code == 0
    assert f"# would write: {output}" in said
    assert f"# would write: {details}" in said
    assert said.count("# would read:") == 2
    assert not any(tmp_path.iterdir())


def test_a_network_without_weights_says_where_they_are(caps, tmp_path, invoke):
    output = tmp_path / "qc.tsv"
    code, _, said = invoke("quality-check", "t1-linear", caps, output, "--network", "darq")
    assert code == 2
    assert JUDGES["darq"].file in said
    assert JUDGES["darq"].sha256 in said
    assert not output.exists()


@pytest.mark.parametrize(
    ("output", "more", "code", "said"),
    [
        ("qc.csv", (), 2, "must end in .tsv"),
        ("qc.tsv", ("--threshold", 1.5), 2, "--threshold"),
        ("qc.tsv", ("--participant-label", "9"), 66, "sub-9"),
        ("qc.tsv", ("--use_uncropped_image",), 66, "2 of 2 sessions have no image"),
        ("qc.tsv", ("--template", "absent.nii"), 66, "absent.nii"),
        ("qc.tsv", ("--shard", "3/2"), 2, "shards are counted from 1/2"),
        ("absent/../qc.tsv", ("--network", "sq101", "--weights", "absent.pth"), 66, "absent.pth"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_refused(output, more, code, said, caps, tmp_path, invoke):
    found, _, error = invoke("quality-check", "t1-linear", caps, tmp_path / output, *more)
    assert (found, said in error) == (code, True), error
    assert not any(tmp_path.iterdir())
