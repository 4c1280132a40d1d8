"""What every network does when its blocks are computed again: nothing else, from less memory."""

from __future__ import annotations

from importlib import import_module

import pytest
import torch
from torch import nn

from clinicadl.config.autoencoders import AUTOENCODERS
from clinicadl.config.network import NETWORKS
from clinicadl.networks.recompute import blocks, has_blocks, recomputed, uncounted
from clinicadl.networks.streams import seeded

autoencoders = import_module("tests.laws.test_autoencoders")
classifiers = import_module("tests.laws.test_networks")

CASES = dict.fromkeys(
    [(name, max(classifiers.grids_of(name), key=len)) for name in classifiers.CLASSIFIERS]
    + [max((case for case in autoencoders.CASES if case[0] == name), key=lambda case: len(case[1]))
       for name in AUTOENCODERS]
)  # fmt: skip
LAW = pytest.mark.parametrize(("name", "grid"), CASES, ids=str)
WITHOUT = {"CVAE_3D", "CVAE_3D_half", "CVAE_3D_final_conv"}
"""Networks whose layers are all called one by one: there is nothing to leave out."""


def built(name, grid):
    of = autoencoders if name in AUTOENCODERS else classifiers
    return of.network_of(name, grid)


def learnt(network, grid, *, again):
    """Gradients and buffers after a pass in training mode, in which dropout draws."""
    images = classifiers.images_of(grid)
    network.train()
    with seeded(0, "dropout"):
        if again:
            with recomputed(network):
                outputs = network(images)
        else:
            outputs = network(images)
        sum(one.square().sum() for one in classifiers.said(outputs)).backward()
    grads = {name: weight.grad for name, weight in network.named_parameters()}
    return grads | dict(network.named_buffers())


@LAW
def test_the_gradients_are_the_same_bits_and_normalizations_count_once(name, grid):
    plain = learnt(built(name, grid), grid, again=False)
    again = learnt(built(name, grid), grid, again=True)
    assert plain.keys() == again.keys()
    for key, value in plain.items():
        same = again[key] is None if value is None else torch.equal(value, again[key])
        assert same, key


@LAW
def test_networks_have_blocks_but_for_those_of_single_layers(name, grid):
    with torch.device("meta"):
        network = built(name, grid)
    assert has_blocks(network) == (name not in WITHOUT)
    own = [*network.parameters(recurse=False)]
    of_blocks = [weight for block in blocks(network) for weight in block.parameters()]
    weights = {id(weight) for weight in (*own, *of_blocks)}
    assert weights == {id(weight) for weight in network.parameters()}


def kept(network, images, *, again):
    """Numbers that the backward pass is left with."""
    found = {}

    def keep(tensor):
        found[tensor.untyped_storage()._cdata] = tensor
        return tensor

    weights = {weight.untyped_storage()._cdata for weight in network.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        if again:
            with recomputed(network):
                outputs = network(images)
        else:
            outputs = network(images)
    del outputs
    return sum(
        value.untyped_storage().nbytes() for key, value in found.items() if key not in weights
    )


@pytest.mark.parametrize(
    ("name", "share"),
    [("Conv5_FC3", 0.2), ("ResNet18_3D", 0.5), ("DenseNet121_3D", 0.6), ("UNet", 0.5),
     ("AE_Conv5_FC3", 0.35), ("ViT", 0.2), ("SFCN", 0.3)],
)  # fmt: skip
def test_less_is_kept(name, share):
    grid = (1, 64, 64, 64)
    with torch.device("meta"):
        network = NETWORKS[name]().build(grid, 2)
        images = torch.empty(1, *grid)
        # What each block keeps while it is computed again comes on top, one block at a time.
        assert kept(network, images, again=True) < share * kept(network, images, again=False)


def test_the_network_is_as_it_was_afterwards():
    network = built("ResNet18_3D", (1, 32, 33, 35))
    before = {name: dict(vars(module)) for name, module in network.named_modules()}
    with pytest.raises(ZeroDivisionError), recomputed(network), uncounted(network):
        raise ZeroDivisionError
    assert {name: dict(vars(module)) for name, module in network.named_modules()} == before


def test_nothing_is_counted():
    network = nn.Sequential(nn.Conv3d(1, 2, 3), nn.BatchNorm3d(2))
    images = torch.rand(2, 1, 5, 5, 5)
    with uncounted(network):
        unseen = network(images)
    assert network[1].num_batches_tracked == 0
    assert torch.equal(network(images), unseen)
    assert network[1].num_batches_tracked == 1
