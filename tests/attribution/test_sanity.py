"""Sanity tests call a map that means nothing so, and leave a good one alone."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from clinicadl.attribution.methods import Scored
from clinicadl.attribution.sanity import Check, Measured, Others, checks, problems, together
from clinicadl.config.attributions import Gradients, InputTimesGradient
from clinicadl.config.compute import ComputeConfig
from clinicadl.engine.devices import resolve
from clinicadl.networks.streams import seeded

DEVICE = resolve(ComputeConfig(gpu=False))


def network(key: str, *, corner: bool = False) -> nn.Sequential:
    with seeded(0, key):
        made = nn.Sequential(nn.Flatten(), nn.Linear(216, 8), nn.Tanh(), nn.Linear(8, 2))
        if corner:
            # What was learnt: the first 40 voxels and nothing else.
            with torch.no_grad():
                made[1].weight[:, 40:] = 0
    return made.eval()


def images_of(n: int = 3) -> torch.Tensor:
    with seeded(0, "images"):
        return torch.rand(n, 1, 6, 6, 6)


def found(method, shuffled=None, images=None):
    scored = Scored(network("learnt", corner=True), DEVICE, 0)
    others = Others(network("fresh"), shuffled and Scored(shuffled, DEVICE, 0))
    images = images_of() if images is None else images
    return together(checks(method, scored, others, images, [4, 5, 6][: len(images)], seed=0))


def test_a_map_of_what_was_learnt_has_no_problem():
    assert problems(found(Gradients().build(0))) == []


def edges(scored, images, rows):
    """A map that is the image itself, whatever the network: an edge detector."""
    return images


def test_a_map_that_does_not_depend_on_the_weights_is_called_so():
    said = found(edges)
    assert [one.value for one in said if one.test == "weights"] == pytest.approx([1, 1])
    assert "do not depend on what was learnt" in problems(said)[0]


def test_a_map_that_is_the_same_everywhere_is_called_so():
    said = problems(found(lambda scored, images, rows: torch.ones_like(images)))
    assert "the same everywhere" in said[0]


def backwards(scored, images, rows):
    """The voxels that matter least first."""
    return 1 / (Gradients().build(0)(scored, images, rows).abs() + 1e-3)


def test_a_map_that_shows_what_does_not_matter_is_called_so():
    assert any("does not depend on what the maps show" in one for one in problems(found(backwards)))


def test_weights_are_made_random_one_module_after_another_from_the_output_on():
    trained, fresh, images = network("learnt", corner=True), network("fresh"), images_of()
    said = [one for one in found(Gradients().build(0)) if one.test == "weights"]
    assert [one.step for one in said] == ["3", "1"]
    mixed = nn.Sequential(*trained[:3], fresh[3])

    def ranks(one, other):
        return spearmanr(one.flatten(), other.flatten()).statistic

    def maps(net):
        return Gradients().build(0)(Scored(net, DEVICE, 0), images, [0]).abs().numpy()

    true = maps(trained)
    for one, changed in zip(said, (mixed, fresh), strict=True):
        expected = [ranks(first, second) for first, second in zip(true, maps(changed), strict=True)]
        assert one.value == pytest.approx(sum(expected) / 3)
    assert math.isnan(said[0].by_chance)


def test_the_deletion_curve_is_the_change_of_the_output():
    trained, images = network("learnt", corner=True), images_of()
    curve = [one for one in found(Gradients().build(0)) if one.test == "deletion"]
    assert [one.step for one in curve] == [f"{k / 10:g}" for k in range(11)]
    assert curve[0][2:] == (0, 0, 3)
    with torch.no_grad():
        means = images.mean((1, 2, 3, 4), keepdim=True).expand_as(images)
        whole = (trained(means) - trained(images))[:, 0].abs().mean().item()
    assert curve[-1].value == pytest.approx(whole)
    assert curve[-1].by_chance == pytest.approx(whole)
    # 40 of 216 voxels matter: with a fifth gone all are.
    assert curve[2].value == pytest.approx(whole, rel=1e-5)
    assert curve[2].by_chance < whole


def test_a_true_map_is_compared_with_one_of_dead_weights():
    curve = [Check("deletion", "1", 1.0, 0.5, 3)]
    assert problems([Check("weights", "fc", 0.0, math.nan, 3), *curve]) == []
    assert "0.80" in problems([Check("weights", "fc", -0.8, math.nan, 3), *curve])[0]


def test_a_map_like_that_of_shuffled_labels_is_called_so():
    """The same network says the same, whatever it learnt; another one does not."""
    same, other = network("learnt", corner=True), network("other")
    said = found(Gradients().build(0), same)
    (labels,) = (one for one in said if one.test == "labels")
    assert (labels.step, labels.value, labels.n_images) == ("shuffled", pytest.approx(1), 3)
    assert any("do not depend on the labels" in one for one in problems(said))
    said = found(Gradients().build(0), other)
    (labels,) = (one for one in said if one.test == "labels")
    first, second = (
        Gradients().build(0)(Scored(net, DEVICE, 0), images_of(), [0]).abs().numpy()
        for net in (network("learnt", corner=True), other)
    )
    expected = [
        spearmanr(one.ravel(), two.ravel()).statistic
        for one, two in zip(first, second, strict=True)
    ]
    assert labels.value == pytest.approx(sum(expected) / 3)
    assert problems(said) == []
    assert not [one for one in found(Gradients().build(0)) if one.test == "labels"]


def test_images_that_come_in_several_batches_are_one_mean():
    halves = [
        Measured("deletion", "0.5", (1.0, 2.0), (0.5, 0.5)),
        Measured("deletion", "0.5", (6.0,), (2.0,)),
        Measured("weights", "fc", (math.nan, 0.2)),
        Measured("weights", "fc", (0.4,)),
    ]
    deletion, of_weights = together(halves)
    assert deletion == Check("deletion", "0.5", 3.0, 1.0, 3)
    assert of_weights[:3] == ("weights", "fc", pytest.approx(0.3))
    assert math.isnan(of_weights.by_chance)
    assert of_weights.n_images == 2


def test_some_maps_that_are_the_same_everywhere_are_counted_and_left_out():
    gradients = Gradients().build(0)

    def one_is_empty(scored, images, rows):
        maps = gradients(scored, images, rows)
        maps[0] = 0
        return maps

    said = problems(found(one_is_empty))
    assert "The maps of 1 of 3 images are the same everywhere" in said[0]
    expected = found(gradients, images=images_of()[1:])
    of_weights = [one.value for one in expected if one.test == "weights"]
    left = [one for one in found(one_is_empty) if one.test == "weights"]
    assert [one.value for one in left] == pytest.approx(of_weights)
    assert [one.n_images for one in left] == [2, 2]


def test_captum_makes_maps_that_can_be_tested():
    pytest.importorskip("captum")
    assert problems(found(InputTimesGradient().build(0))) == []
