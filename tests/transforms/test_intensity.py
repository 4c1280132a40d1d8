"""Intensities of a sample."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.preprocessing import minmax_scale

from clinicadl.config.transforms import TransformsConfig
from clinicadl.transforms.intensity import min_max, without_nan
from clinicadl.transforms.pipeline import pipeline

volumes = arrays.arrays(
    np.float32, (1, 2, 3, 4), elements=st.floats(-1000, 1000, width=32, allow_subnormal=False)
)


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


def test_a_constant_sample_becomes_zeros():
    assert torch.equal(min_max(torch.full((1, 2, 2, 2), 7.0)), torch.zeros(1, 2, 2, 2))


def test_what_is_no_number_becomes_zero_before_the_scaling():
    sample = torch.tensor([[[[float("nan"), 2.0], [4.0, 1.0]]]])
    expected = torch.tensor([[[[0.0, 0.5], [1.0, 0.25]]]])
    assert torch.equal(pipeline(TransformsConfig())(sample), expected)


@pytest.mark.parametrize("normalize", [True, False])
def test_the_stored_sample_is_never_changed(normalize):
    sample = torch.rand(1, 3, 3, 3)
    before = sample.clone()
    pipeline(TransformsConfig(normalize=normalize))(sample)
    assert torch.equal(sample, before)


def test_unnormalized_samples_pass_as_they_are():
    sample = torch.rand(1, 3, 3, 3) * 50
    assert torch.equal(pipeline(TransformsConfig(normalize=False))(sample), sample)
    assert without_nan(sample) is sample
