"""ImageNet weights: from a file that the user names, strictly, and into new networks only."""

from __future__ import annotations

import pytest
import torch

from clinicadl.config.network import NETWORKS
from clinicadl.errors import CannotResumeError, InvalidDataError, MissingInputError

NAMES = ("resnet18", "resnet18_0.2")
PARTS = {
    "conv1": "convolutions.0", "bn1": "convolutions.1", "layer1": "convolutions.4",
    "layer2": "convolutions.5", "layer3": "convolutions.6", "layer4": "convolutions.7",
    "fc": "fc.1",
}  # fmt: skip


@pytest.fixture(scope="module")
def published():
    """Weights named and shaped as in torchvision's file of ResNet-18."""
    network = NETWORKS["resnet18_0.2"]().build((3, 64, 64), 2)
    network.train()(torch.rand(4, 3, 64, 64))
    state = network.state_dict()
    return {name: value for name, value in state.items() if not name.startswith("fc_out")}


def own_name(name: str, network: str) -> str:
    first, _, rest = name.partition(".")
    return f"{PARTS[first]}.{rest}" if network == "resnet18" else name


@pytest.mark.parametrize("name", NAMES)
def test_a_new_network_starts_with_the_weights_of_the_file(published, name, tmp_path):
    torch.save(published, tmp_path / "resnet18.pth")
    settings = NETWORKS[name](pretrained=tmp_path / "resnet18.pth")
    network = settings.build((3, 64, 64), 5)
    before = {label: value.clone() for label, value in network.state_dict().items()}
    settings.start(network)
    after = network.state_dict()
    for label, value in published.items():
        assert torch.equal(after[own_name(label, name)], value)
    last = [label for label in after if "fc_out" in label]
    assert len(last) == 2
    assert all(torch.equal(after[label], before[label]) for label in last)


def test_the_features_are_those_of_the_network_that_the_weights_come_from(published, tmp_path):
    torch.save(published, tmp_path / "resnet18.pth")
    images = torch.rand(2, 3, 70, 50)
    said = []
    for name in NAMES:
        settings = NETWORKS[name](pretrained=tmp_path / "resnet18.pth")
        network = settings.build((3, 70, 50), 2).eval()
        settings.start(network)
        said.append(
            network.fc[1](network.convolutions(images).flatten(1))
            if name == "resnet18"
            else network.fc(network.avgpool(network.layer4(early(network, images))).flatten(1))
        )
    assert torch.equal(*said)


def early(network, images):
    maps = network.maxpool(network.relu(network.bn1(network.conv1(images))))
    return network.layer3(network.layer2(network.layer1(maps)))


def test_counters_that_older_files_lack_stay_at_nothing(published, tmp_path):
    older = {name: value for name, value in published.items() if "num_batches" not in name}
    torch.save(older, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    settings = NETWORKS["resnet18"](pretrained=tmp_path / "old.pth")
    network = settings.build((3, 64, 64), 2)
    settings.start(network)
    assert torch.equal(network.convolutions[0].weight, published["conv1.weight"])
    assert network.convolutions[1].num_batches_tracked == 0


@pytest.mark.parametrize("name", NETWORKS)
def test_without_a_file_weights_stay_random(name):
    settings = NETWORKS[name](**NETWORKS[name].needed)
    with torch.device("meta"):
        network = settings.build(settings.example, 2)
    settings.start(network)
    small = settings.channels or 1, *(settings.smallest,) * max(settings.axes)
    larger = {"GeneratorUNet": (1, 64, 32, 32), "CVAE_3D_final_conv": (1, 9, 8, 8)}
    network = settings.build(larger.get(name, small), 2)
    before = {label: value.clone() for label, value in network.state_dict().items()}
    settings.start(network)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("name", NAMES)
def test_building_reads_no_file(name, tmp_path):
    # A trained model is read back where its ImageNet weights are not.
    NETWORKS[name](pretrained=tmp_path / "gone.pth").build((3, 64, 64), 2)


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda state: state.pop("layer3.0.conv2.weight"), r"lacks layer3\.0\.conv2\.weight"),
        (lambda state: state.pop("fc.bias"), r"lacks fc\.bias"),
        (lambda state: state.update({"layer5.weight": torch.ones(1)}), r"has too layer5\.weight"),
        (lambda state: state.update({"conv1.weight": torch.ones(64, 1, 7, 7)}),
         r"another shape of conv1\.weight 64 x 1 x 7 x 7 for 64 x 3 x 7 x 7"),
    ],
)  # fmt: skip
def test_weights_of_another_network_are_refused(published, tmp_path, change, complaint, device):
    state = dict(published)
    change(state)
    torch.save(state, tmp_path / "other.pth")
    settings = NETWORKS["resnet18"](pretrained=tmp_path / "other.pth")
    with torch.device(device):
        network = settings.build((3, 64, 64), 2)
    before = {label: value.clone() for label, value in network.state_dict().items()}
    with pytest.raises(InvalidDataError, match=complaint + r".*other\.pth") as caught:
        settings.start(network)
    assert caught.value.exit_code == 65
    if device == "cpu":
        after = network.state_dict()
        assert all(torch.equal(value, after[label]) for label, value in before.items())


def test_an_absent_file_is_refused_when_the_network_starts(tmp_path):
    settings = NETWORKS["resnet18"](pretrained=tmp_path / "none.pth")
    with torch.device("meta"):
        network = settings.build((3, 64, 64), 2)
    with pytest.raises(MissingInputError, match=r"none\.pth"):
        settings.start(network)


def test_a_network_on_the_meta_device_is_checked_and_gets_nothing(published, tmp_path):
    torch.save(published, tmp_path / "resnet18.pth")
    settings = NETWORKS["resnet18"](pretrained=tmp_path / "resnet18.pth")
    with torch.device("meta"):
        network = settings.build((3, 64, 64), 2)
    settings.start(network)
    assert all(weight.is_meta for weight in network.parameters())


def test_the_file_is_recorded_and_a_resume_wants_the_same(published, prepared, config_of, tmp_path):
    from clinicadl import PrepareConfig, prepare_data, resume, train
    from clinicadl.layouts.files import sha256
    from clinicadl.layouts.maps.folder import open_maps

    weights = tmp_path / "resnet18.pth"
    torch.save(published, weights)
    suffix = {"name": "custom", "custom_suffix": "T1w.nii.gz"}
    mode = {"name": "slice", "slice_direction": 2, "discarded_slices": (7, 8)}
    prepare_data(
        PrepareConfig(
            caps_directory=prepared, preprocessing=suffix, mode=mode, extract_json="slices"
        )
    )
    config = config_of(
        prepared,
        network={"name": "resnet18", "pretrained": weights},
        data={"preprocessing_json": "slices"},
        optimization={"epochs": 1},
    )
    train(config, tmp_path / "maps")
    assert open_maps(tmp_path / "maps").record.tables[str(weights)] == sha256(weights)
    torch.save({**published, "conv1.weight": published["conv1.weight"] + 1}, weights)
    with pytest.raises(CannotResumeError, match=r"file changed.*resnet18\.pth"):
        resume(tmp_path / "maps", splits=(1,))
