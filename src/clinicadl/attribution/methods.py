"""From a network and images to maps of what an output rests on."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's own documentation uses
from torch import Tensor, nn

from clinicadl.config.attributions import (
    Captum,
    GradCam,
    Gradients,
    GuidedBackprop,
    Occlusion,
    SmoothGrad,
)
from clinicadl.engine.devices import Device
from clinicadl.errors import UsageError, listed
from clinicadl.networks.streams import seeded
from clinicadl.tasks.reconstruction import given_back

_INTERPOLATION = {2: "bilinear", 3: "trilinear"}
"""Axes of space -> linear interpolation."""

Method = Callable[["Scored", Tensor, Sequence[int]], Tensor]
"""From a network with one number, images and their rows in the table to maps."""


class Scored(nn.Module):
    """A network that says one number of each image: the one that is explained.

    Parameters
    ----------
    network
        In evaluation mode, on the device.
    device
        Says in which precision it computes.
    target_node
        The output; none: the mean squared error of what is given back.
    """

    def __init__(self, network: nn.Module, device: Device, target_node: int | None) -> None:
        super().__init__()
        self.network = network
        self._device, self._target_node = device, target_node

    def forward(self, images: Tensor) -> Tensor:
        """Return the number of each image, shape (n,), float32."""
        with self._device.autocast():
            outputs = self.network(images)
        if self._target_node is None:
            return (given_back(outputs).float() - images).square().flatten(1).mean(1)
        # Networks with several heads say first what the task reads.
        first: Tensor = outputs if isinstance(outputs, Tensor) else outputs[0]
        return first[:, self._target_node].float()


def gradients(settings: Gradients, seed: int) -> Method:
    """Return the method: the gradient of the number by the image, signed."""
    return _gradients


def _gradients(scored: Scored, images: Tensor, rows: Sequence[int]) -> Tensor:
    asked = images.detach().requires_grad_()
    with torch.enable_grad():
        (found,) = torch.autograd.grad(scored(asked).sum(), asked)
    return found


def grad_cam(settings: GradCam, seed: int) -> Method:
    """Return the method: the mean over the channels of maps times the mean of their gradients.

    Nothing is cut off at 0. The map has one channel, and is brought to the size of the image by
    linear interpolation with aligned corners.
    """
    return partial(_grad_cam, level=settings.level)


def _grad_cam(scored: Scored, images: Tensor, rows: Sequence[int], *, level: int | None) -> Tensor:
    kept: list[Tensor] = []
    layers = [*_convolutions(scored.network)][:level]
    handles = [
        layer.register_forward_hook(lambda _, __, maps: kept.append(maps)) for layer in layers
    ]
    try:
        with torch.enable_grad():
            # A convolution whose weights are frozen would not be on the way to the gradient.
            number = scored(images.detach().requires_grad_()).sum()
            # What a mean over all places gives shows nothing of where it came from.
            wide = [maps for maps in kept if level is None and maps[0, 0].numel() > 1]
            chosen = (wide or kept)[-1]
            (found,) = torch.autograd.grad(number, chosen)
    finally:
        for handle in handles:
            handle.remove()
    maps = chosen.detach().float()
    space = tuple(range(2, maps.ndim))
    weights = found.float().mean(space, keepdim=True)
    weighed = (weights * maps).mean(1, keepdim=True)
    mode = _INTERPOLATION[len(space)]
    return F.interpolate(weighed, size=images.shape[2:], mode=mode, align_corners=True)


def _convolutions(network: nn.Module) -> nn.Sequential:
    layers = dict(network.named_children()).get("convolutions")
    if not isinstance(layers, nn.Sequential) or not len(layers):
        raise UsageError(
            "The network has no convolutions whose maps grad-cam could take",
            where="grad-cam", found=type(network).__name__,
            fix="Choose another method: gradients take any network",
        )  # fmt: skip
    return layers


def check_grad_cam(settings: GradCam, network: nn.Module, shape: Sequence[int]) -> None:
    """Refuse a network without maps, or a level that it does not have.

    Raises
    ------
    UsageError
        So it is.
    """
    n_layers = len(_convolutions(network))
    if settings.level is not None and settings.level > n_layers:
        raise UsageError(
            "The convolutions have fewer modules", where="--level_grad_cam",
            found=f"{settings.level} of {n_layers}", fix=f"Give 1 to {n_layers}",
        )  # fmt: skip


def check_guided(settings: GuidedBackprop, network: nn.Module, shape: Sequence[int]) -> None:
    """Refuse a network that has no ReLU at which a gradient could be stopped.

    Raises
    ------
    UsageError
        So it is.
    """
    if not any(isinstance(one, nn.ReLU) for one in network.modules()):
        kinds = {type(one).__name__ for one in network.modules() if not [*one.children()]}
        raise UsageError(
            "The network has no ReLU, without which this is the gradient and no more",
            where="guided-backprop", found=listed(sorted(kinds)), fix="Choose gradients",
        )  # fmt: skip


def occlusion(settings: Occlusion, seed: int) -> Method:
    """Return the method: by how much the number falls when a box is 0, the mean over boxes."""
    return partial(_occlusion, settings=settings)


def _occlusion(
    scored: Scored, images: Tensor, rows: Sequence[int], *, settings: Occlusion
) -> Tensor:
    n_channels, *sizes = images.shape[1:]
    # All channels are occluded together, so that the box does not move along them.
    box = (n_channels, *(min(settings.window, size) for size in sizes))
    strides = (n_channels, *(min(settings.stride, size) for size in sizes))
    return _asked(
        "Occlusion", scored, images, sliding_window_shapes=box, strides=strides, baselines=0
    )


def smooth_grad(settings: SmoothGrad, seed: int) -> Method:
    """Return the method: the mean gradient of copies with noise, drawn for each image by itself."""
    return partial(_smooth_grad, settings=settings, seed=seed)


def _smooth_grad(
    scored: Scored, images: Tensor, rows: Sequence[int], *, settings: SmoothGrad, seed: int
) -> Tensor:
    values = images.flatten(1)
    ranges = (values.amax(1) - values.amin(1)).reshape(-1, *(1,) * (images.ndim - 1))
    total = torch.zeros_like(images)
    for copy in range(settings.n_samples):
        noise = torch.stack([noise_of(row, copy, images.shape[1:], seed=seed) for row in rows])
        noisy = images + settings.noise * ranges * noise.to(images.device)
        total += _gradients(scored, noisy, rows)
    return total / settings.n_samples


def noise_of(row: int, copy: int, shape: Sequence[int], *, seed: int) -> Tensor:
    """Return the standard normal noise of a copy of a sample, whatever batch it is in.

    Parameters
    ----------
    row
        Of the sample in the table.
    copy
        From 0.
    shape
        Of the sample.
    seed
        Of the experiment.
    """
    with seeded(seed, "attribution/noise", copy, row):
        return torch.randn(tuple(shape))


def of_captum(settings: Captum, seed: int) -> Method:
    """Return a method of Captum; if it draws, then from the stream of the first row of a batch."""
    return partial(_of_captum, settings=settings, seed=seed)


def _of_captum(
    scored: Scored, images: Tensor, rows: Sequence[int], *, settings: Captum, seed: int
) -> Tensor:
    arguments = settings.arguments()
    if settings.in_turn:
        arguments["internal_batch_size"] = len(images)
    with seeded(seed, f"attribution/{settings.name}", sample=rows[0]):
        return _asked(settings.algorithm, scored, images, **arguments)


def _asked(algorithm: str, scored: Scored, images: Tensor, **arguments: Any) -> Tensor:
    """Return what a class of Captum attributes to images."""
    made = getattr(import_module("captum.attr"), algorithm)(scored)
    with warnings.catch_warnings():
        # Captum tells that it sets hooks, and takes them away again: nobody can act on it.
        warnings.filterwarnings("ignore", "Setting (forward, )?backward hooks", UserWarning)
        found: Tensor = made.attribute(images.detach().clone().requires_grad_(), **arguments)
    return found.detach()
