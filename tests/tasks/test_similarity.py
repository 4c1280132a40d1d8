"""How near images are: ranges, neighbourhoods, voxels that do not count."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clinicadl.tasks import similarity
from clinicadl.tasks.similarity import MOST_PSNR, Pair, mae, mse, psnr, rmse, ssim


def noisy(shape, seed=0, noise=0.1):
    stream = np.random.default_rng(seed)
    true = stream.random(shape, dtype=np.float32)
    given = true + noise * stream.normal(size=shape).astype(np.float32)
    return torch.from_numpy(true), torch.from_numpy(given)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, 1), (0.2, 0.3, 1), (-1, 1, 2), (-0.1, 0.1, 2), (-1, 3, 4), (100, 180, 80), (7, 7, 1)],
)
def test_the_data_range_is_that_of_the_true_image(low, high, expected):
    true = torch.tensor([[[low, high]]], dtype=torch.float32)
    assert Pair(true, true * 1000).data_range == expected


def test_psnr_is_that_of_the_formula_and_finite_for_identical_images():
    true = torch.tensor([[[0.0, 0.5], [1.0, 0.25]]])
    assert psnr(Pair(true, true + 0.1)) == pytest.approx(20, abs=1e-5)
    assert psnr(Pair(true * 2 - 1, true * 2 - 1 + 0.2)) == pytest.approx(20, abs=1e-5)
    assert psnr(Pair(true, true)) == MOST_PSNR == pytest.approx(144.494, abs=1e-3)


def test_what_is_no_number_stays_none():
    true = torch.rand(1, 4, 4)
    lost = true.clone()
    lost[0, 0, 0] = float("nan")
    assert all(np.isnan(metric(Pair(true, lost))) for metric in (mae, mse, rmse, psnr, ssim))


@pytest.mark.parametrize("shape", [(1, 40, 30), (2, 37, 9, 12)])
@pytest.mark.parametrize("at_once", [1, 10**9])
def test_planes_at_once_and_threads_do_not_change_the_similarity(monkeypatch, shape, at_once):
    expected = ssim(Pair(*noisy(shape)))
    monkeypatch.setattr(similarity, "_AT_ONCE", at_once)
    assert ssim(Pair(*noisy(shape))) == pytest.approx(expected, rel=1e-12)
    assert ssim(Pair(*noisy(shape))) == ssim(Pair(*noisy(shape)))


@pytest.mark.parametrize("shape", [(20, 13), (17, 12, 9)])
def test_the_convolution_of_gpus_is_that_of_cpus(shape):
    fields = np.random.default_rng(0).normal(size=(4, *shape))
    inner = slice(3, 11)
    expected = similarity._correlated([*fields], inner)
    found = similarity._convolved([*torch.from_numpy(fields)], inner)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)


def test_voxels_that_are_not_covered_do_not_count():
    true, given = noisy((2, 14, 12, 11))
    covered = torch.zeros(14, 12, 11, dtype=torch.bool)
    covered[3:9, 2:, 4:] = True
    blank_true, blank_given = (one.where(covered, 0) for one in (true, given))
    lost = given.where(covered, float("nan"))
    inside = [one[:, 3:9, 2:, 4:] for one in (true, given)]
    for metric in (mae, mse, rmse, psnr):
        assert metric(Pair(true, lost, covered)) == metric(Pair(*inside))
    # The neighbourhood of a covered voxel may hold others, which are 0 in both images.
    assert ssim(Pair(true, lost, covered)) == ssim(Pair(blank_true, blank_given, covered))
    everywhere = torch.ones(14, 12, 11, dtype=torch.bool)
    assert ssim(Pair(true, given, everywhere)) == ssim(Pair(true, given))
    assert ssim(Pair(true, given, covered)) != ssim(Pair(true, given))


def test_zeros_around_the_covered_box_are_the_zeros_around_an_image():
    true, given = noisy((1, 9, 8, 7))
    around = [torch.nn.functional.pad(one, (6,) * 6) for one in (true, given)]
    covered = torch.nn.functional.pad(torch.ones(9, 8, 7, dtype=torch.bool), (6,) * 6)
    assert ssim(Pair(*around, covered)) == pytest.approx(ssim(Pair(true, given)), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_images_are_left_alone(dtype):
    true, given = (one.to(dtype) for one in noisy((1, 8, 8, 8)))
    covered = torch.rand(8, 8, 8) < 0.5
    before = true.clone(), given.clone()
    pair = Pair(true, given, covered)
    for metric in (mae, mse, rmse, psnr, ssim):
        metric(pair)
    assert torch.equal(true, before[0])
    assert torch.equal(given, before[1])


def test_similarity_is_symmetric_within_one_range_and_falls_with_noise():
    true, given = noisy((1, 20, 20, 20))
    assert ssim(Pair(true, true)) == 1
    falling = [ssim(Pair(*noisy((1, 20, 20, 20), noise=noise))) for noise in (0.01, 0.1, 0.5)]
    assert falling == sorted(falling, reverse=True)
    clipped = given.clamp(0, 1)
    assert ssim(Pair(true, clipped)) == pytest.approx(ssim(Pair(clipped, true)), rel=1e-12)
