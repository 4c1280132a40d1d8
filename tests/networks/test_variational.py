"""Codes of variational autoencoders."""

from __future__ import annotations

import numpy as np
import torch

from clinicadl.networks.streams import seeded
from clinicadl.networks.variational import drawn_code


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
