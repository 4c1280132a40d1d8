"""Images that an autoencoder gave back lie where they were in the head, and on one page."""

from __future__ import annotations

import numpy as np
import pytest

from clinicadl.errors import MissingInputError
from clinicadl.layouts import images
from clinicadl.layouts.maps import names
from clinicadl.report.reconstructions import SHEET, figure, write

pytest.importorskip("matplotlib")


@pytest.mark.parametrize(
    ("mode", "own"), [("image", []), ("patch", ["-ps", 9, "-ss", 4]), ("slice", ["-sd", 2])]
)
def test_the_first_participants_are_shown(caps_of, invoke, tmp_path, mode, own):
    caps = caps_of(tmp_path / "caps")
    assert invoke("tsvtools", "kfold", caps / "labels.tsv", "--n_splits", 2)[0] == 0
    own = [*own, "--discarded_slices", 2] if mode == "slice" else own
    code, _, err = invoke(
        "train", mode, "autoencoder", caps, "custom", caps / "2_fold", tmp_path / "maps",
        "Conv4_FC3", "-cn", "T1w.nii.gz", *own, "--n_splits", 2, "--split", 0, "--epochs", 1,
        "--batch_size", 8, "-cpu", "-np", 0, "--visualization",
    )  # fmt: skip
    assert code == 0, err
    for group in ("train", "validation"):
        folder = names.results(tmp_path / "maps", 0, "loss", group)
        found = sorted(names.kept_images(folder).glob("*.nii.gz"))
        participants = {path.name.partition("_")[0] for path in found}
        assert len(participants) == 3
        for path in found:
            participant, session = path.name.split("_")[:2]
            image = images.read(path)
            (source,) = caps.glob(f"subjects/{participant}/{session}/custom/*.nii.gz")
            np.testing.assert_array_equal(image.affine, images.read(source).affine)
            assert image.voxels.shape == images.read(source).voxels.shape
        assert (folder / SHEET).read_bytes().startswith(b"\x89PNG")
        first = (folder / SHEET).read_bytes()
        assert write(folder).read_bytes() == first


def test_a_panel_shows_the_planes_the_right_way_round():
    """The brightest voxel, at the front upper right of the head, is there on every panel."""
    from clinicadl.report.reconstructions import Kept

    voxels = np.zeros((5, 6, 7), dtype=np.float32)
    voxels[4, 5, 6] = 1
    image = images.Image(voxels, np.diag([1.0, 1.0, 1.0, 1.0]), None)
    flipped = images.Image(voxels[::-1].copy(), np.diag([-1.0, 1.0, 1.0, 1.0]), None)
    for one in (image, flipped):
        page = figure([Kept("a", one, one)])
        for ax in page.axes[:3]:
            pixels = np.asarray(ax.images[0].get_array())
            row, column = np.unravel_index(pixels.argmax(), pixels.shape)
            # Radiological: front, and the right of the head, are on the left of the page.
            side = column / (pixels.shape[1] - 1)
            assert (1 - side if ax.xaxis_inverted() else side) == 0
            up = row / (pixels.shape[0] - 1)
            assert (1 - up if ax.yaxis_inverted() else up) == 1


def test_a_page_needs_images(tmp_path):
    with pytest.raises(MissingInputError, match="No image of this data group was kept"):
        write(tmp_path)
