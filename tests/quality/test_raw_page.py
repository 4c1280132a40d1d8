"""The page of pictures: what a decoder of others sees, in which order, and how many."""

import io
import re
from base64 import b64decode

import nibabel as nib
import numpy as np
import pytest
from PIL import Image as Decoder

from clinicadl import RawQualityConfig, quality_check_raw
from clinicadl.draws import generator
from clinicadl.errors import OutputError, UsageError
from clinicadl.quality import raw_page

AFFINE = np.array([[-5.0, 0, 0, 80], [0, 5, 0, -90], [0, 0, 5, -80], [0, 0, 0, 1]])


def write(home, name, voxels, affine=AFFINE):
    path = home / name / "ses-M000" / "anat" / f"{name}_ses-M000_T1w.nii.gz"
    path.parent.mkdir(parents=True)
    image = nib.Nifti1Image(voxels, affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    return path


def head(number):
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in (32, 36, 32)), indexing="ij")
    waves = np.sin((5 + number) * x) * np.sin(6 * y + number)
    values = (x**2 + y**2 + z**2 < 0.8) * (600 + 300 * waves + 200 * z)
    return np.clip(values + generator(1, "page").normal(0, 5, x.shape), 0, None).astype(np.int16)


@pytest.fixture
def bids(tmp_path):
    home = tmp_path / "bids"
    write(home, "sub-1", head(1))
    write(home, "sub-2", np.minimum(head(2), 600))
    path = write(home, "sub-3", head(3))
    path.write_bytes(path.read_bytes()[:2000])
    return home


def page_of(bids, **settings):
    config = RawQualityConfig(
        bids_directory=bids, output_tsv=bids.parent / "raw.tsv", page=bids.parent / "raw.html",
        n_proc=1, **settings,
    )  # fmt: skip
    quality_check_raw(config)
    return config.page.read_text()


def pictures(page):
    found = re.findall(r'src="data:image/png;base64,([^"]*)"', page)
    return [np.asarray(Decoder.open(io.BytesIO(b64decode(one)))) for one in found]


def test_a_picture_is_what_another_decoder_sees():
    drawn = generator(2, "png").integers(0, 256, (17, 23)).astype(np.uint8)
    decoded = Decoder.open(io.BytesIO(raw_page.png(drawn)))
    assert decoded.mode == "L"
    np.testing.assert_array_equal(np.asarray(decoded), drawn)


def test_errors_come_first_then_warnings_then_the_others(bids):
    page = page_of(bids)
    names = re.findall(r'class="name">(sub-\d)', page)
    kinds = re.findall(r'class="card (\w+)"', page)
    assert names == ["sub-3", "sub-2", "sub-1"]
    assert kinds == ["error", "warning", "sound"]
    assert len(pictures(page)) == 2
    assert "error unreadable: The image is truncated or damaged" in page
    assert "3 images checked, 1 with an error" in page
    assert "://" not in page


@pytest.mark.parametrize("flipped", [False, True])
def test_the_planes_show_the_right_on_the_left_and_the_top_at_the_top(tmp_path, flipped):
    """A bright block at the right, front and top of the middle, however it is stored."""
    voxels = np.ones((40, 40, 40), np.int16)
    middle = slice(18, 22)
    voxels[30:36, middle, 30:36] = 100
    voxels[middle, 30:36, 30:36] = 50
    voxels[30:36, 30:36, middle] = 200
    affine = np.diag([4.0, 4, 4, 1])
    if flipped:
        voxels, affine = voxels[::-1, :, ::-1], affine @ np.diag([-1, 1, -1, 1])
    write(tmp_path / "bids", "sub-1", voxels, affine)
    (picture,) = pictures(page_of(tmp_path / "bids"))
    size = picture.shape[0]
    planes = np.split(picture, 3, axis=1)
    for plane, grey in zip(planes, (50, 100, 200), strict=True):
        rows, columns = np.nonzero(plane == plane.max())
        assert rows.mean() < 0.4 * size
        assert columns.mean() < 0.4 * size
        assert plane.max() >= grey


def test_voxels_that_are_not_cubes_are_shown_in_proportion(tmp_path):
    affine = np.diag([2.0, 2, 8, 1])
    drawn = generator(3, "proportion").integers(0, 900, (48, 64, 12)).astype(np.int16)
    write(tmp_path / "bids", "sub-1", drawn, affine)
    (picture,) = pictures(page_of(tmp_path / "bids", ignore=["noisy"]))
    # 96 x 128 x 96 mm: sagittal 128 wide, coronal and axial 96, each with a border of 2.
    assert picture.shape == (128, 128 + 96 + 96 + 3 * 4)
    assert not picture[:16, :132].any()


def test_more_images_than_a_page_holds_are_counted(bids, monkeypatch):
    monkeypatch.setattr(raw_page, "MOST_PICTURES", 1)
    page = page_of(bids)
    assert len(pictures(page)) == 1
    assert "1 more images, of which nothing was found, are not shown" in page


def test_a_page_is_refused_or_named_before_anything_is_checked(bids, invoke):
    with pytest.raises(UsageError, match=r"\.html"):
        quality_check_raw(
            RawQualityConfig(bids_directory=bids, output_tsv="raw.tsv", page=bids / "raw.pdf")
        )
    output, page = bids.parent / "raw.tsv", bids.parent / "raw.html"
    _, said, _ = invoke("quality-check", "raw", bids, output, "--page", page, "--dry-run")
    assert f"# would write: {page}" in said
    assert not page.exists()
    code, said, _ = invoke("quality-check", "raw", bids, output, "--page", page, "-np", 1)
    assert code == 0
    assert said.splitlines()[-1] == f"page: {page}"
    output.unlink()
    with pytest.raises(OutputError, match=r"raw_findings\.tsv"):
        page_of(bids)
    assert "sub-3" in page_of(bids, overwrite=True)
