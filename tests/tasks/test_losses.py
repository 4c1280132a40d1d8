"""One loss a sample."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from torch import distributions

from clinicadl.config.task import Classification, Reconstruction, Regression
from clinicadl.errors import UsageError
from clinicadl.networks.variational import Variational
from clinicadl.tasks.losses import (
    CLASSIFICATION,
    DISTANCES,
    EVIDENCE,
    OF_PROBABILITIES,
    READ_OTHERWISE,
    log_normalization,
)


def cross_entropy_by_hand(outputs: np.ndarray, target: int) -> float:
    return np.log(np.exp(outputs).sum()) - outputs[target]


def multi_margin_by_hand(outputs: np.ndarray, target: int) -> float:
    margins = [max(0, 1 - outputs[target] + other) for other in np.delete(outputs, target)]
    return sum(margins) / len(outputs)


REFERENCE = {"CrossEntropyLoss": cross_entropy_by_hand, "MultiMarginLoss": multi_margin_by_hand}
OUTPUTS = np.random.default_rng(0).normal(size=(6, 3)) * 2
TARGETS = np.array([0, 1, 2, 2, 1, 0])


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_loss_equals_its_reference_for_each_sample(name):
    losses = CLASSIFICATION[name](torch.from_numpy(OUTPUTS), torch.from_numpy(TARGETS))
    expected = [REFERENCE[name](*sample) for sample in zip(OUTPUTS, TARGETS, strict=True)]
    np.testing.assert_allclose(losses.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_the_mean_of_the_losses_is_the_loss_of_pytorch(name):
    outputs, targets = torch.from_numpy(OUTPUTS), torch.from_numpy(TARGETS)
    whole = {
        "CrossEntropyLoss": torch.nn.CrossEntropyLoss,
        "MultiMarginLoss": torch.nn.MultiMarginLoss,
    }
    torch.testing.assert_close(
        CLASSIFICATION[name](outputs, targets).mean(), whole[name]()(outputs, targets)
    )


def test_the_settings_offer_these_losses_and_no_other():
    def offered(settings):
        annotation = settings.model_fields["loss"].annotation
        names = [name for one in get_args(annotation) for name in get_args(one) or (one,)]
        return [name for name in names if name is not type(None)]

    assert offered(Classification) == list(CLASSIFICATION)
    assert offered(Regression) == list(DISTANCES)
    assert offered(Reconstruction) == [*DISTANCES, *EVIDENCE]
    assert set(READ_OTHERWISE) < set(DISTANCES)
    assert set(OF_PROBABILITIES) < set(EVIDENCE)


# Distances, of labels and of images

BY_HAND = {
    "MSELoss": lambda o, t: (o - t) ** 2,
    "L1Loss": lambda o, t: abs(o - t),
    "HuberLoss": lambda o, t: np.where(abs(o - t) < 1, (o - t) ** 2 / 2, abs(o - t) - 0.5),
    "SmoothL1Loss": lambda o, t: np.where(abs(o - t) < 1, (o - t) ** 2 / 2, abs(o - t) - 0.5),
    "KLDivLoss": lambda o, t: t * (np.log(t) - o),
    "BCEWithLogitsLoss": lambda o, t: np.log(1 + np.exp(o)) - t * o,
}


@pytest.mark.parametrize("shape", [(5, 1), (5, 3), (5, 1, 4, 3, 2)])
@pytest.mark.parametrize("name", DISTANCES)
def test_a_distance_is_the_mean_over_what_a_sample_holds(name, shape):
    stream = np.random.default_rng(0)
    outputs, targets = stream.normal(size=shape) * 2, stream.uniform(0.1, 0.9, shape)
    found = DISTANCES[name](torch.from_numpy(outputs), torch.from_numpy(targets))
    assert found.shape == (5,)
    expected = BY_HAND[name](outputs, targets).reshape(5, -1).mean(1)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    whole = getattr(torch.nn, name)()  # the class that the loss is named after
    if name != "KLDivLoss":  # its mean is announced to become another
        torch.testing.assert_close(
            found.mean(), whole(torch.from_numpy(outputs), torch.from_numpy(targets))
        )


# Evidence, of variational networks


def said_of(n=3, *, seed=0):
    """Return what a network may say of n images, and the images, within [0, 1]."""
    stream = np.random.default_rng(seed)
    given, images = (torch.from_numpy(stream.uniform(0.01, 0.99, (n, 1, 4, 3, 2))) for _ in "ab")
    mu, log_variance = (torch.from_numpy(stream.normal(size=(n, 6))) for _ in "ab")
    return Variational(given, mu, log_variance), images


def summed(values):
    return values.flatten(1).sum(1).float()


@pytest.mark.parametrize("name", EVIDENCE)
def test_the_divergence_is_that_of_two_normal_distributions(name):
    said, images = said_of()
    found = EVIDENCE[name](said, images).divergence
    latent = distributions.Normal(said.mu, (said.log_variance / 2).exp())
    expected = distributions.kl_divergence(latent, distributions.Normal(0.0, 1.0))
    torch.testing.assert_close(found, summed(expected), rtol=1e-5, atol=0)


def test_the_gaussian_loss_is_the_log_likelihood_of_variance_one_half_but_for_a_constant():
    said, images = said_of()
    likelihood = distributions.Normal(said.reconstruction, 0.5**0.5).log_prob(images)
    expected = summed(-likelihood - np.log(np.pi) / 2)
    found = EVIDENCE["VAEGaussianLoss"](said, images)
    torch.testing.assert_close(found.reconstruction, expected, rtol=1e-5, atol=1e-5)
    assert found.normalization is None


def test_the_bernoulli_loss_is_the_cross_entropy_of_pytorch():
    said, images = said_of()
    found = EVIDENCE["VAEBernoulliLoss"](said, images)
    expected = torch.nn.functional.binary_cross_entropy(
        said.reconstruction, images, reduction="none"
    )
    torch.testing.assert_close(found.reconstruction, summed(expected), rtol=1e-5, atol=0)
    assert found.normalization is None
    binary = (images > 0.5).double()
    likelihood = distributions.Bernoulli(said.reconstruction).log_prob(binary)
    found = EVIDENCE["VAEBernoulliLoss"](said, binary)
    torch.testing.assert_close(found.reconstruction, -summed(likelihood), rtol=1e-5, atol=0)


def test_the_continuous_bernoulli_loss_is_the_log_likelihood_of_that_distribution():
    said, images = said_of()
    found = EVIDENCE["VAEContinuousBernoulliLoss"](said, images)
    likelihood = distributions.ContinuousBernoulli(said.reconstruction).log_prob(images)
    torch.testing.assert_close(
        found.reconstruction + found.normalization, -summed(likelihood), rtol=1e-5, atol=1e-5
    )
    bernoulli = EVIDENCE["VAEBernoulliLoss"](said, images)
    assert torch.equal(found.reconstruction, bernoulli.reconstruction)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_normalization_and_its_gradient_are_exact_near_a_half_and_at_the_ends(dtype):
    away = torch.tensor([0.0, 1e-6, 1e-4, 1e-3, 0.0249, 0.0499, 0.0501, 0.1, 0.3, 0.49, 0.4999])
    points = torch.cat([0.5 - away, 0.5 + away]).to(dtype).requires_grad_()
    found = log_normalization(points)
    (gradient,) = torch.autograd.grad(found.sum(), points)
    exact, exact_gradient = _by_many_terms(points.detach().double())
    error = 1e-6 if dtype == torch.float32 else 1e-9
    torch.testing.assert_close(found.double(), exact, rtol=error, atol=error)
    # The slope of a series that ends misses a millionth where it ends. Towards black and white,
    # a rounding of the point itself says more than this.
    inside = (points - 0.5).abs() < 0.4
    torch.testing.assert_close(
        gradient.double()[inside], exact_gradient[inside], rtol=1e-5, atol=1e-6
    )


def _by_many_terms(points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """log(2 atanh(y) / y) and its slope, y = 1 - 2 x, the series of atanh(y) / y summed."""
    away = 1 - 2 * points
    n = torch.arange(0, 200_000, dtype=torch.float64)[:, None]
    ratio = (away ** (2 * n) / (2 * n + 1)).sum(0)
    slope = (2 * n * away ** (2 * n - 1).clamp(min=0) / (2 * n + 1)).sum(0)
    return (2 * ratio).log(), -2 * slope / ratio


@pytest.mark.parametrize("name", EVIDENCE)
def test_voxels_at_the_ends_have_a_loss_and_a_gradient_that_are_numbers(name):
    given = torch.tensor([0.0, 1.0, 0.0, 1.0, 1e-30]).reshape(1, 1, 5, 1).requires_grad_()
    images = torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0]).reshape(1, 1, 5, 1)
    zeros = torch.zeros(1, 2)
    loss = EVIDENCE[name](Variational(given, zeros, zeros), images)
    loss.reconstruction.sum().backward()
    assert given.grad.isfinite().all()
    if name != "VAEGaussianLoss":
        expected = torch.nn.functional.binary_cross_entropy(given, images, reduction="sum")
        torch.testing.assert_close(loss.reconstruction.sum(), expected)


@pytest.mark.parametrize("name", EVIDENCE)
def test_a_batch_of_two_has_the_losses_of_two_batches(name):
    said, images = said_of(2)
    both = EVIDENCE[name](said, images)
    for i in range(2):
        alone = EVIDENCE[name](Variational(*(one[i : i + 1] for one in said)), images[i : i + 1])
        for one, other in zip(both, alone, strict=True):
            assert one is other is None or torch.equal(one[i : i + 1], other)


@pytest.mark.parametrize("name", OF_PROBABILITIES)
def test_voxels_that_are_no_probabilities_are_refused(name):
    said, images = said_of()
    with pytest.raises(UsageError, match=rf"outside of \[0, 1\].*{name}.*VAEGaussianLoss"):
        EVIDENCE[name](said._replace(reconstruction=said.reconstruction * 2), images)
    # Augmentation may take an image a little out of [0, 1].
    assert EVIDENCE[name](said, images * 1.1).reconstruction.isfinite().all()
