"""The losses of variational autoencoders, against torch's own distributions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import (
    Bernoulli,
    ContinuousBernoulli,
    Independent,
    Normal,
    kl_divergence,
)

from clinicadl.networks.streams import seeded
from clinicadl.networks.variational import VAE_LOSSES, Variational, drawn_code, total

SHAPE = (3, 2, 4, 5, 3)


def example(*, shape: tuple[int, ...] = SHAPE, seed: int = 0) -> tuple[Variational, torch.Tensor]:
    draws = np.random.default_rng(seed)
    code = (shape[0], 7)
    said = Variational(
        torch.from_numpy(draws.uniform(0.001, 0.999, shape)),
        torch.from_numpy(draws.normal(size=code)),
        torch.from_numpy(draws.normal(size=code)),
    )
    return said, torch.from_numpy(draws.uniform(size=shape))


@pytest.mark.parametrize("name", VAE_LOSSES)
@given(seed=st.integers(0, 999), code=st.sampled_from([(7,), (1, 3, 2), (1, 2, 2, 2)]))
def test_the_divergence_is_that_of_normal_distributions(name, seed, code):
    draws = np.random.default_rng(seed)
    said, images = example()
    said = said._replace(
        mu=torch.from_numpy(draws.normal(size=(3, *code))),
        log_variance=torch.from_numpy(draws.normal(size=(3, *code))),
    )
    coded = Normal(said.mu, (said.log_variance / 2).exp())
    expected = kl_divergence(coded, Normal(0.0, 1.0)).flatten(1).sum(1)
    terms = VAE_LOSSES[name](said, images)
    torch.testing.assert_close(terms.kl, expected)
    assert all(term.shape == (3,) for term in terms)


def test_the_gaussian_error_is_the_squared_one_of_each_sample():
    said, images = example()
    terms = VAE_LOSSES["VAEGaussianLoss"](said, images)
    expected = [((a - b) ** 2).sum() for a, b in zip(*(
        one.numpy() for one in (said.reconstruction, images)
    ), strict=True)]  # fmt: skip
    np.testing.assert_allclose(terms.reconstruction.numpy(), expected, rtol=1e-12)
    assert not terms.constant.any()
    # Up to what depends on neither, half of it is minus the density of a normal distribution.
    density = Independent(Normal(said.reconstruction, 1.0), 4)
    differences = density.log_prob(images) - density.log_prob(said.reconstruction)
    torch.testing.assert_close(terms.reconstruction / 2, -differences)


def test_the_bernoulli_error_is_minus_the_probability_of_each_sample():
    said, images = example()
    images = images.round()
    terms = VAE_LOSSES["VAEBernoulliLoss"](said, images)
    expected = -Independent(Bernoulli(said.reconstruction), 4).log_prob(images)
    torch.testing.assert_close(terms.reconstruction, expected)
    assert not terms.constant.any()


@given(seed=st.integers(0, 999))
def test_the_continuous_bernoulli_is_minus_the_density_of_each_sample(seed):
    said, images = example(seed=seed)
    terms = VAE_LOSSES["VAEContinuousBernoulliLoss"](said, images)
    # torch's own series is one of second order, within 0.001 of a half.
    expected = -Independent(ContinuousBernoulli(said.reconstruction), 4).log_prob(images)
    torch.testing.assert_close(terms.reconstruction + terms.constant, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_constant_and_its_gradient_are_exact_near_a_half_and_at_the_ends(dtype):
    away = torch.tensor([0.0, 1e-6, 1e-4, 1e-3, 0.0249, 0.0499, 0.0501, 0.1, 0.3, 0.49, 0.4999])
    points = torch.cat([0.5 - away, 0.5 + away])[:, None].to(dtype).requires_grad_()
    said = Variational(points, torch.zeros(len(points), 1), torch.zeros(len(points), 1))
    constant = VAE_LOSSES["VAEContinuousBernoulliLoss"](said, points.detach()).constant
    (gradient,) = torch.autograd.grad(constant.sum(), points)
    exact, exact_gradient = _by_many_terms(points.detach().double())
    error = 1e-6 if dtype == torch.float32 else 1e-9
    torch.testing.assert_close(constant.double(), exact, rtol=error, atol=error)
    # The slope of a series that ends misses a millionth where it ends. Towards black and white,
    # a rounding of the point itself says more than this.
    inside = (points - 0.5).abs().squeeze() < 0.4
    torch.testing.assert_close(
        gradient.double().squeeze()[inside], exact_gradient[inside], rtol=1e-5, atol=1e-6
    )


def _by_many_terms(points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Minus log(2 atanh(y) / y) and its slope, y = 1 - 2 p, the series of atanh(y) / y summed."""
    away = (1 - 2 * points).squeeze()
    n = torch.arange(0, 200_000, dtype=torch.float64)[:, None]
    ratio = (away ** (2 * n) / (2 * n + 1)).sum(0)
    slope = (2 * n * away ** (2 * n - 1).clamp(min=0) / (2 * n + 1)).sum(0)
    return -(2 * ratio).log(), 2 * slope / ratio


def test_a_reconstruction_of_black_or_white_has_a_finite_loss_and_gradient():
    points = torch.tensor([[0.0, 1.0, 0.5, 1e-9]], requires_grad=True)
    said = Variational(points, torch.zeros(1, 2), torch.zeros(1, 2))
    terms = VAE_LOSSES["VAEContinuousBernoulliLoss"](said, torch.tensor([[0.0, 1, 0.5, 0]]))
    loss = total(terms, recons_weight=1, kl_weight=1)
    loss.sum().backward()
    assert loss.isfinite().all()
    assert points.grad.isfinite().all()


@pytest.mark.parametrize("name", VAE_LOSSES)
def test_each_weight_is_that_of_its_term_and_the_constant_has_none(name):
    said, images = example()
    terms = VAE_LOSSES[name](said, images)
    loss = total(terms, recons_weight=3, kl_weight=0.5)
    expected = 3 * terms.reconstruction + 0.5 * terms.kl + terms.constant
    torch.testing.assert_close(loss, expected)
    assert loss.shape == (3,)
    assert not torch.allclose(loss, total(terms, recons_weight=0.5, kl_weight=3))


@pytest.mark.parametrize("name", VAE_LOSSES)
def test_a_sample_has_the_same_loss_in_any_batch(name):
    said, images = example()
    together = VAE_LOSSES[name](said, images)
    for i in range(3):
        alone = VAE_LOSSES[name](Variational(*(one[[i]] for one in said)), images[[i]])
        for one, other in zip(alone, together, strict=True):
            torch.testing.assert_close(one[0], other[i])


def test_drawn_codes_have_the_mean_and_the_variance_and_differ_between_samples():
    mu, log_variance = torch.full((20_000, 2), 3.0), torch.full((20_000, 2), 0.5)
    with seeded(0, "noise"):
        code = drawn_code(mu, log_variance)
    # Four standard errors.
    assert abs(code.mean() - 3) < 4 * (np.exp(0.5) / 40_000) ** 0.5
    assert abs(code.var() - np.exp(0.5)) < 4 * np.exp(0.5) * (2 / 40_000) ** 0.5
    assert code[:, 0].unique().numel() > 19_000


def test_the_gradient_passes_the_draw():
    mu, log_variance = (torch.zeros(4, 3, requires_grad=True) for _ in range(2))
    with seeded(0, "noise"):
        code = drawn_code(mu, log_variance)
    code.sum().backward()
    assert (mu.grad == 1).all()
    torch.testing.assert_close(log_variance.grad, code.detach() / 2)
