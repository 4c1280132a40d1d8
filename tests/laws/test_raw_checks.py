"""What every check of raw images finds, on an image that was spoilt, and what it leaves alone."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from clinicadl import RawQualityConfig
from clinicadl.draws import generator
from clinicadl.quality.raw import Verdict, judged, look, plan
from clinicadl.quality.raw_checks import CHECKS

AFFINE = np.array([[-4.0, 0, 0, 78], [0, 4, 0, -94], [0, 0, 5, -90], [0, 0, 0, 1]])
NAME = "sub-{0}/ses-M000/anat/sub-{0}_ses-M000_T1w.nii.gz"
LAW = pytest.mark.parametrize("name", CHECKS)


def head(number: int = 0) -> np.ndarray:
    """Return a made-up head of nested ellipsoids, brighter on its right, and a little noise."""
    draw = generator(3, "raw head", sample=number)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in (40, 48, 36)), indexing="ij")
    size = draw.uniform(0.8, 1.0, 3)
    radius = (x / size[0]) ** 2 + (y / size[1]) ** 2 + (z / size[2]) ** 2
    values = 300.0 * (radius < 0.9) + 250 * (radius < 0.6) + 200 * (radius < 0.25)
    spot = draw.uniform(-0.4, 0.4, 3)
    values += 400 * np.exp(
        -((x - spot[0] - 0.3) ** 2 + (y - spot[1]) ** 2 + (z - spot[2]) ** 2) * 12
    )
    values += 120 * x * (radius < 0.9) + draw.normal(0, 10, values.shape)
    return np.clip(values, 0, None).astype(np.int16)


def save(home: Path, image: nib.Nifti1Image, name: str = NAME.format("bad")) -> Path:
    path = home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    return path


def sound(voxels=None, affine=AFFINE) -> nib.Nifti1Image:
    image = nib.Nifti1Image(head() if voxels is None else voxels, affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    return image


def unreadable(home):
    path = save(home, sound())
    path.write_bytes(path.read_bytes()[:2000])


def several_volumes(home):
    save(home, sound(np.stack([head(), head(1)], axis=-1)))


def constant(home):
    save(home, sound(np.full((40, 48, 36), 7, np.int16)))


def with_value(value):
    def spoil(home):
        voxels = head().astype(np.float32)
        voxels[20, 20, 20] = value
        save(home, sound(voxels))

    return spoil


def blank_slices(home):
    voxels = head()
    voxels[:, :, 17:20] = 0
    save(home, sound(voxels))


def written_over(field, value):
    """Return what writes a field of the header over, at its place in the uncompressed file."""

    def spoil(home):
        path = save(home, sound(), NAME.format("bad").removesuffix(".gz"))
        content = bytearray(path.read_bytes())
        header = nib.Nifti1Header(bytes(content[:348]), check=False)
        header[field] = value
        content[:348] = header.binaryblock
        path.write_bytes(content)

    return spoil


def in_both(matrix):
    def spoil(home):
        image = sound()
        image.set_sform(matrix, 1)
        image.set_qform(None, 0)
        image.header["pixdim"][1:4] = np.linalg.norm(matrix[:3, :3], axis=0)
        save(home, image)

    return spoil


def no_orientation(home):
    image = sound()
    image.set_sform(None, 0)
    image.set_qform(None, 0)
    save(home, image)


def left_right(home):
    image = sound()
    flipped = AFFINE.copy()
    flipped[0] *= -1
    image.set_qform(flipped, 1)
    save(home, image)


def two_places(home):
    image = sound()
    moved = AFFINE.copy()
    moved[1, 3] += 30
    image.set_qform(moved, 1)
    save(home, image)


def sheared() -> np.ndarray:
    affine = AFFINE.copy()
    affine[1, 2] = 1.5
    return affine


def clipped(home):
    voxels = head()
    save(home, sound(np.minimum(voxels, np.percentile(voxels[voxels > 200], 95)).astype(np.int16)))


def few_levels(home):
    save(home, sound((head() // 60).astype(np.int16)))


def low_contrast(home):
    voxels = head()
    save(home, sound(((voxels > 150) * (10_000 + voxels)).astype(np.int16)))


def noisy(home):
    drawn = generator(1, "noise").normal(0, 150, head().shape)
    save(home, sound(np.clip(head() + drawn, 0, None).astype(np.int16)))


def duplicate(home):
    save(home, sound())
    save(home, sound(head().astype(np.float32)), NAME.format("copy"))


def repeated(home):
    save(home, sound())
    save(home, sound(), NAME.format("bad").replace("T1w", "run-2_T1w"))


def near_duplicate(home):
    save(home, sound())
    drawn = generator(1, "near").normal(0, 3, head().shape)
    save(home, sound((0.4 * head() + drawn).astype(np.float32)), NAME.format("copy"))


def mirrored(home):
    save(home, sound())
    save(home, sound(head()[::-1]), NAME.format("copy"))


IN_METRES = AFFINE * np.array([[1e-3], [1e-3], [1e-3], [1]])
SPOIL = {
    "unreadable": unreadable,
    "several-volumes": several_volumes,
    "constant": constant,
    "infinite": with_value(np.inf),
    "undefined": with_value(np.nan),
    "blank-slices": blank_slices,
    "affine": in_both(AFFINE * np.array([[1], [1], [0], [1]])),
    "no-orientation": no_orientation,
    "left-right": left_right,
    "two-places": two_places,
    "sheared": in_both(sheared()),
    "voxel-size": written_over("pixdim", [-1, 4, 0, 5, 0, 0, 0, 0]),
    "two-sizes": written_over("pixdim", [-1, 4, 4, 2, 0, 0, 0, 0]),
    "field-of-view": in_both(IN_METRES),
    "other-unit": written_over("xyzt_units", 1),
    "unknown-unit": written_over("xyzt_units", 0),
    "clipped": clipped,
    "few-levels": few_levels,
    "low-contrast": low_contrast,
    "noisy": noisy,
    "duplicate": duplicate,
    "repeated": repeated,
    "near-duplicate": near_duplicate,
    "mirrored": mirrored,
}

ALSO = {
    "affine": {"voxel-size", "field-of-view"},
    "voxel-size": {"two-sizes", "two-places"},
    "two-sizes": {"two-places"},
    "field-of-view": {"voxel-size"},
    "left-right": {"two-places"},
}
"""What the same spoilt image shows besides: one fault of a header has several consequences."""


def found_in(home: Path, **settings) -> Verdict:
    return judged_again(home, tuple(look(planned(home))), **settings)


def judged_again(home: Path, looked, **settings) -> Verdict:
    return judged(planned(home, **settings), looked)


def planned(home: Path, **settings):
    return plan(
        RawQualityConfig(bids_directory=home, output_tsv=home / "raw.tsv", n_proc=1, **settings)
    )


@pytest.fixture
def bids(tmp_path) -> Path:
    """Two sound images of two people."""
    for number in (11, 12):
        save(tmp_path / "bids", sound(head(number)), NAME.format(f"good{number}"))
    return tmp_path / "bids"


@LAW
def test_what_is_spoilt_is_found_and_nothing_else(bids, name):
    SPOIL[name](bids)
    looked = tuple(look(planned(bids)))
    found = judged_again(bids, looked).findings
    checks = {one.check for one in found}
    assert name in checks <= {name, *ALSO.get(name, ())}
    assert {one.seen.file.participant for one in found} <= {"sub-bad", "sub-copy"}
    assert {one.severity for one in found if one.check == name} == {CHECKS[name].severity}
    assert all(one.what for one in found)

    ignored = judged_again(bids, looked, ignore=[name])
    assert {one.check for one in ignored.findings} == checks - {name}
    failing = judged_again(bids, looked, fail=[name])
    assert {one.severity for one in failing.findings if one.check == name} == {"error"}


def test_every_check_is_spoilt_for_and_documented():
    assert {*SPOIL} == {*CHECKS}
    page = Path(__file__).parents[2] / "docs" / "commands" / "quality-check.md"
    rows = [line for line in page.read_text().splitlines() if line.startswith("| `")]
    for name, check in CHECKS.items():
        assert sum(row.startswith(f"| `{name}` | {check.severity} |") for row in rows) == 1


def test_an_affine_that_is_no_number_is_found(bids):
    written_over("srow_y", np.nan)(bids)
    assert {one.check for one in found_in(bids).findings} == {"affine"}


def test_sound_images_pass_whatever_their_type_and_axes(tmp_path):
    home = tmp_path / "bids"
    save(home, sound((head(1) // 6).astype(np.uint8)), NAME.format("a"))
    save(home, sound(head(2).astype(np.float32) / 1000), NAME.format("b"))
    turned = nib.Nifti2Image(head(3).transpose(2, 0, 1), AFFINE[:, [2, 0, 1, 3]])
    turned.header.set_xyzt_units("mm")
    turned.set_qform(turned.affine, 1)
    save(home, turned, NAME.format("c").removesuffix(".gz"))
    scaled = sound(head(4))
    scaled.header.set_slope_inter(0.1, -20)
    save(home, scaled, NAME.format("d"))
    verdict = found_in(home)
    assert len(verdict.seen) == 4
    assert verdict.findings == ()
