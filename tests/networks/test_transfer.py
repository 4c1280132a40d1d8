"""Which weights go where: every pair of kinds, and what is refused."""

import pytest
import torch
from torch import nn

from clinicadl.config.network import Conv4FC3, Conv5FC3
from clinicadl.errors import UsageError
from clinicadl.networks.transfer import freeze, layers_of, match, train_mode

CNN = Conv4FC3().build((1, 40, 40, 40), 2)


def shapes(network):
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def renamed(found, prefix, *, without="fc."):
    """Return the shapes of a network whose layers that see the image have another name."""
    return {
        name.replace("convolutions.", prefix): shape
        for name, shape in found.items()
        if not name.startswith(without)
    }


def test_identical_networks_give_everything():
    found = match(shapes(CNN), shapes(CNN), "all")
    assert found.source_of == {name: name for name in CNN.state_dict()}
    assert found.kept == found.unused == ()


@pytest.mark.parametrize("prefix", ["encoder.", "features."])
def test_an_autoencoder_gives_its_encoder_and_takes_convolutions(prefix):
    cnn = shapes(CNN)
    other = {**renamed(cnn, prefix), "decoder.0.weight": (3, 3)}
    found = match(other, cnn, "all")
    assert found.source_of == {
        name: name.replace("convolutions.", prefix) for name in cnn if name.startswith("conv")
    }
    assert "convolutions.1.running_mean" in found.source_of
    assert found.kept == tuple(name for name in cnn if name.startswith("fc."))
    assert found.unused == ("decoder.0.weight",)
    back = match(cnn, other, "all")
    assert set(back.kept) == {"decoder.0.weight"}
    assert {theirs: ours for ours, theirs in back.source_of.items()} == dict(found.source_of)


def test_features_go_across_input_sizes_and_heads():
    small, large = shapes(CNN), shapes(Conv5FC3().build((1, 70, 40, 40), 3))
    with pytest.raises(UsageError, match=r"fc\.2\.weight \(50, 1024\), here"):
        match(small, large, "all")
    found = match(small, large, "features")
    assert all(name.startswith("convolutions.") for name in found.source_of)
    assert all(name.startswith("fc.") for name in (*found.kept, *found.unused))
    assert len(found.source_of) + len(found.kept) == len(large)


def test_all_but_the_last_layer_goes_to_another_number_of_classes():
    three = shapes(Conv4FC3().build((1, 40, 40, 40), 3))
    with pytest.raises(UsageError, match=r"fc\.6\.weight \(2, 40\), here"):
        match(shapes(CNN), three, "all")
    found = match(shapes(CNN), three, "all-but-last")
    assert found.kept == found.unused == ("fc.6.weight", "fc.6.bias")


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        ({"conv1.weight": (1,)}, shapes(CNN), "share no layers that see the image"),
        (shapes(CNN), {"conv1.weight": (1,)}, "share no layers that see the image"),
        ({**shapes(CNN), "convolutions.99.weight": (1,)}, shapes(CNN), "convolutions.99.weight"),
        ({"encoder.0.weight": (1, 2)}, shapes(CNN), r"encoder.0.weight \(1, 2\), here"),
        (
            {name: shape for name, shape in shapes(CNN).items() if "running" not in name},
            shapes(CNN),
            "running_mean absent",
        ),
    ],
)
def test_a_partial_load_is_never_silent(source, target, words):
    with pytest.raises(UsageError, match=words):
        match(source, target, "all")


def test_frozen_layers_keep_their_weights_and_their_statistics():
    network = Conv4FC3(dropout=0.0).build((1, 16, 16, 16), 2)
    freeze(network, 4)
    learning = [name for name, weight in network.named_parameters() if weight.requires_grad]
    assert learning == [
        "convolutions.17.weight", "convolutions.17.bias", "fc.2.weight", "fc.2.bias",
        "fc.4.weight", "fc.4.bias", "fc.6.weight", "fc.6.bias",
    ]  # fmt: skip
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.SGD([one for one in network.parameters() if one.requires_grad], lr=0.1)
    train_mode(network)
    network(torch.rand(4, 1, 16, 16, 16)).sum().backward()
    optimizer.step()
    changed = {name for name, value in network.state_dict().items()
               if not torch.equal(value, before[name])}  # fmt: skip
    assert "convolutions.17.running_mean" in changed
    assert changed <= {*learning, "convolutions.17.running_mean", "convolutions.17.running_var",
                       "convolutions.17.num_batches_tracked"}  # fmt: skip


def test_nothing_is_frozen_by_default_and_more_than_all_is_refused():
    network = Conv4FC3().build((1, 16, 16, 16), 2)
    freeze(network, 0)
    assert all(weight.requires_grad for weight in network.parameters())
    n_layers = len(layers_of(network))
    assert n_layers == 5 + 5 + 3
    freeze(network, n_layers)
    assert all(weight.requires_grad for weight in network.parameters())
    with pytest.raises(UsageError, match="14 of 13"):
        freeze(network, n_layers + 1)


def test_a_norm_without_weights_is_trained_on():
    network = nn.Sequential(nn.BatchNorm1d(2, affine=False), nn.Linear(2, 1))
    freeze(network, 1)
    train_mode(network)
    assert network[0].training
