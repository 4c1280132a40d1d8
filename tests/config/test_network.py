"""Settings of networks: files, flags and rows of other packages."""

from __future__ import annotations

from typing import ClassVar, Literal

import pytest

from clinicadl.config import base
from clinicadl.config.architecture import Architecture
from clinicadl.config.base import Choice
from clinicadl.config.network import NETWORKS, TABLE
from clinicadl.config.read import experiment, to_toml
from clinicadl.errors import InvalidDataError, UsageError

DATA = {"caps_directory": "caps", "preprocessing_json": "x", "tsv_directory": "tables"}
DESCRIBED = """
[network]
name = "RandomArchitecture"
n_fcblocks = 2
network_normalization = "None"
dropout = 0.1

[network.convolutions_dict.conv0]
out_channels = 8
n_conv = 2

[network.convolutions_dict.conv1]
in_channels = 8
out_channels = 16
d_reduction = "stride"
"""


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_survives_a_file(name, tmp_path):
    config = experiment({"data": DATA, "network": {"name": name, **NETWORKS[name].needed}})
    (tmp_path / "x.toml").write_text(to_toml(config))
    again = experiment({}, file=tmp_path / "x.toml")
    assert again == config
    assert type(again.network) is NETWORKS[name]


def test_a_described_network_is_read_from_a_file(tmp_path):
    (tmp_path / "x.toml").write_text(DESCRIBED)
    settings = experiment({"data": DATA}, file=tmp_path / "x.toml").network
    assert [block.out_channels for block in settings.blocks()] == [8, 16]
    assert [block.d_reduction for block in settings.blocks()] == ["MaxPooling", "stride"]
    assert settings.network_normalization == "None"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("out_channels = 16", "out_channels = -1", ("conv1.out_channels", "greater than")),
        ("in_channels = 8", "in_channels = 9", ("conv1 takes 9 channels, but conv0 gives 8",)),
        ("n_fcblocks = 2\n", "", ("A setting is missing", "n_fcblocks")),
        ('"stride"', '"strides"', ("d_reduction", "MaxPooling")),
        ("dict.conv1]", "dict.conv2]", ("must be named conv0, conv1",)),
    ],
)
def test_a_wrong_description_names_its_file_and_block(tmp_path, old, new, words):
    (tmp_path / "x.toml").write_text(DESCRIBED.replace(old, new))
    with pytest.raises(InvalidDataError) as caught:
        experiment({"data": DATA}, file=tmp_path / "x.toml")
    assert all(word in str(caught.value) for word in ("x.toml", *words)), str(caught.value)


def test_a_description_is_missing_on_the_command_line(invoke):
    code, _, said = invoke(
        "train", "classification", "caps", "x", "tables", "maps", "-a", "RandomArchitecture"
    )
    assert code == 2
    assert "convolutions_dict" in said


def test_a_setting_of_another_network_names_its_owners():
    with pytest.raises(UsageError, match=r"pretrained does not belong.*resnet18, resnet18_0\.2"):
        experiment({"data": DATA, "network": {"name": "Conv5_FC3", "pretrained": "x.pth"}})


def test_the_help_says_which_networks_have_another_default(invoke):
    _, out, _ = invoke("train", "classification", "--help")
    text = " ".join(out.split())
    assert "(default: 0; ResNet3D 0.8, SqueezeExcitationCNN 0.5, SFCN 0.5)" in text
    assert all(name in text for name in NETWORKS)


class Theirs(Architecture):
    """A network of another package."""

    builds: ClassVar[str] = "clinicadl.networks.conv:conv4_fc3"
    tasks: ClassVar[tuple[str, ...]] = ("classification",)
    axes: ClassVar[tuple[int, ...]] = (3,)
    example: ClassVar[tuple[int, ...]] = (1, 32, 32, 32)
    reference: ClassVar[str] = "their paper"

    name: Literal["Theirs"] = "Theirs"
    dropout: float = 0.0


class Bare(Choice):
    """A row that says nothing of its network."""

    builds: ClassVar[str] = "clinicadl.networks.conv:conv4_fc3"
    name: Literal["Bare"] = "Bare"


def test_a_network_of_another_package_is_used_and_listed(monkeypatch, invoke):
    monkeypatch.setattr(
        base, "_declared", lambda group: {"Theirs": Theirs} if "networks" in group else {}
    )
    config = experiment({"data": DATA, "network": {"name": "Theirs", "dropout": 0.2}})
    assert config.network.dropout == 0.2
    code, out, _ = invoke("train", "list_models")
    assert code == 0
    (line,) = [line for line in out.splitlines() if line.split()[0] == "Theirs"]
    assert "303,292" in line


def test_a_network_that_does_not_say_what_it_takes_is_refused(monkeypatch):
    monkeypatch.setattr(base, "_declared", lambda group: {"Bare": Bare})
    with pytest.raises(UsageError, match=r"The row Bare.*clinicadl\.networks.*Architecture"):
        TABLE.all_rows()
