"""Generate shepplogan: two-dimensional phantoms of three subtypes."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from clinicadl import SheppLoganConfig
from clinicadl.draws import generator
from clinicadl.errors import InvalidDataError
from clinicadl.layouts import caps, images
from clinicadl.synthesis.shepplogan import (
    PREPROCESSING,
    Ellipse,
    affine_of,
    draw_ellipses,
    draw_phantom,
    draw_subtype,
    generate_shepplogan,
    paint,
    plan,
    tensor_path,
)

SIZE = 48


def config_of(target, **settings):
    quick = {"n_subjects": 2, "n_proc": 1, "seed": 5, "image_size": SIZE, "extract_json": "x"}
    return SheppLoganConfig(generated_caps_directory=target, **{**quick, **settings})


def bits(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "commandline.json"
    }


@given(
    st.floats(10, 22),
    st.floats(10, 22),
    st.floats(3, 9),
    st.floats(3, 9),
    st.floats(-np.pi, np.pi),
)
def test_a_pixel_belongs_to_an_ellipse_if_turning_it_back_puts_it_inside(row, column, a, b, angle):
    picture = paint([Ellipse(row, column, a, b, angle, 0.5)], 32)
    for i, j in np.ndindex(32, 32):
        turned_back = complex(i - row, j - column) * np.exp(-1j * angle)
        distance = abs(complex(turned_back.real / a, turned_back.imag / b))
        if abs(distance - 1) > 1e-9:
            assert picture[i, j] == (0.5 if distance < 1 else 0)


def test_an_ellipse_has_its_area_and_later_ones_lie_over_earlier_ones():
    picture = paint([Ellipse(50, 50, 40, 20, 0.4, 1), Ellipse(50, 50, 10, 10, 0, 0.25)], 101)
    # Counting pixels errs by about the length of the edge times a fraction of a pixel.
    assert abs((picture > 0).sum() - np.pi * 40 * 20) < 20
    assert abs((picture == np.float32(0.25)).sum() - np.pi * 100) < 10


@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 2]), st.sampled_from([32, 128, 200]))
def test_every_ellipse_lies_within_the_bounds_of_its_region(seed, subtype, size):
    skull, brain, *regions, left, right = draw_ellipses(
        generator(seed, "test"), size=size, subtype=subtype
    )
    c = (size + 1) / 2
    a, b = c - 2, 2 * c / 3 - 2
    assert skull == (c, c, a, b, 0, 1)
    o = 2 * (brain.row - c)
    assert 1 <= round(o, 9) <= size / 32
    np.testing.assert_allclose(brain, (c + o / 2, c, a - o, b - o, 0, 0.2))
    large, small = (1, 1.2), (0.8, 0.9)
    nominal = [
        (c, c, b / 6, b / 6, large),
        (0.6 * c, c, b / 3, b / 4, small if subtype == 2 else large),
        *[
            (1.5 * c, across * c, b / 10, b / 10, small if subtype == 1 else large)
            for across in (1, 1.1, 0.9)
        ],
    ]
    assert len(regions) == len(nominal)
    for region, (row, column, row_radius, column_radius, (low, high)) in zip(
        regions, nominal, strict=True
    ):
        assert 1 <= round(region.row - row, 9) <= size / 32
        assert 1 <= round(region.column - column, 9) <= size / 32
        assert low <= round(region.row_radius / row_radius, 9) <= high
        assert low <= round(region.column_radius / column_radius, 9) <= high
        assert abs(region.rotation) <= np.pi
        assert 0.4 <= region.value <= 0.6
    for ventricle, column, side in ((left, 0.75 * c, 1), (right, 1.25 * c, -1)):
        assert (ventricle.row, ventricle.column, ventricle.value) == (c, column, 0)
        assert 0.8 <= round(ventricle.row_radius * 3 / a, 9) <= 1.2
        np.testing.assert_allclose(ventricle.row_radius, 2 * ventricle.column_radius)
        assert abs(ventricle.rotation - side * np.pi / 8) <= np.pi / 16


def test_subtypes_come_in_their_shares():
    drawn = [draw_subtype(0, "AD", number, (0.05, 0.85, 0.10)) for number in range(1000)]
    for subtype, share in enumerate((0.05, 0.85, 0.10)):
        # Four standard errors of a share among 1000.
        spread = 4 * np.sqrt(share * (1 - share) / 1000)
        assert abs(drawn.count(subtype) / 1000 - share) < spread


@pytest.mark.parametrize("subtype", [0, 1, 2])
def test_a_share_of_one_leaves_no_other_subtype(subtype):
    shares = tuple(float(subtype == other) for other in range(3))
    assert {draw_subtype(0, "CN", number, shares) for number in range(50)} == {subtype}


def test_a_share_that_is_1_but_for_rounding_leaves_three_subtypes():
    thirds = (0.3333333, 0.3333333, 0.3333333)
    assert {draw_subtype(0, "CN", number, thirds) for number in range(50)} == {0, 1, 2}


@pytest.mark.parametrize(
    "shares", [(0.5, 0.5), (0.5, 0.25, 0.125, 0.125), (0.5, 0.4, 0.2), (-0.5, 0.5, 1),
               (float("nan"), 0.5, 0.5)],
)  # fmt: skip
def test_shares_that_are_no_distribution_of_three_are_refused(tmp_path, shares):
    with pytest.raises(ValidationError, match="share"):
        config_of(tmp_path / "new", ad_subtypes_distribution=shares)


@pytest.mark.parametrize("smoothing", [False, True])
def test_values_stay_between_0_and_1(tmp_path, smoothing):
    config = config_of(tmp_path, smoothing=smoothing)
    for number in range(10):
        picture = draw_phantom(config, "AD", number)
        assert picture.dtype == np.float32
        assert picture.min() >= 0
        assert picture.max() <= 1
        assert picture.shape == (SIZE, SIZE)


def test_smoothing_blurs_the_same_phantom(tmp_path):
    sharp = draw_phantom(config_of(tmp_path, image_size=128), "AD", 1)
    blurred = draw_phantom(config_of(tmp_path, image_size=128, smoothing=True), "AD", 1)
    assert np.abs(np.diff(blurred, axis=0)).sum() < np.abs(np.diff(sharp, axis=0)).sum()
    # A blur moves grey values, it neither adds nor takes away; the skull does not touch the edge.
    np.testing.assert_allclose(blurred.sum(), sharp.sum(), rtol=1e-2)
    assert np.corrcoef(blurred.ravel(), sharp.ravel())[0, 1] > 0.9


def test_tensor_and_image_hold_the_same_phantom(tmp_path):
    folder = generate_shepplogan(config_of(tmp_path / "new"))
    found = caps.index(folder, PREPROCESSING)
    assert list(found) == [
        (name, "ses-M000")
        for name in ("sub-CLNC00000", "sub-CLNC00001", "sub-CLNC10000", "sub-CLNC10001")
    ]
    for (participant, session), stored in found.items():
        image = images.read(stored.path)
        path = folder / tensor_path(participant, session)
        tensor = torch.load(path, weights_only=True)  # plain torch must read it
        assert tensor.dtype == torch.float32
        assert tensor.shape == (1, SIZE, SIZE)
        assert image.voxels.shape == (SIZE, SIZE, 1)
        np.testing.assert_array_equal(tensor[0].numpy(), image.voxels[:, :, 0])
        np.testing.assert_array_equal(image.affine, affine_of(SIZE))


def test_the_names_are_the_published_ones(tmp_path):
    folder = generate_shepplogan(config_of(tmp_path / "new", n_subjects=1))
    home = "subjects/sub-CLNC10000/ses-M000"
    stem = "sub-CLNC10000_ses-M000_space-SheppLogan"
    assert (
        folder / home / "deeplearning_prepare_data/slice_based/custom"
        / f"{stem}_axis-axi_channel-single_slice-0_phantom.pt"
    ).is_file()  # fmt: skip
    assert (folder / home / "shepplogan" / f"{stem}_phantom.nii.gz").is_file()


def test_a_viewer_shows_the_first_row_in_front_and_the_first_column_on_the_left():
    affine = affine_of(SIZE)
    half = (SIZE - 1) / 2
    np.testing.assert_allclose(affine @ [0, 0, 0, 1], [-half, half, 0, 1])
    np.testing.assert_allclose(affine @ [SIZE - 1, SIZE - 1, 0, 1], [half, -half, 0, 1])
    np.testing.assert_allclose(np.linalg.norm(affine[:3, :3], axis=0), 1)
    np.testing.assert_allclose(np.linalg.det(affine), 1)


def test_the_table_has_one_row_a_participant_with_its_subtype(tmp_path):
    config = config_of(tmp_path / "new", n_subjects=4, ad_subtypes_distribution=(0, 0, 1), n_proc=2)
    table = pd.read_csv(generate_shepplogan(config) / "data.tsv", sep="\t")
    assert list(table) == ["participant_id", "session_id", "diagnosis", "subtype"]
    names = [f"sub-CLNC{label}{number:04d}" for label in (0, 1) for number in range(4)]
    assert list(table["participant_id"]) == names
    assert list(table["diagnosis"]) == ["AD"] * 4 + ["CN"] * 4
    assert list(table["subtype"]) == [2] * 4 + [0] * 4


def test_the_extraction_is_that_of_stored_slices(tmp_path):
    folder = generate_shepplogan(config_of(tmp_path / "new"))
    extraction = caps.read_extraction(folder, "x")
    assert extraction.mode == "slice"
    assert extraction.preprocessing == PREPROCESSING
    expected = {
        "preprocessing": "custom", "use_uncropped_image": False, "prepare_dl": True,
        "extract_json": "x.json", "slice_direction": 2, "slice_mode": "single",
        "discarded_slices": 0, "num_slices": 1,
    }  # fmt: skip
    assert expected.items() <= extraction.content.items()
    assert extraction.content["file_type"]["pattern"] == "*_space-SheppLogan_phantom.nii.gz"
    said = json.loads((folder / "commandline.json").read_text())
    assert said["extract_json"] == "x.json"
    assert said["ad_subtypes_distribution"] == [0.05, 0.85, 0.10]


def test_an_extraction_without_a_name_gets_one_and_it_is_recorded(tmp_path):
    folder = generate_shepplogan(config_of(tmp_path / "new", extract_json=None))
    (path,) = (folder / "tensor_extraction").iterdir()
    assert path.name.startswith("extract_")
    assert json.loads((folder / "commandline.json").read_text())["extract_json"] == path.name


def test_a_name_that_leads_out_of_the_caps_is_refused(tmp_path):
    with pytest.raises(InvalidDataError, match="leads out"):
        plan(config_of(tmp_path / "new", extract_json="../../elsewhere"))


def test_the_bits_do_not_depend_on_the_number_of_processes(tmp_path):
    one = bits(generate_shepplogan(config_of(tmp_path / "one", smoothing=True)))
    two = bits(generate_shepplogan(config_of(tmp_path / "two", smoothing=True, n_proc=2)))
    other = bits(generate_shepplogan(config_of(tmp_path / "other", smoothing=True, seed=6)))
    assert one == two
    assert one.keys() == other.keys()
    assert one != other


def test_a_phantom_is_the_same_however_many_are_made(tmp_path):
    few = bits(generate_shepplogan(config_of(tmp_path / "few", n_subjects=1)))
    many = bits(generate_shepplogan(config_of(tmp_path / "many", n_subjects=3)))
    name = tensor_path("sub-CLNC10000", "ses-M000").as_posix()
    assert few[name] == many[name]
