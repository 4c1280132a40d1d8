"""Each method against an independent computation of what it says it is."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch import nn

from clinicadl.attribution.methods import Scored, noise_of
from clinicadl.config.attributions import (
    ATTRIBUTIONS,
    GradCam,
    Gradients,
    GuidedBackprop,
    InputTimesGradient,
    IntegratedGradients,
    Occlusion,
    SmoothGrad,
)
from clinicadl.config.autoencoders import AUTOENCODERS
from clinicadl.config.base import linked
from clinicadl.config.compute import ComputeConfig
from clinicadl.config.network import NETWORKS
from clinicadl.engine.devices import resolve
from clinicadl.errors import UsageError
from clinicadl.networks.cnn import ConvolutionalNetwork
from clinicadl.networks.streams import seeded

DEVICE = resolve(ComputeConfig(gpu=False))
needs_captum = pytest.mark.skipif(find_spec("captum") is None, reason="captum is not installed")


def small(n_axes: int = 3, n_channels: int = 1) -> ConvolutionalNetwork:
    """Two convolutions, one ReLU between, a linear layer; nothing with a kink at the end."""
    convolution = {2: nn.Conv2d, 3: nn.Conv3d}[n_axes]
    with seeded(0, "small"):
        convolutions = nn.Sequential(
            convolution(n_channels, 3, 3, padding=1), nn.ReLU(), convolution(3, 4, 2, stride=2)
        )
        fc = nn.Sequential(nn.Flatten(), nn.Linear(4 * 2**n_axes, 2))
    return ConvolutionalNetwork(convolutions, fc).eval()


def images_of(*shape: int) -> torch.Tensor:
    with seeded(0, "images"):
        return torch.randn(*shape)


def maps_of(row, network, images, *, node=0, rows=None, seed=0):
    scored = Scored(network, DEVICE, node)
    return row.build(seed)(scored, images, [*range(len(images))] if rows is None else rows)


def plain_gradient(network, images, node=0):
    asked = images.clone().requires_grad_()
    network(asked)[:, node].sum().backward()
    return asked.grad


class Precise(Scored):
    """Scored without the rounding to single precision, for finite differences."""

    def forward(self, images):
        return self.network(images)[:, 0]


def test_gradients_are_finite_differences():
    network, images = small().double(), images_of(2, 1, 4, 4, 4).double()
    found = Gradients().build(0)(Precise(network, DEVICE, 0), images, [0, 1])
    step = 1e-6
    for index in [(0, 0, 0, 0, 0), (0, 0, 3, 2, 1), (1, 0, 2, 2, 2), (1, 0, 1, 0, 3)]:
        ends = []
        for sign in (1, -1):
            moved = images.clone()
            moved[index] += sign * step
            ends.append(network(moved)[index[0], 0].item())
        assert found[index].item() == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6)


@pytest.mark.parametrize("node", [0, 1])
def test_gradients_are_those_of_the_node(node):
    network, images = small(), images_of(2, 1, 4, 4, 4)
    assert torch.equal(
        maps_of(Gradients(), network, images, node=node), plain_gradient(network, images, node)
    )


def test_the_gradients_of_a_reconstruction_are_those_of_its_error():
    network, images = nn.Conv3d(1, 1, 3, padding=1), images_of(2, 1, 4, 4, 4)
    asked = images.clone().requires_grad_()
    ((network(asked) - asked) ** 2).mean(dim=(1, 2, 3, 4)).sum().backward()
    torch.testing.assert_close(maps_of(Gradients(), network, images, node=None), asked.grad)


@pytest.mark.parametrize("n_axes", [2, 3])
def test_grad_cam_is_what_numpy_makes_of_a_layer_of_two(n_axes):
    """By hand: weights are the mean gradient over ALL axes, the map the mean of weighed maps."""
    network, images = small(n_axes), images_of(2, 1, *(4,) * n_axes)
    found = maps_of(GradCam(), network, images).numpy()
    maps = network.convolutions(images).detach().numpy().astype(np.float64)
    # The gradient of the output by the maps is the row of the linear layer.
    gradient = network.fc[1].weight[0].detach().numpy().reshape(4, *(2,) * n_axes)
    weights = gradient.reshape(4, -1).mean(1)
    coarse = (weights.reshape(1, 4, *(1,) * n_axes) * maps).mean(1)
    # From 2 to 4 points with aligned corners, along one axis after another.
    line = np.array([[1, 0], [2 / 3, 1 / 3], [1 / 3, 2 / 3], [0, 1]])
    fine = coarse
    for axis in range(1, n_axes + 1):
        fine = np.moveaxis(np.tensordot(line, np.moveaxis(fine, axis, 0), axes=1), 0, axis)
    assert found.shape == (2, 1, *(4,) * n_axes)
    np.testing.assert_allclose(found[:, 0], fine, rtol=1e-5, atol=1e-7)


def test_the_level_of_grad_cam_counts_every_module():
    network, images = small(), images_of(1, 1, 4, 4, 4)
    for level in (1, 2):
        maps = network.convolutions[:level](images).detach().requires_grad_()
        out = network.fc(network.convolutions[level:](maps))[0, 0]
        (gradient,) = torch.autograd.grad(out, maps)
        expected = (gradient.mean((2, 3, 4), keepdim=True) * maps).mean(1, keepdim=True)
        torch.testing.assert_close(
            maps_of(GradCam(level=level), network, images), expected.detach()
        )
    assert torch.equal(
        maps_of(GradCam(level=3), network, images), maps_of(GradCam(), network, images)
    )


@needs_captum
def test_grad_cam_leaves_out_a_mean_over_all_places_unless_it_is_asked_for():
    """The last maps of a ResNet are one number a channel: a map of it would be flat."""
    with seeded(0, "weights"):
        network = NETWORKS["ResNet10_3D"]().build((1, 40, 48, 44), 2).eval()
    images = torch.rand(2, 1, 40, 48, 44)
    n_layers = len(network.convolutions)
    chosen, before, last = (
        maps_of(GradCam(level=level), network, images) for level in (None, n_layers - 1, n_layers)
    )
    assert torch.equal(chosen, before)
    assert float((last - last.mean((2, 3, 4), keepdim=True)).abs().max()) < 1e-6
    assert float(chosen.std()) > 0


def test_integrated_gradients_are_complete():
    """They sum to the output less that of the image of zeros."""
    network, images = small(), images_of(3, 1, 4, 4, 4)
    found = maps_of(IntegratedGradients(n_steps=300), network, images)
    with torch.no_grad():
        expected = network(images)[:, 0] - network(torch.zeros_like(images))[:, 0]
    # The way is cut into 300 pieces; each ReLU that turns on in a piece leaves an error.
    torch.testing.assert_close(found.flatten(1).sum(1), expected, rtol=1e-3, atol=1e-3)


@needs_captum
def test_the_points_on_the_way_pass_the_network_one_after_another():
    """So that it takes the memory of one batch, however many points there are."""
    network, images, passed = small(), images_of(3, 1, 4, 4, 4), []
    with network.register_forward_pre_hook(lambda _, given: passed.append(len(given[0]))):
        maps_of(IntegratedGradients(n_steps=7), network, images)
    assert max(passed) == 3
    assert sum(passed) >= 21


@needs_captum
def test_the_image_times_its_gradient_is_that():
    network, images = small(), images_of(2, 1, 4, 4, 4)
    torch.testing.assert_close(
        maps_of(InputTimesGradient(), network, images), images * plain_gradient(network, images)
    )


@needs_captum
@pytest.mark.parametrize("shape", [(2, 4, 4, 4), (1, 5, 4)])
def test_occlusion_is_the_mean_fall_over_the_boxes_that_hide_a_voxel(shape):
    sizes = shape[1:]
    network = nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), 2), nn.Tanh())
    images = images_of(2, *shape)
    found = maps_of(Occlusion(window=3, stride=2), network, images)
    falls, counts = torch.zeros_like(images), torch.zeros_like(images)
    with torch.no_grad():
        # As many boxes as reach the end of each axis; the last ones are cut at the border.
        firsts = [range(0, max(size - 3 + 1, 0) + 1, 2) for size in sizes]
        for start in np.stack(np.meshgrid(*firsts, indexing="ij"), -1).reshape(-1, len(sizes)):
            box = (slice(None), slice(None), *(slice(one, one + 3) for one in start))
            hidden = images.clone()
            hidden[box] = 0
            fall = (network(images) - network(hidden))[:, 0]
            falls[box] += fall.reshape(-1, *(1,) * len(shape))
            counts[box] += 1
    assert counts.min() >= 1
    torch.testing.assert_close(found, falls / counts)


@needs_captum
def test_a_box_larger_than_the_image_hides_all_of_it():
    network, images = small(), images_of(2, 1, 4, 4, 4)
    found = maps_of(Occlusion(window=32, stride=16), network, images)
    with torch.no_grad():
        fall = network(images)[:, 0] - network(torch.zeros_like(images))[:, 0]
    torch.testing.assert_close(found, fall.reshape(2, 1, 1, 1, 1).expand_as(images))


@needs_captum
def test_guided_backpropagation_stops_what_is_negative_at_the_relu():
    """By hand: linear, ReLU, linear."""
    first, last = nn.Linear(8, 5), nn.Linear(5, 2)
    with seeded(0, "layers"):
        for layer in (first, last):
            nn.init.normal_(layer.weight)
    images = images_of(3, 1, 2, 4)
    found = maps_of(GuidedBackprop(), nn.Sequential(nn.Flatten(), first, nn.ReLU(), last), images)
    hidden = first(images.flatten(1))
    passed = last.weight[0].clamp(min=0) * (hidden > 0)
    torch.testing.assert_close(found, (passed @ first.weight).reshape(images.shape).detach())
    assert (last.weight[0] < 0).any()


def test_smoothgrad_is_the_mean_of_the_gradients_of_the_same_noise():
    network, images = small(), images_of(2, 1, 4, 4, 4)
    found = maps_of(SmoothGrad(n_samples=4, noise=0.2), network, images, rows=[5, 3], seed=7)
    for place, row in enumerate((5, 3)):
        image = images[place : place + 1]
        reach = 0.2 * (image.max() - image.min())
        copies = [image + reach * noise_of(row, k, (1, 4, 4, 4), seed=7) for k in range(4)]
        expected = torch.stack([plain_gradient(network, copy) for copy in copies]).mean(0)
        torch.testing.assert_close(found[place : place + 1], expected)


def test_the_noise_of_a_sample_is_the_same_in_every_batch():
    network, images = small(), images_of(3, 1, 4, 4, 4)
    row = SmoothGrad(n_samples=3)
    together = maps_of(row, network, images, rows=[0, 1, 2])
    alone = [maps_of(row, network, images[k : k + 1], rows=[k]) for k in range(3)]
    torch.testing.assert_close(together, torch.cat(alone))
    other = maps_of(row, network, images, rows=[0, 1, 2], seed=1)
    assert not torch.allclose(together, other)


def test_boxes_that_leave_voxels_out_are_refused():
    with pytest.raises(ValueError, match="leaves voxels out"):
        Occlusion(window=4, stride=5)


def test_a_method_that_means_nothing_for_a_network_is_refused():
    with pytest.raises(UsageError, match="no convolutions.*gradients take any"):
        linked(GradCam.needs)(GradCam(), nn.Linear(2, 2), (1, 4, 4))
    with pytest.raises(UsageError, match="fewer modules.*found: 4 of 3.*Give 1 to 3"):
        linked(GradCam.needs)(GradCam(level=4), small(), (1, 4, 4, 4))
    with pytest.raises(UsageError, match="no ReLU.*ELU"):
        linked(GuidedBackprop.needs)(GuidedBackprop(), nn.Sequential(nn.ELU()), (1, 4, 4))


# Laws: every method on every network that classifies, on the smallest grid that it takes.


def fitting(name):
    row = NETWORKS[name]
    smallest = -(-max(row.smallest, 8) // row.multiple_of) * row.multiple_of
    for n_axes in sorted(row.axes):
        yield (row.channels or 1, *(smallest,) * n_axes)


QUICK = {
    "gradients": {}, "grad-cam": {}, "integrated-gradients": {"n_steps": 2},
    "input-x-gradient": {}, "occlusion": {"window": 32, "stride": 32}, "guided-backprop": {},
    "smoothgrad": {"n_samples": 2},
}  # fmt: skip
LAW = [
    (name, shape)
    for name, row in NETWORKS.items()
    if "classification" in row.tasks
    for shape in fitting(name)
]


def test_every_method_is_tried():
    assert QUICK.keys() == ATTRIBUTIONS.keys()
    assert all(row.reference and row.__doc__ for row in ATTRIBUTIONS.values())


@pytest.mark.parametrize(("name", "shape"), LAW, ids=str)
def test_every_method_gives_finite_maps_of_the_shape_of_the_images(name, shape):
    row = NETWORKS[name](**NETWORKS[name].needed)
    with seeded(0, "weights"):
        network = row.build(shape, 2).eval()
    images = images_of(2, *shape)
    tried = 0
    for method, settings in QUICK.items():
        chosen = ATTRIBUTIONS[method](**settings)
        if chosen.package and find_spec(chosen.package) is None:
            continue
        try:
            if chosen.needs is not None:
                linked(chosen.needs)(chosen, network, shape)
        except UsageError:
            continue
        found = maps_of(chosen, network, images)
        expected = (2, 1, *shape[1:]) if method == "grad-cam" else (2, *shape)
        assert found.shape == expected, method
        assert found.isfinite().all(), method
        assert not found.requires_grad, method
        assert all(weight.grad is None for weight in network.parameters()), method
        tried += 1
    assert tried >= 2


SMALL = {2: (1, 16, 16), 3: (1, 16, 16, 16)}


@pytest.mark.parametrize("name", AUTOENCODERS)
def test_the_error_of_every_autoencoder_has_finite_maps(name):
    row = AUTOENCODERS[name]
    for n_axes in row.axes:
        shape = (row.channels or 1, *SMALL[n_axes][1:])
        with seeded(0, "weights"):
            try:
                network = row().build(shape, 0).eval()
            except UsageError:
                # It takes large images alone, which take too long here.
                assert row.smallest > 16 or row.multiple_of > 16, name
                continue
        images = images_of(2, *shape)
        for method in ("gradients", "occlusion", "integrated-gradients"):
            chosen = ATTRIBUTIONS[method](**QUICK[method])
            if chosen.package and find_spec(chosen.package) is None:
                continue
            found = maps_of(chosen, network, images, node=None)
            assert found.shape == images.shape
            assert found.isfinite().all()
            assert found.any(), method
