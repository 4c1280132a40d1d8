"""Images that no registration can use: each gets one clear sentence."""

import gzip
import struct

import nibabel as nib
import numpy as np
import pytest

from clinicadl.errors import ClinicaDLError
from clinicadl.layouts import images
from clinicadl.preprocess import heads


def head(shape=(24, 28, 25)) -> np.ndarray:
    """Return a ball that is brighter inside, as int16."""
    grids = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape[:3]), indexing="ij")
    radius = sum(grid**2 for grid in grids)
    ball = (600 * (radius < 0.8) + 300 * (radius < 0.4)).astype(np.int16)
    return ball if len(shape) == 3 else np.repeat(ball[..., None], shape[3], axis=3)


def head_affine(edge=8.0) -> np.ndarray:
    affine = np.diag([edge, edge, edge, 1.0])
    affine[:3, 3] = [-90, -110, -80]
    return affine


def save(path, voxels, affine=None, **header):
    image = nib.Nifti1Image(voxels, head_affine() if affine is None else affine)
    for key, value in header.items():
        image.header[key] = value
    nib.save(image, path)


def patched(path, offset, kind, *values):
    """Change numbers of the header of a file that nibabel wrote."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    struct.pack_into(kind, content, offset, *values)
    path.write_bytes(gzip.compress(bytes(content), mtime=0))


def shear():
    affine = head_affine()
    affine[0, 1] = 4
    return affine


def noise(kind, value):
    voxels = head().astype(kind)
    voxels[3, 4, 5] = value
    return voxels


def zooms(path, *values):
    save(path, head())
    # No sform and no qform: the voxel sizes alone say where voxels lie.
    patched(path, 252, "<hh", 0, 0)
    patched(path, 80, "<fff", *values)


def unit(path, code):
    save(path, head())
    patched(path, 123, "<B", code)


def truncated(path, keep):
    save(path, head())
    path.write_bytes(path.read_bytes()[:keep])


def colours(path):
    voxels = np.zeros(head().shape, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(voxels, head_affine()), path)


def lying(path):
    save(path, head())
    patched(path, 42, "<hhh", 90, 90, 90)


def scaled(path, slope):
    save(path, head())
    patched(path, 112, "<ff", slope, 0)


def closed(path):
    path.mkdir()


def loop(path):
    path.symlink_to(path)


BAD = {
    "absent": (lambda p: None, 66, "does not exist"),
    "broken link": (lambda p: p.symlink_to("nowhere.nii.gz"), 66, "does not exist"),
    "link to itself": (loop, 66, "cannot be read"),
    "a folder": (closed, 66, "cannot be read"),
    "no bytes": (lambda p: p.write_bytes(b""), 65, "empty file"),
    "text": (lambda p: p.write_text("<html>404</html>" * 50), 65, "not a NIfTI"),
    "half of a gzip": (lambda p: truncated(p, 900), 65, "truncated or damaged"),
    "gzip header only": (lambda p: truncated(p, 12), 65, "truncated or damaged"),
    "header lies": (lying, 65, "lies about its size"),
    "several volumes": (lambda p: save(p, head((24, 28, 25, 3))), 65, "holds 3 volumes"),
    "one slice": (lambda p: save(p, head()[:, :, 0]), 65, "not three-dimensional"),
    "colours": (colours, 65, "not real numbers"),
    "complex": (lambda p: save(p, head().astype(np.complex64)), 65, "not real numbers"),
    "constant": (lambda p: save(p, np.full(head().shape, 7, np.int16)), 65, "All voxels"),
    "zeros": (lambda p: save(p, np.zeros(head().shape, np.int16)), 65, "All voxels"),
    "all below zero": (lambda p: save(p, head() - np.int16(2000)), 65, "All voxels"),
    "no number": (
        lambda p: save(p, np.full(head().shape, np.nan, np.float32)), 65, "No voxel"),
    "infinite": (lambda p: save(p, noise(np.float32, np.inf)), 65, "infinite"),
    "beyond float32": (lambda p: save(p, noise(np.float64, 1e300)), 65, "infinite"),
    "slope too large": (lambda p: scaled(p, 1e38), 65, "infinite"),
    "voxels without size": (lambda p: zooms(p, 8, 8, 0), 65, "have no size"),
    "voxels of microns": (lambda p: save(p, head(), head_affine(8000)), 65, "of this size"),
    "voxels of metres": (lambda p: save(p, head(), head_affine(0.008)), 65, "of this size"),
    "unit metres": (lambda p: unit(p, 1), 65, "not in mm"),
    "unit microns": (lambda p: unit(p, 3), 65, "not in mm"),
    "sheared": (lambda p: save(p, head(), shear()), 65, "not perpendicular"),
    "a slab": (lambda p: save(p, head()[:, :, :5]), 65, "too small for a head"),
    "a finger": (lambda p: save(p, head(), head_affine(1)), 65, "too small for a head"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", BAD)
def test_a_bad_image_gets_one_clear_sentence(tmp_path, name):
    make, code, said = BAD[name]
    path = tmp_path / "sub-01_T1w.nii.gz"
    make(path)
    with pytest.raises(ClinicaDLError, match=said) as caught:
        heads.read(path)
    assert caught.value.exit_code == code
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_affine_that_is_no_number_is_refused(tmp_path):
    path = tmp_path / "sub-01_T1w.nii.gz"
    save(path, head())
    patched(path, 280, "<f", float("nan"))
    with pytest.raises(ClinicaDLError, match="not finite"):
        heads.read(path)


def test_good_images_of_odd_form_are_read(tmp_path):
    path = tmp_path / "sub-01_T1w.nii.gz"
    whole = head()
    # One volume in four axes, scaled, with holes, behind a link.
    voxels = whole.astype(np.float32)[..., None]
    voxels[0, 0, 0] = np.nan
    voxels[1, 1, 1] = -5
    save(path, voxels)
    link = tmp_path / "linked.nii.gz"
    link.symlink_to(path)
    found = heads.read(link)
    assert found.voxels.shape == whole.shape
    assert found.voxels[0, 0, 0] == 0 and found.voxels[1, 1, 1] == 0
    np.testing.assert_array_equal(found.voxels, whole)


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, -1, 1), (1, -1, -1)])
def test_turned_axes_come_back_with_every_voxel_in_its_place(tmp_path, axes, flips):
    path = tmp_path / "a.nii.gz"
    voxels = head()
    voxels[5, 6, 7] = 2000
    turn = np.eye(4)
    turn[:3, :3] = np.eye(3)[:, list(axes)] @ np.diag(flips)
    oblique = head_affine() @ turn
    oblique[:3, :3] = np.array([[0.96, -0.28, 0], [0.28, 0.96, 0], [0, 0, 1]]) @ oblique[:3, :3]
    save(path, voxels, oblique)
    found = heads.read(path)
    assert images.orientation(found.affine) == "RAS"
    at = np.argwhere(found.voxels == 2000)[0]
    there = oblique @ [5, 6, 7, 1]
    # The header stores single precision.
    np.testing.assert_allclose(found.affine @ [*at, 1], there, atol=1e-3)
