"""Reconstruction: losses, choice of the loss, reading of the output, scores."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from clinicadl.config.autoencoders import CVAE3D, AEConv5FC3, CVAE3DHalf
from clinicadl.config.task import Reconstruction
from clinicadl.errors import UsageError
from clinicadl.networks.variational import Variational
from clinicadl.statistics.intervals import N_RESAMPLES, resamples
from clinicadl.tasks.base import Task
from clinicadl.tasks.losses import DISTANCES, EVIDENCE
from clinicadl.tasks.metrics import RECONSTRUCTION
from clinicadl.tasks.reconstruction import given_back, resolved
from clinicadl.tasks.similarity import Pair


def said_of(images):
    stream = np.random.default_rng(1)
    latent = [torch.from_numpy(stream.normal(size=(len(images), 4))).float() for _ in "ab"]
    noise = torch.from_numpy(stream.uniform(0, 1, images.shape)).float()
    return Variational(noise, *latent)


def images_of(shape=(3, 1, 6, 5, 4)):
    return torch.from_numpy(np.random.default_rng(0).random(shape, dtype=np.float32))


def task_of(**settings: object):
    return Reconstruction(**settings).build({})


def predictions_of(n=12, seed=0):
    draws = np.random.default_rng(seed)
    metrics = {name: draws.random(n) for name in RECONSTRUCTION}
    owners = [f"sub-{owner}" for owner in draws.permutation(np.arange(n) % 5)]
    return pd.DataFrame({"participant_id": owners, **metrics, "loss": draws.random(n)})


# Losses


@pytest.mark.parametrize("name", DISTANCES)
def test_a_distance_is_the_mean_over_the_voxels(name):
    images = images_of()
    outputs = images / 2 + 0.1
    found = task_of(loss=name).losses(outputs, images, torch.zeros(3))
    assert list(found) == ["loss"]
    expected = [DISTANCES[name](outputs[i : i + 1], images[i : i + 1]).item() for i in range(3)]
    np.testing.assert_allclose(found["loss"], expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_losses_are_computed_in_single_precision(dtype):
    images = images_of()
    found = task_of().losses(images.to(dtype), images.to(dtype), torch.zeros(3))["loss"]
    assert found.dtype == torch.float32


@pytest.mark.parametrize("name", EVIDENCE)
def test_the_terms_of_a_variational_loss_are_weighed_and_reported(name):
    images = images_of()
    said = said_of(images)
    task = task_of(loss=name, recons_weight=0.5, kl_weight=3)
    found = task.losses(said, images, torch.zeros(3))
    assert tuple(found) == task.loss_names == ("loss", "recon_loss", "kl_loss")
    terms = EVIDENCE[name](said, images)
    assert torch.equal(found["recon_loss"], terms.reconstruction)
    assert torch.equal(found["kl_loss"], terms.divergence)
    whole = 0.5 * terms.reconstruction + 3 * terms.divergence
    if terms.normalization is not None:
        whole += terms.normalization
    torch.testing.assert_close(found["loss"], whole)
    assert all(one.shape == (3,) and one.dtype == torch.float32 for one in found.values())


# Choice of the loss

SHAPE = (1, 6, 5, 4)


@pytest.mark.parametrize(("variational", "expected"), [(0, "MSELoss"), (1, "VAEGaussianLoss")])
def test_the_loss_is_chosen_by_what_the_network_says(variational, expected):
    images = images_of()
    outputs = said_of(images) if variational else images
    assert resolved(Reconstruction(), AEConv5FC3(), outputs, SHAPE).loss == expected


@pytest.mark.parametrize(("loss", "variational"), [("L1Loss", 1), ("VAEBernoulliLoss", 0)])
def test_a_loss_that_is_not_for_the_network_is_refused(loss, variational):
    outputs = said_of(images_of()) if variational else images_of()
    with pytest.raises(UsageError, match=rf"variational.*--loss \(found: {loss}\)") as caught:
        resolved(Reconstruction(loss=loss), AEConv5FC3(), outputs, SHAPE)
    fitting = EVIDENCE if variational else DISTANCES
    assert all(name in str(caught.value) for name in fitting)


@pytest.mark.parametrize(
    "outputs",
    [torch.zeros(1, 2), torch.zeros(1, 1, 6, 5, 5), (torch.zeros(1, 4), torch.zeros(1, *SHAPE))],
    ids=["logits", "another shape", "a pair"],
)
def test_a_network_that_gives_back_no_such_image_is_refused(outputs):
    with pytest.raises(UsageError, match=r"--architecture.*of 1 x 6 x 5 x 4.*autoencoder"):
        resolved(Reconstruction(), AEConv5FC3(), outputs, SHAPE)


@pytest.mark.parametrize("weight", ["kl_weight", "recons_weight"])
def test_weights_without_anything_to_weigh_are_refused(weight):
    with pytest.raises(UsageError, match="nothing to weigh.*--kl_weight"):
        resolved(Reconstruction(**{weight: 2}), AEConv5FC3(), images_of(), SHAPE)


def test_the_weight_of_the_divergence_is_that_of_the_network_where_none_is_given():
    said = said_of(images_of())
    assert resolved(Reconstruction(), CVAE3D(), said, SHAPE).kl_weight == 5
    assert resolved(Reconstruction(kl_weight=0), CVAE3D(), said, SHAPE).kl_weight == 0
    given_once = resolved(Reconstruction(), CVAE3DHalf(), said, SHAPE)
    assert given_once.kl_weight == 1
    assert resolved(given_once, CVAE3DHalf(), said, SHAPE) == given_once


# Reading of the outputs


@pytest.mark.parametrize("shape", [(3, 1, 6, 5, 4), (2, 3, 8, 7)])
@pytest.mark.parametrize("variational", [False, True])
def test_predictions_are_the_metrics_of_each_part(shape, variational):
    images = images_of(shape)
    outputs = said_of(images) if variational else images**2
    columns = task_of().predictions(outputs, images, torch.zeros(len(images)))
    assert list(columns) == ["MAE", "RMSE", "PSNR", "SSIM", "MSE"]
    for name, row in RECONSTRUCTION.items():
        pairs = zip(images, given_back(outputs), strict=True)
        assert columns[name].tolist() == [row.function(Pair(*pair)) for pair in pairs]


def test_an_image_needs_no_label():
    task = task_of()
    assert task.labels == ()
    assert task.n_outputs == 0
    assert task.target(()) == 0
    assert task.strata([0.0, 0.0]) == [0, 0]


# Scores


def test_scores_are_means_over_the_rows_and_mse_is_not_that_of_the_mean_rmse():
    predictions = predictions_of()
    scores = task_of().scores(predictions)
    assert list(scores) == [*RECONSTRUCTION, "loss"]
    for name, value in scores.items():
        assert value == pytest.approx(predictions[name].mean(), rel=1e-12)


def test_the_losses_of_a_variational_network_are_scored_too():
    predictions = predictions_of().assign(recon_loss=1.0, kl_loss=2.0)
    task = task_of(loss="VAEGaussianLoss")
    assert list(task.scores(predictions)) == [*RECONSTRUCTION, "loss", "recon_loss", "kl_loss"]
    table = task.table(predictions, seed=0)
    assert list(table.columns)[-3:] == ["loss", "recon_loss", "kl_loss"]
    assert table["kl_loss"].tolist() == [2, "N/A", "N/A", "N/A"]
    assert not any(task.higher_is_better()[name] for name in task.loss_names)


def test_intervals_are_those_of_a_plain_loop_over_the_same_resampled_participants(limits_by_hand):
    predictions = predictions_of(13, seed=3)
    table = task_of().table(predictions, seed=4)
    owners = pd.factorize(predictions["participant_id"], sort=True)[0]
    times = np.concatenate(list(resamples(4, 5, N_RESAMPLES)))[:, owners]
    for name in RECONSTRUCTION:
        of_rows = predictions[name].to_numpy()
        values = times @ of_rows / times.sum(1)
        left_out = [of_rows[owners != one].mean() for one in range(5)]
        expected = limits_by_hand(of_rows.mean(), values, left_out)
        np.testing.assert_allclose(table[name].tolist()[1:], expected, rtol=1e-9)
        assert table[name][0] == pytest.approx(predictions[name].mean(), rel=1e-12)


def test_every_metric_that_can_select_has_a_score_and_a_direction():
    task = task_of()
    assert sorted(task.scores(predictions_of())) == sorted(("loss", *Reconstruction.metrics))
    better = task.higher_is_better()
    assert [name for name, higher in better.items() if higher] == ["PSNR", "SSIM"]


def test_nothing_is_said_of_images_from_tables_of_parts():
    task: Task = task_of()
    assert task.of_images(predictions_of(), "patch_id", basis=pd.DataFrame()) is None
