"""The transforms of an experiment, in order."""

import pickle
import sys

import pytest
import torch

from clinicadl.config.transforms import AUGMENTATIONS, NORMALIZATIONS, TransformsConfig
from clinicadl.draws import generator
from clinicadl.errors import MissingExtraError, UsageError
from clinicadl.transforms.intensity import min_max
from clinicadl.transforms.pipeline import (
    augmentation,
    check_augmentation,
    drawn,
    output_shape,
    pipeline,
)
from clinicadl.transforms.size import GRID, reduced


def sample_of(*shape: int) -> torch.Tensor:
    return torch.from_numpy(generator(0, "sample").random(shape, dtype="float32"))


@pytest.mark.parametrize("name", NORMALIZATIONS)
@pytest.mark.parametrize("normalize", [True, False])
def test_the_stored_sample_is_never_changed(normalize, name):
    sample = sample_of(1, 6, 7, 8)
    sample[0, 3, 3, 3] = torch.nan
    before = sample.clone()
    normalization = name if normalize else "min-max"
    pipeline(TransformsConfig(normalize=normalize, normalization=normalization))(sample)
    assert torch.equal(sample.nan_to_num(9.0), before.nan_to_num(9.0))


def test_the_size_is_reduced_after_the_extremes_of_the_whole_sample_were_taken():
    sample = sample_of(1, *GRID)
    sample[0, 0, 0, 0] = 5  # outside the part that is kept
    settings = TransformsConfig(size_reduction=True, size_reduction_factor=3)
    small = pipeline(settings)(sample)
    assert torch.equal(small, reduced(min_max(sample), factor=3))
    assert small.max() < 0.21
    assert tuple(small.shape) == output_shape(settings, tuple(sample.shape))


def test_without_reduction_any_shape_stays():
    assert output_shape(TransformsConfig(), (3, 169, 208)) == (3, 169, 208)


def test_reduction_of_another_shape_is_refused_early():
    with pytest.raises(UsageError, match="50x50x50"):
        output_shape(TransformsConfig(size_reduction=True), (1, 50, 50, 50))


def test_no_augmentation_is_nothing():
    assert augmentation(TransformsConfig(), seed=0) is None
    assert augmentation(TransformsConfig(augmentation=("None",)), seed=0) is None


def test_augmentations_follow_each_other_in_the_given_order():
    erase, shift = {"name": "Erasing", "p": 1.0}, {"name": "CropPad", "shift": 3}
    image = sample_of(1, 12, 13, 14)
    results = []
    for rows in ([erase, shift], [shift, erase]):
        settings = TransformsConfig(augmentation=rows)
        changes = drawn(settings.augmentation, (1, 12, 13, 14), seed=4, epoch=2, sample=7)
        expected = changes[1](changes[0](image))
        found = augmentation(settings, seed=4)(image, 2, 7)
        assert torch.equal(found, expected)
        results.append(found)
    assert not torch.equal(*results)


def test_the_same_augmentation_twice_is_drawn_twice():
    settings = TransformsConfig(augmentation=("Gamma", "Gamma"))
    first, second = drawn(settings.augmentation, (1, 4, 4, 4), seed=0)
    assert first.keywords != second.keywords


def test_an_augmentation_further_down_does_not_change_those_above():
    one, two = (
        drawn(TransformsConfig(augmentation=names).augmentation, (1, 9, 9, 9), seed=3, sample=5)
        for names in (["Gamma"], ["Gamma", "Smoothing"])
    )
    assert one[0].keywords == two[0].keywords


def test_a_copy_in_another_process_says_the_same():
    settings = TransformsConfig(
        normalization="percentile", size_reduction=True, augmentation=("Noise", "Flip", "BiasField")
    )
    image = sample_of(1, *GRID)
    steady, random = pipeline(settings), augmentation(settings, seed=1)
    there_steady, there_random = pickle.loads(pickle.dumps((steady, random)))
    small = steady(image)
    assert torch.equal(there_steady(image), small)
    assert torch.equal(there_random(small, 3, 11), random(small, 3, 11))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_the_type_of_the_sample_is_kept(dtype):
    change = augmentation(TransformsConfig(augmentation=("Noise", "Gamma")), seed=0)
    image = sample_of(1, 6, 6, 6).to(dtype)
    assert change(image, 0, 0).dtype == dtype


VOLUMES_ONLY = [name for name, row in AUGMENTATIONS.items() if row.volumes_only]


@pytest.mark.parametrize("name", VOLUMES_ONLY)
def test_what_needs_volumes_refuses_slices_early(name):
    settings = TransformsConfig(augmentation=("Noise", {"name": name, "p": 0.0}))
    with pytest.raises(UsageError, match=name) as caught:
        check_augmentation(settings, (3, 169, 208))
    assert "Noise" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("row", "shape", "words"),
    [
        ({"name": "RandomSwap", "p": 0.0}, (1, 20, 20, 20), ("patch_size", "20x20x20")),
        ({"name": "RandomSwap", "p": 0.0}, (1, 60, 60, 14), ("patch_size", "60x60x14")),
        ({"name": "Flip", "axes": [2], "p": 0.0}, (1, 169, 208), ("axes", "0 to 1")),
    ],
)
def test_what_does_not_fit_into_a_sample_is_refused_early(row, shape, words):
    with pytest.raises(UsageError) as caught:
        check_augmentation(TransformsConfig(augmentation=(row,)), shape)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_missing_extra_is_named_early_and_only_where_it_is_needed(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchio", None)
    plain = [name for name, row in AUGMENTATIONS.items() if row.package is None]
    settings = TransformsConfig(augmentation=plain)
    check_augmentation(settings, (1, 40, 40, 40))
    augmentation(settings, seed=0)(sample_of(1, 40, 40, 40), 0, 0)
    for name in set(AUGMENTATIONS) - set(plain):
        settings = TransformsConfig(augmentation=(name,))
        with pytest.raises(MissingExtraError, match=r'pip install "clinicadl\[augment\]"'):
            check_augmentation(settings, (1, 40, 40, 40))
        with pytest.raises(MissingExtraError, match="torchio"):
            augmentation(settings, seed=0)(sample_of(1, 40, 40, 40), 0, 0)
