"""NIfTI in and out: the same numbers as nibabel, the same geometry, no lie believed."""

import gzip
import hashlib
import math
import struct
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinicadl.draws import generator
from clinicadl.errors import InvalidDataError, MissingInputError, OutputError
from clinicadl.layouts import images
from clinicadl.layouts.files import TEMPORARY

SHAPE = (5, 6, 7)
OBLIQUE = np.array(
    [[-1.9, 0.3, 0.2, 80], [0.3, 1.8, -0.4, -100], [0.1, 0.4, 2.1, -60], [0, 0, 0, 1]]
)
TYPES = ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]


def voxels(kind: str = "i2", shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    drawn = generator(0, f"voxels {kind}").integers(-100 if kind[0] in "if" else 0, 120, shape)
    return drawn.astype(kind)


def nifti(
    values: np.ndarray, *, version: int = 1, order: str = "<", scaling: tuple[float, float] = (1, 0)
) -> bytes:
    """Return a NIfTI file of nibabel, with a slope and an intercept put into its header."""
    header = (nib.Nifti1Header if version == 1 else nib.Nifti2Header)(endianness=order)
    header.set_data_dtype(values.dtype.newbyteorder(order))
    kind = nib.Nifti1Image if version == 1 else nib.Nifti2Image
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = bytearray(kind(values, OBLIQUE, header, dtype=values.dtype).to_bytes())
    if version == 1:
        content[112:120] = struct.pack(f"{order}2f", *scaling)
    else:
        content[176:192] = struct.pack(f"{order}2d", *scaling)
    return bytes(content)


def as_nibabel(path: Path) -> np.ndarray:
    with np.errstate(all="ignore"):
        return nib.load(path).get_fdata(dtype=np.float32)


@pytest.mark.parametrize("scaling", [(1, 0), (0.5, -3), (-2, 0), (1, 7), (math.nan, 0), (0, 5)])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize(("version", "order"), [(1, "<"), (1, ">"), (2, "<"), (2, ">")])
@pytest.mark.parametrize("kind", TYPES)
def test_an_image_is_what_nibabel_reads(tmp_path, kind, version, order, name, scaling):
    path = tmp_path / name
    content = nifti(voxels(kind), version=version, order=order, scaling=scaling)
    path.write_bytes(gzip.compress(content, 1) if name.endswith("gz") else content)
    image = images.read(path)
    expected = as_nibabel(path)
    assert image.voxels.tobytes() == np.ascontiguousarray(expected).tobytes()
    assert image.voxels.shape == SHAPE
    assert image.voxels.dtype == np.float32
    assert np.array_equal(image.affine, nib.load(path).affine)
    assert image.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_voxels_are_in_c_order_and_free_to_be_changed(tmp_path):
    path = tmp_path / "a.nii"
    path.write_bytes(nifti(voxels("f4")))
    image = images.read(path)
    assert image.voxels.flags.c_contiguous
    image.voxels[0, 0, 0] = 7
    assert images.read(path).voxels[0, 0, 0] != 7


@pytest.mark.data
def test_a_real_image_is_what_nibabel_reads(real_data):
    for name in ("t1-linear-caps", "forrest-bids", "pet-linear-caps"):
        path = sorted((real_data / name).rglob("*.nii.gz"))[0]
        image = images.read(path)
        assert np.array_equal(image.voxels, as_nibabel(path))
        assert np.array_equal(image.affine, nib.load(path).affine)


@pytest.mark.parametrize("shape", [(*SHAPE, 1), (*SHAPE, 1, 1), (5, 6, 1), (1, 6, 7)])
def test_trailing_axes_of_one_are_dropped(tmp_path, shape):
    path = tmp_path / "a.nii"
    path.write_bytes(nifti(voxels(shape=shape)))
    image = images.read(path)
    assert image.voxels.shape == shape[:3]
    assert np.array_equal(image.voxels, as_nibabel(path).reshape(shape[:3]))


@pytest.mark.parametrize("shape", [(5, 6), (*SHAPE, 2), (*SHAPE, 1, 3)])
def test_what_is_not_three_dimensional_is_refused(tmp_path, shape):
    path = tmp_path / "a.nii"
    path.write_bytes(nifti(voxels(shape=shape)))
    with pytest.raises(InvalidDataError, match="not three-dimensional") as refusal:
        images.read(path)
    assert str(path) in str(refusal.value)
    assert str(shape) in str(refusal.value)


@pytest.mark.parametrize("kind", ["c8", "c16", [("R", "u1"), ("G", "u1"), ("B", "u1")]], ids=str)
def test_complex_numbers_and_colours_are_refused(tmp_path, kind):
    path = tmp_path / "a.nii"
    path.write_bytes(nib.Nifti1Image(np.zeros(SHAPE, dtype=kind), np.eye(4)).to_bytes())
    with pytest.raises(InvalidDataError, match="not real numbers"):
        images.read(path)


def lying(**facts: tuple[int, bytes]) -> bytes:
    content = bytearray(nifti(voxels()))
    for start, said in facts.values():
        content[start : start + len(said)] = said
    return bytes(content)


DIM, PIXDIM, VOX_OFFSET, SCALING = 40, 76, 108, 112
LIES = {
    "one slice less": lying(dim=(DIM, struct.pack("<4h", 3, 5, 6, 6))),
    "one slice more": lying(dim=(DIM, struct.pack("<4h", 3, 5, 6, 8))),
    "more than memory holds": lying(dim=(DIM, struct.pack("<8h", 7, *[32767] * 7))),
    "negative sizes": lying(dim=(DIM, struct.pack("<4h", 3, -5, -6, 7))),
    "no size": lying(dim=(DIM, struct.pack("<4h", 3, 0, 6, 7))),
    "nine dimensions": lying(dim=(DIM, struct.pack("<h", 9))),
    "another type": lying(type=(70, struct.pack("<h", 16))),
    "no such type": lying(type=(70, struct.pack("<h", 9999))),
    "voxels that begin later": lying(offset=(VOX_OFFSET, struct.pack("<f", 400))),
    "voxels behind the end": lying(offset=(VOX_OFFSET, struct.pack("<f", 1e30))),
    "voxels before the start": lying(offset=(VOX_OFFSET, struct.pack("<f", -1))),
    "voxels in the header": lying(offset=(VOX_OFFSET, struct.pack("<f", 100))),
    "voxels nowhere": lying(offset=(VOX_OFFSET, struct.pack("<f", math.nan))),
    "voxels at infinity": lying(offset=(VOX_OFFSET, struct.pack("<f", math.inf))),
    "an infinite intercept": lying(scaling=(SCALING, struct.pack("<2f", 1, math.inf))),
    "an affine that is no number": lying(sform=(280, struct.pack("<f", math.nan))),
    "an infinite affine": lying(sform=(280, struct.pack("<f", math.inf))),
    "fewer bytes": nifti(voxels())[:-1],
    "more bytes": nifti(voxels()) + b"\0",
    "a header alone": nifti(voxels())[:348],
    "half a header": nifti(voxels())[:100],
    "text": b"participant_id\tsession_id\n" * 40,
    "zeros": bytes(1000),
    "another archive": b"PK\x03\x04" + bytes(1000),
    "the magic number of gzip alone": b"\x1f\x8b",
    "nothing": b"",
}


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_not_believed(tmp_path, lie, compressed):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(LIES[lie]) if compressed else LIES[lie])
    with pytest.raises(InvalidDataError) as refusal:
        images.read(path)
    assert refusal.value.exit_code == 65
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


