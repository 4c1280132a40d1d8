"""The published networks that judge registrations, and the files of their weights [1]_.

References
----------
.. [1] V. Fonov et al., DARQ: deep learning of quality control for stereotaxic registration of human
   brain MRI to the T1w MNI-ICBM 152 template, NeuroImage 257, 2022,
   doi:10.1016/j.neuroimage.2022.119266
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from clinicadl.errors import InvalidDataError, UsageError, listed
from clinicadl.layouts.files import sha256
from clinicadl.networks import foreign
from clinicadl.networks.resnet import BasicBlock, stages, stem

logger = logging.getLogger(__name__)

N_VIEWS = 3
PASS = 1
"""Index of the output that stands for a good registration."""
_HOME = "https://aramislab.paris.inria.fr/files/data/models/dl/qc/"
_COUNTER = "num_batches_tracked"
"""What older files lack."""


class ResidualJudge(nn.Module):
    """A ResNet-18 that looks at each view alone, and a few layers that look at all of them.

    Parameters
    ----------
    has_fc
        Whether there is a layer that is never used, as in some files.
    """

    def __init__(self, *, has_fc: bool) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu, self.maxpool = stem(1, n_axes=2)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages(
            BasicBlock, (2, 2, 2, 2), n_axes=2
        )
        self.addon = nn.Sequential(
            nn.Conv2d(N_VIEWS * 512, 512, 1), nn.BatchNorm2d(512), nn.ReLU(),
            nn.Conv2d(512, 32, 1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 32, 7), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 32, 1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Dropout2d(0.5), nn.Conv2d(32, 2, 1),
        )  # fmt: skip
        if has_fc:
            self.fc = nn.Linear(512, 2)

    def forward(self, views: Tensor) -> Tensor:
        """Return two logits, of failing and of passing.

        Parameters
        ----------
        views
            Shape (n, 3, 224, 224).
        """
        maps = self.maxpool(self.relu(self.bn1(self.conv1(_alone(views)))))
        maps = self.layer4(self.layer3(self.layer2(self.layer1(maps))))
        logits: Tensor = self.addon(_together(maps)).flatten(1)
        return logits


class Fire(nn.Module):
    """Few channels, and then many by two convolutions side by side.

    Parameters
    ----------
    given
        Channels of the input.
    few
        Channels in between.
    many
        Channels of each of the two.
    """

    def __init__(self, given: int, few: int, many: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(given, few, 1)
        self.expand1x1 = nn.Conv2d(few, many, 1)
        self.expand3x3 = nn.Conv2d(few, many, 3, padding=1)
        self.relu = nn.ReLU()

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same size."""
        maps = self.relu(self.squeeze(maps))
        return torch.cat([self.relu(self.expand1x1(maps)), self.relu(self.expand3x3(maps))], 1)


class SqueezeJudge(nn.Module):
    """SqueezeNet 1.1, which looks at each view alone, and one layer that looks at all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 64, 3, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True),
            Fire(64, 16, 64), Fire(128, 16, 64), nn.MaxPool2d(3, 2, ceil_mode=True),
            Fire(128, 32, 128), Fire(256, 32, 128), nn.MaxPool2d(3, 2, ceil_mode=True),
            Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Dropout(0.5), nn.Conv2d(N_VIEWS * 512, 2, 1), nn.ReLU(), nn.AvgPool2d(13)
        )

    def forward(self, views: Tensor) -> Tensor:
        """Return two logits, of failing and of passing.

        Parameters
        ----------
        views
            Shape (n, 3, 224, 224).
        """
        logits: Tensor = self.classifier(_together(self.features(_alone(views)))).flatten(1)
        return logits


class Judge(NamedTuple):
    """A published network."""

    build: Callable[[], nn.Module]
    file: str
    sha256: str


JUDGES = {
    "darq": Judge(
        lambda: ResidualJudge(has_fc=True), "resnet_18_darq.pth",
        "321928e0532f1be7a8dd7f5d805b747c7147ff52594f77ffed0858ab19c5df03",
    ),
    "deep_qc": Judge(
        lambda: ResidualJudge(has_fc=False), "resnet18.pth.tar",
        "a97a781be3820b06424fe891ec405c78b87ad51a27b6b81614dbdb996ce60104",
    ),
    "sq101": Judge(
        SqueezeJudge, "sq101_darq.pth",
        "1f4f3ebd20aaa726d634165a89df12461d9b7c6f2f45931bd29d16cf2616d00f",
    ),
}  # fmt: skip


def read(name: str, path: Path | None) -> nn.Module:
    """Return a published network with the weights of a file, ready to judge.

    Parameters
    ----------
    name
        Row of `JUDGES`.
    path
        As published, or the same names and tensors as safetensors.

    Raises
    ------
    UsageError
        There is no file, or it is that of another network.
    MissingInputError
        The file cannot be read.
    InvalidDataError
        It is damaged, or holds other weights.
    """
    judge = JUDGES[name]
    if path is None:
        raise UsageError(
            f"The network {name} needs its weights, and nothing is ever downloaded",
            where="--weights",
            fix=f"Fetch {_HOME}{judge.file} (SHA-256 {judge.sha256}) and name the file by "
            "--weights, or take --network none, which needs no weights",
        )
    found = sha256(path)
    other = next((key for key, one in JUDGES.items() if key != name and one.sha256 == found), None)
    if other is not None:
        raise UsageError(
            f"These are the published weights of {other}", where=path, found=f"--network {name}",
            fix=f"Say --network {other}, or give {judge.file}",
        )  # fmt: skip
    if found == judge.sha256:
        logger.info("%s: the published weights of %s (SHA-256 %s)", path, name, found)
    else:
        logger.warning(
            "%s: not the file that was published for %s: SHA-256 %s instead of %s",
            path, name, found, judge.sha256,
        )  # fmt: skip
    network = judge.build().eval()
    _load(network, foreign.read(path), name, path)
    return network


def _load(network: nn.Module, weights: dict[str, Tensor], name: str, path: Path) -> None:
    """Give a network all of its weights.

    Raises
    ------
    InvalidDataError
        A name is missing or surplus, or a shape is another.
    """
    state = network.state_dict()
    missing = [key for key in state if key not in weights and not key.endswith(_COUNTER)]
    surplus = [key for key in weights if key not in state]
    other = [key for key in weights if key in state and weights[key].shape != state[key].shape]
    for what, names in (("lacks", missing), ("has too", surplus), ("has another shape of", other)):
        if names:
            raise InvalidDataError(
                f"These are not weights of {name}: the file {what} {listed(names)}", where=path,
                fix=f"Give {JUDGES[name].file} as it was published",
            )  # fmt: skip
    for key, tensor in weights.items():
        state[key].copy_(tensor)


def _alone(views: Tensor) -> Tensor:
    """Return each view as an image of one channel."""
    return views.flatten(0, 1)[:, None]


def _together(maps: Tensor) -> Tensor:
    """Return the maps of the views of each image behind one another."""
    return maps.reshape(-1, N_VIEWS * maps.shape[1], *maps.shape[2:])
