"""``train list_models``."""

from __future__ import annotations

import re

import pytest

from clinicadl.config.network import NETWORKS
from clinicadl.networks.listing import layers, list_models


@pytest.mark.parametrize("name", ["list_models", "list-models"])
def test_each_network_has_its_line(invoke, name):
    code, out, _ = invoke("train", name)
    assert code == 0
    head, *lines = out.splitlines()
    assert head.split() == [
        "name", "tasks", "dimension", "input", "e.g.", "parameters", "reference",
    ]  # fmt: skip
    for line, model in zip(lines, list_models(), strict=True):
        cells = re.split(r" {2,}", line)
        assert cells[0] == model.name
        assert cells[5] == f"{model.n_parameters:,}"
        assert cells[6] == model.reference


def test_parameters_are_those_at_the_input_that_is_said(invoke):
    code, out, _ = invoke("train", "list_models", "-i", "3@128x128")
    assert code == 0
    cells = {line.split()[0]: re.split(r" {2,}", line) for line in out.splitlines()[1:]}
    assert cells["Conv5_FC3"][4:6] == ["3@128x128", "2,827,732"]
    assert cells["Conv5_FC3_SSDA"][5] == "8,285,436"
    assert cells["ResNet3D"][4:6] == ["3@128x128", "-"]


@pytest.mark.parametrize("flags", [(), ("-m",), ("--model_layers",)])
def test_one_network_is_shown_with_its_settings_and_layers(invoke, flags):
    code, out, _ = invoke("train", "list_models", "-a", "ResNet3D", *flags, "-i", "1@80x96x80")
    assert code == 0
    assert NETWORKS["ResNet3D"].__doc__ in out
    assert "at 1@80x96x80, two outputs" in out
    assert re.search(r"^dropout .*\(default: 0\.8\)$", out, re.MULTILINE)
    for layer in layers(NETWORKS["ResNet3D"](), (1, 80, 96, 80)):
        assert re.search(rf"^{re.escape(layer.name)} ", out, re.MULTILINE), layer.name


def test_layers_can_be_left_out(invoke):
    code, out, _ = invoke("train", "list_models", "-a", "Conv5_FC3", "--no-model-layers")
    assert code == 0
    assert "2,827,588 at 1@128x128" in out
    assert "convolutions.0" not in out


def test_settings_without_default_are_shown_with_the_example_that_is_listed(invoke):
    code, out, _ = invoke("train", "list_models", "-a", "RandomArchitecture", "--no-model-layers")
    assert code == 0
    assert "n_fcblocks" in out
    assert "no default; here 2" in out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("-a", "ResNet3D", "-i", "1@50x50x50"), "each size at least 63"),
        (("-i", "50x50"), "C@HxW or C@DxHxW"),
        (("-a", "Resnet18"), "resnet18"),
        (("-m",), "--model-layers needs --architecture"),
    ],
)
def test_what_cannot_be_shown_is_refused(invoke, flags, words):
    code, out, said = invoke("train", "list_models", *flags)
    assert code == 2
    assert out == ""
    assert words in said
