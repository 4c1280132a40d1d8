"""Intensities of a sample."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.preprocessing import StandardScaler, minmax_scale

from clinicadl.config.transforms import NORMALIZATIONS as ROWS
from clinicadl.config.transforms import TransformsConfig
from clinicadl.transforms.intensity import min_max, percentile, without_nan, z_score
from clinicadl.transforms.pipeline import pipeline

volumes = arrays.arrays(
    np.float32, (1, 2, 3, 4), elements=st.floats(-1000, 1000, width=32, allow_subnormal=False)
)
NORMALIZATIONS = pytest.mark.parametrize("normalize", [min_max, z_score, percentile])


def brain(seed: int = 0) -> np.ndarray:
    """Return a box of positive voxels in a background of zeros."""
    voxels = np.zeros((1, 12, 14, 10), np.float32)
    inside = np.random.default_rng(seed).gamma(3, 20, (1, 6, 8, 5)).astype(np.float32)
    voxels[:, 2:8, 3:11, 1:6] = inside + 1
    return voxels


@given(volumes)
def test_scaling_equals_that_of_scikit_learn(voxels):
    scaled = min_max(torch.from_numpy(voxels.copy())).numpy()
    if voxels.max() - voxels.min() < 1e-3:
        assert np.isfinite(scaled).all()
        return
    expected = minmax_scale(voxels.astype(np.float64).ravel()).reshape(voxels.shape)
    np.testing.assert_allclose(scaled, expected, atol=1e-3)  # float32 of values up to 1000
    assert scaled.min() == 0
    assert scaled.max() == 1


@given(volumes)
def test_standardising_equals_that_of_scikit_learn(voxels):
    scaled = z_score(torch.from_numpy(voxels.copy())).numpy()
    if voxels.max() - voxels.min() < 1e-1:
        assert np.isfinite(scaled).all()
        return
    column = voxels.astype(np.float64).reshape(-1, 1)
    expected = StandardScaler().fit_transform(column).reshape(voxels.shape)
    np.testing.assert_allclose(scaled, expected, atol=1e-2)  # float32 of values up to 1000


@given(volumes, st.floats(0, 40), st.floats(60, 100))
def test_percentiles_are_those_of_numpy(voxels, low, high):
    scaled = percentile(
        torch.from_numpy(voxels.copy()), low_percentile=low, high_percentile=high
    ).numpy()
    first, last = np.percentile(voxels.astype(np.float64), (low, high))
    if last - first < 1e-1:
        assert np.isfinite(scaled).all()
        return
    expected = (np.clip(voxels.astype(np.float64), first, last) - first) / (last - first)
    np.testing.assert_allclose(scaled, expected, atol=1e-2)  # float32 of values up to 1000


def test_an_outlier_moves_the_extremes_and_not_the_percentiles():
    voxels = brain()
    bright = voxels.copy()
    bright[0, 5, 5, 3] = 1e5
    kept = (voxels > 0) & (bright < 1e5)

    def moved(normalize):
        one, other = (normalize(torch.from_numpy(some)).numpy() for some in (voxels, bright))
        return np.abs(one - other)[kept].mean()

    assert moved(percentile) < 0.01 < 0.2 < moved(min_max)


@NORMALIZATIONS
def test_the_background_stays_0_and_has_no_say(normalize):
    voxels = brain()
    inside = voxels[voxels != 0]
    scaled = normalize(torch.from_numpy(voxels), only_nonzero=True).numpy()
    assert not scaled[voxels == 0].any()
    alone = normalize(torch.from_numpy(inside)).numpy()
    assert np.array_equal(scaled[voxels != 0], alone)
    whole = normalize(torch.from_numpy(voxels)).numpy()
    assert not np.allclose(whole[voxels != 0], alone)


@NORMALIZATIONS
@pytest.mark.parametrize("only_nonzero", [True, False])
@pytest.mark.parametrize("value", [0.0, 7.1, -3.0])
def test_a_constant_sample_becomes_zeros(normalize, only_nonzero, value):
    constant = torch.full((1, 3, 4, 5), value)
    assert torch.equal(normalize(constant, only_nonzero=only_nonzero), torch.zeros(1, 3, 4, 5))


@NORMALIZATIONS
@pytest.mark.parametrize("only_nonzero", [True, False])
def test_what_is_no_number_counts_as_0(normalize, only_nonzero):
    voxels = brain()
    voxels[0, 4, 5, 2:4] = 0
    holes = voxels.copy()
    holes[0, 4, 5, 2:4] = np.nan
    one, other = (
        normalize(torch.from_numpy(some), only_nonzero=only_nonzero) for some in (voxels, holes)
    )
    assert torch.equal(one, other)


def test_what_is_no_number_becomes_zero_before_the_scaling():
    sample = torch.tensor([[[[float("nan"), 2.0], [4.0, 1.0]]]])
    expected = torch.tensor([[[[0.0, 0.5], [1.0, 0.25]]]])
    assert torch.equal(pipeline(TransformsConfig())(sample), expected)


def test_unnormalized_samples_pass_as_they_are():
    sample = torch.rand(1, 3, 3, 3) * 50
    assert torch.equal(pipeline(TransformsConfig(normalize=False))(sample), sample)
    assert without_nan(sample) is sample


@pytest.mark.parametrize("size_reduction", [False, True])
@pytest.mark.parametrize("name", [*ROWS, None])
def test_a_sample_is_laid_where_it_shall_be_with_the_same_bits(name, size_reduction):
    """Cuts that are no block of memory, constant ones and such with no number among them."""
    settings = {"normalize": False} if name is None else {"normalization": name}
    transform = pipeline(TransformsConfig(**settings, size_reduction=size_reduction))
    shape = (169, 208, 179) if size_reduction else (5, 6, 7)
    large = torch.from_numpy(
        np.random.default_rng(0).normal(size=(1, *(n + 1 for n in shape))).astype(np.float32)
    )
    cut = large[:, 1:, 1:, 1:]
    undefined = cut.clone()
    undefined[0, 2, 2, 2] = torch.nan
    for image in (cut, cut.contiguous(), undefined, torch.full_like(cut, 3), cut.expand(1, *shape)):
        before = image.clone()
        expected = transform(image)
        out = torch.full(expected.shape, 7.0)
        assert transform(image, out=out) is out
        assert torch.equal(out, expected)
        assert torch.equal(image.nan_to_num(9), before.nan_to_num(9))
