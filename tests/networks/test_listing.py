"""What the list of networks says is true."""

from __future__ import annotations

import pytest
import torch

from clinicadl.config.network import NETWORKS
from clinicadl.errors import UsageError
from clinicadl.networks.listing import (
    describe,
    example_settings,
    layers,
    list_models,
    parse_input_size,
    shown_input_size,
)  # fmt: skip
from clinicadl.networks.streams import seeded


def test_every_network_is_listed_at_its_example():
    listed = list_models()
    assert [one.name for one in listed] == list(NETWORKS)
    for one in listed:
        assert one.input_shape == NETWORKS[one.name].example
        assert one.n_parameters


def test_at_a_given_input_networks_that_cannot_take_it_have_no_count():
    counts = {one.name: one.n_parameters for one in list_models((1, 50, 50, 50))}
    assert counts["Conv5_FC3"] == 1_692_372
    assert counts["Conv4_FC3_0.2"] == 134_372
    assert counts["Conv5_FC3_SSDA"] == 4_487_676
    classifiers = [name for name, row in NETWORKS.items() if "classification" in row.tasks]
    assert {name for name in classifiers if counts[name] is None} == {
        "resnet18", "ResNet3D", "SqueezeExcitationCNN", "ConvNet_0.2", "resnet18_0.2",
    }  # fmt: skip
    assert {one.input_shape for one in list_models((1, 50, 50, 50))} == {(1, 50, 50, 50)}


def test_one_network_that_cannot_take_the_input_is_refused():
    with pytest.raises(UsageError, match="resnet18 cannot take"):
        describe(example_settings(NETWORKS["resnet18"]), (1, 50, 50, 50))
    with pytest.raises(UsageError, match="resnet18 cannot take"):
        layers(example_settings(NETWORKS["resnet18"]), (1, 50, 50, 50))


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_hold_all_parameters_and_name_them(name):
    settings = example_settings(NETWORKS[name])
    listed = layers(settings)
    assert sum(one.n_parameters for one in listed) == describe(settings).n_parameters
    with torch.device("meta"):
        network = settings.build(settings.example, 2)
    modules = dict(network.named_modules())
    for one in listed:
        module = modules.get(one.name, network)
        own = module.parameters(recurse=False)
        assert one.n_parameters == sum(weight.numel() for weight in own)
        assert one.output or "classification" not in settings.tasks  # some old ones go unused


def test_outputs_of_layers_are_those_of_a_real_image():
    settings = NETWORKS["Conv5_FC3"]()
    with seeded(0, "weights"):
        network = settings.build((1, 35, 20, 18), 2).eval()
    found = {one.name: one.output for one in layers(settings, (1, 35, 20, 18))}
    said = torch.rand(1, 1, 35, 20, 18)
    for part in ("convolutions", "fc"):
        for number, layer in enumerate(getattr(network, part)):
            said = layer(said)
            assert found[f"{part}.{number}"] == said.shape[1:]


@pytest.mark.parametrize(
    ("text", "shape"),
    [("1@128x128", (1, 128, 128)), ("3@169x208x179", (3, 169, 208, 179)), ("12@1x1", (12, 1, 1))],
)
def test_sizes_are_read_and_shown_in_the_published_form(text, shape):
    assert parse_input_size(text) == shape
    assert shown_input_size(shape) == text


@pytest.mark.parametrize(
    "text", ["", "128x128", "1@128", "1@128x0", "0@9x9", "1@9x9x9x9", "1@9X9", "1@-9x9", "1@9x9 "]
)
def test_a_size_in_another_form_is_refused_with_the_form(text):
    with pytest.raises(UsageError, match=r"C@HxW or C@DxHxW"):
        parse_input_size(text)
