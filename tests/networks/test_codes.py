"""The code of an autoencoder is kept as it is: of a variational one the mean."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest
import torch

from clinicadl import PredictConfig, predict, read_experiment, train
from clinicadl.config.network import NETWORKS
from clinicadl.errors import UsageError
from clinicadl.layouts.maps import folder, names
from clinicadl.networks import codes, weights

QUICK = {"n_proc": 0, "gpu": False}
KEPT = ("AE_Conv4_FC3", "CAE_half", "CVAE_3D")
"""Rows of the table of networks: a mirror image, a linear code, a variational code."""


def new_group(caps, **settings):
    return PredictConfig(
        caps_directory=caps, participants_tsv=caps / "split/test_baseline.tsv",
        save_latent_tensor=True, **QUICK, **settings,
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained_as(prepared_once, config_of, tmp_path_factory):
    """Return a function that trains a reconstruction, once a network."""
    home = tmp_path_factory.mktemp("codes")

    def of(name):
        maps = home / name
        if not maps.exists():
            quick = config_of(prepared_once, optimization={"epochs": 1}).model_dump(mode="json")
            task = {"name": "reconstruction", "selection_metrics": ["loss"]}
            train(read_experiment({**quick, "task": task, "network": {"name": name}}), maps)
        return maps

    return of


def by_hand(network, images):
    """Return the code without any hook: the encoder alone, or the mean that the network says."""
    said = network(images)
    return network.encoder(images) if isinstance(said, torch.Tensor) else said.mu


@pytest.mark.parametrize("name", KEPT)
@pytest.mark.parametrize("batch_size", [1, 4])
def test_the_code_of_each_image_is_what_its_network_makes_of_it(
    trained_as, prepared_once, tmp_path, name, batch_size
):
    maps = shutil.copytree(trained_as(name), tmp_path / "maps")
    predict(new_group(prepared_once, save_tensor=True, batch_size=batch_size), maps, "test")
    record = folder.open_maps(maps).record
    network = record.config.network.build(record.input_shape, 0)
    network.load_state_dict(weights.read(names.weights(maps, 0, "loss")).state)
    network.eval()
    home = names.results(maps, 0, "loss", "test")
    table = pd.read_csv(prepared_once / "split/test_baseline.tsv", sep="\t")
    assert len(list(home.glob("latent_tensors/*"))) == len(table)
    for who in table["participant_id"]:
        sample = f"{who}_ses-M000_image-0"
        given = torch.load(names.kept_tensor(home, sample, "input"))
        code = torch.load(names.latent_tensor(home, sample))
        with torch.inference_mode():
            expected = by_hand(network, given[None])[0]
        assert code.dtype == torch.float32
        torch.testing.assert_close(code, expected, rtol=1e-4, atol=1e-5)  # another batch size
    assert not list(home.glob("nifti_images"))


def test_what_has_no_code_is_refused_before_anything_is_written(trained, prepared_once, trained_as):
    with pytest.raises(UsageError, match="Only an autoencoder has codes.*Conv4_FC3"):
        predict(new_group(prepared_once), trained, "test")
    assert not (trained / "groups/test").exists()


@pytest.mark.parametrize(
    "name", [name for name in NETWORKS if "reconstruction" in NETWORKS[name].tasks]
)
def test_every_network_that_gives_images_back_has_a_code_or_shortcuts(name):
    row = NETWORKS[name]
    if any(field.is_required() for field in row.model_fields.values()):
        pytest.skip("its settings have no defaults")
    with torch.device("meta"):
        network = row(name=name).build(row.example, 0).eval()
        outputs = network(torch.empty(1, *row.example))
    assert codes.has_one(network, outputs) == ("UNet" not in name)


def test_the_hooks_go_with_the_block(trained_as):
    network = NETWORKS["AE_Conv4_FC3"](name="AE_Conv4_FC3").build((1, 18, 20, 17), 0).eval()
    with codes.watched([network]) as code:
        network(torch.zeros(1, 1, 18, 20, 17))
        first = code.of(torch.zeros(1))
    network(torch.ones(1, 1, 18, 20, 17))
    assert code.of(torch.zeros(1)) is first
