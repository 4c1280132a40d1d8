"""One loss a sample."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch

from clinicadl.config.task import Classification
from clinicadl.tasks.losses import CLASSIFICATION


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
    offered = get_args(Classification.model_fields["loss"].annotation)
    assert list(offered) == list(CLASSIFICATION)