@given(st.lists(st.tuples(st.integers(0, 351), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_header_is_refused_or_read_as_nibabel_reads_it(damage):
    content = bytearray(nifti(voxels()))
    for position, value in damage:
        content[position] = value
    with TemporaryDirectory() as folder, np.errstate(all="ignore"):
        path = Path(folder) / "a.nii"
        path.write_bytes(content)
        try:
            found = images.read(path).voxels
        except InvalidDataError:
            return
        assert np.array_equal(found, as_nibabel(path).reshape(found.shape), equal_nan=True)


def test_every_truncation_of_a_compressed_image_is_refused(tmp_path):
    path = tmp_path / "a.nii.gz"
    content = gzip.compress(nifti(voxels()))
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(InvalidDataError, match="truncated|empty file|not a NIfTI"):
            images.read(path)


@pytest.mark.parametrize("position", [-1, -5, -40, 200, 30])
def test_a_flipped_bit_in_a_compressed_image_is_refused(tmp_path, position):
    path = tmp_path / "a.nii.gz"
    content = bytearray(gzip.compress(nifti(voxels())))
    content[position] ^= 1
    path.write_bytes(content)
    with pytest.raises(InvalidDataError, match="truncated or damaged"):
        images.read(path)


def test_a_length_that_a_damaged_end_makes_up_takes_no_memory(tmp_path):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(nifti(voxels()))[:-4] + b"\xff\xff\xff\xff")
    with pytest.raises(InvalidDataError, match="truncated or damaged"):
        images.read(path)


def test_an_image_compressed_in_several_members_is_read(tmp_path):
    path = tmp_path / "a.nii.gz"
    content = nifti(voxels())
    pieces = [content[start : start + 100] for start in range(0, len(content), 100)]
    path.write_bytes(b"".join(gzip.compress(piece) for piece in [*pieces, b""]))
    assert np.array_equal(images.read(path).voxels, voxels().astype(np.float32))


def test_what_is_compressed_is_told_by_content_not_by_name(tmp_path):
    content = nifti(voxels())
    (tmp_path / "a.nii").write_bytes(gzip.compress(content))
    (tmp_path / "b.nii.gz").write_bytes(content)
    one, other = images.read(tmp_path / "a.nii"), images.read(tmp_path / "b.nii.gz")
    assert np.array_equal(one.voxels, other.voxels)


def test_a_file_that_cannot_be_read_is_missing_input(tmp_path):
    (tmp_path / "broken.nii.gz").symlink_to(tmp_path / "gone")
    for path in (tmp_path / "absent.nii.gz", tmp_path, tmp_path / "broken.nii.gz"):
        with pytest.raises(MissingInputError, match="The image") as refusal:
            images.read(path)
        assert str(path) in str(refusal.value)


def test_a_number_beyond_float32_is_infinite_and_so_refused(tmp_path):
    path = tmp_path / "a.nii"
    values = voxels("f8")
    values[1, 2, 3] = 1e300
    path.write_bytes(nifti(values))
    image = images.read(path)
    assert np.isinf(image.voxels[1, 2, 3])
    with pytest.raises(InvalidDataError, match="infinite"):
        images.check_content(image.voxels, path)


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda values: values.fill(np.nan), "No voxel of the image is a number"),
        (lambda values: values.fill(3.0), "All voxels of the image are the same.*3"),
        (lambda values: values.fill(0.0), "All voxels of the image are the same"),
        (lambda values: values.__setitem__((0, 0, 0), np.inf), "infinite"),
        (lambda values: values.__setitem__((4, 5, 6), -np.inf), "infinite"),
        (lambda values: values.__setitem__((0, slice(2)), [[np.nan], [np.inf]]), "infinite"),
    ],
)
def test_what_nothing_can_be_learnt_from_is_refused(spoil, complaint):
    values = voxels("f4")
    spoil(values)
    with pytest.raises(InvalidDataError, match=complaint) as refusal:
        images.check_content(values, Path("folder/a.nii"))
    assert "folder/a.nii" in str(refusal.value)


