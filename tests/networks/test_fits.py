"""A network that does not fit the task or the images is refused before anything is read."""

from __future__ import annotations

import subprocess
import sys

import pytest

from clinicadl.config.network import NETWORKS
from clinicadl.errors import UsageError
from clinicadl.networks.fits import check_fits


def settings_of(name):
    return NETWORKS[name](**NETWORKS[name].needed)


@pytest.mark.parametrize(
    ("name", "task", "shape", "n_domains"),
    [
        ("Conv5_FC3", "classification", (1, 169, 208, 179), 1),
        ("Conv5_FC3", "regression", (3, 20, 20), 1),
        ("resnet18", "classification", (3, 169, 208), 1),
        ("ResNet3D", "regression", (2, 63, 63, 63), 1),
        ("Conv5_FC3_SSDA", "classification", (1, 50, 50, 50), 2),
        ("ViT", "regression", (1, 1, 1, 1), 1),
    ],
)
def test_a_network_that_fits_is_let_pass(name, task, shape, n_domains):
    check_fits(settings_of(name), task, shape, n_domains=n_domains)


@pytest.mark.parametrize(
    ("name", "task", "shape", "words"),
    [
        ("Conv5_FC3", "reconstruction", (1, 50, 50, 50),
         ("not for reconstruction, but for classification and regression",)),
        ("Conv5_FC3_SSDA", "regression", (1, 50, 50, 50),
         ("not for regression", "Conv5_FC3, Conv4_FC3")),
        ("resnet18", "classification", (1, 169, 208), ("1 x 169 x 208", "3 channels x X x Y")),
        ("resnet18", "classification", (3, 169, 208, 179), ("3 channels x X x Y (slices)",)),
        ("ResNet3D", "classification", (1, 169, 208), ("X x Y x Z (three-dimensional)",)),
        ("ResNet3D", "classification", (1, 80, 62, 80), ("1 x 80 x 62 x 80", "at least 63")),
        ("ConvNet_0.2", "classification", (1, 31, 128), ("at least 32",)),
        ("Conv5_FC3_SSDA", "classification", (1, 50, 50, 50),
         ("learns from 2 kinds of images at once", "found: one kind of images")),
    ],
)  # fmt: skip
def test_a_network_that_does_not_fit_is_refused_with_what_fits(name, task, shape, words):
    with pytest.raises(UsageError) as caught:
        check_fits(settings_of(name), task, shape)
    assert caught.value.exit_code == 2
    assert all(word in str(caught.value) for word in (name, *words)), str(caught.value)


def test_a_network_of_one_domain_cannot_adapt():
    with pytest.raises(UsageError, match="learns from one kind of images"):
        check_fits(settings_of("Conv5_FC3"), "classification", (1, 50, 50, 50), n_domains=2)


def test_networks_that_are_named_instead_can_do_the_task():
    with pytest.raises(UsageError) as caught:
        check_fits(settings_of("Conv5_FC3_SSDA"), "regression", (1, 50, 50, 50))
    named = str(caught.value).rpartition("there are ")[2].rstrip(".").split(", ")
    assert set(named) <= {*NETWORKS, named[-1]}
    assert "Conv5_FC3_SSDA" not in named


def test_what_fits_is_known_without_torch():
    code = (
        "import sys\n"
        "from clinicadl.config.network import NETWORKS\n"
        "from clinicadl.networks.fits import check_fits\n"
        "check_fits(NETWORKS['Conv5_FC3'](), 'classification', (1, 9, 9))\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
