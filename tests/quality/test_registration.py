"""What is measured of a brain, by other programs too; and what it says of faults."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_erosion, gaussian_filter
from scipy.spatial.transform import Rotation
from scipy.stats import pearsonr
from sklearn.metrics import normalized_mutual_info_score

from clinicadl.draws import generator
from clinicadl.errors import InvalidDataError, MissingExtraError
from clinicadl.layouts import images
from clinicadl.layouts.images import Image
from clinicadl.quality import registration, registration_align
from clinicadl.quality.registration import WEIGHTS, Measures, measures, probability, reason
from clinicadl.quality.registration_align import (
    FARTHEST_MM,
    GRID,
    motion_onto,
    offset_mm,
    read_template,
    template_of,
)
from clinicadl.quality.registration_simulated import DETECTABLE, FAULTS, LEAST, tolerated, varied

NOWHERE = Path("image.nii.gz")
TO_WORLD = np.array(GRID.affine)


@pytest.fixture(scope="module")
def template():
    return read_template(None)


@pytest.fixture(scope="module")
def image(template):
    """The template as an image: nothing is better registered."""
    return Image(template.voxels, TO_WORLD, None)


def draw(number=0):
    return generator(3, "test of quality", sample=number)


def test_the_template_lies_on_itself(image, template):
    found = measures(image, template, NOWHERE)
    assert found.correlation == pytest.approx(1, abs=0.01)
    assert found.edges == pytest.approx(1, abs=0.01)
    assert found.symmetry > 0.99
    assert found.overlap > 0.99
    assert found.offset < 0.3
    assert probability(found) > 0.99


def test_measures_are_those_of_other_programs(image, template):
    other = varied(tolerated(image, draw()), draw(1))
    found = measures(other, template, NOWHERE)
    voxels = registration_align.on_grid(other, NOWHERE)
    inside = template.inside
    white = np.percentile(voxels[inside], 90)
    voxels = np.where(voxels > 1.2 * white, 1.2 * white, voxels)
    blurred, reference = (gaussian_filter(one, 0.7, mode="nearest")
                          for one in (voxels, template.voxels))  # fmt: skip
    seen, wanted = blurred[inside], reference[inside]
    assert found.correlation == pytest.approx(pearsonr(seen, wanted).statistic, abs=1e-5)
    mirrored = blurred[::-1]  # the grid lies from -82.5 to 81.5: half a voxel from symmetry
    nearer = (3 * mirrored + np.roll(mirrored, 1, axis=0)) / 4
    assert found.symmetry == pytest.approx(pearsonr(seen, nearer[inside]).statistic, abs=1e-4)

    def labels(values):
        edges = np.linspace(*np.percentile(values, [0.5, 99.5]), 33)
        return np.digitize(values, edges[1:-1])

    nmi = normalized_mutual_info_score(labels(seen), labels(template.voxels[inside]))
    assert found.information == pytest.approx(nmi, abs=2e-3)
    deep = binary_erosion(inside, iterations=3)
    ours, theirs = (np.stack(np.gradient(one), -1)[deep] for one in (blurred, reference))
    weights = np.linalg.norm(theirs, axis=1)
    lengths = np.linalg.norm(ours, axis=1) * weights
    cosine = [a @ b / length for a, b, length in zip(ours, theirs, lengths, strict=True)]
    assert found.edges == pytest.approx(np.average(cosine, weights=weights), abs=1e-5)
    tissue = inside & (voxels > 0.05 * white)
    shares = [
        tissue[slab].sum() / inside[slab].sum()
        for axis in range(3)
        for start in range(inside.shape[axis] - 1)
        if inside[slab := (slice(None),) * axis + (slice(start, start + 2),)].sum() >= 50
    ]
    assert found.overlap == pytest.approx(min(shares))


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_mutual_information_is_that_of_scikit_learn_for_any_sample(seed):
    random = np.random.default_rng(seed)
    one = random.gamma(2, 1, 3000).astype(np.float32)
    other = (one * random.uniform(-1, 1) + random.normal(size=3000)).astype(np.float32)

    def labels(values):
        low, high = np.percentile(values, [0.5, 99.5])
        return np.clip(np.floor((values - low) / (high - low) * 32), 0, 31)

    found = registration.information(one, other)
    assert found == pytest.approx(
        normalized_mutual_info_score(labels(one), labels(other)), abs=1e-9
    )


def test_what_does_not_vary_holds_nothing():
    flat, some = np.zeros(100, np.float32), np.arange(100, dtype=np.float32)
    assert registration.correlation(flat, some) == 0
    assert registration.information(flat, some) == 0


def motion(shift=(0, 0, 0), turn=(0, 0, 0), scale=(1, 1, 1)):
    made = np.eye(4)
    made[:3, :3] = Rotation.from_rotvec(np.deg2rad(turn)).as_matrix() @ np.diag(scale)
    made[:3, 3] = shift
    return made


@pytest.mark.parametrize(
    "known",
    [
        motion(shift=(8, 0, 0)),
        motion(shift=(-6, 10, 7)),
        motion(turn=(12, 0, 0)),
        motion(turn=(5, -10, 8), shift=(3, 3, -6)),
        motion(scale=(1.1, 0.9, 1.05)),
    ],
    ids=["shift", "far", "turn", "both", "scale"],
)
def test_a_known_motion_is_found(known, image, template):
    moved = image._replace(affine=known @ image.affine)
    found = motion_onto(registration_align.on_grid(moved, NOWHERE), template)
    world = template.places + template.centre
    wanted = world @ known[:3, :3].T + known[:3, 3]
    error = np.linalg.norm(world @ found[:3, :3].T + found[:3, 3] - wanted, axis=1)
    assert np.sqrt((error**2).mean()) < 1
    by_hand = np.sqrt((np.linalg.norm(wanted - world, axis=1) ** 2).mean())
    assert offset_mm(found, template) == pytest.approx(by_hand, abs=1)


def test_a_brain_of_another_contrast_gets_lost(image, template):
    inverted = FAULTS["inverted contrast"].make(image, 0, draw())
    assert motion_onto(registration_align.on_grid(inverted, NOWHERE), template) is None
    assert offset_mm(None, template) == FARTHEST_MM


def test_contrast_and_brightness_are_irrelevant(image, template):
    brighter = image._replace(voxels=image.voxels * 1234 - 77)
    expected = measures(image, template, NOWHERE)
    assert measures(brighter, template, NOWHERE) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("edge", [1, 2])
def test_voxel_size_and_axes_hardly_matter(edge, template):
    from nilearn.datasets import load_mni152_template

    stored = load_mni152_template(resolution=edge)
    voxels = np.ascontiguousarray(stored.get_fdata()[::-1, ::-1].swapaxes(1, 2), np.float32)
    turned = np.diag([-1.0, -1, 1, 1])
    turned[:2, 3] = np.array(stored.shape[:2]) - 1
    affine = stored.affine @ turned @ np.eye(4)[[0, 2, 1, 3]]
    found = measures(Image(voxels, affine, None), template, NOWHERE)
    assert found.correlation > 0.99
    assert found.offset < 1
    assert probability(found) > 0.99


def test_good_images_pass(image, template):
    found = [measures(tolerated(image, draw(i)), template, NOWHERE) for i in range(4)]
    found += [measures(tolerated(varied(image, draw(i)), draw(i)), template, NOWHERE)
              for i in range(4)]  # fmt: skip
    assert min(map(probability, found)) > 0.5


@pytest.mark.parametrize("name", [name for name in DETECTABLE if name != "scale"])
def test_every_fault_that_can_be_seen_is_seen(name, image, template):
    fault = FAULTS[name]
    for size in (one for one in fault.sizes if one >= 1.4 * LEAST.get(name, 0)):
        found = measures(fault.make(image, size, draw()), template, NOWHERE)
        assert probability(found) < 0.5, (size, found)
        assert reason(found)


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_a_brain_of_another_size_is_seen(factor, image, template):
    made = image._replace(affine=motion(scale=(factor,) * 3) @ image.affine)
    found = measures(made, template, NOWHERE)
    assert probability(found) < 0.5
    assert "off its place" in reason(found)


def test_a_brain_and_its_mirror_image_cannot_be_told_apart(image, template):
    mirrored = FAULTS["flipped along x"].make(image, 0, draw())
    assert probability(measures(mirrored, template, NOWHERE)) > 0.99


def test_faults_are_as_large_as_they_say(image):
    points = np.c_[np.random.default_rng(0).uniform(-70, 70, (50, 3)), np.ones(50)]
    ours = points @ np.linalg.inv(image.affine).T

    def moved(name, size):
        wrong = FAULTS[name].make(image, size, draw())
        return (ours @ wrong.affine.T)[:, :3], wrong.affine @ np.linalg.inv(image.affine)

    there, _ = moved("shift", 8)
    np.testing.assert_allclose(np.linalg.norm(there - points[:, :3], axis=1), 8)
    _, turned = moved("rotation", 15)
    angle = np.rad2deg(np.arccos((np.trace(turned[:3, :3]) - 1) / 2))
    assert angle == pytest.approx(15)
    _, stretched = moved("scale", 25)
    factors = np.linalg.svd(stretched[:3, :3])[1]
    assert np.abs(factors - 1).max() == pytest.approx(0.25)
    _, sheared = moved("shear", 8)
    assert np.abs(sheared[:3, :3] - np.eye(3)).max() == pytest.approx(np.tan(np.deg2rad(8)))
    for axis, name in enumerate(("flipped along x", "flipped along y", "flipped along z")):
        _, flipped = moved(name, 0)
        np.testing.assert_allclose(
            np.diag(flipped)[:3], [-1 if one == axis else 1 for one in range(3)]
        )


def test_what_is_tolerated_is_small(image):
    world = np.argwhere(image.voxels > 0) @ image.affine[:3, :3].T + image.affine[:3, 3]
    for number in range(20):
        made = tolerated(image, draw(number)).affine @ np.linalg.inv(image.affine)
        lengths = np.linalg.norm(world @ made[:3, :3].T + made[:3, 3] - world, axis=1)
        assert np.sqrt((lengths**2).mean()) < 3


FOUND = st.builds(
    Measures,
    st.floats(-1, 1), st.floats(0, 1), st.floats(-1, 1), st.floats(-1, 1), st.floats(0, 1),
    st.floats(0, FARTHEST_MM),
)  # fmt: skip


@given(FOUND, st.sampled_from(Measures._fields), st.floats(0, 1))
def test_no_measure_that_gets_better_lowers_the_probability(found, name, share):
    best = 0.0 if name == "offset" else 1.0
    value = getattr(found, name)
    better = found._replace(**{name: value + share * (best - value)})
    assert probability(better) >= probability(found) - 1e-12


def test_the_reason_names_what_speaks_against_an_image():
    usual = Measures(0.85, 0.15, 0.83, 0.93, 0.98, 3.8)
    assert reason(usual._replace(overlap=0.0)).startswith("a part of the brain is not there")
    assert reason(usual._replace(offset=38.0)).startswith("off its place by about 38 mm")
    assert set(WEIGHTS) == set(Measures._fields)


def test_an_image_that_lies_elsewhere_is_refused(image, template):
    far = np.eye(4)
    far[:3, 3] = 500
    with pytest.raises(InvalidDataError, match=r"does not lie where the template does.*image\.nii"):
        measures(image._replace(affine=far @ image.affine), template, NOWHERE)


def test_a_template_without_a_brain_is_refused(image):
    dark = np.zeros_like(image.voxels)
    dark[0, 0, 0] = 1
    with pytest.raises(InvalidDataError, match="no brain where those of MNI lie"):
        template_of(image._replace(voxels=dark), NOWHERE)


def test_a_template_of_ones_own_is_read(image, template, tmp_path):
    images.write(tmp_path / "brain.nii.gz", image.voxels, affine=image.affine)
    own = read_template(tmp_path / "brain.nii.gz")
    assert np.array_equal(own.inside, template.inside)
    found = measures(image, own, NOWHERE)
    assert found == pytest.approx(measures(image, template, NOWHERE), abs=1e-6)


def test_without_nilearn_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "nilearn.datasets", None)
    with pytest.raises(MissingExtraError, match=r"clinicadl\[report\]"):
        read_template(None)