def test_voxels_that_are_no_number_are_counted():
    values = voxels("f4")
    assert images.check_content(values, Path("a.nii")) == 0
    values[0, 1:4, 2] = np.nan
    assert images.check_content(values, Path("a.nii")) == 3


@pytest.mark.parametrize("name", ["new/folder/a.nii", "new/folder/a.nii.gz"])
@pytest.mark.parametrize("kind", ["f4", "u1", "i2"])
def test_what_is_written_is_read_by_nibabel_with_its_geometry(tmp_path, name, kind):
    path = tmp_path / name
    images.write(path, voxels(kind), affine=OBLIQUE)
    found = nib.load(path)
    assert found.get_data_dtype() == np.dtype(kind)
    assert np.array_equal(np.asarray(found.dataobj), voxels(kind))
    # The file holds the affine as float32.
    assert np.array_equal(found.affine, OBLIQUE.astype(np.float32))
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(("version", "order"), [(1, "<"), (1, ">"), (2, "<"), (2, ">")])
def test_header_and_affine_survive_reading_and_writing(tmp_path, version, order):
    content = nifti(voxels(), version=version, order=order)
    source = nib.load(_stored(tmp_path / "source.nii", content))
    source.header["descrip"] = b"made by hand"
    source.header["pixdim"][4] = 2.5
    source.header.set_xyzt_units("mm", "sec")
    source.header.set_sform(OBLIQUE, code="mni")
    source.header.set_qform(OBLIQUE, code="aligned", strip_shears=True)
    given = _stored(tmp_path / "given.nii", source.to_bytes())
    image = images.read(given)
    halved = image.voxels[::2, ::2, ::2] / 3
    images.write(tmp_path / "a.nii.gz", halved, affine=image.affine, header=image.header)
    found = nib.load(tmp_path / "a.nii.gz")
    assert type(found) is type(nib.load(given))
    assert np.array_equal(found.affine, nib.load(given).affine)
    assert np.array_equal(found.get_fdata(dtype=np.float32), halved)
    assert bytes(found.header["descrip"].item()) == b"made by hand"
    assert found.header.get_xyzt_units() == ("mm", "sec")
    assert int(found.header["sform_code"]) == 4
    again = images.read(tmp_path / "a.nii.gz")
    assert np.array_equal(again.affine, image.affine)


