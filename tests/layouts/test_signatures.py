"""Signatures stay where the head stays, whatever else becomes of the image."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, zoom

from clinicadl.draws import generator
from clinicadl.errors import InvalidDataError
from clinicadl.layouts import signatures
from clinicadl.layouts.maps import signatures as kept
from clinicadl.layouts.signatures import Signature

GRID = (44, 52, 46)
AFFINE = np.array([[4.0, 0, 0, -86], [0, 4, 0, -120], [0, 0, 4, -78], [0, 0, 0, 1]])


def head(number: int) -> np.ndarray:
    """Return a head of its own: a bright ellipsoid with folds."""
    draw = generator(5, "head", sample=number)
    folds = gaussian_filter(draw.standard_normal(GRID), 1.5)
    x, y, z = np.indices(GRID) - (np.array(GRID)[:, None, None, None] - 1) / 2
    inside = (x / 17) ** 2 + (y / 21) ** 2 + (z / 17) ** 2 <= 1
    return (inside * (100 + 20 * folds / folds.std())).clip(0).astype(np.float32)


def likeness(one: np.ndarray, other: np.ndarray, affine: np.ndarray = AFFINE) -> float:
    """Correlate two heads without what all heads share."""
    a, b = (signatures.of(*some).values - shared() for some in ((one, AFFINE), (other, affine)))
    return float(np.corrcoef(a, b)[0, 1])


@cache
def shared() -> np.ndarray:
    return np.mean([signatures.of(head(100 + n), AFFINE).values for n in range(20)], axis=0)


def test_two_heads_are_not_alike_and_one_head_is():
    assert likeness(head(0), head(0)) == pytest.approx(1)
    assert abs(likeness(head(0), head(1))) < 0.1


@settings(max_examples=15)
@given(st.floats(1e-3, 1e4), st.integers(0, 5))
def test_the_scale_of_the_intensities_changes_nothing(factor, number):
    image = head(number)
    ours, theirs = (
        signatures.of(one, AFFINE).values for one in (image, image * np.float32(factor))
    )
    # A value may round to the next step.
    assert np.abs(ours.astype(int) - theirs).max() <= 1


@pytest.mark.parametrize(
    ("what", "least"),
    [
        ("bias", 0.95), ("gamma", 0.95), ("noise", 0.7), ("integers", 0.99), ("1 mm voxels", 0.9),
        ("2 mm voxels", 0.9), ("cropped", 0.99), ("moved by 1 mm", 0.8),
    ],
)  # fmt: skip
def test_what_a_scanner_or_a_program_does_to_an_image_leaves_the_head(what, least):
    image, affine = head(2), AFFINE.copy()
    slope = np.linspace(0.7, 1.3, GRID[1])[:, None].astype(np.float32)
    if what == "bias":
        other = image * slope
    elif what == "gamma":
        other = image**0.8
    elif what == "noise":
        other = image + generator(1, "noise").normal(0, 5, GRID).astype(np.float32)
    elif what == "integers":
        other = np.round(image).astype(np.int16)
    elif what == "cropped":
        other = image[3:-3, 4:-4, 5:]
        affine[:3, 3] += 4 * np.array([3, 4, 5])
    elif what == "moved by 1 mm":
        other = image
        affine[:3, 3] += (0.6, 0.6, 0.6)
    else:
        factor = 4 if what == "1 mm voxels" else 2
        other = zoom(image, factor, order=1, grid_mode=True, mode="nearest")
        affine[:3, 3] -= AFFINE[:3, :3] @ np.full(3, 0.5 - 0.5 / factor)
        affine[:3, :3] /= factor
    assert likeness(image, other, affine) > least
    assert abs(likeness(head(3), other, affine)) < 0.15


@given(st.permutations([0, 1, 2]), st.tuples(st.booleans(), st.booleans(), st.booleans()))
@settings(max_examples=15)
def test_the_order_of_the_axes_changes_nothing(order, turned):
    image, to_new = head(4), np.eye(4)
    to_new[:3, :3] = np.eye(3)[:, order]
    other = image.transpose(order)
    for axis in range(3):
        if turned[axis]:
            to_new[:3, 3] += to_new[:3, axis] * (other.shape[axis] - 1)
            to_new[:3, axis] *= -1
            other = np.flip(other, axis)
    assert likeness(image, np.ascontiguousarray(other), AFFINE @ to_new) == pytest.approx(1)


def test_more_noise_is_less_alike():
    noise = generator(1, "noise").normal(0, 1, GRID).astype(np.float32)
    found = [likeness(head(2), head(2) + sigma * noise) for sigma in (0, 5, 15, 45)]
    assert found == sorted(found, reverse=True)
    assert found[0] > found[-1] + 0.3


def test_an_image_that_is_mirrored_has_the_mirrored_signature():
    x_affine = AFFINE.copy()
    x_affine[0, 3] = -4 * (GRID[0] - 1) / 2  # left and right of 0 alike
    image = head(0)
    ours = signatures.of(image, x_affine).values
    theirs = signatures.of(np.ascontiguousarray(image[::-1]), x_affine).values
    np.testing.assert_allclose(signatures.mirrored(ours), theirs, atol=1)
    assert np.array_equal(signatures.mirrored(signatures.mirrored(ours)), ours)


def test_the_content_is_that_of_the_voxels_alone():
    image, elsewhere = head(0), AFFINE + np.eye(4)
    assert signatures.of(image, AFFINE).content == signatures.of(image, elsewhere).content
    other = image.copy()
    other[0, 0, 0] += 1
    assert signatures.of(image, AFFINE).content != signatures.of(other, AFFINE).content


@pytest.mark.parametrize("value", [0.0, np.nan, -1.0])
def test_an_image_without_a_head_has_a_signature_of_zeros(value):
    found = signatures.of(np.full(GRID, value, np.float32), AFFINE)
    assert not found.values.any()
    far = AFFINE.copy()
    far[:3, 3] += 1e4
    assert not signatures.of(head(0), far).values.any()


def test_voxels_that_are_no_number_do_not_spread():
    holed = head(0)
    holed[:, :, 40:] = np.nan
    assert likeness(head(0), holed) > 0.9


def test_a_signature_is_a_small_image_again():
    values = signatures.of(head(0), AFFINE).values
    shown, affine = signatures.volume(values), signatures.volume_affine()
    assert np.array_equal(shown[signatures.is_inside()], values)
    np.testing.assert_allclose(
        affine @ [*(np.array(shown.shape) - 1) / 2, 1], [*signatures.CENTRE_MM, 1]
    )


def test_what_a_maps_keeps_comes_back(tmp_path):
    drawn = generator(0, "values").integers(-124, 125, (3, signatures.n_places()), dtype=np.int8)
    shown = {
        "": {
            ("sub-1", "ses-M000"): Signature(drawn[0], "a"),
            ("sub-2", "ses-x"): Signature(drawn[1], "b"),
        },
        "../source": {("sub-1", "ses-M000"): Signature(drawn[2], "c")},
    }  # fmt: skip
    path = tmp_path / "signatures.npz"
    kept.write(path, shown)
    found = kept.read(path)
    assert {who: [*some] for who, some in found.items()} == {
        who: [*some] for who, some in shown.items()
    }
    for who, some in shown.items():
        for key, one in some.items():
            assert found[who][key].content == one.content
            assert np.array_equal(found[who][key].values, one.values)
    first = path.read_bytes()
    kept.write(path, shown)
    assert path.read_bytes() == first
    assert kept.read(tmp_path / "absent.npz") == {}


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive at all"])
def test_a_damaged_file_is_named(content, tmp_path):
    path = tmp_path / "signatures.npz"
    path.write_bytes(content)
    with pytest.raises(InvalidDataError, match="signatures.npz"):
        kept.read(path)


def test_a_file_that_could_run_code_is_refused(tmp_path):
    path = tmp_path / "signatures.npz"
    np.savez(path, kind=np.array([{}], dtype=object))
    with pytest.raises(InvalidDataError, match="damaged"):
        kept.read(path)


def test_signatures_of_another_kind_are_no_signatures(tmp_path, monkeypatch):
    path = tmp_path / "signatures.npz"
    one = signatures.of(head(0), AFFINE)
    monkeypatch.setattr(kept, "KIND", "of a later release")
    kept.write(path, {"": {("sub-1", "ses-1"): one}})
    monkeypatch.undo()
    assert kept.read(path) == {}