def test_a_cut_image_keeps_the_codes_of_another_affine(tmp_path):
    path = _stored(tmp_path / "a.nii", nifti(voxels()))
    image = images.read(path)
    moved = image.affine.copy()
    moved[:3, 3] += image.affine[:3, :3] @ [1, 2, 3]
    cut = image.voxels[1:, 2:, 3:]
    images.write(tmp_path / "cut.nii", cut, affine=moved, header=image.header)
    again = images.read(tmp_path / "cut.nii")
    # The origin is a float32 of about 100 mm: 1e-5 mm.
    np.testing.assert_allclose(again.affine, moved, atol=1e-5)
    np.testing.assert_array_equal(again.voxels, cut)


def test_the_same_image_is_the_same_bytes_under_any_name_and_at_any_time(tmp_path):
    for name in ("a", "another"):
        images.write(tmp_path / f"{name}.nii.gz", voxels("f4"), affine=OBLIQUE)
    one, other = ((tmp_path / f"{name}.nii.gz").read_bytes() for name in ("a", "another"))
    assert one == other
    flags, mtime = one[3], one[4:8]
    assert (flags, mtime) == (0, bytes(4))


def test_an_image_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "folder").touch()
    with pytest.raises(OutputError):
        images.write(tmp_path / "folder" / "a.nii", voxels("f4"), affine=OBLIQUE)
    (tmp_path / "a.nii").mkdir()
    with pytest.raises(OutputError):
        images.write(tmp_path / "a.nii", voxels("f4"), affine=OBLIQUE)
    assert not [entry for entry in tmp_path.iterdir() if entry.name.startswith(TEMPORARY)]


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("sub-1_T1w.nii.gz", "sub-1_T1w"),
        ("sub-1_T1w.nii", "sub-1_T1w"),
        ("sub-1_T1w.NII.GZ", "sub-1_T1w"),
        ("sub-1_res-1.5.nii.gz", "sub-1_res-1.5"),
        ("sub-1_T1w.img", "sub-1_T1w"),
    ],
)
def test_the_stem_is_the_name_without_the_suffixes_of_nifti(name, stem):
    assert images.stem(Path("folder") / name) == stem


def _stored(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize(("version", "order"), [(1, "<"), (1, ">"), (2, "<"), (2, ">")])
@pytest.mark.parametrize("shape", [SHAPE, (*SHAPE, 1), (40, 41, 42)])
def test_the_beginning_of_a_file_tells_where_its_voxels_lie(tmp_path, version, order, name, shape):
    path = tmp_path / name
    content = nifti(voxels(shape=shape), version=version, order=order)
    path.write_bytes(gzip.compress(content, 1) if name.endswith("gz") else content)
    whole = images.read(path)
    found = images.read_frame(path)
    assert found.shape == whole.voxels.shape
    assert found.affine.tobytes() == whole.affine.tobytes()
    assert images.orientation(found.affine) == "".join(nib.aff2axcodes(nib.load(path).affine))
    path.write_bytes(path.read_bytes()[:5000])
    again = images.read_frame(path)
    assert again.shape == found.shape
    assert again.affine.tobytes() == found.affine.tobytes()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not a NIfTI image"),
        (b"no image", "not a NIfTI image"),
        (nifti(voxels())[:300], "not a NIfTI image"),
        (gzip.compress(nifti(voxels()))[:2] + b"damaged", "truncated or damaged"),
        (nifti(voxels(shape=(5, 6))), "not three-dimensional"),
        (nifti(voxels(shape=(*SHAPE, 3))), "holds 3 volumes"),
        (nifti(voxels(shape=(*SHAPE, 2, 4))), "holds 8 volumes"),
    ],
)
def test_a_beginning_that_is_none_is_refused(tmp_path, content, complaint):
    path = tmp_path / "a.nii"
    path.write_bytes(content)
    with pytest.raises(InvalidDataError, match=complaint) as refusal:
        images.read_frame(path)
    assert str(path) in str(refusal.value)
    with pytest.raises(InvalidDataError):
        images.read(path)
    with pytest.raises(MissingInputError, match="absent"):
        images.read_frame(tmp_path / "absent.nii")


@pytest.mark.parametrize(("version", "order"), [(1, "<"), (1, ">"), (2, "<"), (2, ">")])
@pytest.mark.parametrize("shape", [SHAPE, (*SHAPE, 3), (*SHAPE, 1, 2)])
def test_an_image_as_it_is_stored_is_what_nibabel_reads(tmp_path, version, order, shape):
    path = tmp_path / "a.nii"
    path.write_bytes(nifti(voxels(shape=shape), version=version, order=order, scaling=(0.5, -3)))
    stored, image = images.read_stored(path), nib.load(path)
    np.testing.assert_array_equal(stored.voxels, as_nibabel(path))
    np.testing.assert_array_equal(stored.affine, image.affine)
    np.testing.assert_allclose(stored.voxel_size, image.header.get_zooms()[:3], rtol=1e-6)
    assert stored.unit == "unknown"
    np.testing.assert_allclose(stored.sform, image.get_sform(), atol=1e-5)
    assert stored.qform is None


def test_a_header_is_told_as_it_is_written_and_mended_in_silence(tmp_path, caplog):
    path = tmp_path / "a.nii"
    image = nib.Nifti1Image(voxels(), OBLIQUE)
    image.header.set_xyzt_units("micron", "sec")
    image.set_sform(None, 0)
    content = bytearray(image.to_bytes())
    header = nib.Nifti1Header(bytes(content[:348]), check=False)
    header["pixdim"][1:4] = (-2, 0, 3)
    header["qform_code"] = 1
    header["quatern_b"], header["quatern_c"] = 1, 1  # no rotation: their squares exceed 1
    header["sform_code"] = 2
    content[:348] = header.binaryblock
    path.write_bytes(content)
    stored = images.read_stored(path)
    assert stored.voxel_size == (-2, 0, 3)
    assert stored.unit == "micrometres"
    assert np.isnan(stored.qform).all()
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "empty file"),
        (b"not an image" * 100, "not a NIfTI"),
        (nifti(voxels())[:-10], "lies about its size"),
        (nifti(voxels(shape=(4, 5))), "no volume"),
    ],
)
def test_what_is_no_image_is_not_read_as_it_is_stored_either(tmp_path, content, what):
    path = tmp_path / "a.nii"
    path.write_bytes(content)
    with pytest.raises(InvalidDataError, match=what):
        images.read_stored(path)


def test_axes_are_turned_to_the_right_front_and_top():
    values = voxels()
    np.testing.assert_array_equal(images.to_ras(values, OBLIQUE), values[::-1])
    affine = np.array([[0, 0, 2.0, 0], [-2, 0, 0, 0], [0, -2, 0, 0], [0, 0, 0, 1]])
    turned = images.to_ras(values, affine)
    canonical = nib.as_closest_canonical(nib.Nifti1Image(values, affine))
    np.testing.assert_array_equal(turned, np.asarray(canonical.dataobj))
    flat = np.diag([2.0, 2, 0, 1])
    np.testing.assert_array_equal(images.to_ras(values, flat), values)
    assert images.orientation(flat) == "RA?"
    assert images.orientation(np.full((4, 4), np.nan)) == "???"
